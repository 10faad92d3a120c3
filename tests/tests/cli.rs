//! The `dipeo` command as a shell sees it: exit codes, outputs, signals.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use std::{
    net::TcpListener,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;
use tests::{diagrams, dipeo, serve::Serve, wait};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// `dipeo ARGS`, in `dir`.
fn dipeo(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::from(dipeo::command());
    command.args(args).current_dir(dir).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `command` to its end. Returns the exit code, standard output, and standard error.
async fn finish(mut command: Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        timeout(wait::PATIENCE, command.output()).await.expect("dipeo ends").unwrap();
    (code(status), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| panic!("dipeo was killed: {status}"))
}

async fn end(child: &mut Child) -> i32 {
    code(timeout(wait::PATIENCE, child.wait()).await.expect("dipeo ends").unwrap())
}

/// A folder with a diagram, `d.yaml`.
fn folder(diagram: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("d.yaml"), diagram).unwrap();
    dir
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id().expect("it still runs")).unwrap()), signal).unwrap();
}

fn lines(child: &mut Child) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(child.stdout.take().unwrap()).lines()
}

/// Reads NDJSON until an event passes `test`.
async fn event_where(lines: &mut Lines<BufReader<ChildStdout>>, test: impl Fn(&Value) -> bool) -> Value {
    timeout(wait::PATIENCE, async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the event comes before the end");
            let event = serde_json::from_str(&line).unwrap();
            if test(&event) {
                return event;
            }
        }
    })
    .await
    .expect("the event comes")
}

fn is_log(event: &Value, message: &str) -> bool {
    event["type"] == "EXECUTION_LOG" && event["data"]["message"] == message
}

