//! `copy`: a copy of a log, also of one that is being written.

use wal::{ErrorKind, Options};

use crate::args::{Common, Copy};
use crate::commands::words;
use crate::failure::{Exit, Failure};
use crate::output::{print, say, torn_tail};

/// A writer that truncates takes files away from whoever looks on. Then the log is looked at again.
const LOOKS: u32 = 10;

pub(crate) fn run(common: &Common, args: &Copy) -> Result<Exit, Failure> {
    for look in 1.. {
        let view = Options::new().open_read_only(&common.dir)?;
        let report = match view.copy_to(&args.target) {
            Err(error) if error.kind() == ErrorKind::Missing && look < LOOKS => continue,
            report => report?,
        };
        if let Some(note) = torn_tail(&common.dir, &view.recovery().ending) {
            say(note);
        }
        let entries = words(&(report.first..report.next));
        let (segments, bytes) = (report.segments, report.bytes);
        print(&format!("copied {entries}; segments {segments}, bytes {bytes}\n"))?;
        break;
    }
    Ok(Exit::Fine)
}
