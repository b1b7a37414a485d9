//! The segment at the end of the log.

use std::sync::Arc;

use wal_format::{
    DurablePoint, FIRST_FRAME_OFFSET, FrameHeader, FrameKind, INDEX_SPACING_BYTES, IndexPoint, SegmentHeader,
    Sequence, seal_frame_bytes,
};

use crate::held::HeldFile;
use crate::named::Named;
use crate::span::{Span, Tip};
use crate::spare::Spare;

/// The segment that takes frames.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub(super) file: Named,
    pub(super) held: HeldFile,
    pub(super) header: SegmentHeader,
    pub(super) capacity: u64,
    /// Has room for a point for each stretch.
    pub(super) index: Vec<IndexPoint>,
    /// Has room for the SEAL with all of them.
    pub(super) seal: Vec<u8>,
    pub(super) unsynced: bool,
    /// Syncs of this segment that succeeded.
    pub(super) syncs: u64,
}

impl OpenSegment {
    /// A spare that takes frames from now on; and the room that came with it for the log's spans.
    pub(super) fn begin(spare: Spare) -> (OpenSegment, Arc<Vec<Span>>) {
        let Spare { file, held, header, capacity, index, seal, spans, .. } = spare;
        (OpenSegment { file, held, header, capacity, index, seal, unsynced: true, syncs: 0 }, spans)
    }

    /// Whether a frame fits, and behind it the SEAL with all index points.
    pub(super) fn has_room(&self, offset: u64, frame_bytes: u64) -> bool {
        offset + frame_bytes + seal_frame_bytes(self.index.len() + 1) <= self.capacity
    }

    pub(super) fn note(&mut self, offset: u64, first: Sequence) {
        let slot = |offset: u64| offset / INDEX_SPACING_BYTES;
        if self.index.last().is_none_or(|last| slot(last.offset) < slot(offset)) {
            self.index.push(IndexPoint { offset, first });
        }
    }

    /// Whether its syncs have been small. Then more of the time of a sync goes into noting that reserved
    /// space is in use than into the frames.
    pub(super) fn has_small_syncs(&self, offset: u64) -> bool {
        self.syncs > 0 && (offset - FIRST_FRAME_OFFSET) / self.syncs < SMALL_SYNC_BYTES
    }

    /// What a frame at `tip` says of its place; kind and counts are set by whoever encodes it.
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

/// Beyond this the noting is a small part of a sync, and the zeros take more than they give.
const SMALL_SYNC_BYTES: u64 = 64 << 10;
