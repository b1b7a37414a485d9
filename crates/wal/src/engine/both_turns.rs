//! What needs both turns, while no other thread writes or syncs: truncation, ending a segment, ending the log.
//!
//! Each function asks for [`Alone`], which only a thread with both turns has.

use wal_format::Sequence;
use wal_segment::{Error as SegmentError, Writer};
use wal_sync::primitives::{now, since};
use wal_sync::{Alone, Dropped, Fault};

use crate::engine::Engine;
use crate::engine::tail::Tail;
use crate::error::{Error, closed};
use crate::report::event::Rollover;
use crate::supply::Supply;

impl Engine {
    /// Ends the open segment.
    pub(crate) fn roll(&self) -> Result<(), Error> {
        self.commits.alone(Tail::roll).map_err(Error::from)
    }
}

impl Tail {
    /// Lets `act` change where the log begins or ends.
    pub(crate) fn truncate(
        tail: &Alone<'_, Tail>,
        act: impl FnOnce(&mut Writer, &Supply) -> Result<(), SegmentError>,
    ) -> Dropped<Error> {
        let refused = |error| Dropped { next: u64::MAX, durable: 0, outcome: Err(Fault::Final(error)) };
        if let Err(forked) = tail.fork_guard.check() {
            return refused(forked);
        }
        let mut guard = tail.change();
        let Some(writer) = guard.as_mut() else { return refused(closed()) };
        let begun = now();
        let done = act(writer, tail.supply.as_ref());
        let took = since(begun);
        let rolled = writer.take_rolled();
        let (next, durable) = (writer.next().value(), writer.durable().value());
        drop(guard);
        if let Some(rolled) = rolled {
            tail.retention.ended();
            tail.rolled_over(Rollover::of(rolled), took);
        }
        Dropped { next, durable, outcome: done.map_err(|error| tail.fault(error)) }
    }

    /// Drops the front up to `first`, or to the lowest hold before it. Returns where the log begins then.
    pub(crate) fn drop_front(tail: &Alone<'_, Tail>, first: u64) -> (u64, Dropped<Error>) {
        let mut begins = 0;
        let dropped = Tail::truncate(tail, |writer, supply| {
            // What is beyond the end is refused, whatever is held.
            let within = first <= writer.next().value() && first > writer.first().value();
            let place = if within {
                let spans: Vec<_> = writer.snapshot().spans().collect();
                tail.holds.limit_to_holds(&spans, first)
            } else {
                first
            };
            let place = Sequence::try_from(place).unwrap_or(Sequence::MAX);
            let done = writer.truncate_before(place, supply);
            begins = writer.first().value();
            tail.holds.begins_at(begins);
            done
        });
        (begins, dropped)
    }

    /// Drops what retention lets go now.
    pub(crate) fn retain(tail: &Alone<'_, Tail>) -> Dropped<Error> {
        Tail::truncate(tail, |writer, supply| tail.retain_in(writer, supply).map(drop))
    }

    /// Ends the open segment.
    pub(crate) fn roll(tail: &Alone<'_, Tail>) -> Dropped<Error> {
        Tail::truncate(tail, |writer, supply| {
            let done = writer.roll(supply);
            // When the anchor could not be written it is open still.
            if writer.open_since_unix_ns().is_none() {
                tail.retention.ended();
            }
            done
        })
    }

    /// Ends the log: makes everything durable and marks the end.
    pub(crate) fn finish(tail: &Alone<'_, Tail>) -> Result<(), Fault<Error>> {
        tail.fork_guard.check().map_err(Fault::Final)?;
        let mut guard = tail.change();
        let Some(writer) = guard.as_mut() else { return Err(Fault::Final(closed())) };
        let ended = writer.close(tail.supply.as_ref());
        tail.show(writer);
        let obsolete = tail.take_obsolete(writer);
        drop(guard);
        // A closed log has no use for their files.
        tail.supply.used.remove(&obsolete);
        tail.shrink();
        ended.map_err(|error| tail.fault(error))
    }
}
