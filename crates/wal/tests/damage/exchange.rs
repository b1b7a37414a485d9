//! What other programs do to the names under an open log: the lock removed or replaced, files replaced by copies, the
//! directory moved, hidden or removed; and files that two names lead to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::bytes::segment_name;
use crate::common::gate::Gate;
use crate::common::seam::{Call, Seam};
use crate::common::{
    FEW_IMAGES, POLICIES, contents, eventually, large, open, refused, small, try_open, view,
};
use wal::{ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::Directory;
use wal_segment::io::sim::{CallKind, Failure, Fault, FaultEffect, SimDisk, Times};

const LOCK: &str = "LOCK";
const ANCHOR: &str = "ANCHOR";

/// Appends until the log goes on in another segment, or refuses. Returns what was acknowledged, and the error.
fn append_over_a_rollover(wal: &Wal) -> (u64, Option<wal::Error>) {
    let rollovers = wal.stats().rollovers;
    for number in wal.written_end().. {
        match wal.append(&large(number)) {
            Err(error) => return (number, Some(error)),
            Ok(_) if wal.stats().rollovers > rollovers => return (number + 1, None),
            Ok(_) => {}
        }
    }
    unreachable!("a small segment is full some time")
}

/// Puts a copy in the place of a file, or removes it.
fn exchange(disk: &SimDisk, name: &str, replaced: bool) {
    if replaced {
        assert!(disk.replace(name), "{name} is there");
    } else {
        disk.delete(name);
    }
}

/// Entries `0..count` as [`large`] made them, at least.
#[track_caller]
fn holds(wal: &Wal, count: u64) {
    let shown = contents(wal);
    assert!(shown.len() as u64 >= count, "{} of {count} are there", shown.len());
    for (number, payload) in (0..).zip(&shown) {
        assert_eq!(payload, &large(number), "entry {number}");
    }
}

#[track_caller]
fn is_exchanged(error: &wal::Error, file: &str) {
    assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
    let text = error.to_string();
    assert!(text.contains(file) && (text.contains("removed") || text.contains("replaced")), "{error}");
}

// A cleaner removed LOCK under a writer. `flock` is on the file and not on its name, so the next open made another LOCK
// and was let in. Both acknowledged, and the log did not open any more.
#[test]
fn with_lock_removed_or_replaced_a_second_writer_is_refused() {
    for replaced in [false, true] {
        let disk = SimDisk::new(1);
        let wal = open(&disk, &small(SyncPolicy::Immediate));
        for number in 0..9 {
            exchange(&disk, LOCK, replaced);
            refused(try_open(&disk, &small(SyncPolicy::Immediate)), ErrorKind::Locked);
            assert_eq!(wal.append(&large(number)).expect("the first writer goes on"), number);
        }
        assert!(wal.stats().directory_locked);
        wal.close().expect("nothing fails");
        holds(&open(&disk, &small(SyncPolicy::Immediate)), 9);
    }
}

// On NFS a directory cannot be locked. Then the second writer gets in, and the first one must stop as soon as it looks.
#[test]
fn where_a_directory_cannot_be_locked_the_first_writer_stops_before_its_next_segment() {
    for replaced in [false, true] {
        for policy in POLICIES {
            let disk = SimDisk::new(1);
            disk.set_directory_lockable(false);
            let wal = open(&disk, &small(policy));
            assert!(!wal.stats().directory_locked);
            let (before, refusal) = append_over_a_rollover(&wal);
            assert!(refusal.is_none(), "{refusal:?}");
            wal.sync().expect("nothing fails");
            exchange(&disk, LOCK, replaced);
            let second = open(&disk, &small(policy));
            let (_, refusal) = append_over_a_rollover(&wal);
            is_exchanged(&refusal.expect("it looks before it begins a segment"), LOCK);
            refused(wal.append(b"more"), ErrorKind::Poisoned);
            refused(wal.sync(), ErrorKind::Poisoned);
            drop(wal);
            holds(&second, before);
        }
    }
}

// A restore put copies in the place of files that a writer had open. It went on in files without a name, acknowledged,
// and nothing of that was found by the next open.
#[test]
fn a_log_whose_segment_or_anchor_was_replaced_or_removed_accepts_nothing_behind_the_segment() {
    for policy in POLICIES {
        for number in [None, Some(2)] {
            let file = number.map_or(ANCHOR.to_owned(), segment_name);
            for replaced in [false, true] {
                let disk = SimDisk::new(1);
                let wal = open(&disk, &small(policy));
                wal.append(&large(0)).expect("nothing fails");
                let (before, refusal) = append_over_a_rollover(&wal);
                assert!(refusal.is_none(), "{refusal:?}");
                wal.sync().expect("nothing fails");
                assert_eq!(view(&disk).segments().last().map(|segment| segment.number), Some(2));
                exchange(&disk, &file, replaced);
                let (_, refusal) = append_over_a_rollover(&wal);
                is_exchanged(&refusal.expect("it looks before it begins a segment"), &file);
                refused(wal.append(b"more"), ErrorKind::Poisoned);
                refused(wal.truncate_before(1), ErrorKind::Poisoned);
                assert!(wal.health().poisoned.is_some());
                refused(wal.close(), ErrorKind::Poisoned);
                if replaced {
                    for image in disk.crash_images(FEW_IMAGES, 1) {
                        holds(&open(&image, &small(policy)), before);
                    }
                    holds(&open(&disk, &small(policy)), before);
                } else {
                    // That is damage, and no shorter log.
                    let error = try_open(&disk, &small(policy)).expect_err("a file of it is gone");
                    assert!(matches!(error.kind(), ErrorKind::Missing | ErrorKind::Corrupt), "{error}");
                }
            }
        }
    }
}

// A restored log is looked at, too, before its first append.
#[test]
fn a_last_segment_that_is_replaced_between_the_open_and_the_first_append_is_noticed() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    wal.append(&large(0)).expect("nothing fails");
    drop(wal);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    assert!(disk.replace(&segment_name(1)));
    let error = wal.append(&large(1)).expect_err("it looks before it begins a segment");
    is_exchanged(&error, &segment_name(1));
    drop(wal);
    holds(&open(&disk, &small(SyncPolicy::Immediate)), 1);
}

