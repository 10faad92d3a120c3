//! The functions that an expression may call.

use std::cmp::Ordering;

use super::{
    convert,
    evaluate::{Evaluation, Fallible, hashable},
    value::{Entries, Number, Val},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Len,
    Abs,
    Min,
    Max,
    Sum,
    All,
    Any,
    Bool,
    Int,
    Float,
    Str,
    List,
    Dict,
    Tuple,
    Set,
    Round,
}

const NAMES: [(&str, Function); 16] = [
    ("len", Function::Len),
    ("abs", Function::Abs),
    ("min", Function::Min),
    ("max", Function::Max),
    ("sum", Function::Sum),
    ("all", Function::All),
    ("any", Function::Any),
    ("bool", Function::Bool),
    ("int", Function::Int),
    ("float", Function::Float),
    ("str", Function::Str),
    ("list", Function::List),
    ("dict", Function::Dict),
    ("tuple", Function::Tuple),
    ("set", Function::Set),
    ("round", Function::Round),
];

const OVERFLOW: &str = "a number is larger than this language can count";

impl Function {
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
    }

    fn name(self) -> &'static str {
        NAMES.iter().find(|(_, function)| *function == self).map_or("", |(name, _)| name)
    }
}

impl<'a> Evaluation<'_, 'a> {
    pub(super) fn call(&self, function: Function, arguments: Vec<Val<'a>>) -> Fallible<Val<'a>> {
        let name = function.name();
        let mut arguments = arguments.into_iter();
        let count = arguments.len();
        let (min, max) = match function {
            Function::Len | Function::Abs | Function::All | Function::Any => (1, 1),
            Function::Sum | Function::Round => (1, 2),
            Function::Int => (0, 2),
            Function::Min | Function::Max => (1, usize::MAX),
            Function::Bool
            | Function::Float
            | Function::Str
            | Function::List
            | Function::Dict
            | Function::Tuple
            | Function::Set => (0, 1),
        };
        if count < min || count > max {
            return Err(format!("`{name}` can't take {count} argument(s)"));
        }
        let (first, second) = match function {
            Function::Min | Function::Max if count > 1 => (None, None),
            _ => (arguments.next(), arguments.next()),
        };
        Ok(match function {
            Function::Len => match first.unwrap_or(Val::None) {
                Val::Text(text) => {
                    self.pay(text.len() / 16)?;
                    count_of(text.chars().count())
                }
                Val::List(items) => count_of(items.len()),
                Val::Tuple(items) | Val::Set(items) => count_of(items.len()),
                Val::Map(entries) => count_of(entries.len()),
                other => return Err(wrong(name, &other)),
            },
            Function::Abs => match first.as_ref().and_then(Val::number) {
                Some(Number::Int(number)) => Val::Int(number.checked_abs().ok_or(OVERFLOW)?),
                Some(Number::Float(number)) => Val::Float(number.abs()),
                None => return Err(wrong(name, &first.unwrap_or(Val::None))),
            },
            Function::Min | Function::Max => {
                let items = match first {
                    Some(only) => self.items(name, only)?,
                    None => arguments.collect(),
                };
                self.extreme(
                    name,
                    items,
                    if function == Function::Min { Ordering::Less } else { Ordering::Greater },
                )?
            }
            Function::Sum => {
                let items = self.items(name, first.unwrap_or(Val::None))?;
                self.sum(&items, second.unwrap_or(Val::Int(0)))?
            }
            Function::All => Val::Bool(self.items(name, first.unwrap_or(Val::None))?.iter().all(Val::truth)),
            Function::Any => Val::Bool(self.items(name, first.unwrap_or(Val::None))?.iter().any(Val::truth)),
            Function::Bool => Val::Bool(first.is_some_and(|value| value.truth())),
            Function::Int => convert::int(first, second.as_ref())?,
            Function::Float => convert::float(first.as_ref())?,
            Function::Str => {
                let mut text = String::new();
                if let Some(value) = first {
                    convert::write_str(self, &value, &mut text)?;
                }
                Val::Text(text.into())
            }
            Function::List => Val::list(self.items_or_none(name, first)?),
            Function::Tuple => Val::Tuple(self.items_or_none(name, first)?),
            Function::Set => Val::Set(self.distinct(self.items_or_none(name, first)?)?),
            Function::Dict => match first {
                Some(map @ Val::Map(_)) => map,
                other => self.dict(self.items_or_none(name, other)?)?,
            },
            Function::Round => convert::round(&first.unwrap_or(Val::None), second.as_ref())?,
        })
    }

    /// The elements that a loop over `value` would see.
    fn items(&self, name: &str, value: Val<'a>) -> Fallible<Vec<Val<'a>>> {
        let items: Vec<Val<'a>> = match value {
            Val::Text(text) => {
                self.pay(text.len())?;
                text.chars().map(|c| Val::Text(c.to_string().into())).collect()
            }
            Val::List(items) => {
                self.pay(items.len())?;
                items.to_vec()
            }
            Val::Tuple(items) | Val::Set(items) => items,
            Val::Map(entries) => {
                self.pay(entries.len())?;
                entries.keys()
            }
            other => return Err(wrong(name, &other)),
        };
        self.pay(items.len())?;
        Ok(items)
    }

    fn items_or_none(&self, name: &str, value: Option<Val<'a>>) -> Fallible<Vec<Val<'a>>> {
        value.map_or_else(|| Ok(Vec::new()), |value| self.items(name, value))
    }

    /// The first of the smallest or largest.
    fn extreme(&self, name: &str, items: Vec<Val<'a>>, wanted: Ordering) -> Fallible<Val<'a>> {
        let sign = if wanted == Ordering::Less { "<" } else { ">" };
        let mut items = items.into_iter();
        let mut best = items.next().ok_or_else(|| format!("`{name}` of nothing has no value"))?;
        for item in items {
            if let (Val::Set(_), Val::Set(_)) = (&item, &best) {
                return Err(format!("`{name}` can't order sets"));
            }
            if self.order(&item, sign, &best)? == Some(wanted) {
                best = item;
            }
        }
        Ok(best)
    }

    fn sum(&self, items: &[Val<'a>], start: Val<'a>) -> Fallible<Val<'a>> {
        if let Val::Text(_) = start {
            return Err("`sum` can't add str".to_owned());
        }
        items.iter().try_fold(start, |total, item| self.add(&total, item))
    }

    fn add(&self, left: &Val<'a>, right: &Val<'a>) -> Fallible<Val<'a>> {
        match (left.number(), right.number()) {
            (Some(Number::Int(a)), Some(Number::Int(b))) => {
                return Ok(Val::Int(a.checked_add(b).ok_or(OVERFLOW)?));
            }
            (Some(a), Some(b)) => return Ok(Val::Float(convert::as_float(a) + convert::as_float(b))),
            _ => {}
        }
        match (left, right) {
            (Val::List(_), Val::List(_)) | (Val::Tuple(_), Val::Tuple(_)) => {
                let mut items = left.sequence().unwrap_or_default();
                items.extend(right.sequence().unwrap_or_default());
                self.pay(items.len())?;
                Ok(if matches!(left, Val::List(_)) { Val::list(items) } else { Val::Tuple(items) })
            }
            _ => Err(format!("`sum` can't add {} and {}", left.type_name(), right.type_name())),
        }
    }

    /// Without the elements that equal an earlier one.
    fn distinct(&self, items: Vec<Val<'a>>) -> Fallible<Vec<Val<'a>>> {
        let mut distinct: Vec<Val<'a>> = Vec::new();
        for item in items {
            hashable(&item)?;
            if !self.has(&distinct, &item)? {
                distinct.push(item);
            }
        }
        Ok(distinct)
    }

    fn dict(&self, items: Vec<Val<'a>>) -> Fallible<Val<'a>> {
        let mut entries: Vec<(Val<'a>, Val<'a>)> = Vec::new();
        for item in items {
            let pair = self.items("dict", item)?;
            let Ok([key, value]) = <[Val<'a>; 2]>::try_from(pair) else {
                return Err("`dict` wants a dict, or pairs of keys and values".to_owned());
            };
            hashable(&key)?;
            let mut place = None;
            for (i, (other, _)) in entries.iter().enumerate() {
                if self.equal(other, &key)? {
                    place = Some(i);
                    break;
                }
            }
            match place.and_then(|i| entries.get_mut(i)) {
                Some(entry) => entry.1 = value,
                None => entries.push((key, value)),
            }
        }
        Ok(Val::Map(Entries::Made(entries)))
    }
}

fn count_of<'a>(count: usize) -> Val<'a> {
    Val::Int(count as i128)
}

fn wrong(name: &str, value: &Val<'_>) -> String {
    format!("`{name}` can't take {}", value.type_name())
}
