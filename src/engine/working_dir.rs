//! The working directory of a container, made with the container as Docker does it: what is copied there before the first
//! start finds it, and a file in its place is told at once.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use oci_spec::runtime::Spec;

use super::error::{Error, Result};
use super::images::changes::{self, find_lower};
use super::model::Container;
use super::runtime::view;
use super::sys::at;
use super::sys::file;
use super::sys::process;
use super::{Engine, containers, launch};

/// What is mounted over with every start: what would be made there is not what the container will see.
const MOUNTED: &[&str] = &["dev", "proc", "sys"];

/// Makes it in the container's own layer, if the image has no such directory. `stage` is the container's directory.
///
/// # Errors
/// What is in the way, by its path.
pub(super) fn make(engine: &Engine, container: &Container, stage: &Path) -> Result<()> {
    let path = Path::new(&container.config.working_dir);
    let Ok(below) = path.strip_prefix("/") else {
        return Ok(());
    };
    let Some(first) = below.components().next() else {
        return Ok(());
    };
    if MOUNTED.iter().any(|name| below.starts_with(name)) {
        return Ok(());
    }
    let layers = container.layers.iter();
    let layers: Vec<_> = layers
        .map(|layer| engine.images_store().layer_dir(layer))
        .collect();
    let layers = changes::open_layers(&layers)?;
    let found = |path: &Path| -> Result<Option<at::Kind>> {
        let Some((dir, name)) = find_lower(&layers, path.as_os_str().as_bytes())? else {
            return Ok(None);
        };
        Ok(dir.stat(&name)?.map(|stat| stat.kind))
    };
    let is_plain = below
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let made = match found(below)? {
        Some(at::Kind::Directory) if is_plain => Ok(()),
        // Nothing of the image is on the way: nothing has to be mounted to see where it leads.
        None if is_plain && found(first.as_ref())?.is_none() => {
            let upper = stage.join("upper");
            let mut parts: Vec<_> = below.ancestors().collect();
            // The path itself is the last, and the empty one above them all is the first.
            parts.reverse();
            let mut parts = parts.iter().skip(1);
            parts.try_for_each(|part| file::create_dir_like(&upper.join(part), None))
        }
        Some(_) | None => make_in_root(engine, container, stage, path),
    };
    made.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOTDIR) => Error::invalid(format!(
            "cannot make the working directory: {} is not a directory",
            path.display()
        )),
        _ => error.attempting("make the working directory"),
    })
}

/// The same, whatever links and layers there are on the way.
fn make_in_root(engine: &Engine, container: &Container, stage: &Path, path: &Path) -> Result<()> {
    let rootfs = launch::rootfs_in(engine, container, stage);
    let mut spec = Spec::default();
    spec.set_mounts(Some(Vec::new()));
    let cgroup = containers::group(engine, container)?;
    view::of_layers(&rootfs, &spec, &cgroup, |root| {
        // The thread's own, as it has its own mount namespace.
        process::set_umask(0o022);
        root.make_dirs(path).map(drop)
    })
}
