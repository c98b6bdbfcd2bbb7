//! The host's cgroup mounts: which interface it has, where each controller is, which part of it we see, and which group
//! we are in ourselves. Groups of containers are for the others.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::place::{self, Driver, Place, Unit};
use super::{Cgroup, Group, PARENT};
use crate::engine::error::{Error, Result};
use crate::engine::model::ContainerId;
use crate::engine::sys::file;

/// Which interface the host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Version {
    /// Controllers in mounts of their own, also with a cgroup2 mount beside them.
    V1,
    /// One unified tree.
    V2,
}

/// The host's cgroup mounts, found once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    pub(super) version: Version,
    /// One for each hierarchy; on v2 a single one without controllers. A cgroup2 mount beside those of v1 (hybrid) is the
    /// last one, without controllers, too.
    pub(super) mounts: Vec<Mounted>,
}

/// A hierarchy, as it is mounted here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounted {
    /// Its controllers, and `name=…` of one that has a name.
    pub controllers: Vec<String>,
    /// The group that is seen at the mount point: not `/` inside of a container without a cgroup namespace.
    pub root: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
}

impl Hierarchy {
    /// Reads `/proc/self/mountinfo`.
    ///
    /// # Errors
    /// [`Kind::Unsupported`](crate::engine::error::Kind::Unsupported) if no cgroup file system is mounted.
    pub fn detect() -> Result<Self> {
        let content = file::read_optional(Path::new("/proc/self/mountinfo"))?.unwrap_or_default();
        Self::from_mountinfo(&content).ok_or_else(|| {
            Error::unsupported("find the host's cgroups: no cgroup file system is mounted")
                .with_hint("mount cgroup2 at /sys/fs/cgroup")
        })
    }

    /// Whether there is one tree for everything.
    #[must_use]
    pub fn is_unified(&self) -> bool {
        self.version == Version::V2
    }

    /// From the text of a mountinfo file (proc(5)). v1 wins where it has any of the controllers that containers need:
    /// a cgroup2 mount beside it (hybrid) then has none to offer. Of several mounts of one hierarchy the first counts.
    #[must_use]
    pub fn from_mountinfo(text: &[u8]) -> Option<Self> {
        let mut v1: Vec<Mounted> = Vec::new();
        let mut v2 = None;
        for (kind, mounted) in text.split(|byte| *byte == b'\n').filter_map(cgroup_mount) {
            let is_new = || {
                v1.iter()
                    .all(|known| known.controllers != mounted.controllers)
            };
            match kind {
                Version::V2 => v2 = v2.or(Some(mounted)),
                Version::V1 if is_new() => v1.push(mounted),
                Version::V1 => {}
            }
        }
        let serves = |mounted: &Mounted| {
            let serves = |name: &String| name == "memory" || name == "pids";
            mounted.controllers.iter().any(serves)
        };
        if v1.iter().any(serves) {
            v1.extend(v2);
            return Some(Self {
                version: Version::V1,
                mounts: v1,
            });
        }
        Some(Self {
            version: Version::V2,
            mounts: vec![v2?],
        })
    }

    /// Which interface it is.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The group of one of the engine's containers, `wharf/<id>`, or in another parent, unless that is empty. Nothing is created yet. On a hybrid host it has none in
    /// the unified tree: there is nothing to limit, and others look for their own containers there only.
    #[must_use]
    pub fn container(&self, parent: &str, id: &ContainerId) -> Cgroup {
        let parent = if parent.is_empty() { PARENT } else { parent };
        let path = |mounted: &Mounted| {
            let is_used = self.version == Version::V2 || !mounted.controllers.is_empty();
            is_used.then(|| Path::new(parent).join(id.as_str()))
        };
        self.below(path, None)
    }

    /// The group that `linux.cgroupsPath` means, for a container called `id`. Nothing is created yet.
    ///
    /// | path | group |
    /// |---|---|
    /// | none | `/wharf/<id>` |
    /// | `/a/b` | that, below the root of each hierarchy as far as it is mounted here |
    /// | `a/b` | below our own group; on v2 beside it, since a group with processes cannot hand controllers down |
    /// | `slice:prefix:name`, with [`Driver::Systemd`] | the scope `prefix-name.scope` in that slice |
    ///
    /// On a hybrid host there is one in the unified tree, too, as with runc and crun: whoever looks for a process by its group
    /// there finds the container.
    ///
    /// The answer can be stored (it is serializable) and means the same groups whoever reads it: what is relative has been
    /// resolved.
    ///
    /// # Errors
    /// Whatever is not such a path, has `..` in it, or would be the root of all groups; the message begins with
    /// `linux.cgroupsPath`.
    pub fn locate(&self, driver: Driver, path: Option<&Path>, id: &str) -> Result<Cgroup> {
        let place = place::parse(driver, path, id)?;
        if driver == Driver::Disabled {
            return Ok(self.below(|_| None, None));
        }
        match place {
            Place::Root(path) => Ok(self.below(|_| Some(path.clone()), None)),
            Place::Own(path) => {
                let own = own_groups("/proc/self/cgroup")?;
                self.beside_us(&own, &path)
            }
            Place::Unit(unit) => {
                let init = own_groups("/proc/1/cgroup")?;
                self.unit(&init, unit)
            }
        }
    }

