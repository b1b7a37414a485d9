//! The engines, one a file.

mod bare;
mod commitlog;
mod fjall;
mod floor;
mod mrecordlog;
mod okaywal;
mod open_wal;
mod raft_engine;
mod throw_away;
pub(crate) mod wal;
mod wal_db;

use crate::engine::Candidate;
use crate::section::Section;

/// The engines of a section in the order of its tables. The first round runs them in this order, too; every round
/// begins one later.
pub(crate) fn of(section: Section) -> &'static [&'static Candidate] {
    match section {
        Section::Threads => &[
            &floor::DURABLE,
            &throw_away::GROUP3,
            &wal::IMMEDIATE,
            &wal::GROUPED,
            &okaywal::DURABLE,
            &raft_engine::CANDIDATE,
            &wal_db::DURABLE,
            &open_wal::DURABLE,
            &fjall::DURABLE,
        ],
        // One engine and one shape; it is held against what the peers reach with threads.
        Section::Pipeline => &[],
        Section::None => &[
            &floor::RAW,
            &throw_away::COMBINE,
            &wal::NONE,
            &wal_db::NONE,
            &commitlog::NONE,
            &mrecordlog::NONE,
            &fjall::NONE,
        ],
        Section::Buffered => &[
            &throw_away::GROUP,
            &wal::BUFFERED,
            &open_wal::BUFFERED,
            &mrecordlog::BUFFERED,
            &fjall::BUFFERED,
        ],
        Section::Replay => &[
            &bare::REPLAY,
            &wal::REPLAY,
            &wal::LENT,
            &okaywal::REPLAY,
            &wal_db::REPLAY,
            &open_wal::REPLAY,
            &commitlog::REPLAY,
            &mrecordlog::REPLAY,
        ],
    }
}

/// The engines of all sections. Some have a name in several.
pub(crate) fn all() -> impl Iterator<Item = &'static Candidate> {
    Section::ALL.iter().flat_map(|&section| of(section)).copied()
}

/// Puts what was tried in front of why it failed.
pub(crate) fn because<E: std::fmt::Display>(act: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{act}: {error}")
}
