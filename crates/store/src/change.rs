//! A change of identity: the attachment of the record that seals it, stored in the same commit.

use serde::{Deserialize, Serialize};

/// First byte of the encoding; a row of spend has another one.
pub(crate) const TAG: u8 = b'E';

/// One entity after the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityRow {
    /// Kind: `key`, `team`, `user` and so on.
    pub kind: String,
    /// Tenant; empty for the default one.
    pub tenant: String,
    /// Id within kind and tenant.
    pub id: String,
    /// The new version; the stored one is one less, or absent when this is 1.
    pub version: u64,
    /// The entity as JSON.
    pub doc: String,
    /// MAC over all of the above, 64 hexadecimal characters.
    pub mac: String,
    /// Whether the entity is gone; `doc` is then its last state.
    pub deleted: bool,
}

/// What the audit log says about a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Id of the record; given by the store when it is read.
    #[serde(default)]
    pub id: String,
    /// Microseconds since the Unix epoch.
    pub at: i64,
    /// Tenant.
    pub tenant: String,
    /// Who changed it.
    pub changed_by: String,
    /// Public id of the key that was used.
    pub changed_by_key: String,
    /// `created`, `updated`, `deleted`, `blocked`, `unblocked`, `rotated`.
    pub action: String,
    /// LiteLLM's name of the table.
    pub table_name: String,
    /// The entity's id.
    pub object_id: String,
    /// The entity before, as JSON.
    pub before_value: Option<String>,
    /// The entity after, as JSON.
    pub updated_values: Option<String>,
}

/// A change: rows and what the audit log says. All of it or nothing is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Entities, at most a few hundred.
    pub rows: Vec<EntityRow>,
    /// One entry for each entity that a person changed.
    pub audit: Vec<AuditRow>,
}

/// Bytes that are no change, or a change that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("not a change of identity: {0}")]
pub struct NotAChange(String);

impl Change {
    /// The attachment's bytes.
    ///
    /// # Errors
    /// Never for texts; JSON rendering says so.
    pub fn encode(&self) -> Result<Vec<u8>, NotAChange> {
        let mut out = vec![TAG];
        serde_json::to_writer(&mut out, self).map_err(|error| NotAChange(error.to_string()))?;
        Ok(out)
    }

    /// Whether an attachment is a change.
    #[must_use]
    pub fn is_change(bytes: &[u8]) -> bool {
        bytes.first() == Some(&TAG)
    }

    /// Reads what [`Change::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Change, NotAChange> {
        let body = bytes
            .strip_prefix(&[TAG])
            .ok_or_else(|| NotAChange("unknown first byte".to_owned()))?;
        serde_json::from_slice(body).map_err(|error| NotAChange(error.to_string()))
    }
}
