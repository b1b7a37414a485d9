//! Shrinks closed segments: frees the space that was reserved after the end of the log in them.
//!
//! A process that is killed leaves its last segment oversized. Once the LINK of the next one is durable, the
//! writer never writes there again, and the file is shortened to that end.
//!
//! Invariant: only a segment that was the log's last one until its end was stated is shortened. No reader has
//! mapped it further, because only closed segments are mapped. A segment in which a truncation moved the end
//! back may be mapped up to its older end, here or in another process; it keeps its length.

use std::sync::Arc;

use wal_format::{SegmentName, SegmentNumber};

use super::Writer;
use crate::files::named::Named;
use crate::io::{Access, Directory};
use crate::segment::span::Span;

/// A closed segment whose file may be longer than the log in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shrinkable {
    pub(super) segment: SegmentNumber,
    pub(super) end_offset: u64,
}

#[derive(Debug, Default)]
pub(super) struct Shrink {
    /// Segments whose files may be too long once they are closed.
    pub(super) oversized: Vec<SegmentNumber>,
    /// This process has begun to append. One that only reads leaves every file as it is.
    pub(super) begun: bool,
    /// The segment that was sealed last, if its file was shortened.
    pub(super) shortened: Option<Shrinkable>,
}

impl Shrink {
    /// Forgets segments from this one on: a truncation has moved the end of the log back into it, or before
    /// the first one.
    pub(super) fn forget_from(&mut self, segment: Option<SegmentNumber>) {
        self.oversized.retain(|&oversized| segment.is_none_or(|segment| oversized < segment));
    }

    pub(super) fn take_shortened(&mut self, segment: Option<SegmentNumber>) -> Option<u64> {
        self.shortened
            .take()
            .filter(|shortened| Some(shortened.segment) == segment)
            .map(|shortened| shortened.end_offset)
    }

    /// How many bytes the last segment was shortened by that its span does not show yet.
    pub(super) fn freed_bytes(&self, last: &Span) -> u64 {
        let shortened = self.shortened.filter(|shortened| shortened.segment == last.life.segment);
        shortened.map_or(0, |shortened| last.file_bytes.saturating_sub(shortened.end_offset))
    }
}

impl Writer {
    /// Whether there may be segments to [shrink](shrink).
    #[must_use]
    pub fn has_shrinkable(&self) -> bool {
        self.shrink.begun
            && !self.shrink.oversized.is_empty()
            && self.is_linked()
            && !self.durability.anchor_owed
    }

    /// Closed segments to [shrink](shrink), up to 64; later calls return the others.
    pub fn take_shrinkable(&mut self) -> Vec<Shrinkable> {
        if !self.has_shrinkable() {
            return Vec::new();
        }
        let left = self.shrink.oversized.len().saturating_sub(AT_A_TIME);
        let last = self.segments.spans.len().saturating_sub(1);
        let spans = &self.segments.spans[..last];
        let shrinkable = self.shrink.oversized.drain(left..).filter_map(|segment| {
            let span = &spans[spans.binary_search_by_key(&segment, |span| span.life.segment).ok()?];
            let is_long = span.file_bytes.saturating_sub(span.end.offset) >= WORTHWHILE_BYTES;
            is_long.then_some(Shrinkable { segment, end_offset: span.end.offset })
        });
        shrinkable.collect()
    }

    /// Reports that the files of these segments have been shortened.
    pub fn shrunk(&mut self, shortened: &[Shrinkable]) {
        if shortened.is_empty() {
            return;
        }
        for span in Arc::make_mut(&mut self.segments.spans) {
            let here = |shrinkable: &&Shrinkable| {
                (shrinkable.segment, shrinkable.end_offset) == (span.life.segment, span.end.offset)
            };
            if let Some(shrinkable) = shortened.iter().find(here) {
                span.file_bytes = shrinkable.end_offset;
            }
        }
    }
}

/// Shortens the files of these segments. Returns those that were shortened; a file that cannot be shortened
/// takes space and does no harm. (Windows refuses it for a mapped file.)
pub fn shrink(directory: &dyn Directory, mut shrinkable: Vec<Shrinkable>) -> Vec<Shrinkable> {
    shrinkable.retain(|&Shrinkable { segment, end_offset }| {
        let file = Named::open(directory, SegmentName::of(segment).as_str(), Access::ReadWrite);
        let shortened = file.and_then(|file| {
            // Never make it longer: another program may have shortened it.
            if file.length()? > end_offset { file.resize(end_offset) } else { Ok(()) }
        });
        shortened.is_ok()
    });
    shrinkable
}

const AT_A_TIME: usize = 64;
/// Less than a block frees nothing.
pub(super) const WORTHWHILE_BYTES: u64 = 4096;
