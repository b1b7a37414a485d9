//! The loops with small budgets. They drive the real binaries, as the large runs do.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const PROOF: &str = env!("CARGO_BIN_EXE_wal-proof");

/// The `wal` binary of these sources. It belongs to another package, so Cargo does not build it for this
/// test; and one that happens to lie there may be old.
fn wal() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let profile_directory = Path::new(PROOF).parent().expect("a binary lies in a directory");
        let target = profile_directory.parent().expect("a profile lies in a target directory");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "-p", "wal-cli", "--bin", "wal", "--target-dir"]).arg(target);
        if profile_directory.ends_with("release") {
            build.arg("--release");
        }
        let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("Cargo can be run");
        assert!(built.success(), "wal-cli does not build");
        profile_directory.join(format!("wal{}", std::env::consts::EXE_SUFFIX))
    })
}

fn proof(args: &[&str]) -> Output {
    Command::new(PROOF).args(args).arg("--wal").arg(wal()).output().expect("wal-proof can be run")
}

fn assert_held(output: &Output, told: &str) {
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains(told), "{stdout}");
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged_under_immediate() {
    assert_held(&proof(&["kill", "--rounds", "8", "--seed", "11"]), "lost              0");
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged_under_none() {
    assert_held(&proof(&["kill", "--rounds", "8", "--seed", "12", "--sync", "none"]), "lost              0");
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged_under_the_policies_with_a_background() {
    for policy in ["grouped", "periodic"] {
        assert_held(
            &proof(&["kill", "--rounds", "8", "--seed", "13", "--sync", policy]),
            "lost              0",
        );
    }
}

#[test]
fn many_lines_come_back_and_the_writer_does_not_grow() {
    let budget = ["bulk", "--lines", "200000", "--bytes-per-line", "100"];
    assert_held(&proof(&budget), "lines that differ                  0");
}

#[test]
fn without_a_wal_binary_the_loops_say_how_to_build_one() {
    for command in ["kill", "bulk"] {
        let output = Command::new(PROOF).args([command, "--wal", "no/such/file"]).output().expect("it runs");
        assert!(!output.status.success());
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(stdout.contains("cargo build -p wal-cli"), "{stdout}");
    }
}

/// A `wal` that keeps one promise less than the real one.
#[cfg(unix)]
fn broken_wal(directory: &Path, cat: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = directory.join("wal");
    let real = wal().display();
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = cat ]; then \"{real}\" \"$@\" | {cat}; else exec \"{real}\" \"$@\"; fi\n"
    );
    std::fs::write(&path, script).expect("a script can be written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("and made executable");
    path
}

#[cfg(unix)]
#[test]
fn the_loops_notice_a_wal_that_loses_or_changes_lines() {
    for (cat, told) in [
        ("head -n 1", "FAILED"),
        ("sed 1d", "instead of line 0"),
        ("tr 5 6", "instead of line"),
        ("cat; echo", "instead of line"),
    ] {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let wal = broken_wal(scratch.path(), cat);
        let logs = scratch.path().join("logs");
        let kill = ["kill", "--rounds", "6", "--seed", "5", "--sync", "none"];
        let output = Command::new(PROOF).args(kill).arg("--wal").arg(&wal).arg("--dir").arg(&logs).output();
        let output = output.expect("it runs");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && stdout.contains(told), "{cat}: {stdout}");
        assert!(stdout.contains("again: wal-proof kill --seed 5 --rounds"), "{cat}: {stdout}");

        let output = Command::new(PROOF).args(["bulk", "--lines", "5000", "--wal"]).arg(&wal).output();
        let output = output.expect("it runs");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && stdout.contains("FAILED"), "{cat}: {stdout}");
    }
}
