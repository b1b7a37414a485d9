//! Everything at once, on real threads, with random failures: what loom's few threads and few steps leave
//! out. The seed decides what each thread does and what fails, not who comes first.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::fake::{Deed, Fake, Log, Named, ONE, ROLLOVER, Record, WIDE, close_well, watched};
use wal_sync::Durability::{Buffered, Durable, Written};
use wal_sync::primitives::block_on;
use wal_sync::{Durability, Error, GroupCommit, Limits, Mark, Patience, SyncPolicy, Ticket, Watch};

/// How long the test goes on.
const BUDGET: Duration = Duration::from_secs(3);

const APPENDERS: u64 = 5;

struct Random(u64);

impl Random {
    fn of(seed: u64, stream: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Copy>(&mut self, these: &[T]) -> T {
        these[usize::try_from(self.below(these.len() as u64)).unwrap()]
    }

    fn micros(&mut self, bound: u64) -> Duration {
        Duration::from_micros(self.below(bound))
    }
}

/// What one thread put in.
struct Put {
    entry: u64,
    asked: Durability,
    /// The number it was told.
    number: Option<u64>,
    /// What it knows to be true of it.
    known: Option<Durability>,
    ticket: Option<Ticket<Named>>,
}

impl Put {
    /// Somebody was told that this is true of everything that joined before.
    fn covered(&mut self, durability: Durability) {
        let failed = self.ticket.as_ref().is_some_and(|ticket| matches!(ticket.outcome(), Some(Err(_))));
        if self.number.is_some() && !failed {
            self.known = self.known.max(Some(durability));
        }
    }

    /// What is known must be so, as the target sees it.
    #[track_caller]
    fn is_true(&self, record: &Record) {
        let Some(number) = self.number else { return };
        let place = usize::try_from(number).unwrap();
        if self.known >= Some(Written) {
            assert_eq!(record.entries.get(place), Some(&self.entry), "{number} is not what was written");
        }
        if self.known == Some(Durable) {
            assert!(record.durable > number, "{number} is said to be durable, {} are", record.durable);
        }
    }
}

/// What had failed before a call.
struct Failed {
    sync: bool,
    log: bool,
}

impl Failed {
    fn of(commit: &GroupCommit<Fake>) -> Failed {
        Failed { sync: commit.target().record().sync_failed, log: commit.failure().is_some() }
    }

    /// The call was told that it went well, and that this is true of what it brought.
    #[track_caller]
    fn allows(&self, durability: Durability) {
        assert!(!self.log, "something was accepted by a log that has failed");
        assert!(!self.sync || durability < Durable, "something became durable behind a failed sync");
    }
}

/// One thread, and all that it was told.
struct Appender<'a> {
    commit: &'a GroupCommit<Fake>,
    /// Somebody writes and syncs for those who only poll.
    ticks: bool,
    random: Random,
    next_entry: u64,
    puts: Vec<Put>,
}

type Told = Result<(), Error<Named>>;

