//! Dropping the front of the log, and its end.
//!
//! ```text
//! after    sync ─▶ next segment prepared ─▶ LINK alone: "the log ends there" ─▶ sync ─▶ anchor ─▶ files
//! before   sync ─▶ anchor: "the log begins there", one slot ─▶ the other slot ─▶ files
//! ```
//!
//! Old bytes are never edited: each truncation takes effect with one synced write, so a crash leaves the old
//! log or the new one. Until that write the log is what it was, whatever fails.

use std::sync::Arc;

use wal_format::{
    Anchor, FIRST_FRAME_OFFSET, Link, LinkReason, Predecessor, SegmentName, SegmentNumber, Sequence,
};

use super::open_segment::OpenSegment;
use super::{Detached, Rolled, State, Writer, point, sync_once};
use crate::error::Error;
use crate::files::held::WatchedFile;
use crate::files::named::{remove, sync_directory};
use crate::io::Directory;
use crate::recovery::obsolete::remove_obsolete;
use crate::rules::Rule;
use crate::segment::locate::end_behind;
use crate::segment::span::{Span, Tip};
use crate::spares::source::SpareSource;
use crate::spares::spare::Spare;

impl Writer {
    /// Drops every entry behind `last`, which stays the last one, and makes the rest durable. When it is the
    /// last one already, or is not there yet, nothing is dropped. But if a write behind it has failed, a cut is
    /// published, so that what may be there of it cannot come back.
    ///
    /// Whether the log was cut is told by [`Writer::next`], also when this fails: an anchor that cannot be
    /// written is an error, and the cut stands. The next append writes the anchor first.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when `last` is in front of the first entry; [`Error::Poisoned`]; whatever
    /// kept the cut from being published, and then the log is what it was. If its LINK was written in part
    /// and could not be removed, the log is cut or not after a crash, until the next append was accepted.
    ///
    /// # Panics
    /// While a sync is out.
    pub fn truncate_after(&mut self, last: Sequence, spares: &dyn SpareSource) -> Result<(), Error> {
        self.refuse_if_poisoned()?;
        assert!(!self.in_flight, "the log is not cut beside a sync of it");
        self.check_names(spares)?;
        let next = last.advance(1);
        if self.rest_in_doubt && next == Some(self.end.next) {
            return self.publish_cut(0, spares);
        }
        if next.is_none_or(|next| next >= self.end.next) {
            return self.sync_all(spares);
        }
        if last < self.first {
            return Err(self.out_of_range(last));
        }
        if self.anchor_owed || self.first_in_doubt {
            self.write_owed_anchor(spares)?;
        }
        // Its LINK says that everything in front of the cut is durable; and what it leaves out must not look
        // like segments that are missing, should the LINK be lost.
        if self.rules.keeps(Rule::LinkAfterSync) {
            self.sync_all(spares)?;
        }
        let (kept, cut) = self.kept_with(last, spares.directory())?;
        let spare = self.take_spare(self.next_order(0)?, spares)?;
        self.publish_truncation(kept, cut, spare, spares)
    }

    /// Drops every entry in front of `first`, which becomes the first one. When all of them are gone
    /// already, nothing is done.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when `first` is beyond the next entry; [`Error::Poisoned`]; what kept the anchor
    /// from being written, and then the log begins where it did. After a crash it may begin at `first` all
    /// the same, until the next anchor was written.
    ///
    /// # Panics
    /// While a sync is out.
    pub fn truncate_before(&mut self, first: Sequence, spares: &dyn SpareSource) -> Result<(), Error> {
        self.refuse_if_poisoned()?;
        assert!(!self.in_flight, "the log does not begin elsewhere beside a sync of it");
        if first <= self.first {
            return Ok(());
        }
        if first > self.end.next {
            return Err(self.out_of_range(first));
        }
        // Should a crash take the end of the log back to before its beginning, it would look damaged. And a segment is
        // dropped only where the LINK of the next one is durable.
        let drops_more = self.spans.last().is_some_and(|last| last.start.next <= first) && !self.is_linked();
        if (self.durable() < first || drops_more) && self.rules.keeps(Rule::DroppedIsDurable) {
            self.sync_all(spares)?;
        }
        let kept = self.holding(first);
        let dropped: Vec<_> = self.spans[..kept].iter().map(|span| span.life.segment).collect();
        let dropped_bytes = file_bytes(&self.spans[..kept]);
        let first_segment = self.spans.get(kept).map_or(self.first_segment, |span| span.life.segment);
        if !self.rules.keeps(Rule::AnchorBeforeRemove) {
            remove_obsolete(spares.directory(), &dropped);
        }
        self.first_in_doubt = true;
        self.write_anchor(Anchor { first, first_segment, ..self.anchor_now() }, spares)?;
        (self.first_in_doubt, self.anchor_owed) = (false, false);
        (self.first, self.first_segment) = (first, first_segment);
        if kept > 0 {
            self.spans = Arc::new(self.spans[kept..].to_vec());
        }
        self.obsolete.add(dropped, dropped_bytes);
        Ok(())
    }

