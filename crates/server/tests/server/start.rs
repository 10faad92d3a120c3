use std::os::unix::fs::PermissionsExt;

use server::{Config, LogConfig, Server, StartupError};

use crate::support::{config, start};

#[tokio::test]
async fn a_port_that_is_taken_says_what_to_do() {
    let server = start(config()).await;
    let port = server.local_addr().port();
    let error = Server::start(Config { port, ..config() }).await.unwrap_err();
    assert!(matches!(error, StartupError::AddressInUse(_)));
    assert_eq!(
        error.to_string(),
        format!(
            "127.0.0.1:{port} is in use by another program; stop that, or choose another port with --port (0 takes any \
             that is free)"
        )
    );
    server.stop().await;
    // And it is free again afterwards.
    start(Config { port, ..config() }).await.stop().await;
}

#[tokio::test]
async fn directories_are_checked_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let error = Server::start(Config { base_dir: Some(missing.clone()), ..config() }).await.unwrap_err();
    assert!(matches!(error, StartupError::BaseDir { .. }), "{error}");
    assert!(!missing.exists());

    let data = dir.path().join("a/b");
    let stored = |data_dir| Config { data_dir: Some(data_dir), log: LogConfig::default(), ..config() };
    let server = start(stored(data.clone())).await;
    assert_eq!(data.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let error = Server::start(stored(data.clone())).await.unwrap_err();
    assert!(matches!(error, StartupError::Owned { .. }), "{error}");
    server.stop().await;
    start(stored(data)).await.stop().await;
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Server::start(stored(file)).await.unwrap_err();
    assert!(matches!(error, StartupError::DataDir { .. }), "{error}");
}

#[cfg(not(feature = "unified"))]
#[tokio::test]
async fn a_default_path_that_is_not_compiled_in_is_refused() {
    let error = Server::start(Config { use_unified_monitoring: true, ..config() }).await.unwrap_err();
    assert!(matches!(error, StartupError::NoPaths | StartupError::NoPath(_)), "{error}");
    assert!(
        error.to_string().contains("not compiled in") || error.to_string().contains("no monitoring path"),
        "{error}"
    );
}
