//! What a life of a process costs that opens the log, appends one durable entry and ends; and what it costs to open a long log
//! that was closed.
//!
//! ```sh
//! SHORT_LIVES_DIR=DIRECTORY_ON_THE_DISK SHORT_LIVES=1000 OPEN_MIB=10240 cargo bench -p benches --bench short_lives
//! ```
//!
//! A life ends with a close, or its process exits without one, as if it were killed. Printed are the time from the open to the
//! end, the system calls and syncs of a life (by `strace`, where that is installed), and the names that are left. Then two logs are closed
//! and opened again and again, one of 1 MiB and one of `OPEN_MIB`; and two are opened that were not closed, whose last segment is read.
//!
//! Without these variables it runs a few lives and opens a small log, as a test of itself.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "benches stand outside the seams")]
#![allow(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::time::{Duration, Instant};

use wal::{Options, SyncPolicy, Wal};

const FEW_LIVES: u64 = 20;
const FEW_MIB: u64 = 8;
/// So much is in the log that is not closed: its last segment takes as long as one gets by default.
const UNCLOSED_MIB: u64 = 90;
const ENTRY: [u8; 100] = [7; 100];
/// Lives whose system calls are counted: the figures are the same for each.
const TRACED_LIVES: u64 = 50;
const OPENS: usize = 31;
/// `LOCK`, `ANCHOR`, and three segments.
const MOST_NAMES: usize = 5;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Close,
    Exit,
}

/// Tells a process of this bench that it is a life, or many: the directory, how many, and how they end.
const LIFE: &str = "SHORT_LIVES_CHILD";

fn main() {
    if let Ok(child) = std::env::var(LIFE) {
        run_child(&child);
        return;
    }
    let number = |name: &str, otherwise| {
        std::env::var(name)
            .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
    };
    let (lives, mib) = (number("SHORT_LIVES", FEW_LIVES), number("OPEN_MIB", FEW_MIB));
    let scratch = match std::env::var("SHORT_LIVES_DIR") {
        Ok(directory) => tempfile::tempdir_in(directory),
        Err(_) => tempfile::tempdir(),
    };
    let scratch = scratch.expect("a temporary directory");
    for end in [End::Close, End::Exit] {
        let path = scratch.path().join(format!("{end:?}"));
        let mut took: Vec<Duration> = (0..lives).map(|_| live(&path, end)).collect();
        let files = std::fs::read_dir(&path).expect("it was just made").count();
        let wal = options().open(&path).expect("nothing fails");
        assert_eq!(wal.written_end(), lives, "every entry is there");
        drop(wal);
        assert!(files <= MOST_NAMES, "{files} names after {lives} lives");
        println!("{end:?}: {lives} lives, {}, {files} names in the directory", summary(&mut took));
        match traced(&scratch.path().join(format!("{end:?}-traced")), end) {
            Some((calls, syncs)) => println!("{end:?}: {calls:.1} system calls and {syncs:.1} syncs a life"),
            None => println!("{end:?}: strace is not there, so system calls are not counted"),
        }
    }
    for mib in [1, mib] {
        let took = summary(&mut opens(&scratch.path().join(mib.to_string()), mib, End::Close));
        println!("open of a closed log of {mib} MiB: {took}");
    }
    for mib in [1, UNCLOSED_MIB] {
        let path = scratch.path().join(format!("{mib}-unclosed"));
        let took = summary(&mut opens(&path, mib, End::Exit));
        println!(
            "open of a log that was not closed, whose last segment takes {} MiB: {took}",
            last_mib(&path)
        );
    }
}

fn options() -> Options {
    Options::new().sync(SyncPolicy::Immediate)
}

/// One life in a process of its own where it ends without a close: the system closes its files.
fn live(path: &Path, end: End) -> Duration {
    match end {
        End::Close => live_here(path, end),
        End::Exit => {
            let child = Command::new(this_program()).env(LIFE, child_arguments(path, 1, end)).output();
            let child = child.expect("it starts");
            assert!(child.status.success(), "{child:?}");
            let printed = String::from_utf8(child.stdout).expect("a number");
            Duration::from_nanos(printed.trim().parse().expect("a number"))
        }
    }
}

