//! Appending, alone and together, and what is promised of it.

use std::thread;

use wal::{Commit, Durability, Error, ErrorKind};

use crate::common::oracle::{Group, Together};
use crate::machine::Model;

impl Model {
    pub(crate) fn group(&mut self, sizes: &[usize]) -> Group {
        sizes.iter().map(|&bytes| self.oracle.payload(bytes)).collect()
    }

    pub(crate) fn appended(&mut self, appended: Result<u64, Error>, group: Group, promise: Durability) {
        match appended {
            Ok(first) => {
                self.joined(first, group, promise);
                self.is_kept(self.oracle.next() - 1, promise);
            }
            Err(error) => self.failed(&error, Some(group)),
        }
    }

    pub(crate) fn submitted(&mut self, submitted: Result<Commit, Error>, group: Group, promise: Durability) {
        match submitted {
            Ok(commit) => {
                assert_eq!(commit.sequences().count(), group.len());
                self.joined(commit.sequence(), group, promise);
                self.pending.push((commit, promise));
            }
            Err(error) => self.failed(&error, Some(group)),
        }
    }

    /// The order of those who append at once is what their numbers say; and where some fail, the log.
    pub(crate) fn append_together(&mut self, appends: &[(usize, Durability)]) {
        let wal = &self.wal();
        let groups: Vec<_> =
            appends.iter().map(|&(bytes, asked)| (self.oracle.payload(bytes), asked)).collect();
        let outcomes: Vec<_> = thread::scope(|scope| {
            let append = |(payload, asked): (Vec<u8>, Durability)| {
                scope.spawn(move || (wal.append_with(&payload, asked), payload, asked))
            };
            let threads: Vec<_> = groups.into_iter().map(append).collect();
            threads.into_iter().map(|thread| thread.join().expect("nobody panics")).collect()
        });
        let (mut together, mut poisoned) = (Together::default(), false);
        let mut promises = Vec::new();
        for (outcome, payload, asked) in outcomes {
            match outcome {
                Ok(number) => {
                    let before = together.told.insert(number, payload);
                    assert!(before.is_none(), "two were told the number {number}");
                    let promise = self.setup.promise(asked);
                    promises.push((number, promise));
                    together.gathered.extend((promise == Durability::Buffered).then_some(number));
                }
                Err(error) => {
                    let kind = error.kind();
                    poisoned |= kind == ErrorKind::Poisoned;
                    assert!(self.write_fails, "nothing was wrong, and yet: {error}");
                    let expected = [ErrorKind::NoSpace, ErrorKind::Io, ErrorKind::Poisoned].contains(&kind);
                    assert!(expected, "{error}");
                    together.failed.push(payload);
                }
            }
        }
        for &(number, promise) in &promises {
            self.is_kept(number, promise);
        }
        if poisoned {
            self.leave_poisoned(Some(together));
        } else if together.failed.is_empty() {
            self.all_joined(together, &promises);
        } else {
            self.some_failed(together);
        }
    }

    pub(crate) fn all_joined(&mut self, together: Together, promises: &[(u64, Durability)]) {
        for (place, (number, payload)) in together.told.into_iter().enumerate() {
            // What nobody was told about may be taken back in front of the first.
            let silent = place == 0 && self.write_fails && number < self.oracle.next();
            assert!(silent || number == self.oracle.next(), "a number is missing or used twice: {number}");
            let promise = promises.iter().find(|(told, _)| *told == number).expect("it was told").1;
            self.joined(number, vec![payload], promise);
        }
    }

    /// The log tells in which order the others came, and that those who were told of a failure are not in
    /// it. In a buffered log they may be, so all that is kept is written first.
    pub(crate) fn some_failed(&mut self, mut together: Together) {
        let gathers = self.setup.gathers().is_some();
        if gathers {
            self.disk.heal();
            self.disk.space(None);
            if self.flush_behind_failures().is_err() {
                return self.leave_poisoned(Some(together));
            }
            (self.write_fails, self.sync_fails) = (false, false);
        }
        let wal = self.wal();
        let Some(shown) = self.entries() else { return self.leave_poisoned(Some(together)) };
        let ordered = self.oracle.put_in_order(&shown, self.written, &mut together, gathers);
        let taken_back = ordered.unwrap_or_else(|broken| panic!("{broken}"));
        assert!(together.told.is_empty(), "accepted, and not there: {:?}", together.told.keys());
        let next = self.oracle.next();
        assert!(taken_back.is_empty() || next >= self.gathered, "something that had gathered is gone");
        assert_eq!(wal.written_end(), next);
        self.oracle.failed_in_any_order(next, &taken_back, &together.failed);
    }

    /// A call has gone on with this number.
    pub(crate) fn joined(&mut self, first: u64, group: Group, promise: Durability) {
        assert!(first >= self.gathered, "something that had gathered is gone");
        self.oracle.joined(first, group);
        if promise == Durability::Buffered {
            self.gathered = self.oracle.next();
        }
    }

    #[track_caller]
    pub(crate) fn is_kept(&self, number: u64, promise: Durability) {
        let wal = self.wal();
        match promise {
            Durability::Buffered => {}
            Durability::Written => assert!(wal.written_end() > number, "{number} is not written"),
            Durability::Durable => assert!(wal.durable_end() > number, "{number} is not durable"),
        }
    }

    /// Nothing is left to be written. What a failed write has taken back, and nobody waited for, is gone.
    pub(crate) fn is_all_written(&mut self) {
        let written = self.wal().written_end();
        if self.write_fails && written < self.oracle.next() {
            assert!(written >= self.gathered, "something that had gathered is gone");
            self.oracle.failed(written, None);
        }
        assert_eq!(written, self.oracle.next(), "something is not written");
    }
}
