//! An upstream that sends exactly the bytes it is given: for what a proper server would not let through.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Answers every request on every connection with the same bytes, then closes.
#[derive(Debug)]
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Stub {
    pub(crate) async fn answering(answer: impl Into<Bytes>) -> Self {
        Self::in_turn([answer.into()]).await
    }

    /// Gives one answer after the other, then begins again.
    pub(crate) async fn in_turn(answers: impl Into<Vec<Bytes>>) -> Self {
        let answers: Arc<Vec<Bytes>> = Arc::new(answers.into());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (count, seen) = (connections.clone(), requests.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(converse(stream, answers.clone(), seen.clone()));
            }
        });
        Self {
            address,
            connections,
            requests,
            task,
        }
    }

    /// A listener that nobody should ever reach.
    pub(crate) async fn sink() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Counts requests, also after the stub has gone.
    pub(crate) fn counter(&self) -> Arc<dyn Fn() -> usize + Send + Sync> {
        let requests = self.requests.clone();
        Arc::new(move || requests.lock().expect("not poisoned").len())
    }

    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(mut stream: TcpStream, answers: Arc<Vec<Bytes>>, seen: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut request = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while !complete(&request) {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => request.extend_from_slice(&buffer[..length]),
        }
    }
    let answer = {
        let mut seen = seen.lock().expect("not poisoned");
        seen.push(request);
        answers[(seen.len() - 1) % answers.len()].clone()
    };
    if stream.write_all(&answer).await.is_ok() {
        // The caller may be gone; the bytes were sent.
        let _ = stream.shutdown().await;
    }
}

fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}
