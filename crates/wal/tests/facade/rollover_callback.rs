//! The rollover callback runs under no lock: it may do whatever an application does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use crate::common::ledger::payload;
use crate::common::{
    EVERY_POLICY, HALF, contents, damage_last_frame, eventually, every_setup, open, read, refused, small,
    try_open, view, within,
};
use wal::{Durability, ErrorKind, Rollover, SyncPolicy, Wal};
use wal_segment::io::sim::SimDisk;

const LIMIT: Duration = Duration::from_secs(30);

/// What a callback is given, filled in once the log is open.
type Later = Arc<OnceLock<Wal>>;

/// Which segment follows which, and with which entry.
fn turns(told: &[Rollover]) -> Vec<(Option<u64>, u64, u64)> {
    told.iter().map(|rollover| (rollover.from, rollover.to, rollover.first)).collect()
}

// A log written in Go called back while it held the lock of the writer. A callback that appended waited
// for a lock that its own thread had. Every appender stood behind it.
#[test]
fn a_callback_that_appends_submits_syncs_and_reads_hangs_nobody() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(1);
            let later = Later::default();
            let appended = Arc::new(AtomicU64::new(0));
            let (wal_of, count) = (Arc::clone(&later), Arc::clone(&appended));
            let options = small(policy).background(background).on_rollover(move |rollover| {
                let Some(wal) = wal_of.get() else { return };
                let (shown, error) = read(wal.range(..).expect("open"));
                assert!(error.is_none());
                assert!(shown.len() as u64 > rollover.first, "the first entry of the segment is there");
                wal.append(b"from the callback").expect("nothing fails");
                wal.append_with(b"from the callback", Durability::Durable).expect("nothing fails");
                let commit =
                    wal.submit_with(b"from the callback", Durability::Durable).expect("nothing fails");
                commit.wait().expect("nothing fails");
                wal.sync().expect("nothing fails");
                wal.flush().expect("nothing fails");
                count.fetch_add(3, Ordering::SeqCst);
            });
            let wal = open(&disk, &options);
            later.set(wal.clone()).expect("once");
            let threads: Vec<_> = (0..3)
                .map(|appender| {
                    let wal = wal.clone();
                    thread::spawn(move || {
                        for turn in 0..8 {
                            wal.append(&payload(appender * 100 + turn, 1000)).expect("nothing fails");
                        }
                    })
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().expect("nobody panics"));
            // What the callbacks append rolls over, too.
            eventually("the callbacks have been called", LIMIT, || appended.load(Ordering::SeqCst) >= 12);
            let (shown, error) = read(wal.range(..).expect("open"));
            assert!(error.is_none() && shown.len() >= 36, "{} entries, {error:?}", shown.len());
        }
    });
}

#[test]
fn rollovers_are_told_once_in_order_and_all_of_them_before_a_close_returns() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(1);
            for round in 0..2_u64 {
                let told = Arc::new(Mutex::new(Vec::new()));
                let heard = Arc::clone(&told);
                let options = small(policy).background(background).on_rollover(move |rollover| {
                    if background {
                        thread::sleep(Duration::from_micros(300));
                    }
                    heard.lock().expect("nobody panics").push(*rollover);
                });
                let wal = open(&disk, &options);
                for _ in 0..12 {
                    wal.append(&[1; HALF]).expect("nothing fails");
                }
                if !background {
                    assert_eq!(told.lock().expect("nobody panics").len(), 6, "in the call that rolled over");
                }
                wal.close().expect("nothing fails");
                let told = told.lock().expect("nobody panics");
                let segments: Vec<_> = view(&disk).segments().collect();
                let expected: Vec<_> = segments[usize::try_from(round).expect("small") * 6..]
                    .iter()
                    .map(|segment| ((segment.number > 1).then(|| segment.number - 1), segment))
                    .map(|(from, segment)| (from, segment.number, segment.sequences.start))
                    .collect();
                assert_eq!(turns(&told), expected, "{policy:?}, threads: {background}");
                assert_eq!(told.len(), 6);
            }
        }
    });
}

