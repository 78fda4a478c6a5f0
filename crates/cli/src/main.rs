//! `sealgate`: the gateway and what belongs to running it.

mod client;
mod command;
mod demo;
mod exit;
mod logging;

use clap::Parser;

use crate::exit::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An LLM gateway that proves what it checked.
#[derive(Parser)]
#[command(name = "sealgate", version, about, long_about = None, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Without a subcommand: `serve` with these arguments.
    #[command(flatten)]
    serve: command::serve::Args,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(command::serve::Args),
    /// Create a ledger with its keys, and a configuration to start from.
    Init(command::init::Args),
    /// Show everything at work: no configuration, no network.
    Demo(command::demo::Args),
    /// Work with a configuration file.
    Config {
        #[command(subcommand)]
        action: command::config::Action,
    },
    /// Print a script that completes commands and options in a shell.
    Completions(command::completions::Args),
    /// Work with the local checks.
    Guard {
        #[command(subcommand)]
        action: command::guard::Action,
    },
    /// Work with virtual keys.
    Keys {
        #[command(subcommand)]
        action: command::keys::Action,
    },
    /// Write down and look up who agreed to what.
    Consent {
        #[command(subcommand)]
        action: command::consent::Action,
    },
    /// Erase what is kept of a person: its key is destroyed, names leave the rows of spend, the chain stays as it is.
    Erase(command::content::Erase),
    /// Read again what a check encrypted (`pii_operators`), with the operator's key in SEALGATE_VALUE_KEY.
    Reveal(command::reveal::Args),
    /// Read what calls said, where it is kept; the reading is sealed.
    Content(command::content::Read),
    /// Verify the ledger of a data directory.
    Verify(command::verify::Args),
    /// Work on the ledger itself.
    Ledger {
        #[command(subcommand)]
        action: command::ledger::Action,
    },
}

fn main() -> Exit {
    small_pages();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::of_usage(&error),
    };
    let result = match cli.command {
        None => command::serve::run(cli.serve),
        Some(Command::Serve(args)) => command::serve::run(args),
        Some(Command::Init(args)) => command::init::run(&args),
        Some(Command::Demo(args)) => command::demo::run(&args),
        Some(Command::Config { action }) => command::config::run(&action),
        Some(Command::Completions(args)) => command::completions::run(&args),
        Some(Command::Guard { action }) => command::guard::run(&action),
        Some(Command::Keys { action }) => command::keys::run(&action),
        Some(Command::Consent { action }) => command::consent::run(&action),
        Some(Command::Reveal(args)) => command::reveal::run(&args),
        Some(Command::Erase(args)) => command::content::erase(&args),
        Some(Command::Content(args)) => command::content::read(&args),
        Some(Command::Verify(args)) => command::verify::run(&args),
        Some(Command::Ledger { action }) => command::ledger::run(&action),
    };
    result.unwrap_or_else(|error| exit::of_error(&error))
}

/// Memory in pages of 4 KB. The allocator asks for huge ones, of which each thread and size of object touches a little: an
/// idle gateway held 18 MB of which it used 4. Calls cost the same CPU either way (measured).
fn small_pages() {
    // A kernel that refuses costs memory and nothing else.
    #[cfg(target_os = "linux")]
    let _refused = rustix::thread::disable_transparent_huge_pages(true).is_err();
}
