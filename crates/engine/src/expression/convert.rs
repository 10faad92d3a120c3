//! Numbers and texts, as Python reads and writes them.

use std::fmt::Write as _;

use super::{
    evaluate::{Evaluation, Fallible},
    lexer::Kind,
    value::{Number, Val},
};

const TOO_LARGE: &str = "a number is larger than this language can count";

/// A number as a program writes it.
pub(super) fn number_literal(text: &str) -> Fallible<Kind> {
    let wrong = || format!("`{text}` is no number");
    if text.ends_with(['j', 'J']) {
        return Err("complex numbers are not supported".to_owned());
    }
    let prefix = text.get(..2).map(str::to_ascii_lowercase);
    let radix = match prefix.as_deref() {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ => 10,
    };
    if radix != 10 {
        let digits = text.get(2..).unwrap_or_default();
        return integer(digits.strip_prefix('_').unwrap_or(digits), radix)
            .and_then(|n| n.ok_or_else(wrong))
            .map(Kind::Int);
    }
    if let Some(number) = integer(text, 10)? {
        let zeros_before = text.starts_with('0') && number != 0;
        return if zeros_before { Err(wrong()) } else { Ok(Kind::Int(number)) };
    }
    float_text(text)
        .filter(|_| text.starts_with(|c: char| c.is_ascii_digit() || c == '.'))
        .map(Kind::Float)
        .ok_or_else(wrong)
}

/// Digits with single underscores between them; none if there is anything else.
fn integer(digits: &str, radix: u32) -> Fallible<Option<i128>> {
    let mut number: i128 = 0;
    let mut after_digit = false;
    for c in digits.chars() {
        if c == '_' && after_digit {
            after_digit = false;
            continue;
        }
        let Some(digit) = c.to_digit(radix) else { return Ok(None) };
        number = number
            .checked_mul(radix.into())
            .and_then(|number| number.checked_add(digit.into()))
            .ok_or(TOO_LARGE)?;
        after_digit = true;
    }
    Ok(after_digit.then_some(number))
}

/// A decimal number with single underscores between its digits.
fn float_text(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let digit = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
    let underscores = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_');
    for (i, _) in underscores {
        if !digit(i.checked_sub(1)) || !digit(Some(i + 1)) {
            return None;
        }
    }
    text.replace('_', "").parse().ok()
}

/// Python's blanks around a number.
fn trimmed(text: &str) -> &str {
    text.trim()
}

pub(super) fn int<'a>(value: Option<Val<'a>>, base: Option<&Val<'_>>) -> Fallible<Val<'a>> {
    let Some(value) = value else { return Ok(Val::Int(0)) };
    let base = match base {
        None => None,
        Some(base) => match base.number() {
            Some(Number::Int(base)) if base == 0 || (2..=36).contains(&base) => {
                Some(u32::try_from(base).unwrap_or_default())
            }
            _ => return Err("the base of `int` is 0 or 2 to 36".to_owned()),
        },
    };
    match (&value, base) {
        (Val::Text(text), base) => {
            let wrong = || format!("`int` can't read {}", quoted(text));
            let digits = trimmed(text);
            let (negative, digits) = match digits.strip_prefix('-') {
                Some(rest) => (true, rest),
                None => (false, digits.strip_prefix('+').unwrap_or(digits)),
            };
            let (radix, digits) = radix_of(digits, base.unwrap_or(10)).ok_or_else(wrong)?;
            let number = integer(digits, radix)?.ok_or_else(wrong)?;
            if base == Some(0) && radix == 10 && digits.starts_with('0') && number != 0 {
                return Err(wrong());
            }
            Ok(Val::Int(if negative { -number } else { number }))
        }
        (_, Some(_)) => Err("`int` with a base wants a str".to_owned()),
        (value, None) => match value.number() {
            Some(Number::Int(number)) => Ok(Val::Int(number)),
            Some(Number::Float(number)) => whole(number.trunc()).map(Val::Int),
            None => Err(format!("`int` can't take {}", value.type_name())),
        },
    }
}

/// The radix that a base and a prefix mean, and the digits behind the prefix.
fn radix_of(digits: &str, base: u32) -> Option<(u32, &str)> {
    let prefix = digits.get(..2).map(str::to_ascii_lowercase);
    let named = match prefix.as_deref() {
        Some("0x") => Some(16),
        Some("0o") => Some(8),
        Some("0b") => Some(2),
        _ => None,
    };
    match named {
        Some(radix) if base == 0 || base == radix => {
            let rest = digits.get(2..)?;
            Some((radix, rest.strip_prefix('_').unwrap_or(rest)))
        }
        _ => Some((if base == 0 { 10 } else { base }, digits)),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the range is checked first"
)]
fn whole(number: f64) -> Fallible<i128> {
    if number.is_finite() && number.abs() < i128::MAX as f64 {
        Ok(number as i128)
    } else {
        Err(format!("{} is no whole number that this language can count", float_repr(number)))
    }
}

