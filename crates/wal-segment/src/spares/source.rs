//! What the writer asks of others: prepared segments, and an anchor that is written.
//!
//! With threads these come from the background, so that an append waits for neither; without, whoever
//! asks does it. This crate names no thread and no lock, so it only says what is asked for.

use wal_format::Anchor;

use crate::error::Error;
use crate::files::watched::WatchedFile;
use crate::io::Directory;
use crate::spares::spare::{Order, Spare};

/// Where prepared segments come from, and the anchor goes to.
pub trait SpareSource {
    /// The directory of the log.
    fn directory(&self) -> &dyn Directory;

    /// Whether the names that the log stands on lead to the files that it has open. Asked before each new segment, and by this
    /// spares before it writes the anchor.
    ///
    /// # Errors
    /// [`Error::Exchanged`], and then nothing more may be accepted; what kept the system from telling.
    fn check_names(&self) -> Result<(), Error>;

    /// The log goes on in this segment, whose name must lead to it from now on.
    fn entered(&self, segment: WatchedFile);

    /// A segment of this number that has room for what was ordered.
    ///
    /// # Errors
    /// Why none could be prepared; the log goes on where it was.
    fn spare(&self, order: Order) -> Result<Spare, Error>;

    /// The segment will be asked for before long. Nothing is promised.
    fn order(&self, order: Order);

    /// The segment will be asked for, and is worth its order now only if it takes no space that the log does
    /// not have already: when a file waits. Returns whether it was ordered.
    fn order_if_waiting(&self, order: Order) -> bool {
        debug_assert!(order.bytes >= order.needed_bytes, "an order is possible");
        false
    }

    /// The anchor says this, durably, when it returns.
    ///
    /// # Errors
    /// Why it may not.
    fn anchor(&self, anchor: Anchor) -> Result<(), Error>;

    /// The anchor is to say this before long: once a segment.
    fn anchor_soon(&self, anchor: Anchor);

    /// The anchor may say this when there is nothing else to do.
    fn anchor_at_leisure(&self, anchor: Anchor);
}
