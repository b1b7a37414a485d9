//! A full disk: the log opens, reads and verifies, and goes on once there is space.

use std::io::ErrorKind as IoKind;
use std::thread;
use std::time::Duration;

use crate::common::bytes::{linked, segments};
use crate::common::ledger::payload;
use crate::common::{
    Acknowledged, HALF, Ledger, check_power_cut, contents, enospc, every_setup, fault, holds_all, open, read,
    refused, small, try_open, view, within,
};
use wal::{Durability, Ending, ErrorKind, Options, SyncPolicy};
use wal_segment::io::sim::{CallKind, Failure, FaultEffect, SimDisk, Times};

const BLOCK: u64 = 4096;

fn fill_up(disk: &SimDisk) {
    disk.space(Some(0));
    disk.names_need_space(true);
}

/// Segments so long that the last one of [`found`] is less than half full, and no other is prepared.
const ROOMY: u64 = 32 << 10;

fn roomy() -> Options {
    small(SyncPolicy::Immediate).segment_bytes(ROOMY)
}

/// Logs as they are found: closed, killed, torn, behind a failed write, and before their first entry.
fn found() -> Vec<(&'static str, SimDisk, Ledger)> {
    let policy = SyncPolicy::Immediate;
    let mut found = Vec::new();
    for name in ["closed", "killed", "torn", "failed write", "empty"] {
        let disk = SimDisk::new(1);
        let mut ledger = Ledger::new(policy);
        let wal = open(&disk, &roomy());
        if name != "empty" {
            for bytes in [10, 9000, 9000, 7000, 20] {
                ledger.append(&wal, bytes).expect("nothing fails");
            }
        }
        match name {
            "closed" => ledger.close(wal).expect("nothing fails"),
            "failed write" => {
                let effect = FaultEffect::PartialThenError(50, enospc());
                disk.fail(fault(CallKind::Write, 0, Times::Once, effect));
                ledger.append(&wal, 90).expect_err("no space");
            }
            _ => drop(wal),
        }
        let disk = disk.kill();
        if name == "torn" {
            let last = linked(&disk).pop().expect("a segment");
            let end = crate::common::bytes::frames(&disk.contents(&last).expect("it is there"))
                .pop()
                .expect("a frame")
                .end;
            disk.damage(&last, |bytes| bytes[end..end + 40].fill(7));
        }
        found.push((name, disk, ledger));
    }
    found
}

// etcd#2819 and raft-engine#344 wrote while they opened: on a full disk the log could not be opened, and so
// nothing could be removed from it, and a file of zero bytes stayed behind that no later open understood.
#[test]
fn a_log_opens_reads_and_verifies_without_a_free_byte() {
    for (name, disk, mut ledger) in found() {
        fill_up(&disk);
        let names = disk.names();
        let looked = view(&disk);
        let (shown, error) = read(looked.range(..));
        assert!(error.is_none(), "{name}: {error:?}");
        ledger.check_kill(&shown).expect(name);
        assert!(looked.verify().expect(name).damages.is_empty(), "{name}");

        let wal = open(&disk, &roomy());
        assert_eq!(contents(&wal), shown, "{name}");
        assert_eq!(
            matches!(wal.recovery().ending, Ending::Torn { .. }),
            name == "torn" || name == "failed write"
        );
        ledger.adopt(&shown);
        // The last segment has room, where the log goes on in it.
        let goes_on = name == "closed" || name == "killed";
        for _ in 0..3 {
            if goes_on {
                ledger.append(&wal, 10).expect("the segment has room");
            } else {
                refused(ledger.append(&wal, 10), ErrorKind::NoSpace);
            }
            assert_eq!(contents(&wal), ledger.entries(), "{name}");
        }
        wal.sync().expect("a sync needs no space");
        assert_eq!(disk.names(), names, "{name}: something was left behind");
        wal.close().expect("closing needs no space");

        let wal = open(&disk, &roomy());
        disk.space(None);
        ledger.append(&wal, 10).expect("there is space again");
        assert_eq!(contents(&wal), ledger.entries(), "{name}");
        check_power_cut(&disk.power_cut_losing_everything(), &ledger, &roomy());
    }
}

