//! Runs scripts, cuts the power at every disk operation, and opens every image that a cut may leave.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wal::ErrorKind;
use wal::sim::{CallKind, CrashModel, Failure, Fault, FaultEffect, SimDisk, Times};

use crate::crash::coverage::Coverage;
use crate::crash::damage;
use crate::crash::life::{End, live};
use crate::crash::reproducer::{Reproducer, Stage};
use crate::crash::script::{Operation, Script};
use crate::oracle::check_image::{check_image, panic_message, read_log};
use crate::oracle::expected_log::{Crash, ExpectedLog};
use crate::oracle::promise::{Broken, Promise};
use crate::setup::Setup;
use crate::setup::policy::Policy;

/// A broken promise, and how to reproduce it.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) broken: Broken,
    pub(crate) reproducer: Reproducer,
    pub(crate) states: u64,
}

/// States that were checked.
pub(crate) type Checked = HashSet<(Policy, u64, u64)>;

/// Explores the states of one setup.
pub(crate) struct Explorer<'a> {
    pub(crate) setup: Setup,
    pub(crate) seed: u64,
    /// Seed and setup, to which stages are added.
    pub(crate) origin: Reproducer,
    pub(crate) coverage: &'a mut Coverage,
    /// Distinct states, by the policy, the hash of the image and that of what the oracle knows.
    pub(crate) checked: Checked,
    /// How many power cuts may follow each other.
    pub(crate) depth: u32,
    /// Counts images, to choose samples.
    pub(crate) counter: u64,
    /// Counts cuts at which the process could be killed instead.
    pub(crate) kills: u64,
}

/// Where a life begins.
struct Start {
    disk: SimDisk,
    expected: ExpectedLog,
    /// The crash before this life.
    after: Crash,
    reproducer: Reproducer,
}

type Explored = Result<(), Box<Violation>>;

