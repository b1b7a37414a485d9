//! Something fails between two segments: it is told or harmless, and the log goes on or is poisoned.

use std::thread;
use std::time::Duration;

use crate::common::ledger::payload;
use crate::common::{
    Acknowledged, EVERY_POLICY, HALF, Ledger, check_power_cut, contents, eio, enospc, every_setup, fault,
    holds_all, open, refused, small, try_open, within,
};
use wal::{Error, ErrorKind, SyncPolicy, Wal};
use wal_format::{FIRST_FRAME_OFFSET, SegmentName, SegmentNumber};
use wal_segment::io::Directory;
use wal_segment::io::sim::{CallKind, Failure, FaultEffect, SimDisk, SyncLoss, Times};

const LIMIT: Duration = Duration::from_secs(60);

/// Every call that a rollover makes, and one for whatever else it may make.
const CALLS: [CallKind; 8] = [
    CallKind::Create,
    CallKind::Remove,
    CallKind::Allocate,
    CallKind::Len,
    CallKind::Write,
    CallKind::SyncFile,
    CallKind::SyncDirectory,
    CallKind::Any,
];

fn effects(call: CallKind) -> Vec<FaultEffect> {
    let mut effects = vec![FaultEffect::Error(eio())];
    match call {
        CallKind::Write => {
            effects.push(FaultEffect::PartialThenError(0, enospc()));
            effects.push(FaultEffect::PartialThenError(70, enospc()));
        }
        CallKind::SyncFile | CallKind::SyncDirectory => {
            effects.push(FaultEffect::SyncLoss(SyncLoss::CacheNewDiskOld));
        }
        _ => {}
    }
    effects
}

#[test]
fn a_sync_that_fails_in_a_rollover_or_a_close_is_counted_once() {
    for closes in [false, true] {
        let disk = SimDisk::new(1);
        let options = small(SyncPolicy::None);
        let mut ledger = Ledger::new(SyncPolicy::None);
        let wal = at_the_end_of_a_segment(&disk, &options, &mut ledger);
        disk.fail(fault(CallKind::SyncFile, 0, Times::Once, FaultEffect::Error(eio())));
        let kept = wal.clone();
        let failed = if closes { wal.close() } else { wal.append(&payload(9, HALF)).map(drop) };
        refused(failed, ErrorKind::Poisoned);
        refused(kept.append(b"more"), ErrorKind::Poisoned);
        let stats = kept.stats();
        assert_eq!((stats.sync_errors, stats.poisoned), (1, true), "in a close: {closes}");
    }
}

#[test]
fn a_log_that_was_closed_shows_how_long_its_files_are_now() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate).segment_bytes(1 << 20));
    wal.append(&payload(0, HALF)).expect("nothing fails");
    let kept = wal.clone();
    wal.close().expect("nothing fails");
    let bytes: usize =
        disk.names().iter().filter_map(|name| disk.contents(name)).map(|bytes| bytes.len()).sum();
    assert_eq!(kept.stats().disk_bytes, bytes as u64);
}

#[track_caller]
fn is_known(what: &str, error: &Error) {
    let known = [ErrorKind::Io, ErrorKind::NoSpace, ErrorKind::Poisoned];
    assert!(known.contains(&error.kind()), "{what}: {error:?}");
}

/// A log that is about to roll over, with a segment prepared or not.
fn at_the_end_of_a_segment(disk: &SimDisk, options: &wal::Options, ledger: &mut Ledger) -> Wal {
    let wal = open(disk, options);
    ledger.append(&wal, HALF).expect("nothing fails");
    ledger.append(&wal, HALF).expect("nothing fails");
    wal
}

