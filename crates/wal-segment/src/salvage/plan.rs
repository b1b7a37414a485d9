//! Plans a salvage: which files hold the log, in which order, and where each of them ends.
//!
//! ```text
//!  highest ─▶ its LINK: "segment 3 ends at X, the next entry is 17" ─▶ 4 is skipped ─▶ 3, up to X and 17 ─▶ …
//!             no LINK?  what comes next below is taken, up to the first number found here
//! ```
//!
//! A valid LINK is trusted: what it cut off, and what it leads past, does not come back.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wal_format::{
    Anchor, ChecksumKind, FIRST_FRAME_OFFSET, FrameFault, HeaderFault, Life, Link, LogId, MAX_SEGMENT_BYTES,
    SegmentName, SegmentNumber, Sequence,
};

use super::scan::Scan;
use super::summary::{Aside, SalvageSummary, SetAside};
use crate::error::{Damage, DamageKind, Error};
use crate::files::anchor::{self, Slots};
use crate::files::named::Named;
use crate::files::names::{Catalog, segment_path};
use crate::files::window::Window;
use crate::io::{Access, Directory, FileKind};
use crate::rules::Rules;
use crate::segment::head::{HEAD_BYTES, Head};

#[derive(Clone, Debug)]
pub(super) struct CopyFile {
    pub(super) name: SegmentName,
    pub(super) path: PathBuf,
    pub(super) life: Life,
    pub(super) checksum: ChecksumKind,
    pub(super) file_bytes: u64,
    log: Option<LogId>,
    link: Option<Link>,
}

/// One file, or several copies of it.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) sources: Vec<CopyFile>,
    pub(super) link: Option<Link>,
    /// The number of its first entry, if anything states it.
    pub(super) start: Option<Sequence>,
    /// Where it ends, as the LINK of the next segment says.
    pub(super) end: Option<End>,
    /// Entries from this number on are in later segments, or gone.
    pub(super) before: Option<Sequence>,
    /// Whether its end is stated, or nothing is known to have followed. Otherwise the LINK after it is lost,
    /// and with it whether a cut had dropped some of it.
    pub(super) certain: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) offset: u64,
    pub(super) next: Sequence,
    pub(super) by: SegmentNumber,
    /// Whether it says that something after the end is no part of the log.
    pub(super) is_cut: bool,
}

pub(super) struct Plan {
    /// Oldest first.
    pub(super) segments: Vec<Segment>,
    pub(super) anchor: Option<Anchor>,
    pub(super) summary: SalvageSummary,
}

pub(super) fn plan(directory: &dyn Directory) -> Result<Plan, Error> {
    let catalog = Catalog::read(directory)?;
    let mut summary = SalvageSummary { ignored_names: catalog.ignored, ..SalvageSummary::default() };
    let anchor = read_anchor(directory, &catalog, &mut summary);
    let mut sources = Vec::new();
    for (&number, &kind) in &catalog.segments {
        sources.extend(read_head(directory, number, kind, anchor.as_ref(), &mut summary));
    }
    let log = whose(&sources, anchor.as_ref());
    let anchor = anchor.filter(|anchor| log.is_none_or(|log| log == anchor.log));
    summary.log = log.or(anchor.map(|anchor| anchor.log));
    let mut by_number: BTreeMap<SegmentNumber, Vec<CopyFile>> = BTreeMap::new();
    for source in sources {
        if source.log.is_some() && source.log != log {
            summary.aside.push(SetAside { file: source.path, offset: 0, why: Aside::OtherLog });
        } else {
            by_number.entry(source.life.segment).or_default().push(source);
        }
    }
    let mut segments = bounded(directory, by_number, anchor.as_ref(), &mut summary)?;
    segments.reverse();
    // A spare that was not used yet holds nothing.
    segments.retain(|segment| segment.start.is_some());
    summary.segments = segments.len() as u64;
    Ok(Plan { segments, anchor, summary })
}

fn read_anchor(directory: &dyn Directory, catalog: &Catalog, summary: &mut SalvageSummary) -> Option<Anchor> {
    let kind = match Slots::find(directory, catalog.anchor) {
        Ok(slots) => match slots.newest(Rules::default()) {
            Some(anchor) => return Some(anchor),
            None => DamageKind::Anchor(slots.fault()),
        },
        Err(Error::Unsupported { fault, .. }) => DamageKind::Anchor(fault),
        Err(Error::Damaged(damage)) => damage.kind,
        Err(_) => DamageKind::Unreadable,
    };
    summary.damages.push(anchor::damage(directory, kind));
    None
}

