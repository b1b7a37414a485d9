//! Where the end of the log was cut off, for those who look only now and then.

use std::collections::VecDeque;

/// All cuts of one log, as far as somebody who comes late has to know of them.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    count: u64,
    /// How many cuts there were with this one, and from where on it dropped. By age; each lies further on than
    /// the one before it, because one that goes further back makes those before it needless.
    lowest: VecDeque<(u64, u64)>,
}

/// A log that is cut over and over, always further on, would need one for each cut.
const KEPT: usize = 64;

impl Cuts {
    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// What is at or beyond `from` is dropped.
    pub(super) fn add(&mut self, from: u64) {
        self.count += 1;
        while self.lowest.back().is_some_and(|&(_, earlier)| earlier >= from) {
            self.lowest.pop_back();
        }
        if self.lowest.len() == KEPT
            && let Some((_, further_back)) = self.lowest.pop_front()
            && let Some((_, oldest)) = self.lowest.front_mut()
        {
            // Who looked last between these two is told of both: too much rather than too little.
            *oldest = further_back;
        }
        self.lowest.push_back((self.count, from));
    }

    /// The furthest back that was cut since there were so many.
    pub(super) fn lowest_since(&self, count: u64) -> Option<u64> {
        let known = self.lowest.partition_point(|&(counted, _)| counted <= count);
        self.lowest.get(known).map(|&(_, from)| from)
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
}
