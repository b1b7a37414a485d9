//! Space that the log has no more use for: dropped under the cap, used again, or given back.

use wal_format::{SegmentNumber, Sequence};
use wal_segment::{Error as SegmentError, SpareSource, Writer, shrink};

use crate::engine::tail::Tail;
use crate::retention::limits::Piece;
use crate::supply::Supply;

impl Tail {
    /// Uses the segments again, or removes them, that a truncation has left and no reader needs any
    /// more, and gives back the space that closed ones do not need.
    pub(crate) fn recycle_obsolete(&self) {
        if !self.fork_guard.is_here() {
            return;
        }
        let obsolete = self.lock().as_mut().map(|writer| self.take_obsolete(writer));
        self.supply.retire(&obsolete.unwrap_or_default());
        self.shrink();
    }

    /// Shortens closed segments that are longer than they need be.
    pub(super) fn shrink(&self) {
        let excess = self.lock().as_mut().map(Writer::take_shrinkable).unwrap_or_default();
        if excess.is_empty() || self.supply.check_names().is_err() {
            return;
        }
        let shortened = shrink(self.directory.as_ref(), excess);
        if let Some(writer) = self.change().as_mut() {
            writer.shrunk(&shortened);
        }
    }

    pub(super) fn take_obsolete(&self, writer: &mut Writer) -> Vec<SegmentNumber> {
        let obsolete = writer.take_obsolete();
        let first_segment = writer.snapshot().spans().next().map_or(0, |span| span.life.segment.value());
        self.retention.dropped(writer.pending_deletion(), first_segment);
        obsolete
    }

    /// As [`Tail::retain`], for whoever has the writer. Returns whether something was dropped.
    pub(super) fn retain_in(&self, writer: &mut Writer, supply: &Supply) -> Result<bool, SegmentError> {
        let snapshot = writer.snapshot();
        let now_ns = supply.directory().monotonic_ns();
        let Some(from) = self.retention.drops_before(&self.holds, &snapshot, now_ns) else {
            return Ok(false);
        };
        // Nothing has changed since but holds. One that was taken meanwhile may be in front of it.
        let place = self.holds.limit_to_holds(&Piece::all(&snapshot), from);
        // Else the snapshot is one of the readers for which the files linger.
        drop(snapshot);
        let place = Sequence::try_from(place).unwrap_or(Sequence::MAX);
        let done = writer.truncate_before(place, supply);
        self.holds.begins_at(writer.first().value());
        done.map(|()| true)
    }

    /// No segment could be begun under the cap. Drops what retention lets go, and removes what nobody needs.
    /// Returns whether something is gone.
    pub(super) fn make_room(&self, writer: &mut Writer) -> bool {
        let before = writer.log_bytes();
        if let Err(error) = self.retain_in(writer, self.supply.as_ref()) {
            self.maintenance.failed(&error.into());
        }
        // What readers were shown keeps the files of dropped segments.
        self.show(writer);
        let obsolete = self.take_obsolete(writer);
        self.supply.retire(&obsolete);
        let made = writer.log_bytes() < before;
        if !made && self.retention.options().waits() {
            self.maintenance.write_deferred();
        }
        made
    }
}
