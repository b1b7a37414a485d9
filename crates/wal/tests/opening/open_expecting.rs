//! An open by somebody who knows how far the log had got: an older state is refused, and left as it is.

use std::sync::Arc;

use crate::common::bytes::segment_name;
use crate::common::{HALF, contents, damage_last_frame, directory, open, refused, small};
use wal::{Ending, Error, ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::SimDisk;

fn options() -> Options {
    small(SyncPolicy::Immediate)
}

fn expecting(disk: &SimDisk, sequence: u64) -> Result<Wal, Error> {
    options().open_expecting_in(Arc::new(disk.clone()), sequence)
}

/// Refused, with the number that comes next, and nothing was changed.
#[track_caller]
fn is_rolled_back(disk: &SimDisk, sequence: u64, next: u64) {
    let before = directory(disk);
    let error = refused(expecting(disk, sequence), ErrorKind::RolledBack);
    assert_eq!(error.next_sequence(), Some(next), "{error}");
    let words = error.to_string();
    assert!(words.contains("/sim"), "{words}");
    assert!(words.contains(&format!("the next entry is {next}")), "{words}");
    assert!(words.contains(&format!("before {sequence} was acknowledged")), "{words}");
    assert!(directory(disk) == before, "a refused open changed the directory");
}

/// Five entries in three segments; closed or killed.
fn five(closed: bool) -> SimDisk {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &options());
    for _ in 0..5 {
        wal.append(&[7; HALF]).expect("nothing fails");
    }
    if closed {
        wal.close().expect("nothing fails");
    }
    crate::common::copy(&directory(&disk.kill()))
}

#[test]
fn a_log_that_has_got_so_far_opens_and_one_that_has_not_is_refused_and_left_as_it_is() {
    for closed in [true, false] {
        for sequence in [6, 7, 1 << 40, u64::MAX] {
            is_rolled_back(&five(closed), sequence, 5);
        }
        for sequence in 0..=5 {
            let wal = expecting(&five(closed), sequence).expect("it has got so far");
            assert_eq!(wal.written_end(), 5);
            assert_eq!(wal.append(b"five").expect("nothing fails"), 5);
        }
    }
}

#[test]
fn an_older_state_of_the_whole_directory_is_refused() {
    let disk = SimDisk::new(2);
    let wal = open(&disk, &options());
    for _ in 0..3 {
        wal.append(&[7; HALF]).expect("nothing fails");
    }
    let backup = disk.power_cut_losing_everything();
    for _ in 0..4 {
        wal.append(&[7; HALF]).expect("nothing fails");
    }
    let acknowledged = wal.durable_end();
    drop(wal);
    assert_eq!(expecting(&disk.kill(), acknowledged).expect("nothing is lost").written_end(), 7);
    // As a log it is whole, and opens without a word.
    assert_eq!(open(&backup.kill(), &options()).written_end(), 3);
    let backup = crate::common::copy(&directory(&backup));
    is_rolled_back(&backup, acknowledged, 3);
}

// The last frame of a log that was not closed is damaged. Nothing on the disk states that it was durable, so it
// looks like a torn tail, and is dropped.
#[test]
fn damage_that_looks_like_a_torn_tail_is_noticed() {
    let disk = SimDisk::new(3);
    let wal = open(&disk, &options());
    for _ in 0..2 {
        wal.append(b"acknowledged").expect("nothing fails");
    }
    drop(wal);
    let disk = crate::common::copy(&directory(&disk.kill()));
    damage_last_frame(&disk);
    is_rolled_back(&disk, 2, 1);
    let wal = open(&disk, &options());
    assert!(matches!(wal.recovery().ending, Ending::Torn { .. }));
    assert_eq!(contents(&wal).len(), 1);
}

#[test]
fn where_there_is_no_log_none_is_made_unless_a_new_one_would_do() {
    let disk = SimDisk::new(4);
    let error = refused(expecting(&disk, 1), ErrorKind::NoLog);
    assert!(error.to_string().contains("no log"), "{error}");
    assert_eq!(disk.names(), ["LOCK"]);
    assert_eq!(expecting(&disk, 0).expect("any log will do").written_end(), 0);

    let begins_at_nine = options().first_sequence(9);
    let disk: Arc<SimDisk> = Arc::new(SimDisk::new(5));
    refused(begins_at_nine.open_expecting_in(disk.clone(), 10), ErrorKind::NoLog);
    assert_eq!(begins_at_nine.open_expecting_in(disk, 9).expect("a new one will do").written_end(), 9);
}

#[test]
fn a_path_that_is_not_there_is_not_made() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let path = scratch.path().join("log");
    refused(options().open_expecting(&path, 1), ErrorKind::NoLog);
    assert!(!path.exists());
    let wal = options().open_expecting(&path, 0).expect("any log will do");
    wal.append(b"zero").expect("nothing fails");
    wal.close().expect("nothing fails");
    let wal = options().open_expecting(&path, 1).expect("it has got so far");
    assert_eq!(wal.written_end(), 1);
    drop(wal);
    // A new log would do, and this one, which has its own numbers, does not.
    for first in [0, 9] {
        let options = options().first_sequence(first);
        refused(options.open_expecting(&path, 2), ErrorKind::RolledBack);
    }
}

#[test]
fn damage_is_told_first_and_a_log_that_is_open_is_locked() {
    let disk = five(true);
    disk.delete(&segment_name(2));
    refused(expecting(&disk, 100), ErrorKind::Missing);
    let disk = five(true);
    let _wal = open(&disk, &options());
    refused(expecting(&disk, 100), ErrorKind::Locked);
}
