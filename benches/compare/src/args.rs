//! What can be said on the command line.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Parser, Subcommand};

use crate::document::DocumentArgs;
use crate::engines;
use crate::layers::LayersArgs;
use crate::scale::ScaleArgs;
use crate::section::Section;
use crate::syncs::{AppendsArgs, SyncsArgs};

/// Appends and replay of this log and of its peers, side by side in one run on one disk.
#[derive(Parser)]
#[command(name = "compare", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) args: Args,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Write the tables and plots of raw rounds into a page, and measure nothing.
    Document(DocumentArgs),
    /// Add the figures that the criterion benches have left to raw rounds.
    Layers(LayersArgs),
    /// Measure what of this log grows with what, and how long its slowest appends take.
    Scale(ScaleArgs),
    /// Count the syncs of each engine with strace, and fail where they do not fit its promise.
    Syncs(SyncsArgs),
    /// What `syncs` runs under strace.
    #[command(hide = true)]
    Appends(AppendsArgs),
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often everything is measured; each round begins with another engine.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// How long each measurement takes, without its warm-up.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// How many threads append [default: 1,4,16,64,256 for durable appends, otherwise 1,4].
    #[arg(long, value_delimiter = ',', value_parser = threads())]
    pub(crate) threads: Vec<usize>,
    /// Where the logs are made, and removed again: the disk that is measured.
    #[arg(long, default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Which engines, in every section that has them [default: all].
    #[arg(long, value_delimiter = ',', value_parser = engine)]
    pub(crate) engines: Vec<String>,
    /// How long an entry is [default: 256 for durable appends, otherwise 32; replay 32 and 4096].
    #[arg(long, value_parser = entry_bytes())]
    pub(crate) bytes: Option<usize>,
    /// Write every measurement to this file as well, a JSON object a line.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Measure only these sections [default: all].
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<Section>,
}

impl Args {
    pub(crate) fn wants(&self, section: Section) -> bool {
        self.only.is_empty() || self.only.contains(&section)
    }

    pub(crate) fn pipeline_entry_bytes(&self) -> usize {
        self.bytes.unwrap_or(256)
    }
}

fn threads() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=4096)
}

/// From the length of a stamp to what every engine takes in one entry.
fn entry_bytes() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(16..=1 << 20)
}

pub(crate) fn engine(name: &str) -> Result<String, String> {
    let mut names: Vec<&str> = engines::all().map(|candidate| candidate.name).collect();
    if names.contains(&name) {
        return Ok(name.to_owned());
    }
    names.sort_unstable();
    names.dedup();
    Err(format!("an engine is one of {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_engine_that_is_not_there_is_refused() {
        assert!(Cli::try_parse_from(["compare", "--engines", "floor,nothing"]).is_err());
        assert!(Cli::try_parse_from(["compare", "--engines", "floor,okaywal"]).is_ok());
    }
}
