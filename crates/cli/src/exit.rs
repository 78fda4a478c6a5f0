//! Exit codes as a type. Documented in docs/operating.md.

use std::io::Write as _;
use std::process::{ExitCode, Termination};

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done; for checks: passed.
    Ok,
    /// 1: a check failed, or the work could not be done.
    Failed,
    /// 2: wrong usage, or something to read is missing.
    Usage,
    /// 3: the configuration or the ledger does not allow a start.
    Refused,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
        })
    }
}

/// Prints clap's text; help and version are no error.
pub(crate) fn of_usage(error: &clap::Error) -> Exit {
    // A closed output leaves nobody to tell.
    let _printed = error.print();
    if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Ok
    }
}

/// Prints an error with its causes.
pub(crate) fn of_error(error: &anyhow::Error) -> Exit {
    let _unheard = writeln!(std::io::stderr(), "sealgate: {error:#}");
    Exit::Failed
}
