//! Follows the LINKs from the last segment back to the first one.
//!
//! ```text
//!   first          …         last
//! ┌───────┐    ┌───────┐   ┌───────┐
//! │ LINK  │ ←─ │ LINK  │ ← │ LINK  │    each LINK names the segment before it and where that ended;
//! │ DATA… │    │ DATA… │   │ DATA… │    segments that no LINK on the way names are no part of the log
//! └───────┘    └───────┘   └───────┘
//! ```
//!
//! Reads only headers and LINKs, and the header of the frame at the end that a LINK states. The frames of a
//! closed segment are checked when they are read.

use std::sync::Arc;

use wal_format::{FIRST_FRAME_OFFSET, LinkReason, Predecessor, SegmentNumber};

use crate::error::{Damage, DamageKind, Error, Lost};
use crate::files::names::segment_path;
use crate::recovery::stated_end::{Contradicted, contradicted, stated_span};
use crate::segment::head::{Inspected, Linked, Site};
use crate::segment::span::{Span, Tip};

/// The segments of a log, oldest first. The end of the last one is still its start.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) spans: Vec<Span>,
    pub(crate) oldest_reason: LinkReason,
    pub(crate) broken: Option<Damage>,
    /// If a LINK contradicts the frames before it: the segment of those frames, and where they end.
    pub(crate) sound: Option<(Arc<Linked>, Tip)>,
    /// Segments whose files are longer than the log in them, and which no reader has mapped beyond it.
    pub(crate) oversized: Vec<SegmentNumber>,
}

/// Follows the LINKs from `last` back to the first segment that the anchor names, or to a LINK that begins
/// the log.
pub(crate) fn trace(site: Site<'_>, last: &Arc<Linked>) -> Result<Chain, Error> {
    let reason = last.link.reason;
    let mut chain = Chain {
        spans: vec![open_span(last)],
        oldest_reason: reason,
        broken: None,
        sound: None,
        oversized: Vec::new(),
    };
    let mut current = Arc::clone(last);
    while current.header.life.segment != site.anchor.first_segment {
        let Some(predecessor) = current.link.predecessor else { break };
        let linked = match before(site, &current, predecessor)? {
            Ok(linked) => linked,
            Err(damage) => {
                chain.broken = Some(damage);
                break;
            }
        };
        // A truncation may have moved the end back in a segment that a reader has mapped up to its older end.
        let number = predecessor.segment;
        let was_last = number.next() == Some(current.header.life.segment);
        if was_last
            && current.link.reason != LinkReason::Truncate
            && linked.file_bytes > predecessor.end_offset
        {
            chain.oversized.push(number);
        }
        let span = stated_span(&current.link, open_span(&linked));
        if let Some(Contradicted { damage, end }) = contradicted(&linked, &span) {
            (chain.broken, chain.sound) = (Some(damage), Some((linked, end)));
            break;
        }
        chain.spans.push(span);
        current = linked;
        chain.oldest_reason = current.link.reason;
    }
    chain.spans.reverse();
    Ok(chain)
}

/// The segment that the LINK of `current` names.
pub(crate) fn before(
    site: Site<'_>,
    current: &Linked,
    predecessor: Predecessor,
) -> Result<Result<Arc<Linked>, Damage>, Error> {
    let number = predecessor.segment;
    let damage = |offset, kind| Damage {
        file: segment_path(site.directory, number),
        offset,
        sequences: Some(Lost::before(current.link.next)),
        kind,
    };
    let lie = |words| Damage {
        file: current.file.path.to_path_buf(),
        ..damage(FIRST_FRAME_OFFSET, DamageKind::Contradiction(words))
    };
    if number >= current.header.life.segment || number < site.anchor.first_segment {
        return Ok(Err(lie("a LINK names a segment that cannot come before it")));
    }
    let found = site.inspect(number)?.map_or(Err((0, DamageKind::Missing)), Inspected::linked);
    let linked = match found {
        Ok(linked) => linked,
        Err((offset, kind)) => return Ok(Err(damage(offset, kind))),
    };
    let expected = predecessor.end_offset;
    if linked.file_bytes < expected {
        return Ok(Err(damage(linked.file_bytes, DamageKind::EndsEarly { expected })));
    }
    if expected < linked.start.offset || current.link.next < linked.start.next {
        return Ok(Err(lie("a LINK states an end that lies before the start of its segment")));
    }
    Ok(Ok(linked))
}

/// The longest chain below `hole` that reaches the first segment: what can still be read before a break. Its
/// last segment has to be walked to find its end.
pub(crate) fn trace_below(
    site: Site<'_>,
    hole: SegmentNumber,
) -> Result<Option<(Chain, Arc<Linked>)>, Error> {
    for &number in
        site.catalog.segments.range(site.anchor.first_segment..hole).rev().map(|(number, _)| number)
    {
        let Some(Inspected::Linked(last)) = site.inspect(number)? else { continue };
        let chain = trace(site, &last)?;
        if chain.broken.is_none() {
            return Ok(Some((chain, last)));
        }
    }
    Ok(None)
}

pub(crate) fn open_span(linked: &Linked) -> Span {
    Span {
        life: linked.header.life,
        checksum: linked.header.checksum,
        start: linked.start,
        end: linked.start,
        cut_inside: false,
        seal_offset: None,
        file_bytes: linked.file_bytes,
        begun_unix_ns: linked.link.begun_unix_ns,
        closed: false,
    }
}
