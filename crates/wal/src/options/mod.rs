//! How a log is opened: values with defaults, checked once, at `open`. Nothing here knows a log that is open.

#[cfg(feature = "config")]
mod config;
pub(crate) mod directory;
pub(crate) mod retention;

use std::time::Duration;

use wal_format::{
    ChecksumKind, FRAME_HEADER_BYTES, MAX_FRAME_PAYLOAD_BYTES, MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES, Sequence,
};
use wal_segment::{OpenMode, Rules, Writer};
use wal_sync::SyncPolicy;

use crate::error::{Error, ErrorKind};
use crate::options::retention::Keeping;
use crate::report::event::{Callback, Callbacks, Rollover, SlowSync};

/// How a log is opened, with defaults that a database could run on.
///
/// With the feature `config` it is also a value for serde: a section of a configuration file becomes options, and
/// options can be shown. The names are those of the methods, with the unit where there is one
/// (`segment_bytes`, `slow_sync_ms`, `buffered_bytes`); times are milliseconds and may have a fraction; what is
/// absent has its default, and an unknown name is an error. A policy is `{ policy = "periodic", entries = 1000, interval_ms = 10 }`,
/// `{ policy = "grouped", window_ms = 1 }`, or `none` or `immediate` alone. Whether values can work is checked at `open`, as for any others.
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
    pub(crate) spares: usize,
    pub(crate) first_sequence: Option<u64>,
    pub(crate) open_mode: OpenMode,
    pub(crate) slow_sync: Duration,
    pub(crate) low_space_bytes: Option<u64>,
    pub(crate) callbacks: Callbacks,
    pub(crate) keeping: Keeping,
    pub(crate) rules: Rules,
}

/// More than any burst that a disk keeps up with; and each takes the space of a segment.
const MOST_SPARES: usize = 64;
/// A frame is filled up to a multiple of eight bytes.
const PADDING_BYTES: u64 = 7;

const DEFAULT_BATCH_BYTES: u64 = 256 << 20;

/// No disk in order takes so long, a network file system on a bad day does.
const DEFAULT_SLOW_SYNC: Duration = Duration::from_secs(1);

