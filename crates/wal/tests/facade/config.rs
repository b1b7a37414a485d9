//! Options come from a configuration file, and can be shown as one.

#![cfg(feature = "config")]
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use wal::{ErrorKind, Options, SyncPolicy};
use wal_segment::io::sim::SimDisk;

fn from_json(value: Value) -> Result<Options, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn shown(options: &Options) -> Map<String, Value> {
    match serde_json::to_value(options).expect("options can be shown") {
        Value::Object(names) => names,
        other => panic!("not a map: {other}"),
    }
}

/// Another value than the default for each option.
fn all_set() -> Value {
    json!({
        "segment_bytes": 1 << 20,
        "checksum": "crc32",
        "sync": { "policy": "periodic", "entries": 100, "interval_ms": 12.5 },
        "max_entry_bytes": 1000,
        "max_batch_bytes": 5000,
        "max_in_flight_bytes": 100_000,
        "buffered_bytes": 50_000,
        "background": false,
        "zero_ahead": true,
        "mapped_reads": false,
        "slow_sync_ms": 250,
        "low_space_bytes": 1 << 30,
        "first_sequence": 7,
        "recycle": false,
        "spares": 3,
        "retain_bytes": 1 << 30,
        "retain_entries": 1_000_000,
        "retain_age_ms": 86_400_000,
        "max_log_bytes": 1_u64 << 33,
        "when_full": "wait", "open_mode": "must_exist",
        "hold_limit_bytes": 1_u64 << 32,
        "roll_after_ms": 3_600_000,
    })
}

// Whoever adds an option and forgets it in the table of names is stopped by the compiler; whoever forgets it here,
// by this.
#[test]
fn every_option_can_be_read_and_shown() {
    let set = all_set();
    let read = from_json(set.clone()).expect("all of them are options");
    assert_eq!(Value::Object(shown(&read)), set);
    let default = shown(&Options::default());
    let names: Vec<_> = set.as_object().expect("a map").keys().collect();
    assert_eq!(default.keys().collect::<Vec<_>>(), names, "an option is not set in this test");
    for name in names {
        assert_ne!(set[name], default[name], "{name} has its default in this test");
    }
}

#[test]
fn what_is_not_in_the_file_has_its_default() {
    let empty = from_json(json!({})).expect("nothing is needed");
    assert_eq!(shown(&empty), shown(&Options::default()));
    assert_eq!(
        Value::Object(shown(&empty)),
        json!({
            "segment_bytes": null, "checksum": null, "sync": { "policy": "grouped", "window_ms": 1 },
            "max_entry_bytes": 64 << 20, "max_batch_bytes": null, "max_in_flight_bytes": 16 << 20,
            "buffered_bytes": null, "background": true, "zero_ahead": null, "mapped_reads": true,
            "slow_sync_ms": 1000, "low_space_bytes": null, "first_sequence": null, "recycle": true, "spares": 1,
            "retain_bytes": null, "retain_entries": null, "retain_age_ms": null, "max_log_bytes": null,
            "when_full": "refuse", "open_mode": "create_or_open", "hold_limit_bytes": null, "roll_after_ms": null,
        })
    );
    // What was shown can be read.
    let again = from_json(Value::Object(shown(&empty))).expect("what is shown can be read");
    assert_eq!(shown(&again), shown(&empty));
}

#[test]
fn policies_are_tagged_values() {
    let micros = Duration::from_micros;
    for (value, policy) in [
        (json!({ "policy": "none" }), SyncPolicy::None),
        (json!({ "policy": "immediate" }), SyncPolicy::Immediate),
        (json!({ "policy": "grouped" }), SyncPolicy::default()),
        (json!({ "policy": "grouped", "window_ms": 0.25 }), SyncPolicy::grouped(micros(250))),
        // As in `Options::sync`, what cannot be kept becomes the nearest that can.
        (json!({ "window_ms": 0, "policy": "grouped" }), SyncPolicy::grouped(micros(100))),
        (
            json!({ "policy": "periodic", "entries": 7, "interval_ms": 1 }),
            SyncPolicy::periodic(7, micros(1000)),
        ),
        (
            json!({ "policy": "periodic", "entries": 0, "interval_ms": 0.1 }),
            SyncPolicy::periodic(1, micros(100)),
        ),
    ] {
        let read = from_json(json!({ "sync": value })).expect("a policy");
        assert_eq!(shown(&read), shown(&Options::new().sync(policy)), "{value}");
    }
}

