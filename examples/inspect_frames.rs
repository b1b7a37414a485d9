//! Prints what stands in one segment file: header, LINK, every frame, and where the frames stop and why.
//!
//! ```sh
//! cargo run -p examples --example inspect_frames -- log/00000000000000000001.wal
//! ```
//!
//! It needs `wal-format` alone, holds 64 KiB of the file at a time even if the lengths in it are damaged, and
//! changes nothing. Where the frames stop is not yet where the log ends: whether that is a torn tail,
//! damage, or a cut that a later segment made, depends on the anchor and on the other segments. Features,
//! frames and sections of a later version are named and passed over.
//!
//! Exit code 1 when the file cannot be read or is no segment; 0 otherwise, also when a frame in it is damaged.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a tool that reads a file itself")]

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::ExitCode;

use wal_format::{
    ChecksumKind, DataFrame, Digest, FIRST_FRAME_OFFSET, FRAME_HEADER_BYTES, FrameFault, FrameHeader,
    FrameKind, HEADER_COPY_OFFSET, LINK_FRAME_BYTES, Link, SEAL_FIXED_BYTES, SEGMENT_HEADER_BYTES, Seal,
    SealKind, Sections, SegmentHeader, Sequence, TableEntry,
};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: inspect_frames SEGMENT");
        return ExitCode::FAILURE;
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let inspected = inspect(path.as_ref(), &mut out);
    // What was found before an error is worth seeing.
    let flushed = out.flush().map_err(Into::into);
    match inspected.and(flushed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}

/// A closed stdout (`inspect_frames … | head`) is not an error.
fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn inspect(path: &Path, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    // Asked first, because to open a pipe would wait for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err("not a regular file".into());
    }
    let file = File::open(path)?;
    let file_bytes = file.metadata()?.len();
    writeln!(out, "file      {file_bytes} bytes")?;
    let header = read_header(&mut Window::new(&file, file_bytes), out)?;
    print_header(&header, out)?;

    let frames = Window::new(&file, file_bytes);
    let payloads = Window::new(&file, file_bytes);
    let mut walk = Walk { header, frames, payloads };
    let link = walk.frames.bytes_at(FIRST_FRAME_OFFSET, LINK_FRAME_BYTES)?;
    match Link::decode(link, header.life) {
        Ok((link, chain)) => {
            print_link(&link, out)?;
            walk.print_frames(Tip { offset: Link::end_offset(), chain, next: link.next }, out)
        }
        Err(fault) => Ok(writeln!(out, "stops at {FIRST_FRAME_OFFSET}: no LINK: {fault}")?),
    }
}

/// Header A, or else header B.
fn read_header(window: &mut Window<'_>, out: &mut impl Write) -> Result<SegmentHeader, Box<dyn Error>> {
    let a = SegmentHeader::decode(window.bytes_at(0, SEGMENT_HEADER_BYTES)?);
    let b = SegmentHeader::decode(window.bytes_at(HEADER_COPY_OFFSET, SEGMENT_HEADER_BYTES)?);
    for (name, header) in [("header A", &a), ("header B", &b)] {
        let verdict = match header {
            Ok(header) if a.is_ok_and(|a| a != *header) => "valid, but not the same as A".to_owned(),
            Ok(_) => "ok".to_owned(),
            Err(fault) => fault.to_string(),
        };
        writeln!(out, "{name}  {verdict}")?;
    }
    a.or(b).map_err(|_| "no valid segment header".into())
}

fn print_header(header: &SegmentHeader, out: &mut impl Write) -> io::Result<()> {
    let SegmentHeader { log, life, nominal_bytes, checksum, fresh, features, created_unix_ns } = header;
    let file = if *fresh { "new file" } else { "file used before" };
    writeln!(out, "log       {log}")?;
    writeln!(out, "segment   {}, salt {:#018x}, {file}", life.segment, life.salt)?;
    writeln!(
        out,
        "payloads  {checksum}, {nominal_bytes} nominal bytes, created {created_unix_ns} ns after 1970"
    )?;
    if *features != 0 {
        writeln!(out, "features  {features:#06x}, of a later version")?;
    }
    Ok(())
}

