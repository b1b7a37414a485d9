//! The cap on the files of the log, and ending a segment on request.
//!
//! ```text
//! roll   SEAL ─▶ sync ─▶ the file shortened to what it holds        the next append begins another
//! ```
//!
//! The cap counts every segment file with its length on disk, those pending deletion, and the next segment,
//! prepared or not. A truncation may exceed the cap by one segment, because it will free others.

use std::sync::Arc;

use wal_format::{Link, seal_frame_bytes};

use super::shrink::WORTHWHILE_BYTES;
use super::{State, Writer};
use crate::error::{CapReached, Error};
use crate::spares::source::SpareSource;
use crate::spares::spare::Order;

impl Writer {
    /// Sets the cap on the files of the log, in bytes.
    pub fn limit(&mut self, most_bytes: Option<u64>) {
        self.most_bytes = most_bytes;
    }

    /// The size of all segment files on disk, in bytes.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        let freed_bytes = self.segments.last().map_or(0, |last| self.shrink.freed_bytes(&last));
        (self.segments.file_bytes() - freed_bytes).saturating_add(self.pending_deletion().bytes)
    }

    /// Whether a segment is open.
    #[must_use]
    pub fn has_open_segment(&self) -> bool {
        matches!(&self.state, State::Open(_))
    }

    /// When the open segment was begun, if it holds an entry, in nanoseconds since 1970.
    #[must_use]
    pub fn open_since_unix_ns(&self) -> Option<u64> {
        match &self.state {
            State::Open(open) if self.segments.entries_of_last() > 0 => Some(open.index.since_unix_ns),
            _ => None,
        }
    }

    /// The longest frame that fits a segment of this size.
    #[must_use]
    pub fn frame_bytes_within(segment_bytes: u64) -> u64 {
        segment_bytes.saturating_sub(Link::end_offset() + seal_frame_bytes(2))
    }

    /// Ends the open segment early, as a rollover does: the next append begins another. Does nothing to a
    /// segment without entries, or where none is open. On return everything appended is durable, and the
    /// reserved space is freed if the system can.
    ///
    /// # Errors
    /// Why the anchor could not be written: then the segment is still open and unchanged. Why the SEAL could
    /// not be written: then no segment is open, and the next append publishes where the log ended.
    /// [`Error::Poisoned`].
    ///
    /// # Panics
    /// During a sync.
    pub fn roll(&mut self, spares: &dyn SpareSource) -> Result<(), Error> {
        self.refuse_if_poisoned()?;
        assert!(!self.durability.in_flight, "no segment is ended beside a sync of it");
        let file = match &self.state {
            State::Open(open) if self.segments.entries_of_last() > 0 => open.watched.file.clone(),
            // After a failed write no segment is open, and the last one may not be durable.
            _ => return self.sync_all(spares),
        };
        // Space that cannot be freed stays reserved until the segment is removed.
        if self.seal(spares)?
            && file.resize(self.segments.end.offset).is_ok()
            && let Some(last) = Arc::make_mut(&mut self.segments.spans).last_mut()
        {
            last.file_bytes = self.segments.end.offset;
        }
        Ok(())
    }

    pub(super) fn refuse_above_cap_once_sealed(&self, frame_bytes: u64) -> Result<(), Error> {
        let end_offset = self.segments.end.offset + self.room_for_seal().map_or(0, seal_frame_bytes);
        let freed_bytes =
            self.segments.spans.last().map_or(0, |span| span.file_bytes.saturating_sub(end_offset));
        let freed_bytes = if freed_bytes >= WORTHWHILE_BYTES { freed_bytes } else { 0 };
        self.refuse_above_cap(self.log_bytes() - freed_bytes, self.order_after(end_offset, frame_bytes)?)
    }

    pub(super) fn refuse_above_cap(&self, log_bytes: u64, order: Order) -> Result<(), Error> {
        let Some(most_bytes) = self.most_bytes else { return Ok(()) };
        let wanted_bytes = order.bytes;
        if log_bytes.checked_add(wanted_bytes).is_some_and(|bytes| bytes <= most_bytes) {
            return Ok(());
        }
        let pending_deletion_bytes = self.pending_deletion().bytes;
        Err(Error::CapReached(CapReached { most_bytes, log_bytes, pending_deletion_bytes, wanted_bytes }))
    }
}
