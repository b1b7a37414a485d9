//! Files that become segments again: nothing of an old life is ever read, no reader loses what it has, and
//! the directory stays as large as it is.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::bytes::{frames, header, linked, repair, segment_name, segments};
use crate::common::ledger::payload;
use crate::common::seam::{Call, Seam};
use crate::common::{
    EVERY_POLICY, FEW_IMAGES, HALF, Ledger, SMALL, check_images, check_power_cut, contents, cut_everywhere,
    enospc, eventually, fault, open, read, small, try_open, view, within,
};
use wal::{Ending, ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::{CallKind, FaultEffect, SimDisk, Times};

const POLICY: SyncPolicy = SyncPolicy::Immediate;
const LIMIT: Duration = Duration::from_secs(60);
const FRAMES: usize = 8192;

fn pool(disk: &SimDisk) -> Vec<String> {
    disk.names().into_iter().filter(|name| name.starts_with("pool-")).collect()
}

/// Two entries fill a segment.
fn fill(wal: &Wal, segments: u64) {
    for _ in 0..segments * 2 {
        let number = wal.written_end();
        wal.append(&payload(number, HALF)).expect("nothing fails");
    }
}

/// A log whose open segment, the last one, was made of the file of an earlier one.
fn recycled(disk: &SimDisk, options: &Options) -> Wal {
    let wal = open(disk, options);
    fill(&wal, 3);
    wal.truncate_before(3).expect("nothing fails");
    fill(&wal, 2);
    assert!(wal.stats().recycled_segments >= 1, "{:?}", disk.names());
    let last = linked(disk).pop().expect("a segment");
    assert!(!header(&disk.contents(&last).expect("it is there")).fresh, "{last} was used before");
    wal
}

#[test]
fn the_file_of_a_segment_that_was_dropped_becomes_a_later_one_with_another_salt() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(POLICY));
    fill(&wal, 3);
    let old = disk.contents(&segment_name(1)).expect("it is there");
    wal.truncate_before(2).expect("nothing fails");
    assert_eq!((pool(&disk).len(), wal.stats().spare_segments), (1, 2), "one waits beside the prepared one");
    let creates = disk.calls(CallKind::Create);
    fill(&wal, 1);
    assert_eq!(disk.calls(CallKind::Create), creates, "no file is made");
    assert_eq!((pool(&disk).len(), wal.stats().recycled_segments), (0, 1));
    fill(&wal, 1);
    let again = linked(&disk).pop().expect("a segment");
    let found = disk.contents(&again).expect("it is there");
    assert!(!header(&found).fresh && header(&old).fresh);
    assert_ne!(header(&found).life.salt, header(&old).life.salt);
    assert_eq!(wal.stats().disk_bytes, disk_bytes(&disk), "{:?}", disk.names());
    let entries = contents(&wal);
    wal.close().expect("nothing fails");
    assert!(pool(&disk).is_empty());
    assert!(contents(&open(&disk.power_cut_losing_everything(), &small(POLICY))) == entries);
}

/// The lengths of all files of the log.
fn disk_bytes(disk: &SimDisk) -> u64 {
    let names = disk.names().into_iter().filter(|name| name != "LOCK");
    names.map(|name| disk.contents(&name).expect("a file").len() as u64).sum()
}

#[test]
fn without_recycling_the_files_are_removed() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(POLICY).recycle(false));
    fill(&wal, 3);
    wal.truncate_before(4).expect("nothing fails");
    fill(&wal, 3);
    assert_eq!((pool(&disk).len(), wal.stats().recycled_segments), (0, 0));
    assert!(linked(&disk).iter().all(|name| header(&disk.contents(name).expect("it is there")).fresh));
}

