//! What gathers in the process, what the operating system has, and what the device has.

use std::thread;
use std::time::Duration;

use crate::common::ledger::payload;
use crate::common::{
    EVERY_POLICY, contents, eventually, every_setup, open, refused, small, try_open, within,
};
use wal::{Durability, ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::SimDisk;

const LIMIT: Duration = Duration::from_secs(30);

/// The policies of a buffered log, of which the second one syncs by itself only after a minute.
const BUFFERING: [SyncPolicy; 2] =
    [SyncPolicy::None, SyncPolicy::Periodic { entries: 1_000_000, interval: Duration::from_secs(60) }];

fn roomy(policy: SyncPolicy, background: bool) -> Options {
    small(policy).segment_bytes(1 << 20).background(background)
}

/// How many entries the next open finds after the death of the process, and after a power cut.
fn survivors(disk: &SimDisk) -> (usize, usize) {
    let options = small(SyncPolicy::None);
    let after_a_kill = contents(&open(&disk.kill(), &options)).len();
    (after_a_kill, contents(&open(&disk.power_cut_losing_everything(), &options)).len())
}

#[test]
fn a_kill_takes_what_has_gathered_and_leaves_what_was_flushed() {
    within(LIMIT, || {
        for policy in BUFFERING {
            for background in [false, true] {
                let disk = SimDisk::new(1);
                let wal = open(&disk, &roomy(policy, background).buffered(1 << 20));
                let append = |count: u64| {
                    for _ in 0..count {
                        wal.append(&[1; 100]).expect("it gathers");
                    }
                };
                append(10);
                assert_eq!((wal.written_end(), wal.is_empty()), (0, true), "a number is not a write");
                assert_eq!(survivors(&disk), (0, 0));
                wal.flush().expect("nothing fails");
                assert_eq!((wal.written_end(), wal.durable_end()), (10, 0));
                assert_eq!(survivors(&disk), (10, 0));
                append(5);
                assert_eq!(survivors(&disk), (10, 0));
                wal.sync().expect("nothing fails");
                assert_eq!((wal.written_end(), wal.durable_end()), (15, 15));
                assert_eq!(survivors(&disk), (15, 15));
                append(3);
                assert_eq!(contents(&wal).len(), 15, "a reader shows what is written");
                wal.close().expect("nothing fails");
                assert_eq!(survivors(&disk), (18, 18));
            }
        }
    });
}

#[test]
fn each_append_of_a_buffered_log_may_ask_for_more_and_takes_along_what_is_in_front_of_it() {
    within(LIMIT, || {
        for policy in BUFFERING {
            for background in [false, true] {
                let disk = SimDisk::new(1);
                let wal = open(&disk, &roomy(policy, background).buffered(1 << 20));
                assert_eq!(wal.append(b"gathers").expect("nothing fails"), 0);
                assert_eq!(wal.append_with(b"gathers", Durability::Buffered).expect("nothing fails"), 1);
                assert_eq!(survivors(&disk), (0, 0));
                assert_eq!(wal.append_with(b"written", Durability::Written).expect("nothing fails"), 2);
                assert_eq!(survivors(&disk), (3, 0));
                wal.append(b"gathers").expect("nothing fails");
                assert_eq!(wal.append_with(b"durable", Durability::Durable).expect("nothing fails"), 4);
                assert_eq!(survivors(&disk), (5, 5));
                wal.append(b"gathers").expect("nothing fails");
                wal.submit_with(b"durable", Durability::Durable)
                    .expect("it joins")
                    .wait()
                    .expect("nothing fails");
                assert_eq!(survivors(&disk), (7, 7));
                let commit = wal.submit(b"gathers").expect("it joins");
                assert_eq!(commit.wait().expect("it has gathered"), 7);
                assert_eq!(survivors(&disk), (7, 7));
            }
        }
    });
}

#[test]
fn a_full_buffer_goes_to_the_operating_system_by_itself() {
    within(LIMIT, || {
        for policy in BUFFERING {
            for background in [false, true] {
                let disk = SimDisk::new(1);
                let wal = open(&disk, &roomy(policy, background).buffered(1000));
                for number in 0..100_u64 {
                    wal.append(&[1; 100]).expect("nothing fails");
                    let behind = number + 1 - wal.written_end();
                    assert!(behind <= 10, "{behind} entries of a hundred bytes have gathered");
                }
                assert!(wal.written_end() >= 90);
            }
        }
    });
}

#[test]
fn dropping_a_buffered_log_hands_everything_to_the_operating_system() {
    for policy in BUFFERING {
        for background in [false, true] {
            let disk = SimDisk::new(1);
            let wal = open(&disk, &roomy(policy, background).buffered(1 << 20));
            for _ in 0..10 {
                wal.append(&[1; 100]).expect("it gathers");
            }
            drop(wal);
            assert_eq!(survivors(&disk), (10, 0));
        }
    }
}

#[test]
fn an_append_asks_for_more_or_less_than_its_policy_and_gets_that() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let what = format!("{policy:?}, threads: {background}");
            let disk = SimDisk::new(1);
            // A policy that syncs by itself after a minute, so that nothing else does.
            let policy = if policy == EVERY_POLICY[2] { BUFFERING[1] } else { policy };
            let wal = open(&disk, &roomy(policy, background));
            wal.append_with(b"durable", Durability::Durable).expect("nothing fails");
            assert_eq!(survivors(&disk), (1, 1), "{what}");
            wal.append_with(b"written", Durability::Written).expect("nothing fails");
            assert_eq!((survivors(&disk), wal.durable_end()), ((2, 1), 1), "{what}: no sync");
            // Without a buffer nothing is less than written.
            wal.append_with(b"no buffer", Durability::Buffered).expect("nothing fails");
            assert_eq!((survivors(&disk), wal.durable_end()), ((3, 1), 1), "{what}");
            let written = wal.submit_with(b"written", Durability::Buffered).expect("it joins");
            written.wait().expect("nothing fails");
            assert_eq!((survivors(&disk), wal.durable_end()), ((4, 1), 1), "{what}");
            wal.append_with(b"durable", Durability::Durable).expect("nothing fails");
            assert_eq!(survivors(&disk), (5, 5), "{what}");
            wal.append(b"the policy decides").expect("nothing fails");
            assert_eq!(survivors(&disk), (6, if policy.waits() { 6 } else { 5 }), "{what}");
        }
    });
}

