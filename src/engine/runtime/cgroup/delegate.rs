//! A group handed over to the container's user, who can then make groups below it (runtime-spec, "Cgroup ownership";
//! cgroups(7), "Cgroups delegation").

use std::path::Path;

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Mount, Process, Spec};

use super::{Cgroup, Version};
use crate::engine::error::Result;
use crate::engine::sys::{cgroupfs, file};

/// The kernel's list of files that may be handed over.
const LIST: &str = "/sys/kernel/cgroup/delegate";

/// The same where the kernel has no list.
const WITHOUT_LIST: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";

/// The host's user who should own the container's group. `None` if nobody but root should: without a cgroup namespace of
/// its own, or where the container cannot write its groups anyway.
#[must_use]
pub fn heir(spec: &Spec, process: &Process) -> Option<u32> {
    let own = |kind| {
        let namespace = namespace(spec, kind);
        namespace.is_some_and(|namespace| namespace.path().is_none())
    };
    let shown = spec.mounts().iter().flatten().any(is_writable_group);
    if !own(LinuxNamespaceType::Cgroup) || !shown {
        return None;
    }
    let uid = process.user().uid();
    let outside = match namespace(spec, LinuxNamespaceType::User) {
        None => Some(uid),
        Some(joined) if joined.path().is_some() => None,
        Some(_) => outside(spec, uid),
    };
    outside.filter(|uid| *uid != 0)
}

fn namespace(spec: &Spec, kind: LinuxNamespaceType) -> Option<&LinuxNamespace> {
    let linux = spec.linux().as_ref()?;
    let mut list = linux.namespaces().iter().flatten();
    list.find(|namespace| namespace.typ() == kind)
}

fn is_writable_group(mount: &Mount) -> bool {
    let kind = mount.typ().as_deref().unwrap_or_default();
    let source = mount.source().as_deref().and_then(Path::to_str);
    let is_group = matches!(kind, "cgroup" | "cgroup2") || source == Some("cgroup");
    let read_only = mount
        .options()
        .iter()
        .flatten()
        .any(|option| option == "ro");
    is_group && !read_only && mount.destination() == Path::new("/sys/fs/cgroup")
}

fn outside(spec: &Spec, uid: u32) -> Option<u32> {
    let linux = spec.linux().as_ref()?;
    let mut ranges = linux.uid_mappings().iter().flatten();
    ranges.find_map(|range| {
        let offset = uid.checked_sub(range.container_id())?;
        let id = range.host_id().checked_add(offset)?;
        (offset < range.size()).then_some(id)
    })
}

impl Cgroup {
    /// Makes a user the owner of the group and of those of its files that the kernel has for that. Not on v1, where it
    /// would be no boundary.
    ///
    /// # Errors
    /// What chown(2) says. A file that is not there is none.
    pub fn hand_over(&self, uid: u32) -> Result<()> {
        let list = file::read_optional(Path::new(LIST))?;
        let list = list.map(|list| String::from_utf8_lossy(&list).into_owned());
        self.hand_over_files(uid, list.as_deref().unwrap_or(WITHOUT_LIST))
    }

    fn hand_over_files(&self, uid: u32, list: &str) -> Result<()> {
        if self.version == Version::V1 {
            return Ok(());
        }
        for directory in self.directories() {
            cgroupfs::give(&directory, uid)?;
            for name in list.split_ascii_whitespace() {
                cgroupfs::give(&directory.join(name), uid)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::group;
    use super::*;

    fn heir_of(namespaces: &str, mount: &str, more: &str) -> Option<u32> {
        let json = format!(
            r#"{{"ociVersion":"1.2.0","process":{{"cwd":"/","user":{{"uid":7,"gid":0}}}},"mounts":[{{{mount}}}],
                "linux":{{"namespaces":[{namespaces}]{more}}}}}"#
        );
        let spec: Spec = serde_json::from_str(&json).unwrap();
        heir(&spec, spec.process().as_ref().unwrap())
    }

    #[test]
    fn a_group_is_inherited_where_it_can_be_written() {
        let (own, joined) = (r#"{"type":"cgroup"}"#, r#"{"type":"cgroup","path":"/x"}"#);
        let mount = r#""destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup""#;
        let read_only = format!(r#"{mount},"options":["nosuid","ro"]"#);
        assert_eq!(heir_of(own, mount, ""), Some(7));
        assert_eq!(heir_of(own, &read_only, ""), None);
        assert_eq!(heir_of(joined, mount, ""), None);
        assert_eq!(heir_of("", mount, ""), None);
        let elsewhere = mount.replace("/sys/fs/cgroup", "/elsewhere");
        assert_eq!(heir_of(own, &elsewhere, ""), None);
    }

    #[test]
    fn the_heir_is_a_user_of_the_host() {
        let both = r#"{"type":"cgroup"},{"type":"user"}"#;
        let mount = r#""destination":"/sys/fs/cgroup","type":"cgroup2""#;
        let map = |first, size| {
            format!(r#","uidMappings":[{{"containerID":{first},"hostID":1000,"size":{size}}}]"#)
        };
        assert_eq!(heir_of(both, mount, &map(0, 10)), Some(1007));
        assert_eq!(heir_of(both, mount, &map(7, 1)), Some(1000));
        assert_eq!(heir_of(both, mount, &map(0, 7)), None);
        assert_eq!(heir_of(both, mount, &map(8, 1)), None);
        let joined = both.replace(r#""user""#, r#""user","path":"/x""#);
        assert_eq!(heir_of(&joined, mount, &map(0, 10)), None);
    }

    #[test]
    fn a_file_that_is_not_there_is_not_handed_over() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("wharf/x");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("cgroup.procs"), "").unwrap();
        let (own, _) = crate::engine::sys::host::effective_ids();
        let group = group(Version::V2, dir.path(), &[""]);
        group.hand_over_files(own, WITHOUT_LIST).unwrap();
        group.hand_over(own).unwrap();
    }
}
