//! The statistics of a log as a collector for a Prometheus registry.
//!
//! The log counts with or without this feature. Names, types and HELP texts are added
//! when a registry gathers, so the feature costs an append nothing.
//!
//! Nothing is global: a log appears in the registries in which its [`Metrics`] were registered, under the
//! label `log`. The names are stable, and `docs/metrics.md` says what to watch.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::report::stats::{Distribution, Stats};

/// A Prometheus collector for one log. Cheap to clone.
///
/// Values are 64-bit floats, as everywhere in Prometheus: sequence numbers above 2^53 are rounded.
#[derive(Clone)]
pub struct Metrics {
    log: String,
    /// One for each of [`FAMILIES`], in their order.
    descriptions: Arc<[Desc]>,
    stats: Arc<dyn Fn() -> Stats + Send + Sync>,
}

impl Metrics {
    /// Metrics that call `stats` at each collection, which a registry does under its own lock.
    pub(crate) fn new(directory: &Path, stats: Arc<dyn Fn() -> Stats + Send + Sync>) -> Metrics {
        let log = directory.display().to_string();
        Metrics { descriptions: describe(&log), log, stats }
    }

    /// Sets the value of the label `log`. Default: the path of the log's directory.
    #[must_use]
    pub fn label(self, log: impl Into<String>) -> Metrics {
        let log = log.into();
        Metrics { descriptions: describe(&log), log, stats: self.stats }
    }

    /// Registers the log with `registry`. It stays there with its last values after the log is closed or dropped,
    /// until [`Metrics::unregister`].
    ///
    /// # Errors
    /// [`prometheus::Error::AlreadyReg`] when a log with the same label is registered already; another error
    /// when another collector uses one of the names. Then nothing was registered.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.clone()))
    }

    /// Unregisters the log with this label from `registry`, so that it can be registered again, as after reopening a
    /// poisoned log.
    ///
    /// # Errors
    /// When it is not registered.
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

/// The one label, which names the log.
const LABEL: &str = "log";

/// One metric: its name, its HELP text, and the source of its value.
struct Family {
    name: &'static str,
    help: &'static str,
    value: Value,
}

/// The Prometheus type of a metric, and the source of its value.
enum Value {
    Counter(fn(&Stats) -> u64),
    /// Omitted when `None`.
    Gauge(fn(&Stats) -> Option<f64>),
    Histogram(fn(&Stats) -> &Distribution),
}