fn print_link(link: &Link, out: &mut impl Write) -> io::Result<()> {
    write!(out, "LINK      {:?}, next sequence {}", link.reason, link.next)?;
    if let Some(before) = link.predecessor {
        write!(out, ", after segment {} up to {}", before.segment, before.end_offset)?;
        if let Some(seal_offset) = before.seal_offset {
            write!(out, ", last SEAL there at {seal_offset}")?;
        }
    }
    writeln!(out, ", begun {} ns after 1970", link.begun_unix_ns)
}

/// Where the next frame has to begin, and what it has to say.
struct Tip {
    offset: u64,
    chain: u32,
    next: Sequence,
}

/// The outer error is one of reading, the inner one says what is wrong with what was read.
type Checked<T> = io::Result<Result<T, FrameFault>>;

struct Walk<'f> {
    header: SegmentHeader,
    /// Follows headers and tables.
    frames: Window<'f>,
    /// Follows payloads, so that a long table is not read again for each of them.
    payloads: Window<'f>,
}

impl Walk<'_> {
    fn print_frames(&mut self, mut tip: Tip, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
        writeln!(
            out,
            "{:>12}  {:<8}  {:>17}  {:>10}  {:>10}  {:>12}  verdict",
            "offset", "kind", "first", "entries", "bytes", "durable"
        )?;
        let file_bytes = self.frames.file_bytes;
        let reason = loop {
            if tip.offset >= file_bytes {
                break "end of the file".to_owned();
            }
            let bytes = self.frames.bytes_at(tip.offset, FRAME_HEADER_BYTES)?;
            let chain = bytes.first_chunk().map(FrameHeader::chain_value);
            let frame = match FrameHeader::decode(bytes, self.header.life, tip.offset) {
                Ok(frame) => frame,
                Err(fault) => break fault.to_string(),
            };
            let checked = self.check(&frame, &tip)?;
            print_frame(&frame, &checked, tip.offset, out)?;
            let next = match checked {
                Ok(next) => next,
                Err(fault) => break fault.to_string(),
            };
            let end = tip.offset + frame.layout(self.header.checksum).end;
            let start = tip.offset;
            tip = Tip { offset: end, chain: chain.unwrap_or_default(), next };
            if frame.kind == FrameKind::Seal && self.print_seal(start, &frame, out)? == SealKind::Final {
                break "the segment was ended by its SEAL".to_owned();
            }
        };
        let left = file_bytes.saturating_sub(tip.offset);
        writeln!(out, "stops at {}, next sequence {}: {reason}", tip.offset, tip.next)?;
        Ok(writeln!(out, "{left} bytes of the file from there on")?)
    }

    /// Everything about the frame at the tip; gives the number of the next entry.
    fn check(&mut self, frame: &FrameHeader, tip: &Tip) -> Checked<Sequence> {
        let follows = frame.previous == tip.chain && frame.first == tip.next;
        let (true, Some(next)) = (follows, frame.next_sequence()) else {
            return Ok(Err(FrameFault::Order));
        };
        if tip.offset + frame.layout(self.header.checksum).end > self.frames.file_bytes {
            return Ok(Err(FrameFault::Short));
        }
        let checked = match frame.kind {
            FrameKind::Data => self.check_data(frame, tip.offset)?,
            FrameKind::Seal => self.seal(frame, tip.offset)?.map(|_| ()),
            FrameKind::Extension(_) => self.check_body(frame, tip.offset)?,
            FrameKind::Link => Err(FrameFault::Order),
        };
        Ok(checked.map(|()| next))
    }

    /// A frame that fits the window is decoded where it lies; a larger one is checked piece by piece.
    fn check_data(&mut self, frame: &FrameHeader, offset: u64) -> Checked<()> {
        let checksum = self.header.checksum;
        let frame_bytes = usize::try_from(frame.layout(checksum).end).unwrap_or(usize::MAX);
        let bytes = self.frames.bytes_at(offset, frame_bytes)?;
        if bytes.len() == frame_bytes {
            let data = DataFrame::decode(bytes, frame, checksum);
            return Ok(data.and_then(|data| data.entries().try_for_each(|entry| entry.map(|_| ()))));
        }
        match self.check_table(frame, offset)? {
            Ok(()) => self.check_payloads(frame, offset),
            Err(fault) => Ok(Err(fault)),
        }
    }

    fn check_table(&mut self, frame: &FrameHeader, offset: u64) -> Checked<()> {
        let mut digest = Digest::new(ChecksumKind::Crc32);
        let mut sum = 0;
        for entry in 0..frame.entries {
            let row = self.frames.row(offset, entry, self.header.checksum)?;
            digest.update(row);
            sum += u64::from(TableEntry::decode(row, self.header.checksum).length);
        }
        let whole = digest.finish() == u64::from(frame.table_crc) && sum == u64::from(frame.payload_bytes);
        Ok(if whole { Ok(()) } else { Err(FrameFault::Table) })
    }

    /// Needs a table that was checked: then all payloads end where the layout says.
    fn check_payloads(&mut self, frame: &FrameHeader, offset: u64) -> Checked<()> {
        let layout = frame.layout(self.header.checksum);
        let mut at = offset + layout.payload_start;
        for entry in 0..frame.entries {
            let row = self.frames.row(offset, entry, self.header.checksum)?;
            let row = TableEntry::decode(row, self.header.checksum);
            let end = at + u64::from(row.length);
            if self.payloads.digest(at, end, self.header.checksum)? != row.digest {
                return Ok(Err(FrameFault::Payload { entry }));
            }
            at = end;
        }
        let padding =
            self.payloads.bytes_at(at, usize::try_from(layout.end - layout.payload_end).unwrap_or(0))?;
        Ok(if padding.iter().all(|&byte| byte == 0) { Ok(()) } else { Err(FrameFault::Padding) })
    }

    fn seal(&mut self, frame: &FrameHeader, offset: u64) -> Checked<Seal> {
        let bytes = self.frames.bytes_at(offset, FRAME_HEADER_BYTES + SEAL_FIXED_BYTES)?;
        Ok(Seal::decode(bytes, frame))
    }

    /// What the body of an extension frame says is unknown; its checksum is not.
    fn check_body(&mut self, frame: &FrameHeader, offset: u64) -> Checked<()> {
        let layout = frame.layout(self.header.checksum);
        let (start, end) = (offset + layout.payload_start, offset + layout.payload_end);
        let digest = self.payloads.digest(start, end, ChecksumKind::Crc32)?;
        Ok(if digest == u64::from(frame.table_crc) { Ok(()) } else { Err(FrameFault::Table) })
    }

    /// What a SEAL ends. A bad index is a warning: the points can be rebuilt from the frames, and the sections, which are
    /// under the same checksum, are not looked at.
    fn print_seal(
        &mut self,
        offset: u64,
        frame: &FrameHeader,
        out: &mut impl Write,
    ) -> Result<SealKind, Box<dyn Error>> {
        let seal = self.seal(frame, offset)??;
        let kind = match seal.kind {
            SealKind::Final => "ends the segment",
            SealKind::Close => "the log was closed",
        };
        let start = offset + (FRAME_HEADER_BYTES + SEAL_FIXED_BYTES) as u64;
        let end = start + seal.index_bytes() as u64;
        let digest = self.payloads.digest(start, end, ChecksumKind::Crc32)?;
        let is_whole = digest == u64::from(seal.index_crc());
        let verdict = if is_whole { "ok" } else { "warning: checksum mismatch" };
        write!(out, "{:>12}  {kind}; index of {} points: {verdict}", "", seal.points())?;
        match seal.previous {
            Some(previous) => writeln!(out, "; earlier points at {previous}")?,
            None => writeln!(out)?,
        }
        if is_whole {
            self.print_sections(start + seal.points_bytes() as u64, end, out)?;
        }
        Ok(seal.kind)
    }

    fn print_sections(&mut self, start: u64, end: u64, out: &mut impl Write) -> io::Result<()> {
        let section_bytes = usize::try_from(end - start).unwrap_or(usize::MAX);
        let bytes = self.payloads.bytes_at(start, section_bytes)?;
        if bytes.len() < section_bytes {
            return writeln!(out, "{:>12}  {section_bytes} bytes of sections, not looked at", "");
        }
        for section in Sections::new(bytes) {
            let verdict = match section {
                Ok(section) => format!("section of type {}, {} bytes", section.kind, section.body.len()),
                Err(fault) => format!("warning: bad section: {fault}"),
            };
            writeln!(out, "{:>12}  {verdict}", "")?;
        }
        Ok(())
    }
}

