//! The report of an open, for people and programs.

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
    /// The directory had no log.
    New,
    /// The log had no entry ever.
    Empty,
    /// The log was closed, or its last segment ended and no other was begun.
    Clean,
    /// The log was not closed, or is being written right now; nothing was dropped.
    Unclosed,
    /// A torn write: the log was not closed, and a crash or a full disk interrupted a write at its end. The
    /// bytes after the end are dropped; they held nothing acknowledged.
    Torn {
        /// The segment with the dropped bytes.
        segment: SegmentNumber,
        /// Their offset.
        offset: u64,
        /// How many bytes at most.
        bytes: u64,
    },
    /// Corruption: acknowledged entries are damaged or missing. Only an open for reading returns this: it
    /// shows what is good before the damage.
    Corrupt(Damage),
}

/// What crash recovery found and proved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// How the log ended.
    pub ending: Ending,
    /// The identity of the log; `None` where no anchor is readable.
    pub log: Option<LogId>,
    /// The first entry that is kept.
    pub first: u64,
    /// The number of the next entry.
    pub next: u64,
    /// The number of the first entry that is not proven durable. An open for writing makes all of them
    /// durable.
    pub durable: u64,
    /// The checksum of the next segment's payloads unless an open sets another; `None` in a new log.
    pub next_checksum: Option<ChecksumKind>,
    /// The size of the next segment, in bytes, unless an open sets another; `None` in a new log.
    pub next_segment_bytes: Option<u64>,
    /// How many segments hold the log.
    pub segments: usize,
    /// How many names in the directory are not the log's.
    pub ignored_names: usize,
    /// Whether the last segment was read from the device or from the page cache.
    pub residency: Residency,
    /// How many bytes an open for writing wrote again as they were, because the page cache could not be
    /// dropped and might have been the only copy. Afterwards they are on the device.
    pub rewritten_bytes: u64,
    /// Whether the index at the end of the last segment is invalid, which only makes reads slower.
    pub bad_index: bool,
}

impl Recovery {
    /// The damage, if the log is refused.
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
