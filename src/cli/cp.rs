//! `cp`: which files go where. The rules are Docker's (moby `pkg/archive/copy.go`), as pure functions of what is at the two
//! paths; the engine does the work.

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use super::interrupt::Interrupt;
use super::report::{Failure, Outcome};
use super::value::clean;
use super::{Context, args};
use crate::engine::copy::{self, Owners};
use crate::engine::model::copy::{Sort, Source};
use crate::engine::model::{Cancel, ContainerId, units};
use crate::engine::{Engine, Error};

/// One side of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Side {
    /// A path in a container.
    There(String, String),
    /// A path here; `-` is standard input or output.
    Here(String),
}

/// `cp`.
pub fn cp(context: &Context, args: &args::Cp) -> Outcome {
    let [from, to] = args.operands.as_slice() else {
        return Err(Failure::plain("source and destination are needed"));
    };
    for (path, what) in [(from, "source"), (to, "destination")] {
        if path.is_empty() {
            return Err(Failure::plain(format_args!("{what} can not be empty")));
        }
    }
    let here = here()?;
    let engine = context.engine()?;
    let interrupt = Interrupt::watch()?;
    let job = Job::new(&engine, &here, args, interrupt.cancel());
    // Told only to somebody who looks.
    let quiet = args.quiet || !io::stdout().is_terminal();
    let (bytes, target) = job
        .carry(from, to)
        .map_err(|failure| interrupt.explain(failure, "cp: cancelled"))?;
    if !quiet && target != "-" {
        let size = units::human_size_short(bytes);
        let _ = writeln!(io::stderr(), "Successfully copied {size} to {target}");
    }
    Ok(0)
}

/// The same where there are no streams to copy from or to; answers what was done.
///
/// # Errors
/// As `cp`.
pub fn quietly(engine: &Engine, args: &args::Cp, cancel: &Cancel) -> Result<String, Failure> {
    let [from, to] = args.operands.as_slice() else {
        return Err(Failure::plain("source and destination are needed"));
    };
    if [from, to].into_iter().any(|path| path == "-") {
        return Err(Failure::plain("- is a stream, and there is none here"));
    }
    let here = here()?;
    let (bytes, target) = Job::new(engine, &here, args, cancel).carry(from, to)?;
    let size = units::human_size_short(bytes);
    Ok(format!("copied {size} to {target}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "relative paths are relative to the working directory, and this is the command line"
)]
fn here() -> Result<String, Failure> {
    let path =
        std::env::current_dir().map_err(|error| Error::io("find the working directory", error))?;
    Ok(path.to_string_lossy().into_owned())
}

struct Job<'a> {
    engine: &'a Engine,
    here: &'a str,
    follow: bool,
    owners: Owners,
    cancel: &'a Cancel,
}

impl<'a> Job<'a> {
    fn new(engine: &'a Engine, here: &'a str, args: &args::Cp, cancel: &'a Cancel) -> Self {
        Self {
            engine,
            here,
            follow: args.follow_link,
            owners: if args.archive {
                Owners::Kept
            } else {
                Owners::Caller
            },
            cancel,
        }
    }

    /// Copies; how many bytes the archive had, and where they went.
    fn carry(&self, from: &str, to: &str) -> Result<(u64, String), Failure> {
        match (side(from), side(to)) {
            (Side::There(..), Side::There(..)) => Err(Failure::plain(
                "copying between containers is not supported",
            )),
            (Side::Here(_), Side::Here(_)) => {
                Err(Failure::plain("must specify at least one container source"))
            }
            (Side::There(name, path), Side::Here(to)) => Ok((self.take(&name, &path, &to)?, to)),
            (Side::Here(from), Side::There(name, path)) => {
                let to = format!("{name}:{path}");
                Ok((self.put(&from, &name, &path)?, to))
            }
        }
    }

