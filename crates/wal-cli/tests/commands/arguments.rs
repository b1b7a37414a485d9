//! Arguments that cannot work are refused before anything is done, and limits are kept.
use std::fs;
use std::process::Command;

use crate::support::{Log, run};

#[test]
fn an_argument_that_cannot_work_is_exit_1_and_touches_nothing() {
    for (args, names) in [
        (&["append", "--segment-size", "0"][..], "segment_bytes"),
        (&["append", "--segment-size", "1"], "segment_bytes"),
        (&["append", "--segment-size", "33GiB"], "segment_bytes"),
        (&["append", "--segment-size", "-1"], "--segment-size"),
        (&["append", "--segment-size", "99999999999999999999"], "less than 2^64 bytes"),
        (&["append", "--segment-size", "99999999999TiB"], "less than 2^64 bytes"),
        (&["append", "--segment-size", "64XB"], "KiB, MiB, GiB or TiB"),
        (&["append", "--segment-size", "64MB"], "KiB, MiB, GiB or TiB"),
        (&["append", "--segment-size", ""], "--segment-size"),
        (&["append", "--max-entry-bytes", "0"], "max_entry_bytes"),
        (&["append", "--max-entry-bytes", "4GiB"], "max_entry_bytes"),
        (&["append", "--sync", "sometimes"], "[possible values: none, immediate, periodic, grouped]"),
        (&["append", "--sync", "Grouped"], "[possible values: none, immediate, periodic, grouped]"),
        (
            &["append", "--sync", "none", "--window", "1ms"],
            "--window is for --sync grouped, not for --sync none",
        ),
        (&["append", "--sync", "immediate", "--window", "1ms"], "not for --sync immediate"),
        (&["append", "--sync", "periodic", "--window", "1ms"], "not for --sync periodic"),
        (&["append", "--interval", "1s"], "--interval is for --sync periodic, not for --sync grouped"),
        (&["append", "--entries", "9"], "--entries is for --sync periodic, not for --sync grouped"),
        (&["append", "--sync", "none", "--entries", "9"], "not for --sync none"),
        (&["append", "--sync", "immediate", "--interval", "1s"], "not for --sync immediate"),
        (&["append", "--window", "99us"], "--window is 99us; it must be at least 100us"),
        (&["append", "--window", "0s"], "--window is 0s; it must be at least 100us"),
        (
            &["append", "--sync", "periodic", "--interval", "99us"],
            "--interval is 99us; it must be at least 100us",
        ),
        (&["append", "--sync", "periodic", "--entries", "0"], "--entries is 0; it must be at least 1"),
        (&["append", "--sync", "periodic", "--entries", "-1"], "--entries"),
        (&["append", "--window", "1"], "time unit needed, for example 1sec or 1ms"),
        (&["append", "--window", "-1ms"], "expected number"),
        (&["append", "--sync", "periodic", "--interval", "1.s"], "invalid character"),
        (
            &["append", "--sync", "periodic", "--interval", "18446744073709551616s"],
            "its numbers have up to nine digits",
        ),
        (&["append", "--checksum", "md5"], "[possible values: crc32, crc64]"),
        (&["append", "file"], "file"),
        (&["cat", "--from", "-1"], "--from"),
        (&["cat", "--to", "18446744073709551616"], "--to"),
        (&["cat", "--limit", "many"], "--limit"),
        (&["info", "-o", "yaml"], "yaml"),
        (&["verify", "--from", "1"], "--from"),
        (&["destroy"], "destroy"),
        (&[], "subcommand"),
    ] {
        let log = Log::new();
        let ran = log.run_with(args, b"a\n");
        assert_eq!((ran.code, ran.stdout.len()), (Some(1), 0), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("wal: ") && ran.stderr.contains(names), "{args:?}: {}", ran.stderr);
        assert!(!log.path.exists(), "{args:?} made a log");
    }
}

#[test]
fn help_and_version_are_exit_0() {
    for args in [&["--help"][..], &["--version"], &["append", "--help"], &["help", "cat"]] {
        let ran = run(Command::new(env!("CARGO_BIN_EXE_wal")).args(args), b"");
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(!ran.stdout.is_empty());
    }
}

#[test]
fn a_line_above_the_limit_is_named_and_the_lines_before_it_are_kept() {
    for (input, number) in [
        (&b"12345678\n\n123456789\nx\n"[..], "line 3 "),
        (b"12345678\n\n123456789", "line 3 "),
        (&[b"12345678\n\n".to_vec(), vec![b'x'; 5 << 20]].concat(), "line 3 "),
    ] {
        let log = Log::new();
        let ran = log.run_with(&["append", "--max-entry-bytes", "8"], input);
        assert_eq!(ran.code, Some(1));
        assert!(ran.stderr.contains(number) && ran.stderr.contains("(8)"), "{}", ran.stderr);
        assert_eq!(log.cat(), b"12345678\n\n");
        assert_eq!(log.info()["ending"]["kind"], "clean");
    }
}

#[test]
fn a_first_line_above_the_limit_leaves_an_empty_log() {
    let log = Log::new();
    let ran = log.run_with(&["append", "--max-entry-bytes", "1KiB"], &[b'x'; 1025]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("line 1 "), "{}", ran.stderr);
    assert_eq!(log.info()["ending"]["kind"], "empty");
}

#[test]
fn a_directory_that_is_a_file_or_has_no_parent_is_exit_1() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("file");
    fs::write(&file, "not a log").unwrap();
    let orphan = scratch.path().join("no").join("parent");
    let wal = |command: &str, path: &std::path::Path| {
        run(Command::new(env!("CARGO_BIN_EXE_wal")).arg(command).arg("-d").arg(path), b"a\n")
    };
    for command in ["append", "cat", "info", "verify"] {
        let ran = wal(command, &file);
        assert_eq!(ran.code, Some(1), "{command}: {}", ran.stderr);
        assert!(ran.stderr.contains(file.to_str().unwrap()), "{command}: {}", ran.stderr);
    }
    assert_eq!(wal("append", &orphan).code, Some(1));
    assert_eq!(fs::read(&file).unwrap(), b"not a log");
}

#[test]
fn where_there_is_no_log_reading_is_exit_5_and_makes_none() {
    let log = Log::new();
    for command in ["cat", "info", "verify"] {
        let ran = log.run(&[command]);
        assert_eq!((ran.code, ran.stdout.len()), (Some(5), 0), "{command}: {}", ran.stderr);
        assert!(ran.stderr.contains("no log"), "{}", ran.stderr);
        assert!(!log.path.exists());
    }
    fs::create_dir(&log.path).unwrap();
    for command in ["cat", "info", "verify"] {
        assert_eq!(log.run(&[command]).code, Some(5), "{command}");
        assert_eq!(fs::read_dir(&log.path).unwrap().count(), 0, "{command}");
    }
}

#[test]
fn quiet_says_nothing_when_all_is_well() {
    let log = Log::new();
    for args in [&["append", "-q"][..], &["cat", "-q"], &["info", "-q"], &["verify", "-q"]] {
        assert_eq!(log.run_with(args, b"a\n").stderr, "", "{args:?}");
    }
    assert!(log.run_with(&["append"], b"b\n").stderr.contains("entries 1 to 1"));
}
