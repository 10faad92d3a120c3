//! Sizes that the wire contract names (I15). All in bytes.

/// The JSON of one event.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;

/// One log line; a longer line is continued in further events.
pub const MAX_LOG_LINE_BYTES: usize = 16 * 1024;

/// All log lines of one run of a node; then one LOG_TRUNCATED and no more.
pub const MAX_NODE_LOG_BYTES: usize = 10 * 1024 * 1024;

/// A node's output as JSON; a larger one fails its node.
pub const MAX_OUTPUT_BYTES: usize = 8 * 1024 * 1024;

/// A node's output as JSON inside its event; a larger one is stored beside it (`output_ref`), with a preview.
/// Leaves room in [`MAX_EVENT_BYTES`] for the other fields, each of which is bounded by [`MAX_TEXT_BYTES`].
pub const MAX_INLINE_OUTPUT_BYTES: usize = 128 * 1024;

/// The start of a larger output that its event shows.
pub const OUTPUT_PREVIEW_BYTES: usize = 8 * 1024;

/// Any other text in an event: an error, a prompt, a label.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Names in a terminal event's `failed_nodes`, so that it always fits; beyond it `failed_nodes_total` tells the count.
pub const MAX_FAILED_NODES: usize = 1_000;

/// Levels of nesting in a value; a deeper one fails its node.
pub const MAX_NESTING: usize = 100;

/// The longest beginning of `text` of at most `limit` bytes that ends between two characters.
#[must_use]
pub fn head(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_never_splits_a_character() {
        assert_eq!(head("aé", 2), "a");
        assert_eq!(head("aé", 3), "aé");
        assert_eq!(head("aé", 99), "aé");
        assert_eq!(head("", 0), "");
    }
}