// A recycled file of rocksdb#12918 and of pebble#580 held records of its earlier life behind the end of the
// new one. Where the formats met, the reader went on into them. Deleted keys were back.
#[test]
fn payloads_that_are_frames_of_the_old_life_are_never_read_as_entries() {
    for torn_at in [0, 1, 32, 64, 100, 500, 700] {
        let disk = SimDisk::new(1);
        let options = small(POLICY);
        let wal = open(&disk, &options);
        fill(&wal, 1);
        // All frames of the first segment, its LINK too, as one payload, at every alignment.
        let image = disk.contents(&segment_name(1)).expect("it is there");
        let end = frames(&image).last().expect("there are frames").end;
        let valid = image[FRAMES..end.min(FRAMES + 1400)].to_vec();
        for shift in [0, 8, 24, 40] {
            let hostile = [vec![0; shift], valid.clone()].concat();
            wal.append(&hostile).expect("nothing fails");
            wal.append(&hostile).expect("nothing fails");
        }
        for round in 0..6 {
            wal.truncate_before(wal.written_end() - 2).expect("nothing fails");
            // A copy of frames that stand in the file that is used next, at the place where they stand.
            let waits = pool(&disk).pop();
            if let Some(old) = waits.and_then(|name| disk.contents(&name)) {
                let copy = old[FRAMES..FRAMES + 1200].to_vec();
                wal.append(&copy).expect("nothing fails");
            }
            wal.append(&payload(round, 10)).expect("nothing fails");
            wal.append(&payload(round, HALF)).expect("nothing fails");
            let (shown, first) = (contents(&wal), wal.first());
            // The next write is torn, over old frames.
            let torn = disk.kill();
            let life = open(&torn, &options);
            life.append(&payload(77, 10)).expect("nothing fails");
            torn.fail(fault(
                CallKind::Write,
                0,
                Times::Once,
                FaultEffect::PartialThenError(torn_at, enospc()),
            ));
            life.append(&payload(78, 700)).expect_err("the write is torn");
            drop(life);
            let expected = [shown, vec![payload(77, 10)]].concat();
            for image in
                [torn.kill(), torn.power_cut_losing_everything(), torn.power_cut_keeping_everything()]
            {
                for _ in 0..2 {
                    let again = open(&image, &options);
                    assert_eq!(again.first(), first);
                    assert!(contents(&again) == expected, "round {round}, torn at {torn_at}");
                }
            }
        }
        assert!(wal.stats().recycled_segments > 2, "{}", wal.stats().recycled_segments);
    }
}

#[test]
fn a_frame_of_the_old_life_at_the_end_of_the_new_one_is_neither_an_entry_nor_a_torn_tail() {
    let disk = SimDisk::new(1);
    let options = small(POLICY);
    let wal = recycled(&disk, &options);
    let last = linked(&disk).pop().expect("a segment");
    let shown = contents(&wal);
    drop(wal);
    // The file is full of old bytes behind the end: a frame that would follow, but for its salt.
    let bytes = disk.contents(&last).expect("it is there");
    let end = frames(&bytes).last().expect("it has frames").end;
    for same_life in [false, true] {
        let image = disk.kill();
        assert!(image.damage(&last, |bytes| {
            let frame = *frames(bytes).last().expect("it has frames");
            let copy = bytes[frame.offset..frame.end].to_vec();
            let room = copy.len().min(bytes.len() - end);
            bytes[end..end + room].copy_from_slice(&copy[..room]);
            let mut life = header(bytes).life;
            if !same_life {
                life.salt ^= 1;
            }
            repair(bytes, life, end);
        }));
        let wal = open(&image, &options);
        assert!(contents(&wal) == shown);
        let torn = matches!(wal.recovery().ending, Ending::Torn { .. });
        assert_eq!(torn, same_life, "{:?}", wal.recovery().ending);
    }
}

// unisondb#216: an entry was overwritten by one of the same size, and after a crash the one behind it, which
// had been dropped, followed it again.
#[test]
fn entries_of_equal_sizes_do_not_come_back_behind_one_that_was_written_over_them() {
    for policy in [SyncPolicy::None, POLICY] {
        let options = small(policy);
        cut_everywhere(
            || Ledger::new(policy),
            |_, _| {},
            |disk, ledger| {
                // Twice: a torn write, and one entry of the same size over what it left.
                for round in 0..2 {
                    let Ok(wal) = try_open(disk, &options) else { return };
                    let Ok(shown) = wal.range(..).map(|entries| read(entries).0) else { return };
                    ledger.adopt(&shown);
                    for _ in 0..4 {
                        ledger.append(&wal, 200).ok();
                    }
                    ledger.sync(&wal).ok();
                    disk.fail(fault(
                        CallKind::Write,
                        round,
                        Times::Once,
                        FaultEffect::PartialThenError(100 + 400 * usize::from(round == 0), enospc()),
                    ));
                    ledger.append(&wal, 200).ok();
                    ledger.append(&wal, 200).ok();
                    disk.heal();
                    drop(wal);
                }
            },
            |disk, ledger| check_images(disk, ledger, &options, FEW_IMAGES, 5),
        );
    }
}

