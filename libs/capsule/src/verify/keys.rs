//! The keys that a verification trusts.

use crate::key::{Checker, PublicKey};
use crate::keyring::Keyring;

/// The keys that a verification trusts, made ready for use.
#[derive(Clone, Default)]
pub struct Keys {
    explicit: Option<Trusted>,
    epochs: Vec<Labelled>,
    local: Option<Trusted>,
}

#[derive(Clone)]
struct Labelled {
    label: String,
    digits: String,
    key: Trusted,
}

/// A key that signatures are checked with.
#[derive(Clone)]
pub(crate) struct Trusted {
    key: PublicKey,
    /// `None` when the bytes are no usable key: then no signature is good.
    checker: Option<Checker>,
}

impl Trusted {
    fn new(key: &PublicKey) -> Trusted {
        Trusted {
            key: *key,
            checker: Checker::new(key),
        }
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        self.key
    }

    pub(crate) fn check(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.checker
            .as_ref()
            .is_some_and(|checker| checker.check(message, signature))
    }
}

impl Keys {
    /// No key at all: every signature fails. Enough for the levels that check none.
    #[must_use]
    pub fn none() -> Keys {
        Keys::default()
    }

    /// One key for every record, whatever the records say about their signer.
    #[must_use]
    pub fn explicit(key: &PublicKey) -> Keys {
        Keys {
            explicit: Some(Trusted::new(key)),
            ..Keys::default()
        }
    }

    /// The keys of a keyring, found by `signed_by`; the local key for records that it does not know, as
    /// in the reference.
    #[must_use]
    pub fn keyring(keyring: &Keyring, local: Option<&PublicKey>) -> Keys {
        let epochs = keyring.epochs().iter();
        Keys {
            explicit: None,
            epochs: epochs
                .map(|epoch| Labelled {
                    label: epoch.fingerprint.clone(),
                    digits: epoch.public_key.fingerprint(),
                    key: Trusted::new(&epoch.public_key),
                })
                .collect(),
            local: local.map(Trusted::new),
        }
    }

    /// Whether the record's label names one of these keys, so that no fall-back is needed.
    #[must_use]
    pub fn knows(&self, signed_by: &str) -> bool {
        match (&self.explicit, &self.local) {
            (Some(key), _) => names(&key.key, signed_by),
            (None, local) => {
                self.find(signed_by).is_some()
                    || local.as_ref().is_some_and(|key| names(&key.key, signed_by))
            }
        }
    }

    pub(crate) fn resolve(&self, signed_by: &str) -> Option<&Trusted> {
        self.explicit
            .as_ref()
            .or_else(|| self.find(signed_by))
            .or(self.local.as_ref())
    }

    fn find(&self, signed_by: &str) -> Option<&Trusted> {
        let by_label = self.epochs.iter().find(|epoch| epoch.label == signed_by);
        by_label
            .or_else(|| self.epochs.iter().find(|epoch| epoch.digits == signed_by))
            .map(|epoch| &epoch.key)
    }
}

fn names(key: &PublicKey, signed_by: &str) -> bool {
    key.fingerprint() == signed_by || key.short_fingerprint() == signed_by
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("explicit", &self.explicit.as_ref().map(|key| key.key))
            .field("epochs", &self.epochs.len())
            .field("local", &self.local.as_ref().map(|key| key.key))
            .finish()
    }
}
