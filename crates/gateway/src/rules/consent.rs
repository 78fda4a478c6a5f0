//! What consent a call has: the registry's word, then the caller's. Each can say no; only the registry's yes always counts.

use policy::identity::{Entity, Grant};
use policy::rules::Facts;

use super::{DAY, NEVER};
use crate::config::ConsentSettings;

/// What the request claims.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    /// By name; a name may come twice, and then no wins.
    pub(super) given: Vec<(String, bool)>,
    /// Days since `consent_date`; [`NEVER`] without one.
    pub(super) age: i64,
}

impl Claims {
    fn of(&self, name: &str) -> Option<bool> {
        let said = self.given.iter().filter(|(known, _)| known == name);
        said.map(|(_, given)| *given).reduce(|a, b| a && b)
    }
}

/// Fills the facts of consent for the call's purpose. `row`: what the registry has of the person, at the instant `at`.
pub(super) fn fill(
    facts: &mut Facts,
    settings: &ConsentSettings,
    row: Option<&Entity>,
    claims: &Claims,
    at: i64,
) {
    let fresh = |days: i64| {
        let most = settings.max_age_days;
        most.is_none_or(|most| u64::try_from(days).is_ok_and(|days| days <= most))
    };
    let age_of = |grant: &Grant| at.saturating_sub(grant.at).max(0).div_euclid(DAY);
    let damaged = row.is_some_and(|row| row.damaged);
    let part = row.and_then(|row| row.consent.as_deref());
    let registered = |name: &str| part.and_then(|part| part.of(name));
    let given = |name: &str| {
        let claim = claims.of(name);
        match registered(name) {
            // Nobody knows what it said.
            _ if damaged => false,
            Some(grant) => grant.given && claim != Some(false) && fresh(age_of(grant)),
            None => claim == Some(true) && !settings.registry_required && fresh(claims.age),
        }
    };
    let mut names: Vec<&str> = claims.given.iter().map(|(name, _)| name.as_str()).collect();
    let known = part.into_iter().flat_map(|part| part.purposes.keys());
    names.extend(known.map(|name| &**name).filter(|name| *name != "*"));
    names.sort_unstable();
    names.dedup();
    facts.consent = names
        .into_iter()
        .map(|name| (name.to_owned(), given(name)))
        .collect();
    facts.consent_age_days = claims.age;
    facts.consent_source = "none".to_owned();
    let purpose = facts.purpose.clone();
    if damaged {
        facts.consent_source = "registry".to_owned();
        facts.consent_withdrawn = true;
        return;
    }
    if purpose.is_empty() {
        return;
    }
    let claim = claims.of(&purpose);
    facts.consented = given(&purpose);
    facts.consent_withdrawn = claim == Some(false);
    if claim.is_some() {
        facts.consent_source = "claim".to_owned();
    }
    if let Some(grant) = registered(&purpose) {
        facts.consent_source = "registry".to_owned();
        facts.consent_withdrawn |= !grant.given;
        facts.consent_age_days = if grant.given { age_of(grant) } else { NEVER };
        facts.notice = grant.notice.as_deref().unwrap_or_default().to_owned();
        facts.notice_language = grant.language.as_deref().unwrap_or_default().to_owned();
        let current = settings.current(&purpose);
        facts.notice_current =
            grant.given && current == grant.notice.as_deref() && current.is_some();
    }
}

#[cfg(test)]
mod tests {
    use policy::identity::{ConsentPart, Kind};

    use super::*;
    use crate::config::Notice;

    const NOW: i64 = 1_000 * DAY;

    fn grant(given: bool, days: i64, notice: Option<&str>) -> Grant {
        Grant {
            given,
            at: NOW - days * DAY,
            notice: notice.map(Box::from),
            language: notice.map(|_| Box::from("en")),
        }
    }

    fn row(purposes: &[(&str, Grant)]) -> Entity {
        Entity {
            kind: Kind::Consent,
            consent: Some(Box::new(ConsentPart {
                subject: "end_user".into(),
                purposes: purposes
                    .iter()
                    .map(|(name, grant)| ((*name).into(), grant.clone()))
                    .collect(),
            })),
            ..Entity::default()
        }
    }

    fn claims(given: &[(&str, bool)], age: i64) -> Claims {
        Claims {
            given: given.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect(),
            age,
        }
    }

    fn facts(settings: &ConsentSettings, row: Option<&Entity>, claims: &Claims) -> Facts {
        let mut facts = Facts {
            purpose: "support".to_owned(),
            ..Facts::default()
        };
        fill(&mut facts, settings, row, claims, NOW);
        facts
    }

