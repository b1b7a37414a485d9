//! What can go wrong with segment files, as facts: which file, which offset, which entries.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use wal_format::{FrameFault, HeaderFault, SegmentNumber, Sequence};

use crate::io::FileKind;

/// A failure of this layer. Cheap to clone, so that one failed sync can be told to many waiters.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    Io {
        /// What was being done.
        operation: Operation,
        /// To which file or directory.
        file: PathBuf,
        /// Where in the file, if the operation has a place.
        offset: Option<u64>,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Bytes that the log vouched for are not there any more, or never were.
    Damaged(Damage),
    /// A file was written by a later version of the format, or with features this build lacks.
    Unsupported {
        /// Which file.
        file: PathBuf,
        /// What it asks for.
        fault: HeaderFault,
    },
    /// Another writer has the log open.
    Locked {
        /// The directory of the log.
        directory: PathBuf,
    },
    /// There is no log in the directory.
    NoLog {
        /// The directory.
        directory: PathBuf,
    },
    /// There is a log in the directory, where a new one was to be made.
    Exists {
        /// The directory.
        directory: PathBuf,
    },
    /// A truncation names an entry that the log does not have.
    OutOfRange {
        /// The number that was named.
        asked: Sequence,
        /// The first entry that is kept.
        first: Sequence,
        /// The number of the next entry.
        next: Sequence,
    },
    /// The log ends in front of what the opener knows to have been acknowledged.
    RolledBack {
        /// The directory.
        directory: PathBuf,
        /// Everything in front of this number was acknowledged.
        expected: u64,
        /// The number of the next entry.
        next: Sequence,
    },
    /// The directory that a copy was to go to holds something already.
    NotEmpty {
        /// The directory.
        directory: PathBuf,
        /// A name in it.
        name: String,
    },
    /// A truncation has dropped an entry from the front of the log before it was read.
    Dropped {
        /// The file that it was to be read from.
        file: PathBuf,
        /// Its number.
        asked: Sequence,
        /// The first entry that is kept.
        first: Sequence,
    },
    /// The end of the log was cut off while somebody read it: what was read from there on, or was to be read,
    /// is no part of it any more.
    CutOff {
        /// The file that says so, or that it was to be read from.
        file: PathBuf,
        /// The first number that is gone, or another entry's now.
        from: Sequence,
    },
    /// All sequence or segment numbers are used up, or the frame does not fit any segment.
    OutOfNumbers,
    /// The next segment would take the files of the log above the bound that was set.
    CapReached(CapReached),
    /// Another program has removed or replaced a file that the log has open. What is written to it has no name.
    Exchanged {
        /// The file.
        file: PathBuf,
        /// Nothing has its name.
        gone: bool,
    },
    /// An earlier sync failed, so nothing is known about what is on the device; or a file was exchanged under the log.
    Poisoned(Arc<Error>),
}

impl Error {
    /// Whether the disk, or the user's part of it, is full.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Error::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}

/// Why no segment can be begun under the bound on the files of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapReached {
    /// The bound, in bytes.
    pub most_bytes: u64,
    /// What the segments take that are on the disk, in bytes.
    pub log_bytes: u64,
    /// How much of that lingers: dropped, and not removed before a reader is gone, in bytes.
    pub pending_deletion_bytes: u64,
    /// What the next segment would take, in bytes.
    pub wanted_bytes: u64,
}

impl fmt::Display for CapReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CapReached { most_bytes, log_bytes, pending_deletion_bytes, wanted_bytes } = self;
        write!(f, "the log may take {most_bytes} bytes: its segments take {log_bytes}")?;
        if *pending_deletion_bytes > 0 {
            write!(f, " ({pending_deletion_bytes} of them linger for readers)")?;
        }
        write!(f, ", and the next one would take {wanted_bytes}")
    }
}

/// What was being done when the system refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Listing the directory.
    List,
    /// Opening a file.
    Open,
    /// Creating a file.
    Create,
    /// Removing a file.
    Remove,
    /// Giving a file another name.
    Rename,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Reserving space for a segment.
    Reserve,
    /// Changing the length.
    Resize,
    /// Syncing a file.
    Sync,
    /// Syncing the directory.
    SyncDirectory,
    /// Locking.
    Lock,
    /// Dropping the page cache of a file.
    DropCache,
    /// Mapping a file.
    Map,
}

