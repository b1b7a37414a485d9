//! A close with a timeout, for a log whose disk may hang.

use std::sync::Arc;
use std::time::Duration;

use wal_sync::primitives::channel::{RecvTimeoutError, bounded};
use wal_sync::primitives::spawn;

use crate::error::{Error, ErrorKind};
use crate::log::Wal;

impl Wal {
    /// Closes the log as [`Wal::close`] does, but waits for at most `limit`.
    ///
    /// The close runs on a thread of its own. A system call that hangs cannot be interrupted: the thread keeps the log
    /// locked until the call returns or the process ends. Within a callback of the log this always times out, because
    /// the close waits for that callback.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when the limit has passed: everything before [`Error::durable_end`] is durable, and more may
    /// become so. [`ErrorKind::Io`] when the thread cannot be started; then this handle is dropped without a close.
    /// Otherwise as [`Wal::close`].
    pub fn close_timeout(self, limit: Duration) -> Result<(), Error> {
        let engine = Arc::clone(self.engine());
        let (tells, told) = bounded(1);
        // The thread takes the handle: dropping the last one here would wait for the disk, too.
        let closing = move || {
            tells.try_send(self.close()).ok();
        };
        spawn("wal-close", closing).map_err(|error| {
            Error::new(ErrorKind::Io, format!("the thread wal-close cannot be started: {error}"))
        })?;
        told.recv_timeout(limit).unwrap_or_else(|error| {
            Err(match error {
                RecvTimeoutError::Timeout => {
                    Error::timed_out(limit, engine.commits.durable(), engine.commits.written())
                }
                RecvTimeoutError::Disconnected => wal_sync::Error::Panicked.into(),
            })
        })
    }
}
