//! The log under test, what it must be, and one step.

use std::time::Duration;

use wal::{Commit, Durability, ErrorKind, Hold, Wal};
use wal_segment::io::sim::{CallKind, CrashModel, FaultEffect, SimDisk, Times};

use crate::common::oracle::Oracle;
use crate::common::{contents, enospc, fault, open};
use crate::living::Following;
use crate::reading::Kept;
use crate::step::{Setup, Step};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
/// For what comes by itself, and at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The log under test, and what it must be.
pub(crate) struct Model {
    pub(crate) disk: SimDisk,
    pub(crate) setup: Setup,
    pub(crate) oracle: Oracle,
    pub(crate) wal: Option<Wal>,
    /// Commits that nobody has waited for, with what they promise.
    pub(crate) pending: Vec<(Commit, Durability)>,
    /// A reader that was made earlier.
    pub(crate) kept: Option<Kept>,
    pub(crate) following: Option<Following>,
    pub(crate) holds: Vec<Hold>,
    pub(crate) first: u64,
    pub(crate) written: u64,
    pub(crate) durable: u64,
    pub(crate) poisoned: bool,
    /// Entries in front of this have gathered, and a failed write may not take them back.
    pub(crate) gathered: u64,
    /// A write may have failed since the last look.
    pub(crate) write_fails: bool,
    /// A sync may have failed, and nobody has been told so far.
    pub(crate) sync_fails: bool,
}

impl Model {
    pub(crate) fn new(setup: Setup, seed: u64) -> Model {
        let disk = SimDisk::new(seed);
        let wal = Some(open(&disk, &setup.options()));
        let (oracle, pending) = (Oracle::default(), Vec::new());
        Model {
            disk,
            setup,
            oracle,
            wal,
            pending,
            kept: None,
            following: None,
            holds: Vec::new(),
            first: 0,
            written: 0,
            durable: 0,
            poisoned: false,
            gathered: 0,
            write_fails: false,
            sync_fails: false,
        }
    }

    pub(crate) fn wal(&self) -> Wal {
        self.wal.clone().expect("open between steps")
    }

    pub(crate) fn perform(&mut self, step: &Step) {
        let wal = self.wal();
        match step {
            Step::Append(bytes, asked) => {
                let group = self.group(&[*bytes]);
                let appended = wal.append_with(&group[0], *asked);
                self.appended(appended, group, self.setup.promise(*asked));
            }
            Step::Batch(sizes) if sizes.is_empty() => {
                let numbers = match wal.append_batch(&[] as &[&[u8]]) {
                    Ok(numbers) => numbers,
                    Err(error) => {
                        // Nothing is written, so all that it can meet is a sync that failed by itself.
                        assert!(self.setup.background && error.kind() == ErrorKind::Poisoned, "{error}");
                        return self.leave_poisoned(None);
                    }
                };
                assert!(numbers.is_empty() && numbers.start >= self.gathered);
                if self.write_fails && numbers.start < self.oracle.next() {
                    self.oracle.failed(numbers.start, None);
                }
                assert_eq!(numbers.start, self.oracle.next());
            }
            Step::Batch(sizes) => {
                let group = self.group(sizes);
                let appended = wal.append_batch(&group).map(|numbers| numbers.start);
                self.appended(appended, group, self.setup.default_promise());
            }
            Step::Together(appends) => self.append_together(appends),
            Step::Submit(bytes, asked) => {
                let group = self.group(&[*bytes]);
                let submitted = wal.submit_with(&group[0], *asked);
                self.submitted(submitted, group, self.setup.promise(*asked));
            }
            Step::SubmitBatch(sizes) => {
                let group = self.group(sizes);
                let submitted = wal.submit_batch(&group);
                self.submitted(submitted, group, self.setup.default_promise());
            }
            Step::TrySubmit(bytes) => {
                let group = self.group(&[*bytes]);
                match wal.try_submit(&group[0]) {
                    Err(error) if error.kind() == ErrorKind::Backpressure => {}
                    submitted => self.submitted(submitted, group, self.setup.default_promise()),
                }
            }
            Step::Wait(which) => {
                if self.pending.is_empty() {
                    return;
                }
                let (commit, promise) = self.pending.swap_remove(which % self.pending.len());
                match commit.wait() {
                    Ok(number) => {
                        assert_eq!(number, commit.sequence());
                        self.is_kept(number, promise);
                    }
                    Err(error) => self.failed(&error, None),
                }
            }
            Step::Drop(which) => {
                if !self.pending.is_empty() {
                    drop(self.pending.swap_remove(which % self.pending.len()));
                }
            }
            Step::Flush => match wal.flush() {
                Ok(()) => self.is_all_written(),
                Err(error) => self.failed(&error, None),
            },
            Step::Sync => match wal.sync() {
                Ok(()) => {
                    self.is_all_written();
                    assert_eq!(wal.durable_end(), self.oracle.next());
                }
                Err(error) => self.failed(&error, None),
            },
            Step::FailWrite(nth, stored) => {
                let effect = FaultEffect::PartialThenError(*stored, enospc());
                self.disk.fail(fault(CallKind::Write, *nth, Times::Once, effect));
                self.write_fails = true;
            }
            Step::Space(bytes) => {
                self.disk.space(Some(*bytes));
                self.write_fails = true;
            }
            Step::FailSync(nth, loss) => {
                self.disk.fail(fault(CallKind::SyncFile, *nth, Times::Once, FaultEffect::SyncLoss(*loss)));
                // What a reader comes to may be lost with it.
                (self.kept, self.following) = (None, None);
                // It may be one that a write needs.
                (self.write_fails, self.sync_fails) = (true, true);
            }
            Step::Close(setup) => {
                drop(wal);
                self.heal();
                self.go_on_following();
                let wal = self.wal.take().expect("open between steps");
                wal.close().expect("nothing fails");
                self.followers_end();
                self.reopen(*setup, self.oracle.next());
            }
            Step::TruncateAfter(eighths) => self.truncate_after(*eighths),
            Step::TruncateBefore(eighths) => self.truncate_before(*eighths),
            Step::Roll => self.roll(),
            Step::Hold(eighths) => self.hold(*eighths),
            Step::LetGo(which) => self.let_go(*which),
            Step::Follow(eighths, mark) => self.follow(*eighths, *mark),
            Step::GoOnFollowing => self.go_on_following(),
            Step::AppendAt(beside, bytes) => self.append_at(*beside, *bytes),
            Step::Keep(entries) => self.keep_a_reader(*entries),
            Step::Continue => self.go_on_reading(),
            Step::End(setup) => {
                drop(wal);
                self.heal();
                drop(self.wal.take());
                self.reopen(*setup, self.oracle.next());
            }
            Step::Kill(setup) => {
                (self.durable, self.written) = (wal.durable_end(), wal.written_end());
                self.disk = self.disk.kill();
                let may_be_poisoned = self.setup.background && self.sync_fails;
                self.reopen(*setup, if may_be_poisoned { self.durable } else { self.written });
            }
            Step::Cut(setup, image) => {
                self.durable = wal.durable_end();
                let model = CrashModel { exhaustive_up_to: 8, random: 8, tearing: 4, garbage: 4 };
                let mut images = self.disk.crash_images(model, *image);
                let place = usize::try_from(*image % images.len() as u64).expect("few images");
                self.disk = images.nth(place).expect("below their number");
                self.reopen(*setup, self.durable);
            }
            Step::Read(range) => self.read(range),
            Step::Look => self.look(),
        }
        self.check();
    }

