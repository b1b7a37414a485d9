//! One life of a log with several writers and its threads, until the power is cut under them.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use wal::sim::{Random, SimDisk};
use wal::{Commit, Durability, Error, Wal};

use crate::oracle::expected_log::{Group, payload};
use crate::oracle::promise::{Broken, Promise};
use crate::setup::Setup;
use crate::setup::paced::Paced;
use crate::threads::calls::{Call, Calls};

/// Enough to meet each other, on two cores too.
const WRITERS: u64 = 4;
/// What each of them does at most.
const TURNS: u64 = 24;
/// Far longer than all of that takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a life was, which is all that can be known of it: threads do not repeat.
#[derive(Debug)]
pub(crate) struct Life {
    /// As the power cut found it.
    pub(crate) disk: SimDisk,
    pub(crate) calls: Calls,
    /// Disk operations, from the end of the open.
    pub(crate) operations: u64,
    /// The power was cut while the writers ran, not after them.
    pub(crate) cut_short: bool,
}

/// Runs the writers on a fresh disk, up to this operation after the open if they come that far. Writers that do not end
/// break a promise; their threads are abandoned.
pub(crate) fn live(setup: Setup, seed: u64, cut_at: Option<u64>) -> Result<Life, Broken> {
    in_time(move || write_until_the_cut(setup, seed, cut_at))
}

/// Runs a life on a thread that can be abandoned.
pub(crate) fn in_time<T: Send + 'static>(
    live: impl FnOnce() -> Result<T, Broken> + Send + 'static,
) -> Result<T, Broken> {
    let (tells, told) = channel();
    let thread = thread::spawn(move || {
        let life = live();
        tells.send(()).ok();
        life
    });
    if told.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
        let how = format!("not all threads came back within {PATIENCE:?}");
        return Err(Broken::new(Promise::EveryCallReturns, how));
    }
    thread.join().unwrap_or_else(|_| Err(Broken::new(Promise::NoPanic, "a writer panicked")))
}

fn write_until_the_cut(setup: Setup, seed: u64, cut_at: Option<u64>) -> Result<Life, Broken> {
    let disk = SimDisk::new(seed);
    disk.keep_log(true);
    let directory = Arc::new(Paced::new(setup.directory(&disk), seed));
    let opened = setup.options().background(true).open_in(directory);
    let wal = opened.map_err(|error| Broken::new(Promise::CrashNeverCorrupts, format!("new: {error}")))?;
    let at_open = disk.operations();
    if let Some(cut_at) = cut_at {
        disk.crash_at(at_open + cut_at);
    }
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let writer = Writer {
                wal: wal.clone(),
                disk: disk.clone(),
                setup,
                number,
                random: Random::of(seed, number + 1),
                calls: Calls::default(),
            };
            thread::spawn(move || writer.write())
        })
        .collect();
    let mut calls = Calls::default();
    // All threads end before a result is looked at.
    let outcomes: Vec<_> = writers.into_iter().map(thread::JoinHandle::join).collect();
    for outcome in outcomes {
        calls.add(outcome.map_err(|_| Broken::new(Promise::NoPanic, "a writer panicked"))??);
    }
    let cut_short = disk.crashed();
    // Without a cut so far, the power is lost here: what the last handle does is not what is looked at.
    disk.crash_at(0);
    let operations = disk.operations() - at_open;
    drop(wal);
    for call in &mut calls.made {
        let Some(commit) = call.commit.take() else { continue };
        match commit.outcome() {
            None => {
                return Err(Broken::new(Promise::EveryCallReturns, "a commit of a log that is over waits"));
            }
            Some(Ok(_)) => call.promised = call.promised.max(setup.policy.promise()),
            Some(Err(_)) => {}
        }
    }
    Ok(Life { disk, calls, operations, cut_short })
}

/// One thread.
struct Writer {
    wal: Wal,
    disk: SimDisk,
    setup: Setup,
    number: u64,
    random: Random,
    calls: Calls,
}

