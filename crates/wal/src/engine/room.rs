//! Makes room: drops entries under the cap, hands obsolete files to `supply/used_files`, and shrinks closed segments.

use wal_format::{SegmentNumber, Sequence};
use wal_segment::{Error as SegmentError, SpareSource, Writer, shrink};

use crate::engine::tail::Tail;
use crate::supply::Supply;

impl Tail {
    /// Recycles or removes the obsolete files that no reader needs any more, and shrinks closed segments.
    pub(crate) fn recycle_obsolete(&self) {
        if !self.fork_guard.is_here() {
            return;
        }
        let mut guard = self.lock();
        let obsolete = guard.as_mut().map(|writer| self.take_obsolete(writer)).unwrap_or_default();
        // The writer no longer counts these files, so under a cap the lock stays held until they are removed.
        let guard = self.options.max_log_bytes.is_some().then_some(guard);
        self.supply.used.retire(&obsolete);
        drop(guard);
        self.shrink();
    }

    /// Shortens closed segments to what they hold.
    pub(super) fn shrink(&self) {
        let shrinkable = self.lock().as_mut().map(Writer::take_shrinkable).unwrap_or_default();
        if shrinkable.is_empty() || self.supply.check_names().is_err() {
            return;
        }
        let shortened = shrink(self.directory.as_ref(), shrinkable);
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

    /// As [`Tail::retain`], for a thread that has the writer and both turns. Returns whether something was dropped.
    pub(super) fn retain_in(&self, writer: &mut Writer, supply: &Supply) -> Result<bool, SegmentError> {
        let snapshot = writer.snapshot();
        let now_ns = supply.directory().monotonic_ns();
        let Some(from) = self.retention.drops_before(&self.holds, &snapshot, now_ns) else {
            return Ok(false);
        };
        // Only holds can have changed since. One that was taken meanwhile may be below it.
        let spans: Vec<_> = snapshot.spans().collect();
        let place = self.holds.limit_to_holds(&spans, from);
        // Otherwise the snapshot counts as a reader that needs the files.
        drop(snapshot);
        let place = Sequence::try_from(place).unwrap_or(Sequence::MAX);
        let done = writer.truncate_before(place, supply);
        self.holds.begins_at(writer.first().value());
        done.map(|()| true)
    }

    /// The cap allows no further segment. Drops what retention lets go, and recycles or removes obsolete files. Returns whether
    /// that made room.
    pub(super) fn make_room(&self, writer: &mut Writer) -> bool {
        let before = writer.log_bytes();
        if let Err(error) = self.retain_in(writer, self.supply.as_ref()) {
            self.maintenance.failed(&error.into());
        }
        // What readers were shown keeps the files of dropped segments.
        self.show(writer);
        let obsolete = self.take_obsolete(writer);
        self.supply.used.retire(&obsolete);
        let made = writer.log_bytes() < before;
        if !made && self.options.waits() {
            self.maintenance.write_deferred();
        }
        made
    }
}
