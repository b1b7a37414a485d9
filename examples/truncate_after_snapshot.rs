//! Counts words. A snapshot of the counts lets go of the log in front of it, so that neither the disk nor the time to
//! start grows with everything that was ever counted.
//!
//! ```sh
//! cargo run -q -p examples --example truncate_after_snapshot -- counts to be or not to be
//! ```
//!
//! ```text
//! counts/log         the words since the snapshot, and perhaps some before it
//! counts/snapshot    the number of the next entry, then the counts in front of it
//! ```
//!
//! The order that makes it safe: the log is durable up to the snapshot, then the snapshot is, under its name, and only
//! then is the log in front of it dropped. A crash on the way costs space, and no word.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an example stands outside the log's seams, and its snapshot is a file of its own"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use wal::{Options, Wal};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: truncate_after_snapshot DIR [WORD]…")?;
    let mut counts = Counts::open(Path::new(&directory))?;
    for word in arguments {
        counts.count(&word)?;
    }
    counts.snapshot()?;
    for (word, times) in &counts.times {
        println!("{times:>6} {word}");
    }
    counts.wal.close()?;
    Ok(())
}

struct Counts {
    directory: PathBuf,
    wal: Wal,
    times: BTreeMap<String, u64>,
}

impl Counts {
    /// The snapshot, and behind it the log.
    fn open(directory: &Path) -> Outcome<Counts> {
        fs::create_dir_all(directory)?;
        let (next, mut times) = load(&directory.join("snapshot"))?;
        // The snapshot was taken of a log that was durable up to here. One that ends before is an older copy, or not
        // this one, and to go on with it would count other words under numbers that were used.
        let wal = Options::new().open_expecting(directory.join("log"), next)?;
        // In front of `next` there are entries only if a crash came between snapshot and truncation.
        for entry in wal.read_from(next)? {
            apply(&mut times, std::str::from_utf8(&entry?)?);
        }
        Ok(Counts { directory: directory.to_path_buf(), wal, times })
    }

    /// Counted for good when this returns.
    fn count(&mut self, word: &str) -> Outcome<()> {
        if word.contains(char::is_whitespace) || word.is_empty() {
            return Err("a word has no space in it".into());
        }
        self.wal.append(word.as_bytes())?;
        apply(&mut self.times, word);
        Ok(())
    }

    fn snapshot(&self) -> Outcome<()> {
        let next = self.write_snapshot()?;
        // Durable under its name: what is in front of it is not needed any more. Whole segments are given back.
        self.wal.truncate_before(next)?;
        Ok(())
    }

    /// Whole under another name, synced, renamed, the directory synced. Returns the number that it goes up to.
    fn write_snapshot(&self) -> Outcome<u64> {
        // It must not be ahead of what the log is sure to have: after a crash it would not fit.
        self.wal.sync()?;
        let next = self.wal.durable_end();
        let mut text = format!("{next}\n");
        for (word, times) in &self.times {
            text.push_str(&format!("{times} {word}\n"));
        }
        let temporary = self.directory.join("snapshot.new");
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, self.directory.join("snapshot"))?;
        #[cfg(unix)]
        File::open(&self.directory)?.sync_all()?;
        Ok(next)
    }
}

/// The number of the first entry that is not in the snapshot, and the counts in front of it.
fn load(path: &Path) -> Outcome<(u64, BTreeMap<String, u64>)> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((0, BTreeMap::new())),
        read => read?,
    };
    let mut lines = text.lines();
    let next = lines.next().ok_or("an empty snapshot")?.parse()?;
    let mut times = BTreeMap::new();
    for line in lines {
        let (count, word) = line.split_once(' ').ok_or("not a line of a snapshot")?;
        times.insert(word.to_owned(), count.parse()?);
    }
    Ok((next, times))
}

fn apply(times: &mut BTreeMap<String, u64>, word: &str) {
    *times.entry(word.to_owned()).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(directory: &Path, words: &str) -> Outcome<Counts> {
        let mut counts = Counts::open(directory)?;
        words.split(' ').try_for_each(|word| counts.count(word))?;
        Ok(counts)
    }

    #[test]
    fn after_a_restart_the_counts_are_those_of_the_snapshot_and_the_log_behind_it() -> Outcome<()> {
        let scratch = tempfile::tempdir()?;
        let mut counts = count(scratch.path(), "to be or not to be")?;
        counts.snapshot()?;
        assert_eq!((counts.wal.first(), counts.wal.written_end()), (6, 6), "the log in front of it is gone");
        counts.count("be")?;
        drop(counts); // as a kill does: no close
        let counts = Counts::open(scratch.path())?;
        assert_eq!((counts.wal.first(), counts.wal.written_end()), (6, 7));
        assert_eq!((counts.times["be"], counts.times["to"], counts.times["or"]), (3, 2, 1));
        Ok(())
    }

    #[test]
    fn a_crash_between_snapshot_and_truncation_counts_nothing_twice() -> Outcome<()> {
        let scratch = tempfile::tempdir()?;
        let counts = count(scratch.path(), "to be or not to be")?;
        counts.write_snapshot()?;
        drop(counts);
        let counts = count(scratch.path(), "be")?;
        assert_eq!(counts.wal.first(), 0, "nothing was dropped");
        assert_eq!((counts.times["be"], counts.times["to"]), (3, 2));
        Ok(())
    }

    #[test]
    fn a_log_that_is_older_than_the_snapshot_is_refused() -> Outcome<()> {
        let scratch = tempfile::tempdir()?;
        let log = scratch.path().join("log");
        let counts = count(scratch.path(), "to be")?;
        counts.wal.copy_to(scratch.path().join("backup"))?;
        drop(counts);
        count(scratch.path(), "or not to be")?.snapshot()?;
        fs::remove_dir_all(&log)?;
        assert!(Counts::open(scratch.path()).is_err_and(|error| error.to_string().contains("no log here")));
        fs::rename(scratch.path().join("backup"), &log)?;
        let refused = Counts::open(scratch.path()).err().ok_or("it was opened")?.to_string();
        assert!(
            refused.contains("the next entry is 2, but everything before 6 was acknowledged"),
            "{refused}"
        );
        Ok(())
    }
}
