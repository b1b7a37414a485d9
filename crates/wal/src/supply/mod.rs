//! What the end of the log is supplied with, from the background: the next segment and the anchor.
//!
//! ```text
//!  appender, flusher                               wal-files
//!    order, take ──▶ Preallocator  ── bell ──▶  prepares the next segment, zeroes it
//!    anchor ───────▶ AnchorWriter  ── bell ──▶  writes the anchor soon, or when idle
//!    retire ───────▶ UsedFiles                  a dropped segment's file waits to be used again
//!    check_names ──▶ NameWatch
//! ```
//!
//! An append waits here only when a segment filled up faster than the next one was prepared, and after a cut. Without the
//! thread the caller does the work.
//!
//! Locks: each part has one, held for a moment, but the anchor's, which is held while the anchor is written; under it the
//! names' lock is taken. No other two are held together.

mod anchor;
mod bell;
mod names;
mod preallocator;
mod space;
mod used_files;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use wal_format::{Anchor, PoolName};
use wal_segment::io::Directory;
use wal_segment::{
    AnchorFile, Error as SegmentError, Operation, Order, Rules, Spare, SpareSource, WatchedFile, WatchedNames,
};
use wal_sync::primitives::channel::{Receiver, RecvTimeoutError};

use self::anchor::{AnchorWriter, IDLE};
use self::bell::Bell;
use self::names::NameWatch;
use self::preallocator::Preallocator;
use self::space::FreeSpace;
pub(crate) use self::space::KnownSpace;
use self::used_files::UsedFiles;
#[cfg(feature = "tracing")]
use crate::report::listener::Listener;
use crate::report::stats::Stats;

/// Where segments are prepared, and how.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) directory: Arc<dyn Directory>,
    /// Files of dropped segments are used again.
    pub(crate) recycle: bool,
    /// Prepared segments are filled with zeros while there is time.
    pub(crate) zero_ahead: bool,
    /// A thread does the work.
    pub(crate) background: bool,
    pub(crate) rules: Rules,
    #[cfg(feature = "tracing")]
    pub(crate) listener: Option<Listener>,
}

/// The segments and the anchor to come of one log.
#[derive(Debug)]
pub(crate) struct Supply {
    kind: Arc<Kind>,
    pub(crate) names: Arc<NameWatch>,
    anchor: Arc<AnchorWriter>,
    pub(crate) used: Arc<UsedFiles>,
    preallocator: Preallocator,
    pub(crate) space: FreeSpace,
    bell: Bell,
}

impl Supply {
    /// The supply, and what its thread is to be [run](Supply::run) with, if there is to be one.
    pub(crate) fn new(
        kind: Kind,
        anchor: AnchorFile,
        names: WatchedNames,
        found: &[PoolName],
    ) -> (Supply, Option<Receiver<()>>) {
        let (bell, rings) = Bell::new(kind.background);
        let kind = Arc::new(kind);
        let names = Arc::new(NameWatch::new(Arc::clone(&kind), names));
        let anchor = Arc::new(AnchorWriter::new(Arc::clone(&kind), Arc::clone(&names), anchor));
        let used = Arc::new(UsedFiles::adopt(Arc::clone(&kind), Arc::clone(&names), found));
        let preallocator = Preallocator::new(
            Arc::clone(&kind),
            Arc::clone(&names),
            Arc::clone(&anchor),
            Arc::clone(&used),
            bell.clone(),
        );
        let space = FreeSpace::new(Arc::clone(&kind.directory));
        (Supply { kind, names, anchor, used, preallocator, space, bell }, rings)
    }

    /// The body of the thread `wal-files`: works until [`Supply::stop`].
    pub(crate) fn run(&self, rings: &Receiver<()>) {
        while !self.preallocator.is_over() {
            if self.preallocator.step(false) {
                continue;
            }
            if let Some(anchor) = self.anchor.take_soon() {
                self.anchor.write_behind(anchor);
                continue;
            }
            if self.preallocator.step(true) || self.space.ask_if_wanted() {
                continue;
            }
            // What is wanted from here on rings the bell.
            if self.anchor.sleep() {
                if rings.recv_timeout(IDLE) == Err(RecvTimeoutError::Timeout) {
                    self.anchor.take_idle().into_iter().for_each(|anchor| self.anchor.write_behind(anchor));
                }
            } else if rings.recv().is_err() {
                return;
            }
        }
    }

    /// The thread ends when it has done what it is at.
    pub(crate) fn stop(&self) {
        self.used.stop();
        self.preallocator.stop();
        self.bell.ring();
    }

    /// Removes the prepared segment and the file that waits, at close. What cannot be removed is found by the next open. Where
    /// the names lead elsewhere all stays, because it may be another program's by now.
    pub(crate) fn discard(&self) {
        if self.names.check().is_ok() {
            self.preallocator.discard();
            self.used.give_up();
        }
    }

    /// What is kept ready ahead of the log: the prepared segment, and the file that waits.
    pub(crate) fn fill(&self, stats: &mut Stats) {
        let (prepared, recycled) = self.preallocator.prepared();
        for file_bytes in [prepared, self.used.waiting_bytes()].into_iter().flatten() {
            stats.spare_segments += 1;
            stats.disk_bytes += file_bytes;
        }
        stats.recycled_segments = recycled;
    }

    /// Why the last segment, and the last anchor, could not be had; `None` once another attempt went well.
    pub(crate) fn failures(&self) -> (Option<SegmentError>, Option<SegmentError>) {
        (self.preallocator.failure(), self.anchor.failure())
    }

    /// What is known of the space on the file system. It is asked for again before long. Waits for no file system.
    pub(crate) fn known_space(&self) -> KnownSpace {
        let known = self.space.known();
        self.bell.ring();
        known
    }

    /// Asks for the space if a health check wants to know it and there is no thread to ask.
    pub(crate) fn ask_space_if_wanted(&self) {
        if !self.bell.has_thread() {
            self.space.ask_if_wanted();
        }
    }
}

impl SpareSource for Supply {
    fn directory(&self) -> &dyn Directory {
        self.kind.directory.as_ref()
    }

    fn check_names(&self) -> Result<(), SegmentError> {
        self.names.check()
    }

    fn entered(&self, segment: WatchedFile) {
        self.names.enter(segment);
    }

    fn spare(&self, order: Order) -> Result<Spare, SegmentError> {
        self.preallocator.take(order)
    }

    fn order(&self, order: Order) {
        self.preallocator.order(order);
    }

    fn order_if_waiting(&self, order: Order) -> bool {
        self.preallocator.order_if_waiting(order)
    }

    fn anchor(&self, anchor: Anchor) -> Result<(), SegmentError> {
        self.anchor.write(anchor)
    }

    fn anchor_soon(&self, anchor: Anchor) {
        if self.bell.has_thread() {
            self.anchor.want_soon(anchor);
            self.bell.ring();
        } else {
            self.anchor.write_behind(anchor);
        }
    }

    fn anchor_at_leisure(&self, anchor: Anchor) {
        if self.anchor.want_when_idle(anchor) {
            self.bell.ring();
        }
    }
}

/// A panic in `act` is a failure of what was asked for.
fn guarded<T>(
    directory: &dyn Directory,
    operation: Operation,
    act: impl FnOnce() -> Result<T, SegmentError>,
) -> Result<T, SegmentError> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|_| {
        let source = Arc::new(io::Error::other("a thread panicked in it"));
        Err(SegmentError::Io { operation, file: directory.path().to_path_buf(), offset: None, source })
    })
}
