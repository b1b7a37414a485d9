//! Segment files of a write-ahead log: creation, rollover, recovery, reading.
//!
//! This crate owns the files, and reaches them through one seam ([`io`]). It never decides *when*
//! to sync for the sake of durability; it syncs only where the order of the files asks for it. It uses
//! no threads and no locks but the one on the directory.
//!
//! ```text
//!  open ──▶ survey ──▶ catalog · anchor_file · inspect · chain · scan · evidence ──▶ decide
//!    │                                                                                │
//!    ▼                                                                             verdict
//!  writer ──▶ spare                            reader ──▶ shelf
//! ```
//!
//! - [`open()`] decides what the log is and returns the one [`Writer`].
//! - [`look`] does the same without the lock and without changing anything, for readers.
//! - [`Entries`] reads a [`Snapshot`] forward and backward, [`find()`] a single entry of it.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that panics has failed"))]

mod anchor_file;
mod backward;
mod catalog;
mod chain;
mod copy;
mod cursor;
mod decide;
mod depot;
mod entry;
mod error;
mod evidence;
mod find;
mod frame_buffer;
mod frame_check;
mod frames;
mod growing;
mod heads;
mod held;
mod index;
mod inspect;
mod last_segment;
mod leftovers;
mod locate;
mod named;
mod open;
mod reader;
mod reading;
mod recovery;
mod rules;
mod salvage;
mod scan;
mod scout;
mod settle;
mod shelf;
mod source;
mod span;
mod spare;
mod stated_end;
mod survey;
mod trail;
mod verify;
mod volume;
mod waiting;
mod window;
mod writer;

pub use anchor_file::AnchorFile;
pub use copy::{CopyReport, copy};
pub use cursor::Cursor;
pub use depot::Depot;
pub use entry::Entry;
pub use error::{Damage, DamageKind, Error, Fullness, Lost, Operation};
pub use find::find;
pub use frame_buffer::FrameBuffer;
pub use held::{HeldFile, HeldNames};
pub use leftovers::remove_leftovers;
pub use open::{DEFAULT_SEGMENT_BYTES, OpenMode, Opened, Wanted, look, open};
pub use reader::Entries;
pub use recovery::{Ending, Recovery};
pub use rules::{Rule, Rules};
pub use salvage::{Aside, Gap, Losses, Salvage, SalvageSummary, Salvaged, SetAside, salvage};
pub use scout::Scout;
pub use shelf::{Shelf, Snapshot};
pub use source::Chunk;
pub use span::{Span, Tip};
pub use spare::{Order, Spare, prepare};
pub use verify::{Verification, verify};
pub use volume::{Volume, Volumes};
pub use waiting::Waiting;
pub use wal_io as io;
pub use wal_io::ForkMark;
pub use writer::{Excess, Lingering, Rolled, Settings, SyncJob, Writer, give_back};
