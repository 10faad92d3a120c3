//! Where a configuration comes from.

use std::path::PathBuf;

/// The layers above the defaults, lowest first.
#[derive(Debug, Clone, Default)]
pub struct ConfigSources {
    /// The file that was asked for. If none was, `dipeo.toml` in `dir`, if it is there.
    pub file: Option<PathBuf>,
    /// The working directory; relative paths start here, but those in a file beside it.
    pub dir: PathBuf,
    /// The environment. Only names that begin with `DIPEO_` count.
    pub env: Vec<(String, String)>,
    /// Where programs keep data of this user, absolute: `$XDG_DATA_HOME`, else `~/.local/share`.
    pub data_home: Option<PathBuf>,
    /// Flags: a key of [`Config`](crate::Config), and a value.
    pub flags: Vec<(&'static str, String)>,
}

// === impl ConfigSources ===

impl ConfigSources {
    /// The process' environment, with relative paths starting in `dir`. A variable that is not Unicode is passed over.
    #[must_use]
    pub fn of_process(dir: PathBuf) -> Self {
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(super::load::PREFIX))
            .collect();
        // As the XDG base directory specification has it: relative ones don't count.
        let absolute =
            |name| std::env::var_os(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
        let data_home = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
        Self { dir, env, data_home, ..Self::default() }
    }

    /// The same with a flag, if it was given.
    #[must_use]
    pub fn flag(mut self, key: &'static str, value: Option<impl ToString>) -> Self {
        self.flags.extend(value.map(|value| (key, value.to_string())));
        self
    }
}
