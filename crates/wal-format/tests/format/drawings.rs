//! The drawings in `docs/format.md` are the ones beside the types, and its worked example is a golden
//! file. A drawing is a block that begins with "```text", an example one that begins with "```hex".

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_page_and_the_types_show_the_same_drawings() {
    let page = blocks(&read(PAGE), "text");
    let mut types = Vec::new();
    for path in files_in(&package().join("src")) {
        for drawing in blocks(&doc_comments(&read(&path)), "text") {
            assert!(page.contains(&drawing), "{PAGE} lacks this from {}:\n{drawing}", path.display());
            types.push(drawing);
        }
    }
    for drawing in &page {
        assert!(types.contains(drawing), "{PAGE} has a drawing that no type has:\n{drawing}");
    }
    assert_eq!(page.len(), types.len(), "each drawing stands once on the page and once in src");
    assert!(types.len() >= 7, "header, frame, table row, LINK, SEAL, anchor and the whole file");
}

#[test]
fn drawings_have_eight_bytes_a_row() {
    for drawing in blocks(&read(PAGE), "text").iter().filter(|drawing| drawing.contains("0        1")) {
        let column = |row: &str| row.find('│').map(|at| row[..at].chars().count());
        let rows: Vec<_> = drawing.lines().skip(1).collect();
        assert!(rows.iter().all(|row| column(row).is_some() && column(row) == column(rows[0])), "{drawing}");
        let offsets = rows.iter().filter_map(|row| row.split('│').next()?.trim().parse::<u64>().ok());
        let offsets: Vec<_> = offsets.collect();
        assert_eq!(offsets.first(), Some(&0), "{drawing}");
        for pair in offsets.windows(2) {
            // A frame header is drawn once, and stands as one row elsewhere.
            assert!(pair[1] == pair[0] + 8 || pair == [0, 32], "{drawing}");
        }
    }
}

/// Header B is left out on the page, because it is the same as header A.
#[test]
fn the_worked_example_is_the_golden_segment() {
    let golden = read("tests/golden/segment.hex");
    let golden = golden.lines().filter(|line| !line.starts_with(['#', '*'])).map(row_of);
    let (copy, golden): (Vec<_>, Vec<_>) = golden.partition(|(offset, _)| (4096..8192).contains(offset));
    let page = blocks(&read(PAGE), "hex").join("\n");
    let page: Vec<_> = page.lines().filter(|line| *line != "*").map(row_of).collect();
    assert_eq!(page, golden);
    for ((offset, bytes), (copy_offset, copy)) in golden.iter().zip(&copy) {
        assert_eq!((offset + 4096, bytes), (*copy_offset, copy));
    }
}

const PAGE: &str = "../../docs/format.md";

fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn files_in(directory: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(directory).expect("src is readable");
    let paths = listed.map(|entry| entry.expect("src is readable").path());
    paths.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = package().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of all documentation comments; whatever else stands between them becomes an empty line.
fn doc_comments(source: &str) -> String {
    let text = source.lines().map(|line| {
        let line = line.trim_start();
        let text = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).unwrap_or_default();
        text.strip_prefix(' ').unwrap_or(text)
    });
    text.collect::<Vec<_>>().join("\n")
}

/// The fenced blocks of one language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(found) = line.strip_prefix("```") else { continue };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        if found == language {
            blocks.push(block.join("\n"));
        }
    }
    blocks
}

/// The offset and the bytes of a row, without the text after them.
fn row_of(row: &str) -> (u64, &str) {
    let (offset, rest) = row.trim_start().split_once("  ").unwrap_or((row.trim(), ""));
    let offset = offset.parse().unwrap_or_else(|_| panic!("no offset in {row:?}"));
    (offset, rest.get(..23).unwrap_or_default())
}
