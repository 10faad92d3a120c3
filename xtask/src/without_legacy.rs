//! Proves that the legacy path is a leaf (I11): deletes it in a temporary copy and passes all tests that are left.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::test;

/// Copies the tree, deletes the legacy path in the copy, then builds and tests what is left, with the same target folder.
pub(crate) fn run() -> Result<(), String> {
    let root = test::root()?;
    let copy = std::env::temp_dir().join(format!("without-legacy-{}", std::process::id()));
    let result = copy_tree(&root, &copy).and_then(|files| {
        let deleted = delete(&copy, &files)?;
        println!("xtask: without legacy: {} files and {} lines deleted", deleted.files, deleted.lines);
        check(&root, &copy)
    });
    match fs::remove_dir_all(&copy) {
        Err(error) if result.is_ok() => Err(format!("{}: {error}", copy.display())),
        _ => result,
    }
}

/// What was deleted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Deleted {
    files: usize,
    lines: usize,
}

fn copy_tree(root: &Path, copy: &Path) -> Result<Vec<PathBuf>, String> {
    let listed = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output();
    let listed = listed.map_err(|error| format!("git ls-files: {error}"))?;
    if !listed.status.success() {
        return Err(format!("git ls-files failed: {}", String::from_utf8_lossy(&listed.stderr)));
    }
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut files = Vec::new();
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (root.join(name), copy.join(name));
        if !from.is_file() {
            continue;
        }
        let place = |error: std::io::Error| format!("{}: {error}", to.display());
        fs::create_dir_all(to.parent().unwrap_or(copy)).map_err(place)?;
        fs::copy(&from, &to).map_err(place)?;
        files.push(PathBuf::from(name));
    }
    let modules = root.join("tests/browser/node_modules");
    if modules.exists() {
        std::os::unix::fs::symlink(&modules, copy.join("tests/browser/node_modules"))
            .map_err(|error| format!("{}: {error}", modules.display()))?;
    }
    Ok(files)
}

fn delete(copy: &Path, files: &[PathBuf]) -> Result<Deleted, String> {
    let mut deleted = Deleted::default();
    for file in files {
        let path = copy.join(file);
        let place = |error: std::io::Error| format!("{}: {error}", path.display());
        let is_legacy = file.starts_with("crates/observer-legacy")
            || file.file_name().is_some_and(|name| name == "legacy.rs")
            || file.components().any(|part| part.as_os_str() == "legacy");
        if is_legacy {
            fs::remove_file(&path).map_err(place)?;
            deleted.files += 1;
            continue;
        }
        let without = match file.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => without_items as fn(&str) -> String,
            Some("toml") => without_manifest_lines,
            _ => continue,
        };
        let text = fs::read_to_string(&path).map_err(place)?;
        let left = without(&text);
        if left.is_empty() && !text.is_empty() {
            // A test of nothing but the legacy path.
            fs::remove_file(&path).map_err(place)?;
            deleted.files += 1;
        } else if left != text {
            deleted.lines += text.lines().count() - left.lines().count();
            fs::write(&path, left).map_err(place)?;
        }
    }
    fs::remove_dir_all(copy.join("crates/observer-legacy"))
        .map_err(|error| format!("observer-legacy: {error}"))?;
    Ok(deleted)
}

/// Deletes what `#[cfg(feature = "legacy")]` guards: the line, and the item, field, arm or statement behind it. Of a whole
/// file that says `#![cfg(… "legacy" …)]` nothing is left. `#[cfg(not(feature = "legacy"))]` loses only itself.
fn without_items(text: &str) -> String {
    if text.lines().any(|line| line.starts_with("#![cfg(") && line.contains("feature = \"legacy\"")) {
        return String::new();
    }
    let mut left = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let guard = line.trim();
        if guard == "#[cfg(not(feature = \"legacy\"))]" {
            continue;
        }
        let Some(behind) = guard.strip_prefix("#[cfg(feature = \"legacy\")]") else {
            left.push_str(line);
            left.push('\n');
            continue;
        };
        let mut depth = 0_i32;
        for line in std::iter::once(behind).filter(|behind| !behind.is_empty()).chain(lines.by_ref()) {
            let code = line.trim();
            let opened = code.chars().filter(|c| matches!(c, '(' | '[' | '{')).count();
            let closed = code.chars().filter(|c| matches!(c, ')' | ']' | '}')).count();
            depth += i32::try_from(opened).unwrap_or(i32::MAX) - i32::try_from(closed).unwrap_or(0);
            let is_prelude = code.starts_with("#[") || code.starts_with("//");
            if depth <= 0 && !is_prelude && code.ends_with([';', ',', '}']) {
                break;
            }
        }
    }
    left
}

/// Deletes lines of a manifest that name the feature or the crate, and takes the feature out of lists.
fn without_manifest_lines(text: &str) -> String {
    let mut left = String::new();
    for line in text.lines() {
        let key = line.split('=').next().unwrap_or_default().trim();
        if key == "legacy" || key.starts_with("observer-legacy") {
            continue;
        }
        let line = line.replace("\"legacy\", ", "").replace(", \"legacy\"", "").replace("[\"legacy\"]", "[]");
        left.push_str(&line);
        left.push('\n');
    }
    left
}

fn check(root: &Path, copy: &Path) -> Result<(), String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    for (name, arguments) in [
        ("build without legacy", &["build", "--workspace", "--all-targets", "--quiet"][..]),
        ("test without legacy", &["test", "--workspace", "--quiet", "--no-fail-fast"][..]),
    ] {
        test::step(name, test::cargo(copy).env("CARGO_TARGET_DIR", &target).args(arguments))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guarded_items_go_and_nothing_else() {
        let text = r#"use a::b;
#[cfg(feature = "legacy")]
use c::{
    d,
    e,
};

struct S {
    kept: u8,
    /// Gone.
    #[cfg(feature = "legacy")]
    gone: Vec<(u8, u8)>,
}

struct T(#[rustfmt::skip]
    #[cfg(feature = "legacy")] gone::X,
    u8,
);

#[cfg(feature = "legacy")]
#[derive(Debug)]
fn gone(x: &[u8]) -> bool {
    x.is_empty()
}

fn kept() {
    #[cfg(feature = "legacy")]
    let x = f(1, 2);
    #[cfg(not(feature = "legacy"))]
    let x = 1;
}
"#;
        let left = without_items(text);
        assert!(
            !left.contains("gone(")
                && !left.contains("gone:")
                && !left.contains("c::")
                && !left.contains("f(1")
        );
        for kept in ["use a::b;", "kept: u8,", "fn kept()", "let x = 1;"] {
            assert!(left.contains(kept), "{kept} is not in\n{left}");
        }
        assert!(!left.contains("legacy"), "{left}");
        assert_eq!(without_items("#![cfg(all(feature = \"legacy\", unix))]\nfn a() {}\n"), "");
    }

    #[test]
    fn manifests_lose_the_feature() {
        let text = "[features]\ndefault = [\"legacy\", \"unified\"]\nlegacy = [\"dep:observer-legacy\"]\nunified = []\n\n[dependencies]\nobserver-legacy = { workspace = true, optional = true }\nrouter.workspace = true\n";
        let left =
            "[features]\ndefault = [\"unified\"]\nunified = []\n\n[dependencies]\nrouter.workspace = true\n";
        assert_eq!(without_manifest_lines(text), left);
    }
}
