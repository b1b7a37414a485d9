//! What callers were told of one log, and what must therefore survive a crash: the model that every reopened log is
//! compared with. It shares no code with the log.

use wal::sim::Random;
use wal_testing::history::{Drops, Shown};

use crate::oracle::promise::{Broken, Promise};

/// The payloads of one append or batch: they survive together or not at all.
pub(crate) type Group = Vec<Vec<u8>>;

/// The log that a caller must find, as far as the answers to its calls tell.
///
/// ```text
///   log: written, in order                    live: numbered, in memory as far as is known
///  ├─ durable ─────────┼── written ──────────┤├────────────────────────
///                                             dead: failed, each in place of live
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ExpectedLog {
    /// Known to be written, in order.
    log: Vec<Group>,
    /// How many of those groups were promised to survive a power cut.
    durable_groups: usize,
    /// Accepted after the log, and not known to be written: any prefix of these may be on the disk.
    live: Vec<Group>,
    /// Failed writes, with nothing accepted since: a prefix of one of these may stand after the log.
    dead: Vec<Vec<Group>>,
    /// The first entry that is kept.
    first: u64,
    /// Truncations that may have taken effect or not: at most one of them has.
    doubts: Vec<Drops>,
    /// The log before the last truncation of its end, while only a LINK states that one: with the LINK damaged, a log
    /// may show this.
    before_cut: Option<Box<ExpectedLog>>,
    /// How often the end was truncated: an entry that gets a number again has other bytes.
    cuts: u64,
    /// Makes each payload unique, so that an old one cannot pass for a new one.
    stamp: u64,
    /// The power was cut, and the log was not opened since.
    unsettled: bool,
    /// An entry was written without a wait for its sync, so not every frame was synced before the next.
    pub(crate) wrote_ahead: bool,
    /// The highest segment that was linked when the log was opened last.
    linked_at_open: u64,
    /// The number after the last entry that this open showed and that no truncation has dropped since.
    shown_at_open: u64,
}

/// The crash before the log is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process was killed: every written entry must be there.
    Kill,
    /// Power was lost, or a sync failed: every durable entry must be there.
    PowerCut,
}

/// Knows what a log must show after a crash, and what it may show.
pub(crate) trait Oracle {
    /// The first number of an empty log.
    fn first(&self) -> u64;

    /// Checks what was read of a log after this crash.
    fn check(&self, shown: &Shown, after: Crash) -> Result<(), Broken>;
}

impl Oracle for ExpectedLog {
    fn first(&self) -> u64 {
        self.first
    }

    fn check(&self, shown: &Shown, after: Crash) -> Result<(), Broken> {
        ExpectedLog::check(self, shown, after)
    }
}

impl ExpectedLog {
    /// A new log whose first entry gets this number: as if the entries before it had been there and were dropped.
    pub(crate) fn beginning_at(first: u64) -> ExpectedLog {
        let dropped: Vec<Group> = (0..first).map(|_| vec![Vec::new()]).collect();
        ExpectedLog {
            durable_groups: dropped.len(),
            log: dropped,
            first,
            shown_at_open: first,
            ..ExpectedLog::default()
        }
    }

    /// A new payload of about this many bytes.
    pub(crate) fn payload(&mut self, bytes: usize) -> Vec<u8> {
        self.stamp += 1;
        payload(self.stamp | 1 << 32, bytes)
    }

    /// The payload of the next number with this length: the same in every life.
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

    /// A truncation begins: from now on it may have taken effect or not.
    pub(crate) fn begin_truncation(&mut self, truncation: Drops) {
        self.doubts.push(truncation);
    }

    /// The truncation that was begun last has taken effect.
    pub(crate) fn truncated(&mut self) {
        if let Some(truncation) = self.doubts.pop() {
            *self = self.after(truncation);
        }
    }

    /// The truncation that was begun last has taken effect, and no anchor states it yet.
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
    fn after(&self, truncation: Drops) -> ExpectedLog {
        let mut expected = ExpectedLog { doubts: Vec::new(), before_cut: None, ..self.clone() };
        match truncation {
            Drops::Before(first) => {
                expected.first = first;
                // Truncating the front makes the dropped entries durable first.
                while count(&expected.log) < first && !expected.live.is_empty() {
                    expected.log.push(expected.live.remove(0));
                }
                expected.acknowledge(first);
            }
            Drops::From(next) => {
                expected.log.append(&mut expected.live);
                let mut left = usize::try_from(next).unwrap_or(usize::MAX);
                for group in &mut expected.log {
                    group.truncate(left);
                    left -= group.len();
                }
                expected.log.retain(|group| !group.is_empty());
                expected.durable_groups = expected.log.len();
                expected.dead.clear();
                expected.cuts += 1;
                expected.shown_at_open = expected.shown_at_open.min(next);
            }
        }
        expected
    }

