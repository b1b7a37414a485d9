//! Reading a log of several segments from any place, with mappings and without, with good and bad
//! indexes.

use std::sync::{Arc, Mutex};

use wal_format::{ChecksumKind, Sequence};
use wal_segment::io::{Directory, Disk};
use wal_segment::{
    Entries, Error, FrameBuilder, OpenRequest, Opened, RecentSegments, SegmentReader, SegmentSource, Span,
    Writer, find, look, open,
};

use crate::common::Here;

/// Opens segments, and counts how many closed ones were asked for.
#[derive(Debug)]
struct CountingSource {
    directory: Arc<dyn Directory>,
    segments: Mutex<(RecentSegments, usize)>,
}

impl CountingSource {
    fn new(directory: &Arc<dyn Directory>, segments: usize, mapped: bool) -> Arc<CountingSource> {
        let segments = Mutex::new((RecentSegments::new(segments, mapped), 0));
        Arc::new(CountingSource { directory: Arc::clone(directory), segments })
    }
}

impl SegmentSource for CountingSource {
    fn directory(&self) -> &dyn Directory {
        self.directory.as_ref()
    }

    fn segment(&self, span: &Span) -> Result<Arc<SegmentReader>, Error> {
        let mut segments = self.segments.lock().unwrap();
        segments.1 += usize::from(span.closed);
        if let Some(segment) = segments.0.get(span) {
            return Ok(segment);
        }
        let segment = SegmentReader::open(self.directory.as_ref(), span, segments.0.maps(), &mut None)?;
        segments.0.put(&segment);
        Ok(segment)
    }
}

/// A log that was written, with its writer.
struct Writing {
    writer: Writer,
    spares: Here,
    _scratch: tempfile::TempDir,
}

fn payload(number: u64) -> Vec<u8> {
    let length = usize::try_from(number * 7919 % 700).unwrap();
    number.to_le_bytes().repeat(length / 8 + 1)
}

const ENTRIES: u64 = 4000;

/// A log of several segments with several index points each.
fn written(checksum: ChecksumKind) -> (Writing, Arc<dyn Directory>) {
    let scratch = tempfile::tempdir().unwrap();
    let directory: Arc<dyn Directory> = Arc::new(Disk::create(scratch.path().join("log")).unwrap());
    let wanted =
        OpenRequest { segment_bytes: Some(300 << 10), checksum: Some(checksum), ..OpenRequest::default() };
    let Opened { mut writer, anchor, .. } = open(&directory, wanted).unwrap();
    let spares = Here::new(&directory, anchor);
    let mut frame = FrameBuilder::new(checksum, 1, 0);
    for number in 0..ENTRIES {
        let bytes = payload(number);
        frame.push(&bytes, checksum.digest(&bytes));
        assert_eq!(writer.append(&mut frame, &spares).unwrap().value(), number);
        frame.clear();
    }
    let job = writer.sync_job().unwrap().unwrap();
    job.run().unwrap();
    writer.synced(job.point(), &spares);
    (Writing { writer, spares, _scratch: scratch }, directory)
}

fn number(value: u64) -> Sequence {
    Sequence::try_from(value).unwrap()
}

fn assert_reads_from_everywhere(library: &Arc<CountingSource>, snapshot: &wal_segment::Snapshot) {
    for from in (0..ENTRIES).step_by(97).chain([0, 1, ENTRIES - 1, ENTRIES]) {
        let segments = Arc::clone(library) as Arc<dyn SegmentSource>;
        let mut next = from;
        for entry in Entries::new(segments, snapshot.clone(), number(from)..number(from + 50)) {
            let entry = entry.unwrap();
            assert_eq!((entry.sequence().value(), entry.payload()), (next, payload(next).as_slice()));
            next += 1;
        }
        assert_eq!(next, ENTRIES.min(from + 50).max(from));
        let segments = Arc::clone(library) as Arc<dyn SegmentSource>;
        for entry in Entries::new(segments, snapshot.clone(), number(from)..number(from + 50)).rev() {
            next -= 1;
            let entry = entry.unwrap();
            assert_eq!((entry.sequence().value(), entry.payload()), (next, payload(next).as_slice()));
        }
        assert_eq!(next, from);
        let found = find(library.as_ref(), snapshot, number(from)).unwrap();
        let found = found.map(|entry| (entry.sequence().value(), entry.payload().to_vec()));
        assert_eq!(found, (from < ENTRIES).then(|| (from, payload(from))));
    }
}

#[test]
fn a_reader_finds_every_entry_from_every_place_with_mappings_and_without() {
    for checksum in [ChecksumKind::Crc32, ChecksumKind::Crc64] {
        let (Writing { writer, _scratch, .. }, directory) = written(checksum);
        let snapshot = writer.snapshot();
        assert!(snapshot.spans().count() >= 4);
        for (segments, mapped) in [(64, false), (0, false), (0, true), (2, true), (64, true)] {
            assert_reads_from_everywhere(&CountingSource::new(&directory, segments, mapped), &snapshot);
        }
    }
}

#[test]
fn entries_outlive_the_reader_and_the_mapping_cache() {
    let (Writing { writer, _scratch, .. }, directory) = written(ChecksumKind::Crc32);
    let segments = CountingSource::new(&directory, 1, true) as Arc<dyn SegmentSource>;
    let all: Vec<_> = Entries::new(segments, writer.snapshot(), Sequence::ZERO..Sequence::MAX)
        .map(Result::unwrap)
        .collect();
    drop(writer);
    assert_eq!(all.len() as u64, ENTRIES);
    assert!(all.iter().zip(0..).all(|(entry, number)| entry.payload() == payload(number)));
}

