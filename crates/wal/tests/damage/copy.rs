//! A copy that is made while the log is written: it opens to everything that was durable when it began, whatever
//! happens meanwhile; and one that did not come to its end is no log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::common::bytes::segment_name;
use crate::common::seam::{Call, Seam};
use crate::common::{
    FEW_IMAGES, HALF, POLICIES, SMALL, contents, directory, eio, enospc, every_setup, fault, open, refused,
    small, try_open, view,
};
use wal::{Directory, Ending, ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, Times};

/// The bytes of an entry tell its number.
fn payload(number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(bytes.max(8), number.to_le_bytes()[0]);
    payload
}

fn append(wal: &Wal, bytes: usize) {
    // Nobody else appends at this moment.
    let number = wal.written_end();
    let appended = wal.append_at(number, &payload(number, bytes)).expect("nothing fails");
    assert_eq!(appended, number);
}

/// Every entry is the one that was appended under its number. Returns where the log begins and ends.
#[track_caller]
fn holds_what_was_appended(wal: &Wal) -> (u64, u64) {
    for (entry, number) in contents(wal).into_iter().zip(wal.first()..) {
        assert_eq!(entry, payload(number, entry.len()), "entry {number}");
    }
    (wal.first(), wal.written_end())
}

/// Five entries in three segments, and something that is dropped from the front.
fn log(policy: SyncPolicy) -> (SimDisk, Wal) {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(policy));
    for bytes in [20, HALF, HALF, HALF, 30, HALF, HALF] {
        append(&wal, bytes);
    }
    wal.truncate_before(1).expect("nothing fails");
    (disk, wal)
}

#[test]
fn a_copy_is_durable_and_opens_to_the_same_log_closed_or_not() {
    for policy in POLICIES {
        let (disk, wal) = log(policy);
        let target = SimDisk::new(2);
        let report = wal.copy_into(&target).expect("nothing fails");
        assert_eq!((report.first, report.next), (1, 7));
        assert!(report.segments >= 3 && report.bytes > report.segments * 8192, "{report:?}");
        let kept = target.power_cut_losing_everything();
        let verified = view(&kept).verify().expect("it can be read");
        assert!(verified.damages.is_empty() && verified.entries == 6, "{verified:?}");
        let copied = open(&kept, &small(policy));
        assert_eq!(copied.recovery().ending, Ending::Unclosed);
        assert_eq!(contents(&copied), contents(&wal));
        assert_eq!((copied.first(), copied.durable_end()), (1, 7));
        // They go on, each by itself.
        append(&copied, 50);
        append(&wal, 60);
        wal.close().expect("nothing fails");

        let target = SimDisk::new(3);
        let report = view(&disk).copy_into(&target).expect("nothing fails");
        assert_eq!((report.first, report.next), (1, 8));
        let copied = open(&target.power_cut_losing_everything(), &small(policy));
        assert_eq!(copied.recovery().ending, Ending::Clean);
        assert_eq!(holds_what_was_appended(&copied), (1, 8));
    }
}

#[test]
fn a_log_without_an_entry_is_copied_with_the_number_that_comes_next() {
    let options = small(SyncPolicy::Immediate);
    let empty = open(&SimDisk::new(4), &options.clone().first_sequence(70));
    let emptied = open(&SimDisk::new(5), &options);
    for _ in 0..4 {
        append(&emptied, HALF);
    }
    emptied.truncate_before(4).expect("nothing fails");
    for (wal, next) in [(empty, 70), (emptied, 4)] {
        let target = SimDisk::new(6);
        let report = wal.copy_into(&target).expect("nothing fails");
        assert_eq!((report.first, report.next), (next, next));
        let copied = open(&target.power_cut_losing_everything(), &options);
        assert_eq!((copied.first(), copied.written_end()), (next, next));
        append(&copied, 10);
    }
}

/// Something that a writer does.
type Doing = fn(&Wal);

