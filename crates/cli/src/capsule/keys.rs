//! `capsule keys`: show, rotate and export the keys of a data directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use capsule::keyring::{Epoch, Keyring, Status};
use capsule::{SigningKey, Timestamp};
use ledger::SystemClock;
use store::keys::DataDir;
use store::postgres::Target;
use zeroize::Zeroizing;

use crate::capsule_cli::args::{Keys, KeysCommand, KeysDir};
use crate::capsule_cli::console::{self, Console, Style};
use crate::capsule_cli::exit::Exit;
use crate::capsule_cli::export::founds_a_ledger;
use crate::capsule_cli::verify::trust::{keyring, local_key};

/// Runs `capsule keys`.
///
/// # Errors
/// When an output cannot be written.
pub fn run(arguments: &Keys, console: &mut Console) -> io::Result<Exit> {
    let result = match &arguments.command {
        None => Err(KeysError::Usage(
            "specify a keys subcommand (info, rotate, export-public)".to_owned(),
        )),
        Some(KeysCommand::Info(dir)) => with(dir, |dir| info(dir, console)),
        Some(KeysCommand::Rotate(dir)) => with(dir, |dir| rotate(dir, console)),
        Some(KeysCommand::CreatePq(dir)) => with(dir, |dir| create_post_quantum(dir, console)),
        Some(KeysCommand::ExportPublic(which)) => {
            with(&which.dir, |dir| export(dir, which.epoch, console))
        }
    };
    console.out.flush()?;
    match result {
        Ok(()) => Ok(Exit::Pass),
        Err(KeysError::Output(error)) => Err(error),
        Err(KeysError::Usage(message)) => {
            console.error(message)?;
            Ok(Exit::Error)
        }
    }
}

enum KeysError {
    Usage(String),
    Output(io::Error),
}

impl From<io::Error> for KeysError {
    fn from(error: io::Error) -> Self {
        KeysError::Output(error)
    }
}

impl From<String> for KeysError {
    fn from(message: String) -> Self {
        KeysError::Usage(message)
    }
}

fn with(
    arguments: &KeysDir,
    run: impl FnOnce(&Path) -> Result<(), KeysError>,
) -> Result<(), KeysError> {
    run(&console::data_dir(arguments.data_dir.as_deref())?)
}

