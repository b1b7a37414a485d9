//! `tracing` events: rare ones, which an operator looks for after an incident. Their names and fields are stable, and
//! listed in `docs/tracing.md`.
//!
//! A subscriber is foreign code, so it runs where callbacks run: events are queued under turns and locks, and emitted in
//! order under none.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::{debug, error, info, warn};
use wal_segment::Ending;

use crate::report::event::{Event, Trace};

/// Whether to queue the event for subscribers. The macros below compare levels; only for the one event of appends that go well
/// it is done here, too, so that a log whose subscriber does not ask for it allocates nothing in a rollover.
pub(crate) fn is_wanted(event: &Event) -> bool {
    let is_routine = matches!(event, Event::Rollover(rollover) if !rollover.cut);
    LevelFilter::current() >= if is_routine { LevelFilter::DEBUG } else { LevelFilter::ERROR }
}

/// Emits the event to the subscriber, and catches its panics.
pub(crate) fn emit(log: &str, event: &Event) {
    catch_unwind(AssertUnwindSafe(|| tell(log, event))).ok();
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

fn tell(log: &str, event: &Event) {
    match event {
        Event::Rollover(rollover) => {
            let (from, to, first) = (rollover.from, rollover.to, rollover.first);
            if rollover.cut {
                warn!(target: "wal", log, from, to, first, "cut: the log goes on in another segment");
            } else {
                debug!(target: "wal", log, from, to, first, "rolled over");
            }
        }
        Event::SlowSync(sync) => {
            let (first, end, failed) = (sync.sequences.start, sync.sequences.end, sync.failed);
            warn!(target: "wal", log, first, end, failed, took_us = micros(sync.took), "slow sync");
        }
        Event::Trace(trace) => tell_trace(log, trace),
    }
}

fn tell_trace(log: &str, trace: &Trace) {
    match trace {
        Trace::Opened { recovery, took } => {
            let (first, next, segments) = (recovery.first, recovery.next, recovery.segments);
            let took_us = micros(*took);
            if let Ending::Torn { segment, offset, bytes } = recovery.ending {
                let segment = segment.value();
                warn!(
                    target: "wal",
                    log, first, next, segments, took_us, segment, offset, dropped_bytes = bytes,
                    "opened: a torn tail was dropped"
                );
            } else {
                info!(target: "wal", log, first, next, segments, took_us, recovery = %recovery, "opened");
            }
        }
        Trace::WriteFailed { first, error } => warn!(target: "wal", log, first, %error, "write failed"),
        Trace::SyncFailed { error } => error!(target: "wal", log, %error, "sync failed: the log is poisoned"),
        Trace::DirectoryNotLocked {} => {
            warn!(target: "wal", log, "the directory cannot be locked: LOCK alone keeps another writer out");
        }
        Trace::MappingRefused { error } => {
            warn!(target: "wal", log, %error, "mapping refused: segments are read by position");
        }
        Trace::Displaced {} => {
            warn!(target: "wal", log, "the path leads elsewhere: the log goes on in the directory that it opened");
        }
        Trace::Exchanged { error } => {
            error!(target: "wal", log, %error, "a file was exchanged: the log is poisoned");
        }
        Trace::TruncatedBefore { first, failed: None } => {
            info!(target: "wal", log, first, "truncated the front");
        }
        Trace::TruncatedBefore { first, failed: Some(error) } => {
            warn!(target: "wal", log, first, %error, "truncation of the front failed");
        }
        Trace::TruncatedAfter { last, failed: None } => info!(target: "wal", log, last, "truncated the end"),
        Trace::TruncatedAfter { last, failed: Some(error) } => {
            warn!(target: "wal", log, last, %error, "truncation of the end failed");
        }
        Trace::SpareFailed { error } => warn!(target: "wal", log, %error, "next segment not prepared"),
        Trace::AnchorFailed { error } => warn!(target: "wal", log, %error, "anchor not written"),
        Trace::Closed { written, durable, failed: None } => {
            info!(target: "wal", log, written, durable, "closed");
        }
        Trace::Closed { written, durable, failed: Some(error) } => {
            warn!(target: "wal", log, written, durable, %error, "close failed");
        }
    }
}
