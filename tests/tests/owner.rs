//! One process owns a data directory; what others do that find it owned.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use std::{
    fs::{File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use axum::{Json, Router, extract::Request};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{
    diagrams,
    dipeo::{self, Outcome, call},
    serve::Serve,
    wait,
};
use tokio::process::{Child, Command};

/// A folder with a diagram, `d.yaml`, and a place for a data directory.
fn folder(diagram: &str) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("d.yaml"), diagram).unwrap();
    let data = dir.path().join("data");
    (dir, data)
}

/// The id of the run that a command showed, from its last `COMPLETED exec_…`.
fn id_of(out: &str) -> String {
    let line = out.lines().rfind(|line| line.starts_with("COMPLETED exec_"));
    line.unwrap_or_else(|| panic!("{out}")).split(' ').nth(1).unwrap().to_owned()
}

/// The ids that the log in `data` has, newest first.
async fn runs(dir: &Path, data: &Path) -> Vec<String> {
    let Outcome { code, out, err } = call(dir, data, &["executions", "list", "--json"]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let run = |line: &str| {
        serde_json::from_str::<Value>(line).unwrap()["execution_id"].as_str().unwrap().to_owned()
    };
    out.lines().map(run).collect()
}

/// `dipeo run d.yaml`, which goes on until the file `go` is there. Returns when the node is at work.
async fn started(dir: &Path, data: &Path, more: &[&str]) -> Child {
    let mut command = Command::from(dipeo::command_on(data));
    command.args(["run", "d.yaml", "--json"]).args(more).current_dir(dir).kill_on_drop(true);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait::until(
        "the node at work",
        async || {
            if dir.join("began").exists() { Ok(()) } else { Err("no file yet") }
        },
    )
    .await;
    child
}

/// A node that says that it has begun, and waits for the file `go`.
fn waiting() -> String {
    diagrams::bash("touch began; while ! [ -e go ]; do sleep 0.02; done")
}

/// Holds the lock of a log, as its owner does.
fn lock(data: &Path) -> File {
    std::fs::create_dir_all(data).unwrap();
    let file =
        File::options().create(true).truncate(false).write(true).open(data.join("owner.lock")).unwrap();
    file.try_lock().unwrap();
    file
}

fn introduce(data: &Path, pid: u32, url: &str, mode: u32) {
    let text = json!({
        "pid": pid, "url": url, "token": "5e".repeat(32), "kind": "serve", "version": "0", "started_at": "2026-01-01T00:00:00Z",
    });
    std::fs::write(data.join("owner.json"), text.to_string()).unwrap();
    std::fs::set_permissions(data.join("owner.json"), Permissions::from_mode(mode)).unwrap();
}

/// A program that answers everything with `answer`, and what it was asked.
async fn foreigner(answer: Value) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    let app = Router::new().fallback(async move |request: Request| {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        heard.lock().push(format!("{parts:?} {}", String::from_utf8_lossy(&body)));
        Json(answer)
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, asked)
}

#[tokio::test]
async fn a_run_is_sent_to_the_server_that_owns_the_log() {
    let serve = Serve::start();
    let data = serve.dir.path().join("data");
    // Elsewhere: files of the diagram are where the command is called, not where the server is.
    let (dir, _) = folder(&diagrams::bash("cat here.txt"));
    std::fs::write(dir.path().join("here.txt"), "from here").unwrap();
    let paths = [
        "--unified",
        #[cfg(feature = "legacy")]
        "--legacy",
    ];
    for path in paths {
        let Outcome { code, out, err } = call(dir.path(), &data, &["run", "d.yaml", path]).await;
        assert_eq!(code, 0, "{err}");
        let said = format!(
            "a server (process {}) owns the log in {} and runs it: {}\n",
            serve.pid(),
            data.display(),
            serve.url
        );
        assert_eq!(err, said);
        assert!(out.starts_with(&format!("monitor {}/executions/exec_", serve.url)), "{out}");
        assert!(out.contains("result    End: from here"), "{out}");
        let (status, state) = serve.get(&format!("/api/v1/executions/{}", id_of(&out))).await;
        assert_eq!((status, &state["status"]), (200, &"COMPLETED".into()));
    }
    // What would be seen of it with --server is seen: exit codes, and faults of the diagram.
    std::fs::write(dir.path().join("d.yaml"), diagrams::bash("exit 3")).unwrap();
    assert_eq!(call(dir.path(), &data, &["run", "d.yaml"]).await.code, 1);
    std::fs::write(dir.path().join("d.yaml"), "version: light\nnodes: 1\n").unwrap();
    let Outcome { code, err, .. } = call(dir.path(), &data, &["run", "d.yaml"]).await;
    assert_eq!(code, 2);
    assert!(err.contains("d.yaml:2:"), "{err}");
}

#[tokio::test]
async fn a_signal_ends_a_run_that_was_sent() {
    let serve = Serve::start();
    let data = serve.dir.path().join("data");
    let (dir, _) = folder(&waiting());
    let mut child = started(dir.path(), &data, &[]).await;
    kill(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    let run = runs(dir.path(), &data).await.remove(0);
    let state = serve.ended(&run).await;
    assert_eq!((&state["status"], &state["reason"]), (&"ABORTED".into(), &"interrupted".into()));
}

#[tokio::test]
async fn a_run_that_must_not_be_sent_has_its_history_in_memory() {
    let serve = Serve::start();
    let data = serve.dir.path().join("data");
    let (dir, _) = folder(&diagrams::bash("echo hi"));
    let Outcome { code, out, err } = call(dir.path(), &data, &["run", "d.yaml", "--no-server"]).await;
    assert_eq!(code, 0, "{err}");
    let said = format!(
        "warning: the history of this run is in memory and ends with it: a server (process {}) owns the log in {}\n",
        serve.pid(),
        data.display()
    );
    assert_eq!(err, said);
    assert_eq!(serve.get(&format!("/api/v1/executions/{}", id_of(&out))).await.0, 404);
    // Where nobody owns it, there is nothing to say, and the history is kept.
    let free = dir.path().join("free");
    let Outcome { code, out, err } = call(dir.path(), &free, &["run", "d.yaml", "--no-server"]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(runs(dir.path(), &free).await, [id_of(&out)]);
}

#[tokio::test]
async fn a_run_beside_a_run_has_its_history_in_memory() {
    let (dir, data) = folder(&waiting());
    let first = started(dir.path(), &data, &[]).await;
    let pid = first.id().unwrap();
    // What looks at the log asks the run that owns it.
    let listed = runs(dir.path(), &data).await;
    assert_eq!(listed.len(), 1);
    std::fs::write(dir.path().join("other.yaml"), diagrams::bash("echo hi")).unwrap();
    let Outcome { code, out, err } = call(dir.path(), &data, &["run", "other.yaml"]).await;
    assert_eq!(code, 0, "{err}");
    let said = format!(
        "warning: the history of this run is in memory and ends with it: another command (process {pid}) owns the log in {} until \
         it ends\n",
        data.display()
    );
    assert_eq!(err, said);
    assert!(out.contains("monitor http://127.0.0.1:"), "{out}");
    std::fs::write(dir.path().join("go"), "").unwrap();
    let output = first.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    // The first one's is kept, the second one's is not.
    assert_eq!(runs(dir.path(), &data).await, listed);
    // Now the log is free again.
    assert_eq!(call(dir.path(), &data, &["run", "other.yaml"]).await.err, "");
    assert_eq!(runs(dir.path(), &data).await.len(), 2);
}

#[tokio::test]
async fn what_an_owner_that_was_killed_has_left_is_passed_over() {
    let mut serve = Serve::start();
    let data = serve.dir.path().join("data");
    let before = serve.run(&diagrams::bash("echo hi")).await;
    serve.ended(&before).await;
    let mode = std::fs::metadata(data.join("owner.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    serve.kill();
    assert!(data.join("owner.json").exists());
    let (dir, _) = folder(&diagrams::bash("echo hi"));
    let Outcome { code, out, err } = call(dir.path(), &data, &["run", "d.yaml"]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(runs(dir.path(), &data).await, [id_of(&out), before.clone()]);
    // Whoever ends in order takes its introduction away.
    assert!(!data.join("owner.json").exists());
    serve.start_again();
    assert_eq!(serve.get(&format!("/api/v1/executions/{before}")).await.1["status"], "COMPLETED");
    assert!(serve.terminate().success());
    assert!(!data.join("owner.json").exists());
}

#[tokio::test]
async fn nobody_who_only_says_so_is_taken_for_the_owner() {
    let (dir, data) = folder(&diagrams::bash("echo hi"));
    let _lock = lock(&data);
    let wrong = json!({"proof": "00".repeat(32), "kind": "serve", "version": "0"});
    let (url, asked) = foreigner(wrong).await;
    let (page, _) = foreigner(json!("a page")).await;
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let own = std::process::id();
    let not_kept = "warning: the history of this run is in memory and ends with it: ";
    for (pid, url, mode, said) in [
        (own, &url, 0o600, format!("whoever listens at {url} is not the owner that owner.json names")),
        (own, &page, 0o600, format!("whoever listens at {page} does not prove to be the owner")),
        (own, &url, 0o644, "owner.json is open to other users (mode 644 instead of 600)".to_owned()),
        (gone.id(), &url, 0o600, format!("process {}, which owner.json names, is gone", gone.id())),
    ] {
        introduce(&data, pid, url, mode);
        let Outcome { code, out, err } = call(dir.path(), &data, &["run", "d.yaml"]).await;
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("result    End: hi"), "{out}");
        assert!(
            err.starts_with(not_kept) && err.contains(&said) && err.lines().count() == 1,
            "{said}: {err}"
        );
        let Outcome { code, out, err } = call(dir.path(), &data, &["executions", "list"]).await;
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.contains(&said) && err.contains("--data-dir"), "{said}: {err}");
    }
    // It was asked for its proof, and given nothing: no diagram, and not the secret that it should know.
    let asked = asked.lock();
    assert_eq!(asked.len(), 2, "{asked:?}");
    for request in &*asked {
        assert!(request.contains("/api/v1/owner?nonce="), "{request}");
        assert!(!request.contains("echo hi") && !request.contains(&"5e".repeat(8)), "{request}");
    }
}

#[tokio::test]
async fn an_owner_that_is_about_to_introduce_itself_is_waited_for() {
    let (dir, data) = folder(&diagrams::bash("echo hi"));
    let held = lock(&data);
    let mut command = Command::from(dipeo::command_on(&data));
    command.args(["run", "d.yaml", "--quiet"]).current_dir(dir.path()).kill_on_drop(true);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Held a little while it looks; whether it has looked by then or not, the outcome is the same.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    drop(held);
    let output = child.wait_with_output().await.unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""));
    assert_eq!(runs(dir.path(), &data).await.len(), 1);
}

#[tokio::test]
async fn a_second_server_says_who_is_in_the_way() {
    let serve = Serve::start();
    let data = serve.dir.path().join("data");
    let Outcome { code, out, err } = call(serve.dir.path(), &data, &["serve", "--port", "0"]).await;
    assert_eq!((code, out.as_str()), (2, ""));
    let owner = format!("process {} at {} owns the log in it", serve.pid(), serve.url);
    assert!(err.contains(&owner) && err.contains("DIPEO_DATA_DIR"), "{err}");
    // The first one is still there, and still the owner.
    let (dir, _) = folder(&diagrams::bash("echo hi"));
    assert!(call(dir.path(), &data, &["run", "d.yaml"]).await.err.contains(&serve.url));
}

#[tokio::test]
async fn a_log_that_is_not_to_be_had_keeps_a_server_from_starting_but_no_run_from_running() {
    let (dir, data) = folder(&diagrams::bash("echo hi"));
    let run = ["run", "d.yaml"];
    // A store that a later version has written: clean, but with a number that nobody knows yet.
    let Outcome { code, .. } = call(dir.path(), &data, &run).await;
    assert_eq!(code, 0);
    let store = data.join("log.sqlite");
    let mut newer = std::fs::read(&store).unwrap();
    newer[60..64].copy_from_slice(&9999_u32.to_be_bytes());
    std::fs::write(&store, &newer).unwrap();
    // And one for which there is no place: not even root makes a directory below a file.
    let nowhere = dir.path().join("d.yaml/data");
    for data in [&data, &nowhere] {
        let Outcome { code, out, err } = call(dir.path(), data, &run).await;
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("result    End: hi"), "{out}");
        let said = format!(
            "warning: the history of this run is in memory and ends with it: data directory {}: ",
            data.display()
        );
        assert!(err.starts_with(&said) && err.lines().count() == 1, "{err}");
        let Outcome { code, out, err } = call(dir.path(), data, &["serve", "--port", "0"]).await;
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.starts_with(&format!("error: data directory {}: ", data.display())), "{err}");
        let Outcome { code, err, .. } = call(dir.path(), data, &["executions", "list"]).await;
        assert_eq!(code, 2, "{err}");
    }
    assert_eq!(std::fs::read(&store).unwrap(), newer, "nobody touches a store of a later version");
    let Outcome { err, .. } = call(dir.path(), &data, &["serve", "--port", "0"]).await;
    assert!(err.contains("log.store = \"memory\""), "{err}");
}

#[tokio::test]
async fn a_log_in_memory_needs_no_directory() {
    let (dir, _) = folder(&diagrams::bash("echo hi"));
    let nowhere = dir.path().join("d.yaml/data");
    std::fs::write(dir.path().join("dipeo.toml"), "log.store = \"memory\"\n").unwrap();
    let Outcome { code, err, .. } = call(dir.path(), &nowhere, &["run", "d.yaml"]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    let Outcome { code, err, .. } = call(dir.path(), &nowhere, &["executions", "list"]).await;
    assert_eq!(code, 2);
    assert!(err.contains("log.store is \"memory\"") && err.contains("--server URL"), "{err}");
}
