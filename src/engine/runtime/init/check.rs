//! What can be said of a specification before anything is made: contradictions, values out of range, and what this host
//! does not have. Asked by the parent, in its own namespaces.

use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Process, Root, Spec};

use super::namespaces::{has, is_new, is_separate};
use crate::engine::error::{Error, Result};
use crate::engine::runtime::{labels, netdev, rlimits, schedule, sysctl};

/// Refuses what cannot become a container.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput) or
/// [`Kind::Unsupported`](crate::engine::error::Kind::Unsupported), naming the field.
pub(in crate::engine::runtime) fn check(spec: &Spec, process: &Process) -> Result<()> {
    check_process(spec, process)?;
    check_users(spec)?;
    check_mapped(spec, process)?;
    check_mount_namespace(spec)?;
    check_names(spec)?;
    check_hidden_paths(spec)?;
    netdev::check(spec)?;
    check_sysctls(spec)
}

/// The same for a further process of a container.
///
/// # Errors
/// As [`check`].
pub(in crate::engine::runtime) fn check_process(spec: &Spec, process: &Process) -> Result<()> {
    check_user(process)?;
    labels::check(spec, process)?;
    rlimits::check(process.rlimits().as_deref().unwrap_or_default())?;
    schedule::check(process, spec.linux().as_ref())
}

/// The largest number means "leave it as it is" to setresuid(2): the program would be root.
fn check_user(process: &Process) -> Result<()> {
    let user = process.user();
    let gids = user.additional_gids().iter().flatten();
    let ids = [("uid", user.uid()), ("gid", user.gid())]
        .into_iter()
        .chain(gids.map(|gid| ("additionalGids", *gid)));
    for (name, id) in ids {
        if id == u32::MAX {
            return Err(Error::invalid(format!(
                "process.user.{name}: {id} is no id"
            )));
        }
    }
    Ok(())
}

/// In a user namespace a process is one of its users.
fn check_mapped(spec: &Spec, process: &Process) -> Result<()> {
    let linux = spec.linux().as_ref();
    if !is_new(spec, LinuxNamespaceType::User) || process.user().username().is_some() {
        return Ok(());
    }
    let user = process.user();
    let uids = linux.and_then(|linux| linux.uid_mappings().as_deref());
    let gids = linux.and_then(|linux| linux.gid_mappings().as_deref());
    for (name, id, maps, list) in [
        ("uid", user.uid(), uids, "uidMappings"),
        ("gid", user.gid(), gids, "gidMappings"),
    ] {
        let has = |map: &LinuxIdMapping| {
            let offset = id.checked_sub(map.container_id());
            // A map of nothing is told by its own name, later.
            map.size() == 0 || offset.is_some_and(|offset| offset < map.size())
        };
        if !maps.unwrap_or_default().iter().any(has) {
            return Err(Error::invalid(format!(
                "process.user.{name}: {id} is not mapped in the user namespace (linux.{list})"
            )));
        }
    }
    Ok(())
}

fn check_users(spec: &Spec) -> Result<()> {
    let any = |list: &Option<Vec<LinuxIdMapping>>| list.as_ref().is_some_and(|l| !l.is_empty());
    let linux = spec.linux().as_ref();
    let uids = linux.is_some_and(|linux| any(linux.uid_mappings()));
    let gids = linux.is_some_and(|linux| any(linux.gid_mappings()));
    if is_new(spec, LinuxNamespaceType::User) {
        for (field, mapped) in [("uidMappings", uids), ("gidMappings", gids)] {
            if !mapped {
                return Err(Error::invalid(format!(
                    "linux.{field}: the user namespace has no mappings"
                )));
            }
        }
    }
    if (uids || gids) && !has(spec, LinuxNamespaceType::User) {
        return Err(Error::invalid(
            "linux.uidMappings, linux.gidMappings: user namespace mappings specified, but user namespace isn't enabled in the config",
        ));
    }
    Ok(())
}

