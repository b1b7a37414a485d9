//! The simulated disk loses what a real one may lose, and nothing else.
#![cfg(feature = "sim")]

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use wal_io::sim::{
    CallKind, CrashModel, Failure, Fault, FaultEffect, Pick, SimDisk, SyncLoss, Times, is_crash,
};
use wal_io::{Access, Directory, File, FileKind, Lock, Residency};

const BLOCK: usize = 4096;
const EXHAUSTIVE: CrashModel = CrashModel { exhaustive_up_to: 1 << 16, random: 0, tearing: 0, garbage: 0 };

fn create(disk: &SimDisk, name: &str) -> Arc<dyn File> {
    disk.create(name).expect("the name is free")
}

fn write(file: &dyn File, bytes: &[u8], offset: u64) {
    assert_eq!(file.write_at(bytes, offset).expect("nothing is armed"), bytes.len());
}

fn sync(file: &dyn File) {
    file.sync().expect("nothing is armed");
}

fn read(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().expect("readable")).expect("small")];
    assert_eq!(file.read_at(&mut bytes, 0).expect("readable"), bytes.len());
    bytes
}

/// A file `name` that is durable with these bytes.
fn durable(disk: &SimDisk, name: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = create(disk, name);
    write(&*file, bytes, 0);
    sync(&*file);
    disk.sync().expect("nothing is armed");
    file
}

/// What the images hold under `name`, each once.
fn outcomes(disk: &SimDisk, model: CrashModel, name: &str) -> HashSet<Option<Vec<u8>>> {
    disk.crash_images(model, 1).map(|image| image.contents(name)).collect()
}

fn set<const N: usize>(outcomes: [Option<&[u8]>; N]) -> HashSet<Option<Vec<u8>>> {
    outcomes.into_iter().map(|bytes| bytes.map(<[u8]>::to_vec)).collect()
}

fn once(call: CallKind, with: FaultEffect) -> Fault {
    Fault { call, nth: 0, times: Times::Once, with }
}

// ---- what a power cut takes

#[test]
fn a_writer_that_never_syncs_can_lose_everything_or_anything() {
    let disk = SimDisk::new(1);
    write(&*create(&disk, "log"), b"entry", 0);
    let expected = set([None, Some(b""), Some(b"\0\0\0\0\0"), Some(b"entry")]);
    assert_eq!(outcomes(&disk, EXHAUSTIVE, "log"), expected);
}

#[test]
fn a_file_synced_without_its_directory_can_vanish() {
    let disk = SimDisk::new(1);
    let file = create(&disk, "log");
    write(&*file, b"entry", 0);
    sync(&*file);
    assert_eq!(outcomes(&disk, EXHAUSTIVE, "log"), set([None, Some(b"entry")]));
}

#[test]
fn a_directory_synced_without_its_file_can_lose_the_bytes() {
    let disk = SimDisk::new(1);
    write(&*create(&disk, "log"), b"entry", 0);
    disk.sync().expect("nothing is armed");
    assert_eq!(outcomes(&disk, EXHAUSTIVE, "log"), set([Some(b""), Some(b"\0\0\0\0\0"), Some(b"entry")]));
}

#[test]
fn a_writer_that_syncs_both_never_loses_anything() {
    let disk = SimDisk::new(1);
    let _file = durable(&disk, "log", b"entry");
    assert_eq!(outcomes(&disk, CrashModel::default(), "log"), set([Some(b"entry")]));
}

#[test]
fn an_overwritten_block_holds_any_version_since_the_sync() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", b"0");
    write(&*file, b"1", 0);
    write(&*file, b"2", 0);
    assert_eq!(outcomes(&disk, EXHAUSTIVE, "log"), set([Some(b"0"), Some(b"1"), Some(b"2")]));
}

#[test]
fn blocks_of_one_write_survive_independently() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", &[0; 3 * BLOCK]);
    write(&*file, &[1; 3 * BLOCK], 0);
    let found: HashSet<Vec<u8>> = outcomes(&disk, EXHAUSTIVE, "log")
        .into_iter()
        .map(|bytes| bytes.expect("the name is durable").iter().step_by(BLOCK).copied().collect())
        .collect();
    assert_eq!(found.len(), 8);
}

#[test]
fn a_pending_length_is_old_or_new_or_any_between() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", b"abcdef");
    file.set_len(2).expect("nothing is armed");
    file.set_len(4).expect("nothing is armed");
    let lengths: HashSet<usize> = outcomes(&disk, EXHAUSTIVE, "log")
        .into_iter()
        .map(|bytes| bytes.expect("the name is durable").len())
        .collect();
    assert_eq!(lengths, HashSet::from([6, 2, 4]));
}

