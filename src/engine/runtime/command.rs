//! Finds the program to execute, inside the container and with its final rights, and words what is wrong as Docker does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::engine::error::{Error, Kind, Result};
use crate::engine::sys::process::{Executable, look};

/// The file that a command name means: the name itself if it has a slash, otherwise the first one in the search path.
///
/// # Errors
/// [`Kind::CommandNotFound`] or [`Kind::CommandNotRunnable`].
pub(super) fn find(name: &str, search: &OsStr) -> Result<PathBuf> {
    let fail = |kind, why: &str| Error::new(kind, format!("exec: {name:?}: {why}"));
    if name.contains('/') {
        return match look(Path::new(name)) {
            Executable::Yes => Ok(PathBuf::from(name)),
            Executable::Missing => Err(fail(
                Kind::CommandNotFound,
                &format!("stat {name}: no such file or directory"),
            )),
            Executable::Directory => Err(fail(Kind::CommandNotRunnable, "is a directory")),
            Executable::NotAllowed => Err(fail(Kind::CommandNotRunnable, "permission denied")),
        };
    }
    let not_found = || fail(Kind::CommandNotFound, "executable file not found in $PATH");
    if name.is_empty() {
        return Err(not_found());
    }
    search
        .as_bytes()
        .split(|byte| *byte == b':')
        .map(|dir| match dir {
            [] => Path::new("."),
            dir => Path::new(OsStr::from_bytes(dir)),
        })
        .map(|dir| dir.join(name))
        .find(|candidate| look(candidate) == Executable::Yes)
        .ok_or_else(not_found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn kind_and_text(name: &str, search: &OsStr) -> (Kind, String) {
        let error = find(name, search).unwrap_err();
        (error.kind(), error.to_string())
    }

    #[test]
    fn a_command_that_cannot_be_run_is_told_in_dockers_words() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "x").unwrap();
        std::fs::set_permissions(&plain, std::fs::Permissions::from_mode(0o644)).unwrap();
        let program = dir.path().join("program");
        std::fs::write(&program, "x").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let search = format!("/nonexistent::{}", dir.path().display());
        let search = OsStr::new(&search);

        assert_eq!(find("program", search).unwrap(), program);
        for name in ["nosuch", "plain", ""] {
            let text = format!("exec: {name:?}: executable file not found in $PATH");
            assert_eq!(kind_and_text(name, search), (Kind::CommandNotFound, text));
        }
        let text = "exec: \"/nosuch\": stat /nosuch: no such file or directory".to_owned();
        assert_eq!(
            kind_and_text("/nosuch", search),
            (Kind::CommandNotFound, text)
        );
        let text = "exec: \"/usr\": is a directory".to_owned();
        assert_eq!(
            kind_and_text("/usr", search),
            (Kind::CommandNotRunnable, text)
        );
        let name = plain.to_str().unwrap();
        let text = format!("exec: {name:?}: permission denied");
        assert_eq!(
            kind_and_text(name, search),
            (Kind::CommandNotRunnable, text)
        );
    }
}
