//! The segment files of a write-ahead log: append, rollover, crash recovery, reading.
//!
//! This crate owns the files and reaches them through one seam, [`io`]. It does not decide when an entry
//! becomes durable: the caller runs the fsyncs. It syncs by itself only where the order of the files requires
//! it. It starts no thread and takes no lock but the writer's lock on the directory.
//!
//! ```text
//!  open ──▶ recovery: files · segment ──▶ decide ──▶ verdict
//!    ▼
//!  writer ──▶ spares            reader ◀── follow            salvage · tools
//! ```
//!
//! - [`open()`] runs crash recovery and returns the one [`Writer`].
//! - [`look`] opens the log read-only: without the lock, without changing anything.
//! - [`Replay`] reads a [`Snapshot`] forward and lends its entries; [`Entries`] owns them, and reads backward too;
//!   [`find()`] reads a single entry.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that panics has failed"))]

mod error;
mod files;
mod follow;
mod reader;
mod recovery;
mod rules;
mod salvage;
mod segment;
mod spares;
mod tools;
mod writer;

pub use error::{CapReached, Damage, DamageKind, Error, Lost, Operation};
pub use files::anchor::AnchorFile;
pub use files::watched::{WatchedFile, WatchedNames};
pub use follow::tailer::Tailer;
pub use reader::cursor::Cursor;
pub use reader::entries::Entries;
pub use reader::entry::Entry;
pub use reader::get::find;
pub use reader::lent::{Batch, EntryRef};
pub use reader::replay::Replay;
pub use reader::segments::bytes::Chunk;
pub use reader::segments::reader::SegmentReader;
pub use reader::segments::recent::RecentSegments;
pub use reader::segments::source::SegmentSource;
pub use recovery::obsolete::remove_obsolete;
pub use recovery::open::{DEFAULT_SEGMENT_BYTES, OpenMode, OpenRequest, Opened, look, open};
pub use recovery::report::{Ending, Recovery};
pub use rules::{Rule, Rules};
pub use salvage::{Aside, Gap, Losses, Salvage, SalvageSummary, Salvaged, SetAside, salvage};
pub use segment::frame_builder::FrameBuilder;
pub use segment::snapshot::Snapshot;
pub use segment::span::{Span, Tip};
pub use spares::pool_file::PoolFile;
pub use spares::source::SpareSource;
pub use spares::spare::{Order, Spare, prepare};
pub use tools::copy::{CopyReport, copy};
pub use tools::verify::{Verification, verify};
pub use wal_io as io;
pub use wal_io::ForkMark;
pub use writer::{PendingDeletion, Rolled, Settings, Shrinkable, SyncJob, Writer, shrink};
