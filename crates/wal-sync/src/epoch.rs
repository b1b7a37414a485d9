//! The outcome of the entries of one epoch: those that were numbered between two losses.
//!
//! ```text
//!  numbers      10 ───────────────▶ 17        14 ─────────▶
//!               │ epoch            │ │        │ next epoch
//!  written ─────┴──▲               │ │        a failed write gave 14 to 16 back: in the first
//!  durable ──▲                     │ │        epoch they are lost, in the next they are given again
//!                  lost_from = 14 ─┘
//! ```
//!
//! Within an epoch no number is given twice. So an entry is written, or durable, once that watermark of its epoch has passed
//! it, and no record for each entry is kept. A failed write or a cut ends the epoch, which records from which number on its
//! entries are lost. Entries before that number still become durable; later ones fail. The watermarks of an epoch never fall,
//! so what was once told of an entry stays true.
//!
//! Watermarks are moved under the lock of the group commit, and read without it.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::error::Error;
use crate::policy::Durability;
use crate::primitives::{Arc, AtomicBool, AtomicU64, Instant, Mutex, Ordering, Word, now};

#[derive(Debug)]
pub(crate) struct Epoch<E> {
    /// The number of the first entry that is not written.
    written: AtomicU64,
    /// The number of the first entry that is not durable.
    durable: AtomicU64,
    /// Entries from this number on fail, unless they are as durable as was asked for; [`NOTHING_LOST`] while the epoch lasts.
    lost_from: AtomicU64,
    /// From which number on entries were lost, and why. By age; each begins before the last one.
    losses: Mutex<Vec<(u64, Error<E>)>>,
    /// A ticket was issued in this epoch. Its holder waits without the lock; blocked callers look under it.
    has_tickets: AtomicBool,
    /// Threads that wait for tickets, by the frame of their entries.
    words: [Word; WORDS],
    tasks: Mutex<Tasks>,
    has_tasks: AtomicBool,
}

/// How many words there are. Threads that wait for one frame sleep on one word; the frame `WORDS` later uses it again.
pub(crate) const WORDS: usize = 4;

const NOTHING_LOST: u64 = u64::MAX;

/// The wakers of tasks, sorted by the end of their entries: the number after the last one. No two tickets of an epoch have the
/// same.
#[derive(Debug, Default)]
struct Tasks {
    for_write: VecDeque<(u64, Waker)>,
    for_sync: VecDeque<(u64, Waker)>,
}

impl Tasks {
    fn of(&mut self, asked: Durability) -> &mut VecDeque<(u64, Waker)> {
        if asked == Durability::Durable { &mut self.for_sync } else { &mut self.for_write }
    }

    fn is_empty(&self) -> bool {
        self.for_write.is_empty() && self.for_sync.is_empty()
    }
}

impl<E: Clone> Epoch<E> {
    /// An epoch that begins at these watermarks.
    pub(crate) fn new(written: u64, durable: u64) -> Arc<Epoch<E>> {
        Arc::new(Epoch {
            written: AtomicU64::new(written),
            durable: AtomicU64::new(durable),
            lost_from: AtomicU64::new(NOTHING_LOST),
            losses: Mutex::new(Vec::new()),
            has_tickets: AtomicBool::new(false),
            words: Default::default(),
            tasks: Mutex::new(Tasks::default()),
            has_tasks: AtomicBool::new(false),
        })
    }

    fn watermark(&self, asked: Durability) -> &AtomicU64 {
        if asked == Durability::Durable { &self.durable } else { &self.written }
    }

    /// The outcome for the entries before number `end`; `None` while it is not known.
    pub(crate) fn outcome(&self, asked: Durability, end: u64) -> Option<Result<(), Error<E>>> {
        let reached = || asked == Durability::Buffered || self.watermark(asked).load(Ordering::SeqCst) >= end;
        if reached() {
            return Some(Ok(()));
        }
        if end <= self.lost_from.load(Ordering::SeqCst) {
            return None;
        }
        // A watermark is moved before a loss is recorded, so a second look finds what was reached.
        if reached() {
            return Some(Ok(()));
        }
        let losses = self.losses.lock_whole();
        let loss = losses.iter().find(|(from, _)| end > *from);
        Some(Err(loss.map_or(Error::Panicked, |(_, error)| error.clone())))
    }

