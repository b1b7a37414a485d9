//! Values go in and come out, and what is no value is an error that says which entry.

#![cfg(feature = "serde")]
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use serde::{Deserialize, Serialize, Serializer};
use wal::{Durability, Error, ErrorKind, Options, SyncPolicy, Typed, Wal};
use wal_segment::io::sim::SimDisk;
use wal_testing::{Counting, allocations};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Change {
    Set { key: String, value: Vec<u8> },
    Remove(String),
    Clear,
}

fn set(key: &str, bytes: usize) -> Change {
    Change::Set { key: key.to_owned(), value: vec![7; bytes] }
}

fn options() -> Options {
    Options::new().sync(SyncPolicy::None).max_entry_bytes(1000).max_batch_bytes(2500).zero_ahead(false)
}

fn open(directory: &Path) -> Wal {
    options().open(directory.join("log")).expect("a log")
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind, says: &str) {
    let error = result.expect_err("it cannot work");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

fn values(log: &Typed<Change>) -> Vec<(u64, Change)> {
    log.range(..).expect("open").collect::<Result<_, _>>().expect("good values")
}

#[test]
fn an_entry_that_is_no_value_is_told_by_its_number_and_ends_the_reading() {
    let scratch = scratch();
    let wal = open(scratch.path());
    let log = wal.typed::<Change>();
    log.append(&Change::Clear).expect("nothing fails");
    for (bytes, why) in [
        (&b""[..], "the end of buffer"),
        // There is no tenth kind of change, and no text of 200 bytes.
        (&[9], "typed::Change: "),
        (&[1, 200, 1, b'a'], "the end of buffer"),
        // A good value, and something behind it.
        (&[2, 0, 0], "2 bytes are left behind it"),
    ] {
        let sequence = wal.append(bytes).expect("bytes are bytes");
        let error = log.read(sequence).expect_err("it is no value");
        assert_eq!(error.kind(), ErrorKind::Undecodable);
        let text = error.to_string();
        assert!(text.contains(&format!("entry {sequence} of {} bytes", bytes.len())), "{text}");
        assert!(text.contains("Change") && text.contains(why), "{text}");
    }
    let last = log.append(&Change::Remove("a".to_owned())).expect("nothing fails");
    let mut forward = log.read_from(0).expect("open");
    assert_eq!(forward.next().expect("a value").expect("good"), (0, Change::Clear));
    refused(forward.next().expect("an error"), ErrorKind::Undecodable, "entry 1 ");
    assert!(forward.next().is_none() && forward.next_back().is_none(), "it has ended");
    let mut backward = log.range(..).expect("open").rev();
    assert_eq!(backward.next().expect("a value").expect("good").0, last);
    refused(backward.next().expect("an error"), ErrorKind::Undecodable, "entry 4 ");
    assert!(backward.next().is_none(), "it has ended");
    // The bytes are there as ever.
    assert_eq!(wal.read(4).expect("it is there").payload(), [2, 0, 0]);
}

#[test]
fn a_value_that_is_too_large_or_refuses_writes_nothing() {
    struct Refuses;
    impl Serialize for Refuses {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("on purpose"))
        }
    }
    let scratch = scratch();
    let wal = open(scratch.path());
    let log = wal.typed::<Change>();
    // A tag, a length and a letter, and a length of two bytes.
    log.append(&set("k", 995)).expect("1000 bytes are just right");
    refused(log.append(&set("k", 996)), ErrorKind::TooLarge, "max_entry_bytes (1000)");
    refused(log.submit(&set("k", 996)).map(|_| ()), ErrorKind::TooLarge, "max_entry_bytes (1000)");
    refused(log.append_batch([set("k", 10), set("k", 996)]), ErrorKind::TooLarge, "max_entry_bytes (1000)");
    let three = [set("k", 900), set("k", 900), set("k", 900)];
    refused(log.append_batch(&three), ErrorKind::TooLarge, "max_batch_bytes (2500)");
    refused(wal.typed::<Refuses>().append(&Refuses), ErrorKind::Unencodable, "Refuses");
    assert_eq!(wal.written(), 1);
    // What was begun for them is in nobody's way.
    log.append(&Change::Clear).expect("nothing fails");
    assert_eq!(values(&log), [(0, set("k", 995)), (1, Change::Clear)]);
}

