//! How many bytes a directory tree holds.

use std::collections::HashSet;
use std::path::Path;

use super::at::{Dir, Kind};
use crate::engine::error::{self, Result};

/// Bytes of the files in a directory and below it, each inode once; 0 if it is not there. What goes away meanwhile, or is
/// deeper than a path can say, is not counted.
///
/// # Errors
/// What the system calls say.
pub fn tree(path: &Path) -> Result<u64> {
    match Dir::open(path) {
        Ok(dir) => below(&dir),
        Err(error) if error.kind() == error::Kind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// The same of an open directory.
///
/// # Errors
/// As [`tree`].
pub fn below(root: &Dir) -> Result<u64> {
    let mut bytes = 0_u64;
    let mut linked = HashSet::new();
    let mut paths: Vec<Vec<u8>> = vec![Vec::new()];
    while let Some(path) = paths.pop() {
        let Ok(Some(dir)) = root.find_dir(&path) else {
            continue;
        };
        for name in dir.names()? {
            let Some(stat) = dir.stat(&name)? else {
                continue;
            };
            match stat.kind {
                Kind::Directory if path.is_empty() => paths.push(name),
                Kind::Directory => paths.push([path.as_slice(), b"/", name.as_slice()].concat()),
                Kind::File if stat.links > 1 && !linked.insert(stat.inode) => {}
                Kind::File => bytes = bytes.saturating_add(stat.size),
                _ => {}
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_counts_once() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("x"), [0; 1000]).unwrap();
        std::fs::hard_link(deep.join("x"), root.path().join("y")).unwrap();
        std::fs::write(root.path().join("z"), [0; 24]).unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("link")).unwrap();
        assert_eq!(tree(root.path()).unwrap(), 1024);
        assert_eq!(tree(&root.path().join("nosuch")).unwrap(), 0);
    }
}