#[test]
fn a_callback_that_panics_changes_nothing() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(1);
            let calls = Arc::new(AtomicU64::new(0));
            let count = Arc::clone(&calls);
            let options = small(policy).background(background).on_rollover(move |_| {
                let before = count.fetch_add(1, Ordering::SeqCst);
                assert_eq!(before % 2, 1, "a panic in the callback, on purpose");
            });
            let wal = open(&disk, &options);
            for number in 0..12 {
                assert_eq!(wal.append(&[1; HALF]).expect("nothing fails"), number);
            }
            wal.close().expect("nothing fails");
            assert_eq!(calls.load(Ordering::SeqCst), 6, "{policy:?}, threads: {background}");
            assert_eq!(contents(&open(&disk, &small(policy))).len(), 12);
        }
    });
}

#[test]
fn a_callback_that_closes_the_log_closes_it() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(1);
            let later = Later::default();
            let wal_of = Arc::clone(&later);
            let (ended, end) = mpsc::channel();
            let options = small(policy).background(background).on_rollover(move |rollover| {
                if let (4, Some(wal)) = (rollover.to, wal_of.get()) {
                    ended.send(wal.clone().close().map_err(|error| error.kind())).expect("somebody waits");
                }
            });
            let wal = open(&disk, &options);
            later.set(wal.clone()).expect("once");
            let mut acknowledged = 0;
            let refusal = loop {
                match wal.append(&[1; HALF]) {
                    Ok(number) => acknowledged = number + 1,
                    Err(error) => break error,
                }
            };
            assert_eq!(refusal.kind(), ErrorKind::Closed, "{policy:?}, threads: {background}: {refusal}");
            assert!(acknowledged >= 7, "three segments of two, and the first of the fourth: {acknowledged}");
            assert_eq!(end.recv().expect("it was called"), Ok(()));
            let reopened = open(&disk, &small(policy));
            assert_eq!(reopened.written_end(), acknowledged);
            refused(wal.close(), ErrorKind::Closed);
        }
    });
}

#[test]
fn a_callback_that_drops_the_last_handle_ends_the_log() {
    within(LIMIT, || {
        // Without threads whoever appends has a handle, so the last one is not in the callback.
        for policy in EVERY_POLICY {
            let disk = SimDisk::new(1);
            let slot: Arc<Mutex<Option<Wal>>> = Arc::default();
            let taken = Arc::clone(&slot);
            let options = small(policy).background(true).on_rollover(move |rollover| {
                if rollover.to == 2 {
                    // Held back by this lock until the handle is there.
                    drop(taken.lock().expect("nobody panics").take());
                }
            });
            let mut held = slot.lock().expect("nobody panics");
            let wal = open(&disk, &options);
            for _ in 0..3 {
                wal.append(&[1; HALF]).expect("nothing fails");
            }
            let commit = wal.submit(&[2; 10]).expect("nothing fails");
            *held = Some(wal);
            drop(held);
            eventually("the lock is free", LIMIT, || try_open(&disk, &small(policy)).is_ok());
            assert_eq!(contents(&open(&disk, &small(policy))).len(), 4, "{policy:?}");
            match commit.wait() {
                Ok(number) => assert_eq!(number, 3),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{policy:?}: {error}"),
            }
        }
    });
}

