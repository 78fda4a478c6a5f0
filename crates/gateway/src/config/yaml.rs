//! YAML as a tree that knows where everything stands.
//!
//! Scalars keep their text: a number becomes a number only where a setting asks
//! for one, so that prices stay exact. Booleans and nulls follow YAML 1.1, as
//! the files were written for a reader of that version.

use std::collections::BTreeMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::problems::{Place, Problem};

/// Nodes of one file, aliases counted each time they stand in for their anchor.
const MAX_NODES: usize = 100_000;
/// Nesting of sequences and mappings.
const MAX_DEPTH: usize = 64;
/// Bytes of one file.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The same for lists of words.
const LONG_NODES: usize = 1_000_000;
const LONG_BYTES: usize = 64 * 1024 * 1024;

/// A value with its place. It has no `Debug`: it may hold secrets.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

#[derive(Clone)]
pub(crate) enum Value {
    Null,
    /// A plain boolean of YAML 1.1, with the word that was written.
    Bool(bool, String),
    /// Any other scalar.
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One pair of a mapping, in the order of the file.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Node,
    /// Came through a merge key (`<<`), so a written key of the same name wins.
    merged: bool,
}

impl Entry {
    /// A pair that the program writes; it stands where its value does.
    pub(crate) fn new(key: &str, value: Node) -> Self {
        Self {
            key: key.to_owned(),
            place: value.place.clone(),
            value,
            merged: false,
        }
    }
}

/// Where the value itself comes from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It stands in the file.
    File,
    /// It stands in the environment under this name.
    Environment(String),
}

impl Node {
    pub(crate) fn null(place: Place) -> Self {
        Self {
            place,
            value: Value::Null,
            origin: Origin::File,
        }
    }

    /// A scalar that the program writes.
    pub(crate) fn text(place: Place, text: &str) -> Self {
        Self {
            value: Value::Text(text.to_owned()),
            ..Self::null(place)
        }
    }

    /// A mapping that the program writes.
    pub(crate) fn map(place: Place, entries: Vec<Entry>) -> Self {
        Self {
            value: Value::Map(entries),
            ..Self::null(place)
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.value),
            _ => None,
        }
    }

    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(..) => "a boolean",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Reads one document.
///
/// An empty document is null. Problems are returned as soon as the text cannot
/// be followed any further; duplicate keys are collected.
pub(crate) fn parse(bytes: &[u8], file: &Arc<str>) -> Result<Node, Vec<Problem>> {
    parse_within(bytes, file, (MAX_BYTES, MAX_NODES))
}

/// Reads a list of words, which may be longer than a configuration.
pub(crate) fn parse_long(bytes: &[u8], file: &Arc<str>) -> Result<Node, Vec<Problem>> {
    parse_within(bytes, file, (LONG_BYTES, LONG_NODES))
}

fn parse_within(
    bytes: &[u8],
    file: &Arc<str>,
    (most_bytes, most_nodes): (usize, usize),
) -> Result<Node, Vec<Problem>> {
    let start = Place {
        file: file.clone(),
        line: 1,
        column: 1,
    };
    let refuse = |message: &str| vec![problem(start.clone(), message)];
    if bytes.len() > most_bytes {
        let message = format!("the file is larger than {} MiB", most_bytes >> 20);
        return Err(refuse(&message));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| refuse("the file is not UTF-8"))?;
    let mut builder = Builder::new(file.clone(), most_nodes);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let mark = *error.marker();
            let place = builder.place(mark.line(), mark.col());
            let mut problems = std::mem::take(&mut builder.problems);
            problems.push(problem(place, &format!("not YAML: {}", error.info())));
            problems
        })?;
        let end = matches!(event, Event::StreamEnd);
        if let Err(stop) = builder.event(event, span) {
            let mut problems = std::mem::take(&mut builder.problems);
            problems.push(stop);
            return Err(problems);
        }
        if end {
            break;
        }
    }
    if builder.problems.is_empty() {
        Ok(builder.root.unwrap_or_else(|| Node::null(start)))
    } else {
        Err(builder.problems)
    }
}

fn problem(place: Place, message: &str) -> Problem {
    Problem {
        place,
        path: String::new(),
        message: message.to_owned(),
        suggestion: None,
    }
}

enum Open {
    List(Vec<Node>),
    Map(Vec<Entry>, Option<(String, Place)>),
}

struct Frame {
    open: Open,
    place: Place,
    anchor: usize,
}

struct Builder {
    /// Most nodes.
    most: usize,
    file: Arc<str>,
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    documents: usize,
    root: Option<Node>,
    problems: Vec<Problem>,
}

impl Builder {
    fn new(file: Arc<str>, most: usize) -> Self {
        Self {
            most,
            file,
            stack: Vec::new(),
            anchors: BTreeMap::new(),
            nodes: 0,
            documents: 0,
            root: None,
            problems: Vec::new(),
        }
    }