fn live_here(path: &Path, end: End) -> Duration {
    let begun = Instant::now();
    let wal = options().open(path).expect("nothing fails");
    wal.append(&ENTRY).expect("there is space");
    match end {
        End::Close => wal.close().expect("nothing fails"),
        End::Exit => {
            println!("{}", begun.elapsed().as_nanos());
            exit(0);
        }
    }
    begun.elapsed()
}

fn this_program() -> PathBuf {
    std::env::current_exe().expect("the system tells")
}

fn child_arguments(path: &Path, lives: u64, end: End) -> String {
    format!("{end:?} {lives} {}", path.display())
}

fn run_child(arguments: &str) {
    let mut words = arguments.splitn(3, ' ');
    let end = if words.next() == Some("Close") { End::Close } else { End::Exit };
    let lives: u64 = words.next().and_then(|lives| lives.parse().ok()).expect("a number");
    let path = PathBuf::from(words.next().expect("a path"));
    for _ in 0..lives {
        live_here(&path, end);
    }
}

/// System calls and syncs of a life: those of some lives, without those of a process that does nothing.
fn traced(path: &Path, end: End) -> Option<(f64, f64)> {
    // The first life makes the log.
    live(path, end);
    let (calls, syncs) = match end {
        End::Close => strace(path, TRACED_LIVES, end)?,
        End::Exit => (0..TRACED_LIVES).try_fold((0, 0), |(calls, syncs), _| {
            let (more, synced) = strace(path, 1, end)?;
            Some((calls + more, syncs + synced))
        })?,
    };
    let processes = if end == End::Close { 1 } else { TRACED_LIVES };
    let (idle, _) = strace(path, 0, End::Close)?;
    #[allow(clippy::cast_precision_loss, reason = "small counts")]
    let a_life = |count: u64| count as f64 / TRACED_LIVES as f64;
    Some((a_life(calls.saturating_sub(idle * processes)), a_life(syncs)))
}

/// How many system calls, and how many of them sync.
fn strace(path: &Path, lives: u64, end: End) -> Option<(u64, u64)> {
    let table = path.with_extension("strace");
    let traced = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(&table)
        .arg(this_program())
        .env(LIFE, child_arguments(path, lives, end))
        .output()
        .ok()?;
    assert!(traced.status.success(), "{traced:?}");
    let table = std::fs::read_to_string(table).expect("strace wrote it");
    let (mut calls, mut syncs) = (0, 0);
    for line in table.lines() {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (Some(count), Some(name)) = (columns.get(3), columns.last()) else { continue };
        let Ok(count) = count.parse::<u64>() else { continue };
        match *name {
            "total" => calls = count,
            "fsync" | "fdatasync" => syncs += count,
            _ => {}
        }
    }
    Some((calls, syncs))
}

/// Opens a log of so many MiB, again and again, that was closed or not.
fn opens(path: &Path, mib: u64, end: End) -> Vec<Duration> {
    let leave = |wal: Wal| match end {
        End::Close => wal.close().expect("nothing fails"),
        // As a kill: what was appended is the system's.
        End::Exit => drop(wal),
    };
    let wal = Options::new().sync(SyncPolicy::None).open(path).expect("nothing fails");
    let entry = vec![7; 1 << 20];
    for number in 0..mib {
        assert_eq!(wal.append(&entry).expect("there is space"), number);
    }
    leave(wal);
    let open = |_| {
        let begun = Instant::now();
        let wal = options().open(path).expect("nothing fails");
        let took = begun.elapsed();
        assert_eq!(wal.written_end(), mib);
        leave(wal);
        took
    };
    (0..OPENS).map(open).collect()
}

/// How long the file of the last segment is.
fn last_mib(path: &Path) -> u64 {
    let listed = std::fs::read_dir(path).expect("it was just made");
    let files = listed.map(|entry| entry.expect("it was just made"));
    let last =
        files.filter(|file| file.path().extension().is_some()).max_by_key(std::fs::DirEntry::file_name);
    last.expect("a segment").metadata().expect("it is there").len() >> 20
}

fn summary(took: &mut [Duration]) -> String {
    took.sort_unstable();
    let part = |part: usize| took[(took.len() - 1) * part / 10];
    format!("median {:?}, 9 of 10 below {:?}", part(5), part(9))
}
