//! What a scalar means: YAML 1.1 as PyYAML resolves it.
//!
//! Timestamps stay texts, and so do numbers that JSON can't hold exactly (beyond 64 bits) or at all (`.inf`, `.nan`):
//! nothing is lost.

use std::sync::Arc;

use serde_json::{Number, Value};

/// Longest scalar that a message quotes, in characters.
const MAX_QUOTED: usize = 40;

#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    /// As it is written, quotes and escapes resolved.
    pub(crate) text: Arc<str>,
    pub(crate) kind: ScalarKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ScalarKind {
    Null,
    Bool(bool),
    Number(Number),
    Text,
}

// === impl Scalar ===

impl Scalar {
    pub(super) fn new(text: &str, kind: ScalarKind) -> Self {
        Self { text: text.into(), kind }
    }

    pub(super) fn to_json(&self) -> Value {
        match &self.kind {
            ScalarKind::Null => Value::Null,
            ScalarKind::Bool(boolean) => Value::Bool(*boolean),
            ScalarKind::Number(number) => Value::Number(number.clone()),
            ScalarKind::Text => Value::String(self.text.as_ref().to_owned()),
        }
    }

    pub(super) fn describe(&self) -> String {
        let what = match &self.kind {
            ScalarKind::Null => return "nothing".to_owned(),
            ScalarKind::Bool(_) => "",
            ScalarKind::Number(_) => "the number ",
            ScalarKind::Text => "the text ",
        };
        if self.text.contains('\n') || self.text.chars().nth(MAX_QUOTED).is_some() {
            return "a longer text".to_owned();
        }
        format!("{what}`{}`", self.text)
    }
}

// === impl ScalarKind ===

impl ScalarKind {
    /// The meaning of a plain scalar.
    pub(super) fn of_plain(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Self::Bool(true),
            "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Self::Bool(false),
            _ => integer(text).or_else(|| float(text)).map_or(Self::Text, Self::Number),
        }
    }
}

fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let plain = |digits: &str, radix| {
        let digits = digits.replace('_', "");
        let valid = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        valid.then(|| i128::from_str_radix(&digits, radix).ok()).flatten()
    };
    let magnitude = if digits == "0" {
        0
    } else if let Some(binary) = digits.strip_prefix("0b") {
        plain(binary, 2)?
    } else if let Some(hexadecimal) = digits.strip_prefix("0x") {
        plain(hexadecimal, 16)?
    } else if digits.starts_with('0') {
        plain(digits, 8)?
    } else if digits.starts_with('_') {
        return None;
    } else {
        let mut parts = digits.split(':');
        let mut sum = plain(parts.next()?, 10)?;
        for part in parts {
            sum = sum.checked_mul(60)?.checked_add(sixtieth(part)?)?;
        }
        sum
    };
    Number::from_i128(if negative { magnitude.checked_neg()? } else { magnitude })
}

/// One part of a base-60 number: `[0-5]?[0-9]`.
fn sixtieth(part: &str) -> Option<i128> {
    let valid = matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| part.parse().ok()).flatten().filter(|value| *value < 60)
}

/// A float has a point; its exponent, if any, a sign. `1e3` is a text.
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (before, after) = unsigned.split_once('.')?;
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let value = if before.contains(':') {
        let (sixties, last) = before.rsplit_once(':')?;
        let whole = integer(&format!("{sixties}:{last}"))?.as_f64()?;
        let fraction: f64 =
            if digits(after) { format!("0.{}0", after.replace('_', "")).parse().ok()? } else { return None };
        if text.starts_with('-') { -(whole + fraction) } else { whole + fraction }
    } else {
        let (fraction, exponent) = match after.split_once(['e', 'E']) {
            Some((fraction, exponent)) => (fraction, Some(exponent)),
            None => (after, None),
        };
        let starts_well = if before.is_empty() {
            // `.5` is a number, but `-.5` never was one.
            fraction.starts_with(|c: char| c.is_ascii_digit()) && unsigned.len() == text.len()
        } else {
            before.starts_with(|c: char| c.is_ascii_digit())
        };
        let exponent_is_signed = exponent.is_none_or(|exponent| {
            exponent
                .strip_prefix(['-', '+'])
                .is_some_and(|e| !e.is_empty() && e.bytes().all(|b| b.is_ascii_digit()))
        });
        if !(starts_well && digits(before) && digits(fraction) && exponent_is_signed) {
            return None;
        }
        text.replace('_', "").parse().ok()?
    };
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Expectations taken from PyYAML 6.0.3, but for what the module says stays a text.
    #[test]
    fn plain_scalars_mean_what_they_mean_to_pyyaml() {
        for (text, expected) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("NULL", json!(null)),
            ("nUll", json!("nUll")),
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("y", json!("y")),
            ("12", json!(12)),
            ("-1_000", json!(-1000)),
            ("+5", json!(5)),
            ("012", json!(10)),
            ("0o14", json!("0o14")),
            ("08", json!("08")),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("1:30", json!(90)),
            ("1:60", json!("1:60")),
            ("190:20:30", json!(685_230)),
            ("1.5", json!(1.5)),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("-.5", json!("-.5")),
            ("1e3", json!("1e3")),
            ("1.0e3", json!("1.0e3")),
            ("1.0e+3", json!(1000.0)),
            ("1:30.5", json!(90.5)),
            (".inf", json!(".inf")),
            (".nan", json!(".nan")),
            ("1.2.3", json!("1.2.3")),
            ("2026-01-02", json!("2026-01-02")),
            ("123456789012345678901234567890", json!("123456789012345678901234567890")),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("-", json!("-")),
            ("+", json!("+")),
            ("_1", json!("_1")),
            ("0x", json!("0x")),
        ] {
            let scalar = Scalar::new(text, ScalarKind::of_plain(text));
            assert_eq!(scalar.to_json(), expected, "{text:?}");
        }
    }
}
