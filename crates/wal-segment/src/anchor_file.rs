//! The anchor file: two slots, written in turn, each synced before the other is touched.
//!
//! ```text
//! 0     slot 0   generation 4, 6, 8 …
//! 4096  slot 1   generation 5, 7, 9 …
//! ```
//!
//! Invariant: at any moment at least one slot on the device is whole. A slot whose write or sync
//! failed is the one that is written next.

use wal_format::{ANCHOR_FILE, Anchor, HeaderFault, SLOT_BYTES, SLOTS};

use crate::error::{Damage, DamageKind, Error, Operation, Place};
use crate::io::{Access, Directory, FileKind};
use crate::named::Named;

/// Both slots as they were read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    slots: [Result<Anchor, HeaderFault>; SLOTS],
}

impl Slots {
    /// No anchor file.
    pub(crate) const NONE: Slots = Slots { slots: [Err(HeaderFault::Short); SLOTS] };

    /// Reads both slots. What is no regular file is damage; a slot of a later version is unsupported,
    /// because its writer may rely on what this one does not know.
    pub(crate) fn read(file: &Named) -> Result<Slots, Error> {
        let mut bytes = [0; SLOT_BYTES * SLOTS];
        let read = file.read_at(&mut bytes, 0).place(Operation::Read, || file.path.clone(), Some(0))?;
        let slot = |index: usize| Anchor::decode(&bytes[..read][(index * SLOT_BYTES).min(read)..]);
        let slots = [slot(0), slot(1)];
        for result in slots {
            if let Err(
                fault @ (HeaderFault::Version(_) | HeaderFault::Features(_) | HeaderFault::ChecksumKind(_)),
            ) = result
            {
                return Err(Error::Unsupported { file: file.path.clone(), fault });
            }
        }
        Ok(Slots { slots })
    }

    /// The newer of the valid slots.
    pub(crate) fn newest(&self) -> Option<Anchor> {
        self.slots.iter().flatten().max_by_key(|anchor| anchor.generation).copied()
    }

    /// Why there is no valid slot.
    pub(crate) fn fault(&self) -> HeaderFault {
        self.slots[0].err().or(self.slots[1].err()).unwrap_or(HeaderFault::Blank)
    }

    /// Whether both slots are valid and name the same first entry, so that the loss of either does
    /// not bring back what was truncated.
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
#[derive(Debug)]
pub(crate) struct AnchorFile {
    file: Named,
    last: Anchor,
    next_slot: usize,
}

impl AnchorFile {
    /// Creates the anchor of a new log: both slots, synced; the caller syncs the directory. A crash in
    /// here leaves no valid slot and no segment, which is a new log again.
    pub(crate) fn create(
        directory: &dyn Directory,
        leftover: Option<FileKind>,
        anchor: Anchor,
    ) -> Result<AnchorFile, Error> {
        let file = match leftover {
            None => Named::create(directory, ANCHOR_FILE)?,
            Some(_) => Named::open(directory, ANCHOR_FILE, Access::ReadWrite)?,
        };
        let mut bytes = [0; SLOT_BYTES * SLOTS];
        let second = Anchor { generation: anchor.generation + 1, ..anchor };
        for (slot, anchor) in bytes.chunks_exact_mut(SLOT_BYTES).zip([anchor, second]) {
            let encoded = anchor.encode();
            slot[..encoded.len()].copy_from_slice(&encoded);
        }
        file.write_all(&bytes, 0)?;
        file.sync()?;
        Ok(AnchorFile { file, last: second, next_slot: 0 })
    }

    /// Goes on with an anchor file that was read.
    pub(crate) fn resume(file: Named, slots: &Slots, newest: Anchor) -> AnchorFile {
        AnchorFile { file, last: newest, next_slot: 1 - slots.newest_index() }
    }

    /// What was written last.
    pub(crate) fn last(&self) -> &Anchor {
        &self.last
    }

    /// Writes and syncs `anchor` with the next generation into the older slot. After a failure the
    /// same slot is written again, so the other one stays whole.
    pub(crate) fn write(&mut self, anchor: Anchor) -> Result<(), Error> {
        let generation = self.last.generation.checked_add(1).ok_or(Error::OutOfNumbers)?;
        let anchor = Anchor { generation, ..anchor };
        let mut slot = [0; SLOT_BYTES];
        let encoded = anchor.encode();
        slot[..encoded.len()].copy_from_slice(&encoded);
        self.file.write_all(&slot, (self.next_slot * SLOT_BYTES) as u64)?;
        self.file.sync()?;
        self.last = anchor;
        self.next_slot = 1 - self.next_slot;
        Ok(())
    }
}

/// Opens the anchor file, if there is one that is a regular file.
pub(crate) fn open(
    directory: &dyn Directory,
    kind: Option<FileKind>,
    access: Access,
) -> Result<Option<Named>, Error> {
    match kind {
        None => Ok(None),
        Some(FileKind::Regular) => Named::open(directory, ANCHOR_FILE, access).map(Some),
        Some(kind) => Err(Error::Damaged(Damage {
            file: directory.path().join(ANCHOR_FILE),
            offset: 0,
            sequences: None,
            kind: DamageKind::NotAFile(kind),
        })),
    }
}
