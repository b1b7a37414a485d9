//! Lock-free histograms of durations and sizes.
//!
//! A value costs two relaxed additions and no search: the bounds are powers of two, so the bucket of a
//! value is the number of its bits.
//!
//! ```text
//!  2^first   2^(first+1)   ...   2^(first+BUCKETS-2)        bounds: each belongs to the bucket below it
//!  ▼         ▼                   ▼
//!  0         1             ...   BUCKETS-2       BUCKETS-1  buckets; the last one takes the rest
//! ```
//!
//! Why powers of two, and not 2.5 or ten bounds a decade: a bound that is at most twice the value distinguishes a disk
//! that flushes from one that seeks, and an operator acts on a change by one bucket. It needs no table,
//! no loop and no branch, and every bound is exact, in nanoseconds as in entries.
//!
//! The number of values is the sum of the buckets, so the two cannot disagree. The sum of the values is a separate
//! atomic: a concurrent reader may see a value in one and not yet in the other.

use wal_sync::primitives::{AtomicU64, Ordering};

use crate::report::stats::Distribution;

/// Durations in nanoseconds. The lowest bound, 1.024 us, is what a small write costs when nothing goes
/// wrong. The highest, 17.2 s, is longer than a device takes that will still answer.
pub(crate) type DurationHistogram = Histogram<10, 26>;

/// Numbers of entries: 1, 2, 4 and so on to 65,536.
pub(crate) type CountHistogram = Histogram<0, 18>;

/// A histogram whose bounds are powers of two, the first being two to the `FIRST_LOG2`.
#[derive(Debug)]
pub(crate) struct Histogram<const FIRST_LOG2: u32, const BUCKETS: usize> {
    counts: [AtomicU64; BUCKETS],
    /// Wraps around; durations do so after a total of 584 years.
    sum: AtomicU64,
}

impl<const FIRST_LOG2: u32, const BUCKETS: usize> Default for Histogram<FIRST_LOG2, BUCKETS> {
    fn default() -> Self {
        Histogram { counts: std::array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }
}

impl<const FIRST_LOG2: u32, const BUCKETS: usize> Histogram<FIRST_LOG2, BUCKETS> {
    /// The last bucket has no bound, and every bound fits in 64 bits.
    const BOUNDS: usize = {
        assert!(BUCKETS >= 2 && FIRST_LOG2 as usize + BUCKETS - 2 < u64::BITS as usize);
        BUCKETS - 1
    };

