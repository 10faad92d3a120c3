//! Real files of the original project must read as they did there. They aren't part of this repository: the folder
//! comes from `DIPEO_CORPUS`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use diagram::{Severity, load_light, parse_light};

#[test]
fn light_files_read_as_they_did() {
    let Some(corpus) = std::env::var_os("DIPEO_CORPUS").map(PathBuf::from) else {
        println!("DIPEO_CORPUS is unset: no real files to read");
        return;
    };
    let refused = refused_by_the_original(&corpus);
    let mut files = Vec::new();
    light_files(&corpus, &mut files);
    assert!(!files.is_empty(), "no light files under {}", corpus.display());
    let mut faults = Vec::new();
    let mut ran = 0;
    for path in &files {
        let name = path.strip_prefix(&corpus).unwrap().to_string_lossy().into_owned();
        if refused.contains(name.trim_start_matches("diagrams/")) {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        if let Err(diagnostics) = parse_light(&text, &name) {
            faults.push(diagnostics.to_string());
        }
        match load_light(&text, &name) {
            Ok(_) => ran += 1,
            Err(diagnostics) => faults.extend(
                diagnostics
                    .iter()
                    .filter(|d| d.severity == Severity::Error && !d.message.ends_with("is not supported yet"))
                    .map(ToString::to_string),
            ),
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    assert!(ran > 0, "none of {} files can run", files.len());
}

/// The files that both versions of the original refused, by the index that comes with the corpus.
fn refused_by_the_original(corpus: &Path) -> HashSet<String> {
    let index = fs::read_to_string(corpus.join("INDEX.md")).unwrap_or_default();
    let cells = index.lines().map(|line| line.split(" | ").collect::<Vec<_>>());
    let refused = cells.filter(|cells| {
        let verdicts: Vec<_> = cells.iter().filter(|cell| cell.ends_with("-err") || **cell == "ok").collect();
        verdicts.len() == 2 && verdicts.iter().all(|verdict| verdict.ends_with("-err"))
    });
    refused.filter_map(|cells| Some(cells.first()?.trim_start_matches("| ").to_owned())).collect()
}

fn light_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            light_files(&path, files);
        } else if path.to_string_lossy().ends_with(".light.yaml") {
            files.push(path);
        }
    }
}
