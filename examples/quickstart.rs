//! Appends, closes, opens again and reads everything back.
//!
//! ```sh
//! cargo run -p examples --example quickstart           # in a directory that is removed at the end
//! cargo run -p examples --example quickstart -- mylog  # in ./mylog; run it twice
//! ```
#![allow(clippy::disallowed_methods, reason = "an example stands outside the log's seams")]

use std::error::Error;
use std::path::Path;

use wal::{Options, SyncPolicy};

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args_os().nth(1) {
        Some(directory) => run(Path::new(&directory)),
        None => run(&tempfile::tempdir()?.path().join("log")),
    }
}

fn run(directory: &Path) -> Result<(), Box<dyn Error>> {
    // Creates the directory (not its parents), locks it, and finds out what survived.
    let wal = Options::new().sync(SyncPolicy::Immediate).open(directory)?;
    println!("opened {}: {}", directory.display(), wal.recovery());

    // Under `Immediate` an entry survives a power cut once `append` has returned.
    let sequence = wal.append(b"set a=1")?;
    println!("entry {sequence} is durable");

    // After a crash there are all of these, or none.
    let batch = wal.append_batch([b"set b=2", b"set c=3"])?;
    println!("entries {} to {} are durable together", batch.start, batch.end - 1);
    wal.close()?;

    let wal = Options::new().open(directory)?;
    println!("opened again: {}", wal.recovery());
    for entry in wal.read_from(wal.first())? {
        let entry = entry?;
        println!("{:>4}  {}", entry.sequence(), entry.payload().escape_ascii());
    }
    wal.close()?;
    Ok(())
}

#[test]
fn the_example_runs_twice_in_one_directory() -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let directory = scratch.path().join("log");
    run(&directory)?;
    run(&directory)?;
    assert_eq!(Options::new().open_read_only(&directory)?.written_end(), 6);
    Ok(())
}
