//! Who calls and what that allows: entities, roles, routes of the management API, and the table that a call looks in.

mod access;
mod directory;
mod entity;
mod list;
mod manage;
mod principal;
mod role;
mod share;

#[cfg(test)]
mod directory_tests;
#[cfg(test)]
mod matrix_tests;

pub use access::{AccessError, RouteGroup, model_matches, route_matches};
pub use directory::{Claim, Directory, Past, Tables};
pub use entity::{
    ConsentPart, Entity, Grant, KeyPart, Kind, Member, MemberRole, SpendBase, TeamPart, UserPart,
};
pub use list::List;
pub use manage::{Found, MANAGE_ROUTES, Manage, ManageRoute, Need};
pub use principal::Principal;
pub use role::{Reach, Role};
pub use share::Sharer;
