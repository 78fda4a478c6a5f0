//! The texts of content blocks.

use super::classify::Walk;
use super::vocabulary::BLOCKS;
use crate::openai::vocabulary::is_in;
use crate::scan::{Kind, Node};
use crate::transcript::{OpaqueKind, Part, Role};

impl Walk {
    /// One content block.
    pub(super) fn block(&mut self, block: Node<'_>) {
        let kind = block.get("type");
        if !kind.is_some_and(|kind| is_in(BLOCKS, kind)) {
            self.out.push_opaque(OpaqueKind::Unknown, block);
        }
        let is = |name: &str| kind.is_some_and(|kind| kind.is_str(name));
        let media = match () {
            () if is("image") => Some(OpaqueKind::Image),
            () if is("document") => Some(OpaqueKind::File),
            () => None,
        };
        let outer = self.role;
        if kind
            .and_then(|kind| kind.as_str())
            .is_some_and(|kind| kind.ends_with("tool_result"))
        {
            self.role = Role::Tool;
        }
        for (key, value) in block.entries() {
            let name = key.as_str().unwrap_or_default();
            match (&*name, media) {
                ("type", _) => self.word(value),
                ("source", Some(media)) => self.source(media, value),
                ("data", _) if is("redacted_thinking") => self.sealed(value),
                _ => self.block_member(&name, key, value),
            }
        }
        self.role = outer;
    }

    fn block_member(&mut self, name: &str, key: Node<'_>, value: Node<'_>) {
        match name {
            "text" | "context" | "source" | "stdout" | "stderr" => self.text(Part::Text, value),
            "title" => self.text(Part::Filename, value),
            "thinking" => self.text(Part::Reasoning, value),
            "signature" | "encrypted_content" | "encrypted_index" | "encrypted_stdout" => {
                self.sealed(value);
            }
            "name" | "server_name" | "tool_name" => self.text(Part::ToolName, value),
            "input" => self.values(value),
            "id" | "tool_use_id" => self.identifier(value),
            "content" => self.inner(value),
            "citations" => self.citations(value),
            "file_id" => {
                self.out.push_opaque(OpaqueKind::File, value);
                self.identifier(value);
            }
            _ => self.unknown(key, value),
        }
    }

    /// The content of a block: a text, blocks, or one block.
    fn inner(&mut self, content: Node<'_>) {
        match content.kind() {
            Kind::Array => content.items().for_each(|item| match item.kind() {
                Kind::Object => self.block(item),
                _ => self.text(Part::Text, item),
            }),
            Kind::Object => self.block(content),
            _ => self.text(Part::Text, content),
        }
    }

    fn citations(&mut self, citations: Node<'_>) {
        if citations.kind() != Kind::Array {
            return self.below(citations);
        }
        for citation in citations.items() {
            for (key, value) in citation.entries() {
                let name = key.as_str().unwrap_or_default();
                match &*name {
                    "type" => self.word(value),
                    "cited_text" | "title" | "document_title" => self.text(Part::Text, value),
                    "encrypted_index" => self.sealed(value),
                    "file_id" => self.identifier(value),
                    _ => self.unknown(key, value),
                }
            }
            if citation.kind() != Kind::Object {
                self.below(citation);
            }
        }
    }

    /// Signed or encrypted by the provider.
    fn sealed(&mut self, value: Node<'_>) {
        match value.kind() {
            Kind::String => self.out.push_opaque(OpaqueKind::Reasoning, value),
            _ => self.below(value),
        }
    }

    /// Where the bytes of an image or document are.
    fn source(&mut self, kind: OpaqueKind, source: Node<'_>) {
        if source.kind() != Kind::Object {
            return self.below(source);
        }
        // A document can be plain text; then its data is as readable as any text.
        let plain = source.get("type").is_some_and(|kind| kind.is_str("text"));
        for (key, value) in source.entries() {
            let name = key.as_str().unwrap_or_default();
            match (&*name, value.kind()) {
                ("type" | "media_type", _) => self.word(value),
                ("data", _) if plain => self.text(Part::Text, value),
                ("data", Kind::String) => self.out.push_opaque(kind, value),
                ("url", Kind::String) => self.url(kind, value),
                ("file_id", Kind::String) => {
                    self.out.push_opaque(kind, value);
                    self.identifier(value);
                }
                ("content", _) => self.inner(value),
                _ => self.unknown(key, value),
            }
        }
    }

    /// A URL of media. Something that is no URL is a text as well.
    fn url(&mut self, kind: OpaqueKind, value: Node<'_>) {
        self.out.push_opaque(kind, value);
        let raw = value.raw();
        let url = [&b"\"https://"[..], b"\"http://"];
        if !url.iter().any(|prefix| raw.starts_with(prefix)) {
            self.out.push(self.role, Part::Unknown, value);
        }
    }
}
