//! What the crash and fault tests share: a log on a simulated disk, an oracle of what it may show, and a
//! look at its frames that does not go through recovery.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

pub(crate) mod bytes;
pub(crate) mod gate;
pub(crate) mod ledger;
pub(crate) mod oracle;
pub(crate) mod seam;
pub(crate) mod task;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use wal::{Checksum, Entries, Error, ErrorKind, Options, SyncPolicy, View, Wal};
use wal_segment::io::sim::{CallKind, CrashModel, Failure, Fault, FaultEffect, SimDisk, SyncLoss, Times};

pub(crate) use ledger::Ledger;

/// The smallest segment: two entries of [`HALF`] bytes fill it.
pub(crate) const SMALL: u64 = 12 << 10;
pub(crate) const HALF: usize = 1500;

pub(crate) const POLICIES: [SyncPolicy; 2] = [SyncPolicy::None, SyncPolicy::Immediate];
/// The others, too, with bounds that a short test reaches.
pub(crate) const EVERY_POLICY: [SyncPolicy; 4] = [
    SyncPolicy::None,
    SyncPolicy::Immediate,
    SyncPolicy::Periodic { entries: 5, interval: Duration::from_millis(2) },
    SyncPolicy::Grouped { window: Duration::from_millis(1) },
];
/// Every kind of checksum that this build has.
pub(crate) const CHECKSUMS: &[Checksum] = &[
    Checksum::Crc32,
    #[cfg(feature = "crc64")]
    Checksum::Crc64,
];
pub(crate) const LOSSES: [SyncLoss; 4] =
    [SyncLoss::CacheNewDiskOld, SyncLoss::CacheReverted, SyncLoss::PartWritten, SyncLoss::ReportedLate];

/// Every combination of up to six pending items, then samples.
pub(crate) const FEW_IMAGES: CrashModel =
    CrashModel { exhaustive_up_to: 64, random: 24, tearing: 6, garbage: 6 };

/// A payload that tells its number, two of which fill a [`SMALL`] segment.
pub(crate) fn large(number: u64) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(HALF + usize::try_from(number % 7).expect("small"), 0x5a);
    payload
}

/// A log of the smallest segments.
pub(crate) fn small(policy: SyncPolicy) -> Options {
    Options::new().segment_bytes(SMALL).sync(policy).background(false)
}

/// Every policy, with threads in the background and without.
pub(crate) fn every_setup() -> impl Iterator<Item = (SyncPolicy, bool)> {
    EVERY_POLICY.into_iter().flat_map(|policy| [(policy, false), (policy, true)])
}

/// What was acknowledged: numbers and payloads.
pub(crate) type Acknowledged = Vec<(u64, Vec<u8>)>;

#[track_caller]
pub(crate) fn holds_all(shown: &[Vec<u8>], acknowledged: &[(u64, Vec<u8>)]) {
    for (number, payload) in acknowledged {
        let found = usize::try_from(*number).ok().and_then(|number| shown.get(number));
        assert_eq!(found, Some(payload), "acknowledged entry {number} of {}", shown.len());
    }
}

