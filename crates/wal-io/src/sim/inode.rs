//! One file of the simulated disk, whatever its names.
//!
//! Invariants:
//! - In the cache and in the durable image nothing but zeros lies beyond the length. A file that grows shows zeros there,
//!   but for what a power cut has `hidden`.
//! - The lengths of the two differ only while `lengths` is not empty.
//! - `cache` and `durable` differ only in blocks of `versions`, unless a sync lost something
//!   (`diverged`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::fault::{SyncLoss, eio};
use super::random::Random;

pub(super) const BLOCK_BYTES: usize = 4096;
pub(super) const SECTOR_BYTES: usize = 512;
const BLOCK: u64 = BLOCK_BYTES as u64;

/// Blocks are never changed, only replaced, so that states share them.
pub(super) type Block = Arc<[u8; BLOCK_BYTES]>;

/// What a block may hold; `None` reads as zeros.
pub(super) type Version = Option<Block>;

/// A length and the blocks of a file; an absent block reads as zeros.
#[derive(Clone, Default)]
pub(super) struct Image {
    pub(super) len: u64,
    blocks: BTreeMap<u64, Block>,
}

impl Image {
    pub(super) fn of(bytes: &[u8]) -> Image {
        let mut image = Image { len: bytes.len() as u64, blocks: BTreeMap::new() };
        for (index, chunk) in (0..).zip(bytes.chunks(BLOCK_BYTES)) {
            let mut block = [0; BLOCK_BYTES];
            block[..chunk.len()].copy_from_slice(chunk);
            image.blocks.insert(index, Arc::new(block));
        }
        image
    }

    pub(super) fn block(&self, index: u64) -> Version {
        self.blocks.get(&index).cloned()
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = (u64, &Block)> {
        self.blocks.iter().map(|(&index, block)| (index, block))
    }

    pub(super) fn put(&mut self, index: u64, version: Version) {
        match version {
            Some(block) => self.blocks.insert(index, block),
            None => self.blocks.remove(&index),
        };
    }

    /// Takes off what lies beyond the length, and returns it.
    pub(super) fn trim(&mut self) -> BTreeMap<u64, Block> {
        let mut beyond = self.blocks.split_off(&self.len.div_ceil(BLOCK));
        let tail = within(self.len);
        if tail > 0
            && let Some(last) = self.blocks.get_mut(&(self.len / BLOCK))
            && last[tail..].iter().any(|&byte| byte != 0)
        {
            let mut rest = **last;
            rest[..tail].fill(0);
            beyond.insert(self.len / BLOCK, Arc::new(rest));
            Arc::make_mut(last)[tail..].fill(0);
        }
        beyond
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let there = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = there.min(buffer.len());
        let mut done = 0;
        while done < wanted {
            let at = offset + done as u64;
            let from = within(at);
            let piece = &mut buffer[done..wanted.min(done + BLOCK_BYTES - from)];
            match self.blocks.get(&(at / BLOCK)) {
                Some(block) => piece.copy_from_slice(&block[from..from + piece.len()]),
                None => piece.fill(0),
            }
            done += piece.len();
        }
        wanted
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.len).expect("a simulated file fits in memory")];
        let read = self.read(&mut bytes, 0);
        assert_eq!(read, bytes.len(), "a read is short only at the end");
        bytes
    }
}

#[derive(Clone, Default)]
pub(super) struct Inode {
    /// What the device holds for certain.
    pub(super) durable: Image,
    /// What the process reads.
    pub(super) cache: Image,
    /// For each block that was written since the last completed sync: all that it held since then.
    pub(super) versions: BTreeMap<u64, Vec<Version>>,
    /// All lengths that the file had since the last completed sync.
    pub(super) lengths: Vec<u64>,
    /// Blocks below this index have space.
    reserved_blocks: u64,
    /// Other blocks that have space.
    written_blocks: BTreeSet<u64>,
    /// What a power cut has left beyond the length; a file that grows shows it.
    hidden: BTreeMap<u64, Block>,
    /// Bytes whose reading fails.
    pub(super) unreadable: Vec<Range<u64>>,
    /// A sync lied; the next one fails.
    late_error: bool,
    /// A sync lost something that the cache still shows.
    diverged: bool,
}

impl Inode {
    pub(super) fn holding(bytes: &[u8]) -> Inode {
        let image = Image::of(bytes);
        Inode {
            reserved_blocks: image.len.div_ceil(BLOCK),
            durable: image.clone(),
            cache: image,
            ..Inode::default()
        }
    }

    /// The file after a power cut that left `durable`: cold, nothing pending.
    pub(super) fn cut(&self, mut durable: Image) -> Inode {
        let mut hidden = self.hidden.clone();
        hidden.extend(durable.trim());
        hidden.retain(|_, block| block.iter().any(|&byte| byte != 0));
        let end = durable.len.div_ceil(BLOCK);
        let mut written_blocks = self.written_blocks.clone();
        drop(written_blocks.split_off(&end));
        Inode {
            cache: durable.clone(),
            durable,
            reserved_blocks: self.reserved_blocks.min(end),
            written_blocks,
            hidden,
            unreadable: self.unreadable.clone(),
            ..Inode::default()
        }
    }

    /// Nothing is pending and the cache tells the truth: a power cut changes nothing.
    pub(super) fn is_settled(&self) -> bool {
        !self.is_pending() && !self.diverged && !self.late_error
    }

    /// Something was written that no sync has covered.
    pub(super) fn is_pending(&self) -> bool {
        !self.versions.is_empty() || !self.lengths.is_empty()
    }

    pub(super) fn used_blocks(&self) -> u64 {
        self.reserved_blocks + self.written_blocks.range(self.reserved_blocks..).count() as u64
    }

