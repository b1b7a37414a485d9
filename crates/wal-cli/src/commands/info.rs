//! `info`: the segments, and how the log ended. The JSON is a promise: `docs/cli.md`, held by golden files.

use serde_json::json;
use wal::Options;

use crate::args::{Common, Format, Info};
use crate::failure::{Exit, Failure};
use crate::output::{print, table};
use crate::summary::{Outcome, Summary};

pub(crate) fn run(common: &Common, args: &Info) -> Result<Exit, Failure> {
    let view = Options::new().open_read_only(&common.dir)?;
    let summary = Summary::of(&view, &common.dir);
    print(&match args.output {
        Format::Table => table::render(&summary),
        Format::Json => format!("{:#}\n", json!(summary)),
    })?;
    Ok(if matches!(summary.ending, Outcome::Corrupt { .. }) { Exit::Corrupt } else { Exit::Fine })
}
