//! A LINK with the right checksums and the wrong number, and an anchor that begins the log beyond its end: however
//! the log is read, it is the same damage, and a LINK that is right is never called a lie.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::common::bytes::{crc32, frames, header, linked};
use crate::common::seam::{Call, Seam};
use crate::common::{SMALL, copy, directory, open, try_open, view};
use wal::{
    Checksum, Damage, Ending, Entries, Error, ErrorKind, Lost, Mark, Options, SyncPolicy, View, ViewFollower,
};
use wal_format::{
    Anchor, DurablePoint, FIRST_FRAME_OFFSET, FRAME_HEADER_BYTES, FrameHeader, FrameKind, INDEX_POINT_BYTES,
    LINK_FRAME_BYTES, Link, LinkReason, Predecessor, SEAL_FIXED_BYTES, SLOT_BYTES, SegmentName, Sequence,
};
use wal_segment::io::sim::SimDisk;

type Files = BTreeMap<String, Option<Vec<u8>>>;

/// What ends where the LINK of the next segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A SEAL, behind which the log rolled over.
    Sealed,
    /// A SEAL, behind which the log was opened again.
    Closed,
    /// A frame with one entry; the process was killed.
    Single,
    /// A frame with four; the process was killed.
    Batch,
    /// The LINK of a segment without a frame.
    Empty,
    /// A frame with four entries, the last two of which were truncated, with what stands behind it.
    Truncated,
    /// A frame with one entry of 1.5 MiB: an open does not look for its header.
    Large,
    /// The same with a second, small entry.
    LargeBatch,
}

const ENDS: [End; 8] = [
    End::Sealed,
    End::Closed,
    End::Single,
    End::Batch,
    End::Empty,
    End::Truncated,
    End::Large,
    End::LargeBatch,
];

impl End {
    /// Whether the open finds out: the frame is near the end.
    fn is_seen_by_an_open(self) -> bool {
        !matches!(self, End::Large | End::LargeBatch)
    }
}

fn options() -> Options {
    Options::new().segment_bytes(64 << 10).sync(SyncPolicy::Immediate).background(false)
}

fn payload(number: u64) -> Vec<u8> {
    format!("the payload of entry {number}").into_bytes()
}

/// Opens the log, appends so many entries, and is killed.
fn live(disk: &SimDisk, entries: u64) {
    live_with(disk, &options(), entries);
}

fn live_with(disk: &SimDisk, options: &Options, entries: u64) {
    let wal = open(disk, options);
    for _ in 0..entries {
        wal.append(&payload(wal.written_end())).expect("nothing fails");
    }
}

/// A batch of four, and `behind` entries that stand behind it in the same segment.
fn append_batch(disk: &SimDisk, behind: u64) {
    let wal = open(disk, &options());
    let first = wal.written_end();
    let batch: Vec<_> = (first..first + 4).map(payload).collect();
    wal.append_batch(&batch).expect("nothing fails");
    for number in first + 4..first + 4 + behind {
        wal.append(&payload(number)).expect("nothing fails");
    }
}

/// A log, and the name of the segment whose LINK is to lie. The frame in question is in the one before it.
fn log(end: End) -> (SimDisk, String) {
    let disk = SimDisk::new(7);
    live(&disk, 5);
    match end {
        End::Sealed => {
            let wal = open(&disk, &options().segment_bytes(SMALL));
            for _ in 0..60 {
                let payload = [payload(wal.written_end()), vec![7; 500]].concat();
                wal.append(&payload).expect("nothing fails");
            }
        }
        End::Closed => {
            let wal = open(&disk, &options());
            wal.append_batch([payload(5), payload(6)]).expect("nothing fails");
            wal.close().expect("nothing fails");
        }
        End::Single => live(&disk, 3),
        End::Batch => append_batch(&disk, 0),
        End::Empty => {
            live(&disk, 3);
            open(&disk, &options()).truncate_after(6).expect("nothing fails");
        }
        End::Truncated => {
            append_batch(&disk, 3);
            open(&disk, &options()).truncate_after(6).expect("nothing fails");
        }
        End::Large => {
            open(&disk, &options()).append(&vec![7; 3 << 19]).expect("nothing fails");
        }
        End::LargeBatch => {
            let wal = open(&disk, &options());
            wal.append_batch([&vec![7; 3 << 19][..], &[8]]).expect("nothing fails");
        }
    }
    let before = linked(&disk);
    // Another kind of checksum: so the log cannot go on in its last segment.
    (0..2).for_each(|_| live_with(&disk, &options().checksum(Checksum::Crc64), 4));
    let names = linked(&disk);
    let name = match end {
        End::Sealed => names[3].clone(),
        // The LINK of the truncation itself.
        End::Truncated => before[before.len() - 1].clone(),
        _ => names[before.len()].clone(),
    };
    (copy(&directory(&disk)), name)
}

