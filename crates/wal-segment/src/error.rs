//! The errors of this crate: which file, which offset, which entries.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use wal_format::{FrameFault, HeaderFault, SegmentNumber, Sequence};

use crate::io::FileKind;

/// An error of the segment layer. Cheap to clone, so that one failed fsync can be reported to many waiters.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system reported an error.
    Io {
        /// What the log was doing.
        operation: Operation,
        /// The file or directory.
        file: PathBuf,
        /// The offset in the file, in bytes, if the operation has one; the length that was to be reserved or set.
        offset: Option<u64>,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// Corruption: acknowledged bytes do not verify or are missing, or the files contradict each other.
    Damaged(Damage),
    /// A file was written by a later version of the format, or with features that this build lacks.
    Unsupported {
        /// The file.
        file: PathBuf,
        /// The version or feature that it needs.
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
    /// A new log was to be created, but the directory has one already.
    Exists {
        /// The directory.
        directory: PathBuf,
    },
    /// A truncation names an entry outside of the log.
    OutOfRange {
        /// The number that the caller named.
        asked: Sequence,
        /// The first entry that is kept.
        first: Sequence,
        /// The number of the next entry.
        next: Sequence,
    },
    /// The log ends before an entry that the caller of the open knows to have been acknowledged.
    RolledBack {
        /// The directory.
        directory: PathBuf,
        /// Everything before this number was acknowledged.
        expected: u64,
        /// The number of the next entry.
        next: Sequence,
    },
    /// The target directory of a copy is not empty.
    NotEmpty {
        /// The directory.
        directory: PathBuf,
        /// A name in it.
        name: String,
    },
    /// A truncation dropped the entry from the front of the log before it was read.
    Dropped {
        /// The file that held it.
        file: PathBuf,
        /// The number of the entry.
        asked: Sequence,
        /// The first entry that is kept.
        first: Sequence,
    },
    /// The end of the log was cut off while a reader was in it. What it read from there on, or was about to
    /// read, is no part of the log any more.
    CutOff {
        /// The file that states the cut, or that held the entry.
        file: PathBuf,
        /// The first number that is gone, or that belongs to another entry now.
        from: Sequence,
    },
    /// All sequence or segment numbers are used up, or the frame is larger than any segment.
    OutOfNumbers,
    /// The next segment would exceed the cap on the files of the log.
    CapReached(CapReached),
    /// Another program removed or replaced a file that the log has open: what the log writes there, the next
    /// open does not find.
    Exchanged {
        /// The file.
        file: PathBuf,
        /// True when the name is gone, false when it leads to another file.
        gone: bool,
    },
    /// An earlier fsync failed, so what is on the device is unknown, or a file was exchanged under the log.
    /// The log accepts nothing more until it is opened again.
    Poisoned(Arc<Error>),
}

impl Error {
    /// Whether the disk or the user's quota is full.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Error::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}

/// Why the cap does not allow another segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapReached {
    /// The cap, in bytes.
    pub most_bytes: u64,
    /// The size of all segment files on disk, in bytes.
    pub log_bytes: u64,
    /// How much of that is pending deletion: dropped from the log, but still needed by a reader, in bytes.
    pub pending_deletion_bytes: u64,
    /// The size of the next segment, in bytes.
    pub wanted_bytes: u64,
}

impl fmt::Display for CapReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CapReached { most_bytes, log_bytes, pending_deletion_bytes, wanted_bytes } = self;
        write!(f, "the log may take {most_bytes} bytes: its segments take {log_bytes}")?;
        if *pending_deletion_bytes > 0 {
            write!(f, " ({pending_deletion_bytes} of them pending deletion, until no reader needs them)")?;
        }
        write!(f, ", and the next one would take {wanted_bytes}")
    }
}

/// What the log was doing when the system reported an error.
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
    /// Renaming a file.
    Rename,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Reserving space for a segment.
    Reserve,
    /// Changing the length of a file.
    Resize,
    /// An fsync of a file.
    Sync,
    /// An fsync of the directory.
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

/// Where the log is damaged, and which entries are lost by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file that is damaged or missing.
    pub file: PathBuf,
    /// The offset of the first bad byte range.
    pub offset: u64,
    /// The entries that are lost there, which may be [none](Lost::is_empty); `None` when that is unknown.
    pub sequences: Option<Lost>,
    /// What is wrong.
    pub kind: DamageKind,
}

