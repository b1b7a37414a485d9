//! The end of the log: where frames are appended, segments begun and sealed, cuts published.
//!
//! ```text
//!            append: LINK and frame in one write
//!            append after a cut: LINK alone, synced, anchored
//!          ┌────────────────────────────────────────┐
//!          │                                        ▼
//!     ┌──────────┐   full: SEAL, sync           ┌──────┐
//!     │ Detached │ ◀─────────────────────────── │ Open │ ──┐ append: one write
//!     └──────────┘   a write failed             └──────┘ ◀─┘
//!          │                                        │
//!          └─────────▶  Poisoned (a sync failed) ◀──┘
//! ```
//!
//! Invariants:
//! - Behind the end of the log no byte range is written twice in one life of a segment.
//! - A LINK is written only after everything in front of it was synced.
//! - What is in the anchor was durable before.
//!
//! When to sync is the caller's business ([`Writer::sync_job`]); only what the order of the files asks
//! for is synced here.

mod open_segment;
mod turnover;

use std::sync::Arc;

use wal_format::{
    Anchor, ChecksumKind, DurablePoint, FrameLayout, LinkReason, LogId, MAX_SEGMENT_BYTES, SegmentNumber,
    Sequence, encode_data_frame,
};

use self::open_segment::OpenSegment;
use crate::anchor_file::AnchorFile;
use crate::error::Error;
use crate::io::{Directory, Lock};
use crate::named::Named;
use crate::rules::{Rule, Rules};
use crate::shelf::Snapshot;
use crate::span::{Span, Tip};

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
    directory: Arc<dyn Directory>,
    rules: Rules,
    settings: Settings,
    log: LogId,
    first: Sequence,
    first_segment: SegmentNumber,
    anchor: AnchorFile,
    /// The anchor's name is known to be durable: this process made it, or a LINK stands on it.
    anchor_proven: bool,
    /// A sync was handed out and has not been reported back. Until it is, nobody else syncs: of two syncs
    /// of which the first one fails, the second may be told that all is well.
    in_flight: bool,
    /// A cut is published, but nothing may be accepted before the anchor knows of it.
    anchor_owed: bool,
    /// All segments of the log. The end of the last one is in `end`.
    spans: Arc<Vec<Span>>,
    end: Tip,
    durable: Option<DurablePoint>,
    tail: Tail,
    /// Reused for every frame.
    buffer: Vec<u8>,
    _lock: Box<dyn Lock>,
}

#[derive(Debug)]
enum Tail {
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

/// The payloads of one frame, each with its digest.
pub trait Payloads<'a>: Iterator<Item = (&'a [u8], u64)> + Clone {}
impl<'a, I: Iterator<Item = (&'a [u8], u64)> + Clone> Payloads<'a> for I {}

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
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) lock: Box<dyn Lock>,
    pub(crate) rules: Rules,
    pub(crate) settings: Settings,
    pub(crate) anchor: AnchorFile,
    pub(crate) anchor_proven: bool,
    pub(crate) spans: Vec<Span>,
    pub(crate) first: Sequence,
    pub(crate) next: Sequence,
    pub(crate) reason: LinkReason,
}

impl Writer {
    pub(crate) fn new(start: Start) -> Writer {
        let last = start.spans.last();
        let durable = last.map(|span| point(span.life.segment, span.end));
        let end = last.map_or(Tip { offset: 0, chain: 0, next: start.next }, |span| span.end);
        let anchor = *start.anchor.last();
        Writer {
            directory: start.directory,
            rules: start.rules,
            settings: start.settings,
            log: anchor.log,
            first: start.first,
            first_segment: anchor.first_segment,
            anchor: start.anchor,
            anchor_proven: start.anchor_proven,
            in_flight: false,
            anchor_owed: false,
            spans: Arc::new(start.spans),
            end,
            durable,
            tail: Tail::Detached(Detached { reason: start.reason, unsynced: None }),
            buffer: Vec::new(),
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
        self.first
    }

    /// The number of the next entry.
    #[must_use]
    pub fn next(&self) -> Sequence {
        self.end.next
    }

    /// The number of the next entry that is not durable.
    #[must_use]
    pub fn durable(&self) -> Sequence {
        self.durable.map_or(self.first, |point| point.next)
    }

    /// The log as it is now, for reading.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(Arc::clone(&self.spans), self.first, self.end)
    }