/// What a writer may do while a copy is made.
const DOINGS: [(&str, Doing); 6] = [
    ("append", |wal| append(wal, 40)),
    ("append and sync", |wal| {
        append(wal, 40);
        wal.sync().expect("nothing fails");
    }),
    ("roll over", |wal| (0..3).for_each(|_| append(wal, HALF))),
    ("drop the front", |wal| {
        wal.truncate_before(wal.written_end()).expect("nothing fails");
    }),
    ("drop some of the front", |wal| {
        wal.truncate_before((wal.first() + 3).min(wal.written_end())).expect("nothing fails");
        append(wal, 10);
    }),
    ("drop the end and go on", |wal| {
        if wal.written_end() > wal.first() + 2 {
            wal.truncate_after(wal.first() + 1).expect("nothing fails");
        }
        append(wal, HALF);
    }),
];

/// Does something at the n-th read of a file of the log, wherever that is.
struct Meddler {
    /// The log, while it is to be meddled with.
    wal: std::sync::Mutex<Option<Wal>>,
    left: AtomicU64,
    doing: Doing,
    happened: AtomicBool,
}

impl Meddler {
    fn meddle(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0
            && let Some(wal) = self.wal.lock().expect("no panic").take()
        {
            (self.doing)(&wal);
            self.happened.store(true, Ordering::SeqCst);
        }
    }
}

/// Runs `copy` with something done at each of its reads in turn.
fn at_each_read(policy: SyncPolicy, doing: Doing, copy: impl Fn(&Wal, &Arc<Seam>)) -> u64 {
    for nth in 0..10_000 {
        let meddler = Arc::new(Meddler {
            wal: std::sync::Mutex::new(None),
            left: AtomicU64::new(u64::MAX),
            doing,
            happened: AtomicBool::new(false),
        });
        let (disk, wal) = log(policy);
        drop(wal);
        let asked = Arc::clone(&meddler);
        let seam = Seam::new(disk.kill(), move |call| {
            if matches!(call, Call::Read { .. }) {
                asked.meddle();
            }
            Ok(())
        });
        let wal = small(policy).open_in(Arc::clone(&seam) as Arc<dyn Directory>).expect("nothing fails");
        append(&wal, 20);
        *meddler.wal.lock().expect("no panic") = Some(wal.clone());
        meddler.left.store(nth, Ordering::SeqCst);
        copy(&wal, &seam);
        if !meddler.happened.load(Ordering::SeqCst) {
            return nth;
        }
    }
    panic!("no end");
}

// rocksdb#12467: a copy of the directory that was taken while the database wrote did not open.
#[test]
fn a_copy_has_everything_that_was_durable_when_it_began_whatever_is_done_at_any_of_its_reads() {
    for policy in POLICIES {
        for (what, doing) in DOINGS {
            let reads = at_each_read(policy, doing, |wal, _| {
                let (first, durable, written) = (wal.first(), wal.durable_end(), wal.written_end());
                let target = SimDisk::new(7);
                let report = wal.copy_into(&target).unwrap_or_else(|error| panic!("{what}: {error}"));
                let copied = open(&target.power_cut_losing_everything(), &small(policy));
                assert_eq!(holds_what_was_appended(&copied), (report.first, report.next), "{what}");
                assert_eq!((report.first, report.next), (first, written), "{what}");
                assert!(copied.written_end() >= durable, "{what}");
                append(&copied, 10);
            });
            assert!(reads > 3, "{what}: {reads} reads");
        }
    }
}

