//! What the log may be: an oracle that knows what was appended, what was acknowledged, and what an open
//! has shown. It shares no code with the log.

/// What one append or batch put in: the payloads survive together or not at all.
pub(crate) type Group = Vec<Vec<u8>>;

/// The truth about one log, as far as a caller can know it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// Accepted, in order.
    accepted: Vec<Group>,
    /// How many of the accepted groups were promised to survive a power cut.
    durable_groups: usize,
    /// Groups of which each one, but only one, may stand behind the accepted ones: in flight, or failed
    /// with nothing accepted since.
    maybe: Vec<Group>,
    /// Distinguishes payloads, so that nothing old can pass for something new.
    stamp: u64,
    /// The power was cut, and no open has shown since what is left.
    unsettled: bool,
    /// The highest segment that was linked when the log was opened last.
    linked_at_open: u64,
    /// How many entries that open showed.
    shown_at_open: u64,
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
    DamageIsReported,
    NothingAfterAFailedSync,
    EveryCallReturns,
    NoPanic,
    OneWriter,
    ReadErrorIsAnError,
}

impl Promise {
    pub(crate) const ALL: [Promise; 12] = [
        Promise::AcknowledgedIsThere,
        Promise::LogIsAPrefix,
        Promise::CrashNeverCorrupts,
        Promise::OpeningTwiceIsTheSame,
        Promise::ShownStays,
        Promise::GoneStaysGone,
        Promise::DamageIsReported,
        Promise::NothingAfterAFailedSync,
        Promise::EveryCallReturns,
        Promise::NoPanic,
        Promise::OneWriter,
        Promise::ReadErrorIsAnError,
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
            Promise::DamageIsReported => "damage to durable entries is reported, nothing is changed",
            Promise::NothingAfterAFailedSync => "after a failed sync nothing is acknowledged",
            Promise::EveryCallReturns => "every call returns after a bounded number of steps",
            Promise::NoPanic => "no panic",
            Promise::OneWriter => "one writer at a time",
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
    /// The process died: everything that was accepted is there.
    Kill,
    /// Power was lost, or a sync failed: everything that was durable is there.
    PowerCut,
}

impl World {
    /// A payload of about this many bytes that has never been used before.
    pub(crate) fn payload(&mut self, bytes: usize) -> Vec<u8> {
        self.stamp += 1;
        payload(self.stamp | 1 << 32, bytes)
    }

    /// The payload that the next entry gets whenever it is appended with this length.
    pub(crate) fn payload_by_number(&self, bytes: usize) -> Vec<u8> {
        payload(self.entries() as u64, bytes)
    }

    pub(crate) fn entries(&self) -> usize {
        self.accepted.iter().map(Vec::len).sum()
    }

    /// The highest segment that was linked when the log was opened last.
    pub(crate) fn linked_at_open(&self) -> u64 {
        self.linked_at_open
    }

    /// How many entries that open showed.
    pub(crate) fn shown_at_open(&self) -> u64 {
        self.shown_at_open
    }

    pub(crate) fn durable_entries(&self) -> usize {
        self.accepted[..self.durable_groups].iter().map(Vec::len).sum()
    }

    /// From now on until it is accepted, the group may or may not be found.
    pub(crate) fn begin(&mut self, group: Group) {
        self.maybe.push(group);
    }

    /// The power was cut: until an open shows what is left, only what was promised is sure.
    pub(crate) fn power_cut(&mut self) {
        self.unsettled = true;
    }

    /// The group that was begun last is part of the log, and nothing that failed before can be.
    pub(crate) fn accept(&mut self) {
        if let Some(group) = self.maybe.pop() {
            self.accepted.push(group);
        }
        self.maybe.clear();
    }

    /// The group that was begun last was refused before anything was written.
    pub(crate) fn refuse(&mut self) {
        self.maybe.pop();
    }

    /// Everything in front of this entry was promised to survive.
    pub(crate) fn acknowledge(&mut self, entries: u64) {
        let mut counted = 0;
        for (index, group) in self.accepted.iter().enumerate() {
            counted += group.len() as u64;
            if counted > entries {
                return;
            }
            self.durable_groups = self.durable_groups.max(index + 1);
        }
    }

    /// Holds a log that an open or a reader shows against what it may be.
    pub(crate) fn check(&self, shown: &[Vec<u8>], after: After) -> Result<(), Broken> {
        let accepted: Vec<&Vec<u8>> = self.accepted.iter().flatten().collect();
        let needed =
            if after == After::Kill && !self.unsettled { accepted.len() } else { self.durable_entries() };
        let common = shown.iter().zip(&accepted).take_while(|(a, b)| a == *b).count();
        if common < needed {
            let how = if common == shown.len() {
                format!("{needed} entries were promised, {} are there", shown.len())
            } else {
                format!("entry {common} has other bytes; {needed} entries were promised")
            };
            return Err(Broken::new(Promise::AcknowledgedIsThere, how));
        }
        let rest = &shown[common..];
        let at_group_end = self.group_ends().any(|end| end == common);
        let whole_maybe = common == accepted.len() && self.maybe.iter().any(|group| group.as_slice() == rest);
        if (rest.is_empty() && at_group_end) || whole_maybe {
            return Ok(());
        }
        // A payload of an earlier history that is found behind the accepted ones has come back.
        let promise = if common == accepted.len() && !rest.is_empty() {
            Promise::GoneStaysGone
        } else {
            Promise::LogIsAPrefix
        };
        let how = format!("{} entries are shown, {common} of them as appended", shown.len());
        Err(Broken::new(promise, how))
    }

    /// Whether a reader that stops anywhere could have shown these entries.
    pub(crate) fn could_show(&self, shown: &[Vec<u8>]) -> bool {
        let none = Group::new();
        self.maybe.iter().chain([&none]).any(|maybe| {
            let all = self.accepted.iter().flatten().chain(maybe);
            shown.len() <= self.entries() + maybe.len() && shown.iter().zip(all).all(|(a, b)| a == b)
        })
    }

    /// An open showed this log: from now on it is what the log is, and all of it is durable.
    pub(crate) fn opened(&mut self, shown: &[Vec<u8>], highest_link: u64) {
        self.linked_at_open = highest_link;
        self.shown_at_open = shown.len() as u64;
        self.unsettled = false;
        let mut left = shown;
        let mut accepted = Vec::new();
        for group in self.accepted.iter().chain(&self.maybe) {
            if left.is_empty() && !group.is_empty() {
                break;
            }
            if left.starts_with(group) {
                left = &left[group.len()..];
                accepted.push(group.clone());
            }
        }
        self.accepted = accepted;
        self.maybe.clear();
        self.durable_groups = self.accepted.len();
    }

    fn group_ends(&self) -> impl Iterator<Item = usize> + '_ {
        let mut end = 0;
        std::iter::once(0).chain(self.accepted.iter().map(move |group| {
            end += group.len();
            end
        }))
    }
}

fn payload(stamp: u64, bytes: usize) -> Vec<u8> {
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