/// All metrics. The names are stable: add, never rename. `docs/metrics.md` has the same table.
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
        help: "Append latency: from the first append to a frame until it is as durable as its callers asked for.",
        value: Value::Histogram(|stats| &stats.append_duration),
    },
    Family {
        name: "wal_write_duration_seconds",
        help: "Write latency: time to write a frame to the operating system.",
        value: Value::Histogram(|stats| &stats.write_duration),
    },
    Family {
        name: "wal_pending_bytes",
        help: "Bytes accepted but not yet as durable as their caller asked for.",
        value: Value::Gauge(|stats| Some(stats.pending_bytes as f64)),
    },
    Family {
        name: "wal_read_entry_total",
        help: "Entries returned to readers.",
        value: Value::Counter(|stats| stats.read_entries),
    },
    Family {
        name: "wal_read_entry_bytes_total",
        help: "Payload bytes of the entries returned to readers.",
        value: Value::Counter(|stats| stats.read_bytes),
    },
    Family {
        name: "wal_sync_total",
        help: "Successful fsyncs; those of rollovers are counted with the rollover.",
        value: Value::Counter(|stats| stats.syncs),
    },
    Family {
        name: "wal_sync_errors_total",
        help: "Failed fsyncs; the first one poisons the log.",
        value: Value::Counter(|stats| stats.sync_errors),
    },
    Family {
        name: "wal_slow_sync_total",
        help: "Fsyncs, including failed ones, that took slow_sync or longer.",
        value: Value::Counter(|stats| stats.slow_syncs),
    },
    Family {
        name: "wal_sync_duration_seconds",
        help: "Fsync latency of the fsyncs that succeeded.",
        value: Value::Histogram(|stats| &stats.sync_duration),
    },
    Family {
        name: "wal_sync_entries",
        help: "Entries that one fsync made durable.",
        value: Value::Histogram(|stats| &stats.sync_entries),
    },
    Family {
        name: "wal_poisoned",
        help: "1 when an fsync failed, a file was replaced or a thread panicked, and the log accepts nothing until it is reopened; else 0.",
        value: Value::Gauge(|stats| Some(f64::from(u8::from(stats.poisoned)))),
    },
    Family {
        name: "wal_rollover_total",
        help: "Rollovers to a next segment.",
        value: Value::Counter(|stats| stats.rollovers),
    },
    Family {
        name: "wal_rollover_duration_seconds",
        help: "Rollover latency: time that appends wait for the next segment, with its fsyncs.",
        value: Value::Histogram(|stats| &stats.rollover_duration),
    },
    Family {
        name: "wal_first_sequence",
        help: "Sequence number of the first entry that is kept; of the next one in an empty log.",
        value: Value::Gauge(|stats| Some(stats.first as f64)),
    },
    Family {
        name: "wal_last_sequence",
        help: "Sequence number of the last entry; absent in an empty log.",
        value: Value::Gauge(|stats| stats.last.map(|last| last as f64)),
    },
    Family {
        name: "wal_durable_sequence",
        help: "Sequence number of the next entry that is not durable; entries before it survive a power loss.",
        value: Value::Gauge(|stats| Some(stats.durable as f64)),
    },
    Family {
        name: "wal_segments",
        help: "Segments of the log.",
        value: Value::Gauge(|stats| Some(stats.segments as f64)),
    },
    Family {
        name: "wal_spare_segments",
        help: "Spare files: the prepared segment, and files to be recycled as segments.",
        value: Value::Gauge(|stats| Some(stats.spare_segments as f64)),
    },
    Family {
        name: "wal_recycled_segment_total",
        help: "Segments prepared by recycling an old file.",
        value: Value::Counter(|stats| stats.recycled_segments),
    },
    Family {
        name: "wal_disk_bytes",
        help: "Disk space of the log's files, with preallocated space and spare files.",
        value: Value::Gauge(|stats| Some(stats.disk_bytes as f64)),
    },
    Family {
        name: "wal_holds",
        help: "Holds that consumers have taken, including invalidated ones.",
        value: Value::Gauge(|stats| Some(stats.holds as f64)),
    },
    Family {
        name: "wal_held_bytes",
        help: "Bytes of the segment files that the lowest hold keeps.",
        value: Value::Gauge(|stats| Some(stats.held_bytes as f64)),
    },
    Family {
        name: "wal_invalidated_holds_total",
        help: "Holds that were invalidated because they kept more than hold_limit_bytes.",
        value: Value::Counter(|stats| stats.invalidated_holds),
    },
    Family {
        name: "wal_retention_started",
        help: "1 once the application has started retention, else 0; until then no retention limit drops anything.",
        value: Value::Gauge(|stats| Some(f64::from(u8::from(stats.retention_started)))),
    },
    Family {
        name: "wal_pending_deletion_bytes",
        help: "Bytes of obsolete segment files that are not deleted yet because a reader may still open them.",
        value: Value::Gauge(|stats| Some(stats.pending_deletion_bytes as f64)),
    },
    Family {
        name: "wal_maintenance_errors_total",
        help: "Errors of retention and of sealing old segments; both are tried again.",
        value: Value::Counter(|stats| stats.maintenance_errors),
    },
    Family {
        name: "wal_recovery_duration_seconds",
        help: "Time that the open took, with crash recovery.",
        value: Value::Gauge(|stats| Some(stats.recovery_duration.as_secs_f64())),
    },
    Family {
        name: "wal_recovery_dropped_bytes",
        help: "Bytes of a torn write that the open dropped; nothing acknowledged was in them.",
        value: Value::Gauge(|stats| Some(stats.recovery_dropped_bytes as f64)),
    },
];

impl Family {
    /// The metric in the form of the `prometheus` crate; `None` when there is no value.
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

/// The histogram without its bucket up to infinity, which encoders add from the count.
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

/// The descriptions that a registry compares before it registers a collector: names, HELP texts and the label.
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
