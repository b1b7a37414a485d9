//! From the last segment of a log back to a segment that the reader knows.
//!
//! ```text
//!  known    3 ─ 4 ─ 5          returned: entries before `next`
//!                   │ ▲
//!  newer            │ └─ 6 ─ 7     each LINK in between begins at `next` or after it: nothing was cut off
//!                   └─── 8         a LINK that begins before `next` has cut off returned entries
//! ```
//!
//! If the front was dropped with every known segment, and the oldest one left does not directly follow the
//! last known one, the LINK of a cut may have gone too: then the returned entries count as cut off.

use std::sync::Arc;

use wal_format::{Predecessor, SegmentNumber, Sequence};

use crate::error::{Damage, DamageKind, Error, Lost};
use crate::files::names::segment_path;
use crate::io::Directory;
use crate::recovery::chain::{before, open_span};
use crate::recovery::open::has_vanished;
use crate::recovery::stated_end::{contradicted, stated_span};
use crate::segment::head::{Linked, Site};
use crate::segment::snapshot::Snapshot;
use crate::segment::span::Span;

struct Newer {
    /// Latest first.
    segments: Vec<Arc<Linked>>,
    /// The index of the known span right before them.
    joined: Option<usize>,
}

/// The spans of the log from the segment of `next` on, oldest first; the last one as far as it is known. The
/// inner error says what does not fit, and may be changing.
///
/// # Errors
/// When files cannot be read.
pub(crate) fn trail(
    site: Site<'_>,
    last: &Arc<Linked>,
    known: &Snapshot,
    next: Sequence,
) -> Result<Result<Vec<Span>, Error>, Error> {
    let Newer { segments, joined } = match newer(site, last, known, next)? {
        Ok(newer) => newer,
        Err(unsteady) => return Ok(Err(unsteady)),
    };
    let highest = known.spans().next_back().map(|span| span.life.segment);
    if let Some(oldest) = segments.last().filter(|_| joined.is_none())
        && oldest.link.next == next
        && highest.is_some_and(|known| oldest.link.predecessor.is_some_and(|before| before.segment > known))
    {
        let file = oldest.file.path.to_path_buf();
        return Ok(Err(Error::CutOff { file, from: next }));
    }
    let mut spans: Vec<Span> = match joined {
        Some(at) => known.spans().take(at + 1).skip(known.find(next).min(at)).collect(),
        None => Vec::new(),
    };
    if let Some(gone) = joined.filter(|_| segments.is_empty()).and_then(|at| known.span(at + 1)) {
        // The segment was given up, and no other has its place yet. What it stated of the end before it is
        // void.
        if gone.start.next < next {
            let file = segment_path(site.directory, gone.life.segment);
            return Ok(Err(Error::CutOff { file, from: gone.start.next }));
        }
        if let Some(last) = spans.last_mut() {
            (last.end, last.seal_offset) = (last.start, None);
        }
    }
    for linked in segments.into_iter().rev() {
        if let Some(before) = spans.last_mut().filter(|_| linked.link.predecessor.is_some()) {
            *before = stated_span(&linked.link, *before);
        }
        spans.push(open_span(&linked));
    }
    match spans.first().map(|span| span.start.next) {
        Some(begins) if begins > next => {
            let lost = Lost::between(next, begins);
            Ok(Err(missing(site.directory, site.anchor.first_segment, lost)))
        }
        _ => Ok(Ok(spans)),
    }
}

fn newer(
    site: Site<'_>,
    last: &Arc<Linked>,
    known: &Snapshot,
    next: Sequence,
) -> Result<Result<Newer, Error>, Error> {
    let lowest = known.spans().next().map(|span| span.life.segment);
    let mut segments: Vec<Arc<Linked>> = Vec::new();
    let mut current = Arc::clone(last);
    loop {
        let life = current.header.life;
        if let Some(at) = known.spans().position(|span| span.life == life) {
            return Ok(Ok(Newer { segments, joined: Some(at) }));
        }
        let kept = current.link.next;
        if kept < next {
            // A false LINK has cut nothing off: check it.
            if let Some(predecessor) = current.link.predecessor
                && let Ok(before) = step_back(site, &current, predecessor, next)?
                && let Some(damage) = contradicted_end(&before, &current)
            {
                return Ok(Err(Error::Damaged(damage)));
            }
            let file = current.file.path.to_path_buf();
            return Ok(Err(Error::CutOff { file, from: kept }));
        }
        let is_first = life.segment == site.anchor.first_segment;
        segments.push(Arc::clone(&current));
        let is_wanted = |named: &Predecessor| !is_first && Some(named.segment) >= lowest;
        let Some(predecessor) = current.link.predecessor.filter(is_wanted) else {
            return Ok(Ok(Newer { segments, joined: None }));
        };
        let before = match step_back(site, &current, predecessor, next)? {
            Ok(linked) => linked,
            Err(unsteady) => return Ok(Err(unsteady)),
        };
        if let Some(damage) = contradicted_end(&before, &current) {
            return Ok(Err(Error::Damaged(damage)));
        }
        current = before;
    }
}

fn step_back(
    site: Site<'_>,
    current: &Linked,
    predecessor: Predecessor,
    next: Sequence,
) -> Result<Result<Arc<Linked>, Error>, Error> {
    let lost = Lost::from(next);
    match before(site, current, predecessor) {
        Err(error) if has_vanished(&error) => Ok(Err(missing(site.directory, predecessor.segment, lost))),
        found => Ok(found?.map_err(|damage| Error::Damaged(Damage { sequences: Some(lost), ..damage }))),
    }
}

fn contradicted_end(before: &Linked, after: &Linked) -> Option<Damage> {
    let span = stated_span(&after.link, open_span(before));
    contradicted(before, &span).map(|found| found.damage)
}

pub(crate) fn missing(directory: &dyn Directory, number: SegmentNumber, lost: Lost) -> Error {
    let file = segment_path(directory, number);
    Error::Damaged(Damage { file, offset: 0, sequences: Some(lost), kind: DamageKind::Missing })
}
