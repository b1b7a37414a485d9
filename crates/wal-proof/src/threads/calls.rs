//! What threads called, and what they were told: the oracle of a log that several of them wrote.
//!
//! Only the log knows the order of the calls. So the image of a kill at the moment of the cut is read first: the calls must
//! explain its order, each at the number that its caller was told. Every power cut at that moment is checked against that
//! order.

use std::collections::HashMap;

use wal::{Commit, Durability};

use crate::oracle::expected_log::{ExpectedLog, Group};
use crate::oracle::promise::{Broken, Promise};

/// One append, batch or submitted entry.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) group: Group,
    /// The number that the caller was told.
    pub(crate) first: Option<u64>,
    /// What the caller was promised.
    pub(crate) promised: Durability,
    /// Not waited for yet.
    pub(crate) commit: Option<Commit>,
}

impl Call {
    /// A later call promised this for every call before it.
    pub(crate) fn promise(&mut self, durability: Durability) {
        let failed = self.commit.as_ref().is_some_and(|commit| matches!(commit.outcome(), Some(Err(_))));
        if self.first.is_some() && !failed {
            self.promised = self.promised.max(durability);
        }
    }

    fn end(&self) -> u64 {
        self.first.unwrap_or(0) + self.group.len() as u64
    }
}

/// What all threads of one life know.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) made: Vec<Call>,
    /// The highest durable watermark that a thread has seen.
    pub(crate) durable: u64,
}

impl Calls {
    pub(crate) fn add(&mut self, other: Calls) {
        self.made.extend(other.made);
        self.durable = self.durable.max(other.durable);
    }

    /// How many entries a caller was told are durable.
    pub(crate) fn durable_entries(&self) -> u64 {
        let durable = |call: &&Call| call.promised == Durability::Durable && call.first.is_some();
        let told = self.made.iter().filter(durable).map(Call::end).max();
        told.unwrap_or(0).max(self.durable)
    }

    /// Checks the log after a kill against what callers were told, and returns it as the expected log.
    pub(crate) fn explain(&self, shown: &[Vec<u8>]) -> Result<ExpectedLog, Broken> {
        let mut expected = ExpectedLog::default();
        for group in self.groups(shown)? {
            expected.begin(group.clone());
        }
        expected.wrote(shown.len() as u64)?;
        for call in &self.made {
            let kept = call.promised > Durability::Buffered && call.first.is_some();
            if kept && call.end() > shown.len() as u64 {
                let (first, entries) = (call.first.unwrap_or(0), shown.len());
                let how = format!(
                    "entry {first} was said to be {:?}; a kill leaves {entries} entries",
                    call.promised
                );
                return Err(Broken::new(Promise::AcknowledgedIsThere, how));
            }
        }
        if self.durable_entries() > shown.len() as u64 {
            let how = format!("{} are durable, of {}", self.durable_entries(), shown.len());
            return Err(Broken::new(Promise::AcknowledgedIsThere, how));
        }
        expected.acknowledge(self.durable_entries());
        Ok(expected)
    }

    /// The groups in the order of the log: each one whole, once, and at its number.
    fn groups(&self, shown: &[Vec<u8>]) -> Result<Vec<&Group>, Broken> {
        let broken = |how: String| Err(Broken::new(Promise::LogIsAPrefix, how));
        let mut calls: HashMap<&Vec<u8>, &Call> =
            self.made.iter().filter_map(|call| Some((call.group.first()?, call))).collect();
        let (mut groups, mut next) = (Vec::new(), 0);
        while let Some(payload) = shown.get(next) {
            let Some(call) = calls.remove(payload) else {
                return broken(format!("entry {next} begins no call, or one that is there already"));
            };
            if !shown[next..].starts_with(&call.group) {
                return broken(format!(
                    "of the {} entries of a batch at {next} some differ",
                    call.group.len()
                ));
            }
            if call.first.is_some_and(|first| first != next as u64) {
                return broken(format!("entry {next} was said to be entry {:?}", call.first));
            }
            groups.push(&call.group);
            next += call.group.len();
        }
        // What was promised, and is not at its number.
        let gone = calls.values().find(|call| {
            call.promised > Durability::Buffered && call.first.is_some_and(|first| first < next as u64)
        });
        match gone {
            Some(call) => broken(format!("entry {:?} is another's", call.first)),
            None => Ok(groups),
        }
    }
}
