//! How a log is opened: values with defaults, checked once, at `open`. This module knows no open log.

mod check;
#[cfg(feature = "config")]
mod config;
pub(crate) mod directory;
pub(crate) mod retention;
pub(crate) mod when_full;

use std::sync::Arc;
use std::time::Duration;

use wal_format::{ChecksumKind, FRAME_HEADER_BYTES};
use wal_segment::{OpenMode, Rules, Writer};
use wal_sync::SyncPolicy;

#[cfg(doc)]
use crate::error::ErrorKind;
use crate::options::when_full::WhenFull;
use crate::report::event::{Callbacks, Rollover, SlowSync};

/// How a log is opened. The defaults are those that a database could run on.
///
/// With the feature `config`, `Options` implements serde's `Deserialize` and `Serialize`: a section of a configuration file
/// becomes options, and the options in force (`Wal::options`) can be written as one. The names are
/// those of the methods, except `buffered_bytes` for [`buffered`](Options::buffered); callbacks are left out.
///
/// ```toml
/// [wal]
/// segment_bytes = "64MiB"
/// retain_age = "7days"
/// max_log_bytes = "10GiB"
///
/// [wal.sync]
/// policy = "periodic"
/// entries = 1000
/// interval = "10ms"
/// ```
///
/// A size is a number of bytes, or text with a binary unit: `"64MiB"`, `"1.5GiB"`. Units that some read as powers of ten and
/// others as powers of two, such as `64K` and `64MB`, are errors. A duration is text with units: `"24h"`, `"500ms"`, `"1m30s"`
/// (`m` is a minute, `M` a month). A policy is `none`, `immediate`, `periodic` with `entries` and `interval`, or `grouped`, with
/// or without `window`. A missing option has its default; an unknown name is an error. Ranges are checked at `open`.
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    pub(crate) segment_bytes: Option<u64>,
    pub(crate) checksum: Option<ChecksumKind>,
    pub(crate) sync: SyncPolicy,
    pub(crate) max_entry_bytes: u64,
    pub(crate) max_batch_bytes: Option<u64>,
    pub(crate) mapped_reads: bool,
    pub(crate) max_in_flight_bytes: u64,
    pub(crate) buffered: Option<u64>,
    pub(crate) background: bool,
    pub(crate) zero_ahead: Option<bool>,
    pub(crate) recycle: bool,
    pub(crate) first_sequence: Option<u64>,
    pub(crate) open_mode: OpenMode,
    pub(crate) slow_sync: Duration,
    pub(crate) low_space_bytes: Option<u64>,
    pub(crate) callbacks: Callbacks,
    pub(crate) retain_bytes: Option<u64>,
    pub(crate) retain_entries: Option<u64>,
    pub(crate) retain_age: Option<Duration>,
    pub(crate) max_log_bytes: Option<u64>,
    pub(crate) when_full: WhenFull,
    pub(crate) hold_limit_bytes: Option<u64>,
    pub(crate) roll_after: Option<Duration>,
    pub(crate) rules: Rules,
}

/// A frame is filled up to a multiple of eight bytes.
const PADDING_BYTES: u64 = 7;

const DEFAULT_BATCH_BYTES: u64 = 256 << 20;

/// A healthy disk never takes so long; an overloaded network file system does.
const DEFAULT_SLOW_SYNC: Duration = Duration::from_secs(1);

