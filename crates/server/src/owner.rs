//! Who owns a data directory, and how a process that finds an owner there can be sure of it.
//!
//! The owner leaves `owner.json`, readable by its user only, beside the log: where it listens, and a secret. Whoever could read
//! that file asks `GET /api/v1/owner?nonce=…`; the answer is a proof that only somebody who knows the secret can give, of this
//! nonce and at this address. So nobody sends a diagram, which is code, to a program that merely listens on a port which the
//! owner once had, and the secret itself never travels.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::{Query, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use core_events::Timestamp;
use hmac::{Hmac, Mac as _};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Sha256;
use transport_rest::Problem;

/// The file in the data directory.
const FILE: &str = "owner.json";

/// Bytes that a nonce may have.
const NONCE: std::ops::RangeInclusive<usize> = 16..=64;

/// What kind of process owns a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerKind {
    /// A server: it stays, and runs what it is sent.
    Serve,
    /// A run with a server of its own, which ends with it.
    Run,
    /// A command that looks into the log, or changes it, and ends at once.
    Command,
}

/// The content of `owner.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Introduction {
    pid: u32,
    url: String,
    token: String,
    kind: OwnerKind,
    version: String,
    started_at: Timestamp,
}

/// This process as the owner of a data directory. Dropping it withdraws `owner.json`.
pub(crate) struct Owner {
    file: PathBuf,
    url: String,
    kind: OwnerKind,
    token: [u8; 32],
    withdrawn: AtomicBool,
}

#[derive(Deserialize)]
struct Asked {
    nonce: Option<String>,
}

// === impl Owner ===

impl Owner {
    /// Introduces this process, which listens at `address`, as the owner of `dir`. The caller holds the lock of the log in there.
    pub(crate) fn announce(
        dir: &Path,
        address: SocketAddr,
        kind: OwnerKind,
        now: Timestamp,
    ) -> io::Result<Self> {
        let mut token = [0; 32];
        fs::File::open("/dev/urandom")?.read_exact(&mut token)?;
        let url = format!("http://{}", reachable(address));
        let introduction = Introduction {
            pid: std::process::id(),
            url: url.clone(),
            token: hex::encode(token),
            kind,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: now,
        };
        let file = dir.join(FILE);
        let new = dir.join(format!("{FILE}.new"));
        // What a process that was killed in here has left. The lock is ours.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        written.write_all(&serde_json::to_vec(&introduction)?)?;
        fs::rename(&new, &file)?;
        Ok(Self { file, url, kind, token, withdrawn: AtomicBool::new(false) })
    }

    /// Removes `owner.json`, so that nobody new comes here. Questions are still answered. To be called while the lock is held:
    /// afterwards the file may be another owner's.
    pub(crate) fn withdraw(&self) {
        if self.withdrawn.swap(true, Ordering::Relaxed) {
            return;
        }
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "owner.json can't be removed from the data directory");
            }
            _ => {}
        }
    }

    pub(crate) fn routes(self: Arc<Self>) -> Router {
        Router::new().route("/api/v1/owner", get(answer)).with_state(self)
    }

    fn proof(&self, nonce: &[u8]) -> Option<String> {
        // A key of any length will do.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.token).ok()?;
        mac.update(nonce);
        mac.update(self.url.as_bytes());
        Some(hex::encode(mac.finalize().into_bytes()))
    }
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the token.
        f.debug_struct("Owner").field("url", &self.url).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.withdraw();
    }
}

async fn answer(State(owner): State<Arc<Owner>>, Query(asked): Query<Asked>) -> Response {
    let nonce =
        asked.nonce.and_then(|text| hex::decode(text).ok()).filter(|nonce| NONCE.contains(&nonce.len()));
    let Some(proof) = nonce.and_then(|nonce| owner.proof(&nonce)) else {
        let detail = "`nonce` has to be 16 to 64 bytes as hexadecimal digits";
        return Problem::new(StatusCode::BAD_REQUEST, "invalid-nonce", detail).into_response();
    };
    let body = json!({ "proof": proof, "kind": owner.kind, "version": env!("CARGO_PKG_VERSION") });
    let mut response = Json(body).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Where a process on this machine reaches a server that listens at `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use axum::body::Body;
    use http::Request;
    use tower::ServiceExt as _;

    use super::*;

    fn announce(dir: &Path) -> Owner {
        let address = "0.0.0.0:8000".parse().unwrap();
        Owner::announce(dir, address, OwnerKind::Serve, Timestamp::now()).unwrap()
    }

    #[test]
    fn it_introduces_itself_to_its_own_user_and_takes_that_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("owner.json");
        std::fs::write(dir.path().join("owner.json.new"), "half a fi").unwrap();
        let owner = announce(dir.path());
        let first: Introduction = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!((first.pid, first.kind), (std::process::id(), OwnerKind::Serve));
        assert_eq!(first.url, "http://127.0.0.1:8000");
        assert!(!format!("{owner:?}").contains(&first.token));
        drop(owner);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let _owner = announce(dir.path());
        let second: Introduction = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_ne!(first.token, second.token);
    }

    #[tokio::test]
    async fn the_proof_is_of_the_nonce_and_the_address() {
        let dir = tempfile::tempdir().unwrap();
        let mut owner = announce(dir.path());
        owner.token = [7; 32];
        let routes = Arc::new(owner).routes();
        let ask = async |query: &str| {
            let request = Request::get(format!("/api/v1/owner{query}")).body(Body::empty()).unwrap();
            let response = routes.clone().oneshot(request).await.unwrap();
            let status = response.status();
            let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
            (status, serde_json::from_slice::<serde_json::Value>(&body).unwrap())
        };
        // What `client` checks, too: HMAC-SHA256 with the token as key, of the nonce and the address.
        let (status, body) = ask("?nonce=000102030405060708090a0b0c0d0e0f").await;
        assert_eq!((status, &body["kind"]), (StatusCode::OK, &json!("serve")));
        assert_eq!(body["proof"], "905ea952dee3bac1776fcdcd303f7647a76cef91884bbfd95be7c95c3759480c");
        for query in ["", "?nonce=", "?nonce=00", "?nonce=0g0102030405060708090a0b0c0d0e0f", "?nonce=0é"] {
            let (status, body) = ask(&query.replace('é', "%C3%A9")).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {body}");
        }
        assert_eq!(ask(&format!("?nonce={}", "00".repeat(65))).await.0, StatusCode::BAD_REQUEST);
    }
}
