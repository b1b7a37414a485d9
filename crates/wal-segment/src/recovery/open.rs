//! Opens a log: for writing under the lock, or read-only beside a writer.

use std::io::ErrorKind;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use wal_format::{
    Anchor, ChecksumKind, LinkReason, LogId, MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES, PoolName, SegmentNumber,
    Sequence,
};

use crate::error::{Damage, DamageKind, Error, Operation};
use crate::files::anchor::AnchorFile;
use crate::files::named::{remove, sync_directory};
use crate::files::names::Catalog;
use crate::files::watched::{WatchedFile, WatchedNames};
use crate::files::writer_lock::WriterLock;
use crate::io::Directory;
use crate::recovery::decide::Verdict;
use crate::recovery::obsolete::{obsolete_segments, remove_obsolete};
use crate::recovery::report::{Ending, Recovery};
use crate::recovery::settle::Purpose;
use crate::recovery::survey::{Survey, survey};
use crate::rules::{Rule, Rules};
use crate::salvage::losses_at;
use crate::segment::head::{Linked, Site};
use crate::segment::snapshot::Snapshot;
use crate::segment::span::Span;
use crate::spares::pool_file::PoolFile;
use crate::writer::{OpenSegment, Settings, Start, Writer};

/// Whether an open creates a log where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenMode {
    /// Opens the log, and creates it if there is none.
    #[default]
    CreateOrOpen,
    /// Opens an existing log. Without one the open fails with `NoLog` and creates nothing, not even `LOCK`:
    /// for example when the log's file system is not mounted.
    MustExist,
    /// Creates a log. If there is one, the open fails with `Exists`.
    CreateNew,
}

/// The options of an open. What is `None` comes from the log, or from the defaults for a new one.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenRequest {
    /// The size of a segment, in bytes.
    pub segment_bytes: Option<u64>,
    /// The checksum of payloads.
    pub checksum: Option<ChecksumKind>,
    /// The number of the first entry of a new log. An existing log keeps its own.
    pub first: Option<Sequence>,
    /// Whether a log is created where there is none.
    pub mode: OpenMode,
    /// Everything before this number was acknowledged: an open fails if the log ends before it. 0 accepts any
    /// log.
    pub at_least: u64,
    /// The rules in force: all, in ordinary builds.
    pub rules: Rules,
}

/// The default size of a segment, in bytes.
pub const DEFAULT_SEGMENT_BYTES: u64 = 64 << 20;

/// A log opened for writing.
#[derive(Debug)]
pub struct Opened {
    /// Appends to its end.
    pub writer: Writer,
    /// Its anchor, for a [`SpareSource`](crate::SpareSource).
    pub anchor: AnchorFile,
    /// The names that must lead to its open files.
    pub names: WatchedNames,
    /// Whether the directory itself is locked, and not only a file in it that could be removed or replaced.
    pub directory_locked: bool,
    /// Files that wait to be recycled as segments: to be [adopted](crate::PoolFile::adopt), or removed.
    pub pool: Vec<PoolName>,
    /// The report of crash recovery.
    pub recovery: Recovery,
}

/// Opens the log in `directory` for writing, with crash recovery, and creates it if there is none.
///
/// All entries in the returned log are durable. A crash during the open changes nothing that a later open
/// would decide. The open writes only the anchor, into space that the anchor has already, and removes
/// obsolete segments that a truncation dropped.
///
/// # Errors
/// [`Error::Locked`] at once when another writer has the log. [`Error::Damaged`] when acknowledged entries
/// are damaged or missing. [`Error::RolledBack`], or [`Error::NoLog`] for a new log, when it ends before
/// [`OpenRequest::at_least`]. After these the log is unchanged. [`Error::NoLog`] and [`Error::Exists`] as
/// [`OpenRequest::mode`] says; [`Error::Io`], [`Error::Unsupported`].
pub fn open(directory: &Arc<dyn Directory>, wanted: OpenRequest) -> Result<Opened, Error> {
    let (directory, rules) = (directory.as_ref(), wanted.rules);
    let (lock, survey) = locked(directory, wanted)?;
    // First of all: a refused log stays as it is.
    let mut survey = accepted(directory, survey, wanted)?;
    let mut reason = begun_because(survey.verdict).ok_or_else(|| refused_without_damage(directory))?;
    let mut recovery = Recovery::of(&survey);
    let settings = settings(&survey, wanted);
    let (catalog, anchored) = (mem::take(&mut survey.catalog), survey.anchor.take());

    let slots_agree = anchored.as_ref().is_none_or(|anchored| anchored.slots.agree_on_first());
    let last = survey.last.as_deref();
    let mut anchor = match anchored {
        Some(found) => AnchorFile::resume(found.file, &found.slots, found.newest, last.is_some(), rules),
        None => {
            let genesis = genesis(directory, survey.first, settings);
            AnchorFile::remake(directory, &catalog, genesis, Vec::new(), rules)?
        }
    };
    let last_file = last.map(|last| WatchedFile::new(last.file.clone())).transpose()?;
    let is_empty = |span: &Span| span.start.offset == span.end.offset;
    if !rules.keeps(Rule::NeverReplaced) && survey.spans.last().is_some_and(is_empty) {
        survey.spans.pop();
        reason = last.map_or(reason, |last| last.link.reason);
    }
    // If no segment is open, the first append begins one.
    let open = match last.zip(survey.spans.last()) {
        Some((last, span)) if goes_on(survey.verdict, rules) && takes_frames(last, &lock, settings) => {
            Some(OpenSegment::go_on(last, span, settings, &survey.index, rules)?)
        }
        _ => None,
    };
    let known = *anchor.last();
    recovery.log = Some(known.log);
    let names = WatchedNames::new(&lock, anchor.held()?, last_file, rules);
    let directory_locked = lock.covers_directory();
    let obsolete = obsolete_segments(Site { directory, catalog: &catalog, anchor: &known }, &survey.spans);
    let states_lost_seal = known.seal_offset.is_some() && !survey.closed;
    let writer = Writer::new(Start { lock, rules, settings, anchor: known, survey, reason, open });
    // The anchor states what this open reports, before the open returns: from now on damage to it is noticed.
    if (!slots_agree || states_lost_seal || writer.is_ahead_of(&known)) && rules.keeps(Rule::OpenAnchors) {
        anchor.rewrite(writer.anchor_now())?;
    }
    // A truncation that crashed left these. Now the anchor no longer needs them.
    if !writer.is_ahead_of(anchor.last()) {
        remove_obsolete(directory, &obsolete);
    }
    let pool = pool(directory, &catalog, rules);
    Ok(Opened { writer, anchor, names, directory_locked, pool, recovery })
}

