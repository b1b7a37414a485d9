//! Refuses a fork of the process that opened the log.
//!
//! A fork copies the log into a process where its threads do not exist, with files that belong to the parent. So the child
//! must never write: not its appends, not the parent's buffer, not at a drop.
//!
//! ```text
//!  append, submit ─▶ frame ─▶ Tail::write ─┐
//!  sync, the flusher ───────▶ Tail::sync  ─┤
//!  truncate_* ───────▶ Tail::truncate     ─┼─▶ is this the process that opened? ─▶ the writer, the supply
//!  close ────────────▶ Tail::finish       ─┤
//!  obsolete files ───▶ Tail::recycle_obsolete
//! ```
//!
//! Every call that reaches the disk passes one of these. Calls that would wait for a thread or a turn of the parent check
//! first: close, drop, sync, flush, truncations, and the waits for a commit or a watermark. An append may find a lock that
//! another thread had at the moment of the fork, and waits for ever, as in any process with threads.

use std::sync::Arc;

use wal_segment::ForkMark;
use wal_sync::primitives::process_id;

use crate::error::{Error, ErrorKind};

/// The process that opened the log.
#[derive(Clone, Debug)]
pub(crate) struct ForkGuard {
    process: u32,
    mark: Arc<ForkMark>,
}

impl ForkGuard {
    /// This process.
    pub(crate) fn here() -> ForkGuard {
        ForkGuard { process: process_id(), mark: Arc::new(ForkMark::new()) }
    }

    /// Whether the caller is in this process. Costs a load from memory, or a system call where there is no mark.
    pub(crate) fn is_here(&self) -> bool {
        self.mark.is_here().unwrap_or_else(|| process_id() == self.process)
    }

    /// Refuses every other process.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_here() { Ok(()) } else { Err(self.forked()) }
    }

    fn forked(&self) -> Error {
        let message = format!(
            "process {} opened the log and was forked: process {} cannot use it, and has written nothing",
            self.process,
            process_id()
        );
        Error::new(ErrorKind::Forked, message)
    }
}
