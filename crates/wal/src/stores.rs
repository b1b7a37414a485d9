//! What the end of the log is supplied with: prepared segments and the anchor, from the background.
//!
//! ```text
//!  whoever writes or syncs                         wal-files
//!    order, anchor_soon  ──▶ ┌ wanted ┐ ── bell ──▶  prepares, zeroes, writes the anchor
//!    spare               ◀── │        │ ◀──────────  ready
//!    anchor              ──▶ ┌ anchor file ┐  by itself: a cut may not wait for its turn
//! ```
//!
//! An append waits here only when a segment filled up faster than the next one was prepared, and behind a
//! cut. A spare that is being zeroed can be had after the next step. Without the thread whoever asks does
//! it.
//!
//! Locks: `wanted` for a moment; `anchor` while the anchor is written. Neither is taken under the other.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use wal_format::Anchor;
use wal_segment::io::Directory;
use wal_segment::{AnchorFile, Depot, Error as SegmentError, Operation, Order, Rules, Spare, prepare};
use wal_sync::primitives::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use wal_sync::primitives::{Condvar, Mutex};

#[cfg(feature = "tracing")]
use crate::events::Listener;
use crate::events::note;

/// The spare segment and the anchor of one log.
#[derive(Debug)]
pub(crate) struct Stores {
    directory: Arc<dyn Directory>,
    rules: Rules,
    zero_ahead: bool,
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
    /// Somebody waits for the spare.
    awaited: bool,
    /// To be written at once.
    anchor: Option<Anchor>,
    /// To be written when a period has passed without anything else to do.
    leisurely: Option<Anchor>,
    /// The thread sleeps until the bell rings.
    asleep: bool,
    over: bool,
    /// Why the last attempt at a spare, or at the anchor, has failed, if it has.
    spare_failure: Option<SegmentError>,
    anchor_failure: Option<SegmentError>,
}

#[derive(Debug)]
enum Slot {
    Empty,
    Ordered(Order),
    /// It is worked at; once it can be used, its file is so long.
    InHand(Option<u64>),
    /// It can be used, and is better if it need not be yet.
    Zeroing(Spare),
    Ready(Spare),
    Failed(SegmentError),
}

/// An idle log does not keep its last frames in doubt for longer than this.
const LEISURE: Duration = Duration::from_secs(1);

