//! `dipeo executions`, `dipeo log` and `dipeo config`, as a shell sees them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use tests::{
    diagrams,
    dipeo::{self, Outcome, call},
    serve::Serve,
};

/// A folder with diagrams and a data directory.
struct House {
    dir: TempDir,
    data: PathBuf,
}

impl House {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("data");
        Self { dir, data }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    async fn call(&self, args: &[&str]) -> Outcome {
        call(self.path(), &self.data, args).await
    }

    /// Calls, and expects that all goes well and that there is nothing to complain of.
    async fn good(&self, args: &[&str]) -> String {
        let Outcome { code, out, err } = self.call(args).await;
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}: {out}");
        out
    }

    /// Calls, and expects a refusal that says `said`.
    async fn refused(&self, args: &[&str], said: &str) {
        let Outcome { code, out, err } = self.call(args).await;
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(said), "{args:?} should say {said:?}: {err}");
    }

    /// Runs `diagram` and returns what `--json` showed of it.
    async fn run(&self, diagram: &str, name: &str) -> Vec<String> {
        let diagram =
            diagram.replace("version: light", &format!("version: light\nmetadata: {{name: {name}}}"));
        std::fs::write(self.path().join("d.yaml"), diagram).unwrap();
        let Outcome { out, err, .. } = self.call(&["run", "d.yaml", "--json"]).await;
        assert!(err.starts_with("monitor ") && err.lines().count() == 1, "{err}");
        out.lines().map(str::to_owned).collect()
    }
}

fn id(events: &[String]) -> String {
    json(&events[0])["execution_id"].as_str().unwrap().to_owned()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(json).collect()
}

/// An event without its place in one log.
fn placeless(line: &str) -> Value {
    let mut event = json(line);
    event.as_object_mut().unwrap().remove("cursor").unwrap();
    event
}

