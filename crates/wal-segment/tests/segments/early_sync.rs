//! Early syncs: how much is left for a rollover to wait for.

use std::sync::Arc;

use wal_format::{ChecksumKind, FIRST_FRAME_OFFSET};
use wal_segment::io::{Directory, Disk};
use wal_segment::{FrameBuilder, OpenRequest, Opened, open};

use crate::common::Here;

const SEGMENT_BYTES: u64 = 16 << 20;
const PAYLOAD_BYTES: usize = 4096;

#[test]
fn syncing_when_asked_leaves_a_rollover_little_to_wait_for() {
    let scratch = tempfile::tempdir().unwrap();
    let directory: Arc<dyn Directory> = Arc::new(Disk::create(scratch.path().join("log")).unwrap());
    let wanted = OpenRequest { segment_bytes: Some(SEGMENT_BYTES), ..OpenRequest::default() };
    let Opened { mut writer, anchor, .. } = open(&directory, wanted).unwrap();
    let spares = Here::new(&directory, anchor);
    let mut frame = FrameBuilder::new(ChecksumKind::Crc32, 1, 0);
    frame.push(&[7; PAYLOAD_BYTES], ChecksumKind::Crc32.digest(&[7; PAYLOAD_BYTES]));
    let (mut synced, mut syncs, mut full) = (FIRST_FRAME_OFFSET, 0, 0);
    while full < 4 {
        let ends = writer.turns_over(frame.frame_bytes());
        let span = writer.snapshot().spans().next_back();
        if let Some(span) = span.filter(|_| ends) {
            // The first segments of a log are shorter, and need fewer syncs.
            full += u64::from(span.file_bytes == SEGMENT_BYTES);
            let left = span.end.offset - synced;
            assert!(left <= (64 << 10) + frame.frame_bytes(), "{left} bytes of {span:?} after {syncs} syncs");
            assert!(syncs <= 12, "{syncs} syncs of {span:?}");
            (synced, syncs) = (FIRST_FRAME_OFFSET, 0);
        }
        writer.append(&mut frame, &spares).unwrap();
        if writer.wants_sync() {
            let job = writer.sync_job().unwrap().expect("it was asked for");
            job.run().unwrap();
            writer.synced(job.point(), &spares);
            (synced, syncs) = (job.point().offset, syncs + 1);
        }
        assert!(!writer.wants_sync(), "what was just synced is not asked for again");
    }
}
