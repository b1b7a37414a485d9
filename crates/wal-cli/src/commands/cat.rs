//! `cat`: payloads in order, or from the last one back.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::iter;

use wal::{Options, View};

use crate::args::{Cat, Common, terminator};
use crate::failure::{Exit, Failure};
use crate::output::{say, torn_tail, unwritable};

pub(crate) fn run(common: &Common, args: &Cat) -> Result<Exit, Failure> {
    let view = Options::new().open_read_only(&common.dir)?;
    match print(&view, args) {
        Ok(()) => {}
        // The reader has seen enough.
        Err(Stopped::Output(error)) if error.kind() == ErrorKind::BrokenPipe => return Ok(Exit::Fine),
        Err(Stopped::Output(error)) => return Err(unwritable(&error)),
        Err(Stopped::Log(error)) => return Err(error.into()),
    }
    if let Some(note) = torn_tail(&common.dir, &view.recovery().ending) {
        say(note);
    }
    Ok(Exit::Fine)
}

const OUTPUT_BUFFER_BYTES: usize = 1 << 20;

/// Why not everything was printed.
enum Stopped {
    Output(io::Error),
    Log(wal::Error),
}

/// Prints everything that is good, also in front of damage.
fn print(view: &View, args: &Cat) -> Result<(), Stopped> {
    let terminator = [terminator(args.null)];
    let limit = usize::try_from(args.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let mut range = view.range(args.from.unwrap_or(0)..=args.to.unwrap_or(u64::MAX));
    let entries = iter::from_fn(|| if args.reverse { range.next_back() } else { range.next() });
    let mut out = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, io::stdout().lock());
    let mut log = Ok(());
    for entry in entries.take(limit) {
        match entry {
            Err(error) => {
                log = Err(error);
                break;
            }
            Ok(entry) => {
                let written = out.write_all(entry.payload()).and_then(|()| out.write_all(&terminator));
                if let Err(error) = written {
                    return Err(given_up(out, error));
                }
            }
        }
    }
    if let Err(error) = out.flush() {
        return Err(given_up(out, error));
    }
    log.map_err(Stopped::Log)
}

/// Takes the writer apart, so that dropping it does not try to write again.
fn given_up(out: BufWriter<io::StdoutLock<'static>>, error: io::Error) -> Stopped {
    drop(out.into_parts());
    Stopped::Output(error)
}
