//! Changing identity: decided under a lock, sealed and stored in one commit, and only then in force.

use std::sync::Arc;

use capsule::json::{Object, Value};
use capsule::{Authority, Capsule, CapsuleType, Context, Draft, Outcome, Trigger};
use policy::identity::{Entity, Principal, SpendBase, Tables};
use store::change::{AuditRow, Change, EntityRow};

use super::Identity;
use super::roll::label;
use crate::app::App;
use crate::digest::Purpose;
use crate::ids;

/// Most rows of one record; larger changes become several records.
const MOST_ROWS: usize = 200;

/// What is done to an entity, in the words of LiteLLM's audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Created,
    Updated,
    Deleted,
    Blocked,
    Unblocked,
    Rotated,
    Granted,
    Withdrawn,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Blocked => "blocked",
            Self::Unblocked => "unblocked",
            Self::Rotated => "rotated",
            Self::Granted => "granted",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// A change that is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// It could not be sealed or stored.
    #[error("the change could not be recorded in the ledger: {0}")]
    Ledger(String),
    /// The stored row is not the one that was sealed.
    #[error("{0} is not as it was sealed")]
    Damaged(String),
    /// A row or record cannot be made of it.
    #[error("{0}")]
    Form(String),
    /// The other processes could not be told beforehand; nothing was changed.
    #[error("nothing was changed: the other processes of this gateway cannot be told ({0})")]
    Unshared(String),
}

/// One entity as it shall be.
pub(crate) struct Edited {
    pub(crate) action: Action,
    pub(crate) before: Option<Arc<Entity>>,
    pub(crate) after: Entity,
}

/// A committed row on its way into the tables.
pub(super) struct Applied {
    pub(super) row: Arc<Entity>,
    pub(super) before: Option<Arc<Entity>>,
    pub(super) deleted: bool,
    /// What it has spent from now on, when that was set.
    pub(super) spend: Option<SpendBase>,
}

/// The right to change identity: nobody else changes it meanwhile.
pub(crate) struct Editor<'a> {
    app: &'a App,
    by: &'a Principal,
    /// What `litellm-changed-by` said.
    named: Option<String>,
    _alone: tokio::sync::MutexGuard<'a, ()>,
}

