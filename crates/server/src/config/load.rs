//! Reading the layers.

use std::{
    fmt,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{
    Config, ConfigSources, EffectiveSetting, Explained, LogStore, Origin,
    shown::{Bytes, Shown},
    value::{Raw, Value},
};

/// What variables begin with.
pub(super) const PREFIX: &str = "DIPEO_";
/// The file that is read from the working directory.
const FILE: &str = "dipeo.toml";
/// The data directory, among those of other programs.
const DATA_DIR: &str = "dipeo";

/// A setting: its key, how a value of it is taken, and how it is shown.
struct Setting {
    key: &'static str,
    take: fn(&mut Config, Value<'_>) -> Result<(), String>,
    value: fn(&Config) -> serde_json::Value,
    text: fn(&Config) -> Option<String>,
}

/// Sets `$field` of the configuration to `$value`, under the key of the same name. It is shown as it is, or as `$show` has it.
macro_rules! settings {
    ($($($field:ident).+ = |$value:ident| $read:expr $(, |$it:ident| $show:expr)?;)*) => {
        &[$(Setting {
            key: settings!(@key $($field).+),
            take: |config, $value| {
                config.$($field).+ = $read?;
                Ok(())
            },
            value: |config| settings!(@show config.$($field).+ $(, |$it| $show)?).value(),
            text: |config| settings!(@show config.$($field).+ $(, |$it| $show)?).text(),
        },)*]
    };
    (@key $a:ident) => { stringify!($a) };
    (@key $a:ident . $b:ident) => { concat!(stringify!($a), ".", stringify!($b)) };
    (@show $field:expr) => { $field };
    (@show $field:expr, |$it:ident| $show:expr) => {{
        let $it = &$field;
        $show
    }};
}

/// Enough for any machine, and far from where arithmetic ends.
const MANY: usize = u32::MAX as usize;
/// A size.
const GIB: u64 = 1 << 30;

const SETTINGS: &[Setting] = settings! {
    host = |value| value.address();
    port = |value| value.whole(0, u16::MAX);
    base_dir = |value| value.path().map(Some), |dir| dir.clone().unwrap_or_else(|| PathBuf::from("."));
    use_unified_monitoring = |value| value.truth();
    data_dir = |value| value.path().map(Some);
    allowed_hosts = |value| value.hosts();
    allowed_origins = |value| value.origins();
    drain_timeout = |value| value.time();
    max_body_bytes = |value| value.size(1024, GIB * 4), |size| bytes(*size);
    max_header_bytes = |value| value.size(8192, 16 * 1024 * 1024), |size| bytes(*size);
    max_headers = |value| value.whole(8, 10_000);
    header_timeout = |value| value.time();
    write_timeout = |value| value.time();
    max_connections = |value| value.whole(1, 1_000_000);
    max_streams = |value| value.whole(1, 1_000_000);
    max_runs = |value| value.whole(1, 1_000_000);
    max_parallel_nodes = |value| value.whole(1, 1_000_000);
    graphql.max_depth = |value| value.whole(1, 1_000);
    graphql.max_complexity = |value| value.whole(1, MANY);
    graphql.max_operations = |value| value.whole(1, 1_000_000);
    graphql.init_timeout = |value| value.time();
    graphql.ping_interval = |value| value.time();
    log.store = |value| value.store();
    log.durability = |value| value.durability();
    log.queue_bytes = |value| value.size(64 * 1024, GIB * 4), |size| bytes(*size);
    log.backlog_bytes = |value| value.size(64 * 1024, GIB * 4), |size| bytes(*size);
    log.stall_after = |value| value.time();
    log.max_events = |value| value.whole(1, MANY);
    log.max_bytes = |value| value.size(1, GIB * 4), |size| bytes(*size);
    log.max_events_per_run = |value| value.or_none(|value| value.whole(1, MANY));
    log.max_finished_runs = |value| value.whole(1, MANY);
    log.max_state_bytes = |value| value.size(1, GIB * 4), |size| bytes(*size);
    retention.max_age = |value| value.or_none(Value::age);
    retention.max_bytes = |value| value.or_none(|value| value.size(64 * 1024, GIB << 20)), |size| size.map(Bytes);
    retention.max_runs = |value| value.or_none(|value| value.whole(1, MANY));
    ingest.lease = |value| value.time();
    ingest.max_runs = |value| value.whole(1, 1_000_000);
    ingest.max_import_bytes = |value| value.size(1024, GIB << 20), |size| Bytes(*size);
};

/// All that is wrong with a configuration, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one.
    pub faults: Vec<ConfigFault>,
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// The file can't be read.
    #[error("{}: {problem}", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the system said.
        problem: String,
    },
    /// The file is no TOML.
    #[error("{place}: {problem}")]
    Syntax {
        /// File, line and column.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// A key that is not there.
    #[error("{place}: there is no setting `{key}`; {hint}")]
    Unknown {
        /// Where it was given.
        place: String,
        /// Its name there.
        key: String,
        /// What would be right.
        hint: String,
    },
    /// A value that a setting can't have.
    #[error("{place}: {key}: {problem}")]
    Value {
        /// Where it was given.
        place: String,
        /// The setting.
        key: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// Nobody says where the data directory is.
    #[error(
        "data_dir: neither it nor HOME is set, so that there is no place for the log; name a directory (data_dir, \
         DIPEO_DATA_DIR), or keep the log in memory (log.store = \"memory\", DIPEO_LOG_STORE=memory)"
    )]
    NoDataDir,
    /// An address that others can reach, given in passing.
    #[error(
        "host: {host} can be reached from other machines, and there is no authentication yet; if that is wanted, say so \
         with --host {host}"
    )]
    Exposed {
        /// The address.
        host: std::net::IpAddr,
    },
}