#[test]
fn bytes_beyond_the_length_come_back_only_after_a_power_cut() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", b"");
    write(&*file, &[7; BLOCK + 10], 0);
    let mut seen = false;
    for image in disk.crash_images(EXHAUSTIVE, 1) {
        let file = image.open("log", Access::ReadWrite).expect("the name is durable");
        let len = read(&*file).len();
        file.set_len(3 * BLOCK as u64).expect("nothing is armed");
        let came_back = read(&*file)[len..].contains(&7);
        assert!(!came_back || len < BLOCK + 10, "{}", image.origin());
        seen |= came_back;
    }
    assert!(seen, "some cut has left the bytes and not the length");
    let other = durable(&disk, "other", b"");
    write(&*other, &[7; 10], 0);
    write(&*other, &[7; 10], 10);
    let image = disk.crash_images(EXHAUSTIVE, 1).find(|image| {
        image.contents("other").is_some_and(|bytes| bytes.len() == 10)
            && image.pick().is_some_and(|pick| pick.to_string().ends_with("2.1"))
    });
    let image = image.expect("the newer bytes under the older length");
    image.open("other", Access::ReadWrite).and_then(|file| file.set_len(12)).expect("nothing is armed");
    assert_eq!(image.contents("other").expect("durable"), [7; 12], "hidden, and shown again");

    file.set_len(5).expect("nothing is armed");
    file.set_len(20).expect("nothing is armed");
    assert_eq!(read(&*file)[..20], *b"\x07\x07\x07\x07\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
}

// File systems without a journal write the two entries of a rename to the directory one by one: ext2 was found with
// both names of one file after a power cut, and could as well be found with none.
#[test]
fn a_rename_without_directory_sync_leaves_either_name_both_or_none() {
    let disk = SimDisk::new(1);
    let _file = durable(&disk, "a", b"entry");
    disk.rename("a", "b").expect("b is free");
    assert_eq!(
        names_after_a_cut(&disk),
        HashSet::from([vec![], vec!["a"], vec!["b"], vec!["a", "b"]].map(owned))
    );
    disk.sync().expect("nothing is armed");
    assert_eq!(outcomes(&disk, EXHAUSTIVE, "a"), set([None]));
    assert_eq!(outcomes(&disk, EXHAUSTIVE, "b"), set([Some(b"entry")]));
}

fn names_after_a_cut(disk: &SimDisk) -> HashSet<Vec<String>> {
    disk.crash_images(EXHAUSTIVE, 1).map(|image| image.names()).collect()
}

fn owned(names: Vec<&str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn both_names_of_a_rename_lead_to_one_file() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", b"entry");
    write(&*file, b"other", 0);
    disk.rename("a", "b").expect("b is free");
    let mut seen = HashSet::new();
    for image in disk.crash_images(EXHAUSTIVE, 1).filter(|image| image.names().len() == 2) {
        let id = |name| image.id_of(name).expect("it is there");
        assert_eq!(id("a"), id("b"));
        assert_eq!(image.open("a", Access::Read).and_then(|file| file.id()).expect("it is there"), id("a"));
        seen.insert(image.contents("a").expect("it is there"));
        assert_eq!(image.contents("a"), image.contents("b"), "{}", image.origin());
        let hash = image.hash();
        assert!(image.replace("b"));
        assert_eq!(image.contents("a"), image.contents("b"));
        assert_ne!(id("a"), id("b"), "a copy is another file");
        assert_ne!(image.hash(), hash, "one file is not two equal ones");
    }
    assert_eq!(seen, HashSet::from([b"entry".to_vec(), b"other".to_vec()]));
}

#[test]
fn a_name_that_is_used_again_leads_to_its_old_file_or_its_new_one() {
    let disk = SimDisk::new(1);
    let _file = durable(&disk, "a", b"old");
    disk.rename("a", "b").expect("b is free");
    let file = create(&disk, "a");
    write(&*file, b"new", 0);
    sync(&*file);
    let found: HashSet<_> =
        disk.crash_images(EXHAUSTIVE, 1).map(|image| (image.contents("a"), image.contents("b"))).collect();
    let (old, new) = (Some(b"old".to_vec()), Some(b"new".to_vec()));
    let either = [old.clone(), new, None];
    let all = either.iter().flat_map(|a| [(a.clone(), None), (a.clone(), old.clone())]);
    assert_eq!(found, all.collect());
}

#[test]
fn a_rename_never_covers_a_file_that_was_not_moved_away() {
    let disk = SimDisk::new(1);
    drop(durable(&disk, "a", b"old"));
    drop(durable(&disk, "c", b"new"));
    disk.rename("a", "b").expect("b is free");
    disk.rename("c", "a").expect("a is free");
    for image in disk.crash_images(EXHAUSTIVE, 1) {
        let kept = image.pick().expect("a power cut made it").to_string();
        // The old name of either file is gone only where the power cut kept that it is.
        let old_is_there = ["a", "b"].iter().any(|name| image.contents(name).as_deref() == Some(b"old"));
        let new_is_there = ["a", "c"].iter().any(|name| image.contents(name).as_deref() == Some(b"new"));
        let items: Vec<&str> = kept.split('.').collect();
        assert!(old_is_there || items[1] == "1", "{}", image.origin());
        assert!(new_is_there || items[3] == "1", "{}", image.origin());
    }
}

#[test]
fn a_removed_file_can_come_back_until_the_directory_is_synced() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", b"entry");
    disk.remove("log").expect("it is there");
    assert_eq!(read(&*file), b"entry", "an open handle keeps the file");
    assert_eq!(outcomes(&disk, EXHAUSTIVE, "log"), set([None, Some(b"entry")]));
    disk.sync().expect("nothing is armed");
    assert_eq!(outcomes(&disk, EXHAUSTIVE, "log"), set([None]));
}

