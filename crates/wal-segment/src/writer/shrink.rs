//! Giving back the space that closed segments do not need: what was reserved behind the end of the log in them.
//!
//! A life that is killed leaves its last segment oversized. Once the LINK of the next one is durable nobody writes
//! there again, and the file is shortened to that end.
//!
//! Invariant: only a segment that was the log's last one until its end was stated is shortened. Nobody has mapped
//! it further, because only closed segments are mapped. One in which a truncation has set the end back may be
//! mapped, here or in another process, up to its older end; it stays as it is.

use std::sync::Arc;

use wal_format::{SegmentName, SegmentNumber};

use super::Writer;
use crate::files::named::Named;
use crate::io::{Access, Directory};
use crate::segment::span::Span;

/// The end of the log in a closed segment whose file may be longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shrinkable {
    pub(super) segment: SegmentNumber,
    pub(super) end_offset: u64,
}

/// Which files have more space than the log needs in them.
#[derive(Debug)]
pub(super) struct Shrink {
    /// Segments whose files may be longer than they need be once they are closed.
    oversized: Vec<SegmentNumber>,
    /// This life has begun a segment. One that only reads leaves everything as it is.
    begun: bool,
    /// The segment that was sealed last, when its file was shortened.
    shortened: Option<Shrinkable>,
}

impl Shrink {
    /// As an open found them.
    pub(super) fn new(oversized: Vec<SegmentNumber>) -> Shrink {
        Shrink { oversized, begun: false, shortened: None }
    }

    /// The log goes on after this segment, whose file may be too long.
    pub(super) fn add(&mut self, segment: SegmentNumber) {
        self.oversized.push(segment);
    }

    pub(super) fn begin(&mut self) {
        self.begun = true;
    }

    /// A truncation has set the end of the log back into this segment, or before the first one.
    pub(super) fn forget_from(&mut self, segment: Option<SegmentNumber>) {
        self.oversized.retain(|&oversized| segment.is_none_or(|segment| oversized < segment));
    }

    /// The file of the last segment was shortened to the end of the log in it.
    pub(super) fn set_shortened(&mut self, span: Span) {
        self.shortened = Some(Shrinkable { segment: span.life.segment, end_offset: span.end.offset });
    }

    /// How long the file of this segment is, if it is the one that was shortened.
    pub(super) fn take_shortened(&mut self, segment: Option<SegmentNumber>) -> Option<u64> {
        self.shortened
            .take()
            .filter(|shortened| Some(shortened.segment) == segment)
            .map(|shortened| shortened.end_offset)
    }

    /// What the last segment has given back, and its span does not show yet.
    pub(super) fn given_back(&self, last: &Span) -> u64 {
        let shortened = self.shortened.filter(|shortened| shortened.segment == last.life.segment);
        shortened.map_or(0, |shortened| last.file_bytes.saturating_sub(shortened.end_offset))
    }
}

impl Writer {
    /// Whether there may be space to [give back](shrink).
    #[must_use]
    pub fn has_shrinkable(&self) -> bool {
        self.shrink.begun
            && !self.shrink.oversized.is_empty()
            && self.is_linked()
            && !self.durability.anchor_owed
    }

    /// Closed segments that are to be [shortened](shrink); what is left is given out by the next calls.
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

    /// The files of these are as long as the log's part in them.
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

/// Shortens these segments. Returns those for which that could be done; the others take space and do no harm. (Windows
/// refuses it for a file that is mapped.)
pub fn shrink(directory: &dyn Directory, mut shrinkable: Vec<Shrinkable>) -> Vec<Shrinkable> {
    shrinkable.retain(|&Shrinkable { segment, end_offset }| {
        let file = Named::open(directory, SegmentName::of(segment).as_str(), Access::ReadWrite);
        let shortened = file.and_then(|file| {
            // It is never made longer, whoever has shortened it.
            if file.length()? > end_offset { file.resize(end_offset) } else { Ok(()) }
        });
        shortened.is_ok()
    });
    shrinkable
}

/// A call does not wait for more files than this.
const AT_A_TIME: usize = 64;
/// Less than a block gives nothing back.
pub(super) const WORTHWHILE_BYTES: u64 = 4096;
