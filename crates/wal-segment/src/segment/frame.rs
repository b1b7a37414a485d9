//! A frame by its header, and the rule that says whether it is the next frame of the chain.
//!
//! ```text
//!            tip            frame
//!  … DATA │ offset ───────▶ begins here
//!         │ chain value ──▶ repeated as `previous`          Tip::advance: all three, or FrameFault::Order
//!         │ next number ──▶ repeated as `first`
//! ```

use wal_format::{ChecksumKind, FRAME_HEADER_BYTES, FrameFault, FrameHeader, FrameKind, Life};

use crate::error::Error;
use crate::files::named::Named;
use crate::segment::span::Tip;

/// A value, or what is wrong with the bytes; the outer error says why they could not be read.
pub(crate) type Checked<T> = Result<Result<T, FrameFault>, Error>;

/// A frame with a genuine header: its checksum matches this life of the segment at this offset. Table and
/// payloads are not checked yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) header: FrameHeader,
    pub(crate) chain: u32,
    /// Its first offset in the file, and the one after its last byte.
    pub(crate) offset: u64,
    pub(crate) end: u64,
}

impl Frame {
    #[inline]
    pub(crate) fn decode(
        bytes: &[u8],
        life: Life,
        checksum: ChecksumKind,
        offset: u64,
    ) -> Result<Frame, FrameFault> {
        let header = FrameHeader::decode(bytes, life, offset)?;
        let chain = bytes.first_chunk().map(FrameHeader::chain_value).ok_or(FrameFault::Short)?;
        Ok(Frame { header, chain, offset, end: offset + header.layout(checksum).end })
    }

    /// The DATA frame that begins `bytes` and is the next one after `tip`. A caller who gets none can ask [`Frame::decode`] and
    /// [`Tip::advance`] why.
    // In line, as `FrameHeader::genuine` is, so that the fields stay in registers.
    #[inline(always)]
    pub(crate) fn next_data(bytes: &[u8], life: Life, checksum: ChecksumKind, tip: &Tip) -> Option<Frame> {
        let header = FrameHeader::genuine(bytes, life, tip.offset)?;
        let chain = bytes.first_chunk().map(FrameHeader::chain_value)?;
        let is_next = header.kind == FrameKind::Data
            && header.previous == tip.chain
            && header.first == tip.next
            && header.next_sequence().is_some();
        let end = tip.offset + header.layout(checksum).end;
        is_next.then_some(Frame { header, chain, offset: tip.offset, end })
    }

    /// The same, read from the file: one read of 32 bytes.
    pub(crate) fn read(file: &Named, life: Life, checksum: ChecksumKind, offset: u64) -> Checked<Frame> {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        let read = file.read_at(&mut bytes, offset)?;
        Ok(Frame::decode(&bytes[..read], life, checksum, offset))
    }

    /// The end of the frame before it, as this one states it.
    #[inline]
    pub(crate) fn before(&self) -> Tip {
        Tip { offset: self.offset, chain: self.header.previous, next: self.header.first }
    }

    /// The end of this frame; `None` when its entries use up the sequence numbers.
    #[inline]
    pub(crate) fn after(&self) -> Option<Tip> {
        let next = self.header.next_sequence()?;
        Some(Tip { offset: self.end, chain: self.chain, next })
    }
}

impl Tip {
    /// The end of `frame`, if it is the next frame of the chain. A LINK never is: it only begins a segment.
    #[inline]
    pub(crate) fn advance(&self, frame: &Frame) -> Result<Tip, FrameFault> {
        if frame.before() != *self || frame.header.kind == FrameKind::Link {
            return Err(FrameFault::Order);
        }
        frame.after().ok_or(FrameFault::Order)
    }
}