#[test]
fn a_torn_block_mixes_its_versions_at_512_bytes() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", &[0; BLOCK]);
    write(&*file, &[1; BLOCK], 0);
    write(&*file, &[2; BLOCK], 0);
    let model = CrashModel { tearing: 100, ..EXHAUSTIVE };
    let mut torn = 0;
    for image in disk.crash_images(model, 1) {
        let bytes = image.contents("log").expect("the name is durable");
        let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0] && *byte <= 2)));
        torn += usize::from(sectors.iter().any(|sector| *sector != sectors[0]));
    }
    assert!(torn > 90, "{torn}");
}

#[test]
fn garbage_stands_only_in_bytes_that_were_being_written() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", &[0; 3 * BLOCK]);
    write(&*file, &[1; 600], BLOCK as u64);
    let model = CrashModel { garbage: 100, ..EXHAUSTIVE };
    let mut littered = 0;
    for image in disk.crash_images(model, 1) {
        let bytes = image.contents("log").expect("the name is durable");
        let (before, rest) = bytes.split_at(BLOCK);
        let (written, after) = rest.split_at(600);
        assert!(before.iter().chain(after).all(|&byte| byte == 0), "{}", image.origin());
        littered += usize::from(written.iter().any(|&byte| byte > 1));
    }
    assert!(littered > 60, "{littered}");
}

#[test]
fn nothing_is_torn_and_nothing_is_garbage_where_nothing_is_pending() {
    let disk = SimDisk::new(1);
    let _file = durable(&disk, "log", &[1; BLOCK]);
    drop(create(&disk, "other"));
    let model = CrashModel { tearing: 100, garbage: 100, ..EXHAUSTIVE };
    assert_eq!(disk.crash_images(model, 1).len(), 2);
}

#[test]
fn a_killed_process_leaves_everything_written_and_nothing_durable() {
    let disk = SimDisk::new(1);
    let file = create(&disk, "log");
    let _lock = disk.lock("LOCK").expect("nobody holds it");
    write(&*file, b"entry", 0);
    disk.crash_at(0);
    let restarted = disk.kill();
    assert_eq!(restarted.contents("log").as_deref(), Some(b"entry".as_slice()));
    assert_eq!(restarted.durable_contents("log"), None);
    assert_eq!(restarted.operations(), 0);
    drop(restarted.lock("LOCK").expect("the holder is dead"));
    assert_eq!(restarted.power_cut_losing_everything().names(), Vec::<String>::new());
    let kept = restarted.power_cut_keeping_everything();
    assert_eq!(kept.durable_contents("log").as_deref(), Some(b"entry".as_slice()));
}

#[test]
fn many_pending_items_give_extremes_singles_pairs_and_random_ones() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", &[0; 20 * BLOCK]);
    write(&*file, &[1; 20 * BLOCK], 0);
    let model = CrashModel { exhaustive_up_to: 1000, random: 50, tearing: 0, garbage: 0 };
    let images = disk.crash_images(model, 1);
    assert_eq!(images.pending_items(), 20);
    let ones: Vec<usize> = images
        .map(|image| {
            image.contents("log").expect("durable").iter().step_by(BLOCK).filter(|b| **b == 1).count()
        })
        .collect();
    let count = |wanted| ones[..422].iter().filter(|ones| **ones == wanted).count();
    assert_eq!((count(0), count(20)), (1, 1));
    assert_eq!((count(1), count(19)), (20, 20));
    assert_eq!((count(2), count(18)), (190, 190));
    assert_eq!(ones.len(), 2 + 40 + 380 + 50);

    let few = CrashModel { exhaustive_up_to: 100, ..model };
    assert_eq!(disk.crash_images(few, 1).len(), 2 + 40 + 50, "too many pairs");
}

// ---- the same again

/// A workload with something of everything.
fn busy(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    let file = durable(&disk, "a", &[1; 2 * BLOCK]);
    write(&*file, &disk.salt().to_le_bytes(), 100);
    write(&*file, &[2; 2 * BLOCK], BLOCK as u64);
    disk.rename("a", "b").expect("free");
    write(&*create(&disk, "c"), &[3; 700], 0);
    disk
}

#[test]
fn the_same_seeds_give_the_same_images() {
    let model = CrashModel { exhaustive_up_to: 200, random: 100, tearing: 100, garbage: 100 };
    let hashes = |disk: u64, images: u64| -> Vec<u64> {
        busy(disk).crash_images(model, images).map(|image| image.hash()).collect()
    };
    assert_eq!(hashes(1, 2), hashes(1, 2));
    assert_ne!(hashes(1, 2), hashes(1, 3));
    assert_ne!(hashes(1, 2), hashes(2, 2), "the salt is in the bytes");
}

#[test]
fn a_printed_pick_draws_the_same_image_again() {
    let disk = busy(1);
    let model = CrashModel { exhaustive_up_to: 10, random: 20, tearing: 20, garbage: 20 };
    for image in disk.crash_images(model, 5) {
        let printed = image.pick().expect("made by a power cut").to_string();
        assert!(image.origin().contains(&format!("\"{printed}\"")), "{}", image.origin());
        let again = disk.crash_image(&printed.parse::<Pick>().expect("printed by a pick"));
        assert_eq!(again.hash(), image.hash(), "{printed}");
    }
    for nonsense in ["x", "1.y", "1 torn z", "1 garbage"] {
        nonsense.parse::<Pick>().expect_err("no pick");
    }
}

