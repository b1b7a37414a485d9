//! Memory mappings: read-only, of closed segments alone, and never beyond what was closed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::common::bytes::segment_name;
use crate::common::seam::{Call, Seam};
use crate::common::{HALF, contents, read, small};
use wal::{ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::SimDisk;

fn three_segments(path: &Path) -> Wal {
    let wal = small(SyncPolicy::None).open(path).expect("a new log");
    for number in 0..5 {
        wal.append(&[number; HALF]).expect("there is space");
    }
    wal.sync().expect("a device");
    wal
}

fn shorten(path: &Path, number: u64, bytes: u64) {
    let file = fs::OpenOptions::new().write(true).open(path.join(segment_name(number))).expect("it is there");
    file.set_len(bytes).expect("it can be shortened");
}

// leveldb#150 wrote through a mapping of a sparse file. When the disk was full the kernel had no page to
// give, and the process died of SIGBUS instead of getting an error.
#[cfg(target_os = "linux")]
#[test]
fn no_mapping_of_a_log_can_be_written_or_covers_the_active_segment() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("log");
    let wal = three_segments(&path);
    let entries: Vec<_> = wal.range(..).expect("open").map(|entry| entry.expect("whole")).collect();
    let ends: BTreeMap<String, u64> = Options::new()
        .open_read_only(&path)
        .expect("a log")
        .segments()
        .map(|segment| (segment_name(segment.number), segment.bytes))
        .collect();
    assert_eq!(ends.len(), 3);
    let maps = fs::read_to_string("/proc/self/maps").expect("this is Linux");
    let mut mapped = 0;
    for line in maps.lines().filter(|line| line.contains(&*path.to_string_lossy())) {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next().expect("a range"), fields.next().expect("rights"));
        assert!(rights.starts_with("r-"), "{line}");
        let name = Path::new(line.split_whitespace().last().expect("a path")).file_name().expect("a name");
        let name = name.to_string_lossy().into_owned();
        assert_ne!(name, segment_name(3), "the active segment is mapped: {line}");
        let (start, end) = range.split_once('-').expect("two addresses");
        let number = |text| u64::from_str_radix(text, 16).expect("an address");
        let pages = ends[&name].next_multiple_of(4096);
        assert!(number(end) - number(start) <= pages, "{line}: the log's part ends at {}", ends[&name]);
        mapped += 1;
    }
    assert_eq!(mapped, 2, "two closed segments: {maps}");
    drop(entries);
}

#[test]
fn a_mapping_ends_where_the_next_segment_says_and_the_last_segment_is_never_mapped() {
    for reopened in [false, true] {
        let disk = SimDisk::new(1);
        let mapped = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::clone(&mapped);
        let directory = move || {
            let asked = Arc::clone(&asked);
            Seam::new(disk.clone(), move |call| {
                if let Call::Map { name, bytes } = call {
                    asked.lock().expect("nobody panics").push((name.to_owned(), bytes as u64));
                }
                Ok(())
            })
        };
        let options = small(SyncPolicy::None);
        let mut wal = options.open_in(directory()).expect("a new log");
        for number in 0..5 {
            wal.append(&[number; HALF]).expect("nothing fails");
            // The LINK of a segment that was just begun is not durable yet.
            read(wal.range(..).expect("open"));
        }
        if reopened {
            drop(wal);
            wal = options.open_in(directory()).expect("the log");
        }
        assert_eq!(contents(&wal).len(), 5);
        let view = options.open_read_only_in(directory()).expect("a log");
        let ends: BTreeMap<String, u64> =
            view.segments().map(|segment| (segment_name(segment.number), segment.bytes)).collect();
        let mapped = mapped.lock().expect("nobody panics");
        let closed = if reopened { vec![segment_name(1), segment_name(2)] } else { vec![segment_name(1)] };
        let mut names: Vec<_> = mapped.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names.dedup();
        // Nobody has synced the LINK that closes the second segment, unless an open did.
        assert_eq!(names, closed);
        for (name, bytes) in mapped.iter() {
            assert_eq!(*bytes, ends[name], "{name}");
        }
    }
}

#[test]
fn a_closed_segment_that_somebody_cut_short_is_an_error_and_not_a_signal() {
    for mapped in [true, false] {
        for bytes in [0, 100, 4096, 8192, 8300, 9000, 11_000] {
            let home = tempfile::tempdir().expect("a temporary directory");
            let path = home.path().join("log");
            drop(three_segments(&path));
            let options = small(SyncPolicy::None).mapped_reads(mapped);
            let wal = options.open(&path).expect("the log");
            let view = options.open_read_only(&path).expect("the log");
            shorten(&path, 1, bytes);
            for entries in [wal.range(..).expect("open"), view.range(..)] {
                let (shown, error) = read(entries);
                let error = error.expect("two entries are gone");
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert!(error.to_string().contains(&segment_name(1)), "{error}");
                assert!(shown.is_empty(), "cut to {bytes}");
            }
            let (shown, error) = read(wal.range(2..).expect("open"));
            assert!(error.is_none() && shown.len() == 3, "the other segments are whole: {error:?}");
            assert_eq!(wal.append(b"another").expect("appends do not read"), 5);
        }
    }
}

#[test]
fn an_active_segment_that_somebody_cut_short_is_an_error_and_not_a_signal() {
    for bytes in [0, 8192, 8300, 9000] {
        let home = tempfile::tempdir().expect("a temporary directory");
        let path = home.path().join("log");
        let wal = three_segments(&path);
        shorten(&path, 3, bytes);
        let (shown, error) = read(wal.range(..).expect("open"));
        assert_eq!(shown.len(), 4, "cut to {bytes}");
        assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Corrupt));
    }
}
