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
mod machine;
mod payload;
mod pipeline;
mod place;
mod ratios;
mod replay;
mod report;
mod run;
mod section;
mod statistics;
mod syncs;
mod tally;

use std::process::ExitCode;

use clap::Parser;

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
        Some(Command::Syncs(args)) => syncs::syncs(args)
            .and_then(|fit| if fit { Ok(()) } else { Err("some syncs do not fit, see above".to_owned()) }),
        Some(Command::Appends(args)) => syncs::appends(args),
        None => compare(&cli.args).and_then(|comparison| {
            let failed = || "some measurements failed, see above".to_owned();
            if comparison.is_complete() { Ok(()) } else { Err(failed()) }
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> Result<Comparison, String> {
    let place = Place::new(args.dir.clone());
    let machine = Machine::look(place.path());
    if machine.is_in_memory() {
        return Err(format!(
            "{} is in memory, where a sync does nothing: give --dir",
            place.path().display()
        ));
    }
    let mut progress = Progress { json: None, pipeline_entry_bytes: args.pipeline_entry_bytes() };
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
    report::tables(args, &comparison);
    Ok(comparison)
}

/// Prints each measurement when it is made.
struct Progress {
    json: Option<JsonLines>,
    pipeline_entry_bytes: usize,
}

impl Listener for Progress {
    fn measured(&mut self, measurement: &Measurement) -> Result<(), String> {
        report::measured(measurement);
        self.json.as_mut().map_or(Ok(()), |json| json.measured(measurement))
    }

    fn piped(&mut self, measurement: &PipedMeasurement) -> Result<(), String> {
        report::piped(measurement);
        self.json.as_mut().map_or(Ok(()), |json| json.piped(measurement, self.pipeline_entry_bytes))
    }
}
