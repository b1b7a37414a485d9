//! Surveys a log from the anchor to its last byte and comes to a verdict, without changing the log.
//!
//! ```text
//! anchor ─→ names ─→ highest LINK ─→ chain ─→ walk of the last segment ─→ evidence ─→ verdict
//! ```
//!
//! An open for writing first [settles](crate::recovery::settle) every file that is not proven durable: from
//! the highest one downwards, until it has read a valid LINK. That LINK was written only after everything
//! before it had been synced.

use std::mem;
use std::sync::Arc;
use wal_format::{Anchor, FIRST_FRAME_OFFSET, FrameFault, HeaderFault, LinkReason, SegmentNumber, Sequence};

use crate::error::{Damage, DamageKind, Error, Lost, Operation, Place};
use crate::files::anchor::{self, Slots};
use crate::files::named::Named;
use crate::files::names::{Catalog, segment_path};
use crate::io::{Directory, Residency};
use crate::recovery::chain::{self, Chain};
use crate::recovery::decide::{
    AboveSeen, AnchorSeen, BehindSeen, ChainSeen, Observation, Reach, Refusal, StopSeen, Verdict, decide,
};
use crate::recovery::last::{LastSegment, number_between, walk_linked};
use crate::recovery::settle::{Purpose, Settling};
use crate::recovery::top::{Top, anchor_beside};
use crate::rules::{Rule, Rules};
use crate::salvage;
use crate::segment::entry_end::end_after;
use crate::segment::head::{Linked, Site};
use crate::segment::index::Index;
use crate::segment::span::{Span, Tip};
use crate::segment::walk::Stop;

#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) verdict: Verdict,
    pub(crate) damage: Option<Damage>,
    pub(crate) catalog: Catalog,
    pub(crate) anchor: Option<Anchored>,
    /// The log, oldest segment first. Of a refused log: what is good before the damage.
    pub(crate) spans: Vec<Span>,
    /// Closed segments whose files are longer than the log needs.
    pub(crate) oversized: Vec<SegmentNumber>,
    pub(crate) last: Option<Arc<Linked>>,
    pub(crate) first: Sequence,
    pub(crate) next: Sequence,
    /// The number after the last durable entry.
    pub(crate) durable: Sequence,
    /// The furthest durable offset in the last segment that a frame or the anchor states.
    stated_durable: u64,
    pub(crate) dropped_bytes: u64,
    /// Whether an index in the last segment is invalid: a warning only, because it can be rebuilt.
    pub(crate) bad_index: bool,
    pub(crate) closed: bool,
    /// The index points of the last segment since its last valid SEAL.
    pub(crate) index: Index,
    pub(crate) residency: Residency,
    pub(crate) rewritten_bytes: u64,
}

impl Survey {
    fn empty(first: Sequence) -> Survey {
        Survey {
            verdict: Verdict::Empty,
            damage: None,
            catalog: Catalog::default(),
            anchor: None,
            spans: Vec::new(),
            oversized: Vec::new(),
            last: None,
            first,
            next: first,
            durable: first,
            stated_durable: 0,
            dropped_bytes: 0,
            bad_index: false,
            closed: false,
            index: Index::default(),
            residency: Residency::Unknown,
            rewritten_bytes: 0,
        }
    }

    pub(crate) fn beginning_at(self, first: Sequence) -> Survey {
        Survey { first, next: first, durable: first, ..self }
    }
}

#[derive(Debug)]
pub(crate) struct Anchored {
    pub(crate) file: Named,
    pub(crate) slots: Slots,
    pub(crate) newest: Anchor,
}

pub(crate) fn survey(directory: &dyn Directory, purpose: Purpose, rules: Rules) -> Result<Survey, Error> {
    let settling = Settling::new(purpose, rules);

    // A reader beside a writer must not see an anchor that is newer than its list of names.
    let anchor_kind = Catalog::read(directory)?.anchor;
    let anchor_file = anchor::open(directory, anchor_kind, settling.access())?;
    let slots = match &anchor_file {
        None => Slots::NONE,
        Some(file) => {
            settling.settle(file)?;
            if settling.is_uncertain() {
                settling.rewrite(file, 0, file.length()?)?;
            }
            Slots::read(file)?
        }
    };
    let catalog = Catalog::read(directory)?;

    let (Some(newest), Some(file)) = (slots.newest(rules), anchor_file) else {
        return Ok(without_anchor(directory, catalog, slots.fault(), settling.residency()));
    };
    let look = || {
        let site = Site { directory, catalog: &catalog, anchor: &newest };
        judge(site, &Top::read(site, &settling)?, &settling)
    };
    let mut survey = look()?;
    if settling.is_uncertain() {
        survey = on_the_device(survey, &settling, look)?;
    }
    match purpose {
        // Every byte was settled before it was read, so it is on the device.
        Purpose::Write => survey.durable = survey.next,
        Purpose::Read | Purpose::Verify => survey.durable = stated_durable(&survey, &newest)?,
    }
    survey.residency = settling.residency();
    survey.rewritten_bytes = settling.rewritten_bytes.get();
    survey.catalog = catalog;
    survey.anchor = Some(Anchored { file, slots, newest });
    Ok(survey)
}

