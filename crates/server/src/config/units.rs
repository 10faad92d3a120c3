//! Sizes and times as people write them.

use std::time::Duration;

/// What a size may be counted in.
const SIZES: &[(&str, u64)] = &[
    ("tib", 1 << 40),
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("tb", 1_000_000_000_000),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1_000),
    ("b", 1),
];

/// Bytes: `65536`, `64 KiB`, `1.5 GB`.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text.trim())?;
    let unit = if unit.is_empty() { 1 } else { of(SIZES, &unit.to_ascii_lowercase())? };
    match number.parse::<u64>() {
        Ok(number) => number.checked_mul(unit),
        Err(_) => {
            let bytes = number.parse::<f64>().ok()? * unit as f64;
            // Far from where a float no longer tells whole numbers apart.
            (bytes < 1e15).then_some(bytes as u64)
        }
    }
}

/// The size in the largest unit that has it as a whole number.
pub(super) fn show_size(bytes: u64) -> String {
    let binary = SIZES.iter().filter(|(name, _)| name.contains('i'));
    for (name, unit) in binary {
        if bytes >= *unit && bytes.is_multiple_of(*unit) {
            let prefix = name.get(..1).unwrap_or_default().to_ascii_uppercase();
            return format!("{} {prefix}iB", bytes / unit);
        }
    }
    format!("{bytes} B")
}

/// A time of more than nothing: seconds, or numbers with units: `90`, `1.5`, `90s`, `15 min`, `1m30s`, `2h`, `30d`, `500ms`.
#[must_use]
pub fn parse_time(text: &str) -> Option<Duration> {
    let seconds = match text.trim().parse::<f64>() {
        Ok(seconds) => seconds,
        Err(_) => sum_of_units(text.trim())?,
    };
    Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero())
}

fn sum_of_units(mut text: &str) -> Option<f64> {
    const UNITS: &[(&str, f64)] =
        &[("ms", 0.001), ("s", 1.0), ("m", 60.0), ("min", 60.0), ("h", 3600.0), ("d", 86_400.0)];
    // Also so that nothing at all is no time.
    let mut sum = None;
    while !text.is_empty() {
        let (number, rest) = split(text)?;
        let unit = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(unit);
        *sum.get_or_insert(0.0) += number.parse::<f64>().ok()? * of(UNITS, unit)?;
        text = rest.trim_start();
    }
    sum
}

/// A number without a sign, and what is behind it.
fn split(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    (!number.is_empty()).then_some((number, rest.trim_start()))
}

fn of<T: Copy>(units: &[(&str, T)], name: &str) -> Option<T> {
    units.iter().find(|(unit, _)| *unit == name).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, seconds) in [
            ("90", 90.0),
            ("1.5", 1.5),
            ("1e2", 100.0),
            ("90s", 90.0),
            ("90 s", 90.0),
            ("1m30s", 90.0),
            ("1 min 30 s", 90.0),
            ("2h", 7200.0),
            ("500ms", 0.5),
            ("1h1min", 3660.0),
            ("30 d", 2_592_000.0),
        ] {
            assert_eq!(parse_time(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in
            ["0", "0s", "-1", "-1s", "NaN", "inf", "", "s", "1x", "1m30", "1..5s", "1e400", "soon", "1 2s"]
        {
            assert_eq!(parse_time(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65_536),
            ("64KiB", 65_536),
            ("64 kib", 65_536),
            ("1.5 GiB", 1_610_612_736),
            ("2 MB", 2_000_000),
            ("7 B", 7),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1 XB", "1..2", "99999999999999 TiB", "1e3", "1 MiB 2"] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
        for (bytes, text) in [(0, "0 B"), (1000, "1000 B"), (65_536, "64 KiB"), (10 << 30, "10 GiB")] {
            assert_eq!(show_size(bytes), text);
            assert_eq!(parse_size(text), Some(bytes));
        }
    }
}
