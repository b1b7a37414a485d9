//! The engine: what all handles of one open log share. It knows no handle.

mod both_turns;
pub(crate) mod fork;
mod maintenance;
mod open;
mod room;
mod shown;
pub(crate) mod tail;
mod target;
mod threads;

use std::sync::Arc;
use std::time::Duration;

use wal_format::{SLOT_BYTES, SLOTS};
use wal_segment::{Ending, Recovery};
use wal_sync::GroupCommit;
use wal_sync::primitives::now;

use crate::engine::fork::ForkGuard;
use crate::engine::tail::Tail;
use crate::engine::threads::Threads;
use crate::error::Error;
use crate::options::Options;
use crate::read::cache::SegmentCache;
use crate::report::counters::Counters;
use crate::report::event::note;
use crate::report::health::{Health, Operation, Space, Stall};
use crate::report::listener::Caller;
use crate::report::probe::Probe;
use crate::report::stats::Stats;
use crate::retention::Retention;
use crate::retention::holds::Holds;
use crate::retention::maintenance::Maintenance;
use crate::supply::{KnownSpace, Supply};

/// An open log. Its threads have a reference too, so it ends by [`Engine::close`] or [`Engine::end`], not when it is dropped.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) commits: GroupCommit<Tail>,
    pub(crate) cache: Arc<SegmentCache>,
    pub(crate) recovery: Recovery,
    /// How long the open took.
    recovery_duration: Duration,
    /// Where there is no thread for maintenance, the next call does it.
    maintains_in_calls: bool,
    counters: Arc<Counters>,
    supply: Arc<Supply>,
    directory_locked: bool,
    threads: Threads,
    probe: Probe,
    /// Where there is no thread for callbacks, the next call runs them.
    caller: Option<Caller>,
}

/// What the anchor takes on the disk.
const ANCHOR_BYTES: u64 = (SLOT_BYTES * SLOTS) as u64;

impl Engine {
    /// Checked before a wait for what a fork does not copy: threads, and turns that they had.
    pub(crate) fn fork_guard(&self) -> &ForkGuard {
        &self.commits.target().fork_guard
    }

    /// The options in force: with the defaults filled in, without callbacks.
    pub(crate) fn options(&self) -> &Options {
        &self.commits.target().options
    }

    pub(crate) fn holds(&self) -> &Holds {
        &self.commits.target().holds
    }

    pub(crate) fn retention(&self) -> &Retention {
        &self.commits.target().retention
    }

    fn maintenance(&self) -> &Maintenance {
        &self.commits.target().maintenance
    }

    /// Whether waiting callers have to do the background work.
    pub(crate) fn is_driven_by_waiters(&self) -> bool {
        !self.options().background
    }

    /// Without threads: does the maintenance that is due, and runs the callbacks.
    pub(crate) fn run_due_work(&self) {
        self.maintain_if_due();
        self.supply.ask_space_if_wanted();
        if let Some(caller) = &self.caller {
            caller.call_all();
        }
    }

    /// Makes everything durable, marks the end, ends the threads and releases the lock.
    pub(crate) fn close(&self) -> Result<(), Error> {
        self.fork_guard().check()?;
        let closed = self.commits.close(Tail::finish);
        if !matches!(closed, Err(wal_sync::Error::Closed)) {
            note!(
                &self.commits.target().listener,
                Closed {
                    written: self.commits.written(),
                    durable: self.commits.durable(),
                    failed: closed.clone().map_err(Error::from).err(),
                }
            );
            self.leave();
            self.supply.discard();
            self.commits.target().release();
        }
        self.run_due_work();
        closed.map_err(Error::from)
    }

    /// Ends without a sync, as when the last handle is dropped.
    pub(crate) fn end(&self) {
        if !self.fork_guard().is_here() {
            // The submitted entries and the threads belong to the other process.
            return;
        }
        self.commits.abandon();
        self.leave();
        self.commits.target().release();
    }

    /// See [`Wal::stats`].
    ///
    /// [`Wal::stats`]: crate::Wal::stats
    pub(crate) fn stats(&self) -> Stats {
        let snapshot = self.commits.target().layout();
        let spans: Vec<_> = snapshot.spans().collect();
        let first = snapshot.first().value();
        // Read before `written`, so that it never exceeds that.
        let durable = self.commits.durable();
        let written = self.commits.written();
        let mut stats = Stats {
            poisoned: self.commits.failure().is_some(),
            directory_locked: self.directory_locked,
            maps: self.cache.segments.maps(),
            first,
            last: (written > first).then(|| written - 1),
            durable,
            written,
            segments: spans.len() as u64,
            disk_bytes: spans.iter().map(|span| span.file_bytes).sum::<u64>() + ANCHOR_BYTES,
            pending_bytes: self.commits.in_flight_bytes(),
            recovery_duration: self.recovery_duration,
            recovery_dropped_bytes: match self.recovery.ending {
                Ending::Torn { bytes, .. } => bytes,
                _ => 0,
            },
            ..Stats::default()
        };
        self.supply.fill(&mut stats);
        self.counters.fill(&mut stats);
        self.holds().fill(&mut stats, &spans);
        self.retention().fill(&mut stats);
        self.maintenance().fill(&mut stats);
        stats
    }

    /// See [`Wal::health`].
    ///
    /// [`Wal::health`]: crate::Wal::health
    pub(crate) fn health(&self) -> Health {
        let asked = now();
        let (poisoned, closed) = match self.commits.check() {
            Ok(()) => (None, false),
            Err(wal_sync::Error::Closed) => (None, true),
            Err(failure) => (Some(Error::from(failure)), false),
        };
        let (supply, options) = (&self.supply, self.options());
        let stall = |what, lasted: Option<Duration>| {
            lasted.filter(|lasted| *lasted >= options.slow_sync).map(|lasted| Stall { what, lasted })
        };
        let write = self.probe.lasted(self.commits.write_in_hand(), asked);
        let sync = self.commits.target().sync_mark.lasted(asked);
        let space = supply.space.mark().lasted(asked);
        let stalled = stall(Operation::Sync, sync)
            .or_else(|| stall(Operation::Write, write))
            .or_else(|| stall(Operation::Space, space));
        let (spare_failure, anchor_failure) = supply.failures();
        let KnownSpace { free_bytes, failure, asked: answered } = supply.known_space();
        // In the options in force it is always set.
        let needed_bytes = options.low_space_bytes.unwrap_or_default();
        let age = asked.saturating_duration_since(answered);
        Health {
            // In a failed log nothing is in flight, whatever mark a panic has left.
            stalled: stalled.filter(|_| poisoned.is_none()),
            poisoned,
            closed,
            displaced: supply.names.is_displaced(),
            space: Space { free_bytes, needed_bytes, failure, age },
            no_room: self.commits.deferred().map(Error::from),
            spare_failure: spare_failure.map(Error::from),
            anchor_failure: anchor_failure.map(Error::from),
        }
    }

    fn leave(&self) {
        self.supply.stop();
        self.holds().stop();
        self.maintenance().stop();
        self.commits.target().stop_listening();
        self.threads.join();
    }
}
