//! Which database holds the ledger, under LiteLLM's names for it.

use store::postgres::Target;

use super::Overrides;
use super::env::Variables;
use super::problems::{Place, Report, Severity};
use super::reader::Section;

/// The PostgreSQL database, if one is named: by the command line, else the file, else the environment. Nothing named: the
/// SQLite file in the data directory.
pub(super) fn read(
    general: &Section<'_>,
    overrides: &Overrides,
    variables: &Variables<'_>,
    report: &mut Report,
) -> Option<Target> {
    const KEY: &str = "database_url";
    let (url, place, path) = if let Some(url) = &overrides.database_url {
        let place = Place::outside("command line");
        let message = "arguments are visible to everybody on the machine; use DATABASE_URL";
        report.note(Severity::Warning, &place, KEY, message);
        (url.expose().to_owned(), place, KEY.to_owned())
    } else if let Some(url) = general.text(KEY, report) {
        (url.to_owned(), general.place_of(KEY), general.path_of(KEY))
    } else {
        let url = variables.get("DATABASE_URL")?.to_string();
        let place = Place::outside("environment");
        (url, place, "DATABASE_URL".to_owned())
    };
    match Target::parse(url.trim()) {
        Ok(target) => {
            if target.accepts_any_certificate() {
                let message = "the database's certificate is not verified; use sslmode=verify-full, with sslrootcert \
                               for a private authority";
                report.note(Severity::Warning, &place, &path, message);
            }
            Some(target)
        }
        Err(error) => {
            report.problem(&place, &path, error.to_string());
            None
        }
    }
}
