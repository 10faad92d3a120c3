//! Files in `broken/` are refused with the errors that `snapshots/` holds; files in `probe/` compile, or are refused
//! for a node type that isn't supported yet.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use std::{fs, path::Path};

use diagram::{ExecutableDiagram, Severity, load_light, parse_light};

fn fixtures(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn broken_files_are_refused_with_place_and_way_out() {
    let files = fixtures("broken");
    assert!(files.len() >= 20, "{} fixtures", files.len());
    for (file, text) in files {
        let diagnostics = load_light(&text, &file).unwrap_err();
        assert!(diagnostics.errors().count() > 0, "{file}: {diagnostics}");
        insta::assert_snapshot!(file.trim_end_matches(".light.yaml"), diagnostics);
    }
}

#[test]
fn probe_files_compile_or_name_the_type_that_is_missing() {
    let supported = ["g01_", "g02_", "g04_", "g07_", "g08_", "g09_sub_child", "g19_"];
    for (file, text) in fixtures("probe") {
        let result = load_light(&text, &file);
        if supported.iter().any(|name| file.starts_with(name)) {
            let diagram = result.unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
            assert_eq!(diagram.warnings(), [], "{file}");
            assert_eq!(diagram.entries().len(), 1, "{file}");
        } else {
            let diagnostics = result.unwrap_err();
            for diagnostic in diagnostics.errors() {
                assert!(diagnostic.message.contains(" type `"), "{diagnostic}");
                assert!(diagnostic.message.ends_with("` is not supported yet"), "{diagnostic}");
                let line = text.lines().nth(diagnostic.location.line as usize - 1).unwrap();
                let named = diagnostic.message.rsplit('`').nth(1).unwrap();
                let place: String = line.chars().skip(diagnostic.location.column as usize - 1).collect();
                assert!(place.starts_with(named), "{diagnostic}: {place}");
            }
        }
    }
}

#[test]
fn both_steps_together_say_what_each_says_alone() {
    for (file, text) in fixtures("probe") {
        let parsed = parse_light(&text, &file).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        assert!(parsed.labels().count() > 1, "{file}");
        match (diagram::compile(&parsed), load_light(&text, &file)) {
            (Ok(a), Ok(b)) => assert_eq!(shape(&a), shape(&b)),
            (Err(a), Err(b)) => assert_eq!(a, b),
            (a, b) => panic!("{file}: {a:?} {b:?}"),
        }
    }
}

fn shape(diagram: &ExecutableDiagram) -> String {
    format!("{:?} {:?}", diagram.nodes(), diagram.edges())
}

#[test]
fn warnings_alone_refuse_nothing() {
    let text = "nodes: [{label: A, type: start, colour: red}]";
    let diagram = load_light(text, "a.light.yaml").unwrap();
    let [warning] = diagram.warnings() else { panic!("{:?}", diagram.warnings()) };
    assert_eq!(warning.severity, Severity::Warning);
    assert_eq!(
        warning.to_string(),
        "a.light.yaml:1:33: warning: `A` has no property `colour`\n  help: it is ignored"
    );
}