/// The files that wait to be recycled. Those with two names are removed. If a removal fails, the file stays
/// out of the pool, and the next open finds it.
fn pool(directory: &dyn Directory, catalog: &Catalog, rules: Rules) -> Vec<PoolName> {
    let (pool, shared) = PoolFile::apart(directory, catalog, rules);
    for name in shared {
        remove(directory, name.as_str()).ok();
    }
    pool
}

fn locked(directory: &dyn Directory, wanted: OpenRequest) -> Result<(WriterLock, Survey), Error> {
    if wanted.mode == OpenMode::MustExist && Catalog::read(directory)?.is_empty() {
        return Err(Error::NoLog { directory: directory.path().to_path_buf() });
    }
    let lock = WriterLock::take(directory, wanted.rules)?;
    if wanted.rules.keeps(Rule::OpenSyncsDirectory) {
        sync_directory(directory)?;
    }
    let survey = survey(directory, Purpose::Write, wanted.rules)?;
    Ok((lock, survey))
}

fn accepted(directory: &dyn Directory, survey: Survey, wanted: OpenRequest) -> Result<Survey, Error> {
    if let Some(damage) = survey.damage {
        return Err(Error::Damaged(losses_at(directory, damage)));
    }
    let is_new = survey.verdict == Verdict::New;
    match wanted.mode {
        OpenMode::MustExist if is_new => {
            return Err(Error::NoLog { directory: directory.path().to_path_buf() });
        }
        OpenMode::CreateNew if !is_new => {
            return Err(Error::Exists { directory: directory.path().to_path_buf() });
        }
        _ => {}
    }
    let first = wanted.first.unwrap_or(Sequence::ZERO);
    let survey = if is_new { survey.beginning_at(first) } else { survey };
    refuse_older(directory, &survey, wanted.at_least)?;
    Ok(survey)
}

fn settings(survey: &Survey, wanted: OpenRequest) -> Settings {
    let known = survey.anchor.as_ref().map(|anchored| anchored.newest);
    let segment_bytes = wanted.segment_bytes.or(known.map(|anchor| anchor.next_segment_bytes));
    Settings {
        segment_bytes: segment_bytes
            .unwrap_or(DEFAULT_SEGMENT_BYTES)
            .clamp(MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES),
        checksum: wanted.checksum.or(known.map(|anchor| anchor.next_checksum)).unwrap_or_default(),
    }
}

fn begun_because(verdict: Verdict) -> Option<LinkReason> {
    match verdict {
        Verdict::New | Verdict::Empty => Some(LinkReason::Genesis),
        Verdict::Torn => Some(LinkReason::Torn),
        Verdict::Sealed => Some(LinkReason::Rollover),
        Verdict::Clean | Verdict::Unclosed => Some(LinkReason::Reopen),
        Verdict::Refused(_) => None,
    }
}

/// Whether the end of the log allows appending to its last segment.
fn goes_on(verdict: Verdict, rules: Rules) -> bool {
    match verdict {
        Verdict::Clean | Verdict::Unclosed => true,
        Verdict::Torn => !rules.keeps(Rule::NothingAfterEnd),
        Verdict::Sealed => !rules.keeps(Rule::FinalSealEnds),
        Verdict::New | Verdict::Empty | Verdict::Refused(_) => false,
    }
}

