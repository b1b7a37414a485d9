//! Counts what was tried: distinct states an operation, checks a promise.

use std::collections::{BTreeMap, HashSet};

use crate::crash::script::Operation;
use crate::crash::world::Promise;

/// What was tried.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    distinct: HashSet<u64>,
    operations: BTreeMap<Operation, u64>,
    promises: BTreeMap<Promise, u64>,
}

impl Ledger {
    /// A state was reached, in this operation.
    pub(crate) fn state(&mut self, doing: Operation, image: u64) {
        if self.distinct.insert(image) {
            *self.operations.entry(doing).or_default() += 1;
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

    /// States that differ by the hash of what is on the disk.
    pub(crate) fn distinct_states(&self) -> u64 {
        self.distinct.len() as u64
    }

    pub(crate) fn print(&self) {
        println!("distinct states (by the hash of the image), by the operation that the power cut met");
        for operation in Operation::ALL {
            println!("  {:>9}  {}", self.operations.get(&operation).unwrap_or(&0), operation.name());
        }
        println!("  {:>9}  in all", self.distinct.len());
        println!("checks, none of them failed");
        for promise in Promise::ALL {
            println!("  {:>9}  {}", self.promises.get(&promise).unwrap_or(&0), promise.words());
        }
    }
}
