//! What the rounds say together: medians, and ratios that are made inside a round before a median is taken.

use crate::comparison::{Comparison, Measurement};
use crate::engine::{Candidate, Role};
use crate::run::Figures;
use crate::statistics::Spread;

/// A comparison, read by engine and count of threads. A round that failed has no part in anything.
pub(crate) struct Ratios<'a> {
    comparison: &'a Comparison,
    chosen: &'a [&'static Candidate],
}

impl<'a> Ratios<'a> {
    pub(crate) fn new(comparison: &'a Comparison, chosen: &'a [&'static Candidate]) -> Ratios<'a> {
        Ratios { comparison, chosen }
    }

    /// Appends a second.
    pub(crate) fn rate(&self, candidate: &Candidate, threads: usize) -> Option<Spread> {
        Spread::of(self.figures(candidate, threads).map(|(_, figures)| figures.per_second))
    }

    /// The median of any figure.
    pub(crate) fn median(
        &self,
        candidate: &Candidate,
        threads: usize,
        of: fn(&Figures) -> f64,
    ) -> Option<f64> {
        Some(Spread::of(self.figures(candidate, threads).map(|(_, figures)| of(figures)))?.median)
    }

    /// The rate against the floor's in the same round.
    pub(crate) fn of_floor(&self, candidate: &Candidate, threads: usize) -> Option<Spread> {
        self.in_rounds(candidate, threads, |round| self.best_in(round, Role::Floor, Some(threads)))
    }

    /// The rate against that of the best peer in the same round, whichever that is.
    pub(crate) fn of_best_peer(&self, candidate: &Candidate, threads: usize) -> Option<Spread> {
        self.in_rounds(candidate, threads, |round| self.best_in(round, Role::Peer, Some(threads)))
    }

    /// The median rate of one against that of the other.
    pub(crate) fn by_medians(&self, one: &Candidate, other: &Candidate, threads: usize) -> Option<f64> {
        Some(self.rate(one, threads)?.median / self.rate(other, threads)?.median)
    }

    /// The peer with the best median.
    pub(crate) fn best_peer(&self, threads: usize) -> Option<&'static Candidate> {
        let peers = self.peers().filter_map(|peer| Some((peer, self.rate(peer, threads)?.median)));
        Some(peers.max_by(|(_, one), (_, other)| one.total_cmp(other))?.0)
    }

    /// Each peer with the count of threads at which its median is best.
    pub(crate) fn peers_at_their_best(&self) -> Vec<(&'static Candidate, usize, Spread)> {
        let mut counts: Vec<usize> = self.comparison.measurements.iter().map(|one| one.threads).collect();
        counts.sort_unstable();
        counts.dedup();
        let best = |peer| {
            let rates = counts.iter().filter_map(|&threads| Some((peer, threads, self.rate(peer, threads)?)));
            rates.max_by(|(.., one), (.., other)| one.median.total_cmp(&other.median))
        };
        self.peers().filter_map(best).collect()
    }

    /// Durable entries a second through the pipeline.
    pub(crate) fn pipeline_rate(&self) -> Option<Spread> {
        Spread::of(self.pipelines().map(|(_, per_second)| per_second))
    }

    /// The pipeline against the best figure of any peer with any count of threads in the same round.
    pub(crate) fn pipeline_of_best_peer(&self) -> Option<Spread> {
        Spread::of(
            self.pipelines()
                .filter_map(|(round, per_second)| Some(per_second / self.best_in(round, Role::Peer, None)?)),
        )
    }

    fn peers(&self) -> impl Iterator<Item = &'static Candidate> {
        self.chosen.iter().copied().filter(|candidate| candidate.role == Role::Peer)
    }

    fn pipelines(&self) -> impl Iterator<Item = (u32, f64)> {
        let pipelines = self.comparison.pipelines.iter();
        pipelines.filter_map(|one| Some((one.round, one.piped.as_ref().ok()?.per_second)))
    }

    fn figures(&self, candidate: &Candidate, threads: usize) -> impl Iterator<Item = (u32, &'a Figures)> {
        let name = candidate.name;
        let all = self.comparison.measurements.iter();
        all.filter(move |one| one.candidate.name == name && one.threads == threads)
            .filter_map(|one| Some((one.round, one.figures.as_ref().ok()?)))
    }

    fn in_rounds(
        &self,
        candidate: &Candidate,
        threads: usize,
        other: impl Fn(u32) -> Option<f64>,
    ) -> Option<Spread> {
        let figures = self.figures(candidate, threads);
        Spread::of(figures.filter_map(|(round, figures)| Some(figures.per_second / other(round)?)))
    }

    /// The best rate in a round of those with a role.
    fn best_in(&self, round: u32, role: Role, threads: Option<usize>) -> Option<f64> {
        let of_round = self.comparison.measurements.iter().filter(|one: &&Measurement| {
            one.round == round
                && one.candidate.role == role
                && threads.is_none_or(|threads| one.threads == threads)
        });
        of_round.filter_map(|one| Some(one.figures.as_ref().ok()?.per_second)).max_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::PipedMeasurement;
    use crate::engines::ALL;
    use crate::pipeline::Piped;
    use crate::run::Latency;

    fn candidate(name: &str) -> &'static Candidate {
        ALL.iter().find(|candidate| candidate.name == name).unwrap()
    }

    fn measurement(round: u32, threads: usize, name: &str, per_second: Option<f64>) -> Measurement {
        let latency = Latency { p50_us: 1.0, p99_us: 2.0, p999_us: 3.0, max_us: 4.0 };
        let figures = per_second.ok_or_else(|| "broken".to_owned());
        let figures = figures.map(|per_second| Figures { per_second, latency, acknowledged: Vec::new() });
        Measurement { round, threads, candidate: candidate(name), figures }
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
        let ratios = Ratios::new(&comparison, ALL);
        let found = ratios.of_best_peer(candidate("wal-immediate"), 1).unwrap();
        assert_eq!(found, Spread { median: 3.0, min: 2.0, max: 3.0 });
        assert!(ratios.of_floor(candidate("wal-immediate"), 1).is_none());
    }

    #[test]
    fn the_best_peer_by_medians_leaves_out_rounds_that_failed() {
        let comparison = comparison();
        let ratios = Ratios::new(&comparison, ALL);
        assert_eq!(ratios.best_peer(1).unwrap().name, "wal-db");
        assert_eq!(ratios.by_medians(candidate("wal-immediate"), candidate("okaywal"), 1), Some(5.0));
    }

    #[test]
    fn the_pipeline_meets_the_best_figure_of_its_round_at_any_count_of_threads() {
        let comparison = comparison();
        let ratios = Ratios::new(&comparison, ALL);
        assert_eq!(ratios.pipeline_of_best_peer().unwrap().median, 3.0);
        let best = ratios.peers_at_their_best();
        assert!(best.iter().any(|(peer, threads, _)| peer.name == "wal-db" && *threads == 4));
    }
}
