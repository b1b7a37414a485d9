//! Whether a log is made where there is none.

use std::fs;

use crate::common::{contents, open, refused, small, try_open, view};
use wal::{ErrorKind, OpenMode, Options, SyncPolicy};
use wal_segment::io::sim::SimDisk;

fn with(mode: OpenMode) -> Options {
    small(SyncPolicy::Immediate).open_mode(mode)
}

// The file system of the log was not mounted: the service began a new log in the empty directory, and said nothing.
#[test]
fn a_log_that_must_exist_is_not_made_and_nothing_else_is() {
    let disk = SimDisk::new(1);
    refused(try_open(&disk, &with(OpenMode::MustExist)), ErrorKind::NoLog);
    assert!(disk.names().is_empty(), "{:?}", disk.names());
    disk.put("other.txt", b"not a log");
    refused(try_open(&disk, &with(OpenMode::MustExist)), ErrorKind::NoLog);
    assert_eq!(disk.names(), ["other.txt"]);

    open(&disk, &with(OpenMode::CreateNew)).append(b"one").expect("nothing fails");
    let wal = open(&disk, &with(OpenMode::MustExist));
    assert_eq!(contents(&wal), [b"one"]);
}

#[test]
fn on_a_real_disk_a_log_that_must_exist_makes_no_directory() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("mount/log");
    fs::create_dir(home.path().join("mount")).expect("there is space");
    for _ in 0..2 {
        refused(with(OpenMode::MustExist).open(&path), ErrorKind::NoLog);
        refused(with(OpenMode::MustExist).open_expecting(&path, 0), ErrorKind::NoLog);
    }
    assert!(!path.exists());
    fs::create_dir(&path).expect("there is space");
    refused(with(OpenMode::MustExist).open(&path), ErrorKind::NoLog);
    assert_eq!(fs::read_dir(&path).expect("it is there").count(), 0, "not even LOCK");
    drop(with(OpenMode::CreateNew).open(&path).expect("nothing is there"));
    drop(with(OpenMode::MustExist).open(&path).expect("it was just made"));
}

#[test]
fn a_new_log_is_not_made_over_another_one_and_that_stays_as_it_is() {
    let disk = SimDisk::new(1);
    drop(open(&disk, &with(OpenMode::CreateNew)));
    refused(try_open(&disk, &with(OpenMode::CreateNew)), ErrorKind::Exists);
    let wal = open(&disk, &with(OpenMode::CreateOrOpen));
    wal.append(b"one").expect("nothing fails");
    refused(try_open(&disk, &with(OpenMode::CreateNew)), ErrorKind::Locked);
    wal.close().expect("nothing fails");
    let before = crate::common::directory(&disk);
    refused(try_open(&disk, &with(OpenMode::CreateNew)), ErrorKind::Exists);
    assert_eq!(crate::common::directory(&disk), before);
}

#[test]
fn whatever_a_crash_leaves_of_a_new_log_one_of_the_modes_opens_it() {
    for operation in 1.. {
        let disk = SimDisk::new(operation);
        disk.crash_at(operation);
        let made = try_open(&disk, &with(OpenMode::CreateNew)).is_ok();
        for image in disk.crash_images(crate::common::FEW_IMAGES, operation) {
            let existed = try_open(&image, &with(OpenMode::MustExist)).map(wal::Wal::close);
            match existed {
                Ok(closed) => closed.expect("nothing fails"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NoLog, "{error}");
                    assert!(!made, "an open that returned made the log durable");
                    drop(open(&image, &with(OpenMode::CreateNew)));
                }
            }
        }
        if made {
            break;
        }
    }
}

#[test]
fn a_log_keeps_its_id_and_another_one_has_another() {
    let disk = SimDisk::new(1);
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    let id = wal.id();
    assert_eq!(view(&disk).id(), Some(id));
    wal.append(b"one").expect("nothing fails");
    wal.close().expect("nothing fails");
    let wal = open(&disk, &small(SyncPolicy::Immediate));
    assert_eq!((wal.id(), view(&disk).id()), (id, Some(id)));
    assert_eq!(id.to_string().len(), 32, "{id}");
    let copy = SimDisk::new(3);
    wal.copy_into(&copy).expect("nothing fails");
    assert_eq!(view(&copy).id(), Some(id), "a copy is the same log");
    assert_ne!(open(&SimDisk::new(2), &small(SyncPolicy::Immediate)).id(), id);
}
