//! What surrounds the log: configuration, values, metrics, traces, callbacks, the README, the dependencies.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

#[path = "../common/mod.rs"]
mod common;

mod config;
mod dependencies;
mod health;
mod module_map;
mod readme;
mod rollover_callback;
mod tracing;
