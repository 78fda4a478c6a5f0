//! `sealgate reveal`: reads again what the operator `encrypt` of a check for personal data wrote, with the operator's key.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use store::pseudonym::ValueKey;

use crate::exit::Exit;

/// The variable that holds the key. A key is no argument: everybody on a machine can see arguments.
const VARIABLE: &str = "SEALGATE_VALUE_KEY";

/// Largest text, in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The text; `-` reads the standard input.
    file: PathBuf,
}

/// Prints the text with its values. Exit 1 when there was none that this key opens.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let secret = std::env::var(VARIABLE).unwrap_or_default();
    if secret.trim().is_empty() {
        bail!("no key: set {VARIABLE} to the pii_operator_key of the check");
    }
    let key = ValueKey::new(secret.trim())?;
    let input: Box<dyn std::io::Read> = match args.file.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => {
            let path = args.file.display();
            let file = std::fs::File::open(&args.file);
            Box::new(file.with_context(|| format!("opening {path}"))?)
        }
    };
    let mut text = String::new();
    input.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        bail!("the text is larger than {} MiB", LARGEST >> 20);
    }
    let (text, count) = key.reveal(&text);
    write!(std::io::stdout().lock(), "{text}")?;
    Ok(match count {
        0 => Exit::Failed,
        _ => Exit::Ok,
    })
}
