//! Appends a frame: one write at the end of the open segment.
//!
//! ```text
//! the first write since the open        the anchor says open
//! no room in the segment                it ends                        see `rollover`
//! no segment is open                    another begins, by its LINK    see `publish`
//!                                       with the frame in one write; after a cut the LINK alone, synced
//! the write failed                      the log goes on in another segment
//! ```

use wal_format::{LinkReason, MAX_SEGMENT_BYTES, Sequence};

use super::{Detached, State, Writer, orders};
use crate::error::Error;
use crate::rules::Rule;
use crate::segment::frame_builder::FrameBuilder;
use crate::segment::span::Tip;
use crate::spares::source::SpareSource;

impl Writer {
    /// Whether appending a frame of this size may sync: because it goes into another segment or after a cut,
    /// or is the first write since the open.
    #[must_use]
    pub fn turns_over(&self, frame_bytes: u64) -> bool {
        frame_bytes > self.room()
    }

    /// The longest frame, in bytes, that can be appended without a sync; 0 when any append may sync.
    #[must_use]
    pub fn room(&self) -> u64 {
        match &self.state {
            State::Open(open) if !self.durability.anchor_owed && !open.is_as_found(self.segments.end) => {
                open.room(self.segments.end.offset)
            }
            _ => 0,
        }
    }

    /// Appends one frame and returns the sequence number of its first entry. On return its entries are in the
    /// page cache: they survive a crash of the process, and after an fsync a loss of power.
    ///
    /// # Errors
    /// None of the entries is part of the log; their numbers are used again, and the frame may be appended
    /// again. Where the cap or the disk space allows no other segment, the last one still takes frames that
    /// fit. The log stays usable unless the error is [`Error::Poisoned`].
    ///
    /// # Panics
    /// When it [turns over](Writer::turns_over) during a sync, and when the frame is empty.
    pub fn append(&mut self, frame: &mut FrameBuilder, spares: &dyn SpareSource) -> Result<Sequence, Error> {
        self.refuse_if_poisoned()?;
        let first = self.segments.end.next;
        let next = first.advance(frame.entries()).ok_or(Error::OutOfNumbers)?;
        let frame_bytes = frame.frame_bytes();
        if orders::needed_bytes(frame_bytes) > MAX_SEGMENT_BYTES {
            return Err(Error::OutOfNumbers);
        }
        if self.turns_over(frame_bytes) {
            assert!(!self.durability.in_flight, "no segment is ended beside a sync of it");
            if self.durability.anchor_owed {
                self.write_owed_anchor(spares)?;
            }
            self.end_if_full(frame_bytes, spares)?;
            if let State::Detached(detached) = &self.state {
                let is_cut = detached.reason.is_cut();
                self.refuse_above_cap(self.log_bytes(), self.next_order(frame_bytes)?)?;
                self.check_names(spares)?;
                // Frames that a cut drops must not come back: its LINK is durable before anything is
                // accepted.
                if is_cut && self.rules.keeps(Rule::CutSynced) {
                    self.begin_next(frame_bytes, None, spares)?;
                } else {
                    return self.begin_next(frame_bytes, Some(frame), spares).map(|()| first);
                }
            }
        }
        let unix_ns = self.point_unix_ns(spares.directory());
        let State::Open(open) = &mut self.state else { unreachable!("a cut opens a segment or fails") };
        let offset = self.segments.end.offset;
        let header = open.frame_header(self.segments.end, self.durability.point);
        let (bytes, chain) = frame.encode(&[], header, open.header.life, offset);
        if let Err(error) = open.watched.file.write_all(bytes, offset) {
            self.write_failed();
            return Err(error);
        }
        if let Some(unix_ns) = unix_ns {
            open.index.note(offset, first, unix_ns);
        }
        open.unsynced = true;
        self.segments.end = Tip { offset: offset + frame_bytes, chain, next };
        Ok(first)
    }

    /// Makes the log go on in a new segment: a torn write here can then never become part of the log once
    /// later entries were accepted.
    pub(super) fn write_failed(&mut self) {
        if !self.rules.keeps(Rule::FailedWriteCuts) {
            return;
        }
        if let State::Open(open) = &self.state {
            let unsynced = open.unsynced.then(|| open.watched.file.clone());
            self.shrink.oversized.push(open.header.life.segment);
            self.state = State::Detached(Detached { reason: LinkReason::Torn, unsynced });
            self.rest_in_doubt = true;
        }
    }

    /// Prepares the open segment for its first write since an open found it: checks the names, and makes the
    /// anchor say that the log is open.
    ///
    /// # Errors
    /// Why the anchor could not be written. Then nothing else may be written; the next attempt tries again.
    pub(super) fn state_open(&mut self, spares: &dyn SpareSource) -> Result<(), Error> {
        if matches!(&self.state, State::Open(open) if open.is_as_found(self.segments.end)) {
            self.check_names(spares)?;
            // The process appends: space that earlier ones left reserved may be freed.
            self.shrink.begun = true;
        }
        if std::mem::take(&mut self.durability.closed) && self.rules.keeps(Rule::OpenBeforeWritten) {
            self.durability.anchor_owed = true;
        }
        if self.durability.anchor_owed { self.write_owed_anchor(spares) } else { Ok(()) }
    }
}
