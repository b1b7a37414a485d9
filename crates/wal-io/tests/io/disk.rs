//! The real disk keeps the contract of the seam, on whatever file system holds the temporary directory.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use wal_io::{Access, Directory, Disk, File, FileKind, Residency};

fn disk() -> (tempfile::TempDir, Disk) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let disk = Disk::open(home.path()).expect("the directory exists");
    (home, disk)
}

fn write(file: &dyn File, bytes: &[u8]) {
    assert_eq!(file.write_at(bytes, 0).expect("there is space"), bytes.len());
}

#[test]
fn an_opened_directory_must_exist() {
    let (home, _) = disk();
    let error = Disk::open(home.path().join("missing")).expect_err("nothing is there");
    assert_eq!(error.kind(), ErrorKind::NotFound);

    fs::write(home.path().join("file"), b"").expect("there is space");
    for error in [Disk::open(home.path().join("file")), Disk::create(home.path().join("file"))] {
        let error = error.expect_err("a file is no directory");
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
    }
}

#[test]
fn create_makes_the_directory_but_never_its_parents() {
    let (home, _) = disk();
    let path = home.path().join("log");
    for _ in 0..2 {
        let disk = Disk::create(&path).expect("created, then found");
        assert_eq!(disk.path(), path);
    }
    let error = Disk::create(home.path().join("a/b")).expect_err("the parent is missing");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!home.path().join("a").exists());
}

#[cfg(unix)]
#[test]
fn directory_and_files_belong_to_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (home, _) = disk();
    let disk = Disk::create(home.path().join("log")).expect("the parent exists");
    drop(disk.create("file").expect("the name is free"));
    drop(disk.lock("LOCK").expect("nobody holds it"));
    let mode = |path| fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
    assert_eq!(mode(disk.path().to_path_buf()), 0o700);
    assert_eq!(mode(disk.path().join("file")), 0o600);
    assert_eq!(mode(disk.path().join("LOCK")), 0o600);
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let (home, disk) = disk();
    let path = |name: &str| home.path().join(name);
    fs::write(path("file"), b"target").expect("there is space");
    fs::create_dir(path("directory")).expect("the name is free");
    std::os::unix::fs::symlink(path("file"), path("link")).expect("the name is free");
    std::os::unix::fs::symlink(path("nowhere"), path("dangling")).expect("the name is free");
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("the name is free");
    let mut names = vec!["directory", "link", "dangling", "socket"];
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("the name is free");
        names.push("fifo");
    }
    for name in names {
        for access in [Access::Read, Access::ReadWrite] {
            let error = disk.open(name, access).expect_err("no regular file");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "open {name} {access:?}");
        }
        assert_eq!(
            disk.lock(name).expect_err("no regular file").kind(),
            ErrorKind::InvalidInput,
            "lock {name}"
        );
        assert_eq!(disk.create(name).expect_err("taken").kind(), ErrorKind::AlreadyExists, "create {name}");
    }
    assert!(!path("nowhere").exists(), "a link must not be followed into a new file");
}

#[test]
fn create_refuses_a_taken_name_and_open_a_free_one() {
    let (_home, disk) = disk();
    drop(disk.create("file").expect("the name is free"));
    assert_eq!(disk.create("file").expect_err("taken").kind(), ErrorKind::AlreadyExists);
    assert_eq!(disk.open("other", Access::Read).expect_err("free").kind(), ErrorKind::NotFound);
}

#[test]
fn rename_moves_a_name_and_never_covers_another() {
    let (_home, disk) = disk();
    write(&*disk.create("a").expect("free"), b"a");
    write(&*disk.create("b").expect("free"), b"b");
    assert_eq!(disk.rename("a", "b").expect_err("taken").kind(), ErrorKind::AlreadyExists);
    assert_eq!(disk.rename("c", "d").expect_err("missing").kind(), ErrorKind::NotFound);
    disk.rename("a", "c").expect("c is free");
    disk.remove("b").expect("b is there");
    disk.sync().expect("directories can be synced");
    let names: Vec<String> = disk.list().expect("readable").into_iter().map(|listed| listed.name).collect();
    assert_eq!(names, ["c"]);
}

