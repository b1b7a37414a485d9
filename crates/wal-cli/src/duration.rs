//! A duration on the command line: a whole number with a unit.

use std::time::Duration;

/// Reads `500us`, `2ms`, `1s`, and nothing else: a number without a unit means something else to everybody.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let of: fn(u64) -> Duration = match unit {
        "us" => Duration::from_micros,
        "ms" => Duration::from_millis,
        "s" => Duration::from_secs,
        _ => return Err(SHAPE.to_owned()),
    };
    if number.is_empty() {
        return Err(SHAPE.to_owned());
    }
    number.parse().map(of).map_err(|_| "more than 64 bits can count".to_owned())
}

/// Writes it as it can be read, in the largest unit that leaves no fraction.
pub(crate) fn render(duration: Duration) -> String {
    let micros = duration.as_micros();
    match (micros % 1_000_000, micros % 1000) {
        (0, _) => format!("{}s", micros / 1_000_000),
        (_, 0) => format!("{}ms", micros / 1000),
        _ => format!("{micros}us"),
    }
}

const SHAPE: &str = "a duration is a whole number with us, ms or s, as in 500us";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_of_three_units_are_durations() {
        for (text, duration) in [
            ("500us", Duration::from_micros(500)),
            ("2ms", Duration::from_millis(2)),
            ("1s", Duration::from_secs(1)),
            ("0s", Duration::ZERO),
            ("007ms", Duration::from_millis(7)),
            ("1000001us", Duration::from_micros(1_000_001)),
            ("18446744073709551615s", Duration::from_secs(u64::MAX)),
        ] {
            assert_eq!(parse(text), Ok(duration), "{text}");
        }
    }

    #[test]
    fn whatever_could_be_misread_is_no_duration() {
        for text in [
            "", "1", "1000", "ms", "-1ms", "+1ms", "1.5ms", "1 ms", " 1ms", "1ms ", "1_000us", "1m", "1min",
            "1h", "1MS", "1Ms", "1µs", "1ns", "1e3us", "0x10ms", "٣ms",
        ] {
            assert_eq!(parse(text), Err(SHAPE.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_duration_beyond_64_bits_is_refused() {
        for text in ["99999999999999999999us", "18446744073709551616s"] {
            assert!(parse(text).unwrap_err().contains("64 bits"), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_as_the_same() {
        for text in ["0s", "1s", "90s", "1ms", "1500ms", "99us", "100us", "1001us"] {
            assert_eq!(render(parse(text).unwrap()), text);
        }
    }
}
