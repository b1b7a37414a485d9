//! The raw rounds, read from JSON lines.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::statistics::Spread;

/// What is measured: an entry of so many bytes, in batches of so many, by so many threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) section: &'static str,
    pub(super) entry_bytes: u64,
    pub(super) batch: u64,
    pub(super) threads: u64,
}

pub(super) struct Rounds {
    machine: Option<Machine>,
    engines: Vec<Engine>,
    measured: Vec<Measured>,
    /// Entries a second of the pipeline, by round.
    piped: Vec<(u64, f64)>,
    points: Vec<Point>,
    pub(super) layers: Vec<Layer>,
    pub(super) syncs: Vec<Syncs>,
}

/// One figure of the log by itself, at one place of a curve.
struct Point {
    curve: String,
    series: String,
    x: f64,
    value: f64,
    unit: String,
}

/// What a criterion bench of one layer found.
pub(super) struct Layer {
    /// The layer, and the shape of what it is given.
    pub(super) group: String,
    pub(super) name: String,
    /// Of `count` entries or bytes, in nanoseconds.
    pub(super) ns: f64,
    pub(super) unit: String,
    pub(super) count: f64,
}

/// How many syncs so many appends of one thread made.
pub(super) struct Syncs {
    pub(super) section: String,
    pub(super) engine: String,
    pub(super) appends: u64,
    pub(super) syncs: u64,
    /// Appends that returned without a sync of what they wrote.
    pub(super) appends_without: u64,
}

pub(super) struct Machine {
    pub(super) date: String,
    pub(super) cores: u64,
    pub(super) processor: String,
    pub(super) kernel: String,
    pub(super) file_system: String,
    pub(super) load_average: f64,
}

struct Engine {
    section: String,
    name: String,
    role: String,
    version: Option<String>,
}

struct Measured {
    section: String,
    entry_bytes: u64,
    batch: u64,
    threads: u64,
    round: u64,
    engine: String,
    per_second: f64,
    p99_us: Option<f64>,
    /// How long it took to open the log, in milliseconds.
    open_ms: Option<f64>,
}

impl Measured {
    fn is_of(&self, case: Case, engine: &str) -> bool {
        let of = (self.section.as_str(), self.entry_bytes, self.batch, self.threads);
        of == (case.section, case.entry_bytes, case.batch, case.threads) && self.engine == engine
    }
}

impl Rounds {
    pub(super) fn read(path: &Path) -> Result<Rounds, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Rounds::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    pub(super) fn parse(text: &str) -> Result<Rounds, String> {
        let mut rounds = Rounds {
            machine: None,
            engines: Vec::new(),
            measured: Vec::new(),
            piped: Vec::new(),
            points: Vec::new(),
            layers: Vec::new(),
            syncs: Vec::new(),
        };
        for (index, line) in text.lines().enumerate() {
            rounds.take(line).map_err(|error| format!("line {}: {error}", index + 1))?;
        }
        if rounds.measured.is_empty() {
            return Err("no measurement is in it".to_owned());
        }
        Ok(rounds)
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        let line: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let line = Line(&line);
        let kind = line.text("kind")?;
        if let Some(error) = line.0["error"].as_str() {
            return Err(format!("a measurement failed, so the rounds are not whole: {error}"));
        }
        match kind.as_str() {
            "machine" => {
                // The parts of a report are measured one after the other; the first one says when it began.
                self.machine.get_or_insert(Machine {
                    date: line.text("date")?,
                    cores: line.count("cores")?,
                    processor: line.text("processor")?,
                    kernel: line.text("kernel")?,
                    file_system: line.text("file_system")?,
                    load_average: line.number("load_average")?,
                });
            }
            "engine" => self.engines.push(Engine {
                section: line.text("section")?,
                name: line.text("engine")?,
                role: line.text("role")?,
                version: line.0["version"].as_str().map(str::to_owned),
            }),
            "curve" => self.points.push(Point {
                curve: line.text("curve")?,
                series: line.text("series")?,
                x: line.number("x")?,
                value: line.number("value")?,
                unit: line.text("unit")?,
            }),
            "layer" => self.layers.push(Layer {
                group: line.text("group")?,
                name: line.text("name")?,
                ns: line.number("ns")?,
                unit: line.text("unit")?,
                count: line.number("count")?,
            }),
            "syncs" => self.syncs.push(Syncs {
                section: line.text("section")?,
                engine: line.text("engine")?,
                appends: line.count("appends")?,
                syncs: line.count("syncs")?,
                appends_without: line.count("appends_without")?,
            }),
            "pipeline" => self.piped.push((line.count("round")?, line.number("per_second")?)),
            _ => self.measured.push(Measured {
                section: kind,
                entry_bytes: line.count("entry_bytes")?,
                batch: line.count("batch")?,
                threads: line.count("threads")?,
                round: line.count("round")?,
                engine: line.text("engine")?,
                per_second: line.number("per_second")?,
                p99_us: line.0["p99_us"].as_f64(),
                open_ms: line.0["open_ms"].as_f64(),
            }),
        }
        Ok(())
    }

