//! Reading a scanned document.

use super::{Doc, Token, keys, text};
use std::borrow::Cow;
use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `null`
    Null,
    /// `true`
    True,
    /// `false`
    False,
    /// A number.
    Number,
    /// A string, or the key of a member.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// The identity of a token within its document: cheap to keep, no lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

/// A token of a document.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    pub(super) doc: &'a Doc,
    pub(super) id: NodeId,
}

impl<'a> Node<'a> {
    fn token(&self) -> Option<&'a Token> {
        self.doc.tape.get(self.id.0 as usize)
    }

    /// This token's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The document this token is part of.
    #[must_use]
    pub fn doc(&self) -> &'a Doc {
        self.doc
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.token().map_or(Kind::Null, |token| token.kind)
    }

    /// Byte range of the token in the document; strings with their quotes.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.token()
            .map_or(0..0, |token| token.start as usize..token.end as usize)
    }

    /// The token's bytes as received.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.doc.bytes.get(self.span()).unwrap_or_default()
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    /// The decoded text of a string; borrowed unless it has escapes.
    #[must_use]
    pub fn as_str(&self) -> Option<Cow<'a, str>> {
        let token = self.token().filter(|token| token.kind == Kind::String)?;
        Some(text::decode(
            keys::inner(&self.doc.bytes, token),
            token.flag,
        ))
    }

    /// The decoded text of a string as bytes; cheaper than [`Node::as_str`].
    pub(crate) fn text_bytes(&self) -> Option<Cow<'a, [u8]>> {
        let token = self.token().filter(|token| token.kind == Kind::String)?;
        let inner = keys::inner(&self.doc.bytes, token);
        Some(match token.flag {
            false => Cow::Borrowed(inner),
            true => Cow::Owned(text::decode(inner, true).into_owned().into_bytes()),
        })
    }

    /// Whether this is a string equal to `text` after unescaping. Does not allocate
    /// unless the token has escapes.
    #[must_use]
    pub fn is_str(&self, text: &str) -> bool {
        match self.token() {
            Some(token) if token.kind == Kind::String && !token.flag => {
                keys::inner(&self.doc.bytes, token) == text.as_bytes()
            }
            _ => self.as_str().is_some_and(|own| own == text),
        }
    }

    /// `true` or `false`.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.kind() {
            Kind::True => Some(true),
            Kind::False => Some(false),
            _ => None,
        }
    }

    /// A whole number written without sign, fraction and exponent that fits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.plain_number()?.parse().ok()
    }

    /// A whole number written without fraction and exponent that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.plain_number()?.parse().ok()
    }

    /// Any number, as the nearest double.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        (self.kind() == Kind::Number).then_some(())?;
        std::str::from_utf8(self.raw()).ok()?.parse().ok()
    }

    fn plain_number(&self) -> Option<&'a str> {
        self.token()
            .filter(|token| token.kind == Kind::Number && !token.flag)?;
        std::str::from_utf8(self.raw()).ok()
    }

    /// The value of the member `key` of an object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Node<'a>> {
        self.entry(key).map(|(_, value)| value)
    }

    /// Key and value of the member `key` of an object.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<(Node<'a>, Node<'a>)> {
        self.entries().find(|(name, _)| name.is_str(key))
    }

    /// Keys and values of an object in order; nothing for other kinds.
    #[must_use]
    pub fn entries(&self) -> Entries<'a> {
        Entries(self.children(Kind::Object))
    }

    /// Elements of an array in order; nothing for other kinds. Elided numbers are
    /// missing (see [`Node::has_elided`]).
    #[must_use]
    pub fn items(&self) -> Items<'a> {
        Items(self.children(Kind::Array))
    }

    /// Whether this array has numbers that were kept off the tape.
    #[must_use]
    pub fn has_elided(&self) -> bool {
        self.token()
            .is_some_and(|token| token.kind == Kind::Array && token.flag)
    }

    fn children(&self, kind: Kind) -> Children<'a> {
        let token = self.token().filter(|token| token.kind == kind);
        Children {
            doc: self.doc,
            at: self.id.0.saturating_add(1),
            end: token.map_or(0, |token| token.next),
        }
    }

    fn after(&self) -> u32 {
        self.token().map_or(u32::MAX, |token| token.next)
    }
}

#[derive(Debug, Clone)]
struct Children<'a> {
    doc: &'a Doc,
    at: u32,
    end: u32,
}

/// Members of an object: (key, value).
#[derive(Debug, Clone)]
pub struct Entries<'a>(Children<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = (Node<'a>, Node<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let children = &mut self.0;
        if children.at >= children.end {
            return None;
        }
        let key = children.doc.node(NodeId(children.at));
        let value = children.doc.node(NodeId(children.at.saturating_add(1)));
        children.at = value.after();
        Some((key, value))
    }
}

/// Elements of an array.
#[derive(Debug, Clone)]
pub struct Items<'a>(Children<'a>);

impl<'a> Iterator for Items<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let children = &mut self.0;
        if children.at >= children.end {
            return None;
        }
        let item = children.doc.node(NodeId(children.at));
        children.at = item.after();
        Some(item)
    }
}
