//! Which crate may know which: the table of `docs/architecture.md`, checked against `cargo metadata`.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

/// Crate -> the crates of ours that it may depend on (normal and build dependencies).
const ARROWS: &[(&str, &[&str])] = &[
    ("core-events", &[]),
    ("diagram", &["core-events"]),
    ("router", &["core-events"]),
    ("engine", &["core-events", "diagram"]),
    ("observer-unified", &["core-events"]),
    ("transport-sse", &["core-events"]),
    ("transport-rest", &["core-events"]),
    ("client", &["core-events"]),
    (
        "server",
        &[
            "core-events",
            "diagram",
            "engine",
            "observer-unified",
            "router",
            "transport-rest",
            "transport-sse",
        ],
    ),
    ("cli", &["client", "core-events", "diagram", "server"]),
    ("xtask", &[]),
];

/// Packages beside the product, which may know all of it.
const BESIDE: &[&str] = &["benches", "tests"];

/// What the crate in the middle must not know: no runtime, no HTTP.
const CORE_IS_FREE_OF: &[&str] = &["axum", "http", "hyper", "reqwest", "tokio", "tower"];

/// Prints what it checked, or fails with every arrow that is wrong.
pub(crate) fn run() -> Result<(), String> {
    let metadata = metadata()?;
    let problems = check(&metadata)?;
    if problems.is_empty() {
        println!("arrows: {} crates depend on each other only as they may", ARROWS.len());
        return Ok(());
    }
    Err(format!("arrows that are not in the table:\n  {}", problems.join("\n  ")))
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
    for (name, _) in ARROWS.iter().filter(|(name, _)| !names.contains(name)) {
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
    fn tests_may_know_more() {
        assert!(check(&with_dependency("router", "engine", &"dev".into())).unwrap().is_empty());
    }
}