/// One file by its headers and its LINK; `None` when nothing tells what it is.
fn read_head(
    directory: &dyn Directory,
    number: SegmentNumber,
    kind: FileKind,
    anchor: Option<&Anchor>,
    summary: &mut SalvageSummary,
) -> Option<CopyFile> {
    let (name, path) = (SegmentName::of(number), segment_path(directory, number));
    if kind != FileKind::Regular {
        summary.aside.push(SetAside { file: path, offset: 0, why: Aside::NotAFile(kind) });
        return None;
    }
    let damage =
        |offset, kind| Damage { file: segment_path(directory, number), offset, sequences: None, kind };
    let opened = Named::open(directory, name.as_str(), Access::Read);
    let Ok((file, file_bytes)) = opened.and_then(|file| file.length().map(|bytes| (file, bytes))) else {
        summary.damages.push(damage(0, DamageKind::Unreadable));
        return None;
    };
    let file_bytes = file_bytes.min(MAX_SEGMENT_BYTES);
    let mut window = Window::tolerant(&file, file_bytes);
    let head = Head::decode(window.bytes_at(0, HEAD_BYTES).unwrap_or_default());
    for (offset, header) in head.copies() {
        match header {
            Err(fault) => summary.damages.push(damage(offset, DamageKind::Header(fault))),
            Ok(header) if header.life.segment != number => {
                summary.damages.push(damage(offset, DamageKind::Misnamed { found: header.life.segment }));
            }
            Ok(_) => {}
        }
    }
    let header = head.valid().find(|header| head.link(header.life).is_ok()).or_else(|| head.valid().next());
    let Some((log, life, checksum)) = header
        .map(|header| (Some(header.log), header.life, header.checksum))
        .or_else(|| named_by_anchor(&file, file_bytes, number, anchor))
    else {
        let why = Aside::NoHeader;
        // The file is blank: never written to, or nothing of it has survived.
        let blank = head
            .copies()
            .iter()
            .all(|(_, header)| matches!(header, Err(HeaderFault::Blank | HeaderFault::Short)));
        if blank && window.bytes_at(FIRST_FRAME_OFFSET, 1).is_ok_and(|bytes| bytes == [0] || bytes.is_empty())
        {
            summary.damages.retain(|damage| damage.file != path);
        }
        summary.aside.push(SetAside { file: path, offset: 0, why });
        return None;
    };
    let link = head.link(life);
    match (window.hole.take(), link) {
        (Some(hole), _) => summary.damages.push(damage(hole, DamageKind::Unreadable)),
        (None, Err(fault)) if fault != FrameFault::Blank => {
            summary.damages.push(damage(FIRST_FRAME_OFFSET, DamageKind::Link(fault)));
        }
        _ => {}
    }
    Some(CopyFile { name, path, life, checksum, file_bytes, log, link: link.ok().map(|(link, _)| link) })
}

/// The life of the active segment by the anchor, which does not have its checksum: tries the kinds until a
/// frame verifies.
fn named_by_anchor(
    file: &Named,
    file_bytes: u64,
    number: SegmentNumber,
    anchor: Option<&Anchor>,
) -> Option<(Option<LogId>, Life, ChecksumKind)> {
    let anchor = anchor?;
    let (segment, salt) = anchor.active.filter(|(segment, _)| *segment == number)?;
    let life = Life { segment, salt };
    let verifies = |&kind: &ChecksumKind| {
        let found = Scan::new(file, life, kind, None, file_bytes).next(Sequence::ZERO);
        found.is_ok_and(|found| found.is_some())
    };
    let kinds = [1, 2].into_iter().filter_map(ChecksumKind::from_code);
    let checksum = kinds.into_iter().find(verifies).unwrap_or(anchor.next_checksum);
    Some((Some(anchor.log), life, checksum))
}

/// The log that most of the files belong to; if as many belong to another, the anchor's, or else the one with
/// the highest segment.
fn whose(sources: &[CopyFile], anchor: Option<&Anchor>) -> Option<LogId> {
    let count = |log| sources.iter().filter(|source| source.log == Some(log)).count();
    let logs = sources.iter().filter_map(|source| source.log.map(|log| (log, source.life.segment)));
    logs.max_by_key(|&(log, segment)| (count(log), anchor.is_some_and(|anchor| anchor.log == log), segment))
        .map(|(log, _)| log)
}

