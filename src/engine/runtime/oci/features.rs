//! `features`: what this runtime knows, as the specification's features document (features.md). It says what is
//! implemented; whether the host's kernel has it is another question. What later versions of the specification added
//! (`netDevices`) has no place in a document of this one.

use serde_json::{Value, json};

use crate::engine::runtime::{SPECIFICATION, caps, mounts};

/// All hooks.
const HOOKS: &[&str] = &[
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

const NAMESPACES: &[&str] = &[
    "cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts",
];

const ACTIONS: &[&str] = &[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

const OPERATORS: &[&str] = &[
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

const ARCHITECTURES: &[&str] = &[
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];

const SECCOMP_FLAGS: &[&str] = &[
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// Makes the document. `version` is the program's.
#[must_use]
pub fn document(version: &str) -> Value {
    let enabled = json!({ "enabled": true });
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPECIFICATION,
        "hooks": HOOKS,
        // Those that are ours to interpret; a file system's own are handed to it.
        "mountOptions": mounts::options::known(),
        "linux": {
            "namespaces": NAMESPACES,
            "capabilities": caps::names().map(|name| format!("CAP_{name}")).collect::<Vec<_>>(),
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true },
            "seccomp": {
                "enabled": true,
                "actions": ACTIONS,
                "operators": OPERATORS,
                "archs": ARCHITECTURES,
                "knownFlags": SECCOMP_FLAGS,
                "supportedFlags": SECCOMP_FLAGS,
            },
            "apparmor": enabled,
            "selinux": enabled,
            "intelRdt": enabled,
            "mountExtensions": { "idmap": enabled },
        },
        "annotations": { "wharf.version": version },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::Features;

    #[test]
    fn the_document_is_one_of_the_specification() {
        let document = document("1");
        let features: Features = serde_json::from_value(document).unwrap();
        assert_eq!(features.hooks().as_ref().unwrap().len(), 6);
        let linux = features.linux().as_ref().unwrap();
        let capabilities = linux.capabilities().as_ref().unwrap();
        assert_eq!(capabilities.len(), 41);
        assert_eq!(capabilities.first().unwrap(), "CAP_CHOWN");
    }

    #[test]
    fn lists_are_sorted_and_have_no_doubles() {
        for list in [NAMESPACES, ACTIONS, OPERATORS, ARCHITECTURES, SECCOMP_FLAGS] {
            assert!(list.is_sorted_by(|a, b| a < b), "{list:?}");
        }
    }
}
