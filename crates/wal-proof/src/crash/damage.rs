//! Damages every frame of a quiescent log, one at a time: damage to a frame that something else attests as durable
//! (`oracle/disk_frames.rs`) must be reported; damage to any other frame may look like a torn tail.

use std::collections::BTreeSet;
use std::sync::Arc;

use wal::sim::{Random, SimDisk};
use wal::{ErrorKind, Options, Salvaged};
use wal_format::{ANCHOR_FILE, Anchor, FRAME_HEADER_BYTES, FrameKind, LOCK_FILE, SLOT_BYTES};
use wal_testing::history::Shown;

use crate::oracle::check_image::read_log;
use crate::oracle::disk_frames::{DiskFrame, attested, attested_from_outside, frames};
use crate::oracle::expected_log::ExpectedLog;
use crate::oracle::promise::{Broken, Promise};
use crate::setup::Setup;
use crate::setup::faulty::Faulty;

/// Damages each frame in several ways. Returns how many judgements were compared.
pub(crate) fn every_frame(
    setup: &Setup,
    disk: &SimDisk,
    expected: &ExpectedLog,
    seed: u64,
) -> Result<u64, Broken> {
    let rest = disk.power_cut_keeping_everything();
    let frames = frames(&rest);
    let undamaged = setup.open(&rest.kill()).and_then(|wal| read_log(&wal));
    let undamaged = undamaged
        .map_err(|error| Broken::new(Promise::CrashNeverCorrupts, format!("before any damage: {error}")))?;
    let whole = undamaged.payloads.len();
    let mut checks = one_slot_is_enough(setup, &rest, expected, &undamaged)?;
    // A log that acknowledges too early is to be caught by what it loses.
    if setup.policy.waits() && !expected.wrote_ahead && setup.faulty != Faulty::AcknowledgesBeforeSync {
        checks += synced_is_stated(&frames)?;
    }
    for (index, frame) in frames.iter().enumerate() {
        // An open for writing has shown these entries, and synced them.
        let shown = match frame.kind {
            FrameKind::Link => frame.segment <= expected.linked_at_open(),
            FrameKind::Data => frame.first + frame.entries <= expected.shown_at_open(),
            FrameKind::Seal | FrameKind::Extension(_) => false,
        };
        let attested = shown || attested(&rest, &frames, index);
        let mut random = Random::of(seed, index as u64);
        let bit = frame.start * 8 + random.below((frame.end - frame.start) * 8);
        for way in ["header zeroed", "a bit flipped", "zeroed"] {
            let damaged = rest.kill();
            damaged.damage(&frame.file, |bytes| match way {
                "header zeroed" => bytes[frame.start..frame.start + FRAME_HEADER_BYTES].fill(0),
                "a bit flipped" => bytes[bit / 8] ^= 1 << (bit % 8),
                _ => bytes[frame.start..frame.end].fill(0),
            });
            let what = format!("{:?} frame at {} of {}, {way}", frame.kind, frame.start, frame.file);
            // Damage to a frame that is no part of the log any more need not be reported.
            let must = (attested && frame.kept).then_some(frame);
            judge(setup, &damaged, expected, whole, must, &what)?;
            checks += 1;
        }
    }
    for frame in frames.iter().filter(|frame| frame.kind == FrameKind::Link) {
        let one_header = rest.kill();
        one_header.damage(&frame.file, |bytes| bytes[..SLOT_BYTES].fill(0));
        judge(setup, &one_header, expected, whole, None, "first header zeroed")?;
        let lost = rest.kill();
        lost.delete(&frame.file);
        let must = attested_from_outside(&rest, &frames, frame).then_some(frame);
        judge(setup, &lost, expected, whole, must, &format!("{} deleted", frame.file))?;
        checks += 2;
    }
    Ok(checks)
}

/// Either slot of the anchor can be lost, and the log is the same: what is truncated stays so. Not while a
/// truncation is under way, and not when power was lost while a slot was written.
fn one_slot_is_enough(
    setup: &Setup,
    disk: &SimDisk,
    expected: &ExpectedLog,
    undamaged: &Shown,
) -> Result<u64, Broken> {
    let slots = disk.contents(ANCHOR_FILE).unwrap_or_default();
    let valid = slots.chunks(SLOT_BYTES).filter(|slot| Anchor::decode(slot).is_ok()).count();
    if valid < 2 || !expected.is_settled() {
        return Ok(0);
    }
    for slot in 0..2 {
        let damaged = disk.kill();
        let start = slot * SLOT_BYTES;
        damaged.damage(ANCHOR_FILE, |bytes| {
            let end = bytes.len().min(start + SLOT_BYTES);
            bytes[start..end].fill(0);
        });
        let broken = |how| Broken::new(Promise::TruncationIsOldOrNew, format!("without slot {slot} {how}"));
        let found = setup.open(&damaged).and_then(|wal| read_log(&wal));
        let found = found.map_err(|error| broken(format!("the log is refused: {error}")))?;
        if found != *undamaged {
            return Err(broken(format!("it begins at {}, not {}", found.first, undamaged.first)));
        }
    }
    Ok(2)
}

