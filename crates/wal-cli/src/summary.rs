//! What `info` shows, as values: the same for every way to print it.

use std::path::Path;

use wal::{Checksum, Damage, Ending, View};
use wal_format::SegmentName;

/// A log as it is at one moment. Entries are named by their own numbers, both ends inclusive.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) directory: String,
    pub(crate) ending: Outcome,
    pub(crate) first: Option<u64>,
    pub(crate) last: Option<u64>,
    /// The last entry that something on disk states to be durable.
    pub(crate) durable: Option<u64>,
    pub(crate) next: u64,
    /// Of the last segment; none before there is one.
    pub(crate) checksum: Option<Checksum>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) ignored_names: usize,
}

/// How the log ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Empty,
    Clean,
    Unclosed,
    Torn {
        file: String,
        offset: u64,
        bytes: u64,
    },
    /// Of no entry when none is lost.
    Corrupt {
        file: String,
        offset: u64,
        lost: Option<Lost>,
        what: String,
    },
}

/// Entries that damage costs; an end that nobody knows is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost {
    pub(crate) first: Option<u64>,
    pub(crate) last: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) file: String,
    pub(crate) first: Option<u64>,
    pub(crate) last: Option<u64>,
    pub(crate) bytes: u64,
    pub(crate) checksum: Checksum,
    pub(crate) state: &'static str,
}

impl Summary {
    pub(crate) fn of(view: &View, directory: &Path) -> Summary {
        let recovery = view.recovery();
        let ending = Outcome::of(&recovery.ending);
        let segments: Vec<Segment> = view.segments().map(|info| Segment::of(&info, &ending)).collect();
        Summary {
            directory: directory.display().to_string(),
            ending,
            first: view.last().map(|_| view.first()),
            last: view.last(),
            durable: view.durable().checked_sub(1).filter(|durable| *durable >= view.first()),
            next: view.written(),
            checksum: segments.last().map(|segment| segment.checksum).or(recovery.next_checksum),
            segments,
            ignored_names: recovery.ignored_names,
        }
    }
}

impl Segment {
    fn of(info: &wal::SegmentInfo, ending: &Outcome) -> Segment {
        let file = name_of(&info.file);
        let entries = &info.sequences;
        let state = match ending {
            Outcome::Torn { file: torn, .. } if *torn == file => "torn",
            Outcome::Corrupt { file: damaged, .. } if *damaged == file => "corrupt",
            _ if info.closed || matches!(ending, Outcome::Corrupt { .. }) => "closed",
            _ => "open",
        };
        Segment {
            number: info.number,
            file,
            first: (!entries.is_empty()).then_some(entries.start),
            last: (!entries.is_empty()).then(|| entries.end - 1),
            bytes: info.bytes,
            checksum: info.checksum,
            state,
        }
    }
}

impl Outcome {
    fn of(ending: &Ending) -> Outcome {
        match ending {
            Ending::Clean => Outcome::Clean,
            Ending::Torn { segment, offset, bytes } => {
                Outcome::Torn { file: SegmentName::of(*segment).to_string(), offset: *offset, bytes: *bytes }
            }
            Ending::Corrupt(damage) => Outcome::corrupt(damage),
            Ending::New | Ending::Empty => Outcome::Empty,
            // Also what a later version of the library may add.
            _ => Outcome::Unclosed,
        }
    }

    fn corrupt(damage: &Damage) -> Outcome {
        let lost = match damage.sequences {
            Some(lost) if lost.is_empty() => None,
            Some(lost) => Some(Lost { first: lost.first, last: lost.end.map(|end| end.saturating_sub(1)) }),
            None => Some(Lost { first: None, last: None }),
        };
        Outcome::Corrupt {
            file: name_of(&damage.file),
            offset: damage.offset,
            lost,
            what: damage.kind.to_string(),
        }
    }

    /// Its name, the same in every output.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Outcome::Empty => "empty",
            Outcome::Clean => "clean",
            Outcome::Unclosed => "unclosed",
            Outcome::Torn { .. } => "torn",
            Outcome::Corrupt { .. } => "corrupt",
        }
    }
}

/// The name of a file in the log's directory.
fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}
