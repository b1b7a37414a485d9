//! The engines, one a file.

mod floor;
mod okaywal;
mod open_wal;
mod raft_engine;
pub(crate) mod wal;
mod wal_db;

use crate::engine::Candidate;

/// In the order of the tables. The first round runs them in this order, too; every round begins one later.
pub(crate) const ALL: &[&Candidate] = &[
    &floor::CANDIDATE,
    &wal::IMMEDIATE,
    &wal::GROUPED,
    &okaywal::CANDIDATE,
    &raft_engine::CANDIDATE,
    &wal_db::CANDIDATE,
    &open_wal::CANDIDATE,
];

/// Puts what was tried in front of why it failed.
fn because<E: std::fmt::Display>(act: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{act}: {error}")
}
