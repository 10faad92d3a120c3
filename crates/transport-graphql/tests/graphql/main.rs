//! `/graphql` from outside, over ports that a test plays.

mod executions;
mod fake;
mod http;
#[cfg(feature = "legacy")]
mod legacy;
mod schema;
mod socket;
mod updates;
mod ws;
