//! Mutations.

use std::{sync::Arc, time::Duration};

use async_graphql::Object;
use core_events::{
    ExecutionId, limits,
    ports::{Control, DiagramReport, DiagramSource, MonitoringPath, NewCliSession, StartExecution},
};
use serde_json::{Map, Value};

use super::{
    Ports,
    executions::ExecutionStateType,
    json,
    results::{
        CliSessionResult, ExecuteDiagramInput, ExecutionControlInput, ExecutionResult, Refusal,
        RegisterCliSessionInput, UnregisterCliSessionInput,
    },
    scalars::DiagramFormat,
};

/// Mutations.
#[derive(Debug)]
pub(crate) struct Mutation(pub(super) Arc<Ports>);

/// Mutations. What is refused is told in the result: `success: false`, `error`, `error_type`.
#[Object(rename_args = "snake_case")]
impl Mutation {
    /// Starts a run, and returns when its first event is in the log.
    async fn execute_diagram(&self, input: ExecuteDiagramInput) -> ExecutionResult {
        self.execute(input).await.unwrap_or_else(ExecutionResult::from)
    }

    /// Controls a run, and returns when the engine has taken the wish. `abort` ends it.
    async fn control_execution(&self, input: ExecutionControlInput) -> ExecutionResult {
        self.control(input).await.unwrap_or_else(ExecutionResult::from)
    }

    /// Tells that a terminal shows a run, so that a monitor can find it.
    async fn register_cli_session(&self, input: RegisterCliSessionInput) -> CliSessionResult {
        let execution = match execution_id(&input.execution_id) {
            Ok(id) => id,
            Err(refusal) => return refusal.into(),
        };
        let session = self.0.cli_sessions.register(NewCliSession {
            execution,
            diagram_name: input.diagram_name,
            diagram_format: input.diagram_format.as_str().to_owned(),
            diagram_data: input.diagram_data,
        });
        CliSessionResult {
            success: true,
            message: Some(format!("session {} is registered", session.session_id)),
            data: Some(json::cli_session(Some(&session))),
            session_id: Some(session.session_id),
            execution_id: Some(session.session.execution.to_string()),
            ..CliSessionResult::default()
        }
    }

    /// Tells that the terminal is done.
    async fn unregister_cli_session(&self, input: UnregisterCliSessionInput) -> CliSessionResult {
        let execution = match execution_id(&input.execution_id) {
            Ok(id) => id,
            Err(refusal) => return refusal.into(),
        };
        if !self.0.cli_sessions.unregister(&execution) {
            let text = format!("there is no session of execution {execution}");
            return Refusal { kind: "NotFoundError", text }.into();
        }
        CliSessionResult {
            success: true,
            message: Some(format!("the session of execution {execution} is over")),
            execution_id: Some(execution.to_string()),
            ..CliSessionResult::default()
        }
    }

    /// Checks a diagram without running it.
    async fn validate_diagram(&self, content: String, format: DiagramFormat) -> Value {
        let report = if format.is_light() {
            self.0.diagrams.validate(content, "diagram").await
        } else {
            let text = format!("{} diagrams are not read yet; LIGHT, YAML and JSON are", format.as_str());
            DiagramReport { errors: vec![text], ..DiagramReport::default() }
        };
        json::report(&report)
    }
}

impl Mutation {
    async fn execute(&self, input: ExecuteDiagramInput) -> Result<ExecutionResult, Refusal> {
        let inputs = match input.variables {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(variables)) => variables,
            Some(_) => return Err(Refusal::invalid("`variables` is no object")),
        };
        let timeout = match input.timeout_seconds {
            None => None,
            Some(seconds) => match u64::try_from(seconds) {
                Ok(seconds) if seconds > 0 => Some(Duration::from_secs(seconds)),
                _ => return Err(Refusal::invalid("`timeout_seconds` is a number from 1")),
            },
        };
        let path = input
            .use_unified_monitoring
            .map(|unified| if unified { MonitoringPath::Unified } else { MonitoringPath::Legacy });
        let id = input.diagram_id.map(|id| id.0);
        let diagram = match (input.diagram_data.filter(|data| !data.is_null()), id) {
            (Some(model), name) => light(&model, name)?,
            (None, Some(id)) => {
                let file = self.0.diagrams.get(&id).await?;
                DiagramSource { text: file.text, name: file.entry.id, base_dir: None }
            }
            (None, None) => {
                return Err(Refusal::invalid("either diagram_data or diagram_id must be provided"));
            }
        };
        let ignored = input.debug_mode == Some(true) || input.max_iterations.is_some();
        let request = StartExecution { diagram, inputs, timeout, path };
        let started = self.0.executions.start(request).await?;
        let mut message =
            format!("execution {} was started on the {} monitoring path", started.execution, started.path);
        if ignored {
            message.push_str("; `debug_mode` and `max_iterations` have no effect");
        }
        for warning in &started.warnings {
            message.push('\n');
            message.push_str(warning);
        }
        Ok(self.about(&started.execution, message).await)
    }

    async fn control(&self, input: ExecutionControlInput) -> Result<ExecutionResult, Refusal> {
        let id = execution_id(&input.execution_id)?;
        match input.action.as_str() {
            "abort" => {}
            action @ ("pause" | "resume") => {
                let text = format!("`{action}` is not there yet: a run can be aborted, but not held");
                return Err(Refusal::missing(text));
            }
            action => {
                let action = limits::head(action, 64);
                return Err(Refusal::invalid(format!("there is no action `{action}`; there is `abort`")));
            }
        }
        let reason = input.reason.unwrap_or_else(|| "aborted over GraphQL".to_owned());
        let reason = limits::head(&reason, limits::MAX_TEXT_BYTES).to_owned();
        self.0.executions.control(&id, Control::Abort { reason }).await?;
        Ok(self.about(&id, format!("execution {id} is being aborted")).await)
    }

    /// Success, with the execution as far as it can be read at present.
    async fn about(&self, id: &ExecutionId, message: String) -> ExecutionResult {
        let data = ExecutionStateType::find(&self.0, id).await.ok().flatten();
        ExecutionResult { success: true, message: Some(message), data, ..ExecutionResult::default() }
    }
}

fn execution_id(text: &str) -> Result<ExecutionId, Refusal> {
    ExecutionId::parse(text).map_err(|error| Refusal::invalid(error.to_string()))
}

/// JSON is YAML: the text of a light model is a light diagram.
fn light(model: &Value, name: Option<String>) -> Result<DiagramSource, Refusal> {
    let Value::Object(fields) = model else {
        return Err(Refusal::invalid("`diagram_data` is no object"));
    };
    let is_map = |key| fields.get(key).is_some_and(Value::is_object);
    if fields.contains_key("arrows") || fields.contains_key("handles") || is_map("nodes") {
        let text = "`diagram_data` is a native diagram (handles and arrows), which is not read yet; send the light \
                    format: `nodes` as a list, `connections`";
        return Err(Refusal::missing(text));
    }
    let name = name.unwrap_or_else(|| "diagram_data".to_owned());
    Ok(DiagramSource { text: model.to_string(), name, base_dir: None })
}
