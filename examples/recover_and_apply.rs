//! A small key-value store on the log: commands are entries, and a checkpoint spares the replay.
//!
//! ```sh
//! cargo run -q -p examples --example recover_and_apply -- store set colour red
//! cargo run -q -p examples --example recover_and_apply -- store get colour
//! cargo run -q -p examples --example recover_and_apply -- store checkpoint
//! cargo run -q -p examples --example recover_and_apply -- store fill 100000   # kill it, then:
//! cargo run -q -p examples --example recover_and_apply -- store info
//! ```
//!
//! The store is a directory with a log and a file beside it:
//!
//! ```text
//! store/log          every command, in order: the truth
//! store/checkpoint   the number of the next entry, then the state in front of it: a shortcut
//! ```
//!
//! The order that makes it safe: a command is in the log, durable, before it is applied and reported; and
//! a checkpoint holds durable entries alone, and takes its name only once its bytes are durable.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an example stands outside the log's seams, and its checkpoint is a file of its own"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wal::{Ending, Options, Wal};

type Outcome<T> = Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: recover_and_apply DIR set KEY VALUE | get KEY | checkpoint | fill COUNT | info";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Outcome<String> {
    let [directory, command @ ..] = arguments else { return Err(USAGE.into()) };
    let mut store = Store::open(Path::new(directory))?;
    let answer = match command {
        ["set", key, value] => format!("entry {}", store.set(key, value)?),
        ["get", key] => store.pairs.get(*key).cloned().unwrap_or_else(|| "no such key".to_owned()),
        ["checkpoint"] => format!("next entry {}", store.checkpoint()?),
        ["fill", count] => store.fill(count.parse()?)?,
        ["info"] => format!("{} keys; {}", store.pairs.len(), store.recovered),
        _ => return Err(USAGE.into()),
    };
    store.wal.close()?;
    Ok(answer)
}

struct Store {
    directory: PathBuf,
    wal: Wal,
    pairs: BTreeMap<String, String>,
    /// What the open found, for people.
    recovered: String,
}

impl Store {
    /// Opens the log, loads the checkpoint, applies what came after it.
    fn open(directory: &Path) -> Outcome<Store> {
        fs::create_dir_all(directory)?;
        let wal = match Options::new().open(directory.join("log")) {
            Ok(wal) => wal,
            // Acknowledged commands are gone. Nothing was changed on disk, and nothing should be: starting
            // without them would be a silent loss. Say what is known and leave it to a human.
            Err(error) if error.damage().is_some() => {
                return Err(format!("{error}\nrestore the log from a copy; nothing was changed").into());
            }
            // `Locked`: another process has the store. `Io`: try again when the cause is gone.
            Err(error) => return Err(error.into()),
        };
        if let Ending::Torn { bytes, .. } = wal.recovery().ending {
            // An interrupted write. No command in it was ever reported as done, so it is dropped.
            eprintln!("a crash interrupted a write: {bytes} bytes dropped, nothing acknowledged among them");
        }

        let (next, mut pairs) = load_checkpoint(&directory.join("checkpoint"))?;
        if next > wal.written_end() {
            // Never after a crash: a checkpoint holds durable entries alone. The log is an older copy.
            return Err(format!("the checkpoint is at {next}, the log ends at {}", wal.written_end()).into());
        }
        let mut applied = 0;
        for entry in wal.read_from(next)? {
            let entry = entry?; // damage further in front: stop, do not skip
            apply(&mut pairs, entry.payload())?;
            applied += 1;
        }
        let recovered = format!("checkpoint at {next}, {applied} entries applied; {}", wal.recovery());
        Ok(Store { directory: directory.to_path_buf(), wal, pairs, recovered })
    }

    /// Logs the command, then applies it. When this returns it survives a power cut.
    fn set(&mut self, key: &str, value: &str) -> Outcome<u64> {
        if key.contains(['=', '\n']) || value.contains('\n') {
            return Err("a key has no '=', and neither key nor value a line break".into());
        }
        let command = format!("{key}={value}");
        let sequence = self.wal.append(command.as_bytes())?;
        apply(&mut self.pairs, command.as_bytes())?;
        Ok(sequence)
    }

    /// Sets `count` keys and reports each once it is durable. Something to kill.
    fn fill(&mut self, count: u64) -> Outcome<String> {
        for number in 0..count {
            let sequence = self.set(&format!("key{number}"), &number.to_string())?;
            println!("{sequence}");
        }
        Ok(format!("{count} keys set"))
    }

