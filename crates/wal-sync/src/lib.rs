//! When the bytes of a write-ahead log become durable, and who waits for it.
//!
//! This crate does not know what a file is. It sees a [`Target`], which writes frames and syncs them, and
//! brings together those who append, those who wait, and the one who writes and syncs for all. It keeps
//! one promise above all: **after a sync has failed, no caller is told that anything became durable.** A
//! second try would be answered with success by many systems although the bytes are gone.
//!
//! ```text
//!  append ──▶ GroupCommit ──▶ Target::write ──▶ written moves ──▶ policy: due? ──▶ Target::sync ──▶ durable moves
//!               numbers          one frame          │                │                 │              │
//!               collects                           acks             no: done         failed:         acks
//!                                                                                     latched
//! ```
//!
//! Policies are data ([`SyncPolicy`]): who triggers a sync, and what an append waits for. The algorithm
//! is one, in [`GroupCommit`].

#![forbid(unsafe_code)]

mod epoch;
mod error;
mod group_commit;
mod policy;
pub mod primitives;
mod target;
mod ticket;
mod watermark;

pub use error::Error;
pub use group_commit::{Batch, Dropped, GroupCommit, Limits, Patience, Standing, Watch};
pub use policy::{Durability, SyncPolicy};
pub use target::{Alone, Fault, Target, Wrote};
pub use ticket::Ticket;
pub use watermark::Mark;
