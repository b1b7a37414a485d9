//! Output to stdout and stderr, which may be closed pipes.

pub(crate) mod table;

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;

use wal::Ending;
use wal_format::SegmentName;

use crate::failure::Failure;

/// Prints a message on stderr. A closed stderr is ignored.
pub(crate) fn say(message: impl std::fmt::Display) {
    // One write: lines of two processes that share stderr do not mix.
    io::stderr().write_all(format!("wal: {message}\n").as_bytes()).ok();
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
fn unwritable(error: &io::Error) -> Failure {
    Failure::refused(format!("cannot write to standard output: {error}"))
}

/// Says that the log ended in a torn tail, if it did.
pub(crate) fn say_torn_tail(directory: &Path, ending: &Ending) {
    let Ending::Torn { segment, offset, bytes } = ending else { return };
    let file = directory.join(SegmentName::of(*segment).as_str());
    say(format_args!(
        "{}: torn tail at offset {offset}: {bytes} bytes of a torn write are not part of the log",
        file.display()
    ));
}

/// Standard output that is written in many pieces, until its reader leaves (`wal cat | head`), which is not an error.
pub(crate) struct Printer<W: Write> {
    /// `None` where nothing is printed: without a request, and after an error.
    out: Option<BufWriter<W>>,
}

const BUFFER_BYTES: usize = 1 << 20;

impl<W: Write> Printer<W> {
    pub(crate) fn new(out: Option<W>) -> Printer<W> {
        Printer { out: out.map(|out| BufWriter::with_capacity(BUFFER_BYTES, out)) }
    }

    /// Buffers what `act` writes until the next [`Printer::flush`] at the latest.
    pub(crate) fn write(
        &mut self,
        act: impl FnOnce(&mut BufWriter<W>) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let Err(error) = act(out) else { return Ok(()) };
        // Taken apart, because dropping it would write again.
        drop(self.out.take().map(BufWriter::into_parts));
        if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(unwritable(&error)) }
    }

    /// Call it before anything that may block, and at the end.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.write(Write::flush)
    }

    /// Whether the reader has left.
    pub(crate) fn is_closed(&self) -> bool {
        self.out.is_none()
    }
}
