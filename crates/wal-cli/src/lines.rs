//! Splits a stream into lines of any bytes, without a copy or an allocation per line.
//!
//! ```text
//! buffer  ┌─────────┬──────────────┬──────────┬───────────┐
//!         │ taken   │ searched, no │ not yet  │ free      │
//!         │         │ terminator   │ searched │           │
//!         └─────────┴──────────────┴──────────┴───────────┘
//!                   unread.start   searched   unread.end
//! ```
//!
//! Invariant: the buffer is never longer than the longest accepted line plus [`BUFFER_BYTES`]. Reading is a
//! separate step ([`Lines::fill`]), so that a caller can act before it may block.

use std::io::{self, ErrorKind, Read};
use std::ops::Range;

/// The size of a read when lines are short: larger than a pipe.
const BUFFER_BYTES: usize = 256 << 10;

/// A stream that is split into lines at a terminator.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    source: R,
    terminator: u8,
    max_line_bytes: usize,
    buffer: Vec<u8>,
    unread: Range<usize>,
    searched: usize,
    /// The stream is at its end.
    ended: bool,
    taken: u64,
}

/// A line is longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong {
    pub(crate) max_line_bytes: usize,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(source: R, terminator: u8, max_line_bytes: usize) -> Lines<R> {
        let buffer = vec![0; BUFFER_BYTES];
        Lines {
            source,
            terminator,
            max_line_bytes,
            buffer,
            unread: 0..0,
            searched: 0,
            ended: false,
            taken: 0,
        }
    }

    /// The next line in the buffer, without its terminator, which the last line of the stream need not have.
    pub(crate) fn take(&mut self) -> Result<Option<&[u8]>, TooLong> {
        let fresh = &self.buffer[self.searched..self.unread.end];
        // The crate memchr would save 0.3 s of the 7 s that five million lines of 100 bytes take.
        let found = fresh.iter().position(|byte| *byte == self.terminator);
        let line = self.unread.start..found.map_or(self.unread.end, |distance| self.searched + distance);
        self.accept(line.len())?;
        if found.is_none() && (!self.ended || line.is_empty()) {
            self.searched = line.end;
            return Ok(None);
        }
        self.unread.start = self.unread.end.min(line.end + 1);
        self.searched = self.unread.start;
        self.taken += 1;
        Ok(Some(&self.buffer[line]))
    }

    /// Reads more, which may block; returns `false` at the end of the stream. Call it when
    /// [`take`](Lines::take) has returned no line.
    pub(crate) fn fill(&mut self) -> io::Result<bool> {
        self.make_room();
        loop {
            match self.source.read(&mut self.buffer[self.unread.end..]) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(false);
                }
                Ok(read) => {
                    self.unread.end += read;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// How many lines were taken.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    fn accept(&self, line_bytes: usize) -> Result<(), TooLong> {
        let max_line_bytes = self.max_line_bytes;
        if line_bytes <= max_line_bytes { Ok(()) } else { Err(TooLong { max_line_bytes }) }
    }

    fn make_room(&mut self) {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.searched -= self.unread.start;
        self.unread = 0..self.unread.len();
        if self.unread.end == self.buffer.len() {
            let most = self.max_line_bytes.saturating_add(BUFFER_BYTES);
            self.buffer.resize(self.buffer.len().saturating_mul(2).min(most), 0);
        }
        assert!(self.unread.end < self.buffer.len(), "a line that fills the buffer was refused before");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives out so many bytes a read, as a pipe may.
    struct Trickle<'a> {
        bytes: &'a [u8],
        step: usize,
    }

    impl Read for Trickle<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let read = self.bytes.len().min(self.step).min(into.len());
            into[..read].copy_from_slice(&self.bytes[..read]);
            self.bytes = &self.bytes[read..];
            Ok(read)
        }
    }

    fn split(bytes: &[u8], step: usize, max_line_bytes: usize) -> (Vec<Vec<u8>>, bool) {
        let mut lines = Lines::new(Trickle { bytes, step }, b'\n', max_line_bytes);
        let mut found = Vec::new();
        let mut more = true;
        while more {
            more = lines.fill().unwrap();
            loop {
                match lines.take() {
                    Ok(Some(line)) => found.push(line.to_vec()),
                    Ok(None) => break,
                    Err(TooLong { .. }) => return (found, true),
                }
            }
            assert!(lines.buffer.len() <= max_line_bytes + BUFFER_BYTES);
        }
        assert_eq!(lines.taken(), found.len() as u64);
        (found, false)
    }

    #[test]
    fn every_step_of_reading_gives_the_same_lines() {
        let text = b"\n\none\r\ntwo \xff\0\n\nlast";
        let expected: Vec<&[u8]> = vec![b"", b"", b"one\r", b"two \xff\0", b"", b"last"];
        for step in 1..=text.len() {
            assert_eq!(split(text, step, 100), (expected.iter().map(|line| line.to_vec()).collect(), false));
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_accepted_and_no_longer() {
        for step in [1, 7, 4096] {
            assert_eq!(split(b"1234\n12345", step, 5).0.len(), 2);
            assert_eq!(split(b"1234\n123456\n1\n", step, 5), (vec![b"1234".to_vec()], true));
            assert_eq!(split(b"1234\n123456", step, 5), (vec![b"1234".to_vec()], true));
        }
    }

    #[test]
    fn a_line_longer_than_the_buffer_comes_whole() {
        let mut text = vec![b'x'; 5 * BUFFER_BYTES + 3];
        text.push(b'\n');
        text.extend(b"short\n");
        let (lines, too_long) = split(&text, 65536, 5 * BUFFER_BYTES + 3);
        assert_eq!((lines.len(), too_long), (2, false));
        assert_eq!(lines[0], &text[..5 * BUFFER_BYTES + 3]);
        assert!(split(&text, 65536, 5 * BUFFER_BYTES + 2).1);
    }
}
