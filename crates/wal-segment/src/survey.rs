//! Looks at a log from the anchor to its last byte and comes to a verdict, without changing anything.
//!
//! ```text
//! anchor ─→ names ─→ highest LINK ─→ chain ─→ walk of the last segment ─→ evidence ─→ verdict
//! ```
//!
//! An open for writing first syncs, and drops the cache of, what is not yet proven durable: after a
//! failed sync the page cache shows bytes that the device does not have. It does so from the highest
//! file downwards, until one with a valid LINK was read: that LINK was written only after everything
//! before it had been synced.

use std::cell::Cell;
use std::sync::Arc;

use wal_format::{
    Anchor, FIRST_FRAME_OFFSET, FRAME_HEADER_BYTES, FrameFault, FrameHeader, HeaderFault, LinkReason,
    SegmentNumber, Sequence,
};

use crate::anchor_file::{self, Slots};
use crate::catalog::{Catalog, segment_path};
use crate::chain::{self, Chain};
use crate::decide::{
    AboveSeen, AnchorSeen, BehindSeen, ChainSeen, Observation, Reach, Refusal, StopSeen, Verdict, decide,
};
use crate::error::{Damage, DamageKind, Error, Lost, Operation, Place};
use crate::evidence::{self, Evidence};
use crate::inspect::{Inspected, Linked, inspect};
use crate::io::{Access, Directory, Residency};
use crate::named::Named;
use crate::rules::{Rule, Rules};
use crate::scan::{self, Stop, Walked};
use crate::span::{Span, Tip};
use crate::window::Window;

/// What a survey is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Under the lock, by somebody who will append: only what is on the device counts.
    Write,
    /// Without the lock, perhaps beside a writer: what can be read counts.
    Read,
}

/// Everything that a survey learned.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) verdict: Verdict,
    /// What is wrong, when the verdict is a refusal.
    pub(crate) damage: Option<Damage>,
    pub(crate) catalog: Catalog,
    pub(crate) anchor: Option<Anchored>,
    /// The log, oldest segment first. When it is refused: what is good in front of the damage.
    pub(crate) spans: Vec<Span>,
    /// The highest linked segment.
    pub(crate) last: Option<Arc<Linked>>,
    /// The first entry that is kept.
    pub(crate) first: Sequence,
    /// The number of the next entry.
    pub(crate) next: Sequence,
    /// The number of the first entry that nothing states to be durable.
    pub(crate) durable: Sequence,
    /// Bytes of this life behind the end that are no part of the log.
    pub(crate) dropped_bytes: u64,
    /// Whether the last SEAL's index is bad: a warning, for it is derived data.
    pub(crate) bad_index: bool,
    /// The worst answer of the system about its cache.
    pub(crate) residency: Residency,
}

/// The anchor as it was read.
#[derive(Debug)]
pub(crate) struct Anchored {
    pub(crate) file: Named,
    pub(crate) slots: Slots,
    pub(crate) newest: Anchor,
}

/// Surveys the log in `directory`.
pub(crate) fn survey(directory: &dyn Directory, purpose: Purpose, rules: Rules) -> Result<Survey, Error> {
    let access = if purpose == Purpose::Write { Access::ReadWrite } else { Access::Read };
    let settling = Settling { purpose, rules, worst: Cell::new(Residency::Dropped) };

    // A reader beside a writer must not see an anchor that is newer than its list of names.
    let anchor_kind = Catalog::read(directory)?.anchor;
    let anchor_file = anchor_file::open(directory, anchor_kind, access)?;
    let slots = match &anchor_file {
        None => Slots::NONE,
        Some(file) => {
            settling.settle(file)?;
            Slots::read(file)?
        }
    };
    let catalog = Catalog::read(directory)?;

    let (Some(newest), Some(file)) = (slots.newest(), anchor_file) else {
        return Ok(without_anchor(directory, catalog, slots.fault(), settling.worst.get()));
    };
    let heads = Heads::read(directory, &catalog, &newest, access, &settling)?;
    let mut survey = judge(directory, &catalog, &newest, heads, rules)?;
    survey.residency = if purpose == Purpose::Write { settling.worst.get() } else { Residency::Unknown };
    survey.catalog = catalog;
    survey.anchor = Some(Anchored { file, slots, newest });
    Ok(survey)
}

