//! Copies a log, also while it is being written (a hot backup).
//!
//! ```text
//!  target empty ─▶ LOCK ─▶ segment ─▶ walked, synced ─▶ … ─▶ directory synced ─▶ ANCHOR, both slots ─▶ directory
//!                          up to the end that the snapshot has                   from here on it is a log
//! ```
//!
//! Invariants:
//! - The anchor is made last, and names the end of the copy as durable. Before it there are segments without
//!   an anchor, which every open refuses, or nothing. So an interrupted copy never passes for a shorter log.
//! - Every frame was checked in the copy, from its header on, before the anchor is made.
//! - The files end where the log does. So an open of the copy cannot append to the last of them, and original
//!   and copy never write different frames in one life of a segment.
//!
//! While the lock of the log is held, the bytes of the snapshot do not change in the source, and its lease
//! keeps the files. If another process opens the log again meanwhile, entries that were not durable may be
//! gone: such a copy fails its check.

use wal_format::{
    Anchor, DurablePoint, FIRST_FRAME_OFFSET, FrameFault, LOCK_FILE, SegmentName, SegmentNumber,
};

use crate::error::{DamageKind, Error, Lost, Operation, Place};
use crate::files::anchor::{self, AnchorFile, Slots};
use crate::files::named::{Named, remove, sync_directory};
use crate::files::names::Catalog;
use crate::files::writer_lock::WriterLock;
use crate::io::Directory;
use crate::recovery::open::{LOOKS, PAUSE, has_vanished};
use crate::rules::Rules;
use crate::salvage::losses_at;
use crate::segment::file::open_span;
use crate::segment::head::Head;
use crate::segment::snapshot::Snapshot;
use crate::segment::span::Span;
use crate::segment::walk::{self, Stop};

/// The result of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyReport {
    /// The first entry of the copy.
    pub first: u64,
    /// The number of the next entry: everything before it is durable in the copy.
    pub next: u64,
    /// How many segments were copied.
    pub segments: u64,
    /// The sum of their file lengths, in bytes.
    pub bytes: u64,
}

/// Copies the log in `source`, as of `snapshot`, into `target`, which must be empty except for a lock file.
/// Durable on return. Reads every byte twice, and checks it.
///
/// # Errors
/// [`Error::NotEmpty`] or [`Error::Locked`] for the target, and then nothing was changed. [`Error::Damaged`]
/// when the log is not whole; [`Error::Io`] with the file, of either directory. Then the files in the target
/// are removed; if that fails too, every open refuses what is left.
pub fn copy(
    source: &dyn Directory,
    snapshot: &Snapshot,
    target: &dyn Directory,
) -> Result<CopyReport, Error> {
    if let Some(damage) = snapshot.damage() {
        return Err(Error::Damaged(damage.clone()));
    }
    refuse_if_used(target)?;
    // The lock keeps a log from being created there meanwhile.
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

/// The identity and the settings of the log, and the anchor's sections. Beside a writer the anchor may be
/// just being made.
fn anchor_of(source: &dyn Directory) -> Result<(Anchor, Vec<u8>), Error> {
    for look in 1.. {
        let read = Catalog::read(source).and_then(|catalog| Slots::find(source, catalog.anchor));
        let slots = match read {
            Err(error) if has_vanished(&error) && look < LOOKS => Slots::NONE,
            read => read?,
        };
        if let Some(anchor) = slots.newest(Rules::default()) {
            return Ok((anchor, slots.sections));
        }
        if look >= LOOKS {
            return Err(Error::Damaged(anchor::damage(source, DamageKind::Anchor(slots.fault()))));
        }
        source.wait(PAUSE);
    }
    unreachable!("the loop ends by itself after the last look")
}

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

/// Checks the copy of a segment against the log. Damage is reported for the source file.
fn check(from: &Named, to: &Named, span: &Span, known: &Anchor) -> Result<(), Error> {
    let head = Head::read(to)?;
    for (offset, header) in head.copies() {
        // An open needs one valid header, but a copy must be as good as new.
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

/// Removes the new files, the anchor first and durably: what is left at any moment is no log, or one that
/// every open refuses.
fn give_up(target: &dyn Directory, begun: &[SegmentName]) {
    // If there is no anchor, or it stays, the segments are removed all the same: an anchor without its
    // segments is refused.
    remove(target, wal_format::ANCHOR_FILE).ok();
    sync_directory(target).ok();
    for name in begun {
        remove(target, name.as_str()).ok();
    }
}
