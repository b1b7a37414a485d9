//! The history of a log: what threads called, what they were told, and when. Tests check a log that was read against it.
//!
//! Only the log knows the order of the calls. But each call began and ended at a known moment, and each entry has bytes of
//! its own:
//!
//! ```text
//!  append     ├────────┤ told number 7, durable
//!  truncate_after(5)         ├─────┤              over before that moment: 7 must be gone
//!                        ├───┤                    not over: 7 may be there
//!  shown                               at this moment
//! ```

#![allow(
    clippy::disallowed_types,
    reason = "tests stand outside the seams, and no thread is switched under this lock"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use wal::Durability;

/// A moment: the number of a call's begin or end.
pub type Moment = u64;

/// One append, batch or submitted entry.
#[derive(Clone, Debug)]
struct Call {
    payloads: Vec<Vec<u8>>,
    begun: Moment,
    /// The first number, and when the caller was told.
    told: Option<(u64, Moment)>,
    /// When it was promised to be written, and durable.
    written: Option<Moment>,
    durable: Option<Moment>,
    /// Its caller was told so: what others are promised is not true of it.
    failed: bool,
}

/// One truncation.
#[derive(Clone, Copy, Debug)]
struct Truncation {
    drops: Drops,
    begun: Moment,
    /// When it was over with `Ok`.
    done: Option<Moment>,
}

/// One place of one hold.
#[derive(Clone, Copy, Debug)]
struct Held {
    sequence: u64,
    /// When its owner had it, and when it began to give it up.
    from: Option<Moment>,
    until: Option<Moment>,
}

/// What a truncation drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drops {
    /// Every entry before this one.
    Before(u64),
    /// This entry, and every entry after it.
    From(u64),
}

#[derive(Debug, Default)]
struct Told {
    now: Moment,
    calls: Vec<Call>,
    truncations: Vec<Truncation>,
    holds: Vec<Held>,
}

/// All calls of all threads, and what they were told. No thread is switched while its lock is held.
#[derive(Debug, Default)]
pub struct History(Mutex<Told>);

/// What a reader read of a log: the number of its first entry, and the payloads from there on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The number of the first entry.
    pub first: u64,
    /// The payloads, in order.
    pub payloads: Vec<Vec<u8>>,
}

/// Which rule the log broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// A promised entry is missing.
    Lost,
    /// A dropped entry is there.
    Back,
    /// The log begins at a wrong number.
    Beginning,
    /// An entry was never appended, or stands at a wrong number.
    Order,
}

/// How what was read contradicts the history.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// Which rule was broken.
    pub breach: Breach,
    /// How, for people.
    pub how: String,
}

impl Wrong {
    fn new(breach: Breach, how: String) -> Wrong {
        Wrong { breach, how }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.how)
    }
}

/// When the log was read: it was as read at some moment between these.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Not earlier.
    pub from: Moment,
    /// Not later.
    pub to: Moment,
    /// Entries of which this was promised must be there.
    pub needs: Durability,
}

impl History {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new moment, later than all before it.
    pub fn now(&self) -> Moment {
        let mut told = self.told();
        told.now += 1;
        told.now
    }

    /// A call begins; returns its place.
    pub fn begin(&self, payloads: Vec<Vec<u8>>) -> usize {
        let begun = self.now();
        let mut told = self.told();
        told.calls.push(Call { payloads, begun, told: None, written: None, durable: None, failed: false });
        told.calls.len() - 1
    }

    /// Its caller knows its number, and this is true of it.
    pub fn numbered(&self, call: usize, first: u64, promise: Durability) {
        let now = self.now();
        self.told().calls[call].tell(first, now);
        self.promised(call, promise);
    }

    /// A follower of durable entries was given this one.
    ///
    /// # Errors
    /// It was never appended there.
    pub fn followed(&self, sequence: u64, payload: &[u8]) -> Result<(), Wrong> {
        self.check_entry(sequence, payload)?;
        let now = self.now();
        let mut told = self.told();
        let placed = |(number, call): (usize, &Call)| {
            call.payloads.iter().position(|own| own == payload).map(|place| (number, place as u64))
        };
        if let Some((number, place)) = told.calls.iter().enumerate().find_map(placed) {
            told.calls[number].tell(sequence.wrapping_sub(place), now);
            told.calls[number].promise(Durability::Durable, now);
        }
        Ok(())
    }

    /// This is true of it from now on.
    pub fn promised(&self, call: usize, promise: Durability) {
        let now = self.now();
        self.told().calls[call].promise(promise, now);
    }

    /// Its caller had a number, and was told that it failed.
    pub fn failed(&self, call: usize) {
        self.told().calls[call].failed = true;
    }