    /// From a container: how many bytes the archive had.
    fn take(&self, name: &str, path: &str, to: &str) -> Result<u64, Failure> {
        let id = self.engine.resolve(name)?;
        let from = absolute("/", path);
        let source = |called: String| Source {
            path: from.clone(),
            called,
            follow: self.follow,
        };
        if to == "-" {
            let mut out = io::BufWriter::with_capacity(256 << 10, io::stdout());
            let work = |out: &mut (dyn Write + Send), cancel: &Cancel| {
                self.engine.copy_out(&id, &source(base(&from)), out, cancel)
            };
            let mut counted = Counted {
                inner: &mut out,
                count: 0,
            };
            work(&mut counted, self.cancel)?;
            return Ok(counted.count);
        }
        let to = absolute(self.here, to);
        let parent = directory(&to);
        if copy::look_here(Path::new(&format!("{parent}/")))?.is_none() {
            return Err(Failure::plain(format_args!(
                "invalid output path: directory {parent:?} does not exist"
            )));
        }
        let there = self.look_there(&id, &from)?.ok_or_else(|| {
            Failure::plain(format_args!(
                "could not find the file {from} in container {name}"
            ))
        })?;
        let (to, target) = follow(to, &|path| copy::look_here(Path::new(path)))?;
        if target == Some(Sort::Special) {
            return Err(Failure::plain(format_args!(
                "invalid output path: {to:?} must be a directory or a regular file"
            )));
        }
        let place = plan(&base(&from), &there, &to, target.as_ref()).map_err(Failure::plain)?;
        let source = source(place.called);
        self.pipe(
            |out, cancel| self.engine.copy_out(&id, &source, out, cancel),
            |input, cancel| {
                copy::unpack_here(Path::new(&place.directory), self.owners, input, cancel)
            },
        )
    }

    /// Into a container: how many bytes the archive had.
    fn put(&self, from: &str, name: &str, path: &str) -> Result<u64, Failure> {
        let id = self.engine.resolve(name)?;
        let to = absolute("/", path);
        let (to, target) = follow(to, &|path| self.engine.look(&id, path))?;
        if target == Some(Sort::Special) {
            return Err(Failure::plain(format_args!(
                "destination \"{name}:{path}\" must be a directory or a regular file"
            )));
        }
        // Numbers of users are what they are, as with Docker.
        let into = |directory: &str, input: &mut (dyn Read + Send), cancel: &Cancel| {
            self.engine
                .copy_in(&id, directory, Owners::Kept, input, cancel)
        };
        if from == "-" {
            if target != Some(Sort::Directory) {
                return Err(Failure::plain(format_args!(
                    "destination \"{name}:{path}\" must be a directory"
                )));
            }
            let mut input = Counted {
                inner: io::stdin(),
                count: 0,
            };
            into(&to, &mut input, self.cancel)?;
            return Ok(input.count);
        }
        let from = absolute(self.here, from);
        let here = self.look_here(&from)?.ok_or_else(|| {
            Failure::plain(format_args!("lstat {from}: no such file or directory"))
        })?;
        let place = plan(&base(&from), &here, &to, target.as_ref()).map_err(Failure::plain)?;
        let source = Source {
            path: from,
            called: place.called,
            follow: self.follow,
        };
        self.pipe(
            |out, cancel| copy::pack_here(&source, out, cancel),
            |input, cancel| into(&place.directory, input, cancel),
        )
    }

    /// What a source in the container is, behind a link if links are followed.
    fn look_there(&self, id: &ContainerId, path: &str) -> Result<Option<Sort>, Failure> {
        let look = |path: &str| self.engine.look(id, path);
        if self.follow {
            return Ok(follow(path.to_owned(), &look)?.1);
        }
        Ok(look(path)?)
    }

    fn look_here(&self, path: &str) -> Result<Option<Sort>, Failure> {
        let look = |path: &str| copy::look_here(Path::new(path));
        if self.follow {
            return Ok(follow(path.to_owned(), &look)?.1);
        }
        Ok(look(path)?)
    }