/// Rolls and drops the front in turn, so that nearly every segment is one that was used before.
fn turns(wal: &Wal, kept: &mut Kept, rounds: u64) {
    for round in 0..rounds {
        if kept.append(wal, HALF).is_err() || kept.append(wal, 300).is_err() {
            return;
        }
        if round > 1 && kept.drop_front(wal).is_err() {
            return;
        }
    }
}

/// What was appended and acknowledged, and where the log begins.
#[derive(Default)]
struct Kept {
    entries: Vec<Vec<u8>>,
    acknowledged: usize,
    first: u64,
    asked: u64,
}

impl Kept {
    fn append(&mut self, wal: &Wal, bytes: usize) -> Result<(), wal::Error> {
        let number = self.entries.len() as u64;
        // Under each number the same bytes in every life: what an old life left would fit.
        self.entries.push(payload(number, bytes));
        assert_eq!(wal.append(self.entries.last().expect("it was just put there"))?, number);
        self.acknowledged = self.entries.len();
        Ok(())
    }

    fn drop_front(&mut self, wal: &Wal) -> Result<(), wal::Error> {
        self.asked = wal.written_end() - 2;
        wal.truncate_before(self.asked)?;
        self.first = self.asked;
        Ok(())
    }

    fn check(&self, image: &SimDisk, options: &Options) {
        let mut before = None;
        for _ in 0..2 {
            let wal = open(image, options);
            let (first, shown) = (wal.first(), contents(&wal));
            assert!([self.first, self.asked].contains(&first), "it begins at {first}: {}", image.origin());
            let from = usize::try_from(first).expect("a few");
            assert!(from + shown.len() >= self.acknowledged, "acknowledged: {}", image.origin());
            assert!(self.entries[from..].starts_with(&shown), "as appended: {}", image.origin());
            assert!(before.is_none_or(|before| before == (first, shown.clone())), "{}", image.origin());
            before = Some((first, shown));
            drop(wal);
        }
        let wal = open(image, options);
        fill(&wal, 3);
        drop(wal);
        open(&image.power_cut_losing_everything(), options).close().expect("nothing fails");
        assert!(pool(image).len() <= 3, "{:?}", image.names());
    }
}

#[test]
fn a_power_cut_or_a_kill_at_any_step_of_a_file_that_is_used_again_leaves_a_log_that_opens() {
    for options in [small(POLICY), small(POLICY).zero_ahead(true)] {
        let mut recycled = 0;
        let mut ended = false;
        for cut_at in 0..1000 {
            let disk = SimDisk::new(cut_at);
            disk.crash_at(cut_at);
            let mut kept = Kept::default();
            if let Ok(wal) = try_open(&disk, &options) {
                turns(&wal, &mut kept, 10);
                recycled = recycled.max(wal.stats().recycled_segments);
            }
            for image in disk.crash_images(FEW_IMAGES, cut_at) {
                kept.check(&image, &options);
            }
            kept.check(&disk.kill(), &options);
            if !disk.crashed() {
                ended = true;
                break;
            }
        }
        assert!(ended && recycled >= 3, "{recycled} were used again");
    }
}

