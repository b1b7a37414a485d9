//! The end of the log, as the group commit sees it: something that is written and synced.
//!
//! Locks: `writer` belongs to whoever has the turn to write or to sync; two of them meet only when a sync
//! is taken out or reported back, while a frame is written, and when somebody asks behind a truncation for
//! the files that it has left. `shown` is what readers are given, so that
//! they wait for neither; it is held for a moment.

use std::sync::Arc;
use std::time::Duration;

use wal_format::{ChecksumKind, SegmentNumber, Sequence};
use wal_segment::io::Directory;
use wal_segment::{Error as SegmentError, FrameBuffer, Fullness, Snapshot, Writer, remove_leftovers};
use wal_sync::primitives::{Guard, Mutex, now, since};
use wal_sync::{Dropped, Fault, Target, Wrote};

use crate::error::{Error, ErrorKind, closed};
use crate::keeper::Keeper;
use crate::meters::Meters;
use crate::retention::Piece;
use crate::rollover::{Listener, Rollover};
use crate::stores::Stores;

/// The writer, and what it shows.
#[derive(Debug)]
pub(crate) struct Tail {
    /// `None` once closed.
    writer: Mutex<Option<Writer>>,
    shown: Mutex<Snapshot>,
    directory: Arc<dyn Directory>,
    stores: Arc<Stores>,
    meters: Arc<Meters>,
    listener: Option<Listener>,
    keeper: Arc<Keeper>,
    checksum: ChecksumKind,
    frame_bytes: usize,
    /// Somebody syncs in the background when this asks for it.
    background: bool,
}

/// A frame has no more entries than this, unless a batch has.
pub(crate) const FRAME_ENTRIES: usize = 8192;

/// Of frames with a single entry, the time of one in so many is taken: two looks at the clock are felt beside
/// a small write.
const SAMPLED_ENTRIES: u64 = 16;

impl Tail {
    #[expect(clippy::too_many_arguments, reason = "called once, by the open that made them")]
    pub(crate) fn new(
        writer: Writer,
        directory: Arc<dyn Directory>,
        stores: Arc<Stores>,
        meters: Arc<Meters>,
        listener: Option<Listener>,
        keeper: Arc<Keeper>,
        frame_bytes: usize,
        background: bool,
    ) -> Tail {
        Tail {
            checksum: writer.checksum(),
            shown: Mutex::new(writer.snapshot()),
            writer: Mutex::new(Some(writer)),
            directory,
            stores,
            meters,
            listener,
            keeper,
            frame_bytes,
            background,
        }
    }