/// The keyring as the reference would see it: a key that no keyring file knows is its first epoch. Nothing is written.
fn epochs(dir: &Path) -> Result<Keyring, String> {
    let mut ring = Keyring::new();
    if let Some(found) = keyring(dir)? {
        ring = found;
    } else if let Some(key) = local_key(dir)? {
        let made = fs::metadata(dir.join("key")).and_then(|metadata| metadata.modified());
        ring.register(
            &key.public_key(),
            timestamp(made.unwrap_or(SystemTime::UNIX_EPOCH)),
        );
    }
    Ok(ring)
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::new(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn title(console: &mut Console, text: &str) -> io::Result<()> {
    let title = console.paint(Style::Bold, text).to_string();
    write!(console.out, "\n{title}\n{}\n", "=".repeat(50))
}

fn info(dir: &Path, console: &mut Console) -> Result<(), KeysError> {
    let ring = epochs(dir)?;
    title(console, "Key Management Info")?;
    writeln!(
        console.out,
        "  Keyring: {}",
        dir.join("keyring.json").display()
    )?;
    if ring.epochs().is_empty() {
        writeln!(
            console.out,
            "  Status:  {}\n",
            console.paint(Style::Yellow, "No keys")
        )?;
        writeln!(
            console.out,
            "  Run 'capsule keys rotate' to generate a key pair.\n"
        )?;
        return Ok(());
    }
    writeln!(console.out, "  Version: {}", capsule::keyring::VERSION)?;
    let active = ring
        .active()
        .or(ring.epochs().last())
        .map_or(0, |epoch| epoch.epoch);
    writeln!(console.out, "  Active:  Epoch {active}\n")?;
    for epoch in ring.epochs() {
        let line = line(epoch, console);
        writeln!(console.out, "{line}")?;
    }
    if let Some(epoch) = ring.active() {
        let key = console
            .paint(Style::Dim, &epoch.public_key.hex())
            .to_string();
        writeln!(console.out, "\n  Public key: {key}")?;
    }
    writeln!(console.out)?;
    Ok(())
}

fn line(epoch: &Epoch, console: &Console) -> String {
    let day = |text: &str| text.get(..19).unwrap_or(text).to_owned();
    let (status, until) = match (epoch.status, &epoch.rotated_at) {
        (Status::Active, _) => (console.paint(Style::Green, "active"), "present".to_owned()),
        (Status::Retired, Some(at)) => (console.paint(Style::Dim, "retired"), day(at)),
        (Status::Retired, None) => (console.paint(Style::Dim, "retired"), "present".to_owned()),
    };
    format!(
        "    Epoch {}  ed25519  {}  {status}  ({} to {until})",
        epoch.epoch,
        epoch.fingerprint,
        day(&epoch.created_at)
    )
}

fn export(dir: &Path, number: Option<u64>, console: &mut Console) -> Result<(), KeysError> {
    let ring = epochs(dir)?;
    if let Some(number) = number {
        let epoch = ring.epochs().iter().find(|epoch| epoch.epoch == number);
        let epoch = epoch.ok_or_else(|| format!("there is no key of epoch {number}"))?;
        writeln!(console.out, "{}", epoch.public_key.hex())?;
        return Ok(());
    }
    let epoch = ring
        .active()
        .ok_or_else(|| "no active key. Run 'capsule keys rotate' first.".to_owned())?;
    writeln!(console.out, "{}", epoch.public_key.hex())?;
    Ok(())
}

/// A pair of ML-DSA-65 keys beside the Ed25519 key, which must be there.
fn create_post_quantum(dir: &Path, console: &mut Console) -> Result<(), KeysError> {
    let data = DataDir::open(dir).map_err(|error| error.to_string())?;
    data.create_post_quantum()
        .map_err(|error| format!("{error}; a key that is there is never replaced"))?;
    title(console, "Post-Quantum Key")?;
    writeln!(console.out, "  Algorithm:   ML-DSA-65")?;
    for (word, name) in [("Private key:", "key.ml"), ("Public key: ", "key.ml.pub")] {
        writeln!(console.out, "  {word} {}", dir.join(name).display())?;
    }
    writeln!(
        console.out,
        "\n  Switch it on with sealgate.post_quantum: true; verify with --require-pq.\n"
    )?;
    Ok(())
}

/// A ledger's rotation: the old key seals a record that names the new one. Whoever runs the ledger must stop first.
fn rotate_ledger(
    dir: &Path,
    database: Option<&Target>,
    console: &mut Console,
) -> Result<(), KeysError> {
    let rotation =
        gateway::serve::data::rotate(dir, database, Arc::new(SystemClock)).map_err(|error| {
            format!(
                "{}: the key was not rotated: {}",
                dir.display(),
                chain(&error)
            )
        })?;
    let ring = epochs(dir)?;
    title(console, "Key Rotation")?;
    for (word, key, style) in [
        ("Previous:", &rotation.old, (Style::Dim, "→ retired")),
        ("New:     ", &rotation.new, (Style::Green, "→ active")),
    ] {
        let epoch = ring.epochs().iter().find(|epoch| epoch.public_key == *key);
        let number = epoch.map_or_else(|| "?".to_owned(), |epoch| epoch.epoch.to_string());
        let end = console.paint(style.0, style.1).to_string();
        let label = key.short_fingerprint();
        writeln!(console.out, "  {word} Epoch {number} ({label}) {end}")?;
    }
    writeln!(
        console.out,
        "\n  Sealed as:   record {} of the ledger",
        rotation.sequence
    )?;
    writeln!(console.out, "  Private key: {}", dir.join("key").display())?;
    writeln!(
        console.out,
        "  Keyring:     {}\n",
        dir.join("keyring.json").display()
    )?;
    Ok(())
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// The reference's rotation: a new key, the old one retired in the keyring.
fn rotate(dir: &Path, console: &mut Console) -> Result<(), KeysError> {
    let remote = DataDir::open(dir).ok().map(|data| data.remote_place());
    let remote = remote.transpose().map_err(|error| error.to_string())?;
    if let Some(place) = remote.flatten() {
        let url = std::env::var("DATABASE_URL").unwrap_or_default();
        let target = Target::parse(url.trim()).map_err(|error| {
            format!("the records of these keys are in {place}; set DATABASE_URL: {error}")
        })?;
        return rotate_ledger(dir, Some(&target), console);
    }
    if founds_a_ledger(&dir.join("capsules.db"))? {
        return rotate_ledger(dir, None, console);
    }
    let mut ring = epochs(dir)?;
    let retired = ring.active().cloned();
    let mut seed = Zeroizing::new([0_u8; 32]);
    getrandom::fill(seed.as_mut_slice())
        .map_err(|error| format!("no random bytes from the operating system: {error}"))?;
    let key = SigningKey::from_seed(*seed);
    let number = ring.rotate(&key.public_key(), timestamp(SystemTime::now()));
    let failed = |error: io::Error| format!("{}: {error}", dir.display());
    fs::create_dir_all(dir).map_err(failed)?;
    // The key first: a key that the keyring does not know yet is found and entered later, a lost key is not.
    replace(dir, "key", seed.as_slice()).map_err(failed)?;
    replace(dir, "keyring.json", ring.to_text().as_bytes()).map_err(failed)?;
    title(console, "Key Rotation")?;
    if let Some(epoch) = retired {
        let end = console.paint(Style::Dim, "→ retired").to_string();
        writeln!(
            console.out,
            "  Previous: Epoch {} ({}) {end}",
            epoch.epoch, epoch.fingerprint
        )?;
    }
    let end = console.paint(Style::Green, "→ active").to_string();
    let label = key.public_key().short_fingerprint();
    writeln!(console.out, "  New:      Epoch {number} ({label}) {end}\n")?;
    writeln!(console.out, "  Private key: {}", dir.join("key").display())?;
    writeln!(
        console.out,
        "  Keyring:     {}\n",
        dir.join("keyring.json").display()
    )?;
    Ok(())
}

/// Writes a file that only its owner can read, so that at no time there is half of one.
fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!(".{name}.{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join(name))?;
    File::open(dir)?.sync_all()
}
