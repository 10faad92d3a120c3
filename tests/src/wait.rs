//! Waiting on conditions.

use std::time::Duration;

/// How long a test waits for what must happen. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until `condition` gives a value; fails with `what` and the last thing seen when it never does.
///
/// # Panics
///
/// When it waited for [`PATIENCE`].
pub async fn until<T, D: std::fmt::Debug>(what: &str, mut condition: impl AsyncFnMut() -> Result<T, D>) -> T {
    let start = tokio::time::Instant::now();
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(seen) => {
                assert!(start.elapsed() < PATIENCE, "waited in vain for {what}; last seen: {seen:?}")
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