#[test]
fn a_view_that_is_copied_beside_a_writer_is_whole_or_says_which_segment_is_gone() {
    for (what, doing) in DOINGS {
        let mut gone = 0;
        let mut copies = 0;
        let counted = std::cell::RefCell::new((&mut gone, &mut copies));
        at_each_read(SyncPolicy::Immediate, doing, |_, seam| {
            let options = small(SyncPolicy::Immediate);
            let looked = options.open_read_only_in(Arc::clone(seam) as Arc<dyn Directory>).expect("a log");
            let target = SimDisk::new(8);
            let mut counted = counted.borrow_mut();
            match looked.copy_into(&target) {
                Ok(report) => {
                    let copied = open(&target.power_cut_losing_everything(), &options);
                    assert_eq!(holds_what_was_appended(&copied), (report.first, report.next), "{what}");
                    assert_eq!((report.first, report.next), (looked.first(), looked.written_end()), "{what}");
                    *counted.1 += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Missing, "{what}: {error}");
                    assert_eq!(target.names(), ["LOCK"], "{what}");
                    *counted.0 += 1;
                }
            }
        });
        assert!(copies > 0, "{what}");
        assert_eq!(gone > 0, what.starts_with("drop"), "{what}: {gone} of {copies}");
    }
}

#[test]
fn copies_one_after_the_other_beside_threads_that_append_and_truncate_are_all_whole() {
    for (policy, background) in every_setup() {
        let options = small(policy).background(background);
        let wal = open(&SimDisk::new(9), &options);
        let over = Arc::new(AtomicBool::new(false));
        let writer = {
            let (wal, over) = (wal.clone(), Arc::clone(&over));
            thread::spawn(move || {
                for round in 0..4000_u64 {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    // The only thread that appends.
                    append(&wal, if round % 3 == 0 { HALF } else { 30 });
                    if round % 20 == 19 {
                        wal.truncate_before(wal.written_end().saturating_sub(10)).expect("nothing fails");
                    }
                }
            })
        };
        for _ in 0..25 {
            let (first, durable) = (wal.first(), wal.durable_end());
            let target = SimDisk::new(10);
            let report = wal.copy_into(&target).unwrap_or_else(|error| panic!("{policy:?}: {error}"));
            let copied = open(&target.power_cut_losing_everything(), &small(policy));
            assert_eq!(holds_what_was_appended(&copied), (report.first, report.next), "{policy:?}");
            assert!(report.first >= first && report.next >= durable, "{policy:?}: {report:?}");
        }
        over.store(true, Ordering::SeqCst);
        writer.join().expect("no panic");
    }
}

/// What is left of a copy: no log, one that is refused, or all of it.
#[track_caller]
fn is_none_or_all(disk: &SimDisk, all: &[Vec<u8>], what: &str) -> bool {
    let has_segment = disk.names().iter().any(|name| name.ends_with(".wal"));
    let looked = Options::new().open_read_only_in(Arc::new(disk.clone()));
    match looked.as_ref().map_err(wal::Error::kind) {
        Err(ErrorKind::NoLog) => assert!(!has_segment, "{what}: {:?}", disk.names()),
        Err(other) => panic!("{what}: {other:?}"),
        Ok(looked) if looked.verify().expect("it can be read").damages.is_empty() => {
            assert_eq!((looked.first(), looked.written_end()), (1, 7), "{what}");
        }
        Ok(_) => {}
    }
    match try_open(disk, &small(SyncPolicy::Immediate)) {
        Ok(wal) if wal.recovery().ending == Ending::New => {
            assert!(!has_segment, "{what}");
            false
        }
        Ok(wal) => {
            assert_eq!(contents(&wal), all, "{what}: a shorter log\n{}", disk.origin());
            true
        }
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Missing), "{what}: {error}");
            false
        }
    }
}