#[test]
fn a_reader_sees_the_log_as_it_was_when_it_was_made() {
    let (Writing { mut writer, spares, _scratch }, directory) = written(ChecksumKind::Crc32);
    let mut frame = FrameBuilder::new(ChecksumKind::Crc32, 1, 5);
    let snapshot = writer.snapshot();
    let later = b"later";
    for _ in 0..2000 {
        frame.push(later, ChecksumKind::Crc32.digest(later));
        writer.append(&mut frame, &spares).unwrap();
        frame.clear();
    }
    let segments = CountingSource::new(&directory, 8, true) as Arc<dyn SegmentSource>;
    let seen = Entries::new(segments, snapshot, Sequence::ZERO..Sequence::MAX).map(Result::unwrap).count();
    assert_eq!(seen as u64, ENTRIES);
}

#[test]
fn a_bad_index_costs_nothing_but_speed() {
    let (Writing { writer, _scratch, .. }, directory) = written(ChecksumKind::Crc32);
    let snapshot = writer.snapshot();
    for span in snapshot.spans().filter(|span| span.closed) {
        let name = wal_format::SegmentName::of(span.life.segment);
        let file = directory.open(name.as_str(), wal_segment::io::Access::ReadWrite).unwrap();
        // The first index point follows the SEAL's header and fixed part.
        let at = span.seal_offset.unwrap() + 56;
        assert_eq!(file.write_at(&[0xff; 4], at).unwrap(), 4);
    }
    assert_reads_from_everywhere(&CountingSource::new(&directory, 8, true), &snapshot);
    drop(writer);
    let (looked, recovery) = look(directory.as_ref()).unwrap();
    assert_eq!((looked.next().value(), recovery.next), (ENTRIES, ENTRIES));
    let verified = wal_segment::verify(directory.as_ref()).unwrap();
    assert_eq!((verified.damages.len(), verified.entries), (0, ENTRIES));
    assert_eq!(verified.bad_indexes.len(), snapshot.spans().filter(|span| span.closed).count());
}

#[test]
fn an_index_point_that_leads_nowhere_costs_nothing_but_speed() {
    let (Writing { writer, _scratch, .. }, directory) = written(ChecksumKind::Crc32);
    let snapshot = writer.snapshot();
    for span in snapshot.spans().filter(|span| span.closed) {
        let name = wal_format::SegmentName::of(span.life.segment);
        let file = directory.open(name.as_str(), wal_segment::io::Access::ReadWrite).unwrap();
        let seal_offset = span.seal_offset.unwrap();
        let mut frame = vec![0; usize::try_from(span.end.offset - seal_offset).unwrap()];
        assert_eq!(file.read_at(&mut frame, seal_offset).unwrap(), frame.len());
        // Each point is eight bytes too far, under checksums that match.
        for point in frame[56..].chunks_exact_mut(24) {
            point[0] = point[0].wrapping_add(8);
        }
        let index_crc = u32::try_from(ChecksumKind::Crc32.digest(&frame[56..])).unwrap();
        frame[36..40].copy_from_slice(&index_crc.to_le_bytes());
        let body_crc = u32::try_from(ChecksumKind::Crc32.digest(&frame[32..56])).unwrap();
        let header = wal_format::FrameHeader::decode(&frame, span.life, seal_offset).unwrap();
        let header = wal_format::FrameHeader { table_crc: body_crc, ..header };
        frame[..32].copy_from_slice(&header.encode(span.life, seal_offset));
        assert_eq!(file.write_at(&frame, seal_offset).unwrap(), frame.len());
    }
    // The chain values of the SEALs changed too, so only entries inside the segments are read.
    for span in snapshot.spans().filter(|span| span.closed) {
        let (first, end) = (span.start.next.value(), span.end.next.value());
        for from in (first..end).step_by(31) {
            let segments = CountingSource::new(&directory, 8, true) as Arc<dyn SegmentSource>;
            let entry = Entries::new(segments, snapshot.clone(), number(from)..number(from + 1)).next();
            assert_eq!(entry.unwrap().unwrap().payload(), payload(from));
            let segments = CountingSource::new(&directory, 8, true);
            let found = find(segments.as_ref(), &snapshot, number(from)).unwrap();
            assert_eq!(found.unwrap().payload(), payload(from));
            let last = Entries::new(segments, snapshot.clone(), number(from)..number(from + 1)).next_back();
            assert_eq!(last.unwrap().unwrap().payload(), payload(from));
        }
    }
}

#[test]
fn only_segments_whose_end_is_durable_are_mapped() {
    let (Writing { writer, _scratch, .. }, directory) = written(ChecksumKind::Crc32);
    let library = CountingSource::new(&directory, 8, true);
    let snapshot = writer.snapshot();
    let closed = snapshot.spans().filter(|span| span.closed).count();
    assert_eq!(closed + 1, snapshot.spans().count());
    let segments = Arc::clone(&library) as Arc<dyn SegmentSource>;
    assert_eq!(Entries::new(segments, snapshot, Sequence::ZERO..Sequence::MAX).count() as u64, ENTRIES);
    assert_eq!(library.segments.lock().unwrap().1, closed);
}
