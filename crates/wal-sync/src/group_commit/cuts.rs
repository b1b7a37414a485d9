//! Which numbers lost their entries, for callers that look only now and then: where a truncation cut off the end
//! of the log, and which numbers a failed write gave back.
//!
//! ```text
//!  truncation  from ├──────────────▶   all numbers: what had one of them is gone, and so is what waited for more
//!  failed write from ├────┤ until       the numbers that had been given out; later ones were not concerned
//! ```
//!
//! Both are counted together, so that one number tells a caller whether it has to look again.

use std::collections::VecDeque;

/// All cuts and failed writes of one log, as far as a caller that comes late has to know of them.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    count: u64,
    /// How many there were with this cut, and from where on it dropped. By age; each lies further on than
    /// the one before it, because one that goes further back makes those before it needless.
    lowest: VecDeque<(u64, u64)>,
    /// By age; none lies within a later one.
    given_back: VecDeque<GivenBack>,
}

/// Numbers whose entries were never written, and which are given again.
#[derive(Clone, Copy, Debug)]
struct GivenBack {
    /// How many cuts and failed writes there were with this one.
    count: u64,
    from: u64,
    until: u64,
}

/// A log that is cut over and over, always further on, would need one for each cut; so would failed writes.
const KEPT: usize = 64;

impl Cuts {
    /// How many there were, failed writes included.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// A truncation: what is at or beyond `from` is dropped.
    pub(super) fn add(&mut self, from: u64) {
        self.count += 1;
        self.given_back.retain(|failed| failed.from < from);
        while self.lowest.back().is_some_and(|&(_, earlier)| earlier >= from) {
            self.lowest.pop_back();
        }
        if self.lowest.len() == KEPT
            && let Some((_, further_back)) = self.lowest.pop_front()
            && let Some((_, oldest)) = self.lowest.front_mut()
        {
            // A caller that looked last between these two is told of both: too much rather than too little.
            *oldest = further_back;
        }
        self.lowest.push_back((self.count, from));
    }

    /// A write failed: the numbers from `from` to before `until` had been given out, and are given again.
    pub(super) fn add_given_back(&mut self, from: u64, until: u64) {
        self.count += 1;
        self.given_back.retain(|earlier| earlier.from < from || until < earlier.until);
        if self.given_back.len() == KEPT
            && let Some(oldest) = self.given_back.pop_front()
            && let Some(next) = self.given_back.front_mut()
        {
            // As above. It takes this many failed writes at different numbers between two looks.
            (next.from, next.until) = (next.from.min(oldest.from), next.until.max(oldest.until));
        }
        self.given_back.push_back(GivenBack { count: self.count, from, until });
    }

    /// The furthest back that a truncation cut since there were so many cuts and failed writes.
    pub(super) fn lowest_since(&self, count: u64) -> Option<u64> {
        let known = self.lowest.partition_point(|&(counted, _)| counted <= count);
        self.lowest.get(known).map(|&(_, from)| from)
    }

    /// Whether a failed write gave back this number since there were so many cuts and failed writes, and the
    /// first number of the latest such write.
    pub(super) fn given_back_since(&self, count: u64, sequence: u64) -> Option<u64> {
        let since = self.given_back.iter().rev().take_while(|failed| failed.count > count);
        let mut holding = since.filter(|failed| (failed.from..failed.until).contains(&sequence));
        holding.next().map(|failed| failed.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every cut, against a list of all of them.
    #[test]
    fn whoever_looks_late_is_told_of_the_lowest_cut_since() {
        for seed in 0..200_u64 {
            let mut cuts = Cuts::default();
            let mut all = Vec::new();
            let mut random = seed;
            for _ in 0..40 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed);
                let from = random >> 60;
                cuts.add(from);
                all.push(from);
                for since in 0..=all.len() {
                    assert_eq!(cuts.lowest_since(since as u64), all[since..].iter().min().copied());
                }
            }
            assert_eq!(cuts.count(), 40);
        }
    }

    #[test]
    fn of_ever_so_many_cuts_few_are_kept_and_nobody_is_told_too_little() {
        let mut cuts = Cuts::default();
        for from in 0..10_000 {
            cuts.add(from);
            assert!(cuts.lowest.len() <= KEPT);
        }
        for since in 0..10_000 {
            assert!(cuts.lowest_since(since).is_some_and(|from| from <= since));
        }
        assert_eq!(cuts.lowest_since(9_999), Some(9_999));
        assert_eq!(cuts.lowest_since(10_000), None);
    }

    /// Every failed write and every cut between them, against a list of all of them.
    #[test]
    fn a_late_look_at_a_number_finds_the_failed_writes_since_and_no_others() {
        for seed in 0..200_u64 {
            let mut cuts = Cuts::default();
            let mut all = Vec::new();
            let mut random = seed;
            for _ in 0..40 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed);
                let (from, entries) = (random >> 60, random >> 50 & 3);
                if random >> 40 & 3 == 0 {
                    cuts.add(from);
                    all.push((from, u64::MAX));
                } else {
                    cuts.add_given_back(from, from + 1 + entries);
                    all.push((from, from + 1 + entries));
                }
                for since in 0..=all.len() {
                    for number in 0..20 {
                        let holding = |&&(from, until): &&(u64, u64)| from <= number && number < until;
                        let lost = all[since..].iter().any(|one| holding(&one));
                        let cut = cuts.lowest_since(since as u64).is_some_and(|from| from <= number);
                        let failed = cuts.given_back_since(since as u64, number);
                        assert_eq!(cut || failed.is_some(), lost);
                        assert!(failed.is_none_or(|from| from <= number));
                    }
                }
            }
        }
    }

    #[test]
    fn of_ever_so_many_failed_writes_few_are_kept_and_no_caller_is_told_too_little() {
        let mut cuts = Cuts::default();
        for from in 0..10_000 {
            cuts.add_given_back(from, from + 1);
            assert!(cuts.given_back.len() <= KEPT);
        }
        for since in 0..10_000 {
            assert!(cuts.given_back_since(since, since).is_some());
        }
        assert_eq!(cuts.given_back_since(10_000, 9_999), None);
        assert_eq!(cuts.given_back_since(0, 10_000), None, "it was not given out");
        // A disk that stays full fails the same number over and over.
        for _ in 0..1_000 {
            cuts.add_given_back(10_000, 10_002);
        }
        assert_eq!(cuts.given_back_since(9_999, 9_999), Some(9_999), "the others are still known");
    }
}
