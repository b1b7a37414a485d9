//! The bulk run: millions of lines through `wal append` and back through `wal cat`, every byte compared,
//! with an eye on the writer's memory.
//!
//! Neither side holds the lines: they are made twice from their numbers, once to be sent and once to be
//! compared. The writer's memory is looked at when a tenth was sent and again at the end, because what
//! grows with the log would have grown tenfold in between.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

use wal::sim::Random;

use crate::setup::lines::fill_line;
use crate::setup::program::{Policy, Program};
use crate::setup::scratch::scratch;

/// How much is sent, and how.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many lines are sent.
    #[arg(long, default_value_t = 5_000_000)]
    lines: u64,
    /// How long each is, without its end.
    #[arg(long, default_value_t = 100)]
    bytes_per_line: usize,
    /// The policy of the writer.
    #[arg(long, value_enum, default_value_t = Policy::None)]
    sync: Policy,
    /// The `wal` binary [default: the one beside this one].
    #[arg(long)]
    wal: Option<PathBuf>,
    /// Where the log is made, and left [default: a temporary directory].
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// What the writer's own memory may grow by between a tenth and the end.
const MOST_GROWTH_KIB: u64 = 16 << 10;

/// How much is made, sent and compared at a time.
const CHUNK_BYTES: usize = 1 << 20;

pub(crate) fn run(arguments: &Arguments) -> bool {
    match prove(arguments) {
        Ok(()) => true,
        Err(violation) => {
            println!("FAILED: {violation}");
            false
        }
    }
}

fn prove(arguments: &Arguments) -> Result<(), String> {
    let program = Program::find(arguments.wal.as_deref())?;
    let scratch = scratch(arguments.dir.as_deref())?;
    let directory = scratch.path.join("bulk");
    if directory.exists() {
        return Err(format!("{} exists: a log of its own is needed", directory.display()));
    }
    let lines = Lines { count: arguments.lines, bytes: arguments.bytes_per_line };
    let policy = arguments.sync.name();
    println!("bulk run, {} lines of {} bytes, sync {policy}", lines.count, lines.bytes);

    let begun = Instant::now();
    let memory = send(&program, &directory, arguments.sync, &lines)?;
    report("append", begun, &lines);
    println!("  memory of the writer, at a tenth   {} KiB", memory.early_kib);
    println!("  memory of the writer, at the end   {} KiB", memory.late_kib);
    let growth_kib = memory.late_kib.saturating_sub(memory.early_kib);
    println!("  growth                             {growth_kib} KiB, {MOST_GROWTH_KIB} KiB are allowed");

    let begun = Instant::now();
    compare(&program, &directory, &lines)?;
    report("cat, compared", begun, &lines);
    if growth_kib > MOST_GROWTH_KIB {
        return Err(format!("the writer's memory grew by {growth_kib} KiB"));
    }
    println!("  lines that differ                  0");
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn report(what: &str, begun: Instant, lines: &Lines) {
    let seconds = begun.elapsed().as_secs_f64();
    let megabytes = lines.total_bytes() as f64 / 1e6;
    println!("  {what:<13}                      {seconds:.2} s, {:.0} MB/s", megabytes / seconds);
}

/// Memory that the writer has for itself, without files.
struct Memory {
    early_kib: u64,
    late_kib: u64,
}

fn send(program: &Program, directory: &Path, sync: Policy, lines: &Lines) -> Result<Memory, String> {
    let mut child = program
        .command("append", directory)
        .args(["-q", "--sync", sync.name()])
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| format!("wal append: {error}"))?;
    let sent = feed(&mut child, lines);
    // With its input closed it ends by itself.
    drop(child.stdin.take());
    let status = child.wait().map_err(|error| format!("wal append: {error}"))?;
    if !status.success() {
        return Err(format!("wal append ended with {status}"));
    }
    sent
}

fn feed(child: &mut Child, lines: &Lines) -> Result<Memory, String> {
    let process = child.id();
    let stdin = child.stdin.as_mut().ok_or_else(|| "wal append has no pipe".to_owned())?;
    let mut chunk = Vec::new();
    let mut early_kib = None;
    let mut next = 0;
    while next < lines.count {
        next = lines.make(&mut chunk, next);
        stdin.write_all(&chunk).map_err(|error| format!("wal append does not read: {error}"))?;
        if early_kib.is_none() && next >= lines.count / 10 {
            early_kib = Some(anonymous_kib(process)?);
        }
    }
    let late_kib = anonymous_kib(process)?;
    Ok(Memory { early_kib: early_kib.unwrap_or(late_kib), late_kib })
}

/// What Linux tells of a process's anonymous memory.
fn anonymous_kib(process: u32) -> Result<u64, String> {
    let file = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse().ok())
        .ok_or_else(|| format!("{file} has no RssAnon"))
}

fn compare(program: &Program, directory: &Path, lines: &Lines) -> Result<(), String> {
    let mut child = program
        .command("cat", directory)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| format!("wal cat: {error}"))?;
    let stdout = child.stdout.take().ok_or_else(|| "wal cat has no pipe".to_owned())?;
    let compared = compare_printed(stdout, lines);
    let status = child.wait().map_err(|error| format!("wal cat: {error}"))?;
    compared?;
    if status.success() { Ok(()) } else { Err(format!("wal cat ended with {status}")) }
}

fn compare_printed(mut printed: impl Read, lines: &Lines) -> Result<(), String> {
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    let mut next = 0;
    while next < lines.count {
        let first = next;
        next = lines.make(&mut expected, first);
        found.resize(expected.len(), 0);
        printed
            .read_exact(&mut found)
            .map_err(|error| format!("wal cat ended between lines {first} and {next}: {error}"))?;
        if found != expected {
            let same = found.iter().zip(&expected).take_while(|(found, expected)| found == expected).count();
            return Err(format!("line {} differs", first + (same / (lines.bytes + 1)) as u64));
        }
    }
    let more = printed.read(&mut [0]).map_err(|error| format!("wal cat: {error}"))?;
    if more == 0 { Ok(()) } else { Err(format!("wal cat printed more than {} lines", lines.count)) }
}

/// Lines that are made from their numbers.
struct Lines {
    count: u64,
    bytes: usize,
}

impl Lines {
    /// Replaces `chunk` with the lines from `first` on, as many as fill it; returns the next number.
    fn make(&self, chunk: &mut Vec<u8>, first: u64) -> u64 {
        let lines = (CHUNK_BYTES / (self.bytes + 1)).max(1) as u64;
        let next = self.count.min(first + lines);
        chunk.clear();
        for number in first..next {
            let start = chunk.len();
            chunk.resize(start + self.bytes, 0);
            fill_line(&mut Random::of(0, number), &mut chunk[start..]);
            chunk.push(b'\n');
        }
        next
    }

    fn total_bytes(&self) -> u64 {
        self.count * (self.bytes as u64 + 1)
    }
}
