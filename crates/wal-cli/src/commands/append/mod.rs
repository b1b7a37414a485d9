//! `append`: appends each line of stdin as an entry.
//!
//! ```text
//!  stdin ──▶ feeder thread ── submit ──▶ the log
//!               │ commits, in order, bounded       │ written or durable
//!               ▼                                  ▼
//!            this thread: waits for each in turn, acknowledges it on stdout
//! ```
//!
//! Invariant: this thread waits for every submitted entry, so that it can name a line that failed, and it acknowledges
//! an entry only once the policy's durability holds for it.

mod feeder;
mod gate;

use std::io::{self, BufWriter, Read, Write};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use wal::{Commit, ErrorKind, Options, SyncPolicy, Wal};

use self::feeder::{End, Feeder};
use self::gate::Gate;
use crate::args::{Append, Common, terminator};
use crate::failure::{Exit, Failure};
use crate::lines::Lines;
use crate::output::{Printer, say, say_torn_tail};

pub(crate) fn run(common: &Common, args: &Append) -> Result<Exit, Failure> {
    let policy = args.policy().map_err(Failure::refused)?;
    let wal = options(args, policy).open(&common.dir)?;
    say_torn_tail(&common.dir, &wal.recovery().ending);
    let first = wal.written_end();
    // A usize holds it: the open has refused more than a frame can hold.
    let max_line_bytes = usize::try_from(args.max_entry_bytes).unwrap_or(usize::MAX);
    let lines = Lines::new(io::stdin(), terminator(args.null), max_line_bytes);
    let acks = Printer::new(args.progress_acks.then(|| io::stdout().lock()));
    let passed = pass(&wal, lines, acks);
    // The log is closed after a failure, too.
    let closed = wal.clone().close();
    let next = wal.written_end();
    if wal.health().displaced {
        say(format!(
            "{} is another directory now: the entries are in the one that was opened, which was moved or replaced",
            common.dir.display()
        ));
    }
    if let (Err(_), Err(error)) = (&passed, &closed)
        && error.kind() != ErrorKind::Poisoned
    {
        say(format!("closing the log failed, too: {error}"));
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
    let max_entry_bytes = args.max_entry_bytes;
    let mut options = Options::new().sync(policy).max_entry_bytes(max_entry_bytes);
    if let Some(size) = args.segment_size {
        options = options.segment_bytes(size);
    }
    if let Some(first) = args.first_sequence {
        options = options.first_sequence(first);
    }
    if let Some(kind) = args.checksum {
        options = options.checksum(kind);
    }
    options
}

/// Chunks in the channel: 65,536 lines or 5 MiB of commits, enough to keep a disk busy across an fsync of some
/// milliseconds.
const CHUNKS_IN_HAND: usize = 64;

/// Appends every line, and returns once every submitted entry is acknowledged or has failed.
fn pass<R: Read + Send + 'static, W: Write>(
    wal: &Wal,
    lines: Lines<R>,
    acks: Printer<W>,
) -> Result<(), Failure> {
    let gate = Arc::new(Gate::new());
    let (submitted, chunks) = sync_channel(CHUNKS_IN_HAND);
    let feeder = Feeder::new(wal.clone(), lines, Arc::clone(&gate), submitted);
    let feeder = thread::Builder::new()
        .name("wal-lines".to_owned())
        .spawn(move || feeder.run())
        .map_err(|error| Failure::refused(format!("cannot start a thread: {error}")))?;
    let mut waiter = Waiter { acks, lines: 0, failed: None, printed: Ok(()) };
    while let Ok(chunk) = chunks.recv() {
        waiter.wait_for(&chunk);
        if !waiter.is_over() {
            continue;
        }
        if gate.stop() {
            // The feeder is submitting: it sees the gate, hands over the rest and ends.
            chunks.iter().for_each(|chunk| waiter.wait_for(&chunk));
        } else {
            // The feeder blocks in a read, perhaps forever: it has handed over everything, and is not joined.
            chunks.try_iter().for_each(|chunk| waiter.wait_for(&chunk));
            return waiter.judge(wal, End::Stopped);
        }
    }
    let end = feeder.join().unwrap_or_else(|panic| resume_unwind(panic));
    waiter.judge(wal, end)
}

/// Waits for entries in order.
struct Waiter<W: Write> {
    /// When the reader of stdout leaves, the appends go on.
    acks: Printer<W>,
    /// How many lines were acknowledged or failed.
    lines: u64,
    /// The first line that failed.
    failed: Option<(u64, wal::Error)>,
    /// Whether stdout works.
    printed: Result<(), Failure>,
}

impl<W: Write> Waiter<W> {
    /// Flushes acknowledgements before it blocks and before it returns.
    fn wait_for(&mut self, chunk: &[Commit]) {
        for commit in chunk {
            let outcome = commit.outcome().unwrap_or_else(|| {
                self.print(Write::flush);
                commit.wait()
            });
            self.lines += 1;
            match outcome {
                Ok(sequence) => self.print(|out| writeln!(out, "{sequence}")),
                Err(error) => {
                    self.failed.get_or_insert((self.lines, error));
                }
            }
        }
        self.print(Write::flush);
    }

    fn is_over(&self) -> bool {
        self.failed.is_some() || self.printed.is_err()
    }

    /// Keeps the first failure: after it nothing is printed, so nothing fails.
    fn print(&mut self, act: impl FnOnce(&mut BufWriter<W>) -> io::Result<()>) {
        if let Err(failure) = self.acks.write(act) {
            self.printed = Err(failure);
        }
    }

    /// The result of the command. The first line that failed takes precedence.
    fn judge(self, wal: &Wal, end: End) -> Result<(), Failure> {
        if let Some((line, error)) = self.failed {
            return Err(not_kept(wal, line, &error));
        }
        self.printed?;
        match end {
            End::Input | End::Stopped => Ok(()),
            End::Unreadable(error) => Err(Failure::refused(format!("cannot read standard input: {error}"))),
            End::Refused { line, error } => Err(not_kept(wal, line, &error)),
            End::TooLong { line, max_line_bytes } => Err(Failure::refused(format!(
                "line {line} is longer than --max-entry-bytes ({max_line_bytes}); \
                 the lines before it are kept, the next entry is {}",
                wal.written_end()
            ))),
        }
    }
}

fn not_kept(wal: &Wal, line: u64, error: &wal::Error) -> Failure {
    let failure = Failure::from(error.clone()).at(format_args!("line {line}"));
    // Only recovery at the next open knows what is on disk.
    if matches!(error.kind(), ErrorKind::Poisoned | ErrorKind::Closed) {
        return failure;
    }
    let Failure { message, .. } = failure;
    let message = format!("{message}; the lines before it are kept; the next entry is {}", wal.written_end());
    Failure { message, ..failure }
}