#[test]
fn periodic_leaves_no_more_than_its_count_without_a_sync() {
    within(LIMIT, || {
        for entries in [1, 2, 7] {
            let policy = SyncPolicy::periodic(entries, Duration::from_secs(60));
            // Without threads the append that makes it so many syncs.
            let disk = SimDisk::new(1);
            let wal = open(&disk, &roomy(policy, false));
            for number in 1..=40 {
                wal.append(b"entry").expect("nothing fails");
                let lost = number - survivors(&disk).1 as u64;
                assert!(lost < entries, "{lost} entries would be lost of every {entries}");
                assert_eq!(wal.durable_end(), number - number % entries);
            }
            // With threads it is soon so.
            let disk = SimDisk::new(1);
            let wal = open(&disk, &roomy(policy, true));
            for _ in 0..40 {
                wal.append(b"entry").expect("nothing fails");
            }
            eventually("the thread syncs", LIMIT, || wal.durable_end() > 40 - entries);
            assert!(survivors(&disk).1 as u64 > 40 - entries);
        }
    });
}

// Whoever rolls over has the turn to sync, and the syncing thread looks at no clock meanwhile. Nobody woke
// it afterwards. So the first entry of a segment stayed without a sync for as long as no other was appended.
#[test]
fn periodic_leaves_nothing_for_longer_than_its_interval_without_a_sync() {
    within(LIMIT, || {
        let interval = Duration::from_millis(3);
        let policy = SyncPolicy::periodic(1_000_000, interval);
        for buffered in [None, Some(1 << 20)] {
            let options = buffered.into_iter().fold(roomy(policy, true), Options::buffered);
            let disk = SimDisk::new(1);
            let wal = open(&disk, &options);
            for number in 1..=5 {
                // Each of the large ones takes a segment of its own.
                wal.append(&payload(number, if number < 3 { 10 } else { 600_000 })).expect("nothing fails");
                eventually("the thread syncs", LIMIT, || wal.durable_end() == number);
                assert_eq!(survivors(&disk).1 as u64, number);
            }
            // Nothing is pending, and nothing is synced.
            eventually("the log comes to rest", LIMIT, || {
                let before = disk.operations();
                thread::sleep(interval * 5);
                disk.operations() == before
            });
        }
        // Without threads the next append that comes later than that syncs.
        let disk = SimDisk::new(1);
        let wal = open(&disk, &roomy(policy, false));
        wal.append(b"first").expect("nothing fails");
        thread::sleep(interval * 2);
        wal.append(b"second").expect("nothing fails");
        assert_eq!(wal.durable_end(), 2);
    });
}

