//! Against the number of followers: appends a second while so many threads follow the log.
//!
//! Each follower counts what it saw of each appending thread, and has to have seen all of it once the log was closed.

use std::path::Path;
use std::thread;

use wal::{Follower, Mark, Options, SyncPolicy};

use super::Rounds;
use super::budget::Budget;
use super::curves::{Curves, Point};
use super::log::{self, Log};
use crate::comparison::in_turn;
use crate::engine::Engine;
use crate::engines::because;
use crate::engines::wal::grouped;
use crate::place::Place;
use crate::run::closed_loop;
use crate::tally::Tally;

struct Series {
    name: &'static str,
    policy: fn() -> SyncPolicy,
    mark: Mark,
    threads: usize,
    calls_a_look: u64,
}

/// Looks at the clock are few where an append takes less than a microsecond.
const SERIES: [Series; 2] = [
    Series { name: "durable", policy: grouped, mark: Mark::Durable, threads: 4, calls_a_look: 1 },
    Series { name: "none", policy: || SyncPolicy::None, mark: Mark::Written, threads: 1, calls_a_look: 61 },
];

pub(super) fn steps(budget: &Budget, rounds: u32) -> u32 {
    super::count(budget.followers.len() * SERIES.len()) * rounds
}

pub(super) fn run(budget: &Budget, rounds: Rounds, place: &Place, curves: &mut Curves) -> Result<(), String> {
    for round in rounds.all() {
        for followers in in_turn(budget.followers, round) {
            for series in &SERIES {
                curves.begin(&format!("followers: {followers}, {}", series.name));
                let value = place.visit(|directory| measure(directory, series, followers, budget))?;
                curves.record(Point {
                    curve: "followers",
                    series: series.name,
                    x: followers as f64,
                    round,
                    value,
                    unit: "entries/s",
                })?;
            }
        }
    }
    Ok(())
}

fn measure(directory: &Path, series: &Series, followers: usize, budget: &Budget) -> Result<f64, String> {
    let log = Box::new(Log::open(directory, &Options::new().sync((series.policy)()))?);
    let load = log::load(series.threads, series.calls_a_look, budget.warm_up, budget.measured);
    thread::scope(|scope| {
        // Moved in here, so that an error drops the log, which ends the followers.
        let log = log;
        let mut following = Vec::with_capacity(followers);
        for _ in 0..followers {
            let follower = log.wal.follow_with(0, series.mark).map_err(because("follow"))?;
            following.push(scope.spawn(move || follow(follower, series.threads)));
        }
        let figures = closed_loop(log.as_ref(), &load)?;
        let mut tally = Tally::new(series.threads);
        log.reopen(&mut tally)?;
        tally.compare(&figures.acknowledged)?;
        for follower in following {
            let seen = follower.join().map_err(|_| "a follower panicked".to_owned())??;
            seen.compare(&figures.acknowledged).map_err(because("a follower"))?;
        }
        Ok(figures.per_second)
    })
}

/// What a follower saw until the log ended.
pub(super) fn follow(follower: Follower, writers: usize) -> Result<Tally, String> {
    let mut tally = Tally::new(writers);
    for entry in follower {
        tally.entry(entry.map_err(because("follow"))?.payload());
    }
    Ok(tally)
}
