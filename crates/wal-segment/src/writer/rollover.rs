//! Rollover: from one segment to the next.
//!
//! ```text
//! rollover   LINK durable ─▶ next segment prepared ─▶ SEAL ─▶ sync ─▶ LINK + first frame in one write
//! reopen                     next segment prepared ─▶ LINK + first frame in one write (where an open cannot go on)
//! cut        sync ─▶         next segment prepared ─▶ LINK alone ─▶ sync ─▶ anchor ─▶ frames
//! ```
//!
//! A failure before the LINK is written leaves the log unchanged. If no next segment can be prepared, the
//! present one still takes frames that fit.

use wal_format::{LinkReason, SealBody, SealKind, encode_seal_frame, seal_frame_bytes};

use super::shrink::{Shrinkable, WORTHWHILE_BYTES};
use super::{Detached, State, Writer};
use crate::error::Error;
use crate::io::Directory;
use crate::rules::Rule;
use crate::segment::index::Index;
use crate::segment::span::Tip;
use crate::spares::source::SpareSource;

impl Writer {
    /// Seals the segment if a frame of this size does not fit and the next segment is ready. Otherwise makes
    /// sure that the segment may be written to.
    pub(super) fn end_if_full(&mut self, frame_bytes: u64, spares: &dyn SpareSource) -> Result<(), Error> {
        match &self.state {
            State::Open(open) if frame_bytes <= open.room(self.segments.end.offset) => {
                self.state_open(spares)
            }
            State::Open(_) => {
                self.refuse_above_cap_once_sealed(frame_bytes)?;
                self.check_names(spares)?;
                // `SpareAfterLink`: two files without a durable LINK would look like a missing segment. A log
                // that is to break `LinkAfterSync` does not sync here either.
                if !self.is_linked() && self.rules.keeps(Rule::LinkAfterSync) {
                    self.sync_all(spares)?;
                }
                let spare = self.take_spare(self.next_order(frame_bytes)?, spares)?;
                if let Err(error) = self.seal(spares) {
                    // While a segment is open another spare may be ordered, which would use the same file. If
                    // the removal fails, the file is a prepared segment.
                    spare.discard(spares.directory()).ok();
                    return Err(error);
                }
                self.orders.kept = Some(spare);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Seals the segment and syncs it. Returns whether the file had room for a SEAL.
    pub(super) fn seal(&mut self, spares: &dyn SpareSource) -> Result<bool, Error> {
        let State::Open(open) = &self.state else { return Ok(false) };
        let file = open.watched.file.clone();
        if self.room_for_seal().is_some() {
            self.state_open(spares)?;
        }
        let sealed = self.write_seal(SealKind::Final)?;
        if self.rules.keeps(Rule::LinkAfterSync) {
            self.sync_all(spares)?;
        }
        if let State::Detached(detached) = &mut self.state {
            detached.unsynced = None;
        }
        // Nothing follows a final SEAL, so the file can be shrunk at once.
        if let Some(span) = self.segments.last()
            && sealed
            && span.file_bytes >= span.end.offset + WORTHWHILE_BYTES
            && file.resize(span.end.offset).is_ok()
        {
            let (segment, end_offset) = (span.life.segment, span.end.offset);
            self.shrink.shortened = Some(Shrinkable { segment, end_offset });
        }
        Ok(sealed)
    }

    /// How many index points fit the file with a SEAL: all, or none; `None` if even an empty SEAL does not
    /// fit.
    pub(super) fn room_for_seal(&self) -> Option<usize> {
        let State::Open(open) = &self.state else { return None };
        let fits = |points: &usize| self.segments.end.offset + seal_frame_bytes(*points) <= open.file_bytes;
        [open.index.points.len(), 0].into_iter().find(fits)
    }

    /// Returns whether the file had room for a SEAL. From then on no segment is open.
    pub(super) fn write_seal(&mut self, kind: SealKind) -> Result<bool, Error> {
        let points = self.room_for_seal();
        let State::Open(open) = &mut self.state else { return Ok(false) };
        if let Some(points) = points {
            let offset = self.segments.end.offset;
            let header = open.frame_header(self.segments.end, self.durability.point);
            let seal_bytes = seal_frame_bytes(points);
            open.seal.clear();
            open.seal.resize(usize::try_from(seal_bytes).expect("an index in memory fits a usize"), 0);
            let Index { previous, points: index, .. } = &open.index;
            let body = SealBody { kind, previous: *previous, points: &index[..points], sections: &[] };
            let chain = encode_seal_frame(&mut open.seal, header, open.header.life, offset, &body);
            if let Err(error) = open.watched.file.write_all(&open.seal, offset) {
                self.write_failed();
                return Err(error);
            }
            open.unsynced = true;
            self.segments.end = Tip { offset: offset + seal_bytes, chain, next: self.segments.end.next };
            self.segments.seal_offset = Some(offset);
        }
        let unsynced = open.unsynced.then(|| open.watched.file.clone());
        self.state = State::Detached(Detached { reason: LinkReason::Rollover, unsynced });
        Ok(points.is_some())
    }

    /// The time for a LINK or an index point, in nanoseconds since 1970. Never goes back, even when the clock
    /// is set back.
    pub(super) fn now_unix_ns(&mut self, directory: &dyn Directory) -> u64 {
        self.latest_unix_ns = self.latest_unix_ns.max(directory.now_unix_ns());
        self.latest_unix_ns
    }

    pub(super) fn point_unix_ns(&mut self, directory: &dyn Directory) -> Option<u64> {
        let wanted = matches!(&self.state, State::Open(open) if open.index.wants(self.segments.end.offset));
        wanted.then(|| self.now_unix_ns(directory))
    }

    pub(super) fn check_names(&mut self, spares: &dyn SpareSource) -> Result<(), Error> {
        spares.check_names().map_err(|error| self.poison_if_exchanged(error))
    }

    pub(super) fn poison_if_exchanged(&mut self, error: Error) -> Error {
        if matches!(error, Error::Exchanged { .. }) { self.poison(error) } else { error }
    }
}