#[test]
fn errors_of_the_log_come_through() {
    let scratch = scratch();
    let log = open(scratch.path()).typed::<Change>();
    refused(log.read(0), ErrorKind::OutOfRange, "cannot read 0");
    refused(log.read_from(1), ErrorKind::OutOfRange, "cannot read from 1");
    log.wal().clone().close().expect("nothing fails");
    refused(log.append(&Change::Clear), ErrorKind::Closed, "closed");
    refused(log.append_batch([Change::Clear]), ErrorKind::Closed, "closed");
    refused(log.range(..), ErrorKind::Closed, "closed");
}

#[test]
fn values_come_back_in_order_by_every_way_in_and_out() {
    let scratch = scratch();
    let log = open(scratch.path()).typed::<Change>();
    let all =
        [set("a", 3), Change::Clear, Change::Remove("a".to_owned()), set("b", 0), Change::Clear, set("c", 9)];
    assert_eq!(log.append(&all[0]).expect("nothing fails"), 0);
    assert_eq!(log.append_with(&all[1], Durability::Durable).expect("nothing fails"), 1);
    assert_eq!(log.submit(&all[2]).expect("nothing fails").wait().expect("nothing fails"), 2);
    assert_eq!(log.append_batch(&all[3..5]).expect("nothing fails"), 3..5);
    assert_eq!(log.append_batch([all[5].clone()]).expect("nothing fails"), 5..6);
    assert_eq!(log.append_batch([Change::Clear; 0]).expect("nothing fails"), 6..6);
    let numbered: Vec<_> = (0..).zip(all).collect();
    assert_eq!(values(&log), numbered);
    assert_eq!(values(&log.clone()), numbered);
    for (sequence, value) in &numbered {
        assert_eq!(&log.read(*sequence).expect("it is there"), value);
    }
    let from: Vec<_> = log.read_from(4).expect("open").map(Result::unwrap).collect();
    assert_eq!(from, numbered[4..]);
    let backward: Vec<_> = log.range(1..4).expect("open").rev().map(Result::unwrap).collect();
    assert!(backward.iter().eq(numbered[1..4].iter().rev()), "{backward:?}");
    // Beside the writer, without its lock.
    let view = Options::new().open_read_only(scratch.path().join("log")).expect("a log");
    let seen: Vec<_> = view.range(..).typed::<Change>().map(Result::unwrap).collect();
    assert_eq!(seen, numbered);
}

#[test]
fn an_append_of_a_value_allocates_nothing_once_it_is_warm() {
    let scratch = scratch();
    let log = open(scratch.path()).typed::<Change>();
    let value = set("key", 500);
    let append = |count: u64| (0..count).for_each(|_| assert!(log.append(&value).is_ok()));
    append(2000);
    assert_eq!(allocations(|| append(20_000)).0, 0);
    assert_eq!(log.wal().written(), 22_000);
}

#[test]
fn a_value_larger_than_what_memory_is_kept_for_comes_back() {
    let scratch = scratch();
    let wal = Options::new().sync(SyncPolicy::None).open(scratch.path().join("log")).expect("a new log");
    let log = wal.typed::<Vec<u8>>();
    let large = vec![1; 1 << 20];
    log.append(&large).expect("nothing fails");
    log.append(&vec![2; 10]).expect("nothing fails");
    assert_eq!(log.read(0).expect("it is there"), large);
    assert_eq!(log.read(1).expect("it is there"), [2; 10]);
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let options = options().background(false);
        let wal = options.open_in(Arc::new(SimDisk::new(1))).expect("a new log");
        wal.append(&bytes).expect("bytes are bytes");
        match wal.typed::<Change>().read(0) {
            // Postcard has several spellings of a number, so the bytes need not be the same.
            Ok(value) => prop_assert_eq!(wal.typed::<Change>().append(&value).expect("it was a value"), 1),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Undecodable),
        }
    }
}
