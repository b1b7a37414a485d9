//! What a log must be, kept in a vector: groups of entries in the order of their numbers, and what a crash
//! may leave of them.
//!
//! ```text
//! 0                 durable           written              next
//! │ survive a power  │ survive a kill  │ gather, or wait    │
//! │ cut              │                 │ to be written      │
//! ```

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// What one call put in: it stays together.
pub(crate) type Group = Vec<Vec<u8>>;

/// The log as a vector.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    groups: Vec<Group>,
    lost: Vec<Lost>,
    stamp: u64,
}

/// Groups that a failed write has taken back. Until something else is written in their place, the first of
/// them may be found all the same.
#[derive(Debug)]
struct Lost {
    /// The number that the first of their entries had.
    at: u64,
    groups: Vec<Group>,
}

/// Calls that came at once, each with one entry. Nobody knows their order but the log.
#[derive(Debug, Default)]
pub(crate) struct Together {
    /// Those that were told a number.
    pub(crate) told: BTreeMap<u64, Vec<u8>>,
    /// Those that were told that they failed.
    pub(crate) failed: Vec<Vec<u8>>,
    /// Numbers that were told and are promised no more than that.
    pub(crate) gathered: Vec<u64>,
}

impl Together {
    /// The log is over: what was only in memory may be gone, and what failed under its number be found.
    pub(crate) fn give_up_what_only_gathered(&mut self) {
        let given_up = self.gathered.drain(..).filter_map(|number| self.told.remove(&number));
        self.failed.extend(given_up);
    }
}

fn entries(groups: &[Group]) -> u64 {
    groups.iter().map(|group| group.len() as u64).sum()
}

/// These few in every order.
fn orders(these: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    if these.is_empty() {
        return vec![Vec::new()];
    }
    let mut orders_of_all = Vec::new();
    for (place, first) in these.iter().enumerate() {
        let rest = [&these[..place], &these[place + 1..]].concat();
        let behind = orders(&rest).into_iter();
        orders_of_all.extend(behind.map(|order| [vec![first.clone()], order].concat()));
    }
    orders_of_all
}

impl Oracle {
    /// Bytes that were never appended before, if there are any.
    pub(crate) fn payload(&mut self, bytes: usize) -> Vec<u8> {
        self.stamp += 1;
        super::ledger::payload(self.stamp, bytes)
    }

    /// The number that the next entry gets, unless a write fails before.
    pub(crate) fn next(&self) -> u64 {
        entries(&self.groups)
    }

    /// Payloads of all that are numbered, or were.
    pub(crate) fn entries(&self) -> Vec<Vec<u8>> {
        self.groups.concat()
    }

    /// Payloads in front of this number, which may not be in the middle of a group.
    pub(crate) fn entries_before(&self, end: u64) -> Vec<Vec<u8>> {
        self.groups[..self.groups_before(end)].concat()
    }

    /// A call has numbered these. If the number is an old one, a write has failed on the way, and has taken
    /// back everything from there on.
    pub(crate) fn joined(&mut self, first: u64, group: Group) {
        assert!(first <= self.next(), "a hole in front of {first}, where {} comes next", self.next());
        if first < self.next() {
            self.failed(first, None);
        }
        self.groups.push(group);
    }

    /// A write failed: everything from this number on is taken back, and with it the group of the call
    /// that was told. Which may have failed by itself, behind a failure of what was in front of it.
    pub(crate) fn failed(&mut self, first: u64, told: Option<Group>) {
        let mut groups = self.groups.split_off(self.groups_before(first));
        self.lost.extend(told.clone().map(|group| Lost { at: first, groups: vec![group] }));
        groups.extend(told);
        self.lost.push(Lost { at: first, groups });
    }

    /// A write failed, and what had gathered is kept; some of it may be on the disk.
    pub(crate) fn failed_and_kept(&mut self, written: u64) {
        let groups = self.groups[self.groups_before(written)..].to_vec();
        self.lost.push(Lost { at: written, groups });
    }

    /// A sync failed, and with it the call that brought this group: it is the last one, or the first one
    /// that is not written, if a write had failed before.
    pub(crate) fn in_doubt(&mut self, written: u64, group: Group) {
        self.lost.push(Lost { at: written, groups: vec![group.clone()] });
        self.groups.push(group);
    }

    /// A sync failed, as above, and the log went on by itself meanwhile: there may be any beginning of
    /// what is not known to be written in front of the group.
    pub(crate) fn in_doubt_somewhere(&mut self, written: u64, group: Group) {
        let mut at = written;
        for before in &self.groups[self.groups_before(written)..] {
            self.lost.push(Lost { at, groups: vec![group.clone()] });
            at += before.len() as u64;
        }
        self.groups.push(group);
    }

