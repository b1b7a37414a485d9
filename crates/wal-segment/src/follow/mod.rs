//! Following a log that another process writes.

pub(crate) mod end;
pub(crate) mod path;
pub(crate) mod tailer;
