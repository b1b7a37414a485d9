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
//! Entries are numbered from 0. [`Wal::written`] and [`Wal::durable`] are the number of the *next* entry
//! that is not yet written or durable, and ranges exclude their end, as ranges in Rust do.
//!
//! [`Wal::truncate_before`] drops the front of the log and [`Wal::truncate_after`] its end; each is whole or
//! nothing after a crash. Numbers behind a cut are given again. [`Wal::hold`] keeps the front from being dropped,
//! [`Options::retain_bytes`] and the others drop it without being asked, [`Options::max_log_bytes`] bounds it all.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that panics has failed"))]

mod commit;
mod core;
mod crew;
mod error;
mod histogram;
mod hold;
mod keeper;
mod keeping;
mod log;
mod meters;
#[cfg(feature = "prometheus")]
mod metrics;
mod options;
mod reader;
mod retention;
mod roll;
mod rollover;
mod stats;
mod stores;
mod tail;
mod truncate;
mod view;

pub use commit::{Commit, Reached};
pub use error::{Error, ErrorKind};
pub use hold::Hold;
pub use keeping::WhenFull;
pub use log::Wal;
#[cfg(feature = "prometheus")]
pub use metrics::Metrics;
pub use options::Options;
pub use reader::{Entries, Entry};
pub use rollover::Rollover;
pub use stats::{Distribution, LowestHold, Stats};
pub use view::{SegmentInfo, View};

pub use wal_format::ChecksumKind as Checksum;
pub use wal_segment::io::Directory;
#[cfg(feature = "sim")]
pub use wal_segment::io::sim;
pub use wal_segment::{Damage, DamageKind, Ending, Lost, Recovery, Verification};
#[cfg(zoo)]
pub use wal_segment::{Rule, Rules};
pub use wal_sync::{Durability, SyncPolicy};
