//! What a salvage reports besides entries.

use std::path::PathBuf;

use wal_format::{LogId, SegmentNumber};

use crate::error::{Damage, DamageKind, Lost};
use crate::io::FileKind;

/// A gap: entries that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// Their numbers. Without a first one it is unknown where the log began; without an end, how many were
    /// appended.
    pub sequences: Lost,
    /// The file that they were in, if known.
    pub file: PathBuf,
    /// The offset of the first thing that does not verify.
    pub offset: u64,
    /// What is wrong there.
    pub why: DamageKind,
}

/// The findings of a salvage so far; complete once the iterator has ended.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SalvageSummary {
    /// The identity of the log: that of most of its segments.
    pub log: Option<LogId>,
    /// How many entries were returned.
    pub entries: u64,
    /// The sum of their payloads, in bytes.
    pub bytes: u64,
    /// How many gaps are between them.
    pub gaps: u64,
    /// How many segments hold the log.
    pub segments: u64,
    /// Files, or ends of files, that are no part of the log.
    pub aside: Vec<SetAside>,
    /// Damage outside of entries: the anchor, heads of segments. At most a few for each file.
    pub damages: Vec<Damage>,
    /// How many names in the directory are not the log's.
    pub ignored_names: usize,
}

/// A file, or the end of one, whose entries were not returned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetAside {
    /// The file.
    pub file: PathBuf,
    /// The offset from which on it is set aside; 0 is all of it.
    pub offset: u64,
    /// The reason.
    pub why: Aside,
}

/// Why a file, or its end, is no part of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Aside {
    /// The log was cut here: by a truncation, or after a torn tail or a failed write, as a LINK says.
    Cut {
        /// The segment with that LINK.
        by: SegmentNumber,
    },
    /// The LINK of this segment leads past it.
    Skipped {
        /// The segment with that LINK.
        by: SegmentNumber,
    },
    /// It lies before the first entry that is kept.
    Dropped,
    /// It belongs to another log.
    OtherLog,
    /// It was a prepared segment; another file of that number is the log's.
    OtherLife,
    /// Nothing tells what it is: no header is readable, and the anchor does not name it.
    NoHeader,
    /// It is not a regular file.
    NotAFile(FileKind),
}
