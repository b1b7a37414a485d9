//! What goes in through `append` comes out of `cat`, whatever the bytes are.
use crate::support::{Log, POLICIES, lines};

#[test]
fn any_bytes_come_back_as_they_went_in() {
    let all: Vec<u8> = (0..=255).collect();
    let backwards: Vec<u8> = (0..=255).rev().collect();
    for (what, input, output) in [
        ("every byte value", [&all[..], b"\n", &backwards, b"\n"].concat(), None),
        ("carriage returns stay", b"one\r\ntwo\r\n\r\n".to_vec(), None),
        ("blank lines are empty entries", b"\n\n\na\n\n".to_vec(), None),
        ("a last line without its end counts", b"a\nb".to_vec(), Some(b"a\nb\n".to_vec())),
        ("a single byte", b"x".to_vec(), Some(b"x\n".to_vec())),
        ("no bytes", Vec::new(), None),
        ("not UTF-8", b"\xff\xfe\n\xc3\x28\n".to_vec(), None),
        ("a long line", [vec![b'z'; 3 << 20], b"\nshort\n".to_vec()].concat(), None),
    ] {
        for policy in POLICIES {
            let log = Log::new();
            let ran = log.run_with(&[&["append"], policy].concat(), &input);
            assert_eq!((ran.code, ran.stdout.len()), (Some(0), 0), "{what}: {}", ran.stderr);
            assert!(log.cat() == *output.as_ref().unwrap_or(&input), "{what} under {policy:?}");
            assert_eq!(log.run(&["verify"]).code, Some(0), "{what} under {policy:?}");
        }
    }
}

#[test]
fn entries_that_end_with_nul_keep_their_newlines() {
    let log = Log::new();
    let input = b"one\ntwo\0\0three\r\n\0four";
    assert_eq!(log.run_with(&["append", "--null"], input).code, Some(0));
    assert_eq!(log.run(&["cat", "--null"]).stdout, [&input[..], b"\0"].concat());
    assert_eq!(log.info()["next"], 4);
}

#[test]
fn empty_input_makes_an_empty_log() {
    let log = Log::new();
    for _ in 0..2 {
        assert_eq!(log.run(&["append"]).code, Some(0));
        assert_eq!(log.cat(), b"");
        assert_eq!(log.run(&["verify"]).code, Some(0));
        assert_eq!(log.info()["ending"]["kind"], "empty");
    }
}

#[test]
fn later_appends_go_on_where_earlier_ones_ended() {
    let log = Log::new();
    for (round, args) in [
        &["--sync", "none"][..],
        &["--checksum", "crc64", "--segment-size", "12KiB"],
        &["--checksum", "crc32"],
        &["--sync", "immediate"],
        &["--sync", "periodic", "--interval", "1ms"],
    ]
    .iter()
    .enumerate()
    {
        let args = [&["append", "--progress-acks"], *args].concat();
        let ran = log.run_with(&args, lines(round * 10..round * 10 + 10).as_bytes());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let acks: String = (round * 10..round * 10 + 10).map(|sequence| format!("{sequence}\n")).collect();
        assert_eq!(ran.stdout, acks.as_bytes());
    }
    assert_eq!(log.cat(), lines(0..50).as_bytes());
    assert_eq!(log.run(&["verify"]).code, Some(0));
}

#[test]
fn a_range_includes_both_ends_and_what_is_outside_the_log_prints_nothing() {
    let (log, text) = Log::of_many_segments(2000);
    for (args, expected) in [
        (&["--from", "0"][..], 0..2000),
        (&["--to", "0"], 0..1),
        (&["--from", "1000", "--to", "1002"], 1000..1003),
        (&["--from", "1999"], 1999..2000),
        (&["--from", "1990", "--to", "999999"], 1990..2000),
        (&["--from", "3", "--limit", "2"], 3..5),
        (&["--limit", "0"], 0..0),
        (&["--limit", "18446744073709551615"], 0..2000),
        (&["--from", "2000"], 0..0),
        (&["--from", "18446744073709551615"], 0..0),
        (&["--to", "18446744073709551615"], 0..2000),
        (&["--from", "7", "--to", "6"], 0..0),
        (&["--from", "18446744073709551615", "--to", "0"], 0..0),
    ] {
        let ran = log.run(&[&["cat"], args].concat());
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.stderr);
        assert!(ran.stdout == lines(expected).as_bytes(), "{args:?}");
    }
    assert_eq!(log.cat(), text.as_bytes());
}

#[test]
fn cat_in_reverse_prints_the_same_entries_the_last_one_first() {
    let (log, _) = Log::of_many_segments(2000);
    for (args, expected) in [
        (&[][..], 0..2000),
        (&["--limit", "3"], 1997..2000),
        (&["--from", "1000", "--to", "1002"], 1000..1003),
        (&["--to", "999", "--limit", "2"], 998..1000),
        (&["--from", "1998", "--to", "999999"], 1998..2000),
        (&["--limit", "0"], 0..0),
        (&["--from", "2000"], 0..0),
        (&["--from", "7", "--to", "6"], 0..0),
    ] {
        let ran = log.run(&[&["cat", "--reverse"], args].concat());
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.stderr);
        let expected: String = expected.rev().map(|number| format!("entry {number}\n")).collect();
        assert!(ran.stdout == expected.as_bytes(), "{args:?}");
    }
    assert_eq!(Log::killed(3).0.run(&["cat", "--reverse"]).stdout, b"entry 2\nentry 1\nentry 0\n");
}
