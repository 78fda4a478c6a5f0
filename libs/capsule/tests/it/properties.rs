//! Properties over generated values and records.

use capsule::canonical;
use capsule::chain::{ChainVerifier, Level};
use capsule::json::{Integer, Limits, Object, Value, parse};
use capsule::verify::{Keys, Record, verify, verify_content};
use capsule::{Capsule, CapsuleType, Draft, Hash, Id, Timestamp};
use proptest::prelude::*;

/// Any finite double, hard ones often.
pub(crate) fn float() -> impl Strategy<Value = f64> {
    let any_bits = any::<u64>().prop_map(f64::from_bits);
    let decimal =
        (any::<i32>(), -330..310_i32).prop_map(|(m, e)| format!("{m}e{e}").parse().unwrap());
    let short =
        (-100_000..100_000_i64, 0..8_u32).prop_map(|(m, e)| m as f64 / 10_f64.powi(e as i32));
    let powers = (0..64_u32, -2..3_i64).prop_map(|(e, d)| (1_u64 << e) as f64 + d as f64);
    prop_oneof![any_bits, decimal, short, powers].prop_filter("finite", |it: &f64| it.is_finite())
}

fn integer() -> impl Strategy<Value = Integer> {
    let big = "-?[1-9][0-9]{17,60}";
    prop_oneof![
        any::<i64>().prop_map(Integer::from),
        any::<i128>().prop_map(Integer::from),
        (-20..20_i64).prop_map(Integer::from),
        big.prop_map(|text| match parse(text.as_bytes(), &Limits::default()) {
            Ok(Value::Int(integer)) => integer,
            other => panic!("{other:?}"),
        }),
    ]
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    let characters = prop_oneof![
        any::<char>(),
        prop::char::range('\0', '\u{7f}'),
        prop::sample::select(vec![
            '"', '\\', '/', '\u{7f}', '\u{2028}', '\u{feff}', '\u{ffff}', '😀', '\u{e000}',
            '\u{301}'
        ]),
    ];
    prop_oneof![
        prop::collection::vec(characters, 0..24).prop_map(String::from_iter),
        "[a-z0-9 ]{0,40}",
        Just("x".repeat(500)),
    ]
}

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        integer().prop_map(Value::Int),
        float().prop_map(Value::Float),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((text(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

pub(crate) fn object() -> impl Strategy<Value = Object> {
    prop::collection::vec((text(), value()), 0..6).prop_map(|members| members.into_iter().collect())
}

pub(crate) fn record() -> impl Strategy<Value = Capsule> {
    let ids = (
        any::<[u8; 16]>(),
        prop::option::of(any::<[u8; 16]>()),
        0..8_usize,
    );
    let maps = (object(), object(), object(), value(), object());
    let texts = prop::collection::vec(text(), 8);
    let numbers = (0.0..=1.0_f64, any::<u32>(), any::<i64>(), 0..3_usize);
    (ids, maps, texts, numbers).prop_map(|(ids, maps, texts, numbers)| {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().unwrap();
        let mut capsule = crate::sample();
        capsule.id = Id::from_bytes(ids.0);
        capsule.parent_id = ids.1.map(Id::from_bytes);
        capsule.capsule_type = CapsuleType::ALL[ids.2];
        capsule.trigger.timestamp = Timestamp::new(numbers.2);
        capsule.trigger.request = text();
        capsule.trigger.trigger_type = text().into();
        capsule.trigger.user_id = Some(text());
        capsule.context.agent_id = text();
        capsule.context.environment = maps.0;
        capsule.reasoning.analysis = text();
        capsule.reasoning.confidence = numbers.0;
        let mut option = capsule.reasoning.options.pop().unwrap();
        option.description = text();
        option.estimated_impact = maps.1;
        option.feasibility = 1.0 - numbers.0;
        capsule.reasoning.options = vec![option; numbers.3];
        capsule.authority.chain.push(maps.2);
        capsule.execution.duration_ms = numbers.1.into();
        capsule.execution.tool_calls[0].result = maps.3;
        capsule.execution.tool_calls[0].tool = text();
        capsule.outcome.metrics = maps.4;
        capsule.outcome.summary = text();
        capsule
    })
}

fn keys() -> Keys {
    Keys::explicit(&crate::public_key())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_canonical_form_is_a_fixed_point(value in value()) {
        let once = canonical::to_vec(&value);
        let read = parse(&once, &Limits::default()).unwrap();
        prop_assert_eq!(&read, &value);
        prop_assert_eq!(canonical::to_vec(&read), once);
    }

    #[test]
    fn the_parser_agrees_with_serde_json(value in value()) {
        let text = canonical::to_vec(&value);
        let other: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let again = serde_json::to_vec_pretty(&other).unwrap();
        let read = parse(&again, &Limits::default()).unwrap();
        // serde_json turns large integers into floats; strings and structure must survive.
        prop_assert_eq!(shape(&read), shape(&value));
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(value) = parse(&bytes, &Limits::default()) {
            let accepted = serde_json::from_slice::<serde_json::Value>(&bytes).is_ok();
            prop_assert!(accepted, "{:?}", value);
        }
    }

    #[test]
    fn json_like_bytes_are_parsed_as_serde_json_does(text in r#"[\[\]{}:, "a0-9.eE+\\u-]{0,24}"#) {
        let ours = parse(text.as_bytes(), &Limits::default());
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
    }

    #[test]
    fn floats_read_back_as_they_were(float in float()) {
        let mut text = Vec::new();
        canonical::write_f64(float, &mut text);
        let text = String::from_utf8(text).unwrap();
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), float.to_bits());
        prop_assert_eq!(crate::read(&text), Value::Float(float));
    }

    #[test]
    fn records_survive_sealing_and_reading(capsule in record(), sequence in any::<u64>()) {
        let previous = Hash::of(b"previous");
        let sealed = crate::seal(&capsule, sequence, Some(&previous));
        let record = Record::from_json(&sealed.record_json()).unwrap();
        prop_assert_eq!(record.not_normal_form(), None);
        let _ = verify(&record, &keys()).unwrap();
        prop_assert_eq!(record.model().unwrap(), capsule);
        prop_assert_eq!(record.record_json(), sealed.record_json());
        let row = Record::from_row(sealed.content(), record.seal().clone()).unwrap();
        prop_assert_eq!(row.record_json(), sealed.record_json());
        let value = crate::read(std::str::from_utf8(sealed.content()).unwrap());
        prop_assert_eq!(canonical::to_vec(&value), sealed.content());
        let report = capsule::validate::validate(&value, Some(&sealed.hash().hex()), true);
        prop_assert!(report.ok, "{:?}", report);
    }

    #[test]
    fn any_changed_byte_of_the_content_is_caught(
        capsule in record(),
        at in any::<prop::sample::Index>(),
        xor in 1..=255_u8,
    ) {
        let sealed = crate::seal(&capsule, 0, None);
        let mut text = sealed.content().to_vec();
        let at = at.index(text.len());
        text[at] ^= xor;
        let record = Record::from_json(&sealed.record_json()).unwrap();
        // The text is no record any more, or its hash is another.
        if let Ok(changed) = Record::from_row(&text, record.seal().clone()) {
            prop_assert!(changed.content() == record.content() || verify_content(&changed).is_err());
            prop_assert!(changed.document() == record.document() || verify(&changed, &keys()).is_err());
        }
    }

    #[test]
    fn any_changed_byte_of_the_seal_is_caught_at_its_level(
        place in 0..64_usize,
        digit in "[0-9a-f]",
        record_at in 0..3_usize,
    ) {
        let chain = crate::sealed_chain(3);
        let records: Vec<Record> = chain
            .iter()
            .map(|sealed| Record::from_json(&sealed.record_json()).unwrap())
            .collect();
        let with = |change: &dyn Fn(&mut capsule::verify::Seal)| {
            let mut records = records.clone();
            let mut seal = records[record_at].seal().clone();
            change(&mut seal);
            let changed = seal != *records[record_at].seal();
            let content = records[record_at].content().into_owned();
            records[record_at] = Record::from_row(&content, seal).unwrap();
            (changed, records)
        };
        let passes = |records: &[Record], level| {
            let mut chain = ChainVerifier::new(level, keys());
            records.iter().all(|record| chain.push(record).is_ok())
        };
        let (changed, hashed) = with(&|seal| seal.hash.replace_range(place..=place, &digit));
        // The last record's hash has no successor that links to it.
        prop_assert_eq!(passes(&hashed, Level::Structural), !changed || record_at == 2);
        prop_assert_eq!(passes(&hashed, Level::Full), !changed);
        let (changed, signed) = with(&|seal| seal.signature.replace_range(place..=place, &digit));
        prop_assert!(passes(&signed, Level::Full));
        prop_assert_eq!(passes(&signed, Level::Signatures), !changed);
    }

    #[test]
    fn timestamps_survive_writing_and_reading(micros in any::<i64>()) {
        let time = Timestamp::new(micros);
        prop_assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
    }

    #[test]
    fn drafts_refuse_or_seal_what_verifies(confidence in any::<f64>(), domain in text()) {
        let mut capsule = crate::sample();
        capsule.reasoning.confidence = confidence;
        capsule.domain = domain.clone();
        let accepted = (0.0..=1.0).contains(&confidence) && domain.chars().count() <= 50;
        prop_assert_eq!(Draft::new(&capsule).is_ok(), accepted);
    }
}

/// The structure of a value and its strings, without its numbers.
fn shape(value: &Value) -> Value {
    match value {
        Value::Int(_) | Value::Float(_) => Value::from(0),
        Value::Array(items) => Value::Array(items.iter().map(shape).collect()),
        Value::Object(object) => Value::Object(
            object
                .iter()
                .map(|(key, value)| (key.to_owned(), shape(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}