impl Appender<'_> {
    /// Until nothing is accepted any more.
    fn run(mut self) -> Vec<Put> {
        loop {
            match self.act() {
                Ok(()) | Err(Error::Backpressure | Error::Failed(Named("no space"))) => {}
                Err(Error::Closed | Error::Failed(Named("no device"))) => return self.puts,
                Err(error) => panic!("nothing says {error:?}"),
            }
            if self.random.one_in(8) {
                thread::sleep(self.random.micros(200));
            }
        }
    }

    fn act(&mut self) -> Told {
        let asked = self.random.pick(&[Buffered, Written, Durable, Durable]);
        let before = Failed::of(self.commit);
        match self.random.below(12) {
            0..=4 => {
                let place = self.begin(asked);
                let entry = self.puts[place].entry;
                let number = self.commit.append(ONE, asked, |frame| frame.push(entry))?;
                before.allows(asked);
                self.puts[place].number = Some(number);
                self.known(place, asked);
                Ok(())
            }
            5..=6 => self.submit(asked).map(drop),
            7..=8 => {
                let place = self.submit(asked)?;
                self.wait(place)
            }
            9 => {
                // Something submitted long ago.
                let waiting = |put: &Put| put.ticket.is_some() && put.known.is_none();
                self.puts.iter().position(waiting).map_or(Ok(()), |place| self.wait(place))
            }
            10 => {
                self.commit.flush()?;
                before.allows(Written);
                self.covered(Written);
                Ok(())
            }
            _ => {
                self.commit.sync()?;
                before.allows(Buffered);
                self.covered(Durable);
                Ok(())
            }
        }
    }

    fn begin(&mut self, asked: Durability) -> usize {
        self.next_entry += 1;
        let entry = if self.random.one_in(30) { ROLLOVER } else { self.next_entry };
        self.puts.push(Put { entry, asked, number: None, known: None, ticket: None });
        self.puts.len() - 1
    }

    fn submit(&mut self, asked: Durability) -> Result<usize, Error<Named>> {
        let place = self.begin(asked);
        let entry = self.puts[place].entry;
        let patience = match self.random.below(4) {
            0 => Patience::None,
            1 => Patience::Until(Instant::now() + self.random.micros(500)),
            _ => Patience::Endless,
        };
        let before = Failed::of(self.commit);
        let ticket = self.commit.submit(ONE, asked, patience, |frame| frame.push(entry))?;
        before.allows(Buffered);
        let put = &mut self.puts[place];
        (put.number, put.ticket) = (Some(ticket.first()), Some(ticket));
        Ok(place)
    }

    /// By blocking, for a while, or as a task.
    fn wait(&mut self, place: usize) -> Told {
        let limit = self.random.micros(400);
        let way = self.random.below(4);
        let put = &mut self.puts[place];
        let ticket = put.ticket.as_mut().unwrap();
        let outcome = match way {
            0..=1 => self.commit.wait(ticket, None),
            2 => self.commit.wait(ticket, Some(Instant::now() + limit)),
            _ => {
                let limit = (!self.ticks || limit.subsec_micros().is_multiple_of(2)).then_some(limit);
                block_on(|context| ticket.poll(context), limit)
            }
        };
        if outcome.transpose()?.is_some() {
            let asked = put.asked;
            self.known(place, asked);
        }
        Ok(())
    }

    fn known(&mut self, place: usize, durability: Durability) {
        let put = &mut self.puts[place];
        put.known = put.known.max(Some(durability));
        put.is_true(&self.commit.target().record());
    }

    fn covered(&mut self, durability: Durability) {
        let record = self.commit.target().record();
        for put in &mut self.puts {
            put.covered(durability);
            put.is_true(&record);
        }
    }
}

/// Waits for watermarks, until they move no more.
fn watch(commit: &GroupCommit<Fake>, mut random: Random) {
    loop {
        let mark = random.pick(&[Mark::Written, Mark::Durable]);
        let sequence = commit.written() + random.below(6);
        let mut watch = Watch::new(mark, sequence);
        let limit = random.one_in(2).then(|| random.micros(2000));
        match block_on(|context| commit.poll_watch(&mut watch, context), limit) {
            Some(Ok(())) => {
                let record = commit.target().record();
                let reached =
                    if mark == Mark::Written { record.entries.len() as u64 } else { record.durable };
                assert!(reached > sequence, "{mark:?} of {sequence} is reached, {reached} are");
            }
            Some(Err(_)) => return,
            None => commit.unwatch(&watch),
        }
        assert!(commit.durable() <= commit.target().record().durable, "more is shown than is durable");
    }
}

/// Ends the disturbance, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Makes writes and syncs slow, and fail.
fn disturb(fake: &Fake, mut random: Random, over: &AtomicBool) {
    let mut may_fail_a_sync = random.one_in(3);
    while !over.load(Ordering::Relaxed) {
        fake.change(|record| {
            record.write_takes = random.pick(&[Duration::ZERO, Duration::ZERO, Duration::from_micros(40)]);
            record.sync_takes = random.pick(&[Duration::ZERO, Duration::from_micros(150)]);
            if random.one_in(4) {
                record.next_writes.push_back(Deed::FailPassing);
            }
            if may_fail_a_sync && random.one_in(12) {
                may_fail_a_sync = false;
                record.next_syncs.push_back(Deed::FailFinally);
            }
        });
        thread::sleep(random.micros(1500));
    }
}

