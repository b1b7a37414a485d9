//! Commands under `ulimit -n`.
#![cfg(unix)]
use std::process::Command;

use crate::support::{Log, run};

const SEGMENTS: usize = 100;

#[test]
fn commands_read_and_write_any_number_of_segments_with_32_descriptors() {
    let log = Log::new();
    let line = "x".repeat(6000);
    let text = format!("{line}\n").repeat(SEGMENTS);
    let append = ["append", "--segment-size", "12KiB", "--sync", "immediate", "-q"];
    let limited = |args: &[&str], input: &str| {
        let command = log.command(args);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "ulimit -n 32 && exec \"$@\"", "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        shell.current_dir(command.get_current_dir().expect("it has one"));
        let ran = run(&mut shell, input.as_bytes());
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.stderr);
        ran.stdout
    };
    limited(&append, &text);
    assert!(log.segments().len() >= SEGMENTS, "{:?}", log.segments());
    assert_eq!(limited(&["cat"], ""), text.as_bytes());
    assert_eq!(limited(&["cat", "--no-mmap"], ""), text.as_bytes());
    for command in [&["info"][..], &["verify"], &["repair"], &["copy", "copy"]] {
        limited(command, "");
    }
    limited(&append, &text);
    assert_eq!(limited(&["cat"], ""), text.repeat(2).as_bytes());
}
