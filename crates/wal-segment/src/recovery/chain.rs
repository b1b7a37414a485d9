//! From a linked segment back to the first one, along the LINKs.
//!
//! ```text
//!   first          …         last
//! ┌───────┐    ┌───────┐   ┌───────┐
//! │ LINK  │ ←─ │ LINK  │ ← │ LINK  │    each LINK names the segment before it and where that ended;
//! │ DATA… │    │ DATA… │   │ DATA… │    segments that no LINK on the way names are no part of the log
//! └───────┘    └───────┘   └───────┘
//! ```
//!
//! Only headers and LINKs are read, and the header of the frame that ends where a LINK says: a closed segment's frames
//! are checked when they are read.

use std::sync::Arc;

use wal_format::{FIRST_FRAME_OFFSET, LinkReason, LogId, SegmentNumber};

use crate::error::{Damage, DamageKind, Error, Lost};
use crate::files::names::{Catalog, segment_path};
use crate::io::{Access, Directory};
use crate::recovery::stated_end::{Contradicted, contradicted, stated_span};
use crate::segment::head::{Inspected, Linked, inspect};
use crate::segment::span::{Span, Tip};

/// The segments of a log, oldest first. The last one's end is not known yet: it equals its start.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) spans: Vec<Span>,
    /// Why the oldest of them was begun.
    pub(crate) oldest_reason: LinkReason,
    /// Where the chain broke, if it did not reach the first segment.
    pub(crate) broken: Option<Damage>,
    /// Where it broke because a LINK contradicts the frames before it: their segment, and where they end.
    pub(crate) sound: Option<(Arc<Linked>, Tip)>,
    /// Segments whose files are longer than the log's part in them, and which nobody has mapped further.
    pub(crate) long: Vec<SegmentNumber>,
}

/// Follows the LINKs from `last` back to `first_segment`, or to a LINK that begins the log.
pub(crate) fn trace(
    directory: &dyn Directory,
    catalog: &Catalog,
    log: LogId,
    first_segment: SegmentNumber,
    last: &Arc<Linked>,
) -> Result<Chain, Error> {
    let mut spans = vec![open_span(last)];
    let mut current = Arc::clone(last);
    let mut broken = None;
    let mut sound = None;
    let mut long = Vec::new();
    while current.header.life.segment != first_segment {
        let Some(predecessor) = current.link.predecessor else { break };
        let number = predecessor.segment;
        let damage = |offset, kind| Damage {
            file: segment_path(directory, number),
            offset,
            sequences: Some(Lost::before(current.link.next)),
            kind,
        };
        if number >= current.header.life.segment || number < first_segment {
            let kind = DamageKind::Contradiction("a LINK names a segment that cannot come before it");
            broken =
                Some(Damage { file: current.file.path.to_path_buf(), ..damage(FIRST_FRAME_OFFSET, kind) });
            break;
        }
        let Some(&kind) = catalog.segments.get(&number) else {
            broken = Some(damage(0, DamageKind::Missing));
            break;
        };
        let linked = match inspect(directory, log, number, kind, Access::Read, |_| Ok(())) {
            Ok(Inspected::Linked(linked)) => linked,
            Ok(Inspected::Alien(kind)) => {
                broken = Some(damage(0, kind));
                break;
            }
            Ok(Inspected::Unlinked(unlinked)) => {
                let (offset, kind) = unlinked.damage();
                broken = Some(damage(offset, kind));
                break;
            }
            Err(error) => return Err(error),
        };
        let end = Tip { offset: predecessor.end_offset, chain: current.link.chain, next: current.link.next };
        if linked.file_bytes < end.offset {
            broken = Some(damage(linked.file_bytes, DamageKind::EndsEarly { expected: end.offset }));
            break;
        }
        if end.offset < linked.start.offset || end.next < linked.start.next {
            let kind = DamageKind::Contradiction("a LINK names an end in front of its segment's start");
            broken =
                Some(Damage { file: current.file.path.to_path_buf(), ..damage(FIRST_FRAME_OFFSET, kind) });
            break;
        }
        // Where a truncation has set the end back, somebody may have mapped the segment up to its older end.
        let was_last = number.next() == Some(current.header.life.segment);
        if was_last && current.link.reason != LinkReason::Truncate && linked.file_bytes > end.offset {
            long.push(number);
        }
        let span = stated_span(&linked, &current.link, open_span(&linked));
        if let Some(Contradicted { damage, end }) = contradicted(&linked, &span) {
            (broken, sound) = (Some(damage), Some((linked, end)));
            break;
        }
        spans.push(span);
        current = linked;
    }
    spans.reverse();
    Ok(Chain { spans, oldest_reason: current.link.reason, broken, sound, long })
}

/// The longest chain below `hole` that reaches the first segment: what can still be read in front of
/// a break. The end of its last segment is found by walking it.
pub(crate) fn trace_below(
    directory: &dyn Directory,
    catalog: &Catalog,
    log: LogId,
    first_segment: SegmentNumber,
    hole: SegmentNumber,
) -> Result<Option<(Chain, Arc<Linked>)>, Error> {
    for (&number, &kind) in catalog.segments.range(first_segment..hole).rev() {
        let Inspected::Linked(last) = inspect(directory, log, number, kind, Access::Read, |_| Ok(()))? else {
            continue;
        };
        let chain = trace(directory, catalog, log, first_segment, &last)?;
        if chain.broken.is_none() {
            return Ok(Some((chain, last)));
        }
    }
    Ok(None)
}

/// The span of a segment of which nothing but its LINK is known.
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
