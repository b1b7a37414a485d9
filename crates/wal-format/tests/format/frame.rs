//! DATA frames of whole payloads. The log itself gathers a frame piece by piece.

use wal_format::{
    ChecksumKind, FRAME_HEADER_BYTES, FrameHeader, FrameLayout, Life, TableEntry, finish_data_frame,
};

/// The frame that holds `payloads`, and its chain value. `header` is what the frame says of its place.
pub(crate) fn encode_data_frame(
    header: FrameHeader,
    life: Life,
    offset: u64,
    checksum: ChecksumKind,
    payloads: &[impl AsRef<[u8]>],
) -> (Vec<u8>, u32) {
    let payload_bytes: usize = payloads.iter().map(|payload| payload.as_ref().len()).sum();
    let layout = FrameLayout::of(checksum, payloads.len() as u64, payload_bytes as u64);
    // What is not written shows.
    let mut frame = vec![0xee; layout.end as usize];
    let mut row = FRAME_HEADER_BYTES;
    let mut at = layout.payload_start as usize;
    for payload in payloads.iter().map(AsRef::as_ref) {
        let entry = TableEntry { length: payload.len() as u32, digest: checksum.digest(payload) };
        let row_bytes = TableEntry::bytes(checksum);
        frame[row..row + row_bytes].copy_from_slice(&entry.encode()[..row_bytes]);
        frame[at..at + payload.len()].copy_from_slice(payload);
        row += row_bytes;
        at += payload.len();
    }
    let header =
        FrameHeader { entries: payloads.len() as u32, payload_bytes: payload_bytes as u32, ..header };
    let chain = finish_data_frame(&mut frame, header, life, offset, checksum);
    (frame, chain)
}
