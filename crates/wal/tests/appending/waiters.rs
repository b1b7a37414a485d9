//! A sync fails and a later one would succeed: everybody who waits from there on is told, under every
//! policy.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::common::bytes::segment_name;
use crate::common::gate::Gate;
use crate::common::seam::{Call, Seam};
use crate::common::task::block_on;
use crate::common::{HALF, contents, every_setup, open, refused, small, within};
use wal::{Durability, Error, ErrorKind, SyncPolicy, Wal};
use wal_segment::io::sim::SimDisk;

const LIMIT: Duration = Duration::from_secs(30);
/// More entries than any of these logs get.
const FAR: u64 = 1_000_000;

/// A log whose syncs of the first segment pass a gate.
fn gated(policy: SyncPolicy, background: bool, segment_bytes: u64) -> (SimDisk, Wal, Arc<Gate>) {
    let disk = SimDisk::new(1);
    let gate = Gate::new();
    let syncs = Arc::clone(&gate);
    let first = segment_name(1);
    let seam =
        Seam::new(
            disk.clone(),
            move |call| {
                if call == (Call::Sync { name: &first }) { syncs.pass() } else { Ok(()) }
            },
        );
    let options = small(policy).segment_bytes(segment_bytes).background(background);
    (disk, options.open_in(seam).expect("nothing fails"), gate)
}

type Waits = fn(&Wal) -> Result<(), Error>;

/// Everything that waits for a sync.
const WAITERS: [(&str, Waits); 9] = [
    ("append", |wal| wal.append_with(b"append", Durability::Durable).map(drop)),
    ("submit and wait", |wal| wal.submit_with(b"wait", Durability::Durable)?.wait().map(drop)),
    ("submit and await", |wal| block_on(wal.submit_with(b"await", Durability::Durable)?).map(drop)),
    ("submit and wait for a time", |wal| {
        let commit = wal.submit_with(b"wait for a time", Durability::Durable)?;
        commit.wait_timeout(LIMIT).expect("within the time").map(drop)
    }),
    ("until_durable", |wal| wal.until_durable(FAR).wait()),
    ("until_durable for a time", |wal| wal.until_durable(FAR).wait_timeout(LIMIT).expect("within the time")),
    ("await until_durable", |wal| block_on(wal.until_durable(FAR))),
    ("await until_written", |wal| block_on(wal.until_written(FAR))),
    ("sync", |wal| {
        // Where nothing is pending, there is nothing to wait for.
        wal.append_with(b"sync", Durability::Written)?;
        wal.sync()
    }),
];

