//! A prepared segment: a file with headers and space, durable by name, and no LINK yet.
//!
//! Nothing in it belongs to the log until its LINK is written, so whatever goes wrong here costs no
//! more than the file: it is removed, and the log goes on where it was.
//!
//! A spare can be zeroed. Into space that is only reserved, a sync has to write the frame and then, for
//! the file system, that this space is in use now; over zeros that are there it writes the frame alone.

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

/// What a segment is prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub(crate) log: LogId,
    pub(crate) number: SegmentNumber,
    /// How long it should be.
    pub(crate) bytes: u64,
    /// How long it must be.
    pub(crate) needed_bytes: u64,
    pub(crate) checksum: ChecksumKind,
    /// Segments that the log has by now.
    pub(crate) spans: usize,
    /// So many small syncs are expected that zeros are worth their writing.
    pub(crate) zeroed: bool,
    /// The file that has the name may be used, if there is one. Not when the device has refused a write
    /// to it: the next one would meet the same place.
    pub(crate) reclaims: bool,
}

impl Order {
    /// How long the segment should be.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the spare should be [zeroed](Spare::zero_some) while there is time.
    #[must_use]
    pub fn wants_zeros(&self) -> bool {
        self.zeroed
    }
}

/// A prepared segment. Brings the memory that the writer needs for it, so that whoever appends
/// allocates none.
#[derive(Debug)]
pub struct Spare {
    pub(crate) file: Named,
    pub(crate) watched: WatchedFile,
    pub(crate) header: SegmentHeader,
    pub(crate) capacity: u64,
    /// Something is written up to here: zeros, or what an earlier segment has left.
    zeroed_bytes: u64,
    /// Room for an index point for each stretch.
    pub(crate) index: Vec<IndexPoint>,
    /// Room for the SEAL with all of them.
    pub(crate) seal: Vec<u8>,
    /// Room for the log's spans and this one.
    pub(crate) spans: Arc<Vec<Span>>,
}

impl Spare {
    /// A file that has headers and a durable name. Up to `written_bytes` its space is in use already.
    pub(crate) fn new(
        file: Named,
        header: SegmentHeader,
        capacity: u64,
        written_bytes: u64,
        spans: usize,
    ) -> Result<Spare, Error> {
        let (index, seal) = index_room(capacity);
        Ok(Spare {
            watched: WatchedFile::new(file.clone())?,
            file,
            header,
            capacity,
            zeroed_bytes: written_bytes.max(FIRST_FRAME_OFFSET),
            index,
            seal,
            spans: Arc::new(Vec::with_capacity(spans + 1)),
        })
    }

    /// Whether it is what is asked for now.
    #[must_use]
    pub fn suits(&self, order: Order) -> bool {
        self.header.log == order.log
            && self.header.life.segment == order.number
            && self.header.checksum == order.checksum
            && self.capacity >= order.needed_bytes
    }

    /// How long its file is.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.capacity
    }

    /// Writes zeros over the next stretch and makes them durable. Returns whether there is more to do.
    ///
    /// # Errors
    /// What the system reports. The spare must not be used any more: [give it up](Spare::discard).
    pub fn zero_some(&mut self) -> Result<bool, Error> {
        zero(&self.file, &mut self.zeroed_bytes, self.capacity)?;
        Ok(self.zeroed_bytes < self.capacity)
    }

    /// Whether its file was used before.
    #[must_use]
    pub fn is_recycled(&self) -> bool {
        !self.header.fresh
    }

    /// Gives its file up. A file that another program has put in its place stays.
    ///
    /// # Errors
    /// [`Error::Exchanged`]; what the system reports. The file stays a prepared segment, which the next open gives up.
    pub fn discard(self, directory: &dyn Directory) -> Result<(), Error> {
        self.watched.check(directory)?;
        remove(directory, SegmentName::of(self.header.life.segment).as_str())
    }
}

/// Room for the index of a segment of so many bytes, and for its SEAL.
pub(crate) fn index_room(segment_bytes: u64) -> (Vec<IndexPoint>, Vec<u8>) {
    let points = usize::try_from(segment_bytes / INDEX_SPACING_BYTES).unwrap_or(usize::MAX).saturating_add(2);
    let seal_bytes = usize::try_from(seal_frame_bytes(points)).unwrap_or(0);
    (Vec::with_capacity(points), Vec::with_capacity(seal_bytes))
}

/// A stretch: long enough that its sync is cheap beside it, and short enough that a sync of the log which
/// meets it on the device is not held up for long.
static ZEROS: [u8; 256 << 10] = [0; 256 << 10];

/// Prepares a segment. A file that has the name already is one that was prepared before and never
/// linked. It makes room for a new one with a new salt: whatever was written to it since is void, and
/// its name, which a failed sync of the directory may have left in the cache alone, is made anew.
///
/// # Errors
/// What the system reports. What was made is removed.
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
        // If even this fails, the file stays a prepared segment, which the next attempt uses.
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

/// The header of a segment that is prepared now.
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

/// Writes both headers, and zeros between them and the first frame.
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

/// Writes zeros over the stretch behind `done_bytes`, up to `end_bytes` at most, and makes them durable.
pub(crate) fn zero(file: &Named, done_bytes: &mut u64, end_bytes: u64) -> Result<(), Error> {
    let left = end_bytes.saturating_sub(*done_bytes);
    let stretch = usize::try_from(left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
    if stretch > 0 {
        file.write_all(&ZEROS[..stretch], *done_bytes)?;
        file.sync()?;
        *done_bytes += stretch as u64;
    }
    Ok(())
}

/// The salt that a file has; only asked for when a rule of new salts is switched off.
pub(crate) fn salt_of(file: &Named) -> Result<Option<u64>, Error> {
    Ok(Head::read(file)?.valid().next().map(|header| header.life.salt))
}
