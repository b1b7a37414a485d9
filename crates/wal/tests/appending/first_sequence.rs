//! A log that begins with another number than 0.

use crate::common::{FEW_IMAGES, HALF, POLICIES, contents, open, read, refused, small, try_open, view};
use wal::{Ending, ErrorKind, Options, SyncPolicy};
use wal_segment::io::sim::SimDisk;

const LAST: u64 = (1 << 56) - 1;

#[test]
fn a_new_log_begins_where_it_is_told_to_and_goes_on_from_there() {
    for policy in POLICIES {
        for first in [1, 255, 1 << 32, LAST - 100] {
            let options = small(policy).first_sequence(first);
            let disk = SimDisk::new(1);
            let wal = open(&disk, &options);
            assert_eq!(
                (wal.first(), wal.written_end(), wal.durable_end(), wal.last()),
                (first, first, first, None)
            );
            assert_eq!((wal.recovery().first, wal.recovery().next), (first, first));
            assert!(wal.is_empty());
            assert_eq!(wal.append(b"a").expect("nothing fails"), first);
            assert_eq!(wal.append_batch([b"b", b"c"]).expect("nothing fails"), first + 1..first + 3);
            for _ in 0..4 {
                wal.append(&[7; HALF]).expect("nothing fails");
            }
            refused(wal.read(first - 1), ErrorKind::OutOfRange);
            assert_eq!(&*wal.read(first + 2).expect("it is there"), b"c");
            wal.close().expect("nothing fails");

            let looked = view(&disk);
            assert_eq!((looked.first(), looked.written_end()), (first, first + 7));
            let verified = looked.verify().expect("it can be read");
            assert_eq!((verified.entries, verified.damages.len()), (7, 0));
            assert_eq!(looked.segments().next().expect("a segment").sequences.start, first);
            let (payloads, error) = read(looked.range(..));
            assert!(error.is_none());

            let wal = open(&disk, &small(policy));
            assert_eq!(contents(&wal), payloads);
            wal.truncate_before(first + 2).expect("nothing fails");
            wal.truncate_after(first + 4).expect("nothing fails");
            assert_eq!(wal.append(b"d").expect("nothing fails"), first + 5);
            assert_eq!((wal.first(), wal.written_end()), (first + 2, first + 6));
        }
    }
}

#[test]
fn a_log_that_is_there_has_its_own_first_number() {
    let policy = SyncPolicy::Immediate;
    let (empty, used) = (SimDisk::new(2), SimDisk::new(3));
    open(&empty, &small(policy).first_sequence(7)).close().expect("nothing fails");
    let wal = open(&used, &small(policy));
    wal.append(b"zero").expect("nothing fails");
    wal.close().expect("nothing fails");
    for (disk, next) in [(&empty, 7), (&used, 1)] {
        for other in [0, 1, 7, 9000] {
            let wal = open(disk, &small(policy).first_sequence(other));
            assert_eq!(wal.written_end(), next, "{other} was asked for");
        }
    }
    let wal = open(&empty, &small(policy).first_sequence(9));
    assert_eq!(wal.append(b"seven").expect("nothing fails"), 7);
    assert_eq!(open(&empty.kill(), &small(policy)).first(), 7);
}

#[test]
fn the_largest_numbers_are_the_last_that_are_given() {
    let options = |first| small(SyncPolicy::Immediate).first_sequence(first);
    let disk = SimDisk::new(4);
    let wal = open(&disk, &options(LAST - 1));
    assert_eq!(wal.append(b"the last").expect("it has a number"), LAST - 1);
    refused(wal.append(b"one more"), ErrorKind::TooLarge);
    wal.close().expect("nothing fails");
    let wal = open(&disk, &options(0));
    assert_eq!(
        (wal.first(), wal.written_end(), contents(&wal)),
        (LAST - 1, LAST, vec![b"the last".to_vec()])
    );

    let wal = open(&SimDisk::new(5), &options(LAST));
    refused(wal.append(b"none is left"), ErrorKind::TooLarge);
    assert!(wal.is_empty());

    for first in [LAST + 1, u64::MAX] {
        let untouched = SimDisk::new(6);
        let error = refused(try_open(&untouched, &options(first)), ErrorKind::InvalidOptions);
        assert!(error.to_string().contains(&format!("first_sequence is {first}")), "{error}");
        assert!(untouched.names().is_empty());
    }
}

#[test]
fn a_power_cut_while_the_log_is_made_leaves_no_log_or_one_that_begins_there() {
    let options = small(SyncPolicy::Immediate).first_sequence(40);
    for operation in 0.. {
        let disk = SimDisk::new(operation);
        disk.crash_at(operation);
        let acknowledged = try_open(&disk, &options).and_then(|wal| wal.append(b"forty"));
        for image in disk.crash_images(FEW_IMAGES, operation) {
            // Whoever opens next may ask for another number: a log that was made keeps its own.
            let wal = open(&image, &small(SyncPolicy::Immediate).first_sequence(90));
            match wal.recovery().ending {
                Ending::New => assert!(acknowledged.is_err() && wal.first() == 90, "{}", image.origin()),
                _ => assert_eq!(wal.first(), 40, "{}", image.origin()),
            }
            if acknowledged.is_ok() {
                assert_eq!(contents(&wal), [b"forty"], "{}", image.origin());
            }
        }
        if acknowledged.is_ok() {
            assert!(operation > 5, "the log was made in {operation} operations");
            return;
        }
    }
}

#[test]
fn the_default_is_zero() {
    let wal = open(&SimDisk::new(7), &Options::new().background(false));
    assert_eq!((wal.first(), wal.append(b"a").expect("nothing fails")), (0, 0));
}
