//! Limits changed while the container runs.

use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};
use serde_json::{Map, Value};

use super::apply::Devices;
use super::settings::Missing;
use super::{Cgroup, systemd};
use crate::engine::error::{Error, Kind, Result};
use crate::engine::sys::cgroupfs;

impl Cgroup {
    /// Changes limits in place. `before` is what the container has been given so far, `change` what is to be different:
    /// fields that are not set stay as they are. The answer is both together, to be remembered for the next time.
    ///
    /// Values are written in whatever order the kernel takes them in, so that limits that depend on each other (memory and
    /// memory with swap, quota and period) can be raised and lowered. A v1 hierarchy in which the container has no group yet
    /// is entered by all its tasks. Devices change if `change` has rules, which then are all that count; what was allowed and
    /// is still, is allowed all the time.
    ///
    /// # Errors
    /// The field and what the kernel says. The group then has the limits that it had.
    pub fn update(
        &self,
        before: &LinuxResources,
        change: &LinuxResources,
    ) -> Result<LinuxResources> {
        let merged = merge(before, change)?;
        let wanted = complete(before, change);
        let mut settings = self.settings(Some(&wanted))?;
        let asked_for_swap = change
            .memory()
            .as_ref()
            .is_some_and(|memory| memory.swap().is_some());
        for setting in &mut settings {
            // A limit that stays as it was could be passed over at the start.
            if setting.field == "linux.resources.memory.swap" && !asked_for_swap {
                setting.missing = Missing::Ignore;
            }
        }
        if self.is_disabled() {
            return Ok(merged);
        }
        if !self.exists() {
            return Err(self.gone());
        }
        self.check_memory(&merged, change)?;
        self.join_further(&settings)?;
        if let Some(unit) = &self.unit {
            systemd::update(unit, self.version, &wanted)?;
        }
        let rules = change
            .devices()
            .as_deref()
            .filter(|rules| !rules.is_empty());
        self.apply_or_restore(&settings, || match rules {
            Some(rules) => self.restrict_devices(rules, Devices::Change),
            None => Ok(()),
        })?;
        Ok(merged)
    }

    /// `checkBeforeUpdate`: v2 would end the container rather than refuse a limit below what is in use.
    fn check_memory(&self, merged: &LinuxResources, change: &LinuxResources) -> Result<()> {
        let checks = |memory: &LinuxMemory| memory.check_before_update() == Some(true);
        let asked = merged.memory().as_ref().is_some_and(checks);
        let (Some(directory), Some(memory)) = (self.unified().filter(|_| asked), change.memory())
        else {
            return Ok(());
        };
        let text = cgroupfs::read(&directory, "memory.current")?.unwrap_or_default();
        let used = super::figures::number(&text);
        for (name, limit) in [("swap", memory.swap()), ("limit", memory.limit())] {
            let limit = limit
                .and_then(|limit| u64::try_from(limit).ok())
                .filter(|limit| *limit > 0);
            if let Some(limit) = limit.filter(|limit| *limit <= used) {
                return Err(Error::new(
                    Kind::Conflict,
                    format!(
                        "linux.resources.memory.{name}: {limit} is not more than the {used} bytes in use"
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// The change, with those fields of before without which it cannot be written: v2 needs the memory limit to know what swap
/// alone is, and quota and period are one file.
fn complete(before: &LinuxResources, change: &LinuxResources) -> LinuxResources {
    let mut wanted = change.clone();
    if let Some(memory) = change.memory() {
        wanted.set_memory(Some(complete_memory(before.memory().as_ref(), memory)));
    }
    if let Some(cpu) = change.cpu() {
        wanted.set_cpu(Some(complete_cpu(before.cpu().as_ref(), cpu)));
    }
    wanted
}

fn complete_memory(before: Option<&LinuxMemory>, change: &LinuxMemory) -> LinuxMemory {
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let mut wanted = *change;
    let (limit, swap) = (set(change.limit()), set(change.swap()));
    match (limit, swap) {
        (None | Some(-1), None) | (Some(_), Some(_)) => {}
        (Some(_), None) => {
            wanted.set_swap(before.and_then(LinuxMemory::swap));
        }
        (None, Some(_)) => {
            wanted.set_limit(before.and_then(LinuxMemory::limit));
        }
    }
    wanted
}

fn complete_cpu(before: Option<&LinuxCpu>, change: &LinuxCpu) -> LinuxCpu {
    let mut wanted = change.clone();
    let quota = change.quota().filter(|quota| *quota != 0);
    let period = change.period().filter(|period| *period != 0);
    match (quota, period) {
        (None, Some(_)) => {
            wanted.set_quota(before.and_then(LinuxCpu::quota));
        }
        (Some(_), None) => {
            wanted.set_period(before.and_then(LinuxCpu::period));
        }
        (None, None) | (Some(_), Some(_)) => {}
    }
    wanted
}

/// What a container has after a change: fields that are set win; devices, pages and interfaces are looked up by what they
/// are, device rules replaced as a whole.
///
/// # Errors
/// [`Kind::Internal`] only: resources are plain data.
fn merge(before: &LinuxResources, change: &LinuxResources) -> Result<LinuxResources> {
    let value = |resources| serde_json::to_value(resources).map_err(internal);
    let mut merged = value(before)?;
    lay_over(&mut merged, value(change)?);
    serde_json::from_value(merged).map_err(internal)
}

fn internal(error: serde_json::Error) -> Error {
    Error::new(Kind::Internal, "merge resources").caused_by(error)
}

fn lay_over(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                match below.get_mut(&key) {
                    Some(old) if key != "devices" => lay_over(old, value),
                    _ => {
                        below.insert(key, value);
                    }
                }
            }
        }
        (Value::Array(below), Value::Array(above)) => {
            for value in above {
                match below.iter_mut().rev().find(|old| is_same(old, &value)) {
                    Some(old) => lay_over(old, value),
                    None => below.push(value),
                }
            }
        }
        (below, above) => *below = above,
    }
}

/// Whether two rows of a list are about the same thing.
fn is_same(a: &Value, b: &Value) -> bool {
    let key = |value: &Value| -> Option<Map<String, Value>> {
        let object = value.as_object()?;
        let is_key = |(name, _): &(&String, &Value)| {
            matches!(name.as_str(), "major" | "minor" | "pageSize" | "name")
        };
        let key: Map<_, _> = object
            .iter()
            .filter(is_key)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        (!key.is_empty()).then_some(key)
    };
    key(a).is_some_and(|a| Some(a) == key(b))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::settings::tests::resources;
    use super::super::tests::group;
    use super::super::{Version, settings};
    use super::*;

    fn merged(before: &str, change: &str) -> LinuxResources {
        merge(&resources(before), &resources(change)).unwrap()
    }

    #[test]
    fn a_change_leaves_alone_what_it_does_not_name() {
        let now = merged(
            r#"{"memory":{"limit":5,"swap":9},"pids":{"limit":3},"unified":{"a.b":"1","c.d":"2"},
                "devices":[{"allow":false},{"allow":true,"type":"c","major":1}],
                "blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1},{"major":8,"minor":1,"rate":1}]}}"#,
            r#"{"memory":{"limit":6},"cpu":{"shares":7},"unified":{"a.b":"3"},
                "devices":[{"allow":true}],
                "blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":1,"rate":2},{"major":9,"minor":1,"rate":3}]}}"#,
        );
        let expected = resources(
            r#"{"memory":{"limit":6,"swap":9},"pids":{"limit":3},"unified":{"a.b":"3","c.d":"2"},"cpu":{"shares":7},
                "devices":[{"allow":true}],
                "blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1},{"major":8,"minor":1,"rate":2},{"major":9,"minor":1,"rate":3}]}}"#,
        );
        assert_eq!(now, expected);
    }

