//! What a log has done since it was opened, and how it stands, in numbers.

use std::time::Duration;

/// The numbers of a log, as they were when they were asked for.
///
/// Counts begin at 0 when the log is opened. Each number is right by itself; as the log goes on while
/// they are read, no two belong to exactly the same moment. The same numbers, under the names that
/// monitoring knows, are in `docs/metrics.md`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Entries that were written, whether durable yet or not.
    pub appended_entries: u64,
    /// Their payloads, in bytes: what was handed to the log, not what it takes on the disk.
    pub appended_bytes: u64,
    /// Entries that readers were given.
    pub read_entries: u64,
    /// Their payloads, in bytes.
    pub read_bytes: u64,
    /// Syncs that succeeded: a policy's, and those that were asked for. The syncs of a rollover are
    /// part of the rollover.
    pub syncs: u64,
    /// Syncs that failed. The first one poisons the log.
    pub sync_errors: u64,
    /// Syncs, failed ones too, that took as long as [`slow_sync`](crate::Options::slow_sync), or longer.
    pub slow_syncs: u64,
    /// How often the log went on in the next segment.
    pub rollovers: u64,

    /// Whether a sync failed, or a file of the log was exchanged: nothing more is accepted until the log is opened again.
    pub poisoned: bool,
    /// Whether the directory itself is locked against other writers. Where it cannot be, as on NFS, the file `LOCK` alone
    /// keeps them out, and not any more once it was removed or replaced.
    pub directory_locked: bool,
    /// Whether closed segments are read through memory mappings, and not by position: unless the
    /// [options](crate::Options::mapped_reads) say otherwise, or the system has refused a mapping.
    pub maps: bool,
    /// The number of the first entry that is kept; of the next one in an empty log.
    pub first: u64,
    /// The number of the last entry; `None` in an empty log.
    pub last: Option<u64>,
    /// The number of the next entry that is not durable. Entries in front of it survive a loss of power.
    pub durable: u64,
    /// The number of the next entry that is not written.
    pub written: u64,

    /// Segments that hold the log.
    pub segments: u64,
    /// What the files of the log take on the disk, in bytes, reserved space and spares with them.
    pub disk_bytes: u64,
    /// Files that are kept ready ahead: the segment that is prepared and not linked yet, and those that
    /// wait to become segments.
    pub spare_segments: u64,
    /// Segments that were prepared from a file that was there before, instead of a new one.
    pub recycled_segments: u64,
    /// Bytes that joined, payloads and their rows in the frame, and are not yet what their append asked
    /// for: written, or durable.
    pub pending_bytes: u64,

    /// Holds that there are, those that are overrun with them.
    pub holds: u64,
    /// The hold that keeps most: when the front of the log is not dropped, this is what keeps it.
    pub lowest_hold: Option<LowestHold>,
    /// The files that the lowest hold keeps, in bytes: from the segment with its entry to in front of the last
    /// one, which stays anyway.
    pub held_bytes: u64,
    /// Holds that were overrun.
    pub hold_overruns: u64,
    /// Whether [`Wal::start_retention`](crate::Wal::start_retention) was called: until then no limit of retention
    /// drops anything.
    pub retention_started: bool,
    /// Files that linger: they are no part of the log any more, and are not removed before a reader is gone.
    pub pending_deletion_files: u64,
    /// How long these are together, in bytes. Not part of `disk_bytes`.
    pub pending_deletion_bytes: u64,
    /// How often something failed that retention, or ending an old segment, took. It is tried again.
    pub keeping_errors: u64,
    /// What failed then last.
    pub last_keeping_error: Option<String>,

    /// How long the open took until the log could be appended to.
    pub recovery_duration: Duration,
    /// What the open dropped behind the end of the log, in bytes: a torn tail. Nothing acknowledged was
    /// in it.
    pub recovery_dropped_bytes: u64,

    /// From the moment when the first entry of a frame joined until the frame was what its append asked
    /// for, in seconds: what a caller waits at most. A value a sync, of the oldest frame that it covers;
    /// under `none` and `periodic` the time of one frame in 16 is taken.
    pub append_duration: Distribution,
    /// How long a frame took to be written, in seconds, a value a frame; of frames with a single entry
    /// the time of one in 16 is taken.
    pub write_duration: Distribution,
    /// How long a sync took that succeeded, in seconds.
    pub sync_duration: Distribution,
    /// How long the write took that went on in the next segment, with the syncs that this takes, in
    /// seconds.
    pub rollover_duration: Distribution,
    /// How many entries one sync made durable.
    pub sync_entries: Distribution,
}

/// The hold that keeps most of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LowestHold {
    /// What its owner called it.
    pub name: String,
    /// The first entry that it keeps.
    pub sequence: u64,
}

/// How values are spread, in buckets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Distribution {
    /// How many values there are.
    pub count: u64,
    /// What they add up to, in the unit of the values.
    pub sum: f64,
    /// Bounds, in the unit of the values, each twice the one before it, and how many values are not
    /// above it. Values above the last bound are in `count` alone.
    pub buckets: Vec<(f64, u64)>,
}

impl Distribution {
    /// The bound that a share of the values, from 0 to 1, is not above: `quantile(0.99)` for the slowest
    /// in a hundred. `None` when there are no values, or when `share` is no share.
    ///
    /// The value itself lies between half of the answer and the answer: the error is at most a factor
    /// of two, upwards. Below the first bound it is only known not to be above it; above the last bound
    /// the answer is infinite.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        if self.count == 0 || !(0.0..=1.0).contains(&share) {
            return None;
        }
        // The smallest value is the first, of which a share of 0 means as much as any below one value.
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
        let histogram = CountHistogram::new();
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