#[test]
fn whichever_call_fails_while_a_file_is_used_again_nothing_is_lost_and_the_log_goes_on() {
    let calls = [
        CallKind::Open,
        CallKind::LockFile,
        CallKind::Len,
        CallKind::Rename,
        CallKind::Remove,
        CallKind::SetLen,
        CallKind::Create,
        CallKind::Allocate,
    ];
    within(LIMIT, move || {
        for background in [false, true] {
            for call in calls {
                for times in [Times::Once, Times::Forever] {
                    for nth in 0..6 {
                        let what = format!("{call:?} {nth} {times:?}, threads: {background}");
                        let disk = SimDisk::new(nth);
                        let options = small(POLICY).background(background);
                        let wal = open(&disk, &options);
                        fill(&wal, 3);
                        disk.fail(fault(call, nth, times, FaultEffect::Error(crate::common::eio())));
                        wal.truncate_before(4).unwrap_or_else(|error| panic!("{what}: {error}"));
                        let mut entries = vec![payload(4, HALF), payload(5, HALF)];
                        for number in 6..12 {
                            // What needs a new segment may be told that none can be had.
                            if wal.append(&payload(number, HALF)).is_ok() {
                                entries.push(payload(number, HALF));
                            } else {
                                break;
                            }
                        }
                        disk.heal();
                        assert!(contents(&wal) == entries, "{what}");
                        fill(&wal, 2);
                        wal.close().unwrap_or_else(|error| panic!("{what}: {error}"));
                        let again = open(&disk.power_cut_losing_everything(), &options);
                        assert!(contents(&again).starts_with(&entries), "{what}");
                    }
                }
            }
        }
    });
}

#[test]
fn a_longer_file_is_shortened_and_a_shorter_one_is_extended() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(POLICY));
    fill(&wal, 1);
    // A segment of its own size.
    wal.append(&payload(2, 60_000)).expect("nothing fails");
    fill(&wal, 1);
    wal.truncate_before(3).expect("nothing fails");
    fill(&wal, 2);
    assert!(wal.stats().recycled_segments > 0);
    let lengths = |disk: &SimDisk| {
        let names = linked(disk).into_iter().chain(segments(disk));
        names.map(|name| disk.contents(&name).expect("it is there").len() as u64).max()
    };
    assert_eq!(lengths(&disk), Some(SMALL), "{:?}", disk.names());
    // And the other way round.
    wal.truncate_before(wal.written_end()).expect("nothing fails");
    let number = wal.written_end();
    wal.append(&payload(number, 60_000)).expect("nothing fails");
    wal.append(&payload(number + 1, HALF)).expect("nothing fails");
    let shown = contents(&wal);
    drop(wal);
    assert!(contents(&open(&disk.power_cut_losing_everything(), &small(POLICY))) == shown);
}

#[test]
fn a_file_that_a_reader_of_this_process_has_is_removed_and_the_reader_goes_on() {
    for mapped in [true, false] {
        let disk = SimDisk::new(1);
        let options = small(POLICY).mapped_reads(mapped);
        let wal = open(&disk, &options);
        fill(&wal, 3);
        // A reader of its own, which holds no lease of the writer's.
        let other = options.open_read_only_in(Arc::new(disk.clone())).expect("a log");
        let mut entries = other.range(..);
        let first = entries.next().expect("an entry").expect("it is whole");
        wal.truncate_before(2).expect("nothing fails");
        assert!(pool(&disk).is_empty(), "the first segment is open");
        assert!(!segments(&disk).contains(&segment_name(1)));
        fill(&wal, 4);
        assert!(first.to_vec() == payload(0, HALF));
        let second = entries.next().expect("an entry").expect("it is whole");
        assert!(second.to_vec() == payload(1, HALF));
        drop((entries, other));
        wal.truncate_before(4).expect("nothing fails");
        assert_eq!(pool(&disk).len(), 1, "nobody has the second one");
        let held = wal.read(4).expect("it is there");
        assert!(held.to_vec() == payload(4, HALF));
    }
}

#[test]
fn an_entry_that_is_kept_keeps_its_file_from_being_used_again() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("log");
    let wal = small(POLICY).open(&path).expect("a new log");
    fill(&wal, 4);
    let kept = wal.read(0).expect("it is there");
    wal.truncate_before(2).expect("nothing fails");
    let waiting = || {
        let names = fs::read_dir(&path).expect("a directory");
        names.filter(|name| is_pool(&name.as_ref().expect("a name").file_name())).count()
    };
    assert_eq!(waiting(), 0, "somebody has the first segment");
    wal.truncate_before(4).expect("nothing fails");
    assert_eq!(waiting(), usize::from(cfg!(unix)), "nobody has the second one");
    fill(&wal, 5);
    assert!(kept.to_vec() == payload(0, HALF));
    assert_eq!(wal.stats().recycled_segments > 0, cfg!(unix));
    drop(wal);
    assert!(kept.to_vec() == payload(0, HALF), "also when the log is gone");
}

