//! The slowest appends of a log that gets its entries at a fixed rate.
//!
//! ```text
//!  due        │     │     │     │     │
//!  appended   [──]  [──]  [────────][─][──]
//!                         └─ 1.3 ──┘
//!                               └─ 0.8 ┘    timed from when it was due, not from when its turn came
//! ```
//!
//! One thread appends 256 bytes at a time and spins until the next entry is due. Durable appends come at 1,000 a second, or at
//! half of what one thread reached in a closed loop just before if that is less; appends without a sync at 100,000 a second.
//! `tail-rate` says at which. Where a scenario cannot keep up, what is shown is its backlog: the quantiles lie close
//! together, up to seconds. A quantile is left out when fewer than ten samples lie beyond it:
//! p99.9 takes 10,000 samples, p99.99 takes 100,000. `x` 100 is the slowest append of all.
//!
//! Scenarios: `alone`, in a segment that does not end meanwhile, as `follower`; `rollovers`, in segments so small that
//! about forty end; `truncation`, in such segments, while another thread drops what is durable 10 ms after it did so before.

use std::hint::spin_loop;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use wal::{Mark, Options, SyncPolicy, Wal};

use super::Rounds;
use super::budget::Budget;
use super::curves::{Curves, Point};
use super::followers::follow;
use super::log::{self, ENTRY_BYTES, LEAST_SEGMENT_BYTES, Log, check_entries, lead};
use crate::comparison::in_turn;
use crate::engines::because;
use crate::engines::wal::grouped;
use crate::payload::Payload;
use crate::place::Place;
use crate::run::{closed_loop, histogram, record};

struct Scenario {
    name: &'static str,
    rolls: bool,
    follows: bool,
    truncates: bool,
}

const SCENARIOS: [Scenario; 4] = [
    Scenario { name: "alone", rolls: false, follows: false, truncates: false },
    Scenario { name: "rollovers", rolls: true, follows: false, truncates: false },
    Scenario { name: "follower", rolls: false, follows: true, truncates: false },
    Scenario { name: "truncation", rolls: true, follows: false, truncates: true },
];

/// With its frame.
const ENTRY_BYTES_ON_DISK: u64 = 320;

/// How entries come.
struct Pace {
    curve: &'static str,
    policy: SyncPolicy,
    mark: Mark,
    step: Duration,
    samples: u64,
}

pub(super) fn steps(_: &Budget, rounds: u32) -> u32 {
    2 * super::count(SCENARIOS.len()) * rounds
}

pub(super) fn run(budget: &Budget, rounds: Rounds, place: &Place, curves: &mut Curves) -> Result<(), String> {
    for round in rounds.all() {
        for pace in [durable(budget, place)?, none(budget)] {
            let series = if pace.mark == Mark::Durable { "durable" } else { "none" };
            let value = 1.0 / pace.step.as_secs_f64();
            let (curve, unit) = ("tail-rate", "entries/s");
            curves.record(Point { curve, series, x: 1.0, round, value, unit })?;
            for scenario in in_turn(&SCENARIOS.each_ref(), round) {
                curves.begin(&format!("{}: {}", pace.curve, scenario.name));
                let took_ns = place.visit(|directory| measure(directory, scenario, &pace))?;
                let (curve, series, unit) = (pace.curve, scenario.name, "us");
                for (x, value) in quantiles(&took_ns) {
                    curves.record(Point { curve, series, x, round, value, unit })?;
                }
            }
        }
    }
    Ok(())
}

/// At most half of what one thread reaches in a closed loop.
fn durable(budget: &Budget, place: &Place) -> Result<Pace, String> {
    let load = log::load(1, 1, budget.warm_up, budget.measured);
    let most = place.visit(|directory| {
        let log = Log::open(directory, &Options::new().sync(grouped()))?;
        lead(&log.wal, room_bytes(budget.durable_samples), PAUSE)?;
        let led = log.wal.written_end();
        let figures = closed_loop(&log, &load)?;
        let expected = led + figures.acknowledged.iter().sum::<u64>();
        let durable = log.wal.durable_end();
        if durable == expected {
            Ok(figures)
        } else {
            Err(format!("{expected} entries were acknowledged, and {durable} are durable"))
        }
    })?;
    let step = Duration::from_secs_f64(2.0 / most.per_second);
    let step = step.max(Duration::from_secs(1) / budget.durable_per_second);
    let in_time = u64::try_from(budget.most_durable.as_nanos() / step.as_nanos()).unwrap_or(u64::MAX);
    let samples = budget.durable_samples.min(in_time);
    Ok(Pace { curve: "tail-durable", policy: grouped(), mark: Mark::Durable, step, samples })
}