    /// Moves a watermark up: all entries before number `next` are written, or durable. Adds the wakers of the tasks that waited
    /// for that to `wakers`.
    pub(crate) fn reach(&self, durability: Durability, next: u64, wakers: &mut Vec<Waker>) {
        if !self.has_tickets() {
            return self.watermark(durability).store(next, Ordering::Release);
        }
        self.watermark(durability).store(next, Ordering::SeqCst);
        if !self.may_have_tasks() {
            return;
        }
        let mut tasks = self.tasks.lock_whole();
        let waiting = tasks.of(durability);
        while waiting.front().is_some_and(|(end, _)| *end <= next) {
            wakers.extend(waiting.pop_front().map(|(_, waker)| waker));
        }
        self.has_tasks.store(!tasks.is_empty(), Ordering::SeqCst);
    }

    /// Fails the entries from `from` on that are not as durable as was asked for. Adds the wakers of their tasks to `wakers`;
    /// threads are to be woken by [`Epoch::wake`].
    pub(crate) fn lose(&self, from: u64, error: &Error<E>, wakers: &mut Vec<Waker>) {
        if from >= self.lost_from() {
            return;
        }
        self.losses.lock_whole().push((from, error.clone()));
        self.lost_from.store(from, Ordering::SeqCst);
        let mut tasks = self.tasks.lock_whole();
        let Tasks { for_write, for_sync } = &mut *tasks;
        for waiting in [for_write, for_sync] {
            let kept = waiting.partition_point(|(end, _)| *end <= from);
            wakers.extend(waiting.drain(kept..).map(|(_, waker)| waker));
        }
    }

    pub(crate) fn lost_from(&self) -> u64 {
        self.lost_from.load(Ordering::SeqCst)
    }

    /// Whether something in it is written, not lost, and not durable yet.
    pub(crate) fn awaits_sync(&self) -> bool {
        let written = self.written.load(Ordering::SeqCst);
        self.durable.load(Ordering::SeqCst) < written.min(self.lost_from())
    }

    /// Notes that a ticket is issued. Called under the lock of the group commit, as is [`Epoch::reach`].
    pub(crate) fn note_ticket(&self) {
        self.has_tickets.store(true, Ordering::Relaxed);
    }

    fn has_tickets(&self) -> bool {
        self.has_tickets.load(Ordering::Relaxed)
    }

    /// Whether threads wait for tickets on this word.
    pub(crate) fn has_sleepers(&self, word: usize) -> bool {
        self.has_tickets() && (LOOM || self.words[word].has_sleepers())
    }

    /// Wakes the threads that wait for tickets on these words.
    pub(crate) fn wake(&self, words: &[bool; WORDS]) {
        let words = self.words.iter().zip(words).filter(|(_, is_woken)| **is_woken);
        words.for_each(|(word, _)| word.wake_all());
    }

    /// Blocks until the outcome for the entries before number `end` is known, which are in frame `frame`; `None` when
    /// `deadline` has passed.
    pub(crate) fn wait(
        &self,
        asked: Durability,
        end: u64,
        frame: u64,
        deadline: Option<Instant>,
    ) -> Option<Result<(), Error<E>>> {
        loop {
            let nap = self.words[word_of(frame)].prepare();
            if let Some(outcome) = self.outcome(asked, end) {
                return Some(outcome);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(now()));
            if left == Some(Duration::ZERO) {
                return None;
            }
            nap.sleep(left);
        }
    }

    /// As [`Epoch::wait`], for tasks.
    pub(crate) fn poll(
        &self,
        asked: Durability,
        end: u64,
        context: &Context<'_>,
    ) -> Poll<Result<(), Error<E>>> {
        if let Some(outcome) = self.outcome(asked, end) {
            return Poll::Ready(outcome);
        }
        // Wakers are foreign code: cloned and dropped under no lock.
        let waker = context.waker().clone();
        let mut tasks = self.tasks.lock_whole();
        let waiting = tasks.of(asked);
        let place = waiting.partition_point(|(other, _)| *other < end);
        let before = match waiting.get_mut(place) {
            Some((other, known)) if *other == end => Some(std::mem::replace(known, waker)),
            _ => {
                waiting.insert(place, (end, waker));
                None
            }
        };
        self.has_tasks.store(true, Ordering::SeqCst);
        // Either the thread that moves the watermark sees this task, or this look sees the watermark moved.
        let outcome = self.outcome(asked, end);
        let gone = outcome.is_some().then(|| tasks.of(asked).remove(place));
        drop(tasks);
        drop((before, gone));
        outcome.map_or(Poll::Pending, Poll::Ready)
    }