    /// This is true of every call that was told its number before `moment`.
    pub fn promised_before(&self, moment: Moment, promise: Durability) {
        let now = self.now();
        let mut told = self.told();
        let known = |call: &&mut Call| call.told.is_some_and(|(_, when)| when < moment);
        told.calls.iter_mut().filter(known).for_each(|call| call.promise(promise, now));
    }

    /// A truncation begins; returns its place.
    pub fn begin_truncation(&self, drops: Drops) -> usize {
        let begun = self.now();
        let mut told = self.told();
        told.truncations.push(Truncation { drops, begun, done: None });
        told.truncations.len() - 1
    }

    /// It is over, and dropped this.
    pub fn truncated(&self, truncation: usize, drops: Drops) {
        let now = self.now();
        let truncation = &mut self.told().truncations[truncation];
        (truncation.drops, truncation.done) = (drops, Some(now));
    }

    /// A hold on all entries from this one on begins; returns its place.
    pub fn begin_hold(&self, sequence: u64) -> usize {
        let mut told = self.told();
        told.holds.push(Held { sequence, from: None, until: None });
        told.holds.len() - 1
    }

    /// It is held.
    pub fn holds(&self, hold: usize) {
        let now = self.now();
        self.told().holds[hold].from = Some(now);
    }

    /// It is about to be held no more.
    pub fn lets_go(&self, hold: usize) {
        let now = self.now();
        self.told().holds[hold].until = Some(now);
    }

    /// Checks what was read against all calls.
    ///
    /// # Errors
    /// What cannot be.
    pub fn check(&self, what: &str, shown: &Shown, look: Look) -> Result<(), Wrong> {
        let told = self.told();
        told.check(shown, look).map_err(|Wrong { breach, how }| {
            let Told { truncations, holds, .. } = &*told;
            let how = format!("{what}: {how}\n{look:?}\n{truncations:?}\n{holds:?}\n{:#?}", told.brief());
            Wrong { breach, how }
        })
    }

    /// Checks one entry that was read.
    ///
    /// # Errors
    /// It was never appended there.
    pub fn check_entry(&self, sequence: u64, payload: &[u8]) -> Result<(), Wrong> {
        let told = self.told();
        let is_it = |call: &Call| {
            call.payloads
                .iter()
                .position(|own| own == payload)
                .is_some_and(|place| call.told.is_none_or(|(first, _)| first + place as u64 == sequence))
        };
        if told.calls.iter().any(is_it) {
            return Ok(());
        }
        Err(Wrong::new(Breach::Order, format!("entry {sequence} was never appended there")))
    }
}

impl Call {
    /// The first number that was told counts; later ones must be equal.
    fn tell(&mut self, first: u64, now: Moment) {
        let (known, _) = *self.told.get_or_insert((first, now));
        assert_eq!(known, first, "one entry has one number");
    }

    fn promise(&mut self, promise: Durability, now: Moment) {
        if promise >= Durability::Written {
            self.written.get_or_insert(now);
        }
        if promise >= Durability::Durable {
            self.durable.get_or_insert(now);
        }
    }

    fn needed(&self, look: Look) -> bool {
        let since = match look.needs {
            Durability::Durable => self.durable,
            _ => self.written,
        };
        !self.failed && since.is_some_and(|since| since < look.from)
    }
}

impl Told {
    fn check(&self, shown: &Shown, look: Look) -> Result<(), Wrong> {
        self.check_first(shown, look)?;
        let owners = self.owners();
        let mut seen = vec![false; self.calls.len()];
        let mut before: Option<(usize, usize)> = None;
        let next = shown.first + shown.payloads.len() as u64;
        for (sequence, payload) in (shown.first..).zip(&shown.payloads) {
            let Some(&(call, place)) = owners.get(payload) else {
                return Err(Wrong::new(Breach::Order, format!("entry {sequence} was never appended")));
            };
            let own = &self.calls[call];
            if own.begun > look.to {
                return Err(Wrong::new(Breach::Order, format!("entry {sequence} was appended later")));
            }
            if let Some((first, _)) = own.told
                && first + place as u64 != sequence
            {
                return Err(Wrong::new(
                    Breach::Order,
                    format!("entry {sequence} was said to be entry {}", first + place as u64),
                ));
            }
            if self.surely_cut(own, sequence, look) {
                return Err(Wrong::new(Breach::Back, format!("entry {sequence} was dropped, and is back")));
            }
            let goes_on = place > 0 && before == Some((call, place - 1));
            if !goes_on && (place > 0 && sequence != shown.first || std::mem::replace(&mut seen[call], true))
            {
                return Err(Wrong::new(
                    Breach::Order,
                    format!("entry {sequence} is out of its batch, or there twice"),
                ));
            }
            let whole =
                before.is_none_or(|(last, at)| last == call || at + 1 == self.calls[last].payloads.len());
            if !whole && !self.may_be_cut_at(sequence, look) {
                return Err(Wrong::new(
                    Breach::Order,
                    format!("the batch before entry {sequence} is not whole"),
                ));
            }
            before = Some((call, place));
        }
        let torn = before.is_some_and(|(last, at)| at + 1 < self.calls[last].payloads.len());
        if torn && !self.may_be_cut_at(next, look) {
            return Err(Wrong::new(Breach::Order, format!("the batch before {next} ends early")));
        }
        self.check_needed(shown, look)
    }

