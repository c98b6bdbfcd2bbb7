//! Mappings of owners for single mounts: where one comes from, and the user namespace that the kernel wants for it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Mount, Spec};

use super::options::IdMap;
use crate::engine::error::{Error, Result};
use crate::engine::sys::mount::Depth;
use crate::engine::sys::{namespace, node};

/// Mappings as an option has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    uids: Vec<Range>,
    gids: Vec<Range>,
}

/// One range of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    /// First id in the file system.
    inside: u32,
    /// First id on the host, or, if `relative`, in the container.
    outside: u32,
    size: u32,
    relative: bool,
}

/// `uids=0-1000-10#20-5000-1;gids=@0-0-1`: ranges of file system id, host id and number; `@`: the second one is an id of
/// the container (crun(1), "idmap mount options"). `None` if it is not of this form.
#[must_use]
pub fn parse(text: &str) -> Option<Given> {
    let mut given = Given::default();
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let (kind, ranges) = part.split_once('=')?;
        let list = match kind {
            "uids" => &mut given.uids,
            "gids" => &mut given.gids,
            _ => return None,
        };
        for range in ranges.split('#').filter(|range| !range.is_empty()) {
            list.push(range_of(range)?);
        }
    }
    let complete = !given.uids.is_empty() && !given.gids.is_empty();
    complete.then_some(given)
}

fn range_of(text: &str) -> Option<Range> {
    let (relative, text) = match text.strip_prefix('@') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut numbers = text.split('-').map(|number| {
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| number.parse().ok()).flatten()
    });
    let range = Range {
        inside: numbers.next()??,
        outside: numbers.next()??,
        size: numbers.next()??,
        relative,
    };
    (numbers.next().is_none() && range.size > 0).then_some(range)
}

/// User namespaces that were made for mappings. Mounts with the same mapping share one.
#[derive(Debug, Default)]
pub struct Cache {
    made: Vec<(Mapping, OwnedFd)>,
}

/// Contents of a `uid_map` and a `gid_map` file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mapping {
    uids: String,
    gids: String,
}

/// The mapping that a mount asks for, by option or by a mapping of its own; `None` if it does not.
///
/// # Errors
/// One half of a mapping.
pub fn wanted(mount: &Mount, option: Option<&IdMap>) -> Result<Option<IdMap>> {
    let (uids, gids) = (mount.uid_mappings(), mount.gid_mappings());
    let has = |list: &Option<Vec<LinuxIdMapping>>| list.as_ref().is_some_and(|l| !l.is_empty());
    if has(uids) != has(gids) {
        return Err(Error::invalid(
            "uidMappings and gidMappings must be given together",
        ));
    }
    Ok(match option {
        Some(option) => Some(option.clone()),
        None if has(uids) => Some(IdMap {
            depth: Depth::One,
            given: None,
        }),
        None => None,
    })
}

impl Cache {
    /// A user namespace with the mapping of a mount: the option's, the mount's own, or the container's. Must be called in
    /// the parent: a child in a pid namespace of its own does not find its helper in `/proc`.
    ///
    /// # Errors
    /// No mapping is given, or what the kernel says to it.
    pub fn user_namespace(
        &mut self,
        spec: &Spec,
        mount: &Mount,
        wanted: &IdMap,
    ) -> Result<OwnedFd> {
        let mapping = match &wanted.given {
            Some(given) => given.mapping(spec)?,
            None => match (mount.uid_mappings(), mount.gid_mappings()) {
                (Some(uids), Some(gids)) if !uids.is_empty() => Mapping::of(uids, gids),
                _ => match container_mapping(spec) {
                    Some(mapping) => mapping,
                    None => return joined_namespace(spec),
                },
            },
        };
        self.get(mapping)?
            .try_clone_to_owned()
            .map_err(|e| Error::io("duplicate a descriptor", e))
    }

    fn get(&mut self, mapping: Mapping) -> Result<BorrowedFd<'_>> {
        let known = self.made.iter().position(|(known, _)| *known == mapping);
        let place = if let Some(place) = known {
            place
        } else {
            let made = namespace::with_maps(&mapping.uids, &mapping.gids)?;
            self.made.push((mapping, made));
            self.made.len() - 1
        };
        let made = self.made.get(place).map(|(_, fd)| fd.as_fd());
        Ok(made.expect("it was found or pushed just now"))
    }
}

