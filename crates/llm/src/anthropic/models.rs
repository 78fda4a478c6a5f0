//! The model list in Anthropic's form.

use crate::json;

/// The creation time of every entry: model groups have none of their own.
const CREATED: &str = "2023-02-28T18:56:42Z";

/// Appends one entry (also the body of `GET /v1/models/{id}`).
pub fn write(out: &mut Vec<u8>, id: &str) {
    out.extend_from_slice(b"{\"type\":\"model\",\"id\":");
    json::write_string(out, id);
    out.extend_from_slice(b",\"display_name\":");
    json::write_string(out, id);
    out.extend_from_slice(b",\"created_at\":");
    json::write_string(out, CREATED);
    out.push(b'}');
}

/// The body of `GET /v1/models`: one page with every entry, in the given order.
#[must_use]
pub fn list<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut out = b"{\"data\":[".to_vec();
    let (mut first, mut last) = (None, None);
    for id in ids {
        if first.is_some() {
            out.push(b',');
        }
        write(&mut out, id);
        first = first.or(Some(id));
        last = Some(id);
    }
    out.extend_from_slice(b"],\"has_more\":false");
    for (name, id) in [("first_id", first), ("last_id", last)] {
        out.push(b',');
        json::write_string(&mut out, name);
        out.push(b':');
        match id {
            Some(id) => json::write_string(&mut out, id),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
    out
}
