//! The anchor file: two slots, written alternately, each synced before the other is touched.
//!
//! ```text
//! 0     slot 0   generation 4, 6, 8 …
//! 4096  slot 1   generation 5, 7, 9 …
//! ```
//!
//! Invariant: at any moment at least one slot on the device is whole. A slot whose write or sync failed is
//! written again next.

use wal_format::{ANCHOR_FILE, Anchor, HeaderFault, SLOT_BYTES, SLOTS, SegmentName, SegmentNumber, Sequence};

use crate::error::{Damage, DamageKind, Error};
use crate::files::named::{Named, remove, sync_directory};
use crate::files::names::Catalog;
use crate::files::watched::WatchedFile;
use crate::io::{Access, Directory, FileKind};
use crate::rules::{Rule, Rules};

#[derive(Clone, Debug)]
pub(crate) struct Slots {
    slots: [Result<Anchor, HeaderFault>; SLOTS],
    pub(crate) sections: Vec<u8>,
}

impl Slots {
    pub(crate) const NONE: Slots = Slots { slots: [Err(HeaderFault::Short); SLOTS], sections: Vec::new() };

    /// Reads both slots without the lock of the log; [`Slots::NONE`] where there is no anchor file.
    pub(crate) fn find(directory: &dyn Directory, kind: Option<FileKind>) -> Result<Slots, Error> {
        open(directory, kind, Access::Read)?.as_ref().map_or(Ok(Slots::NONE), Slots::read)
    }

    /// Fails on a slot of a later version: its writer may rely on what this build does not know.
    pub(crate) fn read(file: &Named) -> Result<Slots, Error> {
        let mut bytes = [0; SLOT_BYTES * SLOTS];
        let read = file.read_at(&mut bytes, 0)?;
        let slot = |index: usize| &bytes[..read][(index * SLOT_BYTES).min(read)..];
        let slots = [Anchor::decode(slot(0)), Anchor::decode(slot(1))];
        for result in slots {
            if let Err(
                fault @ (HeaderFault::Version(_) | HeaderFault::Features(_) | HeaderFault::ChecksumKind(_)),
            ) = result
            {
                return Err(Error::Unsupported { file: file.path.to_path_buf(), fault });
            }
        }
        let mut slots = Slots { slots, sections: Vec::new() };
        slots.sections = Anchor::sections(slot(slots.newest_index())).to_vec();
        Ok(slots)
    }

    /// The newer of the valid slots. Its statement that the log was closed counts only while the other slot
    /// is valid too: a damaged one may be newer and say that the log was opened again.
    pub(crate) fn newest(&self, rules: Rules) -> Option<Anchor> {
        let newest = self.slots.iter().flatten().max_by_key(|anchor| anchor.generation).copied()?;
        let is_certain = self.slots.iter().all(Result::is_ok) || !rules.keeps(Rule::CloseNeedsBothSlots);
        Some(Anchor { seal_offset: newest.seal_offset.filter(|_| is_certain), ..newest })
    }

    pub(crate) fn fault(&self) -> HeaderFault {
        self.slots[0].err().or(self.slots[1].err()).unwrap_or(HeaderFault::Blank)
    }

    /// Whether both slots are valid and name the same first entry, so that losing either does not bring back
    /// truncated entries.
    pub(crate) fn agree_on_first(&self) -> bool {
        match self.slots {
            [Ok(a), Ok(b)] => (a.first, a.first_segment) == (b.first, b.first_segment),
            _ => false,
        }
    }

    fn newest_index(&self) -> usize {
        let generation = |index: usize| self.slots[index].ok().map(|anchor| anchor.generation);
        usize::from(generation(1) > generation(0))
    }
}

/// The anchor file, open for writing.
///
/// What it states only grows: an older anchor that arrives late is ignored.
#[derive(Debug)]
pub struct AnchorFile {
    file: Named,
    last: Anchor,
    next_slot: usize,
    /// Sections that a later version put into the slots, kept as they are.
    sections: Vec<u8>,
    /// Whether its name is known to be durable: this process made it, or a LINK depends on it.
    proven: bool,
    /// Where the log begins according to both slots; `None` while they may differ.
    begins: Option<(Sequence, SegmentNumber)>,
    /// No anchor that begins before this is written: the segments that it names may be gone.
    gone_before: Sequence,
    rules: Rules,
}

