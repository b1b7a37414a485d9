//! The numbers of acknowledged entries on stdout, if they are wanted and while somebody reads them.

use std::io::{BufWriter, ErrorKind, Write};

use crate::failure::Failure;
use crate::output::unwritable;

/// Acknowledgements, on their way out.
pub(super) struct Acks<W: Write> {
    /// None when they are not wanted, or when the reader has left: the entries matter more.
    out: Option<BufWriter<W>>,
}

const BUFFER_BYTES: usize = 64 << 10;

impl<W: Write> Acks<W> {
    pub(super) fn new(out: Option<W>) -> Acks<W> {
        Acks { out: out.map(|out| BufWriter::with_capacity(BUFFER_BYTES, out)) }
    }

    /// Takes a number. It is out with the next [`Acks::flush`] at the latest.
    pub(super) fn acknowledge(&mut self, sequence: u64) -> Result<(), Failure> {
        self.tell(|out| writeln!(out, "{sequence}"))
    }

    /// To be called before anything that may block.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.tell(Write::flush)
    }

    fn tell(&mut self, act: impl FnOnce(&mut BufWriter<W>) -> std::io::Result<()>) -> Result<(), Failure> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let Err(error) = act(out) else { return Ok(()) };
        // Taken apart, so that dropping it does not try to write again.
        if let Some(out) = self.out.take() {
            drop(out.into_parts());
        }
        if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(unwritable(&error)) }
    }
}
