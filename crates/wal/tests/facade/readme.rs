//! The README keeps its word: its program is the one in this file, and its links lead somewhere.

use std::path::{Path, PathBuf};

const README: &str = include_str!("../../../../README.md");
const THIS_FILE: &str = include_str!("readme.rs");

/// The program of the README, compiled as it stands there.
mod program {
    // begin
    use wal::Options;

    fn log_and_replay(directory: &std::path::Path) -> Result<(), wal::Error> {
        // Creates the log if there is none, locks it, and finds out what survived.
        let wal = Options::new().open(directory)?;
        println!("{}", wal.recovery());

        // Durable when these return. After a crash there is all of a batch, or nothing of it.
        let sequence = wal.append(b"set a=1")?;
        wal.append_batch([b"set b=2", b"set c=3"])?;

        for entry in wal.read_from(sequence)? {
            let entry = entry?;
            println!("{} {:?}", entry.sequence(), entry.payload());
        }
        wal.close()
    }
    // end

    #[test]
    fn the_program_runs_twice_in_one_directory() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let directory = scratch.path().join("log");
        log_and_replay(&directory).expect("a new log");
        log_and_replay(&directory).expect("a log that was closed");
        let view = Options::new().open_read_only(&directory).expect("a log");
        assert_eq!(view.written_end(), 6);
    }
}

#[test]
fn the_readme_shows_the_program_that_is_tested() {
    let indented = between(THIS_FILE, "    // begin\n", "    // end\n");
    let program: String =
        indented.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
    assert_eq!(between(README, "```rust\n", "```\n"), program);
}

#[test]
fn the_test_command_stands_behind_its_marker() {
    assert_eq!(between(README, "<!-- test-command -->\n```sh\n", "```\n"), "cargo test --workspace\n");
}

#[test]
fn every_link_in_the_documents_leads_to_a_file_and_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut documents = vec![root.join("README.md")];
    for folder in ["docs", "docs/decisions"] {
        documents.extend(markdown_files(&root.join(folder)));
    }
    let mut broken = Vec::new();
    for document in &documents {
        let text = read(document);
        for target in links(&text) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { document.clone() } else { folder_of(document).join(path) };
            let there = file.exists() && (heading.is_empty() || headings(&read(&file)).contains(heading));
            if !there {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_test_that_is_named_for_a_failure_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let document = read(&root.join("docs/reliability.md"));
    let rows = document.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut sources = String::new();
    collect_sources(&root.join("crates"), &mut sources);
    let (mut names, mut missing) = (0, Vec::new());
    for row in rows {
        let in_row: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        assert!(!in_row.is_empty(), "a failure that nothing holds: {row}");
        names += in_row.len();
        missing.extend(in_row.into_iter().filter(|name| !sources.contains(&format!("fn {name}("))));
    }
    assert!(names > 0 && missing.is_empty(), "of {names} tests these do not exist: {missing:?}");
}

/// All that is compiled below a folder.
fn collect_sources(folder: &Path, sources: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("a name in it").path();
        if path.is_dir() {
            collect_sources(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&read(&path));
        }
    }
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("{begin:?} is there"));
    let (found, _) = rest.split_once(end).unwrap_or_else(|| panic!("{end:?} is there"));
    found
}

/// The targets of inline links, those to other sites apart.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).filter(
        |target| {
            let is_path = !target.contains("://") && !target.contains(char::is_whitespace);
            is_path && !target.is_empty()
        },
    )
}

/// The headings of a document, as the fragments by which links name them.
fn headings(text: &str) -> std::collections::HashSet<String> {
    let fragment = |heading: &str| {
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| fragment(line.trim_start_matches('#')))
        .collect()
}

fn markdown_files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let listed = std::fs::read_dir(folder).expect("a folder of documents");
    let paths = listed.map(|entry| entry.expect("a name in it").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md"))
}

fn folder_of(document: &Path) -> &Path {
    document.parent().expect("a document lies in a folder")
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}
