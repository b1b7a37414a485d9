//! Monitoring: events, counters, health and metrics. Nothing here decides anything.

pub(crate) mod counters;
pub(crate) mod event;
pub(crate) mod health;
mod histogram;
pub(crate) mod listener;
pub(crate) mod probe;
#[cfg(feature = "prometheus")]
pub(crate) mod prometheus;
pub(crate) mod stats;
#[cfg(feature = "tracing")]
pub(crate) mod trace;
