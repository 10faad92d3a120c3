//! The language of `custom` conditions: a small part of Python's expressions, with Python's meaning.
//!
//! - literals: numbers, texts, `True`, `False`, `None`
//! - names: an input or variable; `None` if there is no such
//! - attributes: `a.b`, the entry `b` of the map `a`; `None` if there is no such
//! - comparisons, chained or not: `== != < <= > >= in`, `not in`
//! - `and`, `or`, `not`; the result is a boolean, and what the left side decides keeps the right side unevaluated
//! - calls, with positional arguments: `len abs min max sum all any bool int float str list dict tuple set round`
//!
//! Everything else is refused with its place (line and column in the expression), and so is an error of evaluation such
//! as `None > 3`. Length, depth and the number of steps are bounded.

mod convert;
mod evaluate;
mod functions;
mod lexer;
mod parser;
mod value;

use std::fmt;

use serde_json::Value;

use self::{evaluate::Evaluation, parser::Node};

/// The longest expression, in bytes.
const MAX_LENGTH: usize = 16 * 1024;

/// The deepest nesting of parentheses, calls and `not`.
const MAX_DEPTH: usize = 64;

/// What an evaluation may cost: about one step per operation and per element that it touches.
const MAX_STEPS: u64 = 10_000_000;

/// A parsed expression.
#[derive(Debug, Clone)]
pub struct Expression {
    root: Node,
}

/// Why an expression has no result. Displays as `line:column: what is wrong`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ExpressionError {
    place: Place,
    message: String,
}

/// Where in an expression, from 1; columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    line: u32,
    column: u32,
}

// === impl Expression ===

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// When it is empty, too long, too deep, no expression, or uses what this language lacks.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        if text.len() > MAX_LENGTH {
            return Err(Place::START.error(format!("the expression is longer than {MAX_LENGTH} bytes")));
        }
        let tokens = lexer::tokens(text)?;
        Ok(Self { root: parser::parse(&tokens)? })
    }

    /// Whether the expression holds, where `lookup` gives the values of names.
    ///
    /// # Errors
    ///
    /// When an operation doesn't suit its values, or the evaluation costs too much.
    pub fn evaluate<'a>(
        &'a self,
        lookup: &dyn Fn(&str) -> Option<&'a Value>,
    ) -> Result<bool, ExpressionError> {
        Evaluation::new(lookup, MAX_STEPS).truth(&self.root)
    }
}

// === impl Place ===

impl Place {
    const START: Self = Self { line: 1, column: 1 };

    fn error(self, message: impl Into<String>) -> ExpressionError {
        ExpressionError { place: self, message: message.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests;
