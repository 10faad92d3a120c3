//! Streams and requests against a source that says what the test tells it.

mod body;
mod fake;
mod routes;