impl Mapping {
    fn of(uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> Self {
        let text = |list: &[LinuxIdMapping]| {
            let lines = list
                .iter()
                .map(|m| line(m.container_id(), m.host_id(), m.size()));
            lines.collect()
        };
        Self {
            uids: text(uids),
            gids: text(gids),
        }
    }
}

impl Given {
    fn mapping(&self, spec: &Spec) -> Result<Mapping> {
        let linux = spec.linux().as_ref();
        let uids = linux.and_then(|l| l.uid_mappings().as_deref());
        let gids = linux.and_then(|l| l.gid_mappings().as_deref());
        Ok(Mapping {
            uids: lines(&self.uids, uids.unwrap_or_default())?,
            gids: lines(&self.gids, gids.unwrap_or_default())?,
        })
    }
}

fn lines(ranges: &[Range], container: &[LinuxIdMapping]) -> Result<String> {
    let one = |range: &Range| {
        if !range.relative {
            return Ok(line(range.inside, range.outside, range.size));
        }
        let host = container.iter().find_map(|known| {
            let offset = range.outside.checked_sub(known.container_id())?;
            (offset < known.size()).then(|| known.host_id().saturating_add(offset))
        });
        let host = host.ok_or_else(|| {
            Error::invalid(format!(
                "the container's user namespace does not map id {}",
                range.outside
            ))
        })?;
        Ok(line(range.inside, host, range.size))
    };
    ranges.iter().map(one).collect()
}

/// A line of a map file (user_namespaces(7)).
fn line(inside: u32, outside: u32, size: u32) -> String {
    format!("{inside} {outside} {size}\n")
}

/// A user namespace with the container's own mapping; `None` if it has none.
///
/// # Errors
/// What the kernel says.
pub fn of_container(spec: &Spec) -> Result<Option<OwnedFd>> {
    match container_mapping(spec) {
        Some(mapping) => namespace::with_maps(&mapping.uids, &mapping.gids).map(Some),
        None => Ok(None),
    }
}

fn container_mapping(spec: &Spec) -> Option<Mapping> {
    let linux = spec.linux().as_ref()?;
    let uids = linux.uid_mappings().as_ref().filter(|l| !l.is_empty())?;
    let gids = linux.gid_mappings().as_ref().filter(|l| !l.is_empty())?;
    Some(Mapping::of(uids, gids))
}

fn joined_namespace(spec: &Spec) -> Result<OwnedFd> {
    let path = spec
        .linux()
        .iter()
        .flat_map(|linux| linux.namespaces().iter().flatten())
        .filter(|namespace| namespace.typ() == LinuxNamespaceType::User)
        .find_map(|namespace| namespace.path().as_ref());
    match path {
        Some(path) => node::open(path),
        None => Err(Error::invalid(
            "idmap needs uidMappings and gidMappings, or a container with a user namespace",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spec_with_users() -> Spec {
        let users = oci_spec::runtime::LinuxIdMappingBuilder::default()
            .container_id(0u32)
            .host_id(100_000u32)
            .size(1000u32)
            .build()
            .unwrap();
        let mut spec = Spec::default();
        let linux = spec.linux_mut().as_mut().unwrap();
        linux.set_uid_mappings(Some(vec![users]));
        linux.set_gid_mappings(Some(vec![users]));
        spec
    }

    #[test]
    fn relative_ranges_go_through_the_containers_mapping() {
        let given = parse("uids=0-1000-10#@20-5-1;gids=@0-999-1").unwrap();
        let mapping = given.mapping(&spec_with_users()).unwrap();
        assert_eq!(mapping.uids, "0 1000 10\n20 100005 1\n");
        assert_eq!(mapping.gids, "0 100999 1\n");
        let outside = parse("uids=@0-1000-1;gids=@0-0-1").unwrap();
        assert!(outside.mapping(&spec_with_users()).is_err());
    }

    #[test]
    fn half_a_mapping_is_none() {
        for text in [
            "",
            "uids=0-0-1",
            "uids=0-0;gids=0-0-1",
            "uids=0-0-0;gids=0-0-1",
            "uids=0-0-1-1;gids=0-0-1",
            "uids=+0-0-1;gids=0-0-1",
            "uids=0-0-4294967296;gids=0-0-1",
            "users=0-0-1;gids=0-0-1",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_mapping_is_read_as_it_was_written(a in any::<u32>(), b in any::<u32>(), n in 1..u32::MAX) {
            let given = parse(&format!("gids={a}-{b}-{n};uids={b}-{a}-{n}")).unwrap();
            let mapping = given.mapping(&Spec::default()).unwrap();
            prop_assert_eq!(mapping.gids, format!("{a} {b} {n}\n"));
            prop_assert_eq!(mapping.uids, format!("{b} {a} {n}\n"));
        }

        #[test]
        fn whatever_is_written_is_read_without_a_panic(text in "(?s).{0,60}|([ug]ids=@?[0-9#-]{0,12};?){0,4}") {
            let _ = parse(&text);
        }
    }
}
