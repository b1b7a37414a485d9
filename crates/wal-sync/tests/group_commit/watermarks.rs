//! Waiting for a watermark.

use std::task::Poll;
use std::thread;
use std::time::Duration;

use crate::fake::{Counts, Deed, Log, Named, WIDE, said, watched};
use wal_sync::Durability::{Buffered, Durable, Written};
use wal_sync::primitives::block_on;
use wal_sync::{Error, Limits, Mark, SyncPolicy, Watch};

#[test]
fn a_watcher_is_ready_when_the_watermark_has_passed_its_entry() {
    watched(|| {
        let log = Log::wide(SyncPolicy::None);
        let tasks = [Mark::Written, Mark::Durable].map(|mark| (Counts::new(), Watch::new(mark, 1)));
        let [(written, mut for_written), (durable, mut for_durable)] = tasks;
        assert!(written.poll(|context| log.poll_watch(&mut for_written, context)).is_pending());
        assert!(durable.poll(|context| log.poll_watch(&mut for_durable, context)).is_pending());
        assert_eq!(log.put(7, Durable), Ok(0));
        assert_eq!((written.woken(), durable.woken()), (0, 0), "theirs is the next");
        assert_eq!(log.put(7, Written), Ok(1));
        assert_eq!((written.woken(), durable.woken()), (1, 0));
        assert_eq!(written.poll(|context| log.poll_watch(&mut for_written, context)), Poll::Ready(Ok(())));
        assert!(durable.poll(|context| log.poll_watch(&mut for_durable, context)).is_pending());
        assert_eq!(log.sync(), Ok(()));
        assert_eq!((written.woken(), durable.woken()), (1, 1));
        assert_eq!(durable.poll(|context| log.poll_watch(&mut for_durable, context)), Poll::Ready(Ok(())));
    });
}

#[test]
fn a_watcher_is_woken_through_its_latest_waker_and_not_once_it_gave_up() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        let (first, second, gone) = (Counts::new(), Counts::new(), Counts::new());
        let (mut watch, mut given_up) = (Watch::new(Mark::Durable, 0), Watch::new(Mark::Durable, 0));
        assert!(gone.poll(|context| log.poll_watch(&mut given_up, context)).is_pending());
        assert!(first.poll(|context| log.poll_watch(&mut watch, context)).is_pending());
        assert!(second.poll(|context| log.poll_watch(&mut watch, context)).is_pending());
        log.unwatch(&given_up);
        log.unwatch(&given_up);
        log.unwatch(&Watch::new(Mark::Durable, 0));
        assert_eq!(log.put(7, Durable), Ok(0));
        assert_eq!((first.woken(), second.woken(), gone.woken()), (0, 1, 0));
    });
}

#[test]
fn a_thread_may_block_on_a_watermark() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        thread::scope(|scope| {
            for entry in 0..20 {
                let log = &log;
                scope.spawn(move || {
                    let mut watch = Watch::new(Mark::Durable, entry);
                    let outcome = block_on(|context| log.poll_watch(&mut watch, context), None);
                    assert_eq!(outcome, Some(Ok(())));
                    assert!(log.fake().is_durable(entry));
                });
            }
            for _ in 0..20 {
                assert!(log.put(7, Durable).is_ok());
            }
        });
    });
}

#[test]
fn a_thread_blocks_for_no_longer_than_it_said() {
    watched(|| {
        let log = Log::wide(SyncPolicy::Immediate);
        let mut watch = Watch::new(Mark::Written, 0);
        let limit = Duration::from_millis(10);
        let (outcome, took) =
            crate::fake::timed(|| block_on(|context| log.poll_watch(&mut watch, context), Some(limit)));
        assert_eq!(outcome, None);
        assert!(took >= limit, "{took:?}");
        log.unwatch(&watch);
    });
}

const BOTH: [Mark; 2] = [Mark::Written, Mark::Durable];

