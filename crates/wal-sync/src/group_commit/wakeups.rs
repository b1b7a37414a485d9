//! The waiters that are to be woken once the lock is released.

use std::task::Waker;
use std::time::Duration;

use crate::epoch::{Epoch, WORDS, word_of};
use crate::primitives::{Arc, wake_task};

/// Callers, threads with tickets, and tasks whose wait is over. Needs no allocation while no task waits and nothing is lost.
pub(super) struct Wakeups<E> {
    /// All callers who sleep on these words.
    pub(super) callers: [bool; WORDS],
    /// All threads with tickets of this epoch that sleep on these words.
    tickets: Option<(Arc<Epoch<E>>, [bool; WORDS])>,
    /// All threads with tickets of these epochs.
    epochs: Vec<Arc<Epoch<E>>>,
    pub(super) wakers: Vec<Waker>,
    /// How long the oldest of them waited, if its time was taken.
    pub(super) took: Option<Duration>,
}

impl<E: Clone> Wakeups<E> {
    pub(super) fn new() -> Wakeups<E> {
        Wakeups { callers: [false; WORDS], tickets: None, epochs: Vec::new(), wakers: Vec::new(), took: None }
    }

    /// Adds the threads with tickets of a frame in the current epoch.
    pub(super) fn tickets(&mut self, epoch: &Arc<Epoch<E>>, frame: u64) {
        let word = word_of(frame);
        if epoch.has_sleepers(word) {
            self.tickets.get_or_insert_with(|| (Arc::clone(epoch), [false; WORDS])).1[word] = true;
        }
    }

    /// Adds all callers, and all threads with tickets of an epoch in which entries were lost.
    pub(super) fn epoch(&mut self, epoch: &Arc<Epoch<E>>) {
        self.callers = [true; WORDS];
        self.epochs.push(Arc::clone(epoch));
    }

    pub(super) fn is_empty(&self) -> bool {
        let threads = self.callers.contains(&true) || self.tickets.is_some() || !self.epochs.is_empty();
        !threads && self.wakers.is_empty() && self.took.is_none()
    }

    /// Wakes the holders of tickets: threads first, because a waker is foreign code. Not to be called under the lock.
    pub(super) fn wake_tickets(self) {
        if let Some((epoch, words)) = &self.tickets {
            epoch.wake(words);
        }
        self.epochs.iter().for_each(|epoch| epoch.wake(&[true; WORDS]));
        self.wakers.into_iter().for_each(wake_task);
    }
}