    pub(crate) fn observe(&self, value: u64) {
        self.counts[Self::bucket(value)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// The values so far, divided by `one`: 1e9 for seconds from nanoseconds.
    pub(crate) fn distribution(&self, one: f64) -> Distribution {
        let mut count = 0;
        let mut counts = self.counts.iter().map(|bucket| {
            count += bucket.load(Ordering::Relaxed);
            count
        });
        let buckets = Self::bounds().map(|bound| bound as f64 / one).zip(counts.by_ref()).collect();
        // What is left is the bucket without a bound.
        counts.for_each(drop);
        Distribution { count, sum: self.sum.load(Ordering::Relaxed) as f64 / one, buckets }
    }

    fn bounds() -> impl Iterator<Item = u64> {
        (0..Self::BOUNDS).map(|bucket| 1 << (FIRST_LOG2 as usize + bucket))
    }

    /// The logarithm of the next power of two, as far as there are buckets.
    fn bucket(value: u64) -> usize {
        let log2 = u64::BITS - value.saturating_sub(1).leading_zeros();
        (log2.saturating_sub(FIRST_LOG2) as usize).min(Self::BOUNDS)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests stand outside the seams")]
mod tests {
    use super::*;

    /// Where a search through the bounds would put a value.
    fn searched<const FIRST_LOG2: u32, const BUCKETS: usize>(value: u64) -> usize {
        let bounds = Histogram::<FIRST_LOG2, BUCKETS>::bounds();
        bounds.take_while(|&bound| value > bound).count()
    }

    fn every_bound_belongs_to_the_bucket_below<const FIRST_LOG2: u32, const BUCKETS: usize>() {
        let bounds: Vec<u64> = Histogram::<FIRST_LOG2, BUCKETS>::bounds().collect();
        assert_eq!(bounds.len(), BUCKETS - 1);
        for (bucket, &bound) in bounds.iter().enumerate() {
            for (value, expected) in [(bound - 1, None), (bound, Some(bucket)), (bound + 1, Some(bucket + 1))]
            {
                let found = Histogram::<FIRST_LOG2, BUCKETS>::bucket(value);
                assert_eq!(found, searched::<FIRST_LOG2, BUCKETS>(value), "value {value}");
                assert!(expected.is_none_or(|expected| expected == found), "value {value} is in {found}");
            }
        }
        for value in [0, 1, u64::MAX - 1, u64::MAX] {
            let found = Histogram::<FIRST_LOG2, BUCKETS>::bucket(value);
            assert_eq!(found, searched::<FIRST_LOG2, BUCKETS>(value), "value {value}");
        }
    }

    #[test]
    fn every_bound_of_every_histogram_belongs_to_the_bucket_below_it() {
        every_bound_belongs_to_the_bucket_below::<10, 26>();
        every_bound_belongs_to_the_bucket_below::<0, 18>();
        // The smallest there is, and the one that goes as far as numbers do.
        every_bound_belongs_to_the_bucket_below::<3, 2>();
        every_bound_belongs_to_the_bucket_below::<0, 65>();
    }

    #[test]
    fn durations_are_bounded_from_a_microsecond_to_seventeen_seconds() {
        let buckets = DurationHistogram::default().distribution(1e9).buckets;
        assert_eq!((buckets.len(), buckets[0].0, buckets[24].0), (25, 0.000_001_024, 17.179_869_184));
        assert!(buckets.windows(2).all(|pair| pair[1].0 == 2.0 * pair[0].0));
    }

    #[test]
    fn numbers_of_entries_are_bounded_from_1_to_65536() {
        let buckets = CountHistogram::default().distribution(1.0).buckets;
        let bounds: Vec<f64> = buckets.iter().map(|&(bound, _)| bound).collect();
        assert_eq!((bounds.len(), bounds[0], bounds[1], bounds[16]), (17, 1.0, 2.0, 65_536.0));
    }

    #[test]
    fn a_value_above_every_bound_is_in_the_count_alone() {
        let histogram = CountHistogram::default();
        for value in [65_536, 65_537, 1_000_000] {
            histogram.observe(value);
        }
        let distribution = histogram.distribution(1.0);
        assert_eq!(distribution.buckets.last(), Some(&(65_536.0, 1)));
        assert_eq!((distribution.count, distribution.sum), (3, 1_131_073.0));
    }

    #[test]
    fn buckets_are_cumulative() {
        let histogram = CountHistogram::default();
        for value in [0, 1, 2, 2, 3, 4, 5] {
            histogram.observe(value);
        }
        let distribution = histogram.distribution(1.0);
        assert_eq!(distribution.buckets[..4], [(1.0, 2), (2.0, 4), (4.0, 6), (8.0, 7)]);
        assert!(distribution.buckets[4..].iter().all(|&(_, count)| count == 7));
        assert_eq!((distribution.count, distribution.sum), (7, 17.0));
    }

    #[test]
    fn what_several_threads_observe_adds_up() {
        const THREADS: u64 = 4;
        const VALUES: u64 = 20_000;
        let histogram = CountHistogram::default();
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let histogram = &histogram;
                scope
                    .spawn(move || (0..VALUES).for_each(|value| histogram.observe(value * THREADS + thread)));
            }
            // A concurrent reader sees buckets that never decrease, and none above the count.
            let mut before = 0;
            for _ in 0..100 {
                let now = histogram.distribution(1.0);
                assert!(now.buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1));
                assert!(now.buckets.last().is_some_and(|&(_, below)| below <= now.count));
                assert!(before <= now.count);
                before = now.count;
            }
        });
        let all = THREADS * VALUES;
        let distribution = histogram.distribution(1.0);
        assert_eq!((distribution.count, distribution.sum), (all, (all * (all - 1) / 2) as f64));
        for (bound, below) in distribution.buckets {
            assert_eq!(below as f64, (bound + 1.0).min(all as f64), "values up to {bound}");
        }
    }
}