#[tokio::test]
async fn what_ran_is_found_again() {
    let house = House::new();
    let good = house.run(&diagrams::bash("echo hi; echo ho"), "greeting").await;
    let bad = house.run(&diagrams::bash("exit 3"), "failing").await;
    let (good_id, bad_id) = (id(&good), id(&bad));

    let table = house.good(&["executions", "list"]).await;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    let names: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(names, ["ID", "STATUS", "DIAGRAM", "STARTED", "DURATION", "EVENTS", "PINNED", "SOURCE"]);
    // Newest first, each below its head.
    assert!(lines[1].starts_with(&format!("{bad_id}  COMPLETED  failing   20")), "{table}");
    assert!(lines[2].starts_with(&format!("{good_id}  COMPLETED  greeting  20")), "{table}");
    let end_of_events = lines[0].find("EVENTS").unwrap() + "EVENTS".len();
    assert_eq!(lines[2][..end_of_events].trim_end(), lines[2], "{table}");
    assert!(lines[2].ends_with(&format!(" {}", good.len())), "{table}");

    let listed = objects(&house.good(&["executions", "list", "--json"]).await);
    let ids: Vec<&str> = listed.iter().map(|run| run["execution_id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&bad_id, &good_id]);
    assert_eq!((&listed[0]["failed_nodes"], &listed[1]["diagram_name"]), (&1.into(), &"greeting".into()));
    let one = house.good(&["executions", "list", "--json", "--limit", "1"]).await;
    assert_eq!(objects(&one)[0]["execution_id"], *bad_id);
    let Outcome { code, out, err } = house.call(&["executions", "list", "--status", "failed"]).await;
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", "there are no such runs\n"));
    let completed = house.good(&["executions", "list", "--status", "completed", "--limit", "0"]).await;
    assert_eq!(completed, table);

    // Exactly what whoever watched it saw.
    let events = house.good(&["executions", "events", &good_id, "--json"]).await;
    assert_eq!(events.lines().collect::<Vec<_>>(), good);
    let logs = house.good(&["executions", "events", &good_id, "--json", "--types", "EXECUTION_LOG,X"]).await;
    let messages: Vec<Value> = objects(&logs).iter().map(|event| event["data"]["message"].clone()).collect();
    assert_eq!(messages, ["hi", "ho"]);
    let third = json(&good[2])["cursor"].as_str().unwrap().to_owned();
    for more in [&[][..], &["--follow"]] {
        let args = [&["executions", "events", &good_id, "--json", "--from", &third][..], more].concat();
        assert_eq!(house.good(&args).await.lines().collect::<Vec<_>>(), good[3..], "{args:?}");
    }
    let shown = house.good(&["executions", "events", &good_id]).await;
    assert!(shown.contains(" LOG       Work | hi\n"), "{shown}");
    assert!(shown.lines().last().unwrap().ends_with(&format!(" COMPLETED {good_id}")), "{shown}");

    let shown = house.good(&["executions", "show", &bad_id]).await;
    assert!(shown.starts_with(&format!("COMPLETED {bad_id} in ")), "{shown}");
    for said in ["\nfailed    Work: ", "\ndiagram   failing", &format!("\nevents    {}\n", bad.len())] {
        assert!(shown.contains(said), "{said:?}: {shown}");
    }
    let node = shown.lines().find(|line| line.contains("code_job")).unwrap();
    assert!(node.contains("FAILED") && node.ends_with("1  Work"), "{shown}");
    let state = json(&house.good(&["executions", "show", &good_id, "--json"]).await);
    assert_eq!((&state["status"], &state["last_seq"]), (&"COMPLETED".into(), &good.len().into()));
    // Its cursor goes as far as the log does, and the state there is the same.
    let end = state["cursor"].as_str().unwrap();
    let at_end = json(&house.good(&["executions", "show", &good_id, "--json", "--at", end]).await);
    assert_eq!(at_end, state);
    let then = json(&house.good(&["executions", "show", &good_id, "--json", "--at", &third]).await);
    assert_eq!(
        (&then["status"], &then["last_seq"], &then["cursor"]),
        (&"RUNNING".into(), &3.into(), &third.into())
    );
}

#[tokio::test]
async fn runs_are_removed_and_kept() {
    let house = House::new();
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        ids.push(id(&house.run(&diagrams::bash("echo hi"), name).await));
    }
    let pinned = house.good(&["executions", "pin", &ids[0], &ids[1]]).await;
    assert_eq!(pinned, format!("pinned {}\npinned {}\n", ids[0], ids[1]));
    assert_eq!(house.good(&["executions", "unpin", &ids[1]]).await, format!("unpinned {}\n", ids[1]));
    let listed = house.good(&["executions", "list"]).await;
    let marked: Vec<bool> = listed.lines().skip(1).map(|line| line.ends_with(" pinned")).collect();
    assert_eq!(marked, [false, false, true], "{listed}");

    // What is refused does not keep the rest from being done.
    let Outcome { code, out, err } = house.call(&["executions", "delete", &ids[2], "nobody", &ids[1]]).await;
    assert_eq!((code, out), (2, format!("deleted {}\ndeleted {}\n", ids[2], ids[1])));
    assert!(err.starts_with("error: ") && err.contains("nobody") && err.lines().count() == 1, "{err}");
    let left = objects(&house.good(&["executions", "list", "--json"]).await);
    assert_eq!(left.len(), 1);
    for command in ["show", "events", "export", "pin", "delete"] {
        house.refused(&["executions", command, &ids[2]], &ids[2]).await;
        house.refused(&["executions", command, "a/b"], "a/b").await;
    }
    assert!(!house.path().join(format!("{}.ndjson.gz", ids[2])).exists());
}

#[tokio::test]
async fn what_runs_can_be_followed_and_not_removed() {
    let serve = Serve::start();
    let data = serve.dir.path().join("data");
    let run = serve.run(&diagrams::bash("echo hi; while ! [ -e go ]; do sleep 0.02; done")).await;
    let in_place = ["--server", &serve.url];
    for place in [&[][..], &in_place] {
        let args = [&["executions", "delete", &run][..], place].concat();
        let Outcome { code, out, err } = call(serve.dir.path(), &data, &args).await;
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.contains("has not ended; abort it first"), "{err}");
    }
    let mut follower = tokio::process::Command::from(dipeo::command_on(&data));
    follower.args(["executions", "events", &run, "--follow", "--json"]).current_dir(serve.dir.path());
    let follower = follower.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let listed =
        call(serve.dir.path(), &data, &["executions", "list", "--status", "RUNNING", "--json"]).await;
    assert_eq!(objects(&listed.out)[0]["execution_id"], *run);
    serve.put("go", "");
    serve.ended(&run).await;
    let output =
        tokio::time::timeout(tests::wait::PATIENCE, follower.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success());
    let followed = String::from_utf8(output.stdout).unwrap();
    let paged = call(serve.dir.path(), &data, &["executions", "events", &run, "--json"]).await;
    assert_eq!(followed, paged.out);
    let seqs: Vec<u64> = objects(&followed).iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    // A stranger's directory is not asked where the server is named.
    let elsewhere = House::new();
    let shown = elsewhere.good(&[&["executions", "show", &run][..], &in_place].concat()).await;
    assert!(shown.starts_with(&format!("COMPLETED {run}")), "{shown}");
    assert!(!elsewhere.data.exists());
}

