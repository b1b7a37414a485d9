//! Between two segments: whatever happens there, nothing acknowledged is lost.

use std::sync::{Arc, Mutex};
use std::thread;

use crate::common::{
    FEW_IMAGES, HALF, LOSSES, Ledger, POLICIES, check_images, check_power_cut, contents, cut_everywhere,
    fault, open, small, try_open,
};
use wal::{SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, CrashModel, FaultEffect, SimDisk, Times};

/// Four segments, the last one not full.
fn three_rollovers(wal: &Wal, ledger: &mut Ledger) {
    for bytes in [HALF, HALF, HALF, 100, 900, HALF, HALF, 40, 0, HALF, 10] {
        if ledger.append(wal, bytes).is_err() {
            return;
        }
    }
}

// The writer of yugabyte#3490 and of nebula#820 closed a full segment without a sync and went on in the
// next one, which a later sync made durable. A power cut then left a hole in the middle of the log.
// Recovery replayed what stood behind it.
#[test]
fn a_power_cut_at_any_operation_of_a_rollover_loses_nothing_acknowledged() {
    for policy in POLICIES {
        let options = small(policy);
        let operations = cut_everywhere(
            || Ledger::new(policy),
            |_, _| {},
            |disk, ledger| {
                if let Ok(wal) = try_open(disk, &options) {
                    three_rollovers(&wal, ledger);
                }
            },
            |disk, ledger| check_images(disk, ledger, &options, FEW_IMAGES, 3),
        );
        assert!(operations > 30, "{operations} operations");
    }
}

#[test]
fn a_kill_at_any_operation_of_a_rollover_loses_nothing_at_all() {
    for policy in POLICIES {
        let options = small(policy);
        cut_everywhere(
            || Ledger::new(policy),
            |_, _| {},
            |disk, ledger| {
                if let Ok(wal) = try_open(disk, &options) {
                    three_rollovers(&wal, ledger);
                }
            },
            |disk, ledger| {
                let wal = open(&disk.kill(), &options);
                ledger.check_kill(&contents(&wal)).expect("a kill takes nothing");
            },
        );
    }
}

#[test]
fn a_power_cut_of_a_rollover_with_appenders_in_flight_loses_nothing_acknowledged() {
    for operation in 8..60 {
        let disk = SimDisk::new(operation);
        let options = small(SyncPolicy::Immediate);
        let wal = Arc::new(open(&disk, &options));
        disk.crash_at(operation);
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let appenders: Vec<_> = (0..4)
            .map(|appender| {
                let (wal, acknowledged) = (Arc::clone(&wal), Arc::clone(&acknowledged));
                thread::spawn(move || {
                    for turn in 0..8 {
                        let payload = crate::common::ledger::payload(appender * 100 + turn, 700);
                        let Ok(number) = wal.append(&payload) else { return };
                        acknowledged.lock().expect("nobody panics").push((number, payload));
                    }
                })
            })
            .collect();
        appenders.into_iter().for_each(|appender| appender.join().expect("no appender panics"));
        let acknowledged = acknowledged.lock().expect("nobody panics");
        let model = CrashModel { exhaustive_up_to: 16, random: 8, tearing: 2, garbage: 2 };
        for image in disk.crash_images(model, operation) {
            let shown = contents(&open(&image, &options));
            for (number, payload) in acknowledged.iter() {
                let found = usize::try_from(*number).ok().and_then(|number| shown.get(number));
                assert_eq!(found, Some(payload), "entry {number}\n{}", image.origin());
            }
        }
    }
}

// An entry that is in the next segment says that everything before it is there. So the LINK goes out
// last: after the sync of the segment before, of its own headers, and of its name.
#[test]
fn a_link_is_written_only_after_everything_in_front_of_it_was_synced() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None));
    disk.keep_log(true);
    three_rollovers(&wal, &mut Ledger::new(SyncPolicy::None));
    let log: Vec<String> =
        disk.log().iter().map(|line| line.split_once(' ').expect("number first").1.to_owned()).collect();
    let mut links = 0;
    for number in 1..=4 {
        let name = crate::common::bytes::segment_name(number);
        let link = format!("write {name} 8192+");
        let at = log.iter().position(|line| line.starts_with(&link)).expect("a LINK");
        let before = &log[..at];
        let last = |line: &str| before.iter().rposition(|found| found.starts_with(line));
        let created = last(&format!("create {name}")).expect("it was created");
        assert!(last("sync directory") > Some(created), "the name of {name} is not durable: {before:?}");
        let headers = last(&format!("write {name} 0+")).expect("headers");
        assert!(last(&format!("sync {name}")) > Some(headers), "the headers of {name}: {before:?}");
        if number > 1 {
            let old = crate::common::bytes::segment_name(number - 1);
            assert!(last(&format!("sync {old}")) > last(&format!("write {old}")), "{old}: {before:?}");
        }
        links += 1;
    }
    assert_eq!(links, 4);
}