#[test]
fn a_truncation_looks_at_the_names_before_it_begins_a_segment() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    for number in 0..4 {
        wal.append(&large(number)).expect("nothing fails");
    }
    assert!(disk.replace(ANCHOR));
    is_exchanged(&wal.truncate_after(1).expect_err("the anchor is another file"), ANCHOR);
    drop(wal);
    holds(&open(&disk, &small(SyncPolicy::Immediate)), 4);
}

/// A call on a log.
type Act = (&'static str, fn(&Wal) -> Result<(), wal::Error>);

/// Whichever call meets it first.
#[test]
fn the_first_call_that_meets_an_exchanged_anchor_poisons_the_log() {
    let acts: [Act; 4] = [
        ("truncate_before", |wal| wal.truncate_before(1).map(drop)),
        ("truncate_after", |wal| wal.truncate_after(0)),
        ("close", |wal| wal.clone().close()),
        ("start_retention", |wal| {
            wal.start_retention()?;
            wal.append(b"more").map(drop)
        }),
    ];
    for (name, act) in acts {
        let disk = SimDisk::new(1);
        let wal = open(&disk, &small(SyncPolicy::Immediate).retain_entries(1));
        for number in 0..8 {
            wal.append(&large(number)).expect("nothing fails");
        }
        assert!(disk.replace(ANCHOR));
        is_exchanged(&act(&wal).expect_err(name), ANCHOR);
        drop(wal);
        let wal = open(&disk, &small(SyncPolicy::Immediate));
        assert_eq!(wal.first(), 0, "{name}: nothing was dropped");
        holds(&wal, 8);
    }
}

// An empty log was open when a restore put a log in its place. The first append made the anchor anew, and removed the
// segments that had come.
#[test]
fn a_log_that_is_restored_over_an_empty_one_that_is_open_is_not_removed() {
    let restored = SimDisk::new(2);
    let source = open(&restored, &small(SyncPolicy::Immediate));
    for number in 0..4 {
        source.append(&large(number)).expect("nothing fails");
    }
    drop(source);
    let disk = SimDisk::new(1);
    drop(open(&disk, &small(SyncPolicy::Immediate)));
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    disk.delete(ANCHOR);
    for name in restored.names().iter().filter(|name| *name != LOCK) {
        disk.put(name, &restored.contents(name).expect("it is there"));
    }
    is_exchanged(&wal.append(b"entry").expect_err("it looks before it begins a segment"), ANCHOR);
    drop(wal);
    holds(&open(&disk, &small(SyncPolicy::Immediate)), 4);
}

/// Waits until the threads of a log have done what they were at: what they have looked at before an exchange they go on
/// with.
fn until_idle(disk: &SimDisk, background: bool) {
    let mut before = None;
    while background && before.replace(disk.operations()) != Some(disk.operations()) {
        thread::sleep(Duration::from_millis(20));
    }
}

/// All files but the lock.
fn files(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    let names = disk.names().into_iter().filter(|name| name != LOCK);
    names.map(|name| (name.clone(), disk.contents(&name).expect("it is there"))).collect()
}

// A restore put a backup in the place of a log that was open. The old log noticed, and removed files of the backup all the
// same, by their numbers: those that it had dropped itself, and the one that had the number of its spare.
#[test]
fn a_log_that_was_exchanged_removes_and_makes_no_file_of_the_one_in_its_place() {
    let acts: [Act; 6] = [
        ("close", |wal| wal.clone().close()),
        ("truncate_before", |wal| wal.truncate_before(wal.written_end() - 1).map(drop)),
        ("truncate_after", |wal| wal.truncate_after(wal.written_end() - 2)),
        ("roll", |wal| wal.roll()),
        ("appends", |wal| (0..6).try_for_each(|_| wal.append(&large(wal.written_end())).map(drop))),
        ("drop", |_| Ok(())),
    ];
    for background in [false, true] {
        for (name, act) in acts {
            for restored in ["older", "newer"] {
                let options = small(SyncPolicy::Immediate).background(background);
                let disk = SimDisk::new(1);
                let wal = open(&disk, &options);
                let append = |wal: &Wal, count: u64| {
                    for _ in 0..count {
                        wal.append(&large(wal.written_end())).expect("nothing fails");
                    }
                };
                append(&wal, 9);
                wal.sync().expect("nothing fails");
                let (older, newer) = (disk.kill(), disk.kill());
                let ahead = open(&newer, &options);
                append(&ahead, 9);
                drop(ahead);
                // What is dropped lingers for a reader.
                let mut reader = wal.range(..).expect("open");
                reader.next().expect("an entry").expect("nothing fails");
                wal.truncate_before(6).expect("nothing fails");
                append(&wal, 1);
                until_idle(&disk, background);
                let (backup, count) = if restored == "older" { (older, 9) } else { (newer, 18) };
                let backup = files(&backup);
                files(&disk).keys().for_each(|name| disk.delete(name));
                backup.iter().for_each(|(name, bytes)| disk.put(name, bytes));
                drop(reader);
                // Whether it is told depends on what the call has to do with the files.
                drop(act(&wal));
                drop(act(&wal));
                drop(wal);
                assert!(files(&disk) == backup, "{name}, {restored}: {:?}", disk.names());
                holds(&open(&disk, &options), count);
            }
        }
    }
}

// Where a directory cannot be locked a second writer is let in once LOCK is gone. The first one prepared its next segment
// over the one that the second had begun, and at its close removed it.
#[test]
fn where_a_directory_cannot_be_locked_the_first_writer_takes_no_file_from_the_second() {
    for background in [false, true] {
        for closes in [false, true] {
            for first_has in 1..8 {
                let options = small(SyncPolicy::Immediate).background(background);
                let disk = SimDisk::new(1);
                disk.set_directory_lockable(false);
                let first = open(&disk, &options);
                for number in 0..first_has {
                    first.append(&large(number)).expect("nothing fails");
                }
                until_idle(&disk, background);
                disk.delete(LOCK);
                let second = open(&disk, &options);
                for number in first_has..first_has + 5 {
                    second.append(&large(number)).expect("nothing fails");
                }
                if closes {
                    drop(first.close());
                } else {
                    while first.append(&large(first.written_end())).is_ok() {}
                    drop(first);
                }
                for number in first_has + 5..first_has + 8 {
                    second.append(&large(number)).expect("nothing fails");
                }
                drop(second);
                holds(&open(&disk, &options), first_has + 8);
            }
        }
    }
}

/// A prepared segment is no part of the log yet: when it is removed or replaced, another one is made.
#[test]
fn a_spare_that_was_removed_or_replaced_is_made_anew() {
    for replaced in [false, true] {
        let disk = SimDisk::new(1);
        let wal = open(&disk, &small(SyncPolicy::Immediate));
        let spare = segment_name(2);
        let mut acknowledged = 0;
        while !disk.names().contains(&spare) {
            acknowledged = wal.append(&large(acknowledged)).expect("nothing fails") + 1;
        }
        assert_eq!(wal.stats().rollovers, 1, "the spare is prepared ahead");
        exchange(&disk, &spare, replaced);
        let (acknowledged, refusal) = append_over_a_rollover(&wal);
        assert!(refusal.is_none(), "{refusal:?}");
        drop(wal);
        for image in disk.crash_images(FEW_IMAGES, 1) {
            holds(&open(&image, &small(SyncPolicy::Immediate)), acknowledged);
        }
    }
}

#[test]
fn a_log_whose_directory_was_moved_goes_on_there_and_its_health_says_so() {
    for policy in POLICIES {
        let disk = SimDisk::new(1);
        let wal = open(&disk, &small(policy));
        assert!(wal.health().is_healthy());
        disk.displace();
        let (acknowledged, refusal) = append_over_a_rollover(&wal);
        assert!(refusal.is_none(), "{refusal:?}");
        let health = wal.health();
        assert!(health.displaced && !health.is_healthy());
        assert!(health.to_string().contains("leads elsewhere"), "{health}");
        wal.close().expect("it goes on");
        holds(&open(&disk.kill(), &small(policy)), acknowledged);
    }
}

/// Two names of one inode, as a rename leaves them that reached the disk by half. Only the real disk makes hard links.
fn linked(path: &Path, from: &str, to: &str) {
    fs::hard_link(path.join(from), path.join(to)).expect("one file system");
}

/// A log in `path` whose segments are small, and what it holds.
fn real(path: &Path) -> Wal {
    small(SyncPolicy::Immediate).open(path).expect("a log")
}

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("log");
    (home, path)
}