fn is_pool(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("pool-")
}

#[test]
fn a_reader_that_comes_to_a_file_which_is_another_segment_by_now_is_told_that_its_own_was_dropped() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(POLICY));
    fill(&wal, 3);
    let old = view(&disk);
    wal.truncate_before(4).expect("nothing fails");
    fill(&wal, 3);
    let (shown, error) = read(old.range(..));
    assert!(shown.is_empty());
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::OutOfRange));
    // Between opening the file and locking it, the file has become another one.
    let raced = disk.kill();
    let another = raced.contents(linked(&disk).last().expect("a segment")).expect("it is there");
    raced.put(&segment_name(3), &another);
    let seam = Seam::new(raced, |_| Ok(()));
    let damaged = Options::new().open_read_only_in(seam).map(|view| read(view.range(..)));
    let kind = match damaged {
        Ok((_, error)) => error.map(|error| error.kind()),
        Err(error) => Some(error.kind()),
    };
    assert!(matches!(kind, Some(ErrorKind::Corrupt | ErrorKind::Missing)), "{kind:?}");
}

#[test]
fn readers_that_race_with_files_being_used_again_read_what_was_appended() {
    for (mapped, view_too) in [(true, true), (false, true), (true, false)] {
        within(LIMIT, move || {
            // In memory where there is such a place: it is about locks and mappings, not about the device.
            let memory = Path::new("/dev/shm");
            let home = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
            let home = home.expect("a temporary directory");
            let path = home.path().join("log");
            let options = small(SyncPolicy::None).background(true).mapped_reads(mapped);
            let wal = options.open(&path).expect("a new log");
            let check = |entry: &wal::Entry| {
                assert!(entry.to_vec() == payload(entry.sequence(), 700), "entry {}", entry.sequence());
            };
            let over = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    for number in 0..1500 {
                        wal.append(&payload(number, 700)).expect("nothing fails");
                        if number % 7 == 6 {
                            wal.truncate_before(number - 5).expect("nothing fails");
                        }
                    }
                    over.store(true, Ordering::Relaxed);
                });
                scope.spawn(|| {
                    let mut kept = VecDeque::new();
                    while !over.load(Ordering::Relaxed) {
                        for entry in wal.range(..).expect("the log is open") {
                            let entry = entry.expect("the files of a reader of this log stay");
                            check(&entry);
                            kept.push_back(entry);
                        }
                        // Those of segments that are long gone, too.
                        kept.iter().for_each(check);
                        kept.drain(..kept.len().saturating_sub(50));
                    }
                });
                scope.spawn(|| {
                    while view_too && !over.load(Ordering::Relaxed) {
                        let Ok(view) = options.open_read_only(&path) else { continue };
                        for entry in view.range(..) {
                            match entry {
                                Ok(entry) => check(&entry),
                                // Its files may be gone before it comes to them.
                                Err(error) => assert_eq!(error.kind(), ErrorKind::OutOfRange, "{error}"),
                            }
                        }
                    }
                });
            });
            let stats = wal.stats();
            assert!(stats.recycled_segments > 0 || !cfg!(unix), "of {} segments", stats.rollovers);
        });
    }
}

const CHILD: &str = "WAL_TEST_RECYCLE_CHILD";

/// Not a test of its own: the process that reads beside
/// [`a_file_that_another_process_reads_is_removed_and_that_reader_goes_on`].
#[test]
fn child_that_reads_the_first_entries_slowly() {
    let Some(path) = env::var_os(CHILD) else { return };
    let view = Options::new().open_read_only(Path::new(&path).join("log")).expect("there is a log");
    let mut entries = view.range(..);
    let first = entries.next().expect("an entry").expect("it is whole");
    fs::write(Path::new(&path).join("reading"), b"").expect("a file");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the parent says when");
    assert!(first.to_vec() == payload(0, HALF), "what is mapped has not changed");
    let second = entries.next().expect("an entry").expect("it is whole");
    assert!(second.to_vec() == payload(1, HALF));
}

