//! One segment file, judged by its headers and its first frame alone.

use std::sync::Arc;

use wal_format::{
    ANCHOR_BYTES, Anchor, FIRST_FRAME_OFFSET, FrameFault, HEADER_COPY_OFFSET, HeaderFault, LINK_FRAME_BYTES,
    Link, LogId, MAX_SEGMENT_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentName, SegmentNumber,
};

use crate::error::{DamageKind, Error, Operation, Place};
use crate::files::named::Named;
use crate::files::names::Catalog;
use crate::io::{Access, Directory, FileKind};
use crate::segment::span::Tip;

/// Where the segments of a log are looked for: its directory, the names in it, and what its anchor says.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) directory: &'a dyn Directory,
    pub(crate) catalog: &'a Catalog,
    pub(crate) anchor: &'a Anchor,
}

impl Site<'_> {
    /// The file of this segment, opened for reading and judged; `None` where the directory has no such name.
    pub(crate) fn inspect(&self, number: SegmentNumber) -> Result<Option<Inspected>, Error> {
        let Some(&kind) = self.catalog.segments.get(&number) else { return Ok(None) };
        inspect(self.anchor.log, number, kind, |name| Named::open(self.directory, name, Access::Read))
            .map(Some)
    }
}

/// What a segment file turned out to be.
#[derive(Clone, Debug)]
pub(crate) enum Inspected {
    /// A header and a LINK of one life.
    Linked(Arc<Linked>),
    /// No LINK: a prepared segment, or one whose first blocks are damaged.
    Unlinked(Unlinked),
    /// Not a segment of this log at this number, whatever it is.
    Alien(DamageKind),
}

/// A segment that is part of a chain.
#[derive(Clone, Debug)]
pub(crate) struct Linked {
    pub(crate) file: Named,
    pub(crate) file_bytes: u64,
    pub(crate) header: SegmentHeader,
    pub(crate) link: Link,
    /// Behind the LINK.
    pub(crate) start: Tip,
}

/// A file without a LINK.
#[derive(Clone, Debug)]
pub(crate) struct Unlinked {
    pub(crate) file: Named,
    pub(crate) file_bytes: u64,
    /// Its headers: none, one, or two of different lives after a crash between the two writes.
    pub(crate) headers: Vec<SegmentHeader>,
    /// Why there is no header, if there is none.
    pub(crate) header_fault: HeaderFault,
    /// Why there is no LINK under the lives that there are.
    pub(crate) link_fault: FrameFault,
}

impl Unlinked {
    /// What is wrong with the file if it should have been linked.
    pub(crate) fn damage(&self) -> (u64, DamageKind) {
        if self.headers.is_empty() {
            (0, DamageKind::Header(self.header_fault))
        } else {
            (FIRST_FRAME_OFFSET, DamageKind::Link(self.link_fault))
        }
    }
}

const HEAD_BYTES: usize = 8192 + LINK_FRAME_BYTES;
const COPY: usize = 4096;

const _: () = assert!(COPY as u64 == HEADER_COPY_OFFSET);
const _: () = assert!((HEAD_BYTES - LINK_FRAME_BYTES) as u64 == FIRST_FRAME_OFFSET);
const _: () = assert!(ANCHOR_BYTES <= COPY && SEGMENT_HEADER_BYTES <= COPY);

/// Reads the copy of the header that stands at `offset`.
pub(crate) fn header_at(file: &Named, offset: u64) -> Result<Result<SegmentHeader, HeaderFault>, Error> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let read =
        file.read_at(&mut bytes, offset).place(Operation::Read, || file.path.to_path_buf(), Some(offset))?;
    Ok(SegmentHeader::decode(&bytes[..read]))
}

/// Reads the first blocks of segment `number` of `log`, as `open` opens its file by its name.
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
    // Nothing that this log writes lies further on, however long somebody has made the file.
    let file_bytes = file.length()?.min(MAX_SEGMENT_BYTES);
    let mut head = [0; HEAD_BYTES];
    let read = file.read_at(&mut head, 0).place(Operation::Read, || file.path.to_path_buf(), Some(0))?;
    let head = &head[..read];
    let headers = [0, COPY].map(|at| SegmentHeader::decode(&head[at.min(read)..]));
    for header in headers {
        if let Err(
            fault @ (HeaderFault::Version(_) | HeaderFault::Features(_) | HeaderFault::ChecksumKind(_)),
        ) = header
        {
            return Err(Error::Unsupported { file: file.path.to_path_buf(), fault });
        }
    }
    let ours = |header: &&SegmentHeader| header.log == log && header.life.segment == number;

    let mut link_fault = FrameFault::Short;
    for header in headers.iter().flatten().filter(ours) {
        let first_frame = head.get(HEAD_BYTES - LINK_FRAME_BYTES..).unwrap_or_default();
        match Link::decode(first_frame, header.life) {
            Err(fault) => link_fault = fault,
            Ok((link, chain)) => {
                let start = Tip { offset: Link::end_offset(), chain, next: link.next };
                let linked = Linked { file, file_bytes, header: *header, link, start };
                return Ok(Inspected::Linked(Arc::new(linked)));
            }
        }
    }
    if let Some(other) = headers.iter().flatten().find(|header| !ours(header)) {
        let found = other.life.segment;
        let kind = if other.log == log { DamageKind::Misnamed { found } } else { DamageKind::OtherLog };
        return Ok(Inspected::Alien(kind));
    }
    let header_fault = headers[0].err().unwrap_or(HeaderFault::Blank);
    let headers = headers.into_iter().flatten().collect();
    Ok(Inspected::Unlinked(Unlinked { file, file_bytes, headers, header_fault, link_fault }))
}
