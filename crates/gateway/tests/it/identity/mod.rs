//! Keys, teams, users and budgets from outside. Names carry the ids of the attack cases they stand for.

mod advisories;
mod attacks;
mod auth;
mod authz;
mod behind;
mod budgets;
mod cases;
mod disk;
mod groups;
mod lifecycle;
mod limits;
mod windows;
