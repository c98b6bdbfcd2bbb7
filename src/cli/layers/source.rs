//! Where the image is that is looked into.

use std::path::{Path, PathBuf};

use crate::cli::Context;
use crate::cli::image::check_platform;
use crate::cli::interrupt::Interrupt;
use crate::cli::report::Failure;
use crate::engine::credentials::Store;
use crate::engine::model::layers::findings::Evidence;
use crate::engine::model::layers::{Explored, Step, Target};
use crate::engine::model::{Cancel, Platform, Reference, request};
use crate::engine::{Engine, Reading};

/// An image, wherever it is, read as far as `reading` says.
pub fn explore(
    context: &Context,
    name: &str,
    wanted: Option<&Platform>,
    reading: Reading,
) -> Result<Explored, Failure> {
    let (image, _) = look_into(context, name, wanted, reading, &Cancel::new())?;
    Ok(image)
}

/// The same, with what its files say.
pub fn explore_whole(
    context: &Context,
    name: &str,
    wanted: Option<&Platform>,
) -> Result<(Explored, Evidence), Failure> {
    let interrupt = Interrupt::watch()?;
    let cancel = interrupt.cancel();
    let looked = look_into(context, name, wanted, Reading::Files, cancel);
    looked.map_err(|failure| interrupt.explain(failure, "layers: cancelled"))
}

fn look_into(
    context: &Context,
    name: &str,
    wanted: Option<&Platform>,
    reading: Reading,
    cancel: &Cancel,
) -> Result<(Explored, Evidence), Failure> {
    let target = target(context, name, wanted)?;
    let engine = engine_for(context, &target, wanted)?;
    let (engine, nothing) = (engine.as_ref(), &mut |_: Step<'_>| ());
    let (image, contents, evidence) = Engine::look_into(
        engine,
        &context.surroundings,
        &target,
        reading,
        nothing,
        cancel,
    )?;
    let evidence = match evidence {
        Some(evidence) => evidence,
        None if reading == Reading::Files => contents.evidence(&image, cancel)?,
        None => Evidence::default(),
    };
    Ok((image, evidence))
}

/// What an image's name, an archive's path or an address means.
pub fn target(context: &Context, name: &str, wanted: Option<&Platform>) -> Result<Target, Failure> {
    target_for(&context.credentials(), name, wanted)
}

/// The same for a user.
pub fn target_for(
    credentials: &Store,
    name: &str,
    wanted: Option<&Platform>,
) -> Result<Target, Failure> {
    let platform = wanted.cloned();
    Ok(match Source::parse(name) {
        Source::Stored(name) => Target::Stored(name.to_owned()),
        Source::Archive { path, name } => Target::Archive {
            path,
            name,
            platform,
            cache: cache(),
        },
        Source::Rootfs(path) => Target::Rootfs(path),
        Source::Registry(name) => {
            let reference: Reference = name.parse().map_err(Failure::plain)?;
            let wanted = request::Pull {
                auth: credentials.auth(reference.domain())?,
                reference: reference.with_default_tag(),
                all_tags: false,
                platform,
            };
            Target::Registry {
                wanted: Box::new(wanted),
                cache: cache(),
            }
        }
        Source::Engine { engine, image } => Target::Engine {
            start: engine.start,
            socket: socket(engine).map_err(Failure::plain)?,
            image: image.to_owned(),
            platform,
        },
    })
}

/// The engine, where a target needs it: what is elsewhere needs neither store nor root.
pub fn engine_for(
    context: &Context,
    target: &Target,
    wanted: Option<&Platform>,
) -> Result<Option<Engine>, Failure> {
    let Target::Stored(name) = target else {
        return Ok(None);
    };
    let found = context.engine().and_then(|engine| {
        let image = engine.image(name)?;
        Ok((engine, image))
    });
    let (engine, image) = found.map_err(|error| {
        if Path::new(name).exists() {
            error.with_hint(format!("the file of that name is ./{name}"))
        } else {
            error
        }
    })?;
    check_platform(&image, name, wanted)?;
    Ok(Some(engine))
}

/// Where lists of layers are kept (XDG Base Directory Specification); `None` without a home.
fn cache() -> Option<PathBuf> {
    let absolute = |name| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("wharf/layers"))
}