// On ext2, and ext4 without a journal, a power cut left both names of a file that waited and was renamed to a segment.
// The next open took the segment for a prepared one and the other name for a file that waits, and linked the one. Then
// it headed the other anew: entries that were acknowledged were written over.
#[test]
fn a_file_that_waits_and_is_a_segment_too_is_never_written_over() {
    let (_home, path) = temporary();
    drop(real(&path));
    let wal = real(&path);
    let mut number = 0;
    // A spare is there, and not linked.
    while fs::metadata(path.join(segment_name(2))).is_err() {
        wal.append(&large(number)).expect("there is space");
        number += 1;
    }
    drop(wal);
    linked(&path, &segment_name(2), "pool-000.wal");
    linked(&path, &segment_name(1), "pool-001.wal");
    let wal = real(&path);
    for _ in 0..40 {
        wal.append(&large(number)).expect("there is space");
        number += 1;
    }
    holds(&wal, number);
    wal.close().expect("nothing fails");
    holds(&real(&path), number);
}

// The same on the simulated disk, which keeps either half of a rename: long lives, in which files are used again.
#[test]
fn whichever_half_of_a_rename_a_power_cut_keeps_no_entry_is_written_over() {
    let options = small(SyncPolicy::Immediate);
    let mut halves = 0;
    for cut in 0.. {
        let disk = SimDisk::new(7);
        disk.crash_at(cut);
        let mut acknowledged = 0;
        let mut first = 0;
        if let Ok(wal) = try_open(&disk, &options) {
            for number in 0..24 {
                if wal.append(&large(number)).is_err() {
                    break;
                }
                acknowledged = number + 1;
                if number % 6 == 5 && wal.truncate_before(number - 1).is_ok() {
                    first = number - 1;
                }
            }
        }
        if !disk.crashed() {
            assert!(cut > 100, "{cut} operations");
            break;
        }
        for image in disk.crash_images(FEW_IMAGES, cut) {
            let id = |name: &String| Directory::id_of(&image, name).expect("it is there");
            let names = image.names();
            let waits = names.iter().filter(|name| name.starts_with("pool-"));
            halves += waits
                .filter(|name| names.iter().any(|other| other != *name && id(other) == id(name)))
                .count();
            let wal = open(&image, &options);
            let begins = wal.first();
            assert!(begins >= first || acknowledged == 0, "{}", image.origin());
            let next = wal.written_end();
            assert!(next >= acknowledged, "{next} of {acknowledged}: {}", image.origin());
            for number in next..next + 12 {
                wal.append(&large(number)).expect("nothing fails");
            }
            drop(wal);
            let wal = open(&image, &options);
            let entries = wal.range(..).expect("open").map(|entry| entry.expect("nothing is damaged"));
            let found: Vec<_> = entries.map(|entry| (entry.sequence(), entry.payload().to_vec())).collect();
            let expected: Vec<_> = (begins..next + 12).map(|number| (number, large(number))).collect();
            assert!(found == expected, "{}", image.origin());
        }
    }
    assert!(halves > 20, "a waiting file shared its inode in {halves} images");
}

