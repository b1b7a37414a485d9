//! `wal append`, again and again: what the other commands say of the log that this leaves.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

mod support;

use support::Log;

#[test]
fn info_verify_and_cat_are_right_behind_merges() {
    let log = Log::new();
    let mut text = String::new();
    for number in 0..30 {
        let line = format!("entry {number}\n");
        assert_eq!(log.run_with(&["append"], line.as_bytes()).code, Some(0));
        text.push_str(&line);
        assert!(log.segments().len() <= 10, "{:?} after {number}", log.segments());
        let info = log.info();
        let listed = info["segments"].as_array().expect("a list").len();
        assert_eq!(listed, log.segments().len(), "{info}");
    }
    assert_eq!(log.cat(), text.as_bytes());
    let verified = log.run(&["verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}
