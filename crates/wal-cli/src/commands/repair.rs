//! `repair`: reports what can be recovered from a damaged log, or copies it into a new log. Never changes the damaged one.
//!
//! ```text
//!  salvage ──▶ entries 0 to 4 │ gap 5 to 6 │ entries 7 to 9
//!              kept            lost         left out, or kept with the sequences 5 to 7 under --across-gaps
//! ```

use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};

use wal::{Aside, Damage, DamageKind, Gap, Lost, Options, Salvage, Salvaged, SetAside, SyncPolicy, Wal};

use crate::args::{Common, Repair};
use crate::commands::words;
use crate::failure::{Exit, Failure};
use crate::output::{print, say};

pub(crate) fn run(common: &Common, args: &Repair) -> Result<Exit, Failure> {
    let mut salvage = Options::new().open_salvage(&common.dir)?;
    if holds_no_log(&salvage) {
        let message = format!("{}: there is no log here", common.dir.display());
        return Err(Failure { exit: Exit::NoLog, message });
    }
    if let Some(out) = &args.out {
        refuse_if_used(out)?;
    }
    let mut sorter = Sorter {
        out: args.out.clone().map(|path| Out { path, ..Out::default() }),
        across_gaps: args.across_gaps,
        ..Sorter::default()
    };
    let sound_until = sound(common, &mut sorter);
    for item in &mut salvage {
        // After the sound end of an unclosed log there may be entries that were never acknowledged.
        if sound_until.is_none_or(|next| first_of(&item) < Some(next)) {
            sorter.take(item)?;
        }
    }
    sorter.end(&salvage)
}

/// The sequence of the next entry, if the end of the log is undamaged.
fn sound(common: &Common, sorter: &mut Sorter) -> Option<u64> {
    let found = Options::new().open_read_only(&common.dir).and_then(|view| view.verify()).ok()?;
    sorter.unknown = found.losses.at_least;
    let next = found.recovery.next;
    if found.damages.is_empty() {
        say(format_args!("nothing is damaged: the log opens as it is, and its next entry is {next}"));
    }
    found.recovery.damage().is_none().then_some(next)
}

fn first_of(item: &Salvaged) -> Option<u64> {
    match item {
        Salvaged::Entry { entry, .. } => Some(entry.sequence()),
        Salvaged::Gap(gap) => gap.sequences.first,
        _ => None,
    }
}

/// Whether the directory holds no file of a log.
fn holds_no_log(salvage: &Salvage) -> bool {
    let found = salvage.summary();
    let no_anchor = |damage: &Damage| matches!(damage.kind, DamageKind::Anchor(_));
    found.segments == 0 && found.aside.is_empty() && found.damages.iter().any(no_anchor)
}

/// Repair never appends to an existing log.
fn refuse_if_used(out: &Path) -> Result<(), Failure> {
    match fs::read_dir(out).map(|mut names| names.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::refused(format!("{}: not empty", out.display()))),
        Err(error) if error.kind() == IoErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::refused(format!("{}: {error}", out.display()))),
    }
}

/// Consecutive entries that are all kept or all left out.
struct Run {
    first: u64,
    end: u64,
    /// The new sequence of the first.
    becomes: u64,
}

/// Decides for each entry, in order, whether it is kept, and reports that.
#[derive(Default)]
struct Sorter {
    out: Option<Out>,
    across_gaps: bool,
    run: Option<Run>,
    kept: u64,
    left_out: u64,
    /// How many entries are known to be lost.
    lost: u64,
    /// More entries are lost, and their number is unknown.
    unknown: bool,
    /// No entry after a gap is kept.
    stopped: bool,
    /// A damaged write is kept in part.
    parts: bool,
    /// The kept entries that a lost truncation may have dropped, from the first to the one after the last.
    uncertain: Option<(u64, u64)>,
}

