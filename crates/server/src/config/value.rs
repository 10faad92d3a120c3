//! One value of a setting, whatever layer it comes from.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use http::uri::{Authority, Uri};
use toml::de::DeValue;

use crate::guards::host::is_plain;

/// The longest time that can be set: a year.
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
            Raw::Text(text) => Some(text.to_owned()),
            Raw::Toml(DeValue::Integer(integer)) => {
                i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|number| number.to_string())
            }
            Raw::Toml(_) => None,
        };
        text.and_then(|text| text.trim().parse::<u64>().ok())
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| self.expected(&format!("a whole number from {min} to {max}")))
    }

    /// Seconds, more than none, and few enough to be added to any instant.
    pub(super) fn seconds(self) -> Result<Duration, String> {
        let text = match self.raw {
            Raw::Text(text) => Some(text),
            Raw::Toml(DeValue::Integer(number)) => Some(number.as_str()),
            Raw::Toml(DeValue::Float(number)) => Some(number.as_str()),
            Raw::Toml(_) => None,
        };
        text.and_then(|text| text.trim().parse::<f64>().ok())
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .filter(|time| !time.is_zero() && *time <= LONGEST)
            .ok_or_else(|| {
                let longest = LONGEST.as_secs();
                self.expected(&format!("a number of seconds greater than 0 and at most {longest}"))
            })
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
