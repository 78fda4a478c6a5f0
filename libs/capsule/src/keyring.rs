//! Keyring files: the public keys of a signer's past and present (Capsule Protocol 1.0, key rotation).
//!
//! Text in, text out; reading and writing files is the caller's. A keyring is not signed: whoever can
//! write it decides which keys are trusted.

use crate::canonical;
use crate::json::{self, Limits, Value};
use crate::key::PublicKey;
use crate::time::Timestamp;

/// The one version of keyring files.
pub const VERSION: i64 = 1;

/// A keyring: epochs in the order in which they began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keyring {
    epochs: Vec<Epoch>,
}

/// The life of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Number of the epoch, from 0.
    pub epoch: u64,
    /// The public key.
    pub public_key: PublicKey,
    /// Its label, usually the short fingerprint.
    pub fingerprint: String,
    /// When the epoch began, as written: ISO 8601.
    pub created_at: String,
    /// When the key was retired, as written.
    pub rotated_at: Option<String>,
    /// Whether records are signed with it, or only verified.
    pub status: Status,
}

/// Whether the key of an epoch signs new records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It signs.
    Active,
    /// It only verifies.
    Retired,
}

/// A text that is no keyring file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Not JSON.
    #[error("the keyring is not JSON: {0}")]
    Json(#[from] json::ParseError),
    /// A version other than [`VERSION`].
    #[error("keyring version {0} is not supported; this program reads version 1")]
    Version(String),
    /// A field is missing or of the wrong kind.
    #[error("the keyring's field {0} is missing or not as keyrings have it")]
    Field(String),
}

impl Keyring {
    /// A keyring without epochs.
    #[must_use]
    pub const fn new() -> Keyring {
        Keyring { epochs: Vec::new() }
    }

    /// Reads the text of a keyring file.
    ///
    /// # Errors
    /// [`KeyringError`] when the text is not a keyring of version 1.
    pub fn parse(text: &[u8]) -> Result<Keyring, KeyringError> {
        let root = json::parse(text, &Limits::default())?;
        match root.get("version") {
            Some(Value::Int(version)) if version.as_i64() == Some(VERSION) => {}
            Some(version) => {
                let written = canonical::to_vec(version);
                let shown = String::from_utf8_lossy(&written).into_owned();
                return Err(KeyringError::Version(shown));
            }
            None => return Err(KeyringError::Field("version".into())),
        }
        let epochs = root
            .get("epochs")
            .and_then(Value::as_array)
            .ok_or_else(|| KeyringError::Field("epochs".into()))?;
        let epochs = epochs.iter().enumerate();
        let epochs = epochs.map(|(at, epoch)| read_epoch(epoch).map_err(|key| field(at, key)));
        Ok(Keyring {
            epochs: epochs.collect::<Result<_, _>>()?,
        })
    }

    /// The text of the keyring file: indented by two spaces, with a newline at the end.
    #[must_use]
    pub fn to_text(&self) -> String {
        let active = self.active().or(self.epochs.last());
        let number = active.map_or(0, |epoch| epoch.epoch);
        let mut text = format!("{{\n  \"version\": {VERSION},\n  \"active_epoch\": {number},\n");
        if self.epochs.is_empty() {
            text.push_str("  \"epochs\": []\n}\n");
            return text;
        }
        let epochs: Vec<String> = self.epochs.iter().map(write_epoch).collect();
        text.push_str("  \"epochs\": [\n");
        text.push_str(&epochs.join(",\n"));
        text.push_str("\n  ]\n}\n");
        text
    }

    /// The epochs in the order of the file.
    #[must_use]
    pub fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// The epoch whose key signs: the first that is active.
    #[must_use]
    pub fn active(&self) -> Option<&Epoch> {
        self.epochs
            .iter()
            .find(|epoch| epoch.status == Status::Active)
    }