    /// The machine that they were measured on.
    ///
    /// # Errors
    /// No line tells it.
    pub(super) fn machine(&self) -> Result<&Machine, String> {
        self.machine.as_ref().ok_or_else(|| "no line tells the machine".to_owned())
    }

    /// The series of a curve, in the order in which they were measured.
    pub(super) fn series(&self, curve: &str) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for point in self.points.iter().filter(|point| point.curve == curve) {
            if !names.contains(&point.series.as_str()) {
                names.push(&point.series);
            }
        }
        names
    }

    /// The places of a curve, from left to right.
    pub(super) fn places(&self, curve: &str) -> Vec<f64> {
        let mut places: Vec<f64> =
            self.points.iter().filter(|point| point.curve == curve).map(|point| point.x).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        places
    }

    /// What a series has at a place.
    pub(super) fn point(&self, curve: &str, series: &str, place: f64) -> Option<Spread> {
        let of = |point: &&Point| {
            point.curve == curve && point.series == series && point.x.total_cmp(&place).is_eq()
        };
        Spread::of(self.points.iter().filter(of).map(|point| point.value))
    }

    /// The unit of a series.
    pub(super) fn unit(&self, curve: &str, series: &str) -> &str {
        let point = self.points.iter().find(|point| point.curve == curve && point.series == series);
        point.map_or("", |point| &point.unit)
    }

    /// The engines of a section, in the order in which the comparison has them.
    pub(super) fn engines(&self, section: &str) -> Vec<&str> {
        self.engines
            .iter()
            .filter(|engine| engine.section == section)
            .map(|engine| engine.name.as_str())
            .collect()
    }

    /// Those of a section with this role: `peer`, `throw-away`, `floor` or `ours`.
    pub(super) fn with_role(&self, section: &str, role: &str) -> Vec<&str> {
        let of = self.engines.iter().filter(|engine| engine.section == section && engine.role == role);
        of.map(|engine| engine.name.as_str()).collect()
    }

    pub(super) fn version(&self, section: &str, name: &str) -> Option<&str> {
        self.engines
            .iter()
            .find(|engine| engine.section == section && engine.name == name)?
            .version
            .as_deref()
    }

    /// How many rounds there are.
    pub(super) fn count(&self) -> u64 {
        self.measured.iter().map(|measured| measured.round).max().unwrap_or(0)
    }

    /// Entries a second.
    pub(super) fn rate(&self, case: Case, engine: &str) -> Option<Spread> {
        Spread::of(self.of(case, engine).map(|measured| measured.per_second))
    }

    /// The 99th percentile of the latency, in microseconds.
    pub(super) fn p99(&self, case: Case, engine: &str) -> Option<Spread> {
        Spread::of(self.of(case, engine).filter_map(|measured| measured.p99_us))
    }

    /// How long it took to open the log that was read, in milliseconds.
    pub(super) fn open(&self, case: Case, engine: &str) -> Option<Spread> {
        Spread::of(self.of(case, engine).filter_map(|measured| measured.open_ms))
    }

    /// The numbers of threads that a section was measured with, least first.
    pub(super) fn threads(&self, section: &str) -> Vec<u64> {
        let of = self.measured.iter().filter(|measured| measured.section == section);
        let distinct: BTreeSet<u64> = of.map(|measured| measured.threads).collect();
        distinct.into_iter().collect()
    }

    /// The rate against that of the best of `others` in the same round.
    pub(super) fn against(&self, case: Case, engine: &str, others: &[&str]) -> Option<Spread> {
        Spread::of(self.of(case, engine).filter_map(|ours| {
            let theirs = others.iter().filter_map(|other| self.in_round(case, other, ours.round));
            theirs.max_by(f64::total_cmp).map(|best| ours.per_second / best)
        }))
    }

    /// The least p99 of `others` in a round against that of the engine.
    pub(super) fn p99_against(&self, case: Case, engine: &str, others: &[&str]) -> Option<Spread> {
        Spread::of(self.of(case, engine).filter_map(|ours| {
            let in_round =
                |other: &&str| self.of(case, other).find(|theirs| theirs.round == ours.round)?.p99_us;
            let theirs = others.iter().filter_map(in_round).min_by(f64::total_cmp)?;
            Some(theirs / ours.p99_us?)
        }))
    }

    /// Entries a second of the pipeline.
    pub(super) fn pipeline(&self) -> Option<Spread> {
        Spread::of(self.piped.iter().map(|&(_, per_second)| per_second))
    }

    /// The same against the best of `others` at any of `cases` in the same round.
    pub(super) fn pipeline_against(&self, cases: &[Case], others: &[&str]) -> Option<Spread> {
        Spread::of(self.piped.iter().filter_map(|&(round, per_second)| {
            let theirs = cases.iter().flat_map(|&case| others.iter().map(move |other| (case, other)));
            let theirs = theirs.filter_map(|(case, other)| self.in_round(case, other, round));
            theirs.max_by(f64::total_cmp).map(|best| per_second / best)
        }))
    }

    fn of<'a>(&'a self, case: Case, engine: &'a str) -> impl Iterator<Item = &'a Measured> {
        self.measured.iter().filter(move |measured| measured.is_of(case, engine))
    }

    fn in_round(&self, case: Case, engine: &str, round: u64) -> Option<f64> {
        self.of(case, engine).find(|measured| measured.round == round).map(|measured| measured.per_second)
    }
}

