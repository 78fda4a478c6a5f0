//! Members that the configuration of a deployment sets for requests that do not: `temperature`, `max_tokens` and the like.

use llm::edit::Edits;
use llm::protocol::Protocol;
use llm::provider::Provider;
use llm::scan::Doc;

use crate::config::Deployment;
use crate::error::Error;

/// Adds what the request does not say itself. Gives the names of what was added.
///
/// # Errors
/// The body is no object.
pub(super) fn add(
    edits: &mut Edits,
    protocol: Protocol,
    doc: &Doc,
    deployment: &Deployment,
    provider: &Provider,
) -> Result<Vec<&'static str>, Error> {
    let (root, mut added) = (doc.root(), Vec::new());
    for default in &deployment.defaults {
        let Some(name) = default.member(protocol) else {
            continue;
        };
        let quirks = &provider.quirks;
        let renamed = quirks.renamed.iter().find(|(old, _)| *old == name);
        let name = renamed.map_or(name, |(_, new)| new);
        let same = |other: &str| root.get(other).is_some();
        let said = same(name) || default.synonyms().iter().any(|other| same(other));
        // Providers refuse this one in requests without tools.
        let idle = name == "parallel_tool_calls" && !same("tools");
        if said || idle || quirks.dropped.contains(&name) {
            continue;
        }
        edits
            .set_member(root, name, default.json.clone())
            .map_err(|_| Error::Internal)?;
        added.push(name);
    }
    Ok(added)
}
