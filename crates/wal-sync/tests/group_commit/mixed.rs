//! Threads that ask for different promises share a group.

use std::sync::Arc;
use std::thread;

use crate::fake::{Fake, Log, WIDE, put, said, watched};
use wal_sync::Durability::{Durable, Written};
use wal_sync::{GroupCommit, SyncPolicy};

// A thread that waits for its write alone led a group, and one that waits for a sync joined it. The sync was
// left to the flusher, and under a policy whose appends sync by themselves no flusher runs before the first
// submit. The second thread slept until somebody else happened to sync.
#[test]
fn whoever_waits_for_a_sync_in_a_group_whose_leader_does_not_gets_one_without_a_flusher() {
    watched(|| {
        for policy in [SyncPolicy::Immediate, SyncPolicy::default(), SyncPolicy::None] {
            let commit = Arc::new(GroupCommit::new(Fake::default(), policy, WIDE, 0));
            let append = |entry, asked| {
                let commit = Arc::clone(&commit);
                let next = commit.next();
                let thread = thread::spawn({
                    let commit = Arc::clone(&commit);
                    move || put(&commit, entry, asked)
                });
                while commit.next() == next {
                    thread::yield_now();
                }
                thread
            };
            commit.target().change(|record| record.holds_writes = true);
            let writes = append(1, Written);
            commit.target().until(|record| record.writes_begun == 1);
            // While that write is held, these gather in one group.
            let gathered = [append(2, Written), append(3, Durable), append(4, Durable), append(5, Written)];
            commit.target().change(|record| record.holds_writes = false);

            assert_eq!(writes.join().unwrap(), Ok(0));
            for (number, thread) in (1..).zip(gathered) {
                assert_eq!(thread.join().unwrap(), Ok(number), "{policy:?}");
            }
            assert!(commit.target().is_durable(3), "{policy:?}");
            let syncs = commit.target().syncs();
            assert_eq!((syncs, commit.target().record().widest), (1, 4), "one group, one sync: {policy:?}");
            assert_eq!(commit.in_flight_bytes(), 0);
        }
    });
}

// A group was led by a thread that waits for a sync. While another sync ran, its leader left it open, and those
// in it who waited for the write alone waited for that sync as well.
#[test]
fn whoever_waits_for_the_write_alone_waits_for_no_sync_whoever_leads() {
    watched(|| {
        for policy in [SyncPolicy::Immediate, SyncPolicy::default(), SyncPolicy::None] {
            let log = Log::wide(policy);
            log.fake().change(|record| record.holds_syncs = true);
            let first = log.put_aside(1, Durable);
            log.fake().until(|record| record.syncs_begun == 1);
            let second = log.put_aside(2, Durable);
            log.until_joined(2);
            assert_eq!(log.put(3, Written), Ok(2), "the sync is held");
            let third = log.put_aside(4, Durable);
            log.until_joined(4);
            let ticket = log.submit_one(5, Written).unwrap();
            assert_eq!(log.wait(&ticket, None), Some(Ok(())), "the sync is held");
            log.fake().change(|record| record.holds_syncs = false);
            for (number, one) in [(0, first), (1, second), (3, third)] {
                assert_eq!(said(one), Some(Ok(number)), "{policy:?}");
            }
        }
    });
}
