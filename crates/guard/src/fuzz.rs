//! Fuzz bodies: plain functions over inputs that say what promise was broken. Stable
//! tests run them over a corpus, a fuzzer over whatever it likes.

use crate::{BlockedWords, Check, Finding, Form, PatternCheck, StreamCheck};

/// A broken promise, for the person who reads the failing run.
pub type Broken = String;

/// The outcome of a stream: what was delivered, what was found, what blocked.
pub type Streamed = (String, Vec<Finding>, Option<Finding>);

/// Runs `text` through a stream check in the given pieces.
pub fn streamed<'a>(
    stream: &mut dyn StreamCheck,
    pieces: impl Iterator<Item = &'a str>,
) -> Streamed {
    let mut delivered = String::new();
    let mut findings = Vec::new();
    let mut blocked = None;
    for piece in pieces {
        let emit = stream.push(piece);
        delivered.push_str(&emit.text);
        findings.extend(emit.findings);
        blocked = blocked.or(emit.blocked);
    }
    let last = stream.finish();
    delivered.push_str(&last.text);
    findings.extend(last.findings);
    (delivered, findings, blocked.or(last.blocked))
}

/// `text` cut at the character borders at or after the given offsets.
#[must_use]
pub fn cut<'a>(text: &'a str, cuts: &[usize]) -> Vec<&'a str> {
    let mut cuts: Vec<usize> = cuts.to_vec();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let (mut rest, mut done) = (text, 0_usize);
    for cut in cuts {
        let mut at = cut.saturating_sub(done);
        while at < rest.len() && !rest.is_char_boundary(at) {
            at = at.saturating_add(1);
        }
        let Some((piece, tail)) = rest.split_at_checked(at) else {
            break;
        };
        pieces.push(piece);
        done = done.saturating_add(piece.len());
        rest = tail;
    }
    pieces.push(rest);
    pieces
}

/// However the text is cut, a check for patterns gives in pieces what it gives for the whole,
/// and its findings lie on the borders of characters.
///
/// # Errors
/// The promise that was broken.
pub fn pattern(check: &PatternCheck, form: Form, text: &str, cuts: &[usize]) -> Result<(), Broken> {
    let whole = check.scan_as(form, text);
    for finding in &whole.findings {
        if text
            .get(finding.start..finding.end)
            .is_none_or(str::is_empty)
        {
            return Err(format!("{finding:?} is not on borders of characters"));
        }
    }
    let pieces = cut(text, cuts);
    let mut stream = check.stream_as(form).ok_or("no stream")?;
    let (delivered, findings, blocked) = streamed(stream.as_mut(), pieces.iter().copied());
    if findings != whole.findings || blocked != whole.blocked {
        return Err(format!("stream {findings:?}, whole {:?}", whole.findings));
    }
    let expected = match blocked {
        None => whole.masked.unwrap_or_else(|| text.to_owned()),
        Some(_) => {
            let mut stream = check.stream_as(form).ok_or("no stream")?;
            let mut buffer = [0; 4];
            let mut letters = String::new();
            for c in text.chars() {
                letters.push_str(&stream.push(c.encode_utf8(&mut buffer)).text);
            }
            letters.push_str(&stream.finish().text);
            letters
        }
    };
    if delivered != expected {
        return Err(format!("{delivered:?}, not {expected:?}"));
    }
    Ok(())
}

/// However the text is cut, the stream gives what the whole text gives.
///
/// # Errors
/// The promise that was broken.
pub fn window(words: &BlockedWords, form: Form, text: &str, cuts: &[usize]) -> Result<(), Broken> {
    let whole = words.scan_as(form, text);
    let pieces = cut(text, cuts);
    let mut stream = words.window_as(form);
    let (delivered, findings, blocked) = streamed(&mut stream, pieces.iter().copied());
    if findings != whole.findings || blocked != whole.blocked {
        return Err(format!("stream {findings:?}, whole {:?}", whole.findings));
    }
    let expected = whole.masked.as_deref().unwrap_or(text);
    match blocked {
        None if delivered != expected => Err(format!("{delivered:?}, not {expected:?}")),
        None => Ok(()),
        Some(_) => {
            let mut by_letter = words.window_as(form);
            let mut buffer = [0; 4];
            let mut letters = String::new();
            for c in text.chars() {
                letters.push_str(&by_letter.push(c.encode_utf8(&mut buffer)).text);
            }
            letters.push_str(&by_letter.finish().text);
            (delivered == letters)
                .then_some(())
                .ok_or_else(|| format!("blocked after {delivered:?}, by letter {letters:?}"))
        }
    }
}