#[test]
fn an_origin_tells_the_whole_history() {
    let disk = SimDisk::new(9);
    write(&*create(&disk, "log"), b"entry", 0);
    let image = disk.kill().power_cut_losing_everything();
    drop(create(&image, "next"));
    let origin = image.power_cut_keeping_everything().origin();
    assert_eq!(
        origin,
        "disk of seed 9; killed after 2 operations; \
         power cut after 0 operations, pick \"0.0.0\" (log block 0 version 0 of 1, log length 0 of 1, \
         not added log); \
         power cut after 1 operations, pick \"1\" (added next)"
    );
}

#[test]
fn the_hash_tells_names_lengths_and_contents_apart() {
    let disks = [("a", b"".as_slice()), ("a", b"\0"), ("a", b"\0\0"), ("a", b"x"), ("b", b"x"), ("b", b"")];
    let hashes: HashSet<u64> = disks
        .iter()
        .map(|(name, bytes)| {
            let disk = SimDisk::new(1);
            disk.put(name, bytes);
            disk.hash()
        })
        .collect();
    assert_eq!(hashes.len(), disks.len());

    // Written zeros and a hole read the same and count the same.
    let (written, hole) = (SimDisk::new(1), SimDisk::new(2));
    drop(durable(&written, "a", &[0; 5000]));
    let file = durable(&hole, "a", b"");
    file.set_len(5000).expect("nothing is armed");
    assert_ne!(written.hash(), hole.hash(), "only what is durable counts");
    sync(&*file);
    assert_eq!(written.hash(), hole.hash());
}

#[test]
fn salts_and_clock_go_on_after_a_crash() {
    let disk = SimDisk::new(1);
    let (salt, now) = (disk.salt(), disk.now_unix_ns());
    let image = disk.power_cut_losing_everything();
    assert_ne!(image.salt(), salt);
    image.wait(Duration::from_secs(1));
    assert!(image.now_unix_ns() > now + 1_000_000_000);
    assert_eq!(SimDisk::new(1).salt(), salt);
}

#[test]
fn images_and_clones_share_what_they_should() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", b"entry");
    let image = disk.power_cut_keeping_everything();
    let handle = disk.clone();
    write(&*file, b"E", 0);
    assert_eq!(handle.contents("log").as_deref(), Some(b"Entry".as_slice()));
    assert_eq!(image.contents("log").as_deref(), Some(b"entry".as_slice()));
}

// ---- syncs that fail

/// A durable file `old`, overwritten with `new`, whose sync then loses something.
fn lossy(loss: SyncLoss) -> (SimDisk, Arc<dyn File>, io::Result<()>) {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", &[b'o'; 4 * BLOCK]);
    write(&*file, &[b'n'; 4 * BLOCK], 0);
    disk.fail(once(CallKind::SyncFile, FaultEffect::SyncLoss(loss)));
    let result = file.sync();
    (disk, file, result)
}

fn blocks(bytes: &[u8]) -> String {
    bytes.iter().step_by(BLOCK).map(|&byte| char::from(byte)).collect()
}

fn on_device(disk: &SimDisk) -> String {
    blocks(&disk.durable_contents("log").expect("the name is durable"))
}

#[test]
fn after_cache_new_disk_old_a_second_sync_lies_and_dropping_the_cache_reveals_it() {
    let (disk, file, result) = lossy(SyncLoss::CacheNewDiskOld);
    result.expect_err("the sync failed");
    assert_eq!(blocks(&read(&*file)), "nnnn");
    assert_eq!(on_device(&disk), "oooo");
    file.sync().expect("the pages count as clean");
    assert_eq!(on_device(&disk), "oooo");
    let images: HashSet<u64> =
        disk.crash_images(CrashModel::default(), 1).map(|image| image.hash()).collect();
    assert_eq!(images, HashSet::from([disk.hash()]), "nothing is pending");
    let cold = disk.power_cut_keeping_everything();
    assert_eq!(cold.contents("log").map(|bytes| blocks(&bytes)).as_deref(), Some("oooo"));

    let warm = disk.kill();
    assert_eq!(warm.contents("log").map(|bytes| blocks(&bytes)).as_deref(), Some("nnnn"));
    write(&*file, b"p", BLOCK as u64);
    assert_eq!(file.drop_cache().expect("nothing is armed"), Residency::Dropped);
    let mut expected = vec![b'o'; 4 * BLOCK];
    expected[BLOCK..2 * BLOCK].fill(b'n');
    expected[BLOCK] = b'p';
    assert!(read(&*file) == expected, "a dirty block keeps what the cache had");
}

#[test]
fn after_cache_reverted_reads_show_the_old_bytes() {
    let (disk, file, result) = lossy(SyncLoss::CacheReverted);
    result.expect_err("the sync failed");
    assert_eq!(blocks(&read(&*file)), "oooo");
    file.sync().expect("nothing is pending");
    assert_eq!(on_device(&disk), "oooo");
}

#[test]
fn after_part_written_some_blocks_are_on_the_device_and_never_all() {
    let (disk, file, result) = lossy(SyncLoss::PartWritten);
    result.expect_err("the sync failed");
    assert_eq!(blocks(&read(&*file)), "nnnn");
    let device = on_device(&disk);
    assert!(device.contains('o') && device.contains('n'), "seed 1 gives both: {device}");
    file.sync().expect("the pages count as clean");
    assert_eq!(on_device(&disk), device);
    assert_eq!(disk.contents("log").map(|bytes| blocks(&bytes)).as_deref(), Some("nnnn"));
    file.drop_cache().expect("nothing is armed");
    assert_eq!(blocks(&read(&*file)), device);
}

