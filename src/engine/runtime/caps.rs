//! Capabilities by name: Docker's default set, what a request adds and drops, and the sets as the kernel takes them.
//! Applying them is for `init`.

use std::str::FromStr;

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};

use crate::engine::error::{Error, Result};
use crate::engine::sys::cred;

/// Every capability, in the order of its number (linux/capability.h).
const ALL: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// What a container has unless asked otherwise: Docker's fourteen.
const DEFAULT: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// The default set with additions and removals, as Docker combines them: `ALL` first, then the single names; a name in
/// both lists is added.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput) for a name that is no capability.
pub fn wanted(add: &[String], drop: &[String]) -> Result<Capabilities> {
    let (all_added, add) = parse_list(add, "CapAdd")?;
    let (all_dropped, drop) = parse_list(drop, "CapDrop")?;
    let mut set: Capabilities = if all_added {
        ALL.into_iter().collect()
    } else if all_dropped {
        Capabilities::new()
    } else {
        DEFAULT.into_iter().collect()
    };
    set.retain(|capability| !drop.contains(capability));
    set.extend(add);
    Ok(set)
}

/// The capability of that name, as the specification writes it: `CAP_KILL`.
#[must_use]
pub fn by_name(name: &str) -> Option<Capability> {
    let bare = name.strip_prefix("CAP_")?;
    let known = Capability::from_str(bare).ok()?;
    (known.to_string() == bare).then_some(known)
}

/// Those that are named, each once, and the names that nobody knows.
#[must_use]
pub fn named(names: &[String]) -> (Capabilities, Vec<&str>) {
    let mut known = Capabilities::new();
    let mut unknown = Vec::new();
    for name in names {
        match by_name(name) {
            Some(capability) => {
                known.insert(capability);
            }
            None => unknown.push(name.as_str()),
        }
    }
    (known, unknown)
}

/// The names of all, in the order of their numbers: `CAP_CHOWN` first.
pub fn names() -> impl Iterator<Item = String> {
    ALL.iter().map(Capability::to_string)
}

/// Every capability there is.
#[must_use]
pub fn all() -> Capabilities {
    ALL.into_iter().collect()
}

/// The five sets of a process that may have `set`: bounding, effective and permitted; inheritable and ambient are empty
/// (a program with inheritable file capabilities would get them otherwise: CVE-2022-24769).
#[must_use]
pub fn sets(set: &Capabilities) -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(set.clone()))
        .set_effective(Some(set.clone()))
        .set_permitted(Some(set.clone()))
        .set_inheritable(Some(Capabilities::new()))
        .set_ambient(Some(Capabilities::new()));
    sets
}

/// As bits for the kernel.
#[must_use]
pub fn bits(set: Option<&Capabilities>) -> cred::Capabilities {
    let Some(set) = set else { return 0 };
    ALL.iter()
        .enumerate()
        .filter(|(_, capability)| set.contains(capability))
        .fold(0, |bits, (number, _)| bits | 1 << number)
}

/// What of its sets a process cannot get, in sentences for warnings (runtime-spec, "Linux Process"). `permitted` and
/// `bounding` are what whoever makes it has.
#[must_use]
pub fn ungranted(
    wanted: &LinuxCapabilities,
    permitted: cred::Capabilities,
    bounding: cred::Capabilities,
) -> Vec<String> {
    let own_bounding = bits(wanted.bounding().as_ref());
    let own_permitted = bits(wanted.permitted().as_ref()) & permitted;
    let own_inheritable = bits(wanted.inheritable().as_ref()) & permitted & own_bounding;
    [
        ("bounding", wanted.bounding(), bounding),
        ("permitted", wanted.permitted(), permitted),
        ("effective", wanted.effective(), own_permitted),
        (
            "inheritable",
            wanted.inheritable(),
            permitted & own_bounding,
        ),
        ("ambient", wanted.ambient(), own_permitted & own_inheritable),
    ]
    .into_iter()
    .filter_map(|(name, set, possible)| {
        let missing: Vec<String> = names_of(bits(set.as_ref()) & !possible).collect();
        not_granted(name, &missing)
    })
    .collect()
}

