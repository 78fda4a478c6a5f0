//! Which records somebody wants.

use capsule::Timestamp;
use capsule::json::{Object, Value};
use capsule::verify::Record;

use crate::capsule_cli::args;

/// What a record must be to be chosen; everything that is named must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Fields and the text that they must hold, in the order of [`FIELDS`].
    texts: Vec<(&'static str, String)>,
    /// Without records whose person does not want analytics.
    for_analytics: bool,
    /// First moment, as given and as time.
    since: Option<(String, Timestamp)>,
    /// The moment after the last one.
    until: Option<(String, Timestamp)>,
}

/// Names of the text filters and the fields that they look at.
const FIELDS: [(&str, &[&str]); 4] = [
    ("agent", &["context", "agent_id"]),
    ("domain", &["domain"]),
    ("key", &["context", "environment", "key_id"]),
    ("tenant", &["context", "environment", "tenant"]),
];

impl Filter {
    /// The filter of the command line.
    ///
    /// # Errors
    /// A sentence, when a time is none.
    pub fn of(arguments: &args::Filter) -> Result<Filter, String> {
        let given = [
            ("agent", &arguments.agent),
            ("domain", &arguments.domain),
            ("key", &arguments.key),
            ("tenant", &arguments.tenant),
        ];
        let texts = given
            .into_iter()
            .filter_map(|(name, text)| Some((name, text.clone()?)));
        Ok(Filter {
            texts: texts.collect(),
            for_analytics: arguments.for_analytics,
            since: time("--since", arguments.since.as_deref())?,
            until: time("--until", arguments.until.as_deref())?,
        })
    }

    /// Whether every record passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// Whether the record is one of those that are wanted. The time is that of its trigger.
    #[must_use]
    pub fn takes(&self, record: &Record) -> bool {
        let texts = self.texts.iter().all(|(name, text)| {
            let path = FIELDS.iter().find(|(known, _)| known == name);
            path.is_some_and(|(_, path)| field(record.document(), path) == Some(text))
        });
        if self.for_analytics && !wants_analytics(record.document()) {
            return false;
        }
        if !texts || (self.since.is_none() && self.until.is_none()) {
            return texts;
        }
        let at = field(record.document(), &["trigger", "timestamp"]).and_then(moment);
        at.is_some_and(|at| {
            self.since.as_ref().is_none_or(|(_, since)| at >= *since)
                && self.until.as_ref().is_none_or(|(_, until)| at < *until)
        })
    }

    /// The filter as a bundle holds it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        if self.is_empty() {
            return Value::Null;
        }
        let mut object = Object::new();
        for (name, text) in &self.texts {
            object.insert(*name, text);
        }
        if self.for_analytics {
            object.insert("for", "analytics");
        }
        for (name, time) in [("since", &self.since), ("until", &self.until)] {
            if let Some((text, _)) = time {
                object.insert(name, text);
            }
        }
        Value::Object(object)
    }

    /// The filter that a bundle holds.
    ///
    /// # Errors
    /// A sentence, when it is none of ours.
    pub fn of_value(value: Option<&Value>) -> Result<Filter, String> {
        let mut filter = Filter::default();
        let members = match value {
            None | Some(Value::Null) => return Ok(filter),
            Some(value) => value.as_object().ok_or("the filter is not an object")?,
        };
        for (name, value) in members.iter() {
            let text = value
                .as_str()
                .ok_or_else(|| format!("the filter {name} is not a string"))?;
            match FIELDS.iter().find(|(known, _)| *known == name) {
                Some((known, _)) => filter.texts.push((known, text.to_owned())),
                None if name == "for" && text == "analytics" => filter.for_analytics = true,
                None if name == "since" => filter.since = time("since", Some(text))?,
                None if name == "until" => filter.until = time("until", Some(text))?,
                None => return Err(format!("{name:?} is no filter")),
            }
        }
        Ok(filter)
    }
}

/// What nobody said anything about is wanted, as far as anybody knows.
fn wants_analytics(document: &Value) -> bool {
    let environment = document.get("context").and_then(|it| it.get("environment"));
    environment.and_then(|it| it.get("analytics")) != Some(&Value::Bool(false))
}

