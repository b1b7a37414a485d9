//! One round of the kill loop, and what all rounds together have shown.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout};
use std::thread;
use std::time::Duration;

use crate::setup::lines::make_line;
use crate::setup::program::{Policy, Program};

/// One writer, from its start to its death.
pub(crate) struct Round<'a> {
    pub(crate) program: &'a Program,
    pub(crate) directory: &'a Path,
    pub(crate) seed: u64,
    pub(crate) number: u64,
    pub(crate) sync: Policy,
    pub(crate) segment_kib: u64,
    /// It is killed once it has acknowledged so many entries,
    pub(crate) acks_to_live: u64,
    /// and this much later.
    pub(crate) grace_micros: u64,
}

/// What a writer had said and been told when it died.
#[derive(Debug)]
pub(crate) struct Killed {
    pub(crate) round: u64,
    /// The number of its first entry.
    pub(crate) first: u64,
    /// How many entries it acknowledged, at least one.
    pub(crate) acked: u64,
    /// How many lines it was sent at most; the last may not have arrived whole.
    pub(crate) sent: u64,
}

impl Round<'_> {
    pub(crate) fn run(&self) -> Result<Killed, String> {
        let mut child = self
            .program
            .command("append", self.directory)
            .args(["--progress-acks", "--sync", self.sync.name()])
            .args(["--segment-size", &format!("{}KiB", self.segment_kib)])
            .spawn()
            .map_err(|error| format!("wal append cannot be run: {error}"))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("wal append has no pipes".to_owned());
        };
        thread::scope(|scope| {
            // It feeds until the pipe breaks, so that input is pending whenever the kill comes.
            let feeder = scope.spawn(|| self.feed(stdin));
            let mut acks = Acks { from: BufReader::new(stdout), first: None, count: 0 };
            let lived = self.let_live(&mut acks);
            // Whatever was wrong: without a kill the feeder never ends.
            let killed = kill(&mut child);
            let sent = feeder.join().map_err(|_| "the feeder panicked".to_owned())?;
            let said = said(&mut child);
            lived.map_err(|wrong| format!("{wrong}; wal said: {said}"))?;
            killed?;
            // What is still in the pipe was acknowledged as well.
            while acks.next()? {}
            let first = acks.first.ok_or_else(|| "nothing was acknowledged".to_owned())?;
            Ok(Killed { round: self.number, first, acked: acks.count, sent })
        })
    }

    fn feed(&self, stdin: ChildStdin) -> u64 {
        let mut stdin = BufWriter::new(stdin);
        let mut line = Vec::new();
        let mut sent = 0;
        loop {
            make_line(&mut line, self.seed, self.number, sent);
            line.push(b'\n');
            sent += 1;
            if stdin.write_all(&line).is_err() {
                // Taken apart, so that it does not try to write what is left.
                drop(stdin.into_parts());
                return sent;
            }
        }
    }

    fn let_live(&self, acks: &mut Acks) -> Result<(), String> {
        while acks.count < self.acks_to_live {
            if !acks.next()? {
                return Err("wal append ended by itself".to_owned());
            }
        }
        thread::sleep(Duration::from_micros(self.grace_micros));
        Ok(())
    }
}

fn kill(child: &mut Child) -> Result<(), String> {
    let killed = child.kill().and_then(|()| child.wait());
    let status = killed.map_err(|error| format!("wal append cannot be killed: {error}"))?;
    // A code means that it ended by itself, on input that never ends.
    match status.code() {
        None => Ok(()),
        Some(code) => Err(format!("wal append ended by itself, with exit code {code}")),
    }
}

fn said(child: &mut Child) -> String {
    let mut said = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_end(&mut said).ok();
    }
    String::from_utf8_lossy(&said).trim_end().to_owned()
}

/// The numbers that a writer prints.
struct Acks {
    from: BufReader<ChildStdout>,
    first: Option<u64>,
    count: u64,
}

impl Acks {
    /// Takes in the next number; `false` at the end. A number without its line end was never said whole.
    fn next(&mut self) -> Result<bool, String> {
        let mut line = String::new();
        self.from
            .read_line(&mut line)
            .map_err(|error| format!("acknowledgements cannot be read: {error}"))?;
        let Some(number) = line.strip_suffix('\n') else { return Ok(false) };
        let found: u64 = number.parse().map_err(|_| format!("no number was acknowledged: {number:?}"))?;
        let first = *self.first.get_or_insert(found);
        if found != first + self.count {
            return Err(format!("entry {found} was acknowledged instead of {}", first + self.count));
        }
        self.count += 1;
        Ok(true)
    }
}

