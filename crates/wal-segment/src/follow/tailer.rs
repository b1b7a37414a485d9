//! Tails a log that another process writes, without its lock and without a lease on its files.
//!
//! ```text
//! look     frames after the known end of the last segment           usually: one small read
//!          anchor ─▶ names ─▶ highest LINK ─▶ back to what is known  where nothing came
//! ```
//!
//! The anchor is read first and the files later. So what it names was there, unless a truncation has dropped
//! it meanwhile, and then the next anchor says so. A file that has vanished, or has another life, means that
//! the list of names was old: then everything is read again, a few times.
//!
//! Invariant: returned entries are part of the log on disk, or an error says that they no longer are. A
//! writer that cuts them off publishes a LINK in a new segment, with a number before the next one. A failed
//! fsync may take frames away without a LINK; then the header of the last known frame is not at its place any
//! more.
use std::sync::Arc;
use std::time::Duration;

use wal_format::{Anchor, Life, LogId, Sequence};

use crate::error::{Damage, DamageKind, Error, Lost};
use crate::files::anchor::{self, Slots};
use crate::files::names::{Catalog, segment_path};
use crate::follow::growing::Growing;
use crate::follow::trail::{missing, trail};
use crate::io::{Directory, FileKind};
use crate::recovery::decide::AnchorSeen;
use crate::recovery::open::has_vanished;
use crate::recovery::settle::{Purpose, Settling};
use crate::recovery::top::{Top, anchor_beside};
use crate::rules::Rules;
use crate::salvage::losses_at;
use crate::segment::head::{Inspected, Linked, Site};
use crate::segment::snapshot::Snapshot;
use crate::segment::span::Span;

/// Tails a log of another process, from the segment that the reader is in to the end of the log.
#[derive(Debug)]
pub struct Tailer {
    log: Option<LogId>,
    snapshot: Snapshot,
    growing: Option<Growing>,
    durable: Sequence,
    durable_only: bool,
    rewound: bool,
}

enum Seen {
    Same,
    Moved,
    /// The files do not fit together. They may be changing; the error holds if they stay so.
    Unsteady(Error),
}

/// How often a look walks over entries that are not durable, up to 1 MiB at a time: the writer may write as
/// fast.
const MOST_WALKS: u32 = 32;

/// How often files that do not fit are read while the anchor stays the same, how often at all, and the pause
/// in between.
const LOOKS: u32 = 4;
const MOST_LOOKS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

impl Tailer {
    /// Continues after the result of a [`look`](crate::look).
    #[must_use]
    pub fn new(snapshot: Snapshot, durable: Sequence) -> Tailer {
        Tailer { log: None, snapshot, growing: None, durable, durable_only: false, rewound: false }
    }

    /// The same for a reader that wants only durable entries.
    #[must_use]
    pub fn durable_only(self) -> Tailer {
        Tailer { durable_only: true, ..self }
    }

    /// Entries before this number can be read, as far as is known.
    #[must_use]
    pub fn limit(&self) -> Sequence {
        if self.durable_only { self.durable() } else { self.snapshot.next() }
    }

    /// Whether known frames have gone and others may be in their place: entries that were read ahead from
    /// them are void.
    pub fn take_rewound(&mut self) -> bool {
        std::mem::take(&mut self.rewound)
    }

    /// The known log.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The number of the first entry that nothing on disk states to be durable, as far as is known.
    #[must_use]
    pub fn durable(&self) -> Sequence {
        self.durable.min(self.snapshot.next())
    }

    /// Looks for new entries. Returns whether the [limit](Tailer::limit) lies after `next`, the number after
    /// the last entry that was returned. Known entries from `next` on may have been cut off.
    ///
    /// # Errors
    /// [`Error::Dropped`], [`Error::CutOff`]; [`Error::NoLog`] when the log was removed; damage that stays;
    /// what the system reports.
    pub fn look(&mut self, directory: &dyn Directory, next: Sequence) -> Result<bool, Error> {
        if let Some(damage) = self.snapshot.damage()
            && next >= self.limit()
        {
            return Err(Error::Damaged(damage.clone()));
        }
        self.know_last_segment(directory)?;
        for round in 0.. {
            if !self.walk_on(directory, next)? {
                // The walked frames may state no durable point: the next look reads the anchor.
                if round == 0 {
                    self.relink(directory, next, false)?;
                }
                break;
            }
            if self.limit() > next || round == MOST_WALKS {
                break;
            }
        }
        Ok(self.limit() > next)
    }

