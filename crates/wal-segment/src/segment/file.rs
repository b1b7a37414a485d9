//! Opens the file of a span for reading.

use std::io::ErrorKind;

use wal_format::SegmentName;

use crate::error::{Damage, DamageKind, Error, Lost};
use crate::files::named::Named;
use crate::files::names::segment_path;
use crate::io::{Access, Directory};
use crate::segment::head::Head;
use crate::segment::span::Span;

/// Opens the file of a span and takes its shared lock, so that the writer does not recycle it while the
/// handle lives.
///
/// A file that is missing, recycled already, or shorter than the span is damage.
pub(crate) fn open_span(directory: &dyn Directory, span: &Span) -> Result<Named, Error> {
    let number = span.life.segment;
    let damaged = |offset, kind| {
        let sequences = Some(Lost::between(span.start.next, span.end.next));
        Error::Damaged(Damage { file: segment_path(directory, number), offset, sequences, kind })
    };
    let file = match Named::open(directory, SegmentName::of(number).as_str(), Access::Read) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            return Err(damaged(0, DamageKind::Missing));
        }
        opened => opened?,
    };
    match file.try_lock_shared() {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::WouldBlock => {
            return Err(damaged(0, DamageKind::Missing));
        }
        // Where locks cannot be shared, the writer cannot lock a file exclusively either, and recycles none.
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::Unsupported => {}
        locked => locked?,
    }
    let file_bytes = file.length()?;
    if file_bytes < span.end.offset {
        return Err(damaged(file_bytes, DamageKind::EndsEarly { expected: span.end.offset }));
    }
    // The writer may have recycled it between the opening and the lock, but not after that.
    if has_another_life(&file, span)? {
        return Err(damaged(0, DamageKind::Missing));
    }
    Ok(file)
}

/// Whether a valid header names another life and none names this one. An unreadable header is reported to the
/// reader that comes to it.
fn has_another_life(file: &Named, span: &Span) -> Result<bool, Error> {
    let head = Head::read(file)?;
    Ok(head.valid().next().is_some() && head.valid().all(|header| header.life != span.life))
}