    fn out_of_range(&self, asked: Sequence) -> Error {
        Error::OutOfRange { asked, first: self.first, next: self.end.next }
    }

    /// The segment that holds `first`, or will. Never one whose LINK may not be durable.
    fn holding(&self, first: Sequence) -> usize {
        let durable = self.durable.map(|point| point.segment);
        self.spans
            .iter()
            .rposition(|span| span.start.next <= first && Some(span.life.segment) <= durable)
            .unwrap_or(0)
    }

    /// The segments up to the one with entry `last`, the last of them as the log ends in it.
    fn kept_with(&self, last: Sequence, directory: &dyn Directory) -> Result<(Vec<Span>, Tip), Error> {
        let held = self.spans.iter().rposition(|span| span.start.next <= last).unwrap_or(0);
        let mut kept = self.spans[..=held].to_vec();
        let span = &mut kept[held];
        if held + 1 == self.spans.len() {
            (span.end, span.seal_offset) = (self.end, self.seal_offset);
        }
        let cut = end_behind(directory, span, last)?;
        span.seal_offset = span.seal_offset.filter(|&seal_offset| seal_offset < cut.offset);
        (span.end, span.cut_inside) = (cut, true);
        Ok((kept, cut))
    }

    /// Writes the LINK that says where the log ends. Once it is durable, that is so.
    fn publish_truncation(
        &mut self,
        kept: Vec<Span>,
        cut: Tip,
        spare: Spare,
        spares: &dyn SpareSource,
    ) -> Result<(), Error> {
        let predecessor = kept.last().map(|span| Predecessor {
            segment: span.life.segment,
            end_offset: cut.offset,
            seal_offset: span.seal_offset,
        });
        let begun_unix_ns = self.now_unix_ns(spares.directory());
        let link = Link {
            reason: LinkReason::Truncate,
            predecessor,
            chain: cut.chain,
            next: cut.next,
            begun_unix_ns,
        };
        let (open, spans) = OpenSegment::begin(spare, begun_unix_ns);
        let life = open.header.life;
        let encoded = link.encode(life);
        if let Err(error) = open.file.write_all(&encoded, FIRST_FRAME_OFFSET) {
            self.spare_refused = !error.is_out_of_space();
            if self.rules.keeps(Rule::FailedLinkVoided) {
                self.void(life.segment, &open.held, spares.directory());
            }
            return Err(error);
        }
        if self.rules.keeps(Rule::CutSynced) {
            sync_once(&open.file, self.rules).map_err(|error| self.poison(error))?;
        }
        let dropped: Vec<_> = self.spans[kept.len()..].iter().map(|span| span.life.segment).collect();
        let dropped_bytes = file_bytes(&self.spans[kept.len()..]);
        (self.end, self.seal_offset) = (cut, kept.last().and_then(|span| span.seal_offset));
        if let Some(span) = kept.last() {
            self.oversized.forget_from(span.life.segment);
        }
        self.spans = Arc::new(kept);
        let after_link = self.behind(&encoded);
        self.enter(open, after_link, spans, spares);
        self.rolled = self.rolled.map(|rolled| Rolled { cut: true, ..rolled });
        if !self.rules.keeps(Rule::AnchorBeforeRemove) {
            remove_obsolete(spares.directory(), &dropped);
        }
        self.anchor_owed = self.rules.keeps(Rule::CutAnchored);
        if self.rules.keeps(Rule::CutSynced) {
            self.synced(point(life.segment, after_link), spares);
        }
        if self.anchor_owed {
            // If this fails the older anchor may need them; the next open removes them.
            self.write_owed_anchor(spares)?;
        }
        self.obsolete.add(dropped, dropped_bytes);
        Ok(())
    }

    /// A LINK that could not be written may be there all the same, and would cut off what is accepted from
    /// now on. Its file is removed; and nothing is accepted before a file of its number was made anew,
    /// which removes it for certain.
    fn void(&mut self, segment: SegmentNumber, link: &WatchedFile, directory: &dyn Directory) {
        if let State::Open(open) = &self.state {
            let unsynced = open.unsynced.then(|| open.file.clone());
            self.state = State::Detached(Detached { reason: LinkReason::Reopen, unsynced });
        }
        let removed =
            link.check(directory).and_then(|()| remove(directory, SegmentName::of(segment).as_str()));
        removed.and_then(|()| sync_directory(directory)).ok();
    }
}

/// How long the files of these segments are together.
pub(super) fn file_bytes(spans: &[Span]) -> u64 {
    spans.iter().map(|span| span.file_bytes).sum()
}
