//! Power cuts under several real threads, and the log's own beside them.
//!
//! Writers append, submit, wait, flush and sync on the simulated disk; at some disk operation the power is
//! cut. What every caller was told up to then is collected, and a sample of what the cut may leave is
//! opened and held against it, as in the enumeration. In every other run both ends of the log are dropped
//! meanwhile, segments are ended by hand, and files used again, beside a reader and a follower. The seed decides what the writers do and where
//! the cut is, not the schedule: so a failure prints everything that is known of its run.

mod calls;
mod life;
mod long_life;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use wal::sim::{CrashModel, Random, SimDisk};

use crate::oracle::check_image::{check_image, panic_message, read_log};
use crate::oracle::expected_log::{Crash, ExpectedLog, Oracle};
use crate::oracle::promise::{Broken, Promise};
use crate::setup::cores::on_all_cores;
use crate::setup::faulty::Faulty;
use crate::setup::policy::Policy;
use crate::setup::{Setup, setups};
use crate::threads::calls::Calls;
use crate::threads::life::{Life, live};
use crate::threads::long_life::{HistoryAtCut, LIVES, LongLife, Seen, live_long};

/// How much to try.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// How many distinct states to visit, a fifth of them under each policy.
    #[arg(long, default_value_t = 20_000)]
    states: u64,
    /// What the writers do, where the power is cut and what it leaves follow from it; the schedule does not.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Tries; true when every promise was kept.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let begun = Instant::now();
    match every_policy(arguments, Faulty::Nothing) {
        Ok(by_policy) => {
            print(&by_policy);
            println!("{:.1} s", begun.elapsed().as_secs_f64());
            true
        }
        Err(finding) => {
            println!("{finding}");
            false
        }
    }
}

/// What was tried under one policy.
#[derive(Debug, Default)]
struct Totals {
    runs: u64,
    /// Those in which the power was cut while the writers ran, not after them.
    cut_short: u64,
    /// Hashes of images.
    states: HashSet<u64>,
    /// Entries that a caller was told are durable, of all runs.
    acknowledged: u64,
    /// The same, once for each image that they were looked for in.
    compared: u64,
    /// Lives in which both ends are dropped beside readers; counted in `runs`, too.
    long: u64,
    seen: Seen,
}

/// A broken promise, with all that is known about how it came to be.
#[derive(Debug)]
struct Finding {
    broken: Broken,
    policy: Policy,
    seed: u64,
    run: u64,
    cut_at: Option<u64>,
    calls: Option<Calls>,
    /// What the disk did, and the image.
    disk: Option<SimDisk>,
    image: Option<SimDisk>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { broken, policy, seed, run, cut_at, calls, disk, image } = self;
        writeln!(f, "BROKEN under {}: {}", policy.name(), broken.promise.words())?;
        writeln!(f, "  {}", broken.how)?;
        writeln!(f, "  seed {seed}, run {run}, power cut {cut_at:?} operations after the open")?;
        writeln!(f, "  threads do not repeat, so this is what is known of this run")?;
        for line in disk.iter().flat_map(SimDisk::log) {
            writeln!(f, "    {line}")?;
        }
        for call in calls.iter().flat_map(|calls| &calls.made) {
            let bytes: Vec<usize> = call.group.iter().map(Vec::len).collect();
            writeln!(f, "    at {:?}, {:?}: bytes {bytes:?}", call.first, call.promised)?;
        }
        if let Some(calls) = calls {
            writeln!(f, "    the durable watermark was seen at {}", calls.durable)?;
        }
        image.iter().try_for_each(|image| writeln!(f, "    {}", image.origin()))
    }
}

type TotalsByPolicy = BTreeMap<Policy, Totals>;

/// Each policy by itself, with a fifth of the states.
fn every_policy(arguments: &Arguments, faulty: Faulty) -> Result<TotalsByPolicy, Box<Finding>> {
    let states = arguments.states.div_ceil(Policy::ALL.len() as u64);
    let outcomes = on_all_cores(Policy::ALL.to_vec(), |policy| {
        one_policy(policy, faulty, states, arguments.seed).map(|totals| (policy, totals))
    });
    outcomes.into_iter().collect()
}