#[cfg(unix)]
#[test]
fn list_tells_kinds_and_follows_no_link() {
    let (home, disk) = disk();
    drop(disk.create("file").expect("free"));
    fs::create_dir(home.path().join("directory")).expect("free");
    std::os::unix::fs::symlink("file", home.path().join("link")).expect("free");
    let _socket = std::os::unix::net::UnixListener::bind(home.path().join("socket")).expect("free");
    let mut listed = disk.list().expect("readable");
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    let found: Vec<_> = listed.iter().map(|listed| (listed.name.as_str(), listed.kind)).collect();
    assert_eq!(
        found,
        [
            ("directory", FileKind::Directory),
            ("file", FileKind::Regular),
            ("link", FileKind::Symlink),
            ("socket", FileKind::Other),
        ]
    );
}

#[test]
fn a_read_is_short_only_at_the_end_of_the_file() {
    let (_home, disk) = disk();
    let file = disk.create("file").expect("free");
    write(&*file, b"0123456789");
    let mut buffer = [0; 8];
    assert_eq!(file.read_at(&mut buffer, 0).expect("readable"), 8);
    assert_eq!(&buffer, b"01234567");
    assert_eq!(file.read_at(&mut buffer, 7).expect("readable"), 3);
    assert_eq!(&buffer[..3], b"789");
    assert_eq!(file.read_at(&mut buffer, 10).expect("readable"), 0);
    assert_eq!(file.read_at(&mut buffer, 1 << 40).expect("readable"), 0);
}

#[test]
fn a_file_opened_for_reading_reads_and_does_not_write() {
    let (_home, disk) = disk();
    write(&*disk.create("file").expect("free"), b"bytes");
    let file = disk.open("file", Access::Read).expect("it is there");
    let mut buffer = [0; 5];
    assert_eq!(file.read_at(&mut buffer, 0).expect("readable"), 5);
    assert_eq!(&buffer, b"bytes");
    file.write_at(b"x", 0).expect_err("opened for reading");
    file.set_len(0).expect_err("opened for reading");
}

#[test]
fn lengths_grow_with_zeros() {
    let (_home, disk) = disk();
    let file = disk.create("file").expect("free");
    write(&*file, b"abc");
    file.set_len(1).expect("shorter");
    file.set_len(4).expect("longer");
    let mut buffer = [9; 8];
    assert_eq!(file.read_at(&mut buffer, 0).expect("readable"), 4);
    assert_eq!(&buffer[..4], b"a\0\0\0");
    match file.allocate(8192) {
        Ok(()) => assert_eq!(file.len().expect("known"), 8192),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    }
    let len = file.len().expect("known");
    // Less than there is changes nothing, and neither does nothing.
    for reserved in [0, 1] {
        if file.allocate(reserved).is_ok() {
            assert_eq!(file.len().expect("known"), len);
        }
    }
    file.sync().expect("the device works");
}

#[test]
fn a_lock_excludes_every_other_handle_until_it_is_dropped() {
    let (home, disk) = disk();
    let other = Disk::open(home.path()).expect("it exists");
    let lock = disk.lock("LOCK").expect("nobody holds it");
    for contender in [&disk, &other] {
        assert_eq!(contender.lock("LOCK").expect_err("held").kind(), ErrorKind::WouldBlock);
    }
    let second = other.lock("LOCK2").expect("another name is another lock");
    drop(lock);
    drop(other.lock("LOCK").expect("given up"));
    drop(second);
}

#[test]
fn salts_differ() {
    let (home, disk) = disk();
    let other = Disk::open(home.path()).expect("it exists");
    let threads: Vec<_> = std::iter::repeat_with(|| {
        let home = home.path().to_path_buf();
        std::thread::spawn(move || Disk::open(home).expect("it exists").salt())
    })
    .take(4)
    .collect();
    let mut salts: Vec<u64> = (0..1000).flat_map(|_| [disk.salt(), other.salt()]).collect();
    salts.extend(threads.into_iter().map(|thread| thread.join().expect("no panic")));
    assert_eq!(salts.iter().collect::<HashSet<_>>().len(), salts.len());
}

