//! The names are stable, and a scraper finds them with the values of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use prometheus::{Encoder, IntCounter, TextEncoder};

use super::*;
use crate::report::counters::Counters;

/// The stable names, written down a second time: a change here breaks users' dashboards.
const PROMISED: [(&str, &str); 30] = [
    ("wal_append_duration_seconds", "histogram"),
    ("wal_append_entry_bytes_total", "counter"),
    ("wal_append_entry_total", "counter"),
    ("wal_disk_bytes", "gauge"),
    ("wal_durable_sequence", "gauge"),
    ("wal_first_sequence", "gauge"),
    ("wal_held_bytes", "gauge"),
    ("wal_holds", "gauge"),
    ("wal_invalidated_holds_total", "counter"),
    ("wal_last_sequence", "gauge"),
    ("wal_maintenance_errors_total", "counter"),
    ("wal_pending_bytes", "gauge"),
    ("wal_pending_deletion_bytes", "gauge"),
    ("wal_poisoned", "gauge"),
    ("wal_read_entry_bytes_total", "counter"),
    ("wal_read_entry_total", "counter"),
    ("wal_recovery_dropped_bytes", "gauge"),
    ("wal_recovery_duration_seconds", "gauge"),
    ("wal_recycled_segment_total", "counter"),
    ("wal_retention_started", "gauge"),
    ("wal_rollover_duration_seconds", "histogram"),
    ("wal_rollover_total", "counter"),
    ("wal_segments", "gauge"),
    ("wal_slow_sync_total", "counter"),
    ("wal_spare_segments", "gauge"),
    ("wal_sync_duration_seconds", "histogram"),
    ("wal_sync_entries", "histogram"),
    ("wal_sync_errors_total", "counter"),
    ("wal_sync_total", "counter"),
    ("wal_write_duration_seconds", "histogram"),
];

const DOCUMENT: &str = include_str!("../../../../../docs/metrics.md");

/// A log as its metrics see it: what is counted, and how it stands.
#[derive(Default)]
struct Log(Arc<Counters>, Stats);

impl Log {
    const DIRECTORY: &str = "var/orders";

    /// A log that has done something of each kind.
    fn busy() -> Log {
        let micros = Duration::from_micros;
        let stats = Stats {
            poisoned: true,
            first: 10,
            last: Some(12),
            durable: 12,
            written: 13,
            segments: 4,
            disk_bytes: 4096,
            spare_segments: 1,
            recycled_segments: 2,
            pending_bytes: 100,
            recovery_duration: micros(2_500),
            recovery_dropped_bytes: 77,
            ..Stats::default()
        };
        let log = Log(Arc::default(), stats);
        log.0.wrote(2, 512);
        log.0.write_took(micros(3));
        log.0.wrote(1, 100);
        log.0.write_took(Duration::from_secs(60));
        log.0.appended(micros(120));
        log.0.synced(3, micros(110));
        log.0.synced(70_000, micros(90));
        log.0.sync_failed();
        log.0.rolled_over(micros(900));
        log.0.read(5, 640);
        log
    }

    fn metrics(&self) -> Metrics {
        let (counters, stats) = (Arc::clone(&self.0), self.1.clone());
        let read = move || {
            let mut stats = stats.clone();
            counters.fill(&mut stats);
            stats
        };
        Metrics::new(Path::new(Log::DIRECTORY), Arc::new(read))
    }
}

/// What a scraper makes of the text: a family's type and text, and its samples in order.
#[derive(Debug, Default)]
struct Scraped {
    kind: String,
    help: String,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    /// The suffix after the family's name: `_bucket`, `_sum`, `_count` or nothing.
    suffix: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

fn scrape(registry: &Registry) -> BTreeMap<String, Scraped> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
    parse(&String::from_utf8(text).unwrap())
}

fn scrape_one(metrics: &Metrics) -> BTreeMap<String, Scraped> {
    let registry = Registry::new();
    metrics.register(&registry).unwrap();
    scrape(&registry)
}

/// The text format: `# HELP`, `# TYPE`, then samples as `name{label="value",...} value`.
fn parse(text: &str) -> BTreeMap<String, Scraped> {
    let mut families = BTreeMap::<String, Scraped>::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").map(|rest| rest.split_once(' ').unwrap()) {
            current = name.to_owned();
            let known =
                families.insert(current.clone(), Scraped { help: help.to_owned(), ..Scraped::default() });
            assert!(known.is_none(), "{name} comes twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, current);
            families.get_mut(name).unwrap().kind = kind.to_owned();
        } else {
            let sample =
                sample(line.strip_prefix(current.as_str()).expect("samples stand below their family"));
            families.get_mut(&current).unwrap().samples.push(sample);
        }
    }
    families
}