// Kafka (KAFKA-3968) and etcd (etcd#6368) created a file and synced it, but not the directory that names
// it. After a power cut the synced bytes were there and nothing led to them.
#[test]
fn acknowledged_entries_survive_the_loss_of_every_name_that_was_not_synced() {
    for policy in POLICIES {
        let options = small(policy);
        let disk = SimDisk::new(4);
        let mut ledger = Ledger::new(policy);
        let wal = open(&disk, &options);
        for bytes in [HALF, HALF, 20_000, 10, HALF, 20_000, 30] {
            ledger.append(&wal, bytes).expect("nothing fails");
            check_power_cut(&disk.power_cut_losing_everything(), &ledger, &options);
            ledger.sync(&wal).expect("nothing fails");
            check_power_cut(&disk.power_cut_losing_everything(), &ledger, &options);
        }
        ledger.close(wal).expect("nothing fails");
        check_power_cut(&disk.power_cut_losing_everything(), &ledger, &options);
    }
}

/// A directory sync fails, at each place in turn; the caller tries again, restarts, goes on. What it was
/// told is held against a power cut. `begun`: the log has entries before the first failure.
fn fails_a_directory_sync(begun: bool) {
    let policy = SyncPolicy::Immediate;
    let options = small(policy);
    for loss in LOSSES.into_iter().take(3) {
        for restarts in [false, true] {
            for nth in 0..6 {
                let what = format!("{loss:?} at directory sync {nth}, restarts: {restarts}");
                let disk = SimDisk::new(nth);
                let mut ledger = Ledger::new(policy);
                if begun {
                    let wal = open(&disk, &options);
                    ledger.append(&wal, 10).expect("nothing fails");
                }
                let effect = FaultEffect::SyncLoss(loss);
                disk.fail(fault(CallKind::SyncDirectory, nth, Times::Once, effect));
                for _ in 0..4 {
                    let Ok(wal) = try_open(&disk, &options) else { continue };
                    for _ in 0..4 {
                        if ledger.append(&wal, HALF).is_err() && restarts {
                            break;
                        }
                    }
                    drop(wal);
                    let cut = disk.power_cut_losing_everything();
                    match try_open(&cut, &options) {
                        Ok(wal) => ledger.check_power_cut(&contents(&wal)).expect(&what),
                        Err(error) => panic!("{what}: {error}\n{}", cut.origin()),
                    }
                }
            }
        }
    }
}

/// A process dies at each of its operations; the next one's first directory sync fails, then it goes on.
fn dies_then_fails_a_directory_sync(begun: bool) {
    let policy = SyncPolicy::Immediate;
    let options = small(policy);
    for loss in LOSSES.into_iter().take(3) {
        cut_everywhere(
            || Ledger::new(policy),
            |disk, ledger| {
                if begun {
                    ledger.append(&open(disk, &options), 10).expect("nothing fails");
                }
            },
            |disk, ledger| {
                let Ok(wal) = try_open(disk, &options) else { return };
                for bytes in [10, HALF, HALF, HALF] {
                    if ledger.append(&wal, bytes).is_err() {
                        return;
                    }
                }
            },
            |disk, ledger| {
                let what = format!("{loss:?}, after {} operations", disk.operations());
                let mut ledger = ledger.clone();
                let warm = disk.kill();
                let effect = FaultEffect::SyncLoss(loss);
                warm.fail(fault(CallKind::SyncDirectory, 0, Times::Once, effect));
                crate::common::refused(try_open(&warm, &options), wal::ErrorKind::Io);
                let wal = open(&warm, &options);
                let shown = contents(&wal);
                ledger.check_power_cut(&shown).expect("acknowledged entries are there");
                ledger.adopt(&shown);
                for bytes in [20, HALF, HALF, HALF] {
                    ledger.append(&wal, bytes).expect("the fault is over");
                }
                let cut = warm.power_cut_losing_everything();
                match try_open(&cut, &options) {
                    Ok(wal) => ledger.check_power_cut(&contents(&wal)).expect(&what),
                    Err(error) => panic!("{what}: {error}\n{}", cut.origin()),
                }
            },
        );
    }
}

// A directory sync that fails leaves names which every process sees and the device does not have; the
// next directory sync has nothing left to do and says Ok. A file under such a name can be synced as often
// as one likes, it is gone after a power cut.
#[test]
fn a_failed_directory_sync_never_costs_an_acknowledged_entry() {
    fails_a_directory_sync(true);
}

#[test]
fn a_directory_sync_that_failed_while_the_log_was_created_costs_no_acknowledged_entry() {
    fails_a_directory_sync(false);
}

// The process dies between the creation of a name and its sync; the next one finds the name in the cache,
// and its own directory sync fails.
#[test]
fn a_name_that_a_failed_directory_sync_left_in_the_cache_is_not_relied_on() {
    dies_then_fails_a_directory_sync(true);
}

#[test]
fn a_name_that_a_killed_creation_left_in_the_cache_is_not_relied_on() {
    dies_then_fails_a_directory_sync(false);
}
