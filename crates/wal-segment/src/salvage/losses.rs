//! Which entries of a log are lost: one answer for every command and every error.

use std::fmt;
use std::path::PathBuf;

use wal_format::Sequence;

use super::{Gap, Salvage, Salvaged};
use crate::error::{Damage, DamageKind, Error, Lost};
use crate::io::Directory;
use crate::recovery::report::Recovery;

/// How much of a log is lost, and how much can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Losses {
    /// How many entries can be read.
    pub readable: u64,
    /// How many entries are known to be lost.
    pub lost: u64,
    /// The first and the last lost entry; `None` when none is lost, or their numbers are unknown.
    pub between: Option<(u64, u64)>,
    /// Whether more may be lost, at either end, than the files tell.
    pub at_least: bool,
}

impl Losses {
    pub(crate) fn none(readable: u64) -> Losses {
        Losses { readable, lost: 0, between: None, at_least: false }
    }

    fn add(&mut self, lost: Lost) {
        let Lost { first: Some(first), end: Some(end) } = lost else {
            self.at_least = true;
            return;
        };
        self.lost += end.saturating_sub(first);
        let begins = self.between.map_or(first, |(begins, _)| begins);
        self.between = Some((begins, end.saturating_sub(1)));
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

const MOST_PLACES: usize = 1000;

/// Adds to the damage the entries that are lost at its place, by what verifies in its file.
pub(crate) fn losses_at(directory: &dyn Directory, damage: Damage) -> Damage {
    let only = Some(damage.file.clone());
    match Salvage::begin_in(Box::new(directory), only) {
        Ok(salvage) => Gaps::of(salvage, u64::MAX).refine(damage),
        Err(_) => damage,
    }
}

/// All damage: at the known places and wherever else entries are lost; and the losses in all.
pub(crate) fn all_losses(
    directory: &dyn Directory,
    known: Vec<Damage>,
    recovery: &Recovery,
) -> Result<(Vec<Damage>, Losses), Error> {
    // After the end of a log that crashed there may be entries that were never acknowledged.
    let sound_until = if recovery.damage().is_some() { u64::MAX } else { recovery.next };
    let gaps = Gaps::of(Salvage::begin_in(Box::new(directory), None)?, sound_until);
    let mut damages: Vec<Damage> = known.into_iter().map(|damage| gaps.refine(damage)).collect();
    for gap in &gaps.gaps {
        if !damages.iter().any(|damage| damage.sequences == Some(gap.sequences)) {
            let Gap { sequences, file, offset, why } = gap.clone();
            damages.push(Damage { file, offset, sequences: Some(sequences), kind: why });
        }
    }
    damages.sort_by_key(|damage| damage.sequences.and_then(|lost| lost.first));
    let mut losses = gaps.losses;
    // With an unknown or open end, more may be lost than the files show.
    let is_open = |damage: &Damage| damage.sequences.is_none_or(|lost| lost.end.is_none());
    losses.at_least |= recovery.damage().is_some_and(is_open);
    Ok((damages, losses))
}

struct Gaps {
    gaps: Vec<Gap>,
    last: Option<Gap>,
    losses: Losses,
    files: Vec<PathBuf>,
    next: Option<u64>,
}

impl Gaps {
    /// Reads the whole salvage. Entries from `sound_until` on are no part of the log.
    fn of(mut salvage: Salvage<'_>, sound_until: u64) -> Gaps {
        let sources = salvage.segments.iter().flat_map(|segment| &segment.sources);
        let files = sources.map(|source| source.path.clone()).collect();
        let mut gaps = Gaps { gaps: Vec::new(), last: None, losses: Losses::none(0), files, next: None };
        for item in salvage.by_ref() {
            match item {
                Salvaged::Entry { entry, .. } => {
                    gaps.losses.readable += u64::from(entry.sequence().value() < sound_until);
                }
                Salvaged::Gap(gap) if gap.sequences.first.is_some_and(|first| first >= sound_until) => {}
                Salvaged::Gap(gap) => {
                    gaps.losses.add(gap.sequences);
                    if gaps.gaps.len() < MOST_PLACES {
                        gaps.gaps.push(gap.clone());
                    }
                    gaps.last = Some(gap);
                }
            }
        }
        gaps.next = salvage.next.map(Sequence::value);
        gaps
    }

    fn refine(&self, damage: Damage) -> Damage {
        if matches!(damage.kind, DamageKind::WrongNumber { .. } | DamageKind::Contradiction(_)) {
            // These files verify; they contradict each other.
            return damage;
        }
        let is_open = damage.sequences.is_some_and(|lost| lost.end.is_none());
        let mut there = self.gaps.iter().filter(|gap| gap.file == damage.file);
        let gap = match damage.kind {
            // Everything before the place was read. A later gap belongs to another damage.
            DamageKind::Frame(_) => there.find(|gap| {
                gap.offset >= damage.offset
                    && damage.sequences.is_none_or(|lost| gap.sequences.overlaps(lost))
            }),
            DamageKind::EndsEarly { .. } => there.next_back(),
            _ => there.next(),
        };
        let first = damage.sequences.and_then(|lost| lost.first);
        let sequences = match (gap, damage.sequences) {
            // How many entries were appended after the last known one is unknown.
            (Some(gap), _) if is_open && self.is_last(gap) => Some(Lost { end: None, ..gap.sequences }),
            (Some(gap), _) => Some(gap.sequences),
            (None, None) if matches!(damage.kind, DamageKind::Anchor(_)) => None,
            // The file is unreadable, or set aside by a LINK that the log does not trust.
            (None, lost) if !self.files.contains(&damage.file) => lost,
            // Something was durable there, and the number of its entries is unknown, or known only from
            // another file: an anchor that is older than this segment.
            (None, lost) if is_open && first >= self.next || self.is_in_a_gap(first) => lost,
            // There are more damaged places than are kept.
            (None, lost) if self.gaps.len() == MOST_PLACES => lost,
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
        self.last.as_ref() == Some(gap)
    }
}
