//! The writer: appends frames at the end of the log, begins and seals segments, publishes cuts.
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
//! - A byte range takes a second frame in one life of a segment only after an open has settled the segment
//!   and found nothing of the first frame on the device.
//! - A LINK is written only after everything before it was synced.
//! - The anchor states only what is durable already.
//! - While an anchor says that the log is closed, nothing is written after the SEAL that it names.
//!
//! The caller decides when to fsync ([`Writer::sync_job`]); the writer itself syncs only where the order of
//! the files requires it. A [`SpareSource`] prepares segments and writes the anchor. Neither an append nor a
//! rollover allocates memory here.

mod append;
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
    Anchor, ChecksumKind, DurablePoint, FIRST_FRAME_OFFSET, LinkReason, LogId, SealKind, SegmentNumber,
    Sequence,
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
use crate::recovery::survey::Survey;
use crate::rules::{Rule, Rules};
use crate::segment::snapshot::Snapshot;
use crate::segment::span::Tip;
use crate::spares::source::SpareSource;

/// The settings for the next segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The size at which a segment is full and the log rolls over, in bytes.
    pub segment_bytes: u64,
    /// The checksum of payloads.
    pub checksum: ChecksumKind,
}

/// The only writer of a log. Holds the writer's lock.
#[derive(Debug)]
pub struct Writer {
    rules: Rules,
    settings: Settings,
    log: LogId,
    segments: Segments,
    durability: Durability,
    orders: Orders,
    state: State,
    /// A whole frame whose write failed may stand after the end, where an open would find it.
    rest_in_doubt: bool,
    /// The latest time in a LINK or index point that was written, in nanoseconds since 1970.
    latest_unix_ns: u64,
    rolled: Option<Rolled>,
    shrink: Shrink,
    obsolete: Obsolete,
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

/// No segment is open: the next append begins one.
#[derive(Debug)]
struct Detached {
    reason: LinkReason,
    /// The last segment, while part of it is not synced.
    unsynced: Option<Named>,
}

/// A rollover, or a cut: the log went on in another segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolled {
    /// The segment in which the log ended; `None` for the first segment of a log.
    pub from: Option<SegmentNumber>,
    /// The new segment.
    pub to: SegmentNumber,
    /// The number of the first entry in the new segment.
    pub first: Sequence,
    /// Whether the log was cut there: after a torn tail or a failed write, or by a truncation.
    pub cut: bool,
}

/// An fsync that is due. Run it without holding a lock, then report with [`Writer::synced`] or
/// [`Writer::poison`].
#[derive(Clone, Debug)]
pub struct SyncJob {
    file: Named,
    point: DurablePoint,
    rules: Rules,
}

impl SyncJob {
    /// Calls fsync on the file.
    ///
    /// # Errors
    /// The error of the fsync. Do not retry: poison the log.
    pub fn run(&self) -> Result<(), Error> {
        sync_once(&self.file, self.rules)
    }

    /// What is durable once the fsync has succeeded.
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
    pub(crate) anchor: Anchor,
    /// The log as it was found.
    pub(crate) survey: Survey,
    /// Why the next segment is begun.
    pub(crate) reason: LinkReason,
    /// The last segment, when the log goes on in it.
    pub(crate) open: Option<OpenSegment>,
}

impl Writer {
    pub(crate) fn new(start: Start) -> Writer {
        let Survey { spans, mut oversized, first, next, closed, index, .. } = start.survey;
        let last = spans.last();
        if start.open.is_none() {
            oversized.extend(last.map(|span| span.life.segment));
        }
        let begun = last.map_or(0, |span| span.begun_unix_ns);
        let detached = Detached { reason: start.reason, unsynced: None };
        Writer {
            rules: start.rules,
            settings: start.settings,
            log: start.anchor.log,
            durability: Durability::found(last, &start.anchor, closed),
            segments: Segments {
                end: last.map_or(Tip { offset: 0, chain: 0, next }, |span| span.end),
                seal_offset: last.and_then(|span| span.seal_offset),
                first,
                first_segment: start.anchor.first_segment,
                spans: Arc::new(spans),
            },
            orders: Orders::default(),
            state: start.open.map_or(State::Detached(detached), State::Open),
            rest_in_doubt: false,
            latest_unix_ns: begun.max(index.last.map_or(0, |point| point.unix_ns)),
            rolled: None,
            shrink: Shrink { oversized, ..Shrink::default() },
            obsolete: Obsolete::default(),
            most_bytes: None,
            _lock: start.lock,
        }
    }

