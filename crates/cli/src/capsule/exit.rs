//! How `capsule` ends.

use std::process::ExitCode;

/// The exit codes of `capsule`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, and what was checked is good.
    Pass,
    /// 1: what was checked is not good.
    Fail,
    /// 2: it could not be checked: wrong usage, a file that cannot be read, no key.
    Error,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Pass => ExitCode::SUCCESS,
            Exit::Fail => ExitCode::from(1),
            Exit::Error => ExitCode::from(2),
        }
    }
}
