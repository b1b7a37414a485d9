//! The pipeline: one thread that submits entries and awaits their commits later.
//!
//! ```text
//!  submit ─▶ ┌──┬──┬──┬─ ─ ─┬──┐ ─▶ wait for the oldest, when the queue is full
//!            └──┴──┴──┴─ ─ ─┴──┘
//!             at most so many entries that are not known to be durable
//! ```
//!
//! The clock runs from the first submit until the last commit was awaited, so every entry that counts is durable.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::engines::wal::{LOG, grouped, read};
use crate::payload::Payload;
use crate::tally::Tally;

/// One run of the pipeline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piped {
    /// Durable entries a second.
    pub(crate) per_second: f64,
    pub(crate) entries: u64,
    pub(crate) seconds: f64,
}

/// What one thread may have in flight.
pub(crate) const MOST_OUTSTANDING: usize = 16_384;

/// A pipeline is not measured for less than this: shorter ones would show how fast memory is.
pub(crate) const LEAST_DURATION: Duration = Duration::from_secs(3);
/// The same in payload.
pub(crate) const LEAST_BYTES: u64 = 2 << 30;

/// Appends to a new log in `directory` until both the time and the bytes are reached, and then checks that every entry
/// is there.
///
/// # Errors
/// What failed; that an entry was not there.
pub(crate) fn run(directory: &Path, entry_bytes: usize, least: Duration) -> Result<Piped, String> {
    /// A look at the clock costs as much as a good part of a submit.
    const ENTRIES_A_LOOK: u64 = 1024;

    let wal = wal::Options::new()
        .sync(grouped())
        .open(directory.join(LOG))
        .map_err(|error| format!("open: {error}"))?;
    let mut payload = Payload::new(0, entry_bytes, 1);
    let mut outstanding: VecDeque<wal::Commit> = VecDeque::with_capacity(MOST_OUTSTANDING);
    let (mut submitted, mut durable) = (0, 0);
    let least = least.max(LEAST_DURATION);
    let least_entries = LEAST_BYTES.div_ceil(entry_bytes as u64);

    let began = Instant::now();
    while submitted < least_entries || !submitted.is_multiple_of(ENTRIES_A_LOOK) || began.elapsed() < least {
        if outstanding.len() == MOST_OUTSTANDING {
            let oldest = outstanding.pop_front().expect("a full queue has a first");
            durable = wait(&oldest, durable)?;
        }
        outstanding.push_back(wal.submit(payload.next()).map_err(|error| format!("submit: {error}"))?);
        submitted += 1;
    }
    for commit in &outstanding {
        durable = wait(commit, durable)?;
    }
    let seconds = began.elapsed().as_secs_f64();

    wal.close().map_err(|error| format!("close: {error}"))?;
    let mut tally = Tally::new(1);
    read(directory, &mut tally)?;
    tally.compare(&[submitted])?;
    Ok(Piped { per_second: durable as f64 / seconds, entries: durable, seconds })
}

/// Waits for the commit that has to be entry `expected`, and returns the number of the one behind it.
fn wait(commit: &wal::Commit, expected: u64) -> Result<u64, String> {
    let sequence = commit.wait().map_err(|error| format!("wait: {error}"))?;
    if sequence == expected {
        Ok(sequence + 1)
    } else {
        Err(format!("the commit of entry {expected} says that it is {sequence}"))
    }
}