fn print_frame(
    frame: &FrameHeader,
    checked: &Result<Sequence, FrameFault>,
    offset: u64,
    out: &mut impl Write,
) -> io::Result<()> {
    let kind = match frame.kind {
        FrameKind::Data => "DATA".to_owned(),
        FrameKind::Link => "LINK".to_owned(),
        FrameKind::Seal => "SEAL".to_owned(),
        FrameKind::Extension(code) => format!("kind {code}"),
    };
    let FrameHeader { first, entries, payload_bytes, durable_offset, .. } = frame;
    write!(
        out,
        "{offset:>12}  {kind:<8}  {first:>17}  {entries:>10}  {payload_bytes:>10}  {durable_offset:>12}  "
    )?;
    match checked {
        Ok(_) => writeln!(out, "ok"),
        Err(fault) => writeln!(out, "{fault}"),
    }
}

/// A stretch of a file, read anew when other bytes are wanted.
struct Window<'f> {
    file: &'f File,
    file_bytes: u64,
    start: u64,
    held: Vec<u8>,
}

impl<'f> Window<'f> {
    const BYTES: usize = 64 << 10;

    fn new(file: &'f File, file_bytes: u64) -> Window<'f> {
        Window { file, file_bytes, start: 0, held: Vec::new() }
    }

    /// The bytes at `offset`: as many as wanted, or as the file or the window have.
    fn bytes_at(&mut self, offset: u64, wanted: usize) -> io::Result<&[u8]> {
        let available = usize::try_from(self.file_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = wanted.min(Window::BYTES).min(available);
        let skip = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        let skip = skip.filter(|skip| skip.saturating_add(wanted) <= self.held.len());
        let skip = if let Some(skip) = skip {
            skip
        } else {
            // Nothing is held until the read has succeeded.
            self.held.clear();
            let mut bytes = vec![0; Window::BYTES.min(available)];
            self.file.seek(SeekFrom::Start(offset))?;
            self.file.read_exact(&mut bytes)?;
            (self.start, self.held) = (offset, bytes);
            0
        };
        Ok(&self.held[skip..skip + wanted])
    }

    /// A row of the entry table of the frame at `frame_offset`, which was found to end inside the file.
    fn row(&mut self, frame_offset: u64, entry: u32, checksum: ChecksumKind) -> io::Result<&[u8]> {
        let row_bytes = TableEntry::bytes(checksum);
        let before = FRAME_HEADER_BYTES as u64 + u64::from(entry) * row_bytes as u64;
        self.bytes_at(frame_offset + before, row_bytes)
    }

    fn digest(&mut self, start: u64, end: u64, checksum: ChecksumKind) -> io::Result<u64> {
        let mut digest = Digest::new(checksum);
        let mut at = start;
        while at < end {
            let piece = self.bytes_at(at, usize::try_from(end - at).unwrap_or(usize::MAX))?;
            digest.update(piece);
            at += piece.len() as u64;
        }
        Ok(digest.finish())
    }
}
