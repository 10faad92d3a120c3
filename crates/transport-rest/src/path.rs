//! The parts of a path.

use axum::extract::{Path, rejection::PathRejection};
use core_events::{ExecutionId, Seq};
use http::StatusCode;

use crate::Problem;

pub(crate) type RawPath<T> = Result<Path<T>, PathRejection>;

pub(crate) fn id(path: RawPath<String>) -> Result<ExecutionId, Problem> {
    let Path(text) = path.map_err(|rejection| invalid(&rejection))?;
    Ok(ExecutionId::parse(&text)?)
}

pub(crate) fn id_and_seq(path: RawPath<(String, String)>) -> Result<(ExecutionId, Seq), Problem> {
    let Path((id, seq)) = path.map_err(|rejection| invalid(&rejection))?;
    let id = ExecutionId::parse(&id)?;
    let seq = seq.parse().ok().filter(|seq| *seq > 0).ok_or_else(|| {
        let detail = "the number of an event is expected, from 1, such as an `output_ref` names it";
        Problem::new(StatusCode::BAD_REQUEST, "invalid-seq", detail)
    })?;
    Ok((id, seq))
}

fn invalid(rejection: &PathRejection) -> Problem {
    let detail = format!("the path is no valid text: {}", rejection.body_text());
    Problem::new(StatusCode::BAD_REQUEST, "invalid-path", detail)
}