#[test]
fn a_late_report_says_ok_first_and_fails_the_next_sync() {
    let (disk, file, result) = lossy(SyncLoss::ReportedLate);
    result.expect("the lie");
    assert_eq!(on_device(&disk), "oooo");
    assert_eq!(disk.crash_images(EXHAUSTIVE, 1).len(), 16, "all is pending still");
    file.sync().expect_err("the report");
    assert_eq!((blocks(&read(&*file)).as_str(), on_device(&disk).as_str()), ("nnnn", "oooo"));
    file.sync().expect("the pages count as clean");
    assert_eq!(on_device(&disk), "oooo");
}

#[test]
fn a_length_stays_pending_when_a_sync_loses_the_bytes() {
    for loss in [SyncLoss::CacheNewDiskOld, SyncLoss::CacheReverted, SyncLoss::PartWritten] {
        let disk = SimDisk::new(1);
        let file = durable(&disk, "log", b"");
        write(&*file, b"entry", 0);
        disk.fail(once(CallKind::SyncFile, FaultEffect::SyncLoss(loss)));
        file.sync().expect_err("the sync failed");
        assert_eq!(outcomes(&disk, EXHAUSTIVE, "log"), set([Some(b""), Some(b"\0\0\0\0\0")]), "{loss:?}");
    }
}

#[test]
fn a_sync_that_only_fails_leaves_everything_pending() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", b"o");
    write(&*file, b"n", 0);
    disk.fail(once(CallKind::SyncFile, FaultEffect::Error(ErrorKind::Interrupted.into())));
    assert_eq!(file.sync().expect_err("armed").kind(), ErrorKind::Interrupted);
    assert_eq!(outcomes(&disk, EXHAUSTIVE, "log"), set([Some(b"o"), Some(b"n")]));
    sync(&*file);
    assert_eq!(outcomes(&disk, EXHAUSTIVE, "log"), set([Some(b"n")]));
}

#[test]
fn a_directory_sync_loses_names_in_the_same_ways() {
    for (loss, seen, synced_again) in [
        (SyncLoss::CacheNewDiskOld, true, false),
        (SyncLoss::PartWritten, true, false),
        (SyncLoss::CacheReverted, false, false),
    ] {
        let disk = SimDisk::new(1);
        drop(create(&disk, "log"));
        disk.fail(once(CallKind::SyncDirectory, FaultEffect::SyncLoss(loss)));
        disk.sync().expect_err("the sync failed");
        assert_eq!(disk.contents("log").is_some(), seen, "{loss:?}");
        disk.sync().expect("nothing is pending");
        assert_eq!(disk.durable_contents("log").is_some(), synced_again, "{loss:?}");
    }
    let disk = SimDisk::new(1);
    drop(create(&disk, "log"));
    disk.fail(once(CallKind::SyncDirectory, FaultEffect::SyncLoss(SyncLoss::ReportedLate)));
    disk.sync().expect("the lie");
    disk.sync().expect_err("the report");
    assert_eq!(disk.power_cut_keeping_everything().names(), Vec::<String>::new());
}

// The device has the old file under the name. A name that is removed and made again is written again.
#[test]
fn a_name_that_is_made_anew_behind_a_lost_change_is_durable_once_it_is_synced() {
    for loss in [SyncLoss::CacheNewDiskOld, SyncLoss::PartWritten] {
        let disk = SimDisk::new(1);
        drop(durable(&disk, "log", b"old"));
        disk.remove("log").expect("it is there");
        drop(create(&disk, "log"));
        disk.fail(once(CallKind::SyncDirectory, FaultEffect::SyncLoss(loss)));
        disk.sync().expect_err("the sync failed");
        disk.remove("log").expect("it is there");
        let file = create(&disk, "log");
        write(&*file, b"new", 0);
        sync(&*file);
        disk.sync().expect("nothing is armed");
        assert_eq!(disk.durable_contents("log").as_deref(), Some(&b"new"[..]), "{loss:?}");
        disk.remove("log").expect("it is there");
        disk.sync().expect("nothing is armed");
        assert_eq!(disk.power_cut_losing_everything().names(), Vec::<String>::new(), "{loss:?}");
    }
}

// ---- other faults

#[test]
fn a_fault_strikes_the_nth_call_once_or_from_then_on() {
    for (times, expected) in
        [(Times::Once, [true, true, false, true]), (Times::Forever, [true, true, false, false])]
    {
        let disk = SimDisk::new(1);
        let file = create(&disk, "log");
        write(&*file, b"before arming", 0);
        let with = FaultEffect::Error(Failure::Kind(ErrorKind::PermissionDenied));
        disk.fail(Fault { call: CallKind::Write, nth: 2, times, with });
        let went = [(); 4].map(|()| file.write_at(b"x", 0).is_ok());
        assert_eq!(went, expected, "{times:?}");
        file.len().expect("another kind of call");
        disk.heal();
        write(&*file, b"x", 0);
    }
}