    /// Finds out why entry `next` could not be read: `Ok` when it is elsewhere now and reading can go on.
    ///
    /// # Errors
    /// As [`Tailer::look`]; `error`, with the lost entries, when the log is where it was.
    pub fn explain(&mut self, directory: &dyn Directory, next: Sequence, error: Error) -> Result<(), Error> {
        let Error::Damaged(damage) = &error else { return Err(error) };
        if self.snapshot.damage() == Some(damage) {
            return Err(error);
        }
        let before = self.life_of(next);
        match self.relink(directory, next, true) {
            Ok(()) if self.life_of(next) != before || self.rewound => Ok(()),
            Err(told @ (Error::Dropped { .. } | Error::CutOff { .. } | Error::NoLog { .. })) => Err(told),
            _ => Err(Error::Damaged(losses_at(directory, damage.clone()))),
        }
    }

    fn life_of(&self, sequence: Sequence) -> Option<Life> {
        let span = self.snapshot.span(self.snapshot.find(sequence))?;
        (sequence < span.end.next).then_some(span.life)
    }

    /// Opens the last known segment, if its file is there: its known frames may have gone.
    fn know_last_segment(&mut self, directory: &dyn Directory) -> Result<(), Error> {
        let Some(span) = self.snapshot.spans().next_back().filter(|_| self.growing.is_none()) else {
            return Ok(());
        };
        let Ok(anchor) = anchor_of(directory)? else { return Ok(()) };
        let catalog = Catalog::read(directory)?;
        let site = Site { directory, catalog: &catalog, anchor: &anchor };
        let found = match site.inspect(span.life.segment) {
            Err(error) if has_vanished(&error) => None,
            found => found?,
        };
        if let Some(Inspected::Linked(last)) = found
            && last.header.life == span.life
        {
            self.growing = Some(Growing::new(last, span.end, span.seal_offset));
        }
        Ok(())
    }

    /// Returns whether new frames came or known ones have gone.
    fn walk_on(&mut self, directory: &dyn Directory, next: Sequence) -> Result<bool, Error> {
        let Some(growing) = &mut self.growing else { return Ok(false) };
        if !growing.walk_on()? {
            if !growing.is_taken_back()? {
                return Ok(false);
            }
            self.rewound = true;
            growing.rewind();
            if growing.is_taken_back()? {
                // The file is another segment now: anchor and LINKs tell what became of this one.
                self.growing = None;
                return Ok(false);
            }
            // What was durable is still there; read again what follows it.
            let anchor = anchor_of(directory)?;
            while growing.walk_on()? {}
            if next > self.durable {
                // Unless the anchor states that the missing frames were durable.
                let damage = anchor.ok().and_then(|anchor| growing.hold_against(&anchor));
                return Err(match damage {
                    Some(damage) => Error::Damaged(losses_at(directory, damage)),
                    None => Error::CutOff { file: growing.path(), from: self.durable },
                });
            }
        }
        self.durable = self.durable.max(growing.durable());
        self.snapshot = self.snapshot.ending(growing.tip, growing.seal_offset);
        Ok(true)
    }

    /// Finds the last segment, and the way to it if it is a new one or `asked` is set.
    fn relink(&mut self, directory: &dyn Directory, next: Sequence, asked: bool) -> Result<(), Error> {
        let (mut before, mut unchanged) = ((None, 0), 0);
        for look in 1.. {
            match self.try_relink(directory, next, asked)? {
                Seen::Same => break,
                Seen::Moved => {
                    self.walk_on(directory, next)?;
                    break;
                }
                Seen::Unsteady(error) => {
                    // While the files change, a writer drops segments faster than they are read, or a program
                    // removes the log.
                    let catalog = Catalog::read(directory)?;
                    let now = (anchor_of(directory)?.ok(), catalog.segments.len());
                    unchanged = if now == before { unchanged + 1 } else { 1 };
                    before = now;
                    if unchanged >= LOOKS || look >= MOST_LOOKS {
                        let directory = directory.path().to_path_buf();
                        return Err(if catalog.is_empty() { Error::NoLog { directory } } else { error });
                    }
                    directory.wait(PAUSE);
                }
            }
        }
        Ok(())
    }

