//! The tables, as Markdown.

use super::rounds::{Case, Rounds, Syncs};
use super::{aims, curves, layers};
use crate::statistics::Spread;

pub(super) const fn durable(threads: u64) -> Case {
    Case { section: "threads", entry_bytes: 256, batch: 1, threads }
}

pub(super) const fn none(batch: u64, threads: u64) -> Case {
    Case { section: "none", entry_bytes: 32, batch, threads }
}

pub(super) const fn buffered(threads: u64) -> Case {
    Case { section: "buffered", entry_bytes: 32, batch: 1, threads }
}

pub(super) const fn replay(entry_bytes: u64, batch: u64) -> Case {
    Case { section: "replay", entry_bytes, batch, threads: 1 }
}

/// Each part with the name of its markers.
pub(super) fn parts(rounds: &Rounds) -> Result<Vec<(&'static str, String)>, String> {
    let threads = rounds.threads("threads");
    let by_threads: Vec<String> = threads.iter().map(ToString::to_string).collect();
    let durable_cases: Vec<Case> = threads.into_iter().map(durable).collect();
    let none_cases = [none(1, 1), none(1, 4), none(64, 1), none(64, 4)];
    let replay_cases = [replay(32, 64), replay(32, 1), replay(4096, 64), replay(4096, 1)];
    let shapes = ["1 thread", "4 threads", "batches of 64, 1 thread", "batches of 64, 4 threads"];
    let lengths = ["32 bytes, batches of 64", "32 bytes, lone", "4 KiB, batches of 64", "4 KiB, lone"];
    let p99s =
        rows(rounds, "threads", &durable_cases, |case, engine| Some(whole(rounds.p99(case, engine)?.median)));
    let durable_table =
        with_rates(rounds, "appends a second, threads", &by_threads, &durable_cases, "wal-grouped");
    let opens = rows(rounds, "replay", &replay_cases, |case, engine| {
        Some(format!("{:.1}", rounds.open(case, engine)?.median))
    });
    let mut parts = vec![
        ("machine", machine(rounds)?),
        ("ahead", ahead(rounds, &durable_cases, &none_cases, &replay_cases)),
        ("durable", durable_table),
        ("p99", table("p99 in microseconds, threads", &by_threads, p99s)),
        ("pipeline", pipeline(rounds, &durable_cases)?),
        ("none", with_rates(rounds, "entries a second", &owned(&shapes), &none_cases, "wal")),
        (
            "buffered",
            with_rates(rounds, "appends a second", &owned(&shapes[..2]), &[buffered(1), buffered(4)], "wal"),
        ),
        ("replay", with_rates(rounds, "entries a second", &owned(&lengths), &replay_cases, "wal-lent")),
        ("open", table("to open and close that log, milliseconds", &owned(&lengths), opens)),
        ("syncs", syncs(rounds)?),
        ("aims", aims::table(rounds, &durable_cases)?),
        ("layers", layers::tables(rounds)?),
    ];
    parts.extend(curves::tables(rounds)?);
    Ok(parts)
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn machine(rounds: &Rounds) -> Result<String, String> {
    let machine = rounds.machine()?;
    Ok(format!(
        "{} interleaved rounds; medians, and of ratios the median, the least and the most of the rounds. {}, {} cores, \
         {}, {}, {}; the load in the minute before was {:.1}.",
        rounds.count(),
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.file_system,
        machine.date,
        machine.load_average,
    ))
}

/// How many syncs an append of each engine made, by itself.
fn syncs(rounds: &Rounds) -> Result<String, String> {
    if rounds.syncs.is_empty() {
        return Err("the syncs were not counted".to_owned());
    }
    let row = |counted: &Syncs| {
        let section = match counted.section.as_str() {
            "threads" => "durable",
            "none" => "without a sync",
            other => other,
        };
        let engine = name(rounds, &counted.section, &counted.engine);
        let counts = [counted.appends, counted.syncs, counted.appends_without].map(|count| count.to_string());
        [engine, section.to_owned()].into_iter().chain(counts).collect()
    };
    let rows = rounds.syncs.iter().map(row).collect();
    Ok(table("engine", &owned(&["appends", "made", "syncs", "appends without one"]), rows))
}

/// Everything that makes more than this log, peers first.
fn ahead(rounds: &Rounds, durable: &[Case], none: &[Case], replay: &[Case]) -> String {
    let ours =
        [("wal-grouped", durable), ("wal", none), ("wal", &[buffered(1), buffered(4)]), ("wal-lent", replay)];
    let mut lines = Vec::new();
    for role in ["peer", "floor", "throw-away"] {
        for (ours, cases) in ours {
            for &case in cases {
                for other in rounds.with_role(case.section, role) {
                    let Some(spread) = rounds.against(case, ours, &[other]) else { continue };
                    if spread.median < 1.0 {
                        let times = Spread {
                            median: 1.0 / spread.median,
                            min: 1.0 / spread.max,
                            max: 1.0 / spread.min,
                        };
                        let ahead = name(rounds, case.section, other);
                        lines.push(vec![ahead, what(case), format!("`{ours}`"), ratio(times)]);
                    }
                }
            }
        }
    }
    let columns = ["at", "this log as", "times as much"];
    table("ahead", &owned(&columns), lines)
}

/// A case in words.
pub(super) fn what(case: Case) -> String {
    let threads = if case.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", case.threads) };
    let batch = if case.batch == 1 { String::new() } else { format!(", batches of {}", case.batch) };
    match case.section {
        "threads" => format!("durable appends, {threads}"),
        "none" => format!("appends without a sync{batch}, {threads}"),
        "buffered" => format!("buffered appends, {threads}"),
        _ => format!("replay of {} bytes{batch}", case.entry_bytes),
    }
}

fn pipeline(rounds: &Rounds, cases: &[Case]) -> Result<String, String> {
    let missing = || "the pipeline was not measured".to_owned();
    let rate = rounds.pipeline().ok_or_else(missing)?;
    let peers = rounds.with_role("threads", "peer");
    let best = rounds.pipeline_against(cases, &peers).ok_or_else(missing)?;
    Ok(format!(
        "{} a second: {} times the best durable rate of any peer at any count of threads in the same round.",
        with_spread(rate, count),
        ratio(best),
    ))
}

/// The rates of all engines, and below them those of `ours` against the best peer and each throw-away.
fn with_rates(rounds: &Rounds, title: &str, columns: &[String], cases: &[Case], ours: &str) -> String {
    let section = cases.first().map_or("", |case| case.section);
    let mut all = rows(rounds, section, cases, |case, engine| Some(count(rounds.rate(case, engine)?.median)));
    let peers = rounds.with_role(section, "peer");
    let against = |label: String, others: &[&str]| {
        let ratios =
            cases.iter().map(|&case| rounds.against(case, ours, others).map_or_else(String::new, ratio));
        std::iter::once(label).chain(ratios).collect::<Vec<_>>()
    };
    all.push(against(format!("`{ours}` against each round's best peer"), &peers));
    for other in ["throw-away", "floor"].iter().flat_map(|role| rounds.with_role(section, role)) {
        all.push(against(format!("`{ours}` against `{other}`"), &[other]));
    }
    table(title, columns, all)
}

/// A row for each engine of a section.
fn rows(
    rounds: &Rounds,
    section: &str,
    cases: &[Case],
    cell: impl Fn(Case, &str) -> Option<String>,
) -> Vec<Vec<String>> {
    let ours = rounds.with_role(section, "ours");
    let row = |engine: &str| {
        let bold = if ours.contains(&engine) { "**" } else { "" };
        let cells = cases
            .iter()
            .map(|&case| cell(case, engine).map_or_else(String::new, |cell| format!("{bold}{cell}{bold}")));
        std::iter::once(format!("{bold}{}{bold}", name(rounds, section, engine))).chain(cells).collect()
    };
    rounds.engines(section).into_iter().map(row).collect()
}

/// An engine, with its version if it is published.
pub(super) fn name(rounds: &Rounds, section: &str, engine: &str) -> String {
    match rounds.version(section, engine) {
        Some(version) => format!("{engine} {version}"),
        None => format!("`{engine}`"),
    }
}

pub(super) fn table(title: &str, columns: &[String], rows: Vec<Vec<String>>) -> String {
    let mut text = format!("| {title} | {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len() + 1));
    for row in rows {
        text += &format!("| {} |\n", row.join(" | "));
    }
    text
}

pub(super) fn ratio(spread: Spread) -> String {
    with_spread(spread, |value| format!("{value:.2}"))
}

/// The median, and how far the rounds lie apart if there are several.
pub(super) fn with_spread(spread: Spread, figure: fn(f64) -> String) -> String {
    let Spread { median, min, max } = spread;
    if min.total_cmp(&max).is_eq() {
        return figure(median);
    }
    format!("{} ({} to {})", figure(median), figure(min), figure(max))
}

/// Three figures are as much as a median of a few rounds is worth; below a million, all of them.
pub(super) fn count(value: f64) -> String {
    let millions = value / 1e6;
    match millions {
        ..1.0 => whole(value),
        1.0..10.0 => format!("{millions:.2} M"),
        _ => format!("{millions:.1} M"),
    }
}

/// A whole number, with a comma between thousands.
pub(super) fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_as_long_as_they_are_worth() {
        assert_eq!(count(125_607.4), "125,607");
        assert_eq!((whole(7.0), whole(999.6)), ("7".to_owned(), "1,000".to_owned()));
        assert_eq!((count(2_054_900.0), count(25_349_000.0)), ("2.05 M".to_owned(), "25.3 M".to_owned()));
        assert_eq!(ratio(Spread { median: 1.5, min: 1.0, max: 2.0 }), "1.50 (1.00 to 2.00)");
        assert_eq!(ratio(Spread { median: 1.5, min: 1.5, max: 1.5 }), "1.50");
    }

    #[test]
    fn a_faster_engine_is_listed_with_its_ratio() {
        let lines = r#"{"kind":"engine","section":"none","engine":"wal","role":"ours","version":"0.1.0"}
{"kind":"engine","section":"none","engine":"quick","role":"peer","version":"2.0.0"}
{"kind":"engine","section":"none","engine":"slow","role":"peer","version":"2.0.0"}
{"kind":"none","round":1,"threads":4,"entry_bytes":32,"batch":1,"engine":"wal","per_second":100.0}
{"kind":"none","round":1,"threads":4,"entry_bytes":32,"batch":1,"engine":"quick","per_second":150.0}
{"kind":"none","round":1,"threads":4,"entry_bytes":32,"batch":1,"engine":"slow","per_second":50.0}"#;
        let rounds = Rounds::parse(lines).expect("the lines are whole");
        let told = ahead(&rounds, &[], &[none(1, 4)], &[]);
        assert!(
            told.ends_with("| quick 2.0.0 | appends without a sync, 4 threads | `wal` | 1.50 |\n"),
            "{told}"
        );
        assert!(!told.contains("slow"));
    }
}
