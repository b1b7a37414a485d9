//! Crash enumeration on the simulated disk.
//!
//! It runs scripts of operations on tiny segments and cuts the power at every disk operation. It opens every image that
//! the cut may leave and checks it against the oracle, cuts the recovery of some of them again, and damages every frame
//! at the end. Then it does the same with logs that are wrong on purpose: each must be caught.

mod coverage;
mod damage;
mod explore;
mod life;
mod reproducer;
mod script;

use std::time::Instant;

use wal::sim::{CrashModel, Random};

use crate::crash::coverage::Coverage;
use crate::crash::explore::{Checked, Explorer, Violation};
use crate::crash::reproducer::Reproducer;
use crate::crash::script::{Operation, Script};
use crate::setup::cores::on_all_cores;
use crate::setup::faulty::Faulty;
use crate::setup::policy::Policy;
use crate::setup::{Setup, setups};

/// What to enumerate.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// How many distinct states to visit, a fifth of them under each policy.
    #[arg(long, default_value_t = 100_000)]
    states: u64,
    /// How many of them under each policy [default: a fifth].
    #[arg(long)]
    states_per_policy: Option<u64>,
    /// Where random scripts and samples begin.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many images each log that is wrong on purpose gets before it counts as not caught.
    #[arg(long, default_value_t = 400_000)]
    faulty_states: u64,
    /// Only the log as it is.
    #[arg(long)]
    skip_faulty: bool,
    /// Of the logs that are wrong on purpose only those whose name has this in it.
    #[arg(long)]
    wrong_log: Option<String>,
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
    match every_policy(arguments) {
        Ok(coverage) => coverage.print(),
        Err(violation) => {
            report(&violation);
            return false;
        }
    }
    println!("{:.1} s", begun.elapsed().as_secs_f64());
    arguments.skip_faulty || every_wrong_log_is_caught(arguments)
}

/// Runs each setup by itself. The setups of one policy share no image, because the settings of a segment are written in
/// it.
fn every_policy(arguments: &Arguments) -> Result<Coverage, Box<Violation>> {
    let policies = Policy::ALL.len() as u64;
    let states = arguments.states_per_policy.unwrap_or(arguments.states.div_ceil(policies));
    let all: Vec<_> = setups(Faulty::Nothing).into_iter().enumerate().collect();
    let outcomes = on_all_cores(all.clone(), |(index, setup)| {
        let sharers = all.iter().filter(|(_, other)| other.policy == setup.policy).count() as u64;
        let mut coverage = Coverage::default();
        enumerate(arguments, &[(index, setup)], states.div_ceil(sharers), &mut coverage).map(|()| coverage)
    });
    let mut all = Coverage::default();
    for outcome in outcomes {
        all.add(outcome?);
    }
    Ok(all)
}

