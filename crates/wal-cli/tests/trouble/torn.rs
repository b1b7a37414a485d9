//! What a kill leaves is read, told apart from damage, and appended to.
use std::fs;

use crate::support::{Log, damage, lines};

#[test]
fn a_killed_writer_leaves_every_acknowledged_entry_and_no_tear() {
    let (log, text) = Log::killed(1000);
    assert_eq!(log.cat(), text.as_bytes());
    assert_eq!(log.info()["ending"]["kind"], "unclosed");
    let ran = log.run(&["verify"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.starts_with(b"unclosed; entries 1000,"), "{ran:?}");
}

#[test]
fn a_torn_tail_is_reported_by_everyone_and_drops_nothing_else() {
    type Tear = fn(&Log);
    let tears: [(&str, Tear); 2] = [
        ("a flipped byte in the last entry", |log| {
            damage(&log.segments()[0], "entry 999");
        }),
        ("a file cut inside the last entry", |log| {
            let end = log.info()["segments"][0]["bytes"].as_u64().unwrap();
            let file = fs::File::options().write(true).open(&log.segments()[0]).unwrap();
            file.set_len(end - 12).unwrap();
        }),
    ];
    for (what, tear) in tears {
        let (log, _) = Log::killed(1000);
        tear(&log);
        let before = log.contents();

        let ran = log.run(&["cat"]);
        assert_eq!(ran.code, Some(0), "{what}");
        assert_eq!(ran.stdout, lines(0..999).as_bytes(), "{what}");
        assert!(ran.stderr.contains("torn tail at offset"), "{what}: {}", ran.stderr);

        let ran = log.run(&["verify"]);
        assert_eq!(ran.code, Some(3), "{what}");
        assert!(ran.stdout.starts_with(b"torn; entries 999,"), "{what}: {ran:?}");
        assert!(ran.stderr.contains("torn tail at offset"), "{what}: {}", ran.stderr);

        let ran = log.run(&["info"]);
        assert_eq!(ran.code, Some(0), "{what}");
        assert_eq!(log.info()["ending"]["kind"], "torn", "{what}");
        assert_eq!(log.contents(), before, "{what}: reading changed something");

        let ran = log.run_with(&["append", "-q", "--progress-acks"], b"entry 999\n");
        assert_eq!((ran.code, &ran.stdout[..]), (Some(0), &b"999\n"[..]), "{what}");
        assert!(ran.stderr.contains("torn tail at offset"), "{what}: {}", ran.stderr);
        assert_eq!(log.cat(), lines(0..1000).as_bytes(), "{what}");
        assert_eq!(log.run(&["verify"]).code, Some(0), "{what}");
    }
}

#[test]
fn reading_changes_no_byte_and_no_time_of_any_file() {
    let (clean, _) = Log::of_many_segments(2000);
    let (unclosed, _) = Log::killed(100);
    let (torn, _) = Log::killed(100);
    damage(&torn.segments()[0], "entry 99");
    let empty = Log::new();
    assert_eq!(empty.run(&["append"]).code, Some(0));
    for log in [clean, unclosed, torn, empty] {
        let before = log.contents();
        for args in [&["cat"][..], &["info"], &["info", "-o", "json"], &["verify"]] {
            log.run(args);
            assert_eq!(log.contents(), before, "{args:?}");
        }
    }
}