#[test]
fn a_power_cut_at_any_step_of_a_copy_leaves_no_log_or_a_refused_one_or_all_of_it() {
    let (_disk, wal) = log(SyncPolicy::Immediate);
    let all = contents(&wal);
    for operation in 0.. {
        let target = SimDisk::new(operation);
        target.crash_at(operation);
        let copied = wal.copy_into(&target);
        let what = format!("cut at operation {operation}");
        let mut images: Vec<SimDisk> = target.crash_images(FEW_IMAGES, operation).collect();
        images.extend([target.power_cut_losing_everything(), target.power_cut_keeping_everything()]);
        for image in images {
            let is_all = is_none_or_all(&image, &all, &what);
            assert!(is_all || copied.is_err(), "{what}: the copy had returned\n{}", image.origin());
        }
        is_none_or_all(&target.kill(), &all, &what);
        if copied.is_ok() {
            assert!(operation > 10, "copied in {operation} operations");
            return;
        }
    }
}

#[test]
fn whatever_fails_in_the_target_is_told_and_leaves_nothing_and_the_copy_can_be_tried_again() {
    let (_disk, wal) = log(SyncPolicy::Immediate);
    let all = contents(&wal);
    let calls =
        [CallKind::Create, CallKind::Write, CallKind::SyncFile, CallKind::SyncDirectory, CallKind::Read];
    for call in calls {
        for (effect, kind) in [(eio(), ErrorKind::Io), (enospc(), ErrorKind::NoSpace)] {
            for nth in 0.. {
                let target = SimDisk::new(nth);
                target.fail(fault(call, nth, Times::Once, FaultEffect::Error(effect)));
                let Err(error) = wal.copy_into(&target) else {
                    assert!(nth > 0, "{call:?} is never called");
                    break;
                };
                let what = format!("{call:?} {nth}");
                assert_eq!(error.kind(), kind, "{what}: {error}");
                target.heal();
                assert!(target.names().iter().all(|name| name == "LOCK"), "{what}: {:?}", target.names());
                for image in target.crash_images(FEW_IMAGES, nth) {
                    is_none_or_all(&image, &all, &what);
                }
                wal.copy_into(&target).unwrap_or_else(|error| panic!("{what}, again: {error}"));
                assert!(is_none_or_all(&target.power_cut_losing_everything(), &all, &what), "{what}");
            }
        }
    }
    // Nothing can be removed either.
    for nth in 0..30 {
        let target = SimDisk::new(nth);
        target.fail(fault(CallKind::Any, nth, Times::Forever, FaultEffect::Error(eio())));
        if wal.copy_into(&target).is_err() {
            target.heal();
            is_none_or_all(&target.kill(), &all, "all calls fail");
        }
    }
}

#[test]
fn a_target_without_room_is_told_and_left_empty() {
    let (_disk, wal) = log(SyncPolicy::Immediate);
    let all = contents(&wal);
    for blocks in 0..40 {
        let target = SimDisk::new(blocks);
        target.space(Some(blocks * 4096));
        match wal.copy_into(&target) {
            Ok(_) => {
                assert!(blocks > 5);
                assert!(is_none_or_all(&target.power_cut_losing_everything(), &all, "room enough"));
                return;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}"),
        }
        assert_eq!(target.names(), ["LOCK"], "with {blocks} blocks");
        target.space(None);
        wal.copy_into(&target).expect("there is room now");
    }
    panic!("no end");
}

#[test]
fn a_target_that_holds_something_or_is_locked_is_left_alone() {
    let (disk, wal) = log(SyncPolicy::Immediate);
    for name in ["ANCHOR", &segment_name(1), "somebody's file"] {
        let target = SimDisk::new(11);
        target.put(name, b"theirs");
        let before = directory(&target);
        let error = refused(wal.copy_into(&target), ErrorKind::NotEmpty);
        assert!(error.to_string().contains(name), "{error}");
        assert!(directory(&target) == before);
    }
    let target = SimDisk::new(12);
    let _held = target.lock("LOCK").expect("it is free");
    refused(wal.copy_into(&target), ErrorKind::Locked);
    // Onto itself.
    refused(wal.copy_into(&disk), ErrorKind::NotEmpty);
    wal.clone().close().expect("nothing fails");
    refused(wal.copy_into(&SimDisk::new(13)), ErrorKind::Closed);
}