/// The rest of a line after the name of its family.
fn sample(line: &str) -> Sample {
    let (suffix, mut rest) = line.split_once('{').expect("every sample has a label");
    let mut labels = BTreeMap::new();
    while !rest.starts_with('}') {
        let (name, quoted) = rest.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut chars = quoted.chars();
        loop {
            match chars.next().expect("a value ends with a quote") {
                '"' => break,
                '\\' => value.push(match chars.next().unwrap() {
                    'n' => '\n',
                    escaped => escaped,
                }),
                plain => value.push(plain),
            }
        }
        assert_eq!(labels.insert(name.to_owned(), value), None, "label {name} comes twice");
        rest = chars.as_str().trim_start_matches(',');
    }
    let value = rest.strip_prefix("} ").unwrap().parse().unwrap();
    Sample { suffix: suffix.to_owned(), labels, value }
}

/// The value of a counter or a gauge.
fn value(families: &BTreeMap<String, Scraped>, name: &str) -> f64 {
    match &families[name].samples[..] {
        [Sample { suffix, value, .. }] if suffix.is_empty() => *value,
        samples => panic!("{name} is not one plain sample: {samples:?}"),
    }
}

#[test]
fn the_same_log_twice_in_a_registry_is_an_error() {
    let (registry, log) = (Registry::new(), Log::busy());
    let metrics = log.metrics();
    metrics.register(&registry).unwrap();
    for again in [metrics.clone(), metrics, Log::default().metrics()] {
        let refused = again.register(&registry);
        assert!(matches!(refused, Err(prometheus::Error::AlreadyReg)), "{refused:?}");
    }
    assert_eq!(value(&scrape(&registry), "wal_segments"), 4.0);
}

#[test]
fn a_name_that_the_caller_has_taken_is_an_error_and_nothing_is_added() {
    let registry = Registry::new();
    registry.register(Box::new(IntCounter::new("wal_disk_bytes", "Something else.").unwrap())).unwrap();
    Log::busy().metrics().register(&registry).unwrap_err();
    assert_eq!(registry.gather().len(), 1);
}

#[test]
fn what_is_not_registered_cannot_be_taken_out() {
    Log::default().metrics().unregister(&Registry::new()).unwrap_err();
}

#[test]
fn a_log_that_is_opened_again_takes_the_place_of_the_old_one() {
    let registry = Registry::new();
    let poisoned = Log::busy().metrics();
    poisoned.register(&registry).unwrap();
    poisoned.unregister(&registry).unwrap();
    assert!(scrape(&registry).is_empty());
    Log::default().metrics().register(&registry).unwrap();
    assert_eq!(value(&scrape(&registry), "wal_poisoned"), 0.0);
}

#[test]
fn a_log_that_is_gone_keeps_its_last_numbers() {
    let (registry, log) = (Registry::new(), Log::busy());
    log.metrics().register(&registry).unwrap();
    drop(log);
    for _ in 0..2 {
        assert_eq!(value(&scrape(&registry), "wal_append_entry_total"), 3.0);
    }
}

#[test]
fn two_logs_share_a_registry_under_different_labels() {
    let registry = Registry::new();
    Log::busy().metrics().register(&registry).unwrap();
    Log::default().metrics().label("invoices").register(&registry).unwrap();
    let families = scrape(&registry);
    assert_eq!(families.len(), PROMISED.len());
    let entries = &families["wal_append_entry_total"].samples;
    let by_log: Vec<_> = entries.iter().map(|sample| (sample.labels["log"].as_str(), sample.value)).collect();
    assert_eq!(by_log, [("invoices", 0.0), (Log::DIRECTORY, 3.0)]);
}

#[test]
fn any_label_can_be_read_back() {
    for label in ["", "a\"b", "a\\b", "a\nb", "}\",log=\"", "\u{fffd} \u{1f4d2}"] {
        let families = scrape_one(&Log::busy().metrics().label(label));
        for sample in families.values().flat_map(|family| &family.samples) {
            assert_eq!(sample.labels["log"], label);
        }
    }
}

#[test]
fn every_promised_name_has_its_type_and_a_text_and_there_is_no_other() {
    let families = scrape_one(&Log::busy().metrics());
    let found: Vec<_> = families.iter().map(|(name, family)| (name.as_str(), family.kind.as_str())).collect();
    assert_eq!(found, PROMISED);
    assert!(families.values().all(|family| family.help.ends_with('.')));
}

#[test]
fn the_label_is_the_directory_and_the_only_one_but_for_bounds() {
    let families = scrape_one(&Log::busy().metrics());
    for (name, family) in &families {
        for sample in &family.samples {
            let mut labels = sample.labels.clone();
            assert_eq!(labels.remove("log").as_deref(), Some(Log::DIRECTORY), "{name}");
            assert_eq!(labels.remove("le").is_some(), sample.suffix == "_bucket", "{name}");
            assert!(labels.is_empty(), "{name}: {labels:?}");
        }
    }
}

