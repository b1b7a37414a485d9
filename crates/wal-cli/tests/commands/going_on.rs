//! `wal append`, again and again: what the other commands say of the log that this leaves.
use crate::support::Log;

#[test]
fn thirty_appends_leave_one_segment_and_info_verify_and_cat_are_right() {
    let log = Log::new();
    let mut text = String::new();
    for number in 0..30 {
        let line = format!("entry {number}\n");
        assert_eq!(log.run_with(&["append"], line.as_bytes()).code, Some(0));
        text.push_str(&line);
        assert_eq!(log.segments().len(), 1, "{:?} after {number}", log.segments());
        let info = log.info();
        assert_eq!(info["segments"][0]["state"], "closed", "{info}");
        assert_eq!(info["segments"][0]["last"], number, "{info}");
    }
    assert_eq!(log.cat(), text.as_bytes());
    let verified = log.run(&["verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}
