//! A client that knows whether it got its whole answer.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::site::MASTER;

/// A call as the client made it.
#[derive(Clone)]
pub(crate) struct Call {
    /// Unique in the run; the provider and the record see it.
    pub(crate) marker: u64,
    /// The model that is asked for.
    pub(crate) group: String,
    pub(crate) stream: bool,
    /// More words for the provider.
    pub(crate) script: &'static str,
}

/// What the client got.
#[derive(Debug, Clone, Default)]
pub(crate) struct Got {
    /// 0 when there was no head.
    pub(crate) status: u16,
    /// The whole answer arrived, by its length or its last chunk; for streams `[DONE]` as well.
    pub(crate) complete: bool,
    /// Id of the record, as the head says.
    pub(crate) capsule: Option<String>,
    pub(crate) body: String,
}

/// Sends one call on a connection of its own and reads until the end, until the peer goes, or until nothing came for
/// `patience`; then the client leaves.
pub(crate) fn send(port: u16, call: &Call, patience: Duration) -> Got {
    let mut got = Got::default();
    // The server may be dead already, or die at any byte: what arrived so far is the result.
    if let Err(error) = exchange(port, call, patience, &mut got) {
        let expected = [
            ErrorKind::ConnectionRefused,
            ErrorKind::ConnectionReset,
            ErrorKind::ConnectionAborted,
            ErrorKind::BrokenPipe,
            ErrorKind::UnexpectedEof,
            ErrorKind::WouldBlock,
            ErrorKind::TimedOut,
        ];
        assert!(expected.contains(&error.kind()), "{error}");
    }
    got
}

fn exchange(port: u16, call: &Call, patience: Duration, got: &mut Got) -> std::io::Result<()> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(patience))?;
    let Call {
        marker,
        group,
        stream,
        script,
    } = call;
    let body = format!(
        r#"{{"model":"{group}","stream":{stream},"messages":[{{"role":"user","content":"marker-{marker} {script}"}}]}}"#
    );
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {MASTER}\r\n\
         content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(format!("{head}{body}").as_bytes())?;
    let mut reader = BufReader::new(socket);
    let mut length = None;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let lower = line.to_ascii_lowercase();
        if got.status == 0 {
            got.status = line.split(' ').nth(1).unwrap().parse().unwrap();
        } else if let Some(value) = lower.strip_prefix("content-length:") {
            length = Some(value.trim().parse().unwrap());
        } else if let Some(value) = lower.strip_prefix("x-sealgate-capsule: capsule://") {
            got.capsule = Some(value.trim().to_owned());
        } else if line == "\r\n" {
            break;
        }
    }
    let mut bytes = Vec::new();
    let whole = match length {
        Some(length) => {
            bytes.resize(length, 0);
            reader.read_exact(&mut bytes)
        }
        None => chunks(&mut reader, &mut bytes),
    };
    got.body = String::from_utf8(bytes).unwrap();
    whole?;
    let ended = !call.stream || got.status != 200 || got.body.contains("data: [DONE]\n");
    got.complete = ended && !got.body.contains("\"error\"");
    Ok(())
}

/// Reads until the last chunk.
fn chunks(reader: &mut BufReader<TcpStream>, into: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let size = usize::from_str_radix(line.trim(), 16)
            .map_err(|_| std::io::Error::from(ErrorKind::UnexpectedEof))?;
        let start = into.len();
        into.resize(start + size + 2, 0);
        reader.read_exact(&mut into[start..])?;
        into.truncate(start + size);
        if size == 0 {
            return Ok(());
        }
    }
}
