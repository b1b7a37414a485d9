//! Those who are to be woken once the lock is given up.

use std::task::Waker;
use std::time::Duration;

use crate::group::Group;
use crate::primitives::{Arc, wake_task};

/// Groups and tasks whose wait is over. A few groups need no allocation.
pub(super) struct Finished<E> {
    few: [Option<Arc<Group<E>>>; FEW],
    more: Vec<Arc<Group<E>>>,
    pub(super) wakers: Vec<Waker>,
    /// How long the oldest of them waited, if its time was taken.
    pub(super) took: Option<Duration>,
}

/// A sync covers one group, and those whose frames were full meanwhile.
const FEW: usize = 4;

impl<E: Clone> Finished<E> {
    pub(super) fn new() -> Finished<E> {
        Finished { few: [const { None }; FEW], more: Vec::new(), wakers: Vec::new(), took: None }
    }

    /// This group has moved up, or failed.
    pub(super) fn push(&mut self, group: Arc<Group<E>>) {
        self.wakers.extend(group.take_wakers());
        match self.few.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(group),
            None => self.more.push(group),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.few[0].is_none() && self.wakers.is_empty()
    }

    /// Wakes them all, threads first: a wake-up of theirs cannot go wrong. Not to be called under the lock.
    pub(super) fn wake(self) {
        for group in self.few.iter().flatten().chain(&self.more) {
            group.wake_threads();
        }
        self.wakers.into_iter().for_each(wake_task);
    }
}
