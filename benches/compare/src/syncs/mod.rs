//! Syncs, counted: whether an engine that promises durable appends makes the system calls for it, and whether one that
//! promises none goes without.
//!
//! ```text
//!  compare syncs ──▶ strace ──▶ compare appends (a child for each engine of a section)
//!                      │           open, mark, append, mark, append, mark, ..., exit without closing
//!                      ▼
//!                    trace      what lies between two marks is of one append
//! ```

mod trace;

use std::fs::{File, create_dir, read_to_string};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use self::trace::SyncCount;
use crate::args;
use crate::engine::{Act, Candidate};
use crate::engines::{self, because};
use crate::json::JsonLines;
use crate::payload::Payload;
use crate::place::Place;
use crate::run::Load;
use crate::section::Section;

/// How many appends an engine makes.
pub(crate) const APPENDS: u32 = 200;

/// The sections that promise something of syncs.
const SECTIONS: [Section; 3] = [Section::Threads, Section::None, Section::Buffered];

#[derive(clap::Args)]
pub(crate) struct SyncsArgs {
    /// Where the logs are made, and removed again.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Which engines, in every section that has them [default: all].
    #[arg(long, value_delimiter = ',', value_parser = args::engine)]
    engines: Vec<String>,
    /// Write every count to this file as well, a JSON object a line.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What the child is told.
#[derive(clap::Args)]
pub(crate) struct AppendsArgs {
    #[arg(long)]
    section: Section,
    #[arg(long)]
    engine: String,
    #[arg(long)]
    dir: PathBuf,
}

/// The syncs of one engine in one section.
pub(crate) struct Counted {
    pub(crate) section: Section,
    pub(crate) candidate: &'static Candidate,
    pub(crate) count: SyncCount,
}

impl Counted {
    /// What the calls say against the promise of the section.
    fn fault(&self) -> Option<String> {
        let SyncCount { syncs, appends_without } = self.count;
        match self.section {
            Section::Threads => (appends_without > 0).then(|| {
                format!("{appends_without} of {APPENDS} appends returned without a sync of what was written")
            }),
            _ => (syncs >= u64::from(APPENDS)).then(|| "syncs once an append, or more often".to_owned()),
        }
    }
}

/// Counts the syncs of every engine, prints them, and says whether they fit the promises.
///
/// # Errors
/// That strace is not there or may not trace; that an engine failed; what the JSON file says.
pub(crate) fn syncs(args: &SyncsArgs) -> Result<(), String> {
    let place = Place::new(args.dir.clone());
    let mut json = args.json.as_deref().map(JsonLines::append).transpose()?;
    let mut all_fit = true;
    println!("{:<14} {:<10} {:>8} {:>8} {:>16}", "engine", "section", "appends", "syncs", "appends without");
    for section in SECTIONS {
        let wanted = |name: &str| args.engines.is_empty() || args.engines.iter().any(|wanted| wanted == name);
        for &candidate in engines::of(section).iter().filter(|candidate| wanted(candidate.name)) {
            let count = place.visit(|directory| count(section, candidate, directory));
            let count = count.map_err(|error| format!("{} {}: {error}", section.name(), candidate.name))?;
            let counted = Counted { section, candidate, count };
            print(&counted);
            all_fit &= counted.fault().is_none();
            json.as_mut().map_or(Ok(()), |json| json.syncs(&counted))?;
        }
    }
    if all_fit { Ok(()) } else { Err("some syncs do not fit, see above".to_owned()) }
}

fn print(counted: &Counted) {
    let Counted { section, candidate, count: SyncCount { syncs, appends_without } } = counted;
    let fault = counted.fault().map_or_else(String::new, |fault| format!("   FAILED: {fault}"));
    println!(
        "{:<14} {:<10} {APPENDS:>8} {syncs:>8} {appends_without:>16}{fault}",
        candidate.name,
        section.name()
    );
}

fn count(section: Section, candidate: &Candidate, directory: &Path) -> Result<SyncCount, String> {
    let (log, trace) = (directory.join("log"), directory.join("trace"));
    create_dir(&log).map_err(because("create"))?;
    let output = Command::new("strace")
        // All threads; paths of file descriptors; no contents; neither exits nor signals.
        .args(["-f", "-y", "-s", "0", "-qq", "-e", "signal=none", "-e", trace::CALLS, "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().map_err(because("the path of this program"))?)
        .args(["appends", "--section", section.name(), "--engine", candidate.name, "--dir"])
        .arg(&log)
        .output()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => "syncs are counted with strace, which is not installed".to_owned(),
            _ => because("strace")(error),
        })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("under strace, {}: {}", output.status, said.trim_end()));
    }
    trace::count(&read_to_string(&trace).map_err(because("read the trace"))?, APPENDS)
}

/// The child: appends with a mark before each and after the last, and does not close the log.
pub(crate) fn appends(args: &AppendsArgs) -> Result<(), String> {
    let AppendsArgs { section, engine, dir } = args;
    let candidate = engines::of(*section).iter().find(|candidate| candidate.name == *engine);
    let Some(Act::Append(open)) = candidate.map(|candidate| candidate.act) else {
        return Err(format!("no engine of {} is called {engine}", section.name()));
    };
    let load = load(*section);
    let engine = open(dir, &load)?;
    let mut payload = Payload::new(0, load.entry_bytes, load.batch);
    let mark = dir.join(trace::MARK);
    for _ in 0..APPENDS {
        make(&mark)?;
        engine.append(payload.next())?;
    }
    make(&mark)?;
    // A close would sync after the last append.
    std::mem::forget(engine);
    Ok(())
}

/// One thread, and the shortest entry of the section.
fn load(section: Section) -> Load {
    let entry_bytes = if section == Section::Threads { 256 } else { 32 };
    let (warm_up, measured) = (Duration::ZERO, Duration::from_millis(100));
    Load { threads: 1, entry_bytes, batch: 1, calls_a_look: 1, warm_up, measured }
}

/// A mark in the trace: the attempt to open a file that is not there.
fn make(mark: &Path) -> Result<(), String> {
    match File::open(mark) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(because("mark")(error)),
        Ok(_) => Err(format!("mark: {} is there", mark.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(section: Section, syncs: u64, appends_without: u64) -> Option<String> {
        let candidate = engines::of(section)[0];
        Counted { section, candidate, count: SyncCount { syncs, appends_without } }.fault()
    }

    #[test]
    fn a_durable_append_without_a_sync_is_a_fault() {
        assert_eq!(fault(Section::Threads, 200, 0), None);
        assert!(fault(Section::Threads, 199, 1).is_some());
        assert!(
            fault(Section::Threads, 400, 1).is_some(),
            "what others have too often does not make up for it"
        );
    }

    #[test]
    fn a_sync_for_each_append_is_a_fault_where_none_is_promised() {
        for section in [Section::None, Section::Buffered] {
            assert_eq!(fault(section, 3, 197), None);
            assert!(fault(section, 200, 0).is_some());
        }
    }
}
