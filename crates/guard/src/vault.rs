//! Placeholders with a way back: what a request masked is restored in its answer.
//!
//! A placeholder is `<KIND_digest>`; the digest comes from a keyed function of the caller, so the
//! same value has the same name wherever the caller's key is the same, and prompt caches survive.
//! The way back lives as long as the request. Text that looks like a placeholder is given one of
//! its own on the way in, so nobody can write a name and have another's value put there.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Form;
use crate::engine::Replacer;
use crate::escape::{Escapes, Unit};

/// Hexadecimal digits of a digest in a placeholder.
const DIGITS: usize = 16;

/// Longest kind in a placeholder.
const KIND: usize = 48;

/// Longest placeholder.
const LONGEST: usize = KIND + DIGITS + 3;

/// The kind of text that only looks like a placeholder.
const LITERAL: &str = "LITERAL";

/// Names a value of a kind: a keyed digest of both, the same for the same arguments.
pub type Namer = dyn Fn(&str, &str) -> u64 + Send + Sync;

/// The placeholders of one request.
pub struct Vault {
    namer: Box<Namer>,
    values: Mutex<HashMap<String, String>>,
}

impl std::fmt::Debug for Vault {
    /// Without the values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({} placeholders)", self.len())
    }
}

impl Vault {
    /// An empty vault. `namer` should be a keyed digest over tenant, session or key, kind, value.
    #[must_use]
    pub fn new(namer: Box<Namer>) -> Arc<Vault> {
        Arc::new(Vault {
            namer,
            values: Mutex::default(),
        })
    }

    /// How many placeholders were given.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Whether none was given: there is nothing to restore.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts placeholders into texts of a form.
    #[must_use]
    pub fn replacer(self: &Arc<Self>, form: Form) -> Arc<dyn Replacer> {
        Arc::new(Masker {
            vault: Arc::clone(self),
            form,
        })
    }

    /// What goes to the checks: text that looks like a placeholder gets one of its own.
    #[must_use]
    pub fn admit<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.each(text, |name| Some(self.placeholder(LITERAL, name)))
    }

    /// A text of an answer with the values back in their places.
    #[must_use]
    pub fn restore<'t>(&self, form: Form, text: &'t str) -> Cow<'t, str> {
        self.each(text, |name| self.value(form, name))
    }

    /// The same for a text that arrives in pieces.
    #[must_use]
    pub fn restorer(self: &Arc<Self>, form: Form) -> Restorer {
        Restorer {
            vault: Arc::clone(self),
            form,
            held: String::new(),
        }
    }

    fn each<'t>(&self, text: &'t str, replace: impl Fn(&str) -> Option<String>) -> Cow<'t, str> {
        let mut out = String::new();
        let mut done = 0;
        for start in memchr::memchr_iter(b'<', text.as_bytes()) {
            let Shape::Whole(length) = shape(text.get(start..).unwrap_or_default()) else {
                continue;
            };
            let name = text.get(start..start + length).unwrap_or_default();
            if let Some(value) = replace(name) {
                out.push_str(text.get(done..start).unwrap_or_default());
                out.push_str(&value);
                done = start + length;
            }
        }
        if done == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(text.get(done..).unwrap_or_default());
        Cow::Owned(out)
    }

    fn placeholder(&self, kind: &str, value: &str) -> String {
        let kind: String = kind
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_uppercase()
                } else {
                    '_'
                }
            })
            .take(KIND)
            .collect();
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let mut digest = (self.namer)(&kind, value);
        loop {
            let name = format!("<{kind}_{digest:016x}>");
            match values.get(&name) {
                Some(other) if other != value => digest = digest.wrapping_add(1),
                Some(_) => return name,
                None => {
                    values.insert(name.clone(), value.to_owned());
                    return name;
                }
            }
        }
    }

    fn value(&self, form: Form, name: &str) -> Option<String> {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let value = values.get(name)?;
        Some(match form {
            Form::Plain => value.clone(),
            Form::JsonText => escaped(value),
        })
    }
}

#[derive(Debug)]
struct Masker {
    vault: Arc<Vault>,
    form: Form,
}

impl Replacer for Masker {
    fn replace(&self, kind: &str, value: &str) -> String {
        match self.form {
            Form::Plain => self.vault.placeholder(kind, value),
            Form::JsonText => self.vault.placeholder(kind, &unescaped(value)),
        }
    }
}

/// What a string of JSON stands for.
fn unescaped(text: &str) -> String {
    let mut escapes = Escapes::default();
    let mut units = Vec::new();
    for c in text.chars() {
        escapes.take(c, &mut units);
    }
    escapes.flush(&mut units);
    units.iter().map(Unit::meaning).collect()
}

/// A text as it stands within a string of JSON.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// What a text begins with.
enum Shape {
    /// A placeholder of this many bytes.
    Whole(usize),
    /// The beginning of one, and nothing else.
    Part,
    Other,
}

fn shape(text: &str) -> Shape {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'<') {
        return Shape::Other;
    }
    let name = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
    let inner = bytes.iter().skip(1).take(LONGEST).take_while(name).count();
    let body = bytes.get(1..=inner).unwrap_or_default();
    match bytes.get(inner + 1) {
        None if inner < LONGEST - 1 => Shape::Part,
        Some(b'>') => {
            let Some((kind, digits)) = body.split_last_chunk::<DIGITS>() else {
                return Shape::Other;
            };
            let hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
            let kind = kind.strip_suffix(b"_").unwrap_or_default();
            let named = !kind.is_empty() && !kind.iter().any(u8::is_ascii_lowercase);
            if named && digits.iter().all(hex) {
                Shape::Whole(inner + 2)
            } else {
                Shape::Other
            }
        }
        _ => Shape::Other,
    }
}

/// Restores a text that arrives in pieces; holds back at most the length of a placeholder.
#[derive(Debug)]
pub struct Restorer {
    vault: Arc<Vault>,
    form: Form,
    held: String,
}

impl Restorer {
    /// Takes the next piece; gives what may be delivered now.
    pub fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        let open = memchr::memrchr(b'<', self.held.as_bytes());
        let waits = open.filter(|open| {
            let tail = self.held.get(*open..).unwrap_or_default();
            matches!(shape(tail), Shape::Part)
        });
        let tail = self.held.split_off(waits.unwrap_or(self.held.len()));
        let ready = std::mem::replace(&mut self.held, tail);
        self.vault.restore(self.form, &ready).into_owned()
    }

    /// The end of the text; gives what was held back.
    pub fn finish(&mut self) -> String {
        let ready = std::mem::take(&mut self.held);
        self.vault.restore(self.form, &ready).into_owned()
    }

    /// Bytes held back now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }
}