/// Whether a process is there and no zombie.
fn lives(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

async fn all_dead(pids: &[String]) {
    wait::until("the end of the children", async || {
        let living: Vec<&String> = pids.iter().filter(|pid| lives(pid)).collect();
        if living.is_empty() { Ok(()) } else { Err(format!("{living:?} live")) }
    })
    .await;
}

/// A node that starts two processes, says which, and waits for ever.
fn forks() -> String {
    diagrams::bash("sleep 1000 & echo \"pids $$ $!\"; sleep 1000")
}

fn pids_of(line: &str) -> Vec<String> {
    line.split_once("pids ").unwrap().1.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn exit_codes_of_runs() {
    let failing = diagrams::bash("exit 3");
    let stopping = failing.replace("timeout: 120,", "timeout: 120, on_error: fail,");
    let forgiven = failing.replace("timeout: 120,", "timeout: 120, on_error: continue,");
    for (diagram, args, expected, said) in [
        (diagrams::bash("echo hi"), &[][..], 0, "COMPLETED"),
        (failing, &[][..], 1, "COMPLETED"),
        (forgiven, &[][..], 0, "COMPLETED"),
        (stopping, &[][..], 1, "FAILED"),
        (diagrams::bash("sleep 1000"), &["--timeout", "0.3"][..], 124, "FAILED"),
        (diagrams::bash("sleep 1000"), &["--timeout", "300ms", "--quiet"][..], 124, "FAILED"),
    ] {
        let dir = folder(&diagram);
        let (code, out, err) = finish(dipeo(dir.path(), &[&["run", "d.yaml"], args].concat())).await;
        assert_eq!(code, expected, "{diagram}\n{out}\n{err}");
        let summary =
            out.lines().find(|line| line.starts_with(said)).unwrap_or_else(|| panic!("{out}\n{err}"));
        assert!(summary.contains(" exec_"), "{summary}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_and_nothing_is_run() {
    let dir = folder(&diagrams::bash("touch ran"));
    let write = |name: &str, content: &[u8]| std::fs::write(dir.path().join(name), content).unwrap();
    write("broken.yaml", b"version: light\nnodes:\n- {label: A, type: start}\n- {label: B, type: code_jobb, language: bash, code: x}\n");
    write("list.json", b"[1, 2]");
    write("bad.json", b"{\n  \"a\": 1,\n  oops\n}");
    write("latin1.yaml", b"nodes: \xe4");
    write("empty.yaml", b"");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let cases: &[(&[&str], &str)] = &[
        (&["run", "none.yaml"], "error: none.yaml: there is no such file"),
        (&["run", "."], "error: .: it is a directory; a file is expected"),
        (&["run", "latin1.yaml"], "error: latin1.yaml:1:8: this is no UTF-8 text"),
        (&["run", "empty.yaml"], "error: empty.yaml: the file is empty"),
        (&["run", "broken.yaml"], "broken.yaml:4:"),
        (&["run", "broken.yaml"], "did you mean `code_job`?"),
        (&["run", "d.yaml", "--inputs", "bad.json"], "error: bad.json:3:3: this is no JSON"),
        (
            &["run", "d.yaml", "--inputs", "list.json"],
            "list.json:1:1: a JSON object is expected, and this is an array",
        ),
        (&["run", "d.yaml", "--inputs", "none.json"], "none.json: there is no such file"),
        (&["run", "d.yaml", "--input-data", "{"], "--input-data:1:1: this is no JSON"),
        (&["run", "d.yaml", "--inputs", "list.json", "--input-data", "{}"], "cannot be used with"),
        (&["run", "d.yaml", "--timeout", "0"], "a time above zero is expected"),
        (&["run", "d.yaml", "--timeout=-5"], "a time above zero is expected"),
        (&["run", "d.yaml", "--timeout", "NaN"], "a time above zero is expected"),
        (&["run", "d.yaml", "--base-dir", "none"], "none: there is no such file"),
        (&["run", "d.yaml", "--base-dir", "d.yaml"], "d.yaml: it is no directory"),
        (&["run", "d.yaml", "--port", &port], &port),
        (&["run", "d.yaml", "--port", "99999"], "99999"),
        (&["run", "d.yaml", "--config", "none.toml"], "none.toml"),
        (&["run", "d.yaml", "--server", &nobody], "`dipeo serve` starts one"),
        (&["run", "d.yaml", "--server", "https://127.0.0.1:1"], "https is not supported yet"),
        (&["run", "d.yaml", "--server", "127.0.0.1:1"], "write it like http://127.0.0.1:8000"),
        (&["run", "d.yaml", "--server", &nobody, "--port", "1"], "cannot be used with"),
        (&["run"], "<DIAGRAM>"),
        (&["runn"], "run"),
        (&["serve", "--port", &port], &port),
        (&["serve", "--host", "nowhere"], "--host"),
    ];
    for (args, said) in cases {
        let (code, out, err) = finish(dipeo(dir.path(), args)).await;
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(said), "{args:?} should say {said:?}: {err}");
    }
    assert!(!dir.path().join("ran").exists());
}

#[tokio::test]
async fn help_is_no_error_even_when_nobody_reads_it() {
    let dir = TempDir::new().unwrap();
    for args in [&["--help"][..], &["run", "--help"], &["serve", "--help"], &["validate", "--help"]] {
        let (code, out, _) = finish(dipeo(dir.path(), args)).await;
        assert_eq!(code, 0);
        assert!(out.contains("Examples:") && out.contains("Usage: dipeo"), "{out}");
    }
    let mut child = dipeo(dir.path(), &["run", "--help"]).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(end(&mut child).await, 0);
}

#[tokio::test]
async fn plain_output_is_a_line_per_change() {
    let dir = folder(
        "version: light
metadata: {name: greeting}
nodes:
- {label: Start, type: start}
- {label: Greet, type: code_job, language: python, code: 'who = globals[\"who\"]; print(\"to \" + who); result = {\"text\": \"hello \" + who}'}
- {label: Taken, type: condition, expression: 1 == 1}
- {label: Never, type: code_job, language: bash, code: exit 1}
- {label: End, type: endpoint}
connections:
- {from: Start, to: Greet}
- {from: Greet, to: Taken}
- {from: Taken_condtrue, to: End}
- {from: Taken_condfalse, to: Never}
",
    );
    let (code, out, err) =
        finish(dipeo(dir.path(), &["run", "d.yaml", "--input-data", r#"{"who": "Ada"}"#])).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let mut lines: Vec<String> = out.lines().map(normalised).collect();
    // When a node that can't run any more is skipped is not part of what is promised.
    let skipped = lines.iter().position(|line| line.contains("SKIPPED")).unwrap();
    let skipped = lines.remove(skipped);
    assert!(skipped.starts_with("TIME SKIPPED   Never"), "{skipped}");
    let expected = "\
monitor http://127.0.0.1:PORT/executions/ID
TIME STARTED   greeting (ID)
TIME RUNNING   Start
TIME COMPLETED Start (SPAN)
TIME RUNNING   Greet
TIME LOG       Greet | to Ada
TIME COMPLETED Greet (SPAN)
TIME RUNNING   Taken
TIME COMPLETED Taken (SPAN)
TIME RUNNING   End
TIME COMPLETED End (SPAN)
COMPLETED ID in SPAN: 4 completed, 1 skipped
result    End: {\"text\":\"hello Ada\"}";
    assert_eq!(lines.join("\n"), expected);
}

/// A line without what changes from run to run.
fn normalised(line: &str) -> String {
    let mut words: Vec<String> = line
        .split(' ')
        .map(|word| match word {
            word if word.starts_with("exec_") => "ID".to_owned(),
            word if word.starts_with("(exec_") => "(ID)".to_owned(),
            word if word.starts_with("http://127.0.0.1:") => "http://127.0.0.1:PORT/executions/ID".to_owned(),
            word if word.len() == 12 && word.matches(':').count() == 2 => "TIME".to_owned(),
            word => word.to_owned(),
        })
        .collect();
    while let Some(at) = words.windows(2).position(|pair| {
        pair[0].trim_start_matches('(').parse::<f64>().is_ok() && pair[1].trim_end_matches([')', ':']) == "s"
    }) {
        let span = format!("{} {}", words[at], words[at + 1]);
        let number = words[at].trim_start_matches('(').to_owned();
        words.splice(at..at + 2, [span.replace(&format!("{number} s"), "SPAN")]);
    }
    words.join(" ")
}

#[tokio::test]
async fn inputs_come_from_a_file_or_the_command_line_and_the_diagram_from_standard_input() {
    let dir = folder("");
    std::fs::write(dir.path().join("in.json"), r#"{"n": 20}"#).unwrap();
    std::fs::write(dir.path().join("two.txt"), "2").unwrap();
    let diagram = diagrams::python("result = globals['n'] + int(open('two.txt').read())");
    for inputs in [["--inputs", "in.json"], ["--input-data", "{\"n\": 20}"]] {
        let elsewhere = TempDir::new().unwrap();
        let mut args = vec!["run", "-", "--quiet", "--base-dir", dir.path().to_str().unwrap()];
        args.extend(inputs);
        if inputs[0] == "--inputs" {
            args.pop();
            args.push("../in.json");
        }
        // Inputs are a path of the shell, files of the diagram are in the base directory.
        let cwd = if inputs[0] == "--inputs" {
            let sub = dir.path().join("sub");
            std::fs::create_dir(&sub).unwrap();
            sub
        } else {
            elsewhere.path().to_owned()
        };
        let mut command = dipeo(&cwd, &args);
        let file = dir.path().join("stdin.yaml");
        std::fs::write(&file, &diagram).unwrap();
        command.stdin(std::fs::File::open(&file).unwrap());
        let (code, out, err) = finish(command).await;
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        let lines: Vec<String> = out.lines().map(normalised).collect();
        assert_eq!(lines, ["COMPLETED ID in SPAN: 3 completed", "result    End: 22"]);
    }
}

#[tokio::test]
async fn json_is_the_events_with_their_cursors() {
    let dir = folder(&diagrams::bash("echo 'a \"b\"'; printf 'x\\033[31my\\n'"));
    let (code, out, err) = finish(dipeo(dir.path(), &["run", "d.yaml", "--json"])).await;
    assert_eq!(code, 0, "{err}");
    assert!(err.starts_with("monitor http://127.0.0.1:"), "{err}");
    let mut offsets = Vec::new();
    for (at, line) in out.lines().enumerate() {
        let event: Value = serde_json::from_str(line).unwrap();
        let keys: Vec<&String> = event.as_object().unwrap().keys().collect();
        assert_eq!(keys[..3], ["cursor", "type", "execution_id"], "{line}");
        assert_eq!(event["seq"], at + 1, "{line}");
        let cursor: core_events::Cursor = event["cursor"].as_str().unwrap().parse().unwrap();
        assert!(line.starts_with(&format!("{{\"cursor\":\"{cursor}\",\"type\":")), "{line}");
        offsets.push(cursor.offset);
    }
    assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "{offsets:?}");
    assert!(out.lines().any(|line| line.contains(r#""message":"a \"b\"""#)), "{out}");
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["type"], &last["data"]["status"]),
        (&"EXECUTION_STATUS_CHANGED".into(), &"COMPLETED".into())
    );
    // The raw bytes of an event never reach a terminal as they are.
    assert!(!out.contains('\x1b'));
}

#[tokio::test]
async fn signals_end_the_run_with_a_last_event() {
    for (signal, expected, reason) in
        [(Signal::SIGINT, 130, "interrupted"), (Signal::SIGTERM, 143, "terminated")]
    {
        let dir = folder(&forks());
        let mut child = dipeo(dir.path(), &["run", "d.yaml", "--json"]).spawn().unwrap();
        let mut lines = lines(&mut child);
        let log = event_where(&mut lines, |event| event["type"] == "EXECUTION_LOG").await;
        let pids = pids_of(log["data"]["message"].as_str().unwrap());
        assert!(pids.iter().all(|pid| lives(pid)));
        send(&child, signal);
        let mut last = Value::Null;
        while let Some(line) = timeout(wait::PATIENCE, lines.next_line()).await.unwrap().unwrap() {
            last = serde_json::from_str(&line).unwrap();
        }
        assert_eq!(last["type"], "EXECUTION_STATUS_CHANGED");
        assert_eq!((&last["data"]["status"], &last["data"]["reason"]), (&"ABORTED".into(), &reason.into()));
        assert_eq!(end(&mut child).await, expected);
        all_dead(&pids).await;
    }
}

#[tokio::test]
async fn one_signal_is_enough_while_the_diagram_is_still_being_read() {
    let dir = TempDir::new().unwrap();
    let mut child = dipeo(dir.path(), &["run", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    // More than a pipe holds: when it is written, dipeo is reading, and waits for the rest.
    let mut stdin = child.stdin.take().unwrap();
    timeout(wait::PATIENCE, stdin.write_all(&[b'#'; 1 << 20])).await.expect("dipeo reads").unwrap();
    send(&child, Signal::SIGTERM);
    let status = timeout(wait::PATIENCE, child.wait()).await.expect("dipeo ends").unwrap();
    assert_eq!(status.signal(), Some(Signal::SIGTERM as i32));
}

#[tokio::test]
async fn a_second_signal_leaves_at_once_even_when_nobody_reads() {
    let full =
        "for i in range(20000): print('x' * 100)\nopen('full', 'w').close()\nimport time\ntime.sleep(1000)";
    let dir = folder(&diagrams::python(full));
    let mut child = dipeo(dir.path(), &["run", "d.yaml"]).spawn().unwrap();
    // Two megabytes of log are more than a pipe holds: from here on writing to it is stuck.
    wait::until(
        "a full log",
        async || {
            if dir.path().join("full").exists() { Ok(()) } else { Err("not yet") }
        },
    )
    .await;
    send(&child, Signal::SIGINT);
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    let said = timeout(wait::PATIENCE, errors.next_line()).await.unwrap().unwrap();
    assert_eq!(said.as_deref(), Some("ending the run; once more to leave at once"));
    assert!(child.try_wait().unwrap().is_none(), "it ended though its output was not read");
    send(&child, Signal::SIGINT);
    assert_eq!(end(&mut child).await, 130);
}

#[tokio::test]
async fn a_killed_command_leaves_no_orphans() {
    let dir = folder(&forks());
    let mut child = dipeo(dir.path(), &["run", "d.yaml", "--json"]).spawn().unwrap();
    let log = event_where(&mut lines(&mut child), |event| event["type"] == "EXECUTION_LOG").await;
    let pids = pids_of(log["data"]["message"].as_str().unwrap());
    assert!(pids.len() == 2 && pids.iter().all(|pid| lives(pid)), "{pids:?}");
    child.kill().await.unwrap();
    all_dead(&pids).await;
}

#[tokio::test]
async fn a_closed_output_ends_the_output_and_not_the_run() {
    for args in [&["run", "d.yaml"][..], &["run", "d.yaml", "--json"]] {
        let dir =
            folder(&diagrams::bash("until test -e go; do sleep 0.02; done; echo a; echo b; touch done"));
        let mut child = dipeo(dir.path(), args).spawn().unwrap();
        let mut lines = lines(&mut child);
        assert!(timeout(wait::PATIENCE, lines.next_line()).await.unwrap().unwrap().is_some());
        drop(lines);
        std::fs::write(dir.path().join("go"), "").unwrap();
        assert_eq!(end(&mut child).await, 0);
        assert!(dir.path().join("done").exists());
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
        assert!(!errors.contains("panic") && !errors.contains("warning"), "{errors}");
    }
}

#[tokio::test]
async fn a_server_runs_it_and_the_command_shows_it() {
    let serve = Serve::start();
    let dir = folder(&diagrams::python("print('there'); result = open('here.txt').read() + globals['word']"));
    std::fs::write(dir.path().join("here.txt"), "read ").unwrap();
    let args = ["run", "d.yaml", "--server", &serve.url, "--input-data", r#"{"word": "well"}"#];
    let (code, out, err) = finish(dipeo(dir.path(), &args)).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with(&format!("monitor {}/executions/exec_", serve.url)), "{out}");
    assert!(out.contains("Work | there") && out.ends_with("result    End: read well\n"), "{out}");

    // The faults of a diagram look the same as without a server.
    std::fs::write(dir.path().join("d.yaml"), "version: light\nnodes:\n- {label: A, type: strat}\n").unwrap();
    let there = finish(dipeo(dir.path(), &args[..4])).await;
    let here = finish(dipeo(dir.path(), &args[..2])).await;
    assert_eq!(there, here);
    assert_eq!(there.0, 2);
    assert!(there.2.starts_with("d.yaml:3:"), "{}", there.2);

    // Ctrl-C ends the run there.
    std::fs::write(dir.path().join("d.yaml"), forks()).unwrap();
    let mut child = dipeo(dir.path(), &["run", "d.yaml", "--json", "--server", &serve.url]).spawn().unwrap();
    let log = event_where(&mut lines(&mut child), |event| event["type"] == "EXECUTION_LOG").await;
    send(&child, Signal::SIGINT);
    assert_eq!(end(&mut child).await, 130);
    let state = serve.ended(log["execution_id"].as_str().unwrap()).await;
    assert_eq!((&state["status"], &state["reason"]), (&"ABORTED".into(), &"interrupted".into()));
    all_dead(&pids_of(log["data"]["message"].as_str().unwrap())).await;
}

#[tokio::test]
async fn a_server_that_goes_away_is_told() {
    let serve = Serve::start();
    let dir = folder(&forks());
    let mut child = dipeo(dir.path(), &["run", "d.yaml", "--json", "--server", &serve.url]).spawn().unwrap();
    let mut lines = lines(&mut child);
    event_where(&mut lines, |event| event["type"] == "EXECUTION_LOG").await;
    let pid = Pid::from_raw(i32::try_from(serve.pid()).unwrap());
    kill(pid, Signal::SIGKILL).unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    while let Some(line) = timeout(wait::PATIENCE, errors.next_line()).await.unwrap().unwrap() {
        said.push(line);
    }
    assert_eq!(end(&mut child).await, 1, "{said:?}");
    assert!(said.iter().any(|line| line.contains("attempt 1 to connect again")), "{said:?}");
    assert!(said.last().unwrap().starts_with("error: lost sight of the run: can't connect to"), "{said:?}");
}

#[tokio::test]
async fn a_server_drains_when_it_is_told_to_stop() {
    let mut serve = Serve::start();
    let dir = folder(&forks());
    let mut child = dipeo(dir.path(), &["run", "d.yaml", "--json", "--server", &serve.url]).spawn().unwrap();
    let mut lines = lines(&mut child);
    let log = event_where(&mut lines, |event| event["type"] == "EXECUTION_LOG").await;
    let stopping = tokio::task::spawn_blocking(move || serve.terminate());
    let last = event_where(&mut lines, |event| {
        event["type"] == "EXECUTION_STATUS_CHANGED" && event["data"]["status"] == "ABORTED"
    })
    .await;
    assert!(last["data"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{last}");
    // Nothing follows a terminal event (I9).
    assert_eq!(timeout(wait::PATIENCE, lines.next_line()).await.unwrap().unwrap(), None);
    assert_eq!(end(&mut child).await, 130);
    assert_eq!(timeout(wait::PATIENCE, stopping).await.unwrap().unwrap().code(), Some(0));
    all_dead(&pids_of(log["data"]["message"].as_str().unwrap())).await;
}

#[tokio::test]
async fn a_gap_hides_neither_the_failure_nor_the_result() {
    let dir = folder(
        "version: light
nodes:
- {label: Start, type: start}
- {label: Fail, type: code_job, language: bash, code: exit 3}
- {label: One, type: code_job, language: python, code: 'for i in range(600): print(\"x\" * 15000)'}
- {label: Two, type: code_job, language: python, code: 'for i in range(600): print(\"x\" * 15000)'}
- {label: Three, type: code_job, language: python, code: 'result = \"said\"'}
- {label: End, type: endpoint}
connections:
- {from: Start, to: Fail}
- {from: Fail, to: One}
- {from: One, to: Two}
- {from: Two, to: Three}
- {from: Three, to: End}
",
    );
    let serve = Serve::with(&[("DIPEO_LOG_STORE", "memory"), ("DIPEO_LOG_MAX_EVENTS_PER_RUN", "20")]);
    // A reader that stands still until the run has ended: what the sockets don't hold (18 MB are too much for them) is gone
    // by then, but for the end.
    let mut child = dipeo(dir.path(), &["run", "d.yaml", "--server", &serve.url]).spawn().unwrap();
    let mut lines = lines(&mut child);
    let link = timeout(wait::PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    send(&child, Signal::SIGSTOP);
    serve.ended(link.rsplit('/').next().unwrap()).await;
    send(&child, Signal::SIGCONT);
    let mut out = Vec::new();
    while let Some(line) = timeout(wait::PATIENCE, lines.next_line()).await.unwrap().unwrap() {
        out.push(normalised(&line));
    }
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).await.unwrap();
    assert_eq!(end(&mut child).await, 1, "{err}");
    assert!(err.contains("some events of the run are missing here"), "{err}");
    let end = out.iter().position(|line| line.starts_with("COMPLETED")).unwrap();
    assert!(out[end].ends_with(": 5 completed, 1 failed"), "{}", out[end]);
    assert_eq!(out[end + 1], "failed    Fail: bash exited with status 3");
    assert_eq!(out[end + 2], "result    End: said");
}

#[tokio::test]
async fn whoever_watches_gets_the_end_before_the_command_leaves() {
    let dir = folder(&diagrams::bash("until test -e go; do sleep 0.02; done"));
    let mut child = dipeo(dir.path(), &["run", "d.yaml"]).spawn().unwrap();
    let link = timeout(wait::PATIENCE, lines(&mut child).next_line()).await.unwrap().unwrap().unwrap();
    let (server, id) = link.strip_prefix("monitor ").unwrap().split_once("/executions/").unwrap();
    let mut stream = client::Client::new(server)
        .unwrap()
        .follow(Some(&id.parse().unwrap()), client::FollowOptions::default());
    assert!(matches!(stream.next().await, Some(Ok(client::Item::Event(_)))));
    std::fs::write(dir.path().join("go"), "").unwrap();
    let mut last = None;
    while let Some(item) = timeout(wait::PATIENCE, stream.next()).await.unwrap() {
        match item.unwrap() {
            client::Item::Event(event) => last = event.envelope.event.terminal_status().cloned(),
            client::Item::End { reason } => assert_eq!(reason, core_events::EndReason::Completed),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(last, Some(core_events::ExecutionStatus::Completed));
    assert_eq!(end(&mut child).await, 0);
}

#[tokio::test]
async fn quiet_shows_failures_and_the_end() {
    let dir = folder(&diagrams::bash("echo chatter; exit 3"));
    let (code, out, err) = finish(dipeo(dir.path(), &["run", "d.yaml", "--quiet"])).await;
    assert_eq!((code, err.as_str()), (1, ""));
    let lines: Vec<String> = out.lines().map(normalised).collect();
    assert!(lines[0].starts_with("TIME FAILED    Work (SPAN): "), "{out}");
    let summary = lines.iter().find(|line| line.starts_with("COMPLETED ID in SPAN: 2 completed, 1 failed"));
    assert!(summary.is_some(), "{out}");
    assert!(lines.iter().any(|line| line.starts_with("failed    Work: ")), "{out}");
    assert!(!out.contains("chatter") && !out.contains("monitor"), "{out}");
}

#[tokio::test]
async fn nothing_that_a_terminal_obeys_comes_from_a_diagram() {
    let mut diagram = diagrams::bash("printf '\\033]0;title\\007 \\033[2J\\n'; printf '\\033[31mout\\n'");
    diagram =
        diagram.replace("label: Work", r#"label: "Wo\e[5mrk""#).replace("to: Work", r#"to: "Wo\e[5mrk""#);
    diagram = diagram.replace("from: Work", r#"from: "Wo\e[5mrk""#);
    let dir = folder(&diagram);
    let (code, out, err) = finish(dipeo(dir.path(), &["run", "d.yaml"])).await;
    assert!(!out.contains('\x1b') && !out.contains('\x07') && !err.contains('\x1b'), "{out:?} {err:?}");
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("␛]0;title␇"), "{out}");

    // Colours are ours alone.
    let mut command = dipeo(dir.path(), &["run", "d.yaml"]);
    command.env("CLICOLOR_FORCE", "1");
    let (_, out, _) = finish(command).await;
    assert!(out.contains("\x1b[32mCOMPLETED\x1b[0m") && !out.contains("\x1b[31mout"), "{out:?}");
}

#[tokio::test]
async fn validate_tells_of_each_file() {
    let dir = folder(&diagrams::bash("true"));
    let path = dir.path();
    std::fs::write(path.join("typo.yaml"), "version: light\nnodes:\n- {label: A, type: strat}\n").unwrap();
    std::fs::write(path.join("latin1.yaml"), b"\xe4").unwrap();
    std::fs::write(path.join("huge.yaml"), vec![b'#'; (8 << 20) + 1]).unwrap();
    let (code, out, err) = finish(dipeo(path, &["validate", "d.yaml"])).await;
    assert_eq!((code, out.as_str(), err.as_str()), (0, "d.yaml: ok (3 nodes, 2 connections)\n", ""));

    let files = ["d.yaml", "typo.yaml", "latin1.yaml", "huge.yaml", "none.yaml", "."];
    let (code, out, err) = finish(dipeo(path, &[&["validate"], &files[..]].concat())).await;
    assert_eq!((code, out.as_str()), (2, "d.yaml: ok (3 nodes, 2 connections)\n"));
    for said in [
        "typo.yaml:3:",
        "did you mean `start`?",
        "error: latin1.yaml:1:1: this is no UTF-8 text",
        "error: huge.yaml: the file has more than 8 MiB, which is the limit",
        "error: none.yaml: there is no such file",
        "error: .: it is a directory",
    ] {
        assert!(err.contains(said), "{said}: {err}");
    }

    let (code, out, err) = finish(dipeo(path, &[&["validate", "--json"], &files[..]].concat())).await;
    assert_eq!((code, err.as_str()), (2, ""));
    let objects: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let good: Vec<(&str, bool)> = objects
        .iter()
        .map(|object| (object["file"].as_str().unwrap(), object["ok"].as_bool().unwrap()))
        .collect();
    assert_eq!(good, files.map(|file| (file, file == "d.yaml")));
    assert_eq!(objects[1]["errors"][0]["line"], 3);
}

#[tokio::test]
async fn debug_shows_our_own_log_on_standard_error() {
    let dir = folder(&diagrams::bash("echo hi"));
    let (_, plain_out, plain_err) = finish(dipeo(dir.path(), &["run", "d.yaml", "--json"])).await;
    assert_eq!(plain_err.lines().count(), 1, "{plain_err}");
    let (code, out, err) = finish(dipeo(dir.path(), &["run", "d.yaml", "--json", "--debug"])).await;
    assert_eq!(code, 0);
    assert!(err.contains("DEBUG client"), "{err}");
    assert_eq!(out.lines().count(), plain_out.lines().count());
    let mut command = dipeo(dir.path(), &["run", "d.yaml", "--debug"]);
    command.env("RUST_LOG", "off");
    let (_, _, err) = finish(command).await;
    assert_eq!(err, "");
    assert!(is_log(
        &serde_json::from_str(out.lines().find(|line| line.contains("EXECUTION_LOG")).unwrap()).unwrap(),
        "hi"
    ));
}

#[tokio::test]
async fn output_that_got_lost_is_no_success() {
    let dir = folder(&diagrams::bash("echo hi"));
    for args in [&["run", "d.yaml", "--json"][..], &["run", "d.yaml"]] {
        let mut command = dipeo(dir.path(), args);
        command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        let output = command.spawn().unwrap().wait_with_output();
        let output = timeout(wait::PATIENCE, output).await.expect("dipeo ends").unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(code(output.status), 1, "{err}");
        assert!(err.contains("can't write to standard output any more"), "{err}");
    }
}

/// A run may be over before a browser has started; it is served until the browser has seen it.
#[tokio::test]
async fn a_browser_that_was_asked_for_gets_to_see_a_short_run() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = folder(&diagrams::bash("echo hi"));
    let opener = dir.path().join("bin/xdg-open");
    std::fs::create_dir(dir.path().join("bin")).unwrap();
    // What a browser does with the link, late.
    let script = "#!/usr/bin/env python3
import sys, time, urllib.request
time.sleep(1.5)
server, run = sys.argv[1].split('/executions/')
open('opened', 'w').write(sys.argv[1])
with urllib.request.urlopen(f'{server}/sse/unified/executions/{run}') as stream, open('seen', 'wb') as seen:
    seen.write(stream.read())
";
    std::fs::write(&opener, script).unwrap();
    std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = dipeo(dir.path(), &["run", "d.yaml", "--browser"]);
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", dir.path().join("bin").display()));
    let (code, _, err) = finish(command).await;
    assert_eq!(code, 0, "{err}");
    let seen =
        wait::until("the browser's file", async || match std::fs::read_to_string(dir.path().join("seen")) {
            Ok(seen) if seen.contains("STREAM_END") => Ok(seen),
            other => Err(other.ok()),
        })
        .await;
    assert!(seen.contains("\"status\":\"COMPLETED\""), "{seen}");
}
