//! Ending a segment by hand, and by age.

use crate::engine::Core;
use crate::engine::tail::Tail;
use crate::error::Error;
use crate::log::Wal;

impl Wal {
    /// Ends the segment that is being written, as when it is full: the next append begins another. For whoever
    /// wants to copy, archive or drop what there is by whole files. Everything that was appended or submitted
    /// before is durable when this returns. When the last segment has no entry, or has ended already, nothing
    /// is done.
    ///
    /// Takes a sync; the append behind it prepares its segment itself if none is prepared yet. Space that
    /// was reserved in the file is given back.
    ///
    /// # Errors
    /// What kept the segment from being ended, as on a full disk: the log stays whole. When the SEAL could not be written
    /// it goes on in another segment, after a cut; when the anchor could not, in the same one. [`Poisoned`](crate::ErrorKind::Poisoned) when the sync failed;
    /// [`Closed`](crate::ErrorKind::Closed).
    pub fn roll(&self) -> Result<(), Error> {
        let rolled = self.core().roll();
        self.core().call_back();
        rolled
    }
}

impl Core {
    /// Ends the open segment.
    pub(crate) fn roll(&self) -> Result<(), Error> {
        self.commits.alone(Tail::roll).map_err(Error::from)
    }
}