impl<'a> Editor<'a> {
    /// Waits until no other change is under way.
    pub(crate) async fn new(app: &'a App, by: &'a Principal, named: Option<String>) -> Editor<'a> {
        Editor {
            app,
            by,
            named,
            _alone: app.identity.editing.lock().await,
        }
    }

    /// Who changes, as the audit log says.
    pub(crate) fn name(&self) -> &str {
        self.named.as_deref().unwrap_or_else(|| self.by.name())
    }

    /// Now, microseconds since the Unix epoch.
    pub(crate) fn now(&self) -> i64 {
        self.app.clock.now().micros()
    }

    /// Seals, stores and applies changes. Returns the rows as they are in force.
    ///
    /// # Errors
    /// [`ChangeError`]; what was committed before is in force, the rest is not.
    pub(crate) async fn commit(&self, edits: Vec<Edited>) -> Result<Vec<Arc<Entity>>, ChangeError> {
        let mut done = Vec::with_capacity(edits.len());
        let mut edits = edits.into_iter().peekable();
        while edits.peek().is_some() {
            let some: Vec<Edited> = edits.by_ref().take(MOST_ROWS).collect();
            done.extend(self.commit_some(some).await?);
        }
        Ok(done)
    }

    /// As [`commit`](Self::commit), for one entity: gives its row.
    ///
    /// # Errors
    /// [`ChangeError`], when nothing of it is in force.
    pub(crate) async fn put(
        &self,
        action: Action,
        before: Option<Arc<Entity>>,
        after: Entity,
    ) -> Result<Arc<Entity>, ChangeError> {
        let edit = Edited {
            action,
            before,
            after,
        };
        let rows = self.commit_some(vec![edit]).await?;
        let row = rows.into_iter().next();
        row.ok_or_else(|| ChangeError::Form("the change left no row".to_owned()))
    }

    async fn commit_some(&self, edits: Vec<Edited>) -> Result<Vec<Arc<Entity>>, ChangeError> {
        let now = self.now();
        let form = |error: String| ChangeError::Form(error);
        let mut change = Change::default();
        let mut rows = Vec::with_capacity(edits.len());
        let mut sealed = Vec::with_capacity(edits.len());
        for edit in edits {
            let Edited {
                action,
                before,
                mut after,
            } = edit;
            let deleted = action == Action::Deleted;
            // Sealing it again would make good what somebody wrote into the database.
            if !deleted && before.as_ref().is_some_and(|row| row.damaged) {
                return Err(ChangeError::Damaged(after.kind.as_str().to_owned()));
            }
            let missing = deleted && self.app.identity.roll.is_missing(&self.app.digests, &after);
            let before_spend = before.as_ref().and_then(|row| row.spend);
            after.version = before.as_ref().map_or(0, |row| row.version) + 1;
            after.updated_at = now;
            after.updated_by = self.name().into();
            if before.is_none() {
                after.created_at = now;
                after.created_by = self.name().into();
            }
            let doc = serde_json::to_string(&after).map_err(|error| form(error.to_string()))?;
            let mut row = EntityRow {
                kind: after.kind.as_str().to_owned(),
                tenant: after.tenant.to_string(),
                id: after.id.to_string(),
                version: after.version,
                doc,
                mac: String::new(),
                deleted,
            };
            row.mac = self.app.identity.secrets.mac(&row);
            let before_doc = before
                .as_deref()
                .map(public_doc)
                .transpose()
                .map_err(form)?;
            let after_doc = if deleted {
                None
            } else {
                Some(public_doc(&after).map_err(form)?)
            };
            sealed.push(self.entry(
                &after,
                action,
                &row,
                before_doc.as_deref(),
                after_doc.as_deref(),
            ));
            change.audit.push(AuditRow {
                id: String::new(),
                at: now,
                tenant: row.tenant.clone(),
                changed_by: self.name().to_owned(),
                changed_by_key: self.by.key().map_or("master", |key| &key.id).to_owned(),
                action: action.as_str().to_owned(),
                table_name: after.kind.table().to_owned(),
                object_id: row.id.clone(),
                before_value: before_doc,
                updated_values: after_doc,
            });
            if !missing {
                change.rows.push(row);
            }
            let spend = after.spend.filter(|spend| before_spend != Some(*spend));
            after.damaged = false;
            rows.push(Applied {
                row: Arc::new(after),
                before,
                deleted,
                spend,
            });
        }
        let identity = &self.app.identity;
        let edits = rows
            .iter()
            .map(|done| (done.before.as_deref(), &*done.row, done.deleted));
        let next = identity
            .roll
            .next(&identity.secrets, &self.app.digests, edits);
        let next = next.map(|(next, row)| {
            change.rows.push(row);
            next
        });
        let Some(replicas) = identity.others() else {
            self.seal(&change, sealed, now).await?;
            if let Some(next) = next {
                identity.roll.commit(next);
            }
            return Ok(identity.put(rows));
        };
        let number = replicas
            .announce()
            .await
            .map_err(|error| ChangeError::Unshared(error.to_string()))?;
        let stored = match self.seal(&change, sealed, now).await {
            Ok(()) => change.rows,
            Err(error) => {
                // Whether it is stored is not known for every error: the others look.
                return Err(error);
            }
        };
        identity.tell_book(&rows, now).await;
        let put = identity.put(rows);
        replicas.told(number, stored).await;
        Ok(put)
    }

    /// What the record says about one entity: which, what was done, and commitments to what it was and is. Names and mail
    /// addresses stay out of the record; the audit log has them.
    fn entry(
        &self,
        row: &Entity,
        action: Action,
        stored: &EntityRow,
        before: Option<&str>,
        after: Option<&str>,
    ) -> Value {
        let digest = |text: &str| {
            let digest = self
                .app
                .digests
                .digest(&row.tenant, Purpose::Label, text.as_bytes());
            Value::from(digest.hex())
        };
        let mut entry = Object::new();
        entry.insert("action", action.as_str());
        entry.insert("after", after.map_or(Value::Null, digest));
        entry.insert("before", before.map_or(Value::Null, digest));
        entry.insert("kind", stored.kind.as_str());
        entry.insert("mac", stored.mac.as_str());
        let label = label(&self.app.digests, &stored.kind, &stored.tenant, &stored.id);
        entry.insert("object", label);
        entry.insert("version", stored.version);
        Value::Object(entry)
    }

    async fn seal(&self, change: &Change, sealed: Vec<Value>, now: i64) -> Result<(), ChangeError> {
        let app = self.app;
        let at = capsule::Timestamp::new(now);
        let mut env = Object::new();
        env.insert("boot", app.ledger_info.boot.as_ref());
        env.insert("changes", Value::Array(sealed));
        env.insert("event", "identity_change");
        env.insert("key_id", self.by.key().map_or("master", |key| &key.id));
        env.insert("ledger", app.ledger_info.id.as_ref());
        env.insert("observed", true);
        let count = change.audit.len();
        let capsule = Capsule {
            id: ids::call_id(now).map_err(|error| ChangeError::Form(error.to_string()))?,
            capsule_type: CapsuleType::Auth,
            domain: app.snapshot().config.domain.clone(),
            trigger: Trigger {
                trigger_type: "user_request".into(),
                source: "management".to_owned(),
                timestamp: at,
                ..Trigger::default()
            },
            context: Context {
                agent_id: app.ledger_info.host.to_string(),
                session_id: None,
                environment: env,
            },
            authority: Authority::default(),
            outcome: Outcome {
                status: "success".into(),
                summary: format!("{count} entities changed"),
                ..Outcome::default()
            },
            ..Capsule::default()
        };
        let draft = Draft::new(&capsule).map_err(|error| ChangeError::Form(error.to_string()))?;
        let attachment = change
            .encode()
            .map_err(|error| ChangeError::Form(error.to_string()))?;
        let receipt = app.ledger.append(draft, Some(attachment)).await;
        let sealed = receipt.map_err(|error| ChangeError::Ledger(error.to_string()))?;
        if sealed.quarantined {
            return Err(ChangeError::Ledger("the store refused it".to_owned()));
        }
        Ok(())
    }
}

impl Identity {
    /// Puts committed rows in force and wakes open streams.
    fn put(&self, rows: Vec<Applied>) -> Vec<Arc<Entity>> {
        self.directory
            .apply(rows.iter().map(|done| (done.row.clone(), done.deleted)));
        {
            let mut book = self.shelf.book();
            for done in &rows {
                let Some(object) = Tables::object(&done.row) else {
                    continue;
                };
                if done.deleted {
                    book.forget(&object);
                } else if let Some(spend) = done.spend {
                    book.set_spend(&object, spend.amount, spend.since);
                }
            }
        }
        self.changed
            .send_modify(|count| *count = count.wrapping_add(1));
        rows.into_iter().map(|done| done.row).collect()
    }
}

/// An entity as the audit log shows it: without digests of credentials.
fn public_doc(row: &Entity) -> Result<String, String> {
    let mut row = row.clone();
    if let Some(part) = row.key.as_deref_mut() {
        part.digest = Box::from("");
        part.old_digest = None;
    }
    serde_json::to_string(&row).map_err(|error| error.to_string())
}
