//! YAML as the format has always been read (PyYAML's dialect, YAML 1.1 values), with a place for every value.

use std::sync::Arc;

use crate::diagnostic::Location;

mod compose;
mod scalar;

pub(crate) use compose::load;
pub(crate) use scalar::{Scalar, ScalarKind};

/// Longest text that is read, in bytes.
pub const MAX_TEXT_BYTES: usize = 8 << 20;

/// Deepest nesting of lists and maps that is read.
pub const MAX_DEPTH: usize = 100;

/// A value and where it begins.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) at: Location,
    pub(crate) data: Data,
}

#[derive(Debug, Clone)]
pub(crate) enum Data {
    Scalar(Scalar),
    List(Vec<Value>),
    Map(Mapping),
}

/// A map in the order of the text, with unique keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mapping(Vec<Entry>);

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Arc<str>,
    /// Where the key is.
    pub(crate) at: Location,
    pub(crate) value: Value,
}

// === impl Value ===

impl Value {
    pub(crate) const fn is_null(&self) -> bool {
        matches!(&self.data, Data::Scalar(Scalar { kind: ScalarKind::Null, .. }))
    }

    /// A scalar as it is written, so that an unquoted `Yes` or `007` can serve as a name. None for null, lists, maps.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Scalar(scalar) if scalar.kind != ScalarKind::Null => Some(&scalar.text),
            Data::Scalar(_) | Data::List(_) | Data::Map(_) => None,
        }
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.data {
            Data::Scalar(scalar) => scalar.to_json(),
            Data::List(values) => values.iter().map(Self::to_json).collect(),
            Data::Map(map) => map.to_json().into(),
        }
    }

    /// For messages: what kind of value this is, and a short one itself.
    pub(crate) fn describe(&self) -> String {
        match &self.data {
            Data::Scalar(scalar) => scalar.describe(),
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a map".to_owned(),
        }
    }
}

// === impl Mapping ===

impl Mapping {
    pub(crate) const fn new(entries: Vec<Entry>) -> Self {
        Self(entries)
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Entry> {
        self.0.iter_mut()
    }

    /// Adds an entry whose key isn't there yet.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.0.push(entry);
    }

    pub(crate) fn into_entries(self) -> Vec<Entry> {
        self.0
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.iter().find(|entry| &*entry.key == key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    pub(crate) fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        self.iter().map(|entry| (entry.key.to_string(), entry.value.to_json())).collect()
    }
}
