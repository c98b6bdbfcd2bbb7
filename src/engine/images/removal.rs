//! Removing images: Docker's rules on what is only untagged, what is deleted and what is refused, as changes of the
//! catalog; and removing layers and blobs that nothing needs any more.

use std::collections::BTreeSet;

use super::Images;
use super::catalog::Catalog;
use super::workspace::Workspace;
use crate::engine::error::{Error, Result};
use crate::engine::model::digest::ImageId;
use crate::engine::model::image::Removed;
use crate::engine::model::{Digest, Reference};
use crate::engine::sys::at::Dir;

/// A container that uses an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its short id.
    pub container: String,
    /// It has a process.
    pub running: bool,
}

/// What containers use. Both are asked while the store is locked, so that the answers hold.
pub struct InUse<'a> {
    /// Containers of an image.
    pub users: &'a dyn Fn(&ImageId) -> Result<Vec<User>>,
    /// Chain ids of all layers that containers are made of.
    pub layers: &'a dyn Fn() -> Result<BTreeSet<Digest>>,
}

impl std::fmt::Debug for InUse<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InUse")
    }
}

/// Takes a name, or an image, out of the catalog (moby `daemon/images/image_delete.go`).
///
/// # Errors
/// `NotFound` for an unknown image; `Conflict` in Docker's words. The catalog is then as it was, as far as it counts.
pub fn remove(
    catalog: &mut Catalog,
    text: &str,
    force: bool,
    users: &dyn Fn(&ImageId) -> Result<Vec<User>>,
) -> Result<Vec<Removed>> {
    let id = catalog.resolve(text)?;
    let users = users(&id)?;
    let running = users.iter().find(|user| user.running);
    let by_name = text
        .parse::<Reference>()
        .ok()
        .filter(|name| catalog.find(name).is_some());
    let names: Vec<Reference> = catalog.names_of(&id).cloned().collect();
    let mut removed = Vec::new();
    let cannot = |must: &str, why: String| {
        Error::conflict(format!(
            "conflict: unable to delete {} ({must}) - {why}",
            id.short()
        ))
    };
    let stopped_user = |user: &User| {
        cannot(
            "must be forced",
            format!(
                "image is being used by stopped container {}",
                user.container
            ),
        )
    };
    let running_user = |user: &User| {
        cannot(
            "cannot be forced",
            format!(
                "image is being used by running container {}",
                user.container
            ),
        )
    };
    if let Some(name) = by_name {
        if !force
            && is_single_repository(&names)
            && tags(&names) <= 1
            && let Some(user) = users.first()
        {
            return Err(Error::conflict(format!(
                "conflict: unable to remove repository reference {text:?} (must force) - container {} is using its \
                 referenced image {}",
                user.container,
                id.short()
            ))
            .with_hint("remove the container first, or use --force"));
        }
        let wanted = if name.digest().is_some() {
            name
        } else {
            name.with_default_tag()
        };
        // Digests go with the last tag of their repository.
        let of_repository =
            |other: &&Reference| other.domain() == wanted.domain() && other.path() == wanted.path();
        let last_tag = names
            .iter()
            .filter(of_repository)
            .all(|other| other.digest().is_some() || *other == wanted);
        let mut gone: Vec<Reference> = names
            .iter()
            .filter(|other| {
                **other == wanted || last_tag && other.digest().is_some() && of_repository(other)
            })
            .cloned()
            .collect();
        gone.sort_by_key(|name| name.digest().is_some());
        untag(catalog, &gone, &mut removed);
        // Other names keep the image; so do containers, silently, once the name is gone.
        if catalog.names_of(&id).next().is_some()
            || !users.is_empty() && (!force || running.is_some())
        {
            return Ok(removed);
        }
    } else {
        if let Some(user) = running {
            return Err(running_user(user).with_hint("stop the container first"));
        }
        if !force {
            if !is_single_repository(&names) {
                return Err(cannot(
                    "must be forced",
                    "image is referenced in multiple repositories".to_owned(),
                ));
            }
            if let Some(user) = users.first() {
                return Err(
                    stopped_user(user).with_hint("remove the container first, or use --force")
                );
            }
        }
        untag(catalog, &names, &mut removed);
    }
    catalog.images.remove(&id);
    removed.push(Removed::Deleted(id));
    Ok(removed)
}

/// Takes names out of the catalog.
pub fn untag(catalog: &mut Catalog, names: &[Reference], removed: &mut Vec<Removed>) {
    for name in names {
        catalog.names.remove(name);
        removed.push(Removed::Untagged(name.familiar()));
    }
}

fn is_single_repository(names: &[Reference]) -> bool {
    let mut repositories = names.iter().map(|name| (name.domain(), name.path()));
    let first = repositories.next();
    repositories.all(|other| Some(other) == first)
}

fn tags(names: &[Reference]) -> usize {
    names.iter().filter(|name| name.digest().is_none()).count()
}

/// Content that neither an image nor a container needs.
#[derive(Debug, Default)]
pub struct Unneeded {
    /// Unpacked layers with the bytes of their files.
    pub layers: Vec<(Digest, u64)>,
    /// Blobs with their bytes.
    pub blobs: Vec<(Digest, u64)>,
}

