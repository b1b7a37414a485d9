//! Opens what a power cut may leave, twice and without the lock, and holds what is shown against the oracle.

use wal::sim::{CrashModel, SimDisk};
use wal::{Error, ErrorKind, Wal};

use crate::oracle::world::{After, Broken, Oracle, Promise, Shown};
use crate::setup::Setup;

const SAMPLE_VIEW: u64 = 16;
const BOTH_ENDS: CrashModel = CrashModel { exhaustive_up_to: 4, random: 0, tearing: 0, garbage: 0 };

/// Opens an image and holds it against every promise that a power cut puts to the test.
pub(crate) fn opens(setup: &Setup, image: &SimDisk, world: &impl Oracle, counter: u64) -> Result<(), Broken> {
    let disk = image.kill();
    if counter.is_multiple_of(SAMPLE_VIEW) {
        looks(setup, &disk, world)?;
    }
    let alarm = |error| Broken::new(Promise::CrashNeverCorrupts, format!("{error}"));
    let wal = setup.open(&disk).map_err(alarm)?;
    let first = shown(&wal).map_err(alarm)?;
    world.check(&first, After::PowerCut)?;
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
        let second = setup.open(disk).and_then(|wal| shown(&wal)).map_err(broken)?;
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
fn looks(setup: &Setup, disk: &SimDisk, world: &impl Oracle) -> Result<(), Broken> {
    let before = disk.hash();
    match setup.options().open_read_only_in(setup.directory(disk)) {
        Err(error) if error.kind() == ErrorKind::NoLog => {
            world.check(&Shown { first: world.first(), payloads: Vec::new() }, After::PowerCut)?;
        }
        Err(error) => return Err(Broken::new(Promise::CrashNeverCorrupts, format!("a look: {error}"))),
        Ok(view) => {
            let alarm = |error| Broken::new(Promise::CrashNeverCorrupts, format!("a look: {error}"));
            world.check(&shown_from(view.first(), view.range(..)).map_err(alarm)?, After::PowerCut)?;
        }
    }
    if disk.hash() == before {
        Ok(())
    } else {
        Err(Broken::new(Promise::DamageIsReported, "a reader changed the directory"))
    }
}

/// A log as its own reader shows it.
pub(crate) fn shown(wal: &Wal) -> Result<Shown, Error> {
    shown_from(wal.first(), wal.range(..)?)
}

/// The entries of a log that begins at `first`.
pub(crate) fn shown_from(first: u64, entries: wal::Entries) -> Result<Shown, Error> {
    let payloads = entries.map(|entry| Ok(entry?.payload().to_vec())).collect::<Result<_, Error>>()?;
    Ok(Shown { first, payloads })
}

pub(crate) fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".into())
}
