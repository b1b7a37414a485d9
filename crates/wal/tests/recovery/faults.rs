//! Every call to the disk fails, once and for ever, with every error: each failure is told or harmless.

use std::io::ErrorKind as IoKind;
use std::time::Duration;

use crate::common::{
    HALF, Ledger, POLICIES, check_power_cut, contents, enospc, failure, fault, open, read, small, try_open,
    within,
};
use wal::{Error, ErrorKind, SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, CrashModel, FaultEffect, SimDisk, Times};

const MODEL: CrashModel = CrashModel { exhaustive_up_to: 1, random: 1, tearing: 1, garbage: 0 };

/// What a life of the log was told.
#[derive(Default)]
struct Told {
    errors: usize,
}

impl Told {
    /// Takes a result; after a poisoning there is nothing left to do with this handle.
    fn goes_on<T>(&mut self, result: Result<T, Error>, poisoned: &mut bool) -> Option<T> {
        match result {
            Ok(done) => {
                assert!(!*poisoned, "something was accepted after the log was poisoned");
                Some(done)
            }
            Err(error) => {
                self.errors += 1;
                *poisoned |= error.kind() == ErrorKind::Poisoned;
                let known = [ErrorKind::Io, ErrorKind::NoSpace, ErrorKind::Poisoned];
                assert!(known.contains(&error.kind()), "{error:?}");
                None
            }
        }
    }
}

fn read_all(wal: &Wal, ledger: &Ledger, told: &mut Told) {
    let Ok(entries) = wal.range(..) else { return };
    let (shown, error) = read(entries);
    match error {
        None => assert!(shown == ledger.entries(), "{} entries of {}", shown.len(), ledger.entries().len()),
        Some(error) => {
            told.errors += 1;
            assert!(ledger.entries().starts_with(&shown));
            assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::NoSpace), "{error:?}");
        }
    }
}

/// Opens, appends over two rollovers, reads, closes, opens again, appends.
fn life(disk: &SimDisk, policy: SyncPolicy, ledger: &mut Ledger) -> Told {
    let mut told = Told::default();
    for round in 0..2 {
        let mut poisoned = false;
        let Some(wal) = told.goes_on(try_open(disk, &small(policy)), &mut poisoned) else { continue };
        let (shown, error) = read(wal.range(..).expect("just opened"));
        match error {
            None => {
                let checked =
                    if round == 0 { ledger.check_kill(&shown) } else { ledger.check_power_cut(&shown) };
                checked.expect("what an open shows is the log");
                ledger.adopt(&shown);
            }
            Some(error) => {
                told.errors += 1;
                assert!(error.damage().is_none(), "a failing call became damage: {error}");
                return told;
            }
        }
        for bytes in [30, HALF, HALF, 0, HALF] {
            let appended = ledger.append(&wal, bytes);
            told.goes_on(appended, &mut poisoned);
        }
        let appended = ledger.batch(&wal, &[10, 0, 20]);
        told.goes_on(appended, &mut poisoned);
        let synced = ledger.sync(&wal);
        told.goes_on(synced, &mut poisoned);
        read_all(&wal, ledger, &mut told);
        let closed = ledger.close(wal);
        told.goes_on(closed, &mut poisoned);
    }
    told
}

fn effects() -> Vec<FaultEffect> {
    let mut effects: Vec<FaultEffect> = [
        (5, IoKind::Other),
        (28, IoKind::StorageFull),
        (4, IoKind::Interrupted),
        (24, IoKind::Other),
        (13, IoKind::PermissionDenied),
        (30, IoKind::ReadOnlyFilesystem),
        (122, IoKind::QuotaExceeded),
    ]
    .map(|(errno, kind)| FaultEffect::Error(failure(errno, kind)))
    .into();
    for bytes in [0, 1, 31, 32, 63, 64, 100, 1400, 4096] {
        effects.push(FaultEffect::ShortWrite(bytes));
        effects.push(FaultEffect::PartialThenError(bytes, enospc()));
    }
    effects
}

