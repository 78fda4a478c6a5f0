//! The command line of `capsule`: verify, inspect and export sealed records. `sealgate verify` runs the same code.

pub mod args;
pub mod bundle;
pub mod console;
pub mod document;
pub mod exit;
pub mod export;
pub mod input;
pub mod inspect;
pub mod keys;
pub mod pipeline;
pub mod python;
pub mod verify;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use console::Console;
use exit::Exit;

/// Runs `capsule` with the arguments and streams of this process.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os(), &mut Console::of_process()).into()
}

/// Runs `capsule` with these arguments, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>, console: &mut Console) -> Exit {
    let result = match Cli::try_parse_from(arguments) {
        Ok(cli) => dispatch(cli, console),
        Err(error) => usage(&error, console),
    };
    // A reader that went away (`capsule inspect | head`) is no verdict.
    result.unwrap_or(Exit::Error)
}

fn dispatch(cli: Cli, console: &mut Console) -> io::Result<Exit> {
    match cli.command {
        None => {
            write!(console.out, "{}", Cli::command().render_help())?;
            console.out.flush()?;
            Ok(Exit::Error)
        }
        Some(Command::Verify(arguments)) => verify::run(&arguments, console),
        Some(Command::Inspect(arguments)) => inspect::run(&arguments, console),
        Some(Command::Keys(arguments)) => keys::run(&arguments, console),
        Some(Command::Hash(arguments)) => document::hash(&arguments, console),
        Some(Command::Canonical(arguments)) => document::canonical(&arguments, console),
        Some(Command::Validate(arguments)) => document::check(&arguments, console),
        Some(Command::Uri { uri }) => document::uri(&uri, console),
        Some(Command::Export(arguments)) => export::run(&arguments, console),
    }
}

/// Help and version on the output, mistakes on the error stream.
fn usage(error: &clap::Error, console: &mut Console) -> io::Result<Exit> {
    let text = error.render();
    if error.use_stderr() {
        write!(console.err, "{text}")?;
        return Ok(Exit::Error);
    }
    write!(console.out, "{text}")?;
    console.out.flush()?;
    Ok(Exit::Pass)
}