    /// The log as it is now, for reading.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.shown.lock_whole().clone()
    }

    /// The log as it is now, for looking at its segments: no file waits for it.
    pub(crate) fn layout(&self) -> Snapshot {
        self.shown.lock_whole().without_lease()
    }

    /// The number of the first entry that is kept.
    pub(crate) fn first(&self) -> u64 {
        self.shown.lock_whole().first().value()
    }

    /// Lets `act` change where the log begins or ends. For whoever has both turns.
    pub(crate) fn truncate(
        &self,
        act: impl FnOnce(&mut Writer, &dyn Directory, &Stores) -> Result<(), SegmentError>,
    ) -> Dropped<Error> {
        let mut guard = self.lock();
        let Some(writer) = guard.as_mut() else {
            return Dropped { next: u64::MAX, durable: 0, outcome: Err(Fault::Final(closed())) };
        };
        let begun = now();
        let done = act(writer, self.directory.as_ref(), self.stores.as_ref());
        let took = since(begun);
        *self.shown.lock_whole() = writer.snapshot();
        let rolled = writer.take_rolled();
        let (next, durable) = (writer.next().value(), writer.durable().value());
        drop(guard);
        if let Some(rolled) = rolled {
            self.keeper.ended();
            self.rolled_over(Rollover::of(rolled), took);
        }
        Dropped { next, durable, outcome: done.map_err(|error| self.fault(error)) }
    }

    /// Removes the segments that a truncation has left and no reader needs any more.
    pub(crate) fn remove_unneeded(&self) {
        let mut guard = self.lock();
        let Some(writer) = guard.as_mut() else { return };
        let unneeded = self.take_unneeded(writer);
        drop(guard);
        remove_leftovers(self.directory.as_ref(), &unneeded);
    }

    fn take_unneeded(&self, writer: &mut Writer) -> Vec<SegmentNumber> {
        let unneeded = writer.take_unneeded();
        let first_segment = writer.snapshot().spans().next().map_or(0, |span| span.life.segment.value());
        self.keeper.waiting(writer.waiting(), first_segment);
        unneeded
    }

    /// Drops the front up to `first`, or to what is held in front of it. Returns where the log begins then. For
    /// whoever has both turns.
    pub(crate) fn drop_front(&self, first: u64) -> (u64, Dropped<Error>) {
        let mut begins = 0;
        let dropped = self.truncate(|writer, directory, stores| {
            // What is beyond the end is refused, whatever is held.
            let within = first <= writer.next().value() && first > writer.first().value();
            let place = if within { self.keeper.clip(&Piece::all(&writer.snapshot()), first) } else { first };
            let place = Sequence::try_from(place).unwrap_or(Sequence::MAX);
            let done = writer.truncate_before(place, directory, stores);
            begins = writer.first().value();
            self.keeper.begins_at(begins);
            done
        });
        (begins, dropped)
    }

    /// Drops what retention lets go now. For whoever has both turns.
    pub(crate) fn retain(&self) -> Dropped<Error> {
        self.truncate(|writer, directory, stores| self.retain_in(writer, directory, stores).map(drop))
    }

    /// As [`Tail::retain`], for whoever has the writer. Returns whether something was dropped.
    fn retain_in(
        &self,
        writer: &mut Writer,
        directory: &dyn Directory,
        stores: &Stores,
    ) -> Result<bool, SegmentError> {
        let snapshot = writer.snapshot();
        let Some(from) = self.keeper.retains_from(&snapshot, directory.now_unix_ns()) else {
            return Ok(false);
        };
        // Nothing has changed since but holds. One that was taken meanwhile may be in front of it.
        let place = self.keeper.clip(&Piece::all(&snapshot), from);
        // Else the snapshot is one of the readers that the files wait for.
        drop(snapshot);
        let place = Sequence::try_from(place).unwrap_or(Sequence::MAX);
        let done = writer.truncate_before(place, directory, stores);
        self.keeper.begins_at(writer.first().value());
        done.map(|()| true)
    }

    /// Ends the open segment. For whoever has both turns.
    pub(crate) fn roll(&self) -> Dropped<Error> {
        self.truncate(|writer, _, stores| {
            let done = writer.roll(stores);
            self.keeper.ended();
            done
        })
    }

    /// The time of the seam.
    pub(crate) fn now_unix_ns(&self) -> u64 {
        self.directory.now_unix_ns()
    }

    /// No segment could be begun under the cap. Drops what retention lets go, and removes what nobody needs.
    /// Returns whether something is gone.
    fn make_room(&self, writer: &mut Writer) -> bool {
        let before = writer.log_bytes();
        if let Err(error) = self.retain_in(writer, self.directory.as_ref(), self.stores.as_ref()) {
            self.keeper.failed(&error.into());
        }
        *self.shown.lock_whole() = writer.snapshot();
        let unneeded = self.take_unneeded(writer);
        remove_leftovers(self.directory.as_ref(), &unneeded);
        let made = writer.log_bytes() < before;
        if !made && self.keeper.keeping().waits() {
            self.keeper.starved();
        }
        made
    }

    /// Ends the log: makes everything durable and marks the end.
    pub(crate) fn finish(&self) -> Result<(), Fault<Error>> {
        let mut guard = self.lock();
        let Some(writer) = guard.as_mut() else { return Err(Fault::Final(closed())) };
        let ended = writer.close(self.stores.as_ref());
        *self.shown.lock_whole() = writer.snapshot();
        drop(guard);
        self.remove_unneeded();
        ended.map_err(|error| self.fault(error))
    }

    /// No rollover is told any more.
    pub(crate) fn stop_listening(&self) {
        if let Some(listener) = &self.listener {
            listener.stop();
        }
    }

    /// Gives up the lock of the log.
    pub(crate) fn release(&self) {
        drop(self.lock().take());
    }

    fn rolled_over(&self, rollover: Rollover, took: Duration) {
        self.meters.rolled_over(took);
        self.keeper.rolled(rollover.from, self.directory.now_unix_ns());
        if let Some(listener) = &self.listener {
            listener.tell(rollover);
        }
    }

    /// What went wrong with a write, or with the end. Poison is news then: of a log that is poisoned nothing
    /// more is asked.
    fn fault(&self, error: SegmentError) -> Fault<Error> {
        match error {
            SegmentError::Poisoned(_) => {
                self.meters.sync_failed();
                Fault::Final(error.into())
            }
            SegmentError::Full(fullness) if self.keeper.keeping().waits() => Fault::Full(self.full(fullness)),
            SegmentError::Full(fullness) => Fault::Passing(self.full(fullness)),
            error => Fault::Passing(error.into()),
        }
    }

    /// What takes the space under the cap.
    fn full(&self, fullness: Fullness) -> Error {
        let directory = self.directory.path().display();
        let held = self.keeper.lowest_hold().map_or_else(String::new, |hold| {
            format!("; the hold {:?} keeps entries from {} on", hold.name, hold.sequence)
        });
        let message = format!("{directory}: max_log_bytes is reached: {fullness}{held}");
        Error::new(ErrorKind::NoSpace, message)
    }

    fn lock(&self) -> Guard<'_, Option<Writer>> {
        // Whoever panics in here has failed the log, so nobody uses what it left.
        self.writer.lock_whole()
    }
}