    fn check_needed(&self, shown: &Shown, look: Look) -> Result<(), Wrong> {
        for call in self.calls.iter().filter(|call| call.needed(look)) {
            let Some((first, _)) = call.told else { continue };
            for (sequence, payload) in (first..).zip(&call.payloads) {
                if sequence < shown.first || self.may_be_cut(call, sequence, look) {
                    continue;
                }
                let place = usize::try_from(sequence - shown.first).unwrap_or(usize::MAX);
                if shown.payloads.get(place) != Some(payload) {
                    return Err(Wrong::new(
                        Breach::Lost,
                        format!("entry {sequence} was promised, and is not there"),
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_first(&self, shown: &Shown, look: Look) -> Result<(), Wrong> {
        let begins = |truncation: &Truncation| match truncation.drops {
            Drops::Before(first) => first,
            Drops::From(_) => 0,
        };
        let over = self.truncations.iter().filter(|one| one.done.is_some_and(|done| done < look.from));
        let least = over.map(begins).max().unwrap_or(0);
        // One that is not over may have stopped at any hold; the log is where the last one left it.
        let may_have = |one: &Truncation| {
            let stops = one.done.is_none() && shown.first <= begins(one);
            one.begun < look.to
                && (begins(one) == shown.first
                    || stops && self.holds.iter().any(|held| held.sequence == shown.first))
        };
        let kept = |held: &&Held| {
            let had = held.from.is_some_and(|from| from < look.from);
            had && held.until.is_none_or(|until| until > look.to)
        };
        if let Some(held) = self.holds.iter().filter(kept).find(|held| held.sequence < shown.first) {
            let how = format!("the log begins at {}, and {} was held", shown.first, held.sequence);
            return Err(Wrong::new(Breach::Beginning, how));
        }
        if shown.first == least || shown.first > least && self.truncations.iter().any(may_have) {
            return Ok(());
        }
        let how = format!("the log begins at {}, and not at {least}", shown.first);
        Err(Wrong::new(Breach::Beginning, how))
    }

    fn owners(&self) -> BTreeMap<&Vec<u8>, (usize, usize)> {
        let of_call = |(number, call)| {
            let places = Call::places(call);
            places.map(move |(place, payload)| (payload, (number, place)))
        };
        self.calls.iter().enumerate().flat_map(of_call).collect()
    }

    /// A truncation that began when the entry was known was over when this was looked at.
    fn surely_cut(&self, call: &Call, sequence: u64, look: Look) -> bool {
        let Some((_, told)) = call.told else { return false };
        self.truncations.iter().any(|one| {
            let over = one.begun > told && one.done.is_some_and(|done| done < look.from);
            over && matches!(one.drops, Drops::From(next) if next <= sequence)
        })
    }

    /// A truncation was not over when the entry came, and had begun when this was looked at.
    fn may_be_cut(&self, call: &Call, sequence: u64, look: Look) -> bool {
        self.truncations.iter().any(|one| {
            let meets = one.begun < look.to && one.done.is_none_or(|done| done > call.begun);
            meets && matches!(one.drops, Drops::From(next) if next <= sequence)
        })
    }

    fn may_be_cut_at(&self, next: u64, look: Look) -> bool {
        self.truncations.iter().any(|one| one.begun < look.to && one.drops == Drops::From(next))
    }

    fn brief(&self) -> Vec<String> {
        let call = |call: &Call| {
            let (begun, told, entries) = (call.begun, call.told, call.payloads.len());
            format!(
                "begun {begun}, told {told:?}, {entries} entries, written {:?}, durable {:?}",
                call.written, call.durable
            )
        };
        self.calls.iter().map(call).collect()
    }
}

impl Call {
    fn places(call: &Call) -> impl Iterator<Item = (usize, &Vec<u8>)> {
        call.payloads.iter().enumerate()
    }
}
