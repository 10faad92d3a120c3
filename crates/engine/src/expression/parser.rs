//! From tokens to a tree.

use super::{
    ExpressionError, MAX_DEPTH, Place,
    functions::Function,
    lexer::{Kind, Token},
};

/// What to use instead of what is missing.
const SUPPORTED: &str = "an expression may use literals, names, attributes `a.b`, comparisons, `in`, `and`, `or`, `not`, \
                         and calls of len abs min max sum all any bool int float str list dict tuple set round";

/// Python's words that are no names.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def",
    "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is",
    "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: Operation,
    pub(super) place: Place,
}

#[derive(Debug, Clone)]
pub(super) enum Operation {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Name(String),
    /// `of.a.b.c`: flat, so that a long chain needs no stack.
    Attribute(Box<Node>, Vec<String>),
    Call(Function, Vec<Node>),
    Not(Box<Node>),
    All(Vec<Node>),
    Any(Vec<Node>),
    Compare(Box<Node>, Vec<(Comparison, Node)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

struct Parser<'a> {
    rest: std::slice::Iter<'a, Token>,
    last: Place,
    depth: usize,
}

type Parsed = Result<Node, ExpressionError>;

pub(super) fn parse(tokens: &[Token]) -> Parsed {
    let mut parser = Parser { rest: tokens.iter(), last: Place::START, depth: 0 };
    if *parser.peek() == Kind::End {
        return Err(Place::START.error("the expression is empty"));
    }
    let root = parser.any()?;
    if *parser.peek() == Kind::End { Ok(root) } else { Err(parser.unexpected()) }
}

impl Parser<'_> {
    fn peek(&self) -> &Kind {
        self.rest.as_slice().first().map_or(&Kind::End, |token| &token.kind)
    }

    fn place(&self) -> Place {
        self.rest.as_slice().first().map_or(self.last, |token| token.place)
    }