impl Target for Tail {
    type Error = Error;
    type Frame = FrameBuffer;

    fn frame(&self) -> FrameBuffer {
        FrameBuffer::new(self.checksum, FRAME_ENTRIES, self.frame_bytes)
    }

    fn clear(&self, frame: &mut FrameBuffer) {
        frame.clear();
    }

    fn syncs_to_write(&self, frame: &FrameBuffer) -> bool {
        self.lock().as_ref().is_some_and(|writer| writer.turns_over(frame.frame_bytes()))
    }

    fn write(&self, frame: &mut FrameBuffer, first: u64) -> Result<Wrote, Fault<Error>> {
        let mut guard = self.lock();
        let Some(writer) = guard.as_mut() else { return Err(Fault::Final(closed())) };
        let turns_over = writer.turns_over(frame.frame_bytes());
        let begins = turns_over || writer.has_empty_segment();
        let timed = turns_over || frame.entries() > 1 || first.is_multiple_of(SAMPLED_ENTRIES);
        let begun = timed.then(now);
        let mut done = writer.append(frame, self.stores.as_ref());
        if matches!(done, Err(SegmentError::Full(_))) && self.make_room(writer) {
            done = writer.append(frame, self.stores.as_ref());
        }
        let took = begun.map(since);
        *self.shown.lock_whole() = writer.snapshot();
        let rolled = writer.take_rolled();
        let wrote = Wrote {
            next: writer.next().value(),
            durable: writer.durable().value(),
            sync_soon: self.background && writer.wants_sync(),
        };
        drop(guard);
        if let Some(rolled) = rolled {
            self.rolled_over(Rollover::of(rolled), took.unwrap_or_default());
            self.remove_unneeded();
        }
        if begins && done.is_ok() {
            self.keeper.begun();
        }
        match done {
            Ok(number) => {
                self.meters.wrote(frame.entries(), frame.payload_bytes() as u64);
                took.into_iter().for_each(|took| self.meters.write_took(took));
                debug_assert_eq!(number.value(), first, "the writer counts as the group commit does");
                Ok(wrote)
            }
            Err(error) => Err(self.fault(error)),
        }
    }

    fn sync(&self) -> Result<u64, Error> {
        let (job, durable) = {
            let mut guard = self.lock();
            let writer = guard.as_mut().ok_or_else(closed)?;
            match writer.sync_job()? {
                None => return Ok(writer.durable().value()),
                Some(job) => (job, writer.durable().value()),
            }
        };
        let begun = now();
        let ran = job.run();
        let took = since(begun);
        let mut guard = self.lock();
        let writer = guard.as_mut().ok_or_else(closed)?;
        match ran {
            Ok(()) => {
                writer.synced(job.point(), self.stores.as_ref());
                *self.shown.lock_whole() = writer.snapshot();
                let covered = job.point().next.value();
                self.meters.synced(covered.saturating_sub(durable), took);
                Ok(covered)
            }
            Err(error) => {
                self.meters.sync_failed();
                Err(writer.poison(error).into())
            }
        }
    }

    fn acknowledged(&self, took: Duration) {
        self.meters.appended(took);
    }
}
