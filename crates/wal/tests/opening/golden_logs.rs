//! Whole logs as they stand on a disk, one for each way in which a log can end. Every version has to read all of them.
//!
//! The files under `tests/golden_logs` are hex dumps: a line for each file of the log with its length, then rows of 16 bytes, without
//! those of zeros. What a log holds stands at the top. A new kind of log gets a file of its own:
//!
//! ```sh
//! UPDATE_GOLDEN=1 cargo test -p wal --test opening golden_logs
//! ```
//!
//! writes the files that are not there. One that is there is never written again: the format may grow, and what was written
//! once stays readable.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::{env, fs};

use crate::common::bytes::{frames, linked};
use crate::common::{contents, copy, directory, open, read, small, view};
use wal::{Checksum, Options, Salvaged, SyncPolicy, Wal};
use wal_segment::io::sim::SimDisk;

/// A log, how an open finds its end, where it begins, and how many entries it has.
struct Golden {
    name: &'static str,
    ending: &'static str,
    first: u64,
    entries: u64,
    make: fn(&SimDisk),
}

const fn golden(
    name: &'static str,
    ending: &'static str,
    first: u64,
    entries: u64,
    make: fn(&SimDisk),
) -> Golden {
    Golden { name, ending, first, entries, make }
}

const LOGS: [Golden; 13] = [
    golden("empty", "Empty", 0, 0, |disk| drop(open(disk, &options()))),
    golden("begins_at_a_hundred", "Clean", 100, 3, |disk| live(disk, &options().first_sequence(100), 3)),
    golden("closed", "Clean", 0, 3, |disk| live(disk, &options(), 3)),
    golden("closed_three_times", "Clean", 0, 9, |disk| (0..3).for_each(|_| live(disk, &options(), 3))),
    golden("killed", "Unclosed", 0, 3, |disk| append(&open(disk, &options()), 3)),
    golden("killed_after_a_close", "Unclosed", 0, 5, |disk| {
        live(disk, &options(), 3);
        append(&open(disk, &options()), 2);
    }),
    golden("crc64", "Clean", 0, 3, |disk| live(disk, &options().checksum(Checksum::Crc64), 3)),
    golden("both_checksums", "Clean", 0, 6, |disk| {
        live(disk, &options(), 3);
        live(disk, &options().checksum(Checksum::Crc64), 3);
    }),
    golden("many_segments", "Clean", 0, 12, |disk| {
        let wal = open(disk, &options());
        (0..12).for_each(|number| {
            assert_eq!(wal.append(&crate::common::large(number)).expect("nothing fails"), number);
        });
        wal.close().expect("nothing fails");
    }),
    golden("segment_ended", "Clean", 0, 3, |disk| {
        let wal = open(disk, &options());
        append(&wal, 3);
        wal.roll().expect("nothing fails");
    }),
    golden("torn", "Torn", 0, 3, |disk| {
        append(&open(disk, &options()), 3);
        tear(disk);
    }),
    golden("cut_after_a_torn_tail", "Clean", 0, 6, |disk| {
        append(&open(disk, &options()), 3);
        tear(disk);
        live(disk, &options(), 3);
    }),
    golden("both_ends_dropped", "Clean", 2, 7, |disk| {
        let wal = open(disk, &options());
        append(&wal, 10);
        // Into a batch, which stays as it is.
        wal.append_batch([&b"a"[..], b"b", b"c"]).expect("nothing fails");
        wal.truncate_after(7).expect("nothing fails");
        wal.truncate_before(2).expect("nothing fails");
        append(&wal, 1);
        wal.close().expect("nothing fails");
    }),
];

fn options() -> Options {
    small(SyncPolicy::Immediate)
}

fn append(wal: &Wal, entries: u64) {
    for _ in 0..entries {
        let payload = format!("entry {}", wal.written_end());
        wal.append(payload.as_bytes()).expect("nothing fails");
    }
}

fn live(disk: &SimDisk, options: &Options, entries: u64) {
    let wal = open(disk, options);
    append(&wal, entries);
    wal.close().expect("nothing fails");
}

