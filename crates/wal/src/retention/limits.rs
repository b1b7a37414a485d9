//! What the limits of retention allow to drop: a pure function of the segments and the time.

use wal_segment::Span;

use crate::options::Options;

/// When every entry of a segment is too old, if there is a limit; `ended` knows when the segment ended, by the same clock.
pub(crate) fn expires_ns(
    spans: &[Span],
    at: usize,
    options: &Options,
    ended: impl Fn(&[Span]) -> Option<u64>,
) -> Option<u64> {
    let age = u64::try_from(options.retain_age?.as_nanos()).unwrap_or(u64::MAX);
    Some(ended(&spans[at..])?.saturating_add(age))
}

/// How many segments at the front a durable LINK has closed: no others may be dropped.
pub(crate) fn closed(spans: &[Span]) -> usize {
    spans.iter().take_while(|span| span.closed).count()
}

/// How many segments at the front the limits let go, [closed] or not.
pub(crate) fn dropped(
    spans: &[Span],
    next: u64,
    options: &Options,
    now_ns: u64,
    ended: impl Fn(&[Span]) -> Option<u64>,
) -> usize {
    let mut rest_bytes: u64 = spans.iter().map(|span| span.end.offset).sum();
    for (at, span) in spans.iter().enumerate() {
        let Some(following) = spans.get(at + 1) else { return at };
        rest_bytes -= span.end.offset;
        let many_bytes = options.retain_bytes.is_some_and(|least| rest_bytes >= least);
        let many_entries = options
            .retain_entries
            .is_some_and(|least| next.saturating_sub(following.start.next.value()) >= least);
        let old = expires_ns(spans, at, options, &ended).is_some_and(|expires| expires <= now_ns);
        if !(many_bytes || many_entries || old) {
            return at;
        }
    }
    0
}

/// The size in bytes of the files from the one with entry `from` up to the one with entry `to`, exclusive.
pub(crate) fn kept_bytes(spans: &[Span], from: u64, to: u64) -> u64 {
    let holding =
        |number: u64| spans.partition_point(|span| span.start.next.value() <= number).saturating_sub(1);
    let (from, to) = (holding(from), holding(to));
    spans.get(from..to).unwrap_or_default().iter().map(|span| span.file_bytes).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wal_format::{ChecksumKind, Life, SegmentNumber, Sequence};
    use wal_segment::Tip;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Segments of ten entries and 100 bytes, each prepared a second after the one before; the last is open.
    fn spans(count: u64) -> Vec<Span> {
        let tip = |offset, next| Tip { offset, chain: 0, next: Sequence::try_from(next).unwrap() };
        let span = |at: u64| Span {
            life: Life { segment: SegmentNumber::new(at + 1).unwrap(), salt: 0 },
            checksum: ChecksumKind::Crc32,
            start: tip(0, at * 10),
            end: tip(100, at * 10 + 10),
            cut_inside: false,
            seal_offset: None,
            file_bytes: 150,
            begun_unix_ns: at * SECOND,
            closed: at + 1 < count,
        };
        (0..count).map(span).collect()
    }

    fn with(change: impl FnOnce(&mut Options)) -> Options {
        let mut options = Options::default();
        change(&mut options);
        options
    }

    #[test]
    fn without_a_limit_nothing_is_dropped() {
        for count in 0..4 {
            assert_eq!(dropped(&spans(count), count * 10, &Options::default(), u64::MAX, |_| Some(0)), 0);
        }
    }

    #[test]
    fn a_segment_goes_when_the_rest_still_holds_the_limit() {
        let cases = [(1, 4), (9, 4), (10, 4), (11, 3), (20, 3), (21, 2), (40, 1), (41, 0), (1000, 0)];
        for (least, expected) in cases {
            let entries = with(|options| options.retain_entries = Some(least));
            assert_eq!(dropped(&spans(5), 50, &entries, 0, |_| None), expected, "{least} entries");
            let bytes = with(|options| options.retain_bytes = Some(least * 10));
            assert_eq!(dropped(&spans(5), 50, &bytes, 0, |_| None), expected, "{least}0 bytes");
            // Any limit that is exceeded is enough.
            let both =
                with(|options| (options.retain_entries, options.retain_bytes) = (Some(least), Some(9999)));
            assert_eq!(dropped(&spans(5), 50, &both, 0, |_| None), expected, "{least} entries or many bytes");
        }
    }

    #[test]
    fn a_segment_that_no_durable_link_has_closed_stays_and_so_does_what_is_after_it() {
        let mut spans = spans(5);
        assert_eq!(closed(&spans), 4);
        spans[1].closed = false;
        assert_eq!(closed(&spans), 1);
    }

    #[test]
    fn a_segment_goes_when_it_ended_long_ago_and_no_younger_one_is_before_it() {
        let options = with(|options| options.retain_age = Some(Duration::from_secs(10)));
        let ended = |spans: &[Span]| {
            let number = spans[0].life.segment.value();
            (number < 5).then_some(number * SECOND)
        };
        for (now, expected) in [
            (0, 0),
            (11 * SECOND - 1, 0),
            (11 * SECOND, 1),
            (14 * SECOND - 1, 3),
            (14 * SECOND, 4),
            (u64::MAX, 4),
        ] {
            assert_eq!(dropped(&spans(5), 50, &options, now, ended), expected, "at {now}");
        }
        assert_eq!(dropped(&spans(5), 50, &options, u64::MAX, |_| None), 0, "none is known to have ended");
    }

    #[test]
    fn what_is_kept_are_whole_files_before_the_one_that_stays_anyway() {
        let spans = spans(5);
        for (from, to, files) in [(0, 50, 4), (9, 10, 1), (0, 9, 0), (10, 40, 3), (30, 20, 0), (99, 99, 0)] {
            assert_eq!(kept_bytes(&spans, from, to), files * 150, "{from} to {to}");
        }
        assert_eq!(kept_bytes(&[], 0, 9), 0);
    }
}
