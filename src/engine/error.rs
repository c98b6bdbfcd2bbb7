//! The one error of everything that acts: what was attempted, on what, why it did not work and what to do next.
//!
//! Parsers have exact error enums of their own; they become an [`Error`] where a request meets the engine.

use std::fmt;

/// What went wrong, for decisions: exit code, HTTP status, severity on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request itself is malformed or contradicts itself.
    InvalidInput,
    /// The named object does not exist.
    NotFound,
    /// The name or path is taken.
    AlreadyExists,
    /// The object is in a state in which this cannot be done.
    Conflict,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// The kernel or a policy refuses.
    Denied,
    /// Neither this host nor this version can do it.
    Unsupported,
    /// Something needed does not answer.
    Unavailable,
    /// The disk, or a limit, is full.
    NoSpace,
    /// It took longer than the caller allowed.
    Timeout,
    /// The caller asked to stop.
    Cancelled,
    /// The container's command exists but cannot be executed (Docker's exit code 126).
    CommandNotRunnable,
    /// The container's command does not exist (Docker's exit code 127).
    CommandNotFound,
    /// A defect of wharf, or of data that wharf wrote.
    Internal,
}

/// An error of the engine. `Display` prints `message: source: source…` in one line.
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    hint: Option<String>,
}

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without an underlying cause. `message` is lower case, without a full stop, and names the subject.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
            hint: None,
        }
    }

    /// The request is malformed.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidInput, message)
    }

    /// The object does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// The object's state forbids it.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// Not available in this version or on this host.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, message)
    }

    /// A system call or file operation that failed: the kind follows from the error number.
    pub fn io(message: impl Into<String>, source: std::io::Error) -> Self {
        let kind = kind_of_io(&source);
        Self {
            kind,
            message: message.into(),
            source: Some(Box::new(source)),
            hint: None,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds what the user can do next, a sentence fragment without a full stop.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Replaces the kind, where the caller knows more than the layer below.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Wraps this error in what was being attempted; kind and hint stay.
    #[must_use]
    pub fn attempting(self, what: impl Into<String>) -> Self {
        let (kind, hint) = (self.kind, self.hint.clone());
        Self {
            kind,
            message: what.into(),
            hint,
            source: Some(Box::new(self)),
        }
    }

    /// The kind, for decisions.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the user can do next.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The outermost message alone, without its causes.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The error number of the system call at the bottom, if that is what failed.
    pub fn raw_os_error(&self) -> Option<i32> {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = next {
            if let Some(io) = error.downcast_ref::<std::io::Error>() {
                return io.raw_os_error();
            }
            next = error.source();
        }
        None
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            None => Ok(()),
            Some(source) => match source.downcast_ref::<std::io::Error>() {
                Some(io) => write!(f, ": {}", describe_io(io)),
                None => write!(f, ": {source}"),
            },
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Adds what was attempted to any failing result, in one word at the call site.
pub trait Attempt<T> {
    /// `mount(&path).attempt(|| format!("mount proc at {}", path.display()))?`
    ///
    /// # Errors
    /// The same failure, wrapped.
    fn attempt<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Attempt<T> for Result<T, Error> {
    fn attempt<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| error.attempting(what()))
    }
}

impl<T> Attempt<T> for Result<T, std::io::Error> {
    fn attempt<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| Error::io(what(), error))
    }
}

fn kind_of_io(error: &std::io::Error) -> Kind {
    use std::io::ErrorKind as Io;
    const NO_PROCESS: i32 = 3;
    match error.kind() {
        _ if error.raw_os_error() == Some(NO_PROCESS) => Kind::NotFound,
        Io::NotFound => Kind::NotFound,
        Io::AlreadyExists => Kind::AlreadyExists,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => Kind::Denied,
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Kind::NoSpace,
        Io::TimedOut => Kind::Timeout,
        Io::InvalidInput | Io::InvalidData | Io::UnexpectedEof => Kind::InvalidInput,
        Io::Unsupported => Kind::Unsupported,
        Io::ResourceBusy => Kind::Conflict,
        Io::ConnectionRefused | Io::ConnectionReset | Io::BrokenPipe => Kind::Unavailable,
        _ => Kind::Internal,
    }
}

/// The kernel's sentence without Rust's "(os error N)", in lower case as the rest of the line.
fn describe_io(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if !chars.as_str().starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_prints_every_attempt_and_the_kernels_reason_in_one_line() {
        let low = Error::io("open /x/y", std::io::Error::from_raw_os_error(2));
        let high = low.attempting("load image");
        assert_eq!(
            high.to_string(),
            "load image: open /x/y: no such file or directory"
        );
        assert_eq!(high.kind(), Kind::NotFound);
        assert_eq!(high.raw_os_error(), Some(2));
    }

    #[test]
    fn a_hint_survives_wrapping() {
        let error = Error::conflict("name taken")
            .with_hint("choose another")
            .attempting("create web");
        assert_eq!(error.hint(), Some("choose another"));
    }
}
