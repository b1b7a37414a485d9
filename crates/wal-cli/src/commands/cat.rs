//! `cat`: prints payloads, forward or in reverse, and follows the log.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::iter;
use std::task::Poll;

use wal::{Entry, Mark, Options, View};

use crate::args::{Cat, Common, terminator};
use crate::failure::{Exit, Failure};
use crate::output::{say, torn_tail, unwritable};

pub(crate) fn run(common: &Common, args: &Cat) -> Result<Exit, Failure> {
    let view = Options::new().mapped_reads(!args.no_mmap).open_read_only(&common.dir)?;
    let printed = if args.follow { follow(&view, args) } else { print(&view, args) };
    match printed {
        Ok(()) => {}
        // `wal cat | head` is not an error.
        Err(Stopped::Output(error)) if error.kind() == ErrorKind::BrokenPipe => return Ok(Exit::Fine),
        Err(Stopped::Output(error)) => return Err(unwritable(&error)),
        Err(Stopped::Log(error)) => return Err(error.into()),
    }
    // With --follow the log has gone on since the view was opened.
    if !args.follow
        && let Some(note) = torn_tail(&common.dir, &view.recovery().ending)
    {
        say(note);
    }
    Ok(Exit::Fine)
}

const OUTPUT_BUFFER_BYTES: usize = 1 << 20;

/// Why printing stopped early.
enum Stopped {
    Output(io::Error),
    Log(wal::Error),
}

/// Prints every entry up to the end, or to damage.
fn print(view: &View, args: &Cat) -> Result<(), Stopped> {
    let limit = usize::try_from(args.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let mut range = view.range(args.from.unwrap_or(0)..=args.to.unwrap_or(u64::MAX));
    let entries = iter::from_fn(|| if args.reverse { range.next_back() } else { range.next() });
    let mut printer = Printer::new(args.null);
    for entry in entries.take(limit) {
        if let Err(stopped) = printer.print(entry) {
            return Err(printer.stop(stopped));
        }
    }
    printer.end()
}

/// Prints the entries of the log and those appended later. Flushes before it waits.
fn follow(view: &View, args: &Cat) -> Result<(), Stopped> {
    let from = args.from.unwrap_or(0).max(view.first());
    let mark = if args.written { Mark::Written } else { Mark::Durable };
    let mut follower = view.follow_with(from, mark).map_err(Stopped::Log)?;
    let mut printer = Printer::new(args.null);
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 && args.to.is_none_or(|to| follower.position() <= to) {
        let item = match follower.try_next() {
            Poll::Ready(item) => item,
            Poll::Pending => {
                if let Err(error) = printer.out.flush() {
                    return Err(printer.stop(Stopped::Output(error)));
                }
                follower.next()
            }
        };
        let Some(entry) = item else { break };
        if let Err(stopped) = printer.print(entry) {
            return Err(printer.stop(stopped));
        }
        left -= 1;
    }
    printer.end()
}

/// Standard output, an entry at a time.
struct Printer {
    out: BufWriter<io::StdoutLock<'static>>,
    terminator: [u8; 1],
}

impl Printer {
    fn new(null: bool) -> Printer {
        let out = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, io::stdout().lock());
        Printer { out, terminator: [terminator(null)] }
    }

    fn print(&mut self, entry: Result<Entry, wal::Error>) -> Result<(), Stopped> {
        let entry = entry.map_err(Stopped::Log)?;
        let written = self.out.write_all(entry.payload());
        written.and_then(|()| self.out.write_all(&self.terminator)).map_err(Stopped::Output)
    }

    fn end(mut self) -> Result<(), Stopped> {
        self.out.flush().map_err(|error| self.give_up(error))
    }

    /// Flushes the entries before the damage.
    fn stop(mut self, stopped: Stopped) -> Stopped {
        match stopped {
            Stopped::Log(error) => {
                self.out.flush().map_or_else(|failed| self.give_up(failed), |()| Stopped::Log(error))
            }
            Stopped::Output(error) => self.give_up(error),
        }
    }

    /// Takes the writer apart, because dropping it would write again.
    fn give_up(self, error: io::Error) -> Stopped {
        drop(self.out.into_parts());
        Stopped::Output(error)
    }
}