    /// The epoch that a record's `signed_by` names: first by label, then by the first 16 digits of the
    /// key. Labels of four digits may collide; the first epoch wins.
    #[must_use]
    pub fn lookup(&self, signed_by: &str) -> Option<&Epoch> {
        let by_label = |epoch: &&Epoch| epoch.fingerprint == signed_by;
        let by_key = |epoch: &&Epoch| epoch.public_key.fingerprint() == signed_by;
        self.epochs
            .iter()
            .find(by_label)
            .or_else(|| self.epochs.iter().find(by_key))
    }

    /// Retires every active epoch and begins one for `key`, whose secret the caller has stored. Returns the
    /// number of the new epoch.
    ///
    /// A signer keeps its key for life and labels records by that key, so one that still runs with the
    /// old key writes records that verify with the retired epoch; the reference's would not.
    pub fn rotate(&mut self, key: &PublicKey, at: Timestamp) -> u64 {
        for epoch in &mut self.epochs {
            if epoch.status == Status::Active {
                epoch.status = Status::Retired;
                epoch.rotated_at = Some(at.to_string());
            }
        }
        let last = self.epochs.iter().map(|epoch| epoch.epoch).max();
        let number = last.map_or(0, |last| last.saturating_add(1));
        self.epochs.push(Epoch {
            epoch: number,
            public_key: *key,
            fingerprint: key.short_fingerprint(),
            created_at: at.to_string(),
            rotated_at: None,
            status: Status::Active,
        });
        number
    }

    /// Makes sure that the keyring knows `key` and that it is the one that signs: a key that is active
    /// alone stays as it is, any other begins an epoch. Returns whether the keyring changed.
    pub fn register(&mut self, key: &PublicKey, at: Timestamp) -> bool {
        let mut active = self
            .epochs
            .iter()
            .filter(|epoch| epoch.status == Status::Active);
        let alone =
            active.next().is_some_and(|epoch| epoch.public_key == *key) && active.next().is_none();
        if !alone {
            self.rotate(key, at);
        }
        !alone
    }
}

fn field(at: usize, key: &str) -> KeyringError {
    KeyringError::Field(format!("epochs.{at}.{key}"))
}

fn read_epoch(epoch: &Value) -> Result<Epoch, &'static str> {
    let text = |key: &'static str| epoch.get(key).and_then(Value::as_str).ok_or(key);
    if text("algorithm")? != "ed25519" {
        return Err("algorithm");
    }
    let number = epoch.get("epoch").and_then(Value::as_u64).ok_or("epoch")?;
    let rotated_at = match epoch.get("rotated_at") {
        None | Some(Value::Null) => None,
        Some(Value::String(at)) => Some(at.clone()),
        Some(_) => return Err("rotated_at"),
    };
    Ok(Epoch {
        epoch: number,
        public_key: PublicKey::from_hex(text("public_key_hex")?).map_err(|_| "public_key_hex")?,
        fingerprint: text("fingerprint")?.to_owned(),
        created_at: text("created_at")?.to_owned(),
        rotated_at,
        status: match text("status")? {
            "active" => Status::Active,
            "retired" => Status::Retired,
            _ => return Err("status"),
        },
    })
}

fn write_epoch(epoch: &Epoch) -> String {
    let quoted = |text: &str| {
        let mut out = Vec::new();
        canonical::write_string(text, &mut out);
        String::from_utf8(out).unwrap_or_default()
    };
    let rotated = epoch.rotated_at.as_deref().map_or("null".into(), quoted);
    let status = match epoch.status {
        Status::Active => "active",
        Status::Retired => "retired",
    };
    format!(
        "    {{\n      \"epoch\": {},\n      \"algorithm\": \"ed25519\",\n      \
         \"public_key_hex\": \"{}\",\n      \"fingerprint\": {},\n      \"created_at\": {},\n      \
         \"rotated_at\": {rotated},\n      \"status\": \"{status}\"\n    }}",
        epoch.epoch,
        epoch.public_key,
        quoted(&epoch.fingerprint),
        quoted(&epoch.created_at),
    )
}
