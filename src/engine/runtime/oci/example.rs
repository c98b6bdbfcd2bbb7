//! The configuration that `spec` writes: a shell on a terminal, with what most programs expect around it.

use std::path::Path;

use serde_json::{Value, json};

use crate::engine::error::{Error, Kind, Result};
use crate::engine::runtime::SPECIFICATION;
use crate::engine::runtime::cgroup::Hierarchy;
use crate::engine::sys::file;

/// Whose container it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// A caller with all privileges.
    Root,
    /// A caller without, who becomes root of a user namespace.
    Rootless {
        /// The caller.
        uid: u32,
        /// The caller's group.
        gid: u32,
    },
}

/// Writes it to a bundle that has none.
///
/// # Errors
/// [`Kind::AlreadyExists`] if it has one; otherwise what the system calls say.
pub fn write(bundle: &Path, whom: For) -> Result<()> {
    let path = bundle.join("config.json");
    // In one hierarchy of several a cgroup namespace hides little; runc leaves it out there, too.
    let unified = Hierarchy::detect().is_ok_and(|hierarchy| hierarchy.is_unified());
    file::write_new(&path, document(whom, unified).as_bytes()).map_err(|error| match error.kind() {
        Kind::AlreadyExists => Error::new(
            Kind::AlreadyExists,
            "File config.json exists. Remove it first",
        ),
        _ => error,
    })
}

/// Makes the document, indented with tabs; with a cgroup namespace where cgroups are one `unified` tree.
#[must_use]
pub fn document(whom: For, unified: bool) -> String {
    let mut spec = json!({
        "ociVersion": SPECIFICATION,
        "process": process(),
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "wharf",
        "mounts": mounts(whom),
        "linux": linux(whom, unified),
    });
    if let Some(map) = spec.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    // A value in memory is written to memory: nothing can fail.
    let _ = serde::Serialize::serialize(&spec, &mut serializer);
    text.push(b'\n');
    String::from_utf8_lossy(&text).into_owned()
}

fn process() -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    json!({
        "terminal": true,
        "user": { "uid": 0, "gid": 0 },
        "args": ["sh"],
        "env": [super::super::spec::DEFAULT_PATH, "TERM=xterm"],
        "cwd": "/",
        "capabilities": {
            "bounding": capabilities,
            "effective": capabilities,
            "permitted": capabilities,
        },
        "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
        "noNewPrivileges": true,
    })
}

fn mounts(whom: For) -> Value {
    let mount = |target: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": source, "options": options });
    let mut devpts = vec![
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
    ];
    let sys = match whom {
        For::Root => {
            // Group 5 is tty; a rootless container has but one group.
            devpts.push("gid=5");
            mount(
                "/sys",
                "sysfs",
                "sysfs",
                &["nosuid", "noexec", "nodev", "ro"],
            )
        }
        For::Rootless { .. } => mount(
            "/sys",
            "none",
            "/sys",
            &["rbind", "nosuid", "noexec", "nodev", "ro"],
        ),
    };
    let none = ["nosuid", "noexec", "nodev"];
    let shm = ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"];
    let dev = ["nosuid", "strictatime", "mode=755", "size=65536k"];
    let cgroup = ["nosuid", "noexec", "nodev", "relatime", "ro"];
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc" },
        mount("/dev", "tmpfs", "tmpfs", &dev),
        mount("/dev/pts", "devpts", "devpts", &devpts),
        mount("/dev/shm", "tmpfs", "shm", &shm),
        mount("/dev/mqueue", "mqueue", "mqueue", &none),
        sys,
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &cgroup),
    ])
}

fn linux(whom: For, unified: bool) -> Value {
    let namespace = |name: &str| json!({ "type": name });
    let mut namespaces = vec![namespace("pid")];
    let mut linux = serde_json::Map::new();
    match whom {
        For::Root => {
            namespaces.push(namespace("network"));
            linux.insert(
                "resources".to_owned(),
                json!({ "devices": [{ "allow": false, "access": "rwm" }] }),
            );
        }
        For::Rootless { uid, gid } => {
            let map = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
            linux.insert("uidMappings".to_owned(), map(uid));
            linux.insert("gidMappings".to_owned(), map(gid));
            namespaces.push(namespace("user"));
        }
    }
    namespaces.extend(["ipc", "uts", "mount"].map(namespace));
    namespaces.extend(unified.then(|| namespace("cgroup")));
    linux.insert("namespaces".to_owned(), Value::Array(namespaces));
    linux.insert(
        "maskedPaths".to_owned(),
        json!([
            "/proc/acpi",
            "/proc/asound",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/proc/sched_debug",
            "/sys/firmware",
            "/proc/scsi",
        ]),
    );
    linux.insert(
        "readonlyPaths".to_owned(),
        json!([
            "/proc/bus",
            "/proc/fs",
            "/proc/irq",
            "/proc/sys",
            "/proc/sysrq-trigger",
        ]),
    );
    Value::Object(linux)
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};

    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for whom in [For::Root, For::Rootless { uid: 7, gid: 8 }] {
            let text = document(whom, true);
            let spec = super::super::bundle::parse(text.as_bytes()).unwrap().0;
            assert_eq!(spec.process().as_ref().unwrap().terminal(), Some(true));
            let linux = spec.linux().as_ref().unwrap();
            let mapped = linux.uid_mappings().as_ref().map(|list| list[0].host_id());
            assert_eq!(mapped, (whom != For::Root).then_some(7));
        }
    }

    #[test]
    fn a_cgroup_namespace_is_for_hosts_with_one_tree() {
        for unified in [true, false] {
            let text = document(For::Root, unified);
            let spec = super::super::bundle::parse(text.as_bytes()).unwrap().0;
            let linux = spec.linux().as_ref().unwrap();
            let namespaces = linux.namespaces().as_ref().unwrap();
            let cgroup = |namespace: &LinuxNamespace| namespace.typ() == LinuxNamespaceType::Cgroup;
            assert_eq!(namespaces.iter().any(cgroup), unified);
        }
    }
}
