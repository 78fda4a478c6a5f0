//! The canonical form of a part of a request, written from its scan.
//!
//! The same bytes as parsing the part anew and printing it (Capsule Protocol 1.0, canonical form), without the tree in
//! between: a prompt is digested on every call.

use llm::scan::{Kind, Node};

/// Appends the canonical form of `node`. `None` when it has a number that the canonical form cannot hold.
pub(crate) fn write(node: Node<'_>, out: &mut Vec<u8>) -> Option<()> {
    match node.kind() {
        Kind::String => write_string(node, out)?,
        Kind::Object => {
            out.push(b'{');
            let mut members: Vec<_> = node
                .entries()
                .filter_map(|(key, value)| Some((key.as_str()?, key, value)))
                .collect();
            // Bytes of UTF-8 sort as their code points do. No key comes twice: the scanner refuses that.
            members.sort_unstable_by(|left, right| left.0.cmp(&right.0));
            for (index, (_, key, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(key, out)?;
                out.push(b':');
                write(value, out)?;
            }
            out.push(b'}');
        }
        Kind::Array if !node.has_elided() => {
            out.push(b'[');
            for (index, item) in node.items().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Kind::Null | Kind::True | Kind::False => out.extend_from_slice(node.raw()),
        // Numbers have many spellings and one canonical form.
        Kind::Array | Kind::Number => {
            let value = capsule::json::parse(node.raw(), &capsule::json::Limits::default()).ok()?;
            capsule::canonical::write_value(&value, out);
        }
    }
    Some(())
}

fn write_string(node: Node<'_>, out: &mut Vec<u8>) -> Option<()> {
    let raw = node.raw();
    // Without an escape the scanner has let nothing through that the canonical form would write differently.
    if memchr::memchr(b'\\', raw).is_none() {
        out.extend_from_slice(raw);
    } else {
        capsule::canonical::write_string(&node.as_str()?, out);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm::scan::{Doc, Limits};

    #[test]
    fn equals_the_printed_tree() {
        let documents = [
            r#"{"b": 1.0, "a": [1, 2.50, -0.0, 1e16, 1E-7, 0.1e1], "é": null, "a b": true}"#,
            r#"[{"role":"user","content":"a\u0041\n\/\"\\ \ud83d\ude00 \u001f \u007f"},{"z":{},"y":[]}]"#,
            r#"{"\u0062": 1, "a": 2, "\ud83d\ude00": 3, "ﬀ": 4}"#,
            r#"[0.30000000000000004, 123456789012345678901234567890, 1.7976931348623157e308]"#,
            r#""plain""#,
            "[ ]",
            "{ }",
            "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]",
            "\"\u{7f}\u{80}\u{2028}\"",
        ];
        for text in documents {
            let doc = Doc::parse(
                bytes::Bytes::from_static(text.as_bytes()),
                &Limits::default(),
            )
            .unwrap_or_else(|error| panic!("{text}: {error:?}"));
            let mut out = Vec::new();
            write(doc.root(), &mut out).unwrap();
            let limits = capsule::json::Limits::default();
            let value = capsule::json::parse(text.as_bytes(), &limits).unwrap();
            assert_eq!(
                String::from_utf8(out).unwrap(),
                String::from_utf8(capsule::canonical::to_vec(&value)).unwrap()
            );
        }
    }
}
