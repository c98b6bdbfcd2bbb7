//! The default filter of system calls, as a process in a container meets it.

use crate::support::{BUSYBOX, Host, Output, privileged};

/// A host with the busybox image, or `None` where that cannot be.
fn host() -> Option<Host> {
    let host = privileged()?;
    host.busybox_image()?;
    Some(host)
}

fn run(host: &Host, more: &[&str], script: &str) -> Output {
    let mut args = vec!["run", "--rm", "--network", "none"];
    args.extend(more);
    args.extend([BUSYBOX, "sh", "-c", script]);
    host.wharf(args)
}

#[test]
fn one_filter_is_in_force() {
    let Some(host) = host() else { return };
    let output = run(&host, &[], "grep -E '^Seccomp' /proc/self/status");
    let fields: Vec<&str> = output.stdout.split_ascii_whitespace().collect();
    assert_eq!(fields[..2], ["Seccomp:", "2"], "{output:#?}");
    // Kernels before 5.9 do not count them.
    if fields.len() > 2 {
        assert_eq!(fields[2..], ["Seccomp_filters:", "1"], "{output:#?}");
    }
}

#[test]
fn namespaces_and_mounts_are_refused() {
    let Some(host) = host() else { return };
    for script in [
        "unshare -U true",
        "unshare -Ur true",
        "unshare -n true",
        "mount -t tmpfs none /tmp",
        "mount -t cgroup none /tmp",
        "umount /proc",
    ] {
        let output = run(&host, &[], script);
        assert_ne!(output.code, 0, "{script}: {output:#?}");
        let refused = [
            "Operation not permitted",
            "permission denied",
            "Permission denied",
        ];
        assert!(
            refused.iter().any(|text| output.stderr.contains(text)),
            "{script}: {output:#?}"
        );
    }
}

#[test]
fn a_user_namespace_is_refused_by_the_filter_and_opened_by_the_capability() {
    let Some(host) = host() else { return };
    // The kernel asks nobody for a capability here: only the filter refuses.
    let output = run(&host, &["--cap-drop", "ALL"], "unshare -U true");
    assert_ne!(output.code, 0, "{output:#?}");
    let output = run(
        &host,
        // A new mount namespace changes a mount first, which our AppArmor profile denies.
        &[
            "--cap-add",
            "SYS_ADMIN",
            "--security-opt",
            "apparmor=unconfined",
        ],
        "unshare -U true && unshare -m true",
    );
    assert_eq!(output.code, 0, "{output:#?}");
}

#[test]
fn a_root_can_be_changed_by_default_and_not_without_the_capability() {
    let Some(host) = host() else { return };
    assert_eq!(run(&host, &[], "chroot / true").code, 0);
    let output = run(&host, &["--cap-drop", "SYS_CHROOT"], "chroot / true");
    assert_ne!(output.code, 0, "{output:#?}");
}