#[test]
fn the_space_of_a_segment_that_was_prepared_is_there_on_a_full_disk() {
    let options = small(SyncPolicy::Immediate);
    for killed in [false, true] {
        let disk = SimDisk::new(1);
        let mut ledger = Ledger::new(SyncPolicy::Immediate);
        let mut wal = open(&disk, &options);
        ledger.append(&wal, HALF).expect("nothing fails");
        ledger.append(&wal, HALF).expect("nothing fails");
        let names = disk.names();
        assert_eq!((segments(&disk).len(), linked(&disk).len()), (2, 1), "one is prepared");
        fill_up(&disk);
        if killed {
            drop(wal);
            wal = open(&disk, &options);
        }
        ledger.append(&wal, HALF).expect("the space is there");
        ledger.append(&wal, 10).expect("the space is there");
        refused(ledger.append(&wal, 9000), ErrorKind::NoSpace);
        assert_eq!(disk.names(), names, "something was left behind");
        disk.space(None);
        check_power_cut(&disk.power_cut_losing_everything(), &ledger, &options);
    }
}

/// With `blocks` of space, on a file system that reserves space or on one that cannot.
fn lives_with(blocks: u64, reserves: bool, policy: SyncPolicy, background: bool) -> bool {
    let what = format!("{blocks} blocks, reserves: {reserves}, {policy:?}, threads: {background}");
    let options = small(policy).background(background);
    let disk = SimDisk::new(blocks);
    if !reserves {
        let unsupported = FaultEffect::Error(Failure::Kind(IoKind::Unsupported));
        disk.fail(fault(CallKind::Allocate, 0, Times::Forever, unsupported));
    }
    disk.space(Some(blocks * BLOCK));
    disk.names_need_space(true);
    let mut ledger = Ledger::new(policy);
    let mut refusals = 0;
    let wal = match try_open(&disk, &options) {
        Ok(wal) => wal,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{what}: {error}");
            refused(try_open(&disk, &options), ErrorKind::NoSpace);
            disk.space(None);
            refusals += 1;
            open(&disk, &options)
        }
    };
    for bytes in [10, HALF, HALF, 0, HALF, HALF, 9000, 20] {
        if let Err(error) = ledger.append(&wal, bytes) {
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{what}: {error}");
            refusals += 1;
            assert_eq!(contents(&wal), ledger.entries(), "{what}: readable");
            wal.sync().expect("what was accepted can be synced");
            let killed = open(&disk.kill(), &options);
            ledger.check_kill(&contents(&killed)).expect(&what);
            refused(ledger.append(&wal, 9000), ErrorKind::NoSpace);
            // More, but perhaps not enough.
            disk.space(Some(BLOCK));
            match ledger.append(&wal, bytes) {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NoSpace, "{what}: {error}");
                    disk.space(None);
                    ledger.append(&wal, bytes).expect("there is space again");
                }
            }
            assert_eq!(contents(&wal), ledger.entries(), "{what}");
        }
    }
    disk.space(None);
    ledger.append(&wal, 30).expect("there is space again");
    ledger.close(wal).expect("nothing fails");
    assert_eq!(contents(&open(&disk.kill(), &options)), ledger.entries(), "{what}");
    check_power_cut(&disk.power_cut_losing_everything(), &ledger, &options);
    refusals > 0
}

#[test]
fn whatever_is_missing_in_space_the_log_says_so_and_goes_on_when_there_is_more() {
    within(Duration::from_secs(60), || {
        for (policy, background) in every_setup() {
            for reserves in [true, false] {
                let lives = |blocks: &u64| lives_with(*blocks, reserves, policy, background);
                let refused = (0..60).filter(lives).count();
                assert!((10..60).contains(&refused), "{refused} of sixty were too small");
            }
        }
    });
}

