//! The whole log under schedules that shuttle picks: its own threads, writers, readers, followers, holds, truncations,
//! rolls and a close against each other, over the simulated disk.
//!
//! ```sh
//! RUSTFLAGS='--cfg wal_shuttle' cargo test --release --target-dir target/shuttle -p wal --features _shuttle --test shuttle -- --nocapture
//! SHUTTLE_ITERATIONS=1000000 SHUTTLE_SEED=2 ...       a soak: so many schedules of every scene
//! SHUTTLE_REPLAY='<the seed or the schedule that a failure printed>' ... NAME_OF_THE_TEST
//! ```
//!
//! Another thread may run at every lock, atomic and channel of the log, and in front of every call to the
//! disk. Half of the schedules of a scene are random, half are drawn with few changes of priority. What
//! everybody was told is kept in a [`History`](wal_testing::history::History), and whatever is shown is held against it: to each reader, in
//! images of a power cut and of a kill in the middle, and behind the close. That everybody returns is
//! shuttle's to say. Not modelled: weak memory, the futex, time.
#![cfg(wal_shuttle)]
#![allow(
    clippy::too_many_arguments,
    clippy::too_many_lines,
    reason = "a case is told from its beginning to its end"
)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

mod cast;
mod explore;
mod stage;

use std::time::Duration;

use wal::{Durability, Options, SyncPolicy};

use cast::Log;
use cast::Role::{Beside, Close, Cut, Follow, Hold, Purge, Read, Roll, Submit, Sync, View, Witness, Write};
use explore::{explore, is_caught};
use stage::Lie;

/// On the smallest segments, so that a few entries fill one.
fn log(policy: SyncPolicy, promise: Durability) -> Log {
    Log { options: Options::new().segment_bytes(12 << 10).sync(policy), promise }
}

fn immediate() -> Log {
    log(SyncPolicy::Immediate, Durability::Durable)
}

fn grouped() -> Log {
    log(SyncPolicy::grouped(Duration::from_millis(2)), Durability::Durable)
}

fn periodic() -> Log {
    log(SyncPolicy::periodic(3, Duration::from_millis(50)), Durability::Written)
}

fn none() -> Log {
    log(SyncPolicy::None, Durability::Written)
}

fn buffered() -> Log {
    let none = none();
    Log { options: none.options.buffered(4000), promise: Durability::Buffered }
}

#[test]
fn writers_share_syncs_beside_a_reader_and_a_power_cut() {
    explore(&immediate(), &[Write, Write, Read, Witness]);
}

#[test]
fn a_group_forms_across_a_rollover() {
    explore(&grouped(), &[Write, Write, Submit, Witness]);
}

#[test]
fn the_flusher_syncs_after_writers_who_do_not_wait() {
    explore(&periodic(), &[Write, Submit, Sync, Witness]);
}

#[test]
fn what_is_buffered_is_written_in_order_beside_a_close() {
    explore(&buffered(), &[Write, Submit, Sync, Close]);
}

#[test]
fn appends_end_or_are_refused_when_the_log_is_closed() {
    explore(&grouped(), &[Write, Submit, Write, Close]);
}

#[test]
fn the_front_is_dropped_beside_writers_and_readers() {
    explore(&none(), &[Write, Purge, Read, Witness]);
}

#[test]
fn the_front_is_dropped_beside_writers_who_wait() {
    explore(&immediate(), &[Write, Purge, Read, Sync]);
}

#[test]
fn the_end_is_dropped_beside_writers_and_readers() {
    explore(&grouped(), &[Write, Cut, Read, Witness]);
}

#[test]
fn the_end_is_dropped_beside_what_is_submitted() {
    explore(&periodic(), &[Submit, Cut, Read, Sync]);
}

#[test]
fn both_ends_are_dropped_at_once() {
    explore(&immediate(), &[Write, Cut, Purge, Read, Witness]);
}

#[test]
fn everything_meets_everything() {
    explore(&periodic(), &[Write, Submit, Cut, Purge, Read, Sync, Close]);
}

#[test]
fn segments_end_by_hand_beside_writers_and_a_reader() {
    explore(&immediate(), &[Write, Roll, Read, Witness]);
}

#[test]
fn files_are_used_again_while_others_read_and_look_for_what_is_left() {
    explore(&periodic(), &[Write, Roll, Purge, Read, Witness]);
}

#[test]
fn another_process_reads_what_was_appended_while_files_are_used_again() {
    explore(&none(), &[Write, Write, Roll, Purge, View, View]);
}

#[test]
fn another_process_reads_what_was_appended_while_both_ends_are_dropped() {
    explore(&immediate(), &[Write, Purge, Cut, Roll, View]);
}

#[test]
fn what_is_held_stays_while_the_front_is_dropped() {
    explore(&immediate(), &[Write, Hold, Purge, Purge, Roll, Witness]);
}

#[test]
fn a_follower_sees_each_entry_once_over_every_rollover() {
    explore(&grouped(), &[Write, Submit, Roll, Follow, Witness]);
}

#[test]
fn followers_beside_a_front_that_is_dropped_go_on_or_are_told() {
    explore(&none(), &[Write, Sync, Purge, Roll, Follow, Witness]);
}

#[test]
fn followers_beside_an_end_that_is_dropped_go_on_or_are_told() {
    explore(&immediate(), &[Write, Cut, Roll, Follow, Witness]);
}

#[test]
fn a_follower_in_another_process_sees_each_entry_once_over_a_close_and_an_open() {
    explore(&immediate(), &[Write, Write, Beside, Beside]);
    explore(&none(), &[Write, Roll, Sync, Beside]);
}

#[test]
fn followers_end_with_a_log_that_is_closed_under_everybody() {
    explore(&periodic(), &[Write, Roll, Purge, Read, Follow, Close]);
}

#[test]
fn everything_that_a_long_life_brings_meets() {
    explore(&grouped(), &[Write, Cut, Purge, Hold, Roll, Read, Follow, Close]);
}

// The exploration bites: each of these is wrong.

/// What an append waits for is less than what is promised.
#[test]
fn a_log_that_acknowledges_before_the_sync_is_caught() {
    let hasty = Log { promise: Durability::Durable, ..none() };
    assert!(is_caught(Lie::Nothing, &hasty, &[Write, Write, Witness]));
}

#[test]
fn a_disk_that_does_not_sync_is_caught() {
    assert!(is_caught(Lie::NoSync, &immediate(), &[Write, Write, Witness]));
}

#[test]
fn a_disk_whose_reads_come_from_elsewhere_is_caught() {
    assert!(is_caught(Lie::StaleReads, &none(), &[Write, Cut, Read]));
}

#[test]
fn a_disk_that_shows_a_follower_other_bytes_is_caught() {
    assert!(is_caught(Lie::StaleReads, &immediate(), &[Write, Roll, Follow]));
}
