//! `repair`: what can be had of a damaged log, put into a new one. The damaged one is left as it is.
//!
//! ```text
//!  salvage ──▶ entries 0 to 4 │ gap 5 to 6 │ entries 7 to 9
//!              kept            lost         left out, or kept under the numbers 5 to 7 with --across-gaps
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
        out: args.out.clone().map(Out::new),
        across_gaps: args.across_gaps,
        run: None,
        kept: 0,
        left_out: 0,
        lost: 0,
        unknown: false,
        stopped: false,
        parts: false,
        uncertain: None,
    };
    let sound_until = sound(common, &mut sorter);
    for item in &mut salvage {
        // Behind the end of a log that a crash has left there may be what was never acknowledged.
        if sound_until.is_none_or(|next| first_of(&item) < Some(next)) {
            sorter.take(item)?;
        }
    }
    sorter.end(&salvage)
}

/// The number of the next entry, if the end of the log is sound.
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

/// Nothing in the directory is a log's, or was.
fn holds_no_log(salvage: &Salvage) -> bool {
    let found = salvage.summary();
    let no_anchor = |damage: &Damage| matches!(damage.kind, DamageKind::Anchor(_));
    found.segments == 0 && found.aside.is_empty() && found.damages.iter().any(no_anchor)
}

/// Nothing is ever appended to a log that is there.
fn refuse_if_used(out: &Path) -> Result<(), Failure> {
    match fs::read_dir(out).map(|mut names| names.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::refused(format!("{}: not empty", out.display()))),
        Err(error) if error.kind() == IoErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::refused(format!("{}: {error}", out.display()))),
    }
}

/// Entries that have the same fate, and the number that the first of them gets.
struct Run {
    fate: Fate,
    first: u64,
    end: u64,
    becomes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    LeftOut,
}

/// Decides for each entry, in order, and says so.
struct Sorter {
    out: Option<Out>,
    across_gaps: bool,
    run: Option<Run>,
    kept: u64,
    left_out: u64,
    /// Entries that are lost, as far as they are known.
    lost: u64,
    /// Of some nothing tells how many they were.
    unknown: bool,
    /// A gap was met, and nothing behind it is kept.
    stopped: bool,
    /// Of a write that is damaged only a part is kept.
    parts: bool,
    /// Of those that are kept: the first one that a cut may have dropped, and the one behind the last.
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
                    return self.count(Fate::LeftOut, sequence, sequence);
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
                self.count(Fate::Kept, sequence, becomes)
            }
            Salvaged::Gap(gap) => {
                match gap.sequences {
                    Lost { first: Some(first), end: Some(end) } => self.lost += end - first,
                    _ => self.unknown = true,
                }
                // In front of the first entry nothing is torn apart: the new log begins behind it.
                self.stopped |= self.kept > 0 && !self.across_gaps;
                self.say_run()?;
                print(&format!("lost {}\n", lost(&gap)))
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, fate: Fate, sequence: u64, becomes: u64) -> Result<(), Failure> {
        match &mut self.run {
            Some(run) if run.fate == fate && run.end == sequence => run.end += 1,
            _ => {
                self.say_run()?;
                self.run = Some(Run { fate, first: sequence, end: sequence + 1, becomes });
            }
        }
        Ok(())
    }

    /// Says what became of the entries so far. The run stays, for the number that comes next.
    fn say_run(&mut self) -> Result<(), Failure> {
        let Some(run) = &mut self.run else { return Ok(()) };
        let entries = words(&(run.first..run.end));
        let numbers = run.end - run.first;
        let said = match run.fate {
            _ if numbers == 0 => return Ok(()),
            Fate::LeftOut => {
                format!(
                    "left out {entries}: they come after a gap (--across-gaps keeps them, under other numbers)\n"
                )
            }
            Fate::Kept if run.becomes == run.first => format!("kept {entries}\n"),
            Fate::Kept => format!("kept {entries} as {} to {}\n", run.becomes, run.becomes + numbers - 1),
        };
        run.becomes += numbers;
        run.first = run.end;
        print(&said)
    }

    fn end(mut self, salvage: &Salvage) -> Result<Exit, Failure> {
        self.say_run()?;
        if let Some((first, end)) = self.uncertain {
            let entries = words(&(first..end));
            print(&format!(
                "not certain: {entries}: what would say whether some of them were truncated is lost\n"
            ))?;
        }
        if self.parts {
            print(
                "not certain: of a write that is damaged a part is kept; if it was a batch, that is a part of it\n",
            )?;
        }
        let is_anchor = |damage: &&Damage| matches!(damage.kind, DamageKind::Anchor(_));
        if salvage.summary().damages.iter().any(|damage| is_anchor(&damage)) {
            print(
                "not certain: entries that were dropped from the front, and the end of the log: ANCHOR would say them\n",
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
        Aside::Cut { by } => format!("segment {by} says that the log was cut there"),
        Aside::Skipped { by } => format!("segment {by} leads past it"),
        Aside::Dropped => "in front of the first entry".to_owned(),
        Aside::OtherLog => "of another log".to_owned(),
        Aside::OtherLife => "another file of this number is the log's".to_owned(),
        Aside::NoHeader => "nothing tells what it is".to_owned(),
        Aside::NotAFile(kind) => format!("not a regular file but {kind:?}"),
        _ => "no part of the log".to_owned(),
    };
    match aside.offset {
        0 => format!("{}: {why}", aside.file.display()),
        offset => format!("{} from offset {offset} on: {why}", aside.file.display()),
    }
}

/// The new log, made with its first entry.
struct Out {
    path: PathBuf,
    wal: Option<Wal>,
    /// Gathers for one write.
    entries: Vec<Vec<u8>>,
    bytes: usize,
    first: u64,
}

const MOST_ENTRIES: usize = 1024;
const MOST_BYTES: usize = 1 << 20;

impl Out {
    fn new(path: PathBuf) -> Out {
        Out { path, wal: None, entries: Vec::new(), bytes: 0, first: 0 }
    }

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

    /// Under the numbers that were said.
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
        // What was in a log fits a frame, however large it was allowed to be.
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
    Failure::from(error).at(format_args!("{} is not finished, and is to be removed", path.display()))
}
