//! Damage is found and named, what is good in front of it is printed, and nothing is changed.
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::{Log, damage};

/// What each command exits with on a damaged log.
fn codes(log: &Log) -> [Option<i32>; 4] {
    [&["cat"][..], &["info"], &["verify"], &["append"]].map(|args| log.run_with(args, b"").code)
}

#[test]
fn a_flipped_byte_in_a_closed_segment_ends_cat_in_front_of_it() {
    let (log, text) = Log::of_many_segments(2000);
    let file = &log.segments()[1];
    let first = log.info()["segments"][1]["first"].as_u64().unwrap() + 5;
    damage(file, &format!("entry {first}"));
    let before = log.contents();

    let ran = log.run(&["cat"]);
    assert_eq!(ran.code, Some(2));
    let good = text.find(&format!("entry {first}\n")).unwrap();
    assert_eq!(ran.stdout, &text.as_bytes()[..good]);
    assert!(ran.stderr.contains(file.to_str().unwrap()), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("entry {first}")), "{}", ran.stderr);
    assert!(ran.stderr.contains("offset"), "{}", ran.stderr);

    let ran = log.run(&["cat", "--reverse"]);
    assert_eq!(ran.code, Some(2));
    let behind: String = (first + 1..2000).rev().map(|number| format!("entry {number}\n")).collect();
    assert!(ran.stdout == behind.as_bytes(), "everything behind it, and nothing in front");
    assert!(ran.stderr.contains(&format!("entry {first}")), "{}", ran.stderr);

    let ran = log.run(&["verify"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stdout.starts_with(b"corrupt, 1 damage; "), "{ran:?}");
    assert!(ran.stderr.contains(file.to_str().unwrap()), "{}", ran.stderr);

    let beyond = log.run(&["cat", "--from", &(first + 1000).to_string()]);
    assert_eq!(beyond.code, Some(0), "what lies behind can still be asked for: {}", beyond.stderr);
    assert_eq!(log.contents(), before);
}

#[test]
fn a_flipped_byte_in_the_last_segment_of_a_closed_log_is_found_by_whoever_reads_it() {
    let (log, text) = Log::of_many_segments(2000);
    let file = log.segments().pop().unwrap();
    damage(&file, "entry 1998");
    let before = log.contents();
    // A closed log is opened by the mark at its end; its entries are checked as they are read.
    for (command, code) in [("cat", 2), ("verify", 2), ("info", 0)] {
        assert_eq!(log.run(&[command]).code, Some(code), "{command}");
    }
    let ran = log.run(&["cat"]);
    assert_eq!(ran.stdout, &text.as_bytes()[..text.find("entry 1998\n").unwrap()]);
    assert!(ran.stderr.contains("entry 1998"), "{}", ran.stderr);
    assert_eq!(log.contents(), before);
}

#[test]
fn a_flipped_byte_that_was_durable_is_corrupt_for_everyone_when_the_writer_was_killed() {
    let (log, text) = Log::killed_under(&["--sync", "immediate"], 100);
    damage(&log.segments()[0], "entry 98");
    let before = log.contents();
    assert_eq!(codes(&log), [Some(2); 4]);
    assert_eq!(log.run(&["cat"]).stdout, &text.as_bytes()[..text.find("entry 98\n").unwrap()]);
    assert_eq!(log.info()["ending"]["kind"], "corrupt");
    assert_eq!(log.contents(), before);
}

#[test]
fn a_segment_that_is_gone_is_corrupt_and_what_is_in_front_of_it_is_printed() {
    for missing in [0, 2] {
        let (log, text) = Log::of_many_segments(2000);
        let first = log.info()["segments"][missing]["first"].as_u64().unwrap();
        let file = log.segments().remove(missing);
        fs::remove_file(&file).unwrap();
        assert_eq!(codes(&log), [Some(2); 4], "segment {missing}");
        let ran = log.run(&["cat"]);
        let good = text.find(&format!("entry {first}\n")).unwrap();
        assert_eq!(ran.stdout, &text.as_bytes()[..good], "segment {missing}");
        assert!(ran.stderr.contains(file.to_str().unwrap()), "{}", ran.stderr);
        assert!(ran.stderr.contains("missing"), "{}", ran.stderr);
    }
}

#[test]
fn the_last_segment_gone_is_corrupt() {
    let (log, _) = Log::of_many_segments(2000);
    fs::remove_file(log.segments().pop().unwrap()).unwrap();
    assert_eq!(codes(&log), [Some(2); 4]);
}

#[test]
fn swapped_segments_are_corrupt() {
    let (log, _) = Log::of_many_segments(2000);
    let files = log.segments();
    let aside = log.path.join("aside");
    fs::rename(&files[1], &aside).unwrap();
    fs::rename(&files[2], &files[1]).unwrap();
    fs::rename(&aside, &files[2]).unwrap();
    assert_eq!(codes(&log), [Some(2); 4]);
}

#[test]
fn a_directory_a_fifo_or_a_link_in_place_of_a_segment_is_refused_and_never_waited_for() {
    for number in [1, 2, usize::MAX] {
        for kind in ["directory", "fifo", "link", "dangling link"] {
            let (log, _) = Log::of_many_segments(2000);
            let files = log.segments();
            let file = &files[number.min(files.len() - 1)];
            let aside = log.path.join("aside");
            fs::rename(file, &aside).unwrap();
            match kind {
                "directory" => fs::create_dir(file).unwrap(),
                "fifo" => assert!(Command::new("mkfifo").arg(file).status().unwrap().success()),
                "link" => symlink(&aside, file).unwrap(),
                _ => symlink("nowhere", file).unwrap(),
            }
            assert_eq!(codes(&log), [Some(2); 4], "a {kind} in place of {}", file.display());
        }
    }
}