#[test]
fn a_file_that_another_process_reads_is_removed_and_that_reader_goes_on() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let wal = small(POLICY).open(home.path().join("log")).expect("a new log");
    fill(&wal, 3);
    let mut child = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "recycle::child_that_reads_the_first_entries_slowly"])
        .env(CHILD, home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("a process");
    eventually("the child reads", LIMIT, || home.path().join("reading").exists());
    wal.truncate_before(2).expect("nothing fails");
    let names: Vec<_> = fs::read_dir(home.path().join("log"))
        .expect("a directory")
        .map(|entry| entry.expect("a name").file_name())
        .collect();
    assert!(!names.iter().any(|name| is_pool(name)), "{names:?}");
    assert!(!names.iter().any(|name| name == segment_name(1).as_str()), "{names:?}");
    fill(&wal, 6);
    child.stdin.take().expect("it was piped").write_all(b"\n").expect("it listens");
    assert!(child.wait().expect("it ends").success(), "it read what it had");
}

#[test]
fn the_pool_is_taken_over_after_a_kill_and_removed_by_a_close() {
    let disk = SimDisk::new(1);
    let options = small(POLICY);
    let wal = open(&disk, &options);
    fill(&wal, 3);
    wal.truncate_before(4).expect("nothing fails");
    let waiting = pool(&disk);
    assert_eq!(waiting.len(), 1);
    drop(wal);
    let killed = disk.kill();
    // Neither a reader nor a check takes them for anything.
    let seen = view(&killed);
    assert_eq!(seen.recovery().ignored_names, 0);
    assert!(seen.verify().expect("it can be read").damages.is_empty());
    assert_eq!(pool(&killed), waiting, "a reader changes nothing");
    let wal = open(&killed, &options);
    assert_eq!((pool(&killed), wal.stats().spare_segments), (waiting.clone(), waiting.len() as u64));
    assert_eq!(wal.recovery().ignored_names, 0);
    fill(&wal, 3);
    assert!(wal.stats().recycled_segments > 0);
    wal.close().expect("nothing fails");
    assert!(pool(&killed).is_empty());
    // An open without recycling removes the used files.
    let wal = open(&disk, &small(POLICY).recycle(false));
    assert!(pool(&disk).is_empty());
    assert_eq!(contents(&wal).len(), 2);
}

#[test]
fn more_files_than_are_wanted_are_removed_by_an_open_and_what_is_no_file_is_left_alone() {
    let disk = SimDisk::new(1);
    drop(recycled(&disk, &small(POLICY)));
    for place in [3, 700, 999] {
        disk.put(&format!("pool-{place:03}.wal"), b"something");
    }
    disk.put_kind("pool-500.wal", wal_segment::io::FileKind::Directory);
    let wal = open(&disk, &small(POLICY));
    assert!(pool(&disk).contains(&"pool-500.wal".to_owned()));
    assert_eq!(pool(&disk).len(), 2, "{:?}", pool(&disk));
    fill(&wal, 4);
    wal.truncate_before(wal.written_end() - 2).expect("nothing fails");
    fill(&wal, 4);
    wal.close().expect("nothing fails");
    assert_eq!(pool(&disk), ["pool-500.wal"]);
}

#[test]
fn a_directory_does_not_grow_over_a_thousand_cycles() {
    for background in [false, true] {
        within(LIMIT, move || {
            let disk = SimDisk::new(1);
            let wal = open(&disk, &small(SyncPolicy::None).background(background));
            for cycle in 0..1000_u64 {
                fill(&wal, 1);
                let first = wal.written_end() - 1 - cycle % 3;
                wal.truncate_before(first.max(wal.first())).expect("nothing fails");
                assert!(disk.names().len() <= 9, "cycle {cycle}: {:?}", disk.names());
            }
            let stats = wal.stats();
            assert!(stats.recycled_segments > 500, "{} of {}", stats.recycled_segments, stats.rollovers);
            assert!(disk.calls(CallKind::Create) < 500, "{}", disk.calls(CallKind::Create));
            wal.close().expect("nothing fails");
            assert!(disk.names().len() <= 5, "{:?}", disk.names());
        });
    }
}

