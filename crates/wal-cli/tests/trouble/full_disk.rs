//! When there is no room, the line is named, what came before it is kept, and the log can be gone on with.
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::support::{Log, POLICIES, lines, run, wait};

/// `append` with the greatest length of a file as its disk: no root is needed for that. The signal that
/// comes with it is ignored, so that the system's refusal is an error like any other.
fn append_on_a_small_disk(log: &Log, args: &[&str], file_kib: u64) -> Command {
    let script = format!("trap '' XFSZ; ulimit -f {file_kib}; exec \"$wal\" append -d \"$log\" \"$@\"");
    let mut command = Command::new("bash");
    command.args(["-c", &script, "append"]).args(args);
    command.env("wal", env!("CARGO_BIN_EXE_wal")).env("log", &log.path);
    command
}

/// More than fits: the first segments have 1 and 2 MiB, the third one is too long.
const ALL: usize = 300_000;

#[test]
fn a_line_that_finds_no_room_is_named_and_the_lines_before_it_are_kept() {
    let text = lines(0..ALL);
    for policy in POLICIES {
        let log = Log::new();
        let args = [&["--progress-acks"], policy].concat();
        let ran = run(&mut append_on_a_small_disk(&log, &args, 3 << 10), text.as_bytes());
        assert_eq!(ran.code, Some(1), "{policy:?}: {}", ran.stderr);

        let acks = String::from_utf8(ran.stdout).unwrap();
        let kept = acks.lines().count();
        assert!(kept > 0, "{policy:?}: the first segments are short and fit: {}", ran.stderr);
        assert!(acks.lines().map(|line| line.parse::<usize>().unwrap()).eq(0..kept), "{policy:?}");
        assert!(ran.stderr.contains(&format!("wal: line {}: ", kept + 1)), "{policy:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(&format!("the next entry is {kept}\n")), "{policy:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("appended entries"), "{policy:?}: {}", ran.stderr);
        assert!(log.cat() == lines(0..kept).as_bytes(), "{policy:?}");
        assert_eq!(log.run(&["verify"]).code, Some(0), "{policy:?}");

        // With room, the rest of the input goes on behind it.
        let rest = lines(kept..ALL);
        assert_eq!(log.run_with(&["append"], rest.as_bytes()).code, Some(0), "{policy:?}");
        assert!(log.cat() == text.as_bytes(), "{policy:?}");
    }
}

#[test]
fn nothing_is_waited_for_once_a_line_has_failed() {
    let log = Log::new();
    let mut child =
        append_on_a_small_disk(&log, &[], 64).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // No segment fits, and stdin stays open behind the line.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"a\n").unwrap();
    assert_eq!(wait(&mut child), Some(Some(1)));
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains("wal: line 1: ") && told.contains("the next entry is 0\n"), "{told}");
    assert_eq!(log.info()["ending"]["kind"], "empty");
}
