//! Verifies every byte of a log: all frames of all segments, all LINKs, all headers against names.

use std::path::PathBuf;

use wal_format::FrameFault;

use crate::error::{Damage, DamageKind, Error, Lost};
use crate::files::named::Named;
use crate::follow::tailer::explain;
use crate::io::Directory;
use crate::recovery::open::look_for;
use crate::recovery::report::{Ending, Recovery};
use crate::recovery::settle::Purpose;
use crate::salvage::{Losses, all_losses};
use crate::segment::file::open_span;
use crate::segment::head::Head;
use crate::segment::span::{Span, Tip};
use crate::segment::walk::{self, Stop};

/// The result of a verification.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verification {
    /// How the log ended, as an open judges it.
    pub recovery: Recovery,
    /// How many DATA frames verified.
    pub frames: u64,
    /// How many entries are in them; in a damaged log, how many can be read.
    pub entries: u64,
    /// How many bytes were read.
    pub bytes: u64,
    /// Damage in the order of the log, with up to 1,000 places where entries are lost.
    pub damages: Vec<Damage>,
    /// All lost entries.
    pub losses: Losses,
    /// Segments with an invalid index: a warning only, because an index can be rebuilt.
    pub bad_indexes: Vec<PathBuf>,
}

/// Reads and checks the whole log in `directory`, without its lock and without changing a byte. Reads every
/// byte once, those of a damaged log again to find what is lost, in bounded memory.
///
/// # Errors
/// [`Error::NoLog`], [`Error::Io`], [`Error::Unsupported`]; [`Error::Dropped`] or [`Error::CutOff`] when the
/// log was truncated meanwhile, several times in a row. Damage is in the result and no error.
pub fn verify(directory: &dyn Directory) -> Result<Verification, Error> {
    for _ in 1..VERIFICATIONS {
        match verify_once(directory) {
            Err(Error::Dropped { .. } | Error::CutOff { .. }) => {}
            verified => return verified,
        }
    }
    verify_once(directory)
}

const VERIFICATIONS: u32 = 4;

fn verify_once(directory: &dyn Directory) -> Result<Verification, Error> {
    let (snapshot, recovery) = look_for(Purpose::Verify, directory)?;
    let mut found = Verification {
        recovery,
        frames: 0,
        entries: 0,
        bytes: 0,
        damages: Vec::new(),
        losses: Losses::none(0),
        bad_indexes: Vec::new(),
    };
    for span in snapshot.spans() {
        match check_span(directory, &span, &mut found) {
            Ok(()) => {}
            Err(error) => {
                let first = span.start.next.max(snapshot.first());
                match explain(directory, &snapshot, first, error) {
                    Error::Damaged(damage) => found.damages.push(damage),
                    other => return Err(other),
                }
            }
        }
    }
    if let Ending::Corrupt(damage) = &found.recovery.ending
        && !found.damages.iter().any(|found| (&found.file, found.offset) == (&damage.file, damage.offset))
    {
        found.damages.push(damage.clone());
    }
    if found.damages.is_empty() {
        found.losses = Losses::none(found.entries);
    } else {
        let known = std::mem::take(&mut found.damages);
        (found.damages, found.losses) = all_losses(directory, known, &found.recovery)?;
        found.entries = found.losses.readable;
    }
    Ok(found)
}

fn check_span(directory: &dyn Directory, span: &Span, found: &mut Verification) -> Result<(), Error> {
    let file = open_span(directory, span)?;
    check_head(span, &file)?;
    let walked = walk::walk(&file, span.life, span.checksum, span.start, span.end.offset)?;
    found.frames += walked.frames;
    let first = found.recovery.first.max(span.start.next.value());
    found.entries += walked.tip.next.min(span.end.next).value().saturating_sub(first);
    found.bytes += walked.tip.offset;
    if walked.bad_indexes > 0 {
        found.bad_indexes.push(file.path.to_path_buf());
    }
    let Tip { offset, chain, next } = walked.tip;
    let kind = if offset != span.end.offset {
        match walked.stop {
            Stop::Fault(fault) => DamageKind::Frame(fault),
            Stop::Sealed => DamageKind::WrongEnd { expected: span.end.offset },
        }
    } else if chain != span.end.chain {
        DamageKind::Frame(FrameFault::Order)
    } else {
        let Some((lost, kind)) = span.contradiction(walked.last_first, next) else { return Ok(()) };
        return Err(Error::Damaged(file.damage(offset, Some(lost), kind)));
    };
    let start = match kind {
        DamageKind::Frame(FrameFault::Payload { entry }) => next.advance(u64::from(entry)).unwrap_or(next),
        _ => next,
    };
    let lost = Lost::between(start, span.end.next.max(start));
    Err(Error::Damaged(file.damage(offset, Some(lost), kind)))
}

fn check_head(span: &Span, file: &Named) -> Result<(), Error> {
    for (offset, header) in Head::read(file)?.copies() {
        let damaged = |kind| {
            // The other copy was readable, so no entry is lost yet.
            Err(Error::Damaged(file.damage(offset, None, kind)))
        };
        match header {
            Ok(header) if header.life == span.life => {}
            Ok(header) if header.life.segment == span.life.segment => return damaged(DamageKind::OtherLife),
            Ok(header) => return damaged(DamageKind::Misnamed { found: header.life.segment }),
            Err(fault) => return damaged(DamageKind::Header(fault)),
        }
    }
    Ok(())
}
