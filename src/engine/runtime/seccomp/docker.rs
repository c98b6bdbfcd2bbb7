//! Filters in the form that Docker takes and containers/common shares: rules that depend on architecture, kernel and
//! capabilities. What holds for one container becomes a filter in the form of the OCI specification.

use oci_spec::runtime::{
    Arch, Capabilities, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSyscall,
};
use serde::Deserialize;

use crate::engine::error::{Error, Result};
use crate::engine::model::Platform;
use crate::engine::sys::host;

/// A profile as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Profile {
    default_action: Option<LinuxSeccompAction>,
    default_errno_ret: Option<u32>,
    architectures: Vec<Arch>,
    arch_map: Vec<Family>,
    syscalls: Vec<Rule>,
    listener_path: Option<std::path::PathBuf>,
    listener_metadata: Option<String>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
}

/// An architecture, and those whose programs it runs, too.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Family {
    architecture: Arch,
    #[serde(default)]
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: LinuxSeccompAction,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(default)]
    includes: Option<Condition>,
    #[serde(default)]
    excludes: Option<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    arches: Option<Vec<String>>,
    caps: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// What conditions are held against.
#[derive(Debug)]
struct Place<'a> {
    /// As Go names it: `amd64`.
    architecture: &'a str,
    kernel: (u32, u32),
    /// With `CAP_`.
    capabilities: Vec<String>,
}

/// The filter for a container with this bounding set; `None` if the profile says nothing at all.
///
/// # Errors
/// [`Kind::InvalidInput`](crate::engine::error::Kind::InvalidInput) for what is no profile.
pub fn profile(text: &str, capabilities: &Capabilities) -> Result<Option<LinuxSeccomp>> {
    let platform = Platform::host();
    let place = Place {
        architecture: &platform.architecture,
        kernel: version(&host::uname().release).unwrap_or((0, 0)),
        capabilities: capabilities
            .iter()
            .map(|cap| format!("CAP_{cap}"))
            .collect(),
    };
    translate(text, &place)
        .map_err(|why| Error::invalid(format!("decoding seccomp profile: {why}")))
}

fn translate(text: &str, place: &Place<'_>) -> std::result::Result<Option<LinuxSeccomp>, String> {
    let profile: Profile = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let default = match profile.default_action {
        Some(action) => action,
        None if profile.syscalls.is_empty() => return Ok(None),
        None => return Err("defaultAction is missing".to_owned()),
    };
    if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
        return Err(
            "both 'architectures' and 'archMap' are specified, use either 'architectures' or 'archMap'"
                .to_owned(),
        );
    }
    let mut calls = Vec::new();
    for rule in &profile.syscalls {
        if rule.holds(place)? {
            calls.push(rule.call()?);
        }
    }
    let mut seccomp = LinuxSeccomp::default();
    seccomp
        .set_default_action(default)
        .set_default_errno_ret(profile.default_errno_ret)
        .set_syscalls(Some(calls))
        .set_flags(profile.flags)
        .set_listener_path(profile.listener_path)
        .set_listener_metadata(profile.listener_metadata);
    let native = native(place.architecture);
    let family = profile
        .arch_map
        .iter()
        .find(|family| Some(family.architecture) == native);
    let architectures = match family {
        Some(family) => {
            let others = family.sub_architectures.iter().flatten().copied();
            std::iter::once(family.architecture).chain(others).collect()
        }
        None => profile.architectures,
    };
    seccomp.set_architectures((!architectures.is_empty()).then_some(architectures));
    Ok(Some(seccomp))
}