    fn beside_us(&self, own: &[OwnGroup], path: &Path) -> Result<Cgroup> {
        let mut lost = None;
        let group = self.below(
            |mounted| match (self.visible(own, mounted), self.version) {
                (Some(ours), Version::V1) => Some(ours.join(path)),
                // A group that has processes cannot hand controllers down (cgroup-v2.rst, "No Internal Process
                // Constraint"): the place is beside us.
                (Some(ours), Version::V2) => {
                    Some(ours.parent().unwrap_or_else(|| Path::new("")).join(path))
                }
                (None, Version::V1) if mounted.controllers.is_empty() => None,
                (None, _) => {
                    lost = Some(mounted.point.clone());
                    None
                }
            },
            None,
        );
        match lost {
            None => Ok(group),
            Some(point) => Err(Error::unsupported(format!(
                "linux.cgroupsPath: {} is relative, and our own group is not to be seen at {}",
                path.display(),
                point.display()
            ))
            .with_hint("give an absolute path")),
        }
    }

    fn unit(&self, init: &[OwnGroup], unit: Unit) -> Result<Cgroup> {
        let path = unit.path()?;
        let group = self.below(
            |mounted| {
                // Where systemd itself is: in the group that it found when it started, or in init.scope below that.
                let top = self.visible(init, mounted).unwrap_or_default();
                let top = match top.file_name() {
                    Some(name) if name == "init.scope" => top.parent().map(Path::to_owned),
                    _ => Some(top),
                };
                Some(top.unwrap_or_default().join(&path))
            },
            Some(unit.clone()),
        );
        Ok(group)
    }

    /// Our own group in a hierarchy, relative to its mount point; `None` if it is outside of what is mounted.
    pub(super) fn visible(&self, own: &[OwnGroup], mounted: &Mounted) -> Option<PathBuf> {
        let same = |group: &&OwnGroup| match self.version {
            Version::V1 if !mounted.controllers.is_empty() => group
                .controllers
                .iter()
                .any(|name| mounted.controllers.contains(name)),
            Version::V1 | Version::V2 => group.controllers.is_empty(),
        };
        let own = own.iter().find(same)?;
        let below = own.path.strip_prefix(&mounted.root).ok()?;
        if below.as_os_str().is_empty() {
            return Some(PathBuf::new());
        }
        place::plain(below).ok()
    }

    fn below(
        &self,
        mut path: impl FnMut(&Mounted) -> Option<PathBuf>,
        unit: Option<Unit>,
    ) -> Cgroup {
        let groups = self.mounts.iter().filter_map(|mounted| {
            Some(Group {
                path: path(mounted)?,
                controllers: mounted.controllers.clone(),
                mount: mounted.point.clone(),
            })
        });
        Cgroup {
            version: self.version,
            groups: groups.collect(),
            unit,
        }
    }
}

/// A line of `/proc/<pid>/cgroup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnGroup {
    /// Controllers or `name=…`; none for the unified tree.
    pub controllers: Vec<String>,
    /// The group, absolute as our cgroup namespace sees it.
    pub path: PathBuf,
}

pub(super) fn own_groups(path: &str) -> Result<Vec<OwnGroup>> {
    let content = file::read_optional(Path::new(path))?.unwrap_or_default();
    Ok(parse_own(&content))
}