#[test]
fn every_kind_of_call_can_fail_and_then_does_nothing() {
    use CallKind::{
        Allocate, Create, DropCache, Len, List, Lock, Map, Open, Read, Remove, Rename, SetLen, SyncDirectory,
        SyncFile, Write,
    };
    type Act = fn(&SimDisk, &dyn File) -> io::Result<()>;
    let acts: [(CallKind, Act); 15] = [
        (Read, |_, file| file.read_at(&mut [0], 0).map(drop)),
        (Write, |_, file| file.write_at(b"x", 0).map(drop)),
        (SetLen, |_, file| file.set_len(1)),
        (Allocate, |_, file| file.allocate(9000)),
        (SyncFile, |_, file| file.sync()),
        (SyncDirectory, |disk, _| disk.sync()),
        (Create, |disk, _| disk.create("new").map(drop)),
        (Open, |disk, _| disk.open("log", Access::Read).map(drop)),
        (Rename, |disk, _| disk.rename("log", "gol")),
        (Remove, |disk, _| disk.remove("log")),
        (List, |disk, _| disk.list().map(drop)),
        (Lock, |disk, _| disk.lock("log").map(drop)),
        (Map, |_, file| file.map(1).map(drop)),
        (DropCache, |_, file| file.drop_cache().map(drop)),
        (Len, |_, file| file.len().map(drop)),
    ];
    for (call, act) in acts {
        let disk = SimDisk::new(1);
        let file = durable(&disk, "log", b"entry");
        write(&*file, b"E", 0);
        let images = |disk: &SimDisk| -> Vec<u64> {
            disk.crash_images(EXHAUSTIVE, 1).map(|image| image.hash()).collect()
        };
        let before = images(&disk);
        for kind in [call, CallKind::Any] {
            disk.fail(once(kind, FaultEffect::Error(Failure::Errno(122))));
            assert_eq!(act(&disk, &*file).expect_err("armed").raw_os_error(), Some(122), "{call:?}");
            assert_eq!(images(&disk), before, "{call:?}");
            disk.heal();
        }
        act(&disk, &*file).expect("nothing is armed");
    }
}

#[test]
fn a_write_can_be_short_and_can_store_a_part_and_still_fail() {
    let disk = SimDisk::new(1);
    let file = create(&disk, "log");
    disk.fail(once(CallKind::Write, FaultEffect::ShortWrite(3)));
    assert_eq!(file.write_at(b"entry", 0).expect("short"), 3);
    assert_eq!(read(&*file), b"ent");
    disk.fail(once(CallKind::Write, FaultEffect::ShortWrite(0)));
    assert_eq!(file.write_at(b"entry", 0).expect("nothing at all"), 0);
    disk.fail(once(CallKind::Write, FaultEffect::PartialThenError(4, ErrorKind::StorageFull.into())));
    assert_eq!(file.write_at(b"ENTRY", 0).expect_err("armed").kind(), ErrorKind::StorageFull);
    assert_eq!(read(&*file), b"ENTR");
}

#[test]
fn a_full_disk_takes_what_fits_and_overwrites_what_is_there() {
    let disk = SimDisk::new(1);
    let file = create(&disk, "log");
    write(&*file, &[1; 100], 0);
    disk.space(Some(2 * BLOCK as u64 + 1));
    assert_eq!(file.write_at(&[2; 4 * BLOCK], 0).expect("a part fits"), 3 * BLOCK);
    let full = file.write_at(b"x", 3 * BLOCK as u64).expect_err("full");
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    assert_eq!(file.len().expect("readable"), 3 * BLOCK as u64);
    write(&*file, &[3; 3 * BLOCK], 0);

    let other = create(&disk, "other");
    assert_eq!(other.allocate(1).expect_err("full").kind(), ErrorKind::StorageFull);
    other.set_len(1 << 30).expect("a hole needs no space");
    other.set_len(0).expect("nothing is armed");
    file.set_len(2 * BLOCK as u64).expect("gives one block back");
    other.allocate(BLOCK as u64).expect("fits now");
    assert_eq!(other.len().expect("readable"), BLOCK as u64);
    write(&*other, &[4; BLOCK], 0);
    other.write_at(b"x", BLOCK as u64).expect_err("full");

    disk.remove("log").expect("it is there");
    other.write_at(b"x", BLOCK as u64).expect_err("the removed file is open");
    drop(file);
    write(&*other, &[5; 2 * BLOCK], BLOCK as u64);
    other.write_at(b"x", 3 * BLOCK as u64).expect_err("full again");
    disk.space(None);
    write(&*other, b"x", 3 * BLOCK as u64);
}

#[test]
fn a_full_disk_is_as_large_after_a_crash() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", b"");
    disk.space(Some(2 * BLOCK as u64));
    write(&*file, &[1; 2 * BLOCK], 0);
    let lost = disk.power_cut_losing_everything();
    let file = lost.open("log", Access::ReadWrite).expect("the name is durable");
    assert_eq!(file.write_at(&[1; 3 * BLOCK], 0).expect("a part fits"), 2 * BLOCK);
    let kept = disk.power_cut_keeping_everything();
    let file = kept.open("log", Access::ReadWrite).expect("the name is durable");
    file.write_at(b"x", 2 * BLOCK as u64).expect_err("full");

    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", b"");
    disk.space(Some(2 * BLOCK as u64));
    file.allocate(2 * BLOCK as u64).expect("fits");
    let lost = disk.power_cut_losing_everything();
    write(&*create(&lost, "other"), &[1; 2 * BLOCK], 0);
    file.set_len(BLOCK as u64).expect("gives one block back");
    write(&*create(&disk, "other"), &[1; BLOCK], 0);
    file.write_at(b"x", BLOCK as u64).expect_err("full");
}

