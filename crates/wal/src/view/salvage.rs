//! Salvage: reading everything that verifies in a damaged log.

use std::iter::FusedIterator;
use std::path::Path;
use std::sync::Arc;

use wal_segment::io::Directory;
use wal_segment::{Gap, Losses, SalvageSummary};

use crate::error::Error;
use crate::options::Options;
use crate::options::directory::open_directory;
use crate::read::entry::Entry;
use crate::view::View;

/// An iterator over the entries that can be recovered from a damaged log, and the gaps between them, in the
/// order of their sequence numbers. From [`Options::open_salvage`].
///
/// Each entry is verified when it is returned, and read into memory of its own. Other memory does not
/// grow with the log, except for one record per file.
#[derive(Debug)]
pub struct Salvage(wal_segment::Salvage<'static>);

/// An item of a [`Salvage`]: an entry or a gap.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Salvaged {
    /// An entry that verifies.
    #[non_exhaustive]
    Entry {
        /// Its number and its payload.
        entry: Entry,
        /// Whether everything that was written together with it verifies, too. If not, it may belong to a batch that is
        /// partly lost.
        whole: bool,
        /// Whether the entry is known to be in the log: the next segment records where this one ends, or no later
        /// segment is known. If not, a truncation or a failed write may have dropped the entry, and another one may
        /// have got its number.
        certain: bool,
    },
    /// Entries that cannot be recovered: their numbers, their place, and what is wrong there.
    Gap(Gap),
}

impl Options {
    /// Reads everything that verifies in the damaged log in `path`: without an anchor, with
    /// missing, renamed, copied or shortened files, damaged frames or unreadable sectors. Takes no
    /// lock and changes nothing, so that the directory stays as evidence.
    ///
    /// It returns an entry if its checksums prove that this log wrote it at this place. No entry is invented,
    /// and none that verifies is skipped, except those recorded as dropped by a truncation or a cut. After a
    /// crash the end of the log may have entries that were never acknowledged, also after a gap, which an open would
    /// drop. Details are in `docs/recovery.md`.
    ///
    /// Reads the headers of all files now, and the rest during the iteration.
    ///
    /// # Errors
    /// [`ErrorKind::NoLog`](crate::ErrorKind::NoLog) when the directory does not exist;
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when it cannot be listed. A directory without a log has no entries.
    pub fn open_salvage(&self, path: impl AsRef<Path>) -> Result<Salvage, Error> {
        self.open_salvage_in(open_directory(path.as_ref())?)
    }

    /// As [`Options::open_salvage`], through a [`Directory`].
    ///
    /// # Errors
    /// As [`Options::open_salvage`].
    #[allow(clippy::unused_self, reason = "every way to open a log is a method of its options")]
    pub fn open_salvage_in(&self, directory: Arc<dyn Directory>) -> Result<Salvage, Error> {
        Ok(Salvage(wal_segment::salvage(directory)?))
    }
}

impl View {
    /// Reports which entries are lost and how many can be read, from everything that verifies in the directory. It
    /// includes what an error or [`verify`](View::verify) reports as lost. Reads the whole log in its current state, as
    /// [`verify`](View::verify) does.
    ///
    /// # Errors
    /// As [`View::verify`].
    pub fn losses(&self) -> Result<Losses, Error> {
        Ok(self.verify()?.losses)
    }
}

impl Salvage {
    /// The summary of what was found so far; complete once the iterator has ended.
    #[must_use]
    pub fn summary(&self) -> &SalvageSummary {
        self.0.summary()
    }
}

impl Iterator for Salvage {
    type Item = Salvaged;

    fn next(&mut self) -> Option<Salvaged> {
        Some(match self.0.next()? {
            wal_segment::Salvaged::Entry { entry, whole, certain } => {
                Salvaged::Entry { entry: Entry::new(entry), whole, certain }
            }
            wal_segment::Salvaged::Gap(gap) => Salvaged::Gap(gap),
        })
    }
}

impl FusedIterator for Salvage {}
