//! The figures of the criterion benches, taken from the files that criterion leaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::json::JsonLines;

#[derive(clap::Args)]
pub(crate) struct LayersArgs {
    /// The folder of criterion, which `CRITERION_HOME` names.
    criterion: PathBuf,
    /// A line a bench is added to this file.
    #[arg(long)]
    json: PathBuf,
}

/// Adds a line for each bench, in the order in which they ran.
pub(crate) fn collect(args: &LayersArgs) -> Result<(), String> {
    let mut found = Vec::new();
    search(&args.criterion, &mut found)?;
    if found.is_empty() {
        return Err(format!("{}: no bench has left its figures there", args.criterion.display()));
    }
    found.sort_by_key(|(at, _)| *at);
    let mut json = JsonLines::append(&args.json)?;
    found.iter().try_for_each(|(_, line)| json.line(line))
}

fn search(folder: &Path, found: &mut Vec<(SystemTime, Value)>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name == "new") {
                found.push(bench(&path)?);
            } else {
                search(&path, found)?;
            }
        }
    }
    Ok(())
}

/// When a bench ran, and its line.
fn bench(folder: &Path) -> Result<(SystemTime, Value), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", folder.display());
    let estimates = folder.join("estimates.json");
    let ran = fs::metadata(&estimates).and_then(|data| data.modified()).map_err(|error| failed(&error))?;
    let read = |path: &Path| -> Result<Value, String> {
        let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
        serde_json::from_str(&text).map_err(|error| failed(&error))
    };
    let line = line(&read(&folder.join("benchmark.json"))?, &read(&estimates)?);
    Ok((ran, line.ok_or_else(|| failed(&"not as criterion writes it"))?))
}

fn line(bench: &Value, estimates: &Value) -> Option<Value> {
    let group = bench["group_id"].as_str()?;
    let name = bench["function_id"].as_str()?;
    let nanoseconds = estimates["median"]["point_estimate"].as_f64()?;
    let throughput = &bench["throughput"];
    let (unit, count) = match (throughput["Elements"].as_u64(), throughput["Bytes"].as_u64()) {
        (Some(entries), _) => ("entries", entries),
        (None, Some(bytes)) => ("bytes", bytes),
        (None, None) => return None,
    };
    Some(
        json!({ "kind": "layer", "group": group, "name": name, "ns": nanoseconds, "unit": unit, "count": count }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_median_and_what_was_done_in_that_time() {
        let home = tempfile::tempdir().unwrap();
        for (bench, throughput) in [("one", "{\"Elements\":64}"), ("two", "{\"Bytes\":4096}")] {
            let folder = home.path().join("group").join(bench).join("new");
            fs::create_dir_all(&folder).unwrap();
            let text = format!(
                "{{\"group_id\":\"sync/1\",\"function_id\":\"{bench}\",\"throughput\":{throughput}}}"
            );
            fs::write(folder.join("benchmark.json"), text).unwrap();
            fs::write(folder.join("estimates.json"), "{\"median\":{\"point_estimate\":2.5}}").unwrap();
        }
        let json = home.path().join("rounds");
        let args = LayersArgs { criterion: home.path().join("group"), json: json.clone() };
        collect(&args).unwrap();
        let lines = fs::read_to_string(&json).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told = |name: &str| lines.iter().find(|line| line["name"] == name).cloned().unwrap();
        assert_eq!((&told("one")["unit"], &told("one")["count"]), (&json!("entries"), &json!(64)));
        assert_eq!((&told("two")["unit"], &told("two")["ns"]), (&json!("bytes"), &json!(2.5)));

        fs::write(home.path().join("group/one/new/estimates.json"), "{}").unwrap();
        assert!(collect(&args).unwrap_err().contains("not as criterion writes it"));
        let empty = LayersArgs { criterion: home.path().join("group/one/new"), json };
        assert!(collect(&empty).unwrap_err().contains("no bench"));
    }
}