// A write-ahead log called walrus ignored the result of its writes. Whatever the disk answered, the caller
// was told that the entry was there.
#[test]
fn every_failure_of_every_call_is_told_or_harmless() {
    within(Duration::from_secs(120), || {
        let mut lives = 0_u64;
        for policy in POLICIES {
            for effect in effects() {
                for times in [Times::Once, Times::Forever] {
                    for nth in 0.. {
                        let disk = SimDisk::new(nth);
                        let mut ledger = Ledger::new(policy);
                        disk.fail(fault(CallKind::Any, nth, times, effect));
                        let what = format!("{policy:?}, {effect:?} {times:?} at call {nth}");
                        let told = life(&disk, policy, &mut ledger);
                        lives += 1;
                        let calls = disk.calls(CallKind::Any);
                        // A disk that takes a byte at a time is slow, and no more than that.
                        let short = matches!(effect, FaultEffect::ShortWrite(1..)) && times == Times::Forever;
                        assert!(calls < 2000 || short, "{what}: {calls} calls");
                        disk.heal();
                        check_afterwards(&what, &disk, policy, &ledger, &told);
                        let writes =
                            matches!(effect, FaultEffect::ShortWrite(_) | FaultEffect::PartialThenError(..));
                        if nth > if writes { disk.calls(CallKind::Write) } else { calls } {
                            assert_eq!(told.errors, 0, "{what}: the fault has struck after all");
                            break;
                        }
                        if short && nth > 20 {
                            break;
                        }
                    }
                }
            }
        }
        assert!(lives > 5000, "{lives}");
    });
}

fn check_afterwards(what: &str, disk: &SimDisk, policy: SyncPolicy, ledger: &Ledger, told: &Told) {
    let options = small(policy);
    let killed = disk.kill();
    let wal = match try_open(&killed, &options) {
        Ok(wal) => wal,
        Err(error) => panic!("{what}: after a kill: {error}"),
    };
    let shown = contents(&wal);
    if let Err(broken) = ledger.check_power_cut(&shown) {
        panic!("{what}: after a kill: {broken}");
    }
    if told.errors == 0 {
        assert!(shown == ledger.entries(), "{what}: nothing was told, and something is missing");
    }
    drop(wal);
    for image in disk.crash_images(MODEL, 7) {
        let wal = match try_open(&image, &options) {
            Ok(wal) => wal,
            Err(error) => panic!("{what}: {error}\n{}", image.origin()),
        };
        if let Err(broken) = ledger.check_power_cut(&contents(&wal)) {
            panic!("{what}: {broken}\n{}", image.origin());
        }
    }
    check_power_cut(&disk.power_cut_losing_everything(), ledger, &options);
}

#[test]
fn an_interrupted_write_is_repeated_and_not_told() {
    for policy in POLICIES {
        for nth in 0..30 {
            let disk = SimDisk::new(nth);
            let mut ledger = Ledger::new(policy);
            let interrupted = FaultEffect::Error(failure(4, IoKind::Interrupted));
            disk.fail(fault(CallKind::Write, nth, Times::Once, interrupted));
            assert_eq!(life(&disk, policy, &mut ledger).errors, 0, "write {nth}");
            assert_eq!(contents(&open(&disk.kill(), &small(policy))), ledger.entries());
        }
    }
}

#[test]
fn a_log_that_fell_back_to_read_only_is_readable_and_refuses_appends() {
    for policy in POLICIES {
        let disk = SimDisk::new(1);
        let mut ledger = Ledger::new(policy);
        let wal = open(&disk, &small(policy));
        for bytes in [30, HALF, HALF, HALF] {
            ledger.append(&wal, bytes).expect("nothing fails");
        }
        ledger.sync(&wal).expect("nothing fails");
        disk.set_read_only(true);
        for _ in 0..3 {
            crate::common::refused(ledger.append(&wal, 10), ErrorKind::Io);
            assert_eq!(contents(&wal), ledger.entries());
        }
        let (shown, error) = read(crate::common::view(&disk).range(..));
        assert!(error.is_none());
        assert_eq!(shown, ledger.entries());
        crate::common::refused(try_open(&disk.kill(), &small(policy)), ErrorKind::Io);
        disk.set_read_only(false);
        ledger.append(&wal, 10).expect("writable again");
        ledger.close(wal).expect("nothing fails");
        check_power_cut(&disk.power_cut_losing_everything(), &ledger, &small(policy));
    }
}
