//! Beside a live writer: a second one is refused, readers see a log that is whole.
use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::{Log, wait};

#[test]
fn a_second_writer_is_refused_at_once() {
    let log = Log::new();
    let mut first = log.writer(&[]);
    first.send(b"a\n");
    assert_eq!(first.ack(), 0);

    // Its stdin stays open: it must not wait for input.
    let mut second = log
        .command(&["append"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _open = second.stdin.take();
    assert_eq!(wait(&mut second), Some(Some(4)));
    let mut told = String::new();
    second.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.starts_with("wal: ") && told.contains("another writer"), "{told}");

    first.send(b"b\n");
    assert_eq!(first.ack(), 1);
    assert_eq!(first.close(), Some(0));
    assert_eq!(log.cat(), b"a\nb\n");
    assert_eq!(log.run_with(&["append"], b"c\n").code, Some(0), "the lock is given up");
}

#[test]
fn readers_beside_a_live_writer_raise_no_false_alarm() {
    for args in [&["--sync", "none", "--segment-size", "12KiB"][..], &["--segment-size", "64KiB"]] {
        let log = Log::new();
        let mut writer = log
            .command(&[&["append"], args].concat())
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = writer.stdin.take().unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let feeder = scope.spawn(|| {
                let mut number = 0_u64;
                while !done.load(Ordering::Relaxed) {
                    stdin.write_all(line(number).as_bytes()).unwrap();
                    number += 1;
                }
                drop(stdin);
                number
            });
            while !log.path.join("ANCHOR").exists() || log.run(&["info"]).code == Some(5) {}
            for round in 0..30 {
                let ran = log.run(&["cat"]);
                assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}, round {round}");
                assert_is_a_beginning(&ran.stdout);
                let ran = log.run(&["info"]);
                assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}, round {round}");
                let ran = log.run(&["verify"]);
                assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}, round {round}");
            }
            done.store(true, Ordering::Relaxed);
            let fed = feeder.join().unwrap();
            assert_eq!(wait(&mut writer), Some(Some(0)));
            let all = log.cat();
            assert_is_a_beginning(&all);
            assert_eq!(all.iter().filter(|byte| **byte == b'\n').count() as u64, fed);
        });
    }
}

fn line(number: u64) -> String {
    let filler = usize::try_from(number * 7 % 300).expect("below 300");
    format!("{number} {}\n", "x".repeat(filler))
}

fn assert_is_a_beginning(printed: &[u8]) {
    let mut rest = printed;
    let mut number = 0;
    while !rest.is_empty() {
        let expected = line(number);
        assert!(rest.starts_with(expected.as_bytes()), "entry {number}");
        rest = &rest[expected.len()..];
        number += 1;
    }
}