#[test]
fn names_that_almost_match_are_left_alone() {
    let (log, text) = Log::of_many_segments(2000);
    let names = [
        "1.wal",
        "00000000000000000000.wal",
        "0000000000000000001.wal",
        "000000000000000000001.wal",
        "99999999999999999999.wal",
        "00000000000000000001.WAL",
        "00000000000000000001.wal.bak",
        "00000000000000000001.tmp",
        "ANCHOR~",
        "notes.txt",
    ];
    for name in names {
        fs::write(log.path.join(name), "not a segment").unwrap();
    }
    fs::create_dir(log.path.join("2.wal")).unwrap();
    assert_eq!(codes(&log), [Some(0); 4]);
    assert_eq!(log.cat(), text.as_bytes());
    assert_eq!(log.info()["ignored_names"], names.len() + 1);
    for name in names {
        assert_eq!(fs::read(log.path.join(name)).unwrap(), b"not a segment");
    }
}

#[test]
fn a_bad_index_is_a_warning_and_nothing_more() {
    let (log, text) = Log::of_many_segments(2000);
    let file = &log.segments()[1];
    let mut bytes = fs::read(file).unwrap();
    // The file of a sealed segment may be longer than its end; the index stands at the end.
    let end = usize::try_from(log.info()["segments"][1]["bytes"].as_u64().unwrap()).unwrap();
    bytes[end - 1] ^= 0xff;
    fs::write(file, bytes).unwrap();
    let ran = log.run(&["verify"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("warning") && ran.stderr.contains(file.to_str().unwrap()), "{}", ran.stderr);
    assert_eq!(log.cat(), text.as_bytes());
}

#[test]
fn an_anchor_that_is_gone_is_corrupt() {
    let (log, _) = Log::of_many_segments(2000);
    fs::remove_file(log.path.join("ANCHOR")).unwrap();
    assert_eq!(codes(&log), [Some(2); 4]);
}

// One damaged byte in entry 5000 was entry 5000 for `cat`, some hundred entries for `verify`, some thousand for `copy`, and
// `repair` kept fewer than `cat` prints.
#[test]
fn every_command_says_the_same_of_what_is_lost_and_ends_with_how_much_and_what_to_do() {
    let (log, text) = Log::of_many_segments(2000);
    let lost = log.info()["segments"][1]["first"].as_u64().unwrap() + 5;
    damage(&log.segments()[1], &format!("entry {lost}"));
    let place = format!("lost here: entry {lost}\n");
    let verdict =
        format!("log: 1 entry is lost, number {lost}; 1999 entries can be read. Nothing was changed.");
    for command in [&["cat"][..], &["cat", "--reverse"], &["verify"], &["copy", "copied"]] {
        let ran = log.run(command);
        assert_eq!(ran.code, Some(2), "{command:?}");
        let lines: Vec<&str> = ran.stderr.lines().collect();
        assert!(ran.stderr.contains(&place), "{command:?}: {}", ran.stderr);
        let last = lines.last().expect("it says something");
        assert!(last.contains(&verdict) && last.contains("wal repair"), "{command:?}: {last}");
    }
    let printed = log.run(&["cat"]).stdout;
    assert_eq!(printed, &text.as_bytes()[..text.find(&format!("entry {lost}\n")).unwrap()]);
    assert!(log.run(&["verify"]).stdout.starts_with(b"corrupt, 1 damage; entries 1999, "));
    let repaired = log.run(&["repair", "--out", "new"]);
    let said = format!("kept entries 0 to {}\nlost entry {lost}: ", lost - 1);
    assert!(repaired.stdout.starts_with(said.as_bytes()), "{repaired:?}");
    assert_eq!(log.cat_in("new"), printed, "repair keeps what cat prints");
}

#[test]
fn an_anchor_that_is_older_than_its_segment_is_corrupt_and_repair_keeps_every_entry() {
    // A copy that was made file by file: the anchor first, and the segment after the next life has gone on in it.
    let log = Log::new();
    let text = log.append_one_by_one(&["--sync", "none"], 0..1000);
    let older = fs::read(log.path.join("ANCHOR")).unwrap();
    let text = text + &log.append_one_by_one(&["--sync", "none"], 1000..2000);
    fs::write(log.path.join("ANCHOR"), older).unwrap();
    for command in [&["verify"][..], &["cat"], &["append"], &["copy", "copied"]] {
        let ran = log.run(command);
        assert_eq!(ran.code, Some(2), "{command:?}");
        assert!(
            ran.stderr.contains("the anchor says that the log was closed"),
            "{command:?}: {}",
            ran.stderr
        );
        assert!(ran.stderr.contains("; 2000 entries can be read."), "{}", ran.stderr);
    }
    let repaired = log.run(&["repair", "--out", "new"]);
    assert_eq!(repaired.code, Some(0), "{}", repaired.stderr);
    assert_eq!(log.cat_in("new"), text.as_bytes());
}

#[test]
fn an_anchor_that_is_no_file_is_damage_and_the_last_line_says_what_to_do() {
    let (log, _) = Log::of_many_segments(400);
    fs::remove_file(log.path.join("ANCHOR")).unwrap();
    fs::create_dir(log.path.join("ANCHOR")).unwrap();
    for command in ["cat", "info", "verify", "append"] {
        let ran = log.run(&[command]);
        assert_eq!(ran.code, Some(2), "{command}: {}", ran.stderr);
        let last = ran.stderr.lines().last().expect("it says something");
        assert!(last.contains("log: how many entries are lost is not known. Nothing was changed."), "{last}");
    }
}
