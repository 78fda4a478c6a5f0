//! Stored rows read back: are they ours, and what leaf are they?

use capsule::{Hash, PublicKey, canonical, json};

use crate::{
    checkpoint::verify_ed25519,
    error::Damage,
    journal::{Chain, Head, Journal, JournalError, Row},
    tree::{NodeHash, leaf_hash},
};

/// Rows that are read from the store at a time.
pub(crate) const PAGE: usize = 512;

/// The keys whose records this ledger continues: its own, present and past. No other key is ever
/// tried, whatever a record's `signed_by` says.
pub(crate) struct RowKeys(pub(crate) Vec<PublicKey>);

/// A row that is not what it should be, or that could not be read.
pub(crate) enum RowError {
    Damage(Damage),
    Journal(JournalError),
}

impl From<JournalError> for RowError {
    fn from(error: JournalError) -> RowError {
        RowError::Journal(error)
    }
}

/// A row whose hash is that of its content.
pub(crate) struct Checked {
    pub(crate) head: Head,
    pub(crate) previous: Option<Hash>,
    pub(crate) leaf: NodeHash,
    pub(crate) document: json::Value,
    hash_text: String,
    signature: String,
}

/// Recomputes the hash and compares the columns with the document.
pub(crate) fn check(row: &Row) -> Result<Checked, Damage> {
    let wrong = |message: &str| Damage::Record {
        sequence: row.sequence,
        message: message.to_owned(),
    };
    let document = json::parse(&row.data, &json::Limits::default())
        .map_err(|error| wrong(&format!("unreadable content: {error}")))?;
    let hash =
        Hash::from_hex(&row.hash).map_err(|_| wrong("the hash is not 64 hexadecimal digits"))?;
    if Hash::of(&canonical::to_vec(&document)) != hash {
        return Err(wrong("the content does not have the stored hash"));
    }
    let text = |key: &str| document.get(key).and_then(json::Value::as_str);
    if document.get("sequence").and_then(json::Value::as_u64) != Some(row.sequence)
        || text("id") != Some(&row.id)
        || text("previous_hash") != row.previous_hash.as_deref()
    {
        return Err(wrong("the columns do not say what the content says"));
    }
    let previous = match &row.previous_hash {
        None => None,
        Some(text) => Some(Hash::from_hex(text).map_err(|_| wrong("the link is not a hash"))?),
    };
    Ok(Checked {
        head: Head {
            sequence: row.sequence,
            hash,
        },
        previous,
        leaf: leaf_hash(&record_json(&document, row)),
        document,
        hash_text: row.hash.clone(),
        signature: row.signature.clone(),
    })
}

impl Checked {
    /// Whether one of the keys signed it.
    pub(crate) fn signed_by(&self, keys: &RowKeys) -> Result<(), Damage> {
        let signature = hex_64(&self.signature);
        let good = signature.is_some_and(|signature| {
            keys.0
                .iter()
                .any(|key| verify_ed25519(key, self.hash_text.as_bytes(), &signature))
        });
        if good {
            return Ok(());
        }
        Err(Damage::UnknownKey {
            sequence: self.head.sequence,
            message: "no key of this ledger made its signature".to_owned(),
        })
    }

    /// Whether it follows `before`.
    pub(crate) fn follows(&self, before: Option<&Head>) -> Result<(), Damage> {
        let sequence = before.map_or(0, |head| head.sequence + 1);
        if self.head.sequence != sequence || self.previous != before.map(|head| head.hash) {
            return Err(Damage::Record {
                sequence: self.head.sequence,
                message: format!("is not linked to record {}", sequence.saturating_sub(1)),
            });
        }
        Ok(())
    }
}

/// The canonical sealed record of 18 keys, which is the leaf of the tree.
pub(crate) fn record_json(document: &json::Value, row: &Row) -> Vec<u8> {
    let mut object = document.as_object().cloned().unwrap_or_default();
    object.insert("hash", row.hash.as_str());
    object.insert("signature", row.signature.as_str());
    object.insert("signature_pq", row.signature_pq.as_str());
    object.insert(
        "signed_at",
        match &row.signed_at {
            Some(at) => json::Value::from(at.as_str()),
            None => json::Value::Null,
        },
    );
    object.insert("signed_by", row.signed_by.as_deref().unwrap_or_default());
    canonical::to_vec(&json::Value::Object(object))
}

/// Verifies every record after `from` up to `last`: content, link and signature by a key of this
/// ledger. Returns their leaves.
pub(crate) fn adopt_rows(
    journal: &mut dyn Journal,
    chain: &Chain,
    from: Option<Head>,
    last: &Head,
    keys: &RowKeys,
) -> Result<Vec<NodeHash>, RowError> {
    let mut leaves = Vec::new();
    let mut head = from;
    // The record that we committed last must still stand, or the new ones follow something else.
    if let Some(head) = from {
        let row = journal.rows(chain, head.sequence, 1)?.into_iter().next();
        if !row.is_some_and(|row| row.sequence == head.sequence && row.hash == head.hash.hex()) {
            return Err(RowError::Damage(Damage::Record {
                sequence: head.sequence,
                message: "is not the record that was committed".to_owned(),
            }));
        }
    }
    while head.is_none_or(|head| head.sequence < last.sequence) {
        let next = head.map_or(0, |head| head.sequence + 1);
        let rows = journal.rows(chain, next, PAGE)?;
        if rows.is_empty() {
            return Err(RowError::Damage(Damage::Truncated {
                expected: last.sequence,
                found: next.saturating_sub(1).to_string(),
            }));
        }
        for row in rows {
            let checked = check(&row).map_err(RowError::Damage)?;
            checked.follows(head.as_ref()).map_err(RowError::Damage)?;
            checked.signed_by(keys).map_err(RowError::Damage)?;
            leaves.push(checked.leaf);
            head = Some(checked.head);
        }
    }
    Ok(leaves)
}

fn hex_64(text: &str) -> Option<[u8; 64]> {
    let mut out = [0_u8; 64];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != out.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}
