//! `cp`: files out of a container as an archive, an archive into a container, and the same for the host's own files.
//!
//! A path of a container is resolved in its root by descriptor, for a running one in its own mount namespace: a container
//! that swaps a directory for a link meanwhile leads nobody out of it (CVE-2018-15664), nothing is mounted for it
//! (CVE-2026-42306), and no program of the container is run (CVE-2019-14271, CVE-2026-41567).

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::error::{Attempt, Error, Kind, Result};
use super::files::with_root;
pub use super::images::extract::Owners;
use super::images::extract::{self, Ground};
use super::images::pack::{Packer, Writer};
use super::model::copy::{Sort, Source};
use super::model::{Cancel, ContainerId};
use super::runtime::view::Reach;
use super::sys::at::{self, Dir, Stat};
use super::sys::file;
use super::sys::rooted::{self, Rooted};
use super::{Engine, records};

/// What is at a path of a container; `None` if there is nothing.
pub(super) fn look(engine: &Engine, id: &ContainerId, path: &str) -> Result<Option<Sort>> {
    with_root(engine, id, Reach::Everything, |root| {
        let (dir, name) = parts(path);
        let Some(dir) = find_dir(root, &dir)? else {
            return Ok(None);
        };
        sort_of(&dir, name.as_deref())
    })
}

/// Writes a file or directory of a container as an archive.
pub(super) fn copy_out(
    engine: &Engine,
    id: &ContainerId,
    source: &Source,
    out: &mut (dyn Write + Send),
    cancel: &Cancel,
) -> Result<()> {
    let container = records::expect(engine.roots(), id)?;
    let missing = || missing(&source.path, &container.name);
    with_root(engine, id, Reach::Everything, |root| {
        let mut writer = Writer::new(out, cancel);
        let mut packer = Packer::new(&mut writer);
        let (dir, name) = parts(&source.path);
        let dir = find_dir(root, &dir)?.ok_or_else(missing)?;
        let stat = match &name {
            Some(name) => dir.stat(name.as_bytes())?.ok_or_else(missing)?,
            None => dir.stat_self()?,
        };
        match name {
            Some(_) if source.follow && stat.kind == at::Kind::Symlink => {
                let path = Path::new(&source.path);
                let found = root.resolve(path).map_err(|error| match error.kind() {
                    Kind::NotFound => missing(),
                    _ => error,
                })?;
                followed(&mut packer, found, source)?;
            }
            name => one(&mut packer, dir, name.as_deref(), &stat, source)?,
        }
        writer.finish()
    })?;
    engine.note(&container, "archive-path", &[("path", &source.path)]);
    Ok(())
}

/// Extracts an archive into a directory of a container.
pub(super) fn copy_in(
    engine: &Engine,
    id: &ContainerId,
    directory: &str,
    owners: Owners,
    input: &mut (dyn Read + Send),
    cancel: &Cancel,
) -> Result<()> {
    let container = records::expect(engine.roots(), id)?;
    with_root(engine, id, Reach::Everything, |root| {
        let path = Path::new(directory);
        let found = match root.resolve(path) {
            Err(error) if is_nowhere(&error) => return Err(missing(directory, &container.name)),
            other => other?,
        };
        if !rooted::is_dir(found.as_fd(), path)? {
            return Err(Error::invalid(format!(
                "extraction point is not a directory: {directory}"
            )));
        }
        let of_root = rooted::identity(found.as_fd())?.0 == rooted::identity(root.as_fd())?.0;
        if container.host.readonly_rootfs && of_root {
            return Err(Error::new(
                Kind::Denied,
                "container rootfs is marked read-only",
            ));
        }
        extract::extract(input, &Ground::Inside(root, path), owners, cancel)
    })?;
    engine.note(&container, "extract-to-dir", &[("path", directory)]);
    Ok(())
}