    /// Writes one frame with `count` payloads, `payload_bytes` long in all, and returns the number of
    /// the first entry. On return they have reached the operating system.
    ///
    /// # Errors
    /// [`Error::SyncInFlight`], with nothing done, when a segment must be ended and a sync has not been
    /// reported back. After any error none of the entries is part of the log; their numbers are used
    /// again. The log stays usable unless the error is [`Error::Poisoned`] or came from a sync.
    pub fn append<'a>(
        &mut self,
        payloads: impl Payloads<'a>,
        count: u64,
        payload_bytes: u64,
    ) -> Result<Sequence, Error> {
        self.refuse_if_poisoned()?;
        if self.anchor_owed {
            self.write_anchor()?;
        }
        let first = self.end.next;
        first.advance(count).ok_or(Error::OutOfNumbers)?;
        let frame_bytes = FrameLayout::of(self.settings.checksum, count, payload_bytes).end;
        if turnover::needed_bytes(frame_bytes) > MAX_SEGMENT_BYTES {
            return Err(Error::OutOfNumbers);
        }
        let stays = matches!(&self.tail, Tail::Open(open) if open.has_room(self.end.offset, frame_bytes));
        if !stays && self.in_flight {
            return Err(Error::SyncInFlight);
        }
        if !stays && matches!(self.tail, Tail::Open(_)) {
            self.seal()?;
        }
        if let Tail::Detached(detached) = &self.tail {
            if detached.reason.is_cut() && self.rules.keeps(Rule::CutSynced) {
                self.publish_cut(frame_bytes)?;
            } else {
                return self.begin_with(payloads, frame_bytes);
            }
        }
        let Tail::Open(open) = &mut self.tail else { unreachable!("a cut opens a segment or fails") };
        let offset = self.end.offset;
        let header = open.frame_header(self.end, self.durable);
        let buffer = frame_buffer(&mut self.buffer, frame_bytes);
        let chain =
            encode_data_frame(buffer, header, open.header.life, offset, open.header.checksum, payloads);
        if let Err(error) = open.file.write_all(buffer, offset) {
            self.write_failed();
            return Err(error);
        }
        open.note(offset, first);
        open.unsynced = true;
        let next = first.advance(count).ok_or(Error::OutOfNumbers)?;
        self.end = Tip { offset: offset + frame_bytes, chain, next };
        Ok(first)
    }

    /// A sync of everything that was appended, unless all of it is durable already.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn sync_job(&mut self) -> Result<Option<SyncJob>, Error> {
        let file = match &self.tail {
            Tail::Poisoned(cause) => return Err(Error::Poisoned(Arc::clone(cause))),
            Tail::Open(open) => open.unsynced.then_some(&open.file),
            Tail::Detached(detached) => detached.unsynced.as_ref(),
        };
        let segment = self.spans.last().map(|span| span.life.segment);
        self.in_flight = file.is_some() && segment.is_some();
        Ok(file.zip(segment).map(|(file, segment)| SyncJob {
            file: file.clone(),
            point: point(segment, self.end),
            rules: self.rules,
        }))
    }

    /// A sync covered everything up to `point`.
    pub fn synced(&mut self, point: DurablePoint) {
        self.in_flight = false;
        let covered_all = point.offset == self.end.offset
            && self.spans.last().is_some_and(|span| span.life.segment == point.segment);
        match &mut self.tail {
            Tail::Open(open) if covered_all => open.unsynced = false,
            Tail::Detached(detached) if covered_all => detached.unsynced = None,
            _ => {}
        }
        self.advance_durable(point);
        // Once a segment, so that even the loss of its whole file is noticed. Appends go on without
        // the anchor; it is written again at the next occasion, at the latest by `close`, which
        // reports it.
        let anchored = self.anchor.last().active.map(|(segment, _)| segment);
        let entered = self.durable.is_some_and(|durable| Some(durable.segment) > anchored);
        if entered && !self.anchor_owed && self.rules.keeps(Rule::AnchorPerSegment) {
            self.write_anchor().ok();
        }
    }

    /// A sync failed: nothing is known about the device any more, and nothing more is accepted.
    /// Returns what everybody is told.
    pub fn poison(&mut self, cause: Error) -> Error {
        if matches!(cause, Error::Poisoned(_)) {
            return cause;
        }
        let cause = Arc::new(cause);
        self.tail = Tail::Poisoned(Arc::clone(&cause));
        Error::Poisoned(cause)
    }

    /// Ends the log's last segment: SEAL, sync, the file shortened, the anchor written.
    ///
    /// # Errors
    /// The first thing that failed; what does not depend on it was done all the same. When the error
    /// came from a sync, entries that were not durable before may be lost.
    pub fn close(mut self) -> Result<(), Error> {
        self.refuse_if_poisoned()?;
        let sealed = if matches!(self.tail, Tail::Open(_)) { self.write_seal() } else { Ok(None) };
        if let Some(job) = self.sync_job()? {
            job.run().map_err(|error| self.poison(error))?;
            self.synced(job.point());
        }
        let shortened = match &sealed {
            Ok(Some(file)) => file.resize(self.end.offset),
            _ => Ok(()),
        };
        let anchored = if self.anchor_is_behind() { self.write_anchor() } else { Ok(()) };
        sealed.map(|_| ()).and(shortened).and(anchored)
    }

    fn refuse_if_poisoned(&self) -> Result<(), Error> {
        match &self.tail {
            Tail::Poisoned(cause) => Err(Error::Poisoned(Arc::clone(cause))),
            _ => Ok(()),
        }
    }

    /// The log goes on in a new segment: what was written here in part can never be taken for a part
    /// of the log once anything later was accepted.
    fn write_failed(&mut self) {
        if !self.rules.keeps(Rule::FailedWriteCuts) {
            return;
        }
        if let Tail::Open(open) = &self.tail {
            let unsynced = open.unsynced.then(|| open.file.clone());
            self.end_last_span(None);
            self.tail = Tail::Detached(Detached { reason: LinkReason::Torn, unsynced });
        }
    }

    /// Writes the end of the log, and where the SEAL stands, into its last span.
    fn end_last_span(&mut self, seal_offset: Option<u64>) {
        let end = self.end;
        if let Some(last) = Arc::make_mut(&mut self.spans).last_mut() {
            last.end = end;
            last.seal_offset = last.seal_offset.or(seal_offset);
        }
    }

    fn advance_durable(&mut self, point: DurablePoint) {
        if !self.rules.keeps(Rule::DurableMoves) {
            return;
        }
        let reached = |point: DurablePoint| (point.segment, point.offset);
        if self.durable.is_some_and(|durable| reached(durable) >= reached(point)) {
            return;
        }
        self.durable = Some(point);
        // The LINK that ends the segments before is durable now, so they may be mapped.
        let durable_segment = point.segment;
        if self.spans.iter().rev().take(2).any(|span| span.life.segment < durable_segment && !span.closed) {
            for span in Arc::make_mut(&mut self.spans) {
                span.closed = span.life.segment < durable_segment;
            }
        }
    }

    /// Whether more is durable than the anchor says.
    pub(crate) fn is_ahead_of_anchor(&self) -> bool {
        self.durable != self.anchor.last().durable
    }

    fn anchor_is_behind(&self) -> bool {
        let wanted = self.anchor_now();
        let last = *self.anchor.last();
        Anchor { generation: last.generation, ..wanted } != last
    }

    /// What the anchor should say now: durable facts only.
    fn anchor_now(&self) -> Anchor {
        let holds = |point: DurablePoint| {
            self.spans.iter().rev().find(move |span| span.life.segment == point.segment)
        };
        let active = self.durable.and_then(holds);
        let sealed = active.filter(|span| {
            span.seal_offset.is_some() && self.durable.is_some_and(|point| point.offset == span.end.offset)
        });
        Anchor {
            log: self.log,
            generation: 0,
            first: self.first,
            first_segment: self.first_segment,
            active: active.map(|span| (span.life.segment, span.life.salt)),
            durable: self.durable,
            seal_offset: sealed.and_then(|span| span.seal_offset),
            next_segment_bytes: self.settings.segment_bytes,
            next_checksum: self.settings.checksum,
        }
    }

    pub(crate) fn write_anchor(&mut self) -> Result<(), Error> {
        self.anchor.write(self.anchor_now())?;
        self.anchor_owed = false;
        Ok(())
    }
}

fn sync_once(file: &Named, rules: Rules) -> Result<(), Error> {
    match file.sync() {
        Err(_) if !rules.keeps(Rule::NoSecondSync) => file.sync(),
        done => done,
    }
}

fn point(segment: SegmentNumber, tip: Tip) -> DurablePoint {
    DurablePoint { segment, offset: tip.offset, next: tip.next }
}

/// More than this is given back once it was used: a single huge entry must not hold memory for ever.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// The first `bytes` of the reused buffer.
fn frame_buffer(buffer: &mut Vec<u8>, bytes: u64) -> &mut [u8] {
    let bytes = usize::try_from(bytes).expect("a frame was held in memory by whoever appends it");
    if buffer.len() < bytes {
        buffer.resize(bytes, 0);
    } else if buffer.len() > KEPT_BUFFER_BYTES.max(bytes) {
        buffer.truncate(KEPT_BUFFER_BYTES.max(bytes));
        buffer.shrink_to_fit();
    }
    &mut buffer[..bytes]
}
