//! Crash enumeration on the simulated disk.
//!
//! Scripts of operations on tiny segments; the power cut at every disk operation; every image that the
//! cut may leave opened and held against an oracle; the next life cut in the middle of its recovery;
//! damage to every frame at the end. Then the same with logs that are wrong on purpose, each of which
//! must be caught.

mod damage;
mod explore;
mod faulty;
mod ledger;
mod life;
mod script;
mod trail;
mod world;

use std::collections::HashSet;
use std::time::Instant;

use wal::Checksum;
use wal::sim::CrashModel;

use crate::crash::explore::{Explorer, Violation};
use crate::crash::faulty::Faulty;
use crate::crash::ledger::Ledger;
use crate::crash::life::Setup;
use crate::crash::script::{Operation, Script};
use crate::crash::trail::Trail;

/// What to enumerate.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// How many distinct states to visit.
    #[arg(long, default_value_t = 100_000)]
    states: u64,
    /// Where random scripts and samples begin.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many images each log that is wrong on purpose gets before it counts as not caught.
    #[arg(long, default_value_t = 400_000)]
    faulty_states: u64,
    /// Only the log as it is.
    #[arg(long)]
    skip_faulty: bool,
    /// Run one state again: the tuple that a failure printed.
    #[arg(long)]
    replay: Option<String>,
}

/// Enumerates; true when every promise was kept and every wrong log was caught.
pub(crate) fn run(arguments: &Arguments) -> bool {
    if let Some(tuple) = &arguments.replay {
        return replay(tuple);
    }
    let begun = Instant::now();
    let mut ledger = Ledger::default();
    if let Err(violation) = enumerate(arguments, Faulty::Nothing, arguments.states, &mut ledger) {
        report(&violation);
        return false;
    }
    ledger.print();
    println!("{:.1} s", begun.elapsed().as_secs_f64());
    arguments.skip_faulty || every_wrong_log_is_caught(arguments)
}

fn replay(tuple: &str) -> bool {
    let trail: Trail = match tuple.parse() {
        Ok(trail) => trail,
        Err(error) => {
            eprintln!("not a tuple of this enumeration: {error}");
            return false;
        }
    };
    let Some(&setup) = setups(Faulty::Nothing).get(trail.setup) else {
        eprintln!("there is no setup {}", trail.setup);
        return false;
    };
    let mut ledger = Ledger::default();
    let mut explorer = Explorer::new(setup, trail.seed, trail.setup, &mut ledger);
    match explorer.replay(&trail) {
        Ok(()) => {
            println!("every promise was kept");
            true
        }
        Err(violation) => {
            report(&violation);
            false
        }
    }
}

fn every_wrong_log_is_caught(arguments: &Arguments) -> bool {
    println!("logs that are wrong on purpose");
    let mut caught_all = true;
    for faulty in Faulty::all() {
        let mut ledger = Ledger::default();
        match enumerate(arguments, faulty, arguments.faulty_states, &mut ledger) {
            Err(violation) => println!(
                "  caught after {:>6} states  {faulty}: {:?}: {} ({})",
                violation.states, violation.broken.promise, violation.broken.how, violation.trail
            ),
            Ok(()) => {
                println!("  NOT CAUGHT in {:>6} states  {faulty}", ledger.distinct_states());
                caught_all = false;
            }
        }
    }
    caught_all
}

fn report(violation: &Violation) {
    println!("BROKEN after {} states: {}", violation.states, violation.broken.promise.words());
    println!("  {}", violation.broken.how);
    println!("  replay with --replay '{}'", violation.trail);
}

/// Setups in turn, so that each kind of log is visited early.
fn setups(faulty: Faulty) -> [Setup; 4] {
    let setup = |immediate, segment_bytes, checksum, anchor_lags| Setup {
        immediate,
        segment_bytes,
        checksum,
        anchor_lags,
        faulty,
    };
    [
        setup(true, 12 << 10, Checksum::Crc32, false),
        setup(false, 16 << 10, Checksum::Crc32, true),
        setup(false, 12 << 10, Checksum::Crc32, false),
        setup(true, 16 << 10, Checksum::Crc64, true),
    ]
}

const THOROUGH: CrashModel = CrashModel { exhaustive_up_to: 64, random: 16, tearing: 4, garbage: 4 };
const QUICK: CrashModel = CrashModel { exhaustive_up_to: 12, random: 4, tearing: 1, garbage: 1 };

/// Scripts that counterexamples needed, first: what was caught once is caught early.
const DIRECTED: [&str; 8] = ["awa", "wsa", "awas", "ra", "rab", "wwa", "awsba", "rwr"];

fn enumerate(
    arguments: &Arguments,
    faulty: Faulty,
    states: u64,
    ledger: &mut Ledger,
) -> Result<(), Box<Violation>> {
    let mut checked = HashSet::new();
    let mut counter = 0;
    let directed = DIRECTED.iter().filter_map(|text| text.parse().ok()).map(|script| (script, THOROUGH));
    let short = (1..=2).flat_map(script::all).map(|script| (script, THOROUGH));
    let longer = script::all(3).map(|script| (script, QUICK));
    let random = (0..).map(|number| (random_script(arguments.seed, number), THOROUGH));
    for (script, model) in directed.chain(short).chain(longer).chain(random) {
        for (index, setup) in setups(faulty).into_iter().enumerate() {
            if ledger.distinct_states() >= states {
                return Ok(());
            }
            let mut explorer = Explorer::new(setup, arguments.seed, index, ledger);
            (explorer.checked, explorer.counter) = (checked, counter);
            let explored = explorer.script(&script, model);
            (checked, counter) = (explorer.checked, explorer.counter);
            explored?;
        }
    }
    Ok(())
}

fn random_script(seed: u64, number: u64) -> Script {
    let mut word = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut draw = |below: usize| {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(word >> 40).unwrap_or(0) % below
    };
    let length = 4 + draw(5);
    Script((0..length).map(|_| Operation::ALL[draw(Operation::ALL.len() - 1)]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(states: u64) -> Arguments {
        let faulty_states = if cfg!(zoo) { 400_000 } else { 3000 };
        Arguments { states, seed: 7, faulty_states, skip_faulty: false, replay: None }
    }

    #[test]
    fn every_promise_is_kept_in_every_state_of_a_short_enumeration() {
        let mut ledger = Ledger::default();
        let outcome = enumerate(&small(3000), Faulty::Nothing, 3000, &mut ledger);
        assert!(outcome.is_ok(), "{outcome:?}");
        assert!(ledger.distinct_states() >= 3000);
    }

    #[test]
    fn every_log_that_is_wrong_on_purpose_is_caught() {
        assert!(every_wrong_log_is_caught(&small(3000)));
    }
}
