//! Runs scripts, cuts the power at every operation, and opens what each cut may leave.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wal::ErrorKind;
use wal::sim::{CallKind, CrashModel, Failure, Fault, FaultEffect, SimDisk, Times};

use crate::crash::damage;
use crate::crash::ledger::Ledger;
use crate::crash::life::{End, live};
use crate::crash::replay::{Stage, Trail};
use crate::crash::script::{Operation, Script};
use crate::oracle::opens::{message_of, opens, shown};
use crate::oracle::world::{After, Broken, Promise, World};
use crate::setup::Setup;
use crate::setup::policy::Policy;

/// A promise that was not kept, and how to see it again.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) broken: Broken,
    pub(crate) trail: Trail,
    pub(crate) states: u64,
}

/// States that were checked.
pub(crate) type Checked = HashSet<(Policy, u64, u64)>;

/// Explores the states of one setup.
pub(crate) struct Explorer<'a> {
    pub(crate) setup: Setup,
    pub(crate) seed: u64,
    /// Seed and setup, to which stages are added.
    pub(crate) origin: Trail,
    pub(crate) ledger: &'a mut Ledger,
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
    world: World,
    /// What happened to the machine before.
    after: After,
    trail: Trail,
}

type Explored = Result<(), Box<Violation>>;

impl<'a> Explorer<'a> {
    pub(crate) fn new(setup: Setup, seed: u64, setup_index: usize, ledger: &'a mut Ledger) -> Explorer<'a> {
        let origin = Trail { seed, setup: setup_index, stages: Vec::new() };
        let checked = Checked::new();
        Explorer { setup, seed, origin, ledger, checked, depth: 2, counter: 0, kills: 0 }
    }

    /// Everything about one script: each cut, each image, and the damage at its end.
    pub(crate) fn script(&mut self, script: &Script, model: CrashModel) -> Explored {
        let fresh = SimDisk::new(self.seed);
        let origin = self.origin.clone();
        let world = World::beginning_at(self.setup.first);
        let start = Start { disk: fresh, world, after: After::PowerCut, trail: origin };
        self.lives(&start, script, model, self.depth)
    }

    /// One state again, with every check that there is.
    pub(crate) fn replay(&mut self, trail: &Trail) -> Explored {
        let (disk, world) = (SimDisk::new(self.seed), World::beginning_at(self.setup.first));
        let mut start = Start { disk, world, after: After::PowerCut, trail: self.origin.clone() };
        for stage in &trail.stages {
            start.disk.keep_log(true);
            let (ended, left, _) = self.run(&start, stage)?;
            let trail = extended(&start.trail, stage.clone());
            println!("after {trail}: {} entries, {} of them durable", left.entries(), left.durable_entries());
            for line in ended.log() {
                println!("    {line}");
            }
            let (disk, after) = match &stage.pick {
                Some(pick) => (ended.crash_image(pick), After::PowerCut),
                None => (ended.kill(), After::Kill),
            };
            start = Start { disk, world: left, after, trail };
        }
        let Start { disk, world, after, trail } = start;
        if after == After::PowerCut {
            let setup = self.setup;
            self.checking(&trail, || opens(&setup, &disk, &world, 0))?;
            self.checking(&trail, || read_errors(&setup, &disk, &world))?;
        }
        self.damage(&disk, &world, &trail)
    }

    fn lives(&mut self, start: &Start, script: &Script, model: CrashModel, depth: u32) -> Explored {
        let trail = &start.trail;
        let whole = Stage { script: script.clone(), cut_at: None, pick: None, killed: false };
        let (disk, at_end, _) = self.run(start, &whole)?;
        let operations = disk.operations();
        let count = |these: &[Operation]| script.0.iter().filter(|one| these.contains(one)).count() as u64;
        self.ledger.kept(Promise::NothingAfterAFailedSync, count(&[Operation::FailSync]));
        let exchanges = [Operation::SecondWriter, Operation::Replace, Operation::Displace];
        self.ledger.kept(Promise::ExchangeIsTold, count(&exchanges));
        if self.setup.policy == Policy::Periodic {
            self.ledger.kept(Promise::LossIsBounded, script.appends_before_a_fault() as u64);
        }
        if depth == self.depth {
            self.damage(&disk, &at_end, &extended(trail, whole))?;
        }
        for cut_at in start.disk.operations()..=operations {
            let stage = Stage { script: script.clone(), cut_at: Some(cut_at), pick: None, killed: false };
            let (disk, world, doing) = self.run(start, &stage)?;
            self.killed(&disk, &world, &stage, trail, depth)?;
            for image in disk.crash_images(model, self.seed ^ cut_at) {
                let trail = extended(trail, Stage { pick: image.pick(), ..stage.clone() });
                self.image(&image, &world, doing, script, &trail, depth)?;
            }
        }
        Ok(())
    }

    /// The process dies at the same place and the machine goes on; the power is cut in the next life.
    fn killed(
        &mut self,
        disk: &SimDisk,
        world: &World,
        stage: &Stage,
        trail: &Trail,
        depth: u32,
    ) -> Explored {
        self.kills += 1;
        let short = stage.script.0.len() == 1;
        if depth == 0 || !(short || self.kills.is_multiple_of(SAMPLE_KILLED)) {
            return Ok(());
        }
        let trail = extended(trail, Stage { killed: true, ..stage.clone() });
        let script = Script(vec![Operation::Append, Operation::Sync]);
        let start = Start { disk: disk.kill(), world: world.clone(), after: After::Kill, trail };
        self.lives(&start, &script, NESTED_MODEL, 0)
    }

    /// Runs a stage up to its cut; tells in which operation that was.
    fn run(&mut self, start: &Start, stage: &Stage) -> Result<(SimDisk, World, Operation), Box<Violation>> {
        let disk = start.disk.kill();
        let mut world = start.world.clone();
        let after = start.after;
        if after == After::PowerCut {
            world.power_cut();
        }
        let lived = self.guarded(&start.trail, stage, |setup| {
            live(setup, &disk, &mut world, after, &stage.script, stage.cut_at)
        })?;
        let doing = match lived {
            End::Cut(doing) => doing,
            End::Ran(wal) => {
                drop(wal);
                stage.script.0.last().copied().unwrap_or(Operation::Open)
            }
        };
        Ok((disk, world, doing))
    }

    fn image(
        &mut self,
        image: &SimDisk,
        world: &World,
        doing: Operation,
        script: &Script,
        trail: &Trail,
        depth: u32,
    ) -> Explored {
        let state = (self.setup.policy, image.hash(), hash_of(world));
        if !self.checked.insert(state) {
            return Ok(());
        }
        self.counter += 1;
        self.ledger.state(self.setup.policy, doing, image);
        let counter = self.counter;
        let setup = self.setup;
        self.checking(trail, || opens(&setup, image, world, counter))?;
        self.ledger.opened();
        if counter.is_multiple_of(SAMPLE_READ_ERRORS) {
            let checks = self.checking(trail, || read_errors(&setup, image, world))?;
            self.ledger.kept(Promise::ReadErrorIsAnError, checks);
        }
        if counter.is_multiple_of(SAMPLE_DAMAGED) {
            self.damage(image, world, trail)?;
        }
        if depth > 0 && counter.is_multiple_of(SAMPLE_NESTED) {
            // The next life begins with a recovery, which is cut at every one of its steps. Every other
            // one does the same as the life before, so that what that one left behind fits.
            let again = counter.is_multiple_of(2 * SAMPLE_NESTED) && script.0.len() <= 3;
            let script =
                if again { script.clone() } else { Script(vec![Operation::Append, Operation::Sync]) };
            let (disk, world, trail) = (image.kill(), world.clone(), trail.clone());
            let start = Start { disk, world, after: After::PowerCut, trail };
            self.lives(&start, &script, NESTED_MODEL, depth - 1)?;
        }
        Ok(())
    }

    fn damage(&mut self, disk: &SimDisk, world: &World, trail: &Trail) -> Explored {
        let setup = self.setup;
        let seed = self.seed ^ self.counter;
        let checks = self.checking(trail, || damage::every_frame(&setup, disk, world, seed))?;
        self.ledger.kept(Promise::DamageIsReported, checks);
        Ok(())
    }

    fn guarded<T>(
        &mut self,
        trail: &Trail,
        stage: &Stage,
        act: impl FnOnce(&Setup) -> Result<T, Broken>,
    ) -> Result<T, Box<Violation>> {
        let setup = self.setup;
        let trail = extended(trail, stage.clone());
        self.checking(&trail, || act(&setup))
    }

    fn checking<T>(
        &mut self,
        trail: &Trail,
        act: impl FnOnce() -> Result<T, Broken>,
    ) -> Result<T, Box<Violation>> {
        let states = self.counter;
        let outcome = catch_unwind(AssertUnwindSafe(act))
            .unwrap_or_else(|panic| Err(Broken::new(Promise::NoPanic, message_of(panic.as_ref()))));
        outcome.map_err(|broken| Box::new(Violation { broken, trail: trail.clone(), states }))
    }
}

const SAMPLE_READ_ERRORS: u64 = 64;
const SAMPLE_NESTED: u64 = 48;

const SAMPLE_KILLED: u64 = 32;
const SAMPLE_DAMAGED: u64 = 32;
const NESTED_MODEL: CrashModel = CrashModel { exhaustive_up_to: 8, random: 3, tearing: 1, garbage: 1 };

/// Lets each read of an open fail once. Returns how many were tried.
fn read_errors(setup: &Setup, image: &SimDisk, world: &World) -> Result<u64, Broken> {
    let broken = |how: String| Broken::new(Promise::ReadErrorIsAnError, how);
    let expected = {
        let wal = setup.open(&image.kill()).map_err(|error| broken(format!("{error}")))?;
        shown(&wal).map_err(|error| broken(format!("{error}")))?
    };
    for nth in 0.. {
        let disk = image.kill();
        let reads_before = disk.calls().reads;
        let failure = FaultEffect::Error(Failure::Kind(std::io::ErrorKind::Other));
        disk.fail(Fault { call: CallKind::Read, nth, times: Times::Once, with: failure });
        let opened = setup.open(&disk).and_then(|wal| shown(&wal));
        let reads = disk.calls().reads - reads_before;
        match opened {
            Ok(log) if log == expected => {}
            Ok(log) => {
                return Err(broken(format!(
                    "read {nth} failed, and {} of {} entries are shown",
                    log.payloads.len(),
                    expected.payloads.len()
                )));
            }
            Err(error) if error.kind() == ErrorKind::Io => {}
            Err(error) => return Err(broken(format!("read {nth} failed, and the log is called {error:?}"))),
        }
        disk.heal();
        let wal = setup.open(&disk).map_err(|error| broken(format!("after a read error: {error}")))?;
        let log = shown(&wal).map_err(|error| broken(format!("{error}")))?;
        world.check(&log, After::PowerCut)?;
        if log != expected {
            return Err(broken(format!("read {nth} failed, and the log was changed")));
        }
        if reads <= nth {
            return Ok(nth);
        }
    }
    Ok(0)
}

fn extended(trail: &Trail, stage: Stage) -> Trail {
    let mut extended = trail.clone();
    extended.stages.push(stage);
    extended
}

fn hash_of(world: &World) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}
