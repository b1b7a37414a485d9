//! What of this log grows with what, and how long its slowest appends take.
//!
//! ```text
//!  curve                     against                     file
//!  log-size, segments        bytes, segments of the log  sizes.rs, on logs of grown.rs
//!  followers                 threads that follow         followers.rs
//!  tail-durable, tail-none   the quantile                tails.rs
//!  variants, recycling       threads that append         variants.rs
//!  checksums                 bytes                       checksums.rs
//! ```
//!
//! Each figure is a line of its own, and each measurement checks its answer; one that fails ends the run. The rounds of a
//! curve are interleaved, and each begins at another place of the curve.

mod budget;
mod checksums;
pub(crate) mod curves;
mod followers;
mod grown;
mod log;
mod sizes;
mod tails;
mod variants;

use std::ops::RangeInclusive;
use std::path::PathBuf;

use self::budget::Budget;
use self::curves::Curves;
use crate::json::JsonLines;
use crate::machine::Machine;
use crate::place::Place;

#[derive(clap::Args)]
pub(crate) struct ScaleArgs {
    /// Where the logs are made, and removed again: the disk that is measured.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Add every figure to this file, a JSON object a line.
    #[arg(long)]
    json: Option<PathBuf>,
    /// How often everything is measured [default: 3; short: 1].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Smaller logs and fewer samples.
    #[arg(long)]
    short: bool,
}

/// # Errors
/// What could not be measured, or written.
pub(crate) fn scale(args: &ScaleArgs) -> Result<(), String> {
    let place = Place::new(args.dir.clone());
    let machine = Machine::with_disk(place.path())?;
    let mut json = args.json.as_deref().map(JsonLines::append).transpose()?;
    json.as_mut().map_or(Ok(()), |json| json.machine(&machine))?;
    let (budget, rounds) = if args.short { (Budget::SHORT, 1) } else { (Budget::LONG, 3) };
    let curves = run(&budget, Rounds(args.rounds.unwrap_or(rounds)), &place, json)?;
    curves.medians();
    Ok(())
}

fn run(budget: &Budget, rounds: Rounds, place: &Place, json: Option<JsonLines>) -> Result<Curves, String> {
    let steps = [checksums::steps, sizes::steps, followers::steps, tails::steps, variants::steps];
    let mut curves = Curves::new(json, steps.iter().map(|steps| steps(budget, rounds.last())).sum());
    checksums::run(budget, rounds, &mut curves)?;
    sizes::run(budget, rounds, place, &mut curves)?;
    followers::run(budget, rounds, place, &mut curves)?;
    tails::run(budget, rounds, place, &mut curves)?;
    variants::run(budget, rounds, place, &mut curves)?;
    Ok(curves)
}

/// How many rounds there are.
#[derive(Clone, Copy)]
struct Rounds(u32);

impl Rounds {
    fn all(self) -> RangeInclusive<u32> {
        1..=self.0
    }

    fn last(self) -> u32 {
        self.0
    }
}

/// How many places a curve has.
fn count(places: usize) -> u32 {
    u32::try_from(places).expect("a curve has a few places")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_curve_comes_out_of_every_round_with_positive_values() {
        let directory = tempfile::tempdir().unwrap();
        let curves = run(&Budget::TINY, Rounds(2), &Place::new(directory.path().to_owned()), None).unwrap();
        assert!(curves.is_complete());
        let expected: [(&str, &[&str]); 9] = [
            ("log-size", &SIZES),
            ("segments", &SIZES),
            ("followers", &["durable", "none"]),
            ("tail-rate", &["durable", "none"]),
            ("tail-durable", &SCENARIOS),
            ("tail-none", &SCENARIOS),
            ("variants", &["zeroed-ahead", "not-zeroed", "kept", "recycled", "removed"]),
            ("recycling", &["recycled"]),
            ("checksums", &["crc32fast", "crc64fast", "crc-fast-crc32", "crc-fast-crc64"]),
        ];
        for round in 1..=2 {
            let points = || curves.points().iter().filter(|point| point.round == round);
            let found: BTreeSet<_> = points().map(|point| (point.curve, point.series)).collect();
            let of_curve = |&(curve, series): &(&'static str, &'static [&'static str])| {
                series.iter().map(move |&series| (curve, series))
            };
            assert_eq!(found, expected.iter().flat_map(of_curve).collect());
            for point in points() {
                // In a moment no segment may end.
                let is_positive = point.value > 0.0 || point.curve == "recycling";
                assert!(is_positive && point.value.is_finite(), "{point:?}");
            }
        }
    }

    const SIZES: [&str; 5] = ["open-closed", "open-unclosed", "read", "append-durable", "truncate-before"];
    const SCENARIOS: [&str; 4] = ["alone", "rollovers", "follower", "truncation"];
}
