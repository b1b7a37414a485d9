//! What can be said on the command line. Parsed once; the commands see values.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use wal::{Checksum, SyncPolicy};

use crate::size::Size;

/// A durable write-ahead log in a directory.
#[derive(Debug, Parser)]
#[command(name = "wal", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 fine, 1 usage or I/O, 2 corrupt, 3 torn tail (verify), \
                          4 locked by another writer, 5 no log there";

#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// The directory of the log.
    #[arg(short, long, global = true, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Say nothing on stderr but errors and warnings.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Append the lines of standard input, an entry each.
    Append(Append),
    /// Print entries, a line each.
    Cat(Cat),
    /// Show what the directory holds and how the log ended.
    Info(Info),
    /// Check every byte of the log.
    Verify,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Append {
    /// When entries become durable: `none` (once the log is closed) or `immediate` (each by itself).
    #[arg(long, value_name = "POLICY", default_value = "immediate", value_parser = sync_policy)]
    pub(crate) sync: SyncPolicy,
    /// How payloads are checked from the next segment on: `crc32` or `crc64` [default: what the log
    /// has, or crc32].
    #[arg(long, value_name = "KIND", value_parser = checksum)]
    pub(crate) checksum: Option<Checksum>,
    /// How long segments get, in bytes or as in 64MiB, from the next one on [default: what the log has,
    /// or 64MiB].
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(crate) segment_size: Option<Size>,
    /// The longest entry that is accepted, in bytes or as in 64MiB.
    #[arg(long, value_name = "BYTES", default_value = "64MiB", allow_hyphen_values = true)]
    pub(crate) max_entry_bytes: Size,
    /// Entries end with a NUL rather than a newline.
    #[arg(long)]
    pub(crate) null: bool,
    /// Print the number of each entry on stdout once the policy's promise holds for it.
    #[arg(long)]
    pub(crate) progress_acks: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Cat {
    /// The first entry to print.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) from: Option<u64>,
    /// The last entry to print.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) to: Option<u64>,
    /// Print so many entries at most.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) limit: Option<u64>,
    /// End entries with a NUL rather than a newline.
    #[arg(long)]
    pub(crate) null: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Info {
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

/// What ends an entry in a stream of text.
pub(crate) fn terminator(null: bool) -> u8 {
    if null { 0 } else { b'\n' }
}

fn sync_policy(text: &str) -> Result<SyncPolicy, String> {
    match text {
        "none" => Ok(SyncPolicy::None),
        "immediate" => Ok(SyncPolicy::Immediate),
        "periodic" | "grouped" => Err("this policy is not available yet; use none or immediate".to_owned()),
        _ => Err("a policy is none or immediate".to_owned()),
    }
}

fn checksum(text: &str) -> Result<Checksum, String> {
    text.parse().map_err(|_| "a checksum is crc32 or crc64".to_owned())
}
