//! The query of `GET /api/v1/executions`.

use axum::extract::Query;
use core_events::{ExecutionId, ExecutionStatus, ports::ListQuery};
use http::{StatusCode, Uri};

use crate::{Problem, fields::unknown};

/// Runs on one page, unless the client says otherwise.
const DEFAULT_LIMIT: usize = 50;
/// The most runs on one page.
const MAX_LIMIT: usize = 500;

const STATUSES: [ExecutionStatus; 6] = [
    ExecutionStatus::Pending,
    ExecutionStatus::Running,
    ExecutionStatus::Paused,
    ExecutionStatus::Completed,
    ExecutionStatus::Failed,
    ExecutionStatus::Aborted,
];

pub(crate) fn read(uri: &Uri) -> Result<ListQuery, Problem> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|rejection| wrong("query", &rejection.body_text()))?;
    let mut query = ListQuery { limit: DEFAULT_LIMIT, ..ListQuery::default() };
    for (name, value) in pairs {
        match name.as_str() {
            "status" => {
                let status = STATUSES.into_iter().find(|status| status.as_str() == value);
                let names = STATUSES.each_ref().map(ExecutionStatus::as_str).join(", ");
                let problem = || wrong("status", &format!("one of {names} is expected"));
                query.status = Some(status.ok_or_else(problem)?);
            }
            "before" => {
                let id = ExecutionId::parse(&value).map_err(|error| wrong("before", &error.to_string()))?;
                query.before = Some(id);
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                let problem = || wrong("limit", &format!("a number from 1 to {MAX_LIMIT} is expected"));
                query.limit = limit.ok_or_else(problem)?;
            }
            other => {
                let name: String = other.chars().take(64).collect();
                return Err(wrong(&name, &unknown("parameter", &name, &["status", "before", "limit"])));
            }
        }
    }
    Ok(query)
}

/// Where the next page is.
pub(crate) fn next_page(query: &ListQuery, last: &ExecutionId) -> String {
    let status = query.status.as_ref().map(|status| format!("status={status}&")).unwrap_or_default();
    format!("/api/v1/executions?{status}before={last}&limit={}", query.limit)
}

fn wrong(name: &str, problem: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-parameter", format!("query parameter `{name}`: {problem}"))
}