const MODEL: CrashModel = CrashModel { exhaustive_up_to: 32, random: 16, tearing: 6, garbage: 6 };

fn one_policy(policy: Policy, faulty: Faulty, states: u64, seed: u64) -> Result<Totals, Box<Finding>> {
    let setups: Vec<Setup> =
        setups(faulty).into_iter().filter(|setup| setup.policy == policy && setup.first == 0).collect();
    let mut random = Random::new(seed);
    let mut totals = Totals::default();
    // How long a run is that nothing cuts short; the first one tells.
    let mut longest = 0;
    for run in 0.. {
        let setup = setups[random.below(setups.len())];
        if run % 2 == 1 {
            // In any of its lives, and sometimes after them.
            let cut_at = random.below(LIVES * longest.max(1)) as u64;
            let lived = long_run(&mut totals, setup, seed.wrapping_add(run), cut_at);
            lived.map_err(|(broken, disk, image)| {
                let cut_at = Some(cut_at);
                Box::new(Finding { broken, policy, seed, run, cut_at, calls: None, disk, image })
            })?;
            if totals.states.len() as u64 >= states {
                break;
            }
            continue;
        }
        let cut_at = (longest > 0).then(|| random.below(longest) as u64);
        let finding = |broken, calls, disk, image| {
            Box::new(Finding { broken, policy, seed, run, cut_at, calls, disk, image })
        };
        let lived = live(setup, seed.wrapping_add(run), cut_at);
        let Life { disk, calls, operations, cut_short } =
            lived.map_err(|broken| finding(broken, None, None, None))?;
        longest = longest.max(usize::try_from(operations).unwrap_or(usize::MAX));
        totals.runs += 1;
        totals.cut_short += u64::from(cut_short);
        let expected = match after_a_kill(&setup, &disk, &calls) {
            Ok(expected) => expected,
            Err(broken) => return Err(finding(broken, Some(calls), Some(disk), None)),
        };
        totals.acknowledged += expected.durable_entries();
        for image in disk.crash_images(MODEL, seed ^ run) {
            if !totals.states.insert(image.hash()) {
                continue;
            }
            totals.compared += expected.durable_entries();
            let counter = totals.states.len() as u64;
            if let Err(broken) = guarded(|| check_image(&setup, &image, &expected, counter)) {
                return Err(finding(broken, Some(calls), Some(disk), Some(image)));
            }
        }
        if totals.states.len() as u64 >= states {
            break;
        }
    }
    Ok(totals)
}

type Failed = (Broken, Option<SimDisk>, Option<SimDisk>);

/// Lives in which the log is dropped at both ends.
fn long_run(totals: &mut Totals, setup: Setup, seed: u64, cut_at: u64) -> Result<(), Failed> {
    let lived = live_long(setup, seed, Some(cut_at));
    let LongLife { disk, history, cut_short, seen } = lived.map_err(|broken| (broken, None, None))?;
    totals.runs += 1;
    totals.long += 1;
    totals.cut_short += u64::from(cut_short);
    totals.seen.add(seen);
    let at_cut = HistoryAtCut { history: &history, at: history.now() };
    let killed = guarded(|| {
        let opened = setup.open(&disk.kill()).and_then(|wal| read_log(&wal));
        let alarm = |error| Broken::new(Promise::CrashNeverCorrupts, format!("after a kill: {error}"));
        at_cut.check(&opened.map_err(alarm)?, Crash::Kill)
    });
    killed.map_err(|broken| (broken, Some(disk.clone()), None))?;
    for image in disk.crash_images(MODEL, seed) {
        if totals.states.insert(image.hash()) {
            let counter = totals.states.len() as u64;
            guarded(|| check_image(&setup, &image, &at_cut, counter))
                .map_err(|broken| (broken, Some(disk.clone()), Some(image)))?;
        }
    }
    Ok(())
}

