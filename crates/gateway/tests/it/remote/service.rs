//! A scripted service of checks, inside the test's own process.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the service does with one question.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Answers with this status and body.
    Answer(u16, String),
    /// Writes these bytes and closes.
    Raw(Vec<u8>),
    /// One byte after the other, for ever.
    Drip,
    /// Reads and never answers.
    Hang,
    /// Answers when it has been let go on.
    Wait(Arc<tokio::sync::Semaphore>, Value),
}

impl Act {
    pub(crate) fn json(value: Value) -> Self {
        Self::Answer(200, value.to_string())
    }
}

/// A question as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    head: String,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut pairs = lines.filter_map(|line| line.split_once(':'));
        let found = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }
}

type Script = Arc<dyn Fn(&str, &Value) -> Act + Send + Sync>;

#[derive(Default)]
struct Seen {
    asked: Mutex<Vec<Asked>>,
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A listener on loopback that follows a script.
pub(crate) struct Service {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Service {
    /// A service whose answer depends on the question.
    pub(crate) async fn start(script: impl Fn(&Value) -> Act + Send + Sync + 'static) -> Self {
        Self::by_path(move |_, body| script(body)).await
    }

    /// The same by path.
    pub(crate) async fn by_path(
        script: impl Fn(&str, &Value) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Seen::default());
        let (script, kept): (Script, _) = (Arc::new(script), seen.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, script.clone(), kept.clone()));
            }
        });
        Self {
            address,
            seen,
            task,
        }
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn requests(&self) -> Vec<Asked> {
        self.seen.asked.lock().expect("not poisoned").clone()
    }

    /// Most questions at the same time.
    pub(crate) fn most(&self) -> usize {
        self.seen.most.load(Ordering::SeqCst)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(mut stream: TcpStream, script: Script, seen: Arc<Seen>) {
    let mut request = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let asked = loop {
        if let Some(asked) = whole(&request) {
            break asked;
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => request.extend_from_slice(&buffer[..length]),
        }
    };
    let act = script(&asked.path, &asked.body);
    let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most.fetch_max(now, Ordering::SeqCst);
    seen.asked.lock().expect("not poisoned").push(asked);
    // Whoever asked may have given up: its errors are its own.
    let _gone = perform(&mut stream, act).await;
    seen.now.fetch_sub(1, Ordering::SeqCst);
}

async fn perform(stream: &mut TcpStream, act: Act) -> std::io::Result<()> {
    match act {
        Act::Answer(status, body) => {
            let head = format!(
                "HTTP/1.1 {status} Whatever\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body.as_bytes()).await?;
        }
        Act::Raw(bytes) => stream.write_all(&bytes).await?,
        Act::Drip => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Act::Hang => {
            // Until the other side closes.
            let mut rest = [0; 16];
            while stream.read(&mut rest).await? > 0 {}
        }
        Act::Wait(gate, value) => {
            if let Ok(pass) = gate.acquire().await {
                pass.forget();
            }
            Box::pin(perform(stream, Act::json(value))).await?;
        }
    }
    stream.shutdown().await
}

fn whole(request: &[u8]) -> Option<Asked> {
    let split = request.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&request[..split]).into_owned();
    let body = &request[split + 4..];
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length:")?
            .trim()
            .parse()
            .ok()
    });
    if body.len() < length.unwrap_or(0) {
        return None;
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    Some(Asked {
        path,
        body: serde_json::from_slice(body).unwrap_or(Value::Null),
        head,
    })
}
