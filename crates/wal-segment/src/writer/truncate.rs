//! Truncation: drops the front of the log, or its end.
//!
//! ```text
//! after    sync ─▶ next segment prepared ─▶ LINK alone: "the log ends there" ─▶ sync ─▶ anchor ─▶ files
//! before   sync ─▶ anchor: "the log begins there", one slot ─▶ the other slot ─▶ files
//! ```
//!
//! Old bytes are never edited: each truncation takes effect with one synced write, so a crash leaves the old
//! log or the new one. Until that write the log is unchanged, whatever fails.

use wal_format::{Anchor, LinkReason, Sequence};

use super::Writer;
use super::publish::Switch;
use crate::error::Error;
use crate::io::Directory;
use crate::recovery::obsolete::remove_obsolete;
use crate::rules::Rule;
use crate::segment::entry_end::end_after;
use crate::segment::span::Span;
use crate::spares::source::SpareSource;

impl Writer {
    /// Truncates the end of the log: drops every entry after `last`, and makes the rest durable. If `last` is
    /// the last entry already, or beyond the end, nothing is dropped. But if a write after it failed, a cut
    /// is published, so that its remains cannot come back.
    ///
    /// [`Writer::next`] tells whether the log was cut, also after an error: if only the anchor could not be
    /// written, the cut stands, and the next append writes the anchor first.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when `last` is before the first entry; [`Error::Poisoned`]; why the cut could
    /// not be published, and then the log is unchanged. If its LINK was written in part and could not be
    /// removed, a crash before the next accepted append leaves the log cut or not.
    ///
    /// # Panics
    /// During a sync.
    pub fn truncate_after(&mut self, last: Sequence, spares: &dyn SpareSource) -> Result<(), Error> {
        self.refuse_if_poisoned()?;
        assert!(!self.durability.in_flight, "the log is not cut beside a sync of it");
        self.check_names(spares)?;
        let next = last.advance(1);
        if self.rest_in_doubt && next == Some(self.segments.end.next) {
            return self.begin_next(0, None, spares);
        }
        if next.is_none_or(|next| next >= self.segments.end.next) {
            return self.sync_all(spares);
        }
        if last < self.segments.first {
            return Err(self.out_of_range(last));
        }
        if self.durability.anchor_owed || self.durability.first_in_doubt {
            self.write_owed_anchor(spares)?;
        }
        // The LINK states that everything before the cut is durable. And if the LINK is lost, what it drops
        // must not look like missing segments.
        if self.rules.keeps(Rule::LinkAfterSync) {
            self.sync_all(spares)?;
        }
        let kept = Some(self.kept_with(last, spares.directory())?);
        let spare = self.take_spare(self.next_order(0)?, spares)?;
        self.publish(Switch { reason: LinkReason::Truncate, spare, kept, frame: None }, spares)
    }

    /// Truncates the front of the log: drops every entry before `first`, which becomes the first one. If they
    /// are all gone already, nothing happens.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when `first` is beyond the next entry; [`Error::Poisoned`]; why the anchor could
    /// not be written, and then the log begins where it did. After a crash it may begin at `first` all the
    /// same, until the next anchor was written.
    ///
    /// # Panics
    /// During a sync.
    pub fn truncate_before(&mut self, first: Sequence, spares: &dyn SpareSource) -> Result<(), Error> {
        self.refuse_if_poisoned()?;
        assert!(!self.durability.in_flight, "the log does not begin elsewhere beside a sync of it");
        if first <= self.segments.first {
            return Ok(());
        }
        if first > self.segments.end.next {
            return Err(self.out_of_range(first));
        }
        // If a crash took the end of the log back to before its beginning, it would look damaged. And a
        // segment is dropped only where the LINK of the next one is durable.
        let drops_more =
            self.segments.spans.last().is_some_and(|last| last.start.next <= first) && !self.is_linked();
        if (self.durable() < first || drops_more) && self.rules.keeps(Rule::DroppedIsDurable) {
            self.sync_all(spares)?;
        }
        let kept = self.holding(first);
        let first_segment = self.segments.spans.get(kept).map(|span| span.life.segment);
        let first_segment = first_segment.unwrap_or(self.segments.first_segment);
        if !self.rules.keeps(Rule::AnchorBeforeRemove) {
            let early: Vec<_> = self.segments.spans[..kept].iter().map(|span| span.life.segment).collect();
            remove_obsolete(spares.directory(), &early);
        }
        self.durability.first_in_doubt = true;
        self.write_anchor(Anchor { first, first_segment, ..self.anchor_now() }, spares)?;
        (self.durability.first_in_doubt, self.durability.anchor_owed) = (false, false);
        let dropped = self.segments.drop_before(first, first_segment, kept);
        self.obsolete.add(dropped);
        Ok(())
    }

    fn out_of_range(&self, asked: Sequence) -> Error {
        Error::OutOfRange { asked, first: self.segments.first, next: self.segments.end.next }
    }

    /// The index of the segment that holds `first`, or will. Never one whose LINK may not be durable.
    fn holding(&self, first: Sequence) -> usize {
        let durable = self.durability.point.map(|point| point.segment);
        self.segments
            .spans
            .iter()
            .rposition(|span| span.start.next <= first && Some(span.life.segment) <= durable)
            .unwrap_or(0)
    }

    /// The segments up to the one with entry `last`, which the log ends in now.
    fn kept_with(&self, last: Sequence, directory: &dyn Directory) -> Result<Vec<Span>, Error> {
        let spans = &self.segments.spans;
        let holds_last = spans.iter().rposition(|span| span.start.next <= last).unwrap_or(0);
        let mut kept = spans[..=holds_last].to_vec();
        if let Some(span) = kept.last_mut() {
            *span = self.segments.span(span.life.segment).unwrap_or(*span);
            let cut = end_after(directory, span, last)?;
            span.seal_offset = span.seal_offset.filter(|&seal_offset| seal_offset < cut.offset);
            (span.end, span.cut_inside) = (cut, true);
        }
        Ok(kept)
    }
}
