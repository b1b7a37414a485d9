//! The command line, parsed into values before a command runs.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use humantime::{format_duration, parse_duration};
use wal::{Checksum, SyncPolicy};

/// Write to, read, check and repair a write-ahead log.
#[derive(Debug, Parser)]
#[command(name = "wal", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 success, 1 usage or I/O error, 2 corrupt, 3 torn tail (verify), \
                          4 locked by another writer, 5 no log in the directory";

#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Directory of the log.
    #[arg(short, long, global = true, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Print only errors and warnings on stderr.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Append the lines of stdin, one entry per line.
    Append(Append),
    /// Print entries, one per line.
    Cat(Cat),
    /// Show the segments and how the log ended.
    Info(Info),
    /// Verify every checksum of the log.
    Verify,
    /// Drop the oldest or the newest entries.
    Truncate(Truncate),
    /// Back up the log, also while a writer has it open.
    Copy(Copy),
    /// Report what can be recovered from a damaged log, or copy it into a new log.
    Repair(Repair),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Append {
    /// When entries are fsynced.
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = Policy::Grouped)]
    pub(crate) sync: Policy,
    /// With --sync grouped: how long an fsync may wait for more entries, at least 100us [default: 1ms].
    #[arg(long, value_name = "DURATION", value_parser = span, allow_hyphen_values = true)]
    pub(crate) window: Option<Duration>,
    /// With --sync periodic: the time between fsyncs, at least 100us [default: 100ms].
    #[arg(long, value_name = "DURATION", value_parser = span, allow_hyphen_values = true)]
    pub(crate) interval: Option<Duration>,
    /// With --sync periodic: fsync earlier, after this many entries [default: 10000].
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) entries: Option<u64>,
    /// Checksum of payloads, from the next segment on [default: the log's, or crc32].
    #[arg(long, value_name = "KIND", value_parser = checksum())]
    pub(crate) checksum: Option<Checksum>,
    /// Size at which a segment rolls over, such as 64MiB [default: the log's, or 64MiB].
    #[arg(long, value_name = "BYTES", value_parser = size, allow_hyphen_values = true)]
    pub(crate) segment_size: Option<u64>,
    /// Sequence of the first entry of a new log [default: 0].
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) first_sequence: Option<u64>,
    /// Longest entry that is accepted, such as 64MiB.
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "64MiB", allow_hyphen_values = true)]
    pub(crate) max_entry_bytes: u64,
    /// Entries end with a NUL instead of a newline.
    #[arg(long)]
    pub(crate) null: bool,
    /// Print the sequence of each entry on stdout once it is acknowledged under the policy.
    #[arg(long)]
    pub(crate) progress_acks: bool,
}

/// A checksum by its name.
fn checksum() -> impl TypedValueParser<Value = Checksum> {
    PossibleValuesParser::new(["crc32", "crc64"])
        .map(|name| name.parse::<Checksum>().expect("the library has a checksum of this name"))
}

/// The units of a configuration file: `64K` and `64MB` are refused, because some read them as powers of ten.
fn size(text: &str) -> Result<u64, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<ByteSize>() {
        // `ByteSize` saturates.
        Ok(size) if plain || text.ends_with("iB") && size.0 < u64::MAX => Ok(size.0),
        _ => Err("a size is less than 2^64 bytes: a number, alone or with KiB, MiB, GiB or TiB, as in 64MiB"
            .to_owned()),
    }
}

/// Ten fsyncs a second cost a disk next to nothing, and little is lost to a power cut.
const DEFAULT_INTERVAL: Duration = Duration::from_millis(100);
const DEFAULT_ENTRIES: u64 = 10_000;

