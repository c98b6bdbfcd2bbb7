//! How a verb ends: its exit code, or the one place where an error becomes lines on standard error.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::engine::{Error, Kind};

/// What a verb returns: the exit code.
pub type Outcome = Result<u8, Failure>;

/// Exit code of an error of the engine in `run` and of a wrong command line.
pub const ENGINE: u8 = 125;

/// Why a verb did not do what was asked.
#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong: text as it is, with all its lines.
    Usage {
        /// What is printed, without a newline at the end.
        text: String,
        /// Exit code.
        code: u8,
    },
    /// The engine says no.
    Engine {
        /// What it says.
        error: Box<Error>,
        /// Exit code; see [`Failure::in_run`].
        code: u8,
    },
    /// Everything was said already.
    Said(u8),
    /// Whoever read our output is gone; nobody is there to tell.
    Closed,
}

/// Exit code of a process that SIGPIPE ended, which is what a reader's end means here.
const CLOSED: u8 = 128 + 13;

impl Failure {
    /// `wharf: text`, exit code 1.
    pub fn plain(text: impl std::fmt::Display) -> Self {
        Self::Usage {
            text: format!("wharf: {text}"),
            code: 1,
        }
    }

    /// A template that is none, where Docker has a code of its own for it: `inspect`, `version`, `info`.
    #[must_use]
    pub fn template(text: impl std::fmt::Display) -> Self {
        Self::Usage {
            text: format!("wharf: template parsing error: {text}"),
            code: 64,
        }
    }

    /// For `run`: 126 and 127 say that the command is at fault, 125 that the engine is (docker run, "Exit status").
    #[must_use]
    pub fn in_run(self) -> Self {
        match self {
            Self::Engine { error, .. } => Self::Engine {
                code: run_code(error.kind()),
                error,
            },
            Self::Usage { text, code: 1 } => Self::Usage { text, code: ENGINE },
            other @ (Self::Usage { .. } | Self::Said(_) | Self::Closed) => other,
        }
    }

    /// The same with another exit code.
    #[must_use]
    pub fn with_code(self, code: u8) -> Self {
        match self {
            Self::Engine { error, .. } => Self::Engine { error, code },
            Self::Usage { text, .. } => Self::Usage { text, code },
            Self::Said(_) => Self::Said(code),
            Self::Closed => Self::Closed,
        }
    }

    /// For `exec`: 126 and 127 as in `run`, anything else is 1.
    #[must_use]
    pub fn in_exec(self) -> Self {
        match self {
            Self::Engine { error, .. } => Self::Engine {
                code: match run_code(error.kind()) {
                    ENGINE => 1,
                    code => code,
                },
                error,
            },
            other @ (Self::Usage { .. } | Self::Said(_) | Self::Closed) => other,
        }
    }

    /// Says it, once, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        let (text, code) = match self {
            Self::Usage { text, code } => (text.clone(), *code),
            Self::Engine { error, code } => (line(error), *code),
            Self::Said(code) => return ExitCode::from(*code),
            Self::Closed => return ExitCode::from(CLOSED),
        };
        // Nobody is left to be told when standard error itself is closed.
        let _ = writeln!(io::stderr(), "{text}");
        ExitCode::from(code)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine {
            error: Box::new(error),
            code: 1,
        }
    }
}

/// Errors of writing to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Error::io("write to standard output", error).into()
        }
    }
}

/// What was attempted and what to do, in one line: `wharf: create web: name is taken; remove it or choose another`.
pub fn line(error: &Error) -> String {
    // A name from outside may hold a newline; one error stays one line.
    let text = match error.hint() {
        Some(hint) => format!("wharf: {error}; {hint}"),
        None => format!("wharf: {error}"),
    };
    text.replace('\n', " ")
}

/// Tells about one of several operands and goes on.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn run_code(kind: Kind) -> u8 {
    match kind {
        Kind::CommandNotRunnable => 126,
        Kind::CommandNotFound => 127,
        Kind::InvalidInput
        | Kind::NotFound
        | Kind::AlreadyExists
        | Kind::Conflict
        | Kind::Unauthorized
        | Kind::Denied
        | Kind::Unsupported
        | Kind::Unavailable
        | Kind::NoSpace
        | Kind::Timeout
        | Kind::Cancelled
        | Kind::Internal => ENGINE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(failure: &Failure) -> u8 {
        match failure {
            Failure::Usage { code, .. } | Failure::Engine { code, .. } | Failure::Said(code) => {
                *code
            }
            Failure::Closed => CLOSED,
        }
    }

    #[test]
    fn an_error_is_one_line_with_its_hint() {
        let error = Error::conflict("name \"web\" is taken")
            .with_hint("choose another")
            .attempting("create web");
        assert_eq!(
            line(&error),
            "wharf: create web: name \"web\" is taken; choose another"
        );
    }

    #[test]
    fn run_tells_a_faulty_command_from_a_faulty_engine() {
        for (kind, run, exec) in [
            (Kind::CommandNotFound, 127, 127),
            (Kind::CommandNotRunnable, 126, 126),
            (Kind::NotFound, 125, 1),
        ] {
            let failure = || Failure::from(Error::new(kind, "x"));
            assert_eq!(code(&failure().in_run()), run);
            assert_eq!(code(&failure().in_exec()), exec);
            assert_eq!(code(&failure()), 1);
        }
    }

    #[test]
    fn a_closed_pipe_is_not_an_error_to_talk_about() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(failure, Failure::Closed));
    }
}
