//! How a scene is explored, and how often.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, Runner};

use crate::cast::{Log, Role, Scene};
use crate::stage::Lie;

/// Schedules of a scene, when nobody says how many.
const ITERATIONS: usize = 400;
/// So many changes of priority do most known races need.
const DEPTH: usize = 3;
/// Frames and errors are made on the stack; shuttle's default is below what a system gives.
const STACK_BYTES: usize = 256 << 10;

/// Runs the scene under random schedules and under those of few changes of priority; panics at the first that
/// breaks a promise, with its seed or its schedule for `SHUTTLE_REPLAY`.
pub(crate) fn explore(log: &Log, roles: &[Role]) {
    let scene = Scene::new(log, roles, Lie::Nothing);
    if let Ok(failed) = std::env::var("SHUTTLE_REPLAY") {
        match failed.trim().parse() {
            Ok(seed) => run(RandomScheduler::new_from_seed(seed, 1), &scene, FailurePersistence::Print),
            Err(_) => run(ReplayScheduler::new_from_encoded(&failed), &scene, FailurePersistence::Print),
        }
        return;
    }
    let iterations = number("SHUTTLE_ITERATIONS")
        .map_or(ITERATIONS, |number| usize::try_from(number).unwrap_or(usize::MAX));
    let seed = number("SHUTTLE_SEED").unwrap_or(1);
    let begun = Instant::now();
    run(RandomScheduler::new_from_seed(seed, iterations.div_ceil(2)), &scene, FailurePersistence::Print);
    run(PctScheduler::new_from_seed(seed, DEPTH, iterations / 2), &scene, FailurePersistence::Print);
    let (again, seconds) = (scene.used_again(), begun.elapsed().as_secs_f64());
    println!("{roles:?}: {iterations} schedules, seed {seed}, {again} files used again, {seconds:.1} s");
    let drops = roles.contains(&Role::Purge) && iterations >= ITERATIONS;
    assert!(!drops || again > 0, "files of dropped segments are never used again");
}

/// Whether the scene on a disk that is wrong breaks a promise in some schedule.
pub(crate) fn is_caught(lie: Lie, log: &Log, roles: &[Role]) -> bool {
    let scene = Scene::new(log, roles, lie);
    let random = RandomScheduler::new_from_seed(1, ITERATIONS);
    catch_unwind(AssertUnwindSafe(|| run(random, &scene, FailurePersistence::None))).is_err()
}

fn run(scheduler: impl Scheduler + 'static, scene: &Scene, persistence: FailurePersistence) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.failure_persistence = persistence;
    config.silence_warnings = true;
    let scene = scene.clone();
    Runner::new(scheduler, config).run(move || scene.play());
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
