//! A spare, a prepared segment: a file with headers, reserved space and a durable name, but no LINK yet.
//!
//! It becomes part of the log only with its LINK. A failure before costs only the file: it is removed, and
//! the log is unchanged.
//!
//! A spare can be zeroed. In reserved space an fsync writes the frame and the file system's metadata for the
//! newly used space; over existing zeros it writes the frame alone.

use std::sync::Arc;

use wal_format::{
    ChecksumKind, FIRST_FRAME_OFFSET, HEADER_COPY_OFFSET, INDEX_SPACING_BYTES, IndexPoint, Life, LogId,
    MIN_SEGMENT_BYTES, SegmentHeader, SegmentName, SegmentNumber, seal_frame_bytes,
};

use crate::error::Error;
use crate::files::named::{Named, remove, sync_directory};
use crate::files::watched::WatchedFile;
use crate::io::{Access, Directory};
use crate::rules::{Rule, Rules};
use crate::segment::head::Head;
use crate::segment::span::Span;

/// An order for a prepared segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub(crate) log: LogId,
    pub(crate) number: SegmentNumber,
    pub(crate) bytes: u64,
    pub(crate) needed_bytes: u64,
    pub(crate) checksum: ChecksumKind,
    pub(crate) spans: usize,
    /// Whether so many small syncs are expected that zeroing pays.
    pub(crate) zeroed: bool,
    /// Whether an existing file of this name may be recycled. Not after a failed write to it: the next one
    /// would hit the same place of the device.
    pub(crate) reclaims: bool,
}

impl Order {
    /// The wanted length of the segment, in bytes.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether to [zero](Spare::zero_some) the spare while there is time.
    #[must_use]
    pub fn wants_zeros(&self) -> bool {
        self.zeroed
    }
}

/// A prepared segment. Brings the memory that the writer needs for it, so that an append allocates none.
#[derive(Debug)]
pub struct Spare {
    pub(crate) watched: WatchedFile,
    pub(crate) header: SegmentHeader,
    pub(crate) capacity: u64,
    /// Up to here the space is written: with zeros, or with the data of an earlier segment.
    zeroed_bytes: u64,
    pub(crate) index: Vec<IndexPoint>,
    pub(crate) seal: Vec<u8>,
    /// Capacity for the log's spans and this one.
    pub(crate) spans: Arc<Vec<Span>>,
}

impl Spare {
    /// A file with headers and a durable name. Up to `written_bytes` its space is written already.
    pub(crate) fn new(
        file: Named,
        header: SegmentHeader,
        capacity: u64,
        written_bytes: u64,
        spans: usize,
    ) -> Result<Spare, Error> {
        let points = usize::try_from(capacity / INDEX_SPACING_BYTES).unwrap_or(usize::MAX).saturating_add(2);
        let seal_bytes = usize::try_from(seal_frame_bytes(points)).unwrap_or(0);
        Ok(Spare {
            watched: WatchedFile::new(file)?,
            header,
            capacity,
            zeroed_bytes: written_bytes.max(FIRST_FRAME_OFFSET),
            index: Vec::with_capacity(points),
            seal: Vec::with_capacity(seal_bytes),
            spans: Arc::new(Vec::with_capacity(spans + 1)),
        })
    }

    /// Whether it satisfies this order.
    #[must_use]
    pub fn suits(&self, order: Order) -> bool {
        self.header.log == order.log
            && self.header.life.segment == order.number
            && self.header.checksum == order.checksum
            && self.capacity >= order.needed_bytes
    }

    /// The length of its file, in bytes.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.capacity
    }

    /// Writes zeros over the next stretch and syncs them. Returns whether there is more to do.
    ///
    /// # Errors
    /// What the system reports. Then the spare must not be used: [discard](Spare::discard) it.
    pub fn zero_some(&mut self) -> Result<bool, Error> {
        let end = self.capacity.min(self.zeroed_bytes + STRETCH_BYTES);
        if self.zeroed_bytes >= end {
            return Ok(false);
        }
        while self.zeroed_bytes < end {
            let left = usize::try_from(end - self.zeroed_bytes).unwrap_or(usize::MAX);
            let piece = &ZEROS[..ZEROS.len().min(left)];
            self.watched.file.write_all(piece, self.zeroed_bytes)?;
            self.zeroed_bytes += piece.len() as u64;
        }
        self.watched.file.sync()?;
        Ok(self.zeroed_bytes < self.capacity)
    }

    /// Whether its file was recycled.
    #[must_use]
    pub fn is_recycled(&self) -> bool {
        !self.header.fresh
    }

    /// Removes its file. A file that another program has put in its place stays.
    ///
    /// # Errors
    /// [`Error::Exchanged`]; what the system reports. The file stays a prepared segment, which the
    /// next segment of that number recycles or replaces.
    pub fn discard(self, directory: &dyn Directory) -> Result<(), Error> {
        self.watched.check(directory)?;
        remove(directory, SegmentName::of(self.header.life.segment).as_str())
    }
}

