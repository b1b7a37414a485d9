//! Jobs on every core of the machine.

use std::sync::Mutex;
use std::thread;

/// What comes out for each, in their order.
pub(crate) fn on_all_cores<J: Send, T: Send>(jobs: Vec<J>, act: impl Fn(J) -> T + Sync) -> Vec<T> {
    let waiting = Mutex::new(jobs.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let job = waiting.lock().expect("no job panics under the lock").next();
                    let Some((place, job)) = job else { return };
                    let outcome = act(job);
                    done.lock().expect("no job panics under the lock").push((place, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no job panics under the lock");
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}
