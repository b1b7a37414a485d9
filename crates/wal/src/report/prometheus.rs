//! The numbers of a log as a collector for a Prometheus registry.
//!
//! The log counts all the same, whether anybody collects or not; the names, types and texts come in here,
//! when a registry gathers. So the feature costs an append nothing.
//!
//! Nothing is global: a log appears in the registries in which its [`Metrics`] were registered, under the
//! label `log`. The names are a promise, and `docs/metrics.md` says what to watch.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::report::stats::{Distribution, Stats};

/// The numbers of one log, for a Prometheus registry. Cheap to clone.
///
/// Values are 64-bit floats, as all of Prometheus: sequences above 2^53 are rounded.
#[derive(Clone)]
pub struct Metrics {
    log: String,
    /// One for each of [`FAMILIES`], in their order.
    descriptions: Arc<[Desc]>,
    stats: Arc<dyn Fn() -> Stats + Send + Sync>,
}

impl Metrics {
    /// Metrics that ask `stats` whenever they are collected, which a registry does under its own lock.
    pub(crate) fn new(directory: &Path, stats: Arc<dyn Fn() -> Stats + Send + Sync>) -> Metrics {
        let log = directory.display().to_string();
        Metrics { descriptions: describe(&log), log, stats }
    }

    /// Another value for the label `log`. Default: the path of the log's directory.
    #[must_use]
    pub fn label(self, log: impl Into<String>) -> Metrics {
        let log = log.into();
        Metrics { descriptions: describe(&log), log, stats: self.stats }
    }

    /// Adds the log to `registry`. It stays there when the log is closed or dropped, with its last
    /// numbers, until [`Metrics::unregister`].
    ///
    /// # Errors
    /// [`prometheus::Error::AlreadyReg`] when a log with the same label is there already; another error
    /// when something else there has one of the names. Then nothing was added.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.clone()))
    }

    /// Takes the log with this label out of `registry`, so that it can be added again, as after a poisoned
    /// log was opened anew.
    ///
    /// # Errors
    /// When it is not there.
    pub fn unregister(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.unregister(Box::new(self.clone()))
    }
}

impl Collector for Metrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let stats = (self.stats)();
        FAMILIES.iter().filter_map(|family| family.collect(&stats, &self.log)).collect()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("log", &self.log).finish_non_exhaustive()
    }
}

/// The one label: whose numbers these are.
const LABEL: &str = "log";

/// One name, what it tells, and where its value comes from.
struct Family {
    name: &'static str,
    help: &'static str,
    value: Value,
}

/// Where a value comes from; its kind is its type for Prometheus.
enum Value {
    Counter(fn(&Stats) -> u64),
    /// Left out when there is none.
    Gauge(fn(&Stats) -> Option<f64>),
    Histogram(fn(&Stats) -> &Distribution),
}

