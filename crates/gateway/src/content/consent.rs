//! What a request says about being kept. It can only ask for less.

use http::HeaderMap;
use llm::protocol::Request;
use llm::scan::{Kind, Node};
use policy::identity::Entity;

use crate::config::ContentMode;

/// What a call wishes of storing and of analytics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// False: no content is kept, whatever the mode.
    pub(crate) storage: Option<bool>,
    /// False: nothing of the call goes to sinks of analytics; the record says so.
    pub(crate) analytics: Option<bool>,
}

impl Wish {
    /// Reads `metadata.user_consent` (`storage:false,analytics:false`, or an object), `metadata.storage` and
    /// `metadata.analytics`, and LiteLLM's header that asks for redaction. Where two of them disagree, the smaller wins.
    pub(crate) fn read(headers: &HeaderMap, body: &dyn Request) -> Self {
        let mut wish = Self::default();
        let redacted = headers
            .get("x-litellm-enable-message-redaction")
            .is_some_and(|value| flag(&String::from_utf8_lossy(value.as_bytes())) == Some(true));
        if redacted {
            wish.storage = Some(false);
        }
        let Some(metadata) = body.member("metadata") else {
            return wish;
        };
        for name in ["storage", "analytics"] {
            if let Some(value) = metadata.get(name).and_then(truth) {
                wish.note(name, value);
            }
        }
        match metadata.get("user_consent") {
            Some(consent) if consent.kind() == Kind::String => {
                if let Some(text) = consent.as_str() {
                    wish.listed(&text);
                }
            }
            Some(consent) if consent.kind() == Kind::Object => {
                for name in ["storage", "analytics"] {
                    if let Some(value) = consent.get(name).and_then(truth) {
                        wish.note(name, value);
                    }
                }
            }
            _ => {}
        }
        wish
    }

    /// Takes the registry's word too: a withdrawal of `storage` or `analytics` holds whatever the call says. A row that is not
    /// as it was sealed counts as one.
    pub(crate) fn with_registry(mut self, row: Option<&Entity>) -> Self {
        let Some(row) = row else { return self };
        for name in ["storage", "analytics"] {
            let said = row.consent.as_deref().and_then(|part| part.of(name));
            if row.damaged {
                self.note(name, false);
            } else if let Some(grant) = said {
                self.note(name, grant.given);
            }
        }
        self
    }

    /// The mode of a call: the configured one, or `hash` where the call wishes not to be kept.
    pub(crate) fn mode(self, configured: ContentMode) -> ContentMode {
        match self.storage {
            Some(false) => ContentMode::Hash,
            _ => configured,
        }
    }

    fn listed(&mut self, text: &str) {
        for pair in text.split(',').take(64) {
            let Some((name, value)) = pair.split_once([':', '=']) else {
                continue;
            };
            if let Some(value) = flag(value) {
                self.note(name.trim(), value);
            }
        }
    }

    fn note(&mut self, name: &str, value: bool) {
        let place = match name {
            "storage" => &mut self.storage,
            "analytics" => &mut self.analytics,
            _ => return,
        };
        *place = Some(place.unwrap_or(true) && value);
    }
}

fn truth(node: Node<'_>) -> Option<bool> {
    match node.kind() {
        Kind::String => flag(&node.as_str()?),
        _ => match node.raw() {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        },
    }
}

fn flag(text: &str) -> Option<bool> {
    let text = text.trim();
    ["true", "yes", "1"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
        .then_some(true)
        .or_else(|| {
            ["false", "no", "0"]
                .iter()
                .any(|word| text.eq_ignore_ascii_case(word))
                .then_some(false)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(metadata: &str) -> Wish {
        let body = format!(r#"{{"model":"m","messages":[],"metadata":{metadata}}}"#);
        let body = llm::protocol::request(
            llm::protocol::Protocol::Chat,
            body.into(),
            &llm::scan::Limits::default(),
        )
        .unwrap();
        Wish::read(&HeaderMap::new(), body.as_ref())
    }

    #[test]
    fn consent_in_every_spelling() {
        for text in [
            r#"{"user_consent":"analytics:true,storage:false"}"#,
            r#"{"user_consent":{"storage":false,"analytics":"true"}}"#,
            r#"{"storage":"no","analytics":true}"#,
            r#"{"storage":false,"user_consent":"storage:true, analytics:true"}"#,
        ] {
            let expected = Wish {
                storage: Some(false),
                analytics: Some(true),
            };
            assert_eq!(wish(text), expected, "{text}");
        }
        assert_eq!(wish(r#"{"user_consent":"nonsense"}"#), Wish::default());
        assert_eq!(wish(r#"{"user_consent":7,"storage":[]}"#), Wish::default());
    }

    #[test]
    fn a_withdrawal_in_the_registry_holds_whatever_the_call_says() {
        use policy::identity::{ConsentPart, Grant, Kind as EntityKind};
        let row = |given: bool, damaged: bool| Entity {
            kind: EntityKind::Consent,
            damaged,
            consent: Some(Box::new(ConsentPart {
                subject: "end_user".into(),
                purposes: [(
                    Box::from("storage"),
                    Grant {
                        given,
                        ..Grant::default()
                    },
                )]
                .into(),
            })),
            ..Entity::default()
        };
        let yes = wish(r#"{"storage":true,"analytics":true}"#);
        let withdrawn = yes.with_registry(Some(&row(false, false)));
        assert_eq!(withdrawn.storage, Some(false));
        assert_eq!(withdrawn.analytics, Some(true));
        // A yes in the registry does not make a call keep what it does not want kept.
        let no = wish(r#"{"storage":false}"#).with_registry(Some(&row(true, false)));
        assert_eq!(no.storage, Some(false));
        let broken = yes.with_registry(Some(&row(true, true)));
        assert_eq!(
            (broken.storage, broken.analytics),
            (Some(false), Some(false))
        );
    }

    #[test]
    fn a_call_can_only_ask_for_less() {
        let yes = wish(r#"{"storage":true}"#);
        assert_eq!(yes.mode(ContentMode::Hash), ContentMode::Hash);
        assert_eq!(yes.mode(ContentMode::Masked), ContentMode::Masked);
        let no = wish(r#"{"storage":false}"#);
        for mode in [
            ContentMode::Masked,
            ContentMode::Encrypted,
            ContentMode::Full,
        ] {
            assert_eq!(no.mode(mode), ContentMode::Hash);
        }
    }
}