// === impl ConfigError ===

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

pub(super) fn load(sources: &ConfigSources) -> Result<Explained, ConfigError> {
    let mut loader = Loader {
        config: Config::default(),
        origins: vec![Origin::Default; SETTINGS.len()],
        faults: Vec::new(),
    };
    loader.read_file(sources);
    for (name, text) in &sources.env {
        loader.take_variable(name, text, &sources.dir);
    }
    let exposed_before = loader.exposed();
    for (key, text) in &sources.flags {
        let flag = format!("--{}", key.replace(['_', '.'], "-"));
        let value = Value { raw: Raw::Text(text), dir: &sources.dir };
        loader.take("command line", key, &flag, Origin::Flag(flag.clone()), value);
    }
    let said_so = sources.flags.iter().any(|(key, _)| *key == "host");
    if let (Some(host), false) = (exposed_before, said_so) {
        loader.faults.push(ConfigFault::Exposed { host });
    }
    loader.find_data_dir(sources);
    if !loader.faults.is_empty() {
        return Err(ConfigError { faults: loader.faults });
    }
    let Loader { config, origins, .. } = loader;
    let settings = SETTINGS.iter().zip(origins).map(|(setting, origin)| EffectiveSetting {
        key: setting.key,
        value: (setting.value)(&config),
        text: (setting.text)(&config),
        origin,
    });
    let settings = settings.collect();
    Ok(Explained { config, settings })
}

fn bytes(size: usize) -> Bytes {
    Bytes(u64::try_from(size).unwrap_or(u64::MAX))
}

struct Loader {
    config: Config,
    /// Where each of the settings comes from.
    origins: Vec<Origin>,
    faults: Vec<ConfigFault>,
}

// === impl Loader ===

impl Loader {
    /// Where the data directory is if nobody says so.
    fn find_data_dir(&mut self, sources: &ConfigSources) {
        if self.config.data_dir.is_some() {
            return;
        }
        self.config.data_dir = sources.data_home.as_ref().map(|home| home.join(DATA_DIR));
        if self.config.data_dir.is_none() && self.config.log.store == LogStore::Sqlite {
            self.faults.push(ConfigFault::NoDataDir);
        }
    }

