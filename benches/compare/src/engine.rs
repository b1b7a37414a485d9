//! What every engine under measurement has to do, and what is said about it.

use std::path::Path;
use std::time::Duration;

use crate::run::Load;
use crate::tally::Tally;

/// An open log. Threads share it.
pub(crate) trait Engine: Sync {
    /// Appends `payload`: one entry, or the entries of a batch one after the other. Returns when they are what the
    /// candidate promises of them.
    fn append(&self, payload: &[u8]) -> Result<(), String>;

    /// Closes the log, opens it again, and shows `tally` every entry that is there. What was still buffered is written
    /// before.
    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String>;
}

/// An engine that can be measured.
pub(crate) struct Candidate {
    /// As it is called in tables and on the command line.
    pub(crate) name: &'static str,
    /// The package that it comes from; the floor and the throw-aways have none.
    pub(crate) package: Option<&'static str>,
    pub(crate) role: Role,
    /// What its figure promises: what is true of an entry when the append has returned, or of what a replay read.
    pub(crate) promise: &'static str,
    /// How it was opened and called, so that the promise holds.
    pub(crate) configuration: &'static str,
    /// What of it is measured.
    pub(crate) act: Act,
}

/// What an engine is measured at.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    /// Appends, by threads that share the log.
    Append(Open),
    /// Reading all of a log that was written through `open`.
    Replay { open: Open, read: Read },
}

/// Makes a log in an empty directory, for such a load.
pub(crate) type Open = fn(&Path, &Load) -> Result<Box<dyn Engine>, String>;

/// Opens the log in a directory, shows `tally` every entry, and says how long it took after the log was open.
pub(crate) type Read = fn(&Path, &mut Tally) -> Result<Duration, String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// What the machine gives without a log: every other engine is held against it.
    Floor,
    Ours,
    /// Made for this comparison: what a log that promises nothing else could reach. It recovers nothing.
    ThrowAway,
    Peer,
}

impl Candidate {
    /// The version that was built, from the lock file.
    pub(crate) fn version(&self) -> Option<&'static str> {
        version_in(include_str!("../Cargo.lock"), self.package?)
    }
}

fn version_in<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    lines.nth(1)?.strip_prefix("version = \"")?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::all;

    #[test]
    fn every_package_has_a_version_in_the_lock_file() {
        for candidate in all() {
            assert_eq!(candidate.version().is_some(), candidate.package.is_some(), "{}", candidate.name);
        }
    }

    #[test]
    fn a_package_that_is_not_locked_has_no_version() {
        assert_eq!(version_in("name = \"a\"\nversion = \"1.2.3\"\n", "a"), Some("1.2.3"));
        assert_eq!(version_in("name = \"a\"\nversion = \"1.2.3\"\n", "b"), None);
    }
}
