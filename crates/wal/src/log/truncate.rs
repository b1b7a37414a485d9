//! Dropping the front of the log, by hand or by retention, and its end.

use wal_format::Sequence;

use crate::engine::tail::Tail;
use crate::error::Error;
use crate::log::Wal;
use crate::report::event::note;

impl Wal {
    /// Drops every entry in front of `first`, which becomes the first one: for entries that a snapshot or a
    /// checkpoint covers. With the number of the next entry the log is emptied, and its numbers go on.
    ///
    /// The new beginning is exact, also within a segment, and durable when this returns: an older one never
    /// comes back. What is in front of it is made durable before, if it is not. Segments that are not
    /// needed any more are removed then, or wait to be [used again](crate::Options::recycle); the files that a
    /// reader of this process may still come to linger, until a later rollover, truncation, close or open. Appends
    /// wait meanwhile for two syncs of the anchor.
    ///
    /// A `first` that is gone already is no error, and changes nothing.
    ///
    /// Returns the number of the first entry that is kept now. It is less than `first` when a
    /// [hold](Wal::hold) keeps more: then the log begins with the first entry of the lowest one, as
    /// [`Stats::lowest_hold`](crate::Stats::lowest_hold) tells.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] when `first` is beyond the next entry; or beyond those that are written, while
    /// others [wait for room](crate::WhenFull::Wait). After any other error but
    /// [`ErrorKind::Poisoned`] the log begins where it did and goes on; after a crash it may begin at `first`
    /// all the same, until the anchor was written again, as by a close.
    ///
    /// [`ErrorKind::OutOfRange`]: crate::ErrorKind::OutOfRange
    /// [`ErrorKind::Poisoned`]: crate::ErrorKind::Poisoned
    pub fn truncate_before(&self, first: u64) -> Result<u64, Error> {
        let core = self.core();
        core.owner().check()?;
        let mut kept = 0;
        let dropped = core.commits.drop_before(first, |tail| {
            let (begins, dropped) = Tail::drop_front(tail, first);
            kept = begins;
            dropped
        });
        let dropped = dropped.map_err(Error::from);
        note!(core.commits.target().listener(), TruncatedBefore { first, failed: dropped.clone().err() });
        self.tidy();
        dropped.map(|()| kept)
    }

    /// Drops every entry behind `last`, which stays and becomes the last one: for a follower whose leader does
    /// not agree with the rest. The next entry gets the number behind it.
    ///
    /// This is durable when it returns, and what it dropped never comes back. It takes effect as a whole:
    /// after a crash on the way the log is as before, or ends with `last`. A batch is cut in two when `last` is
    /// inside it. Everything in front of the cut is made durable before. [`Wal::written`] and [`Wal::durable`]
    /// fall back. Whoever waits for an entry behind the cut, by an append, a [`Commit`](crate::Commit), a
    /// [`Wal::sync`] or for a watermark, gets [`ErrorKind::Truncated`]; what was submitted there and not
    /// written never is. Readers keep the log that they have. Takes the time to read the frame headers of
    /// one segment.
    ///
    /// When `last` is the last entry, or beyond it, this does nothing, and makes nothing durable. But if
    /// `last` is the last entry, and the last write failed, the failed entry is in doubt until this returns, and
    /// gone for good then.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] when `last` is in front of the first entry that is kept: at least one stays.
    /// When the last step fails, which is to write the anchor, the log is cut, as [`Wal::written`] tells, and
    /// the next append does that step first. After any other error but [`ErrorKind::Poisoned`] the log is as
    /// before, and goes on. If not even the rest of a failed write could be removed, a crash may leave it cut
    /// all the same, until an append was accepted.
    ///
    /// [`ErrorKind::OutOfRange`]: crate::ErrorKind::OutOfRange
    /// [`ErrorKind::Poisoned`]: crate::ErrorKind::Poisoned
    /// [`ErrorKind::Truncated`]: crate::ErrorKind::Truncated
    pub fn truncate_after(&self, last: u64) -> Result<(), Error> {
        let core = self.core();
        core.owner().check()?;
        let place = Sequence::try_from(last).unwrap_or(Sequence::MAX);
        let dropped = core.commits.drop_from(last.saturating_add(1), |tail| {
            Tail::truncate(tail, |writer, supply| writer.truncate_after(place, supply))
        });
        let dropped = dropped.map_err(Error::from);
        note!(core.commits.target().listener(), TruncatedAfter { last, failed: dropped.clone().err() });
        self.tidy();
        dropped
    }

    /// Starts retention: from now on the oldest segments are dropped that
    /// [`retain_bytes`](crate::Options::retain_bytes), [`retain_entries`](crate::Options::retain_entries) and
    /// [`retain_age`](crate::Options::retain_age) let go. Until this is called they drop nothing, also not under
    /// [`max_log_bytes`](crate::Options::max_log_bytes); [`Wal::truncate_before`] does not depend on it.
    ///
    /// Call it after every open, once each [`Wal::hold`] is taken that has to be there. Holds are kept in memory, so
    /// after a restart the log does not know which entries consumers still need.
    ///
    /// It is cheap, and a second call does nothing. With [`background`](crate::Options::background) threads it
    /// returns at once, and a thread drops what is to be dropped. Without them this call does, and later calls that
    /// append, sync or truncate do. An error of a drop is counted in
    /// [`Stats::keeping_errors`](crate::Stats::keeping_errors) in either case.
    ///
    /// # Errors
    /// [`Closed`](crate::ErrorKind::Closed), [`Poisoned`](crate::ErrorKind::Poisoned) and [`Forked`](crate::ErrorKind::Forked).
    pub fn start_retention(&self) -> Result<(), Error> {
        let core = self.core();
        core.owner().check()?;
        core.commits.check()?;
        core.keeper.start_retention();
        core.call_back();
        Ok(())
    }

    /// What is not urgent, once others may go on.
    fn tidy(&self) {
        self.core().tidy();
        self.core().call_back();
    }
}
