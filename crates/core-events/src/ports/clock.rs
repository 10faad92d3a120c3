use crate::Timestamp;

/// Wall-clock time, so that tests can choose it.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present time. May repeat; may go back when the machine's clock does.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