    /// The checksum of the payloads to come.
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

    /// The number after the last durable entry.
    #[must_use]
    pub fn durable(&self) -> Sequence {
        self.durability.point.map_or(self.segments.first, |point| point.next)
    }

    /// The size of a segment, in bytes.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.settings.segment_bytes
    }

    /// An immutable view of the log as it is now, for readers.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let closed_below = self.durability.point.map(|point| point.segment);
        let spans = Arc::clone(&self.segments.spans);
        Snapshot::new(spans, self.segments.first, self.segments.end, self.segments.seal_offset, closed_below)
            .leased(Arc::clone(&self.obsolete.lease))
    }

    /// Where the last segment ends.
    #[must_use]
    pub fn end(&self) -> Tip {
        self.segments.end
    }

    /// Takes the latest rollover that was not taken yet.
    pub fn take_rolled(&mut self) -> Option<Rolled> {
        self.rolled.take()
    }

    /// Whether enough is not synced that a rollover would have to wait for it.
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

    /// Returns the fsync for everything that was appended; `None` if all of it is durable.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn sync_job(&mut self) -> Result<Option<SyncJob>, Error> {
        let file = match &self.state {
            State::Poisoned(cause) => return Err(Error::Poisoned(Arc::clone(cause))),
            State::Open(open) => open.unsynced.then_some(&open.watched.file),
            State::Detached(detached) => detached.unsynced.as_ref(),
        };
        let job = file.cloned().zip(self.segments.end_point());
        self.durability.in_flight = job.is_some();
        Ok(job.map(|(file, point)| SyncJob { file, point, rules: self.rules }))
    }

    /// Reports that a sync succeeded, which covered everything up to `point`.
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

    /// Reports that a sync failed: what is on the device is unknown, so the log accepts nothing more. Returns
    /// the error for every waiter.
    pub fn poison(&mut self, cause: Error) -> Error {
        if matches!(cause, Error::Poisoned(_)) {
            return cause;
        }
        let cause = Arc::new(cause);
        self.state = State::Poisoned(Arc::clone(&cause));
        Error::Poisoned(cause)
    }

    /// Closes the log: sync, SEAL, anchor. The last segment keeps its length, so that the next open can go on
    /// in it. A log without appends since the open is left as it is.
    ///
    /// The SEAL follows the sync, so that it states what the sync made durable. It is not synced itself:
    /// everything in it can be found without it.
    ///
    /// # Errors
    /// The first failure; steps that do not depend on it were done all the same. After [`Error::Poisoned`],
    /// entries that were not durable before may be lost.
    pub fn close(&mut self, spares: &dyn SpareSource) -> Result<(), Error> {
        self.refuse_if_poisoned()?;
        let open = match &self.state {
            State::Open(open) if !open.is_as_found(self.segments.end) => {
                Some((open.watched.file.clone(), open.header.life.segment))
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
            // A spare that cannot be removed is a prepared segment, which the next one replaces.
            spare.discard(spares.directory()).ok();
        }
        let anchored = self.write_anchor(self.anchor_now(), spares);
        sealed.map(|_| ()).and(anchored)
    }

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
}

fn sync_once(file: &Named, rules: Rules) -> Result<(), Error> {
    match file.sync() {
        Err(_) if !rules.keeps(Rule::NoSecondSync) => file.sync(),
        done => done,
    }
}

/// Unsynced bytes beyond this make a rollover wait noticeably.
const EARLY_SYNC_BYTES: u64 = 4 << 20;
/// Near the end of a segment syncs get smaller, down to this size, so that the rollover has little to wait
/// for: less than this syncs about as fast as nothing.
const LAST_SYNC_BYTES: u64 = 64 << 10;
