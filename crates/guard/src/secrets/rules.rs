//! Credentials that their issuer's prefix gives away, from the issuers' documentation.

/// Which bytes the part after a prefix consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// Letters and digits.
    Alnum,
    /// Letters, digits, `-` and `_`.
    Url,
    /// Letters, digits, `-`, `_`, `.`, `+`, `/`, `=`.
    Wide,
    /// Capital letters and digits.
    Upper,
    /// Hexadecimal digits.
    Hex,
    /// Lower-case letters and digits.
    Lower,
}

impl Alphabet {
    pub(crate) fn has(self, byte: u8) -> bool {
        match self {
            Alphabet::Alnum => byte.is_ascii_alphanumeric(),
            Alphabet::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Alphabet::Wide => byte.is_ascii_alphanumeric() || b"-_.+/=".contains(&byte),
            Alphabet::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Alphabet::Hex => byte.is_ascii_hexdigit(),
            Alphabet::Lower => byte.is_ascii_lowercase() || byte.is_ascii_digit(),
        }
    }
}

/// One kind of credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issued {
    /// Who issues it, for people.
    pub(crate) issuer: &'static str,
    pub(crate) prefix: &'static str,
    pub(crate) alphabet: Alphabet,
    /// Fewest and most bytes after the prefix.
    pub(crate) shortest: usize,
    pub(crate) longest: usize,
    /// Counts only with a word for a key nearby.
    pub(crate) needs_context: bool,
}

const TABLE: &str = include_str!("../../data/issuers.txt");

/// The table, one row per line: issuer, prefix, alphabet, shortest, longest.
pub(crate) fn table() -> Vec<Issued> {
    TABLE.lines().filter_map(row).collect()
}

fn row(line: &'static str) -> Option<Issued> {
    if line.starts_with('#') {
        return None;
    }
    let mut words = line.split_whitespace();
    let (issuer, prefix) = (words.next()?, words.next()?);
    let alphabet = match words.next()? {
        "alnum" => Alphabet::Alnum,
        "url" => Alphabet::Url,
        "wide" => Alphabet::Wide,
        "upper" => Alphabet::Upper,
        "hex" => Alphabet::Hex,
        "lower" => Alphabet::Lower,
        _ => return None,
    };
    Some(Issued {
        issuer,
        prefix,
        alphabet,
        shortest: words.next()?.parse().ok()?,
        longest: words.next()?.parse().ok()?,
        needs_context: words.next() == Some("context"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_row() {
        let lines = TABLE
            .lines()
            .filter(|l| !l.starts_with('#') && !l.is_empty());
        assert_eq!(lines.count(), table().len());
        for issued in table() {
            assert!(issued.shortest <= issued.longest, "{issued:?}");
        }
    }
}
