//! System calls of a gateway, in order, as strace saw them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use super::binaries;
use super::eventually;
use super::server::Server;
use super::site::Site;

const CALLS: &str = "trace=openat,rename,renameat,renameat2,unlink,unlinkat,ftruncate,write,pwrite64,writev,\
                     sendto,sendmsg,fsync,fdatasync";

/// One system call. `begin` and `end` are positions in the trace: what happened in between is not ordered with it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Event {
    pub(crate) begin: usize,
    /// `usize::MAX` when it never returned.
    pub(crate) end: usize,
    pub(crate) name: String,
    /// File or socket of the descriptor; for calls on paths the (first) path.
    pub(crate) target: String,
    /// The bytes that were written; for `rename` the second path.
    pub(crate) data: Vec<u8>,
    /// Offset of `pwrite64`, length of `ftruncate`.
    pub(crate) number: u64,
    pub(crate) flags: String,
    pub(crate) failed: bool,
}

impl Event {
    pub(crate) fn is_sync(&self) -> bool {
        self.name == "fsync" || self.name == "fdatasync"
    }

    pub(crate) fn is_write(&self) -> bool {
        ["write", "pwrite64", "writev", "sendto", "sendmsg"].contains(&self.name.as_str())
    }

    /// Bytes to a TCP peer with this port.
    pub(crate) fn goes_to(&self, port: u16) -> bool {
        self.is_write() && self.target.ends_with(&format!("->127.0.0.1:{port}]"))
    }

    /// Bytes from a TCP socket with this local port.
    pub(crate) fn comes_from(&self, port: u16) -> bool {
        self.is_write() && self.target.starts_with(&format!("TCP:[127.0.0.1:{port}->"))
    }

    pub(crate) fn contains(&self, needle: &[u8]) -> bool {
        self.data
            .windows(needle.len())
            .any(|window| window == needle)
    }
}

/// Whether system calls can be traced here; says why not, and fails when the peers of the tests are required.
pub(crate) fn available() -> bool {
    let works = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output();
    if works.is_ok_and(|done| done.status.success()) {
        return true;
    }
    assert!(
        std::env::var_os("SEALGATE_REQUIRE_PEERS").is_none(),
        "strace is not installed, or this system forbids tracing"
    );
    eprintln!("not run: strace is not installed, or this system forbids tracing");
    false
}

/// Starts a gateway under strace, which writes to `log`. Gives the process id of the gateway as well.
pub(crate) fn start(site: &Site, log: &Path) -> (Server, u32) {
    let gateway = site.serve(binaries::sealgate());
    let mut tracer = Command::new("strace");
    tracer
        .args([
            "-f",
            "--seccomp-bpf",
            "-yy",
            "-xx",
            "-s",
            "1000000",
            "-e",
            CALLS,
            "-o",
        ])
        .arg(log)
        .arg(gateway.get_program())
        .args(gateway.get_args())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for (name, value) in gateway.get_envs() {
        tracer.env(name, value.unwrap_or_default());
    }
    tracer
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut server = Server::spawn(tracer);
    server.wait_until_listening();
    let lock = site.data.join("capsules.db.lock");
    let id = eventually("the lock file names the process", || {
        std::fs::read_to_string(&lock).ok()?.trim().parse().ok()
    });
    (server, id)
}

/// Reads a whole trace.
pub(crate) fn parse(text: &str) -> Vec<Event> {
    let mut events = Vec::new();
    // Per thread: the call that has begun and not returned.
    let mut open: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            open.insert(thread, (at, begun));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (_, tail) = resumed.split_once(" resumed>").unwrap();
            if let Some((begin, head)) = open.remove(thread) {
                events.push(event(begin, at, &format!("{head}{tail}")));
            }
        } else if !rest.starts_with("+++") && !rest.starts_with("---") {
            events.push(event(at, at, rest));
        }
    }
    for (begin, head) in open.into_values() {
        events.push(event(begin, usize::MAX, head));
    }
    events.sort_by_key(|event| event.begin);
    events
}

fn event(begin: usize, end: usize, text: &str) -> Event {
    let (name, rest) = text.split_once('(').unwrap_or((text, ""));
    let (arguments, result) = rest.rsplit_once(" = ").unwrap_or((rest, ""));
    let strings: Vec<Vec<u8>> = arguments.split('"').skip(1).step_by(2).map(unhex).collect();
    let path = |at: usize| {
        let bytes = strings.get(at).cloned().unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    };
    // The result is set off by any number of blanks.
    let arguments = arguments.trim_end().trim_end_matches(')');
    let last = arguments.rsplit(", ").next();
    let on_paths = [
        "openat",
        "rename",
        "renameat",
        "renameat2",
        "unlink",
        "unlinkat",
    ];
    let (target, data) = match name {
        "rename" | "renameat" | "renameat2" => (path(0), path(1).into_bytes()),
        name if on_paths.contains(&name) => (path(0), Vec::new()),
        _ => (descriptor(arguments), strings.concat()),
    };
    Event {
        begin,
        end,
        name: name.to_owned(),
        target,
        data,
        number: match name {
            "pwrite64" | "ftruncate" => last.and_then(|text| text.parse().ok()).unwrap(),
            _ => 0,
        },
        flags: if name == "openat" {
            arguments.rsplit('"').next().unwrap_or_default().to_owned()
        } else {
            String::new()
        },
        failed: result.starts_with('-'),
    }
}

/// The text between `<` and `>` after the first number: a path in hexadecimal escapes, or a socket, whose text has an
/// arrow in it.
fn descriptor(arguments: &str) -> String {
    let Some((_, rest)) = arguments.split_once('<') else {
        return String::new();
    };
    if rest.starts_with("TCP") {
        return rest
            .split_once("]>")
            .map_or(rest, |(socket, _)| socket)
            .to_owned()
            + "]";
    }
    // Devices say what they are behind their path: `</dev/null<char 1:3>>`.
    let path = rest.split(['<', '>']).next().unwrap_or_default();
    if path.starts_with("\\x") {
        return String::from_utf8(unhex(path)).unwrap_or_default();
    }
    path.to_owned()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    text.as_bytes()
        .chunks_exact(4)
        .map(|escape| match escape {
            [b'\\', b'x', high, low] => digit(*high).zip(digit(*low)).map(|(h, l)| h * 16 + l),
            _ => None,
        })
        .map(|byte| byte.expect("strace -xx escapes every byte"))
        .collect()
}