fn link_of(disk: &SimDisk, name: &str) -> Link {
    let bytes = disk.contents(name).expect("it is there");
    let at = usize::try_from(FIRST_FRAME_OFFSET).expect("small");
    Link::decode(&bytes[at..], header(&bytes).life).expect("a LINK").0
}

/// The numbers of what ends where this LINK says: of a SEAL and of an empty segment, none.
fn last_frame(disk: &SimDisk, link: &Link) -> (u64, u64) {
    let predecessor = link.predecessor.expect("there is one");
    let name = SegmentName::of(predecessor.segment).to_string();
    let bytes = disk.contents(&name).expect("it is there");
    let ends = |frame: &&crate::common::bytes::Frame| frame.end as u64 == predecessor.end_offset;
    let frame = frames(&bytes).iter().find(ends).copied().expect("a frame ends there");
    let first = frame.header.first.value();
    (first, first + u64::from(frame.header.entries))
}

fn moved(number: Sequence, by: i64) -> Sequence {
    Sequence::try_from(number.value().checked_add_signed(by).expect("not below zero")).expect("small")
}

/// The log in which `name` and all segments behind it begin `by` later, in all numbers, chain values and checksums; the
/// anchor agrees.
fn lying(disk: &SimDisk, name: &str, by: i64) -> Files {
    let mut files = directory(disk);
    let mut chain = None;
    for segment in linked(disk).into_iter().skip_while(|segment| segment != name) {
        let bytes = files.get_mut(&segment).and_then(Option::as_mut).expect("it is there");
        chain = Some(renumbered(bytes, by, chain));
    }
    let anchor = files.get_mut("ANCHOR").and_then(Option::as_mut).expect("it is there");
    let later = |point: DurablePoint| DurablePoint { next: moved(point.next, by), ..point };
    rewrite_anchor(anchor, |anchor| Anchor { durable: anchor.durable.map(later), ..anchor });
    files
}

/// Encodes all frames of a segment anew, behind a predecessor with this chain value; returns that of the last one.
fn renumbered(bytes: &mut [u8], by: i64, before: Option<u32>) -> u32 {
    let segment = header(bytes);
    let mut chain = 0;
    for frame in frames(bytes) {
        if frame.header.kind == FrameKind::Link {
            let (link, _) = Link::decode(&bytes[frame.offset..], segment.life).expect("a LINK");
            let link = Link { next: moved(link.next, by), chain: before.unwrap_or(link.chain), ..link };
            bytes[frame.offset..frame.offset + LINK_FRAME_BYTES].copy_from_slice(&link.encode(segment.life));
        } else {
            let first = moved(frame.header.first, by);
            let mut header = FrameHeader { previous: chain, first, ..frame.header };
            if frame.header.kind == FrameKind::Seal {
                let body = frame.offset + FRAME_HEADER_BYTES;
                let fixed = body..body + SEAL_FIXED_BYTES;
                let points = fixed.end..fixed.end + INDEX_POINT_BYTES * number(bytes, body, 4);
                for point in points.clone().step_by(INDEX_POINT_BYTES) {
                    let first =
                        (number(bytes, point + 8, 8) as u64).checked_add_signed(by).expect("not below");
                    bytes[point + 8..point + 16].copy_from_slice(&first.to_le_bytes());
                }
                let crc = crc32(&bytes[points]);
                bytes[body + 4..body + 8].copy_from_slice(&crc.to_le_bytes());
                header.table_crc = crc32(&bytes[fixed]);
            }
            let encoded = header.encode(segment.life, frame.offset as u64);
            bytes[frame.offset..frame.offset + FRAME_HEADER_BYTES].copy_from_slice(&encoded);
        }
        chain = FrameHeader::chain_value(bytes[frame.offset..].first_chunk().expect("a header"));
    }
    chain
}

