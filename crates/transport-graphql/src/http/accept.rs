//! What the client can read.

use ::http::{HeaderMap, header};

use super::Form;

/// What to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accept {
    /// The result of an operation.
    Form(Form),
    /// A page: a person opens this place in a browser.
    Html,
    /// Nothing that there is.
    Nothing,
}

// === impl Accept ===

impl Accept {
    /// The first of what the client likes best. Without a wish, and for `*/*`, it is `application/json`, as clients that
    /// don't ask expect.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(header::ACCEPT).iter().peekable();
        if values.peek().is_none() {
            return Self::Form(Form::Json);
        }
        let ranges = values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
        let mut best = (0.0, Self::Nothing);
        for range in ranges {
            let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
            let answer = match parts.next().as_deref() {
                Some("application/graphql-response+json") => Self::Form(Form::GraphqlResponse),
                Some("application/json" | "application/*" | "*/*") => Self::Form(Form::Json),
                Some("text/html" | "application/xhtml+xml") => Self::Html,
                _ => continue,
            };
            let weight = parts.find_map(|part| part.strip_prefix("q=").map(|q| q.parse().unwrap_or(0.0)));
            let weight: f32 = weight.unwrap_or(1.0);
            if weight > best.0 {
                best = (weight, answer);
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_gets_what_it_likes_best() {
        let (json, graphql) = (Accept::Form(Form::Json), Accept::Form(Form::GraphqlResponse));
        for (accept, expected) in [
            (None, json),
            (Some("*/*"), json),
            (Some("application/json"), json),
            (Some("application/json; charset=utf-8"), json),
            (Some("application/graphql-response+json"), graphql),
            (Some("application/graphql-response+json, application/json;q=0.9"), graphql),
            (Some("application/graphql-response+json;q=0.1, application/json"), json),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Accept::Html),
            (Some("application/json;q=0"), Accept::Nothing),
            (Some("text/plain"), Accept::Nothing),
            (Some(""), Accept::Nothing),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(Accept::of(&headers), expected, "{accept:?}");
        }
    }
}
