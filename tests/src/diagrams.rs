//! Diagrams that tests run.

/// One Python node between a start and an end.
#[must_use]
pub fn python(code: &str) -> String {
    one_node("python", code)
}

/// One bash node between a start and an end.
#[must_use]
pub fn bash(code: &str) -> String {
    one_node("bash", code)
}

fn one_node(language: &str, code: &str) -> String {
    let code = serde_json::to_string(code).unwrap();
    format!(
        "version: light
nodes:
- {{label: Start, type: start}}
- {{label: Work, type: code_job, language: {language}, timeout: 120, code: {code}}}
- {{label: End, type: endpoint}}
connections:
- {{from: Start, to: Work}}
- {{from: Work, to: End}}
"
    )
}
