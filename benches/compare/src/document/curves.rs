//! What of the log grows with what.

use super::rounds::Rounds;
use super::tables::{count, table, whole, with_spread};

/// A curve that the page shows.
pub(super) struct Curve {
    /// As the rounds call it, and the markers and the plot.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// What grows.
    pub(super) x: &'static str,
    pub(super) place: fn(f64) -> String,
    /// A picture tells more than the table.
    pub(super) is_drawn: bool,
}

const fn curve(name: &'static str, title: &'static str, x: &'static str, place: fn(f64) -> String) -> Curve {
    Curve { name, title, x, place, is_drawn: true }
}

/// A table and no picture.
const fn table_only(name: &'static str, x: &'static str, place: fn(f64) -> String) -> Curve {
    Curve { name, title: "", x, place, is_drawn: false }
}

pub(super) const CURVES: [Curve; 9] = [
    curve("log-size", "What grows with the size of the log", "size of the log", bytes),
    curve("segments", "What grows with the number of segments", "segments", whole),
    curve("followers", "Appends a second, by followers", "followers", whole),
    table_only("tail-rate", "", |_| "pace".to_owned()),
    curve("tail-durable", "Durable appends at a pace, microseconds", "quantile", quantile),
    curve("tail-none", "Appends without a sync at a pace, microseconds", "quantile", quantile),
    table_only("variants", "threads", whole),
    table_only("recycling", "threads", whole),
    curve("checksums", "Checksums, GB a second", "length", bytes),
];

/// A table for each curve: a row for each place, a column for each series.
///
/// # Errors
/// A curve was not measured.
pub(super) fn tables(rounds: &Rounds) -> Result<Vec<(&'static str, String)>, String> {
    let table_of = |curve: &Curve| {
        let series = rounds.series(curve.name);
        if series.is_empty() {
            return Err(format!("{} was not measured", curve.name));
        }
        let columns: Vec<String> =
            series.iter().map(|name| format!("{name}, {}", rounds.unit(curve.name, name))).collect();
        let row = |place: f64| {
            let cells = series.iter().map(|name| {
                rounds
                    .point(curve.name, name, place)
                    .map_or_else(String::new, |spread| with_spread(spread, figure))
            });
            std::iter::once((curve.place)(place)).chain(cells).collect()
        };
        let rows = rounds.places(curve.name).into_iter().map(row).collect();
        Ok((curve.name, table(curve.x, &columns, rows)))
    };
    CURVES.iter().map(table_of).collect()
}

/// Three figures, at least.
pub(super) fn figure(value: f64) -> String {
    match value {
        ..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => count(value),
    }
}

fn quantile(value: f64) -> String {
    if value < 100.0 { format!("p{value}") } else { "slowest".to_owned() }
}

fn bytes(value: f64) -> String {
    const UNITS: [(f64, &str); 3] = [(1073741824.0, "GiB"), (1048576.0, "MiB"), (1024.0, "KiB")];
    match UNITS.into_iter().find(|(unit, _)| value >= *unit) {
        Some((unit, name)) => format!("{} {name}", whole(value / unit)),
        None => format!("{} bytes", whole(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_three_digits_and_a_length_its_unit() {
        let figures = [0.1234, 1.234, 12.34, 123.4, 12_345.0, 1_234_567.0].map(figure);
        assert_eq!(figures, ["0.123", "1.23", "12.3", "123", "12,345", "1.23 M"]);
        let lengths = [32.0, 4096.0, 104_857_600.0, 10_737_418_240.0].map(bytes);
        assert_eq!(lengths, ["32 bytes", "4 KiB", "100 MiB", "10 GiB"]);
        assert_eq!([50.0, 99.99, 100.0].map(quantile), ["p50", "p99.99", "slowest"]);
    }
}
