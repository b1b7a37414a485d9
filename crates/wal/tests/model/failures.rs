//! What fails, and what the log is then.

use wal::{Durability, Error, ErrorKind};

use crate::common;
use crate::common::oracle::{Group, Together};
use crate::common::{contents, open};
use crate::machine::{MINUTE, Model, PATIENCE};

impl Model {
    /// Nothing fails from here on, and what has failed is known.
    pub(crate) fn heal(&mut self) {
        self.disk.heal();
        self.disk.space(None);
        if self.write_fails {
            match self.flush_behind_failures() {
                Ok(()) => self.is_all_written(),
                Err(error) if self.setup.background => {
                    assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
                    self.leave_poisoned(None);
                }
                Err(error) => panic!("nothing fails any more: {error}"),
            }
            // In the background a write may have failed since the last step.
            self.forget_failed();
        }
        (self.write_fails, self.sync_fails) = (false, false);
    }

    /// Whoever waited for a write or a sync that failed has been told so.
    pub(crate) fn forget_failed(&mut self) {
        self.pending.retain(|(commit, _)| !matches!(commit.outcome(), Some(Err(_))));
    }

    /// Flushes a log in which nothing fails any more. What was under way may have met a failure.
    pub(crate) fn flush_behind_failures(&self) -> Result<(), Error> {
        let wal = self.wal();
        if !self.setup.background {
            return wal.flush();
        }
        let flushed = (0..2).find_map(|_| match wal.flush() {
            Err(error) if error.kind() != ErrorKind::Poisoned => None,
            flushed => Some(flushed),
        });
        flushed.unwrap_or_else(|| wal.flush())?;
        // A sync that is under way tells how it went.
        wal.sync()
    }

    /// A call was told; it had brought this group.
    pub(crate) fn failed(&mut self, error: &Error, told: Option<Group>) {
        let wal = self.wal();
        match error.kind() {
            ErrorKind::Poisoned => {
                self.poisoned = true;
                match told {
                    Some(group) if self.setup.background => {
                        self.oracle.in_doubt_somewhere(self.written, group);
                    }
                    Some(group) => self.oracle.in_doubt(self.written, group),
                    None => {}
                }
            }
            ErrorKind::NoSpace | ErrorKind::Io if self.setup.gathers().is_some() => {
                self.kept_what_gathered(told);
            }
            ErrorKind::NoSpace | ErrorKind::Io => self.oracle.failed(wal.written_end(), told),
            _ => panic!("{error}"),
        }
    }

    /// In a buffered log what has gathered stays, if somebody has gone on with its number. Whether this
    /// group has, the next number tells.
    pub(crate) fn kept_what_gathered(&mut self, told: Option<Group>) {
        self.disk.heal();
        self.disk.space(None);
        self.write_fails = false;
        let wal = self.wal();
        let failed_at = wal.written_end();
        let next = self.oracle.next();
        let probe = self.oracle.payload(20);
        let number = match wal.append_with(&probe, Durability::Buffered) {
            Ok(number) => number,
            Err(error) => {
                assert!(self.setup.background && error.kind() == ErrorKind::Poisoned, "{error}");
                self.poisoned = true;
                told.into_iter().for_each(|group| self.oracle.in_doubt_somewhere(self.written, group));
                return;
            }
        };
        match told {
            Some(group) if number > next => self.oracle.joined(next, group),
            // It is not kept, nor is what nobody had gone on with.
            told => self.oracle.failed(number, told),
        }
        self.joined(number, vec![probe], Durability::Buffered);
        self.oracle.failed_and_kept(failed_at);
    }

    /// The cache may have lost what a sync should have covered that fails at this moment, in the background.
    #[track_caller]
    pub(crate) fn has_lost_its_cache(&self, error: &Error) {
        assert!(self.setup.background, "{error}");
        common::eventually(&format!("{error}"), PATIENCE, || self.wal().range(..).is_err());
    }

    /// Everything is refused; the way on is to open the log again, on a cache that may show too much.
    /// `together` came at once when that happened.
    pub(crate) fn leave_poisoned(&mut self, together: Option<Together>) {
        let wal = self.wal();
        common::refused(wal.append(b"after"), ErrorKind::Poisoned);
        common::refused(wal.sync(), ErrorKind::Poisoned);
        common::refused(wal.read_from(0), ErrorKind::Poisoned);
        self.durable = self.durable.max(wal.durable_end());
        for (commit, promise) in &self.pending {
            // What is being written at the moment is told when that has ended.
            match commit.wait_timeout(MINUTE).expect("nobody is left waiting") {
                Ok(number) => self.is_kept(number, *promise),
                Err(error) => {
                    assert!(!matches!(error.kind(), ErrorKind::Closed | ErrorKind::Backpressure), "{error}");
                }
            }
        }
        drop((wal, self.wal.take()));
        self.disk = self.disk.kill();
        self.disk.space(None);
        if let Some(together) = together {
            self.order_what_is_left(together);
        }
        self.written = self.oracle.next();
        self.reopen(self.setup, self.durable);
        self.check();
    }

    /// Of those who came at once, some may be on the disk that is left.
    pub(crate) fn order_what_is_left(&mut self, mut together: Together) {
        together.give_up_what_only_gathered();
        let shown = self.whole(contents(&open(&self.disk.kill(), &self.setup.options())));
        // It may be none of them, and something that had failed before.
        let without = self.oracle.explains(&shown, self.durable..=self.oracle.next()).is_ok();
        if !without {
            let ordered = self.oracle.put_in_order(&shown, self.written, &mut together, true);
            ordered.unwrap_or_else(|broken| panic!("{broken}\n{}", self.disk.origin()));
        }
        let lost = together.told.keys().find(|number| **number < self.durable);
        assert!(lost.is_none(), "{lost:?} is gone, {} were durable", self.durable);
    }
}
