//! Extended regular expressions of POSIX (regex(7)), as the C library has them: nothing else of ours needs any.

#![expect(unsafe_code, reason = "regcomp(3) has no safe wrapper")]

use std::ffi::CString;
use std::mem::MaybeUninit;

use crate::engine::error::{Error, Result};

/// A compiled expression.
pub struct Pattern {
    compiled: libc::regex_t,
}

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput) if it is none.
    pub fn new(text: &str) -> Result<Self> {
        let invalid = || Error::invalid(format!("{text:?} is not a regular expression"));
        let Ok(text) = CString::new(text) else {
            return Err(invalid());
        };
        let mut compiled = MaybeUninit::uninit();
        // SAFETY: `text` is NUL-terminated, and `compiled` is room for a regex_t that regcomp(3) fills.
        let result = unsafe {
            libc::regcomp(
                compiled.as_mut_ptr(),
                text.as_ptr(),
                libc::REG_EXTENDED | libc::REG_NOSUB,
            )
        };
        if result != 0 {
            return Err(invalid());
        }
        // SAFETY: regcomp(3) returned 0: it is initialised.
        let compiled = unsafe { compiled.assume_init() };
        Ok(Self { compiled })
    }

    /// Whether it matches anywhere in a text; never in one with a NUL byte.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Ok(text) = CString::new(text) else {
            return false;
        };
        // SAFETY: compiled by `new`, NUL-terminated; with REG_NOSUB no matches are stored.
        let result = unsafe {
            libc::regexec(
                &raw const self.compiled,
                text.as_ptr(),
                0,
                std::ptr::null_mut(),
                0,
            )
        };
        result == 0
    }
}

impl Drop for Pattern {
    fn drop(&mut self) {
        // SAFETY: compiled by `new`, freed once.
        unsafe { libc::regfree(&raw mut self.compiled) };
    }
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pattern")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_matches_what_it_says() {
        let pattern = Pattern::new("^web-[0-9]+$").unwrap();
        assert!(pattern.matches("web-12"));
        assert!(!pattern.matches("web-12x"));
        assert!(Pattern::new("x").unwrap().matches("axb"));
        assert!(Pattern::new("[").is_err());
    }
}
