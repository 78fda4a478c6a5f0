//! The wire form of Redis (RESP 2): commands out, replies in. Pure.

use super::RedisError;

/// The deepest nesting of replies that is read.
const DEEPEST: usize = 8;
/// The longest single text of a reply, in bytes; ours are below a few kilobytes.
const LONGEST: usize = 64 * 1024 * 1024;

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// No value.
    Nil,
    /// A whole number.
    Whole(i64),
    /// Text or bytes.
    Text(Vec<u8>),
    /// Several replies.
    List(Vec<Reply>),
    /// Redis refused: its code and its words.
    Fault(String),
}

impl Reply {
    /// The text; a whole number as digits.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(bytes) => String::from_utf8(bytes.clone()).ok(),
            Self::Whole(number) => Some(number.to_string()),
            Self::Nil | Self::List(_) | Self::Fault(_) => None,
        }
    }

    /// The bytes of a text.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A whole number, also one that is written as text.
    #[must_use]
    pub fn whole(&self) -> Option<i64> {
        match self {
            Self::Whole(number) => Some(*number),
            Self::Text(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The replies of a list; empty for everything else.
    #[must_use]
    pub fn list(&self) -> &[Reply] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }
}

/// A command on its way out.
#[derive(Clone, Debug, Default)]
pub struct Command {
    body: Vec<u8>,
    words: usize,
}

impl Command {
    /// A command of a name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::default().arg(name)
    }

    /// One more word.
    #[must_use]
    pub fn arg(mut self, word: impl AsRef<[u8]>) -> Self {
        self.push(word.as_ref());
        self
    }

    /// One more whole number.
    #[must_use]
    pub fn number(self, number: i64) -> Self {
        self.arg(number.to_string())
    }

    fn push(&mut self, word: &[u8]) {
        self.words += 1;
        self.body
            .extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        self.body.extend_from_slice(word);
        self.body.extend_from_slice(b"\r\n");
    }

    /// Appends the bytes to what is sent.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("*{}\r\n", self.words).as_bytes());
        out.extend_from_slice(&self.body);
    }
}

/// Takes one reply off the front of `input`. `None`: more bytes are needed; the second value is how many were used.
///
/// # Errors
/// [`RedisError::Protocol`] for bytes that no Redis sends.
pub(super) fn read(input: &[u8]) -> Result<Option<(Reply, usize)>, RedisError> {
    let mut at = 0;
    Ok(reply(input, &mut at, 0)?.map(|reply| (reply, at)))
}

fn reply(input: &[u8], at: &mut usize, depth: usize) -> Result<Option<Reply>, RedisError> {
    if depth > DEEPEST {
        return Err(RedisError::Protocol("replies nested too deep"));
    }
    let Some(line) = line(input, at) else {
        return Ok(None);
    };
    let (kind, rest) = line
        .split_first()
        .ok_or(RedisError::Protocol("an empty line"))?;
    let words = std::str::from_utf8(rest).map_err(|_| RedisError::Protocol("not UTF-8"))?;
    let number = || {
        words
            .parse::<i64>()
            .map_err(|_| RedisError::Protocol("not a number"))
    };
    Ok(Some(match kind {
        b'+' => Reply::Text(rest.to_vec()),
        b'-' => Reply::Fault(words.to_owned()),
        b':' => Reply::Whole(number()?),
        b'$' => {
            let Ok(length) = usize::try_from(number()?) else {
                return Ok(Some(Reply::Nil));
            };
            if length > LONGEST {
                return Err(RedisError::Protocol("a text is too long"));
            }
            let Some(text) = input.get(*at..*at + length) else {
                return Ok(None);
            };
            if input.get(*at + length..*at + length + 2).is_none() {
                return Ok(None);
            }
            *at += length + 2;
            Reply::Text(text.to_vec())
        }
        b'*' => {
            let Ok(count) = usize::try_from(number()?) else {
                return Ok(Some(Reply::Nil));
            };
            let mut items = Vec::with_capacity(count.min(1024));
            for _ in 0..count {
                match reply(input, at, depth + 1)? {
                    Some(item) => items.push(item),
                    None => return Ok(None),
                }
            }
            Reply::List(items)
        }
        _ => return Err(RedisError::Protocol("an unknown kind of reply")),
    }))
}

/// The bytes up to the next line end, which is taken too.
fn line<'i>(input: &'i [u8], at: &mut usize) -> Option<&'i [u8]> {
    let rest = input.get(*at..)?;
    let end = memchr::memmem::find(rest, b"\r\n")?;
    *at += end + 2;
    rest.get(..end)
}

#[cfg(test)]
mod tests {
    use super::{Command, Reply, read};

    #[test]
    fn commands_and_replies_in_any_pieces() {
        let mut out = Vec::new();
        Command::new("SET").arg("a").number(-7).write(&mut out);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n-7\r\n");
        let input = b"*5\r\n:12\r\n$2\r\nhi\r\n$-1\r\n*1\r\n+OK\r\n-ERR no\r\n";
        let whole = Reply::List(vec![
            Reply::Whole(12),
            Reply::Text(b"hi".to_vec()),
            Reply::Nil,
            Reply::List(vec![Reply::Text(b"OK".to_vec())]),
            Reply::Fault("ERR no".to_owned()),
        ]);
        for end in 0..input.len() {
            assert_eq!(read(&input[..end]).unwrap(), None, "{end}");
        }
        let mut more = input.to_vec();
        more.extend_from_slice(b"+next\r\n");
        assert_eq!(read(&more).unwrap(), Some((whole, input.len())));
    }

    #[test]
    fn what_no_redis_sends_is_an_error() {
        for input in [
            "hello\r\n",
            "$999999999999\r\n",
            ":x\r\n",
            "\r\n",
            "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        ] {
            assert!(read(input.as_bytes()).is_err(), "{input:?}");
        }
    }
}
