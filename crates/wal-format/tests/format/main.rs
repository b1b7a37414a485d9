//! The format: golden files, a second implementation, properties, and the drawings of its documents.

#![cfg(not(miri))] // Files, which Miri has none of, and many thousands of cases; the crate has no unsafe code.
#![allow(
    clippy::too_many_arguments,
    clippy::too_many_lines,
    reason = "a case is told from its beginning to its end"
)]
#![allow(clippy::disallowed_methods, reason = "tests stand outside the seams")]
#![allow(clippy::cast_possible_truncation, reason = "test frames are a few KiB long")]

mod drawings;
mod frame;
mod golden;
mod independent;
mod properties;