impl<'a> Explorer<'a> {
    pub(crate) fn new(
        setup: Setup,
        seed: u64,
        setup_index: usize,
        coverage: &'a mut Coverage,
    ) -> Explorer<'a> {
        let origin = Reproducer { seed, setup: setup_index, stages: Vec::new() };
        let checked = Checked::new();
        Explorer { setup, seed, origin, coverage, checked, depth: 2, counter: 0, kills: 0 }
    }

    /// Everything about one script: each cut, each image, and the damage at its end.
    pub(crate) fn script(&mut self, script: &Script, model: CrashModel) -> Explored {
        let fresh = SimDisk::new(self.seed);
        let origin = self.origin.clone();
        let expected = ExpectedLog::beginning_at(self.setup.first);
        let start = Start { disk: fresh, expected, after: Crash::PowerCut, reproducer: origin };
        self.lives(&start, script, model, self.depth)
    }

    /// One state again, with every check that there is.
    pub(crate) fn replay(&mut self, reproducer: &Reproducer) -> Explored {
        let (disk, expected) = (SimDisk::new(self.seed), ExpectedLog::beginning_at(self.setup.first));
        let mut start = Start { disk, expected, after: Crash::PowerCut, reproducer: self.origin.clone() };
        for stage in &reproducer.stages {
            start.disk.keep_log(true);
            let (ended, left, _) = self.run(&start, stage)?;
            let reproducer = extended(&start.reproducer, stage.clone());
            println!(
                "after {reproducer}: {} entries, {} of them durable",
                left.entries(),
                left.durable_entries()
            );
            for line in ended.log() {
                println!("    {line}");
            }
            let (disk, after) = match &stage.pick {
                Some(pick) => (ended.crash_image(pick), Crash::PowerCut),
                None => (ended.kill(), Crash::Kill),
            };
            start = Start { disk, expected: left, after, reproducer };
        }
        let Start { disk, expected, after, reproducer } = start;
        if after == Crash::PowerCut {
            let setup = self.setup;
            self.checking(&reproducer, || check_image(&setup, &disk, &expected, 0))?;
            self.checking(&reproducer, || read_errors(&setup, &disk, &expected))?;
        }
        self.damage(&disk, &expected, &reproducer)
    }

    fn lives(&mut self, start: &Start, script: &Script, model: CrashModel, depth: u32) -> Explored {
        let reproducer = &start.reproducer;
        let whole = Stage { script: script.clone(), cut_at: None, pick: None, killed: false };
        let (disk, at_end, _) = self.run(start, &whole)?;
        let operations = disk.operations();
        let count = |these: &[Operation]| script.0.iter().filter(|one| these.contains(one)).count() as u64;
        self.coverage.kept(Promise::NothingAfterAFailedSync, count(&[Operation::FailSync]));
        let exchanges = [Operation::SecondWriter, Operation::Replace, Operation::Displace];
        self.coverage.kept(Promise::ExchangeIsTold, count(&exchanges));
        if self.setup.policy == Policy::Periodic {
            self.coverage.kept(Promise::LossIsBounded, script.appends_before_a_fault() as u64);
        }
        if depth == self.depth {
            self.damage(&disk, &at_end, &extended(reproducer, whole))?;
        }
        for cut_at in start.disk.operations()..=operations {
            let stage = Stage { script: script.clone(), cut_at: Some(cut_at), pick: None, killed: false };
            let (disk, expected, doing) = self.run(start, &stage)?;
            self.killed(&disk, &expected, &stage, reproducer, depth)?;
            for image in disk.crash_images(model, self.seed ^ cut_at) {
                let reproducer = extended(reproducer, Stage { pick: image.pick(), ..stage.clone() });
                self.image(&image, &expected, doing, script, &reproducer, depth)?;
            }
        }
        Ok(())
    }

    /// The process is killed at the same place; the power is cut in the next life.
    fn killed(
        &mut self,
        disk: &SimDisk,
        expected: &ExpectedLog,
        stage: &Stage,
        reproducer: &Reproducer,
        depth: u32,
    ) -> Explored {
        self.kills += 1;
        let short = stage.script.0.len() == 1;
        if depth == 0 || !(short || self.kills.is_multiple_of(SAMPLE_KILLED)) {
            return Ok(());
        }
        let reproducer = extended(reproducer, Stage { killed: true, ..stage.clone() });
        let script = Script(vec![Operation::Append, Operation::Sync]);
        let start = Start { disk: disk.kill(), expected: expected.clone(), after: Crash::Kill, reproducer };
        self.lives(&start, &script, NESTED_MODEL, 0)
    }

    /// Runs a stage up to its cut; tells in which operation that was.
    fn run(
        &mut self,
        start: &Start,
        stage: &Stage,
    ) -> Result<(SimDisk, ExpectedLog, Operation), Box<Violation>> {
        let disk = start.disk.kill();
        let mut expected = start.expected.clone();
        let after = start.after;
        if after == Crash::PowerCut {
            expected.power_cut();
        }
        let lived = self.guarded(&start.reproducer, stage, |setup| {
            live(setup, &disk, &mut expected, after, &stage.script, stage.cut_at)
        })?;
        let doing = match lived {
            End::Cut(doing) => doing,
            End::Ran(wal) => {
                drop(wal);
                stage.script.0.last().copied().unwrap_or(Operation::Open)
            }
        };
        Ok((disk, expected, doing))
    }

    fn image(
        &mut self,
        image: &SimDisk,
        expected: &ExpectedLog,
        doing: Operation,
        script: &Script,
        reproducer: &Reproducer,
        depth: u32,
    ) -> Explored {
        let state = (self.setup.policy, image.hash(), hash_of(expected));
        if !self.checked.insert(state) {
            return Ok(());
        }
        self.counter += 1;
        self.coverage.state(self.setup.policy, doing, image);
        let counter = self.counter;
        let setup = self.setup;
        self.checking(reproducer, || check_image(&setup, image, expected, counter))?;
        self.coverage.opened();
        if counter.is_multiple_of(SAMPLE_READ_ERRORS) {
            let checks = self.checking(reproducer, || read_errors(&setup, image, expected))?;
            self.coverage.kept(Promise::ReadErrorIsAnError, checks);
        }
        if counter.is_multiple_of(SAMPLE_DAMAGED) {
            self.damage(image, expected, reproducer)?;
        }
        if depth > 0 && counter.is_multiple_of(SAMPLE_NESTED) {
            // The next life begins with a recovery, which is cut at every step. Every other one repeats the script of the
            // life before, so that frames which that one left fit where the next ones are written.
            let again = counter.is_multiple_of(2 * SAMPLE_NESTED) && script.0.len() <= 3;
            let script =
                if again { script.clone() } else { Script(vec![Operation::Append, Operation::Sync]) };
            let (disk, expected, reproducer) = (image.kill(), expected.clone(), reproducer.clone());
            let start = Start { disk, expected, after: Crash::PowerCut, reproducer };
            self.lives(&start, &script, NESTED_MODEL, depth - 1)?;
        }
        Ok(())
    }

    fn damage(&mut self, disk: &SimDisk, expected: &ExpectedLog, reproducer: &Reproducer) -> Explored {
        let setup = self.setup;
        let seed = self.seed ^ self.counter;
        let checks = self.checking(reproducer, || damage::every_frame(&setup, disk, expected, seed))?;
        self.coverage.kept(Promise::DamageIsReported, checks);
        Ok(())
    }

    fn guarded<T>(
        &mut self,
        reproducer: &Reproducer,
        stage: &Stage,
        act: impl FnOnce(&Setup) -> Result<T, Broken>,
    ) -> Result<T, Box<Violation>> {
        let setup = self.setup;
        let reproducer = extended(reproducer, stage.clone());
        self.checking(&reproducer, || act(&setup))
    }

    fn checking<T>(
        &mut self,
        reproducer: &Reproducer,
        act: impl FnOnce() -> Result<T, Broken>,
    ) -> Result<T, Box<Violation>> {
        let states = self.counter;
        let outcome = catch_unwind(AssertUnwindSafe(act))
            .unwrap_or_else(|panic| Err(Broken::new(Promise::NoPanic, panic_message(panic.as_ref()))));
        outcome.map_err(|broken| Box::new(Violation { broken, reproducer: reproducer.clone(), states }))
    }
}

