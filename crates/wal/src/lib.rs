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
//! # What survives
//!
//! | | process killed | power lost | disk damaged |
//! |---|---|---|---|
//! | an append that returned, or a [`Commit`] that was waited for, under [`SyncPolicy::Grouped`] or [`SyncPolicy::Immediate`] | yes | yes | reported, never passed over |
//! | the same under [`SyncPolicy::Periodic`] or [`SyncPolicy::None`] | yes | once [`Wal::durable`] has passed it | as far as it was durable: reported |
//! | everything before a [`Wal::sync`] or [`Wal::close`] that returned | yes | yes | reported, never passed over |
//!
//! After any crash the log is a prefix of what was appended, batches whole or absent. The assumptions
//! about the disk, and what one machine cannot know, are in `docs/durability.md`.
//!
//! # Numbers
//!
//! Entries are numbered from 0, or from [`Options::first_sequence`]. [`Wal::written`] and [`Wal::durable`] are the number of the *next* entry
//! that is not yet written or durable, and ranges exclude their end, as ranges in Rust do.
//!
//! [`Wal::truncate_before`] drops the front of the log and [`Wal::truncate_after`] its end; each is whole or
//! nothing after a crash. Numbers behind a cut are given again. [`Wal::append_at`] appends under the number that the
//! caller expects, or not at all.
//!
//! [`Wal::hold`] keeps the front from being dropped, [`Options::retain_bytes`] and the others drop it without being
//! asked once the application has called [`Wal::start_retention`], [`Options::max_log_bytes`] bounds it all.
//!
//! [`Wal::follow`] reads on as the log grows, and [`View::follow`] does so beside a writer in another process.
//!
//! # How it stands
//!
//! [`Wal::stats`] counts, and [`Wal::health`] answers a probe, also while a disk hangs. What to set and what to watch
//! is in `docs/operations.md`.
//!
//! # When something is wrong with the directory
//!
//! [`Options::open`] refuses a damaged log and changes nothing; its documentation lists the cases. [`View::losses`] says how
//! much is lost; [`Options::open_salvage`] reads what verifies.
//! [`Options::open_expecting`] refuses one that is older than the caller knows it to be. [`Wal::copy_to`] makes a copy
//! to go back to, while the log is written.

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
pub use options::retention::WhenFull;
pub use read::entries::Entries;
pub use read::entry::Entry;
pub use report::event::{Rollover, SlowSync};
pub use report::health::{Health, InHand, Space, Stall};
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
