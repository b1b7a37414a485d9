//! Segments that are no part of the log any more: in front of its first entry, or cut off.
//!
//! Whoever removes one has seen to it that neither the anchor nor a LINK on the device needs it. The names
//! are not synced: a file that comes back after a loss of power is removed by the next open.

use wal_format::{SegmentName, SegmentNumber};

use crate::files::named::remove;
use crate::io::Directory;
use crate::segment::head::{Inspected, Site};
use crate::segment::span::Span;

/// Removes the files of these segments. One that cannot be removed takes space and does no harm; the next
/// open tries again.
pub fn remove_obsolete(directory: &dyn Directory, segments: &[SegmentNumber]) {
    for &number in segments {
        remove(directory, SegmentName::of(number).as_str()).ok();
    }
}

/// The segments of this log below its last one that are no part of it. What cannot be read, or is not
/// known to be this log's, is left alone.
pub(crate) fn leftovers(site: Site<'_>, spans: &[Span]) -> Vec<SegmentNumber> {
    let Some(last) = spans.last() else { return Vec::new() };
    let is_left = |&number: &SegmentNumber| {
        spans.binary_search_by_key(&number, |span| span.life.segment).is_err()
            && matches!(site.inspect(number), Ok(Some(Inspected::Linked(_))))
    };
    let below = site.catalog.segments.range(..last.life.segment);
    below.map(|(&number, _)| number).filter(is_left).collect()
}
