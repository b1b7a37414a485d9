//! Which entries of a log are lost: the one answer that every command and every error gives.

use std::fmt;
use std::path::PathBuf;

use wal_format::Sequence;

use super::{Gap, Handle, Salvage, Salvaged};
use crate::error::{Damage, DamageKind, Error, Lost};
use crate::io::Directory;
use crate::recovery::Recovery;

/// What is lost of a log, and what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Losses {
    /// Entries that can be read.
    pub readable: u64,
    /// Entries that are known to be lost.
    pub lost: u64,
    /// The first entry that is lost, and the last one; none when none is, or their numbers are not known.
    pub between: Option<(u64, u64)>,
    /// More may be lost, at either end, than anything tells.
    pub at_least: bool,
}

impl Losses {
    /// Of a log in which a full check has found no damage.
    #[must_use]
    pub fn none(readable: u64) -> Losses {
        Losses { readable, lost: 0, between: None, at_least: false }
    }

    /// Counts what a salvage finds in a log that was judged so. Reads all of it.
    #[must_use]
    pub fn of(salvage: Salvage<'_>, recovery: &Recovery) -> Losses {
        let mut losses = Losses::none(0);
        // After the end of a log that a crash has left there may be what was never acknowledged.
        let sound_until = if recovery.damage().is_some() { u64::MAX } else { recovery.next };
        for item in salvage {
            match item {
                Salvaged::Entry { entry, .. } if entry.sequence().value() >= sound_until => break,
                Salvaged::Entry { .. } => losses.readable += 1,
                Salvaged::Gap(Gap { sequences: Lost { first: Some(first), .. }, .. })
                    if first >= sound_until =>
                {
                    break;
                }
                Salvaged::Gap(Gap { sequences: Lost { first: Some(first), end: Some(end) }, .. }) => {
                    losses.lost += end - first;
                    let begins = losses.between.map_or(first, |(begins, _)| begins);
                    losses.between = Some((begins, end - 1));
                }
                Salvaged::Gap(_) => losses.at_least = true,
            }
        }
        let lost = recovery.damage().and_then(|damage| damage.sequences);
        losses.at_least |= lost.is_some_and(|lost| lost.end.is_none());
        losses
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Losses { readable, lost, between, at_least } = *self;
        let more = if at_least { "at least " } else { "" };
        match (lost, between) {
            (0, _) if at_least => f.write_str("how many entries are lost is not known")?,
            (1, Some((only, _))) => write!(f, "{more}1 entry is lost, number {only}")?,
            (1.., Some((first, last))) => {
                write!(f, "{more}{lost} entries are lost, between {first} and {last}")?;
            }
            _ => f.write_str("no entry is lost")?,
        }
        let entries = if readable == 1 { "entry" } else { "entries" };
        write!(f, "; {readable} {entries} can be read")
    }
}

/// So many places are told at most.
const MOST_PLACES: usize = 1000;

/// The damage with the entries that are lost at its place, by what verifies in its file.
pub(crate) fn losses_at(directory: &dyn Directory, damage: Damage) -> Damage {
    let only = Some(damage.file.clone());
    match Salvage::begin_in(Handle::Borrowed(directory), only).map(Gaps::of) {
        Ok(gaps) => gaps.refine(damage),
        Err(_) => damage,
    }
}

/// All damage of a log that is known to be damaged at these places: there, and wherever else entries are lost. Returns also
/// how many entries can be read.
pub(crate) fn all_losses(
    directory: &dyn Directory,
    known: Vec<Damage>,
    recovery: &Recovery,
) -> Result<(Vec<Damage>, u64), Error> {
    let sound_until = if recovery.damage().is_some() { u64::MAX } else { recovery.next };
    let gaps = Gaps::of(Salvage::begin_in(Handle::Borrowed(directory), None)?);
    let mut damages: Vec<Damage> = known.into_iter().map(|damage| gaps.refine(damage)).collect();
    for gap in &gaps.gaps {
        let is_told = damages.iter().any(|damage| damage.sequences == Some(gap.sequences));
        if !is_told && gap.sequences.first.is_none_or(|first| first < sound_until) {
            let Gap { sequences, file, offset, why } = gap.clone();
            damages.push(Damage { file, offset, sequences: Some(sequences), kind: why });
        }
    }
    damages.sort_by_key(|damage| damage.sequences.and_then(|lost| lost.first));
    Ok((damages, gaps.readable))
}

/// What a salvage found.
struct Gaps {
    gaps: Vec<Gap>,
    /// Entries that can be read.
    readable: u64,
    /// The files that entries were looked for in.
    files: Vec<PathBuf>,
    /// The number after the last entry that was read, or known to be there.
    next: Option<u64>,
}

impl Gaps {
    fn of(mut salvage: Salvage<'_>) -> Gaps {
        let sources = salvage.plots.iter().flat_map(|plot| &plot.sources);
        let files = sources.map(|source| source.path.clone()).collect();
        let gaps = salvage.by_ref().filter_map(|item| match item {
            Salvaged::Gap(gap) => Some(gap),
            Salvaged::Entry { .. } => None,
        });
        let gaps = gaps.take(MOST_PLACES).collect();
        Gaps { gaps, readable: salvage.summary().entries, files, next: salvage.next.map(Sequence::value) }
    }

    /// The damage with what is lost there.
    fn refine(&self, damage: Damage) -> Damage {
        if matches!(damage.kind, DamageKind::WrongNumber { .. } | DamageKind::Contradiction(_)) {
            // The files do not show it: they contradict each other.
            return damage;
        }
        let is_open = damage.sequences.is_some_and(|lost| lost.end.is_none());
        let mut there = self.gaps.iter().filter(|gap| gap.file == damage.file);
        let gap = match damage.kind {
            // What stands before the place was read.
            DamageKind::Frame(_) => there.find(|gap| gap.offset >= damage.offset),
            DamageKind::EndsEarly { .. } => there.next_back(),
            _ => there.next(),
        };
        let first = damage.sequences.and_then(|lost| lost.first);
        let sequences = match (gap, damage.sequences) {
            // What was appended after the last entry that anything names is not known.
            (Some(gap), _) if is_open && self.is_last(gap) => Some(Lost { end: None, ..gap.sequences }),
            (Some(gap), _) => Some(gap.sequences),
            (None, None) if matches!(damage.kind, DamageKind::Anchor(_)) => None,
            // What cannot be read at all, or is set aside by a LINK that the log does not believe.
            (None, lost) if !self.files.contains(&damage.file) => lost,
            // Something was durable there, and nothing tells how many entries that were; or what names them is another
            // file, an anchor that is older than this segment.
            (None, lost) if is_open && first >= self.next || self.is_in_a_gap(first) => lost,
            (None, lost) => {
                let place = lost.and_then(|lost| lost.first.or(lost.end)).unwrap_or(0);
                Some(Lost { first: Some(place), end: Some(place) })
            }
        };
        Damage { sequences, ..damage }
    }

    fn is_in_a_gap(&self, number: Option<u64>) -> bool {
        let Some(number) = number else { return false };
        let ranges = self.gaps.iter().map(|gap| gap.sequences);
        ranges.into_iter().any(|lost| {
            lost.first.is_none_or(|first| first <= number) && lost.end.is_none_or(|end| number < end)
        })
    }

    fn is_last(&self, gap: &Gap) -> bool {
        self.gaps.last() == Some(gap)
    }
}
