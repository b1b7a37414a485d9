//! The open segment, at the end of the log: begun from a spare, or gone on in after an open; whether a frame fits.

use std::sync::Arc;

use wal_format::{DurablePoint, FIRST_FRAME_OFFSET, FrameHeader, FrameKind, SegmentHeader, seal_frame_bytes};

use super::Settings;
use crate::error::Error;
use crate::files::watched::WatchedFile;
use crate::rules::{Rule, Rules};
use crate::segment::head::Linked;
use crate::segment::index::Index;
use crate::segment::span::{Span, Tip};
use crate::spares::spare::Spare;

#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub(super) watched: WatchedFile,
    pub(super) header: SegmentHeader,
    pub(super) file_bytes: u64,
    /// The offset at which it is full, in bytes.
    pub(super) capacity: u64,
    /// Has capacity for a point for each stretch.
    pub(super) index: Index,
    pub(super) seal: Vec<u8>,
    pub(super) unsynced: bool,
    pub(super) syncs: u64,
    /// Where an open found its end; `None` if this process began the segment.
    pub(super) found_end: Option<u64>,
}

impl OpenSegment {
    /// Also returns the memory for the list of spans that came with the spare.
    pub(super) fn begin(spare: Spare, begun_unix_ns: u64) -> (OpenSegment, Arc<Vec<Span>>) {
        let Spare { watched, header, capacity, index, seal, spans, .. } = spare;
        let index = Index::new(begun_unix_ns, index);
        let open = OpenSegment {
            watched,
            header,
            file_bytes: capacity,
            capacity,
            index,
            seal,
            unsynced: true,
            syncs: 0,
            found_end: None,
        };
        (open, spans)
    }

    /// Opens the last segment for appending, as far as its file and the settings leave room.
    ///
    /// # Errors
    /// What the system reports.
    pub(crate) fn go_on(
        last: &Linked,
        span: &Span,
        settings: Settings,
        gathered: &Index,
        rules: Rules,
    ) -> Result<OpenSegment, Error> {
        let mut file_bytes = last.file_bytes;
        if file_bytes < settings.segment_bytes && !rules.keeps(Rule::LengthStays) {
            last.file.resize(settings.segment_bytes)?;
            file_bytes = settings.segment_bytes;
        }
        let capacity = file_bytes.min(settings.segment_bytes);
        // Set up as if from a spare. Earlier processes may have collected more points, when segments were
        // larger.
        let longest = capacity.max(span.end.offset);
        let spare = Spare::new(last.file.clone(), last.header, longest, file_bytes, 0)?;
        let (mut open, _) = OpenSegment::begin(spare, last.link.begun_unix_ns);
        open.index.go_on(gathered);
        Ok(OpenSegment { file_bytes, capacity, unsynced: false, found_end: Some(span.end.offset), ..open })
    }

    pub(super) fn is_as_found(&self, end: Tip) -> bool {
        self.found_end == Some(end.offset)
    }

    /// The longest frame at `offset`, in bytes, after which the SEAL with all index points fits.
    pub(super) fn room(&self, offset: u64) -> u64 {
        self.capacity.saturating_sub(offset + seal_frame_bytes(self.index.points.len() + 1))
    }

    /// Whether its syncs were small. Then most of a sync's time goes into metadata of the reserved space, not
    /// into frames.
    pub(super) fn has_small_syncs(&self, offset: u64) -> bool {
        self.syncs > 0 && (offset - FIRST_FRAME_OFFSET) / self.syncs < SMALL_SYNC_BYTES
    }

    /// The header of a frame at `tip`. Kind and counts are set when it is encoded.
    pub(super) fn frame_header(&self, tip: Tip, durable: Option<DurablePoint>) -> FrameHeader {
        let here = durable.filter(|point| point.segment == self.header.life.segment);
        FrameHeader {
            previous: tip.chain,
            first: tip.next,
            kind: FrameKind::Data,
            payload_bytes: 0,
            entries: 0,
            durable_offset: here.map_or(FIRST_FRAME_OFFSET, |point| point.offset),
            table_crc: 0,
        }
    }
}

/// For larger syncs the metadata is a small part, and zeroing costs more than it saves.
const SMALL_SYNC_BYTES: u64 = 64 << 10;
