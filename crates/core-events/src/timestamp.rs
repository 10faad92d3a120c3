//! Points in time as the wire has them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A point in time, in microseconds since 1970-01-01T00:00:00Z.
///
/// Written as RFC 3339 in UTC with six fractional digits, `2026-11-23T09:00:00.123456Z`. Read from any RFC 3339
/// time; a time without an offset is taken as UTC, since the original's are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

/// A text is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no time; write it like 2026-11-23T09:00:00.123456Z")]
pub struct TimestampError {
    text: String,
}

// === impl Timestamp ===

impl Timestamp {
    /// The system's time.
    #[must_use]
    pub fn now() -> Self {
        Self::floor(jiff::Timestamp::now())
    }

    /// From microseconds since the epoch; a value outside the years -9999 to 9999 becomes the nearest end.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        let nearest = if micros < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        Self::floor(jiff::Timestamp::from_microsecond(micros).unwrap_or(nearest))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub fn as_micros(self) -> i64 {
        self.0.as_microsecond()
    }

    /// What passed since `earlier`; zero if it is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> std::time::Duration {
        let micros = self.as_micros().saturating_sub(earlier.as_micros());
        std::time::Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    fn floor(time: jiff::Timestamp) -> Self {
        Self(jiff::Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time))
    }
}

impl std::str::FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let naive = || text.parse::<jiff::civil::DateTime>()?.to_zoned(jiff::tz::TimeZone::UTC);
        match text.parse::<jiff::Timestamp>() {
            Ok(time) => Ok(Self::floor(time)),
            Err(_) => naive()
                .map(|zoned| Self::floor(zoned.timestamp()))
                .map_err(|_: jiff::Error| TimestampError { text: text.chars().take(64).collect() }),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn always_six_digits_and_utc() {
        for (read, written) in [
            ("2026-11-23T09:00:00Z", "2026-11-23T09:00:00.000000Z"),
            ("2026-11-23T09:00:00.5+02:00", "2026-11-23T07:00:00.500000Z"),
            ("2026-11-23T09:00:00.123456789Z", "2026-11-23T09:00:00.123456Z"),
            ("2026-11-23T09:00:00.123456", "2026-11-23T09:00:00.123456Z"),
        ] {
            assert_eq!(read.parse::<Timestamp>().unwrap().to_string(), written);
        }
        assert!("yesterday".parse::<Timestamp>().is_err());
        assert!("".parse::<Timestamp>().is_err());
    }
}