const SAMPLE_READ_ERRORS: u64 = 64;
const SAMPLE_NESTED: u64 = 48;

const SAMPLE_KILLED: u64 = 32;
const SAMPLE_DAMAGED: u64 = 32;
const NESTED_MODEL: CrashModel = CrashModel { exhaustive_up_to: 8, random: 3, tearing: 1, garbage: 1 };

/// Lets each read of an open fail once. Returns how many were tried.
fn read_errors(setup: &Setup, image: &SimDisk, expected: &ExpectedLog) -> Result<u64, Broken> {
    let broken = |how: String| Broken::new(Promise::ReadErrorIsAnError, how);
    let whole = {
        let wal = setup.open(&image.kill()).map_err(|error| broken(format!("{error}")))?;
        read_log(&wal).map_err(|error| broken(format!("{error}")))?
    };
    for nth in 0.. {
        let disk = image.kill();
        let reads_before = disk.calls(CallKind::Read);
        let failure = FaultEffect::Error(Failure::Kind(std::io::ErrorKind::Other));
        disk.fail(Fault { call: CallKind::Read, nth, times: Times::Once, with: failure });
        let opened = setup.open(&disk).and_then(|wal| read_log(&wal));
        let reads = disk.calls(CallKind::Read) - reads_before;
        match opened {
            Ok(log) if log == whole => {}
            Ok(log) => {
                return Err(broken(format!(
                    "read {nth} failed, and {} of {} entries are shown",
                    log.payloads.len(),
                    whole.payloads.len()
                )));
            }
            Err(error) if error.kind() == ErrorKind::Io => {}
            Err(error) => return Err(broken(format!("read {nth} failed, and the log is called {error:?}"))),
        }
        disk.heal();
        let wal = setup.open(&disk).map_err(|error| broken(format!("after a read error: {error}")))?;
        let log = read_log(&wal).map_err(|error| broken(format!("{error}")))?;
        expected.check(&log, Crash::PowerCut)?;
        if log != whole {
            return Err(broken(format!("read {nth} failed, and the log was changed")));
        }
        if reads <= nth {
            return Ok(nth);
        }
    }
    Ok(0)
}

fn extended(reproducer: &Reproducer, stage: Stage) -> Reproducer {
    let mut extended = reproducer.clone();
    extended.stages.push(stage);
    extended
}

fn hash_of(expected: &ExpectedLog) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    expected.hash(&mut hasher);
    hasher.finish()
}
