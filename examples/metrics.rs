//! The numbers of a log: printed, and given to Prometheus.
//!
//! ```sh
//! cargo run -q -p examples --example metrics
//! ```
#![allow(clippy::disallowed_methods, reason = "an example stands outside the log's seams")]

use std::thread;

use prometheus::{Registry, TextEncoder};
use wal::{Options, Wal};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let wal = Options::new().open(scratch.path().join("log"))?;

    // The caller's registry, with one log or many in it: each has its own label.
    let registry = Registry::new();
    wal.metrics().label("orders").register(&registry)?;

    append_from_threads(&wal, 8, 200)?;

    // What a scrape would get.
    print!("{}", TextEncoder::new().encode_to_string(&registry.gather())?);

    // The same numbers without Prometheus.
    let stats = wal.stats();
    println!("{} entries, {} of them durable", stats.appended_entries, stats.durable);
    println!(
        "{} syncs, {:.1} entries each",
        stats.syncs,
        stats.sync_entries.sum / stats.sync_entries.count as f64
    );
    if let Some(seconds) = stats.append_duration.quantile(0.99) {
        println!("99 of 100 frames took at most {:.1} ms", seconds * 1e3);
    }
    wal.close()?;
    Ok(())
}

fn append_from_threads(wal: &Wal, threads: usize, entries: usize) -> Result<(), wal::Error> {
    thread::scope(|scope| {
        let appenders: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(move || {
                    (0..entries).try_for_each(|number| wal.append(&number.to_le_bytes()).map(|_| ()))
                })
            })
            .collect();
        appenders.into_iter().try_for_each(|appender| appender.join().expect("no appender panics"))
    })
}

#[test]
fn every_entry_is_counted_and_shown() {
    main().expect("a log in a scratch directory works");
}
