//! What waits for the writer.
