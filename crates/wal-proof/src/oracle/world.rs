//! What the log may be: an oracle that knows what was appended, what was acknowledged, and what an open
//! has shown. It shares no code with the log.

/// What one append or batch put in: the payloads survive together or not at all.
pub(crate) type Group = Vec<Vec<u8>>;

/// The truth about one log, as far as a caller can know it.
///
/// ```text
///   log: written, in order                    live: numbered, in memory as far as is known
///  ├─ durable ─────────┼── written ──────────┤├────────────────────────
///                                             dead: failed, each in place of live
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// Known to be written, in order.
    log: Vec<Group>,
    /// How many of those groups were promised to survive a power cut.
    durable_groups: usize,
    /// Numbered behind the log. A beginning of these may have been written by now, or none.
    live: Vec<Group>,
    /// Failed, with nothing accepted since: a beginning of one of these may stand behind the log.
    dead: Vec<Vec<Group>>,
    /// The first entry that is kept.
    first: u64,
    /// Truncations of which it is not known whether they took effect: one of them at most.
    doubts: Vec<Truncation>,
    /// The log before the last cut, while only its LINK says so: if that is damaged, this may be shown.
    before_cut: Option<Box<World>>,
    /// How often the end was cut off. What gets a number again has other bytes.
    cuts: u64,
    /// Distinguishes payloads, so that nothing old can pass for something new.
    stamp: u64,
    /// The power was cut, and no open has shown since what is left.
    unsettled: bool,
    /// Something was written that nobody waited for, so not every frame was synced before the next.
    pub(crate) wrote_ahead: bool,
    /// The highest segment that was linked when the log was opened last.
    linked_at_open: u64,
    /// Behind the last entry that open showed, and no truncation has dropped since.
    shown_at_open: u64,
}

/// What is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Truncation {
    /// Everything in front of this entry.
    Before(u64),
    /// Everything from this entry on.
    From(u64),
}

/// A log as it is shown: its first number and its payloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) first: u64,
    pub(crate) payloads: Vec<Vec<u8>>,
}

/// A promise that was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Promise {
    AcknowledgedIsThere,
    LogIsAPrefix,
    CrashNeverCorrupts,
    OpeningTwiceIsTheSame,
    ShownStays,
    GoneStaysGone,
    TruncationIsOldOrNew,
    DamageIsReported,
    NothingAfterAFailedSync,
    LossIsBounded,
    EveryCallReturns,
    NoPanic,
    OneWriter,
    ReadErrorIsAnError,
    ExchangeIsTold,
}

impl Promise {
    pub(crate) const ALL: [Promise; 15] = [
        Promise::AcknowledgedIsThere,
        Promise::LogIsAPrefix,
        Promise::CrashNeverCorrupts,
        Promise::OpeningTwiceIsTheSame,
        Promise::ShownStays,
        Promise::GoneStaysGone,
        Promise::TruncationIsOldOrNew,
        Promise::DamageIsReported,
        Promise::NothingAfterAFailedSync,
        Promise::LossIsBounded,
        Promise::EveryCallReturns,
        Promise::NoPanic,
        Promise::OneWriter,
        Promise::ReadErrorIsAnError,
        Promise::ExchangeIsTold,
    ];

    /// The promise in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Promise::AcknowledgedIsThere => "every acknowledged entry is there, byte for byte",
            Promise::LogIsAPrefix => "the log is a prefix of what was appended, batches whole",
            Promise::CrashNeverCorrupts => "a crash alone always opens",
            Promise::OpeningTwiceIsTheSame => "opening twice gives the same log",
            Promise::ShownStays => "what an open showed never disappears",
            Promise::GoneStaysGone => "what an open declared gone never comes back",
            Promise::TruncationIsOldOrNew => "a truncation is whole or nothing, and stays",
            Promise::DamageIsReported => "damage to durable entries is reported, nothing is changed",
            Promise::NothingAfterAFailedSync => "after a failed sync nothing is acknowledged",
            Promise::LossIsBounded => "under periodic no more waits for a sync than was set",
            Promise::EveryCallReturns => "every call returns after a bounded number of steps",
            Promise::NoPanic => "no panic",
            Promise::OneWriter => "one writer at a time",
            Promise::ExchangeIsTold => {
                "a log whose files or directory were exchanged says so, and accepts nothing that it loses"
            }
            Promise::ReadErrorIsAnError => "a read error is an error, never the end of the log",
        }
    }
}

