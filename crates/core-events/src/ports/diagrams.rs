use async_trait::async_trait;
use serde_json::Value;

/// Checks diagrams, and finds those of the base directory.
#[async_trait]
pub trait Diagrams: Send + Sync + std::fmt::Debug {
    /// Checks a diagram in the light format (YAML, or the same model as JSON) without running it. `name` is what faults call
    /// it.
    async fn validate(&self, text: String, name: &str) -> DiagramReport;

    /// One diagram of the base directory.
    ///
    /// # Errors
    ///
    /// See [`DiagramError`].
    async fn get(&self, id: &str) -> Result<DiagramFile, DiagramError>;

    /// The diagrams of the base directory, by id.
    ///
    /// # Errors
    ///
    /// [`DiagramError::Unreadable`].
    async fn list(&self) -> Result<Vec<DiagramEntry>, DiagramError>;
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiagramReport {
    /// One text per fault, each with its place; empty if the diagram can run.
    pub errors: Vec<String>,
    /// What is suspicious, each with its place.
    pub warnings: Vec<String>,
    /// How many nodes and connections it has, if it can run.
    pub size: Option<(usize, usize)>,
}

/// A diagram in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiagramEntry {
    /// Its path in the base directory, with `/`.
    pub id: String,
    /// The file's name without its ending.
    pub name: String,
    /// Its format: `light`.
    pub format: String,
    /// The file's size in bytes.
    pub bytes: u64,
}

/// A diagram with its text.
#[derive(Debug, Clone, PartialEq)]
pub struct DiagramFile {
    /// What a list says of it.
    pub entry: DiagramEntry,
    /// The text.
    pub text: String,
    /// The text's model, as JSON.
    pub model: Value,
}

/// Why there is no diagram.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiagramError {
    /// There is none with this id.
    #[error("there is no diagram `{0}` in the base directory; listDiagrams tells which there are")]
    Unknown(String),
    /// It can't be read.
    #[error("{id} can't be read: {problem}")]
    Unreadable {
        /// Which.
        id: String,
        /// Why.
        problem: String,
    },
}