fn number(bytes: &[u8], at: usize, width: usize) -> usize {
    let mut word = [0; 8];
    word[..width].copy_from_slice(&bytes[at..at + width]);
    usize::try_from(u64::from_le_bytes(word)).expect("small")
}

fn rewrite_anchor(bytes: &mut [u8], change: impl Fn(Anchor) -> Anchor) {
    for slot in [0, SLOT_BYTES] {
        if let Ok(anchor) = Anchor::decode(&bytes[slot..]) {
            bytes[slot..slot + SLOT_BYTES].copy_from_slice(&change(anchor).encode(&[]));
        }
    }
}

/// What a reader hands out, in which order it may, and how it ends.
fn read(entries: impl Iterator<Item = Result<wal::Entry, Error>>) -> (Vec<u64>, Option<Error>) {
    let (mut numbers, mut error) = (Vec::new(), None);
    for entry in entries {
        assert!(error.is_none(), "a reader that returned an error ends");
        match entry {
            Ok(entry) => numbers.push(entry.sequence()),
            Err(found) => error = Some(found),
        }
    }
    (numbers, error)
}

/// Everything that a follower has now.
fn followed(mut follower: ViewFollower) -> (Vec<u64>, Option<Error>) {
    read(std::iter::from_fn(|| match follower.next_timeout(Duration::from_millis(60)) {
        Poll::Ready(item) => item,
        Poll::Pending => None,
    }))
}