/// Looks again and again until it is so; a test that waits in vain fails.
#[track_caller]
pub(crate) fn eventually(what: &str, limit: Duration, so: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !so() {
        assert!(begun.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn try_open(disk: &SimDisk, options: &Options) -> Result<Wal, Error> {
    options.open_in(Arc::new(disk.clone()))
}

#[track_caller]
pub(crate) fn open(disk: &SimDisk, options: &Options) -> Wal {
    match try_open(disk, options) {
        Ok(wal) => wal,
        Err(error) => panic!("the log does not open: {error}\n{}\n{:?}", disk.origin(), disk.names()),
    }
}

#[track_caller]
pub(crate) fn view(disk: &SimDisk) -> View {
    Options::new().open_read_only_in(Arc::new(disk.clone())).expect("there is a log")
}

/// Payloads up to the first error, and the error. The numbers must be without a gap.
#[track_caller]
pub(crate) fn read(entries: Entries) -> (Vec<Vec<u8>>, Option<Error>) {
    let mut payloads = Vec::new();
    let mut expected = None;
    let mut error = None;
    for entry in entries {
        assert!(error.is_none(), "an iterator that returned an error ends");
        match entry {
            Ok(entry) => {
                let number = *expected.get_or_insert(entry.sequence());
                assert_eq!(entry.sequence(), number, "a hole in the numbers");
                expected = Some(number + 1);
                payloads.push(entry.payload().to_vec());
            }
            Err(found) => error = Some(found),
        }
    }
    (payloads, error)
}

/// All payloads of a log that is whole.
#[track_caller]
pub(crate) fn contents(wal: &Wal) -> Vec<Vec<u8>> {
    let (payloads, error) = read(wal.range(..).expect("the log is open"));
    assert!(error.is_none(), "the log cannot be read: {error:?}");
    assert_eq!(payloads.len() as u64, wal.written_end() - wal.first(), "the reader and the numbers disagree");
    payloads
}

/// All names with their bytes.
pub(crate) fn directory(disk: &SimDisk) -> BTreeMap<String, Option<Vec<u8>>> {
    disk.names().into_iter().map(|name| (name.clone(), disk.contents(&name))).collect()
}

/// Turns over one byte in the last frame of a log.
pub(crate) fn damage_last_frame(disk: &SimDisk) {
    let last = bytes::linked(disk).pop().expect("a segment");
    let frame = bytes::frames(&disk.contents(&last).expect("it is there")).pop().expect("a frame");
    assert!(disk.damage(&last, |bytes| bytes[frame.end - 9] ^= 1));
}

/// The simulated disk with the same bytes, all of them durable.
pub(crate) fn copy(files: &BTreeMap<String, Option<Vec<u8>>>) -> SimDisk {
    let disk = SimDisk::new(77);
    for (name, bytes) in files {
        disk.put(name, bytes.as_deref().expect("only files are copied"));
    }
    disk
}

pub(crate) fn fault(call: CallKind, nth: u64, times: Times, with: FaultEffect) -> Fault {
    Fault { call, nth, times, with }
}

/// The numbers mean the same on every unix; elsewhere any error serves.
pub(crate) fn failure(errno: i32, kind: std::io::ErrorKind) -> Failure {
    if cfg!(unix) { Failure::Errno(errno) } else { Failure::Kind(kind) }
}

pub(crate) fn eio() -> Failure {
    failure(5, std::io::ErrorKind::Other)
}

pub(crate) fn enospc() -> Failure {
    failure(28, std::io::ErrorKind::StorageFull)
}

#[track_caller]
pub(crate) fn refused<T: Debug>(result: Result<T, Error>, kind: ErrorKind) -> Error {
    match result {
        Err(error) if error.kind() == kind => error,
        other => panic!("expected {kind:?}, got {other:?}"),
    }
}

/// Whether a sync failed: the truncation's own, as `told` says, or one in the background after it.
pub(crate) fn is_poisoned<T>(wal: &Wal, told: &Result<T, Error>, background: bool) -> bool {
    match told {
        Err(error) if error.kind() == ErrorKind::Poisoned => return true,
        _ if !background => return false,
        _ => {}
    }
    // One that is under way tells how it went.
    let synced = wal.sync();
    if let Err(error) = &synced {
        assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
        assert!(wal.durable_end() < wal.written_end(), "there was nothing to sync: {error}");
    }
    synced.is_err()
}

/// Runs `act` on a thread of its own, and fails when it does not return in time.
#[track_caller]
pub(crate) fn within<T: Send + 'static>(limit: Duration, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = mpsc::channel();
    let thread = thread::spawn(move || done.send(act()).expect("somebody waits"));
    match wait.recv_timeout(limit) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hangs: nothing came back within {limit:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("a thread that sent nothing has panicked"),
        },
    }
}

/// Runs `life` on fresh disks, cut at each operation in turn until one ends by itself, and hands each
/// disk with its oracle to `check`.
#[track_caller]
pub(crate) fn cut_everywhere(
    ledger: impl Fn() -> Ledger,
    prepare: impl Fn(&SimDisk, &mut Ledger),
    life: impl Fn(&SimDisk, &mut Ledger),
    check: impl Fn(&SimDisk, &Ledger),
) -> u64 {
    for operation in 0..10_000 {
        let disk = SimDisk::new(operation);
        let mut ledger = ledger();
        prepare(&disk, &mut ledger);
        disk.crash_at(disk.operations() + operation);
        life(&disk, &mut ledger);
        check(&disk, &ledger);
        if !disk.crashed() {
            assert!(operation > 0, "nothing was done");
            return operation;
        }
    }
    panic!("no end after ten thousand operations")
}

/// Opens every image of a power cut and holds it against the oracle; then appends, opens again.
#[track_caller]
pub(crate) fn check_images(disk: &SimDisk, ledger: &Ledger, options: &Options, model: CrashModel, seed: u64) {
    for image in disk.crash_images(model, seed) {
        check_power_cut(&image, ledger, options);
    }
    check_power_cut(&disk.power_cut_losing_everything(), ledger, options);
    check_power_cut(&disk.power_cut_keeping_everything(), ledger, options);
}

#[track_caller]
pub(crate) fn check_power_cut(image: &SimDisk, ledger: &Ledger, options: &Options) {
    let wal = open(image, options);
    let shown = contents(&wal);
    if let Err(broken) = ledger.check_power_cut(&shown) {
        panic!("{broken}\n{}", image.origin());
    }
    drop(wal);
    let again = open(&image.power_cut_losing_everything(), options);
    assert_eq!(contents(&again), shown, "a second open shows another log\n{}", image.origin());
    let number = again.append(b"behind the crash").expect("nothing fails");
    assert_eq!(number, shown.len() as u64, "{}", image.origin());
    again.close().expect("nothing fails");
}
