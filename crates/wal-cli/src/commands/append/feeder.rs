//! The feeder thread: reads lines and submits them.
//!
//! Invariants: every submitted line is handed to the waiter, in order, and before the next read can block. A line is
//! submitted with the sequence after the previous line's, so that no line after a failed one gets into the log.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use wal::{Commit, ErrorKind, Wal};

use super::gate::Gate;
use crate::lines::{Lines, TooLong};

/// Submits the lines of a stream.
pub(super) struct Feeder<R> {
    wal: Wal,
    lines: Lines<R>,
    gate: Arc<Gate>,
    /// To the waiter.
    submitted: SyncSender<Vec<Commit>>,
    chunk: Vec<Commit>,
    /// The sequence of the next line.
    next: u64,
}

/// Why the feeder ended.
#[derive(Debug)]
pub(super) enum End {
    /// The end of the input.
    Input,
    /// A line is longer than the limit.
    TooLong { line: u64, max_line_bytes: usize },
    /// The input could not be read.
    Unreadable(io::Error),
    /// The log refused a line.
    Refused { line: u64, error: wal::Error },
    /// The waiter stopped it.
    Stopped,
}

/// How many lines are handed over at once, so that the cost of the channel does not matter.
const CHUNK_LINES: usize = 1024;

impl<R: Read> Feeder<R> {
    pub(super) fn new(
        wal: Wal,
        lines: Lines<R>,
        gate: Arc<Gate>,
        submitted: SyncSender<Vec<Commit>>,
    ) -> Feeder<R> {
        let next = wal.written_end();
        Feeder { wal, lines, gate, submitted, chunk: Vec::new(), next }
    }

    /// Submits every line, up to the end of the input or the first failure.
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
                return Ok(());
            }
            self.hand_over()?;
            if !self.gate.leave() {
                return Err(End::Stopped);
            }
        }
    }

    /// Submits the lines in the buffer.
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

    fn keep(&mut self, commit: Commit) -> Result<(), End> {
        self.next += 1;
        self.chunk.push(commit);
        if self.chunk.len() >= CHUNK_LINES { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<(), End> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        // The waiter is gone only when the command has ended.
        self.submitted.send(std::mem::take(&mut self.chunk)).map_err(|_| End::Stopped)
    }
}

fn submit(wal: &Wal, gate: &Gate, number: u64, line: u64, payload: &[u8]) -> Result<Commit, End> {
    if gate.is_stopped() {
        return Err(End::Stopped);
    }
    wal.submit_at(number, payload).map_err(|error| match error.kind() {
        // An earlier line has failed; the waiter reports it.
        ErrorKind::Conflict => End::Stopped,
        _ => End::Refused { line, error },
    })
}
