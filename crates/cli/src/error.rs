//! What ends a command before, or instead of, a result.

use client::ClientError;

use crate::exit::Exit;

/// Why a command could not do what it was told to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// A wrong argument, or a file that is not what it should be.
    #[error("{0}")]
    Usage(String),
    /// Faults of a diagram, each with its place.
    #[error("{}", .0.join("\n"))]
    Diagram(Vec<String>),
    /// The configuration is wrong, or a port or the log is taken.
    #[error("{0}")]
    Startup(String),
    /// Nothing was started, or nothing was to be had, because the server could not be reached or refused.
    #[error(transparent)]
    Start(ClientError),
    /// What was to be written could not be.
    #[error("{0}")]
    Output(String),
    /// The run was started, and then lost from sight.
    #[error("lost sight of the run: {0}")]
    Lost(ClientError),
}

// === impl CliError ===

impl CliError {
    /// The exit code it stands for.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Diagram(_) | Self::Startup(_) | Self::Start(_) => Exit::Refused,
            Self::Lost(_) | Self::Output(_) => Exit::RunFailed,
        }
    }

    /// What goes in front of the text. Faults of a diagram say by themselves where and what they are.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Diagram(_) => "",
            _ => "error: ",
        }
    }
}