    fn written(version: Version, before: &str, change: &str) -> Vec<String> {
        let wanted = complete(&resources(before), &resources(change));
        settings::list(version, &wanted)
            .unwrap()
            .iter()
            .map(|setting| format!("{}={}", setting.file, setting.value))
            .collect()
    }

    #[test]
    fn halves_of_a_pair_are_written_with_the_other_half() {
        let before = r#"{"memory":{"limit":50,"swap":80},"cpu":{"quota":7,"period":9}}"#;
        let v2 = |change: &str| written(Version::V2, before, change);
        assert_eq!(
            v2(r#"{"memory":{"swap":90}}"#),
            ["memory.swap.max=40", "memory.max=50"]
        );
        assert_eq!(
            v2(r#"{"memory":{"limit":60}}"#),
            ["memory.swap.max=20", "memory.max=60"]
        );
        assert_eq!(
            v2(r#"{"memory":{"limit":-1}}"#),
            ["memory.swap.max=max", "memory.max=max"]
        );
        assert_eq!(v2(r#"{"memory":{"reservation":1}}"#), ["memory.low=1"]);
        assert_eq!(v2(r#"{"cpu":{"quota":-1}}"#), ["cpu.max=max 9"]);
        assert_eq!(v2(r#"{"cpu":{"period":20}}"#), ["cpu.max=7 20"]);
        assert_eq!(v2(r#"{"cpu":{"burst":2}}"#), ["cpu.max.burst=2"]);
        assert_eq!(
            written(Version::V1, before, r#"{"memory":{"limit":60}}"#),
            ["memory.limit_in_bytes=60", "memory.memsw.limit_in_bytes=80"]
        );
    }

    #[test]
    fn a_limit_below_use_can_be_refused() {
        let dir = tempfile::tempdir().unwrap();
        let group = group(Version::V2, dir.path(), &[""]);
        let place = dir.path().join("wharf/x");
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("memory.current"), "1000\n").unwrap();
        fs::write(place.join("memory.max"), "max\n").unwrap();
        let update = |change: &str| group.update(&LinuxResources::default(), &resources(change));
        let error = update(r#"{"memory":{"limit":1000,"checkBeforeUpdate":true}}"#).unwrap_err();
        let text = "linux.resources.memory.limit: 1000 is not more than the 1000 bytes in use";
        assert_eq!(error.to_string(), text);
        assert_eq!(
            fs::read_to_string(place.join("memory.max")).unwrap(),
            "max\n"
        );
        update(r#"{"memory":{"limit":1001,"checkBeforeUpdate":true}}"#).unwrap();
        update(r#"{"memory":{"limit":1}}"#).unwrap();
    }

    #[test]
    fn a_group_that_is_gone_cannot_be_changed() {
        let dir = tempfile::tempdir().unwrap();
        let group = group(Version::V2, dir.path(), &[""]);
        let none = LinuxResources::default();
        assert_eq!(
            group.update(&none, &none).unwrap_err().kind(),
            Kind::NotFound
        );
    }
}
