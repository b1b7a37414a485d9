//! The raw rounds as JSON, an object a line, for plots and for a second look.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::comparison::{Measurement, PipedMeasurement};
use crate::engine::{Candidate, Role};
use crate::machine::Machine;
use crate::run::Beside;
use crate::scale::curves::Point;
use crate::section::Section;
use crate::syncs::{APPENDS, Counted};

/// A file that gets a line as soon as there is something to say.
pub(crate) struct JsonLines {
    file: File,
}

impl JsonLines {
    pub(crate) fn create(path: &Path) -> Result<JsonLines, String> {
        let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(JsonLines { file })
    }

    /// A file that keeps the lines that it has.
    pub(crate) fn append(path: &Path) -> Result<JsonLines, String> {
        let file = File::options().create(true).append(true).open(path);
        Ok(JsonLines { file: file.map_err(|error| format!("{}: {error}", path.display()))? })
    }

    pub(crate) fn machine(&mut self, machine: &Machine) -> Result<(), String> {
        self.line(&json!({
            "kind": "machine",
            "date": machine.date,
            "cores": machine.cores,
            "processor": machine.processor,
            "kernel": machine.kernel,
            "file_system": machine.file_system,
            "mount_options": machine.mount_options,
            "build": machine.build,
            "load_average": machine.load_average,
        }))
    }

    pub(crate) fn engine(&mut self, section: Section, candidate: &Candidate) -> Result<(), String> {
        let role = match candidate.role {
            Role::Floor => "floor",
            Role::Ours => "ours",
            Role::ThrowAway => "throw-away",
            Role::Peer => "peer",
        };
        self.line(&json!({
            "kind": "engine",
            "section": section.name(),
            "engine": candidate.name,
            "role": role,
            "version": candidate.version(),
            "promise": candidate.promise,
            "configuration": candidate.configuration,
        }))
    }

    pub(crate) fn measured(&mut self, measurement: &Measurement) -> Result<(), String> {
        let mut line = json!({
            "kind": measurement.case.section.name(),
            "round": measurement.round,
            "threads": measurement.case.threads,
            "engine": measurement.candidate.name,
            "entry_bytes": measurement.case.entry_bytes,
            "batch": measurement.case.batch,
        });
        match &measurement.figures {
            Ok(figures) => {
                line["per_second"] = json!(figures.per_second);
                match &figures.beside {
                    Beside::Latency(latency) => {
                        line["p50_us"] = json!(latency.p50_us);
                        line["p99_us"] = json!(latency.p99_us);
                        line["p999_us"] = json!(latency.p999_us);
                        line["max_us"] = json!(latency.max_us);
                    }
                    Beside::Replay { open_ms } => line["open_ms"] = json!(open_ms),
                }
                line["acknowledged"] = json!(figures.acknowledged.iter().sum::<u64>());
            }
            Err(error) => line["error"] = json!(error),
        }
        self.line(&line)
    }

    pub(crate) fn piped(&mut self, measurement: &PipedMeasurement, entry_bytes: usize) -> Result<(), String> {
        let mut line = json!({ "kind": "pipeline", "round": measurement.round, "entry_bytes": entry_bytes });
        match &measurement.piped {
            Ok(piped) => {
                line["per_second"] = json!(piped.per_second);
                line["entries"] = json!(piped.entries);
                line["seconds"] = json!(piped.seconds);
            }
            Err(error) => line["error"] = json!(error),
        }
        self.line(&line)
    }

    pub(crate) fn point(&mut self, point: &Point) -> Result<(), String> {
        self.line(&json!({
            "kind": "curve",
            "curve": point.curve,
            "series": point.series,
            "x": point.x,
            "round": point.round,
            "value": point.value,
            "unit": point.unit,
        }))
    }

    pub(crate) fn syncs(&mut self, counted: &Counted) -> Result<(), String> {
        self.line(&json!({
            "kind": "syncs",
            "section": counted.section.name(),
            "engine": counted.candidate.name,
            "appends": APPENDS,
            "syncs": counted.count.syncs,
            "appends_without": counted.count.appends_without,
        }))
    }

    pub(crate) fn line(&mut self, value: &Value) -> Result<(), String> {
        writeln!(self.file, "{value}").map_err(|error| format!("the JSON file: {error}"))
    }
}
