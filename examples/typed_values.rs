//! Values instead of bytes: an enum of versions, encoded with serde and postcard. The log itself knows bytes alone.
//!
//! ```sh
//! cargo run -p examples --example typed_values
//! ```
#![allow(clippy::disallowed_methods, reason = "an example stands outside the log's seams")]

use std::error::Error;
use std::path::Path;

use serde::{Deserialize, Serialize};
use wal::{Options, Wal};

/// What the log holds. A later version of a value is another variant at the end: so old entries stay readable.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Event {
    Set { key: String, value: i64 },
    Removed { key: String },
}

fn append(wal: &Wal, event: &Event) -> Result<u64, Box<dyn Error>> {
    Ok(wal.append(&postcard::to_stdvec(event)?)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&tempfile::tempdir()?.path().join("log"))
}

fn run(directory: &Path) -> Result<(), Box<dyn Error>> {
    let wal = Options::new().open(directory)?;
    let events = [
        Event::Set { key: "a".to_owned(), value: 1 },
        Event::Set { key: "b".to_owned(), value: -2 },
        Event::Removed { key: "a".to_owned() },
    ];
    for event in &events {
        append(&wal, event)?;
    }
    for (entry, event) in wal.read_from(0)?.zip(&events) {
        // Bytes that are no event are an error of the application's, with the number of the entry.
        let entry = entry?;
        let found: Event =
            postcard::from_bytes(&entry).map_err(|error| format!("entry {}: {error}", entry.sequence()))?;
        println!("{} {found:?}", entry.sequence());
        assert_eq!(&found, event);
    }
    wal.close()?;
    Ok(())
}

#[test]
fn what_was_appended_is_read() -> Result<(), Box<dyn Error>> {
    main()
}
