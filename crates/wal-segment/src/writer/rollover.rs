//! From one segment to the next: SEAL, LINK, cut.
//!
//! ```text
//! rollover   LINK durable ─▶ next segment prepared ─▶ SEAL ─▶ sync ─▶ LINK + first frame in one write
//! reopen                     next segment prepared ─▶ LINK + first frame in one write (where an open cannot go on)
//! cut        sync ─▶         next segment prepared ─▶ LINK alone ─▶ sync ─▶ anchor ─▶ frames
//! ```
//!
//! Whatever fails before the LINK is written leaves the log where it was; and where the next segment cannot be had, this one
//! goes on to take frames that it has room for.

use wal_format::{LinkReason, SealBody, SealKind, encode_seal_frame, seal_frame_bytes};

use super::shrink::WORTHWHILE_BYTES;
use super::{Detached, State, Writer};
use crate::error::Error;
use crate::io::Directory;
use crate::rules::Rule;
use crate::segment::index::Index;
use crate::segment::span::Tip;
use crate::spares::source::SpareSource;

impl Writer {
    /// Ends the segment if it has no room for a frame of this size, and the next one can be had. Otherwise makes sure that frames
    /// may be written to it.
    pub(super) fn end_if_full(&mut self, frame_bytes: u64, spares: &dyn SpareSource) -> Result<(), Error> {
        match &self.state {
            State::Open(open) if open.has_room(self.segments.end.offset, frame_bytes) => {
                self.state_open(spares)
            }
            State::Open(_) => {
                self.refuse_if_full_once_sealed(frame_bytes)?;
                self.check_names(spares)?;
                // `SpareAfterLink`: two files without a durable LINK would look like a segment that is missing. A log that is to
                // break `LinkAfterSync` does not sync here either.
                if !self.is_linked() && self.rules.keeps(Rule::LinkAfterSync) {
                    self.sync_all(spares)?;
                }
                let spare = self.take_spare(self.next_order(frame_bytes)?, spares)?;
                if let Err(error) = self.seal(spares) {
                    // While a segment is open another one may be ordered, which would use the same file. What cannot be
                    // removed is a prepared segment.
                    spare.discard(spares.directory()).ok();
                    return Err(error);
                }
                self.orders.kept = Some(spare);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ends the segment and makes all of it durable. Tells whether its file has room for a SEAL, and got one.
    pub(super) fn seal(&mut self, spares: &dyn SpareSource) -> Result<bool, Error> {
        let State::Open(open) = &self.state else { return Ok(false) };
        let file = open.file.clone();
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
        // Nothing follows a final SEAL, so what is after it can be given back at once.
        if let Some(span) = self.segments.last()
            && sealed
            && span.file_bytes >= span.end.offset + WORTHWHILE_BYTES
            && file.resize(span.end.offset).is_ok()
        {
            self.shrink.set_shortened(span);
        }
        Ok(sealed)
    }

    /// With how many index points a SEAL fits the file: all, none, or not at all.
    pub(super) fn room_for_seal(&self) -> Option<usize> {
        let State::Open(open) = &self.state else { return None };
        let fits = |points: &usize| self.segments.end.offset + seal_frame_bytes(*points) <= open.file_bytes;
        [open.index.points.len(), 0].into_iter().find(fits)
    }

    /// Writes a SEAL if there is room for one, and tells whether it did. From then on the log is detached.
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
            if let Err(error) = open.file.write_all(&open.seal, offset) {
                self.write_failed();
                return Err(error);
            }
            open.unsynced = true;
            self.segments.end = Tip { offset: offset + seal_bytes, chain, next: self.segments.end.next };
            self.segments.seal_offset = Some(offset);
        }
        let unsynced = open.unsynced.then(|| open.file.clone());
        self.state = State::Detached(Detached { reason: LinkReason::Rollover, unsynced });
        Ok(points.is_some())
    }

    /// The time for a LINK or an index point, in nanoseconds since 1970. The clock may be set back; what is written keeps its
    /// order.
    pub(super) fn now_unix_ns(&mut self, directory: &dyn Directory) -> u64 {
        self.latest_unix_ns = self.latest_unix_ns.max(directory.now_unix_ns());
        self.latest_unix_ns
    }

    /// The time of an index point for the frame that is written next; none when it gets no point.
    pub(super) fn point_unix_ns(&mut self, directory: &dyn Directory) -> Option<u64> {
        let wanted = matches!(&self.state, State::Open(open) if open.index.wants(self.segments.end.offset));
        wanted.then(|| self.now_unix_ns(directory))
    }

    /// Before a segment is begun: the names still lead to what the log has open.
    pub(super) fn check_names(&mut self, spares: &dyn SpareSource) -> Result<(), Error> {
        spares.check_names().map_err(|error| self.poison_if_exchanged(error))
    }

    /// Behind an exchange nothing more is accepted; any other error stays what it is.
    pub(super) fn poison_if_exchanged(&mut self, error: Error) -> Error {
        if matches!(error, Error::Exchanged { .. }) { self.poison(error) } else { error }
    }
}
