//! Dropping the front of the log, and its end.

use wal::ErrorKind;
use wal_testing::history::Drops;

use super::{Life, Step, Stepped, Told};
use crate::oracle::promise::{Broken, Promise};

impl Life<'_> {
    pub(super) fn cut(&mut self) -> Option<Drops> {
        let (first, next) = (self.expected.first(), self.expected.entries());
        let kept =
            if self.random.below(2) == 0 { (next - first) / 2 } else { (next - first).saturating_sub(1) };
        (kept > 0).then_some(Drops::From(first + kept))
    }

    pub(super) fn new_beginning(&mut self) -> Drops {
        let (first, next) = (self.expected.first(), self.expected.entries());
        Drops::Before(if self.random.below(4) == 0 { next } else { first + (next - first).div_ceil(2) })
    }

    pub(super) fn truncate(&mut self, truncation: Drops) -> Stepped {
        match self.try_truncate(truncation)? {
            Err(_) if self.disk.crashed() => Ok(Step::Cut),
            Err(error) if error.kind() == ErrorKind::Poisoned => self.restart(),
            Err(error) => Err(Broken::new(
                Promise::TruncationIsOldOrNew,
                format!("nothing was wrong, and yet: {error}"),
            )),
            Ok(()) => Ok(Step::Done),
        }
    }

    pub(super) fn try_truncate(&mut self, truncation: Drops) -> Told {
        self.settle(false)?;
        self.expected.begin_truncation(truncation);
        let before = self.wal().written_end();
        let told = match truncation {
            Drops::Before(first) => self.wal().truncate_before(first).map(drop),
            Drops::From(next) => self.wal().truncate_after(next - 1),
        };
        if told.is_err() && self.disk.crashed() {
            return Ok(told);
        }
        let waits_after = |next| {
            let mut after = self.submitted.iter().filter(|commit| commit.sequences().end > next);
            after.any(|commit| commit.outcome().is_none())
        };
        match (&told, truncation) {
            (Ok(()), Drops::Before(_)) => {
                self.settle(false)?;
                self.expected.truncated();
            }
            // The log is cut, and the anchor could not be written.
            (_, Drops::From(next))
                if self.wal().written_end() == next
                    && (told.is_ok() || before != next && !waits_after(next)) =>
            {
                let cut = self.expected.entries() > next;
                match &told {
                    Ok(()) => self.expected.truncated(),
                    Err(_) => self.expected.truncated_without_anchor(),
                }
                self.settle_cut(next, cut)?;
            }
            (Err(error), Drops::From(_)) if error.kind() != ErrorKind::Poisoned => {
                self.expected.not_truncated();
                self.settle(false)?;
            }
            (Ok(()), Drops::From(next)) => {
                let how =
                    format!("truncated at {next}, and {} entries are written", self.wal().written_end());
                return Err(Broken::new(Promise::TruncationIsOldOrNew, how));
            }
            // The log begins there, or where it did, until another one is told to.
            (Err(_), _) => self.settle(false)?,
        }
        if self.wal().first() != self.expected.first() && told.is_ok() {
            let how =
                format!("the log begins at {}, and not at {}", self.wal().first(), self.expected.first());
            return Err(Broken::new(Promise::TruncationIsOldOrNew, how));
        }
        Ok(told)
    }

    /// Commits of entries that were cut off fail, and no other.
    pub(super) fn settle_cut(&mut self, next: u64, cut: bool) -> Result<(), Broken> {
        for commit in std::mem::take(&mut self.submitted) {
            let is_after = commit.sequences().end > next;
            match commit.outcome() {
                Some(Ok(_)) => {}
                Some(Err(error)) if is_after && error.kind() == ErrorKind::Truncated => {}
                None if !cut && !is_after => self.submitted.push(commit),
                outcome => {
                    let how = format!("cut at {next}, entry {} is told {outcome:?}", commit.sequence());
                    return Err(Broken::new(Promise::EveryCallReturns, how));
                }
            }
        }
        self.settle(false)
    }
}
