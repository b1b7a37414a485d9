//! The highest linked segment: where its frames end, by a walk, and what lies after them.

use wal_format::{Anchor, FIRST_FRAME_OFFSET, FRAME_ALIGN, FRAME_HEADER_BYTES, FrameFault, Sequence};

use crate::error::{Damage, DamageKind, Error, Lost};
use crate::files::window::Window;
use crate::recovery::evidence::{self, Evidence};
use crate::recovery::settle::Purpose;
use crate::segment::frame::Frame;
use crate::segment::head::Linked;
use crate::segment::span::Tip;
use crate::segment::walk::{self, Stop, Walked};

pub(crate) struct LastSegment {
    pub(crate) walked: Walked,
    pub(crate) evidence: Evidence,
    /// The furthest durable point that the anchor or a frame after the end states, as an offset.
    pub(crate) durable_offset: u64,
    pub(crate) stated_close: bool,
}

impl LastSegment {
    pub(crate) fn observe(last: &Linked, anchor: &Anchor, purpose: Purpose) -> Result<LastSegment, Error> {
        let closed = closed_by_anchor(last, anchor)?;
        let stated_close = closed.is_some();
        let mut walked = match closed {
            Some(walked) => walked,
            None => walk_linked(last, last.start, last.file_bytes)?,
        };
        // A writer withdraws the anchor's close before it writes a frame after it. So one frame header is
        // enough to see whether this anchor is older than the segment.
        let one_look = stated_close && purpose != Purpose::Verify;
        let looked_at = if one_look { FRAME_HEADER_BYTES as u64 } else { last.file_bytes };
        let mut evidence = evidence_after(last, walked.tip, looked_at)?;
        let segment = last.header.life.segment;
        let anchored = anchor.durable.filter(|point| point.segment == segment).map(|point| point.offset);
        let stated = anchored.max(evidence.durable_offset);
        let durable_offset = stated.unwrap_or(FIRST_FRAME_OFFSET);
        // Beside a writer, bytes after the tip may have been written since the walk. Then another walk gets
        // further; damage stops it at the same place.
        for _ in 0..FURTHER_WALKS {
            if evidence.genuine_end.is_none() || walked.stop == Stop::Sealed || stated_close {
                break;
            }
            let further = walk_linked(last, walked.tip, last.file_bytes)?;
            if further.tip == walked.tip {
                break;
            }
            let stated_durable = walked.stated_durable.max(further.stated_durable);
            walked = Walked { stated_durable, seal: further.seal.or(walked.seal), ..further };
            evidence = if walked.tip.offset < durable_offset {
                evidence_after(last, walked.tip, last.file_bytes)?
            } else {
                Evidence::default()
            };
        }
        Ok(LastSegment { walked, evidence, durable_offset, stated_close })
    }

    /// The damage when the walk ended before the durable point.
    pub(crate) fn damage(&self, anchor: &Anchor, last: &Linked) -> Damage {
        let Tip { offset, next, .. } = self.walked.tip;
        let anchored = anchor.durable.filter(|point| point.segment == last.header.life.segment);
        // No durable frame is missing, but the log would begin after its end.
        let begins_later = (next < anchor.first && offset >= self.durable_offset).then_some(anchor.first);
        // Nothing follows the SEAL of a close that the anchor states.
        let is_closed = anchor.seal_offset.is_some() && !self.stated_close;
        let closed = anchored.filter(|_| is_closed).map(|point| point.next.max(next));
        let until = self.evidence.resumes_at.or(begins_later).or(closed);
        let to_next_frame = until.map_or(Lost::from(next), |until| Lost::between(next, until));
        let (sequences, kind) = match self.walked.stop {
            Stop::Sealed | Stop::Fault(FrameFault::Blank | FrameFault::Short)
                if begins_later.is_some() && self.evidence.genuine_end.is_none() =>
            {
                let kind = "the log ends here, before the first entry that the anchor states";
                (to_next_frame, DamageKind::Contradiction(kind))
            }
            _ if self.stated_close => {
                let kind = "frames follow the SEAL at which the anchor says that the log was closed";
                (to_next_frame, DamageKind::Contradiction(kind))
            }
            Stop::Sealed => (to_next_frame, DamageKind::Contradiction("frames follow a final SEAL")),
            Stop::Fault(fault @ FrameFault::Payload { entry }) => {
                let start = next.advance(u64::from(entry)).unwrap_or(Sequence::MAX);
                (Lost::one(start), DamageKind::Frame(fault))
            }
            Stop::Fault(fault) => (to_next_frame, DamageKind::Frame(fault)),
        };
        last.file.damage(offset, Some(sequences), kind)
    }
}

const FURTHER_WALKS: u32 = 3;

fn evidence_after(last: &Linked, tip: Tip, bytes: u64) -> Result<Evidence, Error> {
    let Linked { file, header, file_bytes, .. } = last;
    let limit = tip.offset.saturating_add(bytes).min(*file_bytes);
    evidence::search(file, header, tip.offset, Some(tip.next), limit)
}

/// The end of a closed log as the anchor states it, found without a walk, so that the time to open a closed
/// log does not depend on its size.
fn closed_by_anchor(last: &Linked, anchor: &Anchor) -> Result<Option<Walked>, Error> {
    let (Some(point), Some(seal_offset)) = (anchor.durable, anchor.seal_offset) else { return Ok(None) };
    let life = last.header.life;
    let is_last = anchor.active == Some((life.segment, life.salt)) && point.segment == life.segment;
    let is_place = seal_offset.is_multiple_of(FRAME_ALIGN)
        && (last.start.offset..last.file_bytes).contains(&seal_offset);
    if !is_last || seal_offset != point.offset || !is_place {
        return Ok(None);
    }
    let Some(mut walked) = seal_at(last, seal_offset)?.filter(|walked| walked.tip.next == point.next) else {
        // The SEAL was not synced, and a power cut lost it.
        return Ok(None);
    };
    // A SEAL without points names the last one that has some.
    if let Some(previous) = walked.index.previous.filter(|&previous| previous < seal_offset)
        && let Some(before) = seal_at(last, previous)?
    {
        walked.index = before.index;
    }
    Ok(Some(walked))
}

fn seal_at(last: &Linked, offset: u64) -> Result<Option<Walked>, Error> {
    let Linked { file, header, .. } = last;
    let Ok(seal) = Frame::read(file, header.life, header.checksum, offset)? else { return Ok(None) };
    let walked = walk_linked(last, seal.before(), seal.end.min(last.file_bytes))?;
    Ok(Some(walked).filter(|walked| walked.ends_with_seal(|seal| seal.offset == offset)))
}

pub(crate) fn walk_linked(last: &Linked, start: Tip, limit: u64) -> Result<Walked, Error> {
    walk::walk(&last.file, last.header.life, last.header.checksum, start, limit)
}

/// The number of the first entry at or after `until`, by the headers of the frames before it, from the frame
/// at `offset` on, whose first entry is `number`.
pub(crate) fn number_between(
    last: &Linked,
    offset: u64,
    mut number: Sequence,
    until: u64,
) -> Result<Sequence, Error> {
    let mut window = Window::new(&last.file, until);
    let mut at = offset;
    while at < until {
        let bytes = window.bytes_at(at, FRAME_HEADER_BYTES)?;
        let Ok(frame) = Frame::decode(bytes, last.header.life, last.header.checksum, at) else { break };
        number = frame.after().map_or(number, |after| after.next);
        at = frame.end;
    }
    Ok(number)
}
