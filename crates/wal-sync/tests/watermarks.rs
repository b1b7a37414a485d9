//! Waiting for a watermark.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests stand outside the seams"
)]

mod fake;

use std::task::Poll;
use std::thread;
use std::time::Duration;

use fake::{Counts, Log, watched};
use wal_sync::Durability::{Durable, Written};
use wal_sync::primitives::block_on;
use wal_sync::{Mark, SyncPolicy, Watch};

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
            fake::timed(|| block_on(|context| log.poll_watch(&mut watch, context), Some(limit)));
        assert_eq!(outcome, None);
        assert!(took >= limit, "{took:?}");
        log.unwatch(&watch);
    });
}