    #[test]
    fn the_registry_wins_over_the_word_of_the_caller() {
        let settings = ConsentSettings::default();
        let withdrawn = row(&[("support", grant(false, 1, None))]);
        let found = facts(
            &settings,
            Some(&withdrawn),
            &claims(&[("support", true)], 2),
        );
        assert!(!found.consented && found.consent_withdrawn);
        assert_eq!(found.consent_source, "registry");
        assert_eq!(found.consent, [("support".to_owned(), false)]);
        let given = row(&[("support", grant(true, 3, None))]);
        let found = facts(&settings, Some(&given), &claims(&[], NEVER));
        assert!(found.consented && !found.consent_withdrawn);
        assert_eq!(found.consent_age_days, 3);
    }

    #[test]
    fn a_caller_can_always_say_no() {
        let given = row(&[("support", grant(true, 3, None))]);
        for claimed in [
            claims(&[("support", false)], 1),
            claims(&[("support", true), ("support", false)], 1),
        ] {
            let found = facts(&ConsentSettings::default(), Some(&given), &claimed);
            assert!(!found.consented && found.consent_withdrawn);
        }
    }

    #[test]
    fn a_claim_counts_where_the_registry_is_optional() {
        let claimed = claims(&[("support", true), ("analytics", true)], 2);
        let found = facts(&ConsentSettings::default(), None, &claimed);
        assert!(found.consented);
        assert_eq!(
            (found.consent_source.as_str(), found.consent_age_days),
            ("claim", 2)
        );
        let required = ConsentSettings {
            registry_required: true,
            ..ConsentSettings::default()
        };
        let found = facts(&required, None, &claimed);
        assert!(!found.consented && !found.consent_withdrawn);
        assert!(found.consent.iter().all(|(_, given)| !given));
    }

    #[test]
    fn an_old_consent_and_one_without_a_date_do_not_count() {
        let settings = ConsentSettings {
            max_age_days: Some(365),
            ..ConsentSettings::default()
        };
        for (claim_age, registered, counts) in [
            (365, None, true),
            (366, None, false),
            (NEVER, None, false),
            (NEVER, Some(365), true),
            (0, Some(366), false),
        ] {
            let row = registered.map(|days| row(&[("support", grant(true, days, None))]));
            let claimed = claims(&[("support", true)], claim_age);
            let found = facts(&settings, row.as_ref(), &claimed);
            assert_eq!(found.consented, counts, "{claim_age} {registered:?}");
        }
    }

    #[test]
    fn withdrawing_everything_covers_purposes_that_nobody_named() {
        let all = row(&[
            ("*", grant(false, 1, None)),
            ("billing", grant(true, 0, None)),
        ]);
        let claimed = claims(&[("support", true), ("billing", true)], 0);
        let found = facts(&ConsentSettings::default(), Some(&all), &claimed);
        assert!(!found.consented && found.consent_withdrawn);
        let map: Vec<(&str, bool)> = found
            .consent
            .iter()
            .map(|(n, v)| (n.as_str(), *v))
            .collect();
        assert_eq!(map, [("billing", true), ("support", false)]);
    }

    #[test]
    fn the_notice_must_be_the_one_in_force() {
        let notice = |version: &str| Notice {
            purpose: "support".to_owned(),
            version: version.to_owned(),
            language: "en".to_owned(),
            text: "text".to_owned(),
            digest: String::new(),
        };
        let settings = ConsentSettings {
            notices: vec![notice("1"), notice("2")],
            ..ConsentSettings::default()
        };
        for (shown, current) in [(Some("2"), true), (Some("1"), false), (None, false)] {
            let row = row(&[("support", grant(true, 1, shown))]);
            let found = facts(&settings, Some(&row), &claims(&[], NEVER));
            assert_eq!(found.notice_current, current, "{shown:?}");
            assert_eq!(found.notice, shown.unwrap_or_default());
        }
        // Without a notice for the purpose none is in force.
        let row = row(&[("support", grant(true, 1, None))]);
        let found = facts(&ConsentSettings::default(), Some(&row), &claims(&[], NEVER));
        assert!(!found.notice_current);
    }

    #[test]
    fn a_row_that_was_changed_behind_our_back_is_no_consent() {
        let mut broken = row(&[("support", grant(true, 1, None))]);
        broken.damaged = true;
        let found = facts(
            &ConsentSettings::default(),
            Some(&broken),
            &claims(&[("support", true)], 0),
        );
        assert!(!found.consented && found.consent_withdrawn);
    }
}
