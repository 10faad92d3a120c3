//! Typed access to a node's properties, with the coercions that the format always had.

use std::time::Duration;

use crate::{
    diagnostic::{Diagnostic, Location, Report},
    graph::OnError,
    yaml::{Data, Mapping, ScalarKind, Value},
};

/// Properties that say nothing about execution.
const VISUAL: [&str; 3] = ["label", "flipped", "metadata"];

/// Longest time in seconds that a property may name: ten years, which any clock can add.
const MAX_SECONDS: f64 = 315_360_000.0;

/// The properties of one node while they are read.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    properties: &'a Mapping,
    label: &'a str,
    location: Location,
    report: &'a mut Report,
    /// The properties that this type has, in the order in which they were asked for.
    asked: Vec<&'static str>,
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) at: Location,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(
        properties: &'a Mapping,
        label: &'a str,
        location: Location,
        report: &'a mut Report,
    ) -> Self {
        Self { properties, label, location, report, asked: VISUAL.to_vec() }
    }

    pub(crate) const fn label(&self) -> &'a str {
        self.label
    }

    /// Where the node is.
    pub(crate) const fn location(&self) -> Location {
        self.location
    }

    pub(crate) const fn report(&mut self) -> &mut Report {
        self.report
    }

    /// Says that this type has `names`, though nothing reads them.
    pub(crate) fn accept(&mut self, names: &[&'static str]) {
        self.asked.extend_from_slice(names);
    }

    /// The property as it is. A property that is null counts as absent.
    pub(crate) fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.asked.push(name);
        self.properties.get(name).filter(|value| !value.is_null())
    }

    /// A text. A bare number or boolean is taken as it is written.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<Placed<String>> {
        let value = self.value(name)?;
        match value.text() {
            Some(text) => Some(Placed { value: text.to_owned(), at: value.at }),
            None => self.expected(name, "a text", value),
        }
    }

    /// One of a few names, in any case.
    pub(crate) fn word(&mut self, name: &'static str) -> Option<Placed<String>> {
        let placed = self.text(name)?;
        Some(Placed { value: placed.value.trim().to_lowercase(), at: placed.at })
    }

    /// A boolean, or a text or number that means one.
    pub(crate) fn boolean(&mut self, name: &'static str) -> Option<bool> {
        let value = self.value(name)?;
        if let Data::Scalar(scalar) = &value.data {
            if let ScalarKind::Bool(boolean) = scalar.kind {
                return Some(boolean);
            }
            match scalar.text.trim().to_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "on" | "1" => return Some(true),
                "false" | "f" | "no" | "n" | "off" | "0" | "" => return Some(false),
                _ => {}
            }
        }
        self.expected(name, "`true` or `false`", value)
    }

    /// A time in seconds, as a number or a text that is one; none for 0.
    pub(crate) fn seconds(&mut self, name: &'static str) -> Option<Duration> {
        let value = self.value(name)?;
        let seconds = match &value.data {
            Data::Scalar(scalar) => match &scalar.kind {
                ScalarKind::Number(number) => number.as_f64(),
                ScalarKind::Text => scalar.text.trim().parse().ok(),
                ScalarKind::Bool(_) | ScalarKind::Null => None,
            },
            Data::List(_) | Data::Map(_) => None,
        };
        match seconds {
            Some(0.0) => None,
            Some(seconds) if (0.0..=MAX_SECONDS).contains(&seconds) => Some(Duration::from_secs_f64(seconds)),
            _ => self.expected(name, "a number of seconds, at most ten years", value),
        }
    }

    /// Reads `on_error`, which every node type has.
    pub(crate) fn on_error(&mut self) -> OnError {
        let Some(word) = self.word("on_error") else { return OnError::Unset };
        match word.value.as_str() {
            "continue" => OnError::Continue,
            "fail" => OnError::Fail,
            other => {
                let help = match self.report.nearest(other, ["continue", "fail"]) {
                    Some(near) => format!("write `{near}`"),
                    None => "write `continue` or `fail`, or leave it out".to_owned(),
                };
                self.report.push(
                    Diagnostic::error(word.at, format!("`on_error` of `{}` can't be `{other}`", self.label))
                        .help(help),
                );
                OnError::Unset
            }
        }
    }

    /// Warns about the properties that this type doesn't have. To be called when all others were asked for.
    pub(crate) fn finish(self) {
        for entry in self.properties.iter().filter(|entry| !self.asked.contains(&&*entry.key)) {
            let near = self
                .report
                .nearest(&entry.key, self.asked.iter().copied().filter(|name| !VISUAL.contains(name)));
            let help = match near {
                Some(near) if !self.properties.contains(near) => format!("did you mean `{near}`?"),
                _ => "it is ignored".to_owned(),
            };
            self.report.push(
                Diagnostic::warning(entry.at, format!("`{}` has no property `{}`", self.label, entry.key))
                    .help(help),
            );
        }
    }

    fn expected<T>(&mut self, name: &str, wanted: &str, found: &Value) -> Option<T> {
        self.report.push(Diagnostic::error(
            found.at,
            format!("`{name}` of `{}` should be {wanted}, not {}", self.label, found.describe()),
        ));
        None
    }
}
