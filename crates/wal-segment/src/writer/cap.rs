//! Ending a segment on request, and a bound on what all of them take.
//!
//! ```text
//! roll   SEAL ─▶ sync ─▶ the file shortened to what it holds        the next append begins another
//! ```
//!
//! The bound counts the segments as long as they are on the disk, those that linger for readers with them, and
//! the one to be begun, prepared or not. A truncation may begin one beyond it: it is on its way to give
//! others back.

use std::sync::Arc;

use wal_format::{Link, seal_frame_bytes};

use super::shrink::WORTHWHILE_BYTES;
use super::{State, Writer};
use crate::error::{CapReached, Error};
use crate::spares::source::SpareSource;
use crate::spares::spare::Order;

impl Writer {
    /// Sets what the files of the log may take, in bytes.
    pub fn limit(&mut self, most_bytes: Option<u64>) {
        self.most_bytes = most_bytes;
    }

    /// What the segments take that are on the disk, in bytes.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        let given_back = self.segments.last().map_or(0, |last| self.shrink.given_back(&last));
        (self.segments.file_bytes() - given_back).saturating_add(self.pending_deletion().bytes)
    }

    /// Whether a segment is open, and no entry in it: it was begun by a LINK alone.
    #[must_use]
    pub fn has_empty_segment(&self) -> bool {
        matches!(&self.state, State::Open(_)) && self.segments.entries_of_last() == 0
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

    /// The longest frame whose segment is no longer than this.
    #[must_use]
    pub fn frame_bytes_within(segment_bytes: u64) -> u64 {
        segment_bytes.saturating_sub(Link::end_offset() + seal_frame_bytes(2))
    }

    /// Ends the open segment, as a rollover does: the next append begins another. No segment is ended when none is
    /// open, or no frame is in it. What is there is durable when this returns. Space that was reserved behind it
    /// is given back, if the system can.
    ///
    /// # Errors
    /// What kept the anchor from being written: then the segment is still open, and nothing was written to it. What kept
    /// the SEAL from being written: then no segment is open, and the next append publishes that the log ended there. [`Error::Poisoned`].
    ///
    /// # Panics
    /// While a sync is out.
    pub fn roll(&mut self, spares: &dyn SpareSource) -> Result<(), Error> {
        self.refuse_if_poisoned()?;
        assert!(!self.durability.in_flight, "no segment is ended beside a sync of it");
        // Behind a failed write no segment is open, and the last one may not be durable.
        let State::Open(open) = &self.state else { return self.sync_all(spares) };
        if self.has_empty_segment() {
            return self.sync_all(spares);
        }
        let file = open.file.clone();
        // What cannot be given back stays reserved until the segment goes.
        if self.seal(spares)?
            && file.resize(self.segments.end.offset).is_ok()
            && let Some(last) = Arc::make_mut(&mut self.segments.spans).last_mut()
        {
            last.file_bytes = self.segments.end.offset;
        }
        Ok(())
    }

    /// Refuses to end the open segment for a frame of this size when the log would take too much with the next one.
    pub(super) fn refuse_if_full_once_sealed(&self, frame_bytes: u64) -> Result<(), Error> {
        let end_offset = self.segments.end.offset + self.room_for_seal().map_or(0, seal_frame_bytes);
        let given_back =
            self.segments.spans.last().map_or(0, |span| span.file_bytes.saturating_sub(end_offset));
        let given_back = if given_back >= WORTHWHILE_BYTES { given_back } else { 0 };
        self.refuse_if_full(self.log_bytes() - given_back, end_offset, frame_bytes)
    }

    /// Refuses to begin a segment for a frame of this size when the log, which takes so much and ends there, would take too
    /// much with it.
    pub(super) fn refuse_if_full(
        &self,
        log_bytes: u64,
        end_offset: u64,
        frame_bytes: u64,
    ) -> Result<(), Error> {
        match self.cap_reached(log_bytes, self.order_after(end_offset, frame_bytes)?) {
            Some(reached) => Err(Error::CapReached(reached)),
            None => Ok(()),
        }
    }

    /// Why this segment may not be begun, if so, by a log that takes so much.
    pub(super) fn cap_reached(&self, log_bytes: u64, order: Order) -> Option<CapReached> {
        let most_bytes = self.most_bytes?;
        let wanted_bytes = order.bytes;
        let fits = log_bytes.checked_add(wanted_bytes).is_some_and(|bytes| bytes <= most_bytes);
        let pending_deletion_bytes = self.pending_deletion().bytes;
        (!fits).then_some(CapReached { most_bytes, log_bytes, pending_deletion_bytes, wanted_bytes })
    }
}