/// A service waited for the entry of another thread. Its write failed, another entry got the number, and the
/// service was told that its entry was durable; without another entry it would have waited for ever.
#[test]
fn a_watch_of_an_entry_whose_write_failed_ends_and_never_says_that_another_entry_is_there() {
    watched(|| {
        for policy in [SyncPolicy::None, SyncPolicy::Immediate, SyncPolicy::default()] {
            for mark in BOTH {
                let log = Log::wide(policy);
                assert_eq!(log.put(10, Durable), Ok(0));
                log.fake().change(|record| {
                    (record.holds_writes, record.next_writes) = (true, [Deed::FailPassing].into());
                });
                let leader = log.put_aside(66, Durable);
                log.fake().until(|record| record.writes_begun == 2);
                // Entry 2 is in the open group, after the write that fails.
                let after = log.put_aside(66, Durable);
                log.until_joined(3);
                let waits = Counts::new();
                let mut polled = [1, 2].map(|number| log.watch(mark, number));
                let mut unpolled = [1, 2].map(|number| log.watch(mark, number));
                for watch in &mut polled {
                    assert!(waits.poll(|context| log.poll_watch(watch, context)).is_pending());
                }
                log.fake().change(|record| record.holds_writes = false);
                assert!(matches!(said(leader), Some(Err(Error::Failed(_)))));
                assert!(matches!(said(after), Some(Err(Error::Failed(_)))));
                waits.until_woken(2);
                // The same numbers, for other entries, which become durable.
                assert_eq!((log.put(11, Durable), log.put(12, Durable)), (Ok(1), Ok(2)));
                for watch in polled.iter_mut().chain(&mut unpolled) {
                    let told = waits.poll(|context| log.poll_watch(watch, context));
                    assert_eq!(told, Poll::Ready(Err(Error::WriteFailed { from: 1 })), "{watch:?}");
                }
                let mut later = log.watch(mark, 1);
                let told = waits.poll(|context| log.poll_watch(&mut later, context));
                assert_eq!(told, Poll::Ready(Ok(())), "made after the failure");
            }
        }
    });
}

#[test]
fn a_watch_of_a_number_that_had_not_been_given_out_survives_a_failed_write() {
    watched(|| {
        for mark in BOTH {
            let log = Log::wide(SyncPolicy::Immediate);
            let task = Counts::new();
            let (mut polled, mut unpolled) = (log.watch(mark, 1), log.watch(mark, 1));
            assert!(task.poll(|context| log.poll_watch(&mut polled, context)).is_pending());
            log.fake().change(|record| record.next_writes = [Deed::FailPassing; 3].into());
            for _ in 0..3 {
                assert_eq!(log.put(66, Durable), Err(Error::Failed(Named("no space"))));
            }
            assert_eq!(task.woken(), 0, "only entry 0 was tried");
            assert_eq!((log.put(10, Durable), log.put(11, Durable)), (Ok(0), Ok(1)));
            for watch in [&mut polled, &mut unpolled] {
                assert_eq!(task.poll(|context| log.poll_watch(watch, context)), Poll::Ready(Ok(())));
            }
        }
    });
}

#[test]
fn a_watch_of_a_buffered_entry_waits_for_the_write_that_is_tried_again() {
    watched(|| {
        for mark in BOTH {
            let limits = Limits { buffered_bytes: Some(1 << 12), flusher: false, ..WIDE };
            let log = Log::new(SyncPolicy::None, limits);
            assert_eq!(log.put(10, Buffered), Ok(0));
            let task = Counts::new();
            let (mut polled, mut unpolled) = (log.watch(mark, 0), log.watch(mark, 0));
            assert!(task.poll(|context| log.poll_watch(&mut polled, context)).is_pending());
            log.fake().change(|record| record.next_writes = [Deed::FailPassing].into());
            assert_eq!(log.flush(), Err(Error::Failed(Named("no space"))));
            for watch in [&mut polled, &mut unpolled] {
                let told = task.poll(|context| log.poll_watch(watch, context));
                assert!(told.is_pending(), "the entry keeps its number and is written by the next call");
            }
            assert_eq!(log.sync(), Ok(()));
            for watch in [&mut polled, &mut unpolled] {
                assert_eq!(task.poll(|context| log.poll_watch(watch, context)), Poll::Ready(Ok(())));
            }
            assert_eq!(log.fake().record().entries, [10]);
        }
    });
}

#[test]
fn a_follower_is_told_of_no_cut_when_a_write_fails() {
    watched(|| {
        for mark in BOTH {
            let log = Log::wide(SyncPolicy::Immediate);
            assert_eq!(log.put(10, Durable), Ok(0));
            let known = log.cuts();
            log.fake().change(|record| record.next_writes = [Deed::FailPassing].into());
            assert_eq!(log.put(66, Durable), Err(Error::Failed(Named("no space"))));
            assert_eq!(log.put(11, Durable), Ok(1));
            let standing = log.standing(mark, known);
            assert_eq!((standing.position, standing.cut_from), (2, None));
            // The watch that it had is told, and the one that it makes after another look waits.
            let task = Counts::new();
            let mut stale = Watch::since(mark, 1, known);
            assert!(task.poll(|context| log.poll_watch(&mut stale, context)).is_ready());
            let mut fresh = Watch::since(mark, 2, standing.cuts);
            assert!(task.poll(|context| log.poll_watch(&mut fresh, context)).is_pending());
        }
    });
}
