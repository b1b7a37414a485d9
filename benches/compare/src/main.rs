//! Measures appends and replay: this log, its peers as published, and what the machine gives without a log, side by side
//! in one run on one disk.
//!
//! Every figure comes with what it promises. After each measurement the log is opened again, and a figure counts only
//! when the entries that were acknowledged are there. An engine that fails is told by name, and so is one that was
//! left out. How to run it and how to read it is in the `README.md` beside the manifest.

mod args;
mod comparison;
mod document;
mod engine;
mod engines;
mod json;
mod layers;
mod machine;
mod payload;
mod pipeline;
mod place;
mod ratios;
mod replay;
mod report;
mod run;
mod scale;
mod section;
mod statistics;
mod syncs;
mod tally;

use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{Args, Cli, Command};
use crate::comparison::{Comparison, Listener, Measurement, PipedMeasurement};
use crate::json::JsonLines;
use crate::machine::Machine;
use crate::place::Place;
use crate::section::Section;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Some(Command::Document(args)) => document::document(args),
        Some(Command::Layers(args)) => layers::collect(args),
        Some(Command::Scale(args)) => scale::scale(args),
        Some(Command::Syncs(args)) => syncs::syncs(args),
        Some(Command::Appends(args)) => syncs::appends(args),
        None => compare(&cli.args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> Result<(), String> {
    let place = Place::new(args.dir.clone());
    let machine = Machine::with_disk(place.path())?;
    let mut progress = Progress {
        json: None,
        pipeline_entry_bytes: args.pipeline_entry_bytes(),
        bar: bar(Comparison::count(args))?,
    };
    if let Some(path) = &args.json {
        let json = progress.json.insert(JsonLines::create(path)?);
        json.machine(&machine)?;
        for section in Section::ALL.into_iter().filter(|&section| args.wants(section)) {
            section.candidates(args).iter().try_for_each(|candidate| json.engine(section, candidate))?;
        }
    }
    report::head(&machine, args);
    report::rounds_begin();
    let comparison = Comparison::run(args, &place, &mut progress)?;
    progress.bar.finish_and_clear();
    report::tables(args, &comparison);
    if comparison.is_complete() { Ok(()) } else { Err("some measurements failed, see above".to_owned()) }
}

/// Prints each measurement when it is made.
struct Progress {
    json: Option<JsonLines>,
    pipeline_entry_bytes: usize,
    /// Shown where the error output is a terminal.
    bar: ProgressBar,
}

fn bar(measurements: u64) -> Result<ProgressBar, String> {
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} measurements, {eta} left");
    Ok(ProgressBar::new(measurements).with_style(style.map_err(|error| error.to_string())?))
}

impl Listener for Progress {
    fn measured(&mut self, measurement: &Measurement) -> Result<(), String> {
        self.bar.suspend(|| report::measured(measurement));
        self.bar.inc(1);
        self.json.as_mut().map_or(Ok(()), |json| json.measured(measurement))
    }

    fn piped(&mut self, measurement: &PipedMeasurement) -> Result<(), String> {
        self.bar.suspend(|| report::piped(measurement));
        self.bar.inc(1);
        self.json.as_mut().map_or(Ok(()), |json| json.piped(measurement, self.pipeline_entry_bytes))
    }
}
