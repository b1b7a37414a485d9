//! Looks at a log beside its writer, which may be another process: without its lock and without changing a byte.
//! Then follows it for a moment.
//!
//! ```sh
//! cargo run -p examples --example read_only_inspector -- mylog
//! ```
#![allow(clippy::disallowed_methods, reason = "an example stands outside the log's seams")]

use std::error::Error;
use std::path::Path;
use std::task::Poll;
use std::time::Duration;

use wal::{Mark, Options};

fn main() -> Result<(), Box<dyn Error>> {
    let Some(directory) = std::env::args_os().nth(1) else {
        return Err("usage: read_only_inspector DIRECTORY".into());
    };
    inspect(Path::new(&directory), Duration::from_secs(2)).map(drop)
}

/// Prints what there is, and what comes until nothing has come for so long. Returns the number behind the last
/// entry that was seen.
fn inspect(directory: &Path, patience: Duration) -> Result<u64, Box<dyn Error>> {
    let view = Options::new().open_read_only(directory)?;
    println!("{}", view.recovery());
    for segment in view.segments() {
        let end = if segment.closed { "closed" } else { "open" };
        println!(
            "segment {:>4}  entries {:?}  {} bytes, {end}",
            segment.number, segment.sequences, segment.bytes
        );
    }
    match view.last() {
        Some(last) => println!("entries {} to {last}, durable before {}", view.first(), view.durable_end()),
        None => println!("no entries"),
    }

    // Only written as yet: to act on what comes, rather than to look at it, `follow` hands out what is durable.
    let mut follower = view.follow_with(view.written_end(), Mark::Written)?;
    while let Poll::Ready(Some(entry)) = follower.next_timeout(patience) {
        let entry = entry?;
        let promise = if entry.sequence() < follower.durable_end() { "durable" } else { "written" };
        println!("{:>4}  {promise}  {}", entry.sequence(), entry.payload().escape_ascii());
    }
    Ok(follower.position())
}

#[test]
fn it_sees_what_a_writer_appends_beside_it() -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let directory = scratch.path().join("log");
    let wal = Options::new().open(&directory)?;
    wal.append(b"before")?;
    let seen = std::thread::scope(|scope| {
        let inspector =
            scope.spawn(|| inspect(&directory, Duration::from_secs(1)).map_err(|error| error.to_string()));
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(10));
            wal.append(b"beside")?;
        }
        Ok::<_, wal::Error>(inspector.join().expect("it does not panic"))
    })?;
    assert_eq!(seen?, 21);
    Ok(())
}