/// Makes a file show what the device holds, and remembers how well that went.
struct Settling {
    purpose: Purpose,
    rules: Rules,
    worst: Cell<Residency>,
}

impl Settling {
    fn settle(&self, file: &Named) -> Result<(), Error> {
        if self.purpose == Purpose::Read || !self.rules.keeps(Rule::OpenDropsCache) {
            return Ok(());
        }
        file.sync()?;
        let found = file.drop_cache().place(Operation::DropCache, || file.path.clone(), None)?;
        if found == Residency::Resident || self.worst.get() == Residency::Dropped {
            self.worst.set(found);
        }
        Ok(())
    }
}

/// The highest linked segment, and what lies above it.
struct Heads {
    last: Option<Arc<Linked>>,
    above: Vec<(SegmentNumber, Inspected)>,
}

impl Heads {
    fn read(
        directory: &dyn Directory,
        catalog: &Catalog,
        anchor: &Anchor,
        access: Access,
        settling: &Settling,
    ) -> Result<Heads, Error> {
        let mut above = Vec::new();
        for (&number, &kind) in catalog.segments.range(anchor.first_segment..).rev() {
            match inspect(directory, anchor.log, number, kind, access, |file| settling.settle(file))? {
                Inspected::Linked(last) => return Ok(Heads { last: Some(last), above }),
                other => above.push((number, other)),
            }
        }
        Ok(Heads { last: None, above })
    }

    /// The number that a prepared segment has.
    fn spare_number(&self, anchor: &Anchor) -> Option<SegmentNumber> {
        match &self.last {
            None => Some(anchor.first_segment),
            Some(last) => last.header.life.segment.next(),
        }
    }
}

fn without_anchor(
    directory: &dyn Directory,
    catalog: Catalog,
    fault: HeaderFault,
    residency: Residency,
) -> Survey {
    let chain = if catalog.segments.is_empty() { ChainSeen::NoFiles } else { ChainSeen::NoneLinked };
    let verdict = decide(&Observation {
        anchor: AnchorSeen::None,
        chain,
        above: AboveSeen::Nothing,
        stop: StopSeen::Blank,
        behind: BehindSeen::Nothing,
        reach: Reach::Reached,
    });
    let damage = matches!(verdict, Verdict::Refused(_)).then(|| Damage {
        file: directory.path().join(wal_format::ANCHOR_FILE),
        offset: 0,
        sequences: None,
        kind: DamageKind::Anchor(fault),
    });
    Survey {
        verdict,
        damage,
        catalog,
        anchor: None,
        spans: Vec::new(),
        last: None,
        first: Sequence::ZERO,
        next: Sequence::ZERO,
        durable: Sequence::ZERO,
        dropped_bytes: 0,
        bad_index: false,
        residency,
    }
}