    /// Runs what writes the archive beside what reads it.
    fn pipe(
        &self,
        write: impl FnOnce(&mut (dyn Write + Send), &Cancel) -> Result<(), Error> + Send,
        read: impl FnOnce(&mut (dyn Read + Send), &Cancel) -> Result<(), Error>,
    ) -> Result<u64, Failure> {
        let cancel = self.cancel;
        let (reader, writer) = io::pipe().map_err(|error| Error::io("make a pipe", error))?;
        let mut counted = Counted {
            inner: reader,
            count: 0,
        };
        let (written, done) = std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                let mut out = io::BufWriter::with_capacity(256 << 10, writer);
                write(&mut out, cancel)
            });
            let done = read(&mut counted, cancel);
            // What is behind the end marker is taken, so that the writer does not write into a closed pipe.
            let done = done.and_then(|()| {
                io::copy(&mut counted, &mut io::sink())
                    .map(|_| ())
                    .map_err(|error| Error::io("read the archive", error))
            });
            let count = counted.count;
            drop(counted);
            let written = writing.join().unwrap_or_else(|_panic| {
                Err(Error::new(
                    crate::engine::Kind::Internal,
                    "the archive's writer panicked",
                ))
            });
            (written, done.map(|()| count))
        });
        match (written, done) {
            // A reader that gave up is why the writer could not go on.
            (_, Err(error)) if error.kind() != crate::engine::Kind::InvalidInput => {
                Err(error.into())
            }
            // An archive that breaks off is the writer's fault.
            (Err(error), _) | (Ok(()), Err(error)) => Err(error.into()),
            (Ok(()), Ok(count)) => Ok(count),
        }
    }
}

/// Counts what goes through.
struct Counted<T> {
    inner: T,
    count: u64,
}

impl<T: Read> Read for Counted<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count += u64::try_from(read).unwrap_or(0);
        Ok(read)
    }
}

impl<T: Write> Write for Counted<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.count += u64::try_from(written).unwrap_or(0);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// `container:path`, unless it begins as a path does.
fn side(text: &str) -> Side {
    match text.split_once(':') {
        Some((name, path)) if !text.starts_with(['/', '.']) => {
            Side::There(name.to_owned(), path.to_owned())
        }
        _ => Side::Here(text.to_owned()),
    }
}

/// Clean, but what says "this directory" at its end stays there.
fn absolute(base: &str, path: &str) -> String {
    let joined = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{base}/{path}")
    };
    let clean = clean(&joined);
    let dot = path == "." || path.ends_with("/.");
    match () {
        () if clean == "/" => clean,
        () if dot => format!("{clean}/."),
        () if path.ends_with('/') => format!("{clean}/"),
        () => clean,
    }
}

/// The last part of a path; `.` for one that means what is in a directory.
fn base(path: &str) -> String {
    if path == "/" || path.ends_with("/.") {
        return ".".to_owned();
    }
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The directory above, by the text.
fn directory(path: &str) -> String {
    let clean = clean(path);
    match clean.rsplit_once('/') {
        Some(("", _)) | None => "/".to_owned(),
        Some((parent, _)) => parent.to_owned(),
    }
}

/// Follows links at the end of a path, as often as Docker does; one that leads nowhere leads to where something will be.
fn follow(
    path: String,
    look: &dyn Fn(&str) -> Result<Option<Sort>, Error>,
) -> Result<(String, Option<Sort>), Error> {
    let mut path = path;
    for _ in 0..10 {
        match look(&path)? {
            Some(Sort::Link(target)) => path = absolute(&directory(&path), &target),
            found => return Ok((path, found)),
        }
    }
    Err(Error::invalid(format!("too many symlinks in {path}")))
}

/// Where an archive is extracted, and what its top is called.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    directory: String,
    called: String,
}

