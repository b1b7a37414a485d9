//! The oracle: what was appended, what was promised, and so what a log may show after a crash.

use wal::{Error, SyncPolicy, Wal};
use wal_segment::io::sim::Random;

/// What one append or batch put in.
type Group = Vec<Vec<u8>>;

/// Everything that a caller of one log knows.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    waits: bool,
    accepted: Vec<Group>,
    /// Groups that were promised to survive a power cut.
    durable: usize,
    /// Groups of which one, at most, may stand behind the accepted ones: what failed since then.
    maybe: Vec<Group>,
    stamp: u64,
}

impl Ledger {
    pub(crate) fn new(policy: SyncPolicy) -> Ledger {
        Ledger { waits: policy.waits(), accepted: Vec::new(), durable: 0, maybe: Vec::new(), stamp: 0 }
    }

    /// Bytes that were never appended before.
    pub(crate) fn payload(&mut self, bytes: usize) -> Vec<u8> {
        self.stamp += 1;
        payload(self.stamp, bytes)
    }

    pub(crate) fn append(&mut self, wal: &Wal, bytes: usize) -> Result<u64, Error> {
        let payload = self.payload(bytes);
        self.append_group(wal, vec![payload])
    }

    pub(crate) fn batch(&mut self, wal: &Wal, sizes: &[usize]) -> Result<u64, Error> {
        let group = sizes.iter().map(|&bytes| self.payload(bytes)).collect();
        self.append_group(wal, group)
    }

    pub(crate) fn append_group(&mut self, wal: &Wal, group: Group) -> Result<u64, Error> {
        let expected = self.entries().len() as u64;
        self.maybe.push(group.clone());
        let first = match group.as_slice() {
            [payload] => wal.append(payload)?,
            _ => wal.append_batch(&group)?.start,
        };
        assert_eq!(first, expected, "numbers go on where the accepted entries end");
        self.maybe.clear();
        self.accepted.push(group);
        if self.waits {
            self.durable = self.accepted.len();
        }
        self.note(wal);
        Ok(first)
    }

    pub(crate) fn sync(&mut self, wal: &Wal) -> Result<(), Error> {
        wal.sync()?;
        self.durable = self.accepted.len();
        assert_eq!(wal.durable_end(), self.entries().len() as u64, "a sync covers everything");
        Ok(())
    }

    pub(crate) fn roll(&mut self, wal: &Wal) -> Result<(), Error> {
        wal.roll()?;
        self.durable = self.accepted.len();
        assert_eq!(wal.durable_end(), self.entries().len() as u64, "a roll covers everything");
        Ok(())
    }

    pub(crate) fn close(&mut self, wal: Wal) -> Result<(), Error> {
        wal.close()?;
        self.durable = self.accepted.len();
        Ok(())
    }

    /// What the watermark says is a promise too.
    fn note(&mut self, wal: &Wal) {
        let durable = wal.durable_end();
        assert!(durable <= self.entries().len() as u64, "more is durable than there is");
        let mut end = 0;
        for (index, group) in self.accepted.iter().enumerate() {
            end += group.len() as u64;
            if end <= durable {
                self.durable = self.durable.max(index + 1);
            }
        }
    }

    pub(crate) fn entries(&self) -> Vec<Vec<u8>> {
        self.accepted.concat()
    }

    pub(crate) fn durable_entries(&self) -> Vec<Vec<u8>> {
        self.accepted[..self.durable].concat()
    }

    /// The log was opened again with another policy.
    pub(crate) fn set_policy(&mut self, policy: SyncPolicy) {
        self.waits = policy.waits();
    }

    /// Holds what is shown after a power cut against what was promised.
    pub(crate) fn check_power_cut(&self, shown: &[Vec<u8>]) -> Result<(), String> {
        self.check(shown, self.durable)
    }

    /// After the death of the process alone, everything accepted is there.
    pub(crate) fn check_kill(&self, shown: &[Vec<u8>]) -> Result<(), String> {
        self.check(shown, self.accepted.len())
    }

    fn check(&self, shown: &[Vec<u8>], needed: usize) -> Result<(), String> {
        let needed: usize = self.accepted[..needed].iter().map(Vec::len).sum();
        let accepted = self.entries();
        let common = shown.iter().zip(&accepted).take_while(|(a, b)| a == b).count();
        if common < needed {
            return Err(format!("{needed} entries were promised, {common} of {} are right", shown.len()));
        }
        let rest = &shown[common..];
        if common == accepted.len() && self.maybe.iter().any(|group| group.as_slice() == rest) {
            return Ok(());
        }
        if !rest.is_empty() {
            return Err(format!("{} entries are shown, of which {common} were appended", shown.len()));
        }
        let mut ends = vec![0];
        for group in &self.accepted {
            ends.push(ends[ends.len() - 1] + group.len());
        }
        if ends.contains(&common) { Ok(()) } else { Err(format!("a batch was cut at entry {common}")) }
    }

    /// An open for writing showed this, so from now on it is the log, and durable.
    pub(crate) fn adopt(&mut self, shown: &[Vec<u8>]) {
        let mut left = shown;
        let groups: Vec<Group> = self.accepted.drain(..).chain(self.maybe.drain(..)).collect();
        for group in groups {
            if !left.is_empty() && left.starts_with(&group) {
                left = &left[group.len()..];
                self.accepted.push(group);
            }
        }
        assert!(left.is_empty(), "the oracle has accepted this log already");
        self.durable = self.accepted.len();
    }
}

/// Bytes that name their stamp and do not compress.
pub(crate) fn payload(stamp: u64, bytes: usize) -> Vec<u8> {
    let mut payload = format!("{stamp}.").into_bytes();
    let named = payload.len().min(bytes);
    payload.resize(bytes, 0);
    Random::new(stamp).fill(&mut payload[named..]);
    payload
}
