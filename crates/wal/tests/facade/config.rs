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
        "segment_bytes": "1MiB",
        "checksum": "crc32",
        "sync": { "policy": "periodic", "entries": 100, "interval": "12ms 500us" },
        "max_entry_bytes": "1000",
        "max_batch_bytes": "5000",
        "max_in_flight_bytes": "100KiB",
        "buffered_bytes": "50KiB",
        "background": false,
        "zero_ahead": true,
        "mapped_reads": false,
        "slow_sync": "250ms",
        "low_space_bytes": "1GiB",
        "first_sequence": 7,
        "recycle": false,
        "retain_bytes": "1GiB",
        "retain_entries": 1_000_000,
        "retain_age": "1day",
        "max_log_bytes": "8GiB",
        "when_full": "wait",
        "open_mode": "must_exist",
        "hold_limit_bytes": "4GiB",
        "roll_after": "1h",
    })
}

// An option that is missing in `Section` does not compile; one that is missing here fails this test.
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
            "segment_bytes": null, "checksum": null, "sync": { "policy": "grouped", "window": "1ms" },
            "max_entry_bytes": "64MiB", "max_batch_bytes": null, "max_in_flight_bytes": "16MiB",
            "buffered_bytes": null, "background": true, "zero_ahead": null, "mapped_reads": true,
            "slow_sync": "1s", "low_space_bytes": null, "first_sequence": null, "recycle": true,
            "retain_bytes": null, "retain_entries": null, "retain_age": null, "max_log_bytes": null,
            "when_full": "refuse", "open_mode": "create_or_open", "hold_limit_bytes": null, "roll_after": null,
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
        (json!({ "policy": "grouped", "window": "0.25ms" }), SyncPolicy::grouped(micros(250))),
        // As in `Options::sync`, what cannot be kept becomes the nearest that can.
        (json!({ "window": "0s", "policy": "grouped" }), SyncPolicy::grouped(micros(100))),
        (
            json!({ "policy": "periodic", "entries": 7, "interval": "1ms" }),
            SyncPolicy::periodic(7, micros(1000)),
        ),
        (
            json!({ "policy": "periodic", "entries": 0, "interval": "100us" }),
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
        (
            json!({ "segment_bytes": "64MB" }),
            "segment_bytes: \"64MB\" is not a size of less than 2^64 bytes: ",
        ),
        (
            json!({ "segment_bytes": -1 }),
            "segment_bytes: expected a number of bytes, or text such as \"64MiB\"",
        ),
        (json!({ "max_entry_bytes": 1.5 }), "max_entry_bytes: expected a number of bytes"),
        (json!({ "max_entry_bytes": null }), "max_entry_bytes: expected a number of bytes"),
        (json!({ "background": 1 }), "background: invalid type: integer `1`"),
        (
            json!({ "checksum": "md5" }),
            "checksum: this build has no checksum \"md5\"; known are crc32 and crc64",
        ),
        (json!({ "slow_sync_ms": 1 }), "unknown field `slow_sync_ms`"),
        (json!({ "slow_sync": 1 }), "slow_sync: expected a duration with its unit, such as \"500ms\""),
        (json!({ "slow_sync": "1" }), "slow_sync: time unit needed"),
        (json!({ "slow_sync": "-1s" }), "slow_sync: expected number"),
        (json!({ "slow_sync": "0.5ns" }), "slow_sync: number is too large or cannot be represented"),
        (json!({ "slow_sync": "18446744073709551616s" }), "its numbers have up to nine digits"),
        (json!({ "retain_age": "1 fortnight" }), "retain_age: unknown time unit \"fortnight\""),
        (json!({ "when_full": "drop" }), "when_full: unknown variant `drop`, expected `refuse` or `wait`"),
        (json!({ "open_mode": "always" }), "open_mode: unknown variant `always`"),
        (json!({ "sync": "immediate" }), "sync: invalid type: string \"immediate\""),
        (json!({ "sync": {} }), "sync: missing field `policy`"),
        (json!({ "sync": { "policy": "often" } }), "sync.policy: unknown variant `often`"),
        (json!({ "sync": { "policy": "none", "every": 3 } }), "sync: unknown field `every`"),
        (json!({ "sync": { "policy": "none", "window": "3ms" } }), "sync: unknown field `window`"),
        (
            json!({ "sync": { "policy": "grouped", "entries": 3 } }),
            "sync: unknown field `entries`, expected `window`",
        ),
        (json!({ "sync": { "policy": "periodic", "entries": 3 } }), "sync: missing field `interval`"),
        (json!({ "sync": { "policy": "periodic", "interval": "3ms" } }), "sync: missing field `entries`"),
        (
            json!({ "sync": { "policy": "grouped", "window": true } }),
            "sync: expected a duration with its unit",
        ),
        (json!("64MiB"), "invalid type: string \"64MiB\", expected the options of a log"),
    ] {
        let error = from_json(value.clone()).expect_err(names);
        assert!(error.contains(names), "{value}: {error}");
    }
    let twice = serde_json::from_str::<Options>(r#"{ "background": true, "background": false }"#);
    assert!(twice.expect_err("it is there twice").to_string().contains("duplicate field `background`"));
}

