//! The records that the ledger makes itself: genesis, boots, recovery, and stand-ins for calls that
//! nobody could settle.

use capsule::{Capsule, CapsuleType, Draft, Hash, Id, PublicKey, Timestamp, json};

use crate::{
    clock::Clock,
    error::LedgerError,
    ids::new_id,
    journal::{Chain, UnclosedBoot},
    options::Options,
    work::Subject,
};

/// Who writes: the parts of `context.environment` that every governed record carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Ledger id, given at creation.
    pub ledger: Id,
    /// Id of this run of the process.
    pub boot: Id,
}

/// What a record of the ledger itself reports (`context.environment.event`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The first record.
    Genesis,
    /// A process started to write.
    Boot,
    /// A process ended in order.
    Shutdown,
    /// A process that had died was closed.
    Recovery,
    /// A call that a dead process left open.
    Recovered,
    /// A call whose owner went away without settling it.
    Abandoned,
    /// A record that could not be stored as it was.
    Quarantined,
    /// The newest checkpoint and the records disagreed and an operator accepted the records.
    Adopt,
    /// Configuration took effect.
    ConfigChange,
    /// The signing key changed.
    KeyRotation,
    /// Refused calls, summed up.
    Refusals,
}

impl Event {
    /// The name in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Event::Genesis => "genesis",
            Event::Boot => "boot",
            Event::Shutdown => "shutdown",
            Event::Recovery => "recovery",
            Event::Recovered => "recovered",
            Event::Abandoned => "abandoned",
            Event::Quarantined => "quarantined",
            Event::Adopt => "adopt",
            Event::ConfigChange => "config_change",
            Event::KeyRotation => "key_rotation",
            Event::Refusals => "refusals",
        }
    }
}

/// A `system` record with id, time and the environment every record of this ledger has; the caller
/// adds what the event is about.
///
/// # Errors
/// When there are no random bytes for its id.
pub fn record(
    event: Event,
    identity: &Identity,
    at: Timestamp,
    domain: &str,
) -> Result<Capsule, LedgerError> {
    let mut capsule = Capsule {
        id: new_id(at)?,
        capsule_type: CapsuleType::System,
        domain: domain.to_owned(),
        ..Capsule::default()
    };
    capsule.trigger.trigger_type = "system".into();
    capsule.trigger.source = "sealgate".to_owned();
    capsule.trigger.timestamp = at;
    capsule.context.agent_id = "sealgate".to_owned();
    capsule.outcome.status = "success".into();
    let environment = &mut capsule.context.environment;
    environment.insert("boot", identity.boot.to_string());
    environment.insert("event", event.as_str());
    environment.insert("ledger", identity.ledger.to_string());
    environment.insert("observed", true);
    Ok(capsule)
}

/// Builds the ledger's own records.
pub(crate) struct Scribe {
    pub(crate) identity: Identity,
    pub(crate) domain: String,
    pub(crate) version: String,
}

impl Scribe {
    pub(crate) fn new(identity: Identity, options: &Options) -> Scribe {
        Scribe {
            identity,
            domain: options.domain.clone(),
            version: options.version.clone(),
        }
    }

    fn record(&self, event: Event, at: Timestamp) -> Result<Capsule, LedgerError> {
        record(event, &self.identity, at, &self.domain)
    }

    /// `nonce` makes two ledgers with the same keys differ from their first hash on.
    pub(crate) fn genesis(
        &self,
        chain: &Chain,
        nonce: &Id,
        key: &PublicKey,
        checkpoint_key: &PublicKey,
        at: Timestamp,
    ) -> Result<Draft, LedgerError> {
        let mut capsule = self.record(Event::Genesis, at)?;
        let environment = &mut capsule.context.environment;
        environment.insert("checkpoint_key", checkpoint_key.hex());
        environment.insert("nonce", nonce.to_string());
        environment.insert("public_key", key.hex());
        environment.insert("tenant", chain.tenant().to_owned());
        capsule.outcome.summary = "ledger created".to_owned();
        draft(&capsule)
    }

    pub(crate) fn boot(&self, at: Timestamp) -> Result<Draft, LedgerError> {
        let mut capsule = self.record(Event::Boot, at)?;
        capsule
            .context
            .environment
            .insert("version", self.version.clone());
        capsule.outcome.summary = "started".to_owned();
        draft(&capsule)
    }

