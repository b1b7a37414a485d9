//! A log of which both ends are dropped, that is rolled, read and followed, all at once, closed and opened again, until
//! the power is cut.
//!
//! Dropped entries are not there after a kill, so no single image tells the order of all of them. Each image by itself is
//! checked against what the threads were told, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use wal::sim::{Random, SimDisk};
use wal::{Durability, Error, ErrorKind, Options, Wal};
use wal_testing::history::{Breach, Drops, History, Look, Shown, Wrong};

use crate::oracle::expected_log::{Crash, Oracle, payload};
use crate::oracle::promise::{Broken, Promise};
use crate::setup::Setup;
use crate::setup::paced::Paced;
use crate::threads::life::in_time;

/// What each thread does at most.
const TURNS: u64 = 24;

/// What a life was.
#[derive(Debug)]
pub(crate) struct LongLife {
    /// As the power cut found it.
    pub(crate) disk: SimDisk,
    pub(crate) history: Arc<History>,
    pub(crate) cut_short: bool,
    pub(crate) seen: Seen,
}

/// What happened in a life.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Truncations that were over.
    pub(crate) truncations: u64,
    /// Entries that readers and followers were handed.
    pub(crate) read: u64,
    /// Segments that were made of used files.
    pub(crate) recycled: u64,
    /// Lives that ended before the power was cut.
    pub(crate) lives: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: Seen) {
        self.truncations += other.truncations;
        self.read += other.read;
        self.recycled += other.recycled;
        self.lives += other.lives;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Write,
    /// Drops both ends, and ends segments.
    Drop,
    Read,
    Follow,
}

const ROLES: [Role; 6] = [Role::Write, Role::Write, Role::Write, Role::Drop, Role::Read, Role::Follow];

/// Lives on a fresh disk, as [`live`](super::life::live) does.
pub(crate) fn live_long(setup: Setup, seed: u64, cut_at: Option<u64>) -> Result<LongLife, Broken> {
    in_time(move || until_the_cut(setup, seed, cut_at))
}

fn until_the_cut(setup: Setup, seed: u64, cut_at: Option<u64>) -> Result<LongLife, Broken> {
    let disk = SimDisk::new(seed);
    disk.keep_log(true);
    let history = Arc::new(History::default());
    let mut seen = Seen::default();
    let wal = open(setup, &disk, seed)?;
    let at_open = disk.operations();
    if let Some(cut_at) = cut_at {
        disk.crash_at(at_open + cut_at);
    }
    let over = Arc::new(AtomicBool::new(false));
    let beside = Beside { disk: disk.clone(), history: Arc::clone(&history), over: Arc::clone(&over) };
    let beside = thread::spawn(move || beside.follow());
    let mut wal = Some(wal);
    let mut outcome = Ok(());
    for life in 0..LIVES as u64 {
        let opened = wal.take().map_or_else(|| open(setup, &disk, seed), Ok);
        let lived = match opened {
            Err(_) if disk.crashed() => break,
            opened => opened.and_then(|wal| live_once(setup, wal, &disk, &history, seed, life)),
        };
        match lived {
            Ok(lived) => seen.add(lived),
            Err(broken) => outcome = Err(broken),
        }
        if disk.crashed() || outcome.is_err() {
            break;
        }
        seen.lives += 1;
    }
    let cut_short = disk.crashed();
    disk.crash_at(0);
    over.store(true, Ordering::Release);
    let read = beside.join().map_err(|_| Broken::new(Promise::NoPanic, "a follower panicked"))?;
    outcome?;
    seen.read += read?;
    Ok(LongLife { disk, history, cut_short, seen })
}

/// How often the log is opened, unless the power is cut before.
pub(crate) const LIVES: usize = 3;

fn open(setup: Setup, disk: &SimDisk, seed: u64) -> Result<Wal, Broken> {
    let directory = Arc::new(Paced::new(setup.directory(disk), seed));
    let opened = setup.options().background(true).open_in(directory);
    opened.map_err(|error| Broken::new(Promise::CrashNeverCorrupts, format!("no crash, and yet: {error}")))
}