/// Highest segment first, each with its end.
fn bounded(
    directory: &dyn Directory,
    by_number: BTreeMap<SegmentNumber, Vec<CopyFile>>,
    anchor: Option<&Anchor>,
    summary: &mut SalvageSummary,
) -> Result<Vec<Segment>, Error> {
    let mut segments = Vec::new();
    // The lowest number that a later segment begins with, and that segment.
    let mut before: Option<(Sequence, SegmentNumber)> = None;
    // The LINK above: its segment, the segment that it names, and the end that it states.
    let mut above: Option<(SegmentNumber, Option<SegmentNumber>, End)> = None;
    for (number, sources) in by_number.into_iter().rev() {
        let why = match above {
            _ if anchor.is_some_and(|anchor| number < anchor.first_segment) => Some(Aside::Dropped),
            Some((by, named, _)) if named.is_none_or(|named| number > named) => Some(Aside::Skipped { by }),
            _ => None,
        };
        if let Some(why) = why {
            let aside = sources.into_iter().map(|source| SetAside { file: source.path, offset: 0, why });
            summary.aside.extend(aside);
            continue;
        }
        let sources = one_life(sources, anchor, summary);
        let link = sources.iter().find_map(|source| source.link);
        if let Some(durable) = anchor.and_then(|anchor| anchor.durable)
            && number < durable.segment
        {
            // Every entry of an earlier segment has a lower number than a later one has had.
            before = before.into_iter().chain([(durable.next, durable.segment)]).min();
        }
        let end = above.filter(|(_, named, _)| *named == Some(number)).map(|(_, _, end)| end);
        let start = match link {
            Some(link) => Some(link.next),
            None => first_number(directory, &sources)?,
        };
        if let Some((first, by)) = before
            && end.is_none()
            && start > Some(first)
        {
            // A later segment begins before it. The LINK that leads past this one is lost.
            let why = Aside::Skipped { by };
            let aside = sources.into_iter().map(|source| SetAside { file: source.path, offset: 0, why });
            summary.aside.extend(aside);
            continue;
        }
        let certain = end.is_some() || before.is_none();
        let stated = before.into_iter().chain(end.map(|end| (end.next, end.by))).min();
        // A spare has no entries, but the next segment names this one as linked: it has lost them.
        if start.is_none() && end.is_some() {
            let kind = DamageKind::Link(FrameFault::Blank);
            let file = sources[0].path.clone();
            summary.damages.push(Damage { file, offset: FIRST_FRAME_OFFSET, sequences: None, kind });
        }
        segments.push(Segment { sources, link, start, end, before: stated.map(|(first, _)| first), certain });
        before = stated.into_iter().chain(start.map(|start| (start, number))).min();
        above = link.and_then(|link| {
            let named = link.predecessor.map(|predecessor| predecessor.segment);
            // A LINK that names a segment which cannot come before it is not trusted.
            let offset = link.predecessor.map_or(0, |predecessor| predecessor.end_offset);
            let end = End { offset, next: link.next, by: number, is_cut: link.reason.is_cut() };
            named.is_none_or(|named| named < number).then_some((number, named, end))
        });
    }
    Ok(segments)
}

/// Of files with the same number, those of the life that the log had: the anchor's, or one with a LINK.
fn one_life(sources: Vec<CopyFile>, anchor: Option<&Anchor>, summary: &mut SalvageSummary) -> Vec<CopyFile> {
    let active = anchor.and_then(|anchor| anchor.active);
    let is_active = |source: &&CopyFile| active == Some((source.life.segment, source.life.salt));
    let chosen =
        sources.iter().find(is_active).or_else(|| sources.iter().find(|source| source.link.is_some()));
    let Some(life) = chosen.or(sources.first()).map(|source| source.life) else { return sources };
    let (ours, others): (Vec<_>, Vec<_>) = sources.into_iter().partition(|source| source.life == life);
    let aside = others.into_iter().map(|other| other.path);
    summary.aside.extend(aside.map(|file| SetAside { file, offset: 0, why: Aside::OtherLife }));
    ours
}

fn first_number(directory: &dyn Directory, sources: &[CopyFile]) -> Result<Option<Sequence>, Error> {
    let mut first: Option<Sequence> = None;
    for source in sources {
        if let Ok(mut scan) = source.scan(directory, None, source.file_bytes) {
            first = first.into_iter().chain(scan.first_number()?).min();
        }
    }
    Ok(first)
}

impl CopyFile {
    pub(super) fn scan(
        &self,
        directory: &dyn Directory,
        first: Option<Sequence>,
        limit: u64,
    ) -> Result<Scan, Error> {
        let file = Named::open(directory, self.name.as_str(), Access::Read)?;
        Ok(Scan::new(&file, self.life, self.checksum, first, limit.min(self.file_bytes)))
    }
}
