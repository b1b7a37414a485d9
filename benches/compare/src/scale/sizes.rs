//! Against the size of the log, and against the number of its segments: opening, reading, appending, truncating.
//!
//! ```text
//!  round   closed ─open, close─▶ … ─open─▶ random reads ─▶ appends ─▶ (more entries, dropped unclosed, open) … ─▶ half of it
//!          dropped ─▶ grown to its size, closed ─▶ the next round
//! ```
//!
//! All of it is warm: the log was just written or read, the entries that are read are read once before, and what memory
//! does not hold of the largest log is read from the disk at that time. Only an open of a log that was not closed reads
//! what the disk has, because recovery drops what memory has of the last segment.
//!
//! A log that was not closed is one whose last handle was dropped, which leaves the files as a kill of the process does.

use std::time::{Duration, Instant};

use wal::{Ending, Wal};

use super::Rounds;
use super::budget::Budget;
use super::curves::{Curves, Point};
use super::grown::{Grown, Size};
use super::log::{ENTRY_BYTES, check_entry};
use crate::comparison::in_turn;
use crate::engines::because;
use crate::payload::Payload;
use crate::place::Place;
use crate::run::{histogram, record};
use crate::statistics::Spread;

pub(super) fn steps(budget: &Budget, rounds: u32) -> u32 {
    super::count(budget.log_bytes.len() + budget.segments.len()) * (rounds + 1)
}

