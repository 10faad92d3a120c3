//! Runs that end before their time, and what they leave behind: nothing.

use std::{path::Path, sync::Arc, time::Duration};

use diagram::Language;
use engine::abort_pair;
use nix::{sys::signal::killpg, unistd::Pid};
use serde_json::json;

use crate::support::{Graph, Recorder, Seen, Setup, run, run_with};

/// Starts ten children that sleep, tells the group's number, and goes on for ever.
const FOREVER: &str = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 & done; echo $$; sleep 1000";

/// Whether any member of `group` lives; the dead that nobody reaped don't.
fn lives(group: i32) -> bool {
    if killpg(Pid::from_raw(group), None).is_err() {
        return false;
    }
    let member = |directory: &Path| {
        let stat = std::fs::read_to_string(directory.join("stat")).ok()?;
        let fields: Vec<String> = stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect();
        (fields[2] == group.to_string() && fields[0] != "Z" && fields[0] != "X").then_some(())
    };
    std::fs::read_dir("/proc").unwrap().flatten().any(|process| member(&process.path()).is_some())
}

fn group_of(seen: &Seen) -> i32 {
    let Seen::Log { message, .. } = seen else { panic!("{seen:?}") };
    message.parse().unwrap()
}

fn is_log(seen: &Seen) -> bool {
    matches!(seen, Seen::Log { .. })
}

#[tokio::test]
async fn an_abort_stops_nodes_and_their_processes_before_it_is_told() {
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let forever = graph.bash("Forever", FOREVER);
    let end = graph.end("End");
    graph.edge(start, forever);
    graph.edge(forever, end);
    let (handle, abort) = abort_pair();
    let recorder = Arc::new(Recorder::default());
    let setup = Setup { abort, recorder: Arc::clone(&recorder), ..Setup::default() };
    let (ran, group) = tokio::join!(run_with(graph, setup), async {
        let group = group_of(&recorder.wait_for(is_log).await);
        assert!(lives(group));
        handle.abort("Ctrl-C");
        recorder.wait_for(|seen| matches!(seen, Seen::Aborted(_))).await;
        assert!(!lives(group), "dead before it was told");
        group
    });
    assert!(!lives(group));
    let Some(Seen::Aborted(aborted)) = ran.seen.last() else { panic!() };
    assert_eq!(aborted.reason, "Ctrl-C");
    assert_eq!(aborted.stopped[0].node.label, "Forever");
    assert_eq!(ran.skipped(), ["End"]);
    assert_eq!((ran.status(), ran.outcome.reason.as_deref()), ("ABORTED", Some("Ctrl-C")));
}

#[tokio::test]
async fn an_abort_before_the_start_runs_nothing() {
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let end = graph.end("End");
    graph.edge(start, end);
    let (handle, abort) = abort_pair();
    handle.abort("changed my mind");
    let ran = run_with(graph, Setup { abort, ..Setup::default() }).await;
    assert!(ran.started().is_empty());
    assert_eq!(ran.status(), "ABORTED");
}

#[tokio::test]
async fn a_run_that_passes_its_limit_fails() {
    let mut graph = Graph::new();
    let forever = graph.bash("Forever", FOREVER);
    let end = graph.end("End");
    graph.edge(forever, end);
    let timeout = Some(Duration::from_millis(500));
    let ran = run_with(graph, Setup { timeout, ..Setup::default() }).await;
    let Some(Seen::Failed(failure)) = ran.seen.last() else { panic!() };
    assert_eq!((&*failure.reason, &*failure.error), ("timeout", "the run passed its limit of 0.5 s"));
    assert_eq!(failure.stopped.len(), 1);
    let group = ran.seen.iter().find(|seen| is_log(seen)).map(group_of);
    assert!(group.is_none_or(|group| !lives(group)));
}