/// One line for a set. Callers of runc look for its words, which it has for an ambient capability alone.
fn not_granted(set: &str, missing: &[String]) -> Option<String> {
    let field = format!("process.capabilities.{set}");
    let list = missing.join(" ");
    match (set, missing) {
        (_, []) => None,
        ("ambient", [name]) => Some(format!(
            "{field}: can't raise ambient capability {name}: it is not permitted and inheritable"
        )),
        ("ambient", _) => Some(format!(
            "{field}: can't raise ambient capabilities that are not permitted and inheritable: [{list}]"
        )),
        _ => Some(format!(
            "{field}: ignoring capabilities that cannot be granted: [{list}]"
        )),
    }
}

fn names_of(set: cred::Capabilities) -> impl Iterator<Item = String> {
    names()
        .enumerate()
        .filter(move |(number, _)| set & 1 << number != 0)
        .map(|(_, name)| format!("CAP_{}", name.trim_start_matches("CAP_")))
}

fn parse_list(names: &[String], field: &str) -> Result<(bool, Vec<Capability>)> {
    let mut all = false;
    let mut list = Vec::new();
    for name in names {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if bare == "ALL" {
            all = true;
            continue;
        }
        list.push(Capability::from_str(bare).map_err(|error| {
            Error::invalid(format!(
                "invalid {field}: unknown capability: \"CAP_{bare}\""
            ))
            .caused_by(error)
        })?);
    }
    Ok((all, list))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(add: &[&str], drop: &[&str], expect: u64) {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let set = wanted(&own(add), &own(drop)).unwrap();
        assert_eq!(bits(Some(&set)), expect, "+{add:?} -{drop:?}");
    }

    #[test]
    fn additions_and_removals_combine_as_dockers_do() {
        // The mask that `docker run alpine grep CapBnd /proc/self/status` shows.
        let default = 0x0000_0000_a804_25fb;
        check(&[], &[], default);
        check(&["SYS_ADMIN"], &[], default | 1 << 21);
        check(&["cap_sys_admin"], &[], default | 1 << 21);
        check(&[], &["NET_RAW", "MKNOD"], default & !(1 << 13 | 1 << 27));
        check(&["NET_ADMIN"], &["ALL"], 1 << 12);
        check(&["ALL"], &["SYS_ADMIN"], 0x1ff_ffff_ffff & !(1 << 21));
        check(&[], &["ALL"], 0);
    }

    #[test]
    fn what_a_process_cannot_get_is_told_set_by_set() {
        let sets = |json: &str| -> LinuxCapabilities { serde_json::from_str(json).unwrap() };
        let (all, kill) = (u64::MAX, 1 << 5);
        let good = sets(
            r#"{"bounding":["CAP_KILL"],"permitted":["CAP_KILL"],"effective":["CAP_KILL"],
                "inheritable":["CAP_KILL"],"ambient":["CAP_KILL"]}"#,
        );
        assert_eq!(ungranted(&good, all, all), [""; 0]);
        assert_eq!(ungranted(&good, kill, kill), [""; 0]);
        let told = ungranted(&good, 0, kill);
        assert_eq!(told.len(), 4, "{told:?}");
        for half in [
            r#"{"bounding":["CAP_KILL"],"permitted":["CAP_KILL"],"ambient":["CAP_KILL"]}"#,
            r#"{"bounding":["CAP_KILL"],"inheritable":["CAP_KILL"],"ambient":["CAP_KILL"]}"#,
        ] {
            assert_eq!(ungranted(&sets(half), all, all).len(), 1, "{half}");
        }
        let lone = sets(r#"{"ambient":["CAP_KILL","CAP_CHOWN"]}"#);
        assert_eq!(
            ungranted(&lone, all, all),
            [
                "process.capabilities.ambient: can't raise ambient capabilities that are not permitted and inheritable: [CAP_CHOWN CAP_KILL]"
            ]
        );
        let one = sets(r#"{"ambient":["CAP_KILL"]}"#);
        assert_eq!(
            ungranted(&one, all, all),
            [
                "process.capabilities.ambient: can't raise ambient capability CAP_KILL: it is not permitted and inheritable"
            ]
        );
    }

    #[test]
    fn an_unknown_name_is_refused_with_dockers_words() {
        let error = wanted(&["nosuch".to_owned()], &[]).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("invalid CapAdd: unknown capability: \"CAP_NOSUCH\""),
            "{error}"
        );
    }
}