/// One life of all threads; then the log is closed, or its last handle dropped.
fn live_once(
    setup: Setup,
    wal: Wal,
    disk: &SimDisk,
    history: &Arc<History>,
    seed: u64,
    life: u64,
) -> Result<Seen, Broken> {
    // Made before the first thread starts, for one of them drops the first entry.
    let follower = match wal.follow(wal.first()) {
        Err(_) if disk.crashed() => return Ok(Seen::default()),
        follower => follower.map_err(|error| unexpected(&error))?,
    };
    let mut follower = Some(follower);
    let (mut threads, mut followers) = (Vec::new(), Vec::new());
    for (number, role) in (life * ROLES.len() as u64 + 1..).zip(ROLES) {
        let actor = Actor {
            wal: (role != Role::Follow).then(|| wal.clone()),
            disk: disk.clone(),
            history: Arc::clone(history),
            setup,
            number,
            random: Random::of(seed, number),
            seen: Seen::default(),
        };
        if role == Role::Follow {
            let follower = follower.take().expect("ROLES names one follower");
            followers.push(thread::spawn(move || actor.follow(follower)));
        } else {
            threads.push(thread::spawn(move || actor.act(role)));
        }
    }
    // All threads end before a result is looked at.
    let mut outcomes: Vec<_> = threads.into_iter().map(thread::JoinHandle::join).collect();
    let mut seen = Seen { recycled: wal.stats().recycled_segments, ..Seen::default() };
    // That ends the followers.
    let closed = if life.is_multiple_of(2) {
        close(wal, history)
    } else {
        drop(wal);
        Ok(())
    };
    outcomes.extend(followers.into_iter().map(thread::JoinHandle::join));
    for outcome in outcomes {
        seen.add(outcome.map_err(|_| Broken::new(Promise::NoPanic, "a thread panicked"))??);
    }
    match closed {
        Err(_) if disk.crashed() => Ok(seen),
        closed => closed.map(|()| seen).map_err(|error| unexpected(&error)),
    }
}

fn close(wal: Wal, history: &History) -> Result<(), Error> {
    let before = history.now();
    wal.close()?;
    history.promised_before(before, Durability::Durable);
    Ok(())
}

/// Follows what is durable as another process does, over all lives.
struct Beside {
    disk: SimDisk,
    history: Arc<History>,
    over: Arc<AtomicBool>,
}

impl Beside {
    /// Until all lives are over, or what comes next is dropped. Returns how many entries it was handed.
    fn follow(self) -> Result<u64, Broken> {
        let mut read = 0;
        let view = Options::new().open_read_only_in(Arc::new(self.disk.clone()));
        let follower = view.and_then(|view| view.follow(view.first()));
        // The log may be too young, or be dropped while it is looked at.
        let Ok(mut follower) = follower else { return Ok(0) };
        loop {
            let next = follower.position();
            match follower.try_next() {
                Poll::Pending if self.over.load(Ordering::Acquire) => return Ok(read),
                Poll::Pending => thread::yield_now(),
                Poll::Ready(Some(Ok(entry))) => {
                    self.history.followed(next, entry.payload()).map_err(broken)?;
                    read += 1;
                }
                Poll::Ready(Some(Err(_))) if self.disk.crashed() => return Ok(read),
                Poll::Ready(Some(Err(error)))
                    if matches!(error.kind(), ErrorKind::OutOfRange | ErrorKind::Truncated) =>
                {
                    return Ok(read);
                }
                Poll::Ready(Some(Err(error))) => return Err(unexpected(&error)),
                Poll::Ready(None) => unreachable!("it returns with the first error"),
            }
        }
    }
}

fn unexpected(error: &Error) -> Broken {
    Broken::new(Promise::LogIsAPrefix, format!("nothing has failed, and yet: {error}"))
}

/// One thread.
struct Actor {
    /// None for followers, who keep no log open.
    wal: Option<Wal>,
    disk: SimDisk,
    history: Arc<History>,
    setup: Setup,
    number: u64,
    random: Random,
    seen: Seen,
}

impl Actor {
    fn act(mut self, role: Role) -> Result<Seen, Broken> {
        for turn in 0..TURNS {
            let Some(wal) = self.wal.clone() else { break };
            let went = match role {
                Role::Write => self.write(&wal, turn),
                Role::Drop => self.drop_some(&wal),
                Role::Read | Role::Follow => self.read(&wal)?,
            };
            match went {
                Ok(()) => {}
                Err(_) if self.disk.crashed() => break,
                // Others drop what was just looked up, or waited for.
                Err(error) if matches!(error.kind(), ErrorKind::OutOfRange | ErrorKind::Truncated) => {}
                Err(error) => return Err(unexpected(&error)),
            }
        }
        Ok(self.seen)
    }

    fn group(&mut self, turn: u64, entries: u64) -> Vec<Vec<u8>> {
        let number = self.number + 1;
        let bytes = |random: &mut Random| [24, 130, 600, 1500, 3000][random.below(5)];
        (0..entries).map(|place| payload(number << 32 | turn << 8 | place, bytes(&mut self.random))).collect()
    }

