//! What `linux.cgroupsPath` means: a place below every hierarchy, below our own group, or a systemd unit. Pure.
//!
//! Nothing here follows links or climbs: `..` is refused in every form, so that no text can name a group outside of the
//! place that its author was given.

use std::path::{Component, Path, PathBuf};

use super::PARENT;
use crate::engine::error::{Error, Result};

/// Who makes the groups (`--cgroup-manager`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// We do, with mkdir(2) and write(2).
    #[default]
    Cgroupfs,
    /// systemd does, asked over D-Bus; what it does not know is written by us afterwards.
    Systemd,
    /// Nobody: the container stays in its creator's groups and has no limits.
    Disabled,
}

/// Where a container's groups are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Below the root of every hierarchy, as far as we see it.
    Root(PathBuf),
    /// Below the group that we are in ourselves.
    Own(PathBuf),
    /// A unit of systemd.
    Unit(Unit),
}

/// A unit of systemd that holds a container.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Unit {
    /// The slice that it is part of, `user-1000.slice`.
    pub slice: String,
    /// Its name, `prefix-name.scope`, or a slice's.
    pub name: String,
}

impl Unit {
    /// A slice instead of a scope: it has no processes of its own to begin with.
    pub(super) fn is_slice(&self) -> bool {
        has_suffix(&self.name, ".slice")
    }

    /// The group's path below the one that systemd itself is the root of.
    pub(super) fn path(&self) -> Result<PathBuf> {
        Ok(expand_slice(&self.slice)?.join(&self.name))
    }
}

/// Reads `linux.cgroupsPath`. `id` names the group if there is none.
///
/// # Errors
/// A path with `..` or without a name, a slice that is none. The message begins with the field.
pub(super) fn parse(driver: Driver, path: Option<&Path>, id: &str) -> Result<Place> {
    let path = path.filter(|path| !path.as_os_str().is_empty());
    match (driver, path) {
        (Driver::Systemd, path) => unit(path, id).map(Place::Unit),
        (_, None) => plain(Path::new(id)).map(|name| Place::Root(Path::new(PARENT).join(name))),
        (_, Some(path)) if path.is_absolute() => plain(path).map(Place::Root),
        (_, Some(path)) => plain(path).map(Place::Own),
    }
}

/// A path without its root, `.` and doubled slashes; never empty.
pub(super) fn plain(path: &Path) -> Result<PathBuf> {
    let refuse = |why: &str| {
        Err(Error::invalid(format!(
            "linux.cgroupsPath: {} {why}",
            path.display()
        )))
    };
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir => return refuse("is refused: `..` components are not allowed"),
            Component::Prefix(_) => return refuse("is not a path"),
            Component::Normal(name) => plain.push(name),
        }
    }
    let text = plain.as_os_str().as_encoded_bytes();
    if text.iter().any(|byte| matches!(byte, 0 | b'\n')) {
        return refuse("has a line break or a NUL in it");
    }
    if plain.as_os_str().is_empty() {
        return refuse("is the root of all groups, which is no container's");
    }
    Ok(plain)
}

/// `slice:prefix:name`, as runc has it for systemd.
fn unit(path: Option<&Path>, id: &str) -> Result<Unit> {
    let Some(path) = path else {
        return Ok(Unit {
            slice: "system.slice".to_owned(),
            name: format!("{PARENT}-{id}.scope"),
        });
    };
    let wrong = || {
        Error::invalid(format!(
            "linux.cgroupsPath: {} is not of the form slice:prefix:name, which systemd's units need",
            path.display()
        ))
    };
    let text = path.to_str().ok_or_else(wrong)?;
    let parts: Vec<&str> = text.split(':').collect();
    let &[slice, prefix, name] = parts.as_slice() else {
        return Err(wrong());
    };
    if name.is_empty() || !is_unit_text(prefix) || !is_unit_text(name) {
        return Err(wrong());
    }
    let name = match (has_suffix(name, ".slice"), prefix) {
        (true, _) => name.to_owned(),
        (false, "") => format!("{name}.scope"),
        (false, prefix) => format!("{prefix}-{name}.scope"),
    };
    let slice = if slice.is_empty() {
        "system.slice".to_owned()
    } else {
        slice.to_owned()
    };
    let unit = Unit { slice, name };
    unit.path()?;
    // systemd puts a slice where its name says, whatever it is asked for: the container must not be somewhere else.
    if unit.is_slice() && expand_slice(&unit.name)? != unit.path()? {
        return Err(Error::invalid(format!(
            "linux.cgroupsPath: {} is not in {}, by its name",
            unit.name, unit.slice
        )));
    }
    Ok(unit)
}

/// What systemd takes in the name of a unit (systemd.unit(5)).
fn is_unit_text(text: &str) -> bool {
    !text.starts_with('.')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte))
}