impl Rule {
    fn holds(&self, place: &Place<'_>) -> std::result::Result<bool, String> {
        let here = |list: &Option<Vec<String>>| {
            let list = list.iter().flatten();
            list.into_iter().any(|name| name == place.architecture)
        };
        let has = |name: &String| place.capabilities.contains(name);
        let given = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|l| !l.is_empty());
        let new_enough = |condition: &Condition| match &condition.min_kernel {
            None => Ok(None),
            Some(text) => version(text)
                .map(|least| Some(place.kernel >= least))
                .ok_or_else(|| format!("minKernel: {text:?} is no version")),
        };
        if let Some(not) = &self.excludes {
            let excluded = here(&not.arches)
                || not.caps.iter().flatten().any(has)
                || new_enough(not)?.unwrap_or(false);
            if excluded {
                return Ok(false);
            }
        }
        let Some(only) = &self.includes else {
            return Ok(true);
        };
        let elsewhere = given(&only.arches) && !here(&only.arches);
        Ok(!elsewhere && only.caps.iter().flatten().all(has) && new_enough(only)?.unwrap_or(true))
    }

    fn call(&self) -> std::result::Result<LinuxSyscall, String> {
        let several = self.names.clone().unwrap_or_default();
        let names = match (self.name.is_empty(), several.is_empty()) {
            (false, false) => {
                return Err(
                    "both 'name' and 'names' are specified, use either 'name' or 'names'"
                        .to_owned(),
                );
            }
            (false, true) => vec![self.name.clone()],
            (true, _) => several,
        };
        let mut call = LinuxSyscall::default();
        call.set_names(names)
            .set_action(self.action)
            .set_errno_ret(self.errno_ret)
            .set_args(self.args.clone().filter(|args| !args.is_empty()));
        Ok(call)
    }
}

fn native(architecture: &str) -> Option<Arch> {
    Some(match architecture {
        "amd64" => Arch::ScmpArchX86_64,
        "arm64" => Arch::ScmpArchAarch64,
        _ => return None,
    })
}

/// `6.1.0-13-amd64` or `4.8`: the first two numbers.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(rules: &str) -> Vec<String> {
        let text = format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{rules}]}}"#);
        let place = Place {
            architecture: "amd64",
            kernel: (6, 1),
            capabilities: vec!["CAP_KILL".to_owned()],
        };
        let profile = translate(&text, &place).unwrap().unwrap();
        let calls = profile.syscalls().iter().flatten();
        calls.flat_map(|call| call.names().clone()).collect()
    }

    #[test]
    fn rules_hold_for_an_architecture_a_kernel_and_capabilities() {
        let rule = |name: &str, more: &str| {
            format!(r#"{{"names":["{name}"],"action":"SCMP_ACT_ALLOW","args":[]{more}}}"#)
        };
        let all = [
            rule("plain", ""),
            rule("here", r#","includes":{"arches":["arm64","amd64"]}"#),
            rule("there", r#","includes":{"arches":["arm64"]}"#),
            rule("kill", r#","includes":{"caps":["CAP_KILL"]}"#),
            rule(
                "admin",
                r#","includes":{"caps":["CAP_KILL","CAP_SYS_ADMIN"]}"#,
            ),
            rule("new", r#","includes":{"minKernel":"6.1"}"#),
            rule("newer", r#","includes":{"minKernel":"6.10"}"#),
            rule("nothere", r#","excludes":{"arches":["amd64"]}"#),
            rule("unlessadmin", r#","excludes":{"caps":["CAP_SYS_ADMIN"]}"#),
            rule("unlesskill", r#","excludes":{"caps":["CAP_KILL"]}"#),
            rule("unlessnew", r#","excludes":{"minKernel":"4.8"}"#),
            r#"{"name":"old","action":"SCMP_ACT_ALLOW"}"#.to_owned(),
        ];
        assert_eq!(
            calls(&all.join(",")),
            ["plain", "here", "kill", "new", "unlessadmin", "old"]
        );
    }

    #[test]
    fn what_is_no_profile_is_refused_and_nothing_is_no_filter() {
        let caps = Capabilities::new();
        assert_eq!(profile("{}", &caps).unwrap(), None);
        for (text, why) in [
            ("[", "decoding seccomp profile: "),
            (r#"{"defaultAction":"x"}"#, "decoding seccomp profile: "),
            (
                r#"{"syscalls":[{"action":"SCMP_ACT_ALLOW"}]}"#,
                "decoding seccomp profile: defaultAction",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86"}]}"#,
                "decoding seccomp profile: both 'architectures'",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"}]}"#,
                "decoding seccomp profile: both 'name'",
            ),
        ] {
            let error = profile(text, &caps).unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
    }

    #[test]
    fn a_family_of_architectures_is_that_of_the_host() {
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","archMap":[
            {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]},
            {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}]}"#;
        let place = Place {
            architecture: "amd64",
            kernel: (6, 1),
            capabilities: Vec::new(),
        };
        let made = translate(text, &place).unwrap().unwrap();
        let expect = vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86];
        assert_eq!(made.architectures(), &Some(expect));
    }
}