    /// This log, and what it is if one of the truncations in doubt took effect.
    fn possible(&self) -> impl Iterator<Item = ExpectedLog> + '_ {
        let settled = ExpectedLog { doubts: Vec::new(), ..self.clone() };
        std::iter::once(settled).chain(self.doubts.iter().map(|&truncation| self.after(truncation)))
    }

    /// How many entries have a number.
    pub(crate) fn entries(&self) -> u64 {
        count(&self.log) + count(&self.live)
    }

    /// How many entries are known to be written.
    pub(crate) fn written_entries(&self) -> u64 {
        count(&self.log)
    }

    /// The highest segment that was linked when the log was opened last.
    pub(crate) fn linked_at_open(&self) -> u64 {
        self.linked_at_open
    }

    /// The number after the last entry that this open showed and that no truncation has dropped since.
    pub(crate) fn shown_at_open(&self) -> u64 {
        self.shown_at_open
    }

    pub(crate) fn durable_entries(&self) -> u64 {
        count(&self.log[..self.durable_groups])
    }

    /// An append begins: from now on its group may be on the disk.
    pub(crate) fn begin(&mut self, group: Group) {
        self.live.push(group);
    }

    /// The group that was begun last was refused before anything was written.
    pub(crate) fn refuse(&mut self) {
        self.live.pop();
    }

    /// The power was cut: until the next open only durable entries are sure.
    pub(crate) fn power_cut(&mut self) {
        self.unsettled = true;
    }

    /// So many entries are written. So no write that failed before can be on the disk.
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

    /// A write failed: entries that are not written leave the log, and their numbers are given again. With `keep_last`
    /// the group that was begun last stays.
    pub(crate) fn take_back(&mut self, keep_last: bool) {
        let last = if keep_last { self.live.pop() } else { None };
        if !self.live.is_empty() {
            self.dead.push(std::mem::take(&mut self.live));
        }
        self.live.extend(last);
    }

    /// The power was cut while a write may have failed: the group that was begun last may have the numbers of the groups
    /// before it.
    pub(crate) fn doubt_last(&mut self) {
        self.dead.extend(self.live.last().map(|last| vec![last.clone()]));
    }

    /// A caller was told that the first `entries` entries are durable.
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

    /// Checks what was read of a log after this crash.
    pub(crate) fn check(&self, shown: &Shown, after: Crash) -> Result<(), Broken> {
        let mut outcomes = self.possible().map(|expected| expected.check_settled(shown, after));
        let first = outcomes.next().unwrap_or(Ok(()));
        if first.is_ok() || outcomes.any(|outcome| outcome.is_ok()) { Ok(()) } else { first }
    }

    fn check_settled(&self, shown: &Shown, after: Crash) -> Result<(), Broken> {
        let Some(shown) = self.with_front(shown) else {
            let how = format!("the log begins at {}, and not at {}", shown.first, self.first);
            return Err(Broken::new(Promise::TruncationIsOldOrNew, how));
        };
        let shown = shown.as_slice();
        let log: Vec<&Vec<u8>> = self.log.iter().flatten().collect();
        let promised = after == Crash::Kill && !self.unsettled;
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
        // An entry after the accepted ones was dropped or failed earlier, and has come back.
        let promise = if common == log.len() && !rest.is_empty() {
            Promise::GoneStaysGone
        } else {
            Promise::LogIsAPrefix
        };
        let how = format!("{} entries are shown, {common} of them as appended", shown.len());
        Err(Broken::new(promise, how))
    }

    /// The entries that were dropped at the front and then those that are shown; `None` if the log begins at a wrong
    /// number.
    fn with_front(&self, shown: &Shown) -> Option<Vec<Vec<u8>>> {
        let front = self.log.iter().flatten().take(usize::try_from(self.first).ok()?);
        (shown.first == self.first).then(|| front.chain(&shown.payloads).cloned().collect())
    }

    /// Whether these entries are a prefix of what the log may hold.
    pub(crate) fn could_show(&self, shown: &Shown) -> bool {
        let before = self.before_cut.as_ref().is_some_and(|expected| expected.could_show(shown));
        before
            || self.possible().any(|expected| {
                expected.with_front(shown).is_some_and(|shown| {
                    expected.tails().any(|tail| {
                        let mut all = expected.log.iter().chain(tail).flatten();
                        shown.iter().all(|payload| all.next() == Some(payload))
                    })
                })
            })
    }

    /// An open showed this log: from now on all of it is durable.
    pub(crate) fn opened(&mut self, shown: &Shown, after: Crash, highest_link: u64) {
        let found = self.possible().find(|expected| expected.check_settled(shown, after).is_ok());
        if let Some(expected) = found {
            *self = expected;
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

    /// What may stand after the log: a prefix of one of these.
    fn tails(&self) -> impl Iterator<Item = &[Group]> {
        std::iter::once(self.live.as_slice()).chain(self.dead.iter().map(Vec::as_slice))
    }
}

fn count(groups: &[Group]) -> u64 {
    groups.iter().map(|group| group.len() as u64).sum()
}

/// How many whole groups these entries are.
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

/// A payload that begins with its stamp, which no other entry has.
pub(crate) fn payload(stamp: u64, bytes: usize) -> Vec<u8> {
    if bytes == 0 {
        return Vec::new();
    }
    let mut payload = format!("{stamp}.").into_bytes();
    let named = payload.len();
    payload.resize(bytes.max(named), 0);
    Random::new(stamp).fill(&mut payload[named..]);
    payload
}