impl Sorter {
    fn take(&mut self, item: Salvaged) -> Result<(), Failure> {
        match item {
            Salvaged::Entry { entry, whole, certain, .. } => {
                self.parts |= !whole && !self.stopped;
                let sequence = entry.sequence();
                if self.stopped {
                    self.left_out += 1;
                    return self.count(sequence, sequence);
                }
                if !certain {
                    let first = self.uncertain.map_or(sequence, |(first, _)| first);
                    self.uncertain = Some((first, sequence + 1));
                }
                let becomes = match &self.run {
                    Some(run) => run.becomes + (run.end - run.first),
                    None => sequence,
                };
                if let Some(out) = &mut self.out {
                    out.put(becomes, entry.to_vec())?;
                }
                self.kept += 1;
                self.count(sequence, becomes)
            }
            Salvaged::Gap(gap) => {
                match gap.sequences {
                    Lost { first: Some(first), end: Some(end) } => self.lost += end - first,
                    _ => self.unknown = true,
                }
                self.print_run()?;
                // A gap before the first entry is none in the new log, which begins after it.
                self.stopped |= self.kept > 0 && !self.across_gaps;
                print(&format!("lost {}\n", lost(&gap)))
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, sequence: u64, becomes: u64) -> Result<(), Failure> {
        match &mut self.run {
            Some(run) if run.end == sequence => run.end += 1,
            _ => {
                self.print_run()?;
                self.run = Some(Run { first: sequence, end: sequence + 1, becomes });
            }
        }
        Ok(())
    }

    /// Prints the current run. It stays, because it determines the next new sequence.
    fn print_run(&mut self) -> Result<(), Failure> {
        let Some(run) = &mut self.run else { return Ok(()) };
        let entries = words(&(run.first..run.end));
        let numbers = run.end - run.first;
        let said = if numbers == 0 {
            return Ok(());
        } else if self.stopped {
            format!(
                "left out {entries}: they come after a gap (--across-gaps keeps them, under other numbers)\n"
            )
        } else if run.becomes == run.first {
            format!("kept {entries}\n")
        } else {
            format!("kept {entries} as {} to {}\n", run.becomes, run.becomes + numbers - 1)
        };
        run.becomes += numbers;
        run.first = run.end;
        print(&said)
    }

    fn end(mut self, salvage: &Salvage) -> Result<Exit, Failure> {
        self.print_run()?;
        if let Some((first, end)) = self.uncertain {
            let entries = words(&(first..end));
            print(&format!(
                "not certain: {entries}: some may have been truncated; the segment that would show it is lost\n"
            ))?;
        }
        if self.parts {
            print(
                "not certain: a damaged write is kept in part; if it was a batch, the batch is incomplete\n",
            )?;
        }
        let is_anchor = |damage: &&Damage| matches!(damage.kind, DamageKind::Anchor(_));
        if salvage.summary().damages.iter().any(|damage| is_anchor(&damage)) {
            print(
                "not certain: ANCHOR is damaged, so truncated entries may be back at either end of the log\n",
            )?;
        }
        for damage in &salvage.summary().damages {
            print(&format!("damaged {damage}\n"))?;
        }
        for aside in &salvage.summary().aside {
            print(&format!("set aside {}\n", set_aside(aside)))?;
        }
        let (kept, left_out) = (self.kept, self.left_out);
        let lost = format!("{}{} lost", if self.unknown { "at least " } else { "" }, self.lost);
        let done = match self.out {
            Some(out) => {
                let path = out.path.display().to_string();
                out.close()?;
                format!("{kept} entries are in {path}, {left_out} were left out, {lost}\n")
            }
            None => format!("dry run: {kept} entries can be kept, {left_out} would be left out, {lost}\n"),
        };
        print(&done)?;
        let all = self.lost == 0 && left_out == 0;
        Ok(if all { Exit::Fine } else { Exit::Corrupt })
    }
}

fn lost(gap: &Gap) -> String {
    let Gap { sequences, file, offset, why, .. } = gap;
    let entries = match sequences {
        Lost { first: None, end: Some(end) } => format!("entries before {end}, if there were any"),
        sequences => sequences.to_string(),
    };
    format!("{entries}: {}: at offset {offset}: {why}", file.display())
}

fn set_aside(aside: &SetAside) -> String {
    let why = match aside.why {
        Aside::Cut { by } => format!("segment {by} records that the log was cut there"),
        Aside::Skipped { by } => format!("skipped by segment {by}"),
        Aside::Dropped => "before the first entry".to_owned(),
        Aside::OtherLog => "belongs to another log".to_owned(),
        Aside::OtherLife => "another file with this number belongs to the log".to_owned(),
        Aside::NoHeader => "no readable header".to_owned(),
        Aside::NotAFile(kind) => format!("not a regular file but {kind:?}"),
        _ => "not part of the log".to_owned(),
    };
    match aside.offset {
        0 => format!("{}: {why}", aside.file.display()),
        offset => format!("{} from offset {offset} on: {why}", aside.file.display()),
    }
}

/// The new log, created with its first entry.
#[derive(Default)]
struct Out {
    path: PathBuf,
    wal: Option<Wal>,
    /// The next batch.
    entries: Vec<Vec<u8>>,
    bytes: usize,
    first: u64,
}

const MOST_ENTRIES: usize = 1024;
const MOST_BYTES: usize = 1 << 20;

impl Out {
    fn put(&mut self, number: u64, entry: Vec<u8>) -> Result<(), Failure> {
        if self.entries.len() >= MOST_ENTRIES || self.bytes + entry.len() > MOST_BYTES {
            self.write()?;
        }
        if self.entries.is_empty() {
            self.first = number;
        }
        self.bytes += entry.len();
        self.entries.push(entry);
        Ok(())
    }

    /// Appends the batch under the sequences that were printed.
    fn write(&mut self) -> Result<(), Failure> {
        let wal = self.wal()?;
        if !self.entries.is_empty() {
            wal.append_batch_at(self.first, &self.entries).map_err(|error| unfinished(&self.path, error))?;
            self.entries.clear();
            self.bytes = 0;
        }
        Ok(())
    }

    fn wal(&mut self) -> Result<Wal, Failure> {
        if let Some(wal) = &self.wal {
            return Ok(wal.clone());
        }
        // Every entry of a log fits into a frame.
        let most = u64::from(u32::MAX);
        let options = Options::new().sync(SyncPolicy::None).max_entry_bytes(most).first_sequence(self.first);
        let wal = options.open(&self.path)?;
        self.wal = Some(wal.clone());
        Ok(wal)
    }

    fn close(mut self) -> Result<(), Failure> {
        self.write()?;
        self.wal()?.close().map_err(|error| unfinished(&self.path, error))
    }
}

fn unfinished(path: &Path, error: wal::Error) -> Failure {
    Failure::from(error).at(format_args!("{} is incomplete; remove it", path.display()))
}
