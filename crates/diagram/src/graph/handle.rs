//! Where an edge leaves and enters a node, and what it says it carries.

use std::fmt;

/// An exit or entrance of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Handle {
    /// The only exit or entrance of most nodes.
    #[default]
    Default,
    /// An entrance for the first run.
    First,
    /// A condition's exit when it holds.
    CondTrue,
    /// A condition's exit when it doesn't.
    CondFalse,
    /// Kept for files that name it; no node type has it.
    Success,
    /// Kept for files that name it; no node type has it.
    Error,
    /// Kept for files that name it; no node type has it.
    Results,
}

/// What a file says about the value on an edge. Values travel as they were produced; this says how a receiver that
/// needs text or a conversation is to read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ContentType {
    /// Text; what a file that says nothing means.
    #[default]
    RawText,
    /// Messages of a conversation.
    ConversationState,
    /// A map, list, or other structured value.
    Object,
    /// Nothing.
    Empty,
    /// Anything.
    Generic,
    /// The value of a variable.
    Variable,
    /// Bytes.
    Binary,
}

// === impl Handle ===

impl Handle {
    pub(crate) const ALL: [Self; 7] = [
        Self::Default,
        Self::First,
        Self::CondTrue,
        Self::CondFalse,
        Self::Success,
        Self::Error,
        Self::Results,
    ];

    /// The name in files: `default`, `first`, `condtrue`, …
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::First => "first",
            Self::CondTrue => "condtrue",
            Self::CondFalse => "condfalse",
            Self::Success => "success",
            Self::Error => "error",
            Self::Results => "results",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|handle| handle.as_str() == name)
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl ContentType ===

impl ContentType {
    pub(crate) const ALL: [Self; 7] = [
        Self::RawText,
        Self::ConversationState,
        Self::Object,
        Self::Empty,
        Self::Generic,
        Self::Variable,
        Self::Binary,
    ];

    /// The name in files: `raw_text`, `object`, …
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RawText => "raw_text",
            Self::ConversationState => "conversation_state",
            Self::Object => "object",
            Self::Empty => "empty",
            Self::Generic => "generic",
            Self::Variable => "variable",
            Self::Binary => "binary",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|content_type| content_type.as_str() == name)
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
