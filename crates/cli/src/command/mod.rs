//! One file a subcommand.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod consent;
pub(crate) mod content;
pub(crate) mod demo;
pub(crate) mod guard;
pub(crate) mod init;
pub(crate) mod keys;
pub(crate) mod ledger;
pub(crate) mod reveal;
pub(crate) mod serve;
pub(crate) mod verify;
mod watch;

/// The database that an argument or DATABASE_URL names.
fn database(url: Option<&str>) -> anyhow::Result<Option<store::postgres::Target>> {
    let url = url.map(str::trim).filter(|url| !url.is_empty());
    Ok(url.map(store::postgres::Target::parse).transpose()?)
}
