//! Opening a log: for writing under the lock, or for reading beside whoever holds it.

use std::io::ErrorKind;
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
use crate::recovery::obsolete::{leftovers, remove_obsolete};
use crate::recovery::report::{Ending, Recovery};
use crate::recovery::settle::Purpose;
use crate::recovery::survey::{Survey, survey};
use crate::rules::{Rule, Rules};
use crate::salvage::losses_at;
use crate::segment::head::{Linked, Site};
use crate::segment::snapshot::Snapshot;
use crate::segment::span::{Span, Tip};
use crate::spares::pool_file::PoolFile;
use crate::writer::{OpenSegment, Settings, Start, Writer};

/// Whether an open makes a log where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenMode {
    /// Opens the log, and creates one where there is none.
    #[default]
    CreateOrOpen,
    /// Opens an existing log. Where there is none the open fails with `NoLog` and creates nothing, not even `LOCK`: for
    /// example where the file system of the log is not mounted.
    MustExist,
    /// Creates a log. Where there is one the open fails with `Exists`.
    CreateNew,
}

/// What an opener asks for; what is left open is taken from the log, or from the defaults for a new one.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenRequest {
    /// How long a segment gets, in bytes.
    pub segment_bytes: Option<u64>,
    /// How payloads are checked.
    pub checksum: Option<ChecksumKind>,
    /// The number of the first entry of a log that is made new. An existing log has its own.
    pub first: Option<Sequence>,
    /// Whether a log is made where there is none.
    pub mode: OpenMode,
    /// Everything before this number was acknowledged: a log that ends before it is refused. 0 is any log.
    pub at_least: u64,
    /// Which rules are kept: all, in ordinary builds.
    pub rules: Rules,
}

/// How long a segment gets when nobody says otherwise.
pub const DEFAULT_SEGMENT_BYTES: u64 = 64 << 20;

/// A log that is open for writing.
#[derive(Debug)]
pub struct Opened {
    /// Its end.
    pub writer: Writer,
    /// Its anchor, for a [`SpareSource`](crate::SpareSource).
    pub anchor: AnchorFile,
    /// Which names lead to the files that it has open.
    pub names: WatchedNames,
    /// Whether the directory itself is locked, and not a file in it alone that could be removed or replaced.
    pub directory_locked: bool,
    /// Files that wait to become segments: to be [adopted](crate::PoolFile::adopt), or removed.
    pub pool: Vec<PoolName>,
    /// What the open found.
    pub recovery: Recovery,
}

/// Opens the log in `directory` for writing, and creates it if there is none.
///
/// Everything that this shows is durable when it returns. A crash in here changes nothing that a later
/// open would decide. Nothing is written but the anchor, and that into space that it has already; and
/// segments are removed that a truncation has dropped.
///
/// # Errors
/// [`Error::Locked`] at once when another writer has the log; [`Error::Damaged`] when acknowledged
/// entries are not all there, with nothing changed; [`Error::RolledBack`] and [`Error::NoLog`] when the log, or
/// the new one, ends before [`OpenRequest::at_least`], with nothing changed; [`Error::NoLog`] and [`Error::Exists`] as
/// [`OpenRequest::mode`] says; [`Error::Io`], [`Error::Unsupported`].
pub fn open(directory: &Arc<dyn Directory>, wanted: OpenRequest) -> Result<Opened, Error> {
    let (directory, rules) = (directory.as_ref(), wanted.rules);
    let (lock, survey) = locked(directory, wanted)?;
    // Before anything is touched: a refused log stays as it is.
    let survey = accepted(directory, survey, wanted)?;
    let mut reason = begun_because(survey.verdict).ok_or_else(|| refused_without_words(directory))?;
    let mut recovery = Recovery::of(&survey);
    let settings = settings(&survey, wanted);
    let Survey { verdict, catalog, anchor, mut spans, oversized, last, first, next, closed, index, .. } =
        survey;

    let slots_agree = anchor.as_ref().is_none_or(|anchored| anchored.slots.agree_on_first());
    let mut anchor = match anchor {
        Some(found) => AnchorFile::resume(found.file, &found.slots, found.newest, last.is_some(), rules),
        None => {
            let genesis = genesis(directory, first, settings);
            AnchorFile::remake(directory, &catalog, genesis, Vec::new(), rules)?
        }
    };
    let last_file = last.as_ref().map(|last| WatchedFile::new(last.file.clone())).transpose()?;
    let is_empty = |span: &Span| span.start.offset == span.end.offset;
    if !rules.keeps(Rule::NeverReplaced) && spans.last().is_some_and(is_empty) {
        spans.pop();
        reason = last.as_ref().map_or(reason, |last| last.link.reason);
    }
    // Where no segment is open, the first append begins one.
    let open = match last.zip(spans.last()) {
        Some((last, span)) if goes_on(verdict, rules) && takes_frames(&last, &lock, settings) => {
            Some(OpenSegment::go_on(&last, span, settings, &index, rules)?)
        }
        _ => None,
    };
    let known = *anchor.last();
    recovery.log = Some(known.log);
    let names = WatchedNames::new(&lock, anchor.held()?, last_file, rules);
    let directory_locked = lock.covers_directory();
    let left = leftovers(Site { directory, catalog: &catalog, anchor: &known }, &spans);
    let begun = spans.last().map_or(0, |span| span.begun_unix_ns);
    let latest_unix_ns = begun.max(index.last.map_or(0, |point| point.unix_ns));
    let start = Start {
        lock,
        rules,
        settings,
        anchor: known,
        closed,
        spans,
        oversized,
        first,
        next,
        reason,
        latest_unix_ns,
        open,
    };
    let writer = Writer::new(start);
    // What this open shows is put down before it is shown: damage to it is damage from now on.
    let states_lost_seal = known.seal_offset.is_some() && !closed;
    if (!slots_agree || states_lost_seal || writer.is_ahead_of(&known)) && rules.keeps(Rule::OpenAnchors) {
        anchor.rewrite(writer.anchor_now())?;
    }
    // A truncation did not get to the end of this. Now the anchor does without them.
    if !writer.is_ahead_of(anchor.last()) {
        remove_obsolete(directory, &left);
    }
    let pool = pool(directory, &catalog, rules);
    Ok(Opened { writer, anchor, names, directory_locked, pool, recovery })
}

