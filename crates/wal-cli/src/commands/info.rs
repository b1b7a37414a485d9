//! `info`: what the directory holds, and how the log ended.

use wal::Options;

use crate::args::{Common, Format, Info};
use crate::failure::{Exit, Failure};
use crate::output::{json, print, table};
use crate::summary::{Outcome, Summary};

pub(crate) fn run(common: &Common, args: &Info) -> Result<Exit, Failure> {
    let view = Options::new().open_read_only(&common.dir)?;
    let summary = Summary::of(&view, &common.dir);
    print(&match args.output {
        Format::Table => table::render(&summary),
        Format::Json => json::render(&summary),
    })?;
    Ok(if matches!(summary.ending, Outcome::Corrupt { .. }) { Exit::Corrupt } else { Exit::Fine })
}
