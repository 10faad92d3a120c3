//! From parser events to values: anchors, merges, duplicate keys, bounds.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::{Data, Entry, MAX_DEPTH, MAX_TEXT_BYTES, Mapping, Scalar, ScalarKind, Value};
use crate::diagnostic::{Diagnostic, Location, Report};

/// Most values that a text may hold after its aliases were expanded.
const MAX_VALUES: usize = 1_000_000;

/// Most bytes of text that they may hold together.
const MAX_EXPANDED_BYTES: usize = 4 * MAX_TEXT_BYTES;

const CORE: &str = "tag:yaml.org,2002:";

/// Reads the only document of `text`. None when that is impossible or there is no value; the reason is reported.
/// Keys that begin with `__`, which some tools leave behind, are dropped.
pub(crate) fn load(text: &str, report: &mut Report) -> Option<Value> {
    if text.len() > MAX_TEXT_BYTES {
        report.push(Diagnostic::error(
            Location::START,
            format!("the text has {} bytes, and at most {MAX_TEXT_BYTES} are read", text.len()),
        ));
        return None;
    }
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    options.block_scalar_eof_without_line_feed = true;
    // Both limits leave room for the check on their sum, whose message is ours.
    options.flow_nesting_limit = MAX_DEPTH + 2;
    options.block_nesting_limit = MAX_DEPTH + 2;
    let mut composer = Composer {
        parser: Parser::new_from_str_with_options(text, options),
        lines: Lines::of(text),
        anchors: HashMap::new(),
        size: Size::default(),
        report,
    };
    match composer.document() {
        Ok(value) => value,
        Err(fatal) => {
            composer.report.push(*fatal);
            None
        }
    }
}

/// What ends the reading.
type Fatal = Box<Diagnostic>;

struct Composer<'a> {
    parser: Parser<'a, StrInput<'a>>,
    lines: Lines,
    anchors: HashMap<usize, Anchored>,
    size: Size,
    report: &'a mut Report,
}