    fn try_relink(&mut self, directory: &dyn Directory, next: Sequence, asked: bool) -> Result<Seen, Error> {
        let anchor = match anchor_of(directory)? {
            Ok(anchor) => anchor,
            Err(unsteady) => return Ok(Seen::Unsteady(unsteady)),
        };
        if *self.log.get_or_insert(anchor.log) != anchor.log {
            return Ok(Seen::Unsteady(anchor_damage(directory, DamageKind::OtherLog)));
        }
        if anchor.first > next {
            let read = self.snapshot.span(self.snapshot.find(next));
            let segment = read.map_or(anchor.first_segment, |span| span.life.segment);
            let file = segment_path(directory, segment);
            return Err(Error::Dropped { file, asked: next, first: anchor.first });
        }
        let catalog = Catalog::read(directory)?;
        let settling = Settling::new(Purpose::Read, Rules::default());
        let site = Site { directory, catalog: &catalog, anchor: &anchor };
        let top = match Top::read(site, &settling) {
            Err(error) if has_vanished(&error) => return Ok(Seen::Unsteady(error)),
            top => top?,
        };
        let Some(last) = top.last.clone() else { return Ok(self.without_segments(directory)) };
        let is_known = self.growing.as_ref().is_some_and(|growing| growing.life() == last.header.life);
        if !is_known || asked {
            if let Some(damage) = self.lost_above(directory, &anchor, &top, next)? {
                return Ok(Seen::Unsteady(Error::Damaged(damage)));
            }
            match trail(site, &last, &self.snapshot, next)? {
                Err(unsteady) => return Ok(Seen::Unsteady(unsteady)),
                Ok(spans) => self.adopt(spans, last, &anchor),
            }
            return Ok(Seen::Moved);
        }
        // The writer may have written what the anchor states since the frames were walked.
        let moved = self.walk_on(directory, next)?;
        let damage = self.growing.as_mut().and_then(|growing| growing.hold_against(&anchor));
        if let Some(growing) = &self.growing {
            self.durable = self.durable.max(growing.durable());
        }
        Ok(match damage {
            Some(damage) if !moved => Seen::Unsteady(Error::Damaged(damage)),
            _ => Seen::Same,
        })
    }

    /// The damage when a segment that was linked no longer is. The writer may also have given it up.
    fn lost_above(
        &self,
        directory: &dyn Directory,
        anchor: &Anchor,
        top: &Top,
        next: Sequence,
    ) -> Result<Option<Damage>, Error> {
        if anchor_beside(anchor, top.last.as_deref()) == AnchorSeen::Ahead {
            return Ok(Some(top.active_lost(directory, anchor, next)));
        }
        let known = self.snapshot.spans().next_back().map(|span| span.life.segment);
        let last = top.last.as_ref().map(|last| last.header.life.segment);
        if known <= last {
            return Ok(None);
        }
        Ok(top.judge_above(directory, anchor, next, Rules::default())?.1)
    }

    /// No segment is linked: either none ever was, or all have vanished.
    fn without_segments(&self, directory: &dyn Directory) -> Seen {
        match self.snapshot.spans().next_back() {
            None => Seen::Same,
            Some(span) => Seen::Unsteady(missing(directory, span.life.segment, Lost::from(span.start.next))),
        }
    }

    fn adopt(&mut self, spans: Vec<Span>, last: Arc<Linked>, anchor: &Anchor) {
        let life = last.header.life;
        let was_last = self.snapshot.spans().next_back().is_some_and(|span| span.life == life);
        // Durable entries may have been cut off; but a LINK implies that everything before it is durable.
        self.durable = if was_last { self.durable.max(last.link.next) } else { last.link.next };
        let growing = match self.growing.take() {
            Some(growing) if growing.life() == life => growing,
            _ => {
                let known = spans.last().map_or(last.start, |span| span.end);
                Growing::new(last, known, spans.last().and_then(|span| span.seal_offset))
            }
        };
        let found = Snapshot::found(spans, anchor.first, growing.tip.next);
        self.snapshot = found.ending(growing.tip, growing.seal_offset);
        self.growing = Some(growing);
    }
}

/// The error to return when entry `next` of a snapshot could not be read: `error` with the lost entries, or,
/// for a snapshot without a lease, that the entry was dropped or cut off meanwhile.
pub(crate) fn explain(directory: &dyn Directory, snapshot: &Snapshot, next: Sequence, error: Error) -> Error {
    let Error::Damaged(damage) = &error else { return error };
    if snapshot.damage() == Some(damage) {
        return error;
    }
    if snapshot.is_leased() {
        return Error::Damaged(losses_at(directory, damage.clone()));
    }
    let file = damage.file.clone();
    let mut tailer = Tailer::new(snapshot.clone(), Sequence::ZERO);
    match tailer.explain(directory, next, error) {
        Err(explained) => explained,
        Ok(()) => Error::CutOff { file, from: next },
    }
}

fn anchor_of(directory: &dyn Directory) -> Result<Result<Anchor, Error>, Error> {
    let slots = match Slots::find(directory, Some(FileKind::Regular)) {
        Err(error) if has_vanished(&error) => Slots::NONE,
        found => found?,
    };
    Ok(slots
        .newest(Rules::default())
        .ok_or_else(|| anchor_damage(directory, DamageKind::Anchor(slots.fault()))))
}

fn anchor_damage(directory: &dyn Directory, kind: DamageKind) -> Error {
    Error::Damaged(anchor::damage(directory, kind))
}