pub(super) fn float<'a>(value: Option<&Val<'a>>) -> Fallible<Val<'a>> {
    let Some(value) = value else { return Ok(Val::Float(0.0)) };
    if let Val::Text(text) = value {
        let wrong = || format!("`float` can't read {}", quoted(text));
        return float_text(trimmed(text)).map(Val::Float).ok_or_else(wrong);
    }
    value
        .number()
        .map(|number| Val::Float(as_float(number)))
        .ok_or_else(|| format!("`float` can't take {}", value.type_name()))
}

#[expect(clippy::cast_precision_loss, reason = "the nearest number is what Python takes, too")]
pub(super) const fn as_float(number: Number) -> f64 {
    match number {
        Number::Int(number) => number as f64,
        Number::Float(number) => number,
    }
}

/// Half goes to the even neighbour. Digits behind the point are those of the exact decimal value.
pub(super) fn round<'a>(value: &Val<'a>, digits: Option<&Val<'_>>) -> Fallible<Val<'a>> {
    let digits = match digits {
        None | Some(Val::None) => None,
        Some(digits) => match digits.number() {
            Some(Number::Int(digits)) => Some(digits.clamp(-400, 400)),
            _ => return Err(format!("`round` can't take {} for its digits", digits.type_name())),
        },
    };
    match (value.number(), digits) {
        (Some(Number::Int(number)), Some(digits)) if digits < 0 => round_int(number, digits.unsigned_abs()),
        (Some(Number::Int(number)), _) => Ok(Val::Int(number)),
        (Some(Number::Float(number)), None) => whole(number.round_ties_even()).map(Val::Int),
        (Some(Number::Float(number)), Some(_)) if !number.is_finite() => Ok(Val::Float(number)),
        (Some(Number::Float(number)), Some(digits)) => {
            let rounded = if digits >= 0 {
                let places = usize::try_from(digits).unwrap_or_default();
                format!("{number:.places$}").parse().map_err(|_| TOO_LARGE.to_owned())?
            } else {
                let unit = 10_f64.powi(i32::try_from(-digits).unwrap_or(400));
                if unit.is_finite() {
                    (number / unit).round_ties_even() * unit
                } else {
                    0.0_f64.copysign(number)
                }
            };
            Ok(Val::Float(rounded))
        }
        (None, _) => Err(format!("`round` can't take {}", value.type_name())),
    }
}

fn round_int<'a>(number: i128, digits: u128) -> Fallible<Val<'a>> {
    let unit = u32::try_from(digits).ok().and_then(|digits| 10_i128.checked_pow(digits));
    let Some(unit) = unit.filter(|unit| *unit <= i128::MAX / 4) else { return Ok(Val::Int(0)) };
    let (quotient, rest) = (number.div_euclid(unit), number.rem_euclid(unit));
    let up = match (rest * 2).cmp(&unit) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Greater => 1,
        std::cmp::Ordering::Equal => quotient.rem_euclid(2),
    };
    quotient
        .checked_add(up)
        .and_then(|quotient| quotient.checked_mul(unit))
        .map(Val::Int)
        .ok_or_else(|| TOO_LARGE.to_owned())
}

/// `str(value)`
pub(super) fn write_str<'a>(
    evaluation: &Evaluation<'_, 'a>,
    value: &Val<'a>,
    out: &mut String,
) -> Fallible<()> {
    match value {
        Val::Text(text) => {
            evaluation.pay(text.len() / 16)?;
            out.push_str(text);
            Ok(())
        }
        _ => write_repr(evaluation, value, out),
    }
}

/// `repr(value)`
fn write_repr<'a>(evaluation: &Evaluation<'_, 'a>, value: &Val<'a>, out: &mut String) -> Fallible<()> {
    evaluation.pay(1)?;
    match value {
        Val::None => out.push_str("None"),
        Val::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
        Val::Int(number) => out.push_str(&number.to_string()),
        Val::Float(number) => out.push_str(&float_repr(*number)),
        Val::Text(text) => {
            evaluation.pay(text.len() / 16)?;
            out.push_str(&quoted(text));
        }
        Val::List(items) => write_items(evaluation, "[", &items.to_vec(), "]", out)?,
        Val::Tuple(items) if items.len() == 1 => write_items(evaluation, "(", items, ",)", out)?,
        Val::Tuple(items) => write_items(evaluation, "(", items, ")", out)?,
        Val::Set(items) if items.is_empty() => out.push_str("set()"),
        Val::Set(items) => write_items(evaluation, "{", items, "}", out)?,
        Val::Map(entries) => {
            out.push('{');
            for (i, (key, value)) in entries.to_vec().iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_repr(evaluation, key, out)?;
                out.push_str(": ");
                write_repr(evaluation, value, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_items<'a>(
    evaluation: &Evaluation<'_, 'a>,
    open: &str,
    items: &[Val<'a>],
    close: &str,
    out: &mut String,
) -> Fallible<()> {
    out.push_str(open);
    for (i, item) in items.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { ", " });
        write_repr(evaluation, item, out)?;
    }
    out.push_str(close);
    Ok(())
}

/// The shortest text that reads back as the same number, in Python's shape: exponents from 1e16 and below 1e-4.
fn float_repr(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let text = number.to_string();
    if text.contains('.') { text } else { text + ".0" }
}

/// A text in Python's quotes.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                // Writing into a text has no way to fail.
                let _written = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}