/// How one state broke a promise.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) promise: Promise,
    pub(crate) how: String,
}

impl Broken {
    pub(crate) fn new(promise: Promise, how: impl Into<String>) -> Broken {
        Broken { promise, how: how.into() }
    }
}

/// What the machine went through before the log is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The process died: everything that was written is there.
    Kill,
    /// Power was lost, or a sync failed: everything that was durable is there.
    PowerCut,
}

/// Knows what an open may show.
pub(crate) trait Oracle {
    /// Where an empty log begins.
    fn first(&self) -> u64;

    /// Holds a log that an open or a reader shows against what it may be.
    fn check(&self, shown: &Shown, after: After) -> Result<(), Broken>;
}

impl Oracle for World {
    fn first(&self) -> u64 {
        self.first
    }

    fn check(&self, shown: &Shown, after: After) -> Result<(), Broken> {
        World::check(self, shown, after)
    }
}

impl World {
    /// A log that is to be made, and whose first entry gets this number: as if those in front of it had been
    /// there, and were dropped.
    pub(crate) fn beginning_at(first: u64) -> World {
        let dropped: Vec<Group> = (0..first).map(|_| vec![Vec::new()]).collect();
        World { durable_groups: dropped.len(), log: dropped, first, shown_at_open: first, ..World::default() }
    }

    /// A payload of about this many bytes that has never been used before.
    pub(crate) fn payload(&mut self, bytes: usize) -> Vec<u8> {
        self.stamp += 1;
        payload(self.stamp | 1 << 32, bytes)
    }

    /// The payload that the next entry gets whenever it is appended with this length.
    pub(crate) fn payload_by_number(&self, bytes: usize) -> Vec<u8> {
        payload(self.entries() | self.cuts << 40, bytes)
    }

    /// The first entry that is kept.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Whether it is known where the log begins and ends.
    pub(crate) fn is_settled(&self) -> bool {
        self.doubts.is_empty()
    }

    /// From now on this may have taken effect, or not.
    pub(crate) fn begin_truncation(&mut self, truncation: Truncation) {
        self.doubts.push(truncation);
    }

    /// The truncation that was begun last has taken effect.
    pub(crate) fn truncated(&mut self) {
        if let Some(truncation) = self.doubts.pop() {
            *self = self.after(truncation);
        }
    }

    /// The truncation that was begun last has taken effect, and no anchor says so yet.
    pub(crate) fn truncated_without_anchor(&mut self) {
        let before = self.possible().next().map(Box::new);
        self.truncated();
        self.before_cut = before;
    }

    /// The truncation that was begun last has had no effect, and will have none.
    pub(crate) fn not_truncated(&mut self) {
        self.doubts.pop();
    }

    /// The same log once it is truncated.
    fn after(&self, truncation: Truncation) -> World {
        let mut world = World { doubts: Vec::new(), before_cut: None, ..self.clone() };
        match truncation {
            Truncation::Before(first) => {
                world.first = first;
                // What is dropped was made durable before.
                while count(&world.log) < first && !world.live.is_empty() {
                    world.log.push(world.live.remove(0));
                }
                world.acknowledge(first);
            }
            Truncation::From(next) => {
                world.log.append(&mut world.live);
                let mut left = usize::try_from(next).unwrap_or(usize::MAX);
                for group in &mut world.log {
                    group.truncate(left);
                    left -= group.len();
                }
                world.log.retain(|group| !group.is_empty());
                world.durable_groups = world.log.len();
                world.dead.clear();
                world.cuts += 1;
                world.shown_at_open = world.shown_at_open.min(next);
            }
        }
        world
    }