fn judge(
    directory: &dyn Directory,
    catalog: &Catalog,
    anchor: &Anchor,
    heads: Heads,
    rules: Rules,
) -> Result<Survey, Error> {
    let mut survey = Survey {
        verdict: Verdict::Empty,
        damage: None,
        catalog: Catalog::default(),
        anchor: None,
        spans: Vec::new(),
        last: heads.last.clone(),
        first: anchor.first,
        next: anchor.first,
        durable: anchor.first,
        dropped_bytes: 0,
        bad_index: false,
        residency: Residency::Unknown,
    };
    let mut seen = Observation {
        anchor: anchor_beside(anchor, heads.last.as_deref()),
        chain: ChainSeen::NoFiles,
        above: AboveSeen::Nothing,
        stop: StopSeen::Blank,
        behind: BehindSeen::Nothing,
        reach: Reach::Reached,
    };
    let mut broken = None;
    let mut damaged = None;
    if let Some(last) = &heads.last {
        let chain = chain::trace(directory, catalog, anchor.log, anchor.first_segment, last)?;
        let chain = begin_at(directory, anchor, chain, last, &mut survey);
        seen.chain = if chain.broken.is_some() { ChainSeen::Broken } else { ChainSeen::Whole };
        survey.spans = chain.spans;
        let end = EndOfLast::observe(last, anchor)?;
        end.record(anchor, last, &mut seen, &mut survey)?;
        damaged = Some(end.damage(anchor, last));
        if chain.broken.is_some() {
            read_below(directory, catalog, anchor, last, &mut survey)?;
        }
        broken = chain.broken;
    } else if !heads.above.is_empty() {
        seen.chain = ChainSeen::NoneLinked;
    }
    let (above, lost) = look_above(directory, anchor, &heads, survey.next, rules)?;
    seen.above = above;

    if !rules.keeps(Rule::DamageIsNotTorn) {
        seen.reach = Reach::Reached;
    }
    survey.verdict = decide(&seen);
    if survey.verdict == Verdict::Torn && !rules.keeps(Rule::TornIsNoDamage) {
        survey.verdict = Verdict::Refused(Refusal::Damaged);
    }
    survey.damage = match survey.verdict {
        Verdict::Refused(Refusal::AnchorLost | Refusal::ActiveLost) => {
            Some(active_lost(directory, anchor, &heads, survey.next))
        }
        Verdict::Refused(Refusal::ChainBroken) => broken,
        Verdict::Refused(Refusal::LinkLost) => lost,
        Verdict::Refused(Refusal::Damaged) => damaged,
        _ => None,
    };
    Ok(survey)
}

fn anchor_beside(anchor: &Anchor, last: Option<&Linked>) -> AnchorSeen {
    let last = last.map(|last| last.header.life);
    match (anchor.active, last) {
        (None, _) => AnchorSeen::Behind,
        (Some((active, _)), Some(last)) if active < last.segment => AnchorSeen::Behind,
        (Some((active, salt)), Some(last)) if active == last.segment && salt == last.salt => {
            AnchorSeen::Level
        }
        (Some(_), _) => AnchorSeen::Ahead,
    }
}

/// Finds the first entry, and holds the chain against the anchor.
fn begin_at(
    directory: &dyn Directory,
    anchor: &Anchor,
    mut chain: Chain,
    last: &Linked,
    survey: &mut Survey,
) -> Chain {
    let oldest = chain.spans[0];
    if chain.broken.is_none() && oldest.start.next > anchor.first {
        if last.header.life == oldest.life && last.link.reason == LinkReason::Reset {
            survey.first = oldest.start.next;
        } else {
            chain.broken = Some(Damage {
                file: segment_path(directory, oldest.life.segment),
                offset: FIRST_FRAME_OFFSET,
                sequences: Some(Lost::between(anchor.first, oldest.start.next)),
                kind: DamageKind::Contradiction("the first segment begins behind the first entry"),
            });
        }
    }
    chain
}

/// Where the frames of the highest linked segment end, and what lies behind.
struct EndOfLast {
    walked: Walked,
    evidence: Evidence,
    /// The furthest durable point that the anchor or a frame behind the end states.
    durable_offset: u64,
}

impl EndOfLast {
    fn observe(last: &Linked, anchor: &Anchor) -> Result<EndOfLast, Error> {
        let walked = match closed_by_anchor(last, anchor)? {
            Some(walked) => walked,
            None => walk_linked(last, last.start, last.file_bytes)?,
        };
        let life = last.header.life;
        let tip = walked.tip;
        let evidence = evidence::search(
            &last.file,
            life,
            last.header.checksum,
            tip.offset,
            Some(tip.next),
            last.file_bytes,
        )?;
        let anchored = anchor.durable.filter(|point| point.segment == life.segment).map(|point| point.offset);
        let durable_offset = anchored.max(evidence.durable_offset).unwrap_or(FIRST_FRAME_OFFSET);
        Ok(EndOfLast { walked, evidence, durable_offset })
    }