#[test]
fn on_a_full_disk_old_files_carry_the_log_on_and_nothing_waits_while_an_append_fails() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(POLICY));
    fill(&wal, 3);
    disk.space(Some(0));
    // Each truncation leaves the file that the next segment needs.
    for _ in 0..20 {
        wal.truncate_before(wal.written_end() - 1).expect("it takes no space");
        fill(&wal, 1);
    }
    assert!(wal.stats().recycled_segments >= 19);
    let mut failed = None;
    for _ in 0..12 {
        if let Err(error) = wal.append(&payload(wal.written_end(), HALF)) {
            failed = Some(error);
            break;
        }
    }
    assert_eq!(failed.map(|error| error.kind()), Some(ErrorKind::NoSpace));
    assert!(pool(&disk).is_empty(), "{:?}", pool(&disk));
    let shown = contents(&wal);
    // A file of which too little is there gives its space back, and another one is made of it.
    wal.truncate_before(wal.written_end() - 1).expect("it takes no space");
    fill(&wal, 1);
    assert!(contents(&wal).len() >= 2 && !shown.is_empty());
    wal.close().expect("it takes no space");
}

#[test]
fn a_small_log_has_one_file() {
    for policy in EVERY_POLICY {
        let home = tempfile::tempdir().expect("a temporary directory");
        let wal = Options::new().sync(policy).open(home.path().join("log")).expect("a new log");
        for number in 0..10 {
            wal.append(&payload(number, 100)).expect("nothing fails");
        }
        wal.sync().expect("nothing fails");
        let stats = wal.stats();
        assert_eq!((stats.segments, stats.spare_segments), (1, 0), "{policy:?}");
        assert!(stats.disk_bytes <= 2 << 20, "{} bytes", stats.disk_bytes);
    }
}

#[test]
fn where_files_cannot_be_locked_none_is_used_again() {
    let disk = SimDisk::new(1);
    let unsupported = FaultEffect::Error(crate::common::failure(95, std::io::ErrorKind::Unsupported));
    disk.fail(fault(CallKind::LockFile, 0, Times::Forever, unsupported));
    let wal = open(&disk, &small(POLICY));
    fill(&wal, 3);
    assert_eq!(contents(&wal).len(), 6, "a reader does without");
    wal.truncate_before(4).expect("nothing fails");
    fill(&wal, 2);
    assert_eq!((pool(&disk).len(), wal.stats().recycled_segments), (0, 0));
    drop(wal);
    assert_eq!(contents(&open(&disk, &small(POLICY))).len(), 6);
}

#[test]
fn the_writer_has_no_lock_on_the_segment_that_it_writes() {
    let disk = SimDisk::new(1);
    let seam = Seam::new(disk.clone(), |call| {
        assert!(!matches!(call, Call::Write { name, .. } if name == "LOCK"));
        Ok(())
    });
    let wal = small(POLICY).open_in(seam).expect("a new log");
    fill(&wal, 3);
    wal.truncate_before(4).expect("nothing fails");
    fill(&wal, 3);
    let directory: &dyn wal::Directory = &disk;
    for name in linked(&disk) {
        let file = directory.open(&name, wal_segment::io::Access::ReadWrite).expect("it is there");
        file.try_lock().unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    check_power_cut_of(&disk, &wal);
}

fn check_power_cut_of(disk: &SimDisk, wal: &Wal) {
    let (first, shown) = (wal.first(), contents(wal));
    let again = open(&disk.power_cut_losing_everything(), &small(POLICY));
    assert!((again.first(), contents(&again)) == (first, shown));
}

// What is appended behind a crash is checked with an oracle too, over files that were used before.
#[test]
fn a_log_of_files_that_were_used_before_keeps_what_it_promised() {
    let disk = SimDisk::new(1);
    let wal = recycled(&disk, &small(POLICY));
    wal.truncate_before(wal.written_end()).expect("nothing fails");
    wal.close().expect("nothing fails");
    for seed in 0..4 {
        let life = disk.kill();
        let wal = open(&life, &small(POLICY));
        fill(&wal, 2);
        check_power_cut_of(&life, &wal);
        drop(wal);
        for image in life.crash_images(FEW_IMAGES, seed) {
            assert_eq!(contents(&open(&image, &small(POLICY))).len(), 4);
        }
    }
    let fresh = SimDisk::new(2);
    check_power_cut(&fresh, &Ledger::new(POLICY), &small(POLICY));
}
