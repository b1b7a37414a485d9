//! `wal truncate`: what it drops, what it says, and what it leaves alone.
use std::fs;

use crate::support::Log;

/// Ten entries, in one frame.
fn ten() -> Log {
    let log = Log::new();
    let text: String = (0..10).map(|n| format!("entry {n}\n")).collect();
    assert_eq!(log.run_with(&["append"], text.as_bytes()).code, Some(0));
    log
}

fn entries(numbers: std::ops::Range<u64>) -> Vec<u8> {
    numbers.map(|n| format!("entry {n}\n")).collect::<String>().into_bytes()
}

#[test]
fn without_a_log_nothing_is_made() {
    let log = Log::new();
    for dry_run in [&[][..], &["--dry-run"]] {
        let ran = log.run(&[&["truncate", "--before", "1"], dry_run].concat());
        assert_eq!((ran.code, ran.stdout.as_slice()), (Some(5), &b""[..]), "{ran:?}");
        assert!(!log.path.exists());
    }
}

#[test]
fn one_place_is_to_be_named_and_only_one() {
    let log = ten();
    for places in
        [&[][..], &["--before", "1", "--after", "2"], &["--before"], &["--after", "-1"], &["--dry-run"]]
    {
        let ran = log.run(&[&["truncate"], places].concat());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.starts_with("wal: "), "{ran:?}");
    }
    assert_eq!(log.cat(), entries(0..10));
}

#[test]
fn a_place_that_the_log_does_not_have_is_refused_and_nothing_is_dropped() {
    let log = ten();
    assert_eq!(log.run(&["truncate", "--before", "4"]).code, Some(0));
    for place in [["--before", "11"], ["--after", "3"]] {
        for dry_run in [&[][..], &["--dry-run"]] {
            let ran = log.run(&[&["truncate"], &place[..], dry_run].concat());
            assert_eq!(ran.code, Some(1), "{ran:?}");
            assert!(ran.stderr.contains("the log holds 4 to before 10"), "{ran:?}");
        }
    }
    assert_eq!(log.cat(), entries(4..10));
}

#[test]
fn beside_a_writer_it_is_refused_and_a_dry_run_is_not() {
    let log = ten();
    let mut writer = log.writer(&[]);
    writer.send_one_by_one(10..11);
    let ran = log.run(&["truncate", "--after", "3"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert_eq!(log.run(&["truncate", "--after", "3", "--dry-run"]).code, Some(0));
    assert_eq!(writer.close(), Some(0));
    assert_eq!(log.cat(), entries(0..11));
}

#[test]
fn a_dry_run_says_what_would_be_dropped_and_changes_nothing() {
    let log = ten();
    let before: Vec<_> = files(&log);
    for (place, said) in [
        (["--before", "3"], "would drop entries 0 to 2; entries 3 to 9 would stay\n"),
        (["--before", "0"], "would drop no entry; entries 0 to 9 would stay\n"),
        (["--before", "10"], "would drop entries 0 to 9; no entry would stay\n"),
        (["--after", "8"], "would drop entry 9; entries 0 to 8 would stay\n"),
        (["--after", "0"], "would drop entries 1 to 9; entry 0 would stay\n"),
        (["--after", "9"], "would drop no entry; entries 0 to 9 would stay\n"),
    ] {
        let ran = log.run(&[&["truncate", "--dry-run"], &place[..]].concat());
        assert_eq!((ran.code, String::from_utf8_lossy(&ran.stdout).as_ref()), (Some(0), said), "{ran:?}");
        assert_eq!(files(&log), before);
    }
}

fn files(log: &Log) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(&log.path).expect("the log is there");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("it is listed").path())
        .map(|path| (path.clone(), fs::read(path).expect("it is a file")))
        .collect();
    files.sort();
    files
}

#[test]
fn what_is_dropped_is_gone_and_appends_go_on_behind_it() {
    let log = ten();
    for (place, said) in [
        (["--before", "3"], "dropped entries 0 to 2; entries 3 to 9 stay\n"),
        (["--before", "3"], "dropped no entry; entries 3 to 9 stay\n"),
        (["--after", "7"], "dropped entries 8 to 9; entries 3 to 7 stay\n"),
        (["--after", "20"], "dropped no entry; entries 3 to 7 stay\n"),
    ] {
        let ran = log.run(&[&["truncate"], &place[..]].concat());
        assert_eq!((ran.code, String::from_utf8_lossy(&ran.stdout).as_ref()), (Some(0), said), "{ran:?}");
    }
    assert_eq!(log.cat(), entries(3..8));
    assert_eq!(log.run_with(&["append"], b"new\n").code, Some(0));
    assert_eq!(log.cat(), [entries(3..8), b"new\n".to_vec()].concat());
    let info = log.info();
    assert_eq!((&info["first"], &info["last"]), (&3.into(), &8.into()));
    let ran = log.run(&["verify"]);
    assert!(ran.code == Some(0) && ran.stdout.starts_with(b"clean; entries 6, "), "{ran:?}");
}

#[test]
fn whole_segments_in_front_of_the_place_are_removed() {
    let (log, _) = Log::of_many_segments(400);
    let before = log.segments().len();
    assert_eq!(log.run(&["truncate", "--before", "399"]).code, Some(0));
    assert_eq!(log.cat(), entries(399..400));
    assert!(log.segments().len() < before, "{:?}", log.segments());
    assert_eq!(log.segments().len(), 1);
}
