use std::{collections::BTreeSet, sync::Arc};

use core_events::ports::SystemClock;
use nix::sys::signal::{kill, killpg};

use super::*;
use crate::reporter::Reporter;

/// Starts a member of a new group that sleeps, and returns both.
fn sleeper() -> (Child, Pid) {
    let child = Command::new("sleep").arg("1000").process_group(0).kill_on_drop(true).spawn().unwrap();
    let group = leader(&child).unwrap();
    (child, group)
}

async fn dies(child: &mut Child) -> bool {
    timeout(Duration::from_secs(20), child.wait()).await.is_ok()
}

#[tokio::test]
async fn the_guardian_kills_what_is_left_when_we_are_gone() {
    let guardian = Guardian::default();
    let (mut first, mut second, mut third) = (sleeper(), sleeper(), sleeper());
    for group in [first.1, second.1, third.1] {
        guardian.add(group).unwrap();
    }
    guardian.remove(second.1);
    // What our death does: it closes the pipe.
    drop(guardian);
    assert!(dies(&mut first.0).await);
    assert!(dies(&mut third.0).await);
    assert!(killpg(second.1, None).is_ok(), "what was forgotten is left alone");
    second.0.kill().await.unwrap();
}

#[tokio::test]
async fn a_guardian_that_dies_is_replaced_and_knows_everything() {
    let guardian = Guardian::default();
    let (mut first, mut second) = (sleeper(), sleeper());
    guardian.add(first.1).unwrap();
    let helper = guardian.helper().unwrap();
    let pid = Pid::from_raw(i32::try_from(helper).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    kill(pid, Signal::SIGINT).unwrap();
    kill(pid, Signal::SIGKILL).unwrap();
    // Dead once nobody reads: then telling it fails, and a new one is started.
    timeout(Duration::from_secs(20), async {
        while guardian.helper() == Some(helper) {
            guardian.add(second.1).unwrap();
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    drop(guardian);
    assert!(dies(&mut first.0).await);
    assert!(dies(&mut second.0).await);
}

#[tokio::test]
async fn the_gate_stays_shut_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let marker = dir.path().join("ran");
    for (script, word, runs) in
        [(GATE_CLOSES_INPUT, "", false), (GATE_KEEPS_INPUT, "g", false), (GATE_KEEPS_INPUT, "go\n", true)]
    {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, "sh", "touch"]).arg(&marker).stdin(Stdio::piped());
        let mut gate = command.spawn().unwrap();
        gate.stdin.take().unwrap().write_all(word.as_bytes()).await.unwrap();
        assert_eq!(gate.wait().await.unwrap().success(), runs);
        assert_eq!(marker.exists(), runs);
    }
}

fn log() -> NodeLog {
    let execution = core_events::ExecutionId::random();
    let reporter = Reporter {
        root: execution.clone(),
        execution,
        parent: None,
        observer: Arc::new(Silent),
        clock: Arc::new(SystemClock),
        step: tokio::sync::Mutex::new(0),
    };
    NodeLog::new(Arc::new(reporter), "node".into(), 1_000_000)
}

#[derive(Debug)]
struct Silent;

#[async_trait::async_trait]
impl core_events::ports::ExecutionObserver for Silent {
    async fn on_execution_start(&self, _: &core_events::CallbackContext, _: &core_events::ExecutionStart) {}
    async fn on_node_start(&self, _: &core_events::CallbackContext, _: &core_events::NodeStart) {}
    async fn on_node_complete(&self, _: &core_events::CallbackContext, _: &core_events::NodeComplete) {}
    async fn on_node_error(&self, _: &core_events::CallbackContext, _: &core_events::NodeError) {}
    async fn on_execution_complete(
        &self,
        _: &core_events::CallbackContext,
        _: &core_events::ExecutionComplete,
    ) {
    }
    async fn on_execution_error(&self, _: &core_events::CallbackContext, _: &core_events::ExecutionFailure) {}
    async fn on_node_skipped(&self, _: &core_events::CallbackContext, _: &core_events::NodeSkipped) {}
    async fn on_status_changed(&self, _: &core_events::CallbackContext, _: &core_events::StatusChange) {}
    async fn on_execution_aborted(
        &self,
        _: &core_events::CallbackContext,
        _: &core_events::ExecutionAborted,
    ) {
    }
    async fn on_interactive_prompt(&self, _: &core_events::CallbackContext, _: &core_events::Prompt) {}
    async fn on_interactive_response(
        &self,
        _: &core_events::CallbackContext,
        _: &core_events::PromptResponse,
    ) {
    }
    async fn on_log(&self, _: &core_events::CallbackContext, _: &core_events::LogLine) {}
    async fn on_progress(&self, _: &core_events::CallbackContext, _: &core_events::Progress) {}
}

fn bash(code: &str, answer: Answer) -> Job {
    Job {
        program: find_program("bash").unwrap(),
        arguments: ["-c", code].map(OsString::from).to_vec(),
        environment: Vec::new(),
        directory: "/".into(),
        answer,
        time_limit: Duration::from_secs(20),
    }
}

#[tokio::test]
async fn a_pipe_that_something_outside_the_group_holds_does_not_hold_us() {
    let (guardian, groups) = (Arc::new(Guardian::default()), Groups::default());
    // It left the group on purpose; only the pipe still connects it.
    let job = bash("setsid sleep 1000 & echo $!; disown", Answer::Stdout);
    let finished =
        timeout(Duration::from_secs(15), run(job, &log(), &guardian, &groups)).await.unwrap().unwrap();
    assert_eq!(finished.end, End::Exited(0));
    let stray: i32 = String::from_utf8(finished.answer).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(stray), Signal::SIGKILL).unwrap();
    assert!(groups.snapshot().is_empty());
}

#[tokio::test]
async fn a_question_larger_than_any_buffer_arrives_whole_or_not_at_all() {
    let (guardian, groups) = (Arc::new(Guardian::default()), Groups::default());
    let question = vec![b'x'; 5_000_000];
    let job = bash("wc -c >&0", Answer::Socket { question: question.clone() });
    let finished = run(job, &log(), &guardian, &groups).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&finished.answer).trim(), "5000000");
    let finished =
        run(bash("exit 4", Answer::Socket { question }), &log(), &guardian, &groups).await.unwrap();
    assert_eq!(finished.end, End::Exited(4), "nobody reads it");
}

#[test]
fn programs_are_found_by_path() {
    assert!(find_program("sh").is_some());
    assert_eq!(find_program("no-such-program-anywhere"), None);
    let names: BTreeSet<String> = [9, 15, 200].into_iter().map(signal_name).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["SIGKILL (9)", "SIGTERM (15)", "signal 200"]);
}