    fn next(&mut self) {
        if let Some(token) = self.rest.next() {
            self.last = token.place;
        }
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Kind::Word(found) if found == word);
        if found {
            self.next();
        }
        found
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Kind::Sign(found) if *found == sign);
        if found {
            self.next();
        }
        found
    }

    fn deeper<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, ExpressionError>,
    ) -> Result<T, ExpressionError> {
        if self.depth >= MAX_DEPTH {
            return Err(self
                .place()
                .error(format!("the expression is nested more than {MAX_DEPTH} levels deep")));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn any(&mut self) -> Parsed {
        let place = self.place();
        let first = self.all()?;
        let mut operands = vec![first];
        while self.take_word("or") {
            operands.push(self.all()?);
        }
        Ok(chain(operands, place, Operation::Any))
    }

    fn all(&mut self) -> Parsed {
        let place = self.place();
        let first = self.negation()?;
        let mut operands = vec![first];
        while self.take_word("and") {
            operands.push(self.negation()?);
        }
        Ok(chain(operands, place, Operation::All))
    }

    fn negation(&mut self) -> Parsed {
        let place = self.place();
        if self.take_word("not") {
            let operand = self.deeper(Self::negation)?;
            return Ok(Node { kind: Operation::Not(Box::new(operand)), place });
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Parsed {
        let place = self.place();
        let first = self.primary()?;
        let mut rest = Vec::new();
        while let Some(comparison) = self.take_comparison()? {
            rest.push((comparison, self.primary()?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Node { kind: Operation::Compare(Box::new(first), rest), place })
    }

    fn take_comparison(&mut self) -> Result<Option<Comparison>, ExpressionError> {
        let comparison = match self.peek() {
            Kind::Sign("==") => Comparison::Equal,
            Kind::Sign("!=") => Comparison::Unequal,
            Kind::Sign("<") => Comparison::Less,
            Kind::Sign("<=") => Comparison::LessOrEqual,
            Kind::Sign(">") => Comparison::Greater,
            Kind::Sign(">=") => Comparison::GreaterOrEqual,
            Kind::Word(word) if word == "in" => Comparison::In,
            Kind::Word(word) if word == "not" => {
                self.next();
                if !self.take_word("in") {
                    return Err(self.unexpected());
                }
                return Ok(Some(Comparison::NotIn));
            }
            _ => return Ok(None),
        };
        self.next();
        Ok(Some(comparison))
    }

    fn primary(&mut self) -> Parsed {
        let atom = self.atom()?;
        let mut names = Vec::new();
        while self.take_sign(".") {
            let Kind::Word(name) = self.peek() else { return Err(self.unexpected()) };
            if KEYWORDS.contains(&name.as_str()) {
                return Err(self.unexpected());
            }
            names.push(name.clone());
            self.next();
            if matches!(self.peek(), Kind::Sign("(")) {
                return Err(self.unsupported("calls of methods"));
            }
        }
        let place = atom.place;
        let node = match names.is_empty() {
            true => atom,
            false => Node { kind: Operation::Attribute(Box::new(atom), names), place },
        };
        match self.peek() {
            Kind::Sign("[") => Err(self.unsupported("subscripts like `a[0]`")),
            Kind::Sign("(") => Err(self.unsupported("calls of anything but the functions it knows")),
            _ => Ok(node),
        }
    }

    fn atom(&mut self) -> Parsed {
        let place = self.place();
        let kind = match self.peek() {
            Kind::Int(number) => Operation::Int(*number),
            Kind::Float(number) => Operation::Float(*number),
            Kind::Text(text) => {
                let mut text = text.clone();
                self.next();
                while let Kind::Text(more) = self.peek() {
                    text.push_str(more);
                    self.next();
                }
                return Ok(Node { kind: Operation::Text(text), place });
            }
            Kind::Word(word) => match word.as_str() {
                "True" => Operation::Bool(true),
                "False" => Operation::Bool(false),
                "None" => Operation::None,
                "lambda" => return Err(self.unsupported("`lambda`")),
                "await" | "yield" => return Err(self.unsupported("`await` and `yield`")),
                keyword if KEYWORDS.contains(&keyword) => return Err(self.unexpected()),
                name => {
                    let name = name.to_owned();
                    self.next();
                    return if self.take_sign("(") {
                        self.call(&name, place)
                    } else {
                        Ok(Node { kind: Operation::Name(name), place })
                    };
                }
            },
            Kind::Sign("(") => {
                self.next();
                return self.parenthesis();
            }
            Kind::Sign("-" | "+" | "~") => {
                return Err(self.unsupported("signs and arithmetic like `-1` or `a + b`"));
            }
            Kind::Sign("[") => return Err(self.unsupported("lists like `[1, 2]`")),
            Kind::Sign("{") => return Err(self.unsupported("maps and sets like `{1, 2}`")),
            Kind::Sign(_) | Kind::End => return Err(self.unexpected()),
        };
        self.next();
        Ok(Node { kind, place })
    }

    fn parenthesis(&mut self) -> Parsed {
        if matches!(self.peek(), Kind::Sign(")")) {
            return Err(self.unsupported("tuples like `(1, 2)`"));
        }
        let inner = self.deeper(Self::any)?;
        if matches!(self.peek(), Kind::Sign(",")) {
            return Err(self.unsupported("tuples like `(1, 2)`"));
        }
        if self.take_sign(")") { Ok(inner) } else { Err(self.unexpected()) }
    }

    fn call(&mut self, name: &str, place: Place) -> Parsed {
        let Some(function) = Function::named(name) else {
            return Err(place.error(format!("there is no function `{name}`; {SUPPORTED}")));
        };
        let mut arguments = Vec::new();
        while !self.take_sign(")") {
            if matches!(self.peek(), Kind::Sign("*" | "**")) {
                return Err(self.unsupported("`*` and `**` before arguments"));
            }
            arguments.push(self.deeper(Self::any)?);
            if matches!(self.peek(), Kind::Sign("=")) {
                return Err(self.unsupported("arguments by keyword"));
            }
            if !self.take_sign(",") && !matches!(self.peek(), Kind::Sign(")")) {
                return Err(self.unexpected());
            }
        }
        Ok(Node { kind: Operation::Call(function, arguments), place })
    }

    fn unsupported(&self, what: &str) -> ExpressionError {
        self.place()
            .error(format!("{what} are not supported; {SUPPORTED}").replace("`lambda` are", "`lambda` is"))
    }

    /// What stands here has no place here, or is something of Python's that this language lacks.
    fn unexpected(&self) -> ExpressionError {
        match self.peek() {
            Kind::Word(word) if word == "is" => self.unsupported("comparisons with `is`"),
            Kind::Word(word) if word == "if" => self.unsupported("choices like `a if b else c`"),
            Kind::Word(word) if word == "for" || word == "async" => self.unsupported("comprehensions"),
            Kind::Sign(
                "+" | "-" | "*" | "/" | "//" | "%" | "**" | "@" | "<<" | ">>" | "&" | "|" | "^" | "~",
            ) => self.unsupported("signs and arithmetic like `-1` or `a + b`"),
            Kind::Sign(":=" | "=") => self.unsupported("assignments (`==` compares)"),
            Kind::End => self.place().error("the expression ends too early"),
            Kind::Word(word) => self.place().error(format!("`{word}` has no meaning here")),
            Kind::Sign(sign) => self.place().error(format!("`{sign}` has no meaning here")),
            Kind::Int(_) | Kind::Float(_) => self.place().error("a number has no meaning here"),
            Kind::Text(_) => self.place().error("a text has no meaning here"),
        }
    }
}

fn chain(mut operands: Vec<Node>, place: Place, operation: fn(Vec<Node>) -> Operation) -> Node {
    match operands.pop() {
        Some(only) if operands.is_empty() => only,
        last => {
            operands.extend(last);
            Node { kind: operation(operands), place }
        }
    }
}
