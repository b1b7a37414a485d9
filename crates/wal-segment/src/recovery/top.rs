//! The end of the directory: the highest linked segment, the files above it, and the anchor compared with it.

use std::sync::Arc;

use wal_format::{Anchor, FIRST_FRAME_OFFSET, SegmentNumber, Sequence};

use crate::error::{Damage, DamageKind, Error, Lost};
use crate::files::named::Named;
use crate::files::names::segment_path;
use crate::io::Directory;
use crate::recovery::decide::{AboveSeen, AnchorSeen};
use crate::recovery::evidence::{self, Evidence};
use crate::recovery::settle::Settling;
use crate::rules::{Rule, Rules};
use crate::segment::head::{Inspected, Linked, Site, inspect};

pub(crate) struct Top {
    pub(crate) last: Option<Arc<Linked>>,
    pub(crate) above: Vec<(SegmentNumber, Inspected)>,
}

impl Top {
    /// Reads the heads from the highest number down to the first LINK. Each file is settled before it is
    /// read.
    pub(crate) fn read(site: Site<'_>, settling: &Settling) -> Result<Top, Error> {
        let Site { directory, catalog, anchor } = site;
        let open = |name: &str| {
            let file = Named::open(directory, name, settling.access())?;
            settling.settle(&file)?;
            Ok(file)
        };
        let mut above = Vec::new();
        for (&number, &kind) in catalog.segments.range(anchor.first_segment..).rev() {
            match inspect(anchor.log, number, kind, open)? {
                Inspected::Linked(last) => return Ok(Top { last: Some(last), above }),
                other => above.push((number, other)),
            }
        }
        Ok(Top { last: None, above })
    }

    fn spare_number(&self, anchor: &Anchor) -> Option<SegmentNumber> {
        match &self.last {
            None => Some(anchor.first_segment),
            Some(last) => last.header.life.segment.next(),
        }
    }

    /// One prepared segment may lie above the highest linked one, and nothing else.
    pub(crate) fn judge_above(
        &self,
        directory: &dyn Directory,
        anchor: &Anchor,
        next: Sequence,
        rules: Rules,
    ) -> Result<(AboveSeen, Option<Damage>), Error> {
        let affected = Some(Lost::from(next));
        let mut seen = AboveSeen::Nothing;
        let mut damage = None;
        for (number, inspected) in &self.above {
            let file = segment_path(directory, *number);
            let is_next = self.spare_number(anchor) == Some(*number);
            match inspected {
                Inspected::Alien(kind) => {
                    damage = Some(Damage { file, offset: 0, sequences: affected, kind: *kind });
                    seen = AboveSeen::Alien;
                }
                _ if !is_next && rules.keeps(Rule::OneSpare) => {
                    let missing = self.spare_number(anchor).unwrap_or(*number);
                    let file = segment_path(directory, missing);
                    let kind = DamageKind::Missing;
                    damage.get_or_insert(Damage { file, offset: 0, sequences: affected, kind });
                    seen = AboveSeen::Alien;
                }
                Inspected::Unlinked(unlinked) if seen == AboveSeen::Nothing => {
                    seen = AboveSeen::Spare;
                    // Usually both copies of the header are of one life: search that life once.
                    let copies = unlinked.headers.iter().enumerate();
                    let lives = copies.filter(|(at, header)| !unlinked.headers[..*at].contains(header));
                    for (_, header) in lives {
                        let Evidence { durable_offset, .. } = evidence::search(
                            &unlinked.file,
                            header,
                            FIRST_FRAME_OFFSET,
                            None,
                            unlinked.file_bytes,
                        )?;
                        if durable_offset > Some(FIRST_FRAME_OFFSET) && rules.keeps(Rule::SpareClaims) {
                            let (offset, kind) = unlinked.damage();
                            damage = Some(Damage { file: file.clone(), offset, sequences: affected, kind });
                            seen = AboveSeen::ClaimsDurable;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok((seen, damage))
    }

    /// What happened to the segment that the anchor names.
    pub(crate) fn active_lost(&self, directory: &dyn Directory, anchor: &Anchor, next: Sequence) -> Damage {
        let number = anchor.active.map_or(anchor.first_segment, |(number, _)| number);
        let found = self.above.iter().find(|(above, _)| *above == number);
        let is_last = self.last.as_ref().is_some_and(|last| last.header.life.segment == number);
        let (offset, kind) = match found {
            Some((_, Inspected::Unlinked(unlinked))) => unlinked.damage(),
            Some((_, Inspected::Alien(kind))) => (0, *kind),
            _ if is_last => (0, DamageKind::OtherLife),
            _ => (0, DamageKind::Missing),
        };
        let file = segment_path(directory, number);
        // While the anchor states a close, no entry follows that close.
        let closed = anchor.durable.filter(|point| anchor.seal_offset.is_some() && point.next >= next);
        let lost = closed.map_or(Lost::from(next), |point| Lost::between(next, point.next));
        Damage { file, offset, sequences: Some(lost), kind }
    }
}

pub(crate) fn anchor_beside(anchor: &Anchor, last: Option<&Linked>) -> AnchorSeen {
    let last = last.map(|last| last.header.life);
    match (anchor.active, last) {
        (None, _) => AnchorSeen::Behind,
        (Some((active, _)), Some(last)) if active < last.segment => AnchorSeen::Behind,
        (Some((active, salt)), Some(last)) if active == last.segment && salt == last.salt => {
            AnchorSeen::Level
        }
        (Some(_), _) => AnchorSeen::Ahead,
    }
}
