//! From text to tokens, by Python's rules.

use std::{iter::Peekable, str::Chars};

use super::{ExpressionError, Place};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) place: Place,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Int(i128),
    Float(f64),
    Text(String),
    /// A name or a keyword.
    Word(String),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// Longest first.
const SIGNS: [&str; 30] = [
    "...", "**", "//", "<<", ">>", ":=", "==", "!=", "<=", ">=", "->", "(", ")", "[", "]", "{", "}", ",",
    ".", ":", ";", "<", ">", "=", "+", "-", "*", "/", "%", "~",
];
const MORE_SIGNS: [&str; 4] = ["&", "|", "^", "@"];

struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    place: Place,
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ExpressionError> {
    let mut lexer = Lexer { rest: text.chars().peekable(), place: Place::START };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        let place = lexer.place;
        let kind = lexer.token()?;
        let end = kind == Kind::End;
        tokens.push(Token { kind, place });
        if end {
            return Ok(tokens);
        }
    }
}

impl Lexer<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.place = Place { line: self.place.line + 1, column: 1 };
        } else {
            self.place.column += 1;
        }
        Some(c)
    }

    fn starts_with(&self, text: &str) -> bool {
        let mut rest = self.rest.clone();
        text.chars().all(|c| rest.next() == Some(c))
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.starts_with(text);
        if found {
            text.chars().for_each(|_| {
                self.next();
            });
        }
        found
    }

    /// Line breaks are blanks here: an expression in a file may well be folded.
    fn skip_blank(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' | '\n' | '\u{c}' => {
                    self.next();
                }
                '\\' if self.starts_with("\\\n") => {
                    self.take("\\\n");
                }
                '#' => while self.peek().is_some_and(|c| c != '\n') && self.next().is_some() {},
                _ => return,
            }
        }
    }

    fn token(&mut self) -> Result<Kind, ExpressionError> {
        let Some(c) = self.peek() else { return Ok(Kind::End) };
        if c.is_ascii_digit() || (c == '.' && self.digit_follows()) {
            return self.number();
        }
        if c == '"' || c == '\'' {
            return self.text(false);
        }
        if c == '_' || c.is_alphabetic() {
            return self.word();
        }
        let sign = SIGNS.iter().chain(&MORE_SIGNS).find(|sign| self.starts_with(sign));
        match sign {
            Some(sign) => {
                self.take(sign);
                Ok(Kind::Sign(sign))
            }
            None => Err(self.place.error(format!("`{c}` has no meaning here"))),
        }
    }

    fn digit_follows(&self) -> bool {
        self.rest.clone().nth(1).is_some_and(|c| c.is_ascii_digit())
    }

    fn word(&mut self) -> Result<Kind, ExpressionError> {
        let place = self.place;
        let mut word = String::new();
        while let Some(c) = self.peek().filter(|&c| c == '_' || c.is_alphanumeric()) {
            word.push(c);
            self.next();
        }
        if !matches!(self.peek(), Some('"' | '\'')) {
            return Ok(Kind::Word(word));
        }
        match word.to_ascii_lowercase().as_str() {
            "r" => self.text(true),
            "u" => self.text(false),
            "f" | "fr" | "rf" => Err(place.error("f-strings are not supported")),
            "b" | "br" | "rb" => Err(place.error("bytes are not supported")),
            _ => Ok(Kind::Word(word)),
        }
    }

    fn number(&mut self) -> Result<Kind, ExpressionError> {
        let place = self.place;
        let mut digits = String::new();
        let mut before = ' ';
        while let Some(c) = self.peek() {
            let hex = digits.starts_with("0x") || digits.starts_with("0X");
            let sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E') && !hex;
            if !(c == '_' || c == '.' || sign || c.is_alphanumeric()) {
                break;
            }
            // `1 if x else 2` may be written `1if x else 2`; here neither is understood.
            digits.push(c);
            before = c;
            self.next();
        }
        super::convert::number_literal(&digits).map_err(|message| place.error(message))
    }

    fn text(&mut self, raw: bool) -> Result<Kind, ExpressionError> {
        let place = self.place;
        let quote = if self.peek() == Some('"') { ("\"\"\"", "\"") } else { ("'''", "'") };
        let end = if self.take(quote.0) { quote.0 } else { quote.1 };
        if end.len() == 1 {
            self.next();
        }
        let unterminated = || place.error("this text has no end");
        let mut text = String::new();
        loop {
            if self.take(end) {
                return Ok(Kind::Text(text));
            }
            match self.next().ok_or_else(unterminated)? {
                '\n' if end.len() == 1 => return Err(unterminated()),
                '\\' if raw => {
                    text.push('\\');
                    text.push(self.next().ok_or_else(unterminated)?);
                }
                '\\' => self.escape(&mut text)?,
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), ExpressionError> {
        let place = self.place;
        let c = self.next().ok_or_else(|| place.error("this text has no end"))?;
        let simple = match c {
            '\n' => return Ok(()),
            '\\' | '\'' | '"' => c,
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => self.code(16, 2, 2)?,
            'u' => self.code(16, 4, 4)?,
            'U' => self.code(16, 8, 8)?,
            'N' => return Err(place.error("`\\N{…}` is not supported")),
            '0'..='7' => {
                let rest = self.code_from(c.to_digit(8).unwrap_or_default(), 8, 0, 2);
                rest.ok_or_else(|| place.error("this escape names no character"))?
            }
            other => {
                text.push('\\');
                other
            }
        };
        text.push(simple);
        Ok(())
    }

    fn code(&mut self, radix: u32, min: usize, max: usize) -> Result<char, ExpressionError> {
        let place = self.place;
        self.code_from(0, radix, min, max).ok_or_else(|| place.error("this escape names no character"))
    }

    fn code_from(&mut self, start: u32, radix: u32, min: usize, max: usize) -> Option<char> {
        let mut code = start;
        for digits in 0..max {
            match self.peek().and_then(|c| c.to_digit(radix)) {
                Some(digit) => code = code.checked_mul(radix)?.checked_add(digit)?,
                None if digits < min => return None,
                None => break,
            }
            self.next();
        }
        char::from_u32(code)
    }
}
