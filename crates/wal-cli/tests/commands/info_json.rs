//! The JSON of `info` against golden files: its shape is a promise.
use std::fs;
use std::path::Path;

use crate::support::{Log, damage};

/// The golden files are written anew by hand, from what a failing run prints.
fn assert_golden(log: &Log, name: &str, code: i32) {
    let ran = log.run(&["info", "-o", "json"]);
    assert_eq!(ran.code, Some(code), "{name}");
    let found = String::from_utf8(ran.stdout).expect("JSON is text");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let golden = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == golden, "{}: found\n{found}", file.display());
}

#[test]
fn the_manual_shows_what_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual = fs::read_to_string(root.join("../../docs/cli.md")).unwrap();
    let golden = fs::read_to_string(root.join("tests/golden/info_clean.json")).unwrap();
    assert!(manual.contains(&format!("```json\n{golden}```")));
}

#[test]
fn an_empty_log() {
    let log = Log::new();
    log.run(&["append"]);
    assert_golden(&log, "info_empty.json", 0);
}

#[test]
fn a_closed_log_of_two_segments() {
    let log = Log::new();
    log.append_one_by_one(&["--checksum", "crc64"], 0..3);
    log.append_one_by_one(&["--checksum", "crc32"], 3..5);
    fs::write(log.path.join("README"), "not of the log").unwrap();
    assert_golden(&log, "info_clean.json", 0);
}

#[test]
fn a_log_whose_writer_was_killed() {
    let (log, _) = Log::killed_under(&["--sync", "immediate"], 3);
    assert_golden(&log, "info_unclosed.json", 0);
}

#[test]
fn a_torn_log() {
    let (log, _) = Log::killed(10);
    damage(&log.segments()[0], "entry 8");
    assert_golden(&log, "info_torn.json", 0);
}

#[test]
fn a_log_with_a_missing_segment() {
    let (log, _) = Log::of_many_segments(500);
    fs::remove_file(&log.segments()[2]).unwrap();
    assert_golden(&log, "info_missing.json", 2);
}

#[test]
fn a_log_with_a_damaged_entry() {
    let (log, _) = Log::killed_under(&["--sync", "immediate"], 10);
    damage(&log.segments()[0], "entry 8");
    assert_golden(&log, "info_corrupt.json", 2);
}
