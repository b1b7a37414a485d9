//! Threads that ask for different promises share a group.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests stand outside the seams"
)]

mod fake;

use std::sync::Arc;
use std::thread;

use fake::{Fake, WIDE, put, watched};
use wal_sync::Durability::{Durable, Written};
use wal_sync::{GroupCommit, SyncPolicy};

// A thread that waits for its write alone led a group, and one that waits for a sync joined it. The sync was
// left to the ticker, and under a policy whose appends sync by themselves no ticker runs before the first
// submit. The second thread slept until somebody else happened to sync.
#[test]
fn whoever_waits_for_a_sync_in_a_group_whose_leader_does_not_gets_one_without_a_ticker() {
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
