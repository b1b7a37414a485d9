//! What happens when code below or above the log panics: nobody sleeps for ever.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use crate::fake::{Counts, Deed, Log, Named, ONE, ROLLOVER, WIDE, close_well, said, watched};
use wal_sync::Durability::{Buffered, Durable, Written};
use wal_sync::{Error, Limits, Mark, SyncPolicy, Watch};

const PANICKED: Option<Result<u64, Error<Named>>> = Some(Err(Error::Panicked));

/// From now on everything is refused, and nothing became durable.
fn is_over(log: &Log) {
    let durable = log.durable();
    assert_eq!(log.put(7, Durable), Err(Error::Panicked));
    assert_eq!(log.submit_one(7, Written).err(), Some(Error::Panicked));
    assert_eq!((log.flush(), log.sync()), (Err(Error::Panicked), Err(Error::Panicked)));
    assert_eq!(log.failure(), Some(Error::Panicked));
    assert!(log.close_well().is_err());
    assert_eq!((log.durable(), log.fake().record().durable), (durable, durable));
}

/// Everybody whom a leader can have behind it.
struct Behind {
    appender: thread::JoinHandle<Result<u64, Error<Named>>>,
    no_room: thread::JoinHandle<Result<u64, Error<Named>>>,
    ticket: wal_sync::Ticket<Named>,
    task: std::sync::Arc<Counts>,
    watcher: std::sync::Arc<Counts>,
    syncs: thread::JoinHandle<Result<(), Error<Named>>>,
    closes: thread::JoinHandle<Result<(), Error<Named>>>,
}

impl Behind {
    fn new(log: &Log, ticket: wal_sync::Ticket<Named>) -> Behind {
        let mut ticket = ticket;
        let (task, watcher) = (Counts::new(), Counts::new());
        assert!(task.poll(|context| ticket.poll(context)).is_pending());
        let mut watch = Watch::new(Mark::Durable, log.next());
        assert!(watcher.poll(|context| log.poll_watch(&mut watch, context)).is_pending());
        let next = log.next();
        let appender = log.put_aside(7, Durable);
        log.until_joined(next + 1);
        let no_room = log.put_aside(7, Durable);
        let (to_sync, to_close) = (log.share(), log.share());
        let syncs = thread::spawn(move || to_sync.sync());
        thread::sleep(Duration::from_millis(5));
        let closes = thread::spawn(move || close_well(&to_close));
        thread::sleep(Duration::from_millis(5));
        Behind { appender, no_room, ticket, task, watcher, syncs, closes }
    }

    fn are_told(self, log: &Log) {
        assert_eq!(said(self.appender), PANICKED);
        // It was refused by the closer, or by the panic.
        assert!(matches!(said(self.no_room), Some(Err(Error::Panicked | Error::Closed))));
        assert_eq!(said(self.syncs), Some(Err(Error::Panicked)));
        assert_eq!(said(self.closes), Some(Err(Error::Panicked)));
        assert_eq!(log.wait(&self.ticket, None), Some(Err(Error::Panicked)));
        self.task.until_woken(1);
        self.watcher.until_woken(1);
        is_over(log);
    }
}

/// Leader, ticket and one appender are in flight; there is no room for another.
const THREE: Limits = Limits { in_flight_bytes: 24, ..WIDE };

#[test]
fn a_panic_in_a_write_wakes_everybody() {
    watched(|| {
        for flusher in [true, false] {
            let log = Log::new(SyncPolicy::Immediate, Limits { flusher, ..THREE });
            log.fake()
                .change(|record| (record.holds_writes, record.next_writes) = (true, [Deed::Panic].into()));
            let leader = log.put_aside(7, Durable);
            log.fake().until(|record| record.writes_begun == 1);
            let ticket = log.submit_one(7, Durable).unwrap();
            let behind = Behind::new(&log, ticket);
            log.fake().change(|record| record.holds_writes = false);
            assert_eq!(said(leader), None, "its thread is the one that panicked");
            behind.are_told(&log);
        }
    });
}

