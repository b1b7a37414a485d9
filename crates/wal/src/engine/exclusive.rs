//! What the thread that has both turns does, while no other one writes or syncs: truncating, ending a segment, ending the log.

use wal_format::Sequence;
use wal_segment::{Error as SegmentError, Writer};
use wal_sync::primitives::{now, since};
use wal_sync::{Dropped, Fault};

use crate::engine::Core;
use crate::engine::tail::Tail;
use crate::error::{Error, closed};
use crate::report::event::Rollover;
use crate::retention::limits::Piece;
use crate::supply::Supply;

impl Core {
    /// Ends the open segment.
    pub(crate) fn roll(&self) -> Result<(), Error> {
        self.commits.alone(Tail::roll).map_err(Error::from)
    }
}

impl Tail {
    /// Lets `act` change where the log begins or ends. For whoever has both turns.
    pub(crate) fn truncate(
        &self,
        act: impl FnOnce(&mut Writer, &Supply) -> Result<(), SegmentError>,
    ) -> Dropped<Error> {
        let refused = |error| Dropped { next: u64::MAX, durable: 0, outcome: Err(Fault::Final(error)) };
        if let Err(forked) = self.owner.check() {
            return refused(forked);
        }
        let mut guard = self.lock();
        let Some(writer) = guard.as_mut() else { return refused(closed()) };
        let begun = now();
        let done = act(writer, self.supply.as_ref());
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

    /// Drops the front up to `first`, or to what is held in front of it. Returns where the log begins then. For
    /// whoever has both turns.
    pub(crate) fn drop_front(&self, first: u64) -> (u64, Dropped<Error>) {
        let mut begins = 0;
        let dropped = self.truncate(|writer, supply| {
            // What is beyond the end is refused, whatever is held.
            let within = first <= writer.next().value() && first > writer.first().value();
            let place = if within {
                self.keeper.limit_to_holds(&Piece::all(&writer.snapshot()), first)
            } else {
                first
            };
            let place = Sequence::try_from(place).unwrap_or(Sequence::MAX);
            let done = writer.truncate_before(place, supply);
            begins = writer.first().value();
            self.keeper.begins_at(begins);
            done
        });
        (begins, dropped)
    }

    /// Drops what retention lets go now. For whoever has both turns.
    pub(crate) fn retain(&self) -> Dropped<Error> {
        self.truncate(|writer, supply| self.retain_in(writer, supply).map(drop))
    }

    /// Ends the open segment. For whoever has both turns.
    pub(crate) fn roll(&self) -> Dropped<Error> {
        self.truncate(|writer, supply| {
            let done = writer.roll(supply);
            // When the anchor could not be written it is open still.
            if writer.open_since_unix_ns().is_none() {
                self.keeper.ended();
            }
            done
        })
    }

    /// Ends the log: makes everything durable and marks the end.
    pub(crate) fn finish(&self) -> Result<(), Fault<Error>> {
        self.owner.check().map_err(Fault::Final)?;
        let mut guard = self.lock();
        let Some(writer) = guard.as_mut() else { return Err(Fault::Final(closed())) };
        let ended = writer.close(self.supply.as_ref());
        *self.shown.lock_whole() = writer.snapshot();
        let unneeded = self.take_obsolete(writer);
        drop(guard);
        // A closed log has no use for their files.
        self.supply.remove(&unneeded);
        self.shrink();
        ended.map_err(|error| self.fault(error))
    }
}