    fn place(&self, line: usize, column: usize) -> Place {
        Place {
            file: self.file.clone(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column.saturating_add(1)).unwrap_or(u32::MAX),
        }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let place = self.place(span.start.line(), span.start.col());
        match event {
            Event::DocumentStart(_) => {
                self.documents = self.documents.saturating_add(1);
                if self.documents > 1 {
                    return Err(problem(
                        place,
                        "a second YAML document; one file is one document",
                    ));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(text.into_owned(), style, tag.as_deref())
                    .map_err(|message| problem(place.clone(), message))?;
                self.count(&place, 1)?;
                self.finish(value, place, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(Open::List(Vec::new()), place, anchor, tag.as_deref(), "seq")
            }
            Event::MappingStart(anchor, tag) => {
                let open = Open::Map(Vec::new(), None);
                self.open(open, place, anchor, tag.as_deref(), "map")
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(&place),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(problem(place, "an alias inside its own anchor"));
                };
                self.count(&place, size(&node))?;
                self.attach(node, &place)
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Nothing => Ok(()),
        }
    }

    fn count(&mut self, place: &Place, nodes: usize) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > self.most {
            return Err(problem(
                place.clone(),
                "more than 100,000 values, aliases counted out",
            ));
        }
        Ok(())
    }

    fn open(
        &mut self,
        open: Open,
        place: Place,
        anchor: usize,
        tag: Option<&Tag>,
        kind: &str,
    ) -> Result<(), Problem> {
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema() || tag.suffix != kind) {
            return Err(problem(place, "a tag that is not known here"));
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(problem(place, "nested deeper than 64 levels"));
        }
        self.count(&place, 1)?;
        let frame = Frame {
            open,
            place,
            anchor,
        };
        self.stack.push(frame);
        Ok(())
    }

    fn close(&mut self, place: &Place) -> Result<(), Problem> {
        let Some(frame) = self.stack.pop() else {
            return Err(problem(place.clone(), "not YAML: an end without a start"));
        };
        let value = match frame.open {
            Open::List(items) => Value::List(items),
            Open::Map(entries, _) => Value::Map(entries),
        };
        self.finish(value, frame.place, frame.anchor)
    }

    fn finish(&mut self, value: Value, place: Place, anchor: usize) -> Result<(), Problem> {
        let at = place.clone();
        let node = Node {
            place,
            value,
            origin: Origin::File,
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.attach(node, &at)
    }

    /// Puts a finished value where it belongs: `place` is where it is used,
    /// which differs from its own place for an alias.
    fn attach(&mut self, node: Node, place: &Place) -> Result<(), Problem> {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut frame.open {
            Open::List(items) => items.push(node),
            Open::Map(entries, pending) => match pending.take() {
                None => *pending = Some((key(&node, place)?, place.clone())),
                Some((name, at)) if name == "<<" => merge(entries, node, &at)?,
                Some((name, at)) => {
                    if let Some(twice) = insert(entries, name, at, node) {
                        self.problems.push(twice);
                    }
                }
            },
        }
        Ok(())
    }
}

/// The key of a pair; a key that is not a scalar has no meaning in any setting.
fn key(node: &Node, place: &Place) -> Result<String, Problem> {
    match &node.value {
        Value::Text(text) | Value::Bool(_, text) => Ok(text.clone()),
        Value::Null => Ok("null".to_owned()),
        Value::List(_) | Value::Map(_) => Err(problem(
            place.clone(),
            "a key must be a text, not a list or a mapping",
        )),
    }
}

/// Adds a written pair; a merged one of the same name gives way, a written one is a duplicate.
fn insert(entries: &mut Vec<Entry>, key: String, place: Place, value: Node) -> Option<Problem> {
    let entry = Entry {
        key,
        place,
        value,
        merged: false,
    };
    match entries.iter_mut().find(|other| other.key == entry.key) {
        None => entries.push(entry),
        Some(other) if other.merged => *other = entry,
        Some(other) => {
            let message = format!("the same key twice, first on line {}", other.place.line);
            let mut twice = problem(entry.place, &message);
            twice.path = entry.key;
            return Some(twice);
        }
    }
    None
}

/// `<<: *anchor` or `<<: [*first, *second]`: pairs that are not there yet.
fn merge(entries: &mut Vec<Entry>, node: Node, place: &Place) -> Result<(), Problem> {
    let sources = match node.value {
        Value::Map(_) => vec![node],
        Value::List(nodes) => nodes,
        _ => {
            return Err(problem(
                place.clone(),
                "`<<` takes a mapping or a list of mappings",
            ));
        }
    };
    for source in sources {
        let Value::Map(pairs) = source.value else {
            return Err(problem(
                place.clone(),
                "`<<` takes a mapping or a list of mappings",
            ));
        };
        for pair in pairs {
            if entries.iter().all(|entry| entry.key != pair.key) {
                entries.push(Entry {
                    merged: true,
                    ..pair
                });
            }
        }
    }
    Ok(())
}

fn size(node: &Node) -> usize {
    let inner: usize = match &node.value {
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| size(&entry.value)).sum(),
        _ => 0,
    };
    inner.saturating_add(1)
}

fn scalar(text: String, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, &'static str> {
    if let Some(tag) = tag {
        if format!("{}{}", tag.handle, tag.suffix) == "!" {
            return Ok(Value::Text(text));
        }
        if !tag.is_yaml_core_schema() {
            return Err("a tag that is not known here");
        }
        return match tag.suffix.as_str() {
            "str" | "int" | "float" => Ok(Value::Text(text)),
            "null" => Ok(Value::Null),
            "bool" => match plain(text) {
                bool @ Value::Bool(..) => Ok(bool),
                _ => Err("a value tagged as boolean that is none"),
            },
            _ => Err("a tag that is not known here"),
        };
    }
    Ok(match style {
        ScalarStyle::Plain => plain(text),
        _ => Value::Text(text),
    })
}

/// A plain scalar as YAML 1.1 reads it.
fn plain(text: String) -> Value {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            Value::Bool(true, text)
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            Value::Bool(false, text)
        }
        _ => Value::Text(text),
    }
}

#[cfg(test)]
#[path = "tests/yaml.rs"]
mod tests;
