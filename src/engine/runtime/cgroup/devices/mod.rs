//! The list of devices that a container may use: lines for v1, a small eBPF program for v2. Pure.

mod v1;
mod v2;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};

use crate::engine::error::{Error, Result};

pub(super) use v1::{changes, lines, listed};
pub(super) use v2::program;

/// Which devices a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Type {
    All,
    Block,
    Char,
}

/// Permissions of a rule, as bits; also the kernel's for eBPF (linux/bpf.h, `BPF_DEVCG_ACC_*`).
pub(super) const MKNOD: u8 = 1;
pub(super) const READ: u8 = 2;
pub(super) const WRITE: u8 = 4;
const ANY: u8 = MKNOD | READ | WRITE;

/// A rule, read and checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub allow: bool,
    pub devices: Devices,
    /// [`MKNOD`] and its like; never none.
    pub access: u8,
}

/// Devices by numbers; `None` is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Devices {
    pub typ: Type,
    pub major: Option<u32>,
    pub minor: Option<u32>,
}

/// Reads the rules.
///
/// # Errors
/// A type, access or number that is none; the message begins with the field.
pub(super) fn read(rules: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>> {
    let read = |(at, rule)| read_one(at, rule);
    rules.iter().enumerate().map(read).collect()
}

fn read_one(at: usize, rule: &LinuxDeviceCgroup) -> Result<Rule> {
    let field = |name: &str| format!("linux.resources.devices[{at}].{name}");
    let typ = match rule.typ().unwrap_or(LinuxDeviceType::A) {
        LinuxDeviceType::A => Type::All,
        LinuxDeviceType::B => Type::Block,
        LinuxDeviceType::C | LinuxDeviceType::U => Type::Char,
        LinuxDeviceType::P => {
            return Err(Error::invalid(format!(
                "{}: a pipe is no device that can be kept away",
                field("type")
            )));
        }
    };
    let access = match rule.access().as_deref() {
        // The field is optional; runc wants it, crun takes it for all.
        None | Some("") => ANY,
        Some(text) => text.chars().try_fold(0, |access, letter| match letter {
            'm' => Ok(access | MKNOD),
            'r' => Ok(access | READ),
            'w' => Ok(access | WRITE),
            // What some write for "all" is no right of its own to runc.
            'a' => Ok(access),
            _ => Err(Error::invalid(format!(
                "{}: {text:?} has letters other than r, w and m",
                field("access")
            ))),
        })?,
    };
    let number = |name: &str, value: Option<i64>| match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value)
            .map(Some)
            .map_err(|error| Error::invalid(field(name)).caused_by(error)),
    };
    Ok(Rule {
        allow: rule.allow(),
        devices: Devices {
            typ,
            major: number("major", rule.major())?,
            minor: number("minor", rule.minor())?,
        },
        access,
    })
}

/// Resources as a bundle asks for them, with the devices that every container has (runtime-spec, "Default Devices"): all
/// else is denied even if no rule says so, as in runc.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput), naming the field, for a rule that is none: later
/// its number among all rules would be named.
pub fn with_default_devices(resources: Option<&LinuxResources>) -> Result<LinuxResources> {
    let mut resources = resources.cloned().unwrap_or_default();
    read(resources.devices().as_deref().unwrap_or_default())?;
    let mut rules = vec![denied()];
    rules.extend(resources.devices().iter().flatten().cloned());
    rules.extend(defaults());
    resources.set_devices(Some(rules));
    Ok(resources)
}

fn denied() -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(false)
        .set_typ(Some(LinuxDeviceType::A))
        .set_access(Some("rwm".to_owned()));
    rule
}

/// Nodes of anything may be made; null, zero, full, random, urandom, tty, ptmx and pseudo terminals may be used.
fn defaults() -> Vec<LinuxDeviceCgroup> {
    use LinuxDeviceType::{B, C};
    [
        (C, None, None, "m"),
        (B, None, None, "m"),
        (C, Some(1), Some(3), "rwm"),
        (C, Some(1), Some(5), "rwm"),
        (C, Some(1), Some(7), "rwm"),
        (C, Some(1), Some(8), "rwm"),
        (C, Some(1), Some(9), "rwm"),
        (C, Some(5), Some(0), "rwm"),
        (C, Some(5), Some(2), "rwm"),
        (C, Some(136), None, "rwm"),
    ]
    .map(|(typ, major, minor, access)| {
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(true)
            .set_typ(Some(typ))
            .set_major(major)
            .set_minor(minor)
            .set_access(Some(access.to_owned()));
        rule
    })
    .into()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn rule(
        allow: bool,
        typ: Type,
        major: Option<u32>,
        minor: Option<u32>,
        access: u8,
    ) -> Rule {
        Rule {
            allow,
            devices: Devices { typ, major, minor },
            access,
        }
    }

    fn parse(json: &str) -> Result<Vec<Rule>, String> {
        let rules: Vec<LinuxDeviceCgroup> = serde_json::from_str(json).unwrap();
        read(&rules).map_err(|error| error.to_string())
    }

    #[test]
    fn rules_are_read_with_their_defaults() {
        let all = parse(r#"[{"allow":true}]"#).unwrap();
        assert_eq!(all, [rule(true, Type::All, None, None, ANY)]);
        let some =
            parse(r#"[{"allow":false,"type":"b","major":8,"minor":-1,"access":"mr"}]"#).unwrap();
        assert_eq!(
            some,
            [rule(false, Type::Block, Some(8), None, MKNOD | READ)]
        );
    }

    #[test]
    fn a_wrong_rule_is_named_by_its_place() {
        for (json, field) in [
            (
                r#"[{"allow":true},{"allow":true,"access":"rx"}]"#,
                "[1].access",
            ),
            (r#"[{"allow":true,"type":"c","major":-2}]"#, "[0].major"),
            (
                r#"[{"allow":true,"type":"c","minor":4294967296}]"#,
                "[0].minor",
            ),
            (r#"[{"allow":true,"type":"p"}]"#, "[0].type"),
        ] {
            let error = parse(json).unwrap_err();
            let expected = format!("linux.resources.devices{field}: ");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_bundle_without_rules_has_the_default_devices_alone() {
        let resources = with_default_devices(None).unwrap();
        let rules = read(resources.devices().as_deref().unwrap()).unwrap();
        assert_eq!(
            rules.first().unwrap(),
            &rule(false, Type::All, None, None, ANY)
        );
        assert!(rules.contains(&rule(true, Type::Char, Some(1), Some(3), ANY)));
        assert!(!rules.iter().skip(1).any(|rule| !rule.allow));
    }
}