impl Writer {
    fn write(mut self) -> Result<Calls, Broken> {
        for turn in 0..TURNS {
            let went = self.act(turn);
            // The watermark tells the truth even to those who come too late.
            self.calls.durable = self.calls.durable.max(self.wal.durable_end());
            match went {
                Ok(()) => {}
                Err(_) if self.disk.crashed() => break,
                Err(error) => {
                    let how = format!("nothing has failed, and yet: {error}");
                    return Err(Broken::new(Promise::LogIsAPrefix, how));
                }
            }
        }
        Ok(self.calls)
    }

    fn act(&mut self, turn: u64) -> Result<(), Error> {
        let promise = self.setup.policy.promise();
        match self.random.below(16) {
            0..=4 => self.append(turn, promise),
            5..=6 => self.append(turn, Durability::Durable),
            7..=8 => self.batch(turn),
            9..=10 => self.submit(turn).map(|_| ()),
            11..=12 => {
                let place = self.submit(turn)?;
                self.wait(place)
            }
            13 => {
                // What was submitted earlier, if that is still to be waited for.
                let waits = |call: &Call| call.commit.is_some();
                self.calls.made.iter().position(waits).map_or(Ok(()), |place| self.wait(place))
            }
            14 => self.promised(Wal::flush, Durability::Written),
            _ => self.promised(Wal::sync, Durability::Durable),
        }
    }

    fn payload(&mut self, turn: u64, place: u64) -> Vec<u8> {
        // A few of the largest fill a segment.
        let bytes = [24, 40, 130, 600, 1500, 3000][self.random.below(6)];
        payload((self.number + 1) << 32 | turn << 8 | place, bytes)
    }

    fn begin(&mut self, group: Group) -> usize {
        self.calls.made.push(Call { group, first: None, promised: Durability::Buffered, commit: None });
        self.calls.made.len() - 1
    }

    fn append(&mut self, turn: u64, asked: Durability) -> Result<(), Error> {
        let payload = self.payload(turn, 0);
        let place = self.begin(vec![payload.clone()]);
        let first = if asked == self.setup.policy.promise() {
            self.wal.append(&payload)?
        } else {
            self.wal.append_with(&payload, asked)?
        };
        let call = &mut self.calls.made[place];
        (call.first, call.promised) = (Some(first), asked);
        Ok(())
    }

    fn batch(&mut self, turn: u64) -> Result<(), Error> {
        let entries = 2 + self.random.below(3) as u64;
        let group: Group = (0..entries).map(|place| self.payload(turn, place)).collect();
        let place = self.begin(group.clone());
        let numbers = self.wal.append_batch(&group)?;
        let call = &mut self.calls.made[place];
        (call.first, call.promised) = (Some(numbers.start), self.setup.policy.promise());
        Ok(())
    }

    fn submit(&mut self, turn: u64) -> Result<usize, Error> {
        let payload = self.payload(turn, 0);
        let place = self.begin(vec![payload.clone()]);
        let commit = self.wal.submit(&payload)?;
        let call = &mut self.calls.made[place];
        (call.first, call.commit) = (Some(commit.sequence()), Some(commit));
        Ok(place)
    }

    /// Waits, or looks in again and again.
    fn wait(&mut self, place: usize) -> Result<(), Error> {
        let Some(commit) = self.calls.made[place].commit.take() else { return Ok(()) };
        let outcome = if self.random.below(2) == 0 { commit.wait() } else { wait_in_steps(&commit) };
        outcome?;
        let call = &mut self.calls.made[place];
        call.promised = call.promised.max(self.setup.policy.promise());
        Ok(())
    }

    /// A call that promises something of everything before it.
    fn promised(
        &mut self,
        call: impl Fn(&Wal) -> Result<(), Error>,
        promise: Durability,
    ) -> Result<(), Error> {
        call(&self.wal)?;
        self.calls.made.iter_mut().for_each(|call| call.promise(promise));
        Ok(())
    }
}

fn wait_in_steps(commit: &Commit) -> Result<u64, Error> {
    loop {
        if let Some(outcome) = commit.wait_timeout(Duration::from_micros(50)) {
            return outcome;
        }
    }
}
