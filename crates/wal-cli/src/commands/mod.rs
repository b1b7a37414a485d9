//! The commands, one per file. Each takes parsed arguments and returns the exit code.

pub(crate) mod append;
pub(crate) mod cat;
pub(crate) mod copy;
pub(crate) mod info;
pub(crate) mod repair;
pub(crate) mod truncate;
pub(crate) mod verify;

use std::ops::Range;

/// A range of entries as text, with both ends included.
pub(crate) fn words(entries: &Range<u64>) -> String {
    match entries.end.saturating_sub(entries.start) {
        0 => "no entry".to_owned(),
        1 => format!("entry {}", entries.start),
        _ => format!("entries {} to {}", entries.start, entries.end - 1),
    }
}
