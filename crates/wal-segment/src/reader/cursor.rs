//! A read position in a growing log, within a segment and from one to the next.
//!
//! ```text
//!             handed out      seen now
//! segment 3   │ DATA DATA DATA │ DATA            renew: the same life of the segment, so only the end moves
//!                              ▲ offset, chain value
//! segment 4   │ LINK │ DATA                      renew: the number lies there, so it is begun
//! ```
//!
//! Invariant: an entry is returned only under the number that was asked for. A segment is opened once, at
//! that number; later appends to it are read from where the cursor stands.

use wal_format::{FrameFault, Life, Sequence};

use crate::error::{DamageKind, Error, Lost};
use crate::reader::entry::Entry;
use crate::reader::forward::Forward;
use crate::reader::lent::EntryRef;
use crate::reader::segments::source::SegmentSource;
use crate::segment::snapshot::Snapshot;

/// A read position in a log. Keeps its segment open, and no snapshot. A new one, by default, has no segment
/// yet.
#[derive(Default)]
pub struct Cursor {
    reading: Option<Forward>,
}

impl Cursor {
    /// Takes over a newer snapshot, and moves to the segment that holds `next`.
    ///
    /// # Errors
    /// When that segment cannot be opened; damage at the end of a segment that is left or passed.
    pub fn renew(
        &mut self,
        segments: &dyn SegmentSource,
        snapshot: &Snapshot,
        next: Sequence,
    ) -> Result<(), Error> {
        let index = snapshot.find(next);
        let Some(span) = snapshot.span(index) else {
            self.reading = None;
            return Ok(());
        };
        match &mut self.reading {
            Some(reading) if reading.frames.span.life == span.life && reading.can_reach(next) => {
                reading.frames.extend(span);
            }
            _ => {
                // The old segment is closed before the next one is opened.
                self.pass(segments, snapshot, index, next)?;
                self.reading = Some(Forward::begin(segments, span, next)?);
            }
        }
        Ok(())
    }

    /// Closes the segment after reading it, and those before the one at `index`, up to the ends that the
    /// snapshot states: nothing more may be in them.
    fn pass(
        &mut self,
        segments: &dyn SegmentSource,
        snapshot: &Snapshot,
        index: usize,
        next: Sequence,
    ) -> Result<(), Error> {
        let Some(mut reading) = self.reading.take() else { return Ok(()) };
        let left = snapshot.find_life(reading.frames.span.life);
        let Some((left, span)) = left.and_then(|left| Some((left, snapshot.span(left)?))) else {
            return Ok(());
        };
        if left >= index {
            return Ok(());
        }
        reading.frames.extend(span);
        if !reading.is_passed(next) {
            reading.next(next, next)?;
        }
        drop(reading);
        for span in (left + 1..index).filter_map(|passed| snapshot.span(passed)) {
            if span.start.offset < span.end.offset {
                Forward::begin(segments, span, next)?.next(next, next)?;
            }
        }
        Ok(())
    }

    /// Closes the segment, unless it is the last one of the snapshot.
    pub fn rest(&mut self, snapshot: &Snapshot) {
        let last = snapshot.spans().next_back().map(|span| span.life);
        if self.life() != last {
            self.reading = None;
        }
    }

    /// Closes the segment.
    pub fn leave(&mut self) {
        self.reading = None;
    }

    /// The life of the open segment.
    #[must_use]
    pub fn life(&self) -> Option<Life> {
        self.reading.as_ref().map(|reading| reading.frames.span.life)
    }

    /// Reads the entry with number `next`, the one after the last that was returned; `None` when the known
    /// part of the segment ends before it.
    ///
    /// # Errors
    /// Damage; [`Error::Io`].
    pub fn read(&mut self, next: Sequence) -> Result<Option<Entry>, Error> {
        let Some(reading) = &mut self.reading else { return Ok(None) };
        if reading.is_passed(next) {
            return Ok(None);
        }
        let found =
            if reading.next(next, Sequence::MAX)? { reading.lend().map(EntryRef::to_owned) } else { None };
        let is_there = found.as_ref().is_some_and(|entry| entry.sequence() == next);
        let span = reading.frames.span;
        if is_there || found.is_none() && next >= span.end.next {
            return Ok(found);
        }
        // The frames are in order, but their numbers are not those of the log here.
        let lost = Lost::between(next, span.end.next.max(next));
        Err(reading.frames.damaged(span.end.offset, lost, DamageKind::Frame(FrameFault::Order)))
    }
}
