//! The file of a span, opened for reading.

use std::io::ErrorKind;

use wal_format::SegmentName;

use crate::error::{Damage, DamageKind, Error, Lost};
use crate::files::named::Named;
use crate::files::names::segment_path;
use crate::io::{Access, Directory};
use crate::segment::head::Head;
use crate::segment::span::Span;

/// Opens the file of a span and takes part in the lock on it, so that it is not used again for another
/// segment while this handle lives; a file that is gone, or ends before the span does, is damage. One that
/// is used again already is gone.
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
        // Where locks cannot be shared, no writer gets one alone either: no file is recycled.
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::Unsupported => {}
        locked => locked?,
    }
    let file_bytes = file.length()?;
    if file_bytes < span.end.offset {
        return Err(damaged(file_bytes, DamageKind::EndsEarly { expected: span.end.offset }));
    }
    // Between the opening and the lock somebody may have taken it. From here on nobody does.
    if has_another_life(&file, span)? {
        return Err(damaged(0, DamageKind::Missing));
    }
    Ok(file)
}

/// Whether a header says so, and none says otherwise. What cannot be read is damage that whoever reads there
/// is told of.
fn has_another_life(file: &Named, span: &Span) -> Result<bool, Error> {
    let head = Head::read(file)?;
    Ok(head.valid().next().is_some() && head.valid().all(|header| header.life != span.life))
}
