//! The end of the log: where frames are appended, segments begun and sealed, cuts published.
//!
//! ```text
//!            append: LINK and frame in one write
//!            append after a cut: LINK alone, synced, anchored
//!            truncate_after: the same
//!          ┌────────────────────────────────────────┐
//!          │                                        ▼         an open goes on in the last segment
//!     ┌──────────┐   full: SEAL, sync           ┌──────┐ ◀────────────────────────────────────────
//!     │ Detached │ ◀─────────────────────────── │ Open │ ──┐ append: one write
//!     └──────────┘   a write failed             └──────┘ ◀─┘
//!          │                                        │
//!          └─▶ Poisoned (a sync failed, a file exchanged) ◀─┘
//! ```
//!
//! Invariants:
//! - A byte range takes a second frame in one life of a segment only after an open has settled the segment, and has found
//!   nothing of the first one on the device.
//! - A LINK is written only after everything in front of it was synced.
//! - What is in the anchor was durable before.
//! - While an anchor says that the log is closed, nothing is written after the SEAL that it names.
//!
//! When to sync is the caller's business ([`Writer::sync_job`]); only what the order of the files asks
//! for is synced here. Prepared segments and the anchor are a [`SpareSource`]'s. Inside a segment, and from one
//! to the next, nothing is allocated here.

pub(crate) mod builder;
mod cap;
mod durability;
mod open_segment;
mod orders;
mod pending_deletion;
mod publish;
mod rollover;
mod segments;
mod shrink;
mod truncate;

use std::sync::Arc;

use wal_format::{
    Anchor, ChecksumKind, DurablePoint, FIRST_FRAME_OFFSET, LinkReason, LogId, MAX_SEGMENT_BYTES, SealKind,
    SegmentNumber, Sequence,
};

use self::durability::Durability;
pub(crate) use self::open_segment::OpenSegment;
use self::orders::Orders;
use self::pending_deletion::Obsolete;
pub use self::pending_deletion::PendingDeletion;
use self::segments::Segments;
use self::shrink::Shrink;
pub use self::shrink::{Shrinkable, shrink};
use crate::error::Error;
use crate::files::named::Named;
use crate::files::writer_lock::WriterLock;
use crate::rules::{Rule, Rules};
use crate::segment::snapshot::Snapshot;
use crate::segment::span::{Span, Tip};
use crate::spares::source::SpareSource;
use crate::writer::builder::FrameBuilder;

/// How the next segments are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a segment gets before the next one is begun, in bytes.
    pub segment_bytes: u64,
    /// How payloads are checked.
    pub checksum: ChecksumKind,
}

/// The one writer of a log. Holds its lock.
#[derive(Debug)]
pub struct Writer {
    rules: Rules,
    settings: Settings,
    log: LogId,
    segments: Segments,
    durability: Durability,
    orders: Orders,
    state: State,
    /// After the end there may be a whole frame whose write has failed: an open would find it.
    rest_in_doubt: bool,
    /// No LINK or index point that was written is later, in nanoseconds since 1970.
    latest_unix_ns: u64,
    rolled: Option<Rolled>,
    shrink: Shrink,
    obsolete: Obsolete,
    /// What the files of the log may take, in bytes.
    most_bytes: Option<u64>,
    _lock: WriterLock,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one, and a box would be allocated at each rollover")]
enum State {
    Detached(Detached),
    Open(OpenSegment),
    Poisoned(Arc<Error>),
}

/// No segment takes frames: the next append begins one.
#[derive(Debug)]
struct Detached {
    reason: LinkReason,
    /// The segment in which the log ends, while some of it is not synced.
    unsynced: Option<Named>,
}

/// The log went on in another segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolled {
    /// The segment that it ended in; none at the beginning of a log.
    pub from: Option<SegmentNumber>,
    /// The segment that it goes on in.
    pub to: SegmentNumber,
    /// The number of the first entry that is appended there.
    pub first: Sequence,
    /// Whether the log was cut in front of it: behind a torn tail, a failed write, or by a truncation.
    pub cut: bool,
}

/// A sync that is due: run it without holding anything, then report with [`Writer::synced`] or
/// [`Writer::poison`].
#[derive(Clone, Debug)]
pub struct SyncJob {
    file: Named,
    point: DurablePoint,
    rules: Rules,
}