    fn has_space(&self, block: u64) -> bool {
        block < self.reserved_blocks || self.written_blocks.contains(&block)
    }

    /// Stores bytes until the space is used up; returns how many.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64, mut free_blocks: u64) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let index = at / BLOCK;
            if !self.has_space(index) {
                if free_blocks == 0 {
                    break;
                }
                free_blocks -= 1;
                self.written_blocks.insert(index);
            }
            let from = within(at);
            let piece = &bytes[done..bytes.len().min(done + BLOCK_BYTES - from)];
            let mut block = self.cache.block(index).map_or([0; BLOCK_BYTES], |block| *block);
            block[from..from + piece.len()].copy_from_slice(piece);
            self.replace(index, Some(Arc::new(block)));
            done += piece.len();
        }
        let end = offset + done as u64;
        if done > 0 && end > self.cache.len {
            self.cache.len = end;
            self.lengths.push(end);
        }
        done
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len == self.cache.len {
            return;
        }
        let before = self.cache.len;
        if len < before {
            self.shorten(len);
        }
        self.cache.len = len;
        self.lengths.push(len);
        if len > before {
            self.show_hidden(before..len);
        }
    }

    /// The file has grown by these bytes.
    fn show_hidden(&mut self, grown: Range<u64>) {
        for (index, hidden) in std::mem::take(&mut self.hidden) {
            let mut block = self.cache.block(index).map_or([0; BLOCK_BYTES], |block| *block);
            let shown = (0..).zip(hidden.iter()).filter(|(at, _)| grown.contains(&(index * BLOCK + at)));
            for (at, byte) in shown {
                block[within(at)] = *byte;
            }
            if index * BLOCK < grown.end {
                self.replace(index, Some(Arc::new(block)));
            }
        }
    }

    /// What a power cut has left beyond the length.
    pub(super) fn hidden(&self) -> impl Iterator<Item = (u64, &Block)> {
        self.hidden.iter().map(|(&index, block)| (index, block))
    }

    fn shorten(&mut self, len: u64) {
        let end = len.div_ceil(BLOCK);
        let gone: Vec<u64> = self.cache.blocks.range(end..).map(|(&index, _)| index).collect();
        for index in gone {
            self.replace(index, None);
        }
        if within(len) > 0
            && let Some(last) = self.cache.block(len / BLOCK)
        {
            let mut block = *last;
            block[within(len)..].fill(0);
            self.replace(len / BLOCK, Some(Arc::new(block)));
        }
        self.reserved_blocks = self.reserved_blocks.min(end);
        drop(self.written_blocks.split_off(&end));
    }

    fn replace(&mut self, index: u64, version: Version) {
        self.cache.put(index, version.clone());
        self.versions.entry(index).or_default().push(version);
    }

    /// Reserves all or nothing; says whether there was space.
    pub(super) fn allocate(&mut self, len: u64, free_blocks: u64) -> bool {
        let end = len.div_ceil(BLOCK);
        let there = self.written_blocks.range(self.reserved_blocks..end.max(self.reserved_blocks)).count();
        if end.saturating_sub(self.reserved_blocks) - there as u64 > free_blocks {
            return false;
        }
        self.reserved_blocks = self.reserved_blocks.max(end);
        if len > self.cache.len {
            self.set_len(len);
        }
        true
    }

    /// # Errors
    /// When a sync before this one lied.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.late_error {
            self.late_error = false;
            self.forget_versions();
            return Err(eio());
        }
        for index in std::mem::take(&mut self.versions).into_keys() {
            self.durable.put(index, self.cache.block(index));
        }
        if !self.lengths.is_empty() {
            self.lengths.clear();
            self.durable.len = self.cache.len;
            drop(self.durable.trim());
        }
        Ok(())
    }

    /// A sync that loses something. Lengths stay pending whatever happens to the bytes: they are in the
    /// journal of the file system, not among the pages that failed.
    ///
    /// # Errors
    /// Always, except for [`SyncLoss::ReportedLate`].
    pub(super) fn sync_losing(&mut self, loss: SyncLoss, random: &mut Random) -> io::Result<()> {
        match loss {
            SyncLoss::CacheNewDiskOld => self.forget_versions(),
            SyncLoss::CacheReverted => {
                for index in std::mem::take(&mut self.versions).into_keys() {
                    self.cache.put(index, self.durable.block(index));
                }
                drop(self.cache.trim());
            }
            SyncLoss::PartWritten => {
                let lost = random.below(self.versions.len().max(1));
                for (place, index) in self.versions.keys().enumerate() {
                    if place != lost && random.eighths(4) {
                        self.durable.put(*index, self.cache.block(*index));
                    }
                }
                self.forget_versions();
            }
            SyncLoss::ReportedLate => {
                self.late_error = true;
                return Ok(());
            }
        }
        Err(eio())
    }

    /// The pages are clean although the device has not got them.
    fn forget_versions(&mut self) {
        self.diverged |= !self.versions.is_empty();
        self.versions.clear();
    }

    /// Clean blocks come from the device again; dirty ones stay.
    pub(super) fn drop_cache(&mut self) {
        if !self.diverged {
            return;
        }
        let mut cache = self.durable.clone();
        cache.len = self.cache.len;
        for &index in self.versions.keys() {
            cache.put(index, self.cache.block(index));
        }
        drop(cache.trim());
        self.cache = cache;
        self.diverged = false;
    }

    pub(super) fn is_unreadable(&self, offset: u64, len: usize) -> bool {
        let end = offset.saturating_add(len as u64);
        self.unreadable.iter().any(|bad| bad.start < end && offset < bad.end)
    }
}

/// Where in its block an offset lies.
fn within(offset: u64) -> usize {
    usize::try_from(offset % BLOCK).expect("below the size of a block")
}
