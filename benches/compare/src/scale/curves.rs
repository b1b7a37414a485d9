//! The figures as they are made: printed, written as JSON lines, and kept for the medians at the end.

use std::io::{IsTerminal, stderr};

use crate::json::JsonLines;
use crate::statistics::Spread;

/// One figure of one round.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) curve: &'static str,
    pub(crate) series: &'static str,
    pub(crate) x: f64,
    pub(crate) round: u32,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
}

/// Takes every figure of a run.
pub(super) struct Curves {
    json: Option<JsonLines>,
    points: Vec<Point>,
    begun: u32,
    steps: u32,
}

impl Curves {
    /// `steps` is how many measurements there will be.
    pub(super) fn new(json: Option<JsonLines>, steps: u32) -> Curves {
        println!("{:<20} {:<20} {:>13} {:>6} {:>14}", "curve", "series", "x", "round", "value");
        Curves { json, points: Vec::new(), begun: 0, steps }
    }

    /// A measurement begins: says which one to a person who waits.
    pub(super) fn begin(&mut self, what: &str) {
        self.begun += 1;
        if stderr().is_terminal() {
            eprintln!("[{} of {}] {what}", self.begun, self.steps);
        }
    }

    pub(super) fn record(&mut self, point: Point) -> Result<(), String> {
        println!(
            "{:<20} {:<20} {:>13} {:>6} {:>14.3} {}",
            point.curve, point.series, point.x, point.round, point.value, point.unit
        );
        if let Some(json) = &mut self.json {
            json.point(&point)?;
        }
        self.points.push(point);
        Ok(())
    }

    /// The median of the rounds of each figure, with the least and the most.
    pub(super) fn medians(&self) {
        println!();
        println!("{:<20} {:<20} {:>13} {:>14} {:>14} {:>14}", "curve", "series", "x", "median", "min", "max");
        for first in self.points.iter().filter(|point| point.round == 1) {
            let of_all_rounds = self.points.iter().filter(|point| is_same(point, first));
            if let Some(Spread { median, min, max }) = Spread::of(of_all_rounds.map(|point| point.value)) {
                println!(
                    "{:<20} {:<20} {:>13} {median:>14.3} {min:>14.3} {max:>14.3} {}",
                    first.curve, first.series, first.x, first.unit
                );
            }
        }
    }

    #[cfg(test)]
    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    #[cfg(test)]
    pub(super) fn is_complete(&self) -> bool {
        self.begun == self.steps
    }
}

fn is_same(one: &Point, other: &Point) -> bool {
    (one.curve, one.series, one.x.to_bits()) == (other.curve, other.series, other.x.to_bits())
}
