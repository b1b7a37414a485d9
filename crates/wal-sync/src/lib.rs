//! When the bytes of a write-ahead log become durable, and who waits for it.
//!
//! This crate does not know what a file is. It sees a [`SyncTarget`], moves two [`Watermark`]s, and
//! keeps one promise: **after a sync has failed, nobody is told that anything became durable.** A
//! second try would be answered with success by many systems although the bytes are gone.
//!
//! ```text
//!  append ──▶ wrote(next) ──▶ policy ──▶ due? ──▶ SyncTarget::sync ──▶ durable moves ──▶ ack
//!                                          │             │
//!                                          └── no: ack   └── failed: latched, for everybody, for ever
//! ```
//!
//! Policies are data ([`SyncPolicy`]): who triggers a sync, and what an append waits for.

#![forbid(unsafe_code)]

mod policy;
pub mod primitives;
mod syncer;
mod target;
mod watermark;

pub use policy::SyncPolicy;
pub use syncer::Syncer;
pub use target::SyncTarget;
pub use watermark::Watermark;