#[tokio::test]
async fn a_run_moves_to_another_install_in_one_file() {
    let (here, there) = (House::new(), House::new());
    // One output is too large for its event, and comes along.
    let events = here.run(&diagrams::python("print('hi'); result = 'x' * 200_000"), "large").await;
    let run = id(&events);
    let file = format!("{run}.ndjson.gz");
    let said = here.good(&["executions", "export", &run]).await;
    assert!(said.starts_with(&format!("exported {run} to {file} (")), "{said}");
    let path = here.path().join(&file);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes[..2], [0x1f, 0x8b], "it is compressed");

    // Nothing is replaced unless that is wished, and nothing half is left.
    std::fs::write(&path, "precious").unwrap();
    here.refused(&["executions", "export", &run], "--force replaces it").await;
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    here.good(&["executions", "export", &run, "--force"]).await;
    here.refused(&["executions", "export", "nobody", "-o", "other.gz"], "nobody").await;
    let Outcome { code, err, .. } = here.call(&["executions", "export", &run, "-o", "none/other.gz"]).await;
    assert_eq!(code, 1);
    assert!(err.contains("none/other.gz") && err.contains("can't be written"), "{err}");
    let left: Vec<_> =
        std::fs::read_dir(here.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".part")), "{left:?}");
    let mut piped = tokio::process::Command::from(dipeo::command_on(&here.data));
    piped.args(["executions", "export", &run, "-o", "-"]).current_dir(here.path());
    let piped = piped.output().await.unwrap();
    assert!(piped.status.success() && piped.stdout.starts_with(&[0x1f, 0x8b]));

    // Once from the file, once from standard input.
    let said = there.good(&["executions", "import", path.to_str().unwrap()]).await;
    assert_eq!(said, format!("imported {run} ({} events)\n", events.len()));
    there.refused(&["executions", "import", path.to_str().unwrap()], "is there already").await;
    let third = House::new();
    let mut import = dipeo::command_on(&third.data);
    import.args(["executions", "import", "-"]).current_dir(third.path());
    import.stdin(std::fs::File::open(&path).unwrap());
    let output = tokio::process::Command::from(import).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");

    let expected: Vec<Value> = events.iter().map(|line| placeless(line)).collect();
    for house in [&there, &third] {
        let got = house.good(&["executions", "events", &run, "--json"]).await;
        assert_eq!(got.lines().map(placeless).collect::<Vec<_>>(), expected);
        let listed = house.good(&["executions", "list"]).await;
        assert!(listed.contains(&run) && listed.contains("large"), "{listed}");
    }
    for (name, content) in [("no.gz", &b"not compressed"[..]), ("half.gz", &bytes[..bytes.len() / 2])] {
        std::fs::write(there.path().join(name), content).unwrap();
        there.refused(&["executions", "import", name], name).await;
    }
    there.refused(&["executions", "import", "none.gz"], "error: none.gz: can't be read").await;
    assert_eq!(there.good(&["executions", "list", "--json"]).await.lines().count(), 1);
}