fn field<'a>(document: &'a Value, path: &[&str]) -> Option<&'a str> {
    let mut value = document;
    for key in path {
        value = value.get(key)?;
    }
    value.as_str()
}

/// A time with an offset, or a day, which stands for its beginning in UTC.
fn moment(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text)
        .or_else(|_| Timestamp::parse(&format!("{text}T00:00:00+00:00")))
        .ok()
}

fn time(name: &str, text: Option<&str>) -> Result<Option<(String, Timestamp)>, String> {
    let Some(text) = text else { return Ok(None) };
    let at = moment(text).ok_or_else(|| {
        format!("{name} {text}: write a day (2026-03-01) or a time with its offset (2026-03-01T08:00:00+00:00)")
    })?;
    Ok(Some((text.to_owned(), at)))
}

#[cfg(test)]
mod tests {
    use capsule::json::{Limits, parse};

    use super::*;

    fn record(agent: &str, at: &str) -> Record {
        let capsule = capsule::Capsule {
            context: capsule::Context {
                agent_id: agent.to_owned(),
                ..capsule::Context::default()
            },
            trigger: capsule::Trigger {
                timestamp: Timestamp::parse(at).unwrap(),
                ..capsule::Trigger::default()
            },
            ..capsule::Capsule::default()
        };
        let key = capsule::SigningKey::from_seed([1; 32]);
        let linked = capsule::Draft::new(&capsule).unwrap().link(0, None);
        let sealed = linked.seal(&key, Timestamp::new(0)).unwrap();
        Record::from_json(&sealed.record_json()).unwrap()
    }

    #[test]
    fn a_day_is_its_beginning_and_until_leaves_its_own_moment_out() {
        let filter = Filter::of(&args::Filter {
            agent: Some("a".to_owned()),
            since: Some("2026-03-01".to_owned()),
            until: Some("2026-03-02".to_owned()),
            ..args::Filter::default()
        })
        .unwrap();
        for (agent, at, taken) in [
            ("a", "2026-03-01T00:00:00+00:00", true),
            ("a", "2026-03-01T23:59:59.999999+00:00", true),
            ("a", "2026-03-02T00:00:00+00:00", false),
            ("a", "2026-02-28T23:59:59+00:00", false),
            ("b", "2026-03-01T12:00:00+00:00", false),
        ] {
            assert_eq!(filter.takes(&record(agent, at)), taken, "{agent} {at}");
        }
        assert_eq!(Filter::of_value(Some(&filter.to_value())), Ok(filter));
    }

    #[test]
    fn who_does_not_want_analytics_is_left_out_of_an_export_for_it() {
        let filter = Filter::of(&args::Filter {
            for_analytics: true,
            ..args::Filter::default()
        })
        .unwrap();
        let taken = [None, Some(true), Some(false)].map(|wish| {
            let mut environment = Object::new();
            if let Some(wish) = wish {
                environment.insert("analytics", wish);
            }
            let capsule = capsule::Capsule {
                context: capsule::Context {
                    environment,
                    ..capsule::Context::default()
                },
                ..capsule::Capsule::default()
            };
            let key = capsule::SigningKey::from_seed([1; 32]);
            let linked = capsule::Draft::new(&capsule).unwrap().link(0, None);
            let sealed = linked.seal(&key, Timestamp::new(0)).unwrap();
            filter.takes(&Record::from_json(&sealed.record_json()).unwrap())
        });
        assert_eq!(taken, [true, true, false]);
        assert_eq!(Filter::of_value(Some(&filter.to_value())), Ok(filter));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["yesterday", "2026-13-01", "2026-03-01T08:00:00"] {
            let arguments = args::Filter {
                since: Some(text.to_owned()),
                ..args::Filter::default()
            };
            assert!(Filter::of(&arguments).is_err(), "{text}");
        }
        let unknown = parse(br#"{"colour":"red"}"#, &Limits::default()).unwrap();
        assert!(Filter::of_value(Some(&unknown)).is_err());
        assert_eq!(Filter::of_value(Some(&Value::Null)), Ok(Filter::default()));
    }
}
