//! The `wal` binary: where it is, the runs of it that must end well, and its policies.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The binary under test.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
}

impl Program {
    /// The given one, or the one that lies beside this executable.
    pub(crate) fn find(given: Option<&Path>) -> Result<Program, String> {
        let path = match given {
            Some(given) => given.to_owned(),
            None => std::env::current_exe()
                .map_err(|error| format!("this executable cannot be found: {error}"))?
                .with_file_name(format!("wal{}", std::env::consts::EXE_SUFFIX)),
        };
        if !path.is_file() {
            return Err(format!(
                "there is no wal binary at {}: build it with `cargo build -p wal-cli`, in the same profile, \
                 or name one with --wal",
                path.display()
            ));
        }
        // A relative path would be looked up in PATH.
        let path = std::path::absolute(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Program { path })
    }

    /// A command on the log in `directory`, with all streams piped.
    pub(crate) fn command(&self, command: &str, directory: &Path) -> Command {
        let mut built = Command::new(&self.path);
        built.arg(command).arg("-d").arg(directory);
        built.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        built
    }

    /// Checks the whole log; tells whether its tail is torn.
    pub(crate) fn verify(&self, directory: &Path) -> Result<bool, String> {
        let output = self.output("verify", directory)?;
        match output.status.code() {
            Some(0) => Ok(false),
            Some(3) => Ok(true),
            _ => Err(told("wal verify", &output)),
        }
    }

    /// Opens the log, appends nothing, and closes it. Its end stays as it was, torn or not.
    pub(crate) fn close(&self, directory: &Path) -> Result<(), String> {
        let output = self.output("append", directory)?;
        if !output.status.success() {
            return Err(told("wal append", &output));
        }
        Ok(())
    }

    fn output(&self, command: &str, directory: &Path) -> Result<Output, String> {
        let mut command = self.command(command, directory);
        command.stdin(Stdio::null()).output().map_err(|error| format!("wal cannot be run: {error}"))
    }
}

/// The policies of `wal append`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Policy {
    None,
    Immediate,
    Periodic,
    Grouped,
}

impl Policy {
    /// As on the command line of `wal`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Policy::None => "none",
            Policy::Immediate => "immediate",
            Policy::Periodic => "periodic",
            Policy::Grouped => "grouped",
        }
    }
}

/// How a run ended and what it said.
fn told(what: &str, output: &Output) -> String {
    format!("{what} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end())
}
