//! The request side: services that may replace texts before anything is sent, those that judge it, and those that judge it
//! beside the call while the answer waits.

use llm::protocol::Family;

use super::judge;
use crate::error::Error;
use crate::proxy::answer;
use crate::proxy::call::Call;
use crate::proxy::channels::Blocked;
use crate::proxy::facts::End;
use crate::proxy::open::Checked;
use crate::server::reply::Reply;
use crate::upstream::forward::{self, Forwarded};

/// Sends a checked call, with the services that judge its request: those of `pre_call` before it is sent, those of
/// `during_call` beside it, and the answer waits for them.
///
/// # Errors
/// The client's answer, when a service refused; the call is settled.
pub(crate) async fn forward(mut checked: Checked) -> Result<Forwarded, Reply> {
    let checks = checked.remote();
    if checks.is_empty() {
        return Ok(forward::forward(checked).await);
    }
    let (before, beside): (Vec<_>, Vec<_>) =
        checks.into_iter().partition(|check| check.modes.pre_call);
    let (editing, judging): (Vec<_>, Vec<_>) = before
        .into_iter()
        .partition(|check| check.remote().is_some_and(|remote| remote.edits()));
    let alone = editing.into_iter().map(|check| vec![check]);
    for group in alone.chain([judging]).filter(|group| !group.is_empty()) {
        let Some(ask) = checked.ask() else {
            return Err(internal(checked));
        };
        let judged = judge(&group, &ask).await;
        let said = match judged.report(checked.call_mut()) {
            Ok(None) => Ok(()),
            Ok(Some(texts)) => checked.rewrite(&texts),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = said {
            let (call, request, ..) = checked.into_parts();
            return Err(refused(call, request.protocol.family(), refusal));
        }
    }
    if beside.is_empty() {
        return Ok(forward::forward(checked).await);
    }
    let Some(ask) = checked.ask() else {
        return Err(internal(checked));
    };
    let (mut forwarded, judged) = tokio::join!(forward::forward(checked), judge(&beside, &ask));
    match judged.report(&mut forwarded.call) {
        Ok(_) => Ok(forwarded),
        Err(refusal) => {
            let family = forwarded.request.protocol.family();
            Err(refused(forwarded.call, family, refusal))
        }
    }
}

fn refused(call: Call, family: Family, refused: Blocked) -> Reply {
    answer::refusal(call, family, &refused.error, End::Blocked(refused.check))
}

fn internal(checked: Checked) -> Reply {
    let (call, request, ..) = checked.into_parts();
    let error = Error::Internal;
    let end = End::Failed(error.public().code);
    answer::refusal(call, request.protocol.family(), &error, end)
}
