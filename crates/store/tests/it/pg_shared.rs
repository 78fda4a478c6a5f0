//! One cluster for all tests of this binary.

use std::sync::OnceLock;

use crate::pg_server::Server;

static SHARED: OnceLock<Option<Server>> = OnceLock::new();

/// The cluster of this test binary.
pub(crate) fn server() -> Option<&'static Server> {
    SHARED.get_or_init(|| Server::start(&[])).as_ref()
}

/// The URL of a new, empty database.
pub(crate) fn database() -> Option<String> {
    server().map(Server::database)
}
