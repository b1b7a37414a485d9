//! A log under measurement: its directory, and the entries that are appended to it.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use wal::{Options, Wal};

use crate::engine::Engine;
use crate::engines::because;
use crate::engines::wal::{LOG, read};
use crate::payload::{Payload, Stamp};
use crate::run::Load;
use crate::tally::Tally;

/// What is appended where appends are timed.
pub(super) const ENTRY_BYTES: usize = 256;

/// The least that `Options::segment_bytes` takes. 4 KiB of it are frames, the rest are two copies of the header.
pub(super) const LEAST_SEGMENT_BYTES: u64 = 12 << 10;

/// An open log that threads append to in a closed loop.
pub(super) struct Log {
    pub(super) wal: Wal,
    directory: PathBuf,
}

impl Log {
    pub(super) fn open(directory: &Path, options: &Options) -> Result<Log, String> {
        let wal = options.open(directory.join(LOG)).map_err(because("open"))?;
        Ok(Log { wal, directory: directory.to_owned() })
    }
}

impl Engine for Log {
    fn append(&self, payload: &[u8]) -> Result<(), String> {
        self.wal.append(payload).map(drop).map_err(because("append"))
    }

    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String> {
        self.wal.close().map_err(because("close"))?;
        read(&self.directory, tally).map(drop)
    }
}

/// A closed loop of single entries.
pub(super) fn load(threads: usize, calls_a_look: u64, warm_up: Duration, measured: Duration) -> Load {
    Load { threads, entry_bytes: ENTRY_BYTES, batch: 1, calls_a_look, warm_up, measured }
}

/// Leads a new log past its first segment, which is never zeroed ahead, until one with room for so many bytes has just
/// begun. Pauses between batches let the threads of the log prepare it.
///
/// # Errors
/// That the segments of this log are shorter than that.
pub(super) fn lead(wal: &Wal, room_bytes: u64, pause: Duration) -> Result<(), String> {
    const BATCH: usize = 256;
    /// Segments have their full length long before.
    const MOST_ROLLOVERS: u64 = 16;
    let mut payload = Payload::new(0, ENTRY_BYTES, BATCH).from(wal.written_end());
    let (mut rollovers, mut held) = (0, 0);
    loop {
        wal.append_batch(payload.next().chunks(ENTRY_BYTES).collect::<Vec<_>>()).map_err(because("lead"))?;
        held += (BATCH * ENTRY_BYTES) as u64;
        let rollovers_now = wal.stats().rollovers;
        if rollovers_now > rollovers {
            // A segment is at least as long as the one before it.
            if held >= room_bytes {
                return Ok(());
            }
            if rollovers_now > MOST_ROLLOVERS {
                return Err(format!(
                    "lead: a segment held {held} bytes, and was to have room for {room_bytes}"
                ));
            }
            (rollovers, held) = (rollovers_now, 0);
        }
        sleep(pause);
    }
}

/// Reads a log from its start to its end: the entries of one writer, numbered as the log numbers them.
pub(super) fn check_entries(wal: &Wal) -> Result<(), String> {
    let mut sequence = wal.first();
    for entry in wal.range(..).map_err(because("read"))? {
        check_entry(sequence, entry.map_err(because("read"))?.payload())?;
        sequence += 1;
    }
    if sequence == wal.written_end() {
        Ok(())
    } else {
        Err(format!("the log ends before {}, and its entries before {sequence}", wal.written_end()))
    }
}

/// An entry of the one writer of a log has the number that the log gave it.
pub(super) fn check_entry(sequence: u64, payload: &[u8]) -> Result<(), String> {
    let expected = Some(Stamp { writer: 0, number: sequence });
    let found = Stamp::read(payload);
    if found == expected { Ok(()) } else { Err(format!("entry {sequence} holds {found:?}")) }
}