impl SyncJob {
    /// Syncs the file.
    ///
    /// # Errors
    /// What the system said. There is no second try: the log must be poisoned.
    pub fn run(&self) -> Result<(), Error> {
        sync_once(&self.file, self.rules)
    }

    /// What is durable once it succeeded.
    #[must_use]
    pub fn point(&self) -> DurablePoint {
        self.point
    }
}

/// What an open hands to the writer.
pub(crate) struct Start {
    pub(crate) lock: WriterLock,
    pub(crate) rules: Rules,
    pub(crate) settings: Settings,
    /// What the anchor says.
    pub(crate) anchor: Anchor,
    /// Whether the log ends at the close that it states.
    pub(crate) closed: bool,
    pub(crate) spans: Vec<Span>,
    /// Closed segments whose files may be longer than they need be.
    pub(crate) oversized: Vec<SegmentNumber>,
    pub(crate) first: Sequence,
    pub(crate) next: Sequence,
    /// Why the next segment is begun.
    pub(crate) reason: LinkReason,
    /// When the last LINK or index point was written, in nanoseconds since 1970.
    pub(crate) latest_unix_ns: u64,
    /// The last segment, when the log goes on in it.
    pub(crate) open: Option<OpenSegment>,
}

impl Writer {
    pub(crate) fn new(start: Start) -> Writer {
        let last = start.spans.last();
        let mut oversized = start.oversized;
        if start.open.is_none() {
            oversized.extend(last.map(|span| span.life.segment));
        }
        let detached = Detached { reason: start.reason, unsynced: None };
        Writer {
            rules: start.rules,
            settings: start.settings,
            log: start.anchor.log,
            durability: Durability::found(last, &start.anchor, start.closed),
            segments: Segments {
                end: last.map_or(Tip { offset: 0, chain: 0, next: start.next }, |span| span.end),
                seal_offset: last.and_then(|span| span.seal_offset),
                first: start.first,
                first_segment: start.anchor.first_segment,
                spans: Arc::new(start.spans),
            },
            orders: Orders::default(),
            state: start.open.map_or(State::Detached(detached), State::Open),
            rest_in_doubt: false,
            latest_unix_ns: start.latest_unix_ns,
            rolled: None,
            shrink: Shrink::new(oversized),
            obsolete: Obsolete::new(),
            most_bytes: None,
            _lock: start.lock,
        }
    }

    /// How payloads of the entries to come are checked.
    #[must_use]
    pub fn checksum(&self) -> ChecksumKind {
        self.settings.checksum
    }

    /// The first entry that is kept.
    #[must_use]
    pub fn first(&self) -> Sequence {
        self.segments.first
    }

    /// The number of the next entry.
    #[must_use]
    pub fn next(&self) -> Sequence {
        self.segments.end.next
    }

    /// The number of the next entry that is not durable.
    #[must_use]
    pub fn durable(&self) -> Sequence {
        self.durability.point.map_or(self.segments.first, |point| point.next)
    }

