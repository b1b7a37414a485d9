//! The log against a plain vector: random operations, kills and power cuts.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside the seams")]

mod common;

use std::ops::Range;

use common::{Ledger, contents, open, read};
use proptest::collection::vec;
use proptest::prelude::*;
use wal::{Checksum, ErrorKind, Options, SyncPolicy, Wal};
use wal_segment::io::sim::{CrashModel, SimDisk};

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Batch(Vec<usize>),
    Sync,
    Close(Setup),
    Kill(Setup),
    /// Power cut; which of the possible images.
    Cut(Setup, u64),
    Read(Range<u64>),
    Look,
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    segment_bytes: u64,
    checksum: Checksum,
    waits: bool,
    mapped: bool,
}

impl Setup {
    fn options(self) -> Options {
        Options::new()
            .segment_bytes(self.segment_bytes)
            .checksum(self.checksum)
            .sync(self.policy())
            .mapped_reads(self.mapped)
            .background(false)
    }

    fn policy(self) -> SyncPolicy {
        if self.waits { SyncPolicy::Immediate } else { SyncPolicy::None }
    }
}

fn setup() -> impl Strategy<Value = Setup> {
    let segment_bytes = prop_oneof![Just(12 << 10), (12_u64 << 10)..(40 << 10), Just(1 << 20)];
    let checksum = proptest::sample::select(common::CHECKSUMS);
    (segment_bytes, checksum, any::<bool>(), any::<bool>())
        .prop_map(|(segment_bytes, checksum, waits, mapped)| Setup { segment_bytes, checksum, waits, mapped })
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

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => size().prop_map(Step::Append),
        3 => vec(size(), 0..6).prop_map(Step::Batch),
        3 => Just(Step::Sync),
        2 => setup().prop_map(Step::Close),
        2 => setup().prop_map(Step::Kill),
        3 => (setup(), any::<u64>()).prop_map(|(setup, image)| Step::Cut(setup, image)),
        2 => (0..40_u64, 0..40_u64).prop_map(|(start, more)| Step::Read(start..start + more)),
        1 => Just(Step::Look),
    ]
}

/// The log under test, and what it must be.
struct Model {
    disk: SimDisk,
    setup: Setup,
    ledger: Ledger,
    wal: Option<Wal>,
}

impl Model {
    fn new(setup: Setup, seed: u64) -> Model {
        let disk = SimDisk::new(seed);
        let wal = Some(open(&disk, &setup.options()));
        Model { disk, setup, ledger: Ledger::new(setup.policy()), wal }
    }

    fn wal(&self) -> &Wal {
        self.wal.as_ref().expect("open between steps")
    }

    fn perform(&mut self, step: &Step) {
        match step {
            Step::Append(bytes) => {
                let wal = self.wal.as_ref().expect("open between steps");
                self.ledger.append(wal, *bytes).expect("nothing fails");
            }
            Step::Batch(sizes) if sizes.is_empty() => {
                let next = self.ledger.entries().len() as u64;
                assert_eq!(self.wal().append_batch(&[] as &[&[u8]]).expect("nothing fails"), next..next);
            }
            Step::Batch(sizes) => {
                let wal = self.wal.as_ref().expect("open between steps");
                self.ledger.batch(wal, sizes).expect("nothing fails");
            }
            Step::Sync => {
                let wal = self.wal.as_ref().expect("open between steps");
                self.ledger.sync(wal).expect("nothing fails");
            }
            Step::Close(setup) => {
                let wal = self.wal.take().expect("open between steps");
                self.ledger.close(wal).expect("nothing fails");
                self.reopen(*setup, true);
            }
            Step::Kill(setup) => {
                self.wal = None;
                self.disk = self.disk.kill();
                self.reopen(*setup, true);
            }
            Step::Cut(setup, image) => {
                self.wal = None;
                let model = CrashModel { exhaustive_up_to: 8, random: 8, tearing: 4, garbage: 4 };
                let mut images = self.disk.crash_images(model, *image);
                let place = usize::try_from(*image % images.len() as u64).expect("few images");
                self.disk = images.nth(place).expect("below their number");
                self.reopen(*setup, false);
            }
            Step::Read(range) => self.read(range),
            Step::Look => self.look(),
        }
        let entries = self.ledger.entries().len() as u64;
        let wal = self.wal();
        assert_eq!((wal.first(), wal.written()), (0, entries));
        assert_eq!(wal.last(), entries.checked_sub(1));
        assert_eq!(wal.is_empty(), entries == 0);
        assert!(wal.durable() <= entries);
        assert!(wal.durable() >= self.ledger.durable_entries().len() as u64);
    }

    fn reopen(&mut self, setup: Setup, all: bool) {
        self.wal = None;
        self.setup = setup;
        let wal = open(&self.disk, &setup.options());
        let shown = contents(&wal);
        let checked = if all { self.ledger.check_kill(&shown) } else { self.ledger.check_power_cut(&shown) };
        if let Err(broken) = checked {
            panic!("{broken}\n{}", self.disk.origin());
        }
        assert_eq!(wal.durable(), shown.len() as u64, "what an open shows is durable");
        self.ledger.adopt(&shown);
        self.ledger.set_policy(setup.policy());
        self.wal = Some(wal);
    }

    fn read(&self, range: &Range<u64>) {
        let entries = self.ledger.entries();
        let length = entries.len() as u64;
        let within = |number: u64| usize::try_from(number.min(length)).expect("few entries");
        let expected = &entries[within(range.start)..within(range.end)];
        let (shown, error) = read(self.wal().range(range.clone()).expect("open"));
        assert!(error.is_none() && shown == expected, "{range:?}: {} entries, {error:?}", shown.len());
        match self.wal().read_from(range.start) {
            Ok(found) => {
                assert!(range.start <= length);
                let (shown, error) = read(found);
                assert!(error.is_none() && shown == entries[within(range.start)..], "from {}", range.start);
            }
            Err(error) => {
                assert!(range.start > length);
                assert_eq!(error.kind(), ErrorKind::OutOfRange);
            }
        }
    }

    /// A reader without the lock, beside the writer.
    fn look(&self) {
        let before = common::directory(&self.disk);
        let view = common::view(&self.disk);
        let (shown, error) = read(view.range(..));
        assert!(error.is_none() && shown == self.ledger.entries(), "a view of {} entries", shown.len());
        let found = view.verify().expect("readable");
        assert!(found.damages.is_empty(), "{:?}", found.damages);
        assert_eq!(found.entries, shown.len() as u64);
        assert!(view.durable() <= view.written());
        assert!(common::directory(&self.disk) == before, "a view changed something");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_what_a_vector_would_be_through_every_kill_and_power_cut(
        setup in setup(),
        steps in vec(step(), 1..40),
        seed in any::<u64>(),
    ) {
        let mut model = Model::new(setup, seed);
        for step in &steps {
            model.perform(step);
        }
        model.look();
        model.perform(&Step::Close(setup));
    }
}