impl Operation {
    fn verb(self) -> &'static str {
        match self {
            Operation::List => "list",
            Operation::Open => "open",
            Operation::Create => "create",
            Operation::Remove => "remove",
            Operation::Rename => "rename",
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::Reserve => "reserve space for",
            Operation::Resize => "resize",
            Operation::Sync => "sync",
            Operation::SyncDirectory => "sync directory",
            Operation::Lock => "lock",
            Operation::DropCache => "drop the cache of",
            Operation::Map => "map",
        }
    }
}

/// Where the log is damaged, and which entries that costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file that is damaged or missing.
    pub file: PathBuf,
    /// Where the first bad byte range begins.
    pub offset: u64,
    /// The entries that are lost there, which may be [none](Lost::is_empty); `None` when it is not known.
    pub sequences: Option<Lost>,
    /// What is wrong.
    pub kind: DamageKind,
}

/// Entries that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The first of them; none when they reach back to an unknown one.
    pub first: Option<u64>,
    /// The number behind the last of them; none when nobody knows how many were appended.
    pub end: Option<u64>,
}

impl Lost {
    /// Whether no entry is lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.zip(self.end).is_some_and(|(first, end)| end <= first)
    }

    /// Whether an entry may be lost by both.
    pub(crate) fn overlaps(&self, other: Lost) -> bool {
        let begins = self.first.max(other.first);
        let ends = [self.end, other.end].into_iter().flatten().min();
        begins.zip(ends).is_none_or(|(begins, ends)| begins < ends)
    }

    pub(crate) fn between(first: Sequence, end: Sequence) -> Lost {
        Lost { first: Some(first.value()), end: Some(end.value()) }
    }

    pub(crate) fn one(sequence: Sequence) -> Lost {
        Lost { first: Some(sequence.value()), end: Some(sequence.value() + 1) }
    }

    pub(crate) fn from(first: Sequence) -> Lost {
        Lost { first: Some(first.value()), end: None }
    }

    pub(crate) fn before(end: Sequence) -> Lost {
        Lost { first: None, end: Some(end.value()) }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.end) {
            _ if self.is_empty() => write!(f, "no entry"),
            (Some(first), Some(end)) if end == first + 1 => write!(f, "entry {first}"),
            (Some(first), Some(end)) => write!(f, "entries {first} to {}", end - 1),
            (Some(first), None) => write!(f, "entries from {first} on"),
            (None, Some(end)) => write!(f, "entries before {end}"),
            (None, None) => write!(f, "unknown entries"),
        }
    }
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DamageKind {
    /// A frame that the log vouched for does not verify.
    Frame(FrameFault),
    /// The segment is not there.
    Missing,
    /// The device does not give the bytes. Only a salvage goes on behind them.
    Unreadable,
    /// Neither copy of the segment's header can be read.
    Header(HeaderFault),
    /// The first frame of the segment does not verify, though later bytes show that it was durable.
    Link(FrameFault),
    /// The header names another segment than the file's name: a renamed, swapped or copied file.
    Misnamed {
        /// The number in the header.
        found: SegmentNumber,
    },
    /// The segment belongs to another log.
    OtherLog,
    /// The segment was prepared anew after the anchor had named it as linked.
    OtherLife,
    /// Something that is no regular file has the name of a segment.
    NotAFile(FileKind),
    /// The file ends before the end that the next segment states.
    EndsEarly {
        /// Bytes that the file should have at least.
        expected: u64,
    },
    /// The frames of the segment do not end where the next segment says.
    WrongEnd {
        /// The end that the next segment states.
        expected: u64,
    },
    /// The frames of the segment end with another number than the next segment states.
    WrongNumber {
        /// The number behind the last entry of the frame that ends there.
        found: Sequence,
        /// The number that the LINK of the next segment states.
        expected: Sequence,
    },
    /// No slot of the anchor can be read, though there are segments.
    Anchor(HeaderFault),
    /// Anchor and segments contradict each other.
    Contradiction(&'static str),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: at offset {}: {}", self.file.display(), self.offset, self.kind)?;
        match &self.sequences {
            None => Ok(()),
            Some(lost) if lost.is_empty() => f.write_str("; no entry is lost here"),
            Some(lost) => write!(f, "; lost here: {lost}"),
        }
    }
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DamageKind::Frame(fault) => write!(f, "{fault}"),
            DamageKind::Missing => f.write_str("the segment is missing"),
            DamageKind::Unreadable => f.write_str("the device does not give these bytes"),
            DamageKind::Header(fault) => write!(f, "no readable segment header: {fault}"),
            DamageKind::Link(fault) => write!(f, "the segment's LINK is damaged: {fault}"),
            DamageKind::Misnamed { found } => {
                write!(f, "the header says segment {found}: the file was renamed, swapped or copied")
            }
            DamageKind::OtherLog => f.write_str("the segment belongs to another log"),
            DamageKind::OtherLife => f.write_str("the segment is not the one that the anchor names"),
            DamageKind::NotAFile(kind) => write!(f, "not a regular file but {kind:?}"),
            DamageKind::EndsEarly { expected } => {
                write!(f, "the file is cut short: {expected} bytes were linked")
            }
            DamageKind::WrongEnd { expected } => {
                write!(f, "the frames end here, but the next segment says {expected}")
            }
            DamageKind::WrongNumber { found, expected } => write!(
                f,
                "the frames end here before entry {found}, but the next segment begins with entry {expected}"
            ),
            DamageKind::Anchor(fault) => {
                write!(f, "no readable anchor slot, though there are segments: {fault}")
            }
            DamageKind::Contradiction(what) => f.write_str(what),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { operation: Operation::Reserve, file, offset: Some(bytes), source } => write!(
                f,
                "cannot reserve {bytes} bytes for {}: {source} (a segment takes segment_bytes, and less where there is no \
                 room for that)",
                file.display()
            ),
            Error::Io { operation, file, offset, source } => {
                write!(f, "cannot {} {}", operation.verb(), file.display())?;
                if let Some(offset) = offset {
                    write!(f, " at offset {offset}")?;
                }
                write!(f, ": {source}")
            }
            Error::Damaged(damage) => write!(f, "damaged: {damage}"),
            Error::Unsupported { file, fault } => write!(f, "{}: {fault}", file.display()),
            Error::Locked { directory } => {
                write!(f, "{}: another writer has this log open", directory.display())
            }
            Error::NoLog { directory } => write!(f, "{}: there is no log here", directory.display()),
            Error::Exists { directory } => write!(f, "{}: there is a log here already", directory.display()),
            Error::OutOfRange { asked, first, next } => {
                write!(f, "cannot truncate at {asked}: the log holds {first} to before {next}")
            }
            Error::RolledBack { directory, expected, next } => write!(
                f,
                "{}: the next entry is {next}, but everything before {expected} was acknowledged: \
                 an older state of the directory, or the end of the log is lost",
                directory.display()
            ),
            Error::NotEmpty { directory, name } => {
                write!(f, "{}: not empty: there is {name:?}", directory.display())
            }
            Error::Dropped { file, asked, first } => {
                let file = file.display();
                write!(
                    f,
                    "{file}: entry {asked} was dropped by a truncation meanwhile: the log begins at {first}"
                )
            }
            Error::CutOff { file, from } => {
                write!(f, "{}: the entries from {from} on were cut off meanwhile", file.display())
            }
            Error::OutOfNumbers => {
                f.write_str("no number is left for this entry, or no segment can be large enough for it")
            }
            Error::CapReached(fullness) => fullness.fmt(f),
            Error::Exchanged { file, gone } => {
                let how = if *gone { "was removed" } else { "was replaced by another file" };
                write!(f, "{} {how} while the log had it open", file.display())
            }
            Error::Poisoned(cause) => write!(f, "the log is poisoned by an earlier failure: {cause}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source.as_ref()),
            Error::Poisoned(cause) => Some(cause.as_ref()),
            _ => None,
        }
    }
}

/// Adds to a result of the seam what was being done, to what, and where.
pub(crate) trait Place<T> {
    fn place(
        self,
        operation: Operation,
        file: impl FnOnce() -> PathBuf,
        offset: Option<u64>,
    ) -> Result<T, Error>;
}

impl<T> Place<T> for io::Result<T> {
    fn place(
        self,
        operation: Operation,
        file: impl FnOnce() -> PathBuf,
        offset: Option<u64>,
    ) -> Result<T, Error> {
        self.map_err(|source| Error::Io { operation, file: file(), offset, source: Arc::new(source) })
    }
}