/// A range of entries that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The first lost entry; `None` when the range reaches back to an unknown one.
    pub first: Option<u64>,
    /// The number after the last lost entry; `None` when it is unknown how many were appended.
    pub end: Option<u64>,
}

impl Lost {
    /// Whether no entry is lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.zip(self.end).is_some_and(|(first, end)| end <= first)
    }

    /// Whether both ranges may contain the same entry.
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
    /// A frame that was acknowledged does not verify.
    Frame(FrameFault),
    /// The segment file is missing.
    Missing,
    /// The device reports an error for these bytes. Only a salvage reads on after them.
    Unreadable,
    /// Both copies of the segment's header are invalid.
    Header(HeaderFault),
    /// The LINK, the first frame of the segment, does not verify, though later bytes show that it was
    /// durable.
    Link(FrameFault),
    /// The number in the header is not the one in the file's name: the file was renamed, swapped or copied.
    Misnamed {
        /// The number in the header.
        found: SegmentNumber,
    },
    /// The segment belongs to another log.
    OtherLog,
    /// The segment was prepared anew after the anchor named it as linked.
    OtherLife,
    /// The name of a segment leads to something other than a regular file.
    NotAFile(FileKind),
    /// The file ends before the log ends in it.
    EndsEarly {
        /// The length that the file should have at least, in bytes.
        expected: u64,
    },
    /// The frames of the segment end at another offset than the next segment, or the anchor, states.
    WrongEnd {
        /// The stated end, as an offset.
        expected: u64,
    },
    /// The frames of the segment end with another sequence number than the next segment states.
    WrongNumber {
        /// The number after the last entry of the frame that ends there.
        found: Sequence,
        /// The number that the LINK of the next segment states.
        expected: Sequence,
    },
    /// No slot of the anchor is valid, though there are segments.
    Anchor(HeaderFault),
    /// The files of the log contradict each other.
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
            DamageKind::Unreadable => f.write_str("the device cannot read these bytes"),
            DamageKind::Header(fault) => write!(f, "no readable segment header: {fault}"),
            DamageKind::Link(fault) => write!(f, "the segment's LINK is damaged: {fault}"),
            DamageKind::Misnamed { found } => {
                write!(f, "the header says segment {found}: the file was renamed, swapped or copied")
            }
            DamageKind::OtherLog => f.write_str("the segment belongs to another log"),
            DamageKind::OtherLife => f.write_str("the segment is not the one that the anchor names"),
            DamageKind::NotAFile(kind) => write!(f, "not a regular file but {kind:?}"),
            DamageKind::EndsEarly { expected } => {
                write!(f, "the file is truncated: the log needs {expected} bytes of it")
            }
            DamageKind::WrongEnd { expected } => {
                write!(f, "the frames end here, but the next segment or the anchor states offset {expected}")
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
                "cannot reserve {bytes} bytes for {}: {source} (free disk space: a segment takes segment_bytes, \
                 or less where that does not fit)",
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
                 the directory was restored from an older copy, or the end of the log is lost",
                directory.display()
            ),
            Error::NotEmpty { directory, name } => {
                write!(f, "{}: not empty: {name:?} is there; name a new directory", directory.display())
            }
            Error::Dropped { file, asked, first } => {
                let file = file.display();
                write!(
                    f,
                    "{file}: a truncation dropped entry {asked} before it was read: the log begins at {first}"
                )
            }
            Error::CutOff { file, from } => {
                write!(f, "{}: the entries from {from} on were cut off while they were read", file.display())
            }
            Error::OutOfNumbers => {
                f.write_str("no number is left for this entry, or no segment can be large enough for it")
            }
            Error::CapReached(reached) => reached.fmt(f),
            Error::Exchanged { file, gone } => {
                let how = if *gone { "was removed" } else { "was replaced by another file" };
                write!(f, "{} {how} while the log had it open", file.display())
            }
            Error::Poisoned(cause) => {
                write!(f, "the log is poisoned by an earlier failure, open it again: {cause}")
            }
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

/// Adds to an I/O error what the log was doing, to which file, and at which offset.
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
