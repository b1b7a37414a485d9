//! What `info` prints, as values for the table and the JSON.

use std::path::Path;

use serde::Serialize;
use wal::{Damage, Ending, View};
use wal_format::SegmentName;

/// Incremented when a field is removed or changes its meaning.
const SHAPE_VERSION: u32 = 1;

/// A log at one moment. Ranges of entries include both ends.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    version: u32,
    pub(crate) directory: String,
    pub(crate) ending: Outcome,
    pub(crate) first: Option<u64>,
    pub(crate) last: Option<u64>,
    /// The last entry that the disk states to be durable.
    pub(crate) durable: Option<u64>,
    pub(crate) next: u64,
    /// The checksum of the last segment, or of the first one to come.
    pub(crate) checksum: Option<&'static str>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) ignored_names: usize,
}

/// How the log ended.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Outcome {
    Empty,
    Clean,
    Unclosed,
    Torn {
        file: String,
        offset: u64,
        bytes: u64,
    },
    Corrupt {
        file: String,
        offset: u64,
        /// `None` when no entry is lost.
        #[serde(rename = "sequences")]
        lost: Option<Lost>,
        what: String,
    },
}

/// The entries that are lost; an unknown end is `None`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Lost {
    pub(crate) first: Option<u64>,
    pub(crate) last: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) file: String,
    pub(crate) first: Option<u64>,
    pub(crate) last: Option<u64>,
    pub(crate) bytes: u64,
    pub(crate) checksum: &'static str,
    pub(crate) state: &'static str,
}

impl Summary {
    pub(crate) fn of(view: &View, directory: &Path) -> Summary {
        let recovery = view.recovery();
        let ending = Outcome::of(&recovery.ending);
        let segments: Vec<Segment> = view.segments().map(|info| Segment::of(&info, &ending)).collect();
        Summary {
            version: SHAPE_VERSION,
            directory: directory.display().to_string(),
            ending,
            first: view.last().map(|_| view.first()),
            last: view.last(),
            durable: view.durable_end().checked_sub(1).filter(|durable| *durable >= view.first()),
            next: view.written_end(),
            checksum: segments
                .last()
                .map(|last| last.checksum)
                .or(recovery.next_checksum.map(wal::Checksum::name)),
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
            checksum: info.checksum.name(),
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
            // And what a later version of the library may add.
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
}

/// The name of a file in the log's directory.
fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}
