//! Obsolete segments: before the first entry of the log, or cut off at its end.
//!
//! They are removed only after neither the anchor nor a LINK on the device needs them. The removals are not
//! synced: a file that comes back after a power cut is removed by the next open.

use wal_format::{SegmentName, SegmentNumber};

use crate::files::named::remove;
use crate::io::Directory;
use crate::segment::head::{Inspected, Site};
use crate::segment::span::Span;

/// Removes the files of these segments. A file that cannot be removed takes space and does no harm; the next
/// open tries again.
pub fn remove_obsolete(directory: &dyn Directory, segments: &[SegmentNumber]) {
    for &number in segments {
        remove(directory, SegmentName::of(number).as_str()).ok();
    }
}

/// Leaves out files that are unreadable or not known to be this log's.
pub(crate) fn obsolete_segments(site: Site<'_>, spans: &[Span]) -> Vec<SegmentNumber> {
    let Some(last) = spans.last() else { return Vec::new() };
    let is_obsolete = |&number: &SegmentNumber| {
        spans.binary_search_by_key(&number, |span| span.life.segment).is_err()
            && matches!(site.inspect(number), Ok(Some(Inspected::Linked(_))))
    };
    let below = site.catalog.segments.range(..last.life.segment);
    below.map(|(&number, _)| number).filter(is_obsolete).collect()
}