    /// What holds between any two steps.
    pub(crate) fn check(&mut self) {
        let wal = self.wal();
        let (durable, written) = (wal.durable_end(), wal.written_end());
        // A sync that nobody waited for is told to whoever comes next.
        let shown = match self.entries() {
            Some(shown) if !self.poisoned => shown,
            _ => return self.leave_poisoned(None),
        };
        assert!(
            wal.first() == self.first && self.written <= written && self.durable <= durable,
            "a watermark fell"
        );
        assert!(durable <= written && written <= self.oracle.next(), "{durable}, {written}");
        if !self.setup.background {
            assert_eq!((wal.written_end(), shown.len() as u64), (written, written));
            assert_eq!(wal.last(), (written > self.first).then(|| written - 1));
            assert_eq!(wal.is_empty(), written == self.first);
        }
        assert!((written..=self.oracle.next()).contains(&(shown.len() as u64)), "{written}, {}", shown.len());
        assert_eq!(shown, self.oracle.entries_before(shown.len() as u64));
        (self.written, self.durable) = (written, durable);
        self.oracle.written(written);
        if self.write_fails {
            // Whoever only had to be numbered, or was not waited for, is not told.
            self.oracle.failed_and_kept(written);
        }
        self.forget_failed();
        for (commit, promise) in &self.pending {
            if let Some(Ok(number)) = commit.outcome() {
                self.is_kept(number, *promise);
            }
        }
    }

    /// On the disk that is left. At least so much must be there, and no more than was written.
    pub(crate) fn reopen(&mut self, setup: Setup, least: u64) {
        // Behind the end of its log; the next one removes what no lease of its own holds.
        self.go_on_reading();
        // With threads in the background it is not known what was written at the last moment.
        let most = if self.setup.background { self.oracle.next() } else { self.written };
        // What was joined and not written may be handed to the disk that is left behind.
        self.wal = None;
        self.pending.clear();
        self.following = None;
        self.holds.clear();
        self.setup = setup;
        (self.poisoned, self.write_fails, self.sync_fails) = (false, false, false);
        // To open a log takes no space.
        let wal = open(&self.disk, &setup.options());
        self.disk.space(None);
        assert_eq!(wal.first(), self.first, "a truncation is there, and no other");
        let shown = self.whole(contents(&wal));
        if let Err(broken) = self.oracle.adopt(&shown, least..=most.max(least)) {
            panic!("{broken}\n{}", self.disk.origin());
        }
        assert_eq!(wal.durable_end(), shown.len() as u64, "what an open shows is durable");
        (self.written, self.durable, self.gathered) = (wal.written_end(), wal.durable_end(), 0);
        self.wal = Some(wal);
    }
}
