//! Everything that verifies in a damaged log.

use std::iter::FusedIterator;
use std::path::Path;
use std::sync::Arc;

use wal_segment::io::Directory;
use wal_segment::{Gap, Losses, SalvageSummary};

use crate::error::Error;
use crate::options::Options;
use crate::options::directory::existing;
use crate::read::entry::Entry;
use crate::view::View;

/// The entries of a log that cannot be opened, or that is damaged in the middle, and the gaps between them, in the
/// order of their numbers. See [`Options::open_salvage`].
///
/// Each entry is checked as it is handed out, and read into memory of its own. What is in memory besides does not
/// grow with the log, but for a line a file.
#[derive(Debug)]
pub struct Salvage(wal_segment::Salvage<'static>);

/// What a [`Salvage`] hands out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Salvaged {
    /// An entry that verifies.
    #[non_exhaustive]
    Entry {
        /// Its number and its bytes.
        entry: Entry,
        /// Everything that was written together with it verifies, too. Where that is not so, it may be a part of a
        /// batch of which another part is lost.
        whole: bool,
        /// The next segment states where this one's part of the log ends, or nothing is known to have followed it.
        /// Where that is lost, a truncation or a failed write may have dropped the entry, and another one have got
        /// its number.
        certain: bool,
    },
    /// Entries that cannot be had: which, where they were, and what is wrong there.
    Gap(Gap),
}

impl Options {
    /// Reads everything that verifies in the log in `path`, whatever is wrong with it: without an anchor, with
    /// missing, renamed, copied and cut files, with damaged frames and bytes that the device does not give. Takes no
    /// lock and changes nothing, so that the directory stays as it is for whoever looks at it next.
    ///
    /// An entry is handed out when its checksums say that this log has written it at this place: nothing is made up,
    /// and nothing that verifies is passed over, but for what a truncation or a cut has declared gone. At the end of a
    /// log that a crash has left there may be entries that were never acknowledged, also behind a gap, which an open
    /// drops. The rest is told in `docs/recovery.md`.
    ///
    /// Reads the heads of all files now, and everything else as it is asked for.
    ///
    /// # Errors
    /// [`ErrorKind::NoLog`](crate::ErrorKind::NoLog) when the directory is not there;
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when it cannot be listed. A directory without a log has no entries.
    pub fn open_salvage(&self, path: impl AsRef<Path>) -> Result<Salvage, Error> {
        self.open_salvage_in(existing(path.as_ref())?)
    }

    /// As [`Options::open_salvage`], in any directory behind the seam.
    ///
    /// # Errors
    /// As [`Options::open_salvage`].
    #[allow(clippy::unused_self, reason = "a way to open a log is asked of its options")]
    pub fn open_salvage_in(&self, directory: Arc<dyn Directory>) -> Result<Salvage, Error> {
        Ok(Salvage(wal_segment::salvage(directory)?))
    }
}

impl View {
    /// Which entries are lost, and how many can be read, by everything that verifies in the directory: what an error or a
    /// [`verify`](View::verify) names as lost is a part of this. Looks at the log anew and reads all of it, as that does.
    ///
    /// # Errors
    /// As [`View::verify`].
    pub fn losses(&self) -> Result<Losses, Error> {
        Ok(self.verify()?.losses)
    }
}

impl Salvage {
    /// What was found so far: all of it once the entries have ended.
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
