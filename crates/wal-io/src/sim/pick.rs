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
    pub(super) spoil: Spoil,
}

/// What happened below the size of a block; the numbers are seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoil {
    Nothing,
    Torn(u64),
    Garbage(u64),
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, version) in self.versions.iter().enumerate() {
            let dot = if place == 0 { "" } else { "." };
            write!(f, "{dot}{version}")?;
        }
        match self.spoil {
            Spoil::Nothing => Ok(()),
            Spoil::Torn(seed) => write!(f, " torn {seed}"),
            Spoil::Garbage(seed) => write!(f, " garbage {seed}"),
        }
    }
}

impl FromStr for Pick {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Pick> {
        let unclear = || io::Error::new(io::ErrorKind::InvalidInput, format!("no pick: {text:?}"));
        let (versions, spoil) = if let Some((versions, seed)) = text.split_once(" torn ") {
            (versions, Spoil::Torn(seed.parse().map_err(|_| unclear())?))
        } else if let Some((versions, seed)) = text.split_once(" garbage ") {
            (versions, Spoil::Garbage(seed.parse().map_err(|_| unclear())?))
        } else {
            (text, Spoil::Nothing)
        };
        let versions = versions.split('.').filter(|version| !version.is_empty());
        let versions = versions.map(str::parse).collect::<Result<_, _>>().map_err(|_| unclear())?;
        Ok(Pick { versions, spoil })
    }
}
