//! What the proofs run on: the logs and how each is opened, their policies, directories that are slow or wrong on
//! purpose, the `wal` binary, a place for files, all cores.

pub(crate) mod cores;
pub(crate) mod faulty;
pub(crate) mod lines;
pub(crate) mod paced;
pub(crate) mod policy;
pub(crate) mod program;
pub(crate) mod scratch;

use std::sync::Arc;

use wal::sim::SimDisk;
use wal::{Checksum, Directory, Error, Options, Wal};

use crate::setup::faulty::Faulty;
use crate::setup::policy::Policy;

/// The smallest segments that are explored; the others are a third longer.
pub(crate) const SMALLEST_SEGMENT: u64 = 12 << 10;

/// How the logs of an exploration are opened, and what is wrong with them on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) policy: Policy,
    pub(crate) segment_bytes: u64,
    pub(crate) checksum: Checksum,
    /// The anchor is written only where a rule asks for it (in builds that can switch rules off).
    pub(crate) anchor_lags: bool,
    /// The number of the first entry.
    pub(crate) first: u64,
    pub(crate) faulty: Faulty,
}

impl Setup {
    pub(crate) fn options(&self) -> Options {
        let lies = self.policy.waits() && self.faulty == Faulty::AcknowledgesBeforeSync;
        let policy = if lies { Policy::None } else { self.policy };
        let options = Options::new().segment_bytes(self.segment_bytes).checksum(self.checksum);
        let options = options.first_sequence(self.first);
        let options = policy.options(options).background(false).zero_ahead(self.zeroes_ahead());
        self.faulty.options(options, self.anchor_lags)
    }

    /// Half of the setups, one under each policy: zeros are operations more, in which a power cut meets
    /// nothing else.
    fn zeroes_ahead(&self) -> bool {
        self.segment_bytes > SMALLEST_SEGMENT
    }

    pub(crate) fn directory(&self, disk: &SimDisk) -> Arc<dyn Directory> {
        self.faulty.wrap(Arc::new(disk.clone()))
    }

    pub(crate) fn open(&self, disk: &SimDisk) -> Result<Wal, Error> {
        self.options().open_in(self.directory(disk))
    }
}

/// Setups in turn, so that each kind of log is visited early. Tuples name them by their place, so new
/// ones come last.
pub(crate) fn setups(faulty: Faulty) -> [Setup; 12] {
    let setup = |policy, segment_bytes, checksum, anchor_lags| Setup {
        policy,
        segment_bytes,
        checksum,
        anchor_lags,
        first: 0,
        faulty,
    };
    // As if so many entries were dropped before.
    let begins_at = |first, setup: Setup| Setup { first, ..setup };
    [
        setup(Policy::Immediate, SMALLEST_SEGMENT, Checksum::Crc32, false),
        setup(Policy::None, 16 << 10, Checksum::Crc32, true),
        setup(Policy::None, SMALLEST_SEGMENT, Checksum::Crc32, false),
        setup(Policy::Immediate, 16 << 10, Checksum::Crc64, true),
        setup(Policy::Grouped, 16 << 10, Checksum::Crc32, false),
        setup(Policy::Periodic, SMALLEST_SEGMENT, Checksum::Crc32, true),
        setup(Policy::Buffered, SMALLEST_SEGMENT, Checksum::Crc32, false),
        setup(Policy::Grouped, SMALLEST_SEGMENT, Checksum::Crc64, true),
        setup(Policy::Periodic, 16 << 10, Checksum::Crc64, false),
        setup(Policy::Buffered, 16 << 10, Checksum::Crc32, true),
        begins_at(5, setup(Policy::Immediate, SMALLEST_SEGMENT, Checksum::Crc32, false)),
        begins_at(300, setup(Policy::None, SMALLEST_SEGMENT, Checksum::Crc64, true)),
    ]
}
