//! What can be said on the command line.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Parser, ValueEnum};

use crate::engine::Candidate;
use crate::engines::ALL;

/// Durable appends of this log and of its peers, side by side in one run on one disk.
#[derive(Parser)]
#[command(name = "compare", version)]
pub(crate) struct Args {
    /// How often everything is measured; each round begins with another engine.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// How long each measurement takes, without its warm-up.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// How many threads append.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16, 64], value_parser = threads())]
    pub(crate) threads: Vec<usize>,
    /// Where the logs are made, and removed again: the disk that is measured.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Which engines [default: all].
    #[arg(long, value_delimiter = ',', value_parser = engine)]
    pub(crate) engines: Vec<&'static Candidate>,
    /// How long an entry is.
    #[arg(long, default_value_t = 256, value_parser = entry_bytes())]
    pub(crate) bytes: usize,
    /// Write every measurement to this file as well, a JSON object a line.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Measure only this.
    #[arg(long)]
    pub(crate) only: Option<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Threads that wait for each entry.
    Threads,
    /// One thread that submits, and awaits commits later.
    Pipeline,
}

impl Args {
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

fn threads() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=4096)
}

/// From the length of a stamp to what every engine takes in one entry.
fn entry_bytes() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(16..=1 << 20)
}

fn engine(name: &str) -> Result<&'static Candidate, String> {
    ALL.iter().find(|candidate| candidate.name == name).copied().ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|candidate| candidate.name).collect();
        format!("an engine is one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn an_engine_that_is_not_there_is_refused() {
        assert!(Args::try_parse_from(["compare", "--engines", "floor,nothing"]).is_err());
        assert!(Args::try_parse_from(["compare", "--engines", "floor,okaywal"]).is_ok());
    }
}
