//! Which of two forms a client would rather have.

use http::{HeaderMap, StatusCode, header};

use crate::Problem;

/// A form of a page of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One object.
    Json,
    /// One event per line.
    Lines,
}

/// By the header `Accept` (RFC 9110, section 12.5.1). Of two that are equally welcome, the one that is named goes before the
/// one that a `*` lets in, and JSON before lines.
pub(super) fn choose(headers: &HeaderMap) -> Result<Form, Problem> {
    if !headers.contains_key(header::ACCEPT) {
        return Ok(Form::Json);
    }
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<Range<'_>> = values.flat_map(|value| value.split(',')).filter_map(Range::parse).collect();
    let (json, lines) = (welcome(&ranges, Form::Json), welcome(&ranges, Form::Lines));
    match (json, lines) {
        (None, None) => Err(Problem::new(
            StatusCode::NOT_ACCEPTABLE,
            "not-acceptable",
            "there are application/json and application/x-ndjson; the header `Accept` allows neither",
        )),
        (json, lines) if lines > json => Ok(Form::Lines),
        _ => Ok(Form::Json),
    }
}

/// How much a form is wanted, in thousandths, and how precisely that was said; `None` if it is not.
fn welcome(ranges: &[Range<'_>], form: Form) -> Option<(u16, u8)> {
    let fitting = ranges.iter().filter_map(|range| Some((range.precision(form)?, range.quality)));
    let (precision, quality) = fitting.max_by_key(|(precision, _)| *precision)?;
    (quality > 0).then_some((quality, precision))
}

#[derive(Debug)]
struct Range<'a> {
    media: &'a str,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    /// `None` if it can't be read.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().filter(|media| media.contains('/'))?;
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some(Self { media, quality: quality.map_or(Some(1000), thousandths)? })
    }

    fn precision(&self, form: Form) -> Option<u8> {
        let names: &[&str] = match form {
            Form::Json => &["application/json"],
            Form::Lines => &["application/x-ndjson", "application/ndjson", "application/jsonl"],
        };
        match self.media {
            "*/*" => Some(0),
            media if media.eq_ignore_ascii_case("application/*") => Some(1),
            media => names.iter().any(|name| name.eq_ignore_ascii_case(media)).then_some(2),
        }
    }
}

fn thousandths(text: &str) -> Option<u16> {
    let quality: f32 = text.parse().ok()?;
    // In range, and not negative, so that nothing is cut off.
    (0.0..=1.0).contains(&quality).then_some((quality * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn chosen(values: &[&'static str]) -> Option<Form> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT, HeaderValue::from_static(value));
        }
        choose(&headers).ok()
    }

    #[test]
    fn the_client_has_what_it_wants_most() {
        let (json, lines) = (Some(Form::Json), Some(Form::Lines));
        for (accept, form) in [
            (&[][..], json),
            (&["*/*"], json),
            (&["application/*"], json),
            (&["application/json"], json),
            (&["application/x-ndjson"], lines),
            (&["Application/X-NDJSON; charset=utf-8"], lines),
            (&["application/x-ndjson, */*"], lines),
            (&["application/x-ndjson", "application/json"], json),
            (&["application/x-ndjson;q=0.5, application/json;q=0.4"], lines),
            (&["application/x-ndjson;q=0.5, */*"], json),
            (&["application/json;q=0, */*;q=0.1"], lines),
            (&["text/html, application/xhtml+xml, */*;q=0.8"], json),
            (&["application/json;q=0"], None),
            (&["text/html"], None),
            (&["*/*;q=0"], None),
            (&["nonsense"], None),
            (&["application/json;q=7"], None),
        ] {
            assert_eq!(chosen(accept), form, "{accept:?}");
        }
    }
}
