//! The diagrams of the base directory.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use async_trait::async_trait;
use core_events::ports::{DiagramEntry, DiagramError, DiagramFile, DiagramReport, Diagrams};

/// What files with diagrams are called.
const ENDING: &str = ".light.yaml";
/// The most diagrams of a list.
const MAX_FILES: usize = 1_000;
/// The most entries of directories that are looked at for a list.
const MAX_ENTRIES: usize = 20_000;
/// How many directories deep a list looks.
const MAX_DEPTH: usize = 8;
/// The longest id, in bytes.
const MAX_ID_BYTES: usize = 4_096;

/// Reads below one directory only: no link leads out of it, and none is followed for a list.
#[derive(Debug, Clone)]
pub(crate) struct BaseDirectory {
    /// Absolute, without links.
    root: PathBuf,
}

// === impl BaseDirectory ===

impl BaseDirectory {
    /// The directory `root`, which is absolute and has no links in it.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn read(&self, id: &str) -> Result<DiagramFile, DiagramError> {
        let unknown = || DiagramError::Unknown(id.chars().take(200).collect());
        let plain = Path::new(id).components().all(|part| matches!(part, Component::Normal(_)));
        if id.len() > MAX_ID_BYTES || !plain || !id.ends_with(ENDING) {
            return Err(unknown());
        }
        let path = self.root.join(id).canonicalize().map_err(|_| unknown())?;
        if !path.starts_with(&self.root) || !path.is_file() {
            return Err(unknown());
        }
        let unreadable = |problem: String| DiagramError::Unreadable { id: id.to_owned(), problem };
        let text = read_bounded(&path).map_err(|error| unreadable(error.to_string()))?;
        let model = diagram::light_to_json(&text, id).map_err(|faults| unreadable(faults.to_string()))?;
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        Ok(DiagramFile { entry: entry(id.to_owned(), bytes), text, model })
    }

    fn scan(&self) -> Result<Vec<DiagramEntry>, DiagramError> {
        let mut found = Vec::new();
        let mut looked_at = 0;
        let mut open = vec![(self.root.clone(), String::new(), 0)];
        while let Some((dir, prefix, depth)) = open.pop() {
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(error) if depth == 0 => {
                    let (id, problem) = ("the base directory".to_owned(), error.to_string());
                    return Err(DiagramError::Unreadable { id, problem });
                }
                // One directory that is closed to us, or gone by now, hides no other.
                Err(_) => continue,
            };
            for item in entries.flatten() {
                looked_at += 1;
                if looked_at > MAX_ENTRIES || found.len() >= MAX_FILES {
                    tracing::warn!(MAX_FILES, MAX_ENTRIES, "the base directory has more than a list shows");
                    return Ok(sorted(found));
                }
                // Neither the type nor the metadata of an entry follows links.
                let (Ok(kind), Ok(name)) = (item.file_type(), item.file_name().into_string()) else {
                    continue;
                };
                let id = format!("{prefix}{name}");
                if kind.is_dir() && depth < MAX_DEPTH && !name.starts_with('.') {
                    open.push((item.path(), format!("{id}/"), depth + 1));
                } else if kind.is_file() && name.ends_with(ENDING) {
                    let bytes = item.metadata().map_or(0, |metadata| metadata.len());
                    found.push(entry(id, bytes));
                }
            }
        }
        Ok(sorted(found))
    }
}

#[async_trait]
impl Diagrams for BaseDirectory {
    async fn validate(&self, text: String, name: &str) -> DiagramReport {
        let name = name.to_owned();
        let checked = tokio::task::spawn_blocking(move || check(&text, &name)).await;
        checked.unwrap_or_else(|error| DiagramReport {
            errors: vec![format!("internal error: the check stopped ({error}); this is a fault of dipeo")],
            ..DiagramReport::default()
        })
    }

    async fn get(&self, id: &str) -> Result<DiagramFile, DiagramError> {
        let (this, wanted) = (self.clone(), id.to_owned());
        let read = tokio::task::spawn_blocking(move || this.read(&wanted)).await;
        read.unwrap_or_else(|error| Err(stopped(id, &error)))
    }

    async fn list(&self) -> Result<Vec<DiagramEntry>, DiagramError> {
        let this = self.clone();
        let scanned = tokio::task::spawn_blocking(move || this.scan()).await;
        scanned.unwrap_or_else(|error| Err(stopped("the base directory", &error)))
    }
}

