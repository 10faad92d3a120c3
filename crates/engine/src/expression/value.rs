//! The values of an evaluation, and Python's rules for comparing them.

use std::{borrow::Cow, cmp::Ordering};

use serde_json::Value;

/// A value. What comes from outside is borrowed.
#[derive(Debug, Clone)]
pub(super) enum Val<'a> {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Cow<'a, str>),
    List(Items<'a>),
    Tuple(Vec<Val<'a>>),
    Set(Vec<Val<'a>>),
    Map(Entries<'a>),
}

/// The elements of a list.
#[derive(Debug, Clone)]
pub(super) enum Items<'a> {
    Given(&'a [Value]),
    Made(Vec<Val<'a>>),
}

/// The entries of a map.
#[derive(Debug, Clone)]
pub(super) enum Entries<'a> {
    Given(&'a serde_json::Map<String, Value>),
    Made(Vec<(Val<'a>, Val<'a>)>),
}

/// A number as Python compares it: booleans are numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Int(i128),
    Float(f64),
}

// === impl Val ===

impl<'a> From<&'a Value> for Val<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::None,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(int), _) => Self::Int(int.into()),
                (None, Some(int)) => Self::Int(int.into()),
                (None, None) => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Array(items) => Self::List(Items::Given(items)),
            Value::Object(map) => Self::Map(Entries::Given(map)),
        }
    }
}

impl<'a> Val<'a> {
    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(Items::Made(items))
    }

    /// Python's name of the type.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Set(_) => "set",
            Self::Map(_) => "dict",
        }
    }

    pub(super) fn truth(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => items.len() > 0,
            Self::Tuple(items) | Self::Set(items) => !items.is_empty(),
            Self::Map(entries) => entries.len() > 0,
        }
    }

    pub(super) const fn number(&self) -> Option<Number> {
        match self {
            Self::Bool(value) => Some(Number::Int(*value as i128)),
            Self::Int(number) => Some(Number::Int(*number)),
            Self::Float(number) => Some(Number::Float(*number)),
            _ => None,
        }
    }

    /// The elements of a list or tuple.
    pub(super) fn sequence(&self) -> Option<Vec<Val<'a>>> {
        match self {
            Self::List(items) => Some(items.to_vec()),
            Self::Tuple(items) => Some(items.clone()),
            _ => None,
        }
    }
}

// === impl Items, Entries ===

impl<'a> Items<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Given(items) => items.len(),
            Self::Made(items) => items.len(),
        }
    }

    pub(super) fn to_vec(&self) -> Vec<Val<'a>> {
        match self {
            Self::Given(items) => items.iter().map(Val::from).collect(),
            Self::Made(items) => items.clone(),
        }
    }
}

impl<'a> Entries<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Given(map) => map.len(),
            Self::Made(entries) => entries.len(),
        }
    }

    pub(super) fn to_vec(&self) -> Vec<(Val<'a>, Val<'a>)> {
        match self {
            Self::Given(map) => {
                map.iter().map(|(key, value)| (Val::Text(Cow::Borrowed(key)), Val::from(value))).collect()
            }
            Self::Made(entries) => entries.clone(),
        }
    }

    pub(super) fn keys(&self) -> Vec<Val<'a>> {
        self.to_vec().into_iter().map(|(key, _)| key).collect()
    }

    /// The entry with a text as its key.
    pub(super) fn get(&self, name: &str) -> Option<Val<'a>> {
        match self {
            Self::Given(map) => map.get(name).map(Val::from),
            Self::Made(entries) => entries
                .iter()
                .find(|(key, _)| matches!(key, Val::Text(text) if text == name))
                .map(|(_, v)| v.clone()),
        }
    }
}

// === impl Number ===

impl Number {
    /// Exact, however large the numbers are; none if one is no number.
    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Int(a), Self::Float(b)) => compare_mixed(a, b),
            (Self::Float(a), Self::Int(b)) => compare_mixed(b, a).map(Ordering::reverse),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the range is checked first"
)]
fn compare_mixed(int: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    let limit = i128::MAX as f64;
    if float >= limit {
        return Some(Ordering::Less);
    }
    if float < -limit {
        return Some(Ordering::Greater);
    }
    let whole = float.trunc();
    Some(
        int.cmp(&(whole as i128))
            .then_with(|| 0.0_f64.partial_cmp(&(float - whole)).unwrap_or(Ordering::Equal)),
    )
}