/// How often the end of the log is written again. Each time the cache may have changed meanwhile, if the
/// system evicted it and read the device.
const MAX_REWRITES: u32 = 8;

/// Where the cache could not be dropped: writes whatever nothing states to be durable again, until the log is
/// judged the same as it was written. Then the judged bytes are on the device.
fn on_the_device(
    mut survey: Survey,
    settling: &Settling,
    look: impl Fn() -> Result<Survey, Error>,
) -> Result<Survey, Error> {
    for _ in 0..MAX_REWRITES {
        let Some((last, span)) = survey.last.as_ref().zip(survey.spans.last()) else { return Ok(survey) };
        if survey.damage.is_some() {
            return Ok(survey);
        }
        let end = span.end;
        // A durable point beyond the LINK follows from a sync of the whole file.
        let from = if survey.stated_durable > last.start.offset { survey.stated_durable } else { 0 };
        if from == end.offset {
            return Ok(survey);
        }
        settling.rewrite(&last.file, from, end.offset)?;
        let again = look()?;
        if again.verdict == survey.verdict && again.spans.last().is_some_and(|span| span.end == end) {
            return Ok(again);
        }
        survey = again;
    }
    let path = survey.last.map(|last| last.file.path.to_path_buf()).unwrap_or_default();
    let unsteady =
        std::io::Error::other("the page cache could not be dropped, and each read returns other bytes");
    Err(unsteady).place(Operation::Read, || path, None)
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
    let refused = matches!(verdict, Verdict::Refused(_));
    let damage = refused.then(|| anchor::damage(directory, DamageKind::Anchor(fault)));
    Survey { verdict, damage, catalog, residency, ..Survey::empty(Sequence::ZERO) }
}

fn judge(site: Site<'_>, top: &Top, settling: &Settling) -> Result<Survey, Error> {
    let Site { directory, anchor, .. } = site;
    let rules = settling.rules;
    let mut survey = Survey { last: top.last.clone(), ..Survey::empty(anchor.first) };
    let mut seen = Observation {
        anchor: anchor_beside(anchor, top.last.as_deref()),
        chain: ChainSeen::NoFiles,
        above: AboveSeen::Nothing,
        stop: StopSeen::Blank,
        behind: BehindSeen::Nothing,
        reach: Reach::Reached,
    };
    let mut broken = None;
    let mut damaged = None;
    if let Some(last) = &top.last {
        let chain = begin_at(directory, anchor, chain::trace(site, last)?, &mut survey);
        seen.chain = if chain.broken.is_some() { ChainSeen::Broken } else { ChainSeen::Whole };
        survey.spans = chain.spans;
        survey.oversized = chain.oversized;
        let mut end = LastSegment::observe(last, anchor, settling.purpose)?;
        record(&mut end, anchor, last, &mut seen, &mut survey);
        damaged = Some(end.damage(anchor, last));
        if chain.broken.is_some() {
            read_below(site, last, chain.sound.as_ref(), &mut survey)?;
        }
        // What is readable before the break tells where the loss begins.
        let readable = survey.next.value();
        broken = chain.broken.map(|damage| {
            let begins = |lost: Lost| Lost { first: lost.first.or(Some(readable)), ..lost };
            Damage { sequences: damage.sequences.map(begins), ..damage }
        });
    } else if !top.above.is_empty() {
        seen.chain = ChainSeen::NoneLinked;
    }
    let (above, lost) = top.judge_above(directory, anchor, survey.next, rules)?;
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
            Some(top.active_lost(directory, anchor, survey.next))
        }
        Verdict::Refused(Refusal::ChainBroken) => broken,
        Verdict::Refused(Refusal::LinkLost) => lost,
        Verdict::Refused(Refusal::Damaged) => damaged,
        _ => None,
    };
    if survey.damage.is_some() {
        hide_what_was_cut(directory, &mut survey)?;
    }
    Ok(survey)
}

