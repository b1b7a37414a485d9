//! `truncate`: drops the oldest or the newest entries.

use std::ops::Range;

use wal::{Ending, Options, View};

use crate::args::{Common, Truncate};
use crate::commands::words;
use crate::failure::{Exit, Failure};
use crate::output::print;

pub(crate) fn run(common: &Common, args: &Truncate) -> Result<Exit, Failure> {
    // Opening for writing would create a log where there is none.
    let view = Options::new().open_read_only(&common.dir)?;
    if args.dry_run {
        let (dropped, kept) = plan(&view, args)?;
        print(&format!("would drop {}; {} would stay\n", words(&dropped), words(&kept)))?;
        return Ok(Exit::Fine);
    }
    let wal = Options::new().open(&common.dir)?;
    let before = wal.first()..wal.written_end();
    match (args.before, args.after) {
        (Some(first), _) => drop(wal.truncate_before(first)?),
        (None, Some(last)) => wal.truncate_after(last)?,
        (None, None) => {}
    }
    let kept = wal.first()..wal.written_end();
    wal.close()?;
    let dropped = if kept.start > before.start { before.start..kept.start } else { kept.end..before.end };
    print(&format!("dropped {}; {} stay\n", words(&dropped), words(&kept)))?;
    Ok(Exit::Fine)
}

/// The entries that would be dropped and those that would stay.
fn plan(view: &View, args: &Truncate) -> Result<(Range<u64>, Range<u64>), Failure> {
    if let Ending::Corrupt(damage) = &view.recovery().ending {
        return Err(Failure { exit: Exit::Corrupt, message: format!("damaged: {damage}") });
    }
    let (first, next) = (view.first(), view.written_end());
    let beyond = |asked| {
        Err(Failure::refused(format!("cannot truncate at {asked}: the log holds {first} to before {next}")))
    };
    match (args.before, args.after) {
        (Some(asked), _) if asked > next => beyond(asked),
        (Some(asked), _) => Ok((first..asked.max(first), asked.max(first)..next)),
        (None, Some(asked)) if asked.saturating_add(1) >= next => Ok((next..next, first..next)),
        (None, Some(asked)) if asked < first => beyond(asked),
        (None, Some(asked)) => Ok((asked + 1..next, first..asked + 1)),
        (None, None) => Ok((next..next, first..next)),
    }
}
