//! [`Stats`]: counters since the open, and the current state of a log.

use std::time::Duration;

/// Statistics of a log, from [`Wal::stats`](crate::Wal::stats).
///
/// Counters start at 0 when the log is opened. The log goes on while they are read, so each number is right
/// by itself, but no two belong to exactly the same moment. Their names as Prometheus metrics are in `docs/metrics.md`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Entries written, whether durable yet or not.
    pub appended_entries: u64,
    /// Payload bytes of the entries written, without frame headers, rows and padding.
    pub appended_bytes: u64,
    /// Entries returned to readers.
    pub read_entries: u64,
    /// Payload bytes of the entries returned to readers.
    pub read_bytes: u64,
    /// Successful fsyncs, by the sync policy or a call. The syncs of a rollover are counted with the rollover.
    pub syncs: u64,
    /// Failed fsyncs. The first one poisons the log.
    pub sync_errors: u64,
    /// Fsyncs, including failed ones, that took [`slow_sync`](crate::Options::slow_sync) or longer.
    pub slow_syncs: u64,
    /// Rollovers to a next segment.
    pub rollovers: u64,

    /// Whether a sync failed, a file of the log was replaced, or a thread panicked: the log accepts nothing more until it is opened again.
    pub poisoned: bool,
    /// Whether the directory itself is locked against other writers. Where it cannot be, as on NFS, only the file `LOCK`
    /// keeps them out, and only until it is removed or replaced.
    pub directory_locked: bool,
    /// Whether sealed segments are read through memory mappings, not by positional reads. `false` when the
    /// [options](crate::Options::mapped_reads) say so, or after the system has failed a mapping.
    pub maps: bool,
    /// The log start: the sequence number of the first entry that is kept; of the next one in an empty log.
    pub first: u64,
    /// The sequence number of the last entry; `None` in an empty log.
    pub last: Option<u64>,
    /// The sequence number of the next entry that is not durable. Every entry before it survives a power loss.
    pub durable: u64,
    /// The sequence number of the next entry that is not written.
    pub written: u64,

    /// Segments of the log.
    pub segments: u64,
    /// Disk space of the log's files, in bytes, with preallocated space and spare files.
    pub disk_bytes: u64,
    /// Spare files: the segment that is prepared and not linked yet, and files to be recycled as segments.
    pub spare_segments: u64,
    /// Segments prepared by recycling an old file instead of creating one.
    pub recycled_segments: u64,
    /// Bytes accepted, payloads with their rows in the frame, but not yet as durable as their caller asked for.
    pub pending_bytes: u64,

    /// Holds that exist, including invalidated ones.
    pub holds: u64,
    /// The lowest hold, the one that keeps most: the reason why older entries are not dropped.
    pub lowest_hold: Option<LowestHold>,
    /// The length of the segment files that the lowest hold keeps, in bytes, from the one with its entry on, without the
    /// last one, which is kept anyway.
    pub held_bytes: u64,
    /// Holds that were invalidated because they kept too much.
    pub invalidated_holds: u64,
    /// Whether [`Wal::start_retention`](crate::Wal::start_retention) was called. Until then no retention limit drops
    /// anything.
    pub retention_started: bool,
    /// Obsolete files whose deletion is pending until a reader is gone.
    pub pending_deletion_files: u64,
    /// The length of the files whose deletion is pending, in bytes. Not part of `disk_bytes`.
    pub pending_deletion_bytes: u64,
    /// Errors of retention and of sealing old segments. Both are tried again.
    pub maintenance_errors: u64,
    /// The last of these errors.
    pub last_maintenance_error: Option<String>,

    /// The time that the open took, with crash recovery, until the log could be appended to.
    pub recovery_duration: Duration,
    /// Bytes of a torn write that the open dropped after the end of the log. Nothing acknowledged was in them.
    pub recovery_dropped_bytes: u64,

    /// Append latency, in seconds: from the first append to a frame until the frame is as durable as its callers asked
    /// for, the longest that one of them waits. One value a sync, of the oldest frame that it covers; under the policies
    /// `none` and `periodic`, one in 16 frames is timed.
    pub append_duration: Distribution,
    /// Write latency, in seconds, one value a frame; of frames with a single entry one in 16 is timed.
    pub write_duration: Distribution,
    /// Fsync latency, in seconds, of the syncs that succeeded.
    pub sync_duration: Distribution,
    /// Rollover latency, in seconds: the write that began the next segment, with its syncs.
    pub rollover_duration: Distribution,
    /// Entries that one sync made durable: the group size of group commit.
    pub sync_entries: Distribution,
}

/// The lowest hold, which keeps the most entries of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LowestHold {
    /// The name that it was taken with.
    pub name: String,
    /// The sequence number of the first entry that it keeps.
    pub sequence: u64,
}

/// A histogram with cumulative buckets, as Prometheus has it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Distribution {
    /// The number of values.
    pub count: u64,
    /// The sum of the values, in their unit.
    pub sum: f64,
    /// For each upper bound, in the unit of the values, the number of values up to it. Each bound is twice the one before
    /// it. Values above the last bound are only in `count`.
    pub buckets: Vec<(f64, u64)>,
}

impl Distribution {
    /// An upper bound of a quantile: `quantile(0.99)` for the 99th percentile. `None` when there are no values, or when
    /// `share` is not from 0 to 1.
    ///
    /// The quantile lies between half of the result and the result: the error is at most a factor
    /// of two, upwards. When the result is the first bound, the quantile may be anywhere below it; above the last bound
    /// the result is infinite.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        if self.count == 0 || !(0.0..=1.0).contains(&share) {
            return None;
        }
        // A share of 0 means the smallest value, as does any share below one value.
        let rank = (share * self.count as f64).ceil().max(1.0);
        let reached = self.buckets.iter().find(|&&(_, count)| count as f64 >= rank);
        Some(reached.map_or(f64::INFINITY, |&(bound, _)| bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::histogram::CountHistogram;

    fn distribution(values: impl IntoIterator<Item = u64>) -> Distribution {
        let histogram = CountHistogram::default();
        values.into_iter().for_each(|value| histogram.observe(value));
        histogram.distribution(1.0)
    }

    #[test]
    fn nothing_has_no_quantile() {
        for share in [0.0, 0.5, 1.0] {
            assert_eq!(distribution([]).quantile(share), None);
        }
    }

    #[test]
    fn what_is_no_share_has_no_quantile() {
        for share in [-0.1, 1.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(distribution([1]).quantile(share), None, "share {share}");
        }
    }

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let spread = distribution([1, 3, 3, 3, 3, 3, 3, 3, 3, 100]);
        for (share, bound) in [(0.0, 1.0), (0.1, 1.0), (0.11, 4.0), (0.5, 4.0), (0.9, 4.0), (0.91, 128.0)] {
            assert_eq!(spread.quantile(share), Some(bound), "share {share}");
        }
        assert_eq!(spread.quantile(1.0), Some(128.0));
        // The smallest value, not the lowest bound.
        assert_eq!(distribution([100]).quantile(0.0), Some(128.0));
    }

    #[test]
    fn a_quantile_above_every_bound_is_infinite() {
        let spread = distribution([1, 70_000]);
        assert_eq!((spread.quantile(0.5), spread.quantile(0.51)), (Some(1.0), Some(f64::INFINITY)));
    }

    #[test]
    fn a_quantile_is_at_most_twice_the_value() {
        for value in 1..=65_536 {
            let bound = distribution([value]).quantile(0.5).expect("there is a value");
            assert!((value as f64..2.0 * value as f64).contains(&bound), "{value} is said to be {bound}");
        }
    }
}
