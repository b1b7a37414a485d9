//! `wal repair`: what it keeps, what it says is lost, and that it leaves the damaged log alone.
use std::fs;

use crate::support::{Log, damage, lines};

/// A closed log of 400 entries, each in a frame of its own.
fn log() -> Log {
    Log::of_many_segments(400).0
}

/// Text of another log, in the same parent.
fn cat(log: &Log, name: &str) -> String {
    String::from_utf8(log.cat_in(name)).expect("text")
}

fn out(stdout: &[u8]) -> String {
    String::from_utf8(stdout.to_vec()).expect("text")
}

#[test]
fn without_a_place_to_write_to_it_only_says_what_there_is() {
    let log = log();
    damage(&log.segments()[1], "entry 100");
    let before = log.contents();
    let ran = log.run(&["repair"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let said = out(&ran.stdout);
    assert!(said.starts_with("kept entries 0 to 99\nlost entry 100: /"), "{said}");
    assert!(said.contains("payload checksum mismatch"), "{said}");
    assert!(said.contains("left out entries 101 to 399: "), "{said}");
    assert!(said.ends_with("dry run: 100 entries can be kept, 299 would be left out, 1 lost\n"), "{said}");
    assert!(log.contents() == before, "it changed something");
}

#[test]
fn what_is_in_front_of_the_first_gap_is_put_into_a_new_log_under_its_numbers() {
    let log = log();
    assert_eq!(log.run(&["truncate", "--before", "50"]).code, Some(0));
    damage(&log.segments()[1], "entry 120");
    let before = log.contents();
    let ran = log.run(&["repair", "--out", "new"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(out(&ran.stdout).contains("70 entries are in new, 279 were left out"), "{ran:?}");
    assert_eq!(cat(&log, "new"), lines(50..120));
    assert!(log.contents() == before, "it changed something");
    let again = log.run(&["repair", "--out", "new"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stderr.contains("new: not empty"), "{again:?}");
    assert_eq!(log.run(&["repair", "--out", "log"]).code, Some(1));
}

#[test]
fn across_gaps_everything_is_kept_under_numbers_without_a_gap() {
    let log = log();
    damage(&log.segments()[1], "entry 100");
    fs::remove_file(&log.segments()[2]).expect("it can be removed");
    let ran = log.run(&["repair", "--out", "new", "--across-gaps"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let said = out(&ran.stdout);
    assert!(said.contains("kept entries 0 to 99\n"), "{said}");
    assert!(said.contains("lost entry 100: "), "{said}");
    assert!(said.contains(" as 100 to "), "{said}");
    assert!(said.contains("the segment is missing"), "{said}");
    let kept = cat(&log, "new");
    assert!(kept.starts_with(&format!("{}{}", lines(0..100), lines(101..110))), "{kept}");
    assert!(kept.ends_with("entry 399\n"), "{kept}");
    assert!(
        said.contains(&format!("{} entries are in new, 0 were left out", kept.lines().count())),
        "{said}"
    );
}

#[test]
fn a_log_without_an_anchor_is_put_into_one_that_opens() {
    let log = log();
    fs::remove_file(log.path.join("ANCHOR")).expect("it can be removed");
    assert_eq!(log.run(&["cat"]).code, Some(2));
    let ran = log.run(&["repair", "--out", "new"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(out(&ran.stdout).contains("log/ANCHOR: at offset 0: no readable anchor slot"), "{ran:?}");
    assert_eq!(cat(&log, "new"), lines(0..400));
}

#[test]
fn what_is_lost_in_front_of_everything_else_is_no_gap_in_the_new_log() {
    let log = log();
    fs::remove_file(&log.segments()[0]).expect("it can be removed");
    let ran = log.run(&["repair", "--out", "new"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let kept = cat(&log, "new");
    assert!(kept.ends_with("entry 399\n") && !kept.contains("entry 0\n"), "{kept}");
    let first = 400 - kept.lines().count();
    assert!(out(&ran.stdout).starts_with(&format!("lost entries 0 to {}: ", first - 1)), "{ran:?}");
    assert!(out(&ran.stdout).contains(&format!("kept entries {first} to 399\n")), "{ran:?}");
}

#[test]
fn of_a_log_that_is_sound_all_is_kept_closed_killed_or_torn() {
    for log in [log(), Log::killed(30).0, torn()] {
        let shown = log.cat();
        let ran = log.run(&["repair", "--out", "new"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stderr.contains("nothing is damaged"), "{ran:?}");
        assert_eq!(cat(&log, "new").as_bytes(), shown);
    }
}

/// A log whose last entry was written in part.
fn torn() -> Log {
    let (log, _) = Log::killed(30);
    let last = log
        .segments()
        .into_iter()
        .find(|file| fs::read(file).is_ok_and(|bytes| bytes.windows(8).any(|eight| eight == b"entry 29")));
    damage(&last.expect("it holds the last entry"), "entry 29");
    assert_eq!(log.run(&["verify"]).code, Some(3));
    log
}

#[test]
fn where_there_is_no_log_nothing_is_made() {
    let log = Log::new();
    assert_eq!(log.run(&["repair", "--out", "new"]).code, Some(5));
    fs::create_dir(&log.path).expect("a directory");
    let ran = log.run(&["repair", "--out", "new"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(!log.path.with_file_name("new").exists());
}
