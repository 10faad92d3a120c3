//! Runs on their way out and in, as one file each.
//!
//! The file is NDJSON, packed with gzip. Its first line is the header, its last one the end, which holds the SHA-256 of all lines in front of
//! it, line ends included; so whoever has the last line, and finds that it is right, has all of it. Between them there is an event per line,
//! exactly as it is stored; an output that did not fit into its event has a line in front of it.

mod export;
mod format;
mod import;
mod unpack;

pub(crate) use self::{export::export, import::import};