/// Without a mount namespace the program is shut into its root by chroot(2), as with runc and crun, and nothing can be
/// mounted: it would be mounted on the host, and stay.
fn check_mount_namespace(spec: &Spec) -> Result<()> {
    if has(spec, LinuxNamespaceType::Mount) {
        return Ok(());
    }
    let refuse = |field: &str| {
        let text = format!("{field}: not without a mount namespace: it would change the host");
        Err(Error::invalid(text))
    };
    if spec.mounts().as_ref().is_some_and(|list| !list.is_empty()) {
        return refuse("mounts");
    }
    let linux = spec.linux().as_ref();
    let propagation = linux.and_then(|linux| linux.rootfs_propagation().as_deref());
    if propagation.is_some_and(|word| !word.is_empty()) {
        return refuse("linux.rootfsPropagation");
    }
    let root = spec.root().as_ref();
    if root.and_then(Root::readonly).unwrap_or(false) {
        return refuse("root.readonly");
    }
    Ok(())
}

/// Longest host or domain name, in bytes (sethostname(2), `__NEW_UTS_LEN`).
const MAX_NAME: usize = 64;

fn check_names(spec: &Spec) -> Result<()> {
    let has_namespace = has(spec, LinuxNamespaceType::Uts);
    for (field, name) in [
        ("hostname", spec.hostname()),
        ("domainname", spec.domainname()),
    ] {
        let Some(name) = name.as_deref().filter(|name| !name.is_empty()) else {
            continue;
        };
        if !has_namespace {
            return Err(Error::invalid(format!(
                "unable to set {field} without a private UTS namespace"
            )));
        }
        let length = name.len();
        if length > MAX_NAME {
            return Err(Error::invalid(format!(
                "{field}: it has {length} bytes, and the kernel takes {MAX_NAME}"
            )));
        }
    }
    Ok(())
}

fn check_hidden_paths(spec: &Spec) -> Result<()> {
    let Some(linux) = spec.linux() else {
        return Ok(());
    };
    let any = |paths: &Option<Vec<String>>| paths.as_ref().is_some_and(|paths| !paths.is_empty());
    let hides = any(linux.masked_paths()) || any(linux.readonly_paths());
    if hides && !has(spec, LinuxNamespaceType::Mount) {
        return Err(Error::invalid(
            "linux.maskedPaths, linux.readonlyPaths: unable to restrict sys entries without a private MNT namespace",
        ));
    }
    Ok(())
}

