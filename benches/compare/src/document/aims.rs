//! What was aimed at, as ratios inside a round, and whether it is met.

use super::rounds::{Case, Rounds};
use super::tables::{self, buffered, count, durable, none, ratio, replay, what, with_spread};
use crate::statistics::Spread;

/// `ours` at `case` is to be at least so many times `against`, or to make so many entries a second.
struct Aim {
    case: Case,
    ours: &'static str,
    against: Against,
    least: f64,
}

enum Against {
    BestPeer,
    Engine(&'static str),
    /// The least p99 of a peer: so many times ours.
    P99,
    /// Entries a second, by itself.
    Rate,
}

const fn aim(case: Case, ours: &'static str, against: Against, least: f64) -> Aim {
    Aim { case, ours, against, least }
}

const AIMS: [Aim; 26] = [
    aim(durable(4), "wal-grouped", Against::BestPeer, 1.4),
    aim(durable(16), "wal-grouped", Against::BestPeer, 1.6),
    aim(durable(64), "wal-grouped", Against::BestPeer, 1.7),
    aim(durable(4), "wal-grouped", Against::P99, 1.0),
    aim(durable(16), "wal-grouped", Against::P99, 1.0),
    aim(durable(64), "wal-grouped", Against::P99, 1.0),
    aim(durable(1), "wal-grouped", Against::Engine("floor"), 0.97),
    aim(durable(4), "wal-grouped", Against::Engine("group3"), 0.95),
    aim(durable(16), "wal-grouped", Against::Engine("group3"), 0.95),
    aim(durable(64), "wal-grouped", Against::Engine("group3"), 0.95),
    aim(none(1, 1), "wal", Against::Engine("combine"), 0.95),
    aim(none(1, 4), "wal", Against::Engine("combine"), 0.95),
    aim(none(1, 1), "wal", Against::BestPeer, 1.0),
    aim(none(1, 4), "wal", Against::BestPeer, 1.1),
    aim(none(64, 1), "wal", Against::Engine("raw"), 0.8),
    aim(none(64, 1), "wal", Against::Rate, 15e6),
    aim(buffered(1), "wal", Against::Engine("open-wal"), 1.3),
    aim(buffered(4), "wal", Against::Engine("open-wal"), 0.9),
    aim(replay(32, 64), "wal-lent", Against::Engine("bare"), 0.5),
    aim(replay(4096, 64), "wal-lent", Against::Engine("bare"), 0.85),
    aim(replay(4096, 1), "wal-lent", Against::Engine("bare"), 0.85),
    aim(replay(32, 1), "wal-lent", Against::Engine("okaywal"), 4.0),
    aim(replay(32, 64), "wal", Against::Engine("wal-lent"), 0.5),
    aim(replay(32, 1), "wal", Against::Engine("wal-lent"), 0.5),
    aim(replay(4096, 64), "wal", Against::Engine("wal-lent"), 0.5),
    aim(replay(4096, 1), "wal", Against::Engine("wal-lent"), 0.5),
];
/// Of the pipeline, against the best peer at any count of threads.
const PIPELINE: f64 = 20.0;

pub(super) fn table(rounds: &Rounds, durable: &[Case]) -> Result<String, String> {
    let mut rows = Vec::new();
    for Aim { case, ours, against, least } in &AIMS {
        let peers = rounds.with_role(case.section, "peer");
        let (against, measured) = match *against {
            Against::BestPeer => {
                (" against each round's best peer".to_owned(), rounds.against(*case, ours, &peers))
            }
            Against::Engine(engine) => {
                (format!(" against `{engine}`"), rounds.against(*case, ours, &[engine]))
            }
            Against::P99 => (
                ", the least p99 of a peer against its own".to_owned(),
                rounds.p99_against(*case, ours, &peers),
            ),
            Against::Rate => (", entries a second".to_owned(), rounds.rate(*case, ours)),
        };
        let measured = measured.ok_or_else(|| format!("{} was not measured", what(*case)))?;
        rows.push(row(format!("{}: `{ours}`{against}", what(*case)), *least, measured));
    }
    let pipeline = rounds.pipeline_against(durable, &rounds.with_role("threads", "peer"));
    let pipeline = pipeline.ok_or("the pipeline was not measured")?;
    rows.push(row(
        "pipelined appends against the best durable rate of any peer".to_owned(),
        PIPELINE,
        pipeline,
    ));
    let columns = ["at least", "measured", "met"].map(str::to_owned);
    Ok(tables::table("aim", &columns, rows))
}

/// An aim inside the spread of the rounds is met in some of them.
fn row(what: String, least: f64, measured: Spread) -> Vec<String> {
    let met = match measured {
        Spread { median, .. } if median >= least => "yes",
        Spread { max, .. } if max >= least => "within the spread",
        _ => "no",
    };
    let (least, measured) = if least >= 1e6 {
        (count(least), with_spread(measured, count))
    } else {
        (least.to_string(), ratio(measured))
    };
    vec![what, least, measured, met.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_met_by_the_median() {
        let met = |median, min, max| row(String::new(), 1.0, Spread { median, min, max }).pop();
        assert_eq!(met(1.0, 0.5, 2.0).as_deref(), Some("yes"));
        assert_eq!(met(0.9, 0.5, 1.0).as_deref(), Some("within the spread"));
        assert_eq!(met(0.9, 0.5, 0.99).as_deref(), Some("no"));
    }
}