/// A log, from its first entry to its end.
fn live(seed: u64) {
    let mut random = Random::of(seed, 0);
    let policy = random.pick(&[
        SyncPolicy::None,
        SyncPolicy::Immediate,
        SyncPolicy::default(),
        SyncPolicy::periodic(5, Duration::from_millis(1)),
    ]);
    let limits = Limits {
        frame_entries: random.pick(&[3, 1 << 10]),
        in_flight_bytes: random.pick(&[48, 1 << 20]),
        buffered_bytes: random.pick(&[None, Some(40)]),
        flusher: !random.one_in(4),
        ..WIDE
    };
    let log = Log::new(policy, limits);
    log.fake().change(|record| record.soon = random.pick(&[None, Some(9)]));
    let commit = log.share();
    let over = AtomicBool::new(false);
    let (puts, closed) = thread::scope(|scope| {
        let disturbed = Over(&over);
        let appenders: Vec<_> = (1..=APPENDERS)
            .map(|number| {
                let (commit, random) = (&*commit, Random::of(seed, number));
                let (ticks, next_entry) = (limits.flusher, number << 32);
                let appender = Appender { commit, ticks, random, next_entry, puts: Vec::new() };
                scope.spawn(|| appender.run())
            })
            .collect();
        let watchers = [101, 102].map(|stream| {
            let (commit, random) = (&*commit, Random::of(seed, stream));
            scope.spawn(|| watch(commit, random))
        });
        let disturbs = scope.spawn(|| disturb(commit.target(), Random::of(seed, 100), &over));
        thread::sleep(random.micros(25_000));
        // Whoever closes: one, two at once, or nobody, and the last handle is dropped.
        let closed = match random.below(4) {
            0 => {
                commit.abandon();
                None
            }
            1 => {
                let other = scope.spawn(|| close_well(&commit));
                let (one, other) = (close_well(&commit), other.join().unwrap());
                assert!([&one, &other].contains(&&Err(Error::Closed)) || commit.failure().is_some());
                Some(if one == Err(Error::Closed) { other } else { one })
            }
            _ => Some(close_well(&commit)),
        };
        let puts: Vec<Put> = appenders.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        watchers.into_iter().for_each(|thread| thread.join().unwrap());
        drop(disturbed);
        disturbs.join().unwrap();
        (puts, closed)
    });
    is_consistent(&log, &puts, closed == Some(Ok(())));
}

/// Once all is over: what is in the target is what somebody put in, once, under the number they know.
fn is_consistent(log: &Log, puts: &[Put], closed_well: bool) {
    let record = log.fake().record();
    let mut left: HashSet<u64> = puts.iter().map(|put| put.entry).collect();
    let unique = record.entries.iter().filter(|&&entry| entry != ROLLOVER);
    for entry in unique {
        assert!(left.remove(entry), "{entry} was put in once, and is there twice, or by nobody");
    }
    for put in puts {
        put.is_true(&record);
        let outcome = put.ticket.as_ref().map(|ticket| ticket.outcome().expect("nobody is left waiting"));
        let Some(number) = put.number else { continue };
        let there = usize::try_from(number).ok().and_then(|place| record.entries.get(place));
        match (put.asked, outcome) {
            // Its number was relied on by whoever went on with it.
            (Buffered, _) => {
                assert!(there.is_none_or(|&entry| entry == put.entry), "{number} is another's");
                assert!(!closed_well || there.is_some(), "{number} is lost, and the log was closed well");
            }
            (asked, Some(Ok(()))) => {
                assert_eq!(there, Some(&put.entry), "{number} is not what was written");
                assert!(asked == Written || record.durable > number, "{number} is not durable");
            }
            _ => {}
        }
    }
    if closed_well {
        assert_eq!(record.durable, record.entries.len() as u64, "closed, and not all is durable");
        assert!(!record.sync_failed, "closed well after a failed sync");
    }
    assert!(log.durable() <= record.durable, "more is shown than is durable");
}

#[test]
fn whatever_threads_do_and_whatever_fails_every_promise_is_kept_and_nobody_sleeps_for_ever() {
    let begun = Instant::now();
    for seed in 1.. {
        let lived = catch_unwind(AssertUnwindSafe(|| watched(move || live(seed))));
        if let Err(panic) = lived {
            println!("with the seed {seed}");
            resume_unwind(panic);
        }
        if begun.elapsed() > BUDGET {
            return;
        }
    }
}
