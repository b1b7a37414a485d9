//! What threads called, and what they were told: the oracle of a log that several of them wrote.
//!
//! Nobody knows the order of the calls but the log. So a kill at the moment of the cut is looked at first:
//! its order must be explained by the calls, each at the number that its caller was told. That order is
//! what every power cut at that moment is held against.

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
    /// Somebody was told that this is true of everything in front of what they do now.
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
    /// The most that the durable watermark has shown to anybody.
    pub(crate) durable: u64,
}

impl Calls {
    pub(crate) fn add(&mut self, other: Calls) {
        self.made.extend(other.made);
        self.durable = self.durable.max(other.durable);
    }

    /// Entries that somebody was told survive a power cut.
    pub(crate) fn durable_entries(&self) -> u64 {
        let durable = |call: &&Call| call.promised == Durability::Durable && call.first.is_some();
        let told = self.made.iter().filter(durable).map(Call::end).max();
        told.unwrap_or(0).max(self.durable)
    }

    /// Holds what is there after a kill against what was told; from then on it is the order of the log.
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