/// What the rounds on one log have shown: so many lines of each.
#[derive(Debug)]
pub(crate) struct Truth {
    seed: u64,
    rounds: Vec<(u64, u64)>,
}

impl Truth {
    pub(crate) fn new(seed: u64) -> Truth {
        Truth { seed, rounds: Vec::new() }
    }

    /// Compares the log with everything that was shown before and with what `killed` was told; what it
    /// shows now is the truth from here on. Returns how many entries are new.
    pub(crate) fn take_in(
        &mut self,
        program: &Program,
        directory: &Path,
        killed: &Killed,
    ) -> Result<u64, String> {
        let held: u64 = self.rounds.iter().map(|(_, lines)| lines).sum();
        if killed.first != held {
            return Err(format!("the writer went on at entry {} after {held} entries", killed.first));
        }
        let Killed { round, acked, sent, .. } = *killed;
        let found = self.compare(program, directory, round, sent)?;
        if found < acked {
            return Err(format!("{acked} entries of this round were acknowledged, {found} are there"));
        }
        self.rounds.push((round, found));
        Ok(found)
    }

    /// Compares the log with everything that was shown before: all of it, and nothing else. A close after which nothing was
    /// appended leaves the end as it was, with its torn tail.
    pub(crate) fn compare_all(
        &self,
        program: &Program,
        directory: &Path,
        was_torn: bool,
    ) -> Result<(), String> {
        let is_torn = program.verify(directory)?;
        if is_torn != was_torn {
            return Err(format!(
                "before an open and a close the log had a torn tail: {was_torn}; after it: {is_torn}"
            ));
        }
        self.compare(program, directory, 0, 0).map(|_| ())
    }

    /// Reads the whole log: the lines that were shown before, then at most `most` lines of `round`, whose
    /// number it returns.
    fn compare(&self, program: &Program, directory: &Path, round: u64, most: u64) -> Result<u64, String> {
        let mut child =
            program.command("cat", directory).spawn().map_err(|error| format!("wal cat: {error}"))?;
        let stdout = child.stdout.take().ok_or_else(|| "wal cat has no pipe".to_owned())?;
        let mut printed = Printed { from: BufReader::with_capacity(1 << 20, stdout), line: Vec::new() };
        let compared = self.compare_printed(&mut printed, round, most);
        // With the pipe gone, it ends even when not everything was read.
        drop(printed);
        let said = said(&mut child);
        let status = child.wait().map_err(|error| format!("wal cat: {error}"))?;
        let found = compared.map_err(|wrong| format!("{wrong}; wal cat said: {said}"))?;
        if status.success() { Ok(found) } else { Err(format!("wal cat ended with {status}: {said}")) }
    }

    fn compare_printed(&self, printed: &mut Printed, round: u64, most: u64) -> Result<u64, String> {
        let mut expected = Vec::new();
        for (round, lines) in &self.rounds {
            for number in 0..*lines {
                make_line(&mut expected, self.seed, *round, number);
                if !printed.next_is(&expected, *round, number)? {
                    return Err(format!("line {number} of round {round} was there and is gone"));
                }
            }
        }
        let mut found = 0;
        loop {
            make_line(&mut expected, self.seed, round, found);
            if !printed.next_is(&expected, round, found)? {
                return Ok(found);
            }
            found += 1;
            if found > most {
                return Err(format!("there are more lines than the {most} that were sent"));
            }
        }
    }
}

/// What `wal cat` prints.
struct Printed {
    from: BufReader<ChildStdout>,
    line: Vec<u8>,
}

impl Printed {
    /// Whether there is another line; it must be the expected one, byte for byte.
    fn next_is(&mut self, expected: &[u8], round: u64, number: u64) -> Result<bool, String> {
        self.line.clear();
        let read = self.from.read_until(b'\n', &mut self.line);
        if read.map_err(|error| format!("wal cat cannot be read: {error}"))? == 0 {
            return Ok(false);
        }
        if self.line.strip_suffix(b"\n") == Some(expected) {
            return Ok(true);
        }
        let shown = self.line.len().min(80);
        Err(format!(
            "instead of line {number} of round {round} ({} bytes) there are {} bytes: {}",
            expected.len() + 1,
            self.line.len(),
            self.line[..shown].escape_ascii()
        ))
    }
}