/// What is at a path of the host; `None` if there is nothing.
///
/// # Errors
/// What the file system says.
pub fn look_here(path: &Path) -> Result<Option<Sort>> {
    let text = path.to_string_lossy();
    let (dir, name) = parts(&text);
    match open_here(Path::new(&dir)) {
        Ok(dir) => sort_of(&dir, name.as_deref()),
        Err(error) if is_nowhere(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file or directory of the host as an archive.
///
/// # Errors
/// [`Kind::NotFound`]; what reading and writing say.
pub fn pack_here(source: &Source, out: &mut (dyn Write + Send), cancel: &Cancel) -> Result<()> {
    let mut writer = Writer::new(out, cancel);
    let mut packer = Packer::new(&mut writer);
    let missing = || Error::not_found(format!("lstat {}: no such file or directory", source.path));
    let (dir, name) = parts(&source.path);
    let dir = match open_here(Path::new(&dir)) {
        Err(error) if is_nowhere(&error) => return Err(missing()),
        other => other?,
    };
    let stat = match &name {
        Some(name) => dir.stat(name.as_bytes())?.ok_or_else(missing)?,
        None => dir.stat_self()?,
    };
    if name.is_some() && source.follow && stat.kind == at::Kind::Symlink {
        let path = file::canonical(Path::new(&source.path))?;
        let found = Rooted::open(Path::new("/"))?.resolve(&path)?;
        followed(&mut packer, found, source)?;
    } else {
        one(&mut packer, dir, name.as_deref(), &stat, source)?;
    }
    writer.finish()
}

/// Extracts an archive into a directory of the host. No link below that directory is followed.
///
/// # Errors
/// As [`extract::extract`].
pub fn unpack_here(
    directory: &Path,
    owners: Owners,
    input: &mut (dyn Read + Send),
    cancel: &Cancel,
) -> Result<()> {
    let dir = open_here(directory)?;
    extract::extract(input, &Ground::Below(&dir), owners, cancel)
}

/// A directory of the host, links on the way followed: the user named it.
fn open_here(path: &Path) -> Result<Dir> {
    Dir::open(&file::canonical(path)?)
}

fn find_dir(root: &Rooted, path: &str) -> Result<Option<Dir>> {
    let path = Path::new(path);
    match root.resolve(path) {
        Ok(fd) if rooted::is_dir(fd.as_fd(), path)? => Dir::reopen(fd.as_fd(), path).map(Some),
        Ok(_) => Ok(None),
        Err(error) if is_nowhere(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn sort_of(dir: &Dir, name: Option<&str>) -> Result<Option<Sort>> {
    let Some(name) = name else {
        return Ok(Some(Sort::Directory));
    };
    let name = name.as_bytes();
    let Some(stat) = dir.stat(name)? else {
        return Ok(None);
    };
    Ok(Some(match stat.kind {
        at::Kind::Directory => Sort::Directory,
        at::Kind::File => Sort::File,
        at::Kind::Symlink => {
            Sort::Link(String::from_utf8_lossy(&dir.read_link(name)?).into_owned())
        }
        at::Kind::Char | at::Kind::Block | at::Kind::Fifo | at::Kind::Socket => Sort::Special,
    }))
}

/// Packs an entry of a directory, or without a name the directory itself.
fn one(
    packer: &mut Packer<'_, '_>,
    dir: Dir,
    name: Option<&str>,
    stat: &Stat,
    source: &Source,
) -> Result<()> {
    let called = source.called.as_bytes();
    let Some(name) = name else {
        return packer.tree(&dir, called);
    };
    let gone = || Error::not_found(format!("{} is something else by now", source.path));
    match stat.kind {
        at::Kind::Directory => {
            let inner = dir.find_dir(name.as_bytes())?.ok_or_else(gone)?;
            packer.tree(&inner, called)
        }
        _ => packer.entry(&dir, name.as_bytes(), called).map(|_| ()),
    }
}

/// Packs what a link led to.
fn followed(packer: &mut Packer<'_, '_>, found: OwnedFd, source: &Source) -> Result<()> {
    let path = Path::new(&source.path);
    let called = source.called.as_bytes();
    if rooted::is_dir(found.as_fd(), path)? {
        return packer.tree(&Dir::reopen(found.as_fd(), path)?, called);
    }
    let file = at::open_regular(found.as_fd()).attempt(|| format!("open {}", source.path))?;
    packer.file(file, called)
}

fn missing(path: &str, container: &str) -> Error {
    Error::not_found(format!(
        "could not find the file {path} in container {container}"
    ))
}

/// Nothing is there, or something on the way is no directory.
fn is_nowhere(error: &Error) -> bool {
    const ENOTDIR: i32 = 20;
    rooted::is_missing(error) || error.raw_os_error() == Some(ENOTDIR)
}

/// The directory of a path and the name in it; no name for a path that must be a directory itself. By its text, as Docker
/// cleans it.
fn parts(path: &str) -> (String, Option<String>) {
    let mut names: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            part => names.push(part),
        }
    }
    let whole = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    let last = if whole { None } else { names.pop() };
    (format!("/{}", names.join("/")), last.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_directory_and_a_name() {
        for (path, dir, name) in [
            ("/etc/passwd", "/etc", Some("passwd")),
            ("/etc/", "/etc", None),
            ("/etc/.", "/etc", None),
            ("/", "/", None),
            ("/a/../b", "/", Some("b")),
            ("/a/b/..", "/a", None),
            ("/../x", "/", Some("x")),
        ] {
            let expect = (dir.to_owned(), name.map(str::to_owned));
            assert_eq!(parts(path), expect, "{path}");
        }
    }
}
