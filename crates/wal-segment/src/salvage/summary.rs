//! What a salvage found besides entries and gaps.

use std::path::PathBuf;

use wal_format::{LogId, SegmentNumber};

use crate::error::{Damage, DamageKind, Lost};
use crate::io::FileKind;

/// Entries that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// Their numbers. Without a first one it is not known where the log began; without an end it is not known
    /// how many were appended.
    pub sequences: Lost,
    /// The file that they were in, as far as that is known.
    pub file: PathBuf,
    /// Where in it the first thing is that does not verify.
    pub offset: u64,
    /// What is wrong there.
    pub why: DamageKind,
}

/// What was found so far; all of it once the entries have ended.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SalvageSummary {
    /// The id of the log: that of most of its segments.
    pub log: Option<LogId>,
    /// Entries that were handed out.
    pub entries: u64,
    /// Bytes of payload in them.
    pub bytes: u64,
    /// Gaps between them.
    pub gaps: u64,
    /// Segments that hold the log.
    pub segments: u64,
    /// Files, or ends of files, that are no part of the log.
    pub aside: Vec<SetAside>,
    /// Damage to what is no entry: the anchor, heads of segments. At most a few for each file.
    pub damages: Vec<Damage>,
    /// Names in the directory that are none of the log's.
    pub ignored_names: usize,
}

/// A file, or the end of one, whose entries were not handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetAside {
    /// Which file.
    pub file: PathBuf,
    /// From where on; 0 is all of it.
    pub offset: u64,
    /// Why.
    pub why: Aside,
}

/// Why something is no part of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Aside {
    /// The log was cut here: a truncation, a torn tail or a failed write, as the LINK of this segment says.
    Cut {
        /// The segment that says so.
        by: SegmentNumber,
    },
    /// The LINK of this segment leads past it.
    Skipped {
        /// The segment that says so.
        by: SegmentNumber,
    },
    /// It lies in front of the first entry that is kept.
    Dropped,
    /// It belongs to another log.
    OtherLog,
    /// It was prepared, and another file of that number is the log's.
    OtherLife,
    /// Nothing tells what it is: neither header can be read, and the anchor does not name it.
    NoHeader,
    /// It is no regular file.
    NotAFile(FileKind),
}