#[tokio::test]
async fn the_log_has_figures() {
    let house = House::new();
    let events = house.run(&diagrams::bash("echo hi"), "one").await;
    let stats = json(&house.good(&["log", "stats", "--json"]).await);
    assert_eq!(
        (&stats["stats"]["runs"], &stats["stats"]["records"], &stats["health"]),
        (&1.into(), &events.len().into(), &Value::Null)
    );
    let file = house.data.join("log.sqlite");
    assert!(stats["stats"]["store"]["file_bytes"].as_u64().unwrap() > 0);
    assert!(file.exists());
    let shown = house.good(&["log", "stats"]).await;
    assert!(shown.starts_with("runs         1 (1 completed)\n"), "{shown}");
    for line in
        [format!("events       {} (", events.len()), "file         ".into(), "health       good\n".into()]
    {
        assert!(shown.contains(&line), "{line}: {shown}");
    }
}

#[tokio::test]
async fn the_configuration_says_where_it_comes_from() {
    let house = House::new();
    let toml = "port = 9000\nallowed_hosts = [\"monitor.example.org\"]\n\n[log]\nmax_events_per_run = 5000\n  durability = \"power\"\n";
    std::fs::write(house.path().join("dipeo.toml"), toml).unwrap();
    let shown = {
        let mut command = dipeo::command_on(Path::new("here"));
        command.args(["config", "show"]).current_dir(house.path()).env("DIPEO_RETENTION_MAX_AGE", "30d");
        let output = tokio::process::Command::from(command).output().await.unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let lines: Vec<String> =
        shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let here = house.path().canonicalize().unwrap().join("here");
    let data_dir = format!("data_dir = {:?} # DIPEO_DATA_DIR", here.display().to_string());
    let expected = [
        "host = \"127.0.0.1\" # default",
        "port = 9000 # dipeo.toml:1:1",
        "base_dir = \".\" # default",
        "use_unified_monitoring = true # default",
        &data_dir,
        "allowed_hosts = [\"monitor.example.org\"] # dipeo.toml:2:1",
        "allowed_origins = [] # default",
        "drain_timeout = \"10 s\" # default",
        "max_body_bytes = \"16 MiB\" # default",
        "max_header_bytes = \"64 KiB\" # default",
        "max_headers = 100 # default",
        "header_timeout = \"10 s\" # default",
        "write_timeout = \"60 s\" # default",
        "max_connections = 10240 # default",
        "max_streams = 10000 # default",
        "max_runs = 100 # default",
        "max_parallel_nodes = 20 # default",
        "graphql.max_depth = 20 # default",
        "graphql.max_complexity = 1000 # default",
        "graphql.max_operations = 100 # default",
        "graphql.init_timeout = \"3 s\" # default",
        "graphql.ping_interval = \"12 s\" # default",
        "log.store = \"sqlite\" # default",
        "log.durability = \"power\" # dipeo.toml:6:3",
        "log.queue_bytes = \"16 MiB\" # default",
        "log.backlog_bytes = \"64 MiB\" # default",
        "log.stall_after = \"2 s\" # default",
        "log.max_events = 100000 # default",
        "log.max_bytes = \"64 MiB\" # default",
        "log.max_events_per_run = 5000 # dipeo.toml:5:1",
        "log.max_finished_runs = 1000 # default",
        "log.max_state_bytes = \"64 MiB\" # default",
        "retention.max_age = \"2592000 s\" # DIPEO_RETENTION_MAX_AGE",
        "retention.max_bytes = \"10 GiB\" # default",
        "retention.max_runs = 10000 # default",
        "ingest.lease = \"900 s\" # default",
        "ingest.max_runs = 1000 # default",
        "ingest.max_import_bytes = \"1 GiB\" # default",
    ];
    assert_eq!(lines, expected);

    // What it shows is a configuration: that very one.
    std::fs::write(house.path().join("shown.toml"), &shown).unwrap();
    let again = house.good(&["config", "show", "--config", "shown.toml", "--json"]).await;
    let settings = json(&again)["settings"].as_array().unwrap().clone();
    assert_eq!(settings.len(), expected.len());
    let of = |key: &str| settings.iter().find(|setting| setting["key"] == key).unwrap().clone();
    assert_eq!(of("log.queue_bytes")["value"], 16 << 20);
    assert_eq!(of("retention.max_age")["value"], 2_592_000);
    assert_eq!(of("port")["origin"], "shown.toml:2:1");

    std::fs::write(house.path().join("dipeo.toml"), "prot = 1\n").unwrap();
    house
        .refused(
            &["config", "show"],
            "error: dipeo.toml:1:1: there is no setting `prot`; did you mean `port`?",
        )
        .await;
    house.refused(&["config", "show", "--config", "none.toml"], "none.toml").await;
}

#[tokio::test]
async fn a_missing_home_is_said_with_the_way_out() {
    let house = House::new();
    let without_home = async |args: &[&str]| {
        let mut command = dipeo::command();
        command.args(args).current_dir(house.path());
        command.env_remove("DIPEO_DATA_DIR").env_remove("HOME").env_remove("XDG_DATA_HOME");
        let output = tokio::process::Command::from(command).output().await.unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, err) = without_home(&["executions", "list"]).await;
    assert_eq!(code, 2);
    assert!(err.contains("neither it nor HOME is set") && err.contains("DIPEO_DATA_DIR"), "{err}");
    let (code, err) = without_home(&["executions", "list", "--data-dir", "data"]).await;
    assert_eq!((code, err.as_str()), (0, "there are no such runs\n"));
}

#[tokio::test]
async fn without_a_word_the_log_is_where_programs_keep_data() {
    let house = House::new();
    let home = house.path().canonicalize().unwrap();
    let data_dir = async |env: &[(&str, &str)]| {
        let mut command = dipeo::command();
        command.args(["config", "show", "--json"]).current_dir(&home);
        command.env_remove("DIPEO_DATA_DIR").env_remove("XDG_DATA_HOME").env("HOME", &home);
        command.envs(env.iter().copied());
        let output = tokio::process::Command::from(command).output().await.unwrap();
        let settings =
            json(std::str::from_utf8(&output.stdout).unwrap())["settings"].as_array().unwrap().clone();
        let setting = settings.into_iter().find(|setting| setting["key"] == "data_dir").unwrap();
        assert_eq!(
            setting["origin"],
            if env.iter().any(|(name, _)| *name == "DIPEO_DATA_DIR") { "DIPEO_DATA_DIR" } else { "default" }
        );
        PathBuf::from(setting["value"].as_str().unwrap())
    };
    assert_eq!(data_dir(&[]).await, home.join(".local/share/dipeo"));
    assert_eq!(data_dir(&[("XDG_DATA_HOME", "/srv/data")]).await, Path::new("/srv/data/dipeo"));
    // The specification has relative ones passed over.
    assert_eq!(data_dir(&[("XDG_DATA_HOME", "data")]).await, home.join(".local/share/dipeo"));
    assert_eq!(data_dir(&[("DIPEO_DATA_DIR", "data")]).await, home.join("data"));
    // Looking at the configuration makes nothing.
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0);
}

#[tokio::test]
async fn help_has_examples() {
    let house = House::new();
    for command in ["list", "show", "events", "delete", "pin", "unpin", "export", "import"] {
        let help = house.good(&["executions", command, "--help"]).await;
        assert!(help.contains(&format!("dipeo executions {command}")) && help.contains("Example"), "{help}");
    }
    for args in [
        &["executions", "--help"][..],
        &["log", "--help"],
        &["log", "stats", "--help"],
        &["config", "--help"],
    ] {
        assert!(house.good(args).await.contains("Examples:"), "{args:?}");
    }
    assert!(!house.data.exists());
    house.refused(&["executions", "list", "--status", "DONE"], "PENDING, RUNNING").await;
    house.refused(&["executions", "show", "e", "--at", "x"], "--at").await;
    house
        .refused(&["executions", "list", "--server", "http://127.0.0.1:1"], "`dipeo serve` starts one")
        .await;
}
