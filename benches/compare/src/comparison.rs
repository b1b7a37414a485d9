//! The run: what is measured, in which order, and what came of each measurement.
//!
//! ```text
//!             case          case              section      case
//!  round 1   1 thread    a b c d      64 threads  a b c d      pipeline      none, 1 thread  e f g
//!  round 2   1 thread    b c d a      64 threads  b c d a      pipeline      none, 1 thread  f g e
//!  round 3   1 thread    c d a b      ...
//! ```
//!
//! Rounds are interleaved, because a disk has better and worse minutes: what slows it down hits every engine of a
//! round, and a ratio inside a round stays what it is. No engine is always behind the same one.

use std::path::Path;
use std::time::Duration;

use crate::args::Args;
use crate::engine::{Act, Candidate};
use crate::pipeline::{self, Piped};
use crate::place::Place;
use crate::replay;
use crate::run::{self, Figures, Load};
use crate::section::{Case, Section};
use crate::tally::Tally;

/// Long enough for the first segments and the threads' buffers.
const WARM_UP: Duration = Duration::from_millis(500);

/// Of calls that take less than a microsecond. A prime: with 64 of them, each look at entries of 32 bytes would fall on the
/// first or the middle entry of a page, and what is rare would seem to be the median.
const CALLS_A_LOOK: u64 = 61;

/// One engine in one case in one round.
pub(crate) struct Measurement {
    pub(crate) round: u32,
    pub(crate) case: Case,
    pub(crate) candidate: &'static Candidate,
    pub(crate) figures: Result<Figures, String>,
}

/// The pipeline in one round.
pub(crate) struct PipedMeasurement {
    pub(crate) round: u32,
    pub(crate) piped: Result<Piped, String>,
}

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Comparison {
    pub(crate) measurements: Vec<Measurement>,
    pub(crate) pipelines: Vec<PipedMeasurement>,
}

/// Is told of each measurement when it is made, so that a run that is stopped has not been in vain.
pub(crate) trait Listener {
    fn measured(&mut self, measurement: &Measurement) -> Result<(), String>;
    fn piped(&mut self, measurement: &PipedMeasurement) -> Result<(), String>;
}

impl Comparison {
    /// # Errors
    /// What a listener says. An engine that fails does not end the run: it has no figure in that round.
    pub(crate) fn run(args: &Args, place: &Place, listener: &mut dyn Listener) -> Result<Comparison, String> {
        let mut comparison = Comparison::default();
        let measured = Duration::from_secs(args.seconds);
        for round in 1..=args.rounds {
            for section in Section::ALL.into_iter().filter(|&section| args.wants(section)) {
                let candidates = section.candidates(args);
                for case in section.cases(args) {
                    let load = load(case, WARM_UP, measured);
                    for candidate in in_turn(&candidates, round) {
                        let figures = place.visit(|directory| measure(candidate, &load, directory));
                        let measurement = Measurement { round, case, candidate, figures };
                        listener.measured(&measurement)?;
                        comparison.measurements.push(measurement);
                    }
                }
                if section == Section::Pipeline {
                    let entry_bytes = args.pipeline_entry_bytes();
                    let piped = place.visit(|directory| pipeline::run(directory, entry_bytes, measured));
                    let measurement = PipedMeasurement { round, piped };
                    listener.piped(&measurement)?;
                    comparison.pipelines.push(measurement);
                }
            }
        }
        Ok(comparison)
    }

    /// How many measurements a run has.
    pub(crate) fn count(args: &Args) -> u64 {
        let of = |section: Section| match section {
            Section::Pipeline => 1,
            section => section.cases(args).len() * section.candidates(args).len(),
        };
        let a_round: usize = Section::ALL.into_iter().filter(|&section| args.wants(section)).map(of).sum();
        u64::from(args.rounds) * a_round as u64
    }

    /// Whether every measurement has a figure.
    pub(crate) fn is_complete(&self) -> bool {
        self.measurements.iter().all(|measurement| measurement.figures.is_ok())
            && self.pipelines.iter().all(|measurement| measurement.piped.is_ok())
    }
}

/// A figure is worth nothing when the entries are not there, so it is handed out only with them.
fn measure(candidate: &Candidate, load: &Load, directory: &Path) -> Result<Figures, String> {
    let open = match candidate.act {
        Act::Append(open) => open,
        Act::Replay { open, read } => return replay::run(open, read, load, directory),
    };
    let engine = open(directory, load)?;
    let figures = run::closed_loop(engine.as_ref(), load)?;
    let mut tally = Tally::new(load.threads);
    engine.reopen(&mut tally)?;
    tally.compare(&figures.acknowledged)?;
    Ok(figures)
}

fn load(case: Case, warm_up: Duration, measured: Duration) -> Load {
    let Case { section, threads, entry_bytes, batch } = case;
    let calls_a_look = if section == Section::Threads { 1 } else { CALLS_A_LOOK };
    Load { threads, entry_bytes, batch, calls_a_look, warm_up, measured }
}

/// The candidates, from another one on in every round.
pub(crate) fn in_turn<T: Copy>(candidates: &[T], round: u32) -> impl Iterator<Item = T> {
    let first = (round as usize - 1) % candidates.len().max(1);
    candidates.iter().copied().cycle().skip(first).take(candidates.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines;

    fn every_engine_has_again_what_it_acknowledged(sections: &[Section], batch: usize) {
        let (warm_up, measured) = (Duration::from_millis(20), Duration::from_millis(100));
        for &section in sections {
            let case = Case { section, threads: 3, entry_bytes: 64, batch };
            for candidate in engines::of(section) {
                let directory = tempfile::tempdir().unwrap();
                let figures = measure(candidate, &load(case, warm_up, measured), directory.path());
                assert!(figures.is_ok(), "{} {}: {}", section.name(), candidate.name, figures.unwrap_err());
            }
        }
    }

    #[test]
    fn every_engine_has_again_what_it_acknowledged_one_by_one() {
        every_engine_has_again_what_it_acknowledged(&Section::ALL, 1);
    }

    #[test]
    fn every_engine_has_again_what_it_acknowledged_in_batches() {
        every_engine_has_again_what_it_acknowledged(&[Section::None, Section::Replay], 3);
    }

    #[test]
    fn every_round_has_every_candidate_and_begins_with_another_one() {
        let rounds: Vec<Vec<char>> =
            (1..=4).map(|round| in_turn(&['a', 'b', 'c'], round).collect()).collect();
        assert_eq!(rounds, [['a', 'b', 'c'], ['b', 'c', 'a'], ['c', 'a', 'b'], ['a', 'b', 'c']]);
    }
}