#[test]
fn dropping_the_cache_keeps_the_bytes_and_tells_what_it_did() {
    let (_home, disk) = disk();
    let file = disk.create("file").expect("free");
    let bytes = vec![7; 64 << 10];
    write(&*file, &bytes);
    file.sync().expect("the device works");
    let residency = file.drop_cache().expect("the system takes the advice");
    println!("after a sync: {residency:?}");
    let mut buffer = vec![0; bytes.len()];
    assert_eq!(file.read_at(&mut buffer, 0).expect("readable"), bytes.len());
    assert_eq!(buffer, bytes);
    // A second time, now that the bytes are clean and cached again. A page that the system is just busy with
    // may stay, so the answer may be another; whether there is one depends on the system alone.
    let again = file.drop_cache().expect("the system takes the advice");
    assert_eq!(again == Residency::Unknown, residency == Residency::Unknown);
    assert_eq!(file.read_at(&mut buffer, 0).expect("readable"), bytes.len());
    assert_eq!(buffer, bytes);
    let empty = disk.create("empty").expect("free");
    assert_ne!(empty.drop_cache().expect("the system takes the advice"), Residency::Resident);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_still_cached_is_never_called_dropped() {
    let (_home, disk) = disk();
    let file = disk.create("file").expect("free");
    write(&*file, &vec![7; 64 << 10]);
    file.sync().expect("the device works");
    // A mapping that has been looked at holds its pages; the system cannot forget them.
    let map = file.map(64 << 10).expect("it is that long");
    assert!(map.iter().all(|&byte| byte == 7));
    assert_ne!(file.drop_cache().expect("the system takes the advice"), Residency::Dropped);
}

#[test]
fn a_mapping_shows_the_bytes() {
    let (_home, disk) = disk();
    let file = disk.create("file").expect("free");
    write(&*file, b"mapped bytes");
    assert_eq!(&*file.map(6).expect("it is that long"), b"mapped");
    let reader = disk.open("file", Access::Read).expect("it is there");
    let map = reader.map(12).expect("it is that long");
    drop(reader);
    disk.remove("file").expect("it is there");
    assert_eq!(&*map, b"mapped bytes", "a mapping outlives handle and name");
}

#[test]
fn waiting_takes_time() {
    let (_home, disk) = disk();
    let before = disk.now_unix_ns();
    disk.wait(Duration::from_millis(2));
    assert!(disk.now_unix_ns() > before);
}

/// The only test in this process that changes the working directory is a child of its own.
#[test]
fn a_relative_path_outlives_a_change_of_the_working_directory() {
    const IN_CHILD: &str = "WAL_IO_TEST_RELATIVE";
    if std::env::var_os(IN_CHILD).is_some() {
        let disk = Disk::create("log").expect("the parent exists");
        std::env::set_current_dir("/").expect("every system has a root");
        drop(disk.create("file").expect("free"));
        disk.sync().expect("directories can be synced");
        return;
    }
    let (home, _disk) = disk();
    let status = std::process::Command::new(std::env::current_exe().expect("known"))
        .args(["--exact", "disk::a_relative_path_outlives_a_change_of_the_working_directory"])
        .env(IN_CHILD, "1")
        .current_dir(home.path())
        .stdout(std::process::Stdio::null())
        .status()
        .expect("this program runs");
    assert!(status.success());
    assert!(home.path().join("log/file").exists());
}

#[cfg(unix)]
#[test]
fn a_file_is_locked_by_handles_not_by_processes_and_reads_and_writes_go_on() {
    let scratch = tempfile::tempdir().unwrap();
    let disk = Disk::open(scratch.path()).unwrap();
    let held = disk.create("file").unwrap();
    let kind = |outcome: std::io::Result<()>| outcome.err().map(|error| error.kind());
    let [first, second] = [(); 2].map(|()| disk.open("file", Access::Read).unwrap());
    first.try_lock_shared().unwrap();
    second.try_lock_shared().unwrap();
    assert_eq!(held.write_at(b"bytes", 0).unwrap(), 5);
    let other = disk.open("file", Access::ReadWrite).unwrap();
    assert_eq!(kind(other.try_lock()), Some(std::io::ErrorKind::WouldBlock));
    drop(first);
    assert_eq!(kind(other.try_lock()), Some(std::io::ErrorKind::WouldBlock), "one shares it still");
    drop(second);
    other.try_lock().unwrap();
    // The lock goes with the file, not with its name.
    disk.rename("file", "renamed").unwrap();
    let late = disk.open("renamed", Access::Read).unwrap();
    assert_eq!(kind(late.try_lock_shared()), Some(std::io::ErrorKind::WouldBlock));
    drop(other);
    late.try_lock_shared().unwrap();
}

/// A log's directory, opened; and its parent, whose names are exchanged.
#[cfg(unix)]
fn nested() -> (tempfile::TempDir, std::path::PathBuf, Disk) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("log");
    let disk = Disk::create(&path).expect("the parent exists");
    (home, path, disk)
}

#[cfg(unix)]
fn names(path: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("ours"))
        .collect();
    names.sort();
    names
}

