//! What the end of the log is supplied with: prepared segments and the anchor, from the background.
//!
//! ```text
//!  whoever writes or syncs                         wal-files
//!    order, anchor_soon  ──▶ ┌ wanted ┐ ── bell ──▶  prepares, zeroes, writes the anchor, fills the pool
//!    spare               ◀── │        │ ◀──────────  ready
//!    retire              ──▶ │ (pool) │
//!    anchor              ──▶ ┌ anchor file ┐  by itself: a cut may not wait for its turn
//! ```
//!
//! An append waits here only when a segment filled up faster than the next one was prepared, and behind a
//! cut. A spare that is being zeroed can be had after the next step. Without the thread whoever asks does
//! it.
//!
//! Space: files that wait are tried before a new one is made, and one that does not serve is removed. So when
//! there is no space for a new one none waits any more.
//!
//! Locks: `wanted`, `names` and `space` for a moment; `anchor` while the anchor is written. None is taken under another, but
//! `names` under `anchor`.

mod anchor;
mod pool;
mod refill;
mod space;
mod spare;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use wal_format::{Anchor, PoolName};
use wal_segment::io::Directory;
use wal_segment::{
    AnchorFile, Error as SegmentError, Operation, Order, Spare, SpareSource, WatchedFile, WatchedNames,
};
use wal_sync::primitives::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use wal_sync::primitives::{AtomicBool, Condvar, Mutex, Ordering};

use crate::report::event::note;
#[cfg(feature = "tracing")]
use crate::report::listener::Listener;
use crate::report::probe::SyncMark;

use self::pool::Pool;
pub(crate) use self::pool::Supply;
pub(crate) use self::space::KnownSpace;
use self::spare::Slot;

/// The spare segments and the anchor of one log.
#[derive(Debug)]
pub(crate) struct Stores {
    directory: Arc<dyn Directory>,
    supply: Supply,
    names: Mutex<WatchedNames>,
    /// The path of the directory leads elsewhere.
    displaced: AtomicBool,
    /// What the file system had left.
    space: Mutex<KnownSpace>,
    /// A probe wants to know that.
    wants_space: AtomicBool,
    space_mark: SyncMark,
    /// A name was found to lead elsewhere: `Wanted::exchanged` says which.
    has_exchanged: AtomicBool,
    anchor: Mutex<AnchorFile>,
    wanted: Mutex<Wanted>,
    /// The slot of the spare has changed.
    changed: Condvar,
    /// Rung when something is wanted; none where nobody listens.
    bell: Option<Sender<()>>,
    #[cfg(feature = "tracing")]
    listener: Option<Listener>,
}

#[derive(Debug)]
struct Wanted {
    spare: Slot,
    pool: Pool,
    /// The pool is to be filled with files like this, while it is low.
    refill: Option<Order>,
    /// Spares that were made of a file that was there before.
    recycled: u64,
    /// Somebody waits for the spare.
    awaited: bool,
    /// To be written at once.
    anchor: Option<Anchor>,
    /// To be written when a period has passed without anything else to do.
    leisurely: Option<Anchor>,
    /// The thread sleeps until the bell rings.
    asleep: bool,
    over: bool,
    /// A file was removed or replaced under the log: nothing more may be accepted.
    exchanged: Option<SegmentError>,
    /// Why the last attempt at a spare, or at the anchor, has failed, if it has.
    spare_failure: Option<SegmentError>,
    anchor_failure: Option<SegmentError>,
}

/// What is kept ready ahead of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stock {
    /// The prepared segment, and files that wait.
    pub(crate) files: u64,
    /// How long they are together.
    pub(crate) bytes: u64,
    /// Spares that were made of a file that was there before, since the open.
    pub(crate) recycled: u64,
}

/// An idle log does not keep its last frames in doubt for longer than this.
const LEISURE: Duration = Duration::from_secs(1);

