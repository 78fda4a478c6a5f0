//! Who a key stands for, and what its calls count against.

use std::sync::Arc;

use super::{Directory, Entity, KeyPart, Kind, Role, TeamPart, UserPart};
use crate::auth::AuthError;
use crate::budget::{Caps, ObjectKind};
use crate::money::MicroUsd;

const NOW: i64 = 1_000;

fn digest(seed: u8) -> [u8; 32] {
    [seed; 32]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(seed: u8) -> Entity {
    let digest = digest(seed);
    Entity {
        id: hex(&digest[..16]).into(),
        key: Some(Box::new(KeyPart {
            digest: hex(&digest).into(),
            name: "sk-...abcd".into(),
            ..KeyPart::default()
        })),
        ..Entity::default()
    }
}

fn part(row: &mut Entity) -> &mut KeyPart {
    row.key.as_mut().unwrap()
}

fn with(rows: Vec<Entity>) -> Directory {
    let directory = Directory::default();
    directory.apply(rows.into_iter().map(|row| (Arc::new(row), false)));
    directory
}

fn other(kind: Kind, id: &str) -> Entity {
    Entity {
        kind,
        id: id.into(),
        ..Entity::default()
    }
}

fn user(id: &str, role: Role) -> Entity {
    Entity {
        person: Some(Box::new(UserPart {
            role,
            ..UserPart::default()
        })),
        ..other(Kind::User, id)
    }
}

#[test]
fn a_key_is_found_by_its_whole_digest_only() {
    let directory = with(vec![key(1)]);
    let caller = directory.authenticate(&digest(1), NOW, None).unwrap();
    assert_eq!(caller.key_id().as_str(), "01010101010101010101010101010101");
    assert!(!caller.is_master());
    let mut half = digest(1);
    half[31] = 0;
    assert_eq!(
        directory.authenticate(&half, NOW, None).unwrap_err(),
        AuthError::Unknown
    );
}

#[test]
fn what_is_blocked_gone_or_damaged_lets_nobody_in() {
    let check = |rows: Vec<Entity>, expected: Result<(), AuthError>| {
        let got = with(rows).authenticate(&digest(1), NOW, None).map(drop);
        assert_eq!(got, expected);
    };
    let in_team = || Entity {
        team: Some("t".into()),
        ..key(1)
    };
    let owned = || Entity {
        user: Some("u".into()),
        ..key(1)
    };
    let minted = || {
        let mut row = key(1);
        part(&mut row).minted_by = Some("u".into());
        row
    };
    let expiring = |at| {
        let mut row = key(1);
        part(&mut row).expires = Some(at);
        row
    };
    check(
        vec![Entity {
            blocked: true,
            ..key(1)
        }],
        Err(AuthError::Blocked),
    );
    check(
        vec![Entity {
            damaged: true,
            ..key(1)
        }],
        Err(AuthError::Blocked),
    );
    check(vec![expiring(NOW)], Err(AuthError::Expired));
    check(vec![expiring(NOW + 1)], Ok(()));
    check(vec![in_team()], Err(AuthError::TeamBlocked));
    check(vec![in_team(), other(Kind::Team, "t")], Ok(()));
    check(
        vec![
            in_team(),
            Entity {
                blocked: true,
                ..other(Kind::Team, "t")
            },
        ],
        Err(AuthError::TeamBlocked),
    );
    check(
        vec![
            in_team(),
            Entity {
                organization: Some("o".into()),
                ..other(Kind::Team, "t")
            },
        ],
        Err(AuthError::Blocked),
    );
    check(vec![owned()], Ok(()));
    check(
        vec![
            owned(),
            Entity {
                blocked: true,
                ..user("u", Role::ProxyAdmin)
            },
        ],
        Err(AuthError::Blocked),
    );
    check(vec![minted()], Err(AuthError::Blocked));
    check(vec![minted(), user("u", Role::InternalUser)], Ok(()));
    check(
        vec![Entity {
            tenant: "acme".into(),
            ..key(1)
        }],
        Err(AuthError::Blocked),
    );
    check(
        vec![
            Entity {
                tenant: "acme".into(),
                ..key(1)
            },
            other(Kind::Tenant, "acme"),
        ],
        Ok(()),
    );
}

#[test]
fn addresses_are_compared_with_the_keys_ranges() {
    let mut row = key(1);
    part(&mut row).allowed_addresses = vec!["10.0.0.0/8".parse().unwrap()].into();
    let directory = with(vec![row]);
    let from = |text: Option<&str>| {
        let address = text.map(|text| text.parse().unwrap());
        directory.authenticate(&digest(1), NOW, address).map(drop)
    };
    assert_eq!(from(Some("10.1.2.3")), Ok(()));
    assert_eq!(from(Some("11.1.2.3")), Err(AuthError::AddressNotAllowed));
    assert_eq!(from(None), Err(AuthError::AddressNotAllowed));
}

#[test]
fn a_rotated_key_keeps_its_id_and_its_old_value_for_a_while() {
    let mut row = key(1);
    part(&mut row).old_digest = Some(hex(&digest(1)).into());
    part(&mut row).old_until = Some(NOW + 10);
    part(&mut row).digest = hex(&digest(2)).into();
    let directory = with(vec![key(1)]);
    directory.apply([(Arc::new(row.clone()), false)]);
    for seed in [1, 2] {
        let caller = directory.authenticate(&digest(seed), NOW, None).unwrap();
        assert_eq!(caller.key_id().as_str(), hex(&[1; 16]));
    }
    assert_eq!(
        directory
            .authenticate(&digest(1), NOW + 10, None)
            .unwrap_err(),
        AuthError::Expired
    );
    assert_eq!(directory.read().all(Kind::Key).count(), 1);
    // Without grace the old value is nobody's.
    part(&mut row).old_digest = None;
    directory.apply([(Arc::new(row.clone()), false)]);
    assert!(directory.authenticate(&digest(1), NOW, None).is_err());
    assert!(directory.authenticate(&digest(2), NOW, None).is_ok());
    assert!(directory.read().key(&hex(&[1; 16])).is_some());
    directory.apply([(Arc::new(row), true)]);
    assert_eq!(directory.read().all(Kind::Key).count(), 0);
    assert!(directory.authenticate(&digest(2), NOW, None).is_err());
}

#[test]
fn rights_shrink_with_the_minters() {
    let mut row = Entity {
        models: vec!["gpt-*".into()].into(),
        ..key(1)
    };
    part(&mut row).minted_by = Some("u".into());
    let directory = with(vec![row, user("u", Role::InternalUser)]);
    let caller = directory.authenticate(&digest(1), NOW, None).unwrap();
    assert!(caller.principal().may_use("gpt-4o").is_ok());
    let smaller = Entity {
        models: vec!["gpt-4o-mini".into()].into(),
        ..user("u", Role::InternalUser)
    };
    directory.apply([(Arc::new(smaller), false)]);
    let caller = directory.authenticate(&digest(1), NOW, None).unwrap();
    assert!(caller.principal().may_use("gpt-4o").is_err());
    assert!(caller.principal().may_use("gpt-4o-mini").is_ok());
}

#[test]
fn models_of_every_object_in_the_chain_must_allow() {
    let team = Entity {
        models: vec!["a".into(), "b".into()].into(),
        ..other(Kind::Team, "t")
    };
    let row = Entity {
        team: Some("t".into()),
        models: vec!["all-team-models".into()].into(),
        ..key(1)
    };
    let directory = with(vec![team, row]);
    let caller = directory.authenticate(&digest(1), NOW, None).unwrap();
    assert!(caller.principal().may_use("a").is_ok());
    assert!(
        caller
            .principal()
            .may_use("c")
            .unwrap_err()
            .to_string()
            .contains("Refused by: key")
    );
}

#[test]
fn claims_name_every_object_that_counts() {
    let caps = |limit: i64| {
        Some(Box::new(Caps {
            max_budget: Some(MicroUsd::new(limit)),
            ..Caps::default()
        }))
    };
    let mut models = Caps {
        rpm_limit: Some(9),
        ..Caps::default()
    };
    models.model_rpm_limit.insert("m".into(), 3);
    let team = Entity {
        group: Some(Box::new(TeamPart {
            members: vec![super::Member {
                user: "u".into(),
                ..super::Member::default()
            }],
            member_caps: caps(5),
            ..TeamPart::default()
        })),
        ..other(Kind::Team, "t")
    };
    let budget = Entity {
        caps: caps(77).map(|caps| Arc::new(*caps)),
        ..other(Kind::Budget, "b")
    };
    let row = Entity {
        team: Some("t".into()),
        user: Some("u".into()),
        budget: Some("b".into()),
        caps: Some(Arc::new(models)),
        ..key(1)
    };
    let customer = Entity {
        caps: caps(1).map(|caps| Arc::new(*caps)),
        ..other(Kind::Customer, "c")
    };
    let directory = with(vec![
        team,
        budget,
        row,
        customer,
        user("u", Role::InternalUser),
    ]);
    let caller = directory.authenticate(&digest(1), NOW, None).unwrap();
    let tables = directory.read();
    let claims = tables.claims(caller.principal(), "m", Some("c"), &["no-row"]);
    let kinds: Vec<ObjectKind> = claims.iter().map(|claim| claim.object().kind).collect();
    assert_eq!(
        kinds,
        [
            ObjectKind::Team,
            ObjectKind::TeamMember,
            ObjectKind::Key,
            ObjectKind::ModelPerKey,
            ObjectKind::EndUser
        ]
    );
    let key = claims[2].caps().unwrap();
    assert_eq!(
        (key.max_budget, key.rpm_limit),
        (Some(MicroUsd::new(77)), Some(9))
    );
}