impl AnchorFile {
    /// Makes the anchor of a log that has no linked segment: both slots, synced, under a durable name.
    ///
    /// First removes the files of an earlier creation: a failed sync of the directory may have left their
    /// names in the page cache alone. The anchor is removed last, because segments without an anchor are a
    /// damaged log; a crash during this leaves a new log.
    pub(crate) fn remake(
        directory: &dyn Directory,
        catalog: &Catalog,
        anchor: Anchor,
        sections: Vec<u8>,
        rules: Rules,
    ) -> Result<AnchorFile, Error> {
        if !catalog.segments.is_empty() {
            for &number in catalog.segments.keys() {
                remove(directory, SegmentName::of(number).as_str())?;
            }
            sync_directory(directory)?;
        }
        if catalog.anchor.is_some() {
            remove(directory, ANCHOR_FILE)?;
        }
        let file = Named::create(directory, ANCHOR_FILE)?;
        let both = [1, 2].map(|generation| Anchor { generation, ..anchor });
        let mut bytes = [0; SLOT_BYTES * SLOTS];
        for (slot, anchor) in bytes.chunks_exact_mut(SLOT_BYTES).zip(both) {
            slot.copy_from_slice(&anchor.encode(&sections));
        }
        file.write_all(&bytes, 0)?;
        file.sync()?;
        sync_directory(directory)?;
        Ok(AnchorFile::resume(file, &Slots { slots: both.map(Ok), sections }, both[1], true, rules))
    }

    /// Makes the name of the file durable before the first LINK depends on it.
    ///
    /// # Errors
    /// What the system reports; the next call tries again.
    pub fn prove(&mut self, directory: &dyn Directory) -> Result<(), Error> {
        if !self.proven {
            let catalog = Catalog::read(directory)?;
            let sections = self.sections.clone();
            *self = AnchorFile::remake(directory, &catalog, self.last, sections, self.rules)?;
        }
        Ok(())
    }

    pub(crate) fn resume(
        file: Named,
        slots: &Slots,
        newest: Anchor,
        proven: bool,
        rules: Rules,
    ) -> AnchorFile {
        AnchorFile {
            file,
            last: newest,
            next_slot: 1 - slots.newest_index(),
            sections: slots.sections.clone(),
            proven,
            begins: slots.agree_on_first().then(|| beginning(&newest)),
            gone_before: newest.first,
            rules,
        }
    }

    /// The open file, to watch its name.
    ///
    /// # Errors
    /// What the system reports.
    pub fn held(&self) -> Result<WatchedFile, Error> {
        WatchedFile::new(self.file.clone())
    }

    /// Whether the name is known to be durable; otherwise the file is made anew before the first LINK depends
    /// on it.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    pub(crate) fn last(&self) -> &Anchor {
        &self.last
    }

    /// Makes `anchor` durable, unless the file says that or more already. An anchor with another beginning of
    /// the log is written to both slots.
    ///
    /// # Errors
    /// What the system reports. The next call writes the same slot again, so the other one stays whole. If
    /// the beginning was to move, the log begins at the old or the new place until the next anchor is
    /// written.
    pub fn write(&mut self, anchor: Anchor) -> Result<(), Error> {
        // An anchor that was requested before a close may state the same offset. Written late, it must not
        // replace the one that states the close.
        let reached = |anchor: &Anchor| {
            anchor.durable.map(|point| (point.segment, point.offset, anchor.seal_offset.is_some()))
        };
        if anchor.first < self.gone_before || reached(&anchor) < reached(&self.last) {
            return Ok(());
        }
        let both = Some(beginning(&anchor));
        let same = Anchor { generation: self.last.generation, ..anchor } == self.last;
        if self.begins == both && same {
            return Ok(());
        }
        self.rewrite(anchor)?;
        if self.begins != both && self.rules.keeps(Rule::FirstInBothSlots) {
            self.rewrite(anchor)?;
        }
        self.gone_before = anchor.first;
        Ok(())
    }

    /// Writes and syncs `anchor` with the next generation into the older slot, whatever it says.
    pub(crate) fn rewrite(&mut self, anchor: Anchor) -> Result<(), Error> {
        let generation = self.last.generation.checked_add(1).ok_or(Error::OutOfNumbers)?;
        let anchor = Anchor { generation, ..anchor };
        let slot = anchor.encode(&self.sections);
        let agreeing = (beginning(&self.last) == beginning(&anchor)).then(|| beginning(&anchor));
        self.begins = None;
        self.file.write_all(&slot, (self.next_slot * SLOT_BYTES) as u64)?;
        self.file.sync()?;
        self.last = anchor;
        self.next_slot = 1 - self.next_slot;
        self.begins = agreeing;
        Ok(())
    }
}

fn beginning(anchor: &Anchor) -> (Sequence, SegmentNumber) {
    (anchor.first, anchor.first_segment)
}

