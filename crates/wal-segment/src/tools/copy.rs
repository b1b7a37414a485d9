//! A copy of a log, also of one that is being written.
//!
//! ```text
//!  target empty ─▶ LOCK ─▶ segment ─▶ walked, synced ─▶ … ─▶ directory synced ─▶ ANCHOR, both slots ─▶ directory
//!                          up to the end that the snapshot has                   from here on it is a log
//! ```
//!
//! Invariants:
//! - The anchor is the last thing that is made, and it names the end of the copy as durable. Before it there are
//!   segments without an anchor, which every open refuses, or nothing; so no copy that was interrupted passes for a
//!   shorter log.
//! - Every frame was checked in the copy, behind its header, before the anchor is made.
//! - The files end where the log does. So an open of the copy has no room to go on in the last of them, and original and copy
//!   never write different frames in one life of a segment.
//!
//! While the lock of the log is held, what the snapshot holds is not written again in the source, and its lease keeps the files
//! there. A log that another process reopens meanwhile may take back what was not durable: such a copy fails its check.

use wal_format::{
    Anchor, DurablePoint, FIRST_FRAME_OFFSET, FrameFault, LOCK_FILE, SegmentName, SegmentNumber,
};

use crate::error::{Damage, DamageKind, Error, Lost, Operation, Place};
use crate::files::anchor::{self, AnchorFile, Slots};
use crate::files::named::{Named, remove, sync_directory};
use crate::files::names::Catalog;
use crate::files::writer_lock::WriterLock;
use crate::io::{Access, Directory};
use crate::recovery::open::{LOOKS, PAUSE, has_vanished};
use crate::rules::Rules;
use crate::salvage::losses_at;
use crate::segment::file::open_span;
use crate::segment::head::Head;
use crate::segment::snapshot::Snapshot;
use crate::segment::span::Span;
use crate::segment::walk::{self, Stop};

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyReport {
    /// The number of the first entry that is kept.
    pub first: u64,
    /// The number of the next entry: everything in front of it is in the copy, and durable there.
    pub next: u64,
    /// Segments that were copied.
    pub segments: u64,
    /// Bytes in their files.
    pub bytes: u64,
}

/// Copies what `snapshot` has of the log in `source` into `target`, which is empty but for a lock. Durable when it
/// returns. Reads every byte twice, and checks it.
///
/// # Errors
/// [`Error::NotEmpty`], [`Error::Locked`] for the target, and then nothing was changed. [`Error::Damaged`] when the
/// log is not whole; [`Error::Io`] with the file, of either directory. Then what was made in the target is removed; if
/// that fails too, what is left is refused by every open.
pub fn copy(
    source: &dyn Directory,
    snapshot: &Snapshot,
    target: &dyn Directory,
) -> Result<CopyReport, Error> {
    if let Some(damage) = snapshot.damage() {
        return Err(Error::Damaged(damage.clone()));
    }
    refuse_if_used(target)?;
    // Nobody makes a log there meanwhile.
    let _lock = WriterLock::take(target, Rules::default())?;
    refuse_if_used(target)?;
    let mut begun = Vec::new();
    copy_locked(source, snapshot, target, &mut begun).map_err(|error| {
        give_up(target, &begun);
        match error {
            Error::Damaged(damage) => Error::Damaged(losses_at(source, damage)),
            error => error,
        }
    })
}

fn refuse_if_used(target: &dyn Directory) -> Result<(), Error> {
    let listed = target.list().place(Operation::List, || target.path().to_path_buf(), None)?;
    match listed.into_iter().find(|listed| listed.name != LOCK_FILE) {
        None => Ok(()),
        Some(listed) => Err(Error::NotEmpty { directory: target.path().to_path_buf(), name: listed.name }),
    }
}

fn copy_locked(
    source: &dyn Directory,
    snapshot: &Snapshot,
    target: &dyn Directory,
    begun: &mut Vec<SegmentName>,
) -> Result<CopyReport, Error> {
    let (known, sections) = anchor_of(source)?;
    let (first, next) = (snapshot.first(), snapshot.next());
    let mut report = CopyReport { first: first.value(), next: next.value(), segments: 0, bytes: 0 };
    for span in snapshot.spans() {
        let from = open_span(source, &span)?;
        let name = SegmentName::of(span.life.segment);
        let to = Named::create(target, name.as_str())?;
        begun.push(name);
        copy_span(&from, &to, &span)?;
        check(&from, &to, &span, &known)?;
        report.segments += 1;
        report.bytes += span.end.offset;
    }
    sync_directory(target)?;
    let last = snapshot.spans().next_back();
    let point = |span: Span| {
        let Span { life, end, .. } = span;
        DurablePoint { segment: life.segment, offset: end.offset, next: end.next }
    };
    let anchor = Anchor {
        generation: 1,
        first,
        first_segment: snapshot.spans().next().map_or(SegmentNumber::FIRST, |span| span.life.segment),
        active: last.map(|span| (span.life.segment, span.life.salt)),
        durable: last.map(point),
        seal_offset: None,
        ..known
    };
    AnchorFile::remake(target, &Catalog::default(), anchor, sections, Rules::default())?;
    Ok(report)
}

