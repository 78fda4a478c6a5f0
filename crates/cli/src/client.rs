//! A small HTTP client for the commands that call a gateway of this machine: one request per connection, bodies by length, chunks or close.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest body that is read.
const LONGEST: usize = 8 << 20;

/// Where a gateway listens.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
}

impl Server {
    /// From `http://HOST[:PORT]`.
    pub(crate) fn of_url(url: &str) -> Result<Self> {
        let Some(rest) = url.strip_prefix("http://") else {
            bail!(
                "{url}: expected http://HOST:PORT; TLS is not spoken here, so ask the gateway on its own machine"
            );
        };
        let rest = rest.trim_end_matches('/');
        let named = if rest
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        {
            rest.to_owned()
        } else {
            format!("{rest}:80")
        };
        let address = named
            .to_socket_addrs()
            .ok()
            .and_then(|mut found| found.next())
            .with_context(|| format!("{url}: no such host"))?;
        if !address.ip().is_loopback() {
            bail!(
                "{url}: the key would cross the network in clear; ask the gateway on its own machine"
            );
        }
        Ok(Self { address })
    }
}

/// An answer with what was read of its body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) took: Duration,
}

impl Answer {
    /// Value of header `name` (lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `Null` when it is not.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Data of the events of a stream.
    pub(crate) fn events(&self) -> Vec<String> {
        self.text()
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(str::to_owned)
            .collect()
    }
}

/// `GET path` with a bearer key.
pub(crate) fn get(address: SocketAddr, path: &str, key: &str) -> Result<Answer> {
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
    );
    exchange(address, head.as_bytes(), None)
}

/// Sends `POST path` with a bearer key and reads until the body ends, or until `enough` of its text has come: then the client
/// goes away.
pub(crate) fn post(
    address: SocketAddr,
    path: &str,
    key: &str,
    body: &Value,
    enough: Option<&str>,
) -> Result<Answer> {
    exchange(address, &posted(address, path, key, body), enough)
}

fn posted(address: SocketAddr, path: &str, key: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

fn exchange(address: SocketAddr, request: &[u8], enough: Option<&str>) -> Result<Answer> {
    let began = Instant::now();
    let stream = TcpStream::connect_timeout(&address, PATIENCE)
        .context("the gateway does not accept connections")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    (&stream).write_all(request)?;
    let mut reader = BufReader::new(&stream);
    let (status, headers) = head_of(&mut reader)?;
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
        took: Duration::ZERO,
    };
    let chunked = answer
        .header("transfer-encoding")
        .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    if chunked {
        while let Some(chunk) = chunk(&mut reader)? {
            answer.body.extend_from_slice(&chunk);
            if enough.is_some_and(|enough| answer.text().contains(enough)) {
                break;
            }
        }
    } else {
        let length = answer
            .header("content-length")
            .and_then(|length| length.parse::<usize>().ok());
        answer.body = exactly(&mut reader, length.context("an answer without a length")?)?;
    }
    answer.took = began.elapsed();
    Ok(answer)
}

/// Sends a request and waits for nothing; the connection must be kept by the caller.
pub(crate) fn send_only(
    address: SocketAddr,
    path: &str,
    key: &str,
    body: &Value,
) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    (&stream).write_all(&posted(address, path, key, body))?;
    Ok(stream)
}

fn head_of(reader: &mut BufReader<&TcpStream>) -> Result<(u16, Vec<(String, String)>)> {
    let first = line(reader)?;
    let status = first
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .context("not an HTTP answer")?;
    let mut headers = Vec::new();
    loop {
        let line = line(reader)?;
        if line.is_empty() {
            return Ok((status, headers));
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

fn line(reader: &mut BufReader<&TcpStream>) -> Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        bail!("the connection was closed before the answer was complete");
    }
    Ok(line.trim_end().to_owned())
}

fn chunk(reader: &mut BufReader<&TcpStream>) -> Result<Option<Vec<u8>>> {
    let size = line(reader)?;
    let size = usize::from_str_radix(size.trim(), 16).context("a chunk without a size")?;
    let bytes = exactly(reader, size)?;
    line_end(reader)?;
    Ok((size > 0).then_some(bytes))
}

fn line_end(reader: &mut BufReader<&TcpStream>) -> Result<()> {
    let end = line(reader)?;
    if end.is_empty() {
        Ok(())
    } else {
        bail!("a chunk that does not end where it says")
    }
}

fn exactly(reader: &mut BufReader<&TcpStream>, length: usize) -> Result<Vec<u8>> {
    if length > LONGEST {
        bail!("an answer of {length} bytes");
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}
