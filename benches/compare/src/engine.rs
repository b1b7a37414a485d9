//! What every engine under measurement has to do, and what is said about it.

use std::path::Path;

use crate::tally::Tally;

/// An open log. Threads share it.
pub(crate) trait Engine: Sync {
    /// Returns when the entry is durable: when it survives a loss of power. The floor and every peer are configured
    /// for that; how, is in their [`Candidate::configuration`].
    fn append(&self, payload: &[u8]) -> Result<(), String>;

    /// Gives the log up, opens it again, and shows `tally` every entry that is there.
    fn reopen(self: Box<Self>, tally: &mut Tally) -> Result<(), String>;
}

/// An engine that can be measured.
pub(crate) struct Candidate {
    /// As it is called in tables and on the command line.
    pub(crate) name: &'static str,
    /// The package that it comes from; the floor has none.
    pub(crate) package: Option<&'static str>,
    pub(crate) role: Role,
    /// What its figure promises: what is true of an entry when the append has returned.
    pub(crate) promise: &'static str,
    /// How it was opened and called, so that the promise holds.
    pub(crate) configuration: &'static str,
    /// Makes a log in an empty directory, for entries of so many bytes.
    pub(crate) open: Open,
}

pub(crate) type Open = fn(&Path, usize) -> Result<Box<dyn Engine>, String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// What the disk gives without any sharing.
    Floor,
    Ours,
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
    use crate::engines::ALL;

    #[test]
    fn every_package_has_a_version_in_the_lock_file() {
        for candidate in ALL {
            assert_eq!(candidate.version().is_some(), candidate.package.is_some(), "{}", candidate.name);
        }
    }

    #[test]
    fn a_package_that_is_not_locked_has_no_version() {
        assert_eq!(version_in("name = \"a\"\nversion = \"1.2.3\"\n", "a"), Some("1.2.3"));
        assert_eq!(version_in("name = \"a\"\nversion = \"1.2.3\"\n", "b"), None);
    }
}
