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
use wal_segment::{Depot, Error as SegmentError, FrameBuffer, Fullness, Snapshot, Writer, give_back};
use wal_sync::primitives::{Guard, Mutex, now, since};
use wal_sync::{Dropped, Fault, Target, Wrote};

use crate::engine::fork::Owner;
use crate::error::{Error, ErrorKind, closed};
use crate::options::Options;
use crate::report::counters::Meters;
use crate::report::event::{Event, Rollover, SlowSync, note};
use crate::report::listener::Listener;
use crate::report::probe::SyncMark;
use crate::retention::Keeper;
use crate::retention::limits::Piece;
use crate::supply::Stores;

/// The writer, and what it shows.
#[derive(Debug)]
pub(crate) struct Tail {
    /// `None` once closed.
    writer: Mutex<Option<Writer>>,
    shown: Mutex<Snapshot>,
    directory: Arc<dyn Directory>,
    owner: Owner,
    stores: Arc<Stores>,
    meters: Arc<Meters>,
    listener: Option<Listener>,
    keeper: Arc<Keeper>,
    checksum: ChecksumKind,
    frame_bytes: usize,
    sync_mark: SyncMark,
    slow_sync: Duration,
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
        options: &Options,
    ) -> Tail {
        Tail {
            checksum: writer.checksum(),
            shown: Mutex::new(writer.snapshot()),
            writer: Mutex::new(Some(writer)),
            directory,
            owner: Owner::here(),
            stores,
            meters,
            listener,
            keeper,
            frame_bytes,
            sync_mark: SyncMark::new(),
            slow_sync: options.slow_sync,
            background: options.background,
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

    /// Who may write.
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Lets `act` change where the log begins or ends. For whoever has both turns.
    pub(crate) fn truncate(
        &self,
        act: impl FnOnce(&mut Writer, &dyn Directory, &Stores) -> Result<(), SegmentError>,
    ) -> Dropped<Error> {
        let refused = |error| Dropped { next: u64::MAX, durable: 0, outcome: Err(Fault::Final(error)) };
        if let Err(forked) = self.owner.check() {
            return refused(forked);
        }
        let mut guard = self.lock();
        let Some(writer) = guard.as_mut() else { return refused(closed()) };
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

    /// Uses the segments again, or removes them, that a truncation has left and no reader needs any
    /// more, and gives back the space that closed ones do not need.
    pub(crate) fn retire_unneeded(&self) {
        if !self.owner.is_here() {
            return;
        }
        let unneeded = self.lock().as_mut().map(|writer| self.take_unneeded(writer));
        self.stores.retire(&unneeded.unwrap_or_default());
        self.give_back();
    }

    /// Shortens closed segments that are longer than they need be.
    fn give_back(&self) {
        let excess = self.lock().as_mut().map(Writer::take_excess).unwrap_or_default();
        if excess.is_empty() || self.stores.check_names().is_err() {
            return;
        }
        let shortened = give_back(self.directory.as_ref(), excess);
        if let Some(writer) = self.lock().as_mut() {
            writer.given_back(&shortened);
            *self.shown.lock_whole() = writer.snapshot();
        }
    }

    fn take_unneeded(&self, writer: &mut Writer) -> Vec<SegmentNumber> {
        let unneeded = writer.take_unneeded();
        let first_segment = writer.snapshot().spans().next().map_or(0, |span| span.life.segment.value());
        self.keeper.lingers(writer.lingering(), first_segment);
        unneeded
    }

    /// Drops the front up to `first`, or to what is held in front of it. Returns where the log begins then. For
    /// whoever has both turns.
    pub(crate) fn drop_front(&self, first: u64) -> (u64, Dropped<Error>) {
        let mut begins = 0;
        let dropped = self.truncate(|writer, directory, stores| {
            // What is beyond the end is refused, whatever is held.
            let within = first <= writer.next().value() && first > writer.first().value();
            let place = if within {
                self.keeper.limit_to_holds(&Piece::all(&writer.snapshot()), first)
            } else {
                first
            };
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
        let Some(from) = self.keeper.retains_from(&snapshot, directory.monotonic_ns()) else {
            return Ok(false);
        };
        // Nothing has changed since but holds. One that was taken meanwhile may be in front of it.
        let place = self.keeper.limit_to_holds(&Piece::all(&snapshot), from);
        // Else the snapshot is one of the readers for which the files linger.
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
            // When the anchor could not be written it is open still.
            if writer.open_since_unix_ns().is_none() {
                self.keeper.ended();
            }
            done
        })
    }

    /// The time of the seam.
    pub(crate) fn monotonic_ns(&self) -> u64 {
        self.directory.monotonic_ns()
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
        self.stores.retire(&unneeded);
        let made = writer.log_bytes() < before;
        if !made && self.keeper.keeping().waits() {
            self.keeper.starved();
        }
        made
    }

    /// Ends the log: makes everything durable and marks the end.
    pub(crate) fn finish(&self) -> Result<(), Fault<Error>> {
        self.owner.check().map_err(Fault::Final)?;
        let mut guard = self.lock();
        let Some(writer) = guard.as_mut() else { return Err(Fault::Final(closed())) };
        let ended = writer.close(self.stores.as_ref());
        *self.shown.lock_whole() = writer.snapshot();
        let unneeded = self.take_unneeded(writer);
        drop(guard);
        // A closed log has no use for their files.
        self.stores.remove(&unneeded);
        self.give_back();
        ended.map_err(|error| self.fault(error))
    }

    /// The sync that is in hand.
    pub(crate) fn sync_mark(&self) -> &SyncMark {
        &self.sync_mark
    }

    /// Who takes note of what is traced.
    #[cfg(feature = "tracing")]
    pub(crate) fn listener(&self) -> Option<&Listener> {
        self.listener.as_ref()
    }

    /// Nothing is told any more.
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
        self.keeper.rolled(rollover.from, self.directory.monotonic_ns());
        self.tell(Event::Rollover(rollover));
    }

    fn tell(&self, event: Event) {
        if let Some(listener) = &self.listener {
            listener.tell(event);
        }
    }

    /// What went wrong with a write, or with the end. Poison is news then: of a log that is poisoned nothing
    /// more is asked.
    fn fault(&self, error: SegmentError) -> Fault<Error> {
        match error {
            SegmentError::Poisoned(_) => Fault::Final(self.poisoned(error)),
            SegmentError::Full(fullness) if self.keeper.keeping().waits() => Fault::Full(self.full(fullness)),
            SegmentError::Full(fullness) => Fault::Passing(self.full(fullness)),
            error => Fault::Passing(error.into()),
        }
    }

    /// Tells why nothing more is accepted.
    fn poisoned(&self, error: SegmentError) -> Error {
        let exchanged = matches!(&error, SegmentError::Poisoned(cause) if matches!(**cause, SegmentError::Exchanged { .. }));
        let error = Error::from(error);
        if exchanged {
            note!(&self.listener, Exchanged { error: error.clone() });
        } else {
            self.meters.sync_failed();
            note!(&self.listener, SyncFailed { error: error.clone() });
        }
        error
    }

    /// What takes the space under the cap.
    fn full(&self, fullness: Fullness) -> Error {
        let directory = self.directory.path().display();
        let held = self.keeper.lowest_hold().map_or_else(String::new, |hold| {
            format!("; the hold {:?} keeps entries from {} on", hold.name, hold.sequence)
        });
        let waits = if self.keeper.retention_awaits_start() {
            "; retention has not been started, so the retain_ limits drop nothing: call Wal::start_retention"
        } else {
            ""
        };
        let message = format!("{directory}: max_log_bytes is reached: {fullness}{held}{waits}");
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
        self.owner.check().map_err(Fault::Final)?;
        let mut guard = self.lock();
        let Some(writer) = guard.as_mut() else { return Err(Fault::Final(closed())) };
        if let Some(exchanged) = self.stores.exchanged() {
            return Err(self.fault(writer.poison(exchanged)));
        }
        let turns_over = writer.turns_over(frame.frame_bytes());
        let had_entries = writer.open_since_unix_ns().is_some();
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
        let begins = rolled.is_some() || !had_entries;
        if let Some(rolled) = rolled {
            self.rolled_over(Rollover::of(rolled), took.unwrap_or_default());
            self.retire_unneeded();
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
            Err(error) => {
                if error.is_out_of_space() {
                    // The next one may find some.
                    self.stores.give_up_pool();
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
        self.owner.check()?;
        let (job, durable) = {
            let mut guard = self.lock();
            let writer = guard.as_mut().ok_or_else(closed)?;
            if let Some(exchanged) = self.stores.exchanged() {
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
        self.sync_mark.clear();
        let took = since(begun);
        if took >= self.slow_sync {
            self.meters.sync_was_slow();
            let sequences = durable..job.point().next.value();
            self.tell(Event::SlowSync(SlowSync { took, sequences, failed: ran.is_err() }));
        }
        let mut guard = self.lock();
        let writer = guard.as_mut().ok_or_else(closed)?;
        match ran {
            Ok(()) => {
                writer.synced(job.point(), self.stores.as_ref());
                *self.shown.lock_whole() = writer.snapshot();
                let covered = job.point().next.value();
                let has_excess = writer.has_excess();
                self.meters.synced(covered.saturating_sub(durable), took);
                drop(guard);
                if has_excess {
                    self.give_back();
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
        self.meters.appended(took);
    }
}
