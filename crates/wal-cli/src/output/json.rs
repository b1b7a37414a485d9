//! `info` as JSON. The shape is a promise: `docs/cli.md`, held by a golden test.

use serde_json::{Value, json};

use crate::summary::{Lost, Outcome, Segment, Summary};

/// Counts changes that a reader of the old shape would trip over.
const SHAPE_VERSION: u32 = 1;

/// The summary as an indented document.
pub(crate) fn render(summary: &Summary) -> String {
    let document = json!({
        "version": SHAPE_VERSION,
        "directory": summary.directory,
        "ending": ending(&summary.ending),
        "first": summary.first,
        "last": summary.last,
        "durable": summary.durable,
        "next": summary.next,
        "checksum": summary.checksum.map(|checksum| checksum.to_string()),
        "segments": summary.segments.iter().map(segment).collect::<Vec<_>>(),
        "ignored_names": summary.ignored_names,
    });
    format!("{document:#}\n")
}

fn ending(ending: &Outcome) -> Value {
    match ending {
        Outcome::Empty | Outcome::Clean | Outcome::Unclosed => json!({ "kind": ending.name() }),
        Outcome::Torn { file, offset, bytes } => {
            json!({ "kind": ending.name(), "file": file, "offset": offset, "bytes": bytes })
        }
        Outcome::Corrupt { file, offset, lost, what } => json!({
            "kind": ending.name(),
            "file": file,
            "offset": offset,
            "sequences": lost.map(|Lost { first, last }| json!({ "first": first, "last": last })),
            "what": what,
        }),
    }
}

fn segment(segment: &Segment) -> Value {
    json!({
        "number": segment.number,
        "file": segment.file,
        "first": segment.first,
        "last": segment.last,
        "bytes": segment.bytes,
        "checksum": segment.checksum.to_string(),
        "state": segment.state,
    })
}
