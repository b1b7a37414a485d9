//! Opens an image that a power cut may leave, twice and without the lock, and checks what it shows against the oracle.

use wal::sim::{CrashModel, SimDisk};
use wal::{Error, ErrorKind, Wal};
use wal_testing::history::Shown;

use crate::oracle::expected_log::{Crash, Oracle};
use crate::oracle::promise::{Broken, Promise};
use crate::setup::Setup;

const SAMPLE_VIEW: u64 = 16;
const BOTH_ENDS: CrashModel = CrashModel { exhaustive_up_to: 4, random: 0, tearing: 0, garbage: 0 };

/// Opens an image and checks every promise that a power cut puts to the test.
pub(crate) fn check_image(
    setup: &Setup,
    image: &SimDisk,
    expected: &impl Oracle,
    counter: u64,
) -> Result<(), Broken> {
    let disk = image.kill();
    if counter.is_multiple_of(SAMPLE_VIEW) {
        check_read_only(setup, &disk, expected)?;
    }
    let alarm = |error| Broken::new(Promise::CrashNeverCorrupts, format!("{error}"));
    let wal = setup.open(&disk).map_err(alarm)?;
    let first = read_log(&wal).map_err(alarm)?;
    expected.check(&first, Crash::PowerCut)?;
    match setup.open(&disk) {
        Err(error) if error.kind() == ErrorKind::Locked => {}
        other => {
            let how = format!("a second open beside the first one gives {:?}", other.err());
            return Err(Broken::new(Promise::OneWriter, how));
        }
    }
    drop(wal);
    let again = |disk: &SimDisk, promise| {
        let broken = |error| Broken::new(promise, format!("{error}"));
        let second = setup.open(disk).and_then(|wal| read_log(&wal)).map_err(broken)?;
        if first == second {
            return Ok(());
        }
        Err(Broken::new(promise, format!("{} entries, then {}", first.payloads.len(), second.payloads.len())))
    };
    for cut in disk.crash_images(BOTH_ENDS, counter) {
        again(&cut, Promise::ShownStays)?;
    }
    again(&disk, Promise::OpeningTwiceIsTheSame)
}

/// A reader without the lock sees a prefix, no alarm, and changes nothing.
fn check_read_only(setup: &Setup, disk: &SimDisk, expected: &impl Oracle) -> Result<(), Broken> {
    let before = disk.hash();
    match setup.options().open_read_only_in(setup.directory(disk)) {
        Err(error) if error.kind() == ErrorKind::NoLog => {
            expected.check(&Shown { first: expected.first(), payloads: Vec::new() }, Crash::PowerCut)?;
        }
        Err(error) => return Err(Broken::new(Promise::CrashNeverCorrupts, format!("a look: {error}"))),
        Ok(view) => {
            let alarm = |error| Broken::new(Promise::CrashNeverCorrupts, format!("a look: {error}"));
            expected.check(&read_entries(view.first(), view.range(..)).map_err(alarm)?, Crash::PowerCut)?;
        }
    }
    if disk.hash() == before {
        Ok(())
    } else {
        Err(Broken::new(Promise::DamageIsReported, "a reader changed the directory"))
    }
}

/// A log as its own reader shows it.
pub(crate) fn read_log(wal: &Wal) -> Result<Shown, Error> {
    read_entries(wal.first(), wal.range(..)?)
}

/// The entries of a log that begins at `first`.
pub(crate) fn read_entries(first: u64, entries: wal::Entries) -> Result<Shown, Error> {
    let payloads = entries.map(|entry| Ok(entry?.payload().to_vec())).collect::<Result<_, Error>>()?;
    Ok(Shown { first, payloads })
}

pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".into())
}
