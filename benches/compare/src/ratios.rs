//! What the rounds say together: medians, and ratios that are made inside a round before a median is taken.

use crate::comparison::{Comparison, Measurement};
use crate::engine::{Candidate, Role};
use crate::engines;
use crate::run::Figures;
use crate::section::{Case, Section};
use crate::statistics::Spread;

/// A comparison, read by engine and case. A round that failed has no part in anything.
pub(crate) struct Ratios<'a> {
    comparison: &'a Comparison,
}

/// A figure of a measurement, if it has that one.
pub(crate) type Of = fn(&Figures) -> Option<f64>;

const RATE: Of = |figures| Some(figures.per_second);
const P99: Of = |figures| Some(figures.latency()?.p99_us);

impl<'a> Ratios<'a> {
    pub(crate) fn new(comparison: &'a Comparison) -> Ratios<'a> {
        Ratios { comparison }
    }

    /// Entries a second.
    pub(crate) fn rate(&self, candidate: &Candidate, case: Case) -> Option<Spread> {
        Spread::of(self.figures(candidate, case).map(|(_, figures)| figures.per_second))
    }

    /// The median of any figure.
    pub(crate) fn median(&self, candidate: &Candidate, case: Case, of: Of) -> Option<f64> {
        Some(Spread::of(self.figures(candidate, case).filter_map(|(_, figures)| of(figures)))?.median)
    }

    /// The rate against the floor's in the same round.
    pub(crate) fn of_floor(&self, candidate: &Candidate, case: Case) -> Option<Spread> {
        self.in_rounds(candidate, case, RATE, |round| self.best_in(round, Role::Floor, |one| one == case))
    }

    /// The rate against that of the best peer in the same round, whichever that is.
    pub(crate) fn of_best_peer(&self, candidate: &Candidate, case: Case) -> Option<Spread> {
        self.in_rounds(candidate, case, RATE, |round| self.best_in(round, Role::Peer, |one| one == case))
    }

    /// The rate against another's in the same round.
    pub(crate) fn against(&self, one: &Candidate, other: &Candidate, case: Case) -> Option<Spread> {
        self.in_rounds(one, case, RATE, |round| self.in_round(round, other, case, RATE))
    }

    /// The 99th percentile of the latency against another's in the same round.
    pub(crate) fn p99_against(&self, one: &Candidate, other: &Candidate, case: Case) -> Option<Spread> {
        self.in_rounds(one, case, P99, |round| self.in_round(round, other, case, P99))
    }

    pub(crate) fn p99(&self, candidate: &Candidate, case: Case) -> Option<f64> {
        self.median(candidate, case, P99)
    }

    /// The median rate of one against that of the other.
    pub(crate) fn by_medians(&self, one: &Candidate, other: &Candidate, case: Case) -> Option<f64> {
        Some(self.rate(one, case)?.median / self.rate(other, case)?.median)
    }

    /// The peer with the best median.
    pub(crate) fn best_peer(&self, case: Case) -> Option<&'static Candidate> {
        let peers = Self::peers(case.section).filter_map(|peer| Some((peer, self.rate(peer, case)?.median)));
        Some(peers.max_by(|(_, one), (_, other)| one.total_cmp(other))?.0)
    }

    /// Each peer with the count of threads at which its median of durable appends is best.
    pub(crate) fn peers_at_their_best(&self) -> Vec<(&'static Candidate, usize, Spread)> {
        let mut cases: Vec<Case> = Vec::new();
        for one in &self.comparison.measurements {
            if one.case.section == Section::Threads && !cases.contains(&one.case) {
                cases.push(one.case);
            }
        }
        let best = |peer| {
            let rates = cases.iter().filter_map(|&case| Some((peer, case.threads, self.rate(peer, case)?)));
            rates.max_by(|(.., one), (.., other)| one.median.total_cmp(&other.median))
        };
        Self::peers(Section::Threads).filter_map(best).collect()
    }

    /// Durable entries a second through the pipeline.
    pub(crate) fn pipeline_rate(&self) -> Option<Spread> {
        Spread::of(self.pipelines().map(|(_, per_second)| per_second))
    }

    /// The pipeline against the best durable figure of any peer with any count of threads in the same round.
    pub(crate) fn pipeline_of_best_peer(&self) -> Option<Spread> {
        let best = |round| self.best_in(round, Role::Peer, |case| case.section == Section::Threads);
        Spread::of(self.pipelines().filter_map(|(round, per_second)| Some(per_second / best(round)?)))
    }

