//! What one kind of host has and another has not: tests for one of them say so on the other.

use std::io::Write;
use std::path::Path;

use crate::support::test_name;

/// What one kind of host has and another has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// AppArmor is at work.
    AppArmor,
    /// All controllers are in the unified control group tree (cgroup v2).
    Unified,
    /// Controllers are in trees of their own (cgroup v1), and the unified one is beside them.
    Hybrid,
    /// A kind of network device is known to the kernel, as ip-link(8) calls it.
    Device(&'static str),
}

/// Whether this host has it; says so if not. That is no skip: the test is for the other kind of host. With
/// `scripts/vm-test`, both are there.
///
/// # Panics
/// When that machine lacks it.
#[must_use]
pub fn here(feature: Feature) -> bool {
    let path = match feature {
        Feature::AppArmor => "/sys/kernel/security/apparmor",
        Feature::Unified => "/sys/fs/cgroup/cgroup.controllers",
        Feature::Hybrid => "/sys/fs/cgroup/unified/cgroup.procs",
        // Nothing says so but the attempt: `told`.
        Feature::Device(_) => "/proc/net",
    };
    told(Path::new(path).exists(), feature)
}

/// The same for what the caller has looked for.
///
/// # Panics
/// As [`here`].
#[must_use]
pub fn told(found: bool, feature: Feature) -> bool {
    let name = test_name();
    let is_machine = std::env::var_os("WHARF_TEST_MACHINE").is_some();
    assert!(
        found || !is_machine || feature == Feature::Hybrid,
        "{name}: the machine should have {feature:?}"
    );
    if !found {
        // Not `eprintln!`: the harness would capture it.
        let _ = writeln!(std::io::stderr(), "elsewhere: {name}: needs {feature:?}");
    }
    found
}
