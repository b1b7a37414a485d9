//! A process with an open log is forked: the child gets errors, hangs nowhere and writes nothing, and the parent
//! goes on as if nothing had happened. Without a harness, so that no other test's thread is copied half-way.
//!
//! A log in Go was used by parent and child at once. Both appended at the same offsets. What each had
//! acknowledged was overwritten by the other.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
fn main() {
    let facts: [(&str, fn()); 5] = [
        ("a_child_changes_no_byte_whatever_it_calls", unix::a_child_changes_no_byte_whatever_it_calls),
        ("a_child_of_a_log_with_threads_hangs_nowhere", unix::a_child_of_a_log_with_threads_hangs_nowhere),
        ("what_was_buffered_is_written_once", unix::what_was_buffered_is_written_once),
        ("a_child_may_not_open_what_its_parent_has", unix::a_child_may_not_open_what_its_parent_has),
        (
            "the_lock_is_held_until_the_child_has_ended_too",
            unix::the_lock_is_held_until_the_child_has_ended_too,
        ),
    ];
    for (name, fact) in facts {
        fact();
        println!("fork::{name} ... ok");
    }
}

#[cfg(unix)]
mod unix {
    use std::collections::BTreeMap;
    use std::fmt::Debug;
    use std::path::Path;
    use std::thread;
    use std::time::Duration;

    use wal::{Durability, Error, ErrorKind, Options, SyncPolicy, Wal};
    use wal_testing::fork::in_child;

    const POLICIES: [SyncPolicy; 4] = [
        SyncPolicy::None,
        SyncPolicy::Immediate,
        SyncPolicy::Periodic { entries: 1000, interval: Duration::from_secs(1) },
        SyncPolicy::Grouped { window: Duration::from_millis(1) },
    ];

    /// Entries of this size fill a segment after a few.
    const PAYLOAD: [u8; 1500] = [7; 1500];

    #[track_caller]
    fn forked<T: Debug>(result: Result<T, Error>) {
        match result {
            Err(error) if error.kind() == ErrorKind::Forked => {}
            other => panic!("expected {:?}, got {other:?}", ErrorKind::Forked),
        }
    }