/// Two rollovers, at one call of which something fails. Returns whether an append was told.
fn rolls_over(
    policy: SyncPolicy,
    background: bool,
    call: CallKind,
    nth: u64,
    times: Times,
    with: FaultEffect,
) -> bool {
    let what = format!("{policy:?}, threads: {background}, {with:?} {times:?} at {call:?} {nth}");
    let options = small(policy).background(background);
    let disk = SimDisk::new(nth);
    let mut ledger = Ledger::new(policy);
    let wal = at_the_end_of_a_segment(&disk, &options, &mut ledger);
    disk.fail(fault(call, nth, times, with));
    let mut poisoned = false;
    let mut told = false;
    for bytes in [HALF, 10, HALF, HALF, 9000, HALF] {
        // Twice: what failed once is not in the way of what comes next.
        for _ in 0..2 {
            match ledger.append(&wal, bytes) {
                Ok(_) => {
                    assert!(!poisoned, "{what}: accepted by a poisoned log");
                    break;
                }
                Err(error) => {
                    is_known(&what, &error);
                    assert!(!poisoned || error.kind() == ErrorKind::Poisoned, "{what}: {error}");
                    poisoned |= error.kind() == ErrorKind::Poisoned;
                    told = true;
                }
            }
        }
    }
    disk.heal();
    match ledger.append(&wal, 100) {
        Ok(_) => assert!(!poisoned, "{what}: accepted by a poisoned log"),
        Err(error) => {
            // A sync in the background may have failed just now.
            assert_eq!(error.kind(), ErrorKind::Poisoned, "{what}: the fault is over: {error}");
            poisoned = true;
        }
    }
    if !poisoned {
        assert!(contents(&wal) == ledger.entries(), "{what}");
    }
    match ledger.close(wal) {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::Poisoned, "{what}: {error}"),
    }
    for image in [disk.kill(), disk.power_cut_losing_everything()] {
        match try_open(&image, &small(policy)) {
            Ok(wal) => ledger.check_power_cut(&contents(&wal)).expect(&what),
            Err(error) => panic!("{what}: {error}\n{}", image.origin()),
        }
    }
    check_power_cut(&disk.power_cut_keeping_everything(), &ledger, &small(policy));
    told
}

// A log written in Go dropped its segment before it had the next one. When the next one could not be
// made, the append was told, and the one behind it met a null pointer.
#[test]
fn a_rollover_that_fails_at_any_call_once_or_for_ever_is_told_and_the_log_goes_on_or_is_poisoned() {
    within(LIMIT, || {
        let mut told = 0;
        for (policy, background) in every_setup() {
            for call in CALLS {
                for with in effects(call) {
                    for times in [Times::Once, Times::Forever] {
                        let calls = if call == CallKind::Any { 24 } else { 7 };
                        told += (0..calls)
                            .filter(|&nth| rolls_over(policy, background, call, nth, times, with))
                            .count();
                    }
                }
            }
        }
        assert!(told > 200, "{told} appends were told");
    });
}

#[test]
fn a_rollover_that_fails_under_many_appenders_hangs_none_of_them() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            for call in [
                CallKind::Create,
                CallKind::Allocate,
                CallKind::SyncDirectory,
                CallKind::Write,
                CallKind::SyncFile,
            ] {
                for times in [Times::Once, Times::Forever] {
                    for nth in [0, 1, 3] {
                        let what = format!("{policy:?}, threads: {background}, {times:?} at {call:?} {nth}");
                        let options = small(policy).background(background);
                        let disk = SimDisk::new(nth);
                        let mut ledger = Ledger::new(policy);
                        let wal = at_the_end_of_a_segment(&disk, &options, &mut ledger);
                        disk.fail(fault(call, nth, times, FaultEffect::Error(eio())));
                        let threads: Vec<_> = (0..4)
                            .map(|appender| {
                                let wal = wal.clone();
                                thread::spawn(move || append_whatever_happens(&wal, appender))
                            })
                            .collect();
                        let acknowledged: Acknowledged = threads
                            .into_iter()
                            .flat_map(|thread| thread.join().expect("nobody panics"))
                            .collect();
                        disk.heal();
                        let poisoned = wal.append(b"after").is_err();
                        if !poisoned {
                            holds_all(&contents(&wal), &acknowledged);
                        }
                        assert_eq!(wal.close().is_err(), poisoned, "{what}");
                        let shown = contents(&open(&disk.kill(), &small(policy)));
                        if policy.waits() || !poisoned {
                            holds_all(&shown, &acknowledged);
                        }
                    }
                }
            }
        }
    });
}

fn append_whatever_happens(wal: &Wal, appender: u64) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    for turn in 0..8 {
        let payload = payload(appender * 100 + turn, 700);
        let appended = match turn % 2 {
            0 => wal.append(&payload),
            _ => wal.submit(&payload).and_then(|commit| commit.wait()),
        };
        match appended {
            Ok(number) => acknowledged.push((number, payload)),
            Err(error) => is_known("an appender", &error),
        }
    }
    acknowledged
}

#[test]
fn an_anchor_that_cannot_be_written_holds_nobody_up_and_is_told_by_the_close() {
    within(LIMIT, || {
        for policy in EVERY_POLICY {
            let disk = SimDisk::new(1);
            let options = small(policy).background(true);
            let seam = {
                let inner = disk.clone();
                crate::common::seam::Seam::new(inner, |call| match call {
                    crate::common::seam::Call::Write { name: "ANCHOR", offset, bytes }
                        if (offset, bytes) != (0, 8192) =>
                    {
                        Err(std::io::Error::other("no anchor"))
                    }
                    _ => Ok(()),
                })
            };
            let mut ledger = Ledger::new(policy);
            let wal = options.open_in(seam).expect("the first anchor is written");
            for _ in 0..9 {
                ledger.append(&wal, HALF).expect("an append does not wait for the anchor");
            }
            ledger.sync(&wal).expect("nor does a sync");
            let error = crate::common::refused(ledger.close(wal), ErrorKind::Io);
            assert!(error.to_string().contains("ANCHOR"), "{error}");
            check_power_cut(&disk.power_cut_losing_everything(), &ledger, &small(policy));
        }
    });
}