    fn write(&mut self, wal: &Wal, turn: u64) -> Result<(), Error> {
        let promise = self.setup.policy.promise();
        let before = self.history.now();
        match self.random.below(10) {
            8 => {
                wal.flush()?;
                self.history.promised_before(before, Durability::Written);
            }
            9 => {
                wal.sync()?;
                self.history.promised_before(before, Durability::Durable);
            }
            6..=7 => {
                let batch = self.group(turn, 3);
                let call = self.history.begin(batch.clone());
                self.history.numbered(call, wal.append_batch(&batch)?.start, promise);
            }
            what => {
                let group = self.group(turn, 1);
                let call = self.history.begin(group.clone());
                match what {
                    0..=2 => self.history.numbered(call, wal.append(&group[0])?, promise),
                    3 => {
                        let first = wal.append_with(&group[0], Durability::Durable)?;
                        self.history.numbered(call, first, Durability::Durable);
                    }
                    _ => {
                        let commit = wal.submit(&group[0])?;
                        self.history.numbered(call, commit.sequence(), Durability::Buffered);
                        commit.wait().inspect_err(|_| self.history.failed(call))?;
                        self.history.promised(call, promise);
                    }
                }
            }
        }
        Ok(())
    }

    fn drop_some(&mut self, wal: &Wal) -> Result<(), Error> {
        let (first, next) = (wal.first(), wal.written_end());
        let drops = match self.random.below(6) {
            0..=1 => {
                let before = self.history.now();
                wal.roll()?;
                self.history.promised_before(before, Durability::Durable);
                return Ok(());
            }
            2..=4 => Drops::Before((first + next).div_ceil(2)),
            _ => Drops::From(next.saturating_sub(1).max(1)),
        };
        let truncation = self.history.begin_truncation(drops);
        let dropped = match drops {
            Drops::Before(first) => Drops::Before(wal.truncate_before(first)?),
            Drops::From(next) => wal.truncate_after(next - 1).map(|()| drops)?,
        };
        self.history.truncated(truncation, dropped);
        self.seen.truncations += 1;
        Ok(())
    }

    /// Forward, or backward.
    fn read(&mut self, wal: &Wal) -> Result<Result<(), Error>, Broken> {
        let from = self.history.now();
        let entries = match wal.range(..) {
            Ok(entries) => entries,
            Err(error) => return Ok(Err(error)),
        };
        let look = Look { from, to: self.history.now(), needs: Durability::Written };
        let backward = self.random.below(2) == 0;
        let read: Result<Vec<_>, Error> = if backward { entries.rev().collect() } else { entries.collect() };
        let mut read = match read {
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        if backward {
            read.reverse();
        }
        let Some(first) = read.first().map(wal::Entry::sequence) else { return Ok(Ok(())) };
        self.seen.read += read.len() as u64;
        let payloads = read.iter().map(|entry| entry.payload().to_vec()).collect();
        let shown = Shown { first, payloads };
        self.history.check("a reader", &shown, look).map_err(broken)?;
        Ok(Ok(()))
    }

    /// Until the log is over, or what comes next is dropped.
    fn follow(mut self, follower: wal::Follower) -> Result<Seen, Broken> {
        let mut next = follower.position();
        for entry in follower {
            match entry {
                Ok(entry) if entry.sequence() == next => {
                    self.history.followed(next, entry.payload()).map_err(broken)?;
                    self.seen.read += 1;
                    next += 1;
                }
                Ok(entry) => {
                    let how = format!("a follower was handed {} in place of {next}", entry.sequence());
                    return Err(Broken::new(Promise::LogIsAPrefix, how));
                }
                Err(_) if self.disk.crashed() => break,
                Err(error) if matches!(error.kind(), ErrorKind::OutOfRange | ErrorKind::Truncated) => break,
                Err(error) => return Err(unexpected(&error)),
            }
        }
        Ok(self.seen)
    }
}

fn broken(wrong: Wrong) -> Broken {
    let promise = match wrong.breach {
        Breach::Lost => Promise::AcknowledgedIsThere,
        Breach::Back => Promise::GoneStaysGone,
        Breach::Beginning => Promise::TruncationIsOldOrNew,
        Breach::Order => Promise::LogIsAPrefix,
    };
    Broken::new(promise, wrong.how)
}

/// The history of all threads up to the cut, as the oracle for images.
pub(crate) struct HistoryAtCut<'a> {
    pub(crate) history: &'a History,
    /// When all of them were back.
    pub(crate) at: u64,
}

impl Oracle for HistoryAtCut<'_> {
    fn first(&self) -> u64 {
        0
    }

    fn check(&self, shown: &Shown, after: Crash) -> Result<(), Broken> {
        let needs = if after == Crash::Kill { Durability::Written } else { Durability::Durable };
        let look = Look { from: self.at, to: self.at, needs };
        self.history.check(&format!("after {after:?}"), shown, look).map_err(broken)
    }
}