    fn record(
        &self,
        anchor: &Anchor,
        last: &Linked,
        seen: &mut Observation,
        survey: &mut Survey,
    ) -> Result<(), Error> {
        let tip = self.walked.tip;
        let below = tip.offset < self.durable_offset || tip.next < anchor.first;
        seen.reach = if below { Reach::Below } else { Reach::Reached };
        seen.stop = match self.walked.stop {
            Stop::Sealed { .. } => StopSeen::Sealed,
            Stop::Fault(FrameFault::Blank | FrameFault::Short) => StopSeen::Blank,
            Stop::Fault(_) => StopSeen::Fault,
        };
        let strays = self.evidence.written && last.header.fresh;
        seen.behind = match self.evidence.genuine_end {
            Some(_) => BehindSeen::Frames,
            None if strays => BehindSeen::Strays,
            None => BehindSeen::Nothing,
        };
        if seen.behind != BehindSeen::Nothing {
            let until = self.evidence.genuine_end.unwrap_or(last.file_bytes);
            survey.dropped_bytes = until.saturating_sub(tip.offset);
        }
        if let Some(span) = survey.spans.last_mut() {
            span.end = tip;
            if let Stop::Sealed { offset, index_is_good } = self.walked.stop {
                span.seal_offset = Some(offset);
                survey.bad_index = !index_is_good;
            }
        }
        survey.next = tip.next;
        let stated = self.durable_offset.max(self.walked.stated_durable).min(tip.offset);
        survey.durable = number_at(last, stated)?.max(anchor.first).min(tip.next);
        Ok(())
    }

    /// What is damaged when the walk ended in front of the durable point.
    fn damage(&self, anchor: &Anchor, last: &Linked) -> Damage {
        let Tip { offset, next, .. } = self.walked.tip;
        let anchored = anchor.durable.filter(|point| point.segment == last.header.life.segment);
        let until =
            self.evidence.resumes_at.or(anchored.map(|point| point.next).filter(|&number| number > next));
        let to_next_frame = until.map_or(Lost::from(next), |until| Lost::between(next, until));
        let (sequences, kind) = match self.walked.stop {
            Stop::Sealed { .. } => (to_next_frame, DamageKind::Contradiction("frames follow a SEAL")),
            Stop::Fault(fault @ FrameFault::Payload { entry }) => {
                let start = next.advance(u64::from(entry)).unwrap_or(Sequence::MAX);
                (Lost::one(start), DamageKind::Frame(fault))
            }
            Stop::Fault(fault) => (to_next_frame, DamageKind::Frame(fault)),
        };
        Damage { file: last.file.path.clone(), offset, sequences: Some(sequences), kind }
    }
}

/// The end of a segment that a close has sealed, as the anchor states it: found without a walk, so
/// that the time to open a closed log does not depend on its size.
fn closed_by_anchor(last: &Linked, anchor: &Anchor) -> Result<Option<Walked>, Error> {
    let (Some(point), Some(seal_offset)) = (anchor.durable, anchor.seal_offset) else { return Ok(None) };
    let life = last.header.life;
    let is_last = anchor.active == Some((life.segment, life.salt)) && point.segment == life.segment;
    if !is_last || seal_offset >= point.offset || point.offset > last.file_bytes {
        return Ok(None);
    }
    let mut header = [0; FRAME_HEADER_BYTES];
    let read = last.file.read_at(&mut header, seal_offset).place(
        Operation::Read,
        || last.file.path.clone(),
        Some(seal_offset),
    )?;
    let Ok(seal) = FrameHeader::decode(&header[..read], life, seal_offset) else { return Ok(None) };
    // Checked like any SEAL, by a walk that begins where it stands.
    let start = Tip { offset: seal_offset, chain: seal.previous, next: seal.first };
    let walked = walk_linked(last, start, point.offset)?;
    let sealed = matches!(walked.stop, Stop::Sealed { offset, .. } if offset == seal_offset);
    Ok(Some(walked)
        .filter(|walked| sealed && walked.tip.offset == point.offset && walked.tip.next == point.next))
}

fn walk_linked(last: &Linked, start: Tip, limit: u64) -> Result<Walked, Error> {
    scan::walk(&last.file, last.header.life, last.header.checksum, start, limit)
}

/// The number of the first entry at or behind `offset`, by the headers of the frames in front of it.
fn number_at(last: &Linked, offset: u64) -> Result<Sequence, Error> {
    let mut window = Window::new(&last.file, offset);
    let mut at = last.start.offset;
    let mut number = last.start.next;
    while at < offset {
        let bytes = window.bytes_at(at, FRAME_HEADER_BYTES)?;
        let Ok(frame) = FrameHeader::decode(bytes, last.header.life, at) else { break };
        number = frame.next_sequence().unwrap_or(number);
        at += frame.layout(last.header.checksum).end;
    }
    Ok(number)
}

