//! Evaluates a tree, within a budget.

use std::{cell::Cell, cmp::Ordering};

use serde_json::Value;

use super::{
    ExpressionError,
    parser::{Comparison, Node, Operation},
    value::{Entries, Items, Val},
};

/// One evaluation.
pub(super) struct Evaluation<'e, 'a> {
    lookup: &'e dyn Fn(&str) -> Option<&'a Value>,
    steps_left: Cell<u64>,
}

/// An operation's error, without its place.
pub(super) type Fallible<T> = Result<T, String>;

impl<'e, 'a> Evaluation<'e, 'a> {
    pub(super) fn new(lookup: &'e dyn Fn(&str) -> Option<&'a Value>, steps: u64) -> Self {
        Self { lookup, steps_left: Cell::new(steps) }
    }

    pub(super) fn truth(&self, node: &'a Node) -> Result<bool, ExpressionError> {
        Ok(self.value(node)?.truth())
    }

    fn value(&self, node: &'a Node) -> Result<Val<'a>, ExpressionError> {
        let at = |message: String| node.place.error(message);
        self.pay(1).map_err(at)?;
        Ok(match &node.kind {
            Operation::None => Val::None,
            Operation::Bool(value) => Val::Bool(*value),
            Operation::Int(number) => Val::Int(*number),
            Operation::Float(number) => Val::Float(*number),
            Operation::Text(text) => Val::Text(text.as_str().into()),
            Operation::Name(name) => (self.lookup)(name).map_or(Val::None, Val::from),
            Operation::Attribute(of, names) => {
                let mut value = self.value(of)?;
                for name in names {
                    self.pay(1).map_err(at)?;
                    value = match value {
                        Val::Map(entries) => entries.get(name).unwrap_or(Val::None),
                        _ => Val::None,
                    };
                }
                value
            }
            Operation::Not(operand) => Val::Bool(!self.truth(operand)?),
            Operation::All(operands) => {
                for operand in operands {
                    if !self.truth(operand)? {
                        return Ok(Val::Bool(false));
                    }
                }
                Val::Bool(true)
            }
            Operation::Any(operands) => {
                for operand in operands {
                    if self.truth(operand)? {
                        return Ok(Val::Bool(true));
                    }
                }
                Val::Bool(false)
            }
            Operation::Compare(first, rest) => {
                let mut left = self.value(first)?;
                for (comparison, operand) in rest {
                    let right = self.value(operand)?;
                    if !self.compare(*comparison, &left, &right).map_err(at)? {
                        return Ok(Val::Bool(false));
                    }
                    left = right;
                }
                Val::Bool(true)
            }
            Operation::Call(function, arguments) => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(self.value(argument)?);
                }
                self.call(*function, values).map_err(at)?
            }
        })
    }

    /// Takes `steps` from the budget.
    pub(super) fn pay(&self, steps: usize) -> Fallible<()> {
        let left = self.steps_left.get().checked_sub(steps as u64);
        self.steps_left.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| "the expression costs too much to evaluate".to_owned())
    }

    fn compare(&self, comparison: Comparison, left: &Val<'a>, right: &Val<'a>) -> Fallible<bool> {
        match comparison {
            Comparison::Equal => self.equal(left, right),
            Comparison::Unequal => Ok(!self.equal(left, right)?),
            Comparison::In => self.contains(right, left),
            Comparison::NotIn => Ok(!self.contains(right, left)?),
            Comparison::Less => self.ordered(left, "<", right, |ordering| ordering == Ordering::Less),
            Comparison::LessOrEqual => self.ordered(left, "<=", right, Ordering::is_le),
            Comparison::Greater => self.ordered(left, ">", right, |ordering| ordering == Ordering::Greater),
            Comparison::GreaterOrEqual => self.ordered(left, ">=", right, Ordering::is_ge),
        }
    }

    /// `==`, which knows no errors but the budget.
    pub(super) fn equal(&self, left: &Val<'a>, right: &Val<'a>) -> Fallible<bool> {
        self.pay(1)?;
        if let (Some(left), Some(right)) = (left.number(), right.number()) {
            return Ok(left.compare(right) == Some(Ordering::Equal));
        }
        match (left, right) {
            (Val::None, Val::None) => Ok(true),
            (Val::Text(left), Val::Text(right)) => {
                self.pay(left.len().min(right.len()) / 64)?;
                Ok(left == right)
            }
            (Val::List(left), Val::List(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                if let (Items::Given(left), Items::Given(right)) = (left, right)
                    && std::ptr::eq(*left, *right)
                {
                    return Ok(true);
                }
                self.all_equal(&left.to_vec(), &right.to_vec())
            }
            (Val::Tuple(left), Val::Tuple(right)) => {
                Ok(left.len() == right.len() && self.all_equal(left, right)?)
            }
            (Val::Set(left), Val::Set(right)) => {
                Ok(left.len() == right.len() && self.is_subset(left, right)?)
            }
            (Val::Map(left), Val::Map(right)) => {
                Ok(left.len() == right.len() && self.maps_equal(left, right)?)
            }
            _ => Ok(false),
        }
    }

    fn all_equal(&self, left: &[Val<'a>], right: &[Val<'a>]) -> Fallible<bool> {
        self.pay(left.len())?;
        for (left, right) in left.iter().zip(right) {
            if !self.equal(left, right)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn maps_equal(&self, left: &Entries<'a>, right: &Entries<'a>) -> Fallible<bool> {
        self.pay(left.len())?;
        let made = right.to_vec();
        for (key, value) in left.to_vec() {
            let other = match (&key, right) {
                (Val::Text(name), Entries::Given(map)) => map.get(&**name).map(Val::from),
                _ => {
                    let mut found = None;
                    for (other, value) in &made {
                        if self.equal(&key, other)? {
                            found = Some(value.clone());
                            break;
                        }
                    }
                    found
                }
            };
            match other {
                Some(other) if self.equal(&value, &other)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    fn is_subset(&self, left: &[Val<'a>], right: &[Val<'a>]) -> Fallible<bool> {
        for item in left {
            if !self.has(right, item)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether `items` has an element equal to `item`.
    pub(super) fn has(&self, items: &[Val<'a>], item: &Val<'a>) -> Fallible<bool> {
        for other in items {
            if self.equal(other, item)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `item in whole`
    fn contains(&self, whole: &Val<'a>, item: &Val<'a>) -> Fallible<bool> {
        match (whole, item) {
            (Val::Text(whole), Val::Text(part)) => {
                self.pay(whole.len() / 16)?;
                Ok(whole.contains(&**part))
            }
            (Val::Text(_), other) => {
                Err(format!("`in` a str wants a str on its left, not {}", other.type_name()))
            }
            (Val::List(items), item) => {
                self.pay(items.len())?;
                self.has(&items.to_vec(), item)
            }
            (Val::Tuple(items), item) => self.has(items, item),
            (Val::Set(items), item) => {
                hashable(item)?;
                self.has(items, item)
            }
            (Val::Map(entries), item) => {
                hashable(item)?;
                match (entries, item) {
                    (Entries::Given(map), Val::Text(key)) => Ok(map.contains_key(&**key)),
                    (Entries::Given(_), _) => Ok(false),
                    (Entries::Made(_), _) => self.has(&entries.keys(), item),
                }
            }
            (other, _) => {
                Err(format!("`in` wants a str, list or dict on its right, not {}", other.type_name()))
            }
        }
    }

    /// `<` and its kin; `None` in place of an ordering (a number that is none) is never in order.
    fn ordered(
        &self,
        left: &Val<'a>,
        sign: &str,
        right: &Val<'a>,
        accept: fn(Ordering) -> bool,
    ) -> Fallible<bool> {
        if let (Val::Set(left), Val::Set(right)) = (left, right) {
            let (smaller, larger, strict) = match sign {
                "<" => (left, right, true),
                "<=" => (left, right, false),
                ">" => (right, left, true),
                _ => (right, left, false),
            };
            return Ok(self.is_subset(smaller, larger)? && !(strict && smaller.len() == larger.len()));
        }
        Ok(self.order(left, sign, right)?.is_some_and(accept))
    }

    pub(super) fn order(&self, left: &Val<'a>, sign: &str, right: &Val<'a>) -> Fallible<Option<Ordering>> {
        self.pay(1)?;
        if let (Some(left), Some(right)) = (left.number(), right.number()) {
            return Ok(left.compare(right));
        }
        match (left, right) {
            (Val::Text(left), Val::Text(right)) => {
                self.pay(left.len().min(right.len()) / 64)?;
                Ok(Some(left.cmp(right)))
            }
            (Val::List(_), Val::List(_)) | (Val::Tuple(_), Val::Tuple(_)) => {
                let (left, right) =
                    (left.sequence().unwrap_or_default(), right.sequence().unwrap_or_default());
                self.pay(left.len().min(right.len()))?;
                for (left, right) in left.iter().zip(&right) {
                    if !self.equal(left, right)? {
                        return self.order(left, sign, right);
                    }
                }
                Ok(Some(left.len().cmp(&right.len())))
            }
            _ => Err(format!("`{sign}` can't compare {} with {}", left.type_name(), right.type_name())),
        }
    }
}

/// Whether Python can look for `value` in a set or among a map's keys.
pub(super) fn hashable(value: &Val<'_>) -> Fallible<()> {
    match value {
        Val::List(_) | Val::Set(_) | Val::Map(_) => {
            Err(format!("{} can't be an element of a set or a key of a dict", value.type_name()))
        }
        Val::Tuple(items) => items.iter().try_for_each(hashable),
        Val::None | Val::Bool(_) | Val::Int(_) | Val::Float(_) | Val::Text(_) => Ok(()),
    }
}