/// A way of reading, by name.
type Way = (&'static str, fn(&View) -> (Vec<u64>, Option<Error>));

const WAYS: [Way; 6] = [
    ("forward", |view| read(view.range(..))),
    ("forward, from the first entry", |view| match view.read_from(view.first()) {
        Ok(entries) => read(entries),
        Err(error) => (Vec::new(), Some(error)),
    }),
    ("backward", |view| read(view.range(..).rev())),
    ("from both ends", |view| from_both_ends(view.range(..))),
    ("a follower of what is durable", |view| match view.follow(view.first()) {
        Ok(follower) => followed(follower),
        Err(error) => (Vec::new(), Some(error)),
    }),
    ("a follower of what is written", |view| match view.follow_with(view.first(), Mark::Written) {
        Ok(follower) => followed(follower),
        Err(error) => (Vec::new(), Some(error)),
    }),
];

/// The number behind the last entry that is seen in this way: beside a log that was killed, the last ones may not be stated
/// to be durable.
fn seen_by(way: &str, view: &View) -> u64 {
    if way == "a follower of what is durable" { view.durable_end() } else { view.written_end() }
}

fn from_both_ends(mut entries: Entries) -> (Vec<u64>, Option<Error>) {
    let mut back = false;
    read(std::iter::from_fn(move || {
        back = !back;
        if back { entries.next_back() } else { entries.next() }
    }))
}

fn damage(what: &str, error: Option<&Error>) -> Damage {
    let error = error.unwrap_or_else(|| panic!("{what}: ends without an error"));
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
    error.damage().unwrap_or_else(|| panic!("{what}: {error}")).clone()
}

fn view_of(disk: &SimDisk, mapped: bool) -> View {
    let options = Options::new().mapped_reads(mapped);
    options.open_read_only_in(Arc::new(disk.clone())).expect("there is a log")
}

/// A LINK told that the next entry was 15 where the frames before it ended at 10, or that it was 5 where they held 5 to
/// 9. Its checksums were right. `cat` printed entry 15 behind entry 9, or nothing of 5 to 9, and exited with 0; `verify`
/// and `cat --reverse` said that the log was damaged.
#[test]
fn a_link_that_lies_about_its_number_is_damage_for_every_reader() {
    for end in ENDS {
        let (whole, name) = log(end);
        let link = link_of(&whole, &name);
        let (first, next) = last_frame(&whole, &link);
        let predecessor = link.predecessor.expect("there is one");
        let begins = link_of(&whole, SegmentName::of(predecessor.segment).as_str()).next.value();
        let may_cut = end == End::Truncated;
        assert_eq!(may_cut, link.next.value() < next, "{end:?}: the log is not what it should be");
        assert_eq!(link.reason == LinkReason::Truncate, end == End::Truncated, "{end:?}");
        let (mut lies, mut truths) = (0, 0);
        for stated in begins..next + 4 {
            let by = i64::try_from(stated).expect("small") - i64::try_from(link.next.value()).expect("small");
            let disk = copy(&lying(&whole, &name, by));
            let what = format!("{end:?}: frames hold {first} to before {next}, the LINK says {stated}");
            if stated == next || may_cut && first < stated && stated < next {
                truths += 1;
                is_whole(&disk, &what);
            } else {
                lies += 1;
                let lost = Lost { first: Some(stated.min(next)), end: Some(stated.max(next)) };
                is_damaged(&disk, end, predecessor, next, lost, &what);
            }
        }
        assert!(lies >= 3 && truths == if may_cut { 4 } else { 1 }, "{end:?}: {lies} lies, {truths} truths");
    }
}

fn is_whole(disk: &SimDisk, what: &str) {
    for mapped in [true, false] {
        let view = view_of(disk, mapped);
        assert!(!matches!(view.recovery().ending, Ending::Corrupt(_)), "{what}: {}", view.recovery());
        let verified = view.verify().expect("it can be read");
        assert!(verified.damages.is_empty(), "{what}: {:?}", verified.damages);
        for (way, reads) in WAYS {
            let (mut numbers, error) = reads(&view);
            assert!(error.is_none(), "{what}, {way}: {error:?}");
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..seen_by(way, &view)), "{what}, {way}");
        }
    }
    let wal = open(&copy(&directory(disk)), &options());
    let (numbers, error) = read(wal.range(..).expect("it is open"));
    assert!(error.is_none() && numbers.into_iter().eq(0..wal.written_end()), "{what}: {error:?}");
    let (_, error) = read(wal.range(..).expect("it is open").rev());
    assert!(error.is_none(), "{what}: {error:?}");
}

