//! Texts of others, made safe to show on a terminal.

use std::{borrow::Cow, fmt::Write as _, time::Duration};

use core_events::{Timestamp, limits};
use jiff::tz::TimeZone;

/// `text` with everything that could move the cursor, change colours, or turn the direction of writing made visible
/// instead. Tabs stay; line ends become visible too.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_control) { Cow::Owned(visible(text)) } else { Cow::Borrowed(text) }
}

/// As [`line()`], but line ends stay.
pub(crate) fn lines(text: &str) -> String {
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// At most `limit` bytes of `text`, and how many there were if that cuts it.
pub(crate) fn bounded(text: &str, limit: usize) -> String {
    let head = limits::head(text, limit);
    if head.len() == text.len() { text.to_owned() } else { format!("{head}… ({} bytes)", text.len()) }
}

/// A time span for people: `0.12 s`, `3 min 05 s`, `2 h 07 min`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.2} s", (duration.as_secs_f64() * 100.0).floor() / 100.0),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A moment for people, as the clock on the wall in `zone` had it: `2026-02-28 12:00:01`.
pub(crate) fn time(at: Option<Timestamp>, zone: &TimeZone) -> String {
    let at = at.and_then(|at| jiff::Timestamp::from_microsecond(at.as_micros()).ok());
    at.map(|at| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}

/// A size for people: `1.2 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

/// A number for people: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 event`, `2 events`.
pub(crate) fn count(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

fn is_control(c: char) -> bool {
    c != '\t'
        && (c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if !is_control(c) => shown.push(c),
            // Unicode has a picture for each of the old ones.
            '\0'..='\x1f' => shown.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
            '\x7f' => shown.push('\u{2421}'),
            // Writing to a String has no way to fail.
            c => write!(shown, "{}", c.escape_unicode()).unwrap_or_default(),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_shown_instead_of_obeyed() {
        assert_eq!(line("\x1b]0;title\x07 a\tb"), "␛]0;title␇ a\tb");
        assert_eq!(line("a\r\nb\x7f\0"), "a␍␊b␡␀");
        assert_eq!(line("\u{9b}31m \u{202e}x"), "\\u{9b}31m \\u{202e}x");
        assert_eq!(lines("a\x1b\nb"), "a␛\nb");
        assert!(matches!(line("ünïcode 漢字"), Cow::Borrowed(_)));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(bounded("aéa", 2), "a… (4 bytes)");
        assert_eq!(bounded("aé", 3), "aé");
    }

    #[test]
    fn durations() {
        for (millis, text) in [
            (0, "0.00 s"),
            (129, "0.12 s"),
            (59_999, "59.99 s"),
            (60_000, "1 min 00 s"),
            (185_000, "3 min 05 s"),
            (7_620_000, "2 h 07 min"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn sizes_and_numbers() {
        for (size, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (10 << 30, "10.0 GiB")] {
            assert_eq!(bytes(size), text);
        }
        assert!(bytes(u64::MAX).ends_with(" TiB"));
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!((count(1, "event").as_str(), count(2, "event").as_str()), ("1 event", "2 events"));
        let at = Some(Timestamp::from_micros(1_000_000));
        assert_eq!(time(at, &TimeZone::UTC), "1970-01-01 00:00:01");
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_is_left(text: String) {
            prop_assert!(!line(&text).chars().any(is_control));
        }
    }
}
