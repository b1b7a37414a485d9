//! What was found when a log was opened again, held against what it had acknowledged.
//!
//! A writer makes its next entry when the one before was acknowledged, so the entries of each writer have to come back
//! all, once, and in order.

use crate::payload::Stamp;

/// Counts the entries of each writer. The first thing that is wrong is kept, and told at the end.
#[derive(Debug)]
pub(crate) struct Tally {
    next: Vec<u64>,
    /// Entries of which an engine told the number alone.
    counted: Option<u64>,
    fault: Option<String>,
}

impl Tally {
    pub(crate) fn new(writers: usize) -> Tally {
        Tally { next: vec![0; writers], counted: None, fault: None }
    }

    /// An entry that was read back.
    #[inline]
    pub(crate) fn entry(&mut self, payload: &[u8]) {
        let stamp = Stamp::read(payload);
        let next = stamp.and_then(|stamp| self.next.get_mut(usize::try_from(stamp.writer).ok()?));
        let (Some(stamp), Some(next)) = (stamp, next) else {
            self.fault.get_or_insert_with(|| format!("an entry that nobody wrote was found: {stamp:?}"));
            return;
        };
        if stamp.number != *next {
            let Stamp { writer, number } = stamp;
            let expected = *next;
            self.fault.get_or_insert_with(|| {
                format!("of writer {writer}, entry {number} came in the place of {expected}")
            });
        }
        *next = stamp.number + 1;
    }

    /// For an engine that no longer has all of its entries, but knows how many there were.
    pub(crate) fn counted(&mut self, entries: u64) {
        self.counted = Some(entries);
    }

    /// # Errors
    /// What is missing, too much or out of order.
    pub(crate) fn compare(self, acknowledged: &[u64]) -> Result<(), String> {
        if let Some(fault) = self.fault {
            return Err(format!("after it was opened again: {fault}"));
        }
        let expected: u64 = acknowledged.iter().sum();
        let found = self.counted.unwrap_or_else(|| self.next.iter().sum());
        if found != expected {
            return Err(format!(
                "{expected} entries were acknowledged, and {found} were there when it was opened again"
            ));
        }
        if self.counted.is_none() && self.next != acknowledged {
            return Err("it has as many entries as it acknowledged, but not of each writer".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Payload;

    fn tally_of(entries: &[(u64, u64)]) -> Tally {
        let mut tally = Tally::new(2);
        for &(writer, number) in entries {
            let mut payload = Payload::new(writer, 32, 1);
            let entry = (0..=number).fold(Vec::new(), |_, _| payload.next().to_vec());
            tally.entry(&entry);
        }
        tally
    }

    #[test]
    fn a_lost_entry_is_told() {
        assert!(tally_of(&[(0, 0), (1, 0)]).compare(&[1, 2]).is_err());
    }

    #[test]
    fn an_entry_out_of_its_place_is_told() {
        let told = tally_of(&[(0, 0), (0, 2), (0, 1)]).compare(&[3, 0]).unwrap_err();
        assert!(told.contains("entry 2 came in the place of 1"), "{told}");
    }

    #[test]
    fn an_entry_of_an_unknown_writer_is_told() {
        assert!(tally_of(&[(0, 0), (7, 0)]).compare(&[1, 0]).is_err());
    }

    #[test]
    fn entries_of_several_writers_may_be_mixed() {
        assert_eq!(tally_of(&[(1, 0), (0, 0), (0, 1), (1, 1)]).compare(&[2, 2]), Ok(()));
    }
}
