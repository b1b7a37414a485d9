//! `append`: one entry a line of standard input.

use std::io::{self, BufWriter, ErrorKind, Read, StdoutLock, Write};

use wal::{Options, SyncPolicy, Wal};

use crate::args::{Append, Common, terminator};
use crate::failure::{Exit, Failure};
use crate::lines::{Lines, TooLong};
use crate::output::{say, torn_tail, unwritable};

pub(crate) fn run(common: &Common, args: &Append) -> Result<Exit, Failure> {
    let wal = options(args).open(&common.dir)?;
    if let Some(note) = torn_tail(&common.dir, &wal.recovery().ending) {
        say(note);
    }
    let first = wal.written();
    // A usize holds it: the library refused what a frame cannot hold.
    let max_line_bytes = usize::try_from(args.max_entry_bytes.bytes).unwrap_or(usize::MAX);
    let mut lines = Lines::new(io::stdin().lock(), terminator(args.null), max_line_bytes);
    let mut acks = Acks::new(args);
    let fed = feed(&wal, &mut lines, &mut acks);
    // Whatever ended it, what was appended is acknowledged, and the log closed.
    let told = acks.flush();
    let next = wal.written();
    let closed = wal.close();
    if let (Err(_), Err(error)) = (&fed, &closed)
        && error.kind() != wal::ErrorKind::Poisoned
    {
        say(format!("and the log could not be closed: {error}"));
    }
    fed?;
    told?;
    closed?;
    if !common.quiet {
        say(match next.checked_sub(1).filter(|last| *last >= first) {
            None => "appended nothing".to_owned(),
            Some(last) => format!("appended entries {first} to {last}"),
        });
    }
    Ok(Exit::Fine)
}

fn options(args: &Append) -> Options {
    let max_entry_bytes = args.max_entry_bytes.bytes;
    let mut options = Options::new().sync(args.sync).max_entry_bytes(max_entry_bytes);
    if let Some(size) = args.segment_size {
        options = options.segment_bytes(size.bytes);
    }
    if let Some(kind) = args.checksum {
        options = options.checksum(kind);
    }
    options
}

/// Appends every line. What has been appended is acknowledged before a read can block.
fn feed(wal: &Wal, lines: &mut Lines<impl Read>, acks: &mut Acks) -> Result<(), Failure> {
    loop {
        loop {
            let number = lines.taken() + 1;
            match lines.take() {
                Ok(Some(line)) => append(wal, line, number, acks)?,
                Ok(None) => break,
                Err(TooLong { max_line_bytes }) => return Err(too_long(wal, number, max_line_bytes)),
            }
        }
        acks.flush()?;
        let more =
            lines.fill().map_err(|error| Failure::refused(format!("cannot read standard input: {error}")))?;
        if !more {
            break;
        }
    }
    let number = lines.taken() + 1;
    lines.rest().map_or(Ok(()), |line| append(wal, line, number, acks))
}

fn append(wal: &Wal, line: &[u8], number: u64, acks: &mut Acks) -> Result<(), Failure> {
    let sequence =
        wal.append(line).map_err(|error| Failure::from(error).at(format_args!("line {number}")))?;
    acks.acknowledge(sequence)
}

fn too_long(wal: &Wal, number: u64, max_line_bytes: usize) -> Failure {
    Failure::refused(format!(
        "line {number} is longer than --max-entry-bytes ({max_line_bytes}); the lines before it are kept, \
         the next entry is {}",
        wal.written()
    ))
}

/// The numbers of acknowledged entries on stdout, if they are wanted and while somebody reads them.
struct Acks {
    /// None when they are not wanted, or when the reader has left: the entries matter more.
    out: Option<BufWriter<StdoutLock<'static>>>,
    each: bool,
}

const ACK_BUFFER_BYTES: usize = 64 << 10;

impl Acks {
    fn new(args: &Append) -> Acks {
        let out = args.progress_acks.then(|| BufWriter::with_capacity(ACK_BUFFER_BYTES, io::stdout().lock()));
        Acks { out, each: args.sync == SyncPolicy::Immediate }
    }

    fn acknowledge(&mut self, sequence: u64) -> Result<(), Failure> {
        let each = self.each;
        self.tell(|out| {
            writeln!(out, "{sequence}")?;
            if each { out.flush() } else { Ok(()) }
        })
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.tell(Write::flush)
    }

    fn tell(
        &mut self,
        act: impl FnOnce(&mut BufWriter<StdoutLock<'static>>) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let Some(out) = &mut self.out else { return Ok(()) };
        match act(out) {
            Ok(()) => Ok(()),
            Err(error) => {
                // Taken apart, so that dropping it does not try to write again.
                if let Some(out) = self.out.take() {
                    drop(out.into_parts());
                }
                if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(unwritable(&error)) }
            }
        }
    }
}
