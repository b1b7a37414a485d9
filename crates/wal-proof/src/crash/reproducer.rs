//! How a state came about, as text that `wal-proof crash --replay` runs again.
//!
//! `1:0:ab@17[1.0.2] / as@3!` reads: seed 1, setup 0; append and batch, the power cut at disk operation
//! 17 keeping version 1 of the first pending item, nothing of the second and version 2 of the third;
//! then append and sync, and the process killed at operation 3.

use std::fmt;
use std::str::FromStr;

use wal::sim::Pick;

use crate::crash::script::Script;

/// One life and the power cut that ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) script: Script,
    /// The disk operation at which the power was cut; after the last one when there is none.
    pub(crate) cut_at: Option<u64>,
    /// What the power cut kept.
    pub(crate) pick: Option<Pick>,
    /// Only the process died: the page cache is as it was.
    pub(crate) killed: bool,
}

/// The lives and crashes that led to a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reproducer {
    pub(crate) seed: u64,
    /// Which of the setups.
    pub(crate) setup: usize,
    pub(crate) stages: Vec<Stage>,
}

impl fmt::Display for Reproducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.seed, self.setup)?;
        for (index, stage) in self.stages.iter().enumerate() {
            let separator = if index == 0 { "" } else { " / " };
            write!(f, "{separator}{}", stage.script)?;
            if let Some(cut_at) = stage.cut_at {
                write!(f, "@{cut_at}")?;
            }
            if let Some(pick) = &stage.pick {
                write!(f, "[{pick}]")?;
            }
            if stage.killed {
                f.write_str("!")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Reproducer {
    type Err = String;

    fn from_str(text: &str) -> Result<Reproducer, String> {
        let stage = |text: &str| -> Result<Stage, String> {
            let (text, killed) = text.strip_suffix('!').map_or((text, false), |text| (text, true));
            let (head, pick) = match text.split_once('[') {
                Some((head, pick)) => {
                    let pick = pick.strip_suffix(']').ok_or("a pick ends with ]")?;
                    (head, Some(pick.parse().map_err(|error| format!("{error}"))?))
                }
                None => (text, None),
            };
            let (script, cut_at) = match head.split_once('@') {
                Some((script, cut)) => {
                    (script, Some(cut.parse().map_err(|error| format!("{cut:?}: {error}"))?))
                }
                None => (head, None),
            };
            Ok(Stage { script: script.parse()?, cut_at, pick, killed })
        };
        let mut parts = text.splitn(3, ':');
        let mut number = |what: &str| {
            let part = parts.next().ok_or_else(|| format!("no {what}"))?;
            part.trim().parse::<u64>().map_err(|error| format!("{what} {part:?}: {error}"))
        };
        let (seed, setup) = (number("seed")?, number("setup")?);
        let stages = parts.next().ok_or("no stages")?.split(" / ").map(stage).collect::<Result<_, _>>()?;
        let setup = usize::try_from(setup).map_err(|error| error.to_string())?;
        Ok(Reproducer { seed, setup, stages })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_reads_back() {
        for text in ["1:0:ab@17[1.0.2] / as@3!", "7:3:rr@22[0.1 garbage 99]", "1:1:f"] {
            assert_eq!(
                text.parse::<Reproducer>().map(|reproducer| reproducer.to_string()),
                Ok(text.to_string())
            );
        }
        for nonsense in ["", "1:0", "x:0:a", "1:0:?", "1:0:a@x", "1:0:a@1[1"] {
            assert!(nonsense.parse::<Reproducer>().is_err(), "{nonsense:?}");
        }
    }
}