#[test]
fn a_buffer_that_cannot_work_is_refused_and_named() {
    let disk = SimDisk::new(1);
    let periodic = EVERY_POLICY[2];
    let wrong = [
        ("buffered", Options::new().sync(SyncPolicy::Immediate).buffered(1000)),
        ("buffered", Options::new().sync(EVERY_POLICY[3]).buffered(1000)),
        // The default waits, too.
        ("buffered", Options::new().buffered(1000)),
        ("buffered", Options::new().sync(SyncPolicy::None).buffered(0)),
        ("buffered", Options::new().sync(periodic).buffered(1001).max_in_flight_bytes(1000)),
        ("buffered", Options::new().sync(SyncPolicy::None).buffered(u64::MAX)),
        ("max_in_flight_bytes", Options::new().max_in_flight_bytes(0)),
        ("max_in_flight_bytes", Options::new().sync(SyncPolicy::None).buffered(1).max_in_flight_bytes(0)),
    ];
    for (name, options) in wrong {
        let error = refused(try_open(&disk, &options), ErrorKind::InvalidOptions);
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(disk.names().is_empty(), "nothing was created: {:?}", disk.names());
    for options in [
        Options::new().sync(SyncPolicy::None).buffered(1),
        Options::new().sync(periodic).buffered(1000).max_in_flight_bytes(1000),
        Options::new().max_in_flight_bytes(1),
    ] {
        let wal: Wal = open(&disk, &options);
        wal.append(&payload(1, 300)).expect("nothing fails");
        wal.close().expect("nothing fails");
    }
}

// An entry is written, and its caller waits for the sync. What is buffered after it finds no space: the waiting caller tried
// that write again, for ever, and never came to the sync.
#[test]
fn what_is_written_gets_its_sync_while_what_comes_after_it_finds_no_space() {
    within(LIMIT, || {
        for policy in BUFFERING {
            for background in [false, true] {
                for capped in [false, true] {
                    let disk = SimDisk::new(3);
                    let options =
                        small(policy).segment_bytes(32 << 10).background(background).buffered(1 << 20);
                    let wal = open(&disk, &if capped { options.max_log_bytes(64 << 10) } else { options });
                    wal.append(&payload(0, 4_000)).expect("it gathers");
                    wal.flush().expect("there is space");
                    if capped {
                        wal.append(&payload(1, 23_000)).expect("it gathers");
                        wal.flush().expect("there is space");
                    }
                    let next = wal.written_end();
                    let waits =
                        wal.submit_with(&payload(next, 10), Durability::Durable).expect("it is numbered");
                    wal.flush().expect("there is room in the segment");
                    if !capped {
                        disk.space(Some(0));
                    }
                    wal.append(&payload(next + 1, 23_500)).expect("it gathers");
                    refused(wal.flush(), ErrorKind::NoSpace);
                    assert_eq!(waits.wait().expect("it is written, and can be synced"), next);
                    assert!(wal.durable_end() > next, "{policy:?}");
                    drop(wal);
                    let shown = contents(&open(&disk.power_cut_losing_everything(), &small(policy)));
                    assert!(shown.len() as u64 > next, "{policy:?}");
                }
            }
        }
    });
}
