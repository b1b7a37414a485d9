//! An error while reading is an error, never the end of the log.

use std::sync::Arc;

use crate::common::bytes::segments;
use crate::common::{HALF, Ledger, contents, directory, eio, fault, open, read, refused, small, try_open};
use wal::{ErrorKind, Options, SyncPolicy};
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, Times};

/// Three segments; closed, killed, or killed with a torn tail.
fn found(state: &str) -> (SimDisk, Ledger) {
    let policy = SyncPolicy::Immediate;
    let disk = SimDisk::new(5);
    let mut ledger = Ledger::new(policy);
    let wal = open(&disk, &small(policy));
    for bytes in [HALF, HALF, HALF, HALF, 10, 20] {
        ledger.append(&wal, bytes).expect("nothing fails");
    }
    match state {
        "closed" => ledger.close(wal).expect("nothing fails"),
        "torn" => {
            let effect = FaultEffect::PartialThenError(60, eio());
            disk.fail(fault(CallKind::Write, 0, Times::Once, effect));
            refused(ledger.append(&wal, 50), ErrorKind::Io);
            drop(wal);
        }
        _ => drop(wal),
    }
    (crate::common::copy(&directory(&disk)), ledger)
}

const STATES: [&str; 3] = ["closed", "killed", "torn"];

// rocksdb#6288 took a read error for the end of the log and opened without what followed; mrecordlog asks
// for ever for a block that cannot be read.
#[test]
fn a_read_error_that_an_open_cannot_do_without_fails_it_and_changes_nothing() {
    for state in STATES {
        for call in [CallKind::Read, CallKind::List, CallKind::Open, CallKind::Len, CallKind::DropCache] {
            for times in [Times::Once, Times::Forever] {
                let mut done_without = 0;
                for nth in 0.. {
                    let (disk, ledger) = found(state);
                    let before = directory(&disk);
                    let reads_before = disk.calls(CallKind::Read);
                    disk.fail(fault(call, nth, times, FaultEffect::Error(eio())));
                    let opened = try_open(&disk, &small(SyncPolicy::Immediate));
                    let reads = disk.calls(CallKind::Read) - reads_before;
                    assert!(reads < 100, "{state}, {call:?} {nth}: {reads} reads");
                    let error = match opened {
                        Err(error) => error,
                        // An open does without the header of the frame that ends where a LINK says.
                        Ok(wal) if call == CallKind::Read && nth < reads => {
                            disk.heal();
                            ledger.check_kill(&contents(&wal)).expect("all of it is there");
                            done_without += 1;
                            continue;
                        }
                        Ok(_) => {
                            assert!(nth > 0, "{call:?} never happens in an open");
                            break;
                        }
                    };
                    assert_eq!(error.kind(), ErrorKind::Io, "{state}, {call:?} {nth}: {error}");
                    disk.heal();
                    // The anchor may have been brought up to date; nothing else is ever written.
                    let mut after = directory(&disk);
                    after.insert("ANCHOR".to_owned(), before["ANCHOR"].clone());
                    after.remove("LOCK");
                    let mut before = before.clone();
                    before.remove("LOCK");
                    assert!(after == before, "{state}, {call:?} {nth}: something was changed");
                    let wal = open(&disk, &small(SyncPolicy::Immediate));
                    ledger.check_kill(&contents(&wal)).expect("all of it is there");
                }
                // One for each LINK but the first.
                let most = if call == CallKind::Read && times == Times::Once { 1 } else { 0 };
                assert_eq!(done_without, most, "{state}, {call:?}, {times:?}");
            }
        }
    }
}

#[test]
fn an_unreadable_block_that_an_open_needs_fails_it_however_often_it_is_tried() {
    for state in STATES {
        let (disk, ledger) = found(state);
        let names = [vec!["ANCHOR".to_owned()], segments(&disk)].concat();
        for name in names {
            let blocks = disk.contents(&name).expect("it is there").len().div_ceil(4096) as u64;
            for block in 0..blocks {
                let before = directory(&disk);
                assert!(disk.unreadable(&name, block * 4096..(block + 1) * 4096));
                for _ in 0..2 {
                    let shown = try_open(&disk, &small(SyncPolicy::Immediate))
                        .map(|wal| read(wal.range(..).expect("the log is open")));
                    match shown {
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Io, "{name} {block}: {error}"),
                        Ok((shown, Some(error))) => {
                            assert_eq!(error.kind(), ErrorKind::Io, "{name} {block}: {error}");
                            assert!(ledger.entries().starts_with(&shown));
                        }
                        Ok((shown, None)) => ledger.check_kill(&shown).expect("nothing is left out"),
                    }
                    let view = Options::new().open_read_only_in(Arc::new(disk.clone()));
                    match view.map(|view| read(view.range(..))) {
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Io, "{name} {block}: {error}"),
                        Ok((shown, None)) => ledger.check_kill(&shown).expect("nothing is left out"),
                        Ok((_, Some(error))) => assert_eq!(error.kind(), ErrorKind::Io, "{error}"),
                    }
                }
                disk.unreadable(&name, 0..0);
                let names: Vec<_> = before.keys().collect();
                assert_eq!(directory(&disk).keys().collect::<Vec<_>>(), names, "{name} {block}");
            }
        }
        let wal = open(&disk, &small(SyncPolicy::Immediate));
        ledger.check_kill(&contents(&wal)).expect("nothing was cut");
    }
}

#[test]
fn a_read_error_while_iterating_ends_the_iterator_with_it() {
    for mapped in [true, false] {
        for call in [CallKind::Read, CallKind::Open, CallKind::Len] {
            let mut struck = 0;
            for nth in 0..20 {
                let (disk, ledger) = found("killed");
                let options = small(SyncPolicy::Immediate).mapped_reads(mapped);
                let wal = open(&disk, &options);
                disk.fail(fault(call, nth, Times::Once, FaultEffect::Error(eio())));
                let (shown, error) = read(wal.range(..).expect("the log is open"));
                assert!(ledger.entries().starts_with(&shown), "wrong bytes");
                match error {
                    Some(error) => {
                        struck += 1;
                        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                    }
                    None => assert_eq!(shown, ledger.entries(), "a shorter log and no error"),
                }
                disk.heal();
                assert_eq!(contents(&wal), ledger.entries(), "the log itself is well");
            }
            assert!(struck > 0, "{call:?}, mapped: {mapped}");
        }
    }
}

#[test]
fn verify_and_the_view_pass_on_every_read_error_that_they_cannot_do_without() {
    let (disk, _) = found("closed");
    let mut done_without = 0;
    for nth in 0..40 {
        let view = crate::common::view(&disk);
        let calls = disk.calls(CallKind::Read);
        disk.fail(fault(CallKind::Read, nth, Times::Once, FaultEffect::Error(eio())));
        let verified = view.verify();
        let struck = disk.calls(CallKind::Read) - calls > nth;
        disk.heal();
        match verified {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Io, "{error}"),
            Ok(found) => {
                assert!(found.damages.is_empty());
                done_without += u32::from(struck);
            }
        }
    }
    // The header of the frame that ends where a LINK says: it is read again with its segment.
    assert_eq!(done_without, 1, "reads failed unnoticed");
}
