//! Feature `config`: [`Options`] as a section of a configuration file, through serde.
//!
//! [`Section`] lists every option under its name in the file. serde builds `Options` from it field by field, so an
//! option that is missing from the list does not compile. Ranges are checked at `open`, as for the methods.

use std::time::Duration;

use bytesize::ByteSize;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_path_to_error::Track;
use serde_with::{As, serde_conv};
use wal_format::ChecksumKind;
use wal_segment::{OpenMode, Rules};
use wal_sync::SyncPolicy;

use crate::options::Options;
use crate::options::when_full::WhenFull;
use crate::report::event::Callbacks;

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "Options",
    default = "Options::new",
    deny_unknown_fields,
    expecting = "the options of a log by their names"
)]
struct Section {
    #[serde(with = "As::<Option<Size>>")]
    segment_bytes: Option<u64>,
    #[serde(with = "As::<Option<Checksum>>")]
    checksum: Option<ChecksumKind>,
    #[serde(serialize_with = "Sync::serialize", deserialize_with = "clamped")]
    sync: SyncPolicy,
    #[serde(with = "Size")]
    max_entry_bytes: u64,
    #[serde(with = "As::<Option<Size>>")]
    max_batch_bytes: Option<u64>,
    #[serde(with = "Size")]
    max_in_flight_bytes: u64,
    #[serde(with = "As::<Option<Size>>", rename = "buffered_bytes")]
    buffered: Option<u64>,
    background: bool,
    zero_ahead: Option<bool>,
    mapped_reads: bool,
    #[serde(with = "Span")]
    slow_sync: Duration,
    #[serde(with = "As::<Option<Size>>")]
    low_space_bytes: Option<u64>,
    first_sequence: Option<u64>,
    #[serde(with = "Mode")]
    open_mode: OpenMode,
    recycle: bool,
    #[serde(with = "As::<Option<Size>>")]
    retain_bytes: Option<u64>,
    retain_entries: Option<u64>,
    #[serde(with = "As::<Option<Span>>")]
    retain_age: Option<Duration>,
    #[serde(with = "As::<Option<Size>>")]
    max_log_bytes: Option<u64>,
    when_full: WhenFull,
    #[serde(with = "As::<Option<Size>>")]
    hold_limit_bytes: Option<u64>,
    #[serde(with = "As::<Option<Span>>")]
    roll_after: Option<Duration>,
    #[serde(skip)]
    callbacks: Callbacks,
    #[serde(skip)]
    rules: Rules,
}

impl Serialize for Options {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Section::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Options, D::Error> {
        let mut track = Track::new();
        Section::deserialize(serde_path_to_error::Deserializer::new(deserializer, &mut track))
            .map_err(|error| D::Error::custom(serde_path_to_error::Error::new(track.path(), error)))
    }
}

serde_conv!(Checksum, ChecksumKind, |kind: &ChecksumKind| kind.name(), |name: String| {
    name.parse().map_err(|_| format!("this build has no checksum {name:?}; known are crc32 and crc64"))
});

#[derive(Serialize, Deserialize)]
#[serde(remote = "OpenMode", rename_all = "snake_case")]
#[non_exhaustive]
enum Mode {
    CreateOrOpen,
    MustExist,
    CreateNew,
}

// Braces, because serde ignores unknown fields beside the tag of a unit variant.
#[derive(Serialize, Deserialize)]
#[serde(remote = "SyncPolicy", tag = "policy", rename_all = "snake_case", deny_unknown_fields)]
#[serde(expecting = "a table with a sync policy and its limits")]
#[non_exhaustive]
enum Sync {
    None {},
    Immediate {},
    Periodic {
        entries: u64,
        #[serde(with = "Span")]
        interval: Duration,
    },
    Grouped {
        #[serde(with = "Span", default = "default_window")]
        window: Duration,
    },
}

fn default_window() -> Duration {
    match SyncPolicy::default() {
        SyncPolicy::Grouped { window } => window,
        _ => Duration::ZERO,
    }
}

fn clamped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SyncPolicy, D::Error> {
    Sync::deserialize(deserializer).map(SyncPolicy::clamped)
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number of bytes, or text such as \"64MiB\"")]
enum SizeInFile {
    Bytes(u64),
    Text(String),
}

serde_conv!(Size, u64, |bytes: &u64| size_text(*bytes), |size| match size {
    SizeInFile::Bytes(bytes) => Ok(bytes),
    SizeInFile::Text(text) => parse_size(&text),
});

/// In the largest binary unit that divides it, because `ByteSize` rounds.
fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = if bytes == 0 { 0 } else { bytes.trailing_zeros() as usize / 10 };
    format!("{}{}", bytes >> (10 * unit), UNITS[unit])
}

/// Refuses `64K` and `64MB`: some read them as powers of ten. The command line has the same rule.
fn parse_size(text: &str) -> Result<u64, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<ByteSize>() {
        // `ByteSize` saturates.
        Ok(size) if plain || text.ends_with("iB") && size.0 < u64::MAX => Ok(size.0),
        _ => Err(format!(
            "{text:?} is not a size of less than 2^64 bytes: a number, alone or with KiB, MiB, GiB or TiB, as in 64MiB"
        )),
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a duration with its unit, such as \"500ms\" or \"1m30s\"")]
enum SpanInFile {
    Text(String),
}

serde_conv!(
    Span,
    Duration,
    |span: &Duration| humantime::format_duration(*span).to_string(),
    |SpanInFile::Text(text)| parse_span(&text)
);

/// Refuses numbers of more than nine digits: humantime panics where fractions carry the seconds beyond 64 bits. The command line
/// has the same rule.
fn parse_span(text: &str) -> Result<Duration, String> {
    let is_short = text.split(|letter: char| !letter.is_ascii_digit()).all(|number| number.len() <= 9);
    if !is_short || text.len() > 64 {
        return Err(format!("{text:?} is not a duration: its numbers have up to nine digits, as in 1m30s"));
    }
    humantime::parse_duration(text).map_err(|error| error.to_string())
}
