//! Waiting for a watermark.

use std::task::{Context, Poll};

use super::GroupCommit;
use super::state::{State, Watcher};
use crate::error::Error;
use crate::target::Target;
use crate::watermark::Mark;

/// Waits until a watermark has passed an entry. To be given to
/// [`GroupCommit::unwatch`] when they give up.
#[derive(Debug)]
pub struct Watch {
    mark: Mark,
    sequence: u64,
    id: Option<u64>,
    /// How many cuts and failed writes there had been when this was made.
    cuts: Option<u64>,
}

impl Watch {
    /// For this entry, which need not exist yet. Truncations and failed writes count from the first poll on.
    #[must_use]
    pub fn new(mark: Mark, sequence: u64) -> Watch {
        Watch { mark, sequence, id: None, cuts: None }
    }

    /// As [`Watch::new`]; is told of a truncation or a failed write also when it came since
    /// [`GroupCommit::cuts`] returned this.
    #[must_use]
    pub fn since(mark: Mark, sequence: u64, cuts: u64) -> Watch {
        Watch { cuts: Some(cuts), ..Watch::new(mark, sequence) }
    }
}

/// How the log stands, for a reader that follows it.
#[derive(Clone, Debug)]
pub struct Standing<E> {
    /// Where the watermark is.
    pub position: u64,
    /// What [`GroupCommit::cuts`] returns.
    pub cuts: u64,
    /// The furthest back that a truncation cut since there were as many cuts as the asker knows of. A failed
    /// write is none: what it gave back was never before a watermark.
    pub cut_from: Option<u64>,
    /// Why the watermark will not move any more.
    pub over: Option<Error<E>>,
}

impl<T: Target> GroupCommit<T> {
    /// A watch that is told of every truncation and every failed write from now on.
    pub fn watch(&self, mark: Mark, sequence: u64) -> Watch {
        Watch::since(mark, sequence, self.cuts())
    }

    /// How the log stands, for a reader that knows of so many cuts.
    pub fn standing(&self, mark: Mark, known_cuts: u64) -> Standing<T::Error> {
        let locked = self.lock();
        Standing {
            position: position(&locked, mark),
            cuts: locked.cuts.count(),
            cut_from: locked.cuts.lowest_since(known_cuts),
            over: locked.refuse_if_over().err(),
        }
    }

    /// Ready when the watermark has passed the entry.
    ///
    /// # Errors
    /// The latched failure, or [`Error::Closed`]: it never will. [`Error::Truncated`]: the log was cut before
    /// the entry, and what gets its number later is another one. [`Error::WriteFailed`]: the number had been
    /// given out and the write failed, so another entry gets it. A number that had not been given out then is
    /// waited for on.
    pub fn poll_watch(&self, watch: &mut Watch, context: &Context<'_>) -> Poll<Result<(), Error<T::Error>>> {
        // Wakers are foreign code: cloned and dropped under no lock.
        let waker = context.waker().clone();
        let mut locked = self.lock();
        let cuts = *watch.cuts.get_or_insert(locked.cuts.count());
        if let Err(cut) = locked.refuse_if_cut(cuts, watch.sequence.saturating_add(1)) {
            drop(locked);
            return Poll::Ready(Err(cut));
        }
        if let Some(from) = locked.cuts.given_back_since(cuts, watch.sequence) {
            drop(locked);
            return Poll::Ready(Err(Error::WriteFailed { from }));
        }
        if position(&locked, watch.mark) > watch.sequence {
            drop(locked);
            return Poll::Ready(Ok(()));
        }
        if let Err(over) = locked.refuse_if_over() {
            drop(locked);
            return Poll::Ready(Err(over));
        }
        let known = locked.watchers.iter_mut().find(|watcher| Some(watcher.id) == watch.id);
        let before = match known {
            Some(watcher) => Some(std::mem::replace(&mut watcher.waker, waker)),
            None => {
                let id = locked.next_watcher;
                locked.next_watcher += 1;
                watch.id = Some(id);
                locked.watchers.push(Watcher { id, mark: watch.mark, sequence: watch.sequence, waker });
                None
            }
        };
        drop(locked);
        drop(before);
        Poll::Pending
    }

    /// The waiter is gone.
    pub fn unwatch(&self, watch: &Watch) {
        if watch.id.is_none() {
            return;
        }
        let mut locked = self.lock();
        let place = locked.watchers.iter().position(|watcher| Some(watcher.id) == watch.id);
        let gone = place.map(|place| locked.watchers.swap_remove(place));
        drop(locked);
        drop(gone);
    }

    /// The numbers from `from` to before `until` are given again, to other entries. Adds the watchers that wait for
    /// one of them to the wake-ups; a watch that is polled later is told, too.
    pub(super) fn give_back_numbers(&self, locked: &mut State<T>, from: u64, until: u64) {
        locked.cuts.add_given_back(from, until);
        self.cuts.set(locked.cuts.count());
        locked.wake_watchers(|watcher| (from..until).contains(&watcher.sequence));
    }
}

impl<T: Target> State<T> {
    /// Adds the watchers whose watermark has passed their entry to the wake-ups.
    pub(super) fn wake_reached(&mut self) {
        let (written, durable) = (self.written, self.durable);
        self.wake_watchers(|watcher| {
            let position = match watcher.mark {
                Mark::Written => written,
                Mark::Durable => durable,
            };
            position > watcher.sequence
        });
    }

    /// Takes out the watchers of which `is_told` is true, and adds them to the wake-ups.
    pub(super) fn wake_watchers(&mut self, is_told: impl Fn(&Watcher) -> bool) {
        let mut index = 0;
        while index < self.watchers.len() {
            if is_told(&self.watchers[index]) {
                self.wakeups.wakers.push(self.watchers.swap_remove(index).waker);
            } else {
                index += 1;
            }
        }
    }
}

fn position<T: Target>(state: &State<T>, mark: Mark) -> u64 {
    match mark {
        Mark::Written => state.written,
        Mark::Durable => state.durable,
    }
}