/// A value that aliases may repeat.
struct Anchored {
    value: Value,
    size: Size,
    /// Levels of lists and maps in it.
    depth: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Size {
    values: usize,
    bytes: usize,
}

/// A composed value and the levels of lists and maps in it.
struct Composed {
    value: Value,
    depth: usize,
}

/// How long each line is, in characters.
struct Lines(Vec<u32>);

// === impl Composer ===

impl<'a> Composer<'a> {
    fn document(&mut self) -> Result<Option<Value>, Fatal> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentEnd | Event::StreamEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(Box::new(
                        Diagnostic::error(self.lines.place(span.start), "a second document begins here")
                            .help("a diagram is a single document: remove the `---`"),
                    ));
                }
                Event::DocumentStart(..) => {}
                event => root = Some(self.value(event, span, 0, None)?.value),
            }
        }
        Ok(root)
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Fatal> {
        self.parser.next_event().transpose().map_err(|error| self.syntax(&error))
    }

    fn syntax(&self, error: &ScanError) -> Fatal {
        let at = self.lines.place(*error.marker());
        let help = match error.kind() {
            ErrorKind::RecursionLimitExceeded => return too_deep(at),
            ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabAtBlockScalarStart => Some("indent with spaces"),
            ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
                Some("check the indentation of this line, and put quotes around a text that contains `: `")
            }
            ErrorKind::InvalidIndentation | ErrorKind::ExpectedBlockMappingKey => {
                Some("check the indentation of this line and of the one before")
            }
            ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => Some(
                "inside `{…}` and `[…]`, put quotes around a text that contains a bracket, brace or comma",
            ),
            ErrorKind::UnclosedFlowCollection { .. } => Some("close it with `}` or `]`"),
            ErrorKind::UnclosedQuotedScalar => Some("close it with the quote that it begins with"),
            ErrorKind::UnknownAnchor => Some(
                "`*name` repeats what was marked `&name` before; put quotes around a text that begins with `*`",
            ),
            _ => None,
        };
        let diagnostic = Diagnostic::error(at, format!("YAML syntax: {}", error.info()));
        Box::new(match help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        })
    }

    /// The value that begins with `event`, inside `depth` lists and maps. A value that isn't written has no place of
    /// its own and takes `missing_at`, its key's.
    fn value(
        &mut self,
        event: Event<'a>,
        span: Span,
        depth: usize,
        missing_at: Option<Location>,
    ) -> Result<Composed, Fatal> {
        let at = self.lines.place(span.start);
        let before = self.size;
        self.grow(Size { values: 1, bytes: 0 }, at)?;
        let (composed, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.grow(Size { values: 0, bytes: text.len() }, at)?;
                let kind = self.resolve(&text, style, tag, at);
                let at = missing_at.filter(|_| text.is_empty() && style == ScalarStyle::Plain).unwrap_or(at);
                let value = Value { at, data: Data::Scalar(Scalar::new(&text, kind)) };
                (Composed { value, depth: 0 }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag, "seq", at);
                (self.list(at, depth + 1)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag, "map", at);
                (self.map(at, depth + 1)?, anchor)
            }
            Event::Alias(id) => (self.alias(id, at, depth)?, 0),
            _ => return Err(Box::new(Diagnostic::error(at, "YAML syntax: a value was expected here"))),
        };
        if depth + composed.depth > MAX_DEPTH {
            return Err(too_deep(at));
        }
        if anchor > 0 {
            let size =
                Size { values: self.size.values - before.values, bytes: self.size.bytes - before.bytes };
            // The anchor keeps a copy of its own.
            self.grow(size, at)?;
            self.anchors
                .insert(anchor, Anchored { value: composed.value.clone(), size, depth: composed.depth });
        }
        Ok(composed)
    }

    fn list(&mut self, at: Location, depth: usize) -> Result<Composed, Fatal> {
        if depth > MAX_DEPTH {
            return Err(too_deep(at));
        }
        let (mut values, mut deepest) = (Vec::new(), 0);
        loop {
            match self.next()? {
                Some((Event::SequenceEnd, _)) => {
                    return Ok(Composed {
                        value: Value { at, data: Data::List(values) },
                        depth: deepest + 1,
                    });
                }
                Some((event, span)) => {
                    let item = self.value(event, span, depth, None)?;
                    deepest = deepest.max(item.depth);
                    values.push(item.value);
                }
                None => return Err(Box::new(Diagnostic::error(at, "YAML syntax: this list doesn't end"))),
            }
        }
    }

    fn map(&mut self, at: Location, depth: usize) -> Result<Composed, Fatal> {
        if depth > MAX_DEPTH {
            return Err(too_deep(at));
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<Arc<str>, Location> = HashMap::new();
        let mut merged: Vec<Entry> = Vec::new();
        let mut deepest = 0;
        loop {
            let (event, span) = match self.next()? {
                Some((Event::MappingEnd, _)) => break,
                Some(next) => next,
                None => return Err(Box::new(Diagnostic::error(at, "YAML syntax: this map doesn't end"))),
            };
            let merges = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.value(event, span, depth, None)?.value;
            let Some((event, span)) = self.next()? else {
                return Err(Box::new(Diagnostic::error(key.at, "YAML syntax: this key has no value")));
            };
            let Composed { value, depth: inner } = self.value(event, span, depth, Some(key.at))?;
            deepest = deepest.max(inner);
            if merges {
                self.merge(value, &mut merged);
                continue;
            }
            let Data::Scalar(Scalar { text: name, .. }) = key.data else {
                self.report.push(
                    Diagnostic::error(key.at, format!("a key should be a text, not {}", key.describe()))
                        .help("put quotes around a key that begins with `{` or `[`"),
                );
                continue;
            };
            if name.starts_with("__") {
                continue;
            }
            if let Some(first) = seen.get(&name) {
                self.report.push(
                    Diagnostic::error(key.at, format!("`{name}` is given twice"))
                        .help(format!("it is given at {first} already; keep one of them")),
                );
                continue;
            }
            seen.insert(Arc::clone(&name), key.at);
            entries.push(Entry { key: name, at: key.at, value });
        }
        let mut known: HashSet<Arc<str>> = seen.into_keys().collect();
        entries.extend(merged.into_iter().filter(|entry| known.insert(Arc::clone(&entry.key))));
        Ok(Composed { value: Value { at, data: Data::Map(Mapping::new(entries)) }, depth: deepest + 1 })
    }

    /// What `<<` brings in: a map, or a list of maps of which the first wins.
    fn merge(&mut self, value: Value, merged: &mut Vec<Entry>) {
        match value.data {
            Data::Map(map) => merged.extend(map.into_entries()),
            Data::List(values) if values.iter().all(|value| matches!(value.data, Data::Map(_))) => {
                for value in values {
                    self.merge(value, merged);
                }
            }
            Data::Scalar(_) | Data::List(_) => self.report.push(Diagnostic::error(
                value.at,
                format!("`<<` merges a map or a list of maps, not {}", value.describe()),
            )),
        }
    }

    fn alias(&mut self, id: usize, at: Location, depth: usize) -> Result<Composed, Fatal> {
        let Some(Anchored { value, size, depth: inner }) = self.anchors.get(&id) else {
            return Err(Box::new(Diagnostic::error(
                at,
                "this alias stands inside the value that it repeats",
            )));
        };
        let (size, inner) = (*size, *inner);
        if depth + inner > MAX_DEPTH {
            return Err(too_deep(at));
        }
        // Counted before it is copied.
        if self.size.values + size.values > MAX_VALUES || self.size.bytes + size.bytes > MAX_EXPANDED_BYTES {
            return Err(too_large(at));
        }
        let value = value.clone();
        self.grow(size, at)?;
        Ok(Composed { value, depth: inner })
    }

    fn grow(&mut self, by: Size, at: Location) -> Result<(), Fatal> {
        self.size.values += by.values;
        self.size.bytes += by.bytes;
        if self.size.values > MAX_VALUES || self.size.bytes > MAX_EXPANDED_BYTES {
            return Err(too_large(at));
        }
        Ok(())
    }

    fn resolve(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<Cow<'_, Tag>>,
        at: Location,
    ) -> ScalarKind {
        let plain = ScalarKind::of_plain(text);
        let Some(tag) = tag else {
            return if style == ScalarStyle::Plain { plain } else { ScalarKind::Text };
        };
        let fits = match (tag.handle(), tag.suffix(), &plain) {
            ("" | "!", "" | "!", _) | (CORE, "str" | "timestamp", _) => return ScalarKind::Text,
            (CORE, "null", ScalarKind::Null)
            | (CORE, "bool", ScalarKind::Bool(_))
            | (CORE, "int" | "float", ScalarKind::Number(_)) => true,
            (CORE, "null" | "bool" | "int" | "float", _) => false,
            _ => {
                self.unknown_tag(&tag, at);
                return ScalarKind::Text;
            }
        };
        if !fits {
            self.report
                .push(Diagnostic::error(at, format!("`{text}` can't be read as `!!{}`", tag.suffix())));
        }
        plain
    }

    fn check_tag(&mut self, tag: Option<Cow<'_, Tag>>, wanted: &str, at: Location) {
        if let Some(tag) = tag
            && !(tag.handle() == CORE && tag.suffix() == wanted)
        {
            self.unknown_tag(&tag, at);
        }
    }

    fn unknown_tag(&mut self, tag: &Tag, at: Location) {
        self.report.push(
            Diagnostic::error(at, format!("the tag `{tag}` means nothing here"))
                .help("remove it, or quote the value"),
        );
    }
}

