//! Coverage of the enumeration: how many distinct states under each policy, in which operation the power was cut, how many
//! checks of each promise, and the states that must have been met ([`Reopening`]).

use std::collections::{BTreeMap, HashSet};

use wal::sim::SimDisk;
use wal_format::{FrameHeader, Seal, SealKind, SegmentHeader};

use crate::crash::script::Operation;
use crate::oracle::disk_frames::{DiskFrame, frames_of, log_segments};
use crate::oracle::promise::Promise;
use crate::setup::policy::Policy;

/// What the enumeration has visited and checked.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    /// Hashes of images. In `operations` each counts once, for the operation in which it was met first.
    states: BTreeMap<Policy, HashSet<u64>>,
    operations: BTreeMap<(Operation, Policy), u64>,
    reopened: BTreeMap<(Reopening, Policy), u64>,
    promises: BTreeMap<Promise, u64>,
}

impl Coverage {
    /// A state was reached, in this operation.
    pub(crate) fn state(&mut self, policy: Policy, doing: Operation, image: &SimDisk) {
        if self.states.entry(policy).or_default().insert(image.hash()) {
            *self.operations.entry((doing, policy)).or_default() += 1;
            if let Some(how) = Reopening::of(image) {
                *self.reopened.entry((how, policy)).or_default() += 1;
            }
        }
    }

    /// An image was opened, and what an open must keep was checked on it.
    pub(crate) fn opened(&mut self) {
        for promise in [
            Promise::AcknowledgedIsThere,
            Promise::LogIsAPrefix,
            Promise::CrashNeverCorrupts,
            Promise::OpeningTwiceIsTheSame,
            Promise::ShownStays,
            Promise::GoneStaysGone,
            Promise::TruncationIsOldOrNew,
            Promise::EveryCallReturns,
            Promise::NoPanic,
            Promise::OneWriter,
        ] {
            self.kept(promise, 1);
        }
    }

    pub(crate) fn kept(&mut self, promise: Promise, checks: u64) {
        *self.promises.entry(promise).or_default() += checks;
    }

    /// States under this policy that differ by the hash of what is on the disk.
    pub(crate) fn states(&self, policy: Policy) -> u64 {
        self.states.get(&policy).map_or(0, |states| states.len() as u64)
    }

    /// The sum over the policies.
    pub(crate) fn all_states(&self) -> u64 {
        Policy::ALL.into_iter().map(|policy| self.states(policy)).sum()
    }

    /// States in which a log was reopened so far, under all policies.
    #[cfg(test)]
    pub(crate) fn reopened(&self, seen: Reopening) -> u64 {
        self.reopened.iter().filter(|((key, _), _)| *key == seen).map(|(_, count)| count).sum()
    }

    /// Adds the counts of another one.
    pub(crate) fn add(&mut self, other: Coverage) {
        for (policy, states) in other.states {
            self.states.entry(policy).or_default().extend(states);
        }
        other
            .operations
            .into_iter()
            .for_each(|(key, count)| *self.operations.entry(key).or_default() += count);
        other.reopened.into_iter().for_each(|(key, count)| *self.reopened.entry(key).or_default() += count);
        other.promises.into_iter().for_each(|(promise, checks)| self.kept(promise, checks));
    }

    pub(crate) fn print(&self) {
        println!("distinct states (by the hash of the image), by the operation that the power cut met");
        let line = |count: &dyn Fn(Policy) -> String, what: &str| {
            let counts: String =
                Policy::ALL.into_iter().map(|policy| format!("{:>10}", count(policy))).collect();
            println!("  {counts}  {what}");
        };
        line(&|policy| policy.name().to_owned(), "");
        for operation in Operation::all() {
            let count = |policy| self.operations.get(&(operation, policy)).unwrap_or(&0).to_string();
            line(&count, operation.name());
        }
        line(&|policy| self.states(policy).to_string(), "in all");
        for how in Reopening::ALL {
            line(&|policy| self.reopened.get(&(how, policy)).unwrap_or(&0).to_string(), how.name());
        }
        println!("  {:>10}  states of all policies", self.all_states());
        println!("checks, none of them failed");
        for promise in Promise::ALL {
            println!("  {:>10}  {}", self.promises.get(&promise).unwrap_or(&0), promise.words());
        }
    }
}

/// How far a closed log was reopened and appended to in its last segment, as a disk shows it. The enumeration must cut
/// the power in each of these states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reopening {
    /// The newest slot of the anchor says that the log is closed.
    Closed,
    /// It says so no longer, and the last frame is still the SEAL of the close.
    MarkedOpen,
    /// Frames follow the SEAL of a close.
    AppendedTo,
}

impl Reopening {
    pub(crate) const ALL: [Reopening; 3] = [Reopening::Closed, Reopening::MarkedOpen, Reopening::AppendedTo];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Reopening::Closed => "of these: closed",
            Reopening::MarkedOpen => "of these: closed, and marked as open again",
            Reopening::AppendedTo => "of these: frames after the SEAL of a close",
        }
    }

    /// None when the last segment was not closed.
    pub(crate) fn of(disk: &SimDisk) -> Option<Reopening> {
        let (anchor, segments) = log_segments(disk);
        let last = segments.last()?;
        let frames = frames_of(disk, last)?;
        let seal = frames.iter().rposition(|frame| is_close(disk, frame))?;
        let is_closed = anchor.is_some_and(|anchor| anchor.seal_offset == Some(frames[seal].start as u64));
        Some(match frames.len() - seal {
            _ if is_closed => Reopening::Closed,
            1 => Reopening::MarkedOpen,
            _ => Reopening::AppendedTo,
        })
    }
}

fn is_close(disk: &SimDisk, frame: &DiskFrame) -> bool {
    let closes = || {
        let bytes = disk.contents(&frame.file)?;
        let life = SegmentHeader::decode(&bytes).ok()?.life;
        let header = FrameHeader::decode(&bytes[frame.start..], life, frame.start as u64).ok()?;
        let seal = Seal::decode(&bytes[frame.start..], &header).ok()?;
        Some(seal.kind == SealKind::Close)
    };
    closes() == Some(true)
}
