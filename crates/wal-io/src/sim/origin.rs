//! How a simulated disk came to be, for the message of a failing test.

use std::fmt;
use std::sync::Arc;

use super::pick::Pick;

/// How a disk came to be. The text is made only when it is asked for.
pub(super) enum Origin {
    Seed(u64),
    Killed { before: Arc<Origin>, operations: u64 },
    Cut { pick: Pick, told: Box<dyn fmt::Display + Send + Sync> },
}

impl Default for Origin {
    fn default() -> Origin {
        Origin::Seed(0)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Seed(seed) => write!(f, "disk of seed {seed}"),
            Origin::Killed { before, operations } => {
                write!(f, "{before}; killed after {operations} operations")
            }
            Origin::Cut { told, .. } => told.fmt(f),
        }
    }
}
