//! Prints the sequences of acknowledged entries on stdout (`--progress-acks`) until the reader closes it.

use std::io::{BufWriter, ErrorKind, Write};

use crate::failure::Failure;
use crate::output::unwritable;

/// Acknowledgements, buffered for stdout.
pub(super) struct Acks<W: Write> {
    /// `None` without the option, and after stdout was closed: the appends go on.
    out: Option<BufWriter<W>>,
}

const BUFFER_BYTES: usize = 64 << 10;

impl<W: Write> Acks<W> {
    pub(super) fn new(out: Option<W>) -> Acks<W> {
        Acks { out: out.map(|out| BufWriter::with_capacity(BUFFER_BYTES, out)) }
    }

    /// Buffers a sequence until the next [`Acks::flush`] at the latest.
    pub(super) fn acknowledge(&mut self, sequence: u64) -> Result<(), Failure> {
        self.write(|out| writeln!(out, "{sequence}"))
    }

    /// Call it before anything that may block.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.write(Write::flush)
    }

    fn write(&mut self, act: impl FnOnce(&mut BufWriter<W>) -> std::io::Result<()>) -> Result<(), Failure> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let Err(error) = act(out) else { return Ok(()) };
        // Taken apart, because dropping it would write again.
        if let Some(out) = self.out.take() {
            drop(out.into_parts());
        }
        if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(unwritable(&error)) }
    }
}
