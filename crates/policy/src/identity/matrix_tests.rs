//! The matrix role x route x own or other object, printed and compared with the reviewed file.

use std::fmt::Write as _;
use std::sync::Arc;

use super::{
    Entity, KeyPart, Kind, MANAGE_ROUTES, Member, MemberRole, Need, Principal, Role, TeamPart,
    UserPart,
};

/// What a route is about.
fn kind(need: Need) -> Kind {
    use Need as N;
    match need {
        N::KeyRead | N::KeyWrite | N::KeyCreate | N::SpendRead => Kind::Key,
        N::TeamRead | N::TeamCreate | N::TeamWrite | N::TeamMembers => Kind::Team,
        N::UserRead | N::UserWrite | N::UserSelf => Kind::User,
        N::OrganizationRead | N::OrganizationWrite => Kind::Organization,
        N::CustomerRead | N::CustomerWrite => Kind::Customer,
        N::BudgetRead | N::BudgetWrite => Kind::Budget,
        N::TagRead | N::TagWrite => Kind::Tag,
        N::TenantRead | N::TenantWrite => Kind::Tenant,
        N::ConsentRead | N::ConsentWrite => Kind::Consent,
        N::SpendGlobal | N::AuditRead | N::ContentRead | N::ContentErase | N::MasterOnly => {
            Kind::Budget
        }
    }
}

fn row(kind: Kind, id: &str, organization: &str) -> Entity {
    Entity {
        kind,
        id: id.into(),
        organization: (kind != Kind::Organization).then(|| organization.into()),
        ..Entity::default()
    }
}

fn caller(role: Role, lead: MemberRole) -> (Principal, Vec<(&'static str, Entity)>) {
    let me = Entity {
        person: Some(Box::new(UserPart {
            role,
            ..UserPart::default()
        })),
        ..row(Kind::User, "me", "my-org")
    };
    let key = Entity {
        user: (role != Role::Service).then(|| "me".into()),
        key: Some(Box::new(KeyPart::default())),
        ..row(Kind::Key, "my-key", "my-org")
    };
    let team = Entity {
        group: Some(Box::new(TeamPart {
            members: vec![Member {
                user: "me".into(),
                role: lead,
                caps: None,
            }],
            ..TeamPart::default()
        })),
        ..row(Kind::Team, "my-team", "my-org")
    };
    let organization = row(Kind::Organization, "my-org", "");
    let master = role == Role::Master;
    let principal = Principal {
        role,
        tenant: Arc::from(""),
        key: (!master).then(|| Arc::new(key.clone())),
        user: (!master && role != Role::Service).then(|| Arc::new(me.clone())),
        team: (role == Role::Team).then(|| Arc::new(team.clone())),
        organization: (role == Role::OrgAdmin).then(|| Arc::new(organization.clone())),
        minter: None,
    };
    (
        principal,
        vec![
            ("own", key),
            ("own", me),
            ("team", team),
            ("organization", organization),
        ],
    )
}

/// One letter for each object: o(wn), t(eam), g (same organization), x (other), f(oreign tenant).
fn cell(role: Role, need: Need, lead: MemberRole) -> String {
    let (principal, own) = caller(role, lead);
    let kind = kind(need);
    let mut out = String::new();
    let mine = own.iter().find(|(_, row)| row.kind == kind);
    let objects = [
        ('o', mine.map(|(_, row)| row.clone())),
        (
            'g',
            (kind != Kind::Organization).then(|| row(kind, "other", "my-org")),
        ),
        ('x', Some(row(kind, "other", "other-org"))),
        (
            'f',
            Some(Entity {
                tenant: "other".into(),
                ..row(kind, "my-key", "my-org")
            }),
        ),
    ];
    for (letter, object) in objects {
        if object.is_some_and(|object| principal.reaches(need, &object)) {
            out.push(letter);
        }
    }
    if out.is_empty() {
        out.push('-');
    }
    out
}

#[test]
fn the_matrix_is_the_reviewed_one() {
    let mut text = String::from(
        "# Who reaches what: o = own (for teams: a member who is no team admin), g = same organization, x = any other of the tenant,\n\
         # f = another tenant, - = nothing; `lead` is a team admin with the role internal_user.\n",
    );
    let _ = write!(text, "{:6} {:36}", "method", "route");
    for role in Role::ALL {
        let _ = write!(text, " {:>20}", role.as_str());
    }
    let _ = writeln!(text, " {:>6}", "lead");
    for route in MANAGE_ROUTES {
        let _ = write!(text, "{:6} {:36}", route.method.as_str(), route.path);
        for role in Role::ALL {
            let _ = write!(text, " {:>20}", cell(role, route.need, MemberRole::User));
        }
        let _ = writeln!(
            text,
            " {:>6}",
            cell(Role::InternalUser, route.need, MemberRole::Admin)
        );
    }
    assert!(
        text == include_str!("matrix.txt"),
        "the matrix is not the reviewed one; if that is intended, its new text is:\n{text}"
    );
}

#[test]
fn no_viewer_and_no_auditor_changes_anything() {
    for route in MANAGE_ROUTES.iter().filter(|route| route.writes()) {
        for role in [
            Role::ProxyAdminViewer,
            Role::Auditor,
            Role::InternalUserViewer,
            Role::Service,
            Role::Customer,
            Role::Team,
        ] {
            assert_eq!(
                role.reach(route.need),
                super::Reach::None,
                "{} {}",
                role.as_str(),
                route.path
            );
        }
    }
}

#[test]
fn paths_are_unique_and_literal_ones_win() {
    for (at, route) in MANAGE_ROUTES.iter().enumerate() {
        let path = route.path.replace("{id}", "x");
        match super::ManageRoute::lookup(route.method.as_str(), &path) {
            super::Found::Route(found, _) => assert_eq!(found.path, route.path),
            other => panic!("{path}: {other:?}"),
        }
        let again = MANAGE_ROUTES
            .iter()
            .skip(at + 1)
            .any(|other| other.path == route.path && other.method == route.method);
        assert!(!again, "{}", route.path);
    }
}