#[test]
fn no_space_at_any_single_call_of_a_new_log_or_a_new_segment_costs_that_call_alone() {
    within(Duration::from_secs(60), || {
        for (policy, background) in every_setup() {
            for call in [CallKind::Create, CallKind::Allocate, CallKind::SetLen, CallKind::Write] {
                (0..25).for_each(|nth| lacks_space_once(policy, background, call, nth));
            }
        }
    });
}

fn lacks_space_once(policy: SyncPolicy, background: bool, call: CallKind, nth: u64) {
    let what = format!("{policy:?}, threads: {background}, {call:?} {nth}");
    let options = small(policy).background(background);
    let disk = SimDisk::new(nth);
    let mut ledger = Ledger::new(policy);
    disk.fail(fault(call, nth, Times::Once, FaultEffect::Error(enospc())));
    let wal = try_open(&disk, &options).or_else(|error| {
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{what}: {error}");
        try_open(&disk, &options)
    });
    let wal = wal.expect("the second try has space");
    for bytes in [10, HALF, HALF, HALF, 9000, 20] {
        if let Err(error) = ledger.append(&wal, bytes) {
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{what}: {error}");
            ledger.append(&wal, bytes).expect("the second try has space");
        }
    }
    match ledger.close(wal) {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::NoSpace, "{what}: {error}"),
    }
    check_power_cut(&disk.power_cut_losing_everything(), &ledger, &options);
}

// Several appenders meet the full disk at once; some of them beside the thread that prepares segments.
#[test]
fn appenders_that_meet_a_full_disk_together_go_on_when_there_is_space() {
    within(Duration::from_secs(60), || {
        for (policy, background) in every_setup() {
            for blocks in [4, 8, 11, 16] {
                let disk = SimDisk::new(blocks);
                let wal = open(&disk, &small(policy).background(background));
                disk.space(Some(blocks * BLOCK));
                disk.names_need_space(true);
                let threads: Vec<_> = (0..3_u64)
                    .map(|appender| {
                        let (wal, disk) = (wal.clone(), disk.clone());
                        thread::spawn(move || {
                            let mut acknowledged = Acknowledged::new();
                            let mut refusals = 0;
                            for turn in 0..12 {
                                let payload = payload(appender * 100 + turn, 900);
                                match wal.append(&payload) {
                                    Ok(number) => acknowledged.push((number, payload)),
                                    Err(error) => {
                                        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
                                        refusals += 1;
                                        if refusals == 3 {
                                            disk.space(None);
                                        }
                                    }
                                }
                            }
                            acknowledged
                        })
                    })
                    .collect();
                let acknowledged: Acknowledged =
                    threads.into_iter().flat_map(|thread| thread.join().expect("nobody panics")).collect();
                disk.space(None);
                let next = wal.append_with(b"last", Durability::Durable).expect("there is space again");
                assert_eq!(next, acknowledged.len() as u64, "numbers of refused entries are used again");
                drop(wal);
                let shown = contents(&open(&disk.power_cut_losing_everything(), &small(policy)));
                holds_all(&shown, &acknowledged);
            }
        }
    });
}

const MIB: u64 = 1 << 20;

/// A log whose next segment would take 4 MiB, and the disk that has so much space left.
fn with_little_room(policy: SyncPolicy, background: bool, free_bytes: u64) -> (SimDisk, Ledger, wal::Wal) {
    let disk = SimDisk::new(1);
    let mut ledger = Ledger::new(policy);
    let wal = open(&disk, &long(policy, background));
    for _ in 0..10 {
        ledger.append(&wal, 100_000).expect("there is space");
    }
    wal.roll().expect("there is space");
    wal.close().expect("there is space");
    let wal = open(&disk, &long(policy, background));
    disk.space(Some(free_bytes));
    (disk, ledger, wal)
}

