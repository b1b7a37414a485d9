//! Those who share one write: what they wait for, and how it went.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::error::Error;
use crate::policy::Durability;
use crate::primitives::{Arc, Instant, Mutex, Word, now};

/// One write, as those who are in it see it. The word grows from open to written to durable, or ends
/// at failed; it never changes after durable or failed. What was once true for somebody stays so: whoever
/// asked for the write alone has it, although the sync behind it failed or never came.
///
/// It is set under the lock of the group commit, and whoever sleeps on it is woken behind that lock.
/// The woken take no lock unless it failed.
#[derive(Debug)]
pub(crate) struct Group<E> {
    word: Word,
    outcome: Mutex<Outcome<E>>,
}

#[derive(Debug)]
struct Outcome<E> {
    error: Option<Error<E>>,
    wakers: Vec<Waker>,
    /// How often the wakers were taken out.
    round: u64,
}

/// Where a task has left its waker: among those of this round only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WakerPlace {
    round: u64,
    index: usize,
}

const OPEN: u32 = 0;
const WRITTEN: u32 = 1;
const DURABLE: u32 = 2;
const FAILED: u32 = 3;
/// Failed when it was written.
const NOT_DURABLE: u32 = 4;

fn word_of(durability: Durability) -> u32 {
    match durability {
        Durability::Buffered => OPEN,
        Durability::Written => WRITTEN,
        Durability::Durable => DURABLE,
    }
}

impl<E: Clone> Group<E> {
    pub(crate) fn new() -> Arc<Group<E>> {
        let outcome = Outcome { error: None, wakers: Vec::new(), round: 0 };
        Arc::new(Group { word: Word::default(), outcome: Mutex::new(outcome) })
    }

    /// A group that nobody else holds is used again.
    pub(crate) fn renewed(mut group: Arc<Group<E>>) -> Result<Arc<Group<E>>, Arc<Group<E>>> {
        let Some(alone) = Arc::get_mut(&mut group) else { return Err(group) };
        alone.word.reset();
        // Whoever ended it has taken the wakers out.
        alone.outcome.lock_whole().error = None;
        Ok(group)
    }

    /// What was asked for is true now, or never will be.
    pub(crate) fn outcome(&self, asked: Durability) -> Option<Result<(), Error<E>>> {
        let word = self.word.value();
        let failed = match word {
            FAILED => asked > Durability::Buffered,
            NOT_DURABLE => asked > Durability::Written,
            _ => false,
        };
        if failed {
            return Some(Err(self.outcome.lock_whole().error.clone().unwrap_or(Error::Panicked)));
        }
        (word >= word_of(asked)).then_some(Ok(()))
    }

    fn is_known(&self, asked: Durability) -> bool {
        self.word.value() >= word_of(asked)
    }

    /// Moves up to what is true now. To be followed by a wake, behind the lock.
    pub(crate) fn reach(&self, durability: Durability) {
        if self.word.value() < word_of(durability) {
            self.word.set(word_of(durability));
        }
    }

    /// Ends, unless it has ended. To be followed by a wake, behind the lock.
    pub(crate) fn fail(&self, error: &Error<E>) {
        let ended = match self.word.value() {
            OPEN => FAILED,
            WRITTEN => NOT_DURABLE,
            _ => return,
        };
        self.outcome.lock_whole().error.get_or_insert_with(|| error.clone());
        self.word.set(ended);
    }

    /// Wakes the threads that wait.
    pub(crate) fn wake_threads(&self) {
        self.word.wake();
    }

    /// Gives out the wakers of the tasks that wait. They are foreign code: to be called, and dropped, under
    /// no lock.
    pub(crate) fn take_wakers(&self) -> Vec<Waker> {
        let mut outcome = self.outcome.lock_whole();
        outcome.round += 1;
        std::mem::take(&mut outcome.wakers)
    }

    /// Blocks until what was asked for is true, or never will be; `None` when `deadline` has passed.
    pub(crate) fn wait(&self, asked: Durability, deadline: Option<Instant>) -> Option<Result<(), Error<E>>> {
        loop {
            let word = self.word.value();
            if let Some(outcome) = self.outcome(asked) {
                return Some(outcome);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(now()));
            if left == Some(Duration::ZERO) {
                return None;
            }
            self.word.sleep_while(word, left);
        }
    }

    /// As [`Group::wait`], for tasks. `place` is where the task's waker was left before.
    pub(crate) fn poll(
        &self,
        asked: Durability,
        place: &mut Option<WakerPlace>,
        context: &Context<'_>,
    ) -> Poll<Result<(), Error<E>>> {
        if let Some(outcome) = self.outcome(asked) {
            return Poll::Ready(outcome);
        }
        let waker = context.waker().clone();
        let mut outcome = self.outcome.lock_whole();
        // Whoever moves the word takes the wakers afterwards, under this lock. So a waker that is left
        // while the word has not moved is seen, and none is left behind once it has.
        if self.is_known(asked) {
            drop(outcome);
            return Poll::Ready(self.outcome(asked).expect("the word never falls"));
        }
        let round = outcome.round;
        let before = match *place {
            // In a later round this index is another task's.
            Some(known) if known.round == round => {
                Some(std::mem::replace(&mut outcome.wakers[known.index], waker))
            }
            _ => {
                *place = Some(WakerPlace { round, index: outcome.wakers.len() });
                outcome.wakers.push(waker);
                None
            }
        };
        drop(outcome);
        drop(before);
        Poll::Pending
    }
}