    pub(crate) fn shutdown(&self, last_intent: u64, at: Timestamp) -> Result<Draft, LedgerError> {
        let mut capsule = self.record(Event::Shutdown, at)?;
        capsule
            .context
            .environment
            .insert("last_intent", last_intent);
        capsule.outcome.summary = "stopped; every call of this boot is settled".to_owned();
        draft(&capsule)
    }

    /// Closes a boot whose process died: how far its numbers went and which calls were sealed for it.
    pub(crate) fn recovery(
        &self,
        boot: &UnclosedBoot,
        recovered: &[u64],
        at: Timestamp,
    ) -> Result<Draft, LedgerError> {
        let mut capsule = self.record(Event::Recovery, at)?;
        let environment = &mut capsule.context.environment;
        environment.insert("closed_boot", boot.id.to_string());
        environment.insert("last_intent", boot.last_intent);
        let numbers = recovered
            .iter()
            .map(|number| json::Value::from(*number))
            .collect::<Vec<_>>();
        environment.insert("recovered", numbers);
        capsule.outcome.summary = format!("closed a boot; {} calls were open", recovered.len());
        draft(&capsule)
    }

    pub(crate) fn adopt(
        &self,
        gap: &crate::adopt::Gap,
        at: Timestamp,
    ) -> Result<Draft, LedgerError> {
        let mut capsule = self.record(Event::Adopt, at)?;
        let environment = &mut capsule.context.environment;
        environment.insert("gap", gap.kind.as_str());
        environment.insert("records", gap.records);
        if let Some((size, root)) = &gap.checkpoint {
            environment.insert("checkpoint_root", root.hex());
            environment.insert("checkpoint_size", *size);
        }
        environment.insert("reason", gap.reason.clone());
        capsule.outcome.summary =
            "records adopted although the newest checkpoint differs".to_owned();
        draft(&capsule)
    }

    pub(crate) fn rotation(
        &self,
        rotation: &crate::rotate::Rotation,
        signature: &[u8; 64],
        at: Timestamp,
    ) -> Result<Draft, LedgerError> {
        let mut capsule = self.record(Event::KeyRotation, at)?;
        let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        let environment = &mut capsule.context.environment;
        environment.insert("new_key_signature", hex);
        environment.insert("new_public_key", rotation.new.hex());
        environment.insert("old_public_key", rotation.old.hex());
        capsule.outcome.summary = "the signing key changed".to_owned();
        draft(&capsule)
    }

    /// A record that says only that a call took place and that its outcome is unknown.
    pub(crate) fn unknown(
        &self,
        event: Event,
        subject: Option<&Subject>,
        id: Id,
        digest: Option<&Hash>,
        at: Timestamp,
    ) -> Result<Capsule, LedgerError> {
        let mut capsule = self.record(event, at)?;
        capsule.id = id;
        if let Some(subject) = subject {
            capsule.capsule_type = CapsuleType::Chat;
            capsule.trigger.trigger_type = "user_request".into();
            capsule.trigger.timestamp = subject.opened_at;
            self.claim(&mut capsule, event, subject);
        }
        if let Some(digest) = digest {
            capsule
                .context
                .environment
                .insert("quarantined", digest.hex());
        }
        capsule.outcome.status = "unknown".into();
        capsule.outcome.summary = format!("outcome unknown: {}", event.as_str());
        Ok(capsule)
    }

    /// Ties a record to its intent, whoever built the record.
    pub(crate) fn claim(&self, capsule: &mut Capsule, event: Event, subject: &Subject) {
        let environment = &mut capsule.context.environment;
        environment.insert("boot", subject.boot.to_string());
        environment.insert("event", event.as_str());
        environment.insert("intent", subject.number);
        environment.insert("ledger", self.identity.ledger.to_string());
        environment.insert("observed", true);
        if capsule.id != subject.id {
            environment.insert("call", subject.id.to_string());
        }
    }
}

pub(crate) fn draft(capsule: &Capsule) -> Result<Draft, LedgerError> {
    Draft::new(capsule).map_err(|error| LedgerError::Record(error.to_string()))
}

/// A new random id for a boot, ledger or nonce.
pub(crate) fn fresh(clock: &dyn Clock) -> Result<Id, LedgerError> {
    Ok(new_id(clock.now())?)
}