/// Everything that is promised. Add, never rename; the same table for people is in `docs/metrics.md`.
const FAMILIES: [Family; 30] = [
    Family {
        name: "wal_append_entry_total",
        help: "Entries written, whether durable yet or not.",
        value: Value::Counter(|stats| stats.appended_entries),
    },
    Family {
        name: "wal_append_entry_bytes_total",
        help: "Payload bytes of the entries written.",
        value: Value::Counter(|stats| stats.appended_bytes),
    },
    Family {
        name: "wal_append_duration_seconds",
        help: "Time from the first entry of a frame joining to the frame being what its append asked for.",
        value: Value::Histogram(|stats| &stats.append_duration),
    },
    Family {
        name: "wal_write_duration_seconds",
        help: "Time to hand a frame to the operating system.",
        value: Value::Histogram(|stats| &stats.write_duration),
    },
    Family {
        name: "wal_pending_bytes",
        help: "Bytes that joined and are not yet what their append asked for.",
        value: Value::Gauge(|stats| Some(stats.pending_bytes as f64)),
    },
    Family {
        name: "wal_read_entry_total",
        help: "Entries given to readers.",
        value: Value::Counter(|stats| stats.read_entries),
    },
    Family {
        name: "wal_read_entry_bytes_total",
        help: "Payload bytes of the entries given to readers.",
        value: Value::Counter(|stats| stats.read_bytes),
    },
    Family {
        name: "wal_sync_total",
        help: "Syncs that succeeded; those of rollovers are part of the rollover.",
        value: Value::Counter(|stats| stats.syncs),
    },
    Family {
        name: "wal_sync_errors_total",
        help: "Syncs that failed; the first one poisons the log.",
        value: Value::Counter(|stats| stats.sync_errors),
    },
    Family {
        name: "wal_slow_sync_total",
        help: "Syncs, failed ones too, that took longer than the limit of the options.",
        value: Value::Counter(|stats| stats.slow_syncs),
    },
    Family {
        name: "wal_sync_duration_seconds",
        help: "Time of a sync that succeeded.",
        value: Value::Histogram(|stats| &stats.sync_duration),
    },
    Family {
        name: "wal_sync_entries",
        help: "Entries that one sync made durable.",
        value: Value::Histogram(|stats| &stats.sync_entries),
    },
    Family {
        name: "wal_poisoned",
        help: "1 when a sync failed and nothing is accepted until the log is opened again, else 0.",
        value: Value::Gauge(|stats| Some(f64::from(u8::from(stats.poisoned)))),
    },
    Family {
        name: "wal_rollover_total",
        help: "Times the log went on in the next segment.",
        value: Value::Counter(|stats| stats.rollovers),
    },
    Family {
        name: "wal_rollover_duration_seconds",
        help: "Time appends stood still for a rollover.",
        value: Value::Histogram(|stats| &stats.rollover_duration),
    },
    Family {
        name: "wal_first_sequence",
        help: "Sequence of the first entry that is kept; of the next one in an empty log.",
        value: Value::Gauge(|stats| Some(stats.first as f64)),
    },
    Family {
        name: "wal_last_sequence",
        help: "Sequence of the last entry; absent in an empty log.",
        value: Value::Gauge(|stats| stats.last.map(|last| last as f64)),
    },
    Family {
        name: "wal_durable_sequence",
        help: "Sequence of the next entry that is not durable; entries in front of it survive a loss of power.",
        value: Value::Gauge(|stats| Some(stats.durable as f64)),
    },
    Family {
        name: "wal_segments",
        help: "Segments that hold the log.",
        value: Value::Gauge(|stats| Some(stats.segments as f64)),
    },
    Family {
        name: "wal_spare_segments",
        help: "Files kept ready ahead: the prepared segment, and those that wait to become segments.",
        value: Value::Gauge(|stats| Some(stats.spare_segments as f64)),
    },
    Family {
        name: "wal_recycled_segment_total",
        help: "Segments prepared from a file that was there before.",
        value: Value::Counter(|stats| stats.recycled_segments),
    },
    Family {
        name: "wal_disk_bytes",
        help: "Bytes that the files of the log take on the disk, reserved space and spares with them.",
        value: Value::Gauge(|stats| Some(stats.disk_bytes as f64)),
    },
    Family {
        name: "wal_holds",
        help: "Holds on the front of the log, those that are overrun with them.",
        value: Value::Gauge(|stats| Some(stats.holds as f64)),
    },
    Family {
        name: "wal_held_bytes",
        help: "Bytes of the files that the lowest hold keeps from being dropped.",
        value: Value::Gauge(|stats| Some(stats.held_bytes as f64)),
    },
    Family {
        name: "wal_hold_overruns_total",
        help: "Holds that kept more than is allowed, and keep nothing any more.",
        value: Value::Counter(|stats| stats.hold_overruns),
    },
    Family {
        name: "wal_retention_started",
        help: "1 once the application has started retention, else 0: until then no limit drops anything.",
        value: Value::Gauge(|stats| Some(f64::from(u8::from(stats.retention_started)))),
    },
    Family {
        name: "wal_pending_deletion_bytes",
        help: "Bytes of dropped segment files that are not deleted yet because a reader may still open them (obsolete files).",
        value: Value::Gauge(|stats| Some(stats.pending_deletion_bytes as f64)),
    },
    Family {
        name: "wal_keeping_errors_total",
        help: "Failures of retention, and of ending old segments; they are tried again.",
        value: Value::Counter(|stats| stats.keeping_errors),
    },
    Family {
        name: "wal_recovery_duration_seconds",
        help: "Time that the open took.",
        value: Value::Gauge(|stats| Some(stats.recovery_duration.as_secs_f64())),
    },
    Family {
        name: "wal_recovery_dropped_bytes",
        help: "Bytes of a torn tail that the open dropped; nothing acknowledged was in them.",
        value: Value::Gauge(|stats| Some(stats.recovery_dropped_bytes as f64)),
    },
];

impl Family {
    /// The family as a registry wants it; `None` when there is no value.
    fn collect(&self, stats: &Stats, log: &str) -> Option<MetricFamily> {
        let mut label = LabelPair::default();
        label.set_name(LABEL.to_owned());
        label.set_value(log.to_owned());
        let mut metric = Metric::from_label(vec![label]);
        let kind = match self.value {
            Value::Counter(value) => {
                let mut counter = Counter::default();
                counter.set_value(value(stats) as f64);
                metric.set_counter(counter);
                MetricType::COUNTER
            }
            Value::Gauge(value) => {
                let mut gauge = Gauge::default();
                gauge.set_value(value(stats)?);
                metric.set_gauge(gauge);
                MetricType::GAUGE
            }
            Value::Histogram(value) => {
                metric.set_histogram(histogram(value(stats)));
                MetricType::HISTOGRAM
            }
        };
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(kind);
        family.set_metric(vec![metric]);
        Some(family)
    }
}

/// Without the bucket up to infinity, which encoders add from the count.
fn histogram(distribution: &Distribution) -> Histogram {
    let buckets = distribution.buckets.iter().map(|&(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(distribution.count);
    histogram.set_sample_sum(distribution.sum);
    histogram
}

/// What a registry compares before it takes a log: the names with their texts, and the label.
fn describe(log: &str) -> Arc<[Desc]> {
    let label = HashMap::from([(LABEL.to_owned(), log.to_owned())]);
    let describe = |family: &Family| {
        Desc::new(family.name.to_owned(), family.help.to_owned(), Vec::new(), label.clone())
            .expect("the names are well formed and no text is empty")
    };
    FAMILIES.iter().map(describe).collect()
}

#[cfg(test)]
mod tests;
