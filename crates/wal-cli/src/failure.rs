//! How a command ends: the exit codes, and failures that become one.

use std::path::Path;
use std::process::ExitCode;

use wal::{ErrorKind, Options};

/// The exit codes: stable, because scripts depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Fine = 0,
    /// A usage error or an I/O error.
    Refused = 1,
    /// Acknowledged entries are damaged or missing.
    Corrupt = 2,
    /// The log ends in a torn tail; no acknowledged entry is lost. Only `verify` exits with it.
    Torn = 3,
    /// Another writer has the log open.
    Locked = 4,
    NoLog = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command failed: its message and its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn refused(message: impl Into<String>) -> Failure {
        Failure { exit: Exit::Refused, message: message.into() }
    }

    /// Puts the place before the message.
    pub(crate) fn at(self, place: impl std::fmt::Display) -> Failure {
        Failure { message: format!("{place}: {}", self.message), ..self }
    }
}

/// The last line for a damaged log: what is lost, and the next step.
pub(crate) fn verdict(dir: &Path) -> String {
    let losses = Options::new().open_read_only(dir).and_then(|view| view.losses());
    // For example, ANCHOR may be a directory.
    let unknown = |_| "how many entries are lost is not known".to_owned();
    let losses = losses.map_or_else(unknown, |losses| losses.to_string());
    let dir = dir.display();
    format!(
        "{dir}: {losses}. Nothing was changed. Copy the directory; then `wal repair -d {dir} --out NEW` makes a log of \
         what can be recovered, and without --out it only reports that"
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
        // The verdict on the whole log names the next step.
        let damage = error.damage().map(|damage| format!("damaged: {damage}"));
        Failure { exit, message: damage.unwrap_or_else(|| error.to_string()) }
    }
}
