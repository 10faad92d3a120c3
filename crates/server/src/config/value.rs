//! One value of a setting, whatever layer it comes from.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use http::uri::{Authority, Uri};
use toml::de::DeValue;

use super::{
    LogDurability, LogStore,
    units::{parse_size, parse_time, show_size},
};
use crate::guards::host::is_plain;

/// The longest time that is waited for anything: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A value and where relative paths in it start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) raw: Raw<'a>,
    pub(super) dir: &'a Path,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Raw<'a> {
    /// Of a variable or a flag.
    Text(&'a str),
    /// Of a file.
    Toml(&'a DeValue<'a>),
}

// === impl Value ===

impl<'a> Value<'a> {
    /// A whole number within `range`.
    pub(super) fn whole<T>(self, min: T, max: T) -> Result<T, String>
    where
        T: TryFrom<u64> + PartialOrd + std::fmt::Display + Copy,
    {
        let text = match self.raw {
            Raw::Toml(DeValue::String(_) | DeValue::Float(_)) => None,
            _ => self.scalar(),
        };
        text.and_then(|text| text.trim().parse::<u64>().ok())
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| self.expected(&format!("a whole number from {min} to {max}")))
    }

    /// A number of bytes within `range`, with a unit if it has one.
    pub(super) fn size<T: TryFrom<u64>>(self, min: u64, max: u64) -> Result<T, String> {
        self.scalar()
            .and_then(|text| parse_size(&text))
            .filter(|size| (min..=max).contains(size))
            .and_then(|size| T::try_from(size).ok())
            .ok_or_else(|| {
                let (min, max) = (show_size(min), show_size(max));
                self.expected(&format!("a size from {min} to {max} (such as 1048576 or \"1 MiB\")"))
            })
    }

    /// A time, more than none, and short enough to be added to any instant.
    pub(super) fn time(self) -> Result<Duration, String> {
        self.time_up_to(LONGEST, "a year")
    }

    /// An age that may be longer than any wait.
    pub(super) fn age(self) -> Result<Duration, String> {
        self.time_up_to(LONGEST * 100, "100 years")
    }

    fn time_up_to(self, most: Duration, name: &str) -> Result<Duration, String> {
        self.scalar().and_then(|text| parse_time(&text)).filter(|time| *time <= most).ok_or_else(|| {
            self.expected(&format!(
                "a time greater than 0 and at most {name} (seconds, or such as \"90 s\" or \"15 min\")"
            ))
        })
    }

    /// What `read` takes, or `none`.
    pub(super) fn or_none<T>(
        self,
        read: impl FnOnce(Self) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        if self.text().is_some_and(|text| text.trim() == "none") {
            return Ok(None);
        }
        read(self).map(Some).map_err(|problem| match problem.split_once(" is expected, ") {
            Some((what, given)) => format!("{what}, or \"none\", is expected, {given}"),
            None => problem,
        })
    }

    pub(super) fn store(self) -> Result<LogStore, String> {
        match self.text() {
            Some("sqlite") => Ok(LogStore::Sqlite),
            Some("memory") => Ok(LogStore::Memory),
            _ => Err(self.expected("\"sqlite\" or \"memory\"")),
        }
    }

    pub(super) fn durability(self) -> Result<LogDurability, String> {
        match self.text() {
            Some("process") => Ok(LogDurability::Process),
            Some("power") => Ok(LogDurability::Power),
            _ => Err(self.expected("\"process\" or \"power\"")),
        }
    }

    pub(super) fn truth(self) -> Result<bool, String> {
        let text = match self.raw {
            Raw::Text(text) => text.trim(),
            Raw::Toml(DeValue::Boolean(truth)) => return Ok(*truth),
            Raw::Toml(_) => "",
        };
        match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(self.expected("true or false")),
        }
    }

    pub(super) fn address(self) -> Result<IpAddr, String> {
        match self.text() {
            Some("localhost") => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            text => text
                .and_then(|text| text.trim_start_matches('[').trim_end_matches(']').parse().ok())
                .ok_or_else(|| self.expected("an IP address (such as 127.0.0.1)")),
        }
    }

    pub(super) fn path(self) -> Result<PathBuf, String> {
        match self.text() {
            Some(text) if !text.is_empty() => Ok(self.dir.join(text)),
            _ => Err(self.expected("a path")),
        }
    }

    /// Names of hosts, each with a port or without.
    pub(super) fn hosts(self) -> Result<Vec<String>, String> {
        self.list(|text| {
            let authority = text.parse::<Authority>().ok()?;
            is_plain(&authority).then(|| text.to_ascii_lowercase())
        })
        .ok_or_else(|| self.expected("a list of host names (such as monitor.example.org or 192.0.2.1:8000)"))
    }

    /// Origins: a scheme, a host, a port that is not the scheme's own, and no path.
    pub(super) fn origins(self) -> Result<Vec<String>, String> {
        self.list(|text| {
            let uri = text.parse::<Uri>().ok()?;
            let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
            let plain = uri.authority()?.as_str().to_ascii_lowercase();
            (format!("{scheme}://{plain}") == text.to_ascii_lowercase() && !plain.contains('@'))
                .then(|| text.to_ascii_lowercase())
        })
        .ok_or_else(|| self.expected("a list of origins (such as https://monitor.example.org)"))
    }

    fn list<T>(self, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        match self.raw {
            Raw::Text(text) => {
                text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(item).collect()
            }
            Raw::Toml(DeValue::Array(array)) => {
                array.iter().map(|value| item(value.get_ref().as_str()?)).collect()
            }
            Raw::Toml(_) => None,
        }
    }

    /// A number or a text, as a text.
    fn scalar(self) -> Option<String> {
        match self.raw {
            Raw::Text(text) => Some(text.to_owned()),
            Raw::Toml(DeValue::String(text)) => Some(text.to_string()),
            Raw::Toml(DeValue::Integer(number)) => {
                Some(i64::from_str_radix(number.as_str(), number.radix()).ok()?.to_string())
            }
            Raw::Toml(DeValue::Float(number)) => Some(number.as_str().to_owned()),
            Raw::Toml(_) => None,
        }
    }

    fn text(self) -> Option<&'a str> {
        match self.raw {
            Raw::Text(text) => Some(text),
            Raw::Toml(value) => value.as_str(),
        }
    }

    /// What to say when the value is something else than `what`.
    fn expected(self, what: &str) -> String {
        let given = match self.raw {
            Raw::Text(text) => format!("{text:?}"),
            Raw::Toml(DeValue::Integer(number)) => number.to_string(),
            Raw::Toml(DeValue::Float(number)) => number.to_string(),
            Raw::Toml(DeValue::String(text)) => format!("{text:?}"),
            Raw::Toml(DeValue::Array(_)) => {
                return format!("{what} is expected, this list has something else in it");
            }
            Raw::Toml(other) => format!("of type {}", other.type_str()),
        };
        format!("{what} is expected, this is {given}")
    }
}