    /// Puts calls that came at once into the order that a log shows. What had joined before them comes
    /// first, or is taken back from some place on; then each stands at the number that it was told, and
    /// those that failed only where they `may`. Returns what is taken back, and leaves in `together` those
    /// whose numbers are not shown.
    pub(crate) fn put_in_order(
        &mut self,
        shown: &[Vec<u8>],
        written: u64,
        together: &mut Together,
        failed_may: bool,
    ) -> Result<Vec<Group>, String> {
        let mut before = self.groups.split_off(self.groups_before(written));
        let mut at = usize::try_from(written).expect("few entries");
        if shown.get(..at) != Some(&self.groups.concat()) {
            return Err(format!("of {written} entries that were written some are gone, or differ"));
        }
        let mut over = false;
        while let Some(entry) = shown.get(at) {
            let failed = together.failed.iter().position(|failed| failed == entry);
            if let Some(told) = together.told.remove(&(at as u64)) {
                if told != *entry {
                    return Err(format!("entry {at} is not the one whose caller was told so"));
                }
                (over, at) = (true, at + 1);
                self.groups.push(vec![told]);
            } else if !over && before.first().is_some_and(|group| shown[at..].starts_with(group)) {
                let group = before.remove(0);
                at += group.len();
                self.groups.push(group);
            } else if let (true, Some(place)) = (failed_may, failed) {
                (over, at) = (true, at + 1);
                self.groups.push(vec![together.failed.swap_remove(place)]);
            } else {
                return Err(format!("entry {at} of {} is nobody's", shown.len()));
            }
        }
        Ok(before)
    }

    /// Writes failed that had brought these in any order, behind what was taken back or in its place.
    pub(crate) fn failed_in_any_order(&mut self, at: u64, taken_back: &[Group], failed: &[Vec<u8>]) {
        for order in orders(failed) {
            let groups: Vec<Group> = order.into_iter().map(|payload| vec![payload]).collect();
            self.lost.push(Lost { at, groups: [taken_back, &groups].concat() });
            self.lost.push(Lost { at, groups });
        }
    }

    /// Everything from this number on was dropped, in the middle of a group or not, and what had failed can
    /// come back no more.
    pub(crate) fn truncated(&mut self, end: u64) {
        let mut left = usize::try_from(end).expect("few entries");
        for group in &mut self.groups {
            group.truncate(left);
            left -= group.len();
        }
        self.groups.retain(|group| !group.is_empty());
        self.lost.clear();
    }

    /// Nothing that failed in front of this can come back.
    pub(crate) fn written(&mut self, written: u64) {
        self.lost.retain(|lost| lost.at >= written);
    }

    /// Holds what an open shows against what had to survive, and may. From now on it is the log.
    pub(crate) fn adopt(&mut self, shown: &[Vec<u8>], may: RangeInclusive<u64>) -> Result<(), String> {
        let found = self.explanation(shown, &may);
        let what = || format!("{} entries are shown, of {may:?} of {}", shown.len(), self.next());
        self.groups = found.ok_or_else(what)?;
        self.lost.clear();
        Ok(())
    }

    /// Holds what a reader shows that does not ask the writer against what is written.
    pub(crate) fn explains(&self, shown: &[Vec<u8>], written: RangeInclusive<u64>) -> Result<(), String> {
        if self.explanation(shown, &written).is_some() {
            Ok(())
        } else {
            Err(format!("{} entries are shown, {written:?} written", shown.len()))
        }
    }

    /// Which groups these are: of those that are kept, or of those that have come back.
    fn explanation(&self, shown: &[Vec<u8>], may: &RangeInclusive<u64>) -> Option<Vec<Group>> {
        let is_shown = |groups: &[&Group]| {
            let mut entries = groups.iter().flat_map(|group| group.iter());
            shown.iter().all(|shown| entries.next() == Some(shown)) && entries.next().is_none()
        };
        let all: Vec<&Group> = self.groups.iter().collect();
        for count in 0..=all.len() {
            if may.contains(&entries(&self.groups[..count])) && is_shown(&all[..count]) {
                return Some(self.groups[..count].to_vec());
            }
        }
        for lost in &self.lost {
            let in_front = self.groups_before(lost.at);
            let all: Vec<&Group> = all[..in_front].iter().copied().chain(&lost.groups).collect();
            for count in in_front + 1..=all.len() {
                if is_shown(&all[..count]) {
                    return Some(all[..count].iter().map(|group| (*group).clone()).collect());
                }
            }
        }
        None
    }

    fn groups_before(&self, end: u64) -> usize {
        let mut next = 0;
        for (index, group) in self.groups.iter().enumerate() {
            if next >= end {
                assert_eq!(next, end, "{end} is in the middle of a group");
                return index;
            }
            next += group.len() as u64;
        }
        assert_eq!(next, end, "{end} is not in front of {next}");
        self.groups.len()
    }
}
