//! Removing runs, and pinning them.
