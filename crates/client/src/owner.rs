//! Finding the process that owns a data directory, and making sure that it is the one.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::Duration,
};

use hmac::{Hmac, Mac as _};
use nix::{errno::Errno, sys::signal::kill, unistd};
use reqwest::Method;
use serde::Deserialize;
use sha2::Sha256;

use crate::{client::Client, error::ClientError};

/// What an owner leaves in its data directory.
const FILE: &str = "owner.json";

/// The most of it that is read.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// How long an owner may take to prove itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// What there is to find in a data directory.
#[derive(Debug)]
pub enum Found {
    /// Somebody who owns it, and has proved that.
    Owner(Owner),
    /// Nobody has introduced itself, or somebody who is gone. One who just comes, or goes, looks like that, too.
    Nobody {
        /// What there is instead, if there is something.
        trace: Option<String>,
    },
    /// Somebody who is not to be trusted.
    Doubtful {
        /// Why not.
        reason: String,
    },
}

/// The process that owns a data directory.
#[derive(Debug, Clone)]
pub struct Owner {
    /// Talks to it.
    pub client: Client,
    /// What kind of process it is.
    pub kind: OwnerKind,
    /// Its process.
    pub pid: i32,
}

/// What kind of process owns a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerKind {
    /// A server: it stays, and runs what it is sent.
    Serve,
    /// A run with a server of its own, which ends with it.
    Run,
    /// A command that ends at once.
    Command,
    /// One that a later version has.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Introduction {
    pid: i32,
    url: String,
    token: String,
    kind: OwnerKind,
}

#[derive(Deserialize)]
struct Proof {
    proof: String,
}

/// Looks for the owner of the data directory `dir`, and has it prove that it is: that it knows the secret which only its user
/// can read, without the secret being sent.
pub async fn find_owner(dir: &Path) -> Found {
    let introduction = match read(&dir.join(FILE)) {
        Ok(Some(introduction)) => introduction,
        Ok(None) => return Found::Nobody { trace: None },
        Err(reason) => return Found::Doubtful { reason },
    };
    let Introduction { pid, url, kind, .. } = &introduction;
    if !lives(*pid) {
        return Found::Nobody { trace: Some(format!("process {pid}, which {FILE} names, is gone")) };
    }
    let client = match Client::new(url) {
        Ok(client) if client.is_loopback() => client,
        Ok(_) => {
            let reason = format!("its owner listens at {url}, which is not an address of this machine alone");
            return Found::Doubtful { reason };
        }
        Err(error) => return Found::Doubtful { reason: format!("{FILE}: {error}") },
    };
    let doubt = match tokio::time::timeout(PATIENCE, prove(&client, &introduction)).await {
        Ok(Ok(true)) => return Found::Owner(Owner { client, kind: *kind, pid: *pid }),
        Ok(Ok(false)) => format!("whoever listens at {url} is not the owner that {FILE} names"),
        Ok(Err(ClientError::Connect { problem, .. })) => {
            let trace = Some(format!("nobody answers at {url}, which {FILE} names ({problem})"));
            return Found::Nobody { trace };
        }
        Ok(Err(error)) => {
            format!("whoever listens at {url} does not prove to be the owner that {FILE} names: {error}")
        }
        Err(_) => {
            format!("whoever listens at {url} does not prove in time to be the owner that {FILE} names")
        }
    };
    Found::Doubtful { reason: doubt }
}

/// Whether it is the owner that answers.
async fn prove(client: &Client, introduction: &Introduction) -> Result<bool, ClientError> {
    let Ok(token) = hex::decode(&introduction.token) else { return Ok(false) };
    let nonce = nonce().map_err(|error| ClientError::Transport {
        server: introduction.url.clone(),
        problem: error.to_string(),
    })?;
    let mut url = client.url(&["api", "v1", "owner"]);
    url.query_pairs_mut().append_pair("nonce", &hex::encode(nonce));
    let Proof { proof } = client.request(Method::GET, url, None).await?;
    Ok(is_proof(&proof, &token, &nonce, &introduction.url))
}

/// Whether `proof` is that of an owner with `token` who listens at `url`. Takes as long for any wrong one.
fn is_proof(proof: &str, token: &[u8], nonce: &[u8], url: &str) -> bool {
    let (Ok(proof), Ok(mut mac)) = (hex::decode(proof), Hmac::<Sha256>::new_from_slice(token)) else {
        return false;
    };
    mac.update(nonce);
    mac.update(url.as_bytes());
    mac.verify_slice(&proof).is_ok()
}

/// Reads what an owner left, if nobody else can have written or read it.
fn read(path: &Path) -> Result<Option<Introduction>, String> {
    let unreadable = |error: io::Error| format!("{FILE} can't be read: {error}");
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(format!("{FILE} is no file"));
    }
    if about.uid() != unistd::geteuid().as_raw() {
        return Err(format!("{FILE} belongs to another user"));
    }
    let mode = about.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("{FILE} is open to other users (mode {mode:o} instead of 600)"));
    }
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut text).map_err(unreadable)?;
    serde_json::from_slice(&text).map(Some).map_err(|error| format!("{FILE} is not understood: {error}"))
}

fn lives(pid: i32) -> bool {
    // 0 and negative ones are groups.
    pid > 0 && kill(unistd::Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

fn nonce() -> io::Result<[u8; 32]> {
    let mut nonce = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut nonce)?;
    Ok(nonce)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_proof_is_of_the_token_the_nonce_and_the_address() {
        // The one that the server's own test has.
        let proof = "905ea952dee3bac1776fcdcd303f7647a76cef91884bbfd95be7c95c3759480c";
        let nonce: Vec<u8> = (0..16).collect();
        let url = "http://127.0.0.1:8000";
        assert!(is_proof(proof, &[7; 32], &nonce, url));
        assert!(!is_proof(proof, &[8; 32], &nonce, url));
        assert!(!is_proof(proof, &[7; 32], &nonce[1..], url));
        assert!(!is_proof(proof, &[7; 32], &nonce, "http://127.0.0.1:8001"));
        for wrong in ["", "0", "xx", &proof[2..], &proof.replace('9', "8")] {
            assert!(!is_proof(wrong, &[7; 32], &nonce, url), "{wrong}");
        }
    }

    #[tokio::test]
    async fn what_can_not_be_trusted_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let said = async || match find_owner(dir.path()).await {
            Found::Owner(owner) => format!("{owner:?}"),
            Found::Nobody { trace } => format!("nobody: {}", trace.unwrap_or_default()),
            Found::Doubtful { reason } => format!("doubtful: {reason}"),
        };
        let write = |text: &str| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        assert_eq!(said().await, "nobody: ");
        let closed = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}", listener.local_addr().unwrap())
        };
        let introduction = |pid: u32, url: &str| {
            format!(r#"{{"pid":{pid},"url":"{url}","token":"00","kind":"serve","version":"9","x":1}}"#)
        };
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let own = std::process::id();
        for (text, expected) in [
            ("{".to_owned(), "doubtful: owner.json is not understood: EOF"),
            (introduction(child.id(), &closed), "is gone"),
            (introduction(0, &closed), "nobody: process 0, which owner.json names, is gone"),
            (introduction(own, &closed), "nobody: nobody answers at http://127.0.0.1:"),
            (introduction(own, "http://192.0.2.1:1"), "which is not an address of this machine alone"),
            (introduction(own, "file:///etc"), "doubtful: owner.json: "),
        ] {
            write(&text);
            let said = said().await;
            assert!(said.contains(expected), "{text}: {said}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(said().await, "doubtful: owner.json is open to other users (mode 640 instead of 600)");
    }
}