#[tokio::test]
async fn a_loop_that_never_waits_can_be_stopped_and_lets_others_go_on() {
    let mut graph = Graph::new();
    let start = graph.start("Start");
    let turn = graph.condition("Loop", "True");
    let slow = graph.bash("Slow", "echo done");
    graph.edge(start, slow);
    graph.edge(start, turn);
    graph.yes(turn, turn);
    let (handle, abort) = abort_pair();
    let recorder = Arc::new(Recorder::default());
    let setup = Setup { abort, recorder: Arc::clone(&recorder), ..Setup::default() };
    let (ran, ()) = tokio::join!(run_with(graph, setup), async {
        recorder.wait_for(|seen| matches!(seen, Seen::NodeComplete(label, _) if label == "Slow")).await;
        handle.abort("enough");
    });
    assert_eq!(ran.status(), "ABORTED");
}

#[tokio::test]
async fn dropping_a_run_kills_its_processes() {
    let mut graph = Graph::new();
    let forever = graph.bash("Forever", FOREVER);
    let end = graph.end("End");
    graph.edge(forever, end);
    let recorder = Arc::new(Recorder::default());
    let setup = Setup { recorder: Arc::clone(&recorder), ..Setup::default() };
    let group = tokio::select! {
        _ = run_with(graph, setup) => panic!("it has no end"),
        seen = recorder.wait_for(is_log) => group_of(&seen),
    };
    for _ in 0..500 {
        if !lives(group) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still there");
}

#[tokio::test]
async fn nothing_that_a_program_started_survives_its_node() {
    let mut graph = Graph::new();
    let stray = graph.bash("Bash", "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 & done; echo $$");
    let python = "import os, subprocess\nfor _ in range(10): subprocess.Popen(['sleep', '1000'])\nif os.fork() == 0: \n    import time; time.sleep(1000)\nresult = os.getpgid(0)";
    let code = graph.python("Python", python);
    let end = graph.end("End");
    graph.edge(stray, end);
    graph.named(code, end, "python");
    let ran = run(graph).await;
    let group: i32 = ran.output("Bash").as_str().unwrap().parse().unwrap();
    assert!(!lives(group));
    assert!(!lives(i32::try_from(ran.output("Python").as_i64().unwrap()).unwrap()));
    assert_eq!(ran.status(), "COMPLETED");
}

#[tokio::test]
async fn a_node_that_passes_its_limit_fails_and_keeps_what_it_said() {
    let mut graph = Graph::new();
    let limit = Duration::from_millis(1_500);
    let bash = graph.limited("Bash", Language::Bash, "echo so far; sleep 1000", limit);
    let python = graph.limited("Python", Language::Python, "while True: pass", limit);
    let end = graph.end("End");
    graph.edge(bash, end);
    graph.named(python, end, "p");
    let ran = run(graph).await;
    assert_eq!(
        ran.output("End"),
        json!({
            "default": "code execution timed out after 1.5 s",
            "p": "code execution timed out after 1.5 s",
        })
    );
    assert_eq!(ran.recorder.logs("node_0", "stdout"), ["so far"]);
}

#[tokio::test]
async fn programs_that_kill_themselves_say_so() {
    let mut graph = Graph::new();
    let bash = graph.bash("Bash", "kill -KILL $$");
    let python = graph.python("Python", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)");
    let group = graph.bash("Group", "kill -TERM 0");
    let exit = graph.python("Exit", "import os; os._exit(3)");
    let end = graph.end("End");
    for (node, name) in [(bash, "b"), (python, "p"), (group, "g"), (exit, "e")] {
        graph.named(node, end, name);
    }
    let ran = run(graph).await;
    assert_eq!(
        ran.output("End"),
        json!({
            "b": "bash was killed by SIGKILL (9)",
            "p": "python3 was killed by SIGSEGV (11) before it had a result",
            "g": "bash was killed by SIGTERM (15)",
            "e": "python3 exited with status 3 before it had a result",
        })
    );
}
