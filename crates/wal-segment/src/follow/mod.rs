//! Following a log that another process writes.

pub(crate) mod growing;
pub(crate) mod tailer;
pub(crate) mod trail;
