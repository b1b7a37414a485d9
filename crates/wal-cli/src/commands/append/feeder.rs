//! Reads lines and submits them, on a thread of its own.
//!
//! Invariants: every submitted line is handed over, in order, and before the next read can block. A line is submitted under
//! the number that follows on the line before it, so that nothing after a line that failed gets into the log.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use wal::{Commit, ErrorKind, Wal};

use super::gate::Gate;
use crate::lines::{Lines, TooLong};

/// From a stream of lines to submitted entries.
pub(super) struct Feeder<R> {
    wal: Wal,
    lines: Lines<R>,
    gate: Arc<Gate>,
    /// Where submitted entries are handed over.
    submitted: SyncSender<Vec<Commit>>,
    chunk: Vec<Commit>,
    /// The number that the next line gets.
    next: u64,
}

/// Why no more lines are read.
#[derive(Debug)]
pub(super) enum End {
    /// There are none.
    Input,
    /// A line is longer than accepted.
    TooLong { line: u64, max_line_bytes: usize },
    /// The stream.
    Unreadable(io::Error),
    /// The log refused a line.
    Refused { line: u64, error: wal::Error },
    /// Whoever waits for the entries knows why.
    Stopped,
}

/// So many lines are handed over together: the price of a hand-over is nothing beside theirs.
const CHUNK_LINES: usize = 1024;

impl<R: Read> Feeder<R> {
    pub(super) fn new(
        wal: Wal,
        lines: Lines<R>,
        gate: Arc<Gate>,
        submitted: SyncSender<Vec<Commit>>,
    ) -> Feeder<R> {
        let next = wal.written();
        Feeder { wal, lines, gate, submitted, chunk: Vec::new(), next }
    }

    /// Submits every line, until there are no more or something is wrong.
    pub(super) fn run(mut self) -> End {
        let fed = self.feed();
        match fed.and(self.hand_over()) {
            Ok(()) => End::Input,
            Err(end) => end,
        }
    }

    fn feed(&mut self) -> Result<(), End> {
        loop {
            let more = self.lines.fill().map_err(End::Unreadable)?;
            if !self.gate.enter() {
                return Err(End::Stopped);
            }
            self.submit_lines()?;
            if !more {
                return self.submit_rest();
            }
            self.hand_over()?;
            if !self.gate.leave() {
                return Err(End::Stopped);
            }
        }
    }

    /// Submits the lines that lie whole in the buffer.
    fn submit_lines(&mut self) -> Result<(), End> {
        loop {
            let line = self.lines.taken() + 1;
            match self.lines.take() {
                Ok(Some(payload)) => {
                    let commit = submit(&self.wal, &self.gate, self.next, line, payload)?;
                    self.keep(commit)?;
                }
                Ok(None) => return Ok(()),
                Err(TooLong { max_line_bytes }) => return Err(End::TooLong { line, max_line_bytes }),
            }
        }
    }

    /// Submits what stands behind the last terminator.
    fn submit_rest(&mut self) -> Result<(), End> {
        let line = self.lines.taken() + 1;
        let Some(payload) = self.lines.rest() else { return Ok(()) };
        let commit = submit(&self.wal, &self.gate, self.next, line, payload)?;
        self.keep(commit)
    }

    fn keep(&mut self, commit: Commit) -> Result<(), End> {
        self.next += 1;
        self.chunk.push(commit);
        if self.chunk.len() >= CHUNK_LINES { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<(), End> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        // Nobody listens only when nobody is left to tell.
        self.submitted.send(std::mem::take(&mut self.chunk)).map_err(|_| End::Stopped)
    }
}

fn submit(wal: &Wal, gate: &Gate, number: u64, line: u64, payload: &[u8]) -> Result<Commit, End> {
    if gate.is_stopped() {
        return Err(End::Stopped);
    }
    wal.submit_at(number, payload).map_err(|error| match error.kind() {
        // A line before this one has failed; the waiter gets its error.
        ErrorKind::Conflict => End::Stopped,
        _ => End::Refused { line, error },
    })
}