    /// What a child may try, with its name.
    type Act = (&'static str, fn(Wal));

    const ACTS: [Act; 12] = [
        ("append", |wal| forked(wal.append(&PAYLOAD))),
        ("append across a rollover", |wal| forked(wal.append(&[7; 20_000]))),
        ("append as durable", |wal| forked(wal.append_with(b"child", Durability::Durable))),
        ("append a batch", |wal| forked(wal.append_batch([b"child", b"child"]))),
        ("append again and again", |wal| (0..9).for_each(|_| forked(wal.append(&PAYLOAD)))),
        ("submit", |wal| forked(wal.submit(b"child").and_then(|commit| commit.wait()))),
        ("sync", |wal| forked(wal.sync())),
        ("flush", |wal| forked(wal.flush())),
        ("truncate the front", |wal| forked(wal.truncate_before(2))),
        ("truncate the end", |wal| forked(wal.truncate_after(1))),
        ("close", |wal| forked(wal.close())),
        ("drop", drop),
    ];

    fn options(policy: SyncPolicy) -> Options {
        Options::new().segment_bytes(12 << 10).sync(policy)
    }

    fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
        let listed = std::fs::read_dir(directory).expect("it is there");
        let file = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.expect("it can be listed");
            let bytes = std::fs::read(entry.path()).expect("it can be read");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        };
        listed.map(file).collect()
    }

    #[track_caller]
    fn holds(directory: &Path, expected: &[&[u8]], what: &str) {
        let wal = Options::new().open(directory).unwrap_or_else(|error| panic!("{what}: {error}"));
        let entries = wal.range(..).expect("it is open");
        let found: Vec<Vec<u8>> = entries.map(|entry| entry.expect("a good entry").to_vec()).collect();
        assert!(found.iter().eq(expected), "{what}: {} entries, expected {}", found.len(), expected.len());
        wal.close().expect("nothing fails");
    }

    pub(super) fn a_child_changes_no_byte_whatever_it_calls() {
        for policy in POLICIES {
            for (act, child) in ACTS {
                let what = format!("{act}, {}", policy.name());
                let scratch = tempfile::tempdir().expect("a temporary directory");
                let directory = scratch.path().join("log");
                let wal = options(policy).background(false).open(&directory).expect("a new log");
                (0..3).for_each(|_| assert!(wal.append(&PAYLOAD).is_ok()));
                // Nobody has led it, so the child finds it where it stands.
                let commit = wal.submit(b"submitted").expect("there is room");

                let before = files(&directory);
                // In the child it is the last handle, and `child` drops it.
                let mut handle = Some(wal);
                in_child(|| {
                    forked(commit.wait());
                    child(handle.take().expect("it was copied"));
                })
                .join();
                assert!(files(&directory) == before, "{what}: the child has changed a file");

                let wal = handle.expect("the child's copy was taken");
                wal.append(b"parent").expect("the parent goes on");
                assert_eq!(commit.wait().expect("the parent goes on"), 3, "{what}");
                wal.close().expect("the parent goes on");
                holds(&directory, &[&PAYLOAD, &PAYLOAD, &PAYLOAD, b"submitted", b"parent"], &what);
            }
        }
    }

    pub(super) fn a_child_of_a_log_with_threads_hangs_nowhere() {
        for policy in POLICIES {
            for (act, child) in ACTS {
                let what = format!("{act}, {}", policy.name());
                let scratch = tempfile::tempdir().expect("a temporary directory");
                let directory = scratch.path().join("log");
                let wal = options(policy).open(&directory).expect("a new log");
                (0..3).for_each(|_| assert!(wal.append(&PAYLOAD).is_ok()));
                wal.sync().expect("nothing fails");
                // The threads behind the log have nothing to do, and hold no lock.
                thread::sleep(Duration::from_millis(20));
                let mut handle = Some(wal);
                in_child(|| child(handle.take().expect("it was copied"))).join();

                let wal = handle.expect("the child's copy was taken");
                wal.append(b"parent").expect("the parent goes on");
                wal.sync().expect("the parent goes on");
                wal.close().expect("the parent goes on");
                holds(&directory, &[&PAYLOAD, &PAYLOAD, &PAYLOAD, b"parent"], &what);
            }
        }
    }

    pub(super) fn what_was_buffered_is_written_once() {
        for (act, child) in ACTS {
            let scratch = tempfile::tempdir().expect("a temporary directory");
            let directory = scratch.path().join("log");
            let options = options(SyncPolicy::None).background(false).buffered(64 << 10);
            let wal = options.open(&directory).expect("a new log");
            wal.append(b"first").expect("it gathers");
            wal.append(b"second").expect("it gathers");
            let before = files(&directory);
            let mut handle = Some(wal);
            in_child(|| {
                let wal = handle.take().expect("it was copied");
                // What only gathers is promised to nobody, and is an error once it is to be written.
                if act.starts_with("append") || act == "submit" {
                    while wal.append(&PAYLOAD).is_ok() {}
                }
                child(wal);
            })
            .join();
            assert!(files(&directory) == before, "{act}: the child has changed a file");
            let wal = handle.expect("the child's copy was taken");
            wal.append(b"third").expect("the parent goes on");
            wal.close().expect("the parent goes on");
            holds(&directory, &[b"first", b"second", b"third"], act);
        }
    }

    pub(super) fn a_child_may_not_open_what_its_parent_has() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let directory = scratch.path().join("log");
        let wal = options(SyncPolicy::None).open(&directory).expect("a new log");
        wal.append(b"parent").expect("nothing fails");
        in_child(|| {
            let opened = Options::new().open(&directory);
            assert_eq!(opened.expect_err("the parent has it").kind(), ErrorKind::Locked);
            let view = Options::new().open_read_only(&directory).expect("reading needs no lock");
            assert_eq!(view.read(0).expect("it is there").payload(), b"parent");
        })
        .join();
        wal.close().expect("nothing fails");
    }

    pub(super) fn the_lock_is_held_until_the_child_has_ended_too() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let (directory, ends) = (scratch.path().join("log"), scratch.path().join("ends"));
        let wal = options(SyncPolicy::None).open(&directory).expect("a new log");
        let child = in_child(|| {
            while !ends.exists() {
                thread::sleep(Duration::from_millis(1));
            }
        });
        wal.close().expect("nothing fails");
        let opened = Options::new().open(&directory);
        assert_eq!(opened.expect_err("the child has inherited the lock").kind(), ErrorKind::Locked);
        std::fs::write(&ends, b"").expect("a new file");
        child.join();
        Options::new().open(&directory).expect("nobody has it any more");
    }
}
