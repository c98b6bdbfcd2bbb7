//! The default profile: reads `assets/seccomp.json` and plans what counts for a container's capabilities.
//!
//! The build script compiles this file, too: it uses nothing of the crate but its neighbours.

use serde::Deserialize;

use super::plan::{Check, Compare, Plan};
use super::table::{Arch, Table};

/// The profile; the file says what its fields mean and where the facts are from.
const PROFILE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/seccomp.json"));

/// The oldest kernel that the default filter is made for: what is `since` an older one always counts. The runtime
/// itself needs a newer one (pidfd_open(2), clone3(2)).
const KERNEL: (u32, u32) = (5, 3);

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile<'a> {
    #[serde(rename = "about")]
    _about: serde::de::IgnoredAny,
    /// The error number of everything that is not named.
    errno: u16,
    #[serde(borrow)]
    groups: Vec<Group<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group<'a> {
    #[serde(default, rename = "why")]
    _why: serde::de::IgnoredAny,
    #[serde(borrow)]
    names: Vec<&'a str>,
    errno: Option<u16>,
    #[serde(default)]
    any: Vec<Vec<Condition>>,
    #[serde(default)]
    native: Vec<&'a str>,
    since: Option<&'a str>,
    #[serde(default)]
    with: Vec<&'a str>,
    #[serde(default)]
    without: Vec<&'a str>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    index: u8,
    op: Operator,
    value: u64,
    mask: Option<u64>,
    #[serde(default)]
    int: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Operator {
    Eq,
    Lt,
    Gt,
    Masked,
}

impl Profile<'static> {
    /// The profile that is part of the program.
    ///
    /// # Errors
    /// The file is not one; its tests and the build know.
    pub(super) fn built_in() -> Result<Self, serde_json::Error> {
        serde_json::from_str(PROFILE)
    }
}

impl<'a> Profile<'a> {
    /// The capabilities that make a difference, each once, sorted.
    pub(super) fn deciding(&self) -> Vec<&'a str> {
        let groups = self.groups.iter();
        let mut names: Vec<&str> = groups
            .flat_map(|group| group.with.iter().chain(&group.without))
            .copied()
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What a container with these capabilities may do on a host of this architecture.
    pub(super) fn plan(&self, table: Table<'_>, native: Arch, caps: &[&str]) -> Plan {
        let default = ERRNO | u32::from(self.errno);
        let mut plan = Plan::new(default, native.family().to_vec());
        for group in self.groups.iter().filter(|g| g.counts(native, caps)) {
            let action = group.errno.map_or(ALLOW, |e| ERRNO | u32::from(e));
            let alternatives: Vec<Vec<Check>> = if group.any.is_empty() {
                vec![Vec::new()]
            } else {
                let checks = |all: &Vec<Condition>| all.iter().map(Condition::check).collect();
                group.any.iter().map(checks).collect()
            };
            for name in &group.names {
                for checks in &alternatives {
                    plan.add(table, name, checks, action)
                        .expect("the built-in profile does not contradict itself");
                }
            }
        }
        plan
    }
}

impl Group<'_> {
    fn counts(&self, native: Arch, caps: &[&str]) -> bool {
        let here = self.native.is_empty()
            || (self.native.iter()).any(|name| Arch::native(name) == Some(native));
        let new_enough = self.since.is_none_or(|since| version(since) <= KERNEL);
        here && new_enough
            && self.with.iter().all(|cap| caps.contains(cap))
            && !self.without.iter().any(|cap| caps.contains(cap))
    }
}

impl Condition {
    fn check(&self) -> Check {
        let compare = match self.op {
            Operator::Eq => Compare::Equal,
            Operator::Lt => Compare::Less,
            Operator::Gt => Compare::Greater,
            Operator::Masked => Compare::Masked(self.mask.unwrap_or(u64::MAX)),
        };
        Check {
            index: self.index,
            compare,
            value: self.value,
            wide: !self.int,
        }
    }
}

/// The first two numbers of a kernel's version; what is missing is 0.
fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