/// Reads `/proc/<pid>/cgroup` (cgroups(7)): `id:controllers:path` lines, the path as it is.
pub(super) fn parse_own(text: &[u8]) -> Vec<OwnGroup> {
    let line = |line: &[u8]| {
        let mut parts = line.splitn(3, |byte| *byte == b':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let controllers = std::str::from_utf8(controllers).ok()?;
        Some(OwnGroup {
            controllers: words(controllers),
            path: PathBuf::from(OsStr::from_bytes(path)),
        })
    };
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn words(list: &str) -> Vec<String> {
    list.split(',')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A line of mountinfo, if it is a cgroup mount.
fn cgroup_mount(line: &[u8]) -> Option<(Version, Mounted)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (root, point) = (fields.nth(3)?, fields.next()?);
    // Optional fields end with a dash (proc(5)).
    fields.find(|field| *field == b"-")?;
    let version = match fields.next()? {
        b"cgroup" => Version::V1,
        b"cgroup2" => Version::V2,
        _ => return None,
    };
    let options = std::str::from_utf8(fields.nth(1)?).ok()?;
    let mut controllers = match version {
        Version::V1 => words(options),
        Version::V2 => Vec::new(),
    };
    controllers.retain(|option| is_controller(option));
    let mounted = Mounted {
        controllers,
        root: unescape(root),
        point: unescape(point),
    };
    Some((version, mounted))
}

/// What says which hierarchy a v1 mount is, among its other options.
fn is_controller(option: &str) -> bool {
    const OTHERS: &[&str] = &[
        "rw",
        "ro",
        "xattr",
        "noprefix",
        "clone_children",
        "cpuset_v2_mode",
        "favordynmods",
        "none",
    ];
    option.starts_with("name=") || !(option.contains('=') || OTHERS.contains(&option))
}

/// Undoes the kernel's `\040` for blanks, tabs, line breaks and backslashes in paths.
fn unescape(field: &[u8]) -> PathBuf {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let code = match (first, after) {
            (b'\\', &[a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                Some(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'))
            }
            _ => None,
        };
        text.push(code.unwrap_or(first));
        rest = match code {
            Some(_) => after.get(3..).unwrap_or_default(),
            None => after,
        };
    }
    PathBuf::from(OsString::from_vec(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HYBRID: &str = "\
30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 master:2 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
35 30 0:28 /x /mnt/another rw,relatime - cgroup cgroup rw,memory
";

    #[test]
    fn beside_v1_the_unified_tree_has_groups_of_bundles_alone() {
        let hierarchy = found(HYBRID);
        let path = Some(Path::new("/a/b"));
        let located = hierarchy.locate(Driver::Cgroupfs, path, "x").unwrap();
        let unified = located.groups.last().unwrap();
        assert!(unified.is_unified());
        assert_eq!(unified.directory(), Path::new("/sys/fs/cgroup/unified/a/b"));
        let own = parse_own(b"4:memory:/m\n0::/u\n");
        let visible = |mounted: &Mounted| hierarchy.visible(&own, mounted);
        let mounts = || hierarchy.mounts.iter();
        assert_eq!(visible(mounts().last().unwrap()), Some("u".into()));
        let memory = mounts().find(|m| m.controllers == ["memory"]).unwrap();
        assert_eq!(visible(memory), Some("m".into()));
        // What is mounted for a container's own eyes are those of v1.
        let ours = hierarchy.container("", &ContainerId::try_from("a".repeat(64)).unwrap());
        assert!(ours.groups.iter().all(|group| !group.is_unified()));
    }

    fn found(text: &str) -> Hierarchy {
        Hierarchy::from_mountinfo(text.as_bytes()).unwrap()
    }

    fn directories(group: &Cgroup) -> Vec<String> {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        group.directories().map(text).collect()
    }

    #[test]
    fn a_hybrid_host_is_v1_and_a_hierarchy_counts_once() {
        let found = found(HYBRID);
        assert_eq!(found.version(), Version::V1);
        let list: Vec<_> = found
            .mounts
            .iter()
            .map(|mounted| (mounted.controllers.join("+"), mounted.point.to_str()))
            .collect();
        assert_eq!(
            list,
            [
                ("cpu+cpuacct".to_owned(), Some("/sys/fs/cgroup/cpu,cpuacct")),
                ("memory".to_owned(), Some("/sys/fs/cgroup/memory")),
                ("name=systemd".to_owned(), Some("/sys/fs/cgroup/systemd")),
                (String::new(), Some("/sys/fs/cgroup/unified")),
            ]
        );
    }

    #[test]
    fn a_host_with_the_unified_tree_alone_is_v2() {
        let found =
            found("30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n");
        assert_eq!(found.version(), Version::V2);
        let id = ContainerId::try_from("a".repeat(64)).unwrap();
        let place = found.container("", &id).unified().unwrap();
        assert!(place.starts_with("/sys/fs/cgroup/wharf"));
        assert_eq!(Hierarchy::from_mountinfo(b"garbage\n - \n"), None);
    }

    #[test]
    fn a_mount_point_with_blanks_is_read_back() {
        let found = found(r"30 23 0:26 /a\134b /mnt/a\040b\011c rw - cgroup2 cgroup2 rw");
        let mounted = found.mounts.first().unwrap();
        assert_eq!(mounted.point, Path::new("/mnt/a b\tc"));
        assert_eq!(mounted.root, Path::new("/a\\b"));
    }

    const NESTED: &str = "\
31 30 0:27 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
32 30 0:28 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
";

    #[test]
    fn inside_of_a_container_groups_are_where_its_mounts_show_them() {
        let nested = found(NESTED);
        let own = parse_own(b"2:memory:/docker/abc\n1:cpu:/docker/abc/sub\n0::/\n");
        let group = nested.beside_us(&own, Path::new("x/y")).unwrap();
        assert_eq!(
            directories(&group),
            ["/sys/fs/cgroup/cpu/sub/x/y", "/sys/fs/cgroup/memory/x/y"]
        );
        let group = nested
            .locate(Driver::Cgroupfs, Some(Path::new("/x")), "id")
            .unwrap();
        assert_eq!(
            directories(&group),
            ["/sys/fs/cgroup/cpu/x", "/sys/fs/cgroup/memory/x"]
        );
    }

    #[test]
    fn a_relative_path_needs_our_own_group_in_sight() {
        let nested = found(NESTED);
        let own = parse_own(b"2:memory:/elsewhere\n1:cpu:/docker/abc\n");
        let error = nested.beside_us(&own, Path::new("x")).unwrap_err();
        assert!(
            error.to_string().starts_with("linux.cgroupsPath: x"),
            "{error}"
        );
    }

    #[test]
    fn a_relative_path_is_beside_us_on_v2() {
        let v2 = found("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        let at = |own: &str| {
            let own = parse_own(own.as_bytes());
            directories(&v2.beside_us(&own, Path::new("x")).unwrap())
        };
        assert_eq!(
            at("0::/user.slice/session-1.scope\n"),
            ["/sys/fs/cgroup/user.slice/x"]
        );
        assert_eq!(at("0::/\n"), ["/sys/fs/cgroup/x"]);
    }

    #[test]
    fn a_unit_is_below_the_group_of_systemd() {
        let unit = || Unit {
            slice: "a-b.slice".to_owned(),
            name: "x-y.scope".to_owned(),
        };
        let v2 = found("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        let group = v2.unit(&parse_own(b"0::/init.scope\n"), unit()).unwrap();
        assert_eq!(
            directories(&group),
            ["/sys/fs/cgroup/a.slice/a-b.slice/x-y.scope"]
        );
        let nested = found(NESTED);
        let init = parse_own(b"1:cpu:/docker/abc/in/init.scope\n2:memory:/docker/abc/in\n");
        assert_eq!(
            directories(&nested.unit(&init, unit()).unwrap()),
            [
                "/sys/fs/cgroup/cpu/in/a.slice/a-b.slice/x-y.scope",
                "/sys/fs/cgroup/memory/in/a.slice/a-b.slice/x-y.scope"
            ]
        );
    }

    #[test]
    fn a_disabled_manager_has_no_groups() {
        let group = found(HYBRID).locate(Driver::Disabled, None, "id").unwrap();
        assert!(directories(&group).is_empty());
    }

    #[test]
    fn a_located_group_can_be_stored() {
        let group = found(HYBRID)
            .locate(Driver::Cgroupfs, Some(Path::new("/a/b")), "id")
            .unwrap();
        let text = serde_json::to_string(&group).unwrap();
        assert_eq!(serde_json::from_str::<Cgroup>(&text).unwrap(), group);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (Hierarchy::from_mountinfo(&text), parse_own(&text), unescape(&text));
        }

        #[test]
        fn any_line_of_a_mount_is_read_without_a_panic(
            root in "[/a\\\\0-9]{0,12}", point in "[/a\\\\0-9]{0,12}", options in "[a-z=,]{0,24}", version in "2?",
        ) {
            let line = format!("1 2 0:3 {root} {point} rw - cgroup{version} x {options}");
            let _ = Hierarchy::from_mountinfo(line.as_bytes());
        }

        #[test]
        fn no_group_of_ours_is_outside_of_its_mount(own in "[/a.]{0,20}", root in "[/a.]{0,10}") {
            let mounted = Mounted {
                controllers: Vec::new(),
                root: PathBuf::from(&root),
                point: PathBuf::from("/m"),
            };
            let hierarchy = Hierarchy { version: Version::V2, mounts: vec![mounted] };
            let own = parse_own(format!("0::{own}").as_bytes());
            if let Ok(group) = hierarchy.beside_us(&own, Path::new("x")) {
                for directory in group.directories() {
                    prop_assert!(directory.starts_with("/m"));
                    prop_assert!(!directory.components().any(|part| part.as_os_str() == ".."));
                }
            }
        }
    }
}