#[test]
fn names_can_need_space_too() {
    let disk = SimDisk::new(1);
    drop(create(&disk, "a"));
    disk.space(Some(0));
    drop(create(&disk, "b"));
    disk.names_need_space(true);
    assert_eq!(disk.create("c").expect_err("full").kind(), ErrorKind::StorageFull);
    disk.remove("a").expect("it is there");
    drop(create(&disk, "c"));
}

#[test]
fn from_the_crash_point_on_nothing_happens() {
    let disk = SimDisk::new(1);
    disk.keep_log(true);
    disk.crash_at(2);
    let file = create(&disk, "log");
    write(&*file, b"entry", 0);
    assert!(!disk.crashed());
    read(&*file);
    let image = disk.power_cut_keeping_everything().hash();
    assert!(is_crash(&file.sync().expect_err("the crash")));
    assert!(disk.crashed());
    assert!(is_crash(&file.len().expect_err("after the crash")));
    assert!(is_crash(&disk.list().expect_err("after the crash")));
    assert!(is_crash(&disk.remove("log").expect_err("after the crash")));
    assert_eq!(disk.operations(), 2);
    assert_eq!(disk.log(), ["0 create log", "1 write log 0+5"]);
    let cut = disk.power_cut_keeping_everything();
    assert_eq!(cut.hash(), image);
    cut.list().expect("the machine is up again");
    assert!(!is_crash(&io::Error::other("something else")));
    assert!(!is_crash(&ErrorKind::Other.into()));
}

#[test]
fn calls_are_counted_by_kind() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", b"entry");
    read(&*file);
    for kind in [CallKind::Create, CallKind::Write, CallKind::SyncFile, CallKind::SyncDirectory] {
        assert_eq!(disk.calls(kind), 1, "{kind:?}");
    }
    assert_eq!([CallKind::Len, CallKind::Read, CallKind::Open].map(|kind| disk.calls(kind)), [1, 1, 0]);
    assert_eq!(disk.calls(CallKind::Any), 6);
    assert_eq!(disk.operations(), 4);
}

#[test]
fn a_lock_excludes_until_it_is_dropped_and_dies_with_the_machine() {
    let disk = SimDisk::new(1);
    let lock = disk.lock("LOCK").expect("nobody holds it");
    assert_eq!(disk.names(), ["LOCK"], "a lock makes its file");
    assert_eq!(disk.clone().lock("LOCK").expect_err("held").kind(), ErrorKind::WouldBlock);
    let _other = disk.lock("other").expect("another name");
    drop(disk.power_cut_keeping_everything().lock("LOCK").expect("a new life"));
    drop(lock);
    drop(disk.lock("LOCK").expect("given up"));
}

// ---- the contract of the seam

#[test]
fn names_are_guarded_as_on_a_real_disk() {
    let disk = SimDisk::new(1);
    drop(durable(&disk, "a", b"a"));
    drop(create(&disk, "b"));
    assert_eq!(disk.create("a").expect_err("taken").kind(), ErrorKind::AlreadyExists);
    assert_eq!(disk.rename("a", "b").expect_err("taken").kind(), ErrorKind::AlreadyExists);
    assert_eq!(disk.rename("c", "d").expect_err("missing").kind(), ErrorKind::NotFound);
    assert_eq!(disk.remove("c").expect_err("missing").kind(), ErrorKind::NotFound);
    assert_eq!(disk.open("c", Access::Read).expect_err("missing").kind(), ErrorKind::NotFound);
    for kind in [FileKind::Directory, FileKind::Symlink, FileKind::Other] {
        disk.put_kind("odd", kind);
        assert_eq!(disk.open("odd", Access::Read).expect_err("odd").kind(), ErrorKind::InvalidInput);
        assert_eq!(disk.lock("odd").expect_err("odd").kind(), ErrorKind::InvalidInput);
        assert_eq!(disk.create("odd").expect_err("taken").kind(), ErrorKind::AlreadyExists);
        let listed = disk.list().expect("nothing is armed");
        assert!(listed.iter().any(|listed| listed.name == "odd" && listed.kind == kind));
        assert_eq!(disk.power_cut_losing_everything().names(), ["a", "b", "odd"]);
    }
}

#[test]
fn reads_are_short_only_at_the_end_and_readers_do_not_write() {
    let disk = SimDisk::new(1);
    drop(durable(&disk, "log", &(0..=255).cycle().take(5000).collect::<Vec<u8>>()));
    let file = disk.open("log", Access::Read).expect("it is there");
    let mut buffer = [0; 16];
    assert_eq!(file.read_at(&mut buffer, 4090).expect("readable"), 16);
    assert_eq!(buffer.to_vec(), (0xfa..=0xff).chain(0..10).collect::<Vec<u8>>());
    assert_eq!(file.read_at(&mut buffer, 4990).expect("readable"), 10);
    assert_eq!(file.read_at(&mut buffer, 5000).expect("readable"), 0);
    assert_eq!(file.map(5000).expect("that long")[4999], 135);
    file.map(5001).expect_err("not that long");
    assert_eq!(file.write_at(b"x", 0).expect_err("a reader").kind(), ErrorKind::PermissionDenied);
    file.set_len(0).expect_err("a reader");
    file.write_at(b"x", u64::MAX).expect_err("no such offset");
}