#[test]
fn a_value_that_cannot_work_is_refused_at_open_by_its_name() {
    for (value, name) in [
        (json!({ "segment_bytes": 1 }), "segment_bytes"),
        (json!({ "segment_bytes": "33GiB" }), "segment_bytes"),
        (json!({ "max_entry_bytes": 0 }), "max_entry_bytes"),
        (json!({ "max_batch_bytes": 1 }), "max_batch_bytes"),
        (json!({ "max_in_flight_bytes": 0 }), "max_in_flight_bytes"),
        (json!({ "buffered_bytes": 1 }), "buffered"),
        (json!({ "slow_sync": "0s" }), "slow_sync"),
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
        segment_bytes = "1MiB"
        max_entry_bytes = 65_536
        background = false
        slow_sync = "500ms"
        retain_age = "1m30s"

        [wal.sync]
        policy = "periodic"
        entries = 1000
        interval = "2.5ms"
    "#;
    let Service { wal: options } = toml::from_str(file).expect("a good file");
    let expected = Options::new()
        .segment_bytes(1 << 20)
        .max_entry_bytes(1 << 16)
        .background(false)
        .retain_age(Duration::from_secs(90))
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
            "segment_bytes": "1MiB", "checksum": "crc32", "low_space_bytes": "1MiB",
            // What others decide.
            "max_batch_bytes": "256MiB", "zero_ahead": false,
            "sync": { "policy": "grouped", "window": "1ms" }, "max_entry_bytes": "500",
            "max_in_flight_bytes": "16MiB", "buffered_bytes": null, "background": false,
            "mapped_reads": true, "slow_sync": "1s", "first_sequence": null, "recycle": true,
            "retain_bytes": null, "retain_entries": null, "retain_age": null, "max_log_bytes": null,
            "when_full": "refuse", "open_mode": "create_or_open", "hold_limit_bytes": null, "roll_after": null,
        })
    );
}

#[test]
fn sizes_have_binary_units_and_nothing_that_could_be_misread() {
    for (size, shown_as) in [
        (json!(0), "0"),
        (json!("0"), "0"),
        (json!("007"), "7"),
        (json!("1024KiB"), "1MiB"),
        (json!("64 MiB"), "64MiB"),
        (json!("1.5GiB"), "1536MiB"),
        (json!("2TiB"), "2TiB"),
        (json!("3PiB"), "3PiB"),
        (json!("15EiB"), "15EiB"),
        (json!(u64::MAX), "18446744073709551615"),
        (json!("18446744073709551615"), "18446744073709551615"),
    ] {
        let read = from_json(json!({ "retain_bytes": size })).expect("a size");
        assert_eq!(shown(&read)["retain_bytes"], shown_as, "{size}");
    }
    for size in [
        "",
        " ",
        "KiB",
        "iB",
        "-1",
        "+1KiB",
        "1_000",
        "64K",
        "64k",
        "64KB",
        "64MB",
        "64M",
        "64B",
        "64XB",
        "64XiB",
        "0x10",
        "1e6",
        "٣",
        "18446744073709551616",
        "16EiB",
        "16777216TiB",
        "18446744073709551615KiB",
    ] {
        let error = from_json(json!({ "retain_bytes": size })).expect_err(size);
        assert!(error.starts_with("retain_bytes: ") && error.contains("as in 64MiB"), "{size}: {error}");
    }
}

/// Every power of two, its neighbours, and multiples that have a common divisor with a unit.
fn values() -> impl Iterator<Item = u64> {
    let powers = (0..64).map(|shift| 1_u64 << shift);
    let near = powers.flat_map(|power| {
        [power - 1, power, power.saturating_add(1), power.saturating_mul(3), power.saturating_mul(1000)]
    });
    near.chain([u64::MAX - 1, u64::MAX])
}

#[test]
fn what_is_written_reads_as_the_same_value_in_json_and_toml() {
    for value in values() {
        // As nanoseconds and as seconds, up to 285 million years.
        for span in [
            Duration::from_nanos(value),
            Duration::from_secs(value >> 11),
            Duration::new(value >> 11, 999_999_999),
        ] {
            let mut options = Options::new()
                .segment_bytes(value)
                .max_entry_bytes(value)
                .max_batch_bytes(value)
                .max_in_flight_bytes(value)
                .buffered(value)
                .low_space_bytes(value)
                .first_sequence(value >> 8)
                .retain_bytes(value)
                .retain_entries(value >> 1)
                .retain_age(span)
                .max_log_bytes(value)
                .hold_limit_bytes(value)
                .roll_after(span)
                .slow_sync(span);
            for policy in [
                SyncPolicy::None,
                SyncPolicy::Immediate,
                SyncPolicy::periodic(value >> 1, span),
                SyncPolicy::grouped(span),
            ] {
                options = options.sync(policy);
                let expected = format!("{options:?}");
                let json = serde_json::to_string(&options).expect("it can be written");
                let read: Options = serde_json::from_str(&json).expect("what is written can be read");
                assert_eq!(format!("{read:?}"), expected, "{json}");
                let toml = toml::to_string(&options).expect("it can be written");
                let read: Options = toml::from_str(&toml).expect("what is written can be read");
                assert_eq!(format!("{read:?}"), expected, "{toml}");
            }
        }
    }
}