    /// This log, and what it is if one of the truncations took effect that nobody knows of.
    fn possible(&self) -> impl Iterator<Item = World> + '_ {
        let settled = World { doubts: Vec::new(), ..self.clone() };
        std::iter::once(settled).chain(self.doubts.iter().map(|&truncation| self.after(truncation)))
    }

    /// All that are numbered.
    pub(crate) fn entries(&self) -> u64 {
        count(&self.log) + count(&self.live)
    }

    /// Those that are known to be written.
    pub(crate) fn written_entries(&self) -> u64 {
        count(&self.log)
    }

    /// The highest segment that was linked when the log was opened last.
    pub(crate) fn linked_at_open(&self) -> u64 {
        self.linked_at_open
    }

    /// Behind the last entry that open showed, and no truncation has dropped since.
    pub(crate) fn shown_at_open(&self) -> u64 {
        self.shown_at_open
    }

    pub(crate) fn durable_entries(&self) -> u64 {
        count(&self.log[..self.durable_groups])
    }

    /// From now on the group is numbered, and may be found.
    pub(crate) fn begin(&mut self, group: Group) {
        self.live.push(group);
    }

    /// The group that was begun last was refused before anything was written.
    pub(crate) fn refuse(&mut self) {
        self.live.pop();
    }

    /// The power was cut: until an open shows what is left, only what was promised is sure.
    pub(crate) fn power_cut(&mut self) {
        self.unsettled = true;
    }

    /// Everything in front of this entry is written, so nothing that failed before can be there.
    pub(crate) fn wrote(&mut self, entries: u64) -> Result<(), Broken> {
        let mut counted = count(&self.log);
        let groups = self.live.iter().take_while(|group| {
            counted += group.len() as u64;
            counted <= entries
        });
        let groups = groups.count();
        if groups > 0 {
            self.log.extend(self.live.drain(..groups));
            self.dead.clear();
            self.before_cut = None;
        }
        let known = count(&self.log);
        if known == entries {
            return Ok(());
        }
        let how = format!("{entries} entries are said to be written; it was {known}, of {}", self.entries());
        Err(Broken::new(Promise::LogIsAPrefix, how))
    }

    /// What is numbered and not written is not part of the log, and its numbers are given again; what was
    /// begun last is not counted with `keep_last`.
    pub(crate) fn take_back(&mut self, keep_last: bool) {
        let last = if keep_last { self.live.pop() } else { None };
        if !self.live.is_empty() {
            self.dead.push(std::mem::take(&mut self.live));
        }
        self.live.extend(last);
    }

    /// The power was cut while a write may have failed: it is not known whether what was begun last took
    /// the numbers of what was in front of it.
    pub(crate) fn doubt_last(&mut self) {
        self.dead.extend(self.live.last().map(|last| vec![last.clone()]));
    }

    /// Everything in front of this entry was promised to survive a power cut.
    pub(crate) fn acknowledge(&mut self, entries: u64) {
        let mut counted = 0;
        for (index, group) in self.log.iter().enumerate() {
            counted += group.len() as u64;
            if counted > entries {
                return;
            }
            self.durable_groups = self.durable_groups.max(index + 1);
        }
    }

    /// Holds a log that an open or a reader shows against what it may be.
    pub(crate) fn check(&self, shown: &Shown, after: After) -> Result<(), Broken> {
        let mut outcomes = self.possible().map(|world| world.check_settled(shown, after));
        let first = outcomes.next().unwrap_or(Ok(()));
        if first.is_ok() || outcomes.any(|outcome| outcome.is_ok()) { Ok(()) } else { first }
    }

    fn check_settled(&self, shown: &Shown, after: After) -> Result<(), Broken> {
        let Some(shown) = self.with_front(shown) else {
            let how = format!("the log begins at {}, and not at {}", shown.first, self.first);
            return Err(Broken::new(Promise::TruncationIsOldOrNew, how));
        };
        let shown = shown.as_slice();
        let log: Vec<&Vec<u8>> = self.log.iter().flatten().collect();
        let promised = after == After::Kill && !self.unsettled;
        let needed = if promised { log.len() as u64 } else { self.durable_entries() };
        let common = shown.iter().zip(&log).take_while(|(a, b)| a == *b).count();
        if (common as u64) < needed {
            let how = if common == shown.len() {
                format!("{needed} entries were promised, {} are there", shown.len())
            } else {
                format!("entry {common} has other bytes; {needed} entries were promised")
            };
            return Err(Broken::new(Promise::AcknowledgedIsThere, how));
        }
        let rest = &shown[common..];
        let whole = common == log.len() && self.tails().any(|tail| beginning(tail, rest).is_some());
        if whole || beginning(&self.log, shown).is_some() {
            return Ok(());
        }
        // A payload of an earlier history that is found behind the accepted ones has come back.
        let promise = if common == log.len() && !rest.is_empty() {
            Promise::GoneStaysGone
        } else {
            Promise::LogIsAPrefix
        };
        let how = format!("{} entries are shown, {common} of them as appended", shown.len());
        Err(Broken::new(promise, how))
    }

    /// What is shown, behind what was dropped in front of it; none when it begins at a wrong number.
    fn with_front(&self, shown: &Shown) -> Option<Vec<Vec<u8>>> {
        let front = self.log.iter().flatten().take(usize::try_from(self.first).ok()?);
        (shown.first == self.first).then(|| front.chain(&shown.payloads).cloned().collect())
    }

    /// Whether a reader that stops anywhere could have shown these entries.
    pub(crate) fn could_show(&self, shown: &Shown) -> bool {
        let before = self.before_cut.as_ref().is_some_and(|world| world.could_show(shown));
        before
            || self.possible().any(|world| {
                world.with_front(shown).is_some_and(|shown| {
                    world.tails().any(|tail| {
                        let mut all = world.log.iter().chain(tail).flatten();
                        shown.iter().all(|payload| all.next() == Some(payload))
                    })
                })
            })
    }

    /// An open showed this log: from now on it is what the log is, and all of it is durable.
    pub(crate) fn opened(&mut self, shown: &Shown, after: After, highest_link: u64) {
        let found = self.possible().find(|world| world.check_settled(shown, after).is_ok());
        if let Some(world) = found {
            *self = world;
        }
        let shown = self.with_front(shown).unwrap_or_default();
        let shown = shown.as_slice();
        self.linked_at_open = highest_link;
        self.shown_at_open = shown.len() as u64;
        self.unsettled = false;
        self.before_cut = None;
        if let Some(groups) = beginning(&self.log, shown) {
            self.log.truncate(groups);
        } else {
            let rest = &shown[self.log.iter().map(Vec::len).sum::<usize>()..];
            let found = self.tails().find_map(|tail| Some(tail[..beginning(tail, rest)?].to_vec()));
            self.log.extend(found.unwrap_or_default());
        }
        self.live.clear();
        self.dead.clear();
        self.durable_groups = self.log.len();
    }

    /// What may stand behind the log: a beginning of one of these.
    fn tails(&self) -> impl Iterator<Item = &[Group]> {
        std::iter::once(self.live.as_slice()).chain(self.dead.iter().map(Vec::as_slice))
    }
}

fn count(groups: &[Group]) -> u64 {
    groups.iter().map(|group| group.len() as u64).sum()
}

/// How many of the groups, each whole, these entries are.
fn beginning(groups: &[Group], shown: &[Vec<u8>]) -> Option<usize> {
    let mut left = shown;
    for (index, group) in groups.iter().enumerate() {
        if left.is_empty() {
            return Some(index);
        }
        left = left.strip_prefix(group.as_slice())?;
    }
    left.is_empty().then_some(groups.len())
}

/// Bytes that name their stamp, which no other entry has.
pub(crate) fn payload(stamp: u64, bytes: usize) -> Vec<u8> {
    if bytes == 0 {
        return Vec::new();
    }
    let mut payload = format!("{stamp}.").into_bytes();
    let mut word = stamp;
    while payload.len() < bytes {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        payload.push((word >> 33).to_le_bytes()[0]);
    }
    payload
}
