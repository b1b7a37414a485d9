//! The end of the log, as the group commit sees it: something that is written and synced.

use std::time::Duration;

use wal_segment::{Error as SegmentError, FrameBuilder};
use wal_sync::primitives::{Ordering, now, since};
use wal_sync::{Fault, Target, Wrote};

use crate::engine::tail::{FRAME_ENTRIES, Tail};
use crate::error::{Error, closed};
use crate::report::event::{Event, Rollover, SlowSync, note};

/// Of frames with a single entry, one in so many is measured: two reads of the clock cost noticeably beside a small write.
const SAMPLED_ENTRIES: u64 = 16;

impl Target for Tail {
    type Error = Error;
    type Frame = FrameBuilder;

    fn frame(&self) -> FrameBuilder {
        FrameBuilder::new(self.checksum, FRAME_ENTRIES, self.frame_bytes)
    }

    fn clear(&self, frame: &mut FrameBuilder) {
        frame.clear();
    }

    fn syncs_to_write(&self, frame: &FrameBuilder) -> bool {
        // Only a write, a rollover or a truncation changes it, and the caller has the turn to write. A sync stores the same
        // again, or 0 once the log is poisoned; then the write fails.
        frame.frame_bytes() > self.room.load(Ordering::Relaxed)
    }

    fn write(&self, frame: &mut FrameBuilder, first: u64) -> Result<Wrote, Fault<Error>> {
        self.fork_guard.check().map_err(Fault::Final)?;
        let mut guard = self.change();
        let Some(writer) = guard.as_mut() else { return Err(Fault::Final(closed())) };
        if let Some(exchanged) = self.supply.names.exchanged() {
            return Err(self.fault(writer.poison(exchanged)));
        }
        let turns_over = writer.turns_over(frame.frame_bytes());
        let had_entries = writer.open_since_unix_ns().is_some();
        let timed = turns_over || frame.entries() > 1 || first.is_multiple_of(SAMPLED_ENTRIES);
        let begun = timed.then(now);
        let mut done = writer.append(frame, self.supply.as_ref());
        if matches!(done, Err(SegmentError::CapReached(_))) && self.make_room(writer) {
            done = writer.append(frame, self.supply.as_ref());
        }
        let took = begun.map(since);
        let rolled = writer.take_rolled();
        let wrote = Wrote {
            next: writer.next().value(),
            durable: writer.durable().value(),
            sync_soon: self.options.background && writer.wants_sync(),
        };
        if done.is_ok() {
            self.counters.wrote(frame.entries(), frame.payload_bytes() as u64);
        }
        guard.has_grown = done.is_ok() && !turns_over;
        drop(guard);
        let begins = rolled.is_some() || !had_entries;
        if let Some(rolled) = rolled {
            self.rolled_over(Rollover::of(rolled), took.unwrap_or_default());
            self.recycle_obsolete();
        }
        if begins && done.is_ok() {
            self.retention.begun();
        }
        match done {
            Ok(number) => {
                took.into_iter().for_each(|took| self.counters.write_took(took));
                debug_assert_eq!(number.value(), first, "the writer counts as the group commit does");
                Ok(wrote)
            }
            Err(error) => {
                if error.is_out_of_space() {
                    // The next one may find some.
                    self.supply.used.give_up();
                }
                let fault = self.fault(error);
                note!(
                    when Fault::Passing(error) = &fault => &self.listener,
                    WriteFailed { first, error: error.clone() }
                );
                Err(fault)
            }
        }
    }

    fn sync(&self) -> Result<u64, Error> {
        self.fork_guard.check()?;
        let (job, durable) = {
            let mut guard = self.lock();
            let writer = guard.as_mut().ok_or_else(closed)?;
            if let Some(exchanged) = self.supply.names.exchanged() {
                return Err(self.poisoned(writer.poison(exchanged)));
            }
            match writer.sync_job()? {
                None => return Ok(writer.durable().value()),
                Some(job) => (job, writer.durable().value()),
            }
        };
        let begun = now();
        self.sync_mark.set(begun);
        let ran = job.run();
        let took = since(begun);
        if took >= self.options.slow_sync {
            self.counters.sync_was_slow();
            let sequences = durable..job.point().next.value();
            self.tell(Event::SlowSync(SlowSync { took, sequences, failed: ran.is_err() }));
        }
        let mut guard = self.change();
        // Not before: while this thread waits for the lock, appends wait for this sync.
        self.sync_mark.clear();
        let writer = guard.as_mut().ok_or_else(closed)?;
        match ran {
            Ok(()) => {
                writer.synced(job.point(), self.supply.as_ref());
                let covered = job.point().next.value();
                let has_shrinkable = writer.has_shrinkable();
                self.counters.synced(covered.saturating_sub(durable), took);
                drop(guard);
                if has_shrinkable {
                    self.shrink();
                }
                Ok(covered)
            }
            Err(error) => {
                let poison = writer.poison(error);
                drop(guard);
                Err(self.poisoned(poison))
            }
        }
    }

    fn acknowledged(&self, took: Duration) {
        self.counters.appended(took);
    }
}