/// Where an image is.
#[derive(Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// In the store.
    Stored(&'a str),
    /// In an archive, perhaps as one of several.
    Archive { path: PathBuf, name: Option<String> },
    /// A root file system in one archive.
    Rootfs(PathBuf),
    /// In its registry.
    Registry(&'a str),
    /// With another engine of this host.
    Engine {
        engine: &'static Other,
        image: &'a str,
    },
}

/// Another engine: what stands before an image of it, the variable that says where its socket is, and where that usually is.
#[derive(Debug, PartialEq, Eq)]
pub struct Other {
    start: &'static str,
    variable: &'static str,
    sockets: &'static [&'static str],
}

/// Engines that serve Docker's interface.
const ENGINES: &[Other] = &[
    Other {
        start: "docker://",
        variable: "DOCKER_HOST",
        sockets: &["/run/docker.sock", "/var/run/docker.sock"],
    },
    Other {
        start: "podman://",
        variable: "CONTAINER_HOST",
        sockets: &["/run/podman/podman.sock"],
    },
];

/// What stands before an image of a registry.
const REGISTRY: &str = "registry://";

/// What stands before the archive of a root file system.
const ROOTFS: &str = "rootfs:";

/// What stands before an archive's path, as dive and skopeo have it. What an archive is, it says itself.
const TRANSPORTS: &[&str] = &["docker-archive:", "oci-archive:", "oci:"];

/// Where another engine listens.
fn socket(engine: &Other) -> Result<PathBuf, String> {
    let said = std::env::var(engine.variable).ok();
    let Some(said) = said.filter(|at| !at.is_empty()) else {
        let all = || engine.sockets.iter().map(PathBuf::from);
        let there = all().find(|path| path.exists());
        return Ok(there.or_else(|| all().next()).unwrap_or_default());
    };
    said.strip_prefix("unix://")
        .map(PathBuf::from)
        .ok_or_else(|| {
            format!(
                "{} is {said:?}: an image is read from a socket of this host alone (unix://PATH)",
                engine.variable
            )
        })
}

impl<'a> Source<'a> {
    /// `docker-archive:FILE[:NAME]`, the same with `//`, a path that begins with `/` or `.`, or `-`; `registry://NAME`, an
    /// image of another engine; else a name.
    pub fn parse(text: &'a str) -> Self {
        if let Some(name) = text.strip_prefix(REGISTRY) {
            return Self::Registry(name);
        }
        if let Some(path) = text.strip_prefix(ROOTFS) {
            return Self::Rootfs(PathBuf::from(path));
        }
        for engine in ENGINES {
            if let Some(image) = text.strip_prefix(engine.start) {
                return Self::Engine { engine, image };
            }
        }
        if let Some(rest) = TRANSPORTS.iter().find_map(|start| text.strip_prefix(start)) {
            return archive(rest.strip_prefix("//").unwrap_or(rest));
        }
        if text == "-" || text.starts_with(['/', '.']) {
            return archive(text);
        }
        Self::Stored(text)
    }
}

fn archive(text: &str) -> Source<'static> {
    // A name may have a colon, and a path, too: what is there as a file is a path.
    let whole = PathBuf::from(text);
    match text.split_once(':') {
        Some((path, name)) if !whole.exists() => Source::Archive {
            path: PathBuf::from(path),
            name: Some(name.to_owned()),
        },
        _ => Source::Archive {
            path: whole,
            name: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_name_or_a_path() {
        let archive = |path: &str, name: Option<&str>| Source::Archive {
            path: path.into(),
            name: name.map(str::to_owned),
        };
        assert_eq!(
            Source::parse("host:5000/a:1"),
            Source::Stored("host:5000/a:1")
        );
        assert_eq!(Source::parse("-"), archive("-", None));
        assert_eq!(Source::parse("./a.tar"), archive("./a.tar", None));
        assert_eq!(
            Source::parse("docker-archive:a.tar:b:1"),
            archive("a.tar", Some("b:1"))
        );
        assert_eq!(
            Source::parse("docker-archive:///a.tar"),
            archive("/a.tar", None)
        );
        assert_eq!(Source::parse("oci:/layout"), archive("/layout", None));
    }

    #[test]
    fn an_image_may_be_elsewhere() {
        let name = "host:5000/a:1";
        assert_eq!(
            Source::parse("registry://host:5000/a:1"),
            Source::Registry(name)
        );
        assert_eq!(Source::parse("rootfs:-"), Source::Rootfs("-".into()));
        for engine in ENGINES {
            let text = format!("{}{name}", engine.start);
            assert_eq!(
                Source::parse(&text),
                Source::Engine {
                    engine,
                    image: name
                }
            );
        }
    }
}