    /// Writes the state beside the log: whole under another name, synced, then renamed, then the
    /// directory synced. A crash leaves the old checkpoint or the new one.
    fn checkpoint(&self) -> Outcome<u64> {
        // What is in it must not be newer than what the log is sure to have.
        self.wal.sync()?;
        let next = self.wal.written_end();
        let mut text = format!("{next}\n");
        for (key, value) in &self.pairs {
            text.push_str(&format!("{key}={value}\n"));
        }
        let temporary = self.directory.join("checkpoint.new");
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, self.directory.join("checkpoint"))?;
        #[cfg(unix)]
        File::open(&self.directory)?.sync_all()?;
        Ok(next)
    }
}

/// The number of the first entry that is not in the checkpoint, and the state in front of it.
fn load_checkpoint(path: &Path) -> Outcome<(u64, BTreeMap<String, String>)> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((0, BTreeMap::new())),
        read => read?,
    };
    let mut lines = text.lines();
    let next = lines.next().ok_or("an empty checkpoint")?.parse()?;
    let mut pairs = BTreeMap::new();
    for line in lines {
        apply(&mut pairs, line.as_bytes())?;
    }
    Ok((next, pairs))
}

/// Applying must depend on the state and the command alone: a replay does it again.
fn apply(pairs: &mut BTreeMap<String, String>, command: &[u8]) -> Outcome<()> {
    let (key, value) = std::str::from_utf8(command)?.split_once('=').ok_or("not a command of this store")?;
    pairs.insert(key.to_owned(), value.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Outcome<(tempfile::TempDir, String)> {
        let scratch = tempfile::tempdir()?;
        let directory = scratch.path().join("store").display().to_string();
        Ok((scratch, directory))
    }

    #[test]
    fn commands_survive_with_and_without_a_checkpoint() -> Outcome<()> {
        let (_scratch, store) = store()?;
        assert_eq!(run(&[&store, "set", "colour", "red"])?, "entry 0");
        assert_eq!(run(&[&store, "set", "size", "1=2"])?, "entry 1");
        assert_eq!(run(&[&store, "checkpoint"])?, "next entry 2");
        assert_eq!(run(&[&store, "set", "colour", "blue"])?, "entry 2");
        assert_eq!(run(&[&store, "get", "colour"])?, "blue");
        assert_eq!(run(&[&store, "get", "size"])?, "1=2");
        assert!(run(&[&store, "info"])?.starts_with("2 keys; checkpoint at 2, 1 entries applied; closed"));
        Ok(())
    }

    #[test]
    fn a_torn_tail_costs_only_what_was_never_reported() -> Outcome<()> {
        let (_scratch, store) = store()?;
        let directory = Path::new(&store);
        let mut crashing = Store::open(directory)?;
        crashing.set("a", "1")?;
        drop(crashing); // as a kill does: no close
        // What an interrupted write of the next command may have left behind the end.
        let segment = directory.join("log/00000000000000000001.wal");
        let mut bytes = fs::read(&segment)?;
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        bytes[end + 64..end + 80].fill(0xff);
        fs::write(&segment, bytes)?;

        assert!(run(&[&store, "info"])?.contains("torn"));
        assert_eq!(run(&[&store, "get", "a"])?, "1");
        assert_eq!(run(&[&store, "set", "b", "2"])?, "entry 1");
        assert_eq!(run(&[&store, "get", "b"])?, "2");
        Ok(())
    }

    #[test]
    fn a_damaged_log_is_refused_and_left_as_it_is() -> Outcome<()> {
        let (_scratch, store) = store()?;
        let mut crashing = Store::open(Path::new(&store))?;
        for key in ["a", "b", "c"] {
            crashing.set(key, "a value that is long enough to be found")?;
        }
        drop(crashing);
        let segment = Path::new(&store).join("log/00000000000000000001.wal");
        let mut bytes = fs::read(&segment)?;
        bytes[8192 + 64 + 45] ^= 1; // in the first command
        fs::write(&segment, &bytes)?;

        let refused = run(&[&store, "get", "c"]).expect_err("acknowledged commands are damaged");
        assert!(refused.to_string().contains("lost here: entry 0"), "{refused}");
        assert_eq!(fs::read(&segment)?, bytes);
        Ok(())
    }
}
