//! Which crate may know which: the table of `docs/architecture.md`, checked against `cargo metadata`.

use std::{collections::BTreeMap, path::Path, process::Command};

use serde_json::Value;

use crate::test;

/// Crate -> the crates of ours that it may depend on (normal and build dependencies).
const ARROWS: &[(&str, &[&str])] = &[
    ("core-events", &[]),
    ("diagram", &["core-events"]),
    ("router", &["core-events"]),
    ("event-store", &["core-events"]),
    ("history", &["core-events"]),
    ("ingest", &["core-events"]),
    ("engine", &["core-events", "diagram"]),
    ("log-capture", &["core-events"]),
    ("observer-legacy", &["core-events"]),
    ("observer-unified", &["core-events"]),
    ("transport-graphql", &["core-events"]),
    ("transport-sse", &["core-events"]),
    ("transport-rest", &["core-events"]),
    ("client", &["core-events"]),
    (
        "server",
        &[
            "core-events",
            "diagram",
            "engine",
            "event-store",
            "history",
            "ingest",
            "log-capture",
            "observer-legacy",
            "observer-unified",
            "router",
            "transport-graphql",
            "transport-rest",
            "transport-sse",
        ],
    ),
    ("cli", &["client", "core-events", "diagram", "server"]),
    ("xtask", &[]),
];

/// Packages beside the product, which may know all of it.
const BESIDE: &[&str] = &["benches", "tests"];

/// The one crate that may be gone (I11).
const LEAF: &str = "observer-legacy";

/// What the crate in the middle must not know: no runtime, no HTTP.
const CORE_IS_FREE_OF: &[&str] = &["axum", "http", "hyper", "reqwest", "tokio", "tower"];

/// Prints what it checked, or fails with every arrow that is wrong.
pub(crate) fn run() -> Result<(), String> {
    let metadata = metadata()?;
    let mut problems = check(&metadata)?;
    problems.extend(shared_mapping(&test::root()?)?);
    if problems.is_empty() {
        println!("arrows: {} crates depend on each other only as they may", ARROWS.len());
        return Ok(());
    }
    Err(format!("arrows that are not in the table:\n  {}", problems.join("\n  ")))
}

/// The observers of both paths that write what clients see must not share a mapping: a comparison of the paths would
/// compare a thing with itself.
fn shared_mapping(root: &Path) -> Result<Vec<String>, String> {
    let mut problems = Vec::new();
    let mut folders = vec![root.join("crates/observer-legacy/src")];
    while let Some(folder) = folders.pop().filter(|folder| folder.exists()) {
        let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            // It appends to the log, and is the one that has to use the log's mapping.
            let is_store = path.file_name().is_some_and(|name| name == "state_store_observer.rs");
            if path.is_dir() {
                folders.push(path);
            } else if !is_store {
                let text =
                    std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                if code.into_iter().any(|line| line.contains("facts::") || line.contains("facts,")) {
                    problems
                        .push(format!("{} uses the mapping of the log (core_events::facts)", path.display()));
                }
            }
        }
    }
    Ok(problems)
}

fn metadata() -> Result<Value, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .map_err(|error| format!("could not run cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata is not JSON: {error}"))
}

fn check(metadata: &Value) -> Result<Vec<String>, String> {
    let table: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut problems = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let folder = manifest.rsplit('/').nth(1).unwrap_or_default();
        if folder != name {
            problems.push(format!("package {name} lives in a folder named {folder}"));
        }
        let text = std::fs::read_to_string(manifest).map_err(|error| format!("{manifest}: {error}"))?;
        if !text.contains("[lints]\nworkspace = true") {
            problems.push(format!("{name} does not take the workspace's lints"));
        }
        if BESIDE.contains(&name) {
            continue;
        }
        let Some(allowed) = table.get(name) else {
            problems.push(format!("{name} is in no table; say in xtask/src/arrows.rs what it may know"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            if dependency["kind"].as_str() == Some("dev") {
                continue;
            }
            let on = dependency["name"].as_str().unwrap_or_default();
            if names.contains(&on) && !allowed.contains(&on) {
                problems.push(format!("{name} -> {on}"));
            }
            if name == "core-events" && CORE_IS_FREE_OF.contains(&on) {
                problems.push(format!("core-events -> {on}: the middle knows no runtime and no HTTP"));
            }
        }
    }
    for (name, _) in ARROWS.iter().filter(|(name, _)| !names.contains(name) && *name != LEAF) {
        problems.push(format!("{name} is in the table, but there is no such crate"));
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_dependency(of: &str, on: &str, kind: &Value) -> Value {
        let mut metadata = metadata().unwrap();
        for package in metadata["packages"].as_array_mut().unwrap() {
            if package["name"] == of {
                let dependency = serde_json::json!({"name": on, "kind": kind});
                package["dependencies"].as_array_mut().unwrap().push(dependency);
            }
        }
        metadata
    }

    #[test]
    fn the_tree_as_it_is_has_no_wrong_arrow() {
        assert_eq!(check(&metadata().unwrap()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn wrong_arrows_are_named() {
        for (of, on) in
            [("router", "engine"), ("transport-sse", "router"), ("diagram", "cli"), ("xtask", "diagram")]
        {
            let found = check(&with_dependency(of, on, &Value::Null)).unwrap();
            assert_eq!(found, [format!("{of} -> {on}")]);
        }
        assert_eq!(check(&with_dependency("core-events", "tokio", &Value::Null)).unwrap().len(), 1);
        assert_eq!(check(&with_dependency("router", "engine", &"build".into())).unwrap().len(), 1);
    }

    #[test]
    fn a_shared_mapping_is_named() {
        assert_eq!(shared_mapping(&test::root().unwrap()).unwrap(), Vec::<String>::new());
        let root = std::env::temp_dir().join(format!("arrows-{}", std::process::id()));
        let folder = root.join("crates/observer-legacy/src/deep");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.rs"), "use core_events::{facts, Fact};").unwrap();
        std::fs::write(folder.join("state_store_observer.rs"), "facts::log()").unwrap();
        let found = shared_mapping(&root).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn tests_may_know_more() {
        assert!(check(&with_dependency("router", "engine", &"dev".into())).unwrap().is_empty());
    }
}
