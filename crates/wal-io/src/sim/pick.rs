//! Which of the pending items a power cut kept, as text that can be used again.

use std::fmt;
use std::io;
use std::str::FromStr;

/// Which of the pending items a power cut kept. Its text, `1.0.2`, `0.0.1 torn 99` or
/// `1.1.1 garbage 99`, reads back with [`FromStr`], so that a failing case can be named in a test and
/// drawn again with [`SimDisk::crash_image`](super::SimDisk::crash_image).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// For each item the version: 0 is what was durable.
    pub(super) versions: Vec<usize>,
    /// With the seed that it was drawn from.
    pub(super) spoil: Option<(Spoil, u64)>,
}

/// What happened below the size of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoil {
    Torn,
    Garbage,
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, version) in self.versions.iter().enumerate() {
            let dot = if place == 0 { "" } else { "." };
            write!(f, "{dot}{version}")?;
        }
        match self.spoil {
            None => Ok(()),
            Some((Spoil::Torn, seed)) => write!(f, " torn {seed}"),
            Some((Spoil::Garbage, seed)) => write!(f, " garbage {seed}"),
        }
    }
}

impl FromStr for Pick {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Pick> {
        let unclear = || io::Error::new(io::ErrorKind::InvalidInput, format!("no pick: {text:?}"));
        read(text).ok_or_else(unclear)
    }
}

fn read(text: &str) -> Option<Pick> {
    let words: Vec<&str> = text.split(' ').collect();
    let (versions, spoil) = match words[..] {
        [versions] => (versions, None),
        [versions, "torn", seed] => (versions, Some((Spoil::Torn, seed.parse().ok()?))),
        [versions, "garbage", seed] => (versions, Some((Spoil::Garbage, seed.parse().ok()?))),
        _ => return None,
    };
    let versions = versions.split('.').filter(|version| !version.is_empty());
    let versions = versions.map(|version| version.parse().ok()).collect::<Option<_>>()?;
    Some(Pick { versions, spoil })
}