#[test]
fn an_error_names_the_option() {
    for (value, names) in [
        (json!({ "segment_byte": 1 }), "unknown field `segment_byte`"),
        (json!({ "on_rollover": 1 }), "unknown field `on_rollover`"),
        (json!({ "segment_bytes": "64 MiB" }), "segment_bytes: invalid type: string"),
        (json!({ "segment_bytes": -1 }), "segment_bytes: invalid value: integer `-1`"),
        (json!({ "max_entry_bytes": 1.5 }), "max_entry_bytes: invalid type: floating point `1.5`"),
        (json!({ "max_entry_bytes": null }), "max_entry_bytes: invalid type: null"),
        (json!({ "background": 1 }), "background: invalid type: integer `1`"),
        (json!({ "checksum": "md5" }), "checksum: "),
        (json!({ "slow_sync_ms": -1 }), "slow_sync_ms: -1 milliseconds"),
        (json!({ "slow_sync_ms": -0.5 }), "slow_sync_ms: -0.5 milliseconds"),
        (json!({ "slow_sync_ms": 1e300 }), "slow_sync_ms: 1e300 milliseconds"),
        (json!({ "slow_sync_ms": "1s" }), "slow_sync_ms: invalid type: string \"1s\""),
        (json!({ "sync": "immediate" }), "sync: invalid type: string \"immediate\""),
        (json!({ "sync": {} }), "sync: missing field `policy`"),
        (json!({ "sync": { "policy": "often" } }), "sync: unknown variant `often`"),
        (json!({ "sync": { "policy": "none", "every": 3 } }), "sync: unknown field `every`"),
        (
            json!({ "sync": { "policy": "none", "window_ms": 3 } }),
            "sync: window_ms is no bound of the policy none",
        ),
        (
            json!({ "sync": { "policy": "grouped", "entries": 3 } }),
            "sync: entries is no bound of the policy grouped",
        ),
        (json!({ "sync": { "policy": "periodic", "entries": 3 } }), "sync: missing field `interval_ms`"),
        (json!({ "sync": { "policy": "periodic", "interval_ms": 3 } }), "sync: missing field `entries`"),
        (
            json!({ "sync": { "policy": "grouped", "window_ms": true } }),
            "sync: window_ms: invalid type: boolean",
        ),
        (json!([1, 2]), "expected the options of a log"),
    ] {
        let error = from_json(value.clone()).expect_err(names);
        assert!(error.contains(names), "{value}: {error}");
    }
    let twice = serde_json::from_str::<Options>(r#"{ "background": true, "background": false }"#);
    assert!(twice.expect_err("it is there twice").to_string().contains("background is there twice"));
}

#[test]
fn a_value_that_cannot_work_is_refused_at_open_by_its_name() {
    for (value, name) in [
        (json!({ "segment_bytes": 1 }), "segment_bytes"),
        (json!({ "max_entry_bytes": 0 }), "max_entry_bytes"),
        (json!({ "max_batch_bytes": 1 }), "max_batch_bytes"),
        (json!({ "max_in_flight_bytes": 0 }), "max_in_flight_bytes"),
        (json!({ "buffered_bytes": 1 }), "buffered"),
        (json!({ "slow_sync_ms": 0 }), "slow_sync"),
    ] {
        let options = from_json(value.clone()).expect("it has the right type");
        let error = options.open_in(Arc::new(SimDisk::new(1))).expect_err("it cannot work");
        assert_eq!(error.kind(), ErrorKind::InvalidOptions);
        assert!(error.to_string().contains(name), "{value}: {error}");
    }
}

#[test]
fn a_section_of_a_toml_file_opens_a_log() {
    #[derive(serde::Deserialize)]
    struct Service {
        wal: Options,
    }
    let file = r#"
        [wal]
        segment_bytes = 1_048_576
        background = false
        slow_sync_ms = 500

        [wal.sync]
        policy = "periodic"
        entries = 1000
        interval_ms = 2.5
    "#;
    let Service { wal: options } = toml::from_str(file).expect("a good file");
    let expected = Options::new()
        .segment_bytes(1 << 20)
        .background(false)
        .slow_sync(Duration::from_millis(500))
        .sync(SyncPolicy::periodic(1000, Duration::from_micros(2500)));
    assert_eq!(shown(&options), shown(&expected));
    let wal = options.open_in(Arc::new(SimDisk::new(1))).expect("a new log");
    assert_eq!(wal.append(b"entry").expect("nothing fails"), 0);

    let error = toml::from_str::<Service>("[wal]\nsegment_bytes = -1\n").err().expect("no size");
    assert!(error.to_string().contains("segment_bytes: "), "{error}");
}

#[test]
fn a_log_shows_what_is_in_force() {
    let disk = Arc::new(SimDisk::new(1));
    let made = Options::new().segment_bytes(1 << 20).open_in(disk.clone()).expect("a new log");
    made.append(b"entry").expect("nothing fails");
    made.close().expect("nothing fails");
    let wal = Options::new().background(false).max_entry_bytes(500).open_in(disk).expect("a log");
    assert_eq!(
        Value::Object(shown(wal.options())),
        json!({
            // What the log has.
            "segment_bytes": 1 << 20, "checksum": "crc32", "low_space_bytes": 1 << 20,
            // What others decide.
            "max_batch_bytes": 256 << 20, "zero_ahead": false,
            "sync": { "policy": "grouped", "window_ms": 1 }, "max_entry_bytes": 500,
            "max_in_flight_bytes": 16 << 20, "buffered_bytes": null, "background": false,
            "mapped_reads": true, "slow_sync_ms": 1000, "first_sequence": null, "recycle": true, "spares": 1,
            "retain_bytes": null, "retain_entries": null, "retain_age_ms": null, "max_log_bytes": null,
            "when_full": "refuse", "open_mode": "create_or_open", "hold_limit_bytes": null, "roll_after_ms": null,
        })
    );
}
