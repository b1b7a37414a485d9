//! How a command ends: the exit codes, and failures that become one.

use std::path::Path;
use std::process::ExitCode;

use wal::{ErrorKind, Options};

/// The exit codes. Stable: scripts depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Fine = 0,
    /// A usage error, or the system refused.
    Refused = 1,
    /// Acknowledged entries are damaged or missing.
    Corrupt = 2,
    /// The log ends in a torn tail; nothing acknowledged is lost. Only `verify` says so.
    Torn = 3,
    /// Another writer has the log.
    Locked = 4,
    NoLog = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command could not do what it was asked for: what it says, and the code it exits with.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn refused(message: impl Into<String>) -> Failure {
        Failure { exit: Exit::Refused, message: message.into() }
    }

    /// The same failure, with where it happened in front.
    pub(crate) fn at(self, place: impl std::fmt::Display) -> Failure {
        Failure { message: format!("{place}: {}", self.message), ..self }
    }
}

/// The sentence that matters to the owner of a damaged log: what is lost, and what to do.
pub(crate) fn verdict(dir: &Path) -> String {
    let losses = Options::new().open_read_only(dir).and_then(|view| view.losses());
    // The anchor may be no file, for example.
    let unknown = |_| "how many entries are lost is not known".to_owned();
    let losses = losses.map_or_else(unknown, |losses| losses.to_string());
    let dir = dir.display();
    format!(
        "{dir}: {losses}. Nothing was changed. Copy the directory; then `wal repair -d {dir} --out NEW` makes a log of \
         what can be kept, and without --out it only says what that is"
    )
}

impl From<wal::Error> for Failure {
    fn from(error: wal::Error) -> Failure {
        let exit = match error.kind() {
            ErrorKind::Corrupt | ErrorKind::Missing => Exit::Corrupt,
            ErrorKind::Locked => Exit::Locked,
            ErrorKind::NoLog => Exit::NoLog,
            _ => Exit::Refused,
        };
        // What can be done about damage is said once, for the whole log.
        let damage = error.damage().map(|damage| format!("damaged: {damage}"));
        Failure { exit, message: damage.unwrap_or_else(|| error.to_string()) }
    }
}
