//! One writer at a time, and no lock that outlives its writer.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{contents, open, refused, small, try_open};
use wal::{ErrorKind, Options, SyncPolicy};
use wal_segment::io::sim::SimDisk;

#[test]
fn a_second_open_in_the_same_process_is_refused_at_once() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("log");
    let wal = Options::new().open(&path).expect("a new log");
    wal.append(b"entry").expect("there is space");
    let start = Instant::now();
    let error = refused(Options::new().open(&path), ErrorKind::Locked);
    assert!(start.elapsed() < Duration::from_secs(5), "it waited");
    assert!(error.to_string().contains("log"), "{error}");
    // The refused one has done no harm.
    assert_eq!(wal.append(b"another").expect("there is space"), 1);
    assert_eq!(contents(&wal).len(), 2);
    drop(wal);
    let wal = Options::new().open(&path).expect("the lock is free again");
    assert_eq!(contents(&wal).len(), 2);
    wal.close().expect("nothing fails");
    drop(Options::new().open(&path).expect("a close gives the lock up too"));
}

#[test]
fn a_failed_open_gives_the_lock_up() {
    let disk = SimDisk::new(1);
    open(&disk, &small(SyncPolicy::Immediate)).append(b"entry").expect("nothing fails");
    let name = crate::common::bytes::segment_name(1);
    let whole = disk.contents(&name).expect("a segment");
    disk.put(&name, &[]);
    for _ in 0..2 {
        refused(try_open(&disk, &small(SyncPolicy::Immediate)), ErrorKind::Corrupt);
    }
    disk.put(&name, &whole);
    drop(open(&disk, &small(SyncPolicy::Immediate)));
}

const CHILD: &str = "WAL_TEST_DIRECTORY_OF_THE_CHILD";

/// Not a test of its own: the process that [`a_killed_process_releases_the_lock`] kills.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Some(path) = env::var_os(CHILD) else { return };
    let wal = Options::new().open(Path::new(&path).join("log")).expect("the parent waits");
    for number in 0_u64.. {
        wal.append(&number.to_le_bytes()).expect("there is space");
        if number == 20 {
            fs::write(Path::new(&path).join("ready"), b"").expect("there is space");
        }
        if number > 20 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

// dgraph#1185 kept a lock file with a process number in it: after the restart of a container the number was
// taken by another process, and the log stayed locked until somebody removed the file by hand.
#[cfg(unix)]
#[test]
fn a_killed_process_releases_the_lock() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut child = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "lock::child_that_appends_until_it_is_killed", "--test-threads=1"])
        .env(CHILD, home.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("a child");
    let start = Instant::now();
    while !home.path().join("ready").exists() {
        assert!(start.elapsed() < Duration::from_secs(30), "the child does not get ready");
        assert_eq!(child.try_wait().expect("our child"), None, "the child has ended");
        thread::sleep(Duration::from_millis(2));
    }
    let path = home.path().join("log");
    refused(Options::new().open(&path), ErrorKind::Locked);
    // Readers need no lock.
    let view = Options::new().open_read_only(&path).expect("beside the writer");
    assert!(view.written_end() > 20);
    child.kill().expect("our child");
    child.wait().expect("our child");
    assert!(path.join("LOCK").exists(), "the file stays; the lock does not");
    let wal = Options::new().open(&path).expect("nobody holds it");
    let shown = contents(&wal);
    assert!(shown.len() as u64 >= view.written_end(), "what was acknowledged before the kill is there");
    for (number, payload) in (0_u64..).zip(&shown) {
        assert_eq!(payload, &number.to_le_bytes());
    }
}

#[test]
fn on_the_simulated_disk_a_kill_releases_the_lock_and_nothing_else_does() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None));
    refused(try_open(&disk, &small(SyncPolicy::None)), ErrorKind::Locked);
    refused(try_open(&disk, &small(SyncPolicy::None)), ErrorKind::Locked);
    drop(open(&disk.kill(), &small(SyncPolicy::None)));
    drop(wal);
    drop(open(&disk, &small(SyncPolicy::None)));
}
