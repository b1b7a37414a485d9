//! A pool file, waiting to become a segment: the recycled file of an obsolete segment.
//!
//! ```text
//!  segment 3 ──▶ pool-004.wal ──▶ headers of segment 9, synced ──▶ segment 9: a spare
//!       lock, rename        lock, name synced              rename, directory synced
//! ```
//!
//! Under its pool name no reader and no open looks at its content. It gets the name of a segment only with
//! durable headers of a new life, so an old frame never becomes part of the log. A crash at any step leaves
//! an obsolete segment, a pool file, or a spare.
//!
//! Old bytes are overwritten only under an exclusive lock: a reader in any process holds a shared lock while
//! it has the file open. Without the lock the file is removed instead, and the reader keeps it.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::io::{self, ErrorKind};

use wal_format::{ANCHOR_FILE, FIRST_FRAME_OFFSET, Life, PoolName, SegmentName, SegmentNumber};

use crate::error::{Error, Operation, Place};
use crate::files::named::{Named, remove, rename, sync_directory};
use crate::files::names::Catalog;
use crate::io::{Access, Directory};
use crate::rules::{Rule, Rules};
use crate::spares::spare::{Order, Spare, header, salt_of, write_heads};

/// A file that waits to become a segment.
#[derive(Debug)]
pub struct PoolFile {
    name: PoolName,
    bytes: u64,
    written_bytes: u64,
    /// A power cut may bring back the name that it had before.
    renamed: bool,
}

impl PoolFile {
    /// Renames the file of an obsolete segment to a pool name. `None` if a reader of any process has it open,
    /// or that is unknown; then it is unchanged.
    pub fn retire(directory: &dyn Directory, segment: SegmentNumber, name: PoolName) -> Option<PoolFile> {
        let segment = SegmentName::of(segment);
        let file = Named::open(directory, segment.as_str(), Access::ReadWrite).ok()?;
        file.try_lock().ok()?;
        let bytes = file.length().ok()?;
        rename(directory, segment.as_str(), name.as_str()).ok()?;
        Some(PoolFile { name, bytes, written_bytes: bytes, renamed: true })
    }

    /// Makes a pool file of an existing file with the name of the ordered segment: a spare that was prepared
    /// before, here or by an earlier process, and never linked. Otherwise like [`PoolFile::retire`].
    pub fn reclaim(
        directory: &dyn Directory,
        order: Order,
        name: PoolName,
        rules: Rules,
    ) -> Option<PoolFile> {
        let reclaims = order.reclaims && rules.keeps(Rule::NewSalt);
        if reclaims { PoolFile::retire(directory, order.number, name) } else { None }
    }

    /// The pool files of earlier processes, and those of them that share their inode with another name of the
    /// log.
    ///
    /// A rename reaches the disk in two halves, and on a file system without a journal a power cut may leave
    /// both names. The other one may be that of a prepared segment, which is linked later: using this file
    /// would overwrite its entries. The count of hard links does not show that, because a rename does not
    /// change it.
    pub(crate) fn apart(
        directory: &dyn Directory,
        catalog: &Catalog,
        rules: Rules,
    ) -> (Vec<PoolName>, Vec<PoolName>) {
        let mut taken = HashSet::new();
        if !catalog.pool.is_empty() && rules.keeps(Rule::PoolSharesNoFile) {
            let segments = catalog.segments.keys().map(|&number| SegmentName::of(number));
            let ids = segments.map(|name| directory.id_of(name.as_str()));
            for id in ids.chain([directory.id_of(ANCHOR_FILE)]) {
                match id {
                    Ok(id) => taken.extend(id),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    // Which names share a file is unknown.
                    Err(_) => return (Vec::new(), catalog.pool.clone()),
                }
            }
        }
        catalog.pool.iter().partition(|name| match directory.id_of(name.as_str()) {
            Ok(Some(id)) => taken.insert(id) || !rules.keeps(Rule::PoolSharesNoFile),
            Ok(None) => true,
            // Doing without the file costs nothing else.
            Err(_) => false,
        })
    }

