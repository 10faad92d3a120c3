//! When an event is shown.

use std::time::Duration;

use core_events::Timestamp;
use tokio::time::Instant;

use crate::request::Speed;

/// Whoever is later than this was stopped, and is not to catch up; less is made up for.
const STOPPED_AFTER: Duration = Duration::from_millis(250);

/// Further away than anybody waits; an instant has an end.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The first event that is shown is shown at once, every other one at its distance from the one before it: that of the times of both, or none
/// where a clock was set back between them.
#[derive(Debug)]
pub(super) struct Schedule {
    speed: Speed,
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    /// When the first event was shown; as much later as the reader was stopped since.
    at: Instant,
    /// The time of the last event.
    last: Timestamp,
    /// How much passed between the first and the last, in real time.
    passed: Duration,
}

// === impl Schedule ===

impl Schedule {
    pub(super) fn new(speed: Speed) -> Self {
        Self { speed, begun: None }
    }

    /// When the next event, which happened at `time`, is due. Those that nobody wants take no time before the first that
    /// is wanted.
    pub(super) fn due(&mut self, time: Timestamp, wanted: bool) -> Instant {
        let now = Instant::now();
        let begun = match &mut self.begun {
            Some(begun) => begun,
            None if wanted => self.begun.insert(Begun { at: now, last: time, passed: Duration::ZERO }),
            None => return now,
        };
        let distance = self.speed.scale(begun.passed.saturating_add(time.since(begun.last)));
        begun.at.checked_add(distance).unwrap_or(now + NEVER).min(now + NEVER)
    }

    /// That time stood still since `due`, if it is so long ago that nobody can have asked.
    pub(super) fn resume(&mut self, due: Instant) {
        let late = Instant::now().saturating_duration_since(due);
        if let Some(begun) = &mut self.begun
            && late > STOPPED_AFTER
        {
            begun.at += late;
        }
    }

    /// That the next event, which happened at `time`, is now the last.
    pub(super) fn pass(&mut self, time: Timestamp) {
        if let Some(begun) = &mut self.begun {
            begun.passed = begun.passed.saturating_add(time.since(begun.last));
            begun.last = time;
        }
    }
}