    fn may_have_tasks(&self) -> bool {
        LOOM || self.has_tasks.load(Ordering::SeqCst)
    }
}

/// Loom does not order two locations as `SeqCst` does: there the locks do.
const LOOM: bool = cfg!(wal_loom);

/// The word on which threads sleep that wait for this frame.
pub(crate) fn word_of(frame: u64) -> usize {
    usize::try_from(frame % WORDS as u64).unwrap_or(0)
}

#[cfg(all(test, not(any(wal_loom, wal_shuttle))))]
mod tests {
    use super::*;
    use Durability::{Buffered, Durable, Written};

    fn lost(why: &'static str) -> Option<Result<(), Error<&'static str>>> {
        Some(Err(Error::Failed(why)))
    }

    /// Ten entries are written and five of them durable; then a write fails, and later the end is cut off further back.
    #[test]
    fn a_loss_fails_the_entries_after_it_that_are_not_as_durable_as_was_asked_for() {
        let epoch = Epoch::new(0, 0);
        let mut wakers = Vec::new();
        epoch.reach(Written, 10, &mut wakers);
        epoch.reach(Durable, 5, &mut wakers);
        assert_eq!((epoch.outcome(Durable, 6), epoch.outcome(Written, 11)), (None, None));

        epoch.lose(10, &Error::Failed("write"), &mut wakers);
        assert_eq!(epoch.outcome(Written, 11), lost("write"));
        assert_eq!(epoch.outcome(Buffered, 11), Some(Ok(())), "nothing more was promised");
        assert_eq!(epoch.outcome(Durable, 10), None, "it is before the loss");
        assert!(epoch.awaits_sync());

        epoch.lose(8, &Error::Failed("cut"), &mut wakers);
        assert_eq!(epoch.outcome(Durable, 9), lost("cut"));
        assert_eq!(epoch.outcome(Written, 9), Some(Ok(())), "it was true of it");
        assert_eq!(epoch.outcome(Written, 11), lost("write"), "what was told stays so");
        epoch.lose(9, &Error::Failed("later"), &mut wakers);
        assert_eq!(epoch.lost_from(), 8, "entries from there on are lost already");

        epoch.reach(Durable, 8, &mut wakers);
        assert_eq!(epoch.outcome(Durable, 8), Some(Ok(())));
        assert!(!epoch.awaits_sync());
        epoch.lose(0, &Error::Closed, &mut wakers);
        assert_eq!(epoch.outcome(Durable, 8), Some(Ok(())));
        assert_eq!(epoch.outcome(Durable, 9), lost("cut"));
    }

    /// Each task is woken once, by the watermark that it waits for or by the loss that concerns it.
    #[test]
    fn tasks_are_woken_by_what_they_wait_for() {
        let epoch: Arc<Epoch<&'static str>> = Epoch::new(0, 0);
        epoch.note_ticket();
        let context = Context::from_waker(Waker::noop());
        for (asked, end) in [(Durable, 3), (Written, 2), (Durable, 1), (Written, 4), (Durable, 3)] {
            assert!(epoch.poll(asked, end, &context).is_pending());
        }
        let woken = |act: &dyn Fn(&mut Vec<Waker>)| {
            let mut wakers = Vec::new();
            act(&mut wakers);
            wakers.len()
        };
        assert_eq!(woken(&|wakers| epoch.reach(Written, 3, wakers)), 1);
        assert_eq!(woken(&|wakers| epoch.reach(Durable, 2, wakers)), 1);
        assert_eq!(woken(&|wakers| epoch.lose(2, &Error::Closed, wakers)), 2, "one for each watermark");
        assert_eq!(woken(&|wakers| epoch.lose(0, &Error::Closed, wakers)), 0);
        assert_eq!(epoch.poll(Durable, 3, &context), Poll::Ready(Err(Error::Closed)));
    }
}
