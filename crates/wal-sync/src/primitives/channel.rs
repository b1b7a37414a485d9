//! Channels for shuttle, which has no replacement for those that the log uses: a queue under a mutex, and
//! one condition variable. Only what the log calls.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Arc, Condvar, Guard, Mutex};

/// The end that sends. Any number of threads share it.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

/// The end that receives.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Shared<T>>);

/// The channel is full, or no thread receives any more; with what was to be sent.
#[derive(Debug)]
pub struct SendError<T>(pub T);

/// There is nothing, and no thread sends any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError;

/// Why nothing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// The time is over.
    Timeout,
    /// No thread sends any more.
    Disconnected,
}

#[derive(Debug)]
struct Shared<T> {
    queue: Mutex<Queue<T>>,
    changed: Condvar,
    most: usize,
}

#[derive(Debug)]
struct Queue<T> {
    messages: VecDeque<T>,
    /// How many may still send.
    senders: usize,
    receives: bool,
}

/// A channel that holds at most so many messages.
#[must_use]
pub fn bounded<T>(most: usize) -> (Sender<T>, Receiver<T>) {
    let queue = Queue { messages: VecDeque::new(), senders: 1, receives: true };
    let shared = Arc::new(Shared { queue: Mutex::new(queue), changed: Condvar::new(), most });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// A channel that holds any number of messages.
#[must_use]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    bounded(usize::MAX)
}

impl<T> Sender<T> {
    /// Sends, if there is room at once.
    ///
    /// # Errors
    /// There is none, or no thread receives any more.
    pub fn try_send(&self, message: T) -> Result<(), SendError<T>> {
        let mut queue = self.0.queue.lock_whole();
        if !queue.receives || queue.messages.len() >= self.0.most {
            return Err(SendError(message));
        }
        queue.messages.push_back(message);
        self.0.changed.notify_all();
        Ok(())
    }

    /// Sends into a channel that is never full.
    ///
    /// # Errors
    /// No thread receives any more.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        assert_eq!(self.0.most, usize::MAX, "nothing waits for room in a channel");
        self.try_send(message)
    }
}

impl<T> Receiver<T> {
    /// Waits for a message.
    ///
    /// # Errors
    /// No thread sends any more.
    pub fn recv(&self) -> Result<T, RecvError> {
        let mut queue = self.0.queue.lock_whole();
        loop {
            if let Some(message) = queue.messages.pop_front() {
                return Ok(message);
            }
            if queue.senders == 0 {
                return Err(RecvError);
            }
            queue = self.0.changed.wait(queue);
        }
    }

    /// Waits until others had an occasion to send.
    ///
    /// # Errors
    /// They have not.
    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        let queue = self.0.queue.lock_whole();
        let take = |queue: &mut Guard<'_, Queue<T>>| queue.messages.pop_front();
        let mut queue = if queue.messages.is_empty() && queue.senders > 0 {
            self.0.changed.wait_for(&self.0.queue, queue, limit)
        } else {
            queue
        };
        match take(&mut queue) {
            Some(message) => Ok(message),
            None if queue.senders > 0 => Err(RecvTimeoutError::Timeout),
            None => Err(RecvTimeoutError::Disconnected),
        }
    }

    /// Takes a message that is there.
    ///
    /// # Errors
    /// There is none.
    pub fn try_recv(&self) -> Result<T, RecvError> {
        self.0.queue.lock_whole().messages.pop_front().ok_or(RecvError)
    }

    /// Whether there is no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.queue.lock_whole().messages.is_empty()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.0.queue.lock_whole().senders += 1;
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.queue.lock_whole().senders -= 1;
        self.0.changed.notify_all();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.queue.lock_whole().receives = false;
    }
}
