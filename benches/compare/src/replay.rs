//! Replay: a log is written, closed, and read again and again.
//!
//! ```text
//!  write, close │ check │ open ─ read all ─ close │ open ─ read all ─ close │ ...
//!                                ╰──────╯                  ╰──────╯             the rate
//!                         ╰──╯            ╰───╯                                 told beside it
//! ```
//!
//! The log was written just before, so it is read from memory: what is measured is the log and not the disk.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::engine::{Open, Read};
use crate::payload::Payload;
use crate::run::{Beside, Figures, Load};
use crate::tally::Tally;

/// Entries and payload of a log, whichever is reached first.
pub(crate) const MOST_ENTRIES: u64 = 2_000_000;
pub(crate) const MOST_BYTES: u64 = 512 << 20;

/// Writing ends earlier for an engine that is slow at it, after so many times the time that is measured.
pub(crate) const WRITING_AT_MOST: u32 = 3;

/// Every pass has to find every entry.
///
/// # Errors
/// What failed; that an entry was not there.
pub(crate) fn run(open: Open, read: Read, load: &Load, directory: &Path) -> Result<Figures, String> {
    let written = write(open, load, directory)?;
    let (mut passes, mut reading, mut whole) = (0_u32, Duration::ZERO, Duration::ZERO);
    while passes == 0 || whole < load.measured {
        let mut tally = Tally::new(1);
        let began = Instant::now();
        reading += read(directory, &mut tally)?;
        whole += began.elapsed();
        tally.compare(&[written])?;
        passes += 1;
    }
    let per_second = (written * u64::from(passes)) as f64 / reading.as_secs_f64();
    let open_ms = (whole.saturating_sub(reading) / passes).as_secs_f64() * 1e3;
    Ok(Figures { per_second, beside: Beside::Replay { open_ms }, acknowledged: vec![written] })
}

/// Returns how many entries there are.
fn write(open: Open, load: &Load, directory: &Path) -> Result<u64, String> {
    let engine = open(directory, load)?;
    let mut payload = Payload::new(0, load.entry_bytes, load.batch);
    let most = MOST_ENTRIES.min(MOST_BYTES / load.entry_bytes as u64);
    let mut written = 0;
    let began = Instant::now();
    while written < most && began.elapsed() < load.measured * WRITING_AT_MOST {
        engine.append(payload.next())?;
        written += load.batch as u64;
    }
    let mut tally = Tally::new(1);
    engine.reopen(&mut tally)?;
    tally.compare(&[written])?;
    Ok(written)
}
