//! Where requests for a reload wait: the gateway serves the route, and whoever started it knows the file.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::error::Error;

/// How long a request waits for its answer: validating, sealing and swapping take milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request for a reload. Dropped unanswered, it is refused.
#[derive(Debug)]
pub struct ReloadRequest(oneshot::Sender<Result<Vec<String>, String>>);

impl ReloadRequest {
    /// Answers with the names of changed settings that need a restart, or with what is wrong.
    pub fn answer(self, result: Result<Vec<String>, String>) {
        // A client that has gone has no use for the answer.
        let _gone = self.0.send(result);
    }
}

/// The side of the route.
#[derive(Debug)]
pub(crate) struct Desk {
    requests: mpsc::Sender<ReloadRequest>,
    patience: Duration,
}

/// A desk and what takes the requests from it.
pub(crate) fn desk() -> (Desk, mpsc::Receiver<ReloadRequest>) {
    let (sender, receiver) = mpsc::channel(1);
    let desk = Desk {
        requests: sender,
        patience: PATIENCE,
    };
    (desk, receiver)
}

impl Desk {
    /// Asks for a reload and waits for the result.
    pub(crate) async fn reload(&self) -> Result<Vec<String>, Error> {
        let (answer, result) = oneshot::channel();
        self.requests
            .try_send(ReloadRequest(answer))
            .map_err(|_| Error::ReloadUnavailable)?;
        match tokio::time::timeout(self.patience, result).await {
            Ok(Ok(Ok(restart))) => Ok(restart),
            Ok(Ok(Err(problems))) => Err(Error::ConfigRejected(problems)),
            Ok(Err(_)) | Err(_) => Err(Error::ReloadUnavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_request_gets_an_answer() {
        let (mut desk, mut requests) = desk();
        let asked = tokio::join!(desk.reload(), async {
            let request = requests.recv().await.expect("a request");
            request.answer(Ok(vec!["tls".to_owned()]));
        });
        assert_eq!(asked.0, Ok(vec!["tls".to_owned()]));
        let asked = tokio::join!(desk.reload(), async {
            let request = requests.recv().await.expect("a request");
            request.answer(Err("line 3".to_owned()));
        });
        assert_eq!(asked.0, Err(Error::ConfigRejected("line 3".to_owned())));
        let asked = tokio::join!(desk.reload(), async { drop(requests.recv().await) });
        assert_eq!(asked.0, Err(Error::ReloadUnavailable));
        desk.patience = Duration::ZERO;
        // Nobody looks: the first waits in vain, the second is refused at once.
        let asked = tokio::join!(desk.reload(), desk.reload());
        assert_eq!(asked.0, Err(Error::ReloadUnavailable));
        assert_eq!(asked.1, Err(Error::ReloadUnavailable));
        drop(requests);
        assert_eq!(desk.reload().await, Err(Error::ReloadUnavailable));
    }
}