/// Where the system does not tell which file a segment is, no file that waits is used.
#[test]
fn a_file_that_waits_is_dropped_when_it_cannot_be_told_what_it_is() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    for number in 0..8 {
        wal.append(&large(number)).expect("nothing fails");
    }
    wal.truncate_before(7).expect("nothing fails");
    drop(wal);
    let waits = |disk: &SimDisk| disk.names().iter().any(|name| name.starts_with("pool-"));
    assert!(waits(&disk), "{:?}", disk.names());
    let kept = disk.kill();
    drop(open(&kept, &small(SyncPolicy::Immediate)));
    assert!(waits(&kept), "an open keeps it otherwise");
    let with = FaultEffect::Error(Failure::Kind(std::io::ErrorKind::Other));
    for nth in 0..3 {
        let disk = disk.kill();
        disk.fail(Fault { call: CallKind::IdOf, nth, times: Times::Once, with });
        drop(open(&disk, &small(SyncPolicy::Immediate)));
        assert!(!waits(&disk), "{:?}", disk.names());
    }
}

// A backup by hard links keeps the old segments. When the log dropped one of them and used its file again, the backup
// was written over.
#[cfg(unix)]
#[test]
fn a_dropped_segment_that_a_hard_link_keeps_is_not_used_again() {
    let (home, path) = temporary();
    let wal = real(&path);
    let mut number = 0;
    let mut fill = |wal: &Wal, entries: u64| {
        for _ in 0..entries {
            wal.append(&large(number)).expect("there is space");
            number += 1;
        }
        number
    };
    fill(&wal, 8);
    wal.sync().expect("the device works");
    let backup = home.path().join("backup");
    fs::hard_link(path.join(segment_name(1)), &backup).expect("one file system");
    let bytes = fs::read(&backup).expect("readable");
    for _ in 0..4 {
        let next = fill(&wal, 8);
        wal.truncate_before(next - 1).expect("nothing fails");
    }
    assert!(wal.stats().recycled_segments > 0, "other files are used again");
    assert_eq!(fs::read(&backup).expect("readable"), bytes);
}

