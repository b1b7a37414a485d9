//! The bare loop: the least that a replay with checksums can do.
//!
//! The throw-away `group` writes its records to one file. This maps the file, and goes from header to header.

use std::path::Path;
use std::time::Duration;

use super::throw_away;
use crate::engine::{Act, Candidate, Role};
use crate::tally::Tally;

pub(super) const REPLAY: Candidate = Candidate {
    name: "bare",
    package: None,
    role: Role::Floor,
    promise: "each entry has matched its CRC-32 and is lent from the mapping; nothing is known of where the log ends",
    configuration: "one mapping of one file; 8 bytes before each entry, its length and its CRC-32",
    act: Act::Replay { open: throw_away::open_group, read },
};

fn read(directory: &Path, tally: &mut Tally) -> Result<Duration, String> {
    throw_away::show_file(directory, throw_away::GROUP_FILE, None, |entry| tally.entry(entry))
}