// A directory was moved aside and a new one took its name while a log was open. New files were made in the new one and
// the old one was synced for their names: neither was a log any more.
#[cfg(unix)]
#[test]
fn every_call_goes_on_in_the_directory_that_was_opened_whatever_has_its_name() {
    for exchange in 0..4 {
        let (home, mut path, _) = nested();
        let moved = home.path().join("moved");
        if exchange == 3 {
            // A symbolic link on the way leads elsewhere.
            std::os::unix::fs::symlink(&path, home.path().join("current")).expect("free");
            path = home.path().join("current/.");
        }
        let disk = Disk::open(&path).expect("it is there");
        write(&*disk.create("old").expect("free"), b"old");
        assert!(disk.is_at_path().expect("it is there"));
        let held = match exchange {
            // Moved; moved and made anew; replaced by a file.
            0..=2 => {
                fs::rename(&path, &moved).expect("one file system");
                match exchange {
                    1 => fs::create_dir(&path).expect("free"),
                    2 => fs::write(&path, b"a file").expect("free"),
                    _ => {}
                }
                moved
            }
            _ => {
                fs::remove_file(home.path().join("current")).expect("it is there");
                fs::create_dir(home.path().join("current")).expect("free");
                home.path().join("log")
            }
        };
        assert!(!disk.is_at_path().expect("the system tells"), "exchange {exchange}");
        write(&*disk.create("new").expect("free"), b"new");
        disk.rename("old", "older").expect("free");
        drop(disk.open("older", Access::ReadWrite).expect("it is there"));
        disk.remove("older").expect("it is there");
        disk.sync().expect("directories can be synced");
        drop(disk.lock("LOCK").expect("free"));
        let mut listed: Vec<String> =
            disk.list().expect("readable").into_iter().map(|listed| listed.name).collect();
        listed.sort();
        assert_eq!(listed, ["LOCK", "new"], "exchange {exchange}");
        assert_eq!(names(&held), ["LOCK", "new"], "exchange {exchange}");
        if exchange == 1 {
            assert_eq!(names(&path), [""; 0], "exchange {exchange}");
        }
        assert!(disk.free_bytes().expect("it is there").is_some());
    }
}

#[cfg(unix)]
#[test]
fn a_directory_that_was_removed_takes_no_new_file_and_says_that_it_has_no_path() {
    let (_home, path, disk) = nested();
    fs::remove_dir(&path).expect("it is empty");
    assert!(!disk.is_at_path().expect("the system tells"));
    assert_eq!(disk.create("file").expect_err("there is no directory").kind(), ErrorKind::NotFound);
}

// A cleaner removed LOCK while a log was open. The next open made another file, locked that, and was let in.
#[cfg(unix)]
#[test]
fn a_directory_is_locked_by_handles_whatever_becomes_of_its_path_and_its_files() {
    let (home, path, disk) = nested();
    let lock = disk.lock_directory().expect("free");
    let file = disk.lock("LOCK").expect("free");
    let moved = home.path().join("moved");
    fs::rename(&path, &moved).expect("one file system");
    fs::remove_file(moved.join("LOCK")).expect("it is there");
    drop(disk.lock("LOCK").expect("another file"));
    for contender in [&disk, &Disk::open(&moved).expect("it is there")] {
        assert_eq!(contender.lock_directory().expect_err("held").kind(), ErrorKind::WouldBlock);
    }
    drop((lock, file));
    drop(disk.lock_directory().expect("given up"));
}

#[cfg(unix)]
#[test]
fn an_id_tells_a_file_from_its_copy_and_not_from_its_other_name() {
    let (home, disk) = disk();
    let file = disk.create("file").expect("free");
    let id = file.id().expect("it is open");
    assert!(id.is_some());
    assert_eq!(disk.id_of("file").expect("it is there"), id);
    assert_eq!(file.names().expect("it is open"), 1);
    fs::hard_link(home.path().join("file"), home.path().join("other")).expect("free");
    assert_eq!(disk.id_of("other").expect("it is there"), id);
    assert_eq!(file.names().expect("it is open"), 2);
    fs::copy(home.path().join("file"), home.path().join("copy")).expect("there is space");
    fs::rename(home.path().join("copy"), home.path().join("file")).expect("one file system");
    assert_ne!(disk.id_of("file").expect("it is there"), id);
    std::os::unix::fs::symlink("other", home.path().join("link")).expect("free");
    assert_ne!(disk.id_of("link").expect("it is there"), id, "a link is not followed");
    assert_eq!(disk.id_of("nothing").expect_err("free").kind(), ErrorKind::NotFound);
    let lock = disk.lock("LOCK").expect("free");
    assert_eq!(lock.id(), disk.id_of("LOCK").expect("it is there"));
}