fn is_damaged(disk: &SimDisk, end: End, predecessor: Predecessor, next: u64, lost: Lost, what: &str) {
    let file = SegmentName::of(predecessor.segment).to_string();
    let is_it = |damage: &Damage, way: &str| {
        assert!(damage.file.ends_with(&file), "{what}, {way}: {damage}");
        assert_eq!(damage.offset, predecessor.end_offset, "{what}, {way}: {damage}");
        assert_eq!(damage.sequences, Some(lost), "{what}, {way}: {damage}");
    };
    for mapped in [true, false] {
        let view = view_of(disk, mapped);
        let told = matches!(view.recovery().ending, Ending::Corrupt(_));
        assert_eq!(told, end.is_seen_by_an_open(), "{what}: {}", view.recovery());
        let verified = view.verify().expect("it can be read");
        assert_eq!(verified.damages.len(), 1, "{what}: {:?}", verified.damages);
        is_it(&verified.damages[0], "verify");
        for (way, reads) in WAYS {
            let (numbers, error) = reads(&view);
            is_it(&damage(&format!("{what}, {way}"), error.as_ref()), way);
            let behind = numbers.iter().any(|&number| number >= next.max(lost.end.unwrap_or(0)));
            assert!(!behind || way == "backward" || way == "from both ends", "{what}, {way}: {numbers:?}");
            match way {
                "backward" => assert!(numbers.is_sorted_by(|one, other| *one == other + 1), "{what}, {way}"),
                "from both ends" => {}
                _ => assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{what}, {way}"),
            }
        }
        // Those that are lost in a gap; what is hidden may be another entry's number by now.
        let (first, before) = lost.first.zip(lost.end).expect("both are known");
        for number in first..before {
            match view.read(number) {
                Err(error) => is_it(&damage(what, Some(&error)), "a read of one entry"),
                Ok(entry) => assert_eq!(entry.sequence(), number, "{what}"),
            }
        }
        assert!(view.copy_into(&SimDisk::new(3)).is_err(), "{what}: it was copied");
    }
    let before = directory(disk);
    match try_open(disk, &options()) {
        Err(error) => {
            assert!(end.is_seen_by_an_open(), "{what}: {error}");
            is_it(&damage(what, Some(&error)), "open");
            let mut after = directory(disk);
            after.remove("LOCK");
            let mut before = before;
            before.remove("LOCK");
            assert!(after == before, "{what}: an open that is refused changes nothing");
        }
        Ok(wal) => {
            assert!(!end.is_seen_by_an_open(), "{what}: it opens");
            let (_, error) = read(wal.range(..).expect("it is open"));
            is_it(&damage(what, error.as_ref()), "an open log, forward");
            let (_, error) = read(wal.range(..).expect("it is open").rev());
            is_it(&damage(what, error.as_ref()), "an open log, backward");
            let (_, error) = read(wal.follow(0).expect("it is open").take(100));
            is_it(&damage(what, error.as_ref()), "a follower of an open log");
        }
    }
}

/// The same, told by a LINK that comes while a follower waits at the end of the segment before it.
#[test]
fn a_link_that_lies_is_damage_for_a_follower_that_waits_for_it() {
    for end in [End::Closed, End::Single, End::Batch, End::Large, End::LargeBatch] {
        let (whole, name) = log(end);
        let link = link_of(&whole, &name);
        let (_, next) = last_frame(&whole, &link);
        let predecessor = link.predecessor.expect("there is one");
        for by in [-1, 1, 3] {
            for mark in [Mark::Written, Mark::Durable] {
                let what = format!("{end:?} {by} {mark:?}");
                let lie = lying(&whole, &name, by);
                let mut before = lie.clone();
                before.retain(|file, _| *file < name || file == "ANCHOR");
                let anchor = before.get_mut("ANCHOR").and_then(Option::as_mut).expect("it is there");
                let life =
                    header(&whole.contents(SegmentName::of(predecessor.segment).as_str()).expect("there"))
                        .life;
                let durable = DurablePoint {
                    segment: predecessor.segment,
                    offset: predecessor.end_offset,
                    next: moved(link.next, 0),
                };
                let active = Some((life.segment, life.salt));
                rewrite_anchor(anchor, |anchor| Anchor {
                    active,
                    durable: Some(durable),
                    seal_offset: None,
                    ..anchor
                });
                let disk = copy(&before);
                let mut follower = view(&disk).follow_with(0, mark).expect("it is there");
                for number in 0..next {
                    match follower.try_next() {
                        Poll::Ready(Some(Ok(entry))) => assert_eq!(entry.sequence(), number, "{what}"),
                        other => panic!("{what}: {other:?} at {number}"),
                    }
                }
                assert!(follower.try_next().is_pending(), "{what}");
                for (file, bytes) in &lie {
                    disk.put(file, bytes.as_deref().expect("a file"));
                }
                let (numbers, error) = followed(follower);
                assert!(numbers.is_empty(), "{what}: {numbers:?}");
                if by < 0 && !end.is_seen_by_an_open() {
                    // It looks like a cut, and nothing tells that it is none.
                    assert_eq!(error.expect("it is told").kind(), ErrorKind::Truncated, "{what}");
                    continue;
                }
                let damage = damage(&what, error.as_ref());
                assert!(
                    damage.file.ends_with(SegmentName::of(predecessor.segment).as_str()),
                    "{what}: {damage}"
                );
                assert_eq!(damage.offset, predecessor.end_offset, "{what}: {damage}");
            }
        }
    }
}