/// What is done to the directory of an open log on a real disk.
#[cfg(unix)]
#[derive(Clone, Copy, Debug)]
enum Exchange {
    Moved,
    MovedAndMadeAnew,
    LinkSwitched,
}

// A directory was moved aside and a new one took its name: segments were made in the new one, and the old one was synced
// for their names. Neither opened any more.
#[cfg(unix)]
#[test]
fn on_a_real_disk_every_entry_is_in_the_directory_that_was_opened() {
    for exchange in [Exchange::Moved, Exchange::MovedAndMadeAnew, Exchange::LinkSwitched] {
        for background in [false, true] {
            let home = tempfile::tempdir().expect("a temporary directory");
            let [path, moved, current] = ["log", "moved", "current"].map(|name| home.path().join(name));
            let mut opened = path.clone();
            if matches!(exchange, Exchange::LinkSwitched) {
                fs::create_dir(&path).expect("free");
                std::os::unix::fs::symlink(&path, &current).expect("free");
                opened = current.join("");
            }
            let options = small(SyncPolicy::Immediate).background(background);
            let wal = options.open(&opened).expect("a new log");
            let (before, refusal) = append_over_a_rollover(&wal);
            assert!(refusal.is_none(), "{refusal:?}");
            let held = match exchange {
                Exchange::Moved => moved,
                Exchange::MovedAndMadeAnew => moved,
                Exchange::LinkSwitched => path.clone(),
            };
            match exchange {
                Exchange::Moved | Exchange::MovedAndMadeAnew => {
                    fs::rename(&path, &held).expect("one file system");
                    if matches!(exchange, Exchange::MovedAndMadeAnew) {
                        fs::create_dir(&path).expect("free");
                    }
                }
                Exchange::LinkSwitched => {
                    fs::remove_file(&current).expect("it is there");
                    fs::create_dir(&current).expect("free");
                }
            }
            let mut acknowledged = before;
            for _ in 0..4 {
                let (next, refusal) = append_over_a_rollover(&wal);
                assert!(refusal.is_none(), "{exchange:?}: {refusal:?}");
                acknowledged = next;
            }
            wal.truncate_before(1).expect("it goes on");
            assert!(wal.health().displaced, "{exchange:?}");
            assert!(wal.read(acknowledged - 1).is_ok());
            assert_eq!(wal.read(1).expect("readable").payload(), large(1));
            // It is locked where it is now.
            refused(options.open(&held), ErrorKind::Locked);
            wal.close().expect("it goes on");
            let wal = options.open(&held).expect("all of it is there");
            assert_eq!((wal.first(), wal.written_end()), (1, acknowledged));
            let shown = contents(&wal);
            assert!(shown.iter().zip(1..).all(|(payload, number)| *payload == large(number)), "{exchange:?}");
            assert!(!wal.health().displaced);
            if !matches!(exchange, Exchange::Moved) {
                let left = fs::read_dir(if opened == path { path } else { current }).expect("readable");
                assert_eq!(left.count(), 0, "{exchange:?}: nothing was made in the other one");
            }
        }
    }
}