/// When each append was synced before the next, each frame states that the one before it is durable: a
/// durable point that never moves would leave nothing to tell damage by.
fn synced_is_stated(frames: &[DiskFrame]) -> Result<u64, Broken> {
    let mut checks = 0;
    for pair in frames.windows(2) {
        let [before, after] = pair else { continue };
        if before.kind != FrameKind::Data || after.segment != before.segment {
            continue;
        }
        checks += 1;
        if after.durable < before.end as u64 {
            let how = format!(
                "the frame at {} of {} states {} as durable, not {}",
                after.start, after.file, after.durable, before.end
            );
            return Err(Broken::new(Promise::DamageIsReported, how));
        }
    }
    Ok(checks)
}

/// Opens and reads a damaged log. With `must` the damage to that frame has to be reported, without a
/// change to the directory. Undamaged it shows `whole` entries; what is shown must be as appended either way.
fn judge(
    setup: &Setup,
    disk: &SimDisk,
    expected: &ExpectedLog,
    whole: usize,
    must: Option<&DiskFrame>,
    what: &str,
) -> Result<(), Broken> {
    let broken = |how: String| Broken::new(Promise::DamageIsReported, format!("{what}: {how}"));
    if disk.contents(LOCK_FILE).is_none() {
        // Any open makes it, also one that refuses the log.
        disk.put(LOCK_FILE, &[]);
    }
    let before = disk.hash();
    let wal = match setup.open(disk) {
        Ok(wal) => wal,
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Missing) => {
            if disk.hash() != before {
                return Err(broken("the refused directory was changed".into()));
            }
            if let Some(frame) = must {
                names_the_frame(disk, &error, frame).map_err(broken)?;
            }
            return Ok(());
        }
        Err(error) => return Err(broken(format!("{error:?}"))),
    };
    let mut good = Vec::new();
    let mut failure = None;
    for entry in wal.range(..).map_err(|error| broken(format!("{error:?}")))? {
        match entry {
            Ok(entry) => good.push(entry.payload().to_vec()),
            Err(error) => failure = Some(error),
        }
    }
    if !expected.could_show(&Shown { first: wal.first(), payloads: good.clone() }) {
        return Err(broken("wrong bytes are shown".into()));
    }
    match (failure, must) {
        (Some(error), Some(frame)) => names_the_frame(disk, &error, frame).map_err(broken),
        (Some(_), None) => Ok(()),
        // A SEAL is derived data: without it, or with another index, the log is the same.
        (None, Some(frame)) if frame.kind == FrameKind::Seal && good.len() == whole => Ok(()),
        (None, Some(_)) if good.len() < whole => {
            Err(broken(format!("{} of {whole} entries are shown as if that were all", good.len())))
        }
        (None, Some(_)) => Err(broken("nothing is reported".into())),
        (None, None) => Ok(()),
    }
}

/// Whether an error names entries of the frame as lost; or says that none is, and all of them can be read.
fn names_the_frame(disk: &SimDisk, error: &wal::Error, frame: &DiskFrame) -> Result<(), String> {
    let damage = error.damage().ok_or_else(|| format!("{error:?} does not say where"))?;
    let Some(lost) = damage.sequences else { return Ok(()) };
    let (first, end) = (lost.first.unwrap_or(0), lost.end.unwrap_or(u64::MAX));
    let numbers = frame.first..frame.first + frame.entries;
    if frame.kind != FrameKind::Data || first < numbers.end && end > numbers.start && first < end {
        return Ok(());
    }
    let salvage =
        Options::new().open_salvage_in(Arc::new(disk.clone())).map_err(|error| error.to_string())?;
    let readable: BTreeSet<u64> = salvage
        .filter_map(|item| match item {
            Salvaged::Entry { entry, .. } => Some(entry.sequence()),
            _ => None,
        })
        .collect();
    match numbers.into_iter().find(|number| !readable.contains(number)) {
        Some(number) => Err(format!("{damage} does not name entry {number}")),
        None => Ok(()),
    }
}
