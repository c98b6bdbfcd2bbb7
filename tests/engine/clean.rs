//! What the test support itself promises: a test's host goes away completely.

use crate::support::{cgroup_mounts, groups_named, privileged};

#[test]
fn a_dropped_host_leaves_no_directory() {
    let Some(host) = privileged() else { return };
    let dir = host.dir().to_owned();
    assert!(dir.is_dir());
    drop(host);
    assert!(!dir.exists());
}

#[test]
fn a_dropped_host_leaves_no_group_that_is_named_after_it() {
    let Some(host) = privileged() else { return };
    let name = host.dir().file_name().unwrap().to_str().unwrap().to_owned();
    let Some(mount) = cgroup_mounts().into_iter().next() else {
        return;
    };
    // As a container with a path of its own leaves its ancestors.
    std::fs::create_dir_all(mount.join(format!("{name}-parent/child"))).unwrap();
    assert_eq!(groups_named(&name).len(), 1);
    drop(host);
    assert_eq!(groups_named(&name), Vec::<std::path::PathBuf>::new());
}