fn replay(tuple: &str) -> bool {
    let reproducer: Reproducer = match tuple.parse() {
        Ok(reproducer) => reproducer,
        Err(error) => {
            eprintln!("not a tuple of this enumeration: {error}");
            return false;
        }
    };
    let Some(&setup) = setups(Faulty::Nothing).get(reproducer.setup) else {
        eprintln!("there is no setup {}", reproducer.setup);
        return false;
    };
    let mut coverage = Coverage::default();
    let mut explorer = Explorer::new(setup, reproducer.seed, reproducer.setup, &mut coverage);
    match explorer.replay(&reproducer) {
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
    // Each is told as soon as it is known: together they take minutes.
    let wanted = arguments.wrong_log.as_deref().unwrap_or_default();
    let all = Faulty::all().into_iter().filter(|faulty| faulty.to_string().contains(wanted)).collect();
    let caught = on_all_cores(all, |faulty| {
        let mut coverage = Coverage::default();
        let setups: Vec<_> = setups(faulty).into_iter().enumerate().collect();
        // It is wrong under every policy, so it counts what it sees under all of them.
        let per_policy = arguments.faulty_states.div_ceil(Policy::ALL.len() as u64);
        let caught = enumerate(arguments, &setups, per_policy, &mut coverage);
        match &caught {
            Err(violation) => println!(
                "  caught after {:>6} states  {faulty}: {:?}: {} ({})",
                violation.states, violation.broken.promise, violation.broken.how, violation.reproducer
            ),
            Ok(()) => println!("  NOT CAUGHT in {:>6} states  {faulty}", coverage.all_states()),
        }
        caught.is_err()
    });
    println!("  {} of {} caught", caught.iter().filter(|caught| **caught).count(), caught.len());
    !caught.is_empty() && caught.into_iter().all(|caught| caught)
}

fn report(violation: &Violation) {
    println!("BROKEN after {} states: {}", violation.states, violation.broken.promise.words());
    println!("  {}", violation.broken.how);
    println!("  replay with --replay '{}'", violation.reproducer);
}

const THOROUGH: CrashModel = CrashModel { exhaustive_up_to: 64, random: 16, tearing: 4, garbage: 4 };
const QUICK: CrashModel = CrashModel { exhaustive_up_to: 12, random: 4, tearing: 1, garbage: 1 };

/// Names that are exchanged. Logs that are wrong on purpose begin with them: one that does not look is caught at once.
const EXCHANGES: [&str; 3] = ["ayk", "aq", "az"];

/// Scripts that counterexamples needed, first: what was caught once is caught early. Then several writers
/// in one group that is written, synced, failed, dropped and forgotten. Then files that become segments again, and
/// exchanges among them.
const DIRECTED: [&str; 84] = [
    "aca", "acas", "acaca", "acacas", "aka", "akaka", "acaka", "acwa", "acfa", "acta", "acha", "acea",
    "acra", "dcdcd", "acaeca", "maca", "awa", "wsa", "awas", "ra", "rab", "wwa", "awsba", "rwr", "cwawb",
    "mva", "mw", "mwmv", "mf", "amfa", "mk", "mx", "mc", "mlk", "mdk", "mrmv", "mwda", "llmla", "mmmmmd",
    "abmsx", "aata", "bta", "rrta", "rrrtas", "mta", "tmv", "aatat", "rrtra", "aah", "rrh", "rrrha", "mhv",
    "rrhta", "aaua", "rruas", "rrtk", "wau", "bua", "aauaau", "bubu", "mtmtv", "rrhtas", "bthb", "rrukta",
    "rrrhrr", "rrrhrrhr", "rrrhrwa", "rrrhkrr", "rrrhrkrr", "rrrhfr", "rrrtrr", "rrrhgr", "rrrhcrr",
    "rrrhrmv", "krra", "wkw", "fwa", "zrra", "rrqr", "wq", "tqa", "ryrk", "rrrhyrr", "aqay",
];

fn enumerate(
    arguments: &Arguments,
    setups: &[(usize, Setup)],
    states_per_policy: u64,
    coverage: &mut Coverage,
) -> Result<(), Box<Violation>> {
    let mut checked = Checked::new();
    let mut counter = 0;
    let parsed = |text: &str| text.parse().ok();
    let thorough = |text: &&str| Some((parsed(text)?, THOROUGH));
    let is_wrong = setups.iter().any(|(_, setup)| setup.faulty != Faulty::Nothing);
    let exchanges = EXCHANGES.iter().filter(|_| is_wrong).filter_map(thorough);
    let directed = EXCHANGES.iter().chain(&DIRECTED).filter_map(thorough);
    let short = (1..=2).flat_map(|length| script::all(&Operation::SCRIPTED, length));
    let short = short.map(|script| (script, THOROUGH));
    let longer = script::all(&Operation::CORE, 3).map(|script| (script, QUICK));
    let random = (0..).map(|number| (random_script(arguments.seed, number), THOROUGH));
    let all = exchanges.chain(directed).chain(short).chain(longer).chain(random).enumerate();
    let all = all.flat_map(|(place, one)| {
        let number = place as u64;
        let long = number.is_multiple_of(LONG_LIVES) && place >= 2 * EXCHANGES.len() + DIRECTED.len();
        let long = long.then(|| (long_script(arguments.seed, number), QUICK));
        std::iter::once(one).chain(long)
    });
    for (script, model) in all {
        let mut all_done = true;
        for &(index, setup) in setups {
            if coverage.states(setup.policy) >= states_per_policy {
                continue;
            }
            all_done = false;
            let mut explorer = Explorer::new(setup, arguments.seed, index, coverage);
            (explorer.checked, explorer.counter) = (checked, counter);
            let explored = explorer.script(&script, model);
            (checked, counter) = (explorer.checked, explorer.counter);
            explored?;
        }
        if all_done {
            return Ok(());
        }
    }
    Ok(())
}

/// After so many scripts a long life is tried, so that even a small budget has a few.
const LONG_LIVES: u64 = 32;

/// A log that lives long: segment after segment is filled, dropped and found again. For what a file that is
/// used again, or made of others, may still hold.
fn long_script(seed: u64, number: u64) -> Script {
    let mut random = Random::of(seed, number);
    let length = 12 + random.below(9);
    Script((0..length).map(|_| Operation::LONG_LIVED[random.below(Operation::LONG_LIVED.len())]).collect())
}

fn random_script(seed: u64, number: u64) -> Script {
    let mut random = Random::of(seed, number);
    let length = 4 + random.below(5);
    Script((0..length).map(|_| Operation::SCRIPTED[random.below(Operation::SCRIPTED.len())]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::coverage::Reopening;

    fn small(states: u64) -> Arguments {
        let faulty_states = if cfg!(zoo) { 400_000 } else { 3000 };
        Arguments {
            states,
            states_per_policy: None,
            seed: 7,
            faulty_states,
            skip_faulty: false,
            wrong_log: None,
            replay: None,
        }
    }

    #[test]
    fn every_promise_is_kept_in_every_state_of_a_short_enumeration() {
        let outcome = every_policy(&small(5000));
        assert!(outcome.as_ref().is_ok_and(|coverage| coverage.all_states() >= 5000), "{outcome:?}");
        let reopened = |seen| outcome.as_ref().map_or(0, |coverage| coverage.reopened(seen));
        assert!(
            Reopening::ALL.into_iter().all(|seen| reopened(seen) > 0),
            "power cuts in every step of going on"
        );
    }

    #[test]
    fn a_long_life_rolls_over_truncates_and_opens_again() {
        let all: Vec<Script> = (0..20).map(|number| long_script(1, number)).collect();
        for operation in [Operation::Roll, Operation::TruncateBefore, Operation::Close, Operation::Kill] {
            let with = all.iter().filter(|script| script.0.contains(&operation)).count();
            assert!(with > 10, "{} in {with} of 20 scripts", operation.name());
        }
        assert!(all.iter().all(|script| (12..=20).contains(&script.0.len())));
    }

    #[test]
    fn every_log_that_is_wrong_on_purpose_is_caught() {
        assert!(every_wrong_log_is_caught(&small(3000)));
    }
}