#[test]
fn counters_and_gauges_say_what_the_stats_say() {
    let families = scrape_one(&Log::busy().metrics());
    for (name, expected) in [
        ("wal_append_entry_total", 3.0),
        ("wal_append_entry_bytes_total", 612.0),
        ("wal_read_entry_total", 5.0),
        ("wal_read_entry_bytes_total", 640.0),
        ("wal_sync_total", 2.0),
        ("wal_sync_errors_total", 1.0),
        ("wal_rollover_total", 1.0),
        ("wal_poisoned", 1.0),
        ("wal_first_sequence", 10.0),
        ("wal_last_sequence", 12.0),
        ("wal_durable_sequence", 12.0),
        ("wal_segments", 4.0),
        ("wal_disk_bytes", 4096.0),
        ("wal_spare_segments", 1.0),
        ("wal_recycled_segment_total", 2.0),
        ("wal_pending_bytes", 100.0),
        ("wal_recovery_duration_seconds", 0.0025),
        ("wal_recovery_dropped_bytes", 77.0),
    ] {
        assert_eq!(value(&families, name), expected, "{name}");
    }
}

#[test]
fn an_empty_log_has_no_last_sequence() {
    let names: BTreeSet<_> = scrape_one(&Log::default().metrics()).into_keys().collect();
    let promised = PROMISED.iter().map(|&(name, _)| name.to_owned());
    assert_eq!(names, promised.filter(|name| name != "wal_last_sequence").collect());
}

#[test]
fn histograms_are_cumulative_and_end_with_the_count() {
    // Count and sum; the slow write and the large sync lie above every bound.
    let expected = BTreeMap::from([
        ("wal_append_duration_seconds", (1, 0.000_12, 1)),
        ("wal_rollover_duration_seconds", (1, 0.000_9, 1)),
        ("wal_sync_duration_seconds", (2, 0.000_2, 2)),
        ("wal_sync_entries", (2, 70_003.0, 1)),
        ("wal_write_duration_seconds", (2, 60.000_003, 1)),
    ]);
    let families = scrape_one(&Log::busy().metrics());
    let histograms = families.iter().filter(|(_, family)| family.kind == "histogram");
    let mut seen = 0;
    for (name, Scraped { samples, .. }) in histograms {
        let (count, sum, below_the_last_bound) = expected[name.as_str()];
        let [buckets @ .., last, total, number] = &samples[..] else { panic!("{name}: {samples:?}") };
        assert!(buckets.iter().chain([last]).all(|sample| sample.suffix == "_bucket"), "{name}");
        assert_eq!((total.suffix.as_str(), number.suffix.as_str()), ("_sum", "_count"), "{name}");

        let bound = |sample: &Sample| sample.labels["le"].parse::<f64>().unwrap();
        assert!(buckets.windows(2).all(|pair| bound(&pair[0]) < bound(&pair[1])), "{name}: bounds");
        assert!(buckets.windows(2).all(|pair| pair[0].value <= pair[1].value), "{name}: counts");
        assert_eq!(
            buckets.last().map(|sample| sample.value),
            Some(f64::from(below_the_last_bound)),
            "{name}"
        );
        assert_eq!((last.labels["le"].as_str(), last.value), ("+Inf", f64::from(count)), "{name}");
        assert_eq!((total.value, number.value), (sum, f64::from(count)), "{name}");
        seen += 1;
    }
    assert_eq!(seen, expected.len());
}

/// The rows of the document's table of names: name, type, unit.
fn documented() -> BTreeMap<&'static str, (&'static str, &'static str)> {
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `wal_"));
    let cells = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let mut documented = BTreeMap::new();
    for cells in cells {
        let [name, kind, unit, tells, watch] = cells[..] else { panic!("not five cells: {cells:?}") };
        let name = name.trim_matches('`');
        assert!(!tells.is_empty() && !watch.is_empty(), "{name} says nothing");
        assert_eq!(documented.insert(name, (kind, unit)), None, "{name} comes twice");
    }
    documented
}

#[test]
fn the_document_lists_every_name_with_its_type_and_no_other() {
    let families = scrape_one(&Log::busy().metrics());
    let found: BTreeMap<_, _> =
        families.iter().map(|(name, family)| (name.as_str(), family.kind.as_str())).collect();
    let documented = documented().into_iter().map(|(name, (kind, _))| (name, kind)).collect();
    assert_eq!(found, documented);
}

#[test]
fn the_documented_unit_is_the_one_in_the_name() {
    for (name, (_, unit)) in documented() {
        let stem = name.strip_suffix("_total").unwrap_or(name);
        assert_eq!(stem.ends_with("_seconds"), unit == "seconds", "{name}");
        assert_eq!(stem.ends_with("_bytes"), unit == "bytes", "{name}");
    }
}
