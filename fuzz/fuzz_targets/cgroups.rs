//! No mount table and no `cgroupsPath` put a container's group outside of the mounts, or climb. Input: a mount table, a NUL, a
//! path.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use wharf::engine::runtime::cgroup::{Driver, Hierarchy};

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let table = parts.next().unwrap_or_default();
    let path = Path::new(OsStr::from_bytes(parts.next().unwrap_or_default()));
    let Some(hierarchy) = Hierarchy::from_mountinfo(table) else {
        return;
    };
    for driver in [Driver::Cgroupfs, Driver::Systemd, Driver::Disabled] {
        let Ok(group) = hierarchy.locate(driver, Some(path), "id") else {
            continue;
        };
        for place in group.paths().into_values() {
            // Mount points are the kernel's; what we put behind them does not climb.
            let climbs = place.components().filter(|part| *part == Component::ParentDir).count();
            let given = table.windows(2).filter(|pair| pair == b"..").count();
            assert!(climbs <= given, "{}", place.display());
        }
    }
});
