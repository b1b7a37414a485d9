//! Holds: they keep the entries that a consumer still needs, like PostgreSQL's replication slots.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::log::Wal;

impl Wal {
    /// Keeps the entry `sequence` and every later one for a consumer: neither [`Wal::truncate_before`] nor retention drops
    /// them until the [`Hold`] is dropped or advanced. A hold exists in memory only. After a restart the application
    /// takes it again and then calls [`Wal::start_retention`], before which retention drops nothing.
    ///
    /// The name is for monitoring: [`Stats`](crate::Stats::lowest_hold) shows it. Names need not be unique.
    /// A hold does not stop [`Wal::truncate_after`] from dropping its entry; then it keeps the entry that gets
    /// the number later.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] when the entry is dropped already or about to be, and when `sequence` is after the
    /// next entry; [`ErrorKind::Poisoned`], [`ErrorKind::Closed`].
    pub fn hold(&self, name: &str, sequence: u64) -> Result<Hold, Error> {
        let engine = self.engine();
        engine.commits.check()?;
        refuse_beyond(engine, name, sequence)?;
        let id = engine.holds().hold(name, sequence).map_err(|first| {
            let message = format!("cannot hold {sequence} for {name:?}: the log begins at {first}");
            Error::new(ErrorKind::OutOfRange, message)
        })?;
        Ok(Hold { engine: Arc::clone(engine), id, name: name.into() })
    }
}

fn refuse_beyond(engine: &Engine, name: &str, sequence: u64) -> Result<(), Error> {
    let next = engine.commits.next();
    if sequence <= next {
        return Ok(());
    }
    let message = format!("cannot hold {sequence} for {name:?}: the next entry is {next}");
    Err(Error::new(ErrorKind::OutOfRange, message))
}

/// A consumer's hold on the log, like a replication slot: as long as it lives, its entry and every later one are kept. It
/// keeps neither the log open nor its lock.
///
/// With [`Options::hold_limit_bytes`](crate::Options::hold_limit_bytes) a hold that keeps too much is invalidated when
/// entries that it kept are dropped: it keeps nothing any more. A truncation that fails invalidates none. The consumer
/// learns of it from [`Hold::advance`] and [`Hold::invalidated`], or from a thread in [`Hold::wait_invalidated`]. There is no
/// callback, so that no application code runs where entries are dropped.
#[must_use = "dropping the hold lets the log drop the entries that it keeps"]
pub struct Hold {
    engine: Arc<Engine>,
    id: u64,
    name: Arc<str>,
}

impl Hold {
    /// The name that it was taken with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sequence number of the first entry that it keeps, or kept until it was invalidated.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.engine.holds().get(self.id).0
    }

    /// Whether it was invalidated, because it kept more than
    /// [`hold_limit_bytes`](crate::Options::hold_limit_bytes).
    #[must_use]
    pub fn invalidated(&self) -> bool {
        self.engine.holds().get(self.id).1
    }

    /// Moves the hold forward to `sequence`, so that the entries before it can be dropped. It never moves back: a lower
    /// number changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Invalidated`] when the hold was invalidated: entries that it kept are dropped.
    /// [`ErrorKind::OutOfRange`] when `sequence` is after the next entry; [`ErrorKind::Poisoned`],
    /// [`ErrorKind::Closed`].
    pub fn advance(&self, sequence: u64) -> Result<(), Error> {
        if self.invalidated() {
            return Err(self.was_invalidated());
        }
        self.engine.commits.check()?;
        refuse_beyond(&self.engine, &self.name, sequence)?;
        if self.engine.holds().advance(self.id, sequence) { Ok(()) } else { Err(self.was_invalidated()) }
    }

    /// Blocks until the hold is invalidated and returns `true`; returns `false` after `limit`.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] when the log ends first.
    pub fn wait_invalidated(&self, limit: Duration) -> Result<bool, Error> {
        self.engine.holds().until_invalidated(self.id, limit)
    }

    fn was_invalidated(&self) -> Error {
        let (name, sequence) = (&self.name, self.sequence());
        let message =
            format!("the hold {name:?} at {sequence} kept more than hold_limit_bytes and was invalidated");
        Error::new(ErrorKind::Invalidated, message)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.engine.holds().release(self.id);
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sequence, invalidated) = self.engine.holds().get(self.id);
        f.debug_struct("Hold")
            .field("name", &self.name)
            .field("sequence", &sequence)
            .field("invalidated", &invalidated)
            .finish()
    }
}