/// Judges the files above the highest linked segment: one prepared segment is all there may be.
fn look_above(
    directory: &dyn Directory,
    anchor: &Anchor,
    heads: &Heads,
    next: Sequence,
    rules: Rules,
) -> Result<(AboveSeen, Option<Damage>), Error> {
    let affected = Some(Lost::from(next));
    let mut seen = AboveSeen::Nothing;
    let mut damage = None;
    for (number, inspected) in &heads.above {
        let file = segment_path(directory, *number);
        let is_next = heads.spare_number(anchor) == Some(*number);
        match inspected {
            Inspected::Alien(kind) => {
                damage = Some(Damage { file, offset: 0, sequences: affected, kind: *kind });
                seen = AboveSeen::Alien;
            }
            _ if !is_next && rules.keeps(Rule::OneSpare) => {
                let missing = heads.spare_number(anchor).unwrap_or(*number);
                let file = segment_path(directory, missing);
                let kind = DamageKind::Missing;
                damage.get_or_insert(Damage { file, offset: 0, sequences: affected, kind });
                seen = AboveSeen::Alien;
            }
            Inspected::Unlinked(unlinked) if seen == AboveSeen::Nothing => {
                seen = AboveSeen::Spare;
                for header in &unlinked.headers {
                    let Evidence { durable_offset, .. } = evidence::search(
                        &unlinked.file,
                        header.life,
                        header.checksum,
                        FIRST_FRAME_OFFSET,
                        None,
                        unlinked.file_bytes,
                    )?;
                    if durable_offset > Some(FIRST_FRAME_OFFSET) && rules.keeps(Rule::SpareClaims) {
                        let (offset, kind) = unlinked.damage();
                        damage = Some(Damage { file: file.clone(), offset, sequences: affected, kind });
                        seen = AboveSeen::ClaimsDurable;
                    }
                }
            }
            _ => {}
        }
    }
    Ok((seen, damage))
}

/// What happened to the segment that the anchor names.
fn active_lost(directory: &dyn Directory, anchor: &Anchor, heads: &Heads, next: Sequence) -> Damage {
    let number = anchor.active.map_or(anchor.first_segment, |(number, _)| number);
    let found = heads.above.iter().find(|(above, _)| *above == number);
    let is_last = heads.last.as_ref().is_some_and(|last| last.header.life.segment == number);
    let (offset, kind) = match found {
        Some((_, Inspected::Unlinked(unlinked))) => unlinked.damage(),
        Some((_, Inspected::Alien(kind))) => (0, *kind),
        _ if is_last => (0, DamageKind::OtherLife),
        _ => (0, DamageKind::Missing),
    };
    let file = segment_path(directory, number);
    Damage { file, offset, sequences: Some(Lost::from(next)), kind }
}

/// Keeps what can be read in front of a break in the chain.
fn read_below(
    directory: &dyn Directory,
    catalog: &Catalog,
    anchor: &Anchor,
    last: &Linked,
    survey: &mut Survey,
) -> Result<(), Error> {
    let hole = survey.spans.first().map_or(last.header.life.segment, |span| span.life.segment);
    survey.spans.clear();
    survey.next = anchor.first;
    survey.durable = anchor.first;
    let below = chain::trace_below(directory, catalog, anchor.log, anchor.first_segment, hole)?;
    if let Some((chain, last)) = below {
        let walked = walk_linked(&last, last.start, last.file_bytes)?;
        survey.spans = chain.spans;
        if let Some(span) = survey.spans.last_mut() {
            span.end = walked.tip;
        }
        survey.next = walked.tip.next.max(anchor.first);
        survey.durable = survey.next;
    }
    Ok(())
}

impl Anchored {
    /// Whether an open must write the anchor before it returns.
    pub(crate) fn needs_writing(&self, last: Option<&Linked>) -> bool {
        !self.slots.agree_on_first()
            || anchor_beside(&self.newest, last) == AnchorSeen::Behind && last.is_some()
    }
}
