//! Read-only memory mappings, and memory that a fork finds empty: the only unsafe code of the shipped crates.
//!
//! Invariant: a mapping of a file is never writable, never longer than its file was when it was made, and
//! covers only bytes that are not written any more (the log maps segments whose end a LINK in a later
//! segment has fixed, and locks their files against being used again).

use std::fmt;
use std::hint::black_box;
use std::io;
use std::ops::Deref;

/// Bytes of a file, mapped or, on a simulated disk, held in memory.
pub struct Mapping(Inner);

enum Inner {
    Mapped(memmap2::Mmap),
    Held(Box<[u8]>),
}

impl Mapping {
    /// Maps the first `len` bytes of `file`, of which the caller has checked that they exist.
    ///
    /// # Errors
    /// What the operating system reports, for example when it is out of mappings.
    #[allow(unsafe_code, reason = "std has no mapping; the reasons stand beside the block")]
    pub(crate) fn of(file: impl memmap2::MmapAsRawDesc, len: usize) -> io::Result<Mapping> {
        // SAFETY: a mapping is undefined when its bytes change underneath. This process never writes
        // to a range that it maps: `SegmentReader::open` (wal-segment) maps closed segments only, up to the
        // end that a LINK in a later segment states, and the writer never writes to a segment again once it
        // has written that LINK. Its file becomes another segment only in `spares/pool_file.rs`, under an
        // exclusive lock, and `reader/segments/bytes.rs` keeps a shared lock on it for as long as it keeps
        // the mapping, in this process as in any other. Where files cannot be locked no file is used again.
        // Another process is kept from writing by the exclusive lock on LOCK, and a program that ignores the
        // lock is outside the contract (`docs/durability.md`). Every byte read is checked before it is
        // believed, so even then the outcome is a reported corruption. The length was checked by the caller
        // against the length of the file, so no page lies wholly beyond its end.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(file)? };
        Ok(Mapping(Inner::Mapped(map)))
    }

    /// Bytes that are in memory already, for directories that are no file system.
    #[must_use]
    pub fn held(bytes: Vec<u8>) -> Mapping {
        Mapping(Inner::Held(bytes.into_boxed_slice()))
    }
}

impl Deref for Mapping {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Mapped(map) => map,
            Inner::Held(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapping({} bytes)", self.len())
    }
}

/// Memory that says whether this is the process that made it: the kernel empties it in a fork.
#[derive(Debug)]
pub struct ForkMark {
    page: Option<memmap2::MmapMut>,
}

/// What is in it where it was made.
const MADE_HERE: u8 = 1;

impl ForkMark {
    /// A mark of this process.
    #[must_use]
    pub fn new() -> ForkMark {
        ForkMark { page: wiped_on_fork().ok() }
    }

    /// Whether this is the process that made it; `None` where the system cannot tell. Costs a load from memory.
    #[must_use]
    pub fn is_here(&self) -> Option<bool> {
        self.page.as_ref().map(|page| black_box(&page[..])[0] == MADE_HERE)
    }
}

impl Default for ForkMark {
    fn default() -> ForkMark {
        ForkMark::new()
    }
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "no safe call sets this; the reasons stand beside the block")]
fn wiped_on_fork() -> io::Result<memmap2::MmapMut> {
    let mut page = memmap2::MmapMut::map_anon(1)?;
    page[0] = MADE_HERE;
    let (start, len) = (page.as_mut_ptr().cast(), page.len());
    // SAFETY: the range is the mapping that was just made, whole, and there is no reference into it yet. The advice
    // changes nothing in this process; in a forked child the byte, which is never written again, reads as zero.
    unsafe { rustix::mm::madvise(start, len, rustix::mm::Advice::LinuxWipeOnFork)? };
    Ok(page)
}

#[cfg(not(target_os = "linux"))]
fn wiped_on_fork() -> io::Result<memmap2::MmapMut> {
    Err(io::ErrorKind::Unsupported.into())
}
