//! The variables that a program starts with.

use std::collections::HashSet;
use std::ffi::CString;

use super::program::c_string;
use crate::engine::error::{Attempt, Error, Result};

/// What the program gets: of a name that is there twice the last one counts, and there always is a `HOME`; `home` is asked
/// if there is none (as with runc, an empty one is none).
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput) for what is no variable.
pub(super) fn make(
    given: &[String],
    home: impl FnOnce() -> Result<String>,
) -> Result<Vec<CString>> {
    let mut seen = HashSet::with_capacity(given.len());
    let mut list = Vec::with_capacity(given.len() + 1);
    for (number, entry) in given.iter().enumerate().rev() {
        let field = || format!("process.env[{number}]");
        let (name, value) = split(entry).attempt(field)?;
        let counts = seen.insert(name) && !(name == "HOME" && value.is_empty());
        if counts {
            list.push(c_string(entry).attempt(field)?);
        }
    }
    list.reverse();
    if !list
        .iter()
        .any(|entry| entry.as_bytes().starts_with(b"HOME="))
    {
        list.push(c_string(&format!("HOME={}", home()?))?);
    }
    Ok(list)
}

/// Name and value.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput) for what is no variable.
pub(in crate::engine::runtime) fn split(entry: &str) -> Result<(&str, &str)> {
    let invalid = |why: &str| Error::invalid(format!("invalid environment variable: {why}"));
    match entry.split_once('=') {
        None => Err(invalid("missing '='")),
        Some(("", _)) => Err(invalid("name cannot be empty")),
        Some(both) => Ok(both),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &[&str], expect: Result<&[&str], &str>) {
        let given: Vec<String> = given.iter().map(|entry| (*entry).to_owned()).collect();
        let got = make(&given, || Ok("/root".to_owned()))
            .map(|list| {
                list.into_iter()
                    .map(|entry| entry.into_string().unwrap())
                    .collect::<Vec<_>>()
            })
            .map_err(|error| error.to_string());
        let expect = expect
            .map(|list| list.iter().map(|entry| (*entry).to_owned()).collect())
            .map_err(str::to_owned);
        assert_eq!(got, expect, "{given:?}");
    }

    #[test]
    fn the_last_of_a_name_counts_and_home_is_never_missing() {
        check(&[], Ok(&["HOME=/root"]));
        check(&["A=1", "B=", "A=2"], Ok(&["B=", "A=2", "HOME=/root"]));
        check(&["HOME=/x", "A=b=c"], Ok(&["HOME=/x", "A=b=c"]));
        check(&["HOME="], Ok(&["HOME=/root"]));
        check(&["HOME=/x", "HOME="], Ok(&["HOME=/root"]));
    }

    #[test]
    fn what_is_no_variable_is_refused() {
        check(
            &["A"],
            Err("process.env[0]: invalid environment variable: missing '='"),
        );
        check(
            &["A=1", "=x"],
            Err("process.env[1]: invalid environment variable: name cannot be empty"),
        );
        check(
            &["A=\0"],
            Err("process.env[0]: a NUL byte cannot be part of it"),
        );
    }
}