    fn exposed(&self) -> Option<std::net::IpAddr> {
        Some(self.config.host).filter(|host| !host.to_canonical().is_loopback())
    }

    fn read_file(&mut self, sources: &ConfigSources) {
        let (file, wanted) = match &sources.file {
            Some(file) => (sources.dir.join(file), true),
            None => (sources.dir.join(FILE), false),
        };
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && !wanted => return,
            Err(error) => {
                self.faults.push(ConfigFault::File { file, problem: error.to_string() });
                return;
            }
        };
        // The name as the user knows it.
        let name = sources.file.as_deref().unwrap_or(Path::new(FILE)).display().to_string();
        let place = |offset: usize| format!("{name}:{}", position(&text, offset));
        match DeTable::parse(&text) {
            Ok(table) => {
                let dir = file.parent().unwrap_or(&sources.dir);
                self.take_table("", table.get_ref(), dir, &place);
            }
            Err(error) => {
                let place = error.span().map_or_else(|| name.clone(), |span| place(span.start));
                let problem = error.message().to_owned();
                self.faults.push(ConfigFault::Syntax { place, problem });
            }
        }
    }

    fn take_table(&mut self, prefix: &str, table: &DeTable<'_>, dir: &Path, place: &dyn Fn(usize) -> String) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let at = place(name.span().start);
            let key = format!("{prefix}{}", name.get_ref());
            let is_section = SETTINGS.iter().any(|s| s.key.starts_with(&format!("{key}.")));
            match value.get_ref() {
                DeValue::Table(table) if is_section => {
                    self.take_table(&format!("{key}."), table, dir, place);
                }
                value => {
                    let origin = Origin::File(at.clone());
                    self.take(&at, &key, &key, origin, Value { raw: Raw::Toml(value), dir });
                }
            }
        }
    }

    fn take_variable(&mut self, name: &str, text: &str, dir: &Path) {
        let Some(rest) = name.strip_prefix(PREFIX) else { return };
        let variable = |key: &str| key.replace('.', "_").to_ascii_uppercase();
        if let Some(setting) = SETTINGS.iter().find(|setting| variable(setting.key) == rest) {
            let value = Value { raw: Raw::Text(text), dir };
            self.take(name, setting.key, name, Origin::Environment(name.to_owned()), value);
            return;
        }
        // The prefix is not ours alone: a name that resembles none of ours is somebody else's.
        match nearest(&rest.to_ascii_lowercase()) {
            Some(near) => self.faults.push(ConfigFault::Unknown {
                place: "environment".to_owned(),
                key: name.to_owned(),
                hint: format!("did you mean `{PREFIX}{}`?", variable(near)),
            }),
            None => tracing::warn!(name, "an environment variable names no setting and is passed over"),
        }
    }

    fn take(&mut self, place: &str, key: &str, name: &str, origin: Origin, value: Value<'_>) {
        let found = SETTINGS.iter().zip(&mut self.origins).find(|(setting, _)| setting.key == key);
        let Some((setting, from)) = found else {
            let hint = match nearest(key) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    format!("there are {}", SETTINGS.iter().map(|s| s.key).collect::<Vec<_>>().join(", "))
                }
            };
            let (place, key) = (place.to_owned(), key.to_owned());
            self.faults.push(ConfigFault::Unknown { place, key, hint });
            return;
        };
        *from = origin;
        if let Err(problem) = (setting.take)(&mut self.config, value) {
            let place = if place == name { "environment".to_owned() } else { place.to_owned() };
            self.faults.push(ConfigFault::Value { place, key: name.to_owned(), problem });
        }
    }
}

fn nearest(key: &str) -> Option<&'static str> {
    let score = |setting: &Setting| {
        let last = setting.key.rsplit('.').next().unwrap_or(setting.key);
        strsim::jaro_winkler(key, setting.key).max(strsim::jaro_winkler(key, last))
    };
    let best = SETTINGS.iter().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(best) > 0.85).then_some(best.key)
}

/// Line and column, from 1, of a place in `text`.
fn position(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{line}:{column}")
}

#[cfg(test)]
mod tests;
