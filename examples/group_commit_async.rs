//! Commits as futures: many entries in flight from one thread, without a runtime and on tokio.
//!
//! ```sh
//! cargo run -q -p examples --example group_commit_async
//! ```
#![allow(clippy::disallowed_methods, reason = "an example stands outside the log's seams")]

use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use wal::{Options, Wal};

fn main() -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let wal = Options::new().open(scratch.path().join("log"))?;

    // Without a runtime: a future needs no more than a thread that polls it.
    let last = block_on(append_all(&wal, 1000))?;
    println!("without a runtime: durable up to entry {last}");

    // On tokio: each request is a task of its own, and they share the syncs.
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let last = runtime.block_on(serve(&wal, 1000))?;
    println!("on tokio: durable up to entry {last}");

    let stats = wal.stats();
    println!("{} entries, {} syncs", stats.appended_entries, stats.syncs);
    wal.close()?;
    Ok(())
}

/// Submits everything, then awaits: the disk is busy while the thread goes on.
async fn append_all(wal: &Wal, entries: u64) -> Result<u64, wal::Error> {
    let mut commits = Vec::new();
    for number in 0..entries {
        // Returns at once, with the number; waits only when too much is in flight.
        commits.push(wal.submit(&number.to_le_bytes())?);
    }
    let mut last = 0;
    for commit in commits {
        last = commit.await?;
    }
    Ok(last)
}

/// As many requests as there are entries, all at once.
async fn serve(wal: &Wal, requests: u64) -> Result<u64, Box<dyn Error>> {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..requests {
        let commit = wal.submit(format!("request {number}").as_bytes())?;
        tasks.spawn(commit);
    }
    let mut last = 0;
    while let Some(durable) = tasks.join_next().await {
        last = last.max(durable??);
    }
    Ok(last)
}

/// All that an executor for one future is: poll it, sleep until it is woken, poll again.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn what_was_awaited_is_durable() {
    main().expect("a log in a scratch directory works");
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let wal = Options::new().open(scratch.path().join("log")).expect("a new log");
    assert_eq!(block_on(append_all(&wal, 10)).expect("nothing fails"), 9);
    assert_eq!(wal.durable_end(), 10);
}
