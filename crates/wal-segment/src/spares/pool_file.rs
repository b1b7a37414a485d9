//! A file that waits to become a segment: one that a truncation has left.
//!
//! ```text
//!  segment 3 ──▶ pool-004.wal ──▶ headers of segment 9, synced ──▶ segment 9: a spare
//!       lock, rename        lock, name synced              rename, directory synced
//! ```
//!
//! Under the name of the pool nothing in it means anything, to whoever looks. It gets the name of a segment
//! only with durable headers of a new life, so no old frame is ever one of the log's, and a crash at any
//! step leaves a segment that nobody needs, a file that waits, or a spare.
//!
//! Old bytes are written over only under a lock that nobody shares: a reader who has the file open holds a
//! lock for as long, in whatever process. Without that lock the file is removed instead, and the reader goes on.

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
    /// Up to here something was written, and not only reserved.
    written_bytes: u64,
    /// A power cut may bring back the name that it had before.
    renamed: bool,
}

impl PoolFile {
    /// Lets the file of a segment wait that nobody needs any more. None when a reader has it, in this
    /// process or in another, or nobody can tell; then it is as it was.
    pub fn retire(directory: &dyn Directory, segment: SegmentNumber, name: PoolName) -> Option<PoolFile> {
        let segment = SegmentName::of(segment);
        let file = Named::open(directory, segment.as_str(), Access::ReadWrite).ok()?;
        file.try_lock().ok()?;
        let bytes = file.length().ok()?;
        rename(directory, segment.as_str(), name.as_str()).ok()?;
        Some(PoolFile { name, bytes, written_bytes: bytes, renamed: true })
    }

    /// Lets the file wait that has the name of the ordered segment: one that was prepared before, here or by an
    /// earlier process, and never linked. Otherwise as [`PoolFile::retire`].
    pub fn reclaim(
        directory: &dyn Directory,
        order: Order,
        name: PoolName,
        rules: Rules,
    ) -> Option<PoolFile> {
        let reclaims = order.reclaims && rules.keeps(Rule::NewSalt);
        if reclaims { PoolFile::retire(directory, order.number, name) } else { None }
    }

    /// The files that an earlier process has left waiting, and those of them that share their file with another name of
    /// the log.
    ///
    /// A rename reaches the disk in two halves, and on a file system without a journal a power cut may leave both names.
    /// The other one may be that of a prepared segment, and of one that is linked later: its entries would be written
    /// over when this one is used. That a count of names does not show: a rename does not change it.
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
                    // Which files they share cannot be told.
                    Err(_) => return (Vec::new(), catalog.pool.clone()),
                }
            }
        }
        catalog.pool.iter().partition(|name| match directory.id_of(name.as_str()) {
            Ok(Some(id)) => taken.insert(id) || !rules.keeps(Rule::PoolSharesNoFile),
            Ok(None) => true,
            // It costs nothing but a file to do without it.
            Err(_) => false,
        })
    }

    /// Takes over a file that an earlier process has left waiting. None when it cannot be opened.
    pub fn adopt(directory: &dyn Directory, name: PoolName) -> Option<PoolFile> {
        let file = Named::open(directory, name.as_str(), Access::ReadWrite).ok()?;
        let bytes = file.length().ok()?;
        let written_bytes = FIRST_FRAME_OFFSET.min(bytes);
        Some(PoolFile { name, bytes, written_bytes, renamed: false })
    }

    /// How long it is.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives it up.
    ///
    /// # Errors
    /// What the system reports; then the next open finds it.
    pub fn discard(self, directory: &dyn Directory) -> Result<(), Error> {
        remove(directory, self.name.as_str())
    }

    /// Makes a spare of it. One that is longer than ordered is shortened. One that is shorter is extended,
    /// unless there is no space for that and it is long enough.
    ///
    /// # Errors
    /// A reader has it, it has another name, or what the system reports. Either way this name of it is removed.
    pub fn prepare(self, directory: &dyn Directory, order: Order, rules: Rules) -> Result<Spare, Error> {
        let (waits, segment) = (self.name, SegmentName::of(order.number));
        let mut named = false;
        self.head_and_name(directory, order, rules, &mut named).inspect_err(|_| {
            // What cannot be removed is a file that waits, or a prepared segment: the next attempt, or the
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
        // Its handle has the lock until the headers say that this is another life; those who open it
        // after that look at them.
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
            // One that was prepared before and never linked makes room.
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
        // The log writes through a handle that has no lock, beside readers who share one.
        let unlocked = Named::open(directory, segment.as_str(), Access::ReadWrite)?;
        Spare::new(unlocked, header, capacity, self.written_bytes, order.spans)
    }

    /// Refuses a file that has another name: a backup by hard links is not written over.
    fn refuse_linked(&self, file: &Named) -> Result<(), Error> {
        let names = file.names()?;
        if names <= 1 {
            return Ok(());
        }
        let linked = io::Error::other(format!("{names} names lead to this file"));
        Err(linked).place(Operation::Rename, || file.path.to_path_buf(), None)
    }

    /// Makes the file as long as is ordered, if it can be, and returns how long it is.
    fn fit(&self, file: &Named, order: Order) -> Result<u64, Error> {
        let found_bytes = file.length()?;
        match found_bytes.cmp(&order.bytes) {
            Ordering::Greater => file.resize(order.bytes)?,
            Ordering::Equal => {}
            Ordering::Less => {
                match file.reserve_what_fits(order.bytes, order.needed_bytes.max(found_bytes)) {
                    // What it has will do.
                    Err(error) if error.is_out_of_space() && found_bytes >= order.needed_bytes => {}
                    reserved => drop(reserved?),
                }
            }
        }
        file.length()
    }
}