/// The files that wait to become segments. Those with two names are removed: what cannot be is found by the next open, and the
/// pool of this one does not have it.
fn pool(directory: &dyn Directory, catalog: &Catalog, rules: Rules) -> Vec<PoolName> {
    let (pool, shared) = PoolFile::apart(directory, catalog, rules);
    for name in shared {
        remove(directory, name.as_str()).ok();
    }
    pool
}

/// Takes the lock of the log and looks at it.
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

/// The survey, where the log is whole and what was wanted; a new one begins where it is to begin.
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

/// How the next segments are made: as is wanted, or else as the anchor says.
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

/// What the LINK says that begins the next segment; nothing where the log is refused.
fn begun_because(verdict: Verdict) -> Option<LinkReason> {
    match verdict {
        Verdict::New | Verdict::Empty => Some(LinkReason::Genesis),
        Verdict::Torn => Some(LinkReason::Torn),
        Verdict::Sealed => Some(LinkReason::Rollover),
        Verdict::Clean | Verdict::Unclosed => Some(LinkReason::Reopen),
        Verdict::Refused(_) => None,
    }
}

/// Whether the log goes on in its last segment, as far as its end is concerned.
fn goes_on(verdict: Verdict, rules: Rules) -> bool {
    match verdict {
        Verdict::Clean | Verdict::Unclosed => true,
        Verdict::Torn => !rules.keeps(Rule::NothingAfterEnd),
        Verdict::Sealed => !rules.keeps(Rule::FinalSealEnds),
        Verdict::New | Verdict::Empty | Verdict::Refused(_) => false,
    }
}

/// Whether this writer may append to the last segment. Two that go on in one segment would write over each other. And what a
/// later version asks of a writer that appends to a segment with features is not known here.
fn takes_frames(last: &Linked, lock: &WriterLock, settings: Settings) -> bool {
    lock.is_certain() && last.header.checksum == settings.checksum && last.header.features == 0
}

/// Before anything is touched: a log that ends in front of what was acknowledged is left as it is.
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

/// Whatever is refused has a damage to show for it; should it ever not, it is refused all the same.
fn refused_without_words(directory: &dyn Directory) -> Error {
    let kind = DamageKind::Contradiction("the log was refused");
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

/// How often a look that found something wrong is repeated at most, and how long is waited in between.
pub(crate) const LOOKS: u32 = 64;
pub(crate) const PAUSE: Duration = Duration::from_millis(10);
/// How many looks in a row must agree before something is called torn or damaged.
const AGREEING_LOOKS: u32 = 4;

/// What can be read of the log in `directory` right now, without its lock and without changing a byte.
///
/// Beside a writer the end is wherever it had got to. A log that looks torn or damaged is looked at
/// again: a writer in the middle of a write moves on, and only what stays as it is is reported.
///
/// # Errors
/// [`Error::NoLog`] when there is none; [`Error::Io`], [`Error::Unsupported`]. Damage is no error
/// here: it is in the report, and a reader that comes to it is told.
pub fn look(directory: &dyn Directory) -> Result<(Snapshot, Recovery), Error> {
    look_for(Purpose::Read, directory)
}

/// The same for another purpose. [`Purpose::Verify`] looks at every byte after the end of a closed log, too.
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
        // What is really wrong stays as it is, even while a writer goes on elsewhere.
        let same = before.as_ref().is_some_and(|before| before.ending == recovery.ending);
        agreed = if same { agreed + 1 } else { 1 };
        let settled = !matches!(recovery.ending, Ending::Torn { .. } | Ending::Corrupt(_));
        if settled || agreed >= AGREEING_LOOKS || look >= LOOKS {
            if let Ending::Corrupt(damage) = recovery.ending {
                recovery.ending = Ending::Corrupt(losses_at(directory, damage));
            }
            let damage = survey.damage.and(recovery.damage().cloned());
            let end =
                survey.spans.last().map_or(Tip { offset: 0, chain: 0, next: survey.next }, |span| span.end);
            let last = survey.spans.last();
            let closed_below = last.map(|span| span.life.segment);
            let seal_offset = last.and_then(|span| span.seal_offset);
            let snapshot =
                Snapshot::new(Arc::new(survey.spans), survey.first, end, seal_offset, closed_below)
                    .damaged(damage);
            return Ok((snapshot, recovery));
        }
        before = Some(recovery);
        directory.wait(PAUSE);
    }
    unreachable!("the loop ends by itself after the last look")
}

/// Whether a file was listed and then was not there: a writer has given up a segment that it prepared.
pub(crate) fn has_vanished(error: &Error) -> bool {
    matches!(error, Error::Io { operation: Operation::Open, source, .. } if source.kind() == ErrorKind::NotFound)
}