    /// A peer that was not measured has no figure, and so no part.
    fn peers(section: Section) -> impl Iterator<Item = &'static Candidate> {
        engines::of(section).iter().copied().filter(|candidate| candidate.role == Role::Peer)
    }

    fn pipelines(&self) -> impl Iterator<Item = (u32, f64)> {
        let pipelines = self.comparison.pipelines.iter();
        pipelines.filter_map(|one| Some((one.round, one.piped.as_ref().ok()?.per_second)))
    }

    fn figures(&self, candidate: &Candidate, case: Case) -> impl Iterator<Item = (u32, &'a Figures)> {
        let name = candidate.name;
        let all = self.comparison.measurements.iter();
        all.filter(move |one| one.candidate.name == name && one.case == case)
            .filter_map(|one| Some((one.round, one.figures.as_ref().ok()?)))
    }

    fn in_round(&self, round: u32, candidate: &Candidate, case: Case, of: Of) -> Option<f64> {
        of(self.figures(candidate, case).find(|(one, _)| *one == round)?.1)
    }

    fn in_rounds(
        &self,
        candidate: &Candidate,
        case: Case,
        of: Of,
        other: impl Fn(u32) -> Option<f64>,
    ) -> Option<Spread> {
        let figures = self.figures(candidate, case);
        Spread::of(figures.filter_map(|(round, figures)| Some(of(figures)? / other(round)?)))
    }

    /// The best rate in a round of those with a role.
    fn best_in(&self, round: u32, role: Role, is_meant: impl Fn(Case) -> bool) -> Option<f64> {
        let of_round = self.comparison.measurements.iter().filter(|one: &&Measurement| {
            one.round == round && one.candidate.role == role && is_meant(one.case)
        });
        of_round.filter_map(|one| Some(one.figures.as_ref().ok()?.per_second)).max_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::PipedMeasurement;
    use crate::pipeline::Piped;
    use crate::run::{Beside, Latency};

    fn candidate(name: &str) -> &'static Candidate {
        engines::of(Section::Threads).iter().find(|candidate| candidate.name == name).unwrap()
    }

    fn case(threads: usize) -> Case {
        Case { section: Section::Threads, threads, entry_bytes: 256, batch: 1 }
    }

    fn measurement(round: u32, threads: usize, name: &str, per_second: Option<f64>) -> Measurement {
        let latency = Latency { p50_us: 1.0, p99_us: 2.0, p999_us: 3.0, max_us: 4.0 };
        let figures = per_second.ok_or_else(|| "broken".to_owned());
        let figures = figures.map(|per_second| Figures {
            per_second,
            beside: Beside::Latency(latency),
            acknowledged: Vec::new(),
        });
        Measurement { round, case: case(threads), candidate: candidate(name), figures }
    }

    fn comparison() -> Comparison {
        let measurements = vec![
            measurement(1, 1, "wal-immediate", Some(20.0)),
            measurement(1, 1, "okaywal", Some(10.0)),
            measurement(1, 1, "wal-db", Some(5.0)),
            measurement(2, 1, "wal-immediate", Some(60.0)),
            measurement(2, 1, "okaywal", Some(12.0)),
            measurement(2, 1, "wal-db", Some(20.0)),
            measurement(2, 4, "wal-db", Some(30.0)),
            measurement(3, 1, "wal-immediate", Some(90.0)),
            measurement(3, 1, "okaywal", Some(30.0)),
            measurement(3, 1, "wal-db", None),
        ];
        let piped = Piped { per_second: 90.0, entries: 1, seconds: 1.0 };
        Comparison { measurements, pipelines: vec![PipedMeasurement { round: 2, piped: Ok(piped) }] }
    }

    #[test]
    fn a_ratio_is_made_inside_its_round_against_the_best_peer_of_it() {
        let comparison = comparison();
        let ratios = Ratios::new(&comparison);
        let found = ratios.of_best_peer(candidate("wal-immediate"), case(1)).unwrap();
        assert_eq!(found, Spread { median: 3.0, min: 2.0, max: 3.0 });
        assert!(ratios.of_floor(candidate("wal-immediate"), case(1)).is_none());
    }

    #[test]
    fn two_engines_are_compared_in_the_rounds_that_both_have() {
        let comparison = comparison();
        let ratios = Ratios::new(&comparison);
        let found = ratios.against(candidate("okaywal"), candidate("wal-db"), case(1)).unwrap();
        assert_eq!(found, Spread { median: 1.3, min: 0.6, max: 2.0 });
    }

    #[test]
    fn the_best_peer_by_medians_leaves_out_rounds_that_failed() {
        let comparison = comparison();
        let ratios = Ratios::new(&comparison);
        assert_eq!(ratios.best_peer(case(1)).unwrap().name, "wal-db");
        assert_eq!(ratios.by_medians(candidate("wal-immediate"), candidate("okaywal"), case(1)), Some(5.0));
    }

    #[test]
    fn the_pipeline_meets_the_best_figure_of_its_round_at_any_count_of_threads() {
        let comparison = comparison();
        let ratios = Ratios::new(&comparison);
        assert_eq!(ratios.pipeline_of_best_peer().unwrap().median, 3.0);
        let best = ratios.peers_at_their_best();
        assert!(best.iter().any(|(peer, threads, _)| peer.name == "wal-db" && *threads == 4));
    }
}
