//! How far a log that was closed has gone on: states that the enumeration counts, because a power cut must be tried in
//! each of them.

use wal::sim::SimDisk;
use wal_format::{FrameHeader, Seal, SealKind, SegmentHeader};

use crate::oracle::disk::{Found, frames_of, held_segments};

/// How far a log that was closed has gone on in its last segment, as a disk shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GoesOn {
    /// The newest slot of the anchor says that the log is closed.
    Closed,
    /// It does not say so any more, and the last frame is the SEAL of the close.
    StatedOpen,
    /// Frames follow the SEAL of a close.
    Behind,
}

impl GoesOn {
    pub(crate) const ALL: [GoesOn; 3] = [GoesOn::Closed, GoesOn::StatedOpen, GoesOn::Behind];

    pub(crate) fn name(self) -> &'static str {
        match self {
            GoesOn::Closed => "of these: closed",
            GoesOn::StatedOpen => "of these: closed, and stated to be open",
            GoesOn::Behind => "of these: frames behind the SEAL of a close",
        }
    }

    /// None when the last segment was not closed.
    pub(crate) fn seen(disk: &SimDisk) -> Option<GoesOn> {
        let (anchor, held) = held_segments(disk);
        let last = held.last()?;
        let frames = frames_of(disk, last)?;
        let seal = frames.iter().rposition(|frame| is_close(disk, frame))?;
        let is_closed = anchor.is_some_and(|anchor| anchor.seal_offset == Some(frames[seal].start as u64));
        Some(match frames.len() - seal {
            _ if is_closed => GoesOn::Closed,
            1 => GoesOn::StatedOpen,
            _ => GoesOn::Behind,
        })
    }
}

fn is_close(disk: &SimDisk, frame: &Found) -> bool {
    let closes = || {
        let bytes = disk.contents(&frame.file)?;
        let life = SegmentHeader::decode(&bytes).ok()?.life;
        let header = FrameHeader::decode(&bytes[frame.start..], life, frame.start as u64).ok()?;
        let seal = Seal::decode(&bytes[frame.start..], &header).ok()?;
        Some(seal.kind == SealKind::Close)
    };
    closes() == Some(true)
}