fn begin_at(directory: &dyn Directory, anchor: &Anchor, mut chain: Chain, survey: &mut Survey) -> Chain {
    let oldest = chain.spans[0];
    if chain.broken.is_none() && oldest.start.next > anchor.first {
        if chain.oldest_reason == LinkReason::Reset {
            survey.first = oldest.start.next;
        } else {
            chain.broken = Some(Damage {
                file: segment_path(directory, oldest.life.segment),
                offset: FIRST_FRAME_OFFSET,
                sequences: Some(Lost::between(anchor.first, oldest.start.next)),
                kind: DamageKind::Contradiction(
                    "the first segment begins after the first entry that the anchor states",
                ),
            });
        }
    }
    chain
}

fn record(
    end: &mut LastSegment,
    anchor: &Anchor,
    last: &Linked,
    seen: &mut Observation,
    survey: &mut Survey,
) {
    let tip = end.walked.tip;
    let below = tip.offset < end.durable_offset || tip.next < anchor.first;
    seen.reach = if below { Reach::Below } else { Reach::Reached };
    seen.stop = match end.walked.stop {
        Stop::Sealed => StopSeen::Final,
        _ if end.stated_close => StopSeen::Stated,
        _ if end.walked.ends_with_seal(|_| true) => StopSeen::Closed,
        Stop::Fault(FrameFault::Blank | FrameFault::Short) => StopSeen::Blank,
        Stop::Fault(_) => StopSeen::Fault,
    };
    let strays = end.evidence.written && last.header.fresh;
    seen.behind = match end.evidence.genuine_end {
        Some(_) => BehindSeen::Frames,
        None if strays => BehindSeen::Strays,
        None => BehindSeen::Nothing,
    };
    if seen.behind != BehindSeen::Nothing {
        let until = end.evidence.genuine_end.unwrap_or(last.file_bytes);
        survey.dropped_bytes = until.saturating_sub(tip.offset);
    }
    if let Some(span) = survey.spans.last_mut() {
        span.end = tip;
        span.seal_offset = end.walked.seal.map(|seal| seal.offset);
    }
    survey.bad_index = end.walked.bad_indexes > 0;
    survey.closed = end.stated_close;
    survey.index = mem::take(&mut end.walked.index);
    survey.next = tip.next;
    survey.stated_durable = end.durable_offset.max(end.walked.stated_durable).min(tip.offset);
}

/// The number after the last entry that a frame or the anchor states to be durable. Reads frames only where
/// neither the end nor the anchor gives it.
fn stated_durable(survey: &Survey, anchor: &Anchor) -> Result<Sequence, Error> {
    let (Some(last), Some(span)) = (&survey.last, survey.spans.last()) else { return Ok(survey.next) };
    if span.life != last.header.life {
        // The survey shows only what is before a break, and all of that was linked.
        return Ok(survey.next);
    }
    let stated = survey.stated_durable;
    let anchored =
        anchor.durable.filter(|point| point.segment == span.life.segment && point.offset == stated);
    let number = match anchored {
        _ if stated == span.end.offset => span.end.next,
        Some(point) => point.next,
        None => number_between(last, last.start.offset, last.start.next, stated)?,
    };
    Ok(number.max(anchor.first).min(survey.next))
}

/// Hides entries that a cut dropped. Where the LINK of a cut is damaged, the segment before it seems to go
/// on, but a later segment has its numbers.
fn hide_what_was_cut(directory: &dyn Directory, survey: &mut Survey) -> Result<(), Error> {
    while let Some(span) = survey.spans.last().copied() {
        let later = salvage::lowest_number_after(directory, span.life.segment)?;
        let Some(cut) = later.filter(|&later| later < span.end.next) else { return Ok(()) };
        let kept = Sequence::try_from(cut.value().saturating_sub(1)).unwrap_or(Sequence::ZERO);
        if cut <= span.start.next {
            survey.spans.pop();
        } else if let Some(last) = survey.spans.last_mut() {
            (last.end, last.cut_inside, last.seal_offset) = (end_after(directory, &span, kept)?, true, None);
        }
        survey.next = cut.max(survey.first);
        survey.durable = survey.durable.min(survey.next);
    }
    Ok(())
}

fn read_below(
    site: Site<'_>,
    last: &Linked,
    sound: Option<&(Arc<Linked>, Tip)>,
    survey: &mut Survey,
) -> Result<(), Error> {
    let anchor = site.anchor;
    let hole = survey.spans.first().map_or(last.header.life.segment, |span| span.life.segment);
    survey.spans.clear();
    survey.next = anchor.first;
    survey.durable = anchor.first;
    if let Some((last, end)) = sound {
        let mut chain = chain::trace(site, last)?;
        if chain.broken.is_none() {
            if let Some(span) = chain.spans.last_mut() {
                span.end = *end;
            }
            survey.spans = chain.spans;
            survey.next = end.next.max(anchor.first);
            survey.durable = survey.next;
            return Ok(());
        }
    }
    if let Some((chain, last)) = chain::trace_below(site, hole)? {
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
