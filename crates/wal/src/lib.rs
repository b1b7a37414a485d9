//! A durable write-ahead log: append, sync, crash, recover, replay.
//!
//! ```
//! # fn main() -> Result<(), wal::Error> {
//! # let scratch = tempfile::tempdir().expect("a temporary directory");
//! # let directory = scratch.path().join("log");
//! let wal = wal::Options::new().open(&directory)?;
//! println!("{}", wal.recovery());
//!
//! let sequence = wal.append(b"set a=1")?; // durable when this returns
//! for entry in wal.read_from(sequence)? {
//!     let entry = entry?;
//!     assert_eq!((entry.sequence(), entry.payload()), (0, &b"set a=1"[..]));
//! }
//! wal.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Durability guarantees
//!
//! | | process killed | power lost | disk damaged |
//! |---|---|---|---|
//! | an append that returned, or a [`Commit`] that was waited for, under [`SyncPolicy::Grouped`] or [`SyncPolicy::Immediate`] | survives | survives | reported, never skipped |
//! | the same under [`SyncPolicy::Periodic`] or [`SyncPolicy::None`] | survives | survives once [`Wal::durable_end`] has passed it | reported as far as it was durable |
//! | everything before a [`Wal::sync`] or [`Wal::close`] that returned | survives | survives | reported, never skipped |
//!
//! After any crash the log is a prefix of what was appended; a batch is whole or absent. The assumptions
//! about the disk, and what one machine cannot know, are in `docs/durability.md`.
//!
//! # Sequence numbers
//!
//! Entries have consecutive log sequence numbers, from 0 or from [`Options::first_sequence`]. [`Wal::written_end`] and
//! [`Wal::durable_end`] return the number of the *next* entry, the first one that is not yet written or durable. Ranges
//! exclude their end, as in Rust.
//!
//! # Truncation and retention
//!
//! [`Wal::truncate_before`] drops the oldest entries, [`Wal::truncate_after`] the newest; each is atomic
//! across a crash. Numbers dropped at the end are assigned again. [`Wal::append_at`] appends only if the next
//! number is the one that the caller expects.
//!
//! Retention ([`Options::retain_bytes`] and its siblings) drops the oldest segments once the application has called
//! [`Wal::start_retention`]. [`Wal::hold`] keeps what a consumer still needs. [`Options::max_log_bytes`] bounds the
//! whole log.
//!
//! # Replay
//!
//! [`Wal::reader`] replays a range and lends its entries, one by one or a batch at a time: the quickest way to read many.
//! [`Wal::range`] iterates over owned entries, from either end. [`Wal::read`] finds a single one.
//!
//! # Reading as the log grows
//!
//! [`Wal::follow`] tails the log in the writer's process, [`View::follow`] in another one.
//!
//! # Monitoring
//!
//! [`Wal::stats`] returns counters. [`Wal::health`] answers a health probe, even while the disk hangs. What to set and
//! what to watch is in `docs/operations.md`.
//!
//! # Damage and backups
//!
//! [`Options::open`] fails on a damaged log and changes nothing; its documentation lists the cases. [`View::losses`]
//! reports how much is lost, [`Options::open_salvage`] reads every entry that still verifies.
//! [`Options::open_expecting`] fails on a log that is older than the caller knows it to be. [`Wal::copy_to`] makes a
//! backup while the log is written.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that panics has failed"))]

mod engine;
mod error;
mod log;
mod options;
mod read;
mod report;
mod retention;
mod supply;
mod view;

pub use error::{Error, ErrorKind};
pub use log::Wal;
pub use log::commit::{Commit, Reached};
pub use log::follow::Follower;
pub use log::hold::Hold;
pub use options::Options;
pub use options::when_full::WhenFull;
pub use read::entries::Entries;
pub use read::entry::Entry;
pub use read::lent::{Batch, EntryRef};
pub use read::reader::Reader;
pub use report::event::{Rollover, SlowSync};
pub use report::health::{Health, Operation, Space, Stall};
#[cfg(feature = "prometheus")]
pub use report::prometheus::Metrics;
pub use report::stats::{Distribution, LowestHold, Stats};
pub use view::follow::ViewFollower;
pub use view::salvage::{Salvage, Salvaged};
pub use view::{SegmentInfo, View};

pub use wal_format::{ChecksumKind as Checksum, LogId};
pub use wal_segment::io::Directory;
#[cfg(feature = "sim")]
pub use wal_segment::io::sim;
pub use wal_segment::{
    Aside, CopyReport, Damage, DamageKind, Ending, Gap, Losses, Lost, OpenMode, Recovery, SalvageSummary,
    SetAside, Verification,
};
#[cfg(zoo)]
pub use wal_segment::{Rule, Rules};
pub use wal_sync::{Durability, Mark, SyncPolicy};