/// What an open does not need does not keep it from opening: reads tell.
#[test]
fn a_last_frame_that_is_damaged_or_cannot_be_read_opens_as_before_and_reads_tell() {
    for end in [End::Sealed, End::Closed, End::Single, End::Batch] {
        for unreadable in [false, true] {
            let (disk, name) = log(end);
            let what = format!("{end:?}, unreadable: {unreadable}");
            let predecessor = link_of(&disk, &name).predecessor.expect("there is one");
            let file = SegmentName::of(predecessor.segment).to_string();
            let last = frames(&disk.contents(&file).expect("it is there"))
                .into_iter()
                .rfind(|frame| frame.end as u64 <= predecessor.end_offset)
                .expect("a frame");
            if unreadable {
                let bytes = last.offset as u64..predecessor.end_offset;
                assert!(disk.unreadable(&file, bytes));
            } else {
                assert!(disk.damage(&file, |bytes| bytes[last.offset + 10] ^= 1));
            }
            let view = view_of(&disk, false);
            assert!(!matches!(view.recovery().ending, Ending::Corrupt(_)), "{what}: {}", view.recovery());
            let kind = if unreadable { ErrorKind::Io } else { ErrorKind::Corrupt };
            assert_eq!(read(view.range(..)).1.expect("it is told").kind(), kind, "{what}");
            let wal = open(&disk, &options());
            assert_eq!(
                read(wal.range(..).expect("it is open")).1.expect("it is told").kind(),
                kind,
                "{what}"
            );
            wal.append(b"it goes on").expect("nothing fails");
        }
    }
}

/// The look at the end of each closed segment is one small read, however long the segment is.
#[test]
fn what_an_open_reads_does_not_grow_with_its_segments() {
    let read_by_an_open = |segment_bytes: u64, rolled: u64, sealed: bool| {
        let disk = SimDisk::new(7);
        let options = Options::new().segment_bytes(segment_bytes).sync(SyncPolicy::None).background(false);
        for life in 0..5 {
            // A log that is opened with another kind begins a segment.
            let checksum = [Checksum::Crc32, Checksum::Crc64][life % 2];
            let wal = open(&disk, &options.clone().checksum(checksum));
            for _ in 0..rolled {
                wal.append(&[7; 4000]).expect("nothing fails");
            }
            if sealed {
                wal.close().expect("nothing fails");
            }
        }
        // The last segment is closed, so that no open walks it.
        open(&disk, &options).close().expect("nothing fails");
        let wal = open(&disk, &options);
        wal.append(b"last").expect("nothing fails");
        wal.close().expect("nothing fails");
        let disk = copy(&directory(&disk));
        let (reads, bytes) = (Arc::default(), Arc::default());
        let seam = {
            let (reads, bytes): (Arc<std::sync::Mutex<u64>>, Arc<std::sync::Mutex<u64>>) =
                (Arc::clone(&reads), Arc::clone(&bytes));
            Seam::new(disk.clone(), move |call| {
                if let Call::Read { bytes: read, .. } = call {
                    *reads.lock().expect("whole") += 1;
                    *bytes.lock().expect("whole") += read as u64;
                }
                Ok(())
            })
        };
        let wal = options.open_in(seam).expect("it opens");
        drop(wal);
        let segments = linked(&disk).len() as u64;
        let (reads, bytes) = (*reads.lock().expect("whole"), *bytes.lock().expect("whole"));
        (segments, reads, bytes)
    };
    for sealed in [true, false] {
        let (few, small_reads, small_bytes) = read_by_an_open(8 << 20, 2, sealed);
        let (many, large_reads, large_bytes) = read_by_an_open(8 << 20, 200, sealed);
        assert_eq!(few, many, "as many segments, a hundred times as long");
        assert_eq!(small_reads, large_reads, "sealed: {sealed}");
        // The SEAL at the end has a point for each 64 KiB.
        assert!(large_bytes <= small_bytes + 1024, "sealed: {sealed}: {small_bytes}, then {large_bytes}");
        // A head, the end of the segment before it, and what an open reads once.
        assert!(small_reads <= 3 * few + 12, "{small_reads} reads for {few} segments");
    }
}

