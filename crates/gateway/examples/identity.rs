//! Prints the figures of identity on one process: `identity fill DIR KEYS`, `identity load DIR`, `identity call DIR KEYS CALLS`.
//! Each in a process of its own, so that one does not warm the other. `bench/identity` runs them.

#![expect(clippy::print_stdout, reason = "an example prints")]

use std::path::Path;

use gateway::identity::figures::{self, Failure};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["fill", dir, keys] => figures::fill(Path::new(dir), keys.parse()?).await?,
        ["load", dir] => {
            let loaded = figures::load(Path::new(dir))?;
            println!(
                "{} keys: read, checked and in the tables in {:.0} ms, {:.1} MB",
                loaded.keys,
                loaded.took.as_secs_f64() * 1e3,
                loaded.bytes as f64 / 1e6
            );
        }
        ["call", dir, keys, calls] => {
            let (keys, calls) = (keys.parse()?, calls.parse()?);
            let spent = figures::call(Path::new(dir), keys, calls).await?;
            println!(
                "authentication, limits, reservation and settling of a known key: {:.2} us CPU a call",
                spent.as_secs_f64() * 1e6
            );
        }
        _ => return Err("identity fill DIR KEYS | load DIR | call DIR KEYS CALLS".into()),
    }
    Ok(())
}
