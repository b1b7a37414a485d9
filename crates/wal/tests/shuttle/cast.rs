//! A scene: who does what to one log. To add an operation is to add a role.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use shuttle::thread;
use wal::{Commit, Directory, Durability, Entries, Error, ErrorKind, Options, View, ViewFollower, Wal};
use wal_segment::io::sim::{CrashModel, SimDisk};

use wal_testing::history::{Drops, History, Look, Moment, Shown, Wrong};

use crate::stage::{Lie, Stage};

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Appends single entries and batches.
    Write,
    /// Submits, and waits for some of it later.
    Submit,
    /// Reads forward, backward and single entries.
    Read,
    /// Flushes and syncs.
    Sync,
    /// Drops the front.
    Purge,
    /// Drops the end.
    Cut,
    /// Reads and follows as another process does, without the log's lock.
    View,
    /// Ends the segment.
    Roll,
    /// Holds the front, reads what it holds, moves on, lets go.
    Hold,
    /// Follows what becomes durable, until the log is closed.
    Follow,
    /// Follows what is durable as another process does, over two lives of the log.
    Beside,
    /// Looks at what a power cut and a kill would leave at this moment.
    Witness,
    /// Closes the log under everybody.
    Close,
}

/// How the log is opened, and what an append that returned has promised.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) options: Options,
    pub(crate) promise: Durability,
}

/// Roles on a fresh log.
#[derive(Clone)]
pub(crate) struct Scene {
    log: Log,
    roles: Vec<Role>,
    lie: Lie,
    /// Files of dropped segments that became others, in all schedules so far.
    used_again: Arc<AtomicU64>,
}

/// What each thread does this often.
const TURNS: usize = 3;
/// Four of them fill a segment.
const ENTRY_BYTES: usize = 2000;

impl Scene {
    pub(crate) fn new(log: &Log, roles: &[Role], lie: Lie) -> Scene {
        Scene { log: log.clone(), roles: roles.to_vec(), lie, used_again: Arc::default() }
    }

    pub(crate) fn used_again(&self) -> u64 {
        self.used_again.load(Ordering::Relaxed)
    }

    pub(crate) fn play(&self) {
        let disk = SimDisk::new(7);
        let stage = Arc::new(Stage::new(disk.clone(), self.lie));
        let history = Arc::new(History::default());
        let (mut images, mut beside) = (Vec::new(), Vec::new());
        let lives = if self.roles.contains(&Role::Beside) { 2 } else { 1 };
        for life in 0..lives {
            images.extend(self.live(life, &disk, &stage, &history, &mut beside));
        }
        for follower in beside {
            let follower = follower.join().expect("no follower panics");
            assert_eq!(follower.read_to_the_end(&history), disk_next(&disk), "it ends where the log does");
        }
        let now = history.now();
        let at_the_end = Look { from: now, to: now, needs: Durability::Durable };
        images.push(Image {
            what: "closed, power cut",
            disk: disk.power_cut_losing_everything(),
            look: at_the_end,
        });
        images.push(Image { what: "closed", disk, look: Look { needs: Durability::Written, ..at_the_end } });
        for image in images {
            image.check(&history);
        }
    }

    /// From an open to a close.
    fn live(
        &self,
        life: u64,
        disk: &SimDisk,
        stage: &Arc<Stage>,
        history: &Arc<History>,
        beside: &mut Vec<thread::JoinHandle<Beside>>,
    ) -> Vec<Image> {
        let directory = Arc::clone(stage) as Arc<dyn Directory>;
        let wal =
            self.log.options.open_in(directory).expect("a crash alone opens, and so does an empty directory");
        let promise = self.log.promise;
        let number = life * (self.roles.len() as u64 + 1);
        // There is something to read, and to drop, from the first.
        let mut first = Actor::new(&wal, stage, disk, history, promise, number, &self.roles);
        first.append(Durability::Durable);
        first.append(promise);
        stage.begin_to_lie();
        let (mut threads, mut followers) = (Vec::new(), Vec::new());
        for (number, &role) in (number + 1..).zip(&self.roles) {
            let mut actor = Actor::new(&wal, stage, disk, history, promise, number, &self.roles);
            match role {
                Role::Follow => followers.push(thread::spawn(move || actor.follow())),
                Role::Beside if life > 0 => {}
                Role::Beside => {
                    let (disk, history) = (disk.clone(), Arc::clone(history));
                    beside.push(thread::spawn(move || Beside::new(disk).follow(&history)));
                }
                _ => threads.push(thread::spawn(move || {
                    actor.act(role);
                    actor.images
                })),
            }
        }
        let mut images = Vec::new();
        for thread in threads {
            images.extend(thread.join().expect("no thread panics"));
        }
        drop(first);
        let before = history.now();
        match wal.clone().close() {
            Ok(()) => history.promised_before(before, Durability::Durable),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
        }
        let (again, told) = (stage.used_again(), wal.stats().recycled_segments);
        // A spare that was made twice is told, too.
        assert!(life > 0 || again <= told, "{again} files are used again, and {told} are told");
        self.used_again.fetch_add(again, Ordering::Relaxed);
        drop(wal);
        for follower in followers {
            if let Some(position) = follower.join().expect("no follower panics") {
                assert_eq!(position, disk_next(disk), "a follower ends where the log does");
            }
        }
        images
    }
}

