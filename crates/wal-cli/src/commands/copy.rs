//! `copy`: backs up a log, also while a writer has it open.

use wal::{ErrorKind, Options};

use crate::args::{Common, Copy};
use crate::commands::words;
use crate::failure::{Exit, Failure};
use crate::output::{print, say_torn_tail};

/// A writer may remove segments during the copy. Then the copy starts over.
const ATTEMPTS: u32 = 10;

pub(crate) fn run(common: &Common, args: &Copy) -> Result<Exit, Failure> {
    for attempt in 1.. {
        let view = Options::new().open_read_only(&common.dir)?;
        let report = match view.copy_to(&args.target) {
            Err(error) if error.kind() == ErrorKind::Missing && attempt < ATTEMPTS => continue,
            report => report?,
        };
        say_torn_tail(&common.dir, &view.recovery().ending);
        let entries = words(&(report.first..report.next));
        let (segments, bytes) = (report.segments, report.bytes);
        print(&format!("copied {entries}; segments {segments}, bytes {bytes}\n"))?;
        break;
    }
    Ok(Exit::Fine)
}
