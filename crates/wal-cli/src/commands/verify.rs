//! `verify`: checks every checksum, every LINK, and every file name against its header.

use wal::{Ending, Options, Verification};

use crate::args::Common;
use crate::failure::{Exit, Failure};
use crate::output::{print, say, say_torn_tail};

pub(crate) fn run(common: &Common) -> Result<Exit, Failure> {
    let found = Options::new().open_read_only(&common.dir)?.verify()?;
    for damage in &found.damages {
        say(format_args!("damaged: {damage}"));
    }
    for file in &found.bad_indexes {
        say(format_args!(
            "warning: {}: its index is damaged; reads scan the segment instead",
            file.display()
        ));
    }
    say_torn_tail(&common.dir, &found.recovery.ending);
    let (verdict, exit) = judge(&found);
    let Verification { entries, frames, bytes, ref recovery, .. } = found;
    let segments = recovery.segments;
    print(&format!("{verdict}; entries {entries}, frames {frames}, segments {segments}, bytes {bytes}\n"))?;
    Ok(exit)
}

fn judge(found: &Verification) -> (String, Exit) {
    match (&found.recovery.ending, found.damages.len()) {
        (Ending::Torn { .. }, 0) => ("torn".to_owned(), Exit::Torn),
        (Ending::Clean, 0) => ("clean".to_owned(), Exit::Fine),
        (Ending::New | Ending::Empty, 0) => ("empty".to_owned(), Exit::Fine),
        (Ending::Unclosed, 0) => ("unclosed".to_owned(), Exit::Fine),
        (_, 1) => ("corrupt, 1 damage".to_owned(), Exit::Corrupt),
        (_, damages) => (format!("corrupt, {damages} damages"), Exit::Corrupt),
    }
}
