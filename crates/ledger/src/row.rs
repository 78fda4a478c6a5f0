//! Stored rows read back: are they ours, and what leaf are they?

use capsule::{
    PublicKey,
    verify::{self, Columns, Keys, Record, RecordError, Seal},
};

use crate::{
    error::Damage,
    journal::{Chain, Head, Journal, JournalError, Row},
    tree::{NodeHash, leaf_hash},
};

/// Rows that are read from the store at a time.
pub(crate) const PAGE: usize = 512;

/// The keys whose records this ledger continues: its own, present and past. No other key is ever
/// tried, whatever a record's `signed_by` says.
pub(crate) struct RowKeys(Vec<Keys>);

impl RowKeys {
    pub(crate) fn new<'k>(keys: impl IntoIterator<Item = &'k PublicKey>) -> RowKeys {
        RowKeys(keys.into_iter().map(Keys::explicit).collect())
    }
}

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

/// A row whose hash is that of its content, and whose columns repeat it.
pub(crate) struct Checked {
    pub(crate) head: Head,
    pub(crate) record: Record,
}

/// Recomputes the hash and compares the columns with the document.
pub(crate) fn check(row: &Row) -> Result<Checked, Damage> {
    let wrong = |message: String| Damage::Record {
        sequence: row.sequence,
        message,
    };
    let record = row.record().map_err(|error| wrong(error.to_string()))?;
    verify::verify_content(&record).map_err(|failure| wrong(failure.message.into_owned()))?;
    record
        .check_columns(&row.columns())
        .map_err(|error| wrong(error.to_string()))?;
    let head = Head {
        sequence: row.sequence,
        hash: record.content_hash(),
    };
    Ok(Checked { head, record })
}

impl Row {
    /// The record with its seal, read and not verified.
    ///
    /// # Errors
    /// When the content is not a record's.
    pub fn record(&self) -> Result<Record, RecordError> {
        let seal = Seal {
            hash: self.hash.clone(),
            signature: self.signature.clone(),
            signature_pq: self.signature_pq.clone(),
            signed_at: self.signed_at.clone(),
            signed_by: self.signed_by.clone().unwrap_or_default(),
        };
        Record::from_row(&self.data, seal)
    }

    /// The columns that repeat what the record says.
    #[must_use]
    pub fn columns(&self) -> Columns<'_> {
        Columns {
            id: &self.id,
            capsule_type: &self.capsule_type,
            sequence: i64::try_from(self.sequence).unwrap_or(-1),
            previous_hash: self.previous_hash.as_deref(),
            session_id: self.session_id.as_deref(),
        }
    }
}

impl Checked {
    /// The RFC 6962 leaf hash of the sealed record.
    pub(crate) fn leaf(&self) -> NodeHash {
        leaf_hash(&self.record.record_json())
    }

    /// Whether one of the keys signed it.
    pub(crate) fn signed_by(&self, keys: &RowKeys) -> Result<(), Damage> {
        let mut failure = None;
        for key in &keys.0 {
            match verify::verify(&self.record, key) {
                Ok(_) => return Ok(()),
                Err(other) => failure = Some(other.message.into_owned()),
            }
        }
        Err(Damage::UnknownKey {
            sequence: self.head.sequence,
            message: failure.unwrap_or_else(|| "this ledger has no key".to_owned()),
        })
    }

    /// Whether it follows `before`.
    pub(crate) fn follows(&self, before: Option<&Head>) -> Result<(), Damage> {
        let sequence = before.map_or(0, |head| head.sequence + 1);
        let link = before.map(|head| head.hash.hex());
        if self.head.sequence != sequence || self.record.previous_hash() != link.as_deref() {
            return Err(Damage::Record {
                sequence: self.head.sequence,
                message: format!("is not linked to record {}", sequence.saturating_sub(1)),
            });
        }
        Ok(())
    }
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
            leaves.push(checked.leaf());
            head = Some(checked.head);
        }
    }
    Ok(leaves)
}