#[test]
fn a_file_system_that_cannot_reserve_rolls_over_all_the_same() {
    for (policy, background) in every_setup() {
        let disk = SimDisk::new(1);
        let unsupported = FaultEffect::Error(Failure::Kind(std::io::ErrorKind::Unsupported));
        disk.fail(fault(CallKind::Allocate, 0, Times::Forever, unsupported));
        let mut ledger = Ledger::new(policy);
        let wal = open(&disk, &small(policy).background(background));
        for _ in 0..9 {
            ledger.append(&wal, HALF).expect("nothing fails");
        }
        ledger.close(wal).expect("nothing fails");
        check_power_cut(&disk.power_cut_losing_everything(), &ledger, &small(policy));
    }
}

// The next segment was prepared, and kept, while a failing anchor left the last one open. From then on its file could be
// ordered a second time: it got other headers under the entries that were written to it, and a close removed it.
#[test]
fn a_segment_that_was_prepared_in_vain_is_not_prepared_twice() {
    for background in [false, true] {
        for nth in 0..6 {
            let policy = SyncPolicy::Immediate;
            let options = small(policy).segment_bytes(32 << 10).background(background);
            let disk = SimDisk::new(31);
            let mut ledger = Ledger::new(policy);
            let wal = open(&disk, &options);
            ledger.append(&wal, 20_000).expect("nothing fails");
            ledger.close(wal).expect("nothing fails");

            let wal = open(&disk, &options);
            disk.fail(fault(CallKind::Write, nth, Times::Once, FaultEffect::Error(eio())));
            // Too large for what is left; which of its writes fails is another one each time.
            ledger.append(&wal, 10_000).ok();
            disk.heal();
            for bytes in [10, 10_000, 10] {
                ledger.append(&wal, bytes).expect("the fault is over");
                wal.sync().expect("the fault is over");
                assert_eq!(contents(&wal), ledger.entries(), "write {nth}, threads: {background}");
            }
            assert_eq!(contents(&open(&disk.kill(), &options)), ledger.entries(), "write {nth}");
            check_power_cut(&disk.power_cut_losing_everything(), &ledger, &options);
            ledger.close(wal).expect("nothing fails");
            assert_eq!(contents(&open(&disk, &options)), ledger.entries(), "write {nth}, closed");
        }
    }
}

// A device refuses a write to one place for good. Were the file whose LINK was refused taken again, the next attempt would
// write to the same blocks, and the log would accept nothing more although the disk has others.
#[test]
fn a_file_to_which_a_link_could_not_be_written_is_not_taken_again() {
    let policy = SyncPolicy::Immediate;
    let append: fn(&Wal) -> Result<(), Error> = |wal| wal.append(&payload(9, HALF)).map(drop);
    let truncate: fn(&Wal) -> Result<(), Error> = |wal| wal.truncate_after(0);
    let next = SegmentName::of(SegmentNumber::FIRST.next().expect("there are more"));
    let link = format!("{next} at offset {FIRST_FRAME_OFFSET}");
    let turns = [
        ("rollover", false, append),
        ("after a failed write", true, append),
        ("truncation", false, truncate),
    ];
    for (name, cut_before, act) in turns {
        let mut met = 0;
        for nth in 0..8 {
            let disk = SimDisk::new(nth);
            let wal = at_the_end_of_a_segment(&disk, &small(policy), &mut Ledger::new(policy));
            let fail = |nth| disk.fail(fault(CallKind::Write, nth, Times::Once, FaultEffect::Error(eio())));
            if cut_before {
                fail(0);
                wal.append(b"small").expect_err("its write fails");
                disk.heal();
            }
            fail(nth);
            let refused = act(&wal);
            disk.heal();
            // Which write failed is another one each time: that of the LINK counts, if its file is there afterwards.
            let Some(refused_file) = disk.id_of(next.as_str()).ok().flatten() else { continue };
            let Some(error) = refused.err().filter(|error| error.to_string().contains(&link)) else {
                continue;
            };
            met += 1;
            wal.append(b"finds another file").expect("the fault is over");
            let taken = disk.id_of(next.as_str()).expect("it was begun");
            assert_ne!(taken, Some(refused_file), "{name}, write {nth}: {error}");
        }
        assert!(met > 0 || name == "truncation", "{name}: no LINK was refused");
    }
}
