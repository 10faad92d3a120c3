//! Query strings, strictly: what can't be read is refused instead of guessed.

use super::RequestError;

/// The pairs of `query`: names decoded, values as they came, so that lists can be split before they are decoded.
pub(super) fn pairs(query: &str) -> Result<Vec<(String, &str)>, RequestError> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).map_err(|problem| RequestError::Parameter {
                name: name.chars().take(64).collect(),
                problem,
            })?;
            Ok((name, value))
        })
        .collect()
}

/// `+` and `%xx` undone.
pub(super) fn decode(raw: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => match (bytes.next().and_then(digit), bytes.next().and_then(digit)) {
                (Some(high), Some(low)) => out.push(high << 4 | low),
                _ => return Err("`%` is not followed by two hexadecimal digits".to_owned()),
            },
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).map_err(|_| "it is not UTF-8".to_owned())
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
