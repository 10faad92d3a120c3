//! Disks that fail under a real server: full, read-only, locked, frozen; a store that is cut short. The run completes, clients
//! are told everything, health says what is wrong, and what works again is used again (I6, I12).
//!
//! Most of it needs to mount file systems; where that is not permitted, it says so and passes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a helper that fails is a test that fails"
)]

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::Arc,
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{
    diagrams, dipeo,
    disk::Disk,
    serve::Serve,
    sse::{Frame, Sse, seqs},
    wait,
};
use tokio::task::JoinHandle;

// Runs and their readers.

/// A run that talks until the file `enough` is there.
async fn talk(serve: &Serve) -> String {
    let code = "import os, time
n = 0
while not os.path.exists('enough') and n < 6000:
    print('line', n, 'x' * 2000)
    n += 1
    time.sleep(0.01)
result = n";
    serve.run(&diagrams::python(code)).await
}

/// A client, and what it has got so far.
struct Reader {
    frames: Arc<Mutex<Vec<Frame>>>,
    task: JoinHandle<()>,
}

impl Reader {
    async fn of(serve: &Serve, id: &str) -> Self {
        let mut stream = serve.stream(id, "", None).await;
        let frames = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&frames);
        let task = tokio::spawn(async move {
            while let Ok(Some(frame)) = stream.try_next().await {
                shared.lock().push(frame);
            }
        });
        Self { frames, task }
    }

    /// Waits for `count` more frames that `wanted` picks.
    async fn gets(&self, count: usize, wanted: fn(&Frame) -> bool) {
        let seen = || self.frames.lock().iter().filter(|frame| wanted(frame)).count();
        let before = seen();
        wait::until("more of a stream", async || match seen() - before {
            more if more >= count => Ok(()),
            more => Err(more),
        })
        .await;
    }

    /// All that came, once the stream is over.
    async fn rest(self) -> Vec<Frame> {
        tokio::time::timeout(wait::PATIENCE, self.task).await.expect("the end of a stream").unwrap();
        std::mem::take(&mut *self.frames.lock())
    }
}

/// An event that was shown before it was stored.
fn is_unstored(frame: &Frame) -> bool {
    frame.id.is_none() && frame.seq().is_some()
}

async fn health(serve: &Serve, wanted: Option<&str>) -> Value {
    wait::until("health", async || {
        let (status, body) = serve.get("/health/ready").await;
        let there = match wanted {
            None => status == 200 && body["status"] == "ready",
            Some(kind) => status == 503 && body["status"] == "degraded" && body["problem"]["kind"] == kind,
        };
        if there { Ok(body) } else { Err(body) }
    })
    .await
}

/// The whole run, as whoever comes now gets it.
async fn whole(serve: &Serve, id: &str) -> Vec<Frame> {
    let frames = serve.stream(id, "", None).await.rest().await;
    assert!(frames.iter().all(|frame| frame.kind() != "STREAM_GAP"), "{id} has a gap");
    let events: Vec<Frame> = frames.into_iter().filter(Frame::is_event).collect();
    assert_eq!(seqs(&events), (1..=events.len() as u64).collect::<Vec<_>>(), "{id} is gapless");
    events
}

/// A reader that was there all the time got each event once and in order, some of them without an id; and its last id opens a
/// stream of what had none yet.
async fn check(serve: &Serve, id: &str, frames: &[Frame], whole: &[Frame]) {
    let got: Vec<&Value> =
        frames.iter().filter(|f| f.seq().is_some()).filter_map(|f| f.data.as_ref()).collect();
    let all: Vec<&Value> = whole.iter().filter_map(|frame| frame.data.as_ref()).collect();
    assert_eq!(got, all, "{id}");
    assert!(frames.iter().filter(|frame| is_unstored(frame)).count() >= 10, "few events came without an id");
    let last_id = frames.iter().rev().find_map(|frame| frame.id.clone()).unwrap();
    let mut rest = serve.stream(id, "", Some(&last_id)).await;
    let rest = if rest.status == 204 { vec![] } else { rest.rest().await };
    let rest: Vec<Frame> = rest.into_iter().filter(Frame::is_event).collect();
    let behind = whole.iter().position(|frame| offset(frame) > offset_of(&last_id)).unwrap_or(whole.len());
    assert_eq!(rest, whole[behind..], "what follows {last_id}");
}