struct Line<'a>(&'a Value);

impl Line<'_> {
    fn text(&self, name: &str) -> Result<String, String> {
        self.0[name].as_str().map(str::to_owned).ok_or_else(|| format!("{name} is no text"))
    }

    fn count(&self, name: &str) -> Result<u64, String> {
        self.0[name].as_u64().ok_or_else(|| format!("{name} is no count"))
    }

    fn number(&self, name: &str) -> Result<f64, String> {
        self.0[name].as_f64().ok_or_else(|| format!("{name} is no number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rounds of two engines, in which the disk was twice as fast in the second.
    const LINES: &str = r#"{"kind":"engine","section":"none","engine":"wal","role":"ours","version":"0.1.0"}
{"kind":"engine","section":"none","engine":"wal-db","role":"peer","version":"1.1.0"}
{"kind":"none","round":1,"threads":1,"entry_bytes":32,"batch":1,"engine":"wal","per_second":100.0,"p99_us":5.0}
{"kind":"none","round":1,"threads":1,"entry_bytes":32,"batch":1,"engine":"wal-db","per_second":50.0,"p99_us":9.0}
{"kind":"none","round":2,"threads":1,"entry_bytes":32,"batch":1,"engine":"wal-db","per_second":200.0,"p99_us":4.0}
{"kind":"none","round":2,"threads":1,"entry_bytes":32,"batch":1,"engine":"wal","per_second":200.0,"p99_us":3.0}
{"kind":"pipeline","round":2,"per_second":400.0}
"#;
    /// A log by itself, and one layer of it.
    const ALONE: &str = r#"{"kind":"curve","curve":"open","series":"closed","x":100,"round":1,"value":3.0,"unit":"ms"}
{"kind":"curve","curve":"open","series":"closed","x":10,"round":1,"value":1.0,"unit":"ms"}
{"kind":"curve","curve":"open","series":"closed","x":10,"round":2,"value":2.0,"unit":"ms"}
{"kind":"layer","group":"sync/1-thread","name":"vector","ns":640.0,"unit":"entries","count":64}
{"kind":"syncs","section":"threads","engine":"wal","appends":200,"syncs":201,"appends_without":0}
"#;
    const CASE: Case = Case { section: "none", entry_bytes: 32, batch: 1, threads: 1 };

    #[test]
    fn a_ratio_is_made_inside_a_round() {
        let rounds = Rounds::parse(LINES).expect("the lines are whole");
        let spread = |median, min, max| Some(Spread { median, min, max });
        assert_eq!(rounds.rate(CASE, "wal"), spread(150.0, 100.0, 200.0));
        assert_eq!(rounds.against(CASE, "wal", &["wal-db"]), spread(1.5, 1.0, 2.0));
        assert_eq!(rounds.against(CASE, "wal", &["another"]), None);
        assert_eq!(rounds.p99_against(CASE, "wal", &["wal-db"]), spread(1.5666666666666667, 4.0 / 3.0, 1.8));
        assert!(rounds.machine().is_err());
        assert_eq!(rounds.pipeline_against(&[CASE], &["wal-db"]), spread(2.0, 2.0, 2.0));
        assert_eq!((rounds.count(), rounds.with_role("none", "peer")), (2, vec!["wal-db"]));
    }

    #[test]
    fn a_curve_goes_from_left_to_right() {
        let rounds = Rounds::parse(&format!("{LINES}{ALONE}")).expect("the lines are whole");
        assert_eq!((rounds.places("open"), rounds.series("open")), (vec![10.0, 100.0], vec!["closed"]));
        assert_eq!(rounds.point("open", "closed", 10.0), Some(Spread { median: 1.5, min: 1.0, max: 2.0 }));
        assert_eq!((rounds.point("open", "killed", 10.0), rounds.unit("open", "closed")), (None, "ms"));
        assert_eq!((rounds.layers.len(), rounds.syncs.len()), (1, 1));
    }

    #[test]
    fn what_is_wrong_with_a_line_is_told_with_its_number() {
        let error = |text: &str| Rounds::parse(text).err().unwrap_or_default();
        assert!(error("{}").starts_with("line 1: kind"));
        assert!(error("{\"kind\":\"none\",\"error\":\"no space\"}").contains("no space"));
        assert_eq!(error(""), "no measurement is in it");
        assert!(error(&format!("{LINES}nothing")).starts_with("line 8: "));
    }
}
