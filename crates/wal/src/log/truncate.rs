//! Truncation: dropping the oldest entries, by call or by retention, and the newest.

use wal_format::Sequence;

use crate::engine::tail::Tail;
use crate::error::Error;
use crate::log::Wal;
use crate::report::event::note;

impl Wal {
    /// Drops every entry before `first`, because a checkpoint or snapshot covers them. With the number of the next entry
    /// this empties the log; its numbers go on.
    ///
    /// The new log start is exact, also within a segment, and durable when this returns. Entries before it that are not
    /// durable yet are made durable first. Obsolete segments are then removed, or [recycled](crate::Options::recycle).
    /// Deletion of files that a reader of this process may still need stays pending until a later rollover, truncation,
    /// close or open. Appends wait for two syncs of the anchor.
    ///
    /// A `first` that is dropped already is no error, and changes nothing.
    ///
    /// Returns the number of the first entry that is kept. It is less than `first` when a [hold](Wal::hold) keeps more:
    /// then the log begins at the lowest hold, [`Stats::lowest_hold`](crate::Stats::lowest_hold).
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] when `first` is after the next entry, or after the written entries while
    /// later ones [wait for space](crate::WhenFull::Wait). After any other error but
    /// [`ErrorKind::Poisoned`] the log start is unchanged and the log goes on; but until the anchor is written again, as
    /// by a close, a crash may move the log start to `first`.
    ///
    /// [`ErrorKind::OutOfRange`]: crate::ErrorKind::OutOfRange
    /// [`ErrorKind::Poisoned`]: crate::ErrorKind::Poisoned
    pub fn truncate_before(&self, first: u64) -> Result<u64, Error> {
        let engine = self.engine();
        engine.fork_guard().check()?;
        let mut kept = 0;
        let dropped = engine.commits.drop_before(first, |tail| {
            let (begins, dropped) = Tail::drop_front(tail, first);
            kept = begins;
            dropped
        });
        let dropped = dropped.map_err(Error::from);
        note!(&engine.commits.target().listener, TruncatedBefore { first, failed: dropped.clone().err() });
        self.tidy();
        dropped.map(|()| kept)
    }

    /// Drops every entry after `last`, as a replica does with a suffix that its leader does not have. The next entry gets
    /// the number `last + 1`.
    ///
    /// The truncation is durable when this returns, and atomic: after a crash during the call the log is unchanged or
    /// ends with `last`. It splits a batch when `last` is inside it. The entries that stay are made durable first.
    /// [`Wal::written_end`] and [`Wal::durable_end`] fall back. A caller that waits for a dropped entry, in an append, a
    /// [`Commit`](crate::Commit), a [`Wal::sync`] or for a watermark, fails with [`ErrorKind::Truncated`]; dropped entries
    /// that were submitted and not yet written are never written. Open readers still see the old log. Costs reading the
    /// frame headers of one segment.
    ///
    /// When `last` is the last entry, or after it, this does nothing, and makes nothing durable. One exception: if `last`
    /// is the last entry and the last write failed, a crash could have kept the failed entry until now; this drops it for
    /// good.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] when `last` is before the first entry that is kept: at least one stays.
    /// When only the last step fails, writing the anchor, the log is truncated, as [`Wal::written_end`] shows, and
    /// the next append repeats that step first. After any other error but [`ErrorKind::Poisoned`] the log is unchanged
    /// and goes on. If not even the rest of a failed write could be removed, a crash before the next accepted append
    /// may still truncate it.
    ///
    /// [`ErrorKind::OutOfRange`]: crate::ErrorKind::OutOfRange
    /// [`ErrorKind::Poisoned`]: crate::ErrorKind::Poisoned
    /// [`ErrorKind::Truncated`]: crate::ErrorKind::Truncated
    pub fn truncate_after(&self, last: u64) -> Result<(), Error> {
        let engine = self.engine();
        engine.fork_guard().check()?;
        let place = Sequence::try_from(last).unwrap_or(Sequence::MAX);
        let dropped = engine.commits.drop_from(last.saturating_add(1), |tail| {
            Tail::truncate(tail, |writer, supply| writer.truncate_after(place, supply))
        });
        let dropped = dropped.map_err(Error::from);
        note!(&engine.commits.target().listener, TruncatedAfter { last, failed: dropped.clone().err() });
        self.tidy();
        dropped
    }

    /// Starts retention: from now on the log drops its oldest segments by
    /// [`retain_bytes`](crate::Options::retain_bytes), [`retain_entries`](crate::Options::retain_entries) and
    /// [`retain_age`](crate::Options::retain_age). Until this is called they drop nothing, not even under
    /// [`max_log_bytes`](crate::Options::max_log_bytes). [`Wal::truncate_before`] does not depend on it.
    ///
    /// Call it after every open, once every consumer's [`Wal::hold`] is taken. Holds exist in memory only, so
    /// after a restart the log does not know which entries consumers still need.
    ///
    /// It is cheap, and a second call does nothing. With [`background`](crate::Options::background) threads it
    /// returns at once, and a thread drops segments. Without them this call drops them, and later calls that
    /// append, sync or truncate do. Either way errors are counted in
    /// [`Stats::maintenance_errors`](crate::Stats::maintenance_errors).
    ///
    /// # Errors
    /// [`Closed`](crate::ErrorKind::Closed), [`Poisoned`](crate::ErrorKind::Poisoned) and [`Forked`](crate::ErrorKind::Forked).
    pub fn start_retention(&self) -> Result<(), Error> {
        let engine = self.engine();
        engine.fork_guard().check()?;
        engine.commits.check()?;
        engine.retention().start();
        engine.run_due_work();
        Ok(())
    }

    /// Work that is not urgent, done after appends may go on.
    fn tidy(&self) {
        self.engine().tidy();
        self.engine().run_due_work();
    }
}