/// Docker's rules, from what source and destination are.
fn plan(name: &str, source: &Sort, to: &str, target: Option<&Sort>) -> Result<Place, String> {
    let is_directory = *source == Sort::Directory;
    let renamed = || {
        // `x/.` that is not there: its directory is not, either, and that is what the user hears.
        let (directory, called) = match to.strip_suffix("/.") {
            Some(directory) => (directory.to_owned(), ".".to_owned()),
            None => (directory(to), base(to)),
        };
        Place { directory, called }
    };
    match (target, is_directory) {
        (Some(Sort::Directory), _) => Ok(Place {
            directory: to.to_owned(),
            called: name.to_owned(),
        }),
        (Some(_), true) => Err("cannot copy directory".to_owned()),
        (None, false) if to.ends_with('/') || to.ends_with("/.") => {
            Err("no such directory".to_owned())
        }
        (Some(_), false) | (None, _) => Ok(renamed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operand_is_here_or_in_a_container() {
        let there = |name: &str, path: &str| Side::There(name.to_owned(), path.to_owned());
        for (text, expect) in [
            ("web:/x", there("web", "/x")),
            ("web:x:y", there("web", "x:y")),
            ("./web:x", Side::Here("./web:x".to_owned())),
            ("/a:b", Side::Here("/a:b".to_owned())),
            ("plain", Side::Here("plain".to_owned())),
            ("-", Side::Here("-".to_owned())),
        ] {
            assert_eq!(side(text), expect, "{text}");
        }
    }

    #[test]
    fn a_path_keeps_what_says_that_it_is_a_directory() {
        for (path, whole, name) in [
            ("x", "/h/x", "x"),
            ("x/", "/h/x/", "x"),
            ("x/.", "/h/x/.", "."),
            (".", "/h/.", "."),
            ("../y", "/y", "y"),
            ("/", "/", "."),
            ("/a/../b", "/b", "b"),
        ] {
            let full = absolute("/h", path);
            assert_eq!(full, whole);
            assert_eq!(base(&full), name, "{path}");
        }
        assert_eq!(directory("/a/b/"), "/a");
        assert_eq!(directory("/a"), "/");
    }

    #[test]
    fn what_is_where_decides_what_it_is_called() {
        let place = |directory: &str, called: &str| {
            Ok(Place {
                directory: directory.to_owned(),
                called: called.to_owned(),
            })
        };
        let (file, dir) = (Sort::File, Sort::Directory);
        for (name, source, to, target, expect) in [
            ("f", &file, "/d", Some(&dir), place("/d", "f")),
            ("f", &file, "/d/", Some(&dir), place("/d/", "f")),
            ("f", &file, "/g", Some(&file), place("/", "g")),
            ("f", &file, "/d/new", None, place("/d", "new")),
            (
                "f",
                &file,
                "/d/new/",
                None,
                Err("no such directory".to_owned()),
            ),
            ("s", &dir, "/d", Some(&dir), place("/d", "s")),
            (".", &dir, "/d", Some(&dir), place("/d", ".")),
            ("s", &dir, "/new", None, place("/", "new")),
            (".", &dir, "/new/", None, place("/", "new")),
            ("s", &dir, "/new/.", None, place("/new", ".")),
            (
                "s",
                &dir,
                "/f",
                Some(&file),
                Err("cannot copy directory".to_owned()),
            ),
        ] {
            assert_eq!(plan(name, source, to, target), expect, "{name} {to}");
        }
    }

    #[test]
    fn links_are_followed_to_where_something_will_be() {
        let look = |path: &str| {
            Ok(match path {
                "/a" => Some(Sort::Link("b/c".to_owned())),
                "/b/c" => Some(Sort::Link("/gone".to_owned())),
                "/loop" => Some(Sort::Link("loop".to_owned())),
                _ => None,
            })
        };
        assert_eq!(
            follow("/a".to_owned(), &look).unwrap(),
            ("/gone".to_owned(), None)
        );
        assert!(follow("/loop".to_owned(), &look).is_err());
    }
}