impl Stores {
    /// Stores without a thread, or with what their thread is to be [run](Stores::run) with.
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        anchor: AnchorFile,
        names: WatchedNames,
        found: &[PoolName],
        supply: Supply,
    ) -> (Stores, Option<Receiver<()>>) {
        let (bell, rings) = if supply.background {
            let (bell, rings) = bounded(1);
            (Some(bell), Some(rings))
        } else {
            (None, None)
        };
        let wanted = Wanted {
            spare: Slot::Empty,
            pool: Pool::adopt(directory.as_ref(), found, supply),
            refill: None,
            recycled: 0,
            awaited: false,
            anchor: None,
            leisurely: None,
            asleep: false,
            over: false,
            exchanged: None,
            spare_failure: None,
            anchor_failure: None,
        };
        let stores = Stores {
            supply,
            names: Mutex::new(names),
            displaced: AtomicBool::new(false),
            space: Mutex::new(KnownSpace::ask(directory.as_ref())),
            wants_space: AtomicBool::new(false),
            space_mark: SyncMark::new(),
            has_exchanged: AtomicBool::new(false),
            anchor: Mutex::new(anchor),
            wanted: Mutex::new(wanted),
            changed: Condvar::new(),
            bell,
            #[cfg(feature = "tracing")]
            listener: None,
            directory,
        };
        (stores, rings)
    }

    /// What fails here is told, too.
    #[cfg(feature = "tracing")]
    pub(crate) fn traced(self, listener: Option<Listener>) -> Stores {
        Stores { listener, ..self }
    }

    /// The body of the thread `wal-files`: does what is wanted until [`Stores::stop`].
    pub(crate) fn run(&self, rings: &Receiver<()>) {
        loop {
            let mut wanted = self.wanted.lock_whole();
            if wanted.over {
                return;
            }
            if let Slot::Ordered(order) = wanted.spare {
                wanted.spare = Slot::InHand(None);
                drop(wanted);
                self.put(self.made(order));
                continue;
            }
            if let Some(anchor) = wanted.anchor.take() {
                drop(wanted);
                self.write_behind(anchor);
                continue;
            }
            if !wanted.awaited
                && let Some(spare) = wanted.take_zeroing()
            {
                drop(wanted);
                self.put(self.zero(spare));
                continue;
            }
            if !wanted.awaited
                && let Some(task) = wanted.pool_task(self.supply)
            {
                drop(wanted);
                self.fill(task);
                continue;
            }
            if self.takes_question() {
                drop(wanted);
                self.ask_space();
                continue;
            }
            let at_leisure = wanted.leisurely.is_some();
            wanted.asleep = !at_leisure;
            drop(wanted);
            if at_leisure {
                if rings.recv_timeout(LEISURE) == Err(RecvTimeoutError::Timeout) {
                    let leisurely = self.wanted.lock_whole().leisurely.take();
                    leisurely.into_iter().for_each(|anchor| self.write_behind(anchor));
                }
            } else if rings.recv().is_err() {
                return;
            }
        }
    }

    /// The thread ends when it has done what it is at.
    pub(crate) fn stop(&self) {
        self.wanted.lock_whole().over = true;
        self.ring();
        self.changed.notify_all();
    }

    /// Gives up spares that nobody will need. What cannot be removed is a prepared segment, or a file that
    /// waits, which the next open finds. So is what may be another program's by now.
    pub(crate) fn discard_spares(&self) {
        if self.check_names().is_err() {
            return;
        }
        let slot = std::mem::replace(&mut self.wanted.lock_whole().spare, Slot::Empty);
        if let Slot::Ready(spare) | Slot::Zeroing(spare) = slot {
            spare.discard(self.directory.as_ref()).ok();
        }
        self.give_up_pool();
    }

    /// What is kept ready.
    pub(crate) fn stock(&self) -> Stock {
        let wanted = self.wanted.lock_whole();
        let spare_bytes = match &wanted.spare {
            Slot::Ready(spare) | Slot::Zeroing(spare) => Some(spare.file_bytes()),
            Slot::InHand(bytes) => *bytes,
            _ => None,
        };
        let (waiting, waiting_bytes) = wanted.pool.holds();
        Stock {
            files: waiting as u64 + u64::from(spare_bytes.is_some()),
            bytes: waiting_bytes + spare_bytes.unwrap_or(0),
            recycled: wanted.recycled,
        }
    }

    /// Why the last spare, and the last anchor, could not be had; `None` once another attempt went well.
    pub(crate) fn failures(&self) -> (Option<SegmentError>, Option<SegmentError>) {
        let wanted = self.wanted.lock_whole();
        (wanted.spare_failure.clone(), wanted.anchor_failure.clone())
    }

    /// Whether the path of the directory leads elsewhere, as far as was looked.
    pub(crate) fn is_displaced(&self) -> bool {
        self.displaced.load(Ordering::Relaxed)
    }

    /// Why nothing more may be accepted: a file was exchanged under the log. Costs a load where none was.
    pub(crate) fn exchanged(&self) -> Option<SegmentError> {
        if self.has_exchanged.load(Ordering::Acquire) {
            self.wanted.lock_whole().exchanged.clone()
        } else {
            None
        }
    }

    /// A panic below is a failure of what was asked for.
    fn guarded<T>(
        &self,
        operation: Operation,
        act: impl FnOnce() -> Result<T, SegmentError>,
    ) -> Result<T, SegmentError> {
        catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|_| {
            let source = Arc::new(io::Error::other("a thread panicked in it"));
            let file = self.directory.path().to_path_buf();
            Err(SegmentError::Io { operation, file, offset: None, source })
        })
    }

    fn ring(&self) {
        if let Some(bell) = &self.bell {
            // Full is as good as rung.
            bell.try_send(()).ok();
        }
    }
}

impl SpareSource for Stores {
    fn directory(&self) -> &dyn Directory {
        self.directory.as_ref()
    }

    fn check_names(&self) -> Result<(), SegmentError> {
        if let Some(exchanged) = self.exchanged() {
            return Err(exchanged);
        }
        let checked = loop {
            // No lock is held while the system is asked: an append goes on in the next segment meanwhile.
            let names = self.names.lock_whole().clone();
            let checked = names.check(self.directory.as_ref());
            if checked.is_ok() || self.names.lock_whole().is_current(&names) {
                break checked;
            }
        };
        match checked {
            Ok(at_path) => {
                if !self.displaced.swap(!at_path, Ordering::Relaxed) && !at_path {
                    note!(&self.listener, Displaced {});
                }
                Ok(())
            }
            Err(error) => {
                if matches!(error, SegmentError::Exchanged { .. }) {
                    self.wanted.lock_whole().exchanged = Some(error.clone());
                    self.has_exchanged.store(true, Ordering::Release);
                }
                Err(error)
            }
        }
    }

    fn entered(&self, segment: WatchedFile) {
        self.names.lock_whole().enter(segment);
    }

    fn spare(&self, order: Order) -> Result<Spare, SegmentError> {
        self.take_spare(order)
    }

    fn order(&self, order: Order) {
        self.order_spare(order);
    }

    fn order_if_waiting(&self, order: Order) -> bool {
        self.order_spare_if_waiting(order)
    }

    fn anchor(&self, anchor: Anchor) -> Result<(), SegmentError> {
        self.write(anchor)
    }

    fn anchor_soon(&self, anchor: Anchor) {
        self.write_anchor_soon(anchor);
    }

    fn anchor_at_leisure(&self, anchor: Anchor) {
        self.write_anchor_at_leisure(anchor);
    }
}