#[test]
fn a_panic_in_a_sync_wakes_everybody() {
    watched(|| {
        let log = Log::new(SyncPolicy::Immediate, THREE);
        log.fake().change(|record| (record.holds_syncs, record.next_syncs) = (true, [Deed::Panic].into()));
        let leader = log.put_aside(7, Durable);
        log.fake().until(|record| record.syncs_begun == 1);
        let ticket = log.submit_one(7, Durable).unwrap();
        let behind = Behind::new(&log, ticket);
        log.fake().change(|record| record.holds_syncs = false);
        assert_eq!(said(leader), None);
        behind.are_told(&log);
    });
}

/// A log panicked in the middle of a rollover, and then at every append that came after.
#[test]
fn a_panic_in_a_write_between_two_segments_wakes_everybody() {
    watched(|| {
        let log = Log::new(SyncPolicy::None, THREE);
        log.fake().change(|record| (record.holds_writes, record.next_writes) = (true, [Deed::Panic].into()));
        let leader = log.put_aside(ROLLOVER, Written);
        log.fake().until(|record| record.writes_begun == 1);
        let ticket = log.submit_one(7, Durable).unwrap();
        let behind = Behind::new(&log, ticket);
        log.fake().change(|record| record.holds_writes = false);
        assert_eq!(said(leader), None);
        behind.are_told(&log);
    });
}

#[test]
fn a_panic_of_the_flusher_wakes_everybody() {
    watched(|| {
        for in_write in [true, false] {
            let log = Log::wide(SyncPolicy::None);
            log.fake().change(|record| {
                let panics = [Deed::Panic].into();
                if in_write { record.next_writes = panics } else { record.next_syncs = panics }
            });
            let ticket = log.submit_one(7, Durable).unwrap();
            assert_eq!(log.wait(&ticket, None), Some(Err(Error::Panicked)));
            is_over(&log);
        }
    });
}

/// The frame has half of an entry by then. Whoever wrote it next would have written that half, too.
#[test]
fn a_panic_while_an_entry_is_copied_is_the_end_of_the_log() {
    watched(|| {
        let log = Log::new(SyncPolicy::None, Limits { buffered_bytes: Some(1 << 12), ..WIDE });
        assert_eq!(log.put(0, Buffered), Ok(0));
        let mut watch = Watch::new(Mark::Written, 0);
        let watcher = Counts::new();
        assert!(watcher.poll(|context| log.poll_watch(&mut watch, context)).is_pending());
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            log.append(ONE, Buffered, |frame| {
                frame.push(1);
                panic!("in a copy, on purpose");
            })
        }));
        assert!(panicked.is_err());
        watcher.until_woken(1);
        is_over(&log);
        assert!(log.fake().record().entries.is_empty());
    });
}

#[test]
fn a_panic_in_a_measurement_wakes_everybody() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        log.fake().change(|record| (record.holds_syncs, record.acknowledged_panics) = (true, true));
        let leader = log.put_aside(7, Durable);
        log.fake().until(|record| record.syncs_begun == 1);
        let follower = log.put_aside(7, Durable);
        log.until_joined(2);
        log.fake().change(|record| record.holds_syncs = false);
        assert_eq!(said(leader), None);
        // It was refused, or was in time to lead, and to panic itself.
        assert!(matches!(said(follower), Some(Err(Error::Panicked)) | None));
        assert_eq!(log.put(7, Durable), Err(Error::Panicked));
    });
}

#[test]
fn a_panic_at_the_end_wakes_everybody() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        let mut watch = Watch::new(Mark::Durable, 0);
        let watcher = Counts::new();
        assert!(watcher.poll(|context| log.poll_watch(&mut watch, context)).is_pending());
        let panicked = catch_unwind(AssertUnwindSafe(|| log.close(|_| panic!("at the end, on purpose"))));
        assert!(panicked.is_err());
        watcher.until_woken(1);
        is_over(&log);
    });
}