fn has_suffix(text: &str, suffix: &str) -> bool {
    text.len() > suffix.len() && text.ends_with(suffix)
}

/// The path of a slice: dashes are levels, `a-b.slice` is in `a.slice` (systemd.slice(5)). `-.slice` is the root.
pub(super) fn expand_slice(slice: &str) -> Result<PathBuf> {
    let wrong = || {
        Error::invalid(format!(
            "linux.cgroupsPath: {slice:?} is not the name of a slice"
        ))
    };
    let stem = slice.strip_suffix(".slice").ok_or_else(wrong)?;
    if stem == "-" {
        return Ok(PathBuf::new());
    }
    if stem.split('-').any(str::is_empty) || !is_unit_text(stem) {
        return Err(wrong());
    }
    let mut path = PathBuf::new();
    for (at, _) in stem.match_indices('-').chain([(stem.len(), "")]) {
        path.push(format!("{}.slice", stem.get(..at).unwrap_or_default()));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(driver: Driver, path: &str) -> Result<Place> {
        parse(driver, Some(Path::new(path)), "id")
    }

    #[test]
    fn every_form_of_a_path_has_its_place() {
        let root = |path: &str| Place::Root(PathBuf::from(path));
        let fs = |path: &str| place(Driver::Cgroupfs, path).unwrap();
        assert_eq!(fs("/a/b"), root("a/b"));
        assert_eq!(fs("//a/./b/"), root("a/b"));
        assert_eq!(fs("a/b"), Place::Own(PathBuf::from("a/b")));
        assert_eq!(fs(""), root("wharf/id"));
        assert_eq!(
            fs("system.slice:x:y"),
            Place::Own(PathBuf::from("system.slice:x:y"))
        );
        assert_eq!(
            parse(Driver::Cgroupfs, None, "id").unwrap(),
            root("wharf/id")
        );
    }

    #[test]
    fn a_path_that_climbs_or_names_the_root_is_refused() {
        for path in [
            "/..",
            "..",
            "/a/../../b",
            "a/..",
            "/",
            ".",
            "./",
            "/a\nb",
            "/a\0b",
        ] {
            let error = place(Driver::Cgroupfs, path).unwrap_err().to_string();
            assert!(
                error.starts_with("linux.cgroupsPath: "),
                "{path:?}: {error}"
            );
        }
        assert!(parse(Driver::Cgroupfs, None, "../x").is_err());
    }

    #[test]
    fn units_are_named_as_runc_names_them() {
        let check = |path: &str, name: &str, below: &str| {
            let Place::Unit(unit) = place(Driver::Systemd, path).unwrap() else {
                panic!("{path} is no unit");
            };
            assert_eq!(unit.name, name);
            assert_eq!(unit.path().unwrap(), Path::new(below).join(name));
        };
        check("machine.slice:libpod:1", "libpod-1.scope", "machine.slice");
        check(":x:1", "x-1.scope", "system.slice");
        check(
            "user-1000.slice::1",
            "1.scope",
            "user.slice/user-1000.slice",
        );
        check("-.slice:x:y", "x-y.scope", "");
        check(
            "kubepods-besteffort-pod1.slice:cri-containerd:ab",
            "cri-containerd-ab.scope",
            "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice",
        );
        check("a.slice:x:a-b.slice", "a-b.slice", "a.slice");
        check("-.slice::b.slice", "b.slice", "");
        check("", "wharf-id.scope", "system.slice");
    }

    #[test]
    fn what_is_no_unit_is_refused() {
        for path in [
            "/a/b",
            "a:b",
            "a:b:c:d",
            "system.slice:x:",
            "../x.slice:a:b",
            "a/b.slice:x:y",
            "a--b.slice:x:y",
            "-a.slice:x:y",
            "system:x:y",
            ".slice:x:y",
            "system.slice:../x:y",
            "system.slice:x:y/z",
            "system.slice:x:b.slice",
            "a.slice:x:a--b.slice",
        ] {
            let error = place(Driver::Systemd, path).unwrap_err().to_string();
            assert!(
                error.starts_with("linux.cgroupsPath: "),
                "{path:?}: {error}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_place(text in "[a./:\\-slice\n\0]{0,24}", systemd in any::<bool>()) {
            let driver = if systemd { Driver::Systemd } else { Driver::Cgroupfs };
            let path = match place(driver, &text) {
                Ok(Place::Root(path) | Place::Own(path)) => path,
                Ok(Place::Unit(unit)) => unit.path().unwrap(),
                Err(_) => return Ok(()),
            };
            let is_name = |part: Component<'_>| matches!(part, Component::Normal(_));
            prop_assert!(path.components().all(is_name), "{path:?}");
            prop_assert!(path.components().count() > 0);
        }
    }
}