/// Half of a write after the end.
fn tear(disk: &SimDisk) {
    let name = linked(disk).pop().expect("a segment");
    assert!(disk.damage(&name, |bytes| {
        let end = frames(bytes).pop().expect("a frame").end;
        bytes[end + 32..end + 60].fill(0xa5);
    }));
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden_logs").join(format!("{name}.hex"))
}

/// What is written into a file: the log, and what it holds.
fn dump(golden: &Golden, payloads: &[Vec<u8>], files: &BTreeMap<String, Option<Vec<u8>>>) -> String {
    let mut text = format!("# {}: {}, first {}\n", golden.name, golden.ending, golden.first);
    for payload in payloads {
        writeln!(text, "entry {}", hex(payload)).expect("a string takes all");
    }
    for (name, bytes) in files {
        let bytes = bytes.as_deref().expect("a file");
        writeln!(text, "file {name} {}", bytes.len()).expect("a string takes all");
        for (row, bytes) in
            bytes.chunks(16).enumerate().filter(|(_, bytes)| bytes.iter().any(|&byte| byte != 0))
        {
            writeln!(text, "{:>8} {}", row * 16, hex(bytes)).expect("a string takes all");
        }
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// The payloads and the log that a file has.
fn parse(text: &str) -> (Vec<Vec<u8>>, SimDisk) {
    let mut payloads = Vec::new();
    let mut files: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["entry"] => payloads.push(Vec::new()),
            ["entry", payload] => payloads.push(unhex(payload)),
            ["file", name, bytes] => {
                last = name.to_owned();
                files.insert(last.clone(), Some(vec![0; bytes.parse().expect("a length")]));
            }
            [offset, bytes] => {
                let offset: usize = offset.parse().expect("an offset");
                let row = unhex(bytes);
                let file = files.get_mut(&last).and_then(Option::as_mut).expect("a file comes first");
                file[offset..offset + row.len()].copy_from_slice(&row);
            }
            _ => panic!("not a line of a golden log: {line}"),
        }
    }
    (payloads, copy(&files))
}

#[test]
fn every_golden_log_is_read_as_it_was_written_and_goes_on() {
    for golden in &LOGS {
        let path = path(golden.name);
        if env::var_os("UPDATE_GOLDEN").is_some() && !path.exists() {
            let disk = SimDisk::new(1);
            (golden.make)(&disk);
            let disk = disk.kill();
            let (payloads, error) = read(view(&disk).range(..));
            assert!(error.is_none(), "{}: {error:?}", golden.name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
            fs::write(&path, dump(golden, &payloads, &directory(&disk))).expect("it can be written");
        }
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (payloads, disk) = parse(&text);
        let name = golden.name;
        assert_eq!(payloads.len() as u64, golden.entries, "{name}");

        let looked = view(&disk);
        let ending = format!("{:?}", looked.recovery().ending);
        assert!(ending.starts_with(golden.ending), "{name}: {ending}");
        assert_eq!((looked.first(), read(looked.range(..)).0), (golden.first, payloads.clone()), "{name}");
        let verified = looked.verify().expect("it can be read");
        assert!(verified.damages.is_empty(), "{name}: {:?}", verified.damages);

        let salvage = Options::new().open_salvage_in(Arc::new(disk.kill())).expect("it can be read");
        let salvaged = salvage.filter(|item| matches!(item, Salvaged::Entry { .. })).count();
        assert!(salvaged as u64 >= golden.entries, "{name}: {salvaged}");

        // A later life goes on, and so does the one after it.
        for more in 1..=2 {
            let wal = open(&disk, &Options::new().background(false));
            let next = golden.first + golden.entries + more - 1;
            assert_eq!(wal.append(b"and one more").expect("nothing fails"), next, "{name}");
            assert_eq!(contents(&wal).len() as u64, golden.entries + more, "{name}");
            wal.close().expect("nothing fails");
        }
        assert_eq!(read(view(&disk).range(..)).0[..payloads.len()], payloads, "{name}");
    }
}

#[test]
fn no_golden_log_is_left_over() {
    let directory = path("any").parent().expect("a directory").to_path_buf();
    for file in fs::read_dir(directory).expect("it is there") {
        let file = file.expect("it is readable").path();
        assert!(LOGS.iter().any(|golden| path(golden.name) == file), "{} belongs to no test", file.display());
    }
}