pub(crate) fn open(
    directory: &dyn Directory,
    kind: Option<FileKind>,
    access: Access,
) -> Result<Option<Named>, Error> {
    match kind {
        None => Ok(None),
        Some(FileKind::Regular) => Named::open(directory, ANCHOR_FILE, access).map(Some),
        Some(kind) => Err(Error::Damaged(damage(directory, DamageKind::NotAFile(kind)))),
    }
}

/// The damage of the anchor file.
pub(crate) fn damage(directory: &dyn Directory, kind: DamageKind) -> Damage {
    Damage { file: directory.path().join(ANCHOR_FILE), offset: 0, sequences: None, kind }
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use wal_format::{ChecksumKind, DurablePoint, LogId};

    use super::*;
    use crate::io::sim::{CallKind, Failure, Fault, FaultEffect, SimDisk, Times};

    fn anchor(first: u64, segment: u64, offset: u64) -> Anchor {
        let number = |number| SegmentNumber::new(number).unwrap();
        Anchor {
            log: LogId([7; 16]),
            generation: 0,
            first: Sequence::try_from(first).unwrap(),
            first_segment: number(1),
            active: Some((number(segment), 5)),
            durable: Some(DurablePoint { segment: number(segment), offset, next: Sequence::MAX }),
            seal_offset: None,
            next_segment_bytes: 1 << 20,
            next_checksum: ChecksumKind::Crc32,
        }
    }

    fn made(disk: &SimDisk) -> AnchorFile {
        AnchorFile::remake(disk, &Catalog::default(), anchor(0, 1, 9000), Vec::new(), Rules::default())
            .unwrap()
    }

    fn firsts(disk: &SimDisk) -> [u64; 2] {
        let file = Named::open(disk, ANCHOR_FILE, Access::Read).unwrap();
        Slots::read(&file).unwrap().slots.map(|slot| slot.unwrap().first.value())
    }

    fn next_sync_fails(disk: &SimDisk, nth: u64) {
        let with = FaultEffect::Error(Failure::Kind(std::io::ErrorKind::Other));
        disk.fail(Fault { call: CallKind::SyncFile, nth, times: Times::Once, with });
    }

    #[test]
    fn a_new_beginning_is_in_both_slots_and_an_older_one_that_comes_late_is_passed_over() {
        let disk = SimDisk::new(1);
        let mut file = made(&disk);
        file.write(anchor(5, 1, 9000)).unwrap();
        assert_eq!(firsts(&disk), [5, 5]);
        // The background thread had it queued since before the truncation.
        for late in [anchor(0, 1, 9000), anchor(4, 1, 9000)] {
            file.write(late).unwrap();
            assert_eq!(firsts(&disk), [5, 5]);
        }
        file.write(anchor(5, 1, 9100)).unwrap();
        assert_eq!(file.last().durable, anchor(5, 1, 9100).durable);
        assert_eq!(firsts(&disk), [5, 5]);
    }

    #[test]
    fn a_new_beginning_that_failed_in_either_slot_is_taken_back_by_the_next_anchor() {
        for nth in [0, 1] {
            let disk = SimDisk::new(2);
            let mut file = made(&disk);
            next_sync_fails(&disk, nth);
            file.write(anchor(5, 1, 9000)).unwrap_err();
            // It equals the anchor before the failure and is written all the same.
            file.write(anchor(0, 1, 9000)).unwrap();
            assert_eq!(firsts(&disk), [0, 0], "sync {nth} failed");
            file.write(anchor(5, 1, 9000)).unwrap();
            assert_eq!(firsts(&disk), [5, 5], "sync {nth} failed");
        }
    }

    #[test]
    fn slots_that_differ_when_they_are_read_agree_after_the_next_write() {
        let disk = SimDisk::new(3);
        let mut file = made(&disk);
        next_sync_fails(&disk, 1);
        file.write(anchor(5, 1, 9000)).unwrap_err();
        let disk = disk.power_cut_losing_everything();
        let named = Named::open(&disk, ANCHOR_FILE, Access::ReadWrite).unwrap();
        let slots = Slots::read(&named).unwrap();
        let newest = slots.newest(Rules::default()).unwrap();
        assert!(!slots.agree_on_first() && newest.first.value() == 5);
        let mut file = AnchorFile::resume(named, &slots, newest, true, Rules::default());
        file.rewrite(anchor(5, 1, 9000)).unwrap();
        assert_eq!(firsts(&disk), [5, 5]);
        let operations = disk.operations();
        file.write(anchor(5, 1, 9000)).unwrap();
        assert_eq!(disk.operations(), operations, "both say so already");
    }
}