/// A follower in another process.
struct Beside(ViewFollower);

impl Beside {
    fn new(disk: SimDisk) -> Beside {
        let view = Options::new().open_read_only_in(Arc::new(disk)).expect("a log can be looked at");
        Beside(view.follow(0).expect("entry 0 is there"))
    }

    /// Looks now and then.
    fn follow(mut self, history: &History) -> Beside {
        for _ in 0..4 * TURNS {
            self.read_on(history);
            thread::yield_now();
        }
        self
    }

    fn read_on(&mut self, history: &History) {
        loop {
            let next = self.0.position();
            match self.0.try_next() {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(entry))) => {
                    assert_eq!(entry.sequence(), next, "each entry once, and in order");
                    kept(history.followed(next, entry.payload()));
                }
                Poll::Ready(other) => panic!("nothing is dropped or damaged, and yet: {other:?}"),
            }
        }
    }

    /// Reads what is there, and returns where that ends. A look that walked frames leaves the anchor to the next one.
    fn read_to_the_end(mut self, history: &History) -> u64 {
        (0..8).for_each(|_| self.read_on(history));
        self.0.position()
    }
}

fn kept(outcome: Result<(), Wrong>) {
    outcome.unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// What the machine would find after a crash at some moment.
struct Image {
    what: &'static str,
    disk: SimDisk,
    look: Look,
}

impl Image {
    fn check(self, history: &History) {
        let opened = Options::new().background(false).open_in(Arc::new(self.disk));
        let wal = opened.unwrap_or_else(|error| panic!("{}: a crash alone opens: {error}", self.what));
        let entries = wal.range(..).expect("an open log is read");
        let shown = Shown { first: wal.first(), payloads: payloads(entries) };
        kept(history.check(self.what, &shown, self.look));
    }
}

/// The number of the next entry of a log that was closed.
fn disk_next(disk: &SimDisk) -> u64 {
    let view = Options::new().open_read_only_in(Arc::new(disk.clone()));
    view.expect("a log that was closed can be looked at").written_end()
}

fn payloads(entries: Entries) -> Vec<Vec<u8>> {
    entries.map(|entry| entry.expect("what is shown is read to its end").payload().to_vec()).collect()
}

/// One thread.
struct Actor {
    wal: Wal,
    directory: Arc<dyn Directory>,
    disk: SimDisk,
    history: Arc<History>,
    promise: Durability,
    number: u64,
    appended: u64,
    closes: bool,
    cuts: bool,
    purges: bool,
    images: Vec<Image>,
}

impl Actor {
    fn new(
        wal: &Wal,
        stage: &Arc<Stage>,
        disk: &SimDisk,
        history: &Arc<History>,
        promise: Durability,
        number: u64,
        roles: &[Role],
    ) -> Actor {
        Actor {
            wal: wal.clone(),
            directory: Arc::clone(stage) as Arc<dyn Directory>,
            disk: disk.clone(),
            history: Arc::clone(history),
            promise,
            number,
            appended: 0,
            closes: roles.contains(&Role::Close),
            cuts: roles.contains(&Role::Cut),
            purges: roles.contains(&Role::Purge),
            images: Vec::new(),
        }
    }

    fn act(&mut self, role: Role) {
        let mut commits = Vec::new();
        for turn in 0..TURNS {
            match role {
                Role::Write if turn == 1 => self.batch(),
                Role::Write => self.append(self.promise),
                Role::Submit => commits.extend(self.submit()),
                Role::Read => self.read(turn),
                Role::Sync if turn == 1 => self.make(Wal::flush, Durability::Written),
                Role::Sync => self.make(Wal::sync, Durability::Durable),
                Role::Purge => self.purge(),
                Role::Cut => self.cut(),
                Role::View => self.view(),
                Role::Roll => self.make(Wal::roll, Durability::Durable),
                Role::Hold => self.hold(),
                Role::Follow | Role::Beside => unreachable!("followers are joined after the close"),
                Role::Witness => self.witness(turn),
                Role::Close if turn + 1 < TURNS => thread::yield_now(),
                Role::Close => self.close(),
            }
        }
        for (call, commit) in commits {
            match commit.wait() {
                Ok(_) => self.history.promised(call, self.promise),
                Err(error) => self.expected(&error),
            }
        }
    }

    /// Nothing fails here but what others do to the log.
    fn expected(&self, error: &Error) {
        let expected = match error.kind() {
            ErrorKind::Closed => self.closes,
            ErrorKind::Truncated => self.cuts,
            // Numbers that were looked up a moment ago may be gone.
            ErrorKind::OutOfRange => self.cuts || self.purges,
            _ => false,
        };
        assert!(expected, "nothing was wrong, and yet: {error}");
    }

    fn payload(&mut self) -> Vec<u8> {
        self.appended += 1;
        let mut payload = vec![0; ENTRY_BYTES];
        let stamp = self.number << 32 | self.appended;
        payload.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&stamp.to_le_bytes()));
        payload
    }

    fn append(&mut self, promise: Durability) {
        let payload = self.payload();
        let call = self.history.begin(vec![payload.clone()]);
        let appended = if promise == self.promise {
            self.wal.append(&payload)
        } else {
            self.wal.append_with(&payload, promise)
        };
        match appended {
            Ok(number) => self.history.numbered(call, number, promise),
            Err(error) => self.expected(&error),
        }
    }

    fn batch(&mut self) {
        let batch = vec![self.payload(), self.payload()];
        let call = self.history.begin(batch.clone());
        match self.wal.append_batch(&batch) {
            Ok(numbers) => self.history.numbered(call, numbers.start, self.promise),
            Err(error) => self.expected(&error),
        }
    }

    fn submit(&mut self) -> Option<(usize, Commit)> {
        let payload = self.payload();
        let call = self.history.begin(vec![payload.clone()]);
        match self.wal.submit(&payload) {
            Ok(commit) => {
                self.history.numbered(call, commit.sequence(), Durability::Buffered);
                Some((call, commit))
            }
            Err(error) => {
                self.expected(&error);
                None
            }
        }
    }

    fn make(&self, call: impl Fn(&Wal) -> Result<(), Error>, promise: Durability) {
        let before = self.history.now();
        match call(&self.wal) {
            Ok(()) => self.history.promised_before(before, promise),
            Err(error) => self.expected(&error),
        }
    }

    fn read(&self, turn: usize) {
        let from = self.history.now();
        let range = match self.wal.range(..) {
            Ok(range) => range,
            Err(error) => return self.expected(&error),
        };
        let to = self.history.now();
        let look = Look { from, to, needs: Durability::Written };
        let mut entries = Vec::new();
        if turn == 1 {
            entries.extend(range.rev());
            entries.reverse();
        } else {
            entries.extend(range);
        }
        let entries: Vec<_> =
            entries.into_iter().map(|entry| entry.expect("what is shown is read to its end")).collect();
        let Some(first) = entries.first().map(wal::Entry::sequence) else { return };
        for (number, entry) in (first..).zip(&entries) {
            assert_eq!(entry.sequence(), number, "numbers have no gap");
        }
        let payloads = entries.iter().map(|entry| entry.payload().to_vec()).collect();
        kept(self.history.check("a reader", &Shown { first, payloads }, look));
        self.read_one(first + entries.len() as u64 / 2);
    }

    fn read_one(&self, sequence: u64) {
        match self.wal.read(sequence) {
            Ok(entry) => kept(self.history.check_entry(sequence, entry.payload())),
            Err(error) => self.expected(&error),
        }
    }

    /// What another process is shown was appended there, or it is told that it is gone.
    fn view(&self) {
        let view = Options::new().open_read_only_in(Arc::clone(&self.directory));
        let view = view.expect("a log that somebody writes can be looked at");
        let mut before = None;
        for entry in view.range(..) {
            match entry {
                Ok(entry) => {
                    let sequence = entry.sequence();
                    assert!(before.is_none_or(|before| before + 1 == sequence), "numbers have no gap");
                    before = Some(sequence);
                    kept(self.history.check_entry(sequence, entry.payload()));
                }
                Err(error) => return self.is_gone(&error),
            }
        }
        self.follow_beside(&view);
    }

    /// What a follower of what is durable has now, as in another process: no loss of power may take it back.
    fn follow_beside(&self, view: &View) {
        let mut follower = match view.follow(view.first()) {
            Ok(follower) => follower,
            Err(error) => return self.is_gone(&error),
        };
        loop {
            let next = follower.position();
            match follower.try_next() {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(entry))) => {
                    assert_eq!(entry.sequence(), next, "each entry once, and in order");
                    // What was cut off may still be handed out by a look that came before.
                    if self.cuts {
                        kept(self.history.check_entry(next, entry.payload()));
                    } else {
                        kept(self.history.followed(next, entry.payload()));
                    }
                }
                Poll::Ready(Some(Err(error))) => return self.is_gone(&error),
                Poll::Ready(None) => unreachable!("it returns with the first error"),
            }
        }
    }

    /// Nothing is damaged, whatever others do to the log.
    fn is_gone(&self, error: &Error) {
        let gone = [ErrorKind::OutOfRange, ErrorKind::Truncated].contains(&error.kind());
        assert!(gone && (self.cuts || self.purges), "nothing is damaged, and yet: {error}");
    }

    /// What is held stays, until it is let go.
    fn hold(&self) {
        let first = self.wal.first();
        let place = self.history.begin_hold(first);
        let hold = match self.wal.hold("held", first) {
            Ok(hold) => hold,
            Err(error) => return self.expected(&error),
        };
        self.history.holds(place);
        self.read_held(hold.sequence());
        let further = (first + self.wal.durable_end()).div_ceil(2);
        let next_place = self.history.begin_hold(further);
        self.history.lets_go(place);
        match hold.advance(further) {
            Ok(()) => {
                self.history.holds(next_place);
                self.read_held(further);
                self.history.lets_go(next_place);
            }
            Err(error) => self.expected(&error),
        }
    }

    fn read_held(&self, sequence: u64) {
        assert!(self.wal.first() <= sequence, "entry {sequence} is held");
        if sequence >= self.wal.durable_end() {
            // Nothing is there yet.
            return;
        }
        match self.wal.read(sequence) {
            Ok(entry) => kept(self.history.check_entry(sequence, entry.payload())),
            Err(error) if error.kind() == ErrorKind::OutOfRange => {
                assert!(self.cuts, "entry {sequence} is held, and yet: {error}");
            }
            Err(error) => self.expected(&error),
        }
    }

    /// Where it ended with the log; `None` when it could not go on before.
    fn follow(&self) -> Option<u64> {
        let mut follower = match self.wal.follow(self.wal.first()) {
            Ok(follower) => follower,
            Err(error) => {
                self.expected(&error);
                return None;
            }
        };
        loop {
            let next = follower.position();
            match follower.next() {
                Some(Ok(entry)) => {
                    assert_eq!(entry.sequence(), next, "each entry once, and in order");
                    kept(self.history.followed(next, entry.payload()));
                }
                Some(Err(error)) => {
                    self.expected(&error);
                    return None;
                }
                None => return Some(next),
            }
        }
    }

    fn purge(&self) {
        let (first, next) = (self.wal.first(), self.wal.written_end());
        self.truncate(Drops::Before((first + next).div_ceil(2)));
    }

    fn cut(&self) {
        let next = self.wal.written_end();
        self.truncate(Drops::From(next.saturating_sub(1).max(1)));
    }

    fn truncate(&self, drops: Drops) {
        let truncation = self.history.begin_truncation(drops);
        let dropped = match drops {
            Drops::Before(first) => self.wal.truncate_before(first).map(Drops::Before),
            Drops::From(next) => self.wal.truncate_after(next - 1).map(|()| drops),
        };
        match dropped {
            Ok(dropped) => self.history.truncated(truncation, dropped),
            // Somebody else has truncated meanwhile, or so it seems.
            Err(error) => self.expected(&error),
        }
    }

    /// What was promised before the image is taken must be in it.
    fn witness(&mut self, turn: usize) {
        let from: Moment = self.history.now();
        let durable = Look { from, to: from, needs: Durability::Durable };
        let image = |what, disk, look| Image { what, disk, look };
        self.images.push(image("power cut, nothing kept", self.disk.power_cut_losing_everything(), durable));
        let model = CrashModel { exhaustive_up_to: 0, random: 1, tearing: 1, garbage: 1 };
        let cuts = self.disk.crash_images(model, turn as u64);
        self.images.extend(cuts.take(3).map(|disk| image("power cut", disk, durable)));
        let written = Look { needs: Durability::Written, ..durable };
        self.images.push(image("kill", self.disk.kill(), written));
        thread::yield_now();
    }

    fn close(&self) {
        let before = self.history.now();
        match self.wal.clone().close() {
            Ok(()) => self.history.promised_before(before, Durability::Durable),
            Err(error) => self.expected(&error),
        }
    }
}
