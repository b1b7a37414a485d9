//! Acknowledgements come before they are waited for, and a reader may leave at any time.
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use crate::support::{Log, POLICIES, lines, run, wait};

#[test]
fn an_acknowledgement_never_waits_for_further_input() {
    for args in POLICIES.map(<[&str]>::to_vec).into_iter().chain([vec!["--sync", "none", "--null"]]) {
        let log = Log::new();
        let end: &[u8] = if args.contains(&"--null") { b"\0" } else { b"\n" };
        let mut writer = log.writer(&args);
        for sequence in 0..50 {
            writer.send(b"a line");
            writer.send(end);
            assert_eq!(writer.ack(), sequence, "{args:?}");
        }
        writer.send(&[b"a", end, b"b", end, b"half of a line"].concat());
        assert_eq!((writer.ack(), writer.ack()), (50, 51), "{args:?}");
        writer.send(end);
        assert_eq!(writer.ack(), 52, "{args:?}");
        assert_eq!(writer.close(), Some(0));
    }
}

#[test]
fn acknowledgements_are_complete_and_in_order() {
    let text = lines(0..200_000);
    let numbers: String = (0..200_000).map(|sequence| format!("{sequence}\n")).collect();
    for policy in POLICIES {
        let log = Log::new();
        let ran = log.run_with(&[&["append", "--progress-acks"], policy].concat(), text.as_bytes());
        assert_eq!(ran.code, Some(0), "{policy:?}: {}", ran.stderr);
        assert!(ran.stdout == numbers.as_bytes(), "{policy:?}");
        assert!(ran.stderr.contains("entries 0 to 199999"), "{policy:?}: {}", ran.stderr);
        assert!(log.cat() == text.as_bytes(), "{policy:?}");
    }
}

#[test]
fn every_acknowledged_entry_is_there_after_a_kill() {
    for policy in POLICIES {
        let log = Log::new();
        let mut writer = log.writer(&[&["--segment-size", "64KiB"], policy].concat());
        let mut stdin = writer.take_stdin();
        // Ends when the writer is killed.
        let feeder = thread::spawn(move || {
            (0..)
                .step_by(100)
                .take_while(|first| stdin.write_all(lines(*first..*first + 100).as_bytes()).is_ok())
                .count()
        });
        let mut next = 0;
        while next < 20_000 {
            assert_eq!(writer.ack(), next, "{policy:?}");
            next += 1;
        }
        for sequence in writer.kill_and_read() {
            assert_eq!(sequence, next, "{policy:?}");
            next += 1;
        }
        let fed = (feeder.join().unwrap() + 1) * 100;
        let found = log.cat();
        let kept = found.iter().filter(|byte| **byte == b'\n').count();
        assert!(kept as u64 >= next, "{policy:?}: {next} acknowledged, {kept} kept");
        assert!(lines(0..fed).as_bytes().starts_with(&found), "{policy:?}");
    }
}

#[test]
fn a_reader_of_cat_may_leave() {
    let log = Log::new();
    log.run_with(&["append", "--sync", "none"], lines(0..200_000).as_bytes());
    let mut child = log.command(&["cat"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 8];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut some).unwrap();
    assert_eq!(&some, b"entry 0\n");
    drop(stdout);
    assert_eq!(wait(&mut child), Some(Some(0)));
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(told, "");
}

#[test]
fn nobody_who_listens_changes_no_exit_code() {
    let (log, _) = Log::of_many_segments(2000);
    let shell = |line: &str| {
        let mut command = Command::new("bash");
        let script = format!("{line} | true; exit ${{PIPESTATUS[0]}}");
        let binary = env!("CARGO_BIN_EXE_wal");
        run(command.args(["-c", &script]).env("wal", binary).current_dir(&log.path), b"")
    };
    for line in ["\"$wal\" cat", "\"$wal\" info", "\"$wal\" verify", "\"$wal\" --help"] {
        let ran = shell(&format!("sleep 0.1; {line}"));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{line}");
    }
    crate::support::damage(&log.segments()[1], "entry");
    let ran = shell("sleep 0.1; \"$wal\" verify 2>&1");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), ""));
}

#[test]
fn entries_are_kept_when_nobody_reads_the_acknowledgements() {
    for policy in POLICIES {
        let log = Log::new();
        let mut child = log
            .command(&[&["append", "--progress-acks"], policy].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(lines(0..50_000).as_bytes()).unwrap();
        drop(stdin);
        assert_eq!(wait(&mut child), Some(Some(0)), "{policy:?}");
        assert!(log.cat() == lines(0..50_000).as_bytes(), "{policy:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_exit_1_and_entries_are_kept() {
    let log = Log::new();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let mut child = log
        .command(&["append", "--progress-acks"])
        .stdin(Stdio::piped())
        .stdout(full())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"a\n").unwrap();
    assert_eq!(wait(&mut child), Some(Some(1)));
    assert_eq!(log.cat(), b"a\n");
    for args in [&["cat"][..], &["info"], &["verify"]] {
        let status = log.command(args).stdout(full()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(1), "{args:?}");
    }
}

#[test]
fn standard_input_that_cannot_be_read_is_exit_1_and_leaves_a_closed_log() {
    let log = Log::new();
    let mut command = log.command(&["append"]);
    let status = command.stdin(File::open("/").unwrap()).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(log.info()["ending"]["kind"], "empty");
}

// Another program cut the segments short (a rotation that copies and truncates, a restore over the live directory) that
// `cat` had mapped, and it ended with a signal.
#[cfg(unix)]
#[test]
fn cat_without_mappings_tells_of_a_file_that_is_cut_short_and_ends_with_no_signal() {
    let log = Log::new();
    let line = [b'x'; 1000];
    let text = [&line[..], b"\n"].concat().repeat(3000);
    let ran = log.run_with(&["append", "--segment-size", "256KiB"], &text);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(log.run(&["cat", "--no-mmap"]).stdout == text, "the same bytes");
    let mut child = log
        .command(&["cat", "--no-mmap"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this program runs");
    let mut stdout = child.stdout.take().expect("it is piped");
    let mut begun = [0; 100];
    stdout.read_exact(&mut begun).expect("it prints");
    // It waits for its reader by now, with most of the log before it.
    for segment in log.segments() {
        File::options().write(true).open(&segment).and_then(|file| file.set_len(0)).expect("it is there");
    }
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).expect("it prints");
    assert_eq!(wait(&mut child), Some(Some(2)), "what is missing is damage");
    assert!(rest.len() < text.len() && [&begun[..], &rest].concat().iter().all(|byte| text.contains(byte)));
}
