//! A real `dipeo serve`, and its API as a stranger would call it.

use std::{
    fs::OpenOptions,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{dipeo, sse::Sse, wait};

/// A server process with folders of its own. Killed when dropped.
#[derive(Debug)]
pub struct Serve {
    child: Child,
    /// Where it listens, such as `http://127.0.0.1:1234`.
    pub url: String,
    /// Relative paths of diagrams start here.
    pub dir: TempDir,
    env: Vec<(String, String)>,
}

/// Where its standard error goes, below its directory.
const STDERR: &str = ".stderr";

impl Serve {
    /// Starts a server with default bounds.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a server with more settings, as environment variables.
    ///
    /// # Panics
    ///
    /// When it does not say where it listens.
    pub fn with(env: &[(&str, &str)]) -> Self {
        Self::within(TempDir::new().unwrap(), env)
    }

    /// Starts a server with its folders in `dir`; its data directory is `data` in there.
    ///
    /// # Panics
    ///
    /// When it does not say where it listens.
    #[must_use]
    pub fn within(dir: TempDir, env: &[(&str, &str)]) -> Self {
        let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (child, url) = spawn(dipeo::command(), dir.path(), "0", &env);
        Self { child, url, dir, env }
    }

    /// Starts a server that may have so many files and sockets open.
    ///
    /// # Panics
    ///
    /// When it does not say where it listens.
    #[must_use]
    pub fn with_descriptors(count: usize) -> Self {
        let dir = TempDir::new().unwrap();
        let mut command = Command::new("bash");
        command.args(["-c", &format!("ulimit -n {count}; exec \"$0\" \"$@\"")]).arg(dipeo::bin());
        let (child, url) = spawn(command, dir.path(), "0", &[]);
        Self { child, url, dir, env: vec![] }
    }

    /// Stops it, and starts another one with the same settings at the same address.
    ///
    /// # Panics
    ///
    /// When the new one does not say where it listens.
    pub fn restart(&mut self) {
        self.terminate();
        self.start_again();
    }

    /// Starts another one with the same settings at the same address, once this one has ended.
    ///
    /// # Panics
    ///
    /// When the new one does not say where it listens.
    pub fn start_again(&mut self) {
        let (_, port) = self.url.rsplit_once(':').unwrap();
        (self.child, _) = spawn(dipeo::command(), self.dir.path(), port, &self.env);
    }

    /// Ends it with SIGKILL.
    ///
    /// # Panics
    ///
    /// When it is not there.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it, and those that it replaced, wrote to standard error.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.path().join(STDERR)).unwrap_or_default()).into_owned()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it SIGTERM and waits for its end.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.child.wait().unwrap()
    }

    /// Starts a run and returns its id.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub async fn run(&self, diagram: &str) -> String {
        let (status, body) =
            self.post("/api/v1/executions", &json!({"diagram": diagram, "name": "test.light.yaml"})).await;
        assert_eq!(status, 201, "{body}");
        body["execution_id"].as_str().unwrap().to_owned()
    }

    /// POSTs JSON.
    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = http().post(format!("{}{path}", self.url)).json(body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    /// GETs JSON.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        let response = http().get(format!("{}{path}", self.url)).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    /// The stream of one run.
    pub async fn stream(&self, execution: &str, query: &str, last_id: Option<&str>) -> Sse {
        Sse::open(&format!("{}/sse/executions/{execution}{query}", self.url), last_id).await
    }

    /// The state of a run, once it has ended.
    pub async fn ended(&self, execution: &str) -> Value {
        wait::until("the end of a run", async || {
            let (_, state) = self.get(&format!("/api/v1/executions/{execution}")).await;
            let status = state["status"].as_str().unwrap_or_default();
            if matches!(status, "COMPLETED" | "FAILED" | "ABORTED") { Ok(state) } else { Err(state) }
        })
        .await
    }

    /// A figure of `/proc/<pid>/status` in bytes, such as `VmRSS`.
    #[must_use]
    pub fn memory(&self, figure: &str) -> usize {
        memory(self.child.id(), figure)
    }

    /// Puts a file beside the diagrams.
    pub fn put(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn spawn(mut command: Command, dir: &Path, port: &str, env: &[(String, String)]) -> (Child, String) {
    let stderr = OpenOptions::new().create(true).append(true).open(dir.join(STDERR)).unwrap();
    let mut child = command
        .args(["serve", "--port", port])
        .current_dir(dir)
        .env("DIPEO_DATA_DIR", dir.join("data"))
        .envs(env.iter().cloned())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = lines
        .find_map(|line| {
            let line = line.unwrap();
            line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
        })
        .expect("dipeo serve says where it listens");
    (child, url.trim_end_matches('/').to_owned())
}

impl Drop for Serve {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
        if std::thread::panicking() {
            show(&self.stderr());
        }
    }
}

#[allow(clippy::print_stderr, reason = "what the server said belongs to what the test says")]
fn show(stderr: &str) {
    eprintln!("--- standard error of the server:\n{stderr}---");
}

/// A figure of `/proc/<pid>/status` in bytes.
#[must_use]
pub fn memory(pid: u32, figure: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}
