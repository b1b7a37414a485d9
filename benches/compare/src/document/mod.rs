//! A page about raw rounds: tables and plots, made of the JSON lines alone.
//!
//! ```text
//!  rounds.jsonl ─▶ rounds ─▶ tables, aims ─▶ the page, between its markers
//!                       └──▶ plots ────────▶ *.svg beside the rounds
//! ```

mod aims;
mod curves;
mod layers;
mod plots;
mod rounds;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

use self::rounds::Rounds;

#[derive(clap::Args)]
pub(crate) struct DocumentArgs {
    /// The raw rounds, as `--json` writes them. The plots are written beside them.
    rounds: PathBuf,
    /// The page, with a marker before and after each part that is written.
    page: PathBuf,
    /// Write nothing, and fail if something would be written.
    #[arg(long)]
    check: bool,
}

/// A file, and what is to be in it.
struct Made {
    path: PathBuf,
    text: String,
}

pub(crate) fn document(args: &DocumentArgs) -> Result<(), String> {
    let rounds = Rounds::read(&args.rounds)?;
    let page = read(&args.page)?;
    let page = with_parts(&page, &tables::parts(&rounds)?)
        .map_err(|error| format!("{}: {error}", args.page.display()))?;
    let mut all = vec![Made { path: args.page.clone(), text: page }];
    for (name, text) in plots::all(&rounds)? {
        all.push(Made { path: args.rounds.with_file_name(format!("{name}.svg")), text });
    }
    for Made { path, text } in &all {
        if args.check {
            let there = read(path)?;
            if there != *text {
                let line =
                    there.lines().zip(text.lines()).take_while(|(one, other)| one == other).count() + 1;
                return Err(format!("{}: line {line} is not what the rounds say", path.display()));
            }
        } else {
            fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Puts each part between its markers, in place of what is there.
fn with_parts(page: &str, parts: &[(&str, String)]) -> Result<String, String> {
    let mut page = page.to_owned();
    for (name, text) in parts {
        let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
        let (before, rest) =
            page.split_once(&begin).ok_or_else(|| format!("there is no {}", begin.trim_end()))?;
        let (_, after) = rest.split_once(&end).ok_or_else(|| format!("there is no {end}"))?;
        page = format!("{before}{begin}\n{}\n\n{end}{after}", text.trim_end());
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_replaces_what_is_between_its_markers_and_nothing_else() {
        let page = "one\n<!-- begin a -->\nold\n<!-- end a -->\ntwo\n";
        let made = with_parts(page, &[("a", "new".to_owned())]).expect("both markers are there");
        assert_eq!(made, "one\n<!-- begin a -->\n\nnew\n\n<!-- end a -->\ntwo\n");
        assert_eq!(with_parts(&made, &[("a", "new".to_owned())]), Ok(made.clone()), "nothing changes");
    }

    #[test]
    fn the_page_and_its_plots_say_what_the_rounds_say() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let (rounds, page) = (docs.join("benchmarks/rounds.jsonl"), docs.join("benchmarks.md"));
        assert_eq!(document(&DocumentArgs { rounds, page, check: true }), Ok(()));
    }

    #[test]
    fn a_marker_that_is_missing_is_named() {
        let error = with_parts("<!-- begin a -->\n", &[("a", String::new())]).expect_err("it never ends");
        assert_eq!(error, "there is no <!-- end a -->");
        assert!(with_parts("", &[("b", String::new())]).is_err_and(|error| error.contains("begin b")));
    }
}