fn offset(frame: &Frame) -> u64 {
    offset_of(frame.id.as_deref().unwrap())
}

fn offset_of(id: &str) -> u64 {
    id.rsplit('-').next().unwrap().parse().unwrap()
}

fn calm(serve: &Serve) {
    let stderr = serve.stderr();
    assert!(!stderr.contains("panicked"), "{stderr}");
}

fn serve_on(disk: &Disk) -> Serve {
    Serve::with(&[("DIPEO_DATA_DIR", disk.path().to_str().unwrap())])
}

// What happens.

/// A fault comes and goes while a run is under way; the run ends in the middle of it, or after it.
async fn survive(mut serve: Serve, kind: &str, ends_in_it: bool, begin: impl FnOnce(), end: impl FnOnce()) {
    let id = talk(&serve).await;
    let reader = Reader::of(&serve, &id).await;
    reader.gets(5, Frame::is_event).await;
    let theirs = json!({"execution_id": "theirs", "diagram_name": "theirs"});
    assert_eq!(serve.post("/api/v1/executions", &theirs).await.0, 201);
    begin();
    let problem = health(&serve, Some(kind)).await;
    assert!(!problem["problem"]["detail"].as_str().unwrap().is_empty(), "{problem}");
    assert_eq!(serve.get("/health/live").await.0, 200);
    reader.gets(20, is_unstored).await;
    // Runs of our own begin and end all the same; an engine that can send its events again is asked to.
    let brief = serve.run(&diagrams::bash("echo brief")).await;
    assert_eq!(serve.ended(&brief).await["status"], "COMPLETED");
    assert_eq!(post_theirs(&serve, "RUNNING").await, 503);
    if ends_in_it {
        serve.put("enough", "");
        let state = serve.ended(&id).await;
        assert_eq!(state["status"], "COMPLETED", "{state}");
        // It is told to the end though nothing of it can be stored.
        let frames = reader.rest().await;
        let last = frames.iter().rev().find(|frame| frame.seq().is_some()).unwrap();
        assert_eq!(last.data.as_ref().unwrap()["data"]["status"], "COMPLETED");
        assert!(is_unstored(last), "{last:?}");
        end();
        health(&serve, None).await;
        let whole = whole(&serve, &id).await;
        check(&serve, &id, &frames, &whole).await;
    } else {
        end();
        health(&serve, None).await;
        reader.gets(20, Frame::is_event).await;
        serve.put("enough", "");
        let frames = reader.rest().await;
        let whole = whole(&serve, &id).await;
        check(&serve, &id, &frames, &whole).await;
    }
    assert_eq!(post_theirs(&serve, "COMPLETED").await, 200);
    assert_eq!(whole(&serve, "theirs").await.len(), 2);
    let last = whole(&serve, &brief).await.pop().unwrap();
    assert_eq!(last.data.unwrap()["data"]["status"], "COMPLETED");
    let before = whole(&serve, &id).await;
    assert!(tokio::task::block_in_place(|| serve.terminate()).success());
    serve.start_again();
    assert_eq!(whole(&serve, &id).await, before, "it is stored");
    calm(&serve);
}

