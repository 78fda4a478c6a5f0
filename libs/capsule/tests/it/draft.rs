//! Drafts: what is refused, and that the pieces fit together for every place in a chain.

use capsule::json::{Limits, Object, Value, parse};
use capsule::verify::{Keys, Record, verify};
use capsule::{
    Capsule, CapsuleType, DecisionOption, Draft, DraftError, Hash, MAX_DRAFT_DEPTH, PublicKey,
    SignError, Signer, Timestamp,
};

fn refused(change: impl FnOnce(&mut Capsule)) -> DraftError {
    let mut capsule = crate::sample();
    change(&mut capsule);
    Draft::new(&capsule).unwrap_err()
}

#[test]
fn what_the_reference_would_not_accept_is_not_drafted() {
    for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = refused(|it| drop(it.outcome.metrics.insert("x", vec![float])));
        assert_eq!(error, DraftError::NotFinite("outcome.metrics"));
        let error = refused(|it| it.reasoning.confidence = float);
        assert_eq!(error, DraftError::NotFinite("reasoning.confidence"));
    }
    for float in [-0.1, 1.000_000_1] {
        let error = refused(|it| it.reasoning.confidence = float);
        assert_eq!(error, DraftError::OutOfRange("reasoning.confidence"));
        let error = refused(|it| {
            it.reasoning.options.push(DecisionOption {
                feasibility: float,
                ..DecisionOption::default()
            });
        });
        assert_eq!(error, DraftError::OutOfRange("feasibility of an option"));
    }
    let error = refused(|it| it.domain = "é".repeat(51));
    assert_eq!(error.to_string(), "domain has more than 50 characters");
    let error = refused(|it| it.context.session_id = Some("s".repeat(37)));
    assert_eq!(
        error.to_string(),
        "context.session_id has more than 36 characters"
    );
    let long = parse("9".repeat(4301).as_bytes(), &Limits::default()).unwrap();
    let error = refused(|it| it.outcome.result = long);
    assert_eq!(error, DraftError::IntegerTooLong("outcome.result"));
}

#[test]
fn the_widest_values_are_drafted() {
    let mut capsule = crate::sample();
    capsule.domain = "é".repeat(50);
    capsule.context.session_id = Some("é".repeat(36));
    capsule.outcome.result = crate::read(&"9".repeat(4300));
    capsule.reasoning.confidence = 1.0;
    let sealed = crate::seal(&capsule, u64::MAX, Some(&Hash::of(b"")));
    let record = Record::from_json(&sealed.record_json()).unwrap();
    assert_eq!(record.sequence(), Some(u64::MAX));
    assert_eq!(record.model().unwrap(), capsule);
}

#[test]
fn depth_counts_the_document_itself() {
    // environment.a stands at level 3, inside the document, the context and the environment.
    let nested = |depth: usize| {
        let mut value = Value::from(1);
        for _ in 0..depth {
            value = Value::from(vec![value]);
        }
        value
    };
    let mut capsule = crate::sample();
    capsule
        .context
        .environment
        .insert("a", nested(MAX_DRAFT_DEPTH - 3));
    let sealed = crate::seal(&capsule, 0, None);
    let limits = |max_depth| Limits {
        max_depth,
        ..Limits::default()
    };
    assert!(parse(sealed.content(), &limits(MAX_DRAFT_DEPTH)).is_ok());
    assert!(parse(sealed.content(), &limits(MAX_DRAFT_DEPTH - 1)).is_err());
    let error = refused(|it| {
        drop(
            it.context
                .environment
                .insert("a", nested(MAX_DRAFT_DEPTH - 2)),
        )
    });
    assert_eq!(error, DraftError::TooDeep("context.environment"));
    let deep_map =
        (0..MAX_DRAFT_DEPTH).fold(Object::new(), |inner, _| Object::from([("a", inner)]));
    let error = refused(|it| it.authority.chain.push(deep_map));
    assert_eq!(error, DraftError::TooDeep("authority.chain"));
}

#[test]
fn every_place_gives_the_bytes_of_the_whole_document() {
    for sequence in [0, 1, 9, 10, 12_345, u64::MAX] {
        for previous in [None, Some(Hash::of(b"before"))] {
            let draft = Draft::new(&crate::sample()).unwrap();
            assert_eq!(draft.id(), crate::sample().id);
            assert_eq!(draft.session_id(), Some("session"));
            assert_eq!(draft.capsule_type(), CapsuleType::Agent);
            let linked = draft.link(sequence, previous.as_ref());
            assert_eq!(linked.sequence(), sequence);
            let sealed = linked.seal(&crate::key(), Timestamp::new(5)).unwrap();
            assert_eq!(Hash::of(sealed.content()), sealed.hash());
            let whole = sealed.record_json();
            let record = Record::from_json(&whole).unwrap();
            assert_eq!(record.record_json(), whole);
            assert_eq!(&*record.content(), sealed.content());
            assert_eq!(record.sequence(), Some(sequence));
            assert_eq!(
                record.previous_hash(),
                previous.map(|hash| hash.hex()).as_deref()
            );
            assert_eq!(
                record.seal().signed_at.as_deref(),
                Some("1970-01-01T00:00:00.000005+00:00")
            );
            assert_eq!(record.model().unwrap(), crate::sample());
            let _ = verify(&record, &Keys::explicit(&crate::public_key())).unwrap();
        }
    }
}

struct Broken;

impl Signer for Broken {
    fn sign(&self, _: &[u8]) -> Result<[u8; 64], SignError> {
        Err(SignError {
            reason: "the token was pulled".into(),
        })
    }

    fn public_key(&self) -> PublicKey {
        crate::public_key()
    }
}

#[test]
fn a_signer_that_fails_seals_nothing() {
    let linked = Draft::new(&crate::sample()).unwrap().link(0, None);
    let error = linked.seal(&Broken, Timestamp::new(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the record was not sealed: the signer failed: the token was pulled"
    );
}

#[test]
fn debug_output_shows_no_content() {
    let mut capsule = crate::sample();
    capsule.trigger.request = "confidential".into();
    let draft = Draft::new(&capsule).unwrap();
    let shown = format!("{draft:?}");
    let linked = draft.link(0, None);
    let shown = shown + &format!("{linked:?}");
    let sealed = linked.seal(&crate::key(), Timestamp::new(0)).unwrap();
    assert!(!(shown + &format!("{sealed:?}")).contains("confidential"));
}

#[test]
fn drafts_move_between_threads() {
    fn sendable<T: Send + Sync>() {}
    sendable::<Draft>();
    sendable::<capsule::Linked>();
    sendable::<capsule::Sealed>();
    sendable::<Record>();
    sendable::<Keys>();
}