// The directory is removed with all that is in it: the handles go on, and nothing has a name.
#[cfg(unix)]
#[test]
fn a_log_whose_directory_was_removed_accepts_nothing_behind_the_segment() {
    for background in [false, true] {
        let (_home, path) = temporary();
        let wal = small(SyncPolicy::Immediate).background(background).open(&path).expect("a new log");
        let (_, refusal) = append_over_a_rollover(&wal);
        assert!(refusal.is_none(), "{refusal:?}");
        // A thread may make a segment in it meanwhile.
        while let Err(error) = fs::remove_dir_all(&path) {
            assert_eq!(error.kind(), std::io::ErrorKind::DirectoryNotEmpty, "{error}");
        }
        let (_, refusal) = append_over_a_rollover(&wal);
        let error = refusal.expect("it looks before it begins a segment");
        assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
        assert!(error.to_string().contains("was removed while the log had it open"), "{error}");
        refused(wal.append(b"more"), ErrorKind::Poisoned);
    }
}

/// With its threads a log notices within about a second of an append, also in the middle of a segment.
#[cfg(unix)]
#[test]
fn an_exchanged_file_is_noticed_in_the_middle_of_a_segment() {
    let (_home, path) = temporary();
    let wal = Options::new().sync(SyncPolicy::Immediate).open(&path).expect("a new log");
    wal.append(b"entry").expect("there is space");
    let copy = path.join("copy");
    fs::copy(path.join(segment_name(1)), &copy).expect("there is space");
    fs::rename(&copy, path.join(segment_name(1))).expect("one file system");
    let begun = Instant::now();
    let error = loop {
        match wal.append(b"another") {
            Err(error) => break error,
            Ok(_) => assert!(begun.elapsed() < Duration::from_secs(5), "it does not look"),
        }
        thread::sleep(Duration::from_millis(20));
    };
    is_exchanged(&error, &segment_name(1));
    assert!(wal.health().poisoned.is_some());
}

