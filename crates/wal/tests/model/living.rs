//! What a log does that lives for long: segments that end by hand, holds, followers, entries under an expected
//! number.

use std::task::Poll;

use wal::{ErrorKind, Follower, Hold, Mark};

use crate::machine::Model;

/// A follower, and how far it has come.
pub(crate) struct Following {
    follower: Follower,
    next: u64,
    /// The log was cut in front of what it has handed out.
    cut: bool,
}

impl Model {
    pub(crate) fn roll(&mut self) {
        match self.wal().roll() {
            Ok(()) => {
                self.is_all_written();
                assert_eq!(
                    self.wal().durable_end(),
                    self.oracle.next(),
                    "a segment that has ended is durable"
                );
            }
            Err(error) => self.failed(&error, None),
        }
    }

    /// So many eighths of the log are let go by a new hold.
    pub(crate) fn hold(&mut self, eighths: u64) {
        let sequence = self.first + (self.written - self.first) * eighths / 8;
        match self.wal().hold("model", sequence) {
            Ok(hold) => self.holds.push(hold),
            Err(error) => assert!(self.setup.background && error.kind() == ErrorKind::Poisoned, "{error}"),
        }
    }

    pub(crate) fn let_go(&mut self, which: usize) {
        if !self.holds.is_empty() {
            drop(self.holds.swap_remove(which % self.holds.len()));
        }
    }

    /// Where the log may begin at most.
    pub(crate) fn held(&self) -> u64 {
        self.holds.iter().map(Hold::sequence).min().unwrap_or(u64::MAX)
    }

    /// Where no sync fails: the cache that it reads may change with one.
    pub(crate) fn follow(&mut self, eighths: u64, mark: Mark) {
        if self.sync_fails {
            return;
        }
        let next = self.first + (self.written - self.first) * eighths / 8;
        match self.wal().follow_with(next, mark) {
            Ok(follower) => self.following = Some(Following { follower, next, cut: false }),
            Err(error) => assert!(self.setup.background && error.kind() == ErrorKind::Poisoned, "{error}"),
        }
    }

    /// The follower comes to all that there is.
    pub(crate) fn go_on_following(&mut self) {
        let Some(mut following) = self.following.take() else { return };
        let wal = self.wal();
        let mark = following.follower.mark();
        let reached = || if mark == Mark::Durable { wal.durable_end() } else { wal.written_end() };
        let least = reached();
        loop {
            match following.follower.try_next() {
                Poll::Ready(Some(Ok(entry))) => {
                    assert!(!following.cut, "what it had seen was cut off, and it is not told");
                    assert_eq!(entry.sequence(), following.next, "each entry once, and in order");
                    assert!(entry.sequence() < reached(), "{} is not there yet", entry.sequence());
                    let place = usize::try_from(following.next).expect("few entries");
                    assert!(entry.payload() == self.oracle.entries()[place], "{place} has other bytes");
                    following.next += 1;
                }
                Poll::Pending => {
                    assert!(!following.cut && following.next >= least, "it stays behind {least}");
                    self.following = Some(following);
                    return;
                }
                Poll::Ready(Some(Err(error))) => return self.has_ended(&following, error.kind()),
                Poll::Ready(None) => panic!("it ends, and the log is open"),
            }
        }
    }

    fn has_ended(&self, following: &Following, kind: ErrorKind) {
        match kind {
            ErrorKind::Truncated => assert!(following.cut, "nothing was cut in front of {}", following.next),
            ErrorKind::OutOfRange => {
                assert!(self.first > following.next, "{} was not dropped", following.next);
            }
            _ => assert!(self.poisoned || self.wal().range(..).is_err(), "{kind:?}"),
        }
    }

    /// The log was cut here.
    pub(crate) fn cut_followers(&mut self, end: u64) {
        if let Some(following) = &mut self.following {
            following.cut |= end < following.next;
        }
    }

    /// The log was closed: a follower hands out what is left, and ends.
    pub(crate) fn followers_end(&mut self) {
        let Some(mut following) = self.following.take() else { return };
        loop {
            match following.follower.try_next() {
                Poll::Ready(Some(Ok(entry))) => {
                    assert_eq!(entry.sequence(), following.next, "each entry once, and in order");
                    following.next += 1;
                }
                Poll::Ready(None) => {
                    return assert!(
                        !following.cut && following.next == self.oracle.next(),
                        "all was handed out"
                    );
                }
                Poll::Ready(Some(Err(error))) => return self.was_told(&following, error.kind()),
                Poll::Pending => panic!("the log is closed, and it goes on"),
            }
        }
    }

    fn was_told(&self, following: &Following, kind: ErrorKind) {
        let dropped = kind == ErrorKind::OutOfRange && self.first > following.next;
        assert!(dropped || following.cut && kind == ErrorKind::Truncated, "{kind:?}");
    }

    /// An entry under the next number, or one beside it.
    pub(crate) fn append_at(&mut self, beside: i64, bytes: usize) {
        let group = self.group(&[bytes]);
        let Some(expected) = self.oracle.next().checked_add_signed(beside) else { return };
        match self.wal().append_at(expected, &group[0]) {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let next = error.next_sequence().expect("it tells the next number");
                assert_ne!(next, expected, "{error}");
                // What nobody was told about may have been taken back.
                assert!(
                    next == self.oracle.next() || self.write_fails && next < self.oracle.next(),
                    "{error}"
                );
            }
            appended => {
                if let Ok(number) = &appended {
                    assert_eq!(*number, expected);
                }
                self.appended(appended, group, self.setup.default_promise());
            }
        }
    }
}