/// Keeps a disk of 1 GB/s busy across an fsync of some milliseconds.
const DEFAULT_IN_FLIGHT_BYTES: u64 = 16 << 20;

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_bytes: None,
            checksum: None,
            sync: SyncPolicy::default(),
            max_entry_bytes: 64 << 20,
            max_batch_bytes: None,
            mapped_reads: true,
            max_in_flight_bytes: DEFAULT_IN_FLIGHT_BYTES,
            buffered: None,
            background: true,
            zero_ahead: None,
            recycle: true,
            first_sequence: None,
            open_mode: OpenMode::default(),
            slow_sync: DEFAULT_SLOW_SYNC,
            low_space_bytes: None,
            callbacks: Callbacks::default(),
            retain_bytes: None,
            retain_entries: None,
            retain_age: None,
            max_log_bytes: None,
            when_full: WhenFull::default(),
            hold_limit_bytes: None,
            roll_after: None,
            rules: Rules::default(),
        }
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Options {
        Options::default()
    }

    /// The size at which a segment rolls over, in bytes: from 12 KiB to 32 GiB. The first segments of a log are smaller. A
    /// smaller size than before also ends the current segment, once it holds that much; a larger one applies from the next
    /// segment on. Stored in the log. Default: the size stored in the log, or 64 MiB.
    pub fn segment_bytes(mut self, bytes: u64) -> Options {
        self.segment_bytes = Some(bytes);
        self
    }

    /// The checksum of payloads. When it differs from the last segment's, the first append begins a new segment. Stored in the
    /// log. Default: the kind stored in the log, or CRC-32.
    pub fn checksum(mut self, kind: ChecksumKind) -> Options {
        self.checksum = Some(kind);
        self
    }

    /// When entries are fsynced. A window or interval below 100 us becomes 100 us, and `entries` of 0 becomes 1. Default:
    /// [`SyncPolicy::Grouped`] with a window of 1 ms.
    pub fn sync(mut self, policy: SyncPolicy) -> Options {
        self.sync = policy.clamped();
        self
    }

    /// Buffers appends in this process: under `none` and `periodic` an append returns once its entry has its number, and the
    /// buffer is written when it holds this many bytes, with a sync, with [`Wal::flush`] and at close. When the process dies,
    /// the content of the buffer is lost. At least 1 byte, at most `max_in_flight_bytes`. Default: no buffer.
    ///
    /// [`Wal::flush`]: crate::Wal::flush
    pub fn buffered(mut self, bytes: u64) -> Options {
        self.buffered = Some(bytes);
        self
    }

    /// Back-pressure: the bytes accepted but not yet as durable as their caller asked for. An append beyond that waits. A single
    /// entry or batch may be larger. At least 1. Default: 16 MiB.
    pub fn max_in_flight_bytes(mut self, bytes: u64) -> Options {
        self.max_in_flight_bytes = bytes;
        self
    }

    /// Whether background threads prepare segments, write the anchor and run the fsyncs that no caller waits for. Without them
    /// the calling thread does that work: [`Commit::wait`](crate::Commit::wait) writes and syncs, awaiting a commit blocks, and a
    /// periodic fsync runs in the append that finds it due. Switch it off for deterministic tests and for platforms without
    /// threads. Default: true.
    pub fn background(mut self, background: bool) -> Options {
        self.background = background;
        self
    }

    /// Whether segments are filled with zeros before use, while syncs are small. An fsync of a few entries is cheaper then,
    /// because the file system has no metadata to write; each byte of the log is written twice. Of no use on copy-on-write file
    /// systems such as btrfs and ZFS. Without [`background`](Options::background) threads the append that creates a segment
    /// waits until it is zeroed. Default: the value of `background`.
    pub fn zero_ahead(mut self, zero: bool) -> Options {
        self.zero_ahead = Some(zero);
        self
    }

    /// Whether the files of dropped segments are used again for later ones, as in PostgreSQL. That saves creating and zeroing a
    /// file and takes no further space. One is kept, others are removed, and so is a file
    /// that a reader still has open, in this process or another, or that has a hard link. Switch it off on network file systems
    /// whose readers do not see locks, and on copy-on-write file systems such as btrfs and ZFS, where it is of no use. No effect
    /// on Windows. Default: true.
    pub fn recycle(mut self, recycle: bool) -> Options {
        self.recycle = recycle;
        self
    }

    /// Called after each rollover, one call at a time and in order, on a thread of its own. Without
    /// [`background`](Options::background) threads the call that rolled over runs it before it returns; when the callback is
    /// running already, that run also handles this rollover, and a close does not wait for it. The callback holds no lock: it
    /// may append, sync and close. A callback that keeps a [`Wal`] keeps the log open until `close` is called. A panic in it is
    /// caught and ignored. A close first runs the outstanding calls, unless the callback itself closes. Default: no callback.
    ///
    /// [`Wal`]: crate::Wal
    pub fn on_rollover(mut self, call: impl Fn(&Rollover) + Send + Sync + 'static) -> Options {
        self.callbacks.on_rollover = Some(Arc::new(call));
        self
    }

    /// How long an fsync may take before it counts as slow. A slow one is counted in the statistics, passed to
    /// [`on_slow_sync`](Options::on_slow_sync) when it has ended, and shown by [`Wal::health`] while it runs, as is a slow
    /// write. More than zero. Default: 1 s.
    ///
    /// [`Wal::health`]: crate::Wal::health
    pub fn slow_sync(mut self, limit: Duration) -> Options {
        self.slow_sync = limit;
        self
    }

    /// Called once for each slow fsync when it has ended, also when it failed; otherwise like
    /// [`on_rollover`](Options::on_rollover), and on the same thread. The fsyncs of a rollover, a truncation and a close do not
    /// count. Default: no callback.
    pub fn on_slow_sync(mut self, call: impl Fn(&SlowSync) + Send + Sync + 'static) -> Options {
        self.callbacks.on_slow_sync = Some(Arc::new(call));
        self
    }

    /// How many bytes should be free on the file system of the log. With less, [`Wal::health`] reports low space; nothing else
    /// changes. Default: the space of a whole segment.
    ///
    /// [`Wal::health`]: crate::Wal::health
    pub fn low_space_bytes(mut self, bytes: u64) -> Options {
        self.low_space_bytes = Some(bytes);
        self
    }

    /// The largest entry in bytes, at least 1 and below 4 GiB. Default: 64 MiB.
    pub fn max_entry_bytes(mut self, bytes: u64) -> Options {
        self.max_entry_bytes = bytes;
        self
    }

    /// The largest batch in bytes of payload, at least `max_entry_bytes` and below 4 GiB. A batch is held in memory and written
    /// at once. It has at most 1,048,576 entries. Default: 256 MiB, or `max_entry_bytes` if that is more.
    pub fn max_batch_bytes(mut self, bytes: u64) -> Options {
        self.max_batch_bytes = Some(bytes);
        self
    }

    /// Whether closed segments are read through memory mappings. Without, every read is a `pread`, and a device that cannot be
    /// read gives an error instead of SIGBUS. Once the system has refused a mapping, as some network and virtual file systems
    /// do, reads go on without ([`Stats::maps`](crate::Stats::maps)). Default: true.
    pub fn mapped_reads(mut self, mapped: bool) -> Options {
        self.mapped_reads = mapped;
        self
    }

    /// The sequence of the first entry of a new log, below 2^56: for a log that continues another one, or a snapshot. Stored
    /// when the log is created; an existing log, even an empty one, has its own, and this is ignored. Default: 0.
    pub fn first_sequence(mut self, sequence: u64) -> Options {
        self.first_sequence = Some(sequence);
        self
    }

    /// Whether an open creates a log where there is none. A service whose log must exist opens it with
    /// [`OpenMode::MustExist`]: where the file system of the log is not mounted, the open fails instead of beginning a new log in
    /// the empty directory. [`Wal::id`] tells one log from another. Default: [`OpenMode::CreateOrOpen`].
    ///
    /// [`Wal::id`]: crate::Wal::id
    pub fn open_mode(mut self, mode: OpenMode) -> Options {
        self.open_mode = mode;
        self
    }

    /// Which rules of order are kept, to prove that tests notice when one is not.
    #[cfg(zoo)]
    pub fn rules(mut self, rules: Rules) -> Options {
        self.rules = rules;
        self
    }

    /// These options with what the log and the defaults have decided, and without the callbacks, one of which may keep
    /// the log open.
    pub(crate) fn in_force(&self, writer: &Writer) -> Options {
        Options {
            segment_bytes: Some(writer.segment_bytes()),
            checksum: Some(writer.checksum()),
            max_batch_bytes: Some(self.batch_bytes()),
            zero_ahead: Some(self.zeroes_ahead()),
            low_space_bytes: Some(self.low_space_bytes.unwrap_or(writer.segment_bytes())),
            callbacks: Callbacks::default(),
            ..self.clone()
        }
    }

    pub(crate) fn batch_bytes(&self) -> u64 {
        self.max_batch_bytes.unwrap_or(DEFAULT_BATCH_BYTES.max(self.max_entry_bytes))
    }

    /// The largest batch with its rows whose segment is no longer than half of the cap.
    pub(crate) fn most_batch_bytes(&self) -> Option<u64> {
        let longest = self.longest_segment_bytes()?;
        Some(Writer::frame_bytes_within(longest).saturating_sub(FRAME_HEADER_BYTES as u64 + PADDING_BYTES))
    }

    pub(crate) fn zeroes_ahead(&self) -> bool {
        self.zero_ahead.unwrap_or(self.background)
    }
}
