//! Takes a supervisor out of the group of the unit that it was started from. systemd ends what it finds there when the
//! unit is over (systemd.kill(5)), a service as well as a session, and a container is to outlive both.
//!
//! It goes to where systemd itself is, in each hierarchy. That group is there as long as the host runs, so nobody has to
//! remove it; it counts for no container and no unit; and its processes are ended with the host alone. A group of wharf's
//! own could not be removed by the last supervisor in it, and from the root of all groups systemd would fetch it when it
//! is executed again.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::hierarchy::{Hierarchy, OwnGroup, Version, own_groups};
use crate::engine::error::Result;
use crate::engine::sys::process::{self, Cloned};
use crate::engine::sys::{cgroupfs, file};

/// Leaves the unit, if this process is in one. Who may not leave (no rights, another cgroup namespace) stays.
///
/// On v2 the caller may be another process afterwards, a child of nobody's: to be born elsewhere takes a tenth of a
/// millisecond, and to move waits for the kernel's grace periods. To be called by a single-threaded process that holds
/// nothing yet.
pub fn leave_unit() {
    // A container starts all the same.
    let _ = try_to_leave();
}

fn try_to_leave() -> Result<()> {
    let own = own_groups("/proc/self/cgroup")?;
    // The usual case where there is no systemd: one file was read.
    if !own.iter().any(|group| is_of_unit(&group.path)) {
        return Ok(());
    }
    let hierarchy = Hierarchy::detect()?;
    let targets = hierarchy.beside_init(&own, &own_groups("/proc/1/cgroup")?);
    for target in targets {
        match hierarchy.version() {
            Version::V1 => {
                // The others can be left all the same.
                let _ = cgroupfs::write(&target, "cgroup.procs", "0");
            }
            Version::V2 => {
                let group = file::open_dir(&target)?;
                if let Cloned::Parent { .. } = process::clone_process(0, Some(group.as_fd()))? {
                    process::exit_now(0);
                }
            }
        }
    }
    Ok(())
}

impl Hierarchy {
    /// The first process's groups, in the hierarchies in which our own group is a unit's.
    fn beside_init(&self, own: &[OwnGroup], init: &[OwnGroup]) -> Vec<PathBuf> {
        let target = |mounted| {
            let ours = self.visible(own, mounted).filter(|path| is_of_unit(path))?;
            let there = self.visible(init, mounted)?;
            (there != ours).then(|| mounted.point.join(there))
        };
        self.mounts.iter().filter_map(target).collect()
    }
}

/// Whether a group is that of a service or of a scope, or below one. `init.scope` is systemd's own.
fn is_of_unit(path: &Path) -> bool {
    let is_unit = |name: &OsStr| {
        let name = name.as_bytes();
        (name.ends_with(b".service") || name.ends_with(b".scope")) && name != b"init.scope"
    };
    path.iter().any(is_unit)
}

#[cfg(test)]
mod tests {
    use super::super::hierarchy::parse_own;
    use super::*;

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    const HYBRID: &str = "\
32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    fn check(mounts: &str, own: &str, init: &str, expect: &[&str]) {
        let hierarchy = Hierarchy::from_mountinfo(mounts.as_bytes()).unwrap();
        let (own, init) = (parse_own(own.as_bytes()), parse_own(init.as_bytes()));
        let expect: Vec<PathBuf> = expect.iter().map(PathBuf::from).collect();
        assert_eq!(hierarchy.beside_init(&own, &init), expect);
    }

    #[test]
    fn who_is_in_a_unit_goes_to_where_systemd_is() {
        let there = ["/sys/fs/cgroup/init.scope"];
        for own in [
            "system.slice/backup.service",
            "system.slice/run-r1.scope",
            "user.slice/user-0.slice/session-1.scope",
            "user.slice/user-1000.slice/user@1000.service/app.slice/shell.scope",
            "system.slice/docker.service/below",
        ] {
            check(V2, &format!("0::/{own}\n"), "0::/init.scope\n", &there);
        }
    }

    #[test]
    fn who_is_in_no_unit_stays() {
        for own in ["", "init.scope", "wharf/x", "docker/a.services"] {
            check(V2, &format!("0::/{own}\n"), "0::/init.scope\n", &[]);
        }
    }

    #[test]
    fn who_is_beside_the_first_process_or_does_not_see_it_stays() {
        check(V2, "0::/a.service\n", "0::/a.service\n", &[]);
        check(V2, "0::/a.service\n", "0::/../../init.scope\n", &[]);
        check(V2, "0::/a.service\n", "", &[]);
    }

    #[test]
    fn on_v1_the_hierarchies_count_in_which_it_is_in_a_unit() {
        let own =
            "3:memory:/\n2:name=systemd:/system.slice/a.service\n0::/system.slice/a.service\n";
        let init = "3:memory:/\n2:name=systemd:/init.scope\n0::/init.scope\n";
        let there = [
            "/sys/fs/cgroup/systemd/init.scope",
            "/sys/fs/cgroup/unified/init.scope",
        ];
        check(HYBRID, own, init, &there);
        // A host without systemd whose groups have such names.
        check(HYBRID, own, "0::/\n", &["/sys/fs/cgroup/unified"]);
    }
}
