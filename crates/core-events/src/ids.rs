//! Names of executions, nodes and node types.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Longest execution id, in bytes.
pub const MAX_EXECUTION_ID_BYTES: usize = 128;

/// Names one execution: `[A-Za-z0-9_.:-]{1,128}`.
///
/// Cheap to clone. Equality is by text; relations between executions are never derived from it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ExecutionId(Arc<str>);

/// Names one node inside a diagram, for instance `node_3`. Any text; foreign engines choose their own.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(Arc<str>);

/// A node's type as the wire has it, for instance `code_job`.
///
/// Types that this build does not know survive as they came.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeType(Arc<str>);

/// Why a text is no [`ExecutionId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecutionIdError {
    /// It is empty or longer than [`MAX_EXECUTION_ID_BYTES`].
    #[error("an execution id has 1 to {MAX_EXECUTION_ID_BYTES} characters, this one has {0}")]
    Length(usize),
    /// It has a character outside `[A-Za-z0-9_.:-]`.
    #[error("an execution id consists of A-Z a-z 0-9 _ . : -, this one has {0:?}")]
    Character(char),
}

// === impl ExecutionId ===

impl ExecutionId {
    /// Checks and wraps `text`.
    ///
    /// # Errors
    ///
    /// [`ExecutionIdError`] when it is empty, too long, or has a character that is not allowed.
    pub fn parse(text: &str) -> Result<Self, ExecutionIdError> {
        if text.is_empty() || text.len() > MAX_EXECUTION_ID_BYTES {
            return Err(ExecutionIdError::Length(text.chars().count()));
        }
        match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-'))) {
            Some(c) => Err(ExecutionIdError::Character(c)),
            None => Ok(Self(text.into())),
        }
    }

    /// A new id of our own: `exec_` and 32 hexadecimal digits, as the original made them.
    ///
    /// Version 7, so that ids sort by the time of their creation.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("exec_{}", uuid::Uuid::now_v7().simple()).into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for ExecutionId {
    type Err = ExecutionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for ExecutionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl Borrow<str> for ExecutionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl NodeId, NodeType ===

macro_rules! text_name {
    ($name:ident) => {
        impl $name {
            /// Wraps `text` as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_name!(NodeId);
text_name!(NodeType);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn execution_ids_are_checked() {
        assert!(ExecutionId::parse("exec_1.a:b-C").is_ok());
        assert_eq!(ExecutionId::parse(""), Err(ExecutionIdError::Length(0)));
        assert_eq!(ExecutionId::parse(&"x".repeat(129)), Err(ExecutionIdError::Length(129)));
        assert_eq!(ExecutionId::parse("a\nb"), Err(ExecutionIdError::Character('\n')));
        assert_eq!(ExecutionId::parse("é"), Err(ExecutionIdError::Character('é')));
    }

    #[test]
    fn own_ids_are_valid_and_sort_by_time() {
        let (a, b) = (ExecutionId::random(), ExecutionId::random());
        assert!(ExecutionId::parse(a.as_str()).is_ok());
        assert_eq!(a.as_str().len(), "exec_".len() + 32);
        assert!(a < b);
    }
}
