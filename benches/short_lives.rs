//! What the first append of a life costs on a real disk, where it merges small segments and where it does not.
//!
//! ```sh
//! SHORT_LIVES_DIR=DIRECTORY_ON_THE_DISK SHORT_LIVES=200 cargo bench -p benches --bench short_lives
//! ```
//!
//! A life opens the log, appends two entries under `immediate`, and is dropped without a close; so many lives for
//! each size of entries. Only the first append is timed, and the open is not.
//!
//! Without `SHORT_LIVES` it runs a few, as a test of itself: some lives merge, and the files stay few.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "benches stand outside the seams")]
#![allow(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::path::Path;
use std::time::{Duration, Instant};

use wal::{Options, SyncPolicy};

const ENTRY_BYTES: [usize; 3] = [100, 4_000, 40_000];
const ENTRIES_A_LIFE: usize = 2;
/// As few as show two merges of eight lives each.
const FEW_LIVES: usize = 24;
/// What a merge copies at most, with the default size of segments.
const MOST_MERGED_BYTES: usize = 1 << 20;
/// `LOCK` and `ANCHOR`.
const OTHER_NAMES: usize = 2;

fn main() {
    let lives = std::env::var("SHORT_LIVES")
        .map_or(FEW_LIVES, |text| text.parse().expect("SHORT_LIVES is a number of lives"));
    let scratch = match std::env::var("SHORT_LIVES_DIR") {
        Ok(directory) => tempfile::tempdir_in(directory),
        Err(_) => tempfile::tempdir(),
    };
    let scratch = scratch.expect("a temporary directory");
    for entry_bytes in ENTRY_BYTES {
        let path = scratch.path().join(format!("{entry_bytes}"));
        let Lived { merging, other } = live(&path, lives, entry_bytes);
        assert!(!merging.is_empty(), "no life of {lives} has merged");
        let names = std::fs::read_dir(&path).expect("it was just made").count();
        // Frames are a little longer than their entries: 64 bytes here at most.
        let held_bytes = lives * ENTRIES_A_LIFE * (entry_bytes + 64);
        let bound = 9 * held_bytes / MOST_MERGED_BYTES + 11 + OTHER_NAMES;
        assert!(names <= bound, "{names} names, and not {bound}, after {lives} lives");
        tell(entry_bytes, "with a merge", merging);
        tell(entry_bytes, "without", other);
        println!("{entry_bytes} bytes: {names} names in the directory after {lives} lives");
    }
}

/// How long the first append of each life took.
struct Lived {
    merging: Vec<Duration>,
    other: Vec<Duration>,
}

fn live(path: &Path, lives: usize, entry_bytes: usize) -> Lived {
    let options = Options::new().sync(SyncPolicy::Immediate);
    let mut lived = Lived { merging: Vec::new(), other: Vec::new() };
    let payload = vec![7; entry_bytes];
    for _ in 0..lives {
        let wal = options.open(path).expect("nothing fails");
        let segments = wal.stats().segments;
        let begun = Instant::now();
        wal.append(&payload).expect("there is space");
        let took = begun.elapsed();
        let merged = wal.stats().segments < segments;
        if merged { &mut lived.merging } else { &mut lived.other }.push(took);
        for _ in 1..ENTRIES_A_LIFE {
            wal.append(&payload).expect("there is space");
        }
    }
    let wal = options.open(path).expect("nothing fails");
    assert_eq!(wal.written(), (lives * ENTRIES_A_LIFE) as u64, "every entry is there");
    lived
}

fn tell(entry_bytes: usize, what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let of = |part: usize| took.get(took.len() * part / 10).copied().unwrap_or_default();
    println!(
        "{entry_bytes} bytes, {what}: {} lives, median {:?}, 9 of 10 below {:?}",
        took.len(),
        of(5),
        of(9)
    );
}
