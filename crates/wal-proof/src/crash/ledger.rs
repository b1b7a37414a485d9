//! Counts what was tried: distinct states a policy and an operation, checks a promise.

use std::collections::{BTreeMap, HashSet};

use wal::sim::SimDisk;

use crate::crash::goes_on::GoesOn;
use crate::crash::script::Operation;
use crate::oracle::world::Promise;
use crate::setup::policy::Policy;

/// What was tried.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Hashes of images, each with the operation that it was met in first.
    states: BTreeMap<Policy, HashSet<u64>>,
    operations: BTreeMap<(Operation, Policy), u64>,
    gone_on: BTreeMap<(GoesOn, Policy), u64>,
    promises: BTreeMap<Promise, u64>,
}

impl Ledger {
    /// A state was reached, in this operation.
    pub(crate) fn state(&mut self, policy: Policy, doing: Operation, image: &SimDisk) {
        if self.states.entry(policy).or_default().insert(image.hash()) {
            *self.operations.entry((doing, policy)).or_default() += 1;
            if let Some(how) = GoesOn::seen(image) {
                *self.gone_on.entry((how, policy)).or_default() += 1;
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

    /// States in which a log has gone on so far, under all policies.
    #[cfg(test)]
    pub(crate) fn gone_on(&self, seen: GoesOn) -> u64 {
        self.gone_on.iter().filter(|((key, _), _)| *key == seen).map(|(_, count)| count).sum()
    }

    /// Takes in what another one has counted.
    pub(crate) fn add(&mut self, other: Ledger) {
        for (policy, states) in other.states {
            self.states.entry(policy).or_default().extend(states);
        }
        other
            .operations
            .into_iter()
            .for_each(|(key, count)| *self.operations.entry(key).or_default() += count);
        other.gone_on.into_iter().for_each(|(key, count)| *self.gone_on.entry(key).or_default() += count);
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
        for how in GoesOn::ALL {
            line(&|policy| self.gone_on.get(&(how, policy)).unwrap_or(&0).to_string(), how.name());
        }
        println!("  {:>10}  states of all policies", self.all_states());
        println!("checks, none of them failed");
        for promise in Promise::ALL {
            println!("  {:>10}  {}", self.promises.get(&promise).unwrap_or(&0), promise.words());
        }
    }
}