#[test]
fn a_read_only_disk_reads_and_refuses_every_change() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", b"entry");
    disk.set_read_only(true);
    let refused = [
        file.write_at(b"x", 0).map(drop),
        file.set_len(0),
        file.allocate(1 << 20),
        disk.create("new").map(drop),
        disk.rename("log", "gol"),
        disk.remove("log"),
        disk.open("log", Access::ReadWrite).map(drop),
        disk.lock("LOCK").map(drop),
    ];
    for result in refused {
        assert_eq!(result.expect_err("read-only").kind(), ErrorKind::ReadOnlyFilesystem);
    }
    assert_eq!(read(&*disk.open("log", Access::Read).expect("it is there")), b"entry");
    sync(&*file);
    disk.sync().expect("nothing is pending");
    assert_eq!(disk.names(), ["log"]);
}

#[test]
fn damage_is_durable_at_once_and_seen_by_open_handles() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", b"entry");
    assert!(disk.damage("log", |bytes| bytes[0] = b'E'));
    assert_eq!(read(&*file), b"Entry");
    assert_eq!(outcomes(&disk, CrashModel::default(), "log"), set([Some(b"Entry")]));
    assert!(!disk.damage("missing", Vec::clear));
    disk.put("other", b"bytes");
    disk.delete("log");
    assert_eq!(read(&*file), b"Entry", "an open handle keeps the file");
    let image = disk.power_cut_losing_everything();
    assert_eq!((image.names(), image.contents("other")), (vec!["other".to_owned()], Some(b"bytes".to_vec())));
}

#[test]
fn unreadable_bytes_fail_every_read_that_touches_them_after_a_crash_too() {
    let disk = SimDisk::new(1);
    let _file = durable(&disk, "log", &[1; 3 * BLOCK]);
    assert!(disk.unreadable("log", 4096..4608));
    let image = disk.power_cut_losing_everything();
    for disk in [&disk, &image] {
        let file = disk.open("log", Access::Read).expect("it is there");
        let mut sector = [0; 512];
        assert_eq!(file.read_at(&mut sector, 4096 - 512).expect("before"), 512);
        file.read_at(&mut sector, 4096 - 511).expect_err("touches");
        file.read_at(&mut sector, 4607).expect_err("touches");
        assert_eq!(file.read_at(&mut sector, 4608).expect("behind"), 512);
        file.map(5000).expect_err("touches");
    }
    disk.unreadable("log", 0..0);
    let file = disk.open("log", Access::Read).expect("it is there");
    assert_eq!(read(&*file), [1; 3 * BLOCK]);
}

#[test]
fn a_file_is_locked_for_handles_until_they_are_gone_or_the_process_is() {
    let disk = SimDisk::new(1);
    let held = disk.create("file").unwrap();
    let kind = |outcome: std::io::Result<()>| outcome.err().map(|error| error.kind());
    let [first, second] = [(); 2].map(|()| disk.open("file", Access::Read).unwrap());
    first.try_lock_shared().unwrap();
    second.try_lock_shared().unwrap();
    assert_eq!(kind(second.try_lock()), Some(std::io::ErrorKind::PermissionDenied));
    assert_eq!(kind(held.try_lock()), Some(std::io::ErrorKind::WouldBlock));
    disk.kill().open("file", Access::ReadWrite).unwrap().try_lock().unwrap();
    drop((first, second));
    held.try_lock().unwrap();
    disk.rename("file", "renamed").unwrap();
    let late = disk.open("renamed", Access::Read).unwrap();
    assert_eq!(kind(late.try_lock_shared()), Some(std::io::ErrorKind::WouldBlock));
    drop(held);
    late.try_lock_shared().unwrap();
}

// `flock` is on the file, not on its name: with the name removed another one makes a new file and locks that.
#[test]
fn a_lock_is_on_its_file_and_a_directory_has_one_of_its_own() {
    let disk = SimDisk::new(1);
    let kind = |locked: std::io::Result<Box<dyn Lock>>| locked.map(drop).map_err(|error| error.kind());
    let lock = disk.lock("LOCK").expect("free");
    assert_eq!(lock.id(), disk.id_of("LOCK").expect("it is there"));
    assert_eq!(kind(disk.lock("LOCK")), Err(ErrorKind::WouldBlock));
    for exchange in [|disk: &SimDisk| disk.delete("LOCK"), |disk: &SimDisk| assert!(disk.replace("LOCK"))] {
        exchange(&disk);
        let second = disk.lock("LOCK").expect("another file");
        assert_ne!(second.id(), lock.id());
    }
    let directory = disk.lock_directory().expect("free");
    assert_eq!(kind(disk.lock_directory()), Err(ErrorKind::WouldBlock));
    drop(directory);
    assert_eq!(kind(disk.lock_directory()), Ok(()));
    disk.set_directory_lockable(false);
    assert_eq!(kind(disk.lock_directory()), Err(ErrorKind::Unsupported));
}

#[test]
fn a_displaced_directory_goes_on_where_it_is_and_says_so_until_it_is_opened_again() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "log", b"entry");
    assert!(disk.is_at_path().expect("nothing is armed"));
    disk.displace();
    assert!(!disk.is_at_path().expect("nothing is armed"));
    write(&*file, b"other", 0);
    drop(create(&disk, "next"));
    disk.sync().expect("nothing is armed");
    assert_eq!(disk.power_cut_losing_everything().names(), ["log", "next"]);
    assert!(disk.kill().is_at_path().expect("nothing is armed"));
}
