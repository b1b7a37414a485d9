//! `cat`: prints payloads, forward or in reverse, and follows the log.

use std::io::{self, Write};
use std::iter;
use std::task::Poll;

use wal::{Entry, Mark, Options, View};

use crate::args::{Cat, Common, terminator};
use crate::failure::{Exit, Failure};
use crate::output::{Printer, say_torn_tail};

pub(crate) fn run(common: &Common, args: &Cat) -> Result<Exit, Failure> {
    let view = Options::new().mapped_reads(!args.no_mmap).open_read_only(&common.dir)?;
    let mut out = Printer::new(Some(io::stdout().lock()));
    if args.follow {
        follow(&view, args, &mut out)?;
    } else {
        print(&view, args, &mut out)?;
    }
    out.flush()?;
    // With --follow the log has gone on since the view was opened.
    if !args.follow && !out.is_closed() {
        say_torn_tail(&common.dir, &view.recovery().ending);
    }
    Ok(Exit::Fine)
}

/// Prints every entry up to the end, or to damage.
fn print(view: &View, args: &Cat, out: &mut Printer<impl Write>) -> Result<(), Failure> {
    let limit = usize::try_from(args.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let mut range = view.range(args.from.unwrap_or(0)..=args.to.unwrap_or(u64::MAX));
    let mut entries =
        iter::from_fn(|| if args.reverse { range.next_back() } else { range.next() }).take(limit);
    while !out.is_closed()
        && let Some(entry) = entries.next()
    {
        print_entry(entry, args, out)?;
    }
    Ok(())
}

/// Prints the entries of the log and those appended later. Flushes before it waits.
fn follow(view: &View, args: &Cat, out: &mut Printer<impl Write>) -> Result<(), Failure> {
    let from = args.from.unwrap_or(0).max(view.first());
    let mark = if args.written { Mark::Written } else { Mark::Durable };
    let mut follower = view.follow_with(from, mark)?;
    let mut left = args.limit.unwrap_or(u64::MAX);
    while !out.is_closed() && left > 0 && args.to.is_none_or(|to| follower.position() <= to) {
        let item = match follower.try_next() {
            Poll::Ready(item) => item,
            Poll::Pending => {
                out.flush()?;
                if out.is_closed() {
                    break;
                }
                follower.next()
            }
        };
        let Some(entry) = item else { break };
        print_entry(entry, args, out)?;
        left -= 1;
    }
    Ok(())
}

/// At damage the entries before it are flushed first.
fn print_entry(
    entry: Result<Entry, wal::Error>,
    args: &Cat,
    out: &mut Printer<impl Write>,
) -> Result<(), Failure> {
    match entry {
        Ok(entry) => out.write(|out| {
            out.write_all(entry.payload())?;
            out.write_all(&[terminator(args.null)])
        }),
        Err(error) => {
            out.flush()?;
            if out.is_closed() { Ok(()) } else { Err(error.into()) }
        }
    }
}