pub(super) fn run(budget: &Budget, rounds: Rounds, place: &Place, curves: &mut Curves) -> Result<(), String> {
    let bytes: Vec<Size> = budget.log_bytes.iter().map(|&bytes| Size::Bytes(bytes)).collect();
    let segments: Vec<Size> = budget.segments.iter().map(|&segments| Size::Segments(segments)).collect();
    for (curve, sizes) in [("log-size", bytes), ("segments", segments)] {
        place.visit(|directory| {
            let mut logs = Vec::with_capacity(sizes.len());
            for size in sizes {
                curves.begin(&format!("{curve}: builds {}", size.x()));
                logs.push(Grown::build(directory, size)?);
            }
            for round in rounds.all() {
                for log in in_turn(&logs.iter().collect::<Vec<_>>(), round) {
                    curves.begin(&format!("{curve}: {}", log.size.x()));
                    place.settle()?;
                    let mut took = measure(log, budget)?;
                    if round < rounds.last() {
                        log.grow()?;
                    }
                    for (series, value, unit) in took.drain(..) {
                        let x = log.size.x() as f64;
                        curves.record(Point { curve, series, x, round, value, unit })?;
                    }
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

type Series = (&'static str, f64, &'static str);

fn measure(log: &Grown, budget: &Budget) -> Result<Vec<Series>, String> {
    let open_closed = median(budget.opens, || {
        let (wal, took) = timed_open(log, &Ending::Clean)?;
        wal.close().map_err(because("close"))?;
        Ok(took)
    })?;
    let (wal, _) = timed_open(log, &Ending::Clean)?;
    if let Size::Segments(segments) = log.size
        && wal.stats().segments != segments
    {
        return Err(format!("{segments} segments were made, and there are {}", wal.stats().segments));
    }
    let half = wal.first() + (wal.written_end() - wal.first()) / 2;
    let read_us = read(&wal, budget.reads)?;
    let append_us = append(&wal, budget.appends)?;
    let mut next = wal.written_end();
    let mut wal = Some(wal);
    let open_unclosed = median(budget.opens, || {
        let open = wal.take().map_or_else(|| log.open(), Ok)?;
        log.extend(&open, budget.unclosed_bytes)?;
        next = open.written_end();
        drop(open);
        let (open, took) = timed_open(log, &Ending::Unclosed)?;
        check_end(&open, next)?;
        wal = Some(open);
        Ok(took)
    })?;
    let wal = wal.map_or_else(|| log.open(), Ok)?;
    let truncate = truncate(&wal, half)?;
    check_end(&wal, next)?;
    // A close leaves a log as it is to which nothing was appended since its open.
    append(&wal, 1)?;
    wal.close().map_err(because("close"))?;
    Ok(vec![
        ("open-closed", open_closed * 1e3, "ms"),
        ("open-unclosed", open_unclosed * 1e3, "ms"),
        ("read", read_us, "us"),
        ("append-durable", append_us, "us"),
        ("truncate-before", truncate.as_secs_f64() * 1e3, "ms"),
    ])
}

/// In seconds.
fn median(times: usize, mut measure: impl FnMut() -> Result<Duration, String>) -> Result<f64, String> {
    let took: Vec<f64> =
        (0..times).map(|_| measure().map(|took| took.as_secs_f64())).collect::<Result<_, _>>()?;
    Spread::of(took).map(|spread| spread.median).ok_or_else(|| "nothing was measured".to_owned())
}

fn timed_open(log: &Grown, ending: &Ending) -> Result<(Wal, Duration), String> {
    let began = Instant::now();
    let wal = log.open()?;
    let took = began.elapsed();
    let found = &wal.recovery().ending;
    if found == ending {
        Ok((wal, took))
    } else {
        Err(format!("a log that is {ending:?} was opened as {found:?}"))
    }
}

/// The end is where it was, and its last entry is there.
fn check_end(wal: &Wal, next: u64) -> Result<(), String> {
    if wal.written_end() != next {
        return Err(format!("the log ended before {next}, and now ends before {}", wal.written_end()));
    }
    check_entry(next - 1, wal.read(next - 1).map_err(because("read the last entry"))?.payload())
}

/// The median of reads all over the log, each of an entry that was read once before; in microseconds.
fn read(wal: &Wal, reads: u64) -> Result<f64, String> {
    let (first, entries) = (wal.first(), wal.written_end() - wal.first());
    let mut took_ns = histogram();
    for _ in 0..2 {
        took_ns.reset();
        for read in 0..reads {
            // Steps of the golden ratio reach all parts of the log, in no order that a read-ahead could guess.
            let sequence = first + read.wrapping_mul(0x9e37_79b9_7f4a_7c15) % entries;
            let began = Instant::now();
            let entry = wal.read(sequence).map_err(because("read"))?;
            record(&mut took_ns, began.elapsed());
            check_entry(sequence, entry.payload())?;
        }
    }
    Ok(took_ns.value_at_quantile(0.5) as f64 / 1e3)
}

/// The median of durable appends, one after the other; in microseconds.
fn append(wal: &Wal, appends: u64) -> Result<f64, String> {
    let first = wal.written_end();
    let mut payload = Payload::new(0, ENTRY_BYTES, 1).from(first);
    let mut took_ns = histogram();
    for sequence in first..first + appends {
        let entry = payload.next();
        let began = Instant::now();
        let given = wal.append(entry).map_err(because("append"))?;
        record(&mut took_ns, began.elapsed());
        if given != sequence || wal.durable_end() <= sequence {
            return Err(format!(
                "entry {sequence} got {given}; durable is what is before {}",
                wal.durable_end()
            ));
        }
        check_entry(sequence, wal.read(sequence).map_err(because("read"))?.payload())?;
    }
    Ok(took_ns.value_at_quantile(0.5) as f64 / 1e3)
}

fn truncate(wal: &Wal, first: u64) -> Result<Duration, String> {
    let began = Instant::now();
    let begins = wal.truncate_before(first).map_err(because("truncate_before"))?;
    let took = began.elapsed();
    if begins != first || wal.first() != first || wal.read(first - 1).is_ok() {
        return Err(format!("the log was to begin at {first}, and begins at {}", wal.first()));
    }
    check_entry(first, wal.read(first).map_err(because("read the first entry"))?.payload())?;
    Ok(took)
}
