//! What can be said on the command line. Parsed once; the commands see values.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use wal::{Checksum, SyncPolicy};

use crate::duration;
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
    /// Drop entries from the front of the log, or from its end.
    Truncate(Truncate),
    /// Copy the log, also while it is written.
    Copy(Copy),
    /// Say what can be had of a damaged log, or put it into a new one.
    Repair(Repair),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Append {
    /// When entries become durable: `none` (once the log is closed), `immediate` (at once), `periodic`
    /// (in the background) or `grouped` (at once, many together).
    #[arg(long, value_name = "POLICY", default_value_t = Policy::Grouped)]
    pub(crate) sync: Policy,
    /// With `--sync grouped`: the longest wait for company, from 100us [default: 1ms].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, allow_hyphen_values = true)]
    pub(crate) window: Option<Duration>,
    /// With `--sync periodic`: how old an entry gets before it is synced, from 100us [default: 100ms].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, allow_hyphen_values = true)]
    pub(crate) interval: Option<Duration>,
    /// With `--sync periodic`: so many entries are synced before the interval is over [default: 10000].
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) entries: Option<u64>,
    /// How payloads are checked from the next segment on: `crc32` or `crc64` [default: what the log
    /// has, or crc32].
    #[arg(long, value_name = "KIND", value_parser = checksum)]
    pub(crate) checksum: Option<Checksum>,
    /// How long segments get, in bytes or as in 64MiB, from the next one on [default: what the log has,
    /// or 64MiB].
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub(crate) segment_size: Option<Size>,
    /// The number of the first entry of a log that is made new [default: 0].
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) first_sequence: Option<u64>,
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

/// What a process may lose to a power cut in this time is little to type again, and a sync ten times a
/// second costs a disk next to nothing.
const DEFAULT_INTERVAL: Duration = Duration::from_millis(100);
const DEFAULT_ENTRIES: u64 = 10_000;

impl Append {
    /// The policy with its values, or why they cannot be kept: the library would take the nearest ones,
    /// but whoever types a number means it.
    pub(crate) fn policy(&self) -> Result<SyncPolicy, String> {
        for (option, given, policy) in [
            ("--window", self.window.is_some(), Policy::Grouped),
            ("--interval", self.interval.is_some(), Policy::Periodic),
            ("--entries", self.entries.is_some(), Policy::Periodic),
        ] {
            if given && policy != self.sync {
                return Err(format!("{option} is for --sync {policy}, not for --sync {}", self.sync));
            }
        }
        match self.sync {
            Policy::None => Ok(SyncPolicy::None),
            Policy::Immediate => Ok(SyncPolicy::Immediate),
            Policy::Grouped => match self.window {
                None => Ok(SyncPolicy::default()),
                Some(window) => Ok(SyncPolicy::Grouped { window: long_enough("--window", window)? }),
            },
            Policy::Periodic => {
                let interval = long_enough("--interval", self.interval.unwrap_or(DEFAULT_INTERVAL))?;
                let entries = self.entries.unwrap_or(DEFAULT_ENTRIES);
                if entries == 0 {
                    return Err("--entries is 0; it must be at least 1".to_owned());
                }
                Ok(SyncPolicy::Periodic { entries, interval })
            }
        }
    }
}

/// Refuses what the library would lengthen.
fn long_enough(option: &str, given: Duration) -> Result<Duration, String> {
    match SyncPolicy::grouped(given) {
        SyncPolicy::Grouped { window: kept } if kept != given => Err(format!(
            "{option} is {}; it must be at least {}",
            duration::render(given),
            duration::render(kept)
        )),
        _ => Ok(given),
    }
}

/// The name of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    None,
    Immediate,
    Periodic,
    Grouped,
}

const POLICIES: [(&str, Policy); 4] = [
    ("none", Policy::None),
    ("immediate", Policy::Immediate),
    ("periodic", Policy::Periodic),
    ("grouped", Policy::Grouped),
];

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Policy, String> {
        let known = POLICIES.iter().find(|(name, _)| *name == text);
        known
            .map(|(_, policy)| *policy)
            .ok_or_else(|| "a policy is none, immediate, periodic or grouped".to_owned())
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = POLICIES.iter().find(|(_, policy)| policy == self);
        f.write_str(known.map_or("", |(name, _)| name))
    }
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
    /// Begin with the last entry.
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Go on with the entries that a writer appends, as they become durable, until interrupted.
    #[arg(short, long, conflicts_with = "reverse")]
    pub(crate) follow: bool,
    /// With --follow: print what is only written, too, which a loss of power may take back.
    #[arg(long, requires = "follow")]
    pub(crate) written: bool,
    /// Map no file: then a device that fails, or a file that is cut short meanwhile, is an error and no signal.
    #[arg(long)]
    pub(crate) no_mmap: bool,
    /// End entries with a NUL rather than a newline.
    #[arg(long)]
    pub(crate) null: bool,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("place").required(true).args(["before", "after"])))]
pub(crate) struct Truncate {
    /// Drop every entry in front of this one, which becomes the first.
    #[arg(long, value_name = "SEQ", allow_hyphen_values = true)]
    pub(crate) before: Option<u64>,
    /// Drop every entry behind this one, which becomes the last.
    #[arg(long, value_name = "SEQ", allow_hyphen_values = true)]
    pub(crate) after: Option<u64>,
    /// Only say what would be dropped.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Copy {
    /// The directory that the copy goes to: empty, or not there.
    #[arg(value_name = "TARGET")]
    pub(crate) target: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Repair {
    /// Where a new log is made of what can be kept: an empty directory, or none. Without it nothing is written.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Keep what lies behind gaps, too, under other numbers.
    #[arg(long)]
    pub(crate) across_gaps: bool,
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

fn checksum(text: &str) -> Result<Checksum, String> {
    text.parse().map_err(|_| "a checksum is crc32 or crc64".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(options: &[&str]) -> Result<SyncPolicy, String> {
        let args = Args::try_parse_from([&["wal", "append"], options].concat()).unwrap();
        let Command::Append(append) = args.command else { panic!("append was parsed") };
        append.policy()
    }

    #[test]
    fn without_options_the_policy_is_the_library_s() {
        assert_eq!(policy(&[]), Ok(SyncPolicy::default()));
        assert_eq!(policy(&["--sync", "grouped"]), Ok(SyncPolicy::default()));
    }

    #[test]
    fn the_library_keeps_every_value_that_is_accepted() {
        for (options, accepted) in [
            (&["--sync", "none"][..], SyncPolicy::None),
            (&["--sync", "immediate"], SyncPolicy::Immediate),
            (&["--window", "100us"], SyncPolicy::Grouped { window: Duration::from_micros(100) }),
            (
                &["--sync", "grouped", "--window", "1s"],
                SyncPolicy::Grouped { window: Duration::from_secs(1) },
            ),
            (
                &["--sync", "periodic"],
                SyncPolicy::Periodic { entries: 10_000, interval: Duration::from_millis(100) },
            ),
            (
                &["--sync", "periodic", "--interval", "100us", "--entries", "1"],
                SyncPolicy::Periodic { entries: 1, interval: Duration::from_micros(100) },
            ),
        ] {
            assert_eq!(policy(options), Ok(accepted), "{options:?}");
            assert_eq!(accepted.clamped(), accepted, "{options:?}");
        }
    }
}