impl Unneeded {
    /// Looks for it; `in_use` are the layers that containers are made of. The caller holds the store's lock.
    ///
    /// # Errors
    /// What the file system says.
    pub fn find(images: &Images, catalog: &Catalog, in_use: &BTreeSet<Digest>) -> Result<Self> {
        let mut found = Self::default();
        let needed = catalog.layers();
        let others = |digest: &Digest| !needed.contains(digest) && !in_use.contains(digest);
        for chain_id in digests(images.layers_dir())?.into_iter().filter(others) {
            // One without a readable index is no use to anybody either.
            let summary = images.layer_summary(&chain_id).ok().flatten();
            found
                .layers
                .push((chain_id, summary.map_or(0, |summary| summary.size)));
        }
        let needed = catalog.blobs();
        for blob in digests(images.blobs_dir())? {
            if !needed.contains(&blob) {
                let stat = images.blobs_dir().stat(blob.hex().as_bytes())?;
                found.blobs.push((blob, stat.map_or(0, |stat| stat.size)));
            }
        }
        Ok(found)
    }

    /// Bytes of all of it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let all = self.layers.iter().chain(&self.blobs);
        all.map(|(_, bytes)| bytes).sum()
    }

    /// Moves the layers into a workspace, which removes them once the lock is given back, and removes the blobs.
    ///
    /// # Errors
    /// What the file system says; what was moved is removed.
    pub fn take(&self, images: &Images, work: &Workspace) -> Result<()> {
        for (chain_id, _) in &self.layers {
            let name = chain_id.hex().as_bytes();
            images.layers_dir().rename(name, work.dir(), name)?;
        }
        for (blob, _) in &self.blobs {
            images.blobs_dir().remove_file(blob.hex().as_bytes())?;
        }
        Ok(())
    }
}

/// The digests that are names of a directory's entries.
///
/// # Errors
/// What the system calls say.
pub fn digests(dir: &Dir) -> Result<Vec<Digest>> {
    let names = dir.names()?;
    Ok(names
        .iter()
        .filter_map(|name| {
            format!("sha256:{}", std::str::from_utf8(name).ok()?)
                .parse()
                .ok()
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::catalog::Stored;
    use super::*;
    use crate::engine::error::Kind;
    use crate::engine::model::Timestamp;

    fn id(start: &str) -> ImageId {
        format!("sha256:{start}{}", "0".repeat(64 - start.len()))
            .parse()
            .unwrap()
    }

    fn catalog(names: &[&str]) -> Catalog {
        let mut catalog = Catalog::default();
        let image = Stored {
            manifest: id("9"),
            layers: vec![],
            added: Timestamp::UNIX_EPOCH,
        };
        catalog.images.insert(id("abcdef123456"), image);
        for name in names {
            let name: Reference = name.parse().unwrap();
            catalog.names.insert(name, id("abcdef123456"));
        }
        catalog
    }

    /// What is removed, or the conflict; `users` as `r` (running) and `s` (stopped).
    fn check(names: &[&str], text: &str, force: bool, users: &str, expected: &str) {
        let users: Vec<User> = users
            .chars()
            .map(|c| User {
                container: "c1".to_owned(),
                running: c == 'r',
            })
            .collect();
        let mut catalog = catalog(names);
        let result = remove(&mut catalog, text, force, &|_| Ok(users.clone()));
        let found = match result {
            Ok(removed) => removed
                .iter()
                .map(|removed| match removed {
                    Removed::Untagged(name) => format!("-{name}"),
                    Removed::Deleted(id) => format!("!{}", id.short()),
                })
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Conflict);
                error.to_string()
            }
        };
        assert_eq!(found, expected, "{names:?} {text} {force}");
    }

    const STOPPED: &str = "conflict: unable to delete abcdef123456 (must be forced) - image is being used by stopped container c1";
    const RUNNING: &str = "conflict: unable to delete abcdef123456 (cannot be forced) - image is being used by running container c1";
    const MANY: &str = "conflict: unable to delete abcdef123456 (must be forced) - image is referenced in multiple repositories";

    #[test]
    fn a_name_is_untagged_and_the_last_one_deletes() {
        check(&["a:1", "a:2"], "a:1", false, "", "-a:1");
        check(&["a:1", "b:1"], "b:1", false, "r", "-b:1");
        check(&["a:latest"], "a", false, "", "-a:latest !abcdef123456");
        check(&["a:1"], "a:1", true, "s", "-a:1 !abcdef123456");
        check(&["a:1"], "a:1", true, "r", "-a:1");
    }

    #[test]
    fn a_name_that_a_container_uses_needs_force() {
        check(
            &["a:1"],
            "a:1",
            false,
            "s",
            "conflict: unable to remove repository reference \"a:1\" (must force) - container c1 is using its referenced image abcdef123456",
        );
    }

    #[test]
    fn an_id_deletes_with_all_names_of_one_repository() {
        check(
            &["a:1", "a:2"],
            "abcdef",
            false,
            "",
            "-a:1 -a:2 !abcdef123456",
        );
        check(&[], "abcdef", false, "", "!abcdef123456");
        check(&["a:1", "b:1"], "abcdef", false, "", MANY);
        check(
            &["a:1", "b:1"],
            "abcdef",
            true,
            "",
            "-a:1 -b:1 !abcdef123456",
        );
        check(&["a:1"], "abcdef", false, "s", STOPPED);
        check(&["a:1"], "abcdef", true, "s", "-a:1 !abcdef123456");
        check(&["a:1"], "abcdef", true, "r", RUNNING);
    }

    #[test]
    fn digests_go_with_the_last_tag() {
        let pulled = format!("a@{}", id("9"));
        let expected = format!("-a:1 -{pulled} !abcdef123456");
        check(&["a:1", &pulled], "a:1", false, "", &expected);
        check(&["a:1", "a:2", &pulled], "a:1", false, "", "-a:1");
    }
}
