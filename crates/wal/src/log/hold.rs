//! Holds: what somebody still needs is not dropped.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Core;
use crate::error::{Error, ErrorKind};
use crate::log::Wal;

impl Wal {
    /// Keeps the entry `sequence` and everything behind it from being dropped at the front, by
    /// [`Wal::truncate_before`] and by retention, until the [`Hold`] is dropped or moved. It is kept in memory, for
    /// this open of the log: after a restart the application takes it again, and then calls
    /// [`Wal::start_retention`], before which retention drops nothing.
    ///
    /// The name is for people: [`Stats`](crate::Stats::lowest_hold) shows it. Several holds may have the same.
    /// A hold does not keep [`Wal::truncate_after`] from cutting the log in front of it; then it keeps what gets
    /// its number later.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] when the entry is gone already, or about to go, and when `sequence` is beyond the
    /// next entry; [`ErrorKind::Poisoned`], [`ErrorKind::Closed`].
    pub fn hold(&self, name: &str, sequence: u64) -> Result<Hold, Error> {
        let core = self.core();
        core.commits.check()?;
        refuse_beyond(core, name, sequence)?;
        let id = core.keeper.hold(name, sequence).map_err(|floor| {
            let message = format!("cannot hold {sequence} for {name:?}: the log begins at {floor}");
            Error::new(ErrorKind::OutOfRange, message)
        })?;
        Ok(Hold { core: Arc::clone(core), id, name: name.into() })
    }
}

fn refuse_beyond(core: &Core, name: &str, sequence: u64) -> Result<(), Error> {
    let next = core.commits.next();
    if sequence <= next {
        return Ok(());
    }
    let message = format!("cannot hold {sequence} for {name:?}: the next entry is {next}");
    Err(Error::new(ErrorKind::OutOfRange, message))
}

/// Keeps entries from being dropped at the front of the log, as long as it lives. It keeps neither the log
/// open nor its lock.
///
/// With [`Options::hold_limit_bytes`](crate::Options::hold_limit_bytes) a hold that keeps too much is overrun once
/// entries that it kept are dropped: it keeps nothing any more. A drop that fails overruns none. Its owner is told by [`Hold::advance`] and [`Hold::overrun`]; one that does neither
/// for long has a thread in [`Hold::wait_overrun`]. That is less than a callback: nobody's code runs
/// where the front is dropped.
#[must_use = "what it keeps may be dropped when it is"]
pub struct Hold {
    core: Arc<Core>,
    id: u64,
    name: Arc<str>,
}

impl Hold {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first entry that it keeps, or kept until it was overrun.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.core.keeper.held(self.id).0
    }

    /// Whether it kept so much that the log went on without it.
    #[must_use]
    pub fn overrun(&self) -> bool {
        self.core.keeper.held(self.id).1
    }

    /// Lets go of what is in front of `sequence`. A number that it has passed already changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Overrun`] when it was overrun: entries that it kept are gone.
    /// [`ErrorKind::OutOfRange`] when `sequence` is beyond the next entry; [`ErrorKind::Poisoned`],
    /// [`ErrorKind::Closed`].
    pub fn advance(&self, sequence: u64) -> Result<(), Error> {
        if self.overrun() {
            return Err(self.was_overrun());
        }
        self.core.commits.check()?;
        refuse_beyond(&self.core, &self.name, sequence)?;
        if self.core.keeper.advance(self.id, sequence) { Ok(()) } else { Err(self.was_overrun()) }
    }

    /// Blocks until it is overrun, and returns `true`; `false` when `limit` has passed before.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] when the log ended before.
    pub fn wait_overrun(&self, limit: Duration) -> Result<bool, Error> {
        self.core.keeper.until_overrun(self.id, limit)
    }

    fn was_overrun(&self) -> Error {
        let (name, sequence) = (&self.name, self.sequence());
        let message =
            format!("the hold {name:?} at {sequence} kept more than hold_limit_bytes and was overrun");
        Error::new(ErrorKind::Overrun, message)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.core.keeper.release(self.id);
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sequence, overrun) = self.core.keeper.held(self.id);
        f.debug_struct("Hold")
            .field("name", &self.name)
            .field("sequence", &sequence)
            .field("overrun", &overrun)
            .finish()
    }
}
