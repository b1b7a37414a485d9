//! Counts the syncs of engines as a user does, with the program itself. Without strace, or where it may not trace,
//! only what is said then is tested.

use std::fs::read_to_string;
use std::process::{Command, Output};

fn syncs(arguments: &[&str], search_path: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_compare"));
    command.arg("syncs").args(arguments);
    if let Some(search_path) = search_path {
        command.env("PATH", search_path);
    }
    command.output().expect("the program is there")
}

fn can_trace() -> bool {
    Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .status()
        .is_ok_and(|status| status.success())
}

#[test]
fn every_durable_append_is_seen_to_sync_and_none_is_without() {
    if !can_trace() {
        println!("skipped: strace is not there, or may not trace");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("syncs.jsonl");
    let (dir, json_name) = (directory.path().to_str().unwrap(), json.to_str().unwrap());
    let output = syncs(&["--dir", dir, "--engines", "wal-db", "--json", json_name], None);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<serde_json::Value> =
        read_to_string(&json).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines.iter().map(|line| (line["section"].as_str(), line["syncs"].as_u64())).collect();
    assert_eq!(told, [(Some("threads"), Some(200)), (Some("none"), Some(0))]);
    assert!(lines.iter().all(|line| line["kind"] == "syncs" && line["appends"] == 200), "{lines:?}");
}

#[test]
fn without_strace_it_fails_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().to_str().unwrap();
    let output = syncs(&["--dir", dir, "--engines", "wal-db"], Some(dir));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("strace, which is not installed"), "{said}");
}