fn started(
    wal: &Wal,
    waiters: &[(&'static str, Waits)],
) -> Vec<(&'static str, JoinHandle<Result<(), Error>>)> {
    let start = |&(name, waits): &(&'static str, Waits)| {
        let wal = wal.clone();
        (name, thread::spawn(move || waits(&wal)))
    };
    waiters.iter().map(start).collect()
}

#[track_caller]
fn refuses_everything(what: &str, wal: Wal) {
    let calls: [(&str, Waits); 13] = [
        ("append", |wal| wal.append(b"after").map(drop)),
        ("append written", |wal| wal.append_with(b"after", Durability::Written).map(drop)),
        ("append buffered", |wal| wal.append_with(b"after", Durability::Buffered).map(drop)),
        ("append_batch", |wal| wal.append_batch([b"after", b"after"]).map(drop)),
        ("append an empty batch", |wal| wal.append_batch(&[] as &[&[u8]]).map(drop)),
        ("submit", |wal| wal.submit(b"after").map(drop)),
        ("try_submit", |wal| wal.try_submit(b"after").map(drop)),
        ("submit_timeout", |wal| wal.submit_timeout(b"after", LIMIT).map(drop)),
        ("submit_batch", |wal| wal.submit_batch([b"after", b"after"]).map(drop)),
        ("flush", Wal::flush),
        ("until_written", |wal| wal.until_written(FAR).wait()),
        ("read_from", |wal| wal.read_from(0).map(drop)),
        ("range", |wal| wal.range(..).map(drop)),
    ];
    for (name, call) in calls.into_iter().chain(WAITERS) {
        match call(&wal) {
            Err(error) if error.kind() == ErrorKind::Poisoned => {}
            other => panic!("{what}: {name} after the failure: {other:?}"),
        }
    }
    refused(wal.close(), ErrorKind::Poisoned);
}

// fjall#304 and #308: a sync failed, the error went to whoever had asked for that one, and a later sync
// succeeded. Those who waited for the later one were told that their entries were stored. The pages of
// the first one were gone.
#[test]
fn a_sync_that_failed_once_is_told_to_everybody_who_waits_and_to_everybody_who_comes() {
    within(LIMIT * 2, || {
        for (policy, background) in every_setup() {
            let what = format!("{policy:?}, threads: {background}");
            let (disk, wal, syncs) = gated(policy, background, 1 << 20);
            wal.append_with(b"first", Durability::Durable).expect("nothing fails");
            syncs.shut();
            let waiters = started(&wal, &WAITERS);
            syncs.until_somebody_waits();
            thread::sleep(Duration::from_millis(5));
            syncs.open_failing_one();
            for (name, waiter) in waiters {
                match waiter.join().expect("nobody panics") {
                    Err(error) if error.kind() == ErrorKind::Poisoned => {}
                    other => panic!("{what}: {name}: {other:?}"),
                }
            }
            let passed = syncs.passed();
            assert_eq!(wal.durable_end(), 1, "{what}");
            wal.until_durable(0).wait().expect("what was durable is durable");
            refuses_everything(&what, wal);
            assert_eq!(syncs.passed(), passed, "{what}: there is no second sync");
            assert_eq!(contents(&open(&disk.kill(), &small(policy)))[0], b"first", "{what}");
        }
    });
}

// The same between two segments, where it is the write that syncs.
#[test]
fn a_sync_that_failed_at_a_rollover_is_told_to_everybody_who_waits() {
    within(LIMIT * 2, || {
        for (policy, background) in every_setup() {
            let what = format!("{policy:?}, threads: {background}");
            let (disk, wal, syncs) = gated(policy, background, crate::common::SMALL);
            wal.append(&[1; HALF]).expect("nothing fails");
            wal.append(&[2; HALF]).expect("nothing fails");
            wal.sync().expect("nothing fails");
            syncs.shut();
            let written: Waits = |wal| wal.append_with(&[3; HALF], Durability::Written).map(drop);
            let mut waiters = started(&wal, &[("the append that rolls over", written)]);
            syncs.until_somebody_waits();
            waiters.extend(started(&wal, &WAITERS));
            thread::sleep(Duration::from_millis(5));
            syncs.open_failing_one();
            for (name, waiter) in waiters {
                match waiter.join().expect("nobody panics") {
                    Err(error) if error.kind() == ErrorKind::Poisoned => {}
                    other => panic!("{what}: {name}: {other:?}"),
                }
            }
            refuses_everything(&what, wal);
            let shown = contents(&open(&disk.kill(), &small(policy)));
            assert_eq!(shown, [[1; HALF], [2; HALF]], "{what}: what was synced is there, and nothing else");
        }
    });
}

#[test]
fn a_close_beside_the_failing_sync_is_told_too() {
    within(LIMIT * 2, || {
        for (policy, background) in every_setup() {
            let what = format!("{policy:?}, threads: {background}");
            let (_disk, wal, syncs) = gated(policy, background, 1 << 20);
            wal.append_with(b"first", Durability::Durable).expect("nothing fails");
            syncs.shut();
            let mut waiters = started(&wal, &WAITERS);
            syncs.until_somebody_waits();
            let close: Waits = |wal| wal.clone().close();
            waiters.extend(started(&wal, &[("close", close)]));
            thread::sleep(Duration::from_millis(5));
            syncs.open_failing_one();
            for (name, waiter) in waiters {
                let outcome = waiter.join().expect("nobody panics");
                let kind = outcome.map_err(|error| error.kind());
                // Whoever came behind the close may have been turned away by it.
                let told =
                    kind == Err(ErrorKind::Poisoned) || kind == Err(ErrorKind::Closed) && name != "close";
                assert!(told, "{what}: {name}: {kind:?}");
            }
            refused(wal.sync(), ErrorKind::Poisoned);
        }
    });
}

// Under `none` and `periodic` nobody waits for the sync that fails. The next call is told.
#[test]
fn a_background_sync_that_failed_is_told_to_whoever_comes_next() {
    within(LIMIT, || {
        let periodic = SyncPolicy::periodic(3, Duration::from_millis(1));
        for background in [false, true] {
            let (disk, wal, syncs) = gated(periodic, background, 1 << 20);
            wal.append(b"first").expect("nothing fails");
            wal.sync().expect("nothing fails");
            syncs.shut();
            syncs.open_failing_one();
            // Without threads the append that finds the sync due runs it, and what it promised is true.
            while wal.append(b"next").is_ok() {}
            refuses_everything("periodic", wal);
            assert_eq!(contents(&open(&disk.kill(), &small(periodic)))[0], b"first");
        }
    });
}
