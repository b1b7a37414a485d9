//! What a crate that depends on the log gets into its lock file.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The packages in the lock file of a crate that depends on the log with these features, itself not counted.
fn locked_with(features: &str) -> Vec<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let home = tempfile::tempdir().expect("a temporary directory");
    let manifest = format!(
        "[package]\nname = \"dependent\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [dependencies]\nwal = {{ path = {here:?}, features = [{features}] }}\n"
    );
    fs::write(home.path().join("Cargo.toml"), manifest).expect("there is space");
    fs::create_dir(home.path().join("src")).expect("there is space");
    fs::write(home.path().join("src/lib.rs"), "").expect("there is space");
    let locked = home.path().join("Cargo.lock");
    // What is locked here is on this machine.
    fs::copy(here.join("../../Cargo.lock"), &locked).expect("it is there");
    let lock = |network: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["generate-lockfile"]).args(network).current_dir(home.path()).output().expect("cargo runs")
    };
    // The packages of other systems are fetched by the first `cargo fetch`, not by a build.
    let offline = lock(&["--offline"]);
    if !offline.status.success() {
        let online = lock(&[]);
        let said = String::from_utf8_lossy(&online.stderr).into_owned();
        assert!(
            online.status.success(),
            "run `cargo fetch` once: {}{said}",
            String::from_utf8_lossy(&offline.stderr)
        );
    }
    let text = fs::read_to_string(locked).expect("it was written");
    let names = text.lines().filter_map(|line| line.strip_prefix("name = \""));
    names.map(|name| name.trim_end_matches('"').to_owned()).filter(|name| name != "dependent").collect()
}

#[test]
fn a_crate_that_depends_on_the_log_locks_few_packages_and_no_model_checker() {
    let locked = locked_with("");
    assert!(locked.iter().any(|name| name == "wal-format"), "{locked:?}");
    assert!(locked.len() <= 20, "{} packages: {locked:?}", locked.len());
    let everything = locked_with(r#""prometheus", "config", "tracing", "sim""#);
    for checker in ["loom", "shuttle"] {
        assert!(!everything.iter().any(|name| name == checker), "{everything:?}");
    }
}