#[test]
fn damage_to_the_log_is_told_and_nothing_is_copied() {
    for number in 1..=3 {
        for at in [8200, 8256 + 60] {
            let (disk, wal) = log(SyncPolicy::Immediate);
            drop(wal);
            let disk = crate::common::copy(&directory(&disk.kill()));
            let wal = open(&disk, &small(SyncPolicy::Immediate));
            disk.damage(&segment_name(number), |bytes| bytes[at] ^= 1);
            let target = SimDisk::new(14);
            let error = refused(wal.copy_into(&target), ErrorKind::Corrupt);
            let damage = error.damage().expect("it says where");
            assert!(damage.file.ends_with(segment_name(number)), "{error}");
            assert_eq!(target.names(), ["LOCK"]);
        }
    }
    let (disk, wal) = log(SyncPolicy::Immediate);
    wal.close().expect("nothing fails");
    disk.delete(&segment_name(2));
    refused(view(&disk).copy_into(&SimDisk::new(15)), ErrorKind::Missing);
}

#[test]
fn a_raw_copy_of_a_live_directory_file_by_file_may_be_refused_and_never_opens_to_wrong_bytes() {
    let mut opened = 0;
    for policy in POLICIES {
        for (what, doing) in DOINGS {
            for order in 0..4_usize {
                for nth in 0..8 {
                    let (disk, wal) = log(policy);
                    let mut names = disk.names();
                    if order % 2 == 1 {
                        names.reverse();
                    }
                    names.rotate_left(order / 2);
                    let raw = SimDisk::new(16);
                    for (index, name) in names.iter().enumerate() {
                        if index == nth || index == nth + 2 {
                            doing(&wal);
                        }
                        // Half of a file is copied before, and half of it afterwards.
                        let mut bytes = disk.contents(name).unwrap_or_default();
                        if index == nth + 1 {
                            doing(&wal);
                            let later = disk.contents(name).unwrap_or_default();
                            let half = bytes.len() / 2;
                            bytes.truncate(half);
                            bytes.extend(later.get(half..).unwrap_or_default());
                        }
                        raw.put(name, &bytes);
                    }
                    raw.delete("LOCK");
                    match try_open(&raw, &small(policy)) {
                        Ok(copied) => {
                            let entries = copied.range(..).expect("it is open");
                            for entry in entries.map_while(Result::ok) {
                                let (number, bytes) = (entry.sequence(), entry.len());
                                assert_eq!(*entry, payload(number, bytes), "{what}, order {order}, {nth}");
                            }
                            opened += 1;
                        }
                        Err(error) => {
                            let refused = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Missing);
                            assert!(refused, "{what}: {error}");
                        }
                    }
                }
            }
        }
    }
    assert!(opened > 0, "some of them open");
}

#[test]
fn a_directory_is_made_for_the_copy_and_its_parent_is_not() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let wal = Options::new().segment_bytes(SMALL).open(scratch.path().join("log")).expect("a new log");
    (0..9).for_each(|_| append(&wal, HALF));
    let path = scratch.path().join("copy");
    let report = wal.copy_to(&path).expect("nothing fails");
    assert_eq!((report.first, report.next), (0, 9));
    let copied = Options::new().open(&path).expect("it opens");
    assert_eq!(holds_what_was_appended(&copied), (0, 9));
    refused(wal.copy_to(&path), ErrorKind::NotEmpty);
    refused(wal.copy_to(scratch.path().join("not/there")), ErrorKind::Io);
    let looked = Options::new().open_read_only(scratch.path().join("log")).expect("a log");
    assert_eq!(looked.copy_to(scratch.path().join("second")).expect("nothing fails").next, 9);
    wal.clone().close().expect("nothing fails");
    refused(wal.copy_to(scratch.path().join("third")), ErrorKind::Closed);
    assert!(!scratch.path().join("third").exists());
}
