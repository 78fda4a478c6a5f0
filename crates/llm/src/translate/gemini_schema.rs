//! JSON Schema as the subset of it that Gemini takes.
//!
//! Members that only narrow what is valid are left out; references are put in place. No
//! text is added or changed.

use crate::json;
use crate::scan::{Kind, Node};

/// Deepest nesting, references included: a schema that refers to itself ends here.
const MOST_DEPTH: u32 = 24;
/// Most schemas that references may make of one.
const MOST_SCHEMAS: u32 = 20_000;

/// Members that are copied as they are.
const COPIED: &[&str] = &[
    "title",
    "description",
    "nullable",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "pattern",
    "default",
    "example",
    "required",
    "propertyOrdering",
];

/// Formats that are known; others are refused by the API.
const FORMATS: &[&str] = &["enum", "date-time", "float", "double", "int32", "int64"];

struct Cleaner<'a> {
    root: Node<'a>,
    left: u32,
}

/// Appends the cleaned schema.
pub(super) fn write(out: &mut Vec<u8>, schema: Node<'_>) {
    let mut cleaner = Cleaner {
        root: schema,
        left: MOST_SCHEMAS,
    };
    cleaner.schema(out, schema, 0);
}

/// Members of an object as they are written.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
    /// Names of the format that were written: several members of a schema may become the
    /// same one.
    written: Vec<String>,
}

impl<'o> Object<'o> {
    fn new(out: &'o mut Vec<u8>) -> Object<'o> {
        out.push(b'{');
        Object {
            out,
            first: true,
            written: Vec::new(),
        }
    }

    /// Whether the name of the format is still free; takes it.
    fn take(&mut self, name: &str) -> bool {
        let free = !self.written.iter().any(|known| known == name);
        if free {
            self.written.push(name.to_owned());
        }
        free
    }

    fn key(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        json::write_string(self.out, name);
        self.out.push(b':');
        self.out
    }

    fn raw(&mut self, name: &str, raw: &[u8]) {
        if self.take(name) {
            self.key(name).extend_from_slice(raw);
        }
    }

    fn close(self) {
        self.out.push(b'}');
    }
}

impl<'a> Cleaner<'a> {
    fn schema(&mut self, out: &mut Vec<u8>, schema: Node<'a>, depth: u32) {
        self.left = self.left.saturating_sub(1);
        if depth > MOST_DEPTH || self.left == 0 || schema.kind() != Kind::Object {
            // Anything is valid.
            out.extend_from_slice(b"{}");
            return;
        }
        let deeper = depth.saturating_add(1);
        if let Some(target) = schema.get("$ref").and_then(|name| self.resolve(name)) {
            return self.schema(out, target, deeper);
        }
        let mut object = Object::new(out);
        for (key, value) in schema.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "type" => kind(&mut object, value),
                "properties" => {
                    let mut inner = Object::new(object.key("properties"));
                    for (key, value) in value.entries() {
                        let out = inner.key(&key.as_str().unwrap_or_default());
                        self.schema(out, value, deeper);
                    }
                    inner.close();
                }
                "items" => self.schema(object.key("items"), value, deeper),
                "anyOf" | "oneOf" | "allOf" => self.any_of(&mut object, value, deeper),
                "enum" => enumeration(&mut object, value),
                "const" if value.kind() == Kind::String => {
                    let one = [b"[", value.raw(), b"]"].concat();
                    object.raw("enum", &one);
                }
                "format" if FORMATS.iter().any(|known| value.is_str(known)) => {
                    object.raw("format", value.raw());
                }
                copied if COPIED.contains(&copied) => object.raw(copied, value.raw()),
                _ => {}
            }
        }
        object.close();
    }

    fn any_of(&mut self, object: &mut Object<'_>, list: Node<'a>, depth: u32) {
        let is_null = |node: &Node<'_>| node.get("type").is_some_and(|kind| kind.is_str("null"));
        if list.items().any(|node| is_null(&node)) {
            object.raw("nullable", b"true");
        }
        // Only one such list can be said.
        if !object.take("anyOf") {
            return;
        }
        let out = object.key("anyOf");
        out.push(b'[');
        for (place, one) in list.items().filter(|node| !is_null(node)).enumerate() {
            if place > 0 {
                out.push(b',');
            }
            self.schema(out, one, depth);
        }
        out.push(b']');
    }

    /// The schema that a local reference (`#/$defs/name`) names.
    fn resolve(&self, reference: Node<'_>) -> Option<Node<'a>> {
        let path = reference.as_str()?;
        let mut at = self.root;
        for step in path.strip_prefix("#")?.split('/').skip(1) {
            at = at.get(&step.replace("~1", "/").replace("~0", "~"))?;
        }
        Some(at)
    }
}

/// A list of types is one type, nullable where it names null, else any of them.
fn kind(object: &mut Object<'_>, value: Node<'_>) {
    if value.kind() != Kind::Array {
        return object.raw("type", value.raw());
    }
    let is_null = |node: &Node<'_>| node.is_str("null");
    let named: Vec<Node<'_>> = value.items().filter(|node| !is_null(node)).collect();
    if value.items().any(|node| is_null(&node)) {
        object.raw("nullable", b"true");
    }
    match named.as_slice() {
        [] => {}
        [one] => object.raw("type", one.raw()),
        several if object.take("anyOf") => {
            let out = object.key("anyOf");
            out.push(b'[');
            for (place, one) in several.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(b"{\"type\":");
                out.extend_from_slice(one.raw());
                out.push(b'}');
            }
            out.push(b']');
        }
        _ => {}
    }
}

/// Values of an enumeration are strings; lists with others are left out.
fn enumeration(object: &mut Object<'_>, list: Node<'_>) {
    let texts = list.items().all(|item| item.kind() == Kind::String);
    if texts && list.items().next().is_some() {
        object.raw("enum", list.raw());
    }
}
