//! What goes to stdout and stderr, and what happens when nobody listens any more.

pub(crate) mod json;
pub(crate) mod table;

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use wal::Ending;
use wal_format::SegmentName;

use crate::failure::Failure;

/// Says something on stderr. When stderr is closed there is nobody left to tell.
pub(crate) fn say(message: impl std::fmt::Display) {
    writeln!(io::stderr().lock(), "wal: {message}").ok();
}

/// Prints what a command was asked for. That the reader has left is no error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(unwritable(&error)),
        _ => Ok(()),
    }
}

/// Stdout refused, for another reason than a closed pipe.
pub(crate) fn unwritable(error: &io::Error) -> Failure {
    Failure::refused(format!("cannot write to standard output: {error}"))
}

/// One line on a torn tail; nothing for any other ending.
pub(crate) fn torn_tail(directory: &Path, ending: &Ending) -> Option<String> {
    let Ending::Torn { segment, offset, bytes } = ending else { return None };
    let file = directory.join(SegmentName::of(*segment).as_str());
    Some(format!(
        "{}: torn tail at offset {offset}: {bytes} bytes of a write that was interrupted are no part of the log",
        file.display()
    ))
}
