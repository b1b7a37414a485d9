//! What the writer asks its caller for: prepared segments, and writes of the anchor.
//!
//! With threads both come from the background, so that an append waits for neither; without threads, the
//! calling thread does the work. This crate knows no threads and no locks but those on files, so it only
//! states what it needs.

use wal_format::Anchor;

use crate::error::Error;
use crate::files::watched::WatchedFile;
use crate::io::Directory;
use crate::spares::spare::{Order, Spare};

/// Prepares segments and writes the anchor for a [`Writer`](crate::Writer).
pub trait SpareSource {
    /// The directory of the log.
    fn directory(&self) -> &dyn Directory;

    /// Checks that the names of the log lead to the files that it has open. The writer calls it before each
    /// new segment, and an implementation before it writes the anchor.
    ///
    /// # Errors
    /// [`Error::Exchanged`], after which nothing more may be accepted; why the system could not tell.
    fn check_names(&self) -> Result<(), Error>;

    /// Notes that the log goes on in this segment, whose name must lead to it from now on.
    fn entered(&self, segment: WatchedFile);

    /// Returns a prepared segment for this order.
    ///
    /// # Errors
    /// Why none could be prepared; the log is unchanged.
    fn spare(&self, order: Order) -> Result<Spare, Error>;

    /// Asks for a segment that the writer will need soon. A hint only.
    fn order(&self, order: Order);

    /// The same, but only if it takes no new disk space: from a pool file. Returns whether the segment was
    /// ordered.
    fn order_if_waiting(&self, order: Order) -> bool {
        debug_assert!(order.bytes >= order.needed_bytes, "an order is possible");
        false
    }

    /// Writes the anchor, durable on return.
    ///
    /// # Errors
    /// Why it may not be durable.
    fn anchor(&self, anchor: Anchor) -> Result<(), Error>;

    /// Asks for the anchor to be written soon: once for each segment.
    fn anchor_soon(&self, anchor: Anchor);

    /// Asks for the anchor to be written when there is nothing else to do.
    fn anchor_at_leisure(&self, anchor: Anchor);
}
