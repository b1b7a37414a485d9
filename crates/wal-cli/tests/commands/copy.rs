//! `wal copy`: a copy of a log, closed, killed or being written; and `append --first-sequence`.
use std::fs;
use std::process::Command;

use crate::support::{Log, lines};

fn in_parent(log: &Log, args: &[&str]) -> crate::support::Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wal"));
    command.args(args).current_dir(log.path.parent().expect("it has one"));
    crate::support::run(&mut command, b"")
}

#[test]
fn a_copy_holds_the_log_and_the_log_is_left_as_it_is() {
    for (log, text) in [Log::of_many_segments(400), Log::killed(30)] {
        let before = log.contents();
        let ran = log.run(&["copy", "second"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let said = String::from_utf8(ran.stdout).expect("text");
        assert!(said.starts_with("copied entries 0 to ") && said.contains("; segments "), "{said}");
        assert!(log.contents() == before, "it changed something");
        assert_eq!(in_parent(&log, &["cat", "-d", "second"]).stdout, text.as_bytes());
        assert_eq!(in_parent(&log, &["verify", "-d", "second"]).code, Some(0));
        let again = log.run(&["copy", "second"]);
        assert_eq!(again.code, Some(1), "{again:?}");
        assert!(again.stderr.contains("not empty"), "{again:?}");
    }
}

#[test]
fn beside_a_writer_a_copy_holds_everything_that_was_acknowledged() {
    let log = Log::new();
    let mut writer = log.writer(&["--segment-size", "12KiB"]);
    for round in 0..5 {
        writer.send_one_by_one(round * 60..(round + 1) * 60);
        let name = format!("copy {round}");
        let ran = log.run(&["copy", &name]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let copied = in_parent(&log, &["cat", "-d", &name]);
        assert_eq!(copied.stdout, lines(0..(round + 1) * 60).as_bytes());
    }
    assert_eq!(writer.close(), Some(0));
}

#[test]
fn a_damaged_log_or_none_is_not_copied() {
    let (log, _) = Log::of_many_segments(400);
    crate::support::damage(&log.segments()[1], "entry 100");
    let ran = log.run(&["copy", "second"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("00000000000000000002.wal"), "{ran:?}");
    let second = log.path.with_file_name("second");
    let left: Vec<_> =
        fs::read_dir(second).expect("it was made").map(|name| name.expect("a name").file_name()).collect();
    assert_eq!(left, ["LOCK"]);
    assert_eq!(Log::new().run(&["copy", "second"]).code, Some(5));
}

#[test]
fn a_new_log_begins_with_the_number_that_is_asked_for_and_one_that_is_there_goes_on() {
    let log = Log::new();
    let args = ["append", "--first-sequence", "1000"];
    let ran = log.run_with(&args, b"a\nb\n");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("appended entries 1000 to 1001"), "{ran:?}");
    let info = log.info();
    assert_eq!((info["first"].as_u64(), info["next"].as_u64()), (Some(1000), Some(1002)));
    let ran = log.run_with(&["append", "--first-sequence", "7"], b"c\n");
    assert!(ran.stderr.contains("appended entries 1002 to 1002"), "{ran:?}");
    assert_eq!(log.run(&["cat", "--from", "1001"]).stdout, b"b\nc\n");
    assert_eq!(log.run(&["verify"]).code, Some(0));
    for beyond in ["72057594037927936", "-1", "x"] {
        let other = Log::new();
        let ran = other.run_with(&["append", "--first-sequence", beyond], b"a\n");
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(!other.path.exists());
    }
}