fn check_sysctls(spec: &Spec) -> Result<()> {
    let parameters = spec.linux().as_ref().and_then(|l| l.sysctl().as_ref());
    for (name, value) in parameters.into_iter().flatten() {
        sysctl::check(name, value, |kind| is_separate(spec, kind))?;
        let domain = spec.domainname().as_deref().filter(|name| !name.is_empty());
        let contradicts = domain.is_some_and(|domain| domain != value);
        if contradicts && sysctl::is_domain_name(name) {
            return Err(Error::invalid(format!(
                "linux.sysctl: sysctl {name:?} conflicts with the OCI \"domainname\" field"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A specification with these fields, and a process with those.
    fn check_json(spec: &str, process: &str, expect: Result<(), &str>) {
        let spec: Spec =
            serde_json::from_str(&format!(r#"{{"ociVersion":"1.2.0"{spec}}}"#)).unwrap();
        let process = format!(r#"{{"cwd":"/"{process}}}"#);
        let process = if process.contains("\"user\"") {
            process
        } else {
            process.replacen('{', r#"{"user":{},"#, 1)
        };
        let process: Process = serde_json::from_str(&process).unwrap();
        let got = check(&spec, &process).map_err(|error| error.to_string());
        assert_eq!(got, expect.map_err(str::to_owned));
    }

    #[test]
    fn the_id_that_means_no_change_is_refused() {
        for (user, name) in [
            (r#"{"uid":4294967295,"gid":0}"#, "uid"),
            (r#"{"uid":0,"gid":4294967295}"#, "gid"),
            (
                r#"{"uid":0,"gid":0,"additionalGids":[1,4294967295]}"#,
                "additionalGids",
            ),
        ] {
            let text = format!("process.user.{name}: 4294967295 is no id");
            check_json("", &format!(r#","user":{user}"#), Err(&text));
        }
        let largest = r#","user":{"uid":4294967294,"gid":4294967294}"#;
        check_json("", largest, Ok(()));
    }

    #[test]
    fn names_need_a_namespace() {
        check_json(
            r#","hostname":"x""#,
            "",
            Err("unable to set hostname without a private UTS namespace"),
        );
        check_json(
            r#","domainname":"x","linux":{"namespaces":[{"type":"ipc"}]}"#,
            "",
            Err("unable to set domainname without a private UTS namespace"),
        );
        check_json(
            r#","hostname":"x","linux":{"namespaces":[{"type":"uts"}]}"#,
            "",
            Ok(()),
        );
    }

    #[test]
    fn a_name_is_as_long_as_the_kernel_takes() {
        for field in ["hostname", "domainname"] {
            let named = |length: usize| {
                let name = "x".repeat(length);
                format!(r#","{field}":"{name}","linux":{{"namespaces":[{{"type":"uts"}}]}}"#)
            };
            check_json(&named(64), "", Ok(()));
            let text = format!("{field}: it has 65 bytes, and the kernel takes 64");
            check_json(&named(65), "", Err(&text));
        }
    }

    #[test]
    fn a_user_is_one_that_is_mapped() {
        let map =
            r#"[{"containerID":0,"hostID":7,"size":2},{"containerID":10,"hostID":0,"size":1}]"#;
        let spec = format!(
            r#","linux":{{"namespaces":[{{"type":"user"}}],"uidMappings":{map},"gidMappings":{map}}}"#
        );
        for id in [0, 1, 10] {
            let user = format!(r#","user":{{"uid":{id},"gid":{id}}}"#);
            check_json(&spec, &user, Ok(()));
        }
        for id in [2, 9, 11] {
            let user = format!(r#","user":{{"uid":{id},"gid":0}}"#);
            let text = format!(
                "process.user.uid: {id} is not mapped in the user namespace (linux.uidMappings)"
            );
            check_json(&spec, &user, Err(&text));
            let user = format!(r#","user":{{"uid":0,"gid":{id}}}"#);
            let text = format!(
                "process.user.gid: {id} is not mapped in the user namespace (linux.gidMappings)"
            );
            check_json(&spec, &user, Err(&text));
        }
    }

    #[test]
    fn a_joined_namespace_that_is_the_engines_own_takes_no_sysctls() {
        let spec = |namespace: &str| {
            format!(
                r#","linux":{{"sysctl":{{"net.ipv4.ip_forward":"1"}},"namespaces":[{namespace}]}}"#
            )
        };
        let text =
            "linux.sysctl: sysctl \"net.ipv4.ip_forward\" not allowed in host network namespace";
        check_json(&spec(""), "", Err(text));
        let own = r#"{"type":"network","path":"/proc/self/ns/net"}"#;
        check_json(&spec(own), "", Err(text));
        check_json(&spec(r#"{"type":"network"}"#), "", Ok(()));
    }

    #[test]
    fn a_domain_name_is_said_once() {
        let spec = |name: &str| {
            format!(
                r#","domainname":"{name}","linux":{{"sysctl":{{"kernel.domainname":"a"}},"namespaces":[{{"type":"uts"}}]}}"#
            )
        };
        check_json(&spec("a"), "", Ok(()));
        check_json(&spec(""), "", Ok(()));
        let text = "linux.sysctl: sysctl \"kernel.domainname\" conflicts with the OCI \"domainname\" field";
        check_json(&spec("b"), "", Err(text));
    }

    #[test]
    fn labels_of_a_security_module_that_is_not_there_are_refused() {
        if !crate::engine::sys::host::has_apparmor() {
            check_json(
                "",
                r#","apparmorProfile":"x""#,
                Err(
                    "process.apparmorProfile: apparmor: config provided but apparmor not supported",
                ),
            );
        }
        if !crate::engine::sys::selinux::is_on() {
            let end =
                "selinux label is specified in config, but selinux is disabled or not supported";
            let text = format!("process.selinuxLabel: {end}");
            check_json("", r#","selinuxLabel":"x""#, Err(&text));
            let text = format!("linux.mountLabel: {end}");
            check_json(r#","linux":{"mountLabel":"x"}"#, "", Err(&text));
        }
        check_json("", r#","apparmorProfile":"","selinuxLabel":"""#, Ok(()));
    }
}
