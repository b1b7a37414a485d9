//! How much is measured, and for how long.

use std::time::Duration;

/// The sizes, counts and durations of a run.
pub(super) struct Budget {
    /// Payload bytes of the logs of different sizes.
    pub(super) log_bytes: &'static [u64],
    /// Segments of the logs of small segments.
    pub(super) segments: &'static [u64],
    /// How often each of these logs is opened in a round.
    pub(super) opens: usize,
    /// Random reads of each of these logs in a round.
    pub(super) reads: u64,
    /// Durable appends to each of these logs in a round.
    pub(super) appends: u64,
    /// What was appended to a log after its last segment began, when it is left unclosed.
    pub(super) unclosed_bytes: u64,
    pub(super) followers: &'static [usize],
    /// Of each closed loop.
    pub(super) warm_up: Duration,
    pub(super) measured: Duration,
    /// How many durable appends come due in a second, if one thread can do twice as many.
    pub(super) durable_per_second: u32,
    pub(super) durable_samples: u64,
    /// Fewer samples of durable appends are taken when this is over.
    pub(super) most_durable: Duration,
    pub(super) none_samples: u64,
    /// How many appends without a sync come due in a second.
    pub(super) none_per_second: u32,
    pub(super) variant_threads: &'static [usize],
    pub(super) checksum_bytes: &'static [usize],
    /// Of each kind of checksum and length.
    pub(super) checksums: Duration,
}

impl Budget {
    pub(super) const LONG: Budget = Budget {
        log_bytes: &[100 << 20, 1 << 30, 10 << 30],
        segments: &[10, 100, 1_000, 10_000],
        opens: 5,
        reads: 20_000,
        appends: 100,
        unclosed_bytes: 4 << 20,
        followers: &[0, 1, 4, 16, 64],
        warm_up: Duration::from_millis(300),
        measured: Duration::from_secs(2),
        durable_per_second: 1_000,
        durable_samples: 20_000,
        most_durable: Duration::from_secs(30),
        none_samples: 300_000,
        none_per_second: 100_000,
        variant_threads: &[1, 16],
        checksum_bytes: &[32, 64, 256, 1024, 4096, 65536],
        checksums: Duration::from_millis(100),
    };

    pub(super) const SHORT: Budget = Budget {
        log_bytes: &[10 << 20, 100 << 20, 1 << 30],
        segments: &[10, 100, 1_000],
        opens: 3,
        reads: 5_000,
        measured: Duration::from_secs(1),
        durable_samples: 5_000,
        most_durable: Duration::from_secs(8),
        none_samples: 150_000,
        checksums: Duration::from_millis(50),
        ..Budget::LONG
    };

    /// A moment, for tests.
    #[cfg(test)]
    pub(super) const TINY: Budget = Budget {
        log_bytes: &[256 << 10, 2 << 20],
        segments: &[3, 9],
        opens: 2,
        reads: 50,
        appends: 10,
        unclosed_bytes: 64 << 10,
        followers: &[0, 2],
        warm_up: Duration::from_millis(10),
        measured: Duration::from_millis(50),
        durable_per_second: 1_000,
        durable_samples: 200,
        most_durable: Duration::from_secs(2),
        none_samples: 1_500,
        none_per_second: 10_000,
        variant_threads: &[2],
        checksum_bytes: &[32, 4096],
        checksums: Duration::from_millis(1),
    };
}
