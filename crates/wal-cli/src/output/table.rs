//! `info` as text: the state of the log, then one row per segment.

use std::fmt::Write;

use crate::summary::{Lost, Outcome, Summary};

/// The summary as text.
pub(crate) fn render(summary: &Summary) -> String {
    let mut text = String::new();
    for (name, value) in [
        ("directory", summary.directory.clone()),
        ("ending", ending(&summary.ending)),
        ("first", number(summary.first)),
        ("last", number(summary.last)),
        ("durable", number(summary.durable)),
        ("next", summary.next.to_string()),
        ("checksum", summary.checksum.unwrap_or("-").to_owned()),
    ] {
        writeln!(text, "{name:<10} {value}").expect("a String takes what is written to it");
    }
    if !summary.segments.is_empty() {
        text.push('\n');
        text.push_str(&rows(summary));
    }
    text
}

const HEADS: [&str; 7] = ["segment", "file", "first", "last", "bytes", "checksum", "state"];

fn rows(summary: &Summary) -> String {
    let mut rows = vec![HEADS.map(str::to_owned)];
    rows.extend(summary.segments.iter().map(|segment| {
        [
            segment.number.to_string(),
            segment.file.clone(),
            number(segment.first),
            number(segment.last),
            segment.bytes.to_string(),
            segment.checksum.to_owned(),
            segment.state.to_owned(),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; HEADS.len()] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}"));
        text.push_str(&cells.collect::<Vec<_>>().join("  "));
        text.push('\n');
    }
    text
}

fn ending(ending: &Outcome) -> String {
    match ending {
        Outcome::Empty => "empty: no entry was ever appended".to_owned(),
        Outcome::Clean => "clean: the log was closed".to_owned(),
        Outcome::Unclosed => {
            "unclosed: a writer has the log open, or was killed; nothing is dropped".to_owned()
        }
        Outcome::Torn { file, offset, bytes } => {
            format!("torn: {bytes} bytes at offset {offset} of {file} are a torn write")
        }
        Outcome::Corrupt { file, offset, lost, what } => {
            format!("corrupt: {file} at offset {offset}: {what}; {}", entries(*lost))
        }
    }
}

fn entries(lost: Option<Lost>) -> String {
    match lost {
        None => "no entry is lost".to_owned(),
        Some(Lost { first, last }) => match (first, last) {
            (Some(first), Some(last)) if first == last => format!("entry {first} is lost"),
            (Some(first), Some(last)) => format!("entries {first} to {last} are lost"),
            (Some(first), None) => format!("all entries from {first} on are lost"),
            (None, Some(last)) => format!("all entries up to {last} are lost"),
            (None, None) => "which entries are lost is not known".to_owned(),
        },
    }
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}
