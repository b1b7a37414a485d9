//! Reading: forward, backward, single entries; with a reader that was made earlier; without the lock.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Instant;

use wal::{Entries, Error, ErrorKind, Options};

use crate::common;
use crate::common::read;
use crate::machine::{Model, PATIENCE};

impl Model {
    /// All that is written; `None` once a sync has failed.
    pub(crate) fn entries(&self) -> Option<Vec<Vec<u8>>> {
        let (shown, error) = read(self.wal().range(..).ok()?);
        match error {
            None => Some(self.whole(shown)),
            Some(error) => {
                self.has_lost_its_cache(&error);
                None
            }
        }
    }

    /// What is shown, behind what was dropped in front of it.
    pub(crate) fn whole(&self, shown: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        // It may begin in the middle of a batch.
        let mut whole = self.oracle.entries();
        whole.truncate(usize::try_from(self.first).expect("few entries"));
        whole.extend(shown);
        whole
    }

    /// How many entries a reader may show.
    pub(crate) fn readable(&self) -> RangeInclusive<u64> {
        self.written..=if self.setup.background { self.oracle.next() } else { self.written }
    }

    pub(crate) fn read(&self, range: &Range<u64>) {
        let entries = self.oracle.entries();
        let may = self.readable();
        let is_shown = |shown: &[Vec<u8>], first: u64, end: u64| {
            let places = first..first.max(end.min(first + shown.len() as u64));
            let within =
                |number: u64| usize::try_from(number.min(entries.len() as u64)).expect("few entries");
            let least = end.min(*may.start()).saturating_sub(first);
            let most = end.min(*may.end()).saturating_sub(first);
            assert!((least..=most).contains(&(shown.len() as u64)), "{} from {first}", shown.len());
            assert!(shown == &entries[within(places.start)..within(places.end)], "from {first}");
        };
        let Ok(found) = self.wal().range(range.clone()) else {
            assert!(self.setup.background, "open");
            return;
        };
        let (shown, error) = read(found);
        if let Some(error) = error {
            return self.has_lost_its_cache(&error);
        }
        let start = range.start.max(self.first);
        is_shown(&shown, start, range.end.max(start));
        let Ok(found) = self.wal().range(range.clone()) else {
            return assert!(self.setup.background, "open");
        };
        let Ok(mut shown) =
            found.rev().map(|entry| Ok(entry?.payload().to_vec())).collect::<Result<Vec<_>, Error>>()
        else {
            return common::eventually("a cache is lost", PATIENCE, || self.wal().range(..).is_err());
        };
        shown.reverse();
        is_shown(&shown, start, range.end.max(start));
        self.read_one(range.start);
        match self.wal().read_from(range.start) {
            Ok(found) => {
                assert!((self.first..=*may.end()).contains(&range.start));
                let (shown, error) = read(found);
                if let Some(error) = error {
                    return self.has_lost_its_cache(&error);
                }
                is_shown(&shown, range.start, u64::MAX);
            }
            Err(error) if error.kind() == ErrorKind::Poisoned => assert!(self.setup.background),
            Err(error) => {
                assert!(range.start > self.written || range.start < self.first);
                assert_eq!(error.kind(), ErrorKind::OutOfRange);
            }
        }
    }

    pub(crate) fn read_one(&self, sequence: u64) {
        let may = self.readable();
        match self.wal().read(sequence) {
            Ok(entry) => {
                assert!((self.first..*may.end()).contains(&sequence), "{sequence} is not there");
                let place = usize::try_from(sequence).expect("few entries");
                assert!(entry.payload() == self.oracle.entries()[place], "{sequence} has other bytes");
            }
            Err(error) if error.kind() == ErrorKind::OutOfRange => {
                assert!(sequence < self.first || sequence >= *may.start(), "{error}");
            }
            Err(error) if error.kind() == ErrorKind::Poisoned => assert!(self.setup.background, "{error}"),
            Err(error) => self.has_lost_its_cache(&error),
        }
    }

    /// Where no sync fails: the cache that it reads may change with one.
    pub(crate) fn keep_a_reader(&mut self, entries: usize) {
        if self.sync_fails {
            return;
        }
        self.go_on_reading();
        let may = self.readable();
        let Ok(reader) = self.wal().range(..) else { return assert!(self.setup.background, "open") };
        let mut kept = Kept { reader, shown: Vec::new(), first: self.first, may, log: self.oracle.entries() };
        kept.shows(entries);
        self.kept = Some(kept);
    }

    /// Whatever was done to the log meanwhile, the reader shows it as it was.
    pub(crate) fn go_on_reading(&mut self) {
        if let Some(mut kept) = self.kept.take() {
            kept.shows(usize::MAX);
            kept.has_shown_all();
        }
    }

    /// A reader without the lock, beside the writer. One that sees an entry whose write has failed, or a
    /// cache that a failed sync has changed, may find it gone when it reads: a second one does not.
    pub(crate) fn look(&self) {
        if !self.setup.background {
            return self.look_once().expect("a view shows the log");
        }
        let begun = Instant::now();
        while let Err(broken) = self.look_once() {
            let is_poisoned = self.wal().range(..).is_err();
            assert!(is_poisoned || begun.elapsed() < PATIENCE, "{broken}");
            if is_poisoned {
                return;
            }
        }
    }

    pub(crate) fn look_once(&self) -> Result<(), String> {
        let before = common::directory(&self.disk);
        let view = match Options::new().open_read_only_in(Arc::new(self.disk.clone())) {
            Ok(view) => view,
            // The anchor of a log that never had an entry is made anew for the first one.
            Err(error) if error.kind() == ErrorKind::NoLog && self.written == 0 => return Ok(()),
            Err(error) => return Err(format!("{error}")),
        };
        if view.first() != self.first {
            return Err(format!("a view begins at {}, and not at {}", view.first(), self.first));
        }
        let (shown, error) = read(view.range(..));
        error.map_or(Ok(()), |error| Err(format!("{error}")))?;
        let one = view.read(view.written_end().saturating_sub(1));
        if view.is_empty() != one.is_err() {
            return Err(format!("the last entry of a view is {one:?}"));
        }
        let entries = shown.len() as u64;
        let shown = self.whole(shown);
        self.oracle.explains(&shown, self.readable())?;
        let found = view.verify().map_err(|error| format!("{error}"))?;
        if !found.damages.is_empty() {
            return Err(format!("{:?}", found.damages));
        }
        // It looks anew.
        assert!(self.setup.background || found.entries == entries, "{}", found.entries);
        assert!(view.durable_end() <= view.written_end());
        let unchanged = self.setup.background || common::directory(&self.disk) == before;
        assert!(unchanged, "a view changed something");
        Ok(())
    }
}

/// A reader, and the log as it was when it was made.
pub(crate) struct Kept {
    reader: Entries,
    shown: Vec<Vec<u8>>,
    first: u64,
    /// How far it may go.
    may: RangeInclusive<u64>,
    log: Vec<Vec<u8>>,
}

impl Kept {
    fn shows(&mut self, entries: usize) {
        let more = self.reader.by_ref().take(entries);
        self.shown.extend(more.map(|entry| entry.expect("a reader keeps its log").payload().to_vec()));
    }

    fn has_shown_all(&self) {
        let end = self.first + self.shown.len() as u64;
        assert!(self.may.contains(&end), "a reader of {:?} ends at {end}", self.may);
        let place = |number: u64| usize::try_from(number).expect("few entries");
        assert!(self.shown == self.log[place(self.first)..place(end)], "a reader shows another log");
    }
}