/// An anchor said that the log begins at entry 100, and the log ended with entry 19. `cat` printed nothing and exited
/// with 0; opens and `verify` said that the log was damaged.
#[test]
fn an_anchor_that_begins_beyond_the_end_is_damage_for_every_reader() {
    for closed in [true, false] {
        let whole = SimDisk::new(7);
        (0..3).for_each(|_| live(&whole, 5));
        let wal = open(&whole, &options());
        (15..20).for_each(|number| assert_eq!(wal.append(&payload(number)).expect("nothing fails"), number));
        if closed {
            wal.close().expect("nothing fails");
        } else {
            drop(wal);
        }
        let whole = copy(&directory(&whole));
        for first in [0, 1, 7, 18, 19, 20, 21, 22, 100, 1 << 40, (1 << 56) - 2, (1 << 56) - 1] {
            let what = format!("closed: {closed}, first: {first}");
            let disk = copy(&directory(&whole));
            disk.damage("ANCHOR", |bytes| {
                let first = Sequence::try_from(first).expect("small");
                rewrite_anchor(bytes, |anchor| Anchor { first, ..anchor });
            });
            let view = view(&disk);
            let verified = view.verify().expect("it can be read");
            if first <= 20 {
                assert!(verified.damages.is_empty(), "{what}: {:?}", verified.damages);
                for (way, reads) in WAYS {
                    let (numbers, error) = reads(&view);
                    assert!(error.is_none(), "{what}, {way}: {error:?}");
                    assert_eq!(numbers.len() as u64, seen_by(way, &view) - first, "{what}, {way}");
                }
                continue;
            }
            let Ending::Corrupt(told) = &view.recovery().ending else {
                panic!("{what}: {}", view.recovery())
            };
            assert_eq!(told.sequences, Some(Lost { first: Some(20), end: Some(first) }), "{what}: {told}");
            assert_eq!(verified.damages, std::slice::from_ref(told), "{what}");
            for (way, reads) in WAYS {
                let (numbers, error) = reads(&view);
                assert_eq!(damage(&format!("{what}, {way}"), error.as_ref()), *told);
                assert!(numbers.is_empty(), "{what}, {way}: {numbers:?}");
            }
            for range in [0..1, 0..20, 5..21, 20..first, 21..first, first..first + 1, 0..u64::MAX] {
                for (numbers, error) in
                    [read(view.range(range.clone())), read(view.range(range.clone()).rev())]
                {
                    if range.is_empty() {
                        assert!(error.is_none(), "{what}, {range:?}");
                    } else {
                        assert_eq!(damage(&format!("{what}, {range:?}"), error.as_ref()), *told);
                    }
                    assert!(numbers.is_empty(), "{what}, {range:?}: {numbers:?}");
                }
            }
            for number in [0, 5, 19, 20, first - 1, first, u64::MAX] {
                assert_eq!(damage(&what, view.read(number).err().as_ref()), *told);
                assert_eq!(
                    damage(
                        &what,
                        view.read_from(number)
                            .err()
                            .or_else(|| { read(view.read_from(number).expect("just made")).1 })
                            .as_ref()
                    ),
                    *told,
                    "{what}: from {number}"
                );
            }
            assert_eq!(damage(&what, try_open(&disk, &options()).err().as_ref()), *told);
        }
    }
}
