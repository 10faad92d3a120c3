//! Statuses of executions and nodes, and log levels.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! wire_names {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
            /// A name that this build does not know, as a foreign engine or a newer version wrote it.
            Other(Arc<str>),
        }

        impl $name {
            /// The name on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)*
                    other => Self::Other(other.into()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Ok(Self::from(text.as_ref()))
            }
        }
    };
}

wire_names! {
    /// Where an execution stands.
    ExecutionStatus {
        /// Accepted, not begun.
        Pending = "PENDING",
        /// Under way.
        Running = "RUNNING",
        /// Held; goes on when it is resumed.
        Paused = "PAUSED",
        /// Ended; every node that could run did. Nodes may have failed on the way.
        Completed = "COMPLETED",
        /// Ended by an error.
        Failed = "FAILED",
        /// Ended by somebody's wish.
        Aborted = "ABORTED",
    }
}

wire_names! {
    /// Where a node stands.
    NodeStatus {
        /// Waits for its turn.
        Pending = "PENDING",
        /// At work.
        Running = "RUNNING",
        /// Held.
        Paused = "PAUSED",
        /// Done.
        Completed = "COMPLETED",
        /// Ended by an error.
        Failed = "FAILED",
        /// Stopped because its execution stopped.
        Aborted = "ABORTED",
        /// Never ran, and no longer can.
        Skipped = "SKIPPED",
        /// Done, and has used up its iterations.
        MaxIterReached = "MAXITER_REACHED",
    }
}

wire_names! {
    /// Weight of a log line, by Python's names.
    LogLevel {
        /// For whoever looks for a fault.
        Debug = "DEBUG",
        /// The normal course.
        Info = "INFO",
        /// Something to look at.
        Warning = "WARNING",
        /// Something failed.
        Error = "ERROR",
        /// Nothing works any more.
        Critical = "CRITICAL",
    }
}

// === impl ExecutionStatus, NodeStatus ===

impl ExecutionStatus {
    /// Whether nothing may follow (I9).
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Aborted)
    }
}

impl NodeStatus {
    /// Whether this run of the node is over. A node in a loop may start again.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Aborted | Self::Skipped | Self::MaxIterReached)
    }
}