    /// Takes over a pool file of an earlier process. `None` when it cannot be opened.
    pub fn adopt(directory: &dyn Directory, name: PoolName) -> Option<PoolFile> {
        let file = Named::open(directory, name.as_str(), Access::ReadWrite).ok()?;
        let bytes = file.length().ok()?;
        let written_bytes = FIRST_FRAME_OFFSET.min(bytes);
        Some(PoolFile { name, bytes, written_bytes, renamed: false })
    }

    /// Its length, in bytes.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.bytes
    }

    /// Removes the file.
    ///
    /// # Errors
    /// What the system reports; then the next open finds the file.
    pub fn discard(self, directory: &dyn Directory) -> Result<(), Error> {
        remove(directory, self.name.as_str())
    }

    /// Makes a spare of it. A file that is longer than ordered is shortened; a shorter one is extended,
    /// unless the disk is full and it is long enough.
    ///
    /// # Errors
    /// A reader has it open, it has another name, or what the system reports. In each case this name of it is
    /// removed.
    pub fn prepare(self, directory: &dyn Directory, order: Order, rules: Rules) -> Result<Spare, Error> {
        let (waits, segment) = (self.name, SegmentName::of(order.number));
        let mut named = false;
        self.head_and_name(directory, order, rules, &mut named).inspect_err(|_| {
            // If the removal fails, the file is a pool file or a prepared segment: the next attempt, or the
            // next open, finds it.
            directory.remove(if named { segment.as_str() } else { waits.as_str() }).ok();
        })
    }

    fn head_and_name(
        self,
        directory: &dyn Directory,
        order: Order,
        rules: Rules,
        named: &mut bool,
    ) -> Result<Spare, Error> {
        let segment = SegmentName::of(order.number);
        // This handle keeps the lock until the headers state another life; a reader that opens the file after
        // that sees them.
        let file = Named::open(directory, self.name.as_str(), Access::ReadWrite)?;
        file.try_lock()?;
        self.refuse_linked(&file)?;
        if self.renamed {
            sync_directory(directory)?;
        }
        let capacity = self.fit(&file, order)?;
        let kept_salt = if rules.keeps(Rule::RecycledNewSalt) { None } else { salt_of(&file)? };
        let salt = kept_salt.unwrap_or_else(|| directory.salt());
        let life = Life { segment: order.number, salt };
        let header = header(directory, order, life, false);
        if rules.keeps(Rule::HeadedBeforeNamed) {
            write_heads(&file, &header)?;
            if rules.keeps(Rule::HeadsBeforeName) {
                file.sync()?;
            }
        }
        match rename(directory, self.name.as_str(), segment.as_str()) {
            // A spare that was prepared before and never linked makes room.
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {
                remove(directory, segment.as_str())?;
                rename(directory, self.name.as_str(), segment.as_str())?;
            }
            renamed => renamed?,
        }
        *named = true;
        sync_directory(directory)?;
        if !rules.keeps(Rule::HeadedBeforeNamed) {
            write_heads(&file, &header)?;
            file.sync()?;
        }
        // The log writes through a handle without a lock, beside readers who share one.
        let unlocked = Named::open(directory, segment.as_str(), Access::ReadWrite)?;
        Spare::new(unlocked, header, capacity, self.written_bytes, order.spans)
    }

    /// A hard link may be a backup, which must not be overwritten.
    fn refuse_linked(&self, file: &Named) -> Result<(), Error> {
        let names = file.names()?;
        if names <= 1 {
            return Ok(());
        }
        let linked = io::Error::other(format!("{names} names lead to this file"));
        Err(linked).place(Operation::Rename, || file.path.to_path_buf(), None)
    }

    fn fit(&self, file: &Named, order: Order) -> Result<u64, Error> {
        let found_bytes = file.length()?;
        match found_bytes.cmp(&order.bytes) {
            Ordering::Greater => file.resize(order.bytes)?,
            Ordering::Equal => {}
            Ordering::Less => {
                match file.reserve_what_fits(order.bytes, order.needed_bytes.max(found_bytes)) {
                    // Its present length is enough.
                    Err(error) if error.is_out_of_space() && found_bytes >= order.needed_bytes => {}
                    reserved => drop(reserved?),
                }
            }
        }
        file.length()
    }
}