/// Enough that a disk which takes a gigabyte a second is kept busy across a sync of some milliseconds.
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
            spares: 1,
            first_sequence: None,
            open_mode: OpenMode::default(),
            slow_sync: DEFAULT_SLOW_SYNC,
            low_space_bytes: None,
            callbacks: Callbacks::default(),
            keeping: Keeping::default(),
            rules: Rules::default(),
        }
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Options {
        Options::default()
    }

    /// How long a segment file gets, in bytes: from 12 KiB to 32 GiB. The first ones of a log are
    /// shorter. A smaller size also ends the present segment, once it holds that much; a larger one counts from the next
    /// segment. Kept in the log. Default: what the log has, or 64 MiB.
    pub fn segment_bytes(mut self, bytes: u64) -> Options {
        self.segment_bytes = Some(bytes);
        self
    }

    /// How payloads are checked. Another kind than the last segment's makes the first append begin a segment. Kept in the
    /// log. Default: what the log has, or CRC-32.
    pub fn checksum(mut self, kind: ChecksumKind) -> Options {
        self.checksum = Some(kind);
        self
    }

    /// When entries become durable. Default: [`SyncPolicy::Grouped`] with a window of 1 ms. A window or
    /// interval below 100 us becomes 100 us, a count of no entries one.
    pub fn sync(mut self, policy: SyncPolicy) -> Options {
        self.sync = policy.clamped();
        self
    }

    /// Lets entries gather in this process: an append under `none` or `periodic` returns once its entry is
    /// numbered, and the operating system gets what has gathered when it is this much, with a sync, with
    /// [`Wal::flush`] and at close. The death of the process loses what it does not have. At least 1 byte,
    /// at most `max_in_flight_bytes`. Default: nothing gathers.
    ///
    /// [`Wal::flush`]: crate::Wal::flush
    pub fn buffered(mut self, bytes: u64) -> Options {
        self.buffered = Some(bytes);
        self
    }

    /// How many bytes may be appended and not yet be what was asked for, written or durable; whoever
    /// appends more waits. A single entry or batch may be larger. At least 1. Default: 16 MiB.
    pub fn max_in_flight_bytes(mut self, bytes: u64) -> Options {
        self.max_in_flight_bytes = bytes;
        self
    }

    /// Whether threads prepare segments, write the anchor, and sync what nobody waits for and for company that
    /// is too large to be waited for. Without them the call that needs it does it:
    /// [`Commit::wait`](crate::Commit::wait) writes and syncs, and so does awaiting a commit, which blocks;
    /// a periodic sync runs in the append that finds it due. For tests that repeat exactly, and for places without
    /// threads. Default: true.
    pub fn background(mut self, background: bool) -> Options {
        self.background = background;
        self
    }

    /// Whether segments are filled with zeros before they are used, while there is time. A sync of a few
    /// entries has less to write then, because the file system has nothing of its own to note; each byte of the
    /// log is written twice for it. It is only done while syncs are small. No use on file systems that never write in place, such as btrfs and ZFS. Default: with
    /// [`background`](Options::background) threads. Without them the append that orders a segment waits
    /// until it is zeroed.
    pub fn zero_ahead(mut self, zero: bool) -> Options {
        self.zero_ahead = Some(zero);
        self
    }

    /// Whether the files of segments that a truncation has left are used again for later segments. That
    /// saves making and zeroing a new file, and a sync into space that is in use already has less to write; it
    /// takes no space that the log did not have. As many as [`spares`](Options::spares) wait; the others
    /// are removed. A file that a reader still has, in this process or in another, or
    /// that has another name, is removed and never used again. Switch it off where a network file system lets readers in
    /// that do not see locks, and on file systems that never write in place, such as btrfs and ZFS, where it is of no use. Without effect on Windows. Default: true.
    pub fn recycle(mut self, recycle: bool) -> Options {
        self.recycle = recycle;
        self
    }

    /// How many files are kept ready ahead of the log, from 1 to 64: the prepared next segment, and files
    /// with space that only need their headers. Each takes the space of a segment. They are made once a segment
    /// is half full, so a small log has none, and are given up at close and when a write or a new segment finds
    /// the disk full. More than one helps when segments fill up faster than a new file can be made. Default: 1.
    pub fn spares(mut self, count: usize) -> Options {
        self.spares = count;
        self
    }

    /// Calls back after each turn to another segment, one at a time and in order, on a thread of its own.
    /// Without [`background`](Options::background) threads it is the call that turned over, before it returns,
    /// unless the callback runs already, in another thread or in this one: then that goes on with it, and a
    /// close does not wait for it. No
    /// lock is held: the callback may append, sync and close. A callback that keeps a [`Wal`] keeps the log open
    /// until somebody closes it. A panic in it is contained and changes
    /// nothing. At close those that are outstanding are called first, unless the callback itself closes. Default:
    /// nobody is called.
    ///
    /// [`Wal`]: crate::Wal
    pub fn on_rollover(mut self, call: impl Fn(&Rollover) + Send + Sync + 'static) -> Options {
        self.callbacks.on_rollover = Some(Callback::new(call));
        self
    }

    /// From which time on a sync is slow: it is counted, [`on_slow_sync`](Options::on_slow_sync) is called when it
    /// has ended, and [`Wal::health`] shows it, or a write, when it has not. More than zero. Default: 1 s.
    ///
    /// [`Wal::health`]: crate::Wal::health
    pub fn slow_sync(mut self, limit: Duration) -> Options {
        self.slow_sync = limit;
        self
    }

    /// Calls back once for each slow sync, when it has ended, also when it failed; else as
    /// [`on_rollover`](Options::on_rollover), on the same thread. The syncs of a rollover, a truncation and a
    /// close do not count. Default: nobody is called.
    pub fn on_slow_sync(mut self, call: impl Fn(&SlowSync) + Send + Sync + 'static) -> Options {
        self.callbacks.on_slow_sync = Some(Callback::new(call));
        self
    }

    /// How many bytes should be free on the file system of the log; with less, [`Wal::health`] says that space
    /// is low. Nothing else changes. Default: what a whole segment takes.
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

    /// The largest batch in bytes of payload, at least as large as the largest entry and below 4 GiB; a
    /// batch is written at once and held in memory for that. It has at most 1,048,576 entries, whatever they take.
    /// Default: 256 MiB, or the largest entry if that is more.
    pub fn max_batch_bytes(mut self, bytes: u64) -> Options {
        self.max_batch_bytes = Some(bytes);
        self
    }

    /// Whether closed segments are read through memory mappings. Without, every read is a positional
    /// one, and a device that cannot be read gives an error instead of a signal. So it is, too, once the system has
    /// refused a mapping, as some network and virtual file systems do: [`Stats::maps`](crate::Stats::maps) says so. Default:
    /// true.
    pub fn mapped_reads(mut self, mapped: bool) -> Options {
        self.mapped_reads = mapped;
        self
    }

    /// The number of the first entry of a log that is made new, below 2^56: for a log that goes on where another
    /// one, or a snapshot, has ended. Written down when the log is made; a log that exists already, also one
    /// without an entry, has its own, and this is ignored. Default: 0.
    pub fn first_sequence(mut self, sequence: u64) -> Options {
        self.first_sequence = Some(sequence);
        self
    }

    /// Whether an open makes a log where there is none. A service whose log should be there opens it with
    /// [`OpenMode::MustExist`]: where the file system of the log is not mounted, it is told so, instead of beginning a new
    /// log in the empty directory. [`Wal::id`] tells one log from another. Default: [`OpenMode::CreateOrOpen`].
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

    pub(crate) fn batch_bytes(&self) -> u64 {
        self.max_batch_bytes.unwrap_or(DEFAULT_BATCH_BYTES.max(self.max_entry_bytes))
    }

    /// The largest batch with its rows whose segment is no longer than half of the cap.
    pub(crate) fn most_batch_bytes(&self) -> Option<u64> {
        let longest = self.keeping.longest_segment_bytes()?;
        Some(Writer::frame_bytes_within(longest).saturating_sub(FRAME_HEADER_BYTES as u64 + PADDING_BYTES))
    }

    pub(crate) fn zeroes_ahead(&self) -> bool {
        self.zero_ahead.unwrap_or(self.background)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidOptions, message));
        if let Some(bytes) = self.segment_bytes
            && !(MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&bytes)
        {
            return invalid(format!(
                "segment_bytes is {bytes}; it must be from {MIN_SEGMENT_BYTES} to {MAX_SEGMENT_BYTES}"
            ));
        }
        if !(1..=MAX_FRAME_PAYLOAD_BYTES).contains(&self.max_entry_bytes) {
            let found = self.max_entry_bytes;
            return invalid(format!(
                "max_entry_bytes is {found}; it must be from 1 to {MAX_FRAME_PAYLOAD_BYTES}"
            ));
        }
        if !(self.max_entry_bytes..=MAX_FRAME_PAYLOAD_BYTES).contains(&self.batch_bytes()) {
            let (found, least) = (self.batch_bytes(), self.max_entry_bytes);
            return invalid(format!(
                "max_batch_bytes is {found}; it must be from max_entry_bytes ({least}) to {MAX_FRAME_PAYLOAD_BYTES}"
            ));
        }
        self.keeping.check(self.segment_bytes)?;
        if self.max_in_flight_bytes == 0 {
            return invalid("max_in_flight_bytes is 0; it must be at least 1".to_owned());
        }
        if let Some(first) = self.first_sequence
            && Sequence::try_from(first).is_err()
        {
            let most = Sequence::MAX;
            return invalid(format!("first_sequence is {first}; it must be at most {most}"));
        }
        if self.slow_sync.is_zero() {
            return invalid("slow_sync is 0; it must be more".to_owned());
        }
        if !(1..=MOST_SPARES).contains(&self.spares) {
            let found = self.spares;
            return invalid(format!("spares is {found}; it must be from 1 to {MOST_SPARES}"));
        }
        if let Some(bytes) = self.buffered {
            if self.sync.waits() {
                let policy = self.sync.name();
                return invalid(format!("buffered is for the policies none and periodic, not for {policy}"));
            }
            if !(1..=self.max_in_flight_bytes).contains(&bytes) {
                let most = self.max_in_flight_bytes;
                return invalid(format!(
                    "buffered is {bytes}; it must be from 1 to max_in_flight_bytes ({most})"
                ));
            }
        }
        Ok(())
    }
}