#[test]
fn a_close_beside_a_slow_callback_waits_for_it_and_for_those_behind_it() {
    within(LIMIT, || {
        let disk = SimDisk::new(1);
        let calls = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&calls);
        let (go, may_go) = mpsc::channel::<()>();
        let may_go = Mutex::new(may_go);
        let options = small(SyncPolicy::Immediate).background(true).on_rollover(move |_| {
            may_go.lock().expect("nobody panics").recv().ok();
            count.fetch_add(1, Ordering::SeqCst);
        });
        let wal = open(&disk, &options);
        for _ in 0..6 {
            wal.append(&[1; HALF]).expect("an append does not wait for a callback");
        }
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        let closer = thread::spawn(move || wal.close());
        thread::sleep(Duration::from_millis(3));
        assert!(!closer.is_finished(), "it waits");
        drop(go);
        closer.join().expect("nobody panics").expect("nothing fails");
        assert_eq!(calls.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn a_rollover_that_failed_is_not_told_and_the_next_one_is() {
    within(LIMIT, || {
        for (policy, background) in every_setup() {
            let disk = SimDisk::new(1);
            let told = Arc::new(Mutex::new(Vec::new()));
            let heard = Arc::clone(&told);
            let options = small(policy)
                .background(background)
                .on_rollover(move |rollover| heard.lock().expect("nobody panics").push(*rollover));
            let wal = open(&disk, &options);
            wal.append_with(&[1; HALF], Durability::Durable).expect("nothing fails");
            wal.append_with(&[1; HALF], Durability::Durable).expect("nothing fails");
            disk.set_read_only(true);
            for _ in 0..3 {
                refused(wal.append(&[2; HALF]), ErrorKind::Io);
            }
            disk.set_read_only(false);
            assert_eq!(wal.append(&[3; HALF]).expect("writable again"), 2);
            wal.close().expect("nothing fails");
            let told = turns(&told.lock().expect("nobody panics"));
            assert_eq!(told, [(None, 1, 0), (Some(1), 2, 2)], "{policy:?}, threads: {background}");
        }
    });
}

// Without threads of the log, several that roll over called back at the same time, and a callback that rolled
// over was called in the middle of itself, as deep as it liked.
#[test]
fn a_callback_is_called_once_at_a_time_and_in_order_without_a_thread_of_its_own() {
    within(LIMIT, || {
        let disk = SimDisk::new(1);
        let later = Later::default();
        let (inside, told) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (wal_of, entered, tells) = (Arc::clone(&later), Arc::clone(&inside), Arc::clone(&told));
        let options = small(SyncPolicy::Immediate).on_rollover(move |rollover| {
            assert_eq!(entered.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
            tells.lock().expect("nobody panics").push(rollover.to);
            if let (Some(wal), true) = (wal_of.get(), rollover.to < 100) {
                // Half a segment: every second one rolls over.
                wal.append(&payload(rollover.to, HALF)).expect("nothing fails");
            }
            entered.fetch_sub(1, Ordering::SeqCst);
        });
        let wal = open(&disk, &options);
        later.set(wal.clone()).expect("once");
        thread::scope(|scope| {
            for appender in 0..4 {
                let wal = &wal;
                scope.spawn(move || {
                    for turn in 0..30 {
                        wal.append(&payload(appender * 100 + turn, HALF)).expect("nothing fails");
                    }
                });
            }
        });
        let told = told.lock().expect("nobody panics").clone();
        assert!(told.is_sorted() && told.len() >= 60, "{told:?}");
        assert_eq!(inside.load(Ordering::SeqCst), 0, "none of them panicked");
    });
}

#[test]
fn a_cut_is_told_from_a_full_segment() {
    for (policy, background) in every_setup() {
        let disk = SimDisk::new(1);
        let told = Arc::new(Mutex::new(Vec::new()));
        let seen = || told.lock().expect("no panic").drain(..).collect::<Vec<_>>();
        let tells = Arc::clone(&told);
        let options = small(policy).background(background);
        let options = options.on_rollover(move |rollover| {
            tells.lock().expect("no panic").push((rollover.first, rollover.cut));
        });
        let wal = open(&disk, &options);
        (0..3).for_each(|number| assert!(wal.append(&payload(number, HALF)).is_ok()));
        wal.truncate_after(1).expect("nothing fails");
        wal.append(b"behind the cut").expect("nothing fails");
        drop(wal);
        assert_eq!(seen(), [(0, false), (2, false), (2, true)], "{policy:?}, background {background}");

        if policy != SyncPolicy::None {
            // The last frame may be vouched for.
            continue;
        }
        damage_last_frame(&disk);
        let wal = open(&disk, &options);
        assert_eq!(wal.written_end(), 2, "the last frame is torn");
        wal.append(b"behind the tear").expect("nothing fails");
        drop(wal);
        assert_eq!(seen(), [(2, true)], "{policy:?}, background {background}");
    }
}

#[test]
fn a_callback_that_keeps_the_log_is_let_go_when_it_was_closed() {
    within(LIMIT, || {
        for policy in EVERY_POLICY {
            let later = Later::default();
            let (kept, slow) = (Arc::clone(&later), Arc::clone(&later));
            let options = small(policy).background(true).slow_sync(Duration::from_nanos(1));
            let options =
                options.on_rollover(move |_| assert!(kept.get().is_none_or(|wal| wal.written_end() > 0)));
            let options =
                options.on_slow_sync(move |_| assert!(slow.get().is_none_or(|wal| wal.written_end() > 0)));
            let wal = open(&SimDisk::new(1), &options);
            drop(options);
            later.set(wal.clone()).expect("once");
            (0..3).for_each(|number| assert!(wal.append(&payload(number, HALF)).is_ok()));
            wal.close().expect("nothing fails");
            eventually("nobody holds the callbacks", LIMIT, || Arc::strong_count(&later) == 1);
        }
    });
}