/// Long enough to be worth a sync, and short enough that a sync of the log waits little for the device.
const STRETCH_BYTES: u64 = 256 << 10;

/// What one write writes. Linux keeps the pages of one large write in one folio, and walks all blocks of that folio for each
/// later small write into it. So large writes of zeros would make the log's own writes slower.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Prepares a segment. An existing file of this name was prepared before and never linked. It is replaced by
/// a new file with a new salt: what was written to it is void, and its name, which a failed sync of the
/// directory may have left in the page cache alone, is made anew.
///
/// # Errors
/// What the system reports. The new file is removed.
pub fn prepare(directory: &dyn Directory, order: Order, rules: Rules) -> Result<Spare, Error> {
    let name = SegmentName::of(order.number);
    let (file, fresh) = match Named::create(directory, name.as_str()) {
        Ok(file) => (file, true),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {
            if rules.keeps(Rule::NewSalt) {
                remove(directory, name.as_str())?;
                (Named::create(directory, name.as_str())?, true)
            } else {
                (Named::open(directory, name.as_str(), Access::ReadWrite)?, false)
            }
        }
        Err(error) => return Err(error),
    };
    let filled = fill(directory, &file, order, fresh, rules);
    let spare = filled
        .and_then(|(header, capacity)| Spare::new(file, header, capacity, FIRST_FRAME_OFFSET, order.spans));
    spare.inspect_err(|_| {
        // If this fails too, the file stays a prepared segment, which the next attempt recycles or replaces.
        directory.remove(name.as_str()).ok();
    })
}

fn fill(
    directory: &dyn Directory,
    file: &Named,
    order: Order,
    fresh: bool,
    rules: Rules,
) -> Result<(SegmentHeader, u64), Error> {
    let bytes = file.reserve_what_fits(order.bytes, order.needed_bytes.max(MIN_SEGMENT_BYTES))?;
    let order = Order { bytes, ..order };
    let kept_salt = if fresh { None } else { salt_of(file)? };
    let salt = kept_salt.unwrap_or_else(|| directory.salt());
    let header = header(directory, order, Life { segment: order.number, salt }, fresh);
    write_heads(file, &header)?;
    if rules.keeps(Rule::SpareDurable) {
        file.sync()?;
        sync_directory(directory)?;
    }
    let capacity = file.length()?;
    Ok((header, capacity))
}

pub(crate) fn header(directory: &dyn Directory, order: Order, life: Life, fresh: bool) -> SegmentHeader {
    SegmentHeader {
        log: order.log,
        life,
        nominal_bytes: order.bytes,
        checksum: order.checksum,
        fresh,
        features: 0,
        created_unix_ns: directory.now_unix_ns(),
    }
}

pub(crate) fn write_heads(file: &Named, header: &SegmentHeader) -> Result<(), Error> {
    let encoded = header.encode();
    let mut head = [0; HEAD_BYTES];
    head[..encoded.len()].copy_from_slice(&encoded);
    head[COPY..COPY + encoded.len()].copy_from_slice(&encoded);
    file.write_all(&head, 0)
}

const HEAD_BYTES: usize = 8192;
const COPY: usize = 4096;
const _: () = assert!(HEAD_BYTES as u64 == FIRST_FRAME_OFFSET && COPY as u64 == HEADER_COPY_OFFSET);

/// The salt in a file's header; used only when a rule about new salts is switched off.
pub(crate) fn salt_of(file: &Named) -> Result<Option<u64>, Error> {
    Ok(Head::read(file)?.valid().next().map(|header| header.life.salt))
}
