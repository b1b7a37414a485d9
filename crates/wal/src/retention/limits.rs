//! What the limits of retention allow to drop: a pure function of the segments and the time.

use wal_segment::{Snapshot, Span};

use crate::options::limits::RetentionOptions;

/// A segment as retention sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) segment: u64,
    /// The sequence of its first entry.
    pub(crate) first: u64,
    /// Where the log ends in it, in bytes.
    pub(crate) bytes: u64,
    /// How long its file is.
    pub(crate) file_bytes: u64,
    pub(crate) begun_unix_ns: u64,
    /// A durable LINK after it states that it has ended.
    pub(crate) closed: bool,
}

impl Piece {
    /// The segments of a log, oldest first.
    pub(crate) fn all(snapshot: &Snapshot) -> Vec<Piece> {
        let piece = |span: Span| Piece {
            segment: span.life.segment.value(),
            first: span.start.next.value(),
            bytes: span.end.offset,
            file_bytes: span.file_bytes,
            begun_unix_ns: span.begun_unix_ns,
            closed: span.closed,
        };
        snapshot.spans().map(piece).collect()
    }
}

/// When every entry of a segment is too old, if there is a limit; `ended` knows when the segment ended, by the same clock.
pub(crate) fn expires_ns(
    pieces: &[Piece],
    at: usize,
    options: &RetentionOptions,
    ended: impl Fn(&[Piece]) -> Option<u64>,
) -> Option<u64> {
    let age = u64::try_from(options.retain_age?.as_nanos()).unwrap_or(u64::MAX);
    Some(ended(&pieces[at..])?.saturating_add(age))
}

/// How many segments at the front a durable LINK has closed: no others may be dropped.
pub(crate) fn closed(pieces: &[Piece]) -> usize {
    pieces.iter().take_while(|piece| piece.closed).count()
}

/// How many segments at the front the limits let go, [closed] or not.
pub(crate) fn dropped(
    pieces: &[Piece],
    next: u64,
    options: &RetentionOptions,
    now_ns: u64,
    ended: impl Fn(&[Piece]) -> Option<u64>,
) -> usize {
    let mut rest_bytes: u64 = pieces.iter().map(|piece| piece.bytes).sum();
    for (at, piece) in pieces.iter().enumerate() {
        let Some(following) = pieces.get(at + 1) else { return at };
        rest_bytes -= piece.bytes;
        let many_bytes = options.retain_bytes.is_some_and(|least| rest_bytes >= least);
        let many_entries =
            options.retain_entries.is_some_and(|least| next.saturating_sub(following.first) >= least);
        let old = expires_ns(pieces, at, options, &ended).is_some_and(|expires| expires <= now_ns);
        if !(many_bytes || many_entries || old) {
            return at;
        }
    }
    0
}

/// The size in bytes of the files from the one with entry `from` up to the one with entry `to`, exclusive.
pub(crate) fn kept_bytes(pieces: &[Piece], from: u64, to: u64) -> u64 {
    let holding = |number: u64| pieces.partition_point(|piece| piece.first <= number).saturating_sub(1);
    let (from, to) = (holding(from), holding(to));
    pieces.get(from..to).unwrap_or_default().iter().map(|piece| piece.file_bytes).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Segments of ten entries and 100 bytes, each prepared a second after the one before; the last is open.
    fn pieces(count: u64) -> Vec<Piece> {
        (0..count)
            .map(|at| Piece {
                segment: at + 1,
                first: at * 10,
                bytes: 100,
                file_bytes: 150,
                begun_unix_ns: at * SECOND,
                closed: at + 1 < count,
            })
            .collect()
    }

    fn with(change: impl FnOnce(&mut RetentionOptions)) -> RetentionOptions {
        let mut options = RetentionOptions::default();
        change(&mut options);
        options
    }

    #[test]
    fn without_a_limit_nothing_is_dropped() {
        for count in 0..4 {
            assert_eq!(
                dropped(&pieces(count), count * 10, &RetentionOptions::default(), u64::MAX, |_| Some(0)),
                0
            );
        }
    }

    #[test]
    fn a_segment_goes_when_the_rest_still_holds_the_limit() {
        let cases = [(1, 4), (9, 4), (10, 4), (11, 3), (20, 3), (21, 2), (40, 1), (41, 0), (1000, 0)];
        for (least, expected) in cases {
            let entries = with(|options| options.retain_entries = Some(least));
            assert_eq!(dropped(&pieces(5), 50, &entries, 0, |_| None), expected, "{least} entries");
            let bytes = with(|options| options.retain_bytes = Some(least * 10));
            assert_eq!(dropped(&pieces(5), 50, &bytes, 0, |_| None), expected, "{least}0 bytes");
            // Any limit that is exceeded is enough.
            let both =
                with(|options| (options.retain_entries, options.retain_bytes) = (Some(least), Some(9999)));
            assert_eq!(
                dropped(&pieces(5), 50, &both, 0, |_| None),
                expected,
                "{least} entries or many bytes"
            );
        }
    }

    #[test]
    fn a_segment_that_no_durable_link_has_closed_stays_and_so_does_what_is_after_it() {
        let mut pieces = pieces(5);
        assert_eq!(closed(&pieces), 4);
        pieces[1].closed = false;
        assert_eq!(closed(&pieces), 1);
    }

    #[test]
    fn a_segment_goes_when_it_ended_long_ago_and_no_younger_one_is_before_it() {
        let options = with(|options| options.retain_age = Some(Duration::from_secs(10)));
        let ended = |pieces: &[Piece]| (pieces[0].segment < 5).then_some(pieces[0].segment * SECOND);
        for (now, expected) in [
            (0, 0),
            (11 * SECOND - 1, 0),
            (11 * SECOND, 1),
            (14 * SECOND - 1, 3),
            (14 * SECOND, 4),
            (u64::MAX, 4),
        ] {
            assert_eq!(dropped(&pieces(5), 50, &options, now, ended), expected, "at {now}");
        }
        assert_eq!(dropped(&pieces(5), 50, &options, u64::MAX, |_| None), 0, "none is known to have ended");
    }

    #[test]
    fn what_is_kept_are_whole_files_before_the_one_that_stays_anyway() {
        let pieces = pieces(5);
        for (from, to, files) in [(0, 50, 4), (9, 10, 1), (0, 9, 0), (10, 40, 3), (30, 20, 0), (99, 99, 0)] {
            assert_eq!(kept_bytes(&pieces, from, to), files * 150, "{from} to {to}");
        }
        assert_eq!(kept_bytes(&[], 0, 9), 0);
    }
}
