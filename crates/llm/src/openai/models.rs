//! The model list.

use crate::json;

/// One entry of `GET /models`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model<'a> {
    /// The group's name.
    pub id: &'a str,
    /// `mode` of the group (`chat`, `embedding`), if known.
    pub mode: Option<&'a str>,
    /// Largest input in tokens, if known.
    pub max_input_tokens: Option<u64>,
    /// Largest output in tokens, if known.
    pub max_output_tokens: Option<u64>,
}

impl<'a> Model<'a> {
    /// An entry with a name only.
    #[must_use]
    pub fn named(id: &'a str) -> Model<'a> {
        Model {
            id,
            mode: None,
            max_input_tokens: None,
            max_output_tokens: None,
        }
    }

    /// The entry as JSON (also the body of `GET /models/{id}`).
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        json::write_string(out, self.id);
        // The constant creation time that clients of this API have always seen.
        out.extend_from_slice(
            b",\"object\":\"model\",\"created\":1677610602,\"owned_by\":\"openai\"",
        );
        if let Some(mode) = self.mode {
            out.extend_from_slice(b",\"mode\":");
            json::write_string(out, mode);
        }
        for (name, value) in [
            ("max_input_tokens", self.max_input_tokens),
            ("max_output_tokens", self.max_output_tokens),
        ] {
            if let Some(value) = value {
                out.push(b',');
                json::write_string(out, name);
                out.push(b':');
                json::write_u64(out, value);
            }
        }
        out.push(b'}');
    }
}

/// The body of `GET /models`, in the given order.
#[must_use]
pub fn list<'a>(models: impl IntoIterator<Item = Model<'a>>) -> Vec<u8> {
    let mut out = b"{\"object\":\"list\",\"data\":[".to_vec();
    for (at, model) in models.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        model.write(&mut out);
    }
    out.extend_from_slice(b"]}");
    out
}
