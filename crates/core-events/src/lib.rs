//! Events, ids, cursors, the state reducer, and the ports that every other crate meets at.
mod ids;

pub use ids::{ExecutionId, ExecutionIdError, MAX_EXECUTION_ID_BYTES, NodeId, NodeType};