/// What the machine shows if only the process dies at the cut.
fn after_a_kill(setup: &Setup, disk: &SimDisk, calls: &Calls) -> Result<ExpectedLog, Broken> {
    let log = guarded(|| {
        let opened = setup.open(&disk.kill()).and_then(|wal| read_log(&wal));
        opened.map_err(|error| Broken::new(Promise::CrashNeverCorrupts, format!("after a kill: {error}")))
    })?;
    calls.explain(&log.payloads)
}

fn guarded<T>(act: impl FnOnce() -> Result<T, Broken>) -> Result<T, Broken> {
    catch_unwind(AssertUnwindSafe(act))
        .unwrap_or_else(|panic| Err(Broken::new(Promise::NoPanic, panic_message(panic.as_ref()))))
}

fn print(by_policy: &TotalsByPolicy) {
    println!("power cuts under several threads, none of which broke a promise");
    let line = |what: &str, count: &dyn Fn(Policy) -> String| {
        let counts: String = Policy::ALL.into_iter().map(|policy| format!("{:>10}", count(policy))).collect();
        println!("  {counts}  {what}");
    };
    let count =
        |policy: Policy, of: &dyn Fn(&Totals) -> u64| by_policy.get(&policy).map_or(0, of).to_string();
    line("", &|policy| policy.name().to_owned());
    line("runs", &|policy| count(policy, &|totals| totals.runs));
    line("of them cut under the writers", &|policy| count(policy, &|totals| totals.cut_short));
    line("distinct states (by the hash of the image)", &|policy| {
        count(policy, &|totals| totals.states.len() as u64)
    });
    line("runs that drop both ends, beside readers", &|policy| count(policy, &|totals| totals.long));
    line("  truncations that were over", &|policy| count(policy, &|totals| totals.seen.truncations));
    line("  lives that ended before the cut", &|policy| count(policy, &|totals| totals.seen.lives));
    line("  segments made of used files", &|policy| count(policy, &|totals| totals.seen.recycled));
    line("  entries handed to readers and followers", &|policy| count(policy, &|totals| totals.seen.read));
    line("entries acknowledged as durable", &|policy| count(policy, &|totals| totals.acknowledged));
    line("the same, looked for in every state", &|policy| count(policy, &|totals| totals.compared));
    let all: u64 = by_policy.values().map(|totals| totals.states.len() as u64).sum();
    println!("  {all:>10}  states of all policies");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(faulty: Faulty, states: u64) -> Result<TotalsByPolicy, Box<Finding>> {
        every_policy(&Arguments { states, seed: 5 }, faulty)
    }

    #[test]
    fn several_threads_lose_nothing_that_was_acknowledged_when_the_power_is_cut_under_them() {
        let by_policy = tried(Faulty::Nothing, 2500).unwrap_or_else(|finding| panic!("{finding}"));
        for policy in Policy::ALL {
            let totals = &by_policy[&policy];
            assert!(totals.states.len() >= 500 && totals.cut_short * 4 > totals.runs, "{policy:?}");
            assert!(totals.acknowledged > 0 && totals.compared > totals.acknowledged, "{policy:?}");
            let Seen { truncations, read, recycled, lives } = totals.seen;
            assert!(totals.long > 0 && truncations > 0 && read > 0 && recycled > 0, "{policy:?}: {totals:?}");
            assert!(lives > 0, "{policy:?}: the log is opened again");
        }
    }

    /// A log that promises too early has to be caught, or the run above shows nothing.
    #[test]
    fn a_log_that_acknowledges_without_a_sync_is_caught() {
        for policy in [Policy::Immediate, Policy::Grouped] {
            let finding =
                one_policy(policy, Faulty::AcknowledgesBeforeSync, 4000, 5).expect_err("it is wrong");
            assert_eq!(finding.broken.promise, Promise::AcknowledgedIsThere, "{finding}");
        }
    }

    #[test]
    fn a_disk_that_does_not_sync_or_syncs_too_late_is_caught_under_every_policy() {
        for faulty in [Faulty::NeverSyncsFiles, Faulty::NeverSyncsDirectory, Faulty::SyncsOneCallLate] {
            for policy in Policy::ALL {
                let tried = one_policy(policy, faulty, 4000, 5);
                assert!(tried.is_err(), "{faulty} under {policy:?}: {tried:?}");
            }
        }
    }
}
