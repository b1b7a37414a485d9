//! `cat --follow` beside a writer in another process: prints what comes at once, whatever becomes of the writer.
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::support::{Log, lines, wait};

/// A running `cat --follow`.
struct Follows {
    child: Child,
    /// None once the pipe is closed.
    printed: Option<BufReader<ChildStdout>>,
}

impl Follows {
    fn begin(log: &Log, args: &[&str]) -> Follows {
        let mut command = log.command(&[&["cat", "--follow"], args].concat());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let printed = child.stdout.take().map(BufReader::new);
        Follows { child, printed }
    }

    #[track_caller]
    fn prints(&mut self, expected: &str) {
        let mut found = vec![0; expected.len()];
        let printed = self.printed.as_mut().expect("the pipe is open");
        printed.read_exact(&mut found).expect("it prints");
        assert_eq!(String::from_utf8_lossy(&found), expected);
    }

    /// How it ends, and what it says on stderr.
    fn end(&mut self) -> (Option<Option<i32>>, String) {
        let code = wait(&mut self.child);
        let mut told = String::new();
        let mut stderr = self.child.stderr.take().expect("stderr is a pipe");
        stderr.read_to_string(&mut told).expect("messages are text");
        (code, told)
    }
}

impl Drop for Follows {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Over rollovers, closes and kills -9 of the writer, at once and without a repetition; what is written.
#[test]
fn each_entry_is_printed_once_and_while_the_writer_waits_also_behind_kills() {
    for sync in ["none", "grouped", "immediate"] {
        let log = Log::new();
        let args = ["--segment-size", "12KiB", "--sync", sync];
        let mut next = 0;
        let mut writer = log.writer(&args);
        writer.send_one_by_one(0..5);
        let mut follows = Follows::begin(&log, &["--written"]);
        let mut behind = Follows::begin(&log, &["--written", "--from", "5"]);
        let mut durable = Follows::begin(&log, &[]);
        follows.prints(&lines(0..5));
        next += 5;
        for round in 0..6 {
            let to = next + 40 + 10 * round;
            // A line, and it is there, while the writer waits for the next one.
            writer.send_one_by_one(next..next + 1);
            follows.prints(&lines(next..next + 1));
            writer.send_one_by_one(next + 1..to);
            follows.prints(&lines(next + 1..to));
            next = to;
            if round % 2 == 0 {
                writer.kill();
            } else {
                assert_eq!(writer.close(), Some(0));
            }
            writer = log.writer(&args);
        }
        assert_eq!(writer.close(), Some(0));
        behind.prints(&lines(5..next));
        durable.prints(&lines(0..next));
        assert!(log.segments().len() > 3, "{sync}");
    }
}

#[test]
fn it_ends_with_the_entry_that_was_named_or_the_number_of_them() {
    for (args, printed) in [(&["--from", "3", "--to", "11"][..], 3..12), (&["--limit", "12"], 0..12)] {
        let log = Log::new();
        log.append_one_by_one(&[], 0..10);
        let mut follows = Follows::begin(&log, args);
        follows.prints(&lines(printed.start..10));
        log.append_one_by_one(&[], 10..20);
        follows.prints(&lines(10..printed.end));
        let mut rest = Vec::new();
        follows.printed.as_mut().unwrap().read_to_end(&mut rest).unwrap();
        assert_eq!((rest, follows.end()), (Vec::new(), (Some(Some(0)), String::new())), "{args:?}");
    }
}

#[test]
fn a_reader_who_leaves_ends_it_and_is_no_error() {
    let log = Log::new();
    let mut writer = log.writer(&[]);
    writer.send_one_by_one(0..3);
    let mut follows = Follows::begin(&log, &["--written"]);
    let mut line = String::new();
    follows.printed.as_mut().unwrap().read_line(&mut line).unwrap();
    assert_eq!(line, lines(0..1));
    follows.printed = None;
    writer.send_one_by_one(3..5);
    assert_eq!(follows.end(), (Some(Some(0)), String::new()));
    assert_eq!(writer.close(), Some(0));
}

#[test]
fn what_was_printed_and_is_cut_off_is_told() {
    let log = Log::new();
    log.append_one_by_one(&[], 0..10);
    let mut follows = Follows::begin(&log, &[]);
    follows.prints(&lines(0..10));
    assert_eq!(log.run(&["truncate", "--after", "4"]).code, Some(0));
    let (code, told) = follows.end();
    assert_eq!(code, Some(Some(1)));
    assert!(told.starts_with("wal: ") && told.contains("from 5 on"), "{told}");
}

#[test]
fn without_a_log_it_does_not_wait_for_one() {
    let log = Log::new();
    assert_eq!(log.run(&["cat", "--follow"]).code, Some(5));
    assert_eq!(log.run(&["cat", "--follow", "--reverse"]).code, Some(1));
    assert_eq!(log.run(&["cat", "--written"]).code, Some(1), "only with --follow");
}

/// The writer is killed in the middle of whatever it does, over and over: what was printed is the log.
#[test]
fn what_is_printed_beside_a_writer_that_is_killed_at_any_moment_is_the_log() {
    for sync in ["none", "grouped"] {
        let log = Log::new();
        let args = ["--segment-size", "64KiB", "--sync", sync];
        log.append_one_by_one(&args, 0..1);
        let mut follows = Follows::begin(&log, &["--written"]);
        let mut durable = Follows::begin(&log, &[]);
        for round in 0..8 {
            let mut writer = log.writer(&args);
            let mut stdin = writer.take_stdin();
            // Ends when the writer is killed.
            let feeder = thread::spawn(move || {
                while stdin.write_all(lines(round * 1000..round * 1000 + 100).as_bytes()).is_ok() {}
            });
            for _ in 0..(1 + round * 700) {
                writer.ack();
            }
            writer.kill();
            feeder.join().unwrap();
        }
        // What a kill leaves half written is cut off by the next append.
        log.run_with(&["append"], b"the last line\n");
        let log_now = log.cat();
        for follows in [&mut follows, &mut durable] {
            let mut printed = vec![0; log_now.len()];
            follows.printed.as_mut().unwrap().read_exact(&mut printed).unwrap();
            assert!(printed == log_now, "{sync}");
        }
    }
}

/// Under `none` nothing is durable before the writer ends; otherwise the disk states it within about a second.
#[test]
fn it_prints_what_is_durable_and_with_written_what_is_not_yet() {
    let log = Log::new();
    let mut writer = log.writer(&["--sync", "none"]);
    writer.send_one_by_one(0..5);
    let mut written = Follows::begin(&log, &["--written", "--limit", "5"]);
    written.prints(&lines(0..5));
    assert_eq!(written.end(), (Some(Some(0)), String::new()));
    let mut durable = Follows::begin(&log, &["--limit", "8"]);
    let printed = durable.printed.take().expect("the pipe is open");
    let (send, prints) = mpsc::channel();
    let reads = thread::spawn(move || printed.lines().for_each(|line| send.send(line.unwrap()).unwrap()));
    let next = |number: usize| {
        let line = prints.recv_timeout(Duration::from_secs(30)).expect("it prints");
        assert_eq!(line, format!("entry {number}"));
    };
    assert!(prints.recv_timeout(Duration::from_millis(300)).is_err(), "nothing states that it is durable");
    assert!(log.info()["durable"].is_null());
    assert_eq!(writer.close(), Some(0));
    (0..5).for_each(next);
    let mut writer = log.writer(&["--sync", "immediate"]);
    writer.send_one_by_one(5..8);
    // The writer waits, and nothing comes behind the last entry.
    (5..8).for_each(next);
    assert_eq!(durable.end(), (Some(Some(0)), String::new()));
    assert_eq!(writer.close(), Some(0));
    reads.join().unwrap();
}
