//! Threads that share one log: each append is durable when it returns, and they share the syncs.
//!
//! ```sh
//! cargo run --release -q -p examples --example concurrent_append
//! ```
#![allow(clippy::disallowed_methods, reason = "an example stands outside the log's seams")]

use std::error::Error;
use std::path::Path;
use std::thread;
use std::time::Instant;

use wal::{Options, Wal};

const ENTRIES_A_THREAD: u64 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    for threads in [1, 4, 16, 64] {
        let scratch = tempfile::tempdir()?;
        run(&scratch.path().join("log"), threads)?;
    }
    Ok(())
}

fn run(directory: &Path, threads: u64) -> Result<(), Box<dyn Error>> {
    // `grouped` is the default: alone an append syncs at once, with others one syncs for all.
    let wal = Options::new().open(directory)?;
    let begun = Instant::now();
    thread::scope(|scope| {
        // A handle each, and no lock around them.
        let appenders: Vec<_> = (0..threads)
            .map(|thread| {
                let wal = wal.clone();
                scope.spawn(move || append(&wal, thread))
            })
            .collect();
        appenders.into_iter().try_for_each(|appender| appender.join().expect("no appender panics"))
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let stats = wal.stats();
    println!(
        "{threads:>2} threads: {:>7.0} durable appends a second, {:>4.1} entries a sync",
        stats.appended_entries as f64 / seconds,
        stats.sync_entries.sum / stats.sync_entries.count as f64,
    );
    wal.close()?;
    Ok(())
}

fn append(wal: &Wal, thread: u64) -> Result<(), wal::Error> {
    for number in 0..ENTRIES_A_THREAD {
        let sequence = wal.append(format!("entry {number} of thread {thread}").as_bytes())?;
        assert!(wal.durable_end() > sequence, "an append that returned is durable");
    }
    Ok(())
}

#[test]
fn every_append_is_there_when_all_have_returned() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let directory = scratch.path().join("log");
    run(&directory, 4).expect("nothing fails");
    let view = Options::new().open_read_only(&directory).expect("a log");
    assert_eq!(view.written_end(), 4 * ENTRIES_A_THREAD);
}
