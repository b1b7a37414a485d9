//! The module map in `docs/architecture.md` names every file of every crate, and none that is not there; nor does the rest
//! of the documents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the names of folders and of files in no folder begin in a line, and those of files in a folder.
const NAME: usize = 16;
const IN_FOLDER: usize = 18;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What the map names: by crate, the paths of modules below `src`. `folder/*` stands for all that the folder holds.
fn mapped() -> BTreeMap<String, BTreeSet<String>> {
    let page = fs::read_to_string(root().join("docs/architecture.md")).expect("the page is there");
    let section = page.split("## Module map").nth(1).expect("the page has a module map");
    let map = section.split("```").nth(1).expect("the map is a block").trim_start_matches("text\n");
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut owner, mut folder) = (String::new(), String::new());
    for line in map.lines() {
        let (names, rest) = line.split_at_checked(NAME).unwrap_or((line, ""));
        if !names.trim().is_empty() {
            names.trim().clone_into(&mut owner);
            folder.clear();
        }
        let Some(name) = rest.split_whitespace().next() else { continue };
        let column = NAME + rest.len() - rest.trim_start().len();
        let module = match column {
            NAME if name.ends_with('/') => {
                name.clone_into(&mut folder);
                continue;
            }
            NAME => name.to_owned(),
            IN_FOLDER => format!("{folder}{name}"),
            // The words of the line before go on.
            _ => continue,
        };
        found.entry(owner.clone()).or_default().insert(module);
    }
    found
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(directory).expect("a folder of sources can be read");
    let paths = listed.map(|entry| entry.expect("a folder of sources can be read").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_module_map_and_the_tree_are_the_same() {
    let mapped = mapped();
    assert!(mapped.len() >= 8, "the map was read: {:?}", mapped.keys());
    for (owner, named) in &mapped {
        let sources = root().join("crates").join(owner).join("src");
        assert!(sources.is_dir(), "the map names {owner}, which is no crate");
        let mut there = BTreeSet::new();
        for path in files(&sources) {
            let module = path.strip_prefix(&sources).expect("it is in there").with_extension("");
            let module = module.to_string_lossy().replace('\\', "/");
            let folders = module.match_indices('/').map(|(at, _)| format!("{}/*", &module[..at]));
            let all: Vec<_> = folders.chain([module.clone()]).collect();
            let is_root = ["lib", "main", "mod"].contains(&module.rsplit('/').next().unwrap_or_default());
            let is_named = all.iter().any(|name| named.contains(name));
            assert!(is_named || is_root, "{owner}: the map lacks {module}");
            there.extend(all);
        }
        let gone: Vec<_> = named.difference(&there).collect();
        assert!(gone.is_empty(), "{owner}: the map names what is not there: {gone:?}");
    }
    for path in fs::read_dir(root().join("crates")).expect("the crates can be read") {
        let name = path.expect("the crates can be read").file_name().to_string_lossy().into_owned();
        assert!(mapped.contains_key(&name), "the map lacks the crate {name}");
    }
}

/// The names of source files that a text names.
fn sources_in(text: &str) -> impl Iterator<Item = &str> {
    let is_of_a_path = |char: char| char.is_ascii_alphanumeric() || "_-./".contains(char);
    let words = text.split(move |char| !is_of_a_path(char));
    words.map(|word| word.trim_end_matches('.')).filter(|word| word.ends_with(".rs"))
}

#[test]
fn documents_name_sources_that_are_there() {
    let crates = root().join("crates");
    let mut sources: Vec<String> = Vec::new();
    for folder in [crates, root().join("examples"), root().join("benches")] {
        sources.extend(files(&folder).iter().map(|path| path.to_string_lossy().replace('\\', "/")));
    }
    let mut documents = files(&root().join("docs"));
    documents.extend(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    let mut named = 0;
    for document in documents.iter().filter(|path| path.extension().is_some_and(|found| found == "md")) {
        let text = fs::read_to_string(document).expect("it is there");
        for name in sources_in(&text) {
            let end = name.trim_start_matches(['.', '/']);
            // A path may leave out where it begins, and the `src` in it.
            let (crate_name, rest) = end.split_once('/').unwrap_or(("", end));
            let within = format!("/{crate_name}/src/{rest}");
            let is_there = |path: &String| path.ends_with(&format!("/{end}")) || path.ends_with(&within);
            assert!(sources.iter().any(is_there), "{}: {name} is not there", document.display());
            named += 1;
        }
    }
    assert!(named > 30, "{named} names were found");
}