async fn post_theirs(serve: &Serve, status: &str) -> u16 {
    let event =
        json!({"type": "EXECUTION_STATUS_CHANGED", "execution_id": "theirs", "data": {"status": status}});
    serve.post("/api/v1/executions/theirs/events", &json!([event])).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk() {
    let Some(disk) = Disk::tmpfs(4) else { return };
    survive(serve_on(&disk), "full", true, || disk.fill(), || disk.empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_for_a_while() {
    let Some(disk) = Disk::tmpfs(8) else { return };
    survive(serve_on(&disk), "full", false, || disk.fill(), || disk.empty()).await;
}

/// Another process that has the store to itself.
struct Intruder(Child);

impl Intruder {
    fn enter(store: &Path) -> Self {
        let code = "import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
db.execute('BEGIN EXCLUSIVE')
print('in', flush=True)
time.sleep(1000)";
        let mut command = Command::new("python3");
        let mut child =
            command.args(["-c", code, store.to_str().unwrap()]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "in\n");
        Self(child)
    }
}

impl Drop for Intruder {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_another_process_locks() {
    for ends_in_it in [false, true] {
        let serve = Serve::start();
        let store = serve.dir.path().join("data/log.sqlite");
        let intruder = Mutex::new(None);
        let begin = || *intruder.lock() = Some(Intruder::enter(&store));
        survive(serve, "locked", ends_in_it, begin, || drop(intruder.lock().take())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs() {
    for ends_in_it in [false, true] {
        let Some(disk) = Disk::ext4(32) else { return };
        let Some(frozen) = disk.freeze() else { return };
        drop(frozen);
        let serve = serve_on(&disk);
        let frozen = Mutex::new(None);
        let begin = || *frozen.lock() = disk.freeze();
        survive(serve, "stalled", ends_in_it, begin, || drop(frozen.lock().take())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_turns_read_only() {
    let Some(disk) = Disk::ext4(32) else { return };
    let mut serve = serve_on(&disk);
    let id = talk(&serve).await;
    let reader = Reader::of(&serve, &id).await;
    reader.gets(5, Frame::is_event).await;
    // What the kernel does to a file system that it found damaged; nothing but a new mount ends it.
    disk.remount("abort");
    health(&serve, Some("read_only")).await;
    reader.gets(20, is_unstored).await;
    serve.put("enough", "");
    assert_eq!(serve.ended(&id).await["status"], "COMPLETED");
    let frames = reader.rest().await;
    let seen: Vec<u64> = frames.iter().filter_map(Frame::seq).collect();
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>(), "everything was told");
    // It does not wait for what will not come.
    let begin = std::time::SystemTime::now();
    assert!(tokio::task::block_in_place(|| serve.terminate()).success());
    assert!(begin.elapsed().unwrap() < std::time::Duration::from_secs(15));
    assert!(serve.stderr().contains("they are lost"), "{}", serve.stderr());
    calm(&serve);
}

/// `dipeo run` with its data directory on `disk`.
fn run_on(disk: &Disk, diagram: &str) -> Output {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("a.light.yaml"), diagram).unwrap();
    let mut command = dipeo::command();
    command.env("DIPEO_DATA_DIR", disk.path()).current_dir(dir.path());
    let output = command.args(["run", "a.light.yaml", "--json"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fills_its_disk_or_finds_it_full_or_read_only_completes() {
    let Some(disk) = Disk::tmpfs(1) else { return };
    let diagram = diagrams::python("for n in range(1500): print('line', n, 'x' * 2000)\nresult = 'done'");
    let check = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let number = |line: &Value| {
            let message = line["data"]["message"].as_str()?.strip_prefix("line ")?;
            message.split(' ').next()?.parse::<usize>().ok()
        };
        assert_eq!(lines.iter().filter_map(number).collect::<Vec<_>>(), (0..1500).collect::<Vec<_>>());
    };
    let output = run_on(&disk, &diagram);
    check(&output);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("they are lost"), "it says what its history lacks: {stderr}");
    disk.fill();
    check(&run_on(&disk, &diagram));
    disk.empty();
    disk.remount("ro");
    let output = run_on(&disk, &diagram);
    check(&output);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("in memory"), "it says that its history is not kept: {stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_a_gap_of_just_that_size() {
    let Some(disk) = Disk::tmpfs(4) else { return };
    let path = disk.path();
    let env = [("DIPEO_DATA_DIR", path.to_str().unwrap()), ("DIPEO_LOG_BACKLOG_BYTES", "100000")];
    let serve = Serve::with(&env);
    let id = talk(&serve).await;
    let reader = Reader::of(&serve, &id).await;
    reader.gets(5, Frame::is_event).await;
    disk.fill();
    health(&serve, Some("full")).await;
    let lost = wait::until("events that are given up", async || {
        let problem = serve.get("/health/ready").await.1["problem"].clone();
        if problem["lost"].as_u64() > Some(20) { Ok(()) } else { Err(problem) }
    });
    lost.await;
    serve.put("enough", "");
    assert_eq!(serve.ended(&id).await["status"], "COMPLETED");
    let frames = reader.rest().await;
    let seen: Vec<u64> = frames.iter().filter_map(Frame::seq).collect();
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>(), "who watched got everything");
    let lost = serve.get("/health/ready").await.1["problem"]["lost"].as_u64().unwrap();
    disk.empty();
    health(&serve, None).await;

    let later = serve.stream(&id, "", None).await.rest().await;
    let (mut kept, mut gaps, mut at) = (Vec::new(), 0, None);
    for frame in &later {
        if frame.kind() == "STREAM_GAP" {
            let data = &frame.data.as_ref().unwrap()["data"];
            assert_eq!((&data["reason"], &data["reset"]), (&json!("evicted"), &json!(false)));
            assert_eq!(
                at.as_deref().map(Value::from).as_ref(),
                Some(&data["from"]),
                "it begins behind the last event"
            );
            gaps += offset_of(data["to"].as_str().unwrap()) - offset_of(data["from"].as_str().unwrap());
            at = data["to"].as_str().map(str::to_owned);
        } else if frame.is_event() {
            kept.push(frame);
            at.clone_from(&frame.id);
        }
    }
    // There was no other run: positions are those of this one.
    assert_eq!((gaps, kept.len() as u64 + gaps), (lost, seen.len() as u64));
    for frame in &kept {
        let told = frames.iter().find(|told| told.seq() == frame.seq()).unwrap();
        assert_eq!(told.data, frame.data);
    }
    assert_eq!(kept.last().unwrap().data.as_ref().unwrap()["data"]["status"], "COMPLETED");
    let (_, state) = serve.get(&format!("/api/v1/executions/{id}")).await;
    assert_eq!(state["status"], "COMPLETED");
    works(&serve).await;
    calm(&serve);
}

// Damage.

fn damaged(data: &Path) -> Vec<String> {
    let names = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names
        .filter(|name| {
            name.starts_with("log.sqlite.damaged-") && !name.ends_with("-wal") && !name.ends_with("-shm")
        })
        .collect()
}

/// A gap that tells to start over comes first to whoever has an id of the earlier life.
async fn gets_a_reset(serve: &Serve, path: &str, id: &str) {
    let mut stream = Sse::open(&format!("{}{path}", serve.url), Some(id)).await;
    let gap = async {
        loop {
            let frame = stream.next().await.expect("a gap");
            assert!(!frame.is_event(), "{frame:?} came before the gap");
            if frame.kind() == "STREAM_GAP" {
                return frame.data.unwrap()["data"].clone();
            }
        }
    };
    let data = tokio::time::timeout(wait::PATIENCE, gap).await.expect("a gap");
    assert_eq!((&data["reason"], &data["reset"]), (&json!("foreign_epoch"), &json!(true)));
}

async fn works(serve: &Serve) {
    health(serve, None).await;
    let id = serve.run(&diagrams::bash("echo it works")).await;
    assert_eq!(serve.ended(&id).await["status"], "COMPLETED");
    whole(serve, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_cut_short_while_nobody_had_it_open() {
    for keep in [0, 100, 4096, 20_000] {
        let mut serve = Serve::start();
        let data = serve.dir.path().join("data");
        let id = serve.run(&diagrams::python("for n in range(200): print(n, 'x' * 500)")).await;
        serve.ended(&id).await;
        let last_id = whole(&serve, &id).await.last().unwrap().id.clone().unwrap();
        assert!(tokio::task::block_in_place(|| serve.terminate()).success());
        let store = std::fs::OpenOptions::new().write(true).open(data.join("log.sqlite")).unwrap();
        assert!(store.metadata().unwrap().len() > 100_000);
        store.set_len(keep).unwrap();

        serve.start_again();
        assert_eq!(serve.get(&format!("/api/v1/executions/{id}")).await.0, 404, "{keep}");
        gets_a_reset(&serve, "/sse/executions", &last_id).await;
        works(&serve).await;
        assert_eq!(damaged(&data).len(), 1, "{keep}: {:?}", damaged(&data));
        calm(&serve);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_scribbled_on() {
    let mut serve = Serve::start();
    let data = serve.dir.path().join("data");
    let old = serve.run(&diagrams::python("for n in range(300): print(n, 'x' * 500)")).await;
    serve.ended(&old).await;
    let last_id = whole(&serve, &old).await.last().unwrap().id.clone().unwrap();
    assert!(tokio::task::block_in_place(|| serve.terminate()).success());
    let mut store = std::fs::OpenOptions::new().write(true).open(data.join("log.sqlite")).unwrap();
    let size = store.metadata().unwrap().len();
    std::io::Seek::seek(&mut store, std::io::SeekFrom::Start(size / 4)).unwrap();
    store.write_all(&vec![0xa5; usize::try_from(size / 2).unwrap()]).unwrap();

    serve.start_again();
    // Whoever reads there finds it out.
    wait::until("a new life of the log", async || {
        let mut stream = serve.stream(&old, "", None).await;
        let (status, mut frames) = (stream.status, Vec::new());
        let rest = async {
            while let Ok(Some(frame)) = stream.try_next().await {
                frames.push(frame);
            }
        };
        if tokio::time::timeout(wait::PATIENCE / 2, rest).await.is_err() {
            panic!("a stream neither goes on nor ends: {:#?}", &frames[frames.len().saturating_sub(5)..]);
        }
        if status == 404 { Ok(()) } else { Err(status) }
    })
    .await;
    assert_eq!(damaged(&data).len(), 1, "{:?}", damaged(&data));
    // Only then everybody knows of it.
    health(&serve, None).await;
    gets_a_reset(&serve, "/sse/executions", &last_id).await;
    works(&serve).await;
    calm(&serve);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_cut_short_or_deleted_while_it_is_open() {
    for fault in ["truncate", "halve", "delete"] {
        let mut serve = Serve::start();
        let data = serve.dir.path().join("data");
        // Something that lies in the main file.
        let old = serve.run(&diagrams::python("for n in range(200): print(n, 'x' * 500)")).await;
        serve.ended(&old).await;
        let last_id = whole(&serve, &old).await.last().unwrap().id.clone().unwrap();
        assert!(tokio::task::block_in_place(|| serve.terminate()).success());
        serve.start_again();

        let id = talk(&serve).await;
        let reader = Reader::of(&serve, &id).await;
        reader.gets(5, Frame::is_event).await;
        let store = data.join("log.sqlite");
        let file = std::fs::OpenOptions::new().write(true).open(&store).unwrap();
        match fault {
            "truncate" => file.set_len(0).unwrap(),
            "halve" => file.set_len(file.metadata().unwrap().len() / 2).unwrap(),
            _ => std::fs::remove_file(&store).unwrap(),
        }
        // Somebody looks for what is gone, which also shows that it is gone.
        wait::until("a new life of the log", async || {
            let seen = serve.get(&format!("/api/v1/executions/{old}")).await;
            let aside = damaged(&data);
            let renewed = seen.0 == 404 && (fault == "delete" || aside.len() == 1);
            if renewed { Ok(()) } else { Err((seen, aside)) }
        })
        .await;
        health(&serve, None).await;
        gets_a_reset(&serve, "/sse/executions", &last_id).await;
        serve.put("enough", "");
        assert_eq!(serve.ended(&id).await["status"], "COMPLETED", "{fault}");
        let frames = reader.rest().await;
        let last = frames.iter().rev().find(|frame| frame.seq().is_some()).unwrap();
        assert_eq!(last.data.as_ref().unwrap()["data"]["status"], "COMPLETED", "{fault}");
        let seen: Vec<u64> = frames.iter().filter_map(Frame::seq).collect();
        assert!(seen.is_sorted(), "{fault}");
        works(&serve).await;
        calm(&serve);
    }
}
