//! The head of a segment file: its two headers and its first frame, the LINK.

use std::sync::Arc;

use wal_format::{
    ANCHOR_BYTES, Anchor, FIRST_FRAME_OFFSET, FrameFault, HEADER_COPY_OFFSET, HeaderFault, LINK_FRAME_BYTES,
    Life, Link, LogId, MAX_SEGMENT_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentName, SegmentNumber,
};

use crate::error::{DamageKind, Error};
use crate::files::named::Named;
use crate::files::names::Catalog;
use crate::io::{Access, Directory, FileKind};
use crate::segment::span::Tip;

/// What is needed to look up segments: the directory, the names in it, and the anchor.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) directory: &'a dyn Directory,
    pub(crate) catalog: &'a Catalog,
    pub(crate) anchor: &'a Anchor,
}

impl Site<'_> {
    /// `None` when the directory has no such name.
    pub(crate) fn inspect(&self, number: SegmentNumber) -> Result<Option<Inspected>, Error> {
        let Some(&kind) = self.catalog.segments.get(&number) else { return Ok(None) };
        inspect(self.anchor.log, number, kind, |name| Named::open(self.directory, name, Access::Read))
            .map(Some)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Inspected {
    /// A header and a LINK of one life: a segment of the log.
    Linked(Arc<Linked>),
    /// No LINK: a prepared segment, or one whose first blocks are damaged.
    Unlinked(Unlinked),
    /// Not a segment of this log with this number.
    Alien(DamageKind),
}

impl Inspected {
    /// The segment that a LINK or the anchor names; or what is wrong with it, and at which offset.
    pub(crate) fn linked(self) -> Result<Arc<Linked>, (u64, DamageKind)> {
        match self {
            Inspected::Linked(linked) => Ok(linked),
            Inspected::Unlinked(unlinked) => Err(unlinked.damage()),
            Inspected::Alien(kind) => Err((0, kind)),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Linked {
    pub(crate) file: Named,
    pub(crate) file_bytes: u64,
    pub(crate) header: SegmentHeader,
    pub(crate) link: Link,
    pub(crate) start: Tip,
}

#[derive(Clone, Debug)]
pub(crate) struct Unlinked {
    pub(crate) file: Named,
    pub(crate) file_bytes: u64,
    /// Its valid headers: none, one, or two of different lives after a crash between the two writes.
    pub(crate) headers: Vec<SegmentHeader>,
    pub(crate) header_fault: HeaderFault,
    /// Why there is no LINK of the lives in the headers.
    pub(crate) link_fault: FrameFault,
}

impl Unlinked {
    pub(crate) fn damage(&self) -> (u64, DamageKind) {
        if self.headers.is_empty() {
            (0, DamageKind::Header(self.header_fault))
        } else {
            (FIRST_FRAME_OFFSET, DamageKind::Link(self.link_fault))
        }
    }
}

/// The first blocks of a segment file: both copies of its header, and the frame that should be its LINK.
pub(crate) struct Head {
    headers: [Result<SegmentHeader, HeaderFault>; 2],
    first_frame: [u8; LINK_FRAME_BYTES],
    first_frame_bytes: usize,
}

impl Head {
    /// Reads the head: one read of 8 KiB.
    pub(crate) fn read(file: &Named) -> Result<Head, Error> {
        let mut bytes = [0; HEAD_BYTES];
        let read = file.read_at(&mut bytes, 0)?;
        Ok(Head::decode(&bytes[..read]))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Head {
        let from = |at: usize| bytes.get(at..).unwrap_or_default();
        let headers = [0, COPY].map(|at| SegmentHeader::decode(from(at)));
        let mut first_frame = [0; LINK_FRAME_BYTES];
        let found = from(HEAD_BYTES - LINK_FRAME_BYTES);
        let first_frame_bytes = found.len().min(LINK_FRAME_BYTES);
        first_frame[..first_frame_bytes].copy_from_slice(&found[..first_frame_bytes]);
        Head { headers, first_frame, first_frame_bytes }
    }

    pub(crate) fn copies(&self) -> [(u64, Result<SegmentHeader, HeaderFault>); 2] {
        [(0, self.headers[0]), (HEADER_COPY_OFFSET, self.headers[1])]
    }

    pub(crate) fn valid(&self) -> impl Iterator<Item = &SegmentHeader> {
        self.headers.iter().flatten()
    }

    pub(crate) fn link(&self, life: Life) -> Result<(Link, u32), FrameFault> {
        Link::decode(&self.first_frame[..self.first_frame_bytes], life)
    }
}

pub(crate) const HEAD_BYTES: usize = 8192 + LINK_FRAME_BYTES;
const COPY: usize = 4096;

const _: () = assert!(COPY as u64 == HEADER_COPY_OFFSET);
const _: () = assert!((HEAD_BYTES - LINK_FRAME_BYTES) as u64 == FIRST_FRAME_OFFSET);
const _: () = assert!(ANCHOR_BYTES <= COPY && SEGMENT_HEADER_BYTES <= COPY);

/// Judges the head of segment `number` of `log`. `open` opens its file by name.
pub(crate) fn inspect(
    log: LogId,
    number: SegmentNumber,
    kind: FileKind,
    open: impl FnOnce(&str) -> Result<Named, Error>,
) -> Result<Inspected, Error> {
    if kind != FileKind::Regular {
        return Ok(Inspected::Alien(DamageKind::NotAFile(kind)));
    }
    let file = open(SegmentName::of(number).as_str())?;
    // The log writes nothing beyond this, even if another program has made the file longer.
    let file_bytes = file.length()?.min(MAX_SEGMENT_BYTES);
    let head = Head::read(&file)?;
    for (_, header) in head.copies() {
        if let Err(
            fault @ (HeaderFault::Version(_) | HeaderFault::Features(_) | HeaderFault::ChecksumKind(_)),
        ) = header
        {
            return Err(Error::Unsupported { file: file.path.to_path_buf(), fault });
        }
    }
    let ours = |header: &&SegmentHeader| header.log == log && header.life.segment == number;

    let mut link_fault = FrameFault::Short;
    for header in head.valid().filter(ours) {
        match head.link(header.life) {
            Err(fault) => link_fault = fault,
            Ok((link, chain)) => {
                let start = Tip { offset: Link::end_offset(), chain, next: link.next };
                let linked = Linked { file, file_bytes, header: *header, link, start };
                return Ok(Inspected::Linked(Arc::new(linked)));
            }
        }
    }
    if let Some(other) = head.valid().find(|header| !ours(header)) {
        let found = other.life.segment;
        let kind = if other.log == log { DamageKind::Misnamed { found } } else { DamageKind::OtherLog };
        return Ok(Inspected::Alien(kind));
    }
    let header_fault = head.headers[0].err().unwrap_or(HeaderFault::Blank);
    let headers = head.valid().copied().collect();
    Ok(Inspected::Unlinked(Unlinked { file, file_bytes, headers, header_fault, link_fault }))
}
