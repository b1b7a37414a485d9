//! Variants of the log in a closed loop: what zeroing ahead and using files again are worth.
//!
//! A log is led into its second segment first, because the first is never zeroed ahead. The variants about recycling have
//! segments of 1 MiB, and in two of them a thread drops every segment as soon as the log has left it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use wal::{Options, Wal};

use super::Rounds;
use super::budget::Budget;
use super::curves::{Curves, Point};
use super::log::{self, Log, lead};
use crate::comparison::in_turn;
use crate::engines::because;
use crate::place::Place;
use crate::run::closed_loop;

struct Variant {
    name: &'static str,
    options: fn() -> Options,
    truncates: bool,
}

const VARIANTS: [Variant; 5] = [
    Variant { name: "zeroed-ahead", options: Options::new, truncates: false },
    Variant { name: "not-zeroed", options: || Options::new().zero_ahead(false), truncates: false },
    Variant { name: "kept", options: small_segments, truncates: false },
    Variant { name: "recycled", options: small_segments, truncates: true },
    Variant { name: "removed", options: || small_segments().recycle(false), truncates: true },
];

fn small_segments() -> Options {
    Options::new().segment_bytes(1 << 20)
}

pub(super) fn steps(budget: &Budget, rounds: u32) -> u32 {
    super::count(budget.variant_threads.len() * VARIANTS.len()) * rounds
}

pub(super) fn run(budget: &Budget, rounds: Rounds, place: &Place, curves: &mut Curves) -> Result<(), String> {
    for round in rounds.all() {
        for &threads in budget.variant_threads {
            for variant in in_turn(&VARIANTS.each_ref(), round) {
                curves.begin(&format!("variants: {}, {threads} threads", variant.name));
                let measured = place.visit(|directory| measure(directory, variant, threads, budget))?;
                let (series, x) = (variant.name, threads as f64);
                let (value, unit) = (measured.per_second, "entries/s");
                curves.record(Point { curve: "variants", series, x, round, value, unit })?;
                if let Some(value) = measured.recycled_percent {
                    curves.record(Point { curve: "recycling", series, x, round, value, unit: "%" })?;
                }
            }
        }
    }
    Ok(())
}

struct Measured {
    per_second: f64,
    /// Of the segments that were begun, those made of a used file; for the variant that recycles.
    recycled_percent: Option<f64>,
}

fn measure(directory: &Path, variant: &Variant, threads: usize, budget: &Budget) -> Result<Measured, String> {
    let log = Log::open(directory, &(variant.options)())?;
    lead(&log.wal, 256 << 10, Duration::from_millis(2))?;
    let led = log.wal.written_end();
    let load = log::load(threads, 1, budget.warm_up, budget.measured);
    let over = AtomicBool::new(false);
    let figures = thread::scope(|scope| {
        let truncating = variant.truncates.then(|| scope.spawn(|| truncate(&log.wal, &over)));
        let figures = closed_loop(&log, &load);
        over.store(true, Ordering::Relaxed);
        if let Some(truncating) = truncating {
            truncating.join().map_err(|_| "the thread that truncates panicked".to_owned())??;
        }
        figures
    })?;
    let stats = log.wal.stats();
    let recycles = variant.name == "recycled";
    if !recycles && stats.recycled_segments > 0 {
        return Err(format!("{} recycled {} segments", variant.name, stats.recycled_segments));
    }
    check(&log.wal, led + figures.acknowledged.iter().sum::<u64>())?;
    let recycled_percent =
        recycles.then(|| 100.0 * stats.recycled_segments as f64 / stats.rollovers.max(1) as f64);
    Ok(Measured { per_second: figures.per_second, recycled_percent })
}

/// Drops what is before the last segment, each time that one ends.
fn truncate(wal: &Wal, over: &AtomicBool) -> Result<(), String> {
    const PAUSE: Duration = Duration::from_millis(1);
    while !over.load(Ordering::Relaxed) {
        if wal.stats().segments > 1 {
            wal.truncate_before(wal.durable_end()).map_err(because("truncate_before"))?;
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Every entry that was acknowledged has a number, and those that are kept can be read.
fn check(wal: &Wal, acknowledged: u64) -> Result<(), String> {
    if wal.written_end() != acknowledged {
        return Err(format!("{acknowledged} entries were acknowledged, and {} are there", wal.written_end()));
    }
    let kept = acknowledged - wal.first();
    let mut read = 0;
    for entry in wal.range(..).map_err(because("read"))? {
        entry.map_err(because("read"))?;
        read += 1;
    }
    if read == kept { Ok(()) } else { Err(format!("{kept} entries are kept, and {read} can be read")) }
}