fn long(policy: SyncPolicy, background: bool) -> Options {
    Options::new().sync(policy).segment_bytes(64 * MIB).background(background)
}

// With 15 MiB free an append of five bytes failed, because the segment for it was to get 38.
#[test]
fn where_a_whole_segment_does_not_fit_a_smaller_one_is_made() {
    for (policy, background) in every_setup() {
        for free_bytes in [4 * MIB - BLOCK, MIB, 100_000, 4 * BLOCK] {
            for cut in [false, true] {
                let what = format!("{policy:?}, background {background}, {free_bytes} bytes free, cut {cut}");
                let (disk, _, wal) = with_little_room(policy, background, free_bytes);
                if cut {
                    // Its LINK needs a segment, too.
                    wal.truncate_after(4).unwrap_or_else(|error| panic!("{what}: {error}"));
                }
                wal.append(b"short").unwrap_or_else(|error| panic!("{what}: {error}"));
                wal.sync().unwrap_or_else(|error| panic!("{what}: {error}"));
                let shown = contents(&wal);
                assert_eq!(shown.len(), if cut { 6 } else { 11 }, "{what}");
                let last = segments(&disk).pop().expect("it was begun");
                let bytes = disk.contents(&last).expect("it is there").len() as u64;
                assert!(bytes <= free_bytes, "{what}: a segment of {bytes} bytes");
                let cold = open(&disk.power_cut_losing_everything(), &long(policy, background));
                assert!(contents(&cold) == shown, "{what}");
            }
        }
    }
}

#[test]
fn where_not_even_the_smallest_segment_fits_the_error_names_the_setting_and_space_helps() {
    for (policy, background) in every_setup() {
        let (disk, mut ledger, wal) = with_little_room(policy, background, 2 * BLOCK);
        let names = disk.names();
        for _ in 0..3 {
            let error = refused(ledger.append(&wal, 5), ErrorKind::NoSpace);
            assert!(error.to_string().contains("segment_bytes"), "{error}");
        }
        assert_eq!(disk.names(), names, "something was left behind");
        disk.space(Some(3 * BLOCK));
        ledger.append(&wal, 5).expect("the smallest segment fits");
        disk.space(None);
        for _ in 0..10 {
            ledger.append(&wal, 100_000).expect("there is space again");
        }
        assert_eq!(contents(&wal), ledger.entries());
    }
}

#[test]
fn an_append_without_space_for_the_next_segment_leaves_the_last_one_to_those_that_fit() {
    within(Duration::from_secs(60), || {
        for (policy, background) in every_setup() {
            for reopened in [false, true] {
                let disk = SimDisk::new(12);
                let options = roomy().sync(policy).background(background);
                let mut ledger = Ledger::new(policy);
                let first = open(&disk, &options);
                // Less than half a segment: no other is prepared.
                ledger.append(&first, 2000).expect("there is space");
                let wal = if reopened {
                    ledger.close(first).expect("nothing fails");
                    fill_up(&disk);
                    open(&disk, &options)
                } else {
                    fill_up(&disk);
                    first
                };
                for bytes in [2000, 1000, 10] {
                    refused(wal.append(&[1; 30_000]), ErrorKind::NoSpace);
                    assert_eq!(contents(&wal), ledger.entries());
                    ledger.append(&wal, bytes).expect("there is room in the segment");
                }
                assert_eq!(linked(&disk).len(), 1);
                disk.space(None);
                disk.names_need_space(false);
                ledger.append(&wal, 30_000).expect("there is space");
                assert_eq!(linked(&disk).len(), 2);
                ledger.close(wal).expect("nothing fails");
                let again = open(&disk.power_cut_losing_everything(), &options);
                assert_eq!(contents(&again), ledger.entries());
            }
        }
    });
}
