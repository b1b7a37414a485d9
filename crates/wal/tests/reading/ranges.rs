//! A range shows what lies in it, whatever is wrong behind it.

use crate::common::{HALF, open, small, view};
use wal::{ErrorKind, SyncPolicy};
use wal_segment::io::sim::SimDisk;

fn payload(number: u64) -> Vec<u8> {
    format!("<payload {number}>").repeat(HALF / 14).into_bytes()
}

/// A closed log of several segments: single entries and a batch in turn.
fn log() -> (SimDisk, u64) {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::None));
    for round in 0..6 {
        let next = round * 4;
        wal.append(&payload(next)).expect("nothing fails");
        let batch: Vec<Vec<u8>> =
            (next + 1..next + 4).map(|number| payload(number)[..200].to_vec()).collect();
        wal.append_batch(&batch).expect("nothing fails");
    }
    wal.close().expect("nothing fails");
    (disk, 24)
}

/// Flips a bit of the payload of one entry.
fn spoil(disk: &SimDisk, number: u64) {
    let wanted = &payload(number)[..200];
    let spoilt = disk.names().into_iter().filter(|name| {
        let bytes = disk.contents(name).expect("a name that was listed");
        let at = bytes.windows(wanted.len()).position(|window| window == wanted);
        at.is_some_and(|at| disk.damage(name, |bytes| bytes[at] ^= 1))
    });
    assert_eq!(spoilt.count(), 1, "entry {number} is in one place");
}

// A reader that goes on behind the last entry that is wanted, to the next frame or segment, reports
// damage that nobody asked about.
#[test]
fn a_range_in_front_of_damage_is_shown_without_an_error() {
    let (whole, entries) = log();
    for damaged in 1..entries {
        let disk = whole.power_cut_keeping_everything();
        spoil(&disk, damaged);
        let view = view(&disk);
        let shown: Vec<u64> =
            view.range(..damaged).map(|entry| entry.expect("nothing is wrong here").sequence()).collect();
        assert_eq!(shown, (0..damaged).collect::<Vec<_>>());
        let error = view.range(..=damaged).last().expect("an entry or an error").expect_err("it is damaged");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "entry {damaged}: {error}");
        let lost = error.damage().and_then(|damage| damage.sequences).expect("it says which");
        assert_eq!((lost.first, lost.end), (Some(damaged), Some(damaged + 1)));
    }
}

#[test]
fn a_range_in_front_of_a_missing_segment_is_shown_without_an_error() {
    let (whole, _) = log();
    let segments: Vec<_> = view(&whole).segments().collect();
    assert!(segments.len() > 2);
    for segment in &segments[1..] {
        let disk = whole.power_cut_keeping_everything();
        let name = segment.file.file_name().and_then(|name| name.to_str()).expect("segments have names");
        disk.delete(name);
        let view = view(&disk);
        assert_eq!(
            view.range(..segment.sequences.start).filter(Result::is_ok).count() as u64,
            segment.sequences.start
        );
        assert!(view.range(..segment.sequences.start).all(|entry| entry.is_ok()), "{name}");
        assert!(view.range(..).any(|entry| entry.is_err()), "{name}");
    }
}