#[cfg(unix)]
#[test]
fn on_a_real_disk_a_second_writer_is_refused_whatever_becomes_of_lock() {
    let (_home, path) = temporary();
    let wal = real(&path);
    wal.append(&large(0)).expect("there is space");
    fs::remove_file(path.join(LOCK)).expect("it is there");
    refused(small(SyncPolicy::Immediate).open(&path), ErrorKind::Locked);
    fs::write(path.join("other"), b"").expect("there is space");
    fs::rename(path.join("other"), path.join(LOCK)).expect("one file system");
    refused(small(SyncPolicy::Immediate).open(&path), ErrorKind::Locked);
    wal.append(&large(1)).expect("the first writer goes on");
    assert!(wal.stats().directory_locked);
    wal.close().expect("nothing fails");
    holds(&real(&path), 2);
}

// The background thread had copied the list of names and was about to look, when the log went on in the next segment, dropped
// the one before it, and let its file wait under another name. The name that was missing then was one that the log
// itself had taken away, and the log was poisoned.
#[test]
fn a_segment_that_the_log_drops_while_another_thread_looks_at_names_counts_as_no_exchange() {
    let disk = SimDisk::new(1);
    let gate = Gate::new();
    let held_back = Arc::clone(&gate);
    let seam = Seam::new(disk.clone(), move |call| match call {
        Call::IdOf { name } if name.ends_with(".wal") && thread::current().name() == Some("wal-files") => {
            held_back.pass()
        }
        _ => Ok(()),
    });
    let wal = small(SyncPolicy::Immediate).background(true).open_in(seam).expect("a new log");
    let (_, refusal) = append_over_a_rollover(&wal);
    assert!(refusal.is_none(), "{refusal:?}");
    // The next segment is prepared; then the thread looks, at the latest when it has had nothing to do for a second.
    let last = wal.stats().segments;
    eventually("a spare", Duration::from_secs(10), || {
        wal.append(b"small").is_ok() && disk.names().contains(&segment_name(last + 1))
    });
    gate.shut();
    gate.until_somebody_waits();
    let (acknowledged, refusal) = append_over_a_rollover(&wal);
    assert!(refusal.is_none(), "{refusal:?}");
    wal.truncate_before(acknowledged).expect("nothing fails");
    assert!(!disk.names().contains(&segment_name(last)), "{:?}", disk.names());
    gate.open();
    for _ in 0..3 {
        let (_, refusal) = append_over_a_rollover(&wal);
        assert!(refusal.is_none(), "{refusal:?}");
    }
    wal.close().expect("nothing fails");
}

/// What the files lead to is asked of the system only where something is begun.
#[test]
fn an_append_within_a_segment_asks_for_no_name() {
    let disk = SimDisk::new(1);
    let wal = Options::new()
        .segment_bytes(1 << 20)
        .sync(SyncPolicy::None)
        .background(false)
        .open_in(Arc::new(disk.clone()))
        .expect("a new log");
    wal.append(b"entry").expect("nothing fails");
    let before = disk.calls(CallKind::IdOf);
    for _ in 0..100 {
        wal.append(b"entry").expect("nothing fails");
    }
    assert_eq!(disk.calls(CallKind::IdOf), before);
}