/// The identity and the settings of the log, and the sections behind them. Beside a writer the anchor may be in the making.
fn anchor_of(source: &dyn Directory) -> Result<(Anchor, Vec<u8>), Error> {
    for look in 1.. {
        let read = Catalog::read(source).and_then(|catalog| {
            let file = anchor::open(source, catalog.anchor, Access::Read)?;
            file.as_ref().map_or(Ok(Slots::NONE), Slots::read)
        });
        let slots = match read {
            Err(error) if has_vanished(&error) && look < LOOKS => Slots::NONE,
            read => read?,
        };
        if let Some(anchor) = slots.newest(Rules::default()) {
            return Ok((anchor, slots.sections));
        }
        if look >= LOOKS {
            let file = source.path().join(wal_format::ANCHOR_FILE);
            let kind = DamageKind::Anchor(slots.fault());
            return Err(Error::Damaged(Damage { file, offset: 0, sequences: None, kind }));
        }
        source.wait(PAUSE);
    }
    unreachable!("the loop ends by itself after the last look")
}

/// Copies what the log has in a segment, and makes it durable.
fn copy_span(from: &Named, to: &Named, span: &Span) -> Result<(), Error> {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut offset = 0;
    while offset < span.end.offset {
        let left =
            usize::try_from(span.end.offset - offset).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        let piece = &mut buffer[..left];
        let read = from.read_at(piece, offset)?;
        if read < left {
            let kind = DamageKind::EndsEarly { expected: span.end.offset };
            return Err(damaged(from, span, offset + read as u64, kind));
        }
        to.write_all(piece, offset)?;
        offset += left as u64;
    }
    to.sync()
}

const PIECE_BYTES: usize = 1 << 20;

/// Holds the copy of a segment against what the log says of it. What is wrong is said of the file it came from.
fn check(from: &Named, to: &Named, span: &Span, known: &Anchor) -> Result<(), Error> {
    let head = Head::read(to)?;
    for (offset, header) in head.copies() {
        // One copy would do for an open. A copy of the log is as good as new.
        match header {
            Ok(header) if header.life == span.life && header.log == known.log => {}
            Ok(_) => return Err(damaged(from, span, offset, DamageKind::OtherLife)),
            Err(fault) => return Err(damaged(from, span, offset, DamageKind::Header(fault))),
        }
    }
    match head.link(span.life) {
        Ok((link, chain)) if (link.next, chain) == (span.start.next, span.start.chain) => {}
        linked => {
            let fault = linked.err().unwrap_or(FrameFault::Order);
            return Err(damaged(from, span, FIRST_FRAME_OFFSET, DamageKind::Link(fault)));
        }
    }
    let walked = walk::walk(to, span.life, span.checksum, span.start, span.end.offset)?;
    let (tip, end) = (walked.tip, span.end);
    if (tip.offset, tip.chain) == (end.offset, end.chain) {
        let Some((lost, kind)) = span.contradiction(walked.last_first, tip.next) else { return Ok(()) };
        return Err(Error::Damaged(from.damage(tip.offset, Some(lost), kind)));
    }
    let kind = match walked.stop {
        Stop::Fault(fault) => DamageKind::Frame(fault),
        Stop::Sealed => DamageKind::WrongEnd { expected: end.offset },
    };
    Err(damaged(from, span, tip.offset, kind))
}

fn damaged(from: &Named, span: &Span, offset: u64, kind: DamageKind) -> Error {
    let lost = Lost::between(span.start.next, span.end.next);
    Error::Damaged(from.damage(offset, Some(lost), kind))
}

/// Removes what was made, the anchor first and for certain before the rest: what is left at any moment is no log, or
/// one that every open refuses.
fn give_up(target: &dyn Directory, begun: &[SegmentName]) {
    // When it is not there, or cannot be removed, the segments are removed all the same: an anchor whose segments are
    // missing is refused.
    remove(target, wal_format::ANCHOR_FILE).ok();
    sync_directory(target).ok();
    for name in begun {
        remove(target, name.as_str()).ok();
    }
}
