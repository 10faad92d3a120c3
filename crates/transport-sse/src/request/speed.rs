//! How fast a replay is.

use std::{str::FromStr, time::Duration};

/// Decimals of a speed.
const DECIMALS: usize = 6;
/// The unit is that of the last decimal.
const UNIT: u64 = 1_000_000;
/// The fastest.
const MAX: u64 = 10_000 * UNIT;

/// How many times as fast as real time: more than 0, at most 10,000, with up to six decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed(u64);

// === impl Speed ===

impl Speed {
    /// How long what took `time` takes at this speed.
    #[must_use]
    pub fn scale(self, time: Duration) -> Duration {
        let micros = time.as_micros().saturating_mul(u128::from(UNIT)) / u128::from(self.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let units = (digits(whole) && digits(decimals) && decimals.len() <= DECIMALS)
            .then(|| format!("{whole}{decimals:0<DECIMALS$}"))
            .and_then(|units| units.parse().ok());
        match units {
            Some(units @ 1..=MAX) => Ok(Self(units)),
            _ => Err(format!(
                "a number greater than 0 and up to {} is expected, with at most {DECIMALS} decimals, such as 10 or 0.5",
                MAX / UNIT
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_divided_by_the_speed() {
        for (text, millis, scaled) in [
            ("1", 1500, 1500),
            ("10", 1500, 150),
            ("0.5", 1500, 3000),
            ("10000", 10_000, 1),
            ("10000.000000", 10_000, 1),
            ("0.000001", 1, 1_000_000),
            ("2.50", 1000, 400),
        ] {
            let speed: Speed = text.parse().unwrap();
            assert_eq!(speed.scale(Duration::from_millis(millis)), Duration::from_millis(scaled), "{text}");
        }
        let slowest: Speed = "0.000001".parse().unwrap();
        assert!(slowest.scale(Duration::MAX) > Duration::from_secs(1 << 40));
    }

    #[test]
    fn what_is_no_speed_is_refused() {
        for text in [
            "",
            "0",
            "0.0",
            "-1",
            "+1",
            "1e3",
            "inf",
            "NaN",
            "10000.000001",
            "10001",
            "1.",
            ".5",
            "1.0000001",
            "1,5",
            " 1",
        ] {
            assert!(text.parse::<Speed>().is_err(), "{text:?}");
        }
        assert!("9".repeat(40).parse::<Speed>().is_err());
    }
}
