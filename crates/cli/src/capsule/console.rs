//! Where `capsule` reads and writes, and in which colours.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// The streams and the environment of one run.
pub struct Console {
    /// What the run is for.
    pub out: Box<dyn Write>,
    /// What a person should know beside it.
    pub err: Box<dyn Write>,
    /// Whether `out` takes colours.
    pub colour: bool,
    /// Whether a person sees `out` on a terminal.
    pub out_is_terminal: bool,
    /// Whether a person sees `err`, so that a progress bar makes sense.
    pub err_is_terminal: bool,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("colour", &self.colour)
            .finish_non_exhaustive()
    }
}

impl Console {
    /// The console of this process: `NO_COLOR` forbids colours, `FORCE_COLOR` asks for them, else a terminal decides.
    #[must_use]
    pub fn of_process() -> Self {
        let out_is_terminal = io::stdout().is_terminal();
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Console {
            out: Box::new(BufWriter::new(io::stdout())),
            err: Box::new(io::stderr()),
            colour: !set("NO_COLOR") && (set("FORCE_COLOR") || out_is_terminal),
            out_is_terminal,
            err_is_terminal: io::stderr().is_terminal(),
        }
    }

    /// `text` in a style, or as it is where colours are off.
    #[must_use]
    pub fn paint<'a>(&self, style: Style, text: &'a str) -> Painted<'a> {
        Painted {
            style: self.colour.then_some(style),
            text,
        }
    }

    /// Writes one line `Error: ..` to the error stream.
    ///
    /// # Errors
    /// When the stream cannot be written.
    pub fn error(&mut self, message: impl fmt::Display) -> io::Result<()> {
        writeln!(self.err, "Error: {}", Visible(&message.to_string()))
    }
}

/// A style of the output.
#[derive(Clone, Copy, Debug)]
pub enum Style {
    /// Titles.
    Bold,
    /// Side remarks.
    Dim,
    /// Bad.
    Red,
    /// Good.
    Green,
    /// Doubtful.
    Yellow,
}

/// Text with a style.
#[derive(Debug)]
pub struct Painted<'a> {
    style: Option<Style>,
    text: &'a str,
}

impl fmt::Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(style) = self.style else {
            return f.write_str(self.text);
        };
        let code = match style {
            Style::Bold => 1,
            Style::Dim => 2,
            Style::Red => 31,
            Style::Green => 32,
            Style::Yellow => 33,
        };
        write!(f, "\x1b[{code}m{}\x1b[0m", self.text)
    }
}

/// Text whose control characters are written as escapes, so that the content of a record cannot drive a terminal or
/// imitate lines of the output.
#[derive(Debug)]
pub struct Visible<'a>(pub &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |c: char| {
            c.is_control()
                || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
        };
        for part in self.0.split_inclusive(hidden) {
            match part.chars().next_back() {
                Some(last) if hidden(last) => {
                    f.write_str(part.strip_suffix(last).unwrap_or_default())?;
                    write!(f, "\\u{:04x}", u32::from(last))?;
                }
                _ => f.write_str(part)?,
            }
        }
        Ok(())
    }
}

/// The directory of keys: the flag, `SEALGATE_DATA_DIR`, `QUANTUMPIPES_DATA_DIR`, else `.quantumpipes` in the home
/// directory. It need not exist.
///
/// # Errors
/// When the directory has a `..` component, or when no source names one and there is no home directory.
pub fn data_dir(flag: Option<&Path>) -> Result<PathBuf, String> {
    data_dir_in(flag, |name| std::env::var_os(name))
}

fn data_dir_in(
    flag: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, String> {
    let named = |name: &'static str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(|value| (name, PathBuf::from(value)))
    };
    let (origin, dir) = flag
        .map(|dir| ("--data-dir", dir.to_owned()))
        .or_else(|| named("SEALGATE_DATA_DIR"))
        .or_else(|| named("QUANTUMPIPES_DATA_DIR"))
        .or_else(|| named("HOME").map(|(_, home)| ("HOME", home.join(".quantumpipes"))))
        .ok_or("no data directory: pass --data-dir or set SEALGATE_DATA_DIR")?;
    if dir
        .components()
        .any(|part| part == std::path::Component::ParentDir)
    {
        return Err(format!(
            "{origin}: {} has a '..' component; name the directory itself",
            dir.display()
        ));
    }
    std::path::absolute(&dir).map_err(|error| format!("{origin}: {}: {error}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_directory_comes_from_the_first_place_that_names_one() {
        let of = |flag: Option<&str>, variables: &[(&str, &str)]| {
            let variables: Vec<(String, OsString)> = variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), OsString::from(value)))
                .collect();
            data_dir_in(flag.map(Path::new), |name| {
                let found = variables.iter().find(|(key, _)| key == name);
                found.map(|(_, value)| value.clone())
            })
        };
        let all = [
            ("SEALGATE_DATA_DIR", "/s"),
            ("QUANTUMPIPES_DATA_DIR", "/q"),
            ("HOME", "/h"),
        ];
        assert_eq!(of(Some("/f"), &all), Ok("/f".into()));
        assert_eq!(of(None, &all), Ok("/s".into()));
        assert_eq!(of(None, &all[1..]), Ok("/q".into()));
        assert_eq!(of(None, &all[2..]), Ok("/h/.quantumpipes".into()));
        assert_eq!(
            of(None, &[("SEALGATE_DATA_DIR", ""), ("HOME", "/h")]),
            Ok("/h/.quantumpipes".into())
        );
        assert!(of(None, &[]).is_err());
        assert!(of(Some("/a/../b"), &all).is_err());
        assert!(of(None, &[("QUANTUMPIPES_DATA_DIR", "../x")]).is_err());
    }

    #[test]
    fn control_characters_become_visible() {
        let text = "a\x1b[31mb\r\nc\u{202e}d\u{85}é\u{7f}";
        assert_eq!(
            Visible(text).to_string(),
            "a\\u001b[31mb\\u000d\\u000ac\\u202ed\\u0085é\\u007f"
        );
        assert_eq!(Visible("").to_string(), "");
    }
}