    /// How long a segment gets, in bytes.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.settings.segment_bytes
    }

    /// The log as it is now, for reading.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let closed_below = self.durability.point.map(|point| point.segment);
        let spans = Arc::clone(&self.segments.spans);
        Snapshot::new(spans, self.segments.first, self.segments.end, self.segments.seal_offset, closed_below)
            .leased(self.obsolete.lease())
    }

    /// The last turn to another segment that nobody has asked for yet.
    pub fn take_rolled(&mut self) -> Option<Rolled> {
        self.rolled.take()
    }

    /// Whether appending a frame of this size may sync: it goes into another segment, behind a cut, or is the first since the
    /// open.
    #[must_use]
    pub fn turns_over(&self, frame_bytes: u64) -> bool {
        self.durability.anchor_owed
            || !matches!(&self.state, State::Open(open)
                if !open.is_as_found(self.segments.end) && open.has_room(self.segments.end.offset, frame_bytes))
    }

    /// Whether so much is not synced that a rollover would have to wait for it.
    #[must_use]
    pub fn wants_sync(&self) -> bool {
        let State::Open(open) = &self.state else { return false };
        let segment = open.header.life.segment;
        let here = self.durability.point.filter(|point| point.segment == segment);
        let synced = here.map_or(FIRST_FRAME_OFFSET, |point| point.offset);
        let left = open.capacity.saturating_sub(self.segments.end.offset).max(LAST_SYNC_BYTES);
        let most = EARLY_SYNC_BYTES.min(left).min((open.capacity - FIRST_FRAME_OFFSET) / 2);
        open.unsynced && self.segments.end.offset - synced >= most
    }

    /// Writes one frame and returns the number of its first entry. On return its entries have reached the
    /// operating system.
    ///
    /// # Errors
    /// After any error none of the entries is part of the log; their numbers are used again, and the frame
    /// may be appended again. Where the cap or the space does not allow another segment, the last one takes frames that it has
    /// room for. The log stays usable unless the error is [`Error::Poisoned`].
    ///
    /// # Panics
    /// When it [turns over](Writer::turns_over) while a sync is out, and when the frame is empty.
    pub fn append(&mut self, frame: &mut FrameBuilder, spares: &dyn SpareSource) -> Result<Sequence, Error> {
        self.refuse_if_poisoned()?;
        let first = self.segments.end.next;
        let next = first.advance(frame.entries()).ok_or(Error::OutOfNumbers)?;
        let frame_bytes = frame.frame_bytes();
        if orders::needed_bytes(frame_bytes) > MAX_SEGMENT_BYTES {
            return Err(Error::OutOfNumbers);
        }
        if self.turns_over(frame_bytes) {
            assert!(!self.durability.in_flight, "no segment is ended beside a sync of it");
            if self.durability.anchor_owed {
                self.write_owed_anchor(spares)?;
            }
            self.end_if_full(frame_bytes, spares)?;
            if let State::Detached(detached) = &self.state {
                let is_cut = detached.reason.is_cut();
                self.refuse_if_full(self.log_bytes(), self.segments.end.offset, frame_bytes)?;
                self.check_names(spares)?;
                // Frames that a cut leaves out must not come back: its LINK is durable before anything is accepted.
                if is_cut && self.rules.keeps(Rule::CutSynced) {
                    self.begin_next(frame_bytes, None, spares)?;
                } else {
                    return self.begin_next(frame_bytes, Some(frame), spares).map(|()| first);
                }
            }
        }
        let unix_ns = self.point_unix_ns(spares.directory());
        let State::Open(open) = &mut self.state else { unreachable!("a cut opens a segment or fails") };
        let offset = self.segments.end.offset;
        let header = open.frame_header(self.segments.end, self.durability.point);
        let (bytes, chain) = frame.encode(header, open.header.life, offset);
        if let Err(error) = open.file.write_all(bytes, offset) {
            self.write_failed();
            return Err(error);
        }
        if let Some(unix_ns) = unix_ns {
            open.index.note(offset, first, unix_ns);
        }
        open.unsynced = true;
        self.segments.end = Tip { offset: offset + frame_bytes, chain, next };
        Ok(first)
    }

    /// A sync of everything that was appended, unless all of it is durable already.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn sync_job(&mut self) -> Result<Option<SyncJob>, Error> {
        let file = match &self.state {
            State::Poisoned(cause) => return Err(Error::Poisoned(Arc::clone(cause))),
            State::Open(open) => open.unsynced.then_some(&open.file),
            State::Detached(detached) => detached.unsynced.as_ref(),
        };
        let job = file.cloned().zip(self.segments.end_point());
        self.durability.in_flight = job.is_some();
        Ok(job.map(|(file, point)| SyncJob { file, point, rules: self.rules }))
    }

    /// A sync covered everything up to `point`.
    pub fn synced(&mut self, point: DurablePoint, spares: &dyn SpareSource) {
        self.durability.in_flight = false;
        let covered_all = self.segments.end_point() == Some(point);
        match &mut self.state {
            State::Open(open) => {
                open.syncs += 1;
                open.unsynced &= !covered_all;
            }
            State::Detached(detached) if covered_all => detached.unsynced = None,
            _ => {}
        }
        if self.durability.advance(point, self.rules) && !self.durability.anchor_owed {
            self.anchor_durable(point.segment, spares);
            self.order_early(spares);
        }
    }

    /// A sync failed: nothing is known about the device any more, and nothing more is accepted.
    /// Returns what everybody is told.
    pub fn poison(&mut self, cause: Error) -> Error {
        if matches!(cause, Error::Poisoned(_)) {
            return cause;
        }
        let cause = Arc::new(cause);
        self.state = State::Poisoned(Arc::clone(&cause));
        Error::Poisoned(cause)
    }

    /// Closes the log: sync, SEAL, anchor. Its last segment stays as long as it is, for the next open to go on there. A log
    /// to which nothing was appended since it was opened stays as it is.
    ///
    /// The SEAL comes after the sync, so that it states what that made durable. It is not synced itself: it holds nothing that
    /// cannot be found without it.
    ///
    /// # Errors
    /// The first thing that failed; what does not depend on it was done all the same. When the error
    /// is [`Error::Poisoned`], entries that were not durable before may be lost.
    pub fn close(&mut self, spares: &dyn SpareSource) -> Result<(), Error> {
        self.refuse_if_poisoned()?;
        let open = match &self.state {
            State::Open(open) if !open.is_as_found(self.segments.end) => {
                Some((open.file.clone(), open.header.life.segment))
            }
            _ => None,
        };
        if let Some((_, segment)) = &open {
            // The anchor is written below, and no append needs another segment.
            self.durability.anchored = self.durability.anchored.max(Some(*segment));
            self.orders.ordered = self.orders.ordered.max(segment.next());
        }
        self.sync_all(spares)?;
        let sealed = if open.is_some() { self.write_seal(SealKind::Close) } else { Ok(false) };
        self.durability.closed |= matches!(sealed, Ok(true));
        if let Some((file, _)) = open.filter(|_| !self.rules.keeps(Rule::LengthStays)) {
            file.resize(self.segments.end.offset)?;
        }
        if let Some(spare) = self.orders.kept.take() {
            // What cannot be removed is a prepared segment, which the next open gives up.
            spare.discard(spares.directory()).ok();
        }
        let anchored = self.write_anchor(self.anchor_now(), spares);
        sealed.map(|_| ()).and(anchored)
    }

    /// Makes everything durable that was appended.
    fn sync_all(&mut self, spares: &dyn SpareSource) -> Result<(), Error> {
        if let Some(job) = self.sync_job()? {
            job.run().map_err(|error| self.poison(error))?;
            self.synced(job.point(), spares);
        }
        Ok(())
    }

    fn refuse_if_poisoned(&self) -> Result<(), Error> {
        match &self.state {
            State::Poisoned(cause) => Err(Error::Poisoned(Arc::clone(cause))),
            _ => Ok(()),
        }
    }

    /// The log goes on in a new segment: what was written here in part can never be taken for a part
    /// of the log once anything later was accepted.
    fn write_failed(&mut self) {
        if !self.rules.keeps(Rule::FailedWriteCuts) {
            return;
        }
        if let State::Open(open) = &self.state {
            let unsynced = open.unsynced.then(|| open.file.clone());
            self.shrink.add(open.header.life.segment);
            self.state = State::Detached(Detached { reason: LinkReason::Torn, unsynced });
            self.rest_in_doubt = true;
        }
    }

    /// Before anything is written to the open segment, where an open has found it: its names lead to the files that are open,
    /// and the anchor does not say any more that the log is closed at its end.
    ///
    /// # Errors
    /// What kept the anchor from being written. Then nothing else may be, and the next attempt tries again.
    fn state_open(&mut self, spares: &dyn SpareSource) -> Result<(), Error> {
        if matches!(&self.state, State::Open(open) if open.is_as_found(self.segments.end)) {
            self.check_names(spares)?;
            // This life appends: space that earlier ones have left reserved is given back.
            self.shrink.begin();
        }
        if std::mem::take(&mut self.durability.closed) && self.rules.keeps(Rule::OpenBeforeWritten) {
            self.durability.anchor_owed = true;
        }
        if self.durability.anchor_owed { self.write_owed_anchor(spares) } else { Ok(()) }
    }
}

fn sync_once(file: &Named, rules: Rules) -> Result<(), Error> {
    match file.sync() {
        Err(_) if !rules.keeps(Rule::NoSecondSync) => file.sync(),
        done => done,
    }
}

/// So much that is not synced makes a rollover wait noticeably.
const EARLY_SYNC_BYTES: u64 = 4 << 20;
/// Towards the end of a segment syncs get smaller, down to this, so that little is left for the rollover to
/// wait for: less than this is synced about as quickly as nothing.
const LAST_SYNC_BYTES: u64 = 64 << 10;
