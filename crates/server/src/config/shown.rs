//! What the settings are, and where each of them comes from.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use serde_json::{Number, Value, json};

use super::{Config, LogDurability, LogStore, units::show_size};

/// A configuration, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The configuration.
    pub config: Config,
    /// Every setting, in the order of the documentation.
    pub settings: Vec<EffectiveSetting>,
}

/// One setting as it is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectiveSetting {
    /// Its key in `dipeo.toml`.
    pub key: &'static str,
    /// Its value: sizes are bytes, times are seconds; null where there is none.
    pub value: Value,
    /// The value as it may stand in `dipeo.toml`, with units; `None` where there is none and no way to say so.
    pub text: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where the value of a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A file: its name, line and column.
    File(String),
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(String),
}

/// What a setting can be, so that it can be shown.
pub(super) trait Shown {
    fn value(&self) -> Value;

    /// As it may stand in a file.
    fn text(&self) -> Option<String> {
        match self.value() {
            Value::Null => None,
            value => Some(value.to_string()),
        }
    }
}

/// A number of bytes.
pub(super) struct Bytes(pub(super) u64);

// === impl Origin ===

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(text) | Self::Environment(text) | Self::Flag(text) => f.write_str(text),
        }
    }
}

// === impl Shown ===

macro_rules! plain {
    ($($kind:ty),*) => {
        $(impl Shown for $kind {
            fn value(&self) -> Value {
                json!(self)
            }
        })*
    };
}

plain!(bool, u16, usize, Vec<String>);

impl Shown for Bytes {
    fn value(&self) -> Value {
        json!(self.0)
    }

    fn text(&self) -> Option<String> {
        Some(format!("{:?}", show_size(self.0)))
    }
}

impl Shown for IpAddr {
    fn value(&self) -> Value {
        json!(self.to_string())
    }
}

impl Shown for PathBuf {
    fn value(&self) -> Value {
        json!(self.to_string_lossy())
    }
}

impl Shown for Duration {
    fn value(&self) -> Value {
        match self.subsec_nanos() {
            0 => json!(self.as_secs()),
            _ => Number::from_f64(self.as_secs_f64()).map_or(Value::Null, Value::Number),
        }
    }

    fn text(&self) -> Option<String> {
        Some(format!("\"{} s\"", self.value()))
    }
}

impl Shown for LogStore {
    fn value(&self) -> Value {
        json!(self.as_str())
    }
}

impl Shown for LogDurability {
    fn value(&self) -> Value {
        json!(self.as_str())
    }
}

/// A bound that there may be none of.
impl<T: Shown> Shown for Option<T> {
    fn value(&self) -> Value {
        self.as_ref().map_or(Value::Null, Shown::value)
    }

    fn text(&self) -> Option<String> {
        self.as_ref().map_or_else(|| Some("\"none\"".to_owned()), Shown::text)
    }
}
