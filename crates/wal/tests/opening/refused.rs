//! Calls that file systems and sandboxes refuse, and that the log does without: mappings, reservations.

use std::io::ErrorKind;

use crate::common::{contents, large, open, small};
use wal::{Options, SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, Failure, Fault, FaultEffect, SimDisk, Times};

fn refuse(disk: &SimDisk, call: CallKind, kind: ErrorKind, times: Times) {
    disk.fail(Fault { call, nth: 0, times, with: FaultEffect::Error(Failure::Kind(kind)) });
}

/// A log of several segments.
fn filled(disk: &SimDisk) -> Wal {
    let wal = open(disk, &small(SyncPolicy::Immediate));
    for number in 0..20 {
        wal.append(&large(number)).expect("nothing fails");
    }
    assert!(wal.stats().segments > 5);
    wal
}

#[track_caller]
fn holds(wal: &Wal, count: u64) {
    let all: Vec<_> = (0..count).map(large).collect();
    assert_eq!(contents(wal), all);
}

// 9p, vboxsf and FUSE with direct I/O map no file, and neither does a process that has used up its address space. All
// but the last segment could not be read there, although reads by position were at hand.
#[test]
fn where_a_mapping_is_refused_segments_are_read_by_position_and_it_is_not_tried_again() {
    for kind in [ErrorKind::InvalidInput, ErrorKind::OutOfMemory, ErrorKind::Unsupported, ErrorKind::Other] {
        let disk = SimDisk::new(1);
        let wal = filled(&disk);
        assert!(wal.stats().maps);
        refuse(&disk, CallKind::Map, kind, Times::Forever);
        holds(&wal, 20);
        assert_eq!(disk.calls(CallKind::Map), 1, "{kind}: the first one said it");
        assert!(!wal.stats().maps);
        assert_eq!(wal.read(3).expect("it is there").payload(), large(3));
        assert_eq!(
            wal.range(..).expect("open").rev().map(|entry| entry.expect("good").sequence()).last(),
            Some(0)
        );
        let view = Options::new().open_read_only_in(std::sync::Arc::new(disk.clone())).expect("a log");
        assert_eq!(view.range(..).filter(Result::is_ok).count(), 20);
    }
}

// A signal interrupted the reservation of a segment, and the append failed.
#[test]
fn a_reservation_that_is_interrupted_is_repeated_and_one_that_is_refused_is_done_without() {
    for (kind, times) in [
        (ErrorKind::Interrupted, Times::Once),
        (ErrorKind::Interrupted, Times::Forever),
        (ErrorKind::Unsupported, Times::Once),
        (ErrorKind::Unsupported, Times::Forever),
    ] {
        let disk = SimDisk::new(1);
        refuse(&disk, CallKind::Allocate, kind, times);
        let wal = filled(&disk);
        holds(&wal, 20);
        if (kind, times) == (ErrorKind::Interrupted, Times::Forever) {
            assert!(disk.calls(CallKind::Allocate) < 2000, "not for ever");
        }
        drop(wal);
        holds(&open(&disk, &small(SyncPolicy::Immediate)), 20);
    }
}
