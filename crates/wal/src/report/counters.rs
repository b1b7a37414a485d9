//! The counters of a running log.
//!
//! Recording is a few relaxed additions, or plain ones under the lock of the writer: no lock of its own, no allocation, no
//! clock; the caller passes the duration. Relaxed counters order nothing, so nothing may be decided by them.
//!
//! Counters of different threads are on different cache lines, so that a reader that counts
//! entries does not slow down the writer.

use std::time::Duration;

use wal_sync::primitives::{AtomicU64, Ordering};

use crate::report::histogram::{CountHistogram, DurationHistogram};
use crate::report::stats::Stats;

/// The counters of one open log.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    writing: Line<Writing>,
    append_duration: Line<DurationHistogram>,
    syncing: Line<Syncing>,
    reading: Line<Reading>,
}

/// Two cache lines, as processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line<T>(T);

#[derive(Debug, Default)]
struct Writing {
    entries: AtomicU64,
    bytes: AtomicU64,
    duration: DurationHistogram,
    rollover_duration: DurationHistogram,
}

#[derive(Debug, Default)]
struct Syncing {
    errors: AtomicU64,
    slow: AtomicU64,
    duration: DurationHistogram,
    entries: CountHistogram,
}

#[derive(Debug, Default)]
struct Reading {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Counters {
    /// A frame was written, with this many entries and payload bytes. The caller holds the lock of the writer, so a load and
    /// a store are enough.
    pub(crate) fn wrote(&self, entries: u64, bytes: u64) {
        let Line(writing) = &self.writing;
        for (counter, more) in [(&writing.entries, entries), (&writing.bytes, bytes)] {
            counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        }
    }

    /// The time to write a frame that was timed. Not every frame is: reading the clock twice costs much beside a small
    /// write.
    pub(crate) fn write_took(&self, took: Duration) {
        self.writing.0.duration.observe(nanos(took));
    }

    /// A frame is as durable as its callers asked for, `took` after the first append to it.
    pub(crate) fn appended(&self, took: Duration) {
        self.append_duration.0.observe(nanos(took));
    }

    /// A sync succeeded and made this many entries durable.
    pub(crate) fn synced(&self, entries: u64, took: Duration) {
        let Line(syncing) = &self.syncing;
        syncing.duration.observe(nanos(took));
        syncing.entries.observe(entries);
    }

    /// A sync failed. Its duration says nothing about the disk and is not kept.
    pub(crate) fn sync_failed(&self) {
        self.syncing.0.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// A sync took `slow_sync` or longer, whether it failed or not.
    pub(crate) fn sync_was_slow(&self) {
        self.syncing.0.slow.fetch_add(1, Ordering::Relaxed);
    }

    /// A rollover to the next segment, which appends waited for.
    pub(crate) fn rolled_over(&self, took: Duration) {
        self.writing.0.rollover_duration.observe(nanos(took));
    }

    /// Readers returned this many entries and payload bytes. A call costs the same for one entry as for many. Reading an
    /// entry from a mapping takes only a few times as long, so count a frame at once, or when a reader ends.
    pub(crate) fn read(&self, entries: u64, bytes: u64) {
        let Line(reading) = &self.reading;
        reading.entries.fetch_add(entries, Ordering::Relaxed);
        reading.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Allocates; not for the hot path.
    pub(crate) fn fill(&self, stats: &mut Stats) {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let seconds = |durations: &DurationHistogram| durations.distribution(1e9);
        let Counters {
            writing: Line(writing),
            append_duration: Line(append_duration),
            syncing: Line(syncing),
            reading: Line(reading),
        } = self;
        stats.appended_entries = read(&writing.entries);
        stats.appended_bytes = read(&writing.bytes);
        stats.write_duration = seconds(&writing.duration);
        stats.rollover_duration = seconds(&writing.rollover_duration);
        stats.rollovers = stats.rollover_duration.count;
        stats.append_duration = seconds(append_duration);
        stats.sync_errors = read(&syncing.errors);
        stats.slow_syncs = read(&syncing.slow);
        stats.sync_duration = seconds(&syncing.duration);
        stats.syncs = stats.sync_duration.count;
        stats.sync_entries = syncing.entries.distribution(1.0);
        stats.read_entries = read(&reading.entries);
        stats.read_bytes = read(&reading.bytes);
    }
}

/// The nanoseconds of a duration; 584 years at most.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests stand outside the seams")]
mod tests {
    use super::*;
    use crate::report::stats::Distribution;

    fn counted(counters: &Counters) -> Stats {
        let mut stats = Stats::default();
        counters.fill(&mut stats);
        stats
    }

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    /// Count and sum, the sum in whole microseconds.
    fn totals(durations: &Distribution) -> (u64, f64) {
        (durations.count, (durations.sum * 1e6).round())
    }

    #[test]
    fn a_failed_sync_is_no_sync() {
        let counters = Counters::default();
        counters.sync_failed();
        let stats = counted(&counters);
        assert_eq!((stats.syncs, stats.sync_errors), (0, 1));
        assert_eq!((stats.sync_duration.count, stats.sync_entries.count), (0, 0));
    }

    #[test]
    fn a_duration_longer_than_its_counter_is_the_longest() {
        let counters = Counters::default();
        counters.appended(Duration::MAX);
        assert_eq!(counted(&counters).append_duration.quantile(1.0), Some(f64::INFINITY));
    }

    #[test]
    fn each_act_is_counted_where_it_belongs() {
        let counters = Counters::default();
        counters.wrote(3, 300);
        counters.write_took(micros(2));
        counters.wrote(1, 50);
        counters.write_took(micros(4));
        counters.appended(micros(100));
        counters.synced(4, micros(90));
        counters.sync_was_slow();
        counters.rolled_over(micros(2_000));
        counters.read(2, 120);
        counters.read(1, 50);

        let stats = counted(&counters);
        assert_eq!((stats.appended_entries, stats.appended_bytes), (4, 350));
        assert_eq!((stats.read_entries, stats.read_bytes), (3, 170));
        assert_eq!((stats.syncs, stats.sync_errors, stats.slow_syncs, stats.rollovers), (1, 0, 1, 1));
        assert_eq!(totals(&stats.write_duration), (2, 6.0));
        assert_eq!(totals(&stats.append_duration), (1, 100.0));
        assert_eq!(totals(&stats.sync_duration), (1, 90.0));
        assert_eq!(totals(&stats.rollover_duration), (1, 2_000.0));
        assert_eq!((stats.sync_entries.count, stats.sync_entries.sum), (1, 4.0));
    }

    #[test]
    fn what_several_threads_count_adds_up() {
        const THREADS: u64 = 4;
        const FRAMES: u64 = 5_000;
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..FRAMES {
                        counters.write_took(micros(1));
                        counters.appended(micros(2));
                        counters.synced(6, micros(3));
                        counters.rolled_over(micros(4));
                        counters.read(2, 20);
                        counters.sync_failed();
                    }
                });
            }
        });
        let (all, stats) = (THREADS * FRAMES, counted(&counters));
        assert_eq!((stats.read_entries, stats.read_bytes), (2 * all, 20 * all));
        assert_eq!((stats.syncs, stats.sync_errors, stats.rollovers), (all, all, all));
        for (durations, each) in [
            (&stats.write_duration, 1),
            (&stats.append_duration, 2),
            (&stats.sync_duration, 3),
            (&stats.rollover_duration, 4),
        ] {
            assert_eq!(totals(durations), (all, (each * all) as f64));
        }
        assert_eq!((stats.sync_entries.count, stats.sync_entries.sum), (all, (6 * all) as f64));
    }
}