/// Whether this writer may append to the last segment. Two writers in one segment would overwrite each other,
/// and a segment with features may need what this build does not know.
fn takes_frames(last: &Linked, lock: &WriterLock, settings: Settings) -> bool {
    lock.is_certain() && last.header.checksum == settings.checksum && last.header.features == 0
}

fn refuse_older(directory: &dyn Directory, survey: &Survey, at_least: u64) -> Result<(), Error> {
    let next = survey.next;
    if next.value() >= at_least {
        return Ok(());
    }
    let directory = directory.path().to_path_buf();
    Err(match survey.verdict {
        Verdict::New => Error::NoLog { directory },
        _ => Error::RolledBack { directory, expected: at_least, next },
    })
}

/// Every refusal should name a damage; one that does not is refused all the same.
fn refused_without_damage(directory: &dyn Directory) -> Error {
    let kind = DamageKind::Contradiction("recovery refused the log without finding the damage");
    Error::Damaged(Damage { file: directory.path().to_path_buf(), offset: 0, sequences: None, kind })
}

fn genesis(directory: &dyn Directory, first: Sequence, settings: Settings) -> Anchor {
    let mut log = [0; 16];
    for half in log.chunks_exact_mut(8) {
        half.copy_from_slice(&directory.salt().to_le_bytes());
    }
    Anchor {
        log: LogId(log),
        generation: 1,
        first,
        first_segment: SegmentNumber::FIRST,
        active: None,
        durable: None,
        seal_offset: None,
        next_segment_bytes: settings.segment_bytes,
        next_checksum: settings.checksum,
    }
}

/// How often a look repeats at most while something seems wrong, and the pause in between.
pub(crate) const LOOKS: u32 = 64;
pub(crate) const PAUSE: Duration = Duration::from_millis(10);
/// How many looks in a row must agree before a log is reported as torn or damaged.
const AGREEING_LOOKS: u32 = 4;

/// Opens the log in `directory` read-only: without its lock and without changing a byte.
///
/// Beside a writer, the end is where the writer had got to. A log that looks torn or damaged is read again: a
/// writer in the middle of a write moves on, and only what stays the same is reported.
///
/// # Errors
/// [`Error::NoLog`] when there is none; [`Error::Io`], [`Error::Unsupported`]. Damage is no error here: the
/// report has it, and a reader that comes to it gets it as an error.
pub fn look(directory: &dyn Directory) -> Result<(Snapshot, Recovery), Error> {
    look_for(Purpose::Read, directory)
}

/// The same for another purpose. [`Purpose::Verify`] also reads every byte after the end of a closed log.
pub(crate) fn look_for(purpose: Purpose, directory: &dyn Directory) -> Result<(Snapshot, Recovery), Error> {
    let mut before: Option<Recovery> = None;
    let mut agreed = 1;
    for look in 1.. {
        let survey = match survey(directory, purpose, Rules::default()) {
            Err(error) if has_vanished(&error) && look < LOOKS => {
                directory.wait(PAUSE);
                continue;
            }
            survey => survey?,
        };
        if survey.verdict == Verdict::New && look < AGREEING_LOOKS {
            // The first append to an empty log makes its anchor anew.
            directory.wait(PAUSE);
            continue;
        }
        if survey.verdict == Verdict::New {
            return Err(Error::NoLog { directory: directory.path().to_path_buf() });
        }
        let mut recovery = Recovery::of(&survey);
        let moved = before.as_ref().is_some_and(|before| before.next != recovery.next);
        if moved && matches!(recovery.ending, Ending::Torn { .. }) {
            recovery.ending = Ending::Unclosed;
        }
        // Real damage stays the same, even while a writer appends elsewhere.
        let same = before.as_ref().is_some_and(|before| before.ending == recovery.ending);
        agreed = if same { agreed + 1 } else { 1 };
        let settled = !matches!(recovery.ending, Ending::Torn { .. } | Ending::Corrupt(_));
        if settled || agreed >= AGREEING_LOOKS || look >= LOOKS {
            if let Ending::Corrupt(damage) = recovery.ending {
                recovery.ending = Ending::Corrupt(losses_at(directory, damage));
            }
            let damage = survey.damage.and(recovery.damage().cloned());
            let snapshot = Snapshot::found(survey.spans, survey.first, survey.next);
            return Ok((snapshot.damaged(damage), recovery));
        }
        before = Some(recovery);
        directory.wait(PAUSE);
    }
    unreachable!("the loop ends by itself after the last look")
}

/// Whether a listed file was gone when it was opened: the writer removed a segment that it had prepared.
pub(crate) fn has_vanished(error: &Error) -> bool {
    matches!(error, Error::Io { operation: Operation::Open, source, .. } if source.kind() == ErrorKind::NotFound)
}
