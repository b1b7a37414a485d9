//! What is done to the log, and how it is opened. To add an operation is to add a step here, what it does in
//! [`Model::perform`](crate::machine::Model::perform), and what the oracle makes of it.

use std::ops::Range;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use wal::{Checksum, Durability, Mark, Options, SyncPolicy};
use wal_segment::io::sim::SyncLoss;

use crate::common;
use crate::machine::MINUTE;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Append(usize, Durability),
    Batch(Vec<usize>),
    /// Several threads at once, whatever is armed to fail.
    Together(Vec<(usize, Durability)>),
    Submit(usize, Durability),
    SubmitBatch(Vec<usize>),
    TrySubmit(usize),
    /// One of the commits that nobody has waited for.
    Wait(usize),
    Drop(usize),
    Flush,
    Sync,
    /// A write to come fails, when so many bytes are stored.
    FailWrite(u64, usize),
    /// So much space is left, until all is healed.
    Space(u64),
    /// A sync to come fails.
    FailSync(u64, SyncLoss),
    Close(Setup),
    /// So many eighths stay.
    TruncateAfter(u64),
    /// So many eighths go.
    TruncateBefore(u64),
    /// The segment is ended.
    Roll,
    /// What is behind so many eighths is held.
    Hold(u64),
    /// One of the holds is dropped.
    LetGo(usize),
    /// A follower is made behind so many eighths, in place of the one that there was.
    Follow(u64, Mark),
    /// It comes to all that there is.
    GoOnFollowing,
    /// An entry under a number that is so far beside the next one.
    AppendAt(i64, usize),
    /// A reader is made, shows so many entries, and stays.
    Keep(usize),
    /// It goes on.
    Continue,
    /// All handles are dropped.
    End(Setup),
    Kill(Setup),
    /// Power cut; which of the possible images.
    Cut(Setup, u64),
    Read(Range<u64>),
    Look,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) segment_bytes: u64,
    pub(crate) checksum: Checksum,
    pub(crate) policy: SyncPolicy,
    pub(crate) buffered: Option<u64>,
    pub(crate) max_in_flight_bytes: u64,
    pub(crate) mapped: bool,
    pub(crate) background: bool,
}

impl Setup {
    pub(crate) fn options(self) -> Options {
        let options = Options::new()
            .segment_bytes(self.segment_bytes)
            .checksum(self.checksum)
            .sync(self.policy)
            .max_in_flight_bytes(self.max_in_flight_bytes)
            .mapped_reads(self.mapped)
            .background(self.background);
        self.gathers().into_iter().fold(options, Options::buffered)
    }

    /// A policy that waits has no buffer.
    pub(crate) fn gathers(self) -> Option<u64> {
        self.buffered.filter(|_| !self.policy.waits())
    }

    /// What a call promises that asks for this.
    pub(crate) fn promise(self, asked: Durability) -> Durability {
        if self.gathers().is_some() { asked } else { asked.max(Durability::Written) }
    }

    pub(crate) fn default_promise(self) -> Durability {
        if self.gathers().is_some() { Durability::Buffered } else { self.policy.promise() }
    }
}

pub(crate) fn setup() -> impl Strategy<Value = Setup> {
    let segment_bytes = prop_oneof![Just(12 << 10), (12_u64 << 10)..(40 << 10), Just(1 << 20)];
    let checksum = select(common::CHECKSUMS);
    let policy = prop_oneof![
        Just(SyncPolicy::None),
        Just(SyncPolicy::Immediate),
        (1..6_u64).prop_map(|entries| SyncPolicy::periodic(entries, MINUTE)),
        Just(SyncPolicy::grouped(Duration::ZERO)),
    ];
    let buffered = select(vec![None, None, Some(1), Some(700), Some(4000)]);
    let in_flight = select(vec![4000, 16 << 20]);
    let switches = (any::<bool>(), any::<bool>());
    (segment_bytes, checksum, policy, buffered, in_flight, switches).prop_map(
        |(segment_bytes, checksum, policy, buffered, max_in_flight_bytes, (mapped, background))| Setup {
            segment_bytes,
            checksum,
            policy,
            buffered,
            max_in_flight_bytes,
            mapped,
            background,
        },
    )
}

/// Empty, tiny, about a sector, about a page, most of a segment, and more than one.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        2 => Just(0_usize),
        4 => 1..64_usize,
        2 => 440..540_usize,
        3 => 900..4200_usize,
        1 => 7000..13_000_usize,
        1 => 20_000..60_000_usize,
    ]
}

fn durability() -> impl Strategy<Value = Durability> {
    select(vec![Durability::Buffered, Durability::Written, Durability::Durable])
}

/// How much of a failed write is there: some, or all of it.
fn stored() -> impl Strategy<Value = usize> {
    prop_oneof![0..200_usize, Just(1 << 20)]
}

fn loss() -> impl Strategy<Value = SyncLoss> {
    // One that lies before it fails is beyond every promise.
    select(vec![SyncLoss::CacheNewDiskOld, SyncLoss::CacheReverted, SyncLoss::PartWritten])
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (size(), durability()).prop_map(|(bytes, durability)| Step::Append(bytes, durability)),
        3 => vec(size(), 0..6).prop_map(Step::Batch),
        // Long enough that no two are equal.
        4 => vec((12..600_usize, durability()), 2..5).prop_map(Step::Together),
        8 => (size(), durability()).prop_map(|(bytes, durability)| Step::Submit(bytes, durability)),
        2 => vec(size(), 1..5).prop_map(Step::SubmitBatch),
        1 => size().prop_map(Step::TrySubmit),
        3 => (0..9_usize).prop_map(Step::Wait),
        1 => (0..9_usize).prop_map(Step::Drop),
        2 => Just(Step::Flush),
        3 => Just(Step::Sync),
        4 => (0..3_u64, stored()).prop_map(|(nth, stored)| Step::FailWrite(nth, stored)),
        1 => (0..40_000_u64).prop_map(Step::Space),
        1 => (0..3_u64, loss()).prop_map(|(nth, loss)| Step::FailSync(nth, loss)),
        2 => setup().prop_map(Step::Close),
        3 => (0..=8_u64).prop_map(Step::TruncateAfter),
        3 => (0..=8_u64).prop_map(Step::TruncateBefore),
        3 => Just(Step::Roll),
        2 => (0..=8_u64).prop_map(Step::Hold),
        2 => (0..9_usize).prop_map(Step::LetGo),
        2 => (0..=8_u64, select(vec![Mark::Written, Mark::Durable]))
            .prop_map(|(eighths, mark)| Step::Follow(eighths, mark)),
        3 => Just(Step::GoOnFollowing),
        3 => (select(vec![0_i64, 0, 0, -1, 1]), size()).prop_map(|(beside, bytes)| Step::AppendAt(beside, bytes)),
        2 => (0..9_usize).prop_map(Step::Keep),
        2 => Just(Step::Continue),
        1 => setup().prop_map(Step::End),
        2 => setup().prop_map(Step::Kill),
        3 => (setup(), any::<u64>()).prop_map(|(setup, image)| Step::Cut(setup, image)),
        2 => (0..40_u64, 0..40_u64).prop_map(|(start, more)| Step::Read(start..start + more)),
        1 => Just(Step::Look),
    ]
}
