//! `append`: one entry a line of standard input.
//!
//! ```text
//!  stdin ──▶ feeder, a thread ── submit ──▶ the log
//!               │ commits, in order; so many at most     │ written, or durable
//!               ▼                                        ▼
//!            this thread: waits for each in turn, acknowledges it on stdout
//! ```
//!
//! Invariant: every entry that was submitted is waited for, so that a line that could not be kept is named,
//! and nobody is told of an entry before the policy's promise holds for it.

mod acks;
mod feeder;
mod gate;

use std::io::{self, Read, Write};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use wal::{Commit, ErrorKind, Options, SyncPolicy, Wal};

use self::acks::Acks;
use self::feeder::{End, Feeder};
use self::gate::Gate;
use crate::args::{Append, Common, terminator};
use crate::failure::{Exit, Failure};
use crate::lines::Lines;
use crate::output::{say, torn_tail};

pub(crate) fn run(common: &Common, args: &Append) -> Result<Exit, Failure> {
    let policy = args.policy().map_err(Failure::refused)?;
    let wal = options(args, policy).open(&common.dir)?;
    if let Some(note) = torn_tail(&common.dir, &wal.recovery().ending) {
        say(note);
    }
    let first = wal.written();
    // A usize holds it: the library refused what a frame cannot hold.
    let max_line_bytes = usize::try_from(args.max_entry_bytes.bytes).unwrap_or(usize::MAX);
    let lines = Lines::new(io::stdin(), terminator(args.null), max_line_bytes);
    let acks = Acks::new(args.progress_acks.then(|| io::stdout().lock()));
    let passed = pass(&wal, lines, acks);
    // Whatever ended it, what was appended is acknowledged, and the log closed.
    let closed = wal.clone().close();
    let next = wal.written();
    if wal.health().displaced {
        say(format!(
            "{} leads elsewhere now: the entries are in the directory that was opened, wherever it is",
            common.dir.display()
        ));
    }
    if let (Err(_), Err(error)) = (&passed, &closed)
        && error.kind() != ErrorKind::Poisoned
    {
        say(format!("and the log could not be closed: {error}"));
    }
    passed?;
    closed?;
    if !common.quiet {
        say(match next.checked_sub(1).filter(|last| *last >= first) {
            None => "appended nothing".to_owned(),
            Some(last) => format!("appended entries {first} to {last}"),
        });
    }
    Ok(Exit::Fine)
}

fn options(args: &Append, policy: SyncPolicy) -> Options {
    let max_entry_bytes = args.max_entry_bytes.bytes;
    let mut options = Options::new().sync(policy).max_entry_bytes(max_entry_bytes);
    if let Some(size) = args.segment_size {
        options = options.segment_bytes(size.bytes);
    }
    if let Some(first) = args.first_sequence {
        options = options.first_sequence(first);
    }
    if let Some(kind) = args.checksum {
        options = options.checksum(kind);
    }
    options
}

/// So many chunks may be handed over and not waited for: 65,536 lines, enough to keep a disk busy across a
/// sync of some milliseconds, and 5 MiB.
const CHUNKS_IN_HAND: usize = 64;

/// Appends every line, and returns once nothing that was submitted is undecided.
fn pass<R: Read + Send + 'static, W: Write>(
    wal: &Wal,
    lines: Lines<R>,
    acks: Acks<W>,
) -> Result<(), Failure> {
    let gate = Arc::new(Gate::new());
    let (submitted, chunks) = sync_channel(CHUNKS_IN_HAND);
    let feeder = Feeder::new(wal.clone(), lines, Arc::clone(&gate), submitted);
    let feeder = thread::Builder::new()
        .name("wal-lines".to_owned())
        .spawn(move || feeder.run())
        .map_err(|error| Failure::refused(format!("a thread cannot be started: {error}")))?;
    let mut waiter = Waiter { acks, lines: 0, failed: None, told: Ok(()) };
    while let Ok(chunk) = chunks.recv() {
        waiter.wait_for(&chunk);
        if !waiter.is_over() {
            continue;
        }
        if gate.stop() {
            // It is at work, sees the gate, and hands over what it has submitted.
            chunks.iter().for_each(|chunk| waiter.wait_for(&chunk));
        } else {
            // It is in a read, perhaps for ever, and is left there: it has handed over all.
            chunks.try_iter().for_each(|chunk| waiter.wait_for(&chunk));
            return waiter.judge(wal, End::Stopped);
        }
    }
    let end = feeder.join().unwrap_or_else(|panic| resume_unwind(panic));
    waiter.judge(wal, end)
}

/// Waits for entries in order.
struct Waiter<W: Write> {
    acks: Acks<W>,
    /// So many lines are decided.
    lines: u64,
    /// The first line that is not in the log, and why.
    failed: Option<(u64, wal::Error)>,
    /// Whether acknowledgements could be printed.
    told: Result<(), Failure>,
}

impl<W: Write> Waiter<W> {
    /// What was acknowledged is out before this blocks, and when it returns.
    fn wait_for(&mut self, chunk: &[Commit]) {
        for commit in chunk {
            let outcome = commit.outcome().unwrap_or_else(|| {
                self.flush();
                commit.wait()
            });
            self.lines += 1;
            match outcome {
                Ok(sequence) => self.acknowledge(sequence),
                Err(error) => {
                    self.failed.get_or_insert((self.lines, error));
                }
            }
        }
        self.flush();
    }

    fn is_over(&self) -> bool {
        self.failed.is_some() || self.told.is_err()
    }

    fn acknowledge(&mut self, sequence: u64) {
        if self.told.is_ok() {
            self.told = self.acks.acknowledge(sequence);
        }
    }

    fn flush(&mut self) {
        if self.told.is_ok() {
            self.told = self.acks.flush();
        }
    }

    /// What there is to say in the end. The line that failed first comes first.
    fn judge(self, wal: &Wal, end: End) -> Result<(), Failure> {
        if let Some((line, error)) = self.failed {
            return Err(not_kept(wal, line, &error));
        }
        self.told?;
        match end {
            End::Input | End::Stopped => Ok(()),
            End::Unreadable(error) => Err(Failure::refused(format!("cannot read standard input: {error}"))),
            End::Refused { line, error } => Err(not_kept(wal, line, &error)),
            End::TooLong { line, max_line_bytes } => Err(Failure::refused(format!(
                "line {line} is longer than --max-entry-bytes ({max_line_bytes}); \
                 the lines before it are kept, the next entry is {}",
                wal.written()
            ))),
        }
    }
}

fn not_kept(wal: &Wal, line: u64, error: &wal::Error) -> Failure {
    let failure = Failure::from(error.clone()).at(format_args!("line {line}"));
    // Only the next open finds out what is on the disk.
    if matches!(error.kind(), ErrorKind::Poisoned | ErrorKind::Closed) {
        return failure;
    }
    let Failure { message, .. } = failure;
    let message = format!("{message}; the lines before it are kept; the next entry is {}", wal.written());
    Failure { message, ..failure }
}
