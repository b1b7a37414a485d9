//! What an open found, for people and programs.

use std::fmt;

use wal_format::{ChecksumKind, LogId, SegmentNumber};

use crate::error::Damage;
use crate::io::Residency;
use crate::recovery::decide::Verdict;
use crate::recovery::survey::Survey;

/// How the log ended before it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// There was no log.
    New,
    /// There was a log to which nothing had ever been appended.
    Empty,
    /// It had been closed, or its last segment had ended and no other was begun.
    Clean,
    /// It had not been closed, or is being written right now; nothing was dropped.
    Unclosed,
    /// It had not been closed, and bytes behind its end are no part of it: a write that a crash, or a
    /// full disk, had interrupted. Nothing acknowledged was in them.
    Torn {
        /// The segment that they are in.
        segment: SegmentNumber,
        /// Where they begin.
        offset: u64,
        /// How many there are at most.
        bytes: u64,
    },
    /// Acknowledged entries are damaged or missing. Only a reading open gets this far: it shows what is
    /// good in front of the damage.
    Corrupt(Damage),
}

/// What an open found and what it proved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// How the log ended.
    pub ending: Ending,
    /// Which log it is; none where no anchor can be read.
    pub log: Option<LogId>,
    /// The first entry that is kept.
    pub first: u64,
    /// The number of the next entry.
    pub next: u64,
    /// The number of the first entry that is not proven durable. An open for writing proves all.
    pub durable: u64,
    /// How payloads of the next segment are checked unless an open says otherwise; none in a new log.
    pub next_checksum: Option<ChecksumKind>,
    /// How long the next segment gets, in bytes, unless an open says otherwise; none in a new log.
    pub next_segment_bytes: Option<u64>,
    /// Segments that hold the log.
    pub segments: usize,
    /// Names in the directory that are none of the log's.
    pub ignored_names: usize,
    /// Whether the last segment was read from the device rather than from a cache.
    pub residency: Residency,
    /// How many bytes an open for writing has written again as they were, because the cache could not be dropped and
    /// they might have been in it alone: what it shows is on the device now, whether or not it was before.
    pub rewritten_bytes: u64,
    /// Whether the index at the end of the last segment is bad, which costs nothing but speed.
    pub bad_index: bool,
}

impl Recovery {
    /// What is damaged, if the log is refused.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        match &self.ending {
            Ending::Corrupt(damage) => Some(damage),
            _ => None,
        }
    }

    pub(crate) fn of(survey: &Survey) -> Recovery {
        let last = survey.spans.last();
        let ending = match (survey.verdict, &survey.damage) {
            (_, Some(damage)) => Ending::Corrupt(damage.clone()),
            (Verdict::New, _) => Ending::New,
            (Verdict::Clean | Verdict::Sealed, _) => Ending::Clean,
            (Verdict::Unclosed, _) => Ending::Unclosed,
            (Verdict::Torn, _) => last.map_or(Ending::Unclosed, |span| Ending::Torn {
                segment: span.life.segment,
                offset: span.end.offset,
                bytes: survey.dropped_bytes,
            }),
            (Verdict::Empty | Verdict::Refused(_), _) => Ending::Empty,
        };
        Recovery {
            ending,
            log: survey.anchor.as_ref().map(|anchored| anchored.newest.log),
            first: survey.first.value(),
            next: survey.next.value(),
            durable: survey.durable.value(),
            next_checksum: survey.anchor.as_ref().map(|anchored| anchored.newest.next_checksum),
            next_segment_bytes: survey.anchor.as_ref().map(|anchored| anchored.newest.next_segment_bytes),
            segments: survey.spans.len(),
            ignored_names: survey.catalog.ignored,
            residency: survey.residency,
            rewritten_bytes: survey.rewritten_bytes,
            bad_index: survey.bad_index,
        }
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ending {
            Ending::New => return f.write_str("a new log"),
            Ending::Empty => return f.write_str("an empty log"),
            Ending::Clean => f.write_str("closed")?,
            Ending::Unclosed => f.write_str("not closed, nothing dropped")?,
            Ending::Torn { segment, offset, bytes } => {
                write!(f, "torn: {bytes} bytes dropped at offset {offset} of segment {segment}")?;
            }
            Ending::Corrupt(damage) => write!(f, "corrupt: {damage}")?,
        }
        write!(f, "; entries {} to before {} in {} segments", self.first, self.next, self.segments)
    }
}