impl Stores {
    /// Stores without a thread, or with what their thread is to be [run](Stores::run) with.
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        rules: Rules,
        anchor: AnchorFile,
        zero_ahead: bool,
        background: bool,
    ) -> (Stores, Option<Receiver<()>>) {
        let (bell, rings) = if background {
            let (bell, rings) = bounded(1);
            (Some(bell), Some(rings))
        } else {
            (None, None)
        };
        let wanted = Wanted {
            spare: Slot::Empty,
            awaited: false,
            anchor: None,
            leisurely: None,
            asleep: false,
            over: false,
            spare_failure: None,
            anchor_failure: None,
        };
        let stores = Stores {
            directory,
            rules,
            zero_ahead,
            anchor: Mutex::new(anchor),
            wanted: Mutex::new(wanted),
            changed: Condvar::new(),
            bell,
            #[cfg(feature = "tracing")]
            listener: None,
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

    /// Gives up a spare that nobody will need. What cannot be removed stays a prepared segment, which
    /// the next open gives up.
    pub(crate) fn discard_spare(&self) {
        let slot = std::mem::replace(&mut self.wanted.lock_whole().spare, Slot::Empty);
        if let Slot::Ready(spare) | Slot::Zeroing(spare) = slot {
            spare.discard(self.directory.as_ref()).ok();
        }
    }

    /// How long the file of the prepared segment is, if there is one.
    pub(crate) fn spare_bytes(&self) -> Option<u64> {
        match &self.wanted.lock_whole().spare {
            Slot::Ready(spare) | Slot::Zeroing(spare) => Some(spare.file_bytes()),
            Slot::InHand(bytes) => *bytes,
            _ => None,
        }
    }

    /// Why the last spare, and the last anchor, could not be had; `None` once another attempt went well.
    pub(crate) fn failures(&self) -> (Option<SegmentError>, Option<SegmentError>) {
        let wanted = self.wanted.lock_whole();
        (wanted.spare_failure.clone(), wanted.anchor_failure.clone())
    }

    fn make(&self, order: Order) -> Result<Spare, SegmentError> {
        self.anchor.lock_whole().prove(self.directory.as_ref())?;
        let made = prepare(self.directory.as_ref(), order, self.rules);
        note!(when Err(error) = &made => &self.listener, SpareFailed { error: error.clone().into() });
        made
    }

    fn made(&self, order: Order) -> Slot {
        match self.guarded(Operation::Create, || self.make(order)) {
            Ok(spare) if self.zero_ahead && order.wants_zeros() => Slot::Zeroing(spare),
            Ok(spare) => Slot::Ready(spare),
            Err(error) => Slot::Failed(error),
        }
    }

    /// One step. A spare that failed is given up; whoever needs one gets another.
    fn zero(&self, mut spare: Spare) -> Slot {
        match self.guarded(Operation::Write, || spare.zero_some()) {
            Ok(true) => Slot::Zeroing(spare),
            Ok(false) => Slot::Ready(spare),
            Err(error) => {
                // What cannot be removed stays a prepared segment, which the next attempt removes.
                spare.discard(self.directory.as_ref()).ok();
                Slot::Failed(error)
            }
        }
    }

    fn put(&self, slot: Slot) {
        self.wanted.lock_whole().settle(slot);
        self.changed.notify_all();
    }

    /// An anchor that could not be written is written at leisure, unless a newer one comes first.
    fn write_behind(&self, anchor: Anchor) {
        let written = self.guarded(Operation::Write, || self.write(anchor));
        if let Err(error) = written {
            let mut wanted = self.wanted.lock_whole();
            wanted.anchor_failure = Some(error);
            wanted.leisurely.get_or_insert(anchor);
        }
    }

    fn write(&self, anchor: Anchor) -> Result<(), SegmentError> {
        let written = self.anchor.lock_whole().write(anchor);
        self.wanted.lock_whole().anchor_failure = written.as_ref().err().cloned();
        note!(when Err(error) = &written => &self.listener, AnchorFailed { error: error.clone().into() });
        written
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

    fn spare_here(&self, order: Order) -> Result<Spare, SegmentError> {
        let slot = std::mem::replace(&mut self.wanted.lock_whole().spare, Slot::Empty);
        match slot {
            Slot::Ready(spare) | Slot::Zeroing(spare) if spare.suits(order) => Ok(spare),
            unsuited => {
                // Its space is given back with its last handle, and may be the last there is.
                drop(unsuited);
                let made = self.make(order);
                self.wanted.lock_whole().spare_failure = made.as_ref().err().cloned();
                made
            }
        }
    }
}

impl Wanted {
    /// An attempt at a spare has ended so.
    fn settle(&mut self, slot: Slot) {
        self.spare_failure = if let Slot::Failed(error) = &slot { Some(error.clone()) } else { None };
        self.spare = slot;
    }

    fn take_zeroing(&mut self) -> Option<Spare> {
        let Slot::Zeroing(spare) = &self.spare else { return None };
        let in_hand = Slot::InHand(Some(spare.file_bytes()));
        match std::mem::replace(&mut self.spare, in_hand) {
            Slot::Zeroing(spare) => Some(spare),
            _ => None,
        }
    }
}

impl Depot for Stores {
    fn directory(&self) -> &dyn Directory {
        self.directory.as_ref()
    }

    fn spare(&self, order: Order) -> Result<Spare, SegmentError> {
        if self.bell.is_none() {
            return self.spare_here(order);
        }
        let mut asked = false;
        let mut wanted = self.wanted.lock_whole();
        loop {
            let again = match std::mem::replace(&mut wanted.spare, Slot::Empty) {
                Slot::Ready(spare) | Slot::Zeroing(spare) if spare.suits(order) => {
                    wanted.awaited = false;
                    return Ok(spare);
                }
                Slot::Failed(error) if asked => {
                    wanted.awaited = false;
                    return Err(error);
                }
                slot @ (Slot::Ordered(_) | Slot::InHand(_)) => slot,
                // What there is does not suit: its file makes room for another.
                Slot::Ready(_) | Slot::Zeroing(_) | Slot::Failed(_) | Slot::Empty => Slot::Ordered(order),
            };
            wanted.awaited = true;
            asked |= matches!(again, Slot::Ordered(_));
            wanted.spare = again;
            if wanted.over {
                // Nobody is there any more to do it.
                drop(wanted);
                return self.spare_here(order);
            }
            if asked {
                self.ring();
            }
            wanted = self.changed.wait(wanted);
        }
    }

    fn order(&self, order: Order) {
        if self.bell.is_none() {
            let mut slot = self.made(order);
            while let Slot::Zeroing(spare) = slot {
                slot = self.zero(spare);
            }
            self.wanted.lock_whole().settle(slot);
            return;
        }
        let mut wanted = self.wanted.lock_whole();
        if matches!(wanted.spare, Slot::Empty | Slot::Failed(_)) {
            wanted.spare = Slot::Ordered(order);
            drop(wanted);
            self.ring();
        }
    }

    fn anchor(&self, anchor: Anchor) -> Result<(), SegmentError> {
        self.write(anchor)
    }

    fn anchor_soon(&self, anchor: Anchor) {
        if self.bell.is_none() {
            self.write_behind(anchor);
            return;
        }
        self.wanted.lock_whole().anchor = Some(anchor);
        self.ring();
    }

    fn anchor_at_leisure(&self, anchor: Anchor) {
        let mut wanted = self.wanted.lock_whole();
        wanted.leisurely = Some(anchor);
        if std::mem::take(&mut wanted.asleep) {
            drop(wanted);
            self.ring();
        }
    }
}
