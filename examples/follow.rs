//! One thread appends, two follow: one acts on what is durable, the other one sees what is written sooner.
//!
//! ```sh
//! cargo run -p examples --example follow
//! ```
#![allow(clippy::disallowed_methods, reason = "an example stands outside the log's seams")]

use std::error::Error;
use std::path::Path;
use std::thread;
use std::time::Duration;

use wal::{Follower, Mark, Options, SyncPolicy};

const ENTRIES: u64 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    run(&tempfile::tempdir()?.path().join("log"))
}

fn run(directory: &Path) -> Result<(), Box<dyn Error>> {
    let policy = SyncPolicy::periodic(100, Duration::from_millis(5));
    let wal = Options::new().sync(policy).segment_bytes(64 << 10).open(directory)?;

    // What this one has seen survives a power cut: an index, a replica, an answer to somebody.
    let durable = wal.follow(0)?;
    // And this one may see what a power cut takes away: a cache, a display.
    let written = wal.follow_with(0, Mark::Written)?;

    let (durable, written) = thread::scope(|scope| {
        let durable = scope.spawn(|| apply("durable", durable));
        let written = scope.spawn(|| apply("written", written));
        for number in 0..ENTRIES {
            if let Err(error) = wal.append(format!("set {number}={}", number * number).as_bytes()) {
                eprintln!("not appended: {error}");
                break;
            }
        }
        // The followers end behind the last entry.
        let closed = wal.close();
        let joined = (durable.join(), written.join());
        closed.map(|()| joined)
    })?;
    assert_eq!(durable.expect("it does not panic")?, ENTRIES);
    assert_eq!(written.expect("it does not panic")?, ENTRIES);
    Ok(())
}

/// Waits for each entry, until the log is closed. Returns how many there were.
fn apply(name: &str, follower: Follower) -> Result<u64, wal::Error> {
    let mut count = 0;
    for entry in follower {
        let entry = entry?;
        count += 1;
        if count % 250 == 0 {
            println!("{name}: {:>4}  {}", entry.sequence(), entry.payload().escape_ascii());
        }
    }
    Ok(count)
}

#[test]
fn both_followers_see_every_entry() -> Result<(), Box<dyn Error>> {
    main()
}