impl Append {
    /// The policy with its values. Values that the library would replace by the nearest valid ones are refused.
    pub(crate) fn policy(&self) -> Result<SyncPolicy, String> {
        for (option, given, policy) in [
            ("--window", self.window.is_some(), Policy::Grouped),
            ("--interval", self.interval.is_some(), Policy::Periodic),
            ("--entries", self.entries.is_some(), Policy::Periodic),
        ] {
            if given && policy != self.sync {
                let (its, chosen) = (policy.name(), self.sync.name());
                return Err(format!("{option} is for --sync {its}, not for --sync {chosen}"));
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
            format_duration(given),
            format_duration(kept)
        )),
        _ => Ok(given),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// Only when a segment rolls over and when the log is closed.
    None,
    /// For each append; appends that arrive during an fsync share the next one.
    Immediate,
    /// In the background, by time and number of entries.
    Periodic,
    /// For a group of appends together (group commit).
    Grouped,
}

impl Policy {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Cat {
    /// First entry to print.
    #[arg(long, value_name = "SEQ", allow_hyphen_values = true)]
    pub(crate) from: Option<u64>,
    /// Last entry to print.
    #[arg(long, value_name = "SEQ", allow_hyphen_values = true)]
    pub(crate) to: Option<u64>,
    /// Print at most this many entries.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) limit: Option<u64>,
    /// Print from the last entry to the first.
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Keep printing entries as they become durable, like tail -f, until interrupted.
    #[arg(short, long, conflicts_with = "reverse")]
    pub(crate) follow: bool,
    /// With --follow: also print entries that are written but not yet durable; a power cut may take them back.
    #[arg(long, requires = "follow")]
    pub(crate) written: bool,
    /// Read without mmap: a failing device or a file that is cut short is then an error instead of SIGBUS.
    #[arg(long)]
    pub(crate) no_mmap: bool,
    /// End entries with a NUL instead of a newline.
    #[arg(long)]
    pub(crate) null: bool,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("place").required(true).args(["before", "after"])))]
pub(crate) struct Truncate {
    /// Drop all entries before this one, which becomes the first.
    #[arg(long, value_name = "SEQ", allow_hyphen_values = true)]
    pub(crate) before: Option<u64>,
    /// Drop all entries after this one, which becomes the last.
    #[arg(long, value_name = "SEQ", allow_hyphen_values = true)]
    pub(crate) after: Option<u64>,
    /// Print what would be dropped, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Copy {
    /// Directory for the copy: empty or absent.
    #[arg(value_name = "TARGET")]
    pub(crate) target: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Repair {
    /// Write what can be recovered into a new log in this directory, empty or absent. Without it nothing is written.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Also keep the entries after a gap, with new sequences.
    #[arg(long)]
    pub(crate) across_gaps: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Info {
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

/// The byte that ends an entry in stdin and stdout.
pub(crate) fn terminator(null: bool) -> u8 {
    if null { 0 } else { b'\n' }
}

/// Refuses numbers of more than nine digits: humantime panics where fractions carry the seconds beyond 64 bits.
fn span(text: &str) -> Result<Duration, String> {
    let is_short = text.split(|letter: char| !letter.is_ascii_digit()).all(|number| number.len() <= 9);
    if !is_short || text.len() > 64 {
        return Err(format!("{text:?} is not a duration: its numbers have up to nine digits, as in 1m30s"));
    }
    parse_duration(text).map_err(|error| error.to_string())
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

    const SIZE: &str = "KiB, MiB, GiB or TiB, as in 64MiB";

    #[test]
    fn bytes_and_binary_units_are_sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65536),
            ("64KiB", 64 << 10),
            ("64MiB", 64 << 20),
            ("64 MiB", 64 << 20),
            ("1.5KiB", 1536),
            ("1GiB", 1 << 30),
            ("2TiB", 2 << 40),
            ("007", 7),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_size_that_could_be_misread_or_is_beyond_64_bits_is_refused() {
        for text in [
            "",
            "-1",
            "+1",
            "KiB",
            " 1",
            "1_000",
            "64K",
            "64KB",
            "64MB",
            "64kib",
            "64XB",
            "64XiB",
            "0x10",
            "1e6",
            "٣",
            "99999999999999999999",
            "18446744073709551616",
            "16777216TiB",
            "18446744073709551615KiB",
        ] {
            assert!(size(text).unwrap_err().contains(SIZE), "{text:?}");
        }
    }

    #[test]
    fn numbers_with_units_are_durations() {
        for (text, duration) in [
            ("500us", Duration::from_micros(500)),
            ("2ms", Duration::from_millis(2)),
            ("1.5ms", Duration::from_micros(1500)),
            ("1s", Duration::from_secs(1)),
            ("1m30s", Duration::from_secs(90)),
            ("0s", Duration::ZERO),
            ("007ms", Duration::from_millis(7)),
            ("999999999s", Duration::from_secs(999_999_999)),
        ] {
            assert_eq!(span(text), Ok(duration), "{text}");
            assert_eq!(span(&format_duration(duration).to_string()), Ok(duration), "{text}");
        }
        for text in [
            "",
            "1",
            "1000",
            "ms",
            "-1ms",
            "+1ms",
            "1_000us",
            "1MS",
            "1Ms",
            "1e3us",
            "0x10ms",
            "٣ms",
            "99999999999999999999us",
            "18446744073709551616s",
            "18446744073709551615s 1000ms",
        ] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
