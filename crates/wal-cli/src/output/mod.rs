//! Output to stdout and stderr, which may be closed pipes.

pub(crate) mod table;

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use wal::Ending;
use wal_format::SegmentName;

use crate::failure::Failure;

/// Prints a message on stderr. A closed stderr is ignored.
pub(crate) fn say(message: impl std::fmt::Display) {
    writeln!(io::stderr().lock(), "wal: {message}").ok();
}

/// Prints a result on stdout. A closed stdout (`wal info | true`) is not an error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(unwritable(&error)),
        _ => Ok(()),
    }
}

/// Stdout failed for another reason than a closed pipe.
pub(crate) fn unwritable(error: &io::Error) -> Failure {
    Failure::refused(format!("cannot write to standard output: {error}"))
}

/// The message on a torn tail, if the log ended in one.
pub(crate) fn torn_tail(directory: &Path, ending: &Ending) -> Option<String> {
    let Ending::Torn { segment, offset, bytes } = ending else { return None };
    let file = directory.join(SegmentName::of(*segment).as_str());
    Some(format!(
        "{}: torn tail at offset {offset}: {bytes} bytes of a torn write are not part of the log",
        file.display()
    ))
}
