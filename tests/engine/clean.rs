//! What the test support itself promises: a test's host goes away completely.

use crate::support::privileged;

#[test]
fn a_dropped_host_leaves_no_directory() {
    let Some(host) = privileged() else { return };
    let dir = host.dir().to_owned();
    assert!(dir.is_dir());
    drop(host);
    assert!(!dir.exists());
}