fn too_deep(at: Location) -> Fatal {
    Box::new(Diagnostic::error(at, format!("lists and maps are nested more than {MAX_DEPTH} levels deep")))
}

fn too_large(at: Location) -> Fatal {
    Box::new(
        Diagnostic::error(
            at,
            format!("the text holds more than {MAX_VALUES} values or {MAX_EXPANDED_BYTES} bytes with its aliases expanded"),
        )
        .help("use fewer aliases (`*name`)"),
    )
}

// === impl Lines ===

impl Lines {
    fn of(text: &str) -> Self {
        let (mut lines, mut length) = (Vec::new(), 0_u32);
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\r' if characters.peek() == Some(&'\n') => {}
                '\n' | '\r' => {
                    lines.push(length);
                    length = 0;
                }
                _ => length += 1,
            }
        }
        lines.push(length);
        Self(lines)
    }

    /// The place of a marker; the end of the text for a marker beyond it.
    fn place(&self, marker: Marker) -> Location {
        let line = marker.line().clamp(1, self.0.len());
        let length = self.0.get(line - 1).copied().unwrap_or_default();
        let column =
            if marker.line() > line { length } else { u32::try_from(marker.col()).unwrap_or(length) };
        Location { line: u32::try_from(line).unwrap_or(u32::MAX), column: column.min(length) + 1 }
    }
}