fn check(text: &str, name: &str) -> DiagramReport {
    let texts = |list: Vec<&diagram::Diagnostic>| list.into_iter().map(ToString::to_string).collect();
    match diagram::load_light(text, name) {
        Ok(diagram) => DiagramReport {
            errors: Vec::new(),
            warnings: texts(diagram.warnings().iter().collect()),
            size: Some((diagram.nodes().len(), diagram.edges().len())),
        },
        Err(faults) => DiagramReport {
            errors: texts(faults.errors().collect()),
            warnings: texts(faults.warnings().collect()),
            size: None,
        },
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let most = u64::try_from(diagram::MAX_TEXT_BYTES).unwrap_or(u64::MAX);
    let mut text = String::new();
    // One byte more than allowed, to tell.
    File::open(path)?.take(most.saturating_add(1)).read_to_string(&mut text)?;
    if text.len() > diagram::MAX_TEXT_BYTES {
        let problem = format!("it has more than {} bytes", diagram::MAX_TEXT_BYTES);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(text)
}

fn entry(id: String, bytes: u64) -> DiagramEntry {
    let file = id.rsplit('/').next().unwrap_or(&id);
    let name = file.strip_suffix(ENDING).unwrap_or(file).to_owned();
    DiagramEntry { id, name, format: "light".to_owned(), bytes }
}

fn sorted(mut entries: Vec<DiagramEntry>) -> Vec<DiagramEntry> {
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    entries
}

fn stopped(id: &str, error: &tokio::task::JoinError) -> DiagramError {
    let problem = format!("internal error: reading stopped ({error}); this is a fault of dipeo");
    DiagramError::Unreadable { id: id.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const TEXT: &str = "version: light\nnodes:\n  - {label: Start, type: start}\n";

    fn directory() -> (tempfile::TempDir, BaseDirectory) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("base");
        fs::create_dir_all(root.join("sub/deeper")).unwrap();
        fs::create_dir(root.join(".hidden")).unwrap();
        for name in ["base/b.light.yaml", "base/sub/deeper/a.light.yaml", "base/.hidden/c.light.yaml"] {
            fs::write(dir.path().join(name), TEXT).unwrap();
        }
        fs::write(root.join("broken.light.yaml"), "a: [").unwrap();
        fs::write(root.join("other.yaml"), TEXT).unwrap();
        fs::write(dir.path().join("outside.light.yaml"), TEXT).unwrap();
        symlink(dir.path().join("outside.light.yaml"), root.join("link.light.yaml")).unwrap();
        symlink(dir.path(), root.join("loop")).unwrap();
        symlink("b.light.yaml", root.join("alias.light.yaml")).unwrap();
        (dir, BaseDirectory::new(root))
    }

    #[tokio::test]
    async fn a_list_has_the_diagrams_of_the_directory_and_follows_no_link() {
        let (_dir, base) = directory();
        let list = base.list().await.unwrap();
        let ids: Vec<_> = list.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(ids, ["b.light.yaml", "broken.light.yaml", "sub/deeper/a.light.yaml"]);
        assert_eq!((list[2].name.as_str(), list[2].bytes), ("a", TEXT.len() as u64));
    }

    #[tokio::test]
    async fn a_diagram_comes_with_its_text_and_model() {
        let (_dir, base) = directory();
        for id in ["sub/deeper/a.light.yaml", "alias.light.yaml"] {
            let file = base.get(id).await.unwrap();
            assert_eq!((file.entry.id.as_str(), file.text.as_str()), (id, TEXT));
            assert_eq!(file.model["nodes"][0]["label"], "Start");
        }
        let broken = base.get("broken.light.yaml").await.unwrap_err();
        assert!(matches!(broken, DiagramError::Unreadable { .. }), "{broken}");
    }

    #[tokio::test]
    async fn nothing_outside_the_directory_is_read() {
        let (dir, base) = directory();
        let absolute = dir.path().join("outside.light.yaml");
        for id in [
            "../outside.light.yaml",
            "sub/../../outside.light.yaml",
            "link.light.yaml",
            "loop/outside.light.yaml",
            absolute.to_str().unwrap(),
            "./b.light.yaml",
            "sub/../b.light.yaml",
            "other.yaml",
            "nowhere.light.yaml",
            "sub",
            "",
            "b.light.yaml\0",
        ] {
            let error = base.get(id).await.unwrap_err();
            assert!(matches!(error, DiagramError::Unknown(_)), "{id}: {error}");
        }
    }

    #[tokio::test]
    async fn a_check_names_every_fault_with_its_place() {
        let (_dir, base) = directory();
        let report = base.validate(TEXT.replace("start}", "strat}"), "x.light.yaml").await;
        assert!(report.errors[0].starts_with("x.light.yaml:3:"), "{report:?}");
        assert_eq!(report.size, None);
        let report = base.validate(TEXT.to_owned(), "x.light.yaml").await;
        assert_eq!((report.errors.len(), report.size), (0, Some((1, 0))));
    }
}
