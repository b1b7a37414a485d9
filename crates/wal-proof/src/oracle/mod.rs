//! The test oracle: what callers were told, what must therefore survive, and what the bytes on a disk say by themselves.
//! None of it shares code with the log's recovery.

pub(crate) mod check_image;
pub(crate) mod disk_frames;
pub(crate) mod expected_log;
pub(crate) mod promise;