fn none(budget: &Budget) -> Pace {
    let step = Duration::from_secs(1) / budget.none_per_second;
    let (policy, samples) = (SyncPolicy::None, budget.none_samples);
    Pace { curve: "tail-none", policy, mark: Mark::Written, step, samples }
}

/// Lets the next segment be zeroed ahead, as that of a log of durable appends is.
const PAUSE: Duration = Duration::from_millis(2);

fn room_bytes(samples: u64) -> u64 {
    samples * ENTRY_BYTES_ON_DISK * 5 / 4
}

fn measure(directory: &Path, scenario: &Scenario, pace: &Pace) -> Result<Histogram<u64>, String> {
    const ROLLOVERS: u64 = 40;
    let segment_bytes = match scenario.rolls {
        true => (pace.samples * ENTRY_BYTES_ON_DISK / ROLLOVERS).max(LEAST_SEGMENT_BYTES),
        false => 1 << 30,
    };
    let options = Options::new().sync(pace.policy).segment_bytes(segment_bytes);
    let Log { wal, .. } = Log::open(directory, &options)?;
    let pause = if pace.mark == Mark::Durable { PAUSE } else { Duration::ZERO };
    lead(&wal, if scenario.rolls { 0 } else { room_bytes(pace.samples) }, pause)?;
    let (led, rolled) = (wal.written_end(), wal.stats().rollovers);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Moved in here, so that an error drops the log, which ends the follower.
        let wal = wal;
        let following = scenario.follows.then(|| wal.follow_with(0, pace.mark)).transpose();
        let following =
            following.map_err(because("follow"))?.map(|follower| scope.spawn(|| follow(follower, 1)));
        let truncated = wal.clone();
        let truncating = scenario.truncates.then(|| scope.spawn(|| truncate(truncated, &over)));
        let took_ns = append(&wal, pace);
        over.store(true, Ordering::Relaxed);
        if let Some(truncating) = truncating {
            truncating.join().map_err(|_| "the thread that truncates panicked".to_owned())??;
        }
        let took_ns = took_ns?;
        check_rollovers(scenario, wal.stats().rollovers - rolled)?;
        if wal.written_end() != led + pace.samples || (wal.first() > 0) != scenario.truncates {
            return Err(format!("{} entries are {:?}", led + pace.samples, wal.first()..wal.written_end()));
        }
        check_entries(&wal)?;
        wal.close().map_err(because("close"))?;
        if let Some(following) = following {
            let seen = following.join().map_err(|_| "the follower panicked".to_owned())??;
            seen.compare(&[led + pace.samples])?;
        }
        Ok(took_ns)
    })
}

fn append(wal: &Wal, pace: &Pace) -> Result<Histogram<u64>, String> {
    let mut payload = Payload::new(0, ENTRY_BYTES, 1).from(wal.written_end());
    let mut took_ns = histogram();
    let mut due = Instant::now();
    for _ in 0..pace.samples {
        due += pace.step;
        let entry = payload.next();
        while Instant::now() < due {
            spin_loop();
        }
        wal.append(entry).map_err(because("append"))?;
        record(&mut took_ns, due.elapsed());
    }
    Ok(took_ns)
}

/// Takes a handle of its own, which it drops when it is over.
fn truncate(wal: Wal, over: &AtomicBool) -> Result<(), String> {
    const PAUSE: Duration = Duration::from_millis(10);
    while !over.load(Ordering::Relaxed) {
        wal.truncate_before(wal.durable_end()).map_err(because("truncate_before"))?;
        thread::sleep(PAUSE);
    }
    drop(wal);
    Ok(())
}

fn check_rollovers(scenario: &Scenario, rollovers: u64) -> Result<(), String> {
    let is_as_told = scenario.rolls == (rollovers > 0);
    if is_as_told { Ok(()) } else { Err(format!("{}: there were {rollovers} rollovers", scenario.name)) }
}

/// In percent and microseconds, those that enough samples lie beyond.
fn quantiles(took_ns: &Histogram<u64>) -> impl Iterator<Item = (f64, f64)> {
    const BEYOND: f64 = 10.0;
    let known = [50.0, 99.0, 99.9, 99.99].into_iter().filter(|percent| {
        // Half a sample more: the share beyond a quantile has no exact value.
        took_ns.len() as f64 * (100.0 - percent) / 100.0 + 0.5 >= BEYOND
    });
    let at = |percent: f64| (percent, took_ns.value_at_percentile(percent) as f64 / 1e3);
    known.map(at).chain([(100.0, took_ns.max() as f64 / 1e3)])
}
