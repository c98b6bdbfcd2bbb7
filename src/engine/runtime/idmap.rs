//! A user namespace's mappings: who of the host the container's users and groups are (user_namespaces(7)).

use std::fmt::Write;
use std::process::{Command, Stdio};

use oci_spec::runtime::{LinuxIdMapping, Spec};

use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::{host, procfs};

/// Both mappings of a new user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Maps {
    uids: Vec<Range>,
    gids: Vec<Range>,
}

/// So many ids, from one on inside and from another one on outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    inside: u32,
    outside: u32,
    size: u32,
}

impl Maps {
    /// Those of a specification; without any, root is whoever makes the namespace, and there is nobody else (as with
    /// crun).
    ///
    /// # Errors
    /// [`Kind::InvalidInput`] for a range without ids, or beyond the last one.
    pub(super) fn of(spec: &Spec) -> Result<Self> {
        let linux = spec.linux().as_ref();
        let given = |list: Option<&Vec<LinuxIdMapping>>| {
            let list = list.filter(|list| !list.is_empty())?;
            Some(list.iter().map(Range::of).collect())
        };
        let uids = given(linux.and_then(|l| l.uid_mappings().as_ref()));
        let gids = given(linux.and_then(|l| l.gid_mappings().as_ref()));
        let (uid, gid) = host::effective_ids();
        let maps = Self {
            uids: uids.unwrap_or_else(|| vec![Range::root(uid)]),
            gids: gids.unwrap_or_else(|| vec![Range::root(gid)]),
        };
        check(&maps.uids, "linux.uidMappings")?;
        check(&maps.gids, "linux.gidMappings")?;
        Ok(maps)
    }

    /// Who of the host a user inside is, if anybody.
    pub(super) fn user_outside(&self, uid: u32) -> Option<u32> {
        self.uids.iter().find_map(|range| range.outside(uid))
    }

    /// The same for a group.
    pub(super) fn group_outside(&self, gid: u32) -> Option<u32> {
        self.gids.iter().find_map(|range| range.outside(gid))
    }

    /// Maps the users of the namespace that a process has made. Where this process has not the right to, the host's
    /// newuidmap(1) and newgidmap(1) do it; without them it can still map itself.
    ///
    /// # Errors
    /// What the kernel or those programs say.
    pub(super) fn write(&self, pid: i32) -> Result<()> {
        write(pid, "gid_map", "newgidmap", &self.gids, || {
            // user_namespaces(7), "The /proc/pid/setgroups file": otherwise nobody without privilege may map a group.
            procfs::write_of(pid, "setgroups", "deny")
        })
        .attempt(|| "linux.gidMappings")?;
        write(pid, "uid_map", "newuidmap", &self.uids, || Ok(())).attempt(|| "linux.uidMappings")
    }
}

impl Range {
    fn of(mapping: &LinuxIdMapping) -> Self {
        Self {
            inside: mapping.container_id(),
            outside: mapping.host_id(),
            size: mapping.size(),
        }
    }

    fn outside(&self, id: u32) -> Option<u32> {
        let offset = id.checked_sub(self.inside)?;
        (offset < self.size)
            .then(|| self.outside.checked_add(offset))
            .flatten()
    }

    fn root(outside: u32) -> Self {
        Self {
            inside: 0,
            outside,
            size: 1,
        }
    }
}

fn check(list: &[Range], field: &str) -> Result<()> {
    for (number, mapping) in list.iter().enumerate() {
        let fits = |first: u32| first.checked_add(mapping.size).is_some();
        let problem = if mapping.size == 0 {
            "size: must be greater than zero"
        } else if !fits(mapping.inside) || !fits(mapping.outside) {
            "size: goes beyond the last id"
        } else {
            continue;
        };
        return Err(Error::invalid(format!("{field}[{number}].{problem}")));
    }
    Ok(())
}

fn write(
    pid: i32,
    file: &str,
    helper: &str,
    list: &[Range],
    prepare: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let text = text(list);
    if host::is_root() {
        return procfs::write_of(pid, file, &text);
    }
    match help(helper, pid, list) {
        Err(error) if error.kind() == Kind::NotFound && list.len() == 1 => {
            prepare()?;
            procfs::write_of(pid, file, &text)
        }
        other => other,
    }
}

fn text(list: &[Range]) -> String {
    list.iter().fold(String::new(), |mut text, range| {
        let Range {
            inside,
            outside,
            size,
        } = range;
        let _ = writeln!(text, "{inside} {outside} {size}");
        text
    })
}

fn help(helper: &str, pid: i32, list: &[Range]) -> Result<()> {
    let numbers = list.iter().flat_map(|m| [m.inside, m.outside, m.size]);
    let output = Command::new(helper)
        .arg(pid.to_string())
        .args(numbers.map(|number| number.to_string()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .attempt(|| format!("execute {helper}"))?;
    if output.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Error::new(
            Kind::Denied,
            format!("{helper}: {}", said.trim_end()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(json: &str) -> Result<Maps> {
        let json = format!(r#"{{"ociVersion":"1.2.0","linux":{{{json}}}}}"#);
        Maps::of(&serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn mappings_are_written_as_the_kernel_reads_them() {
        let maps = maps(
            r#""uidMappings":[{"containerID":0,"hostID":100000,"size":10},{"containerID":10,"hostID":5,"size":1}]"#,
        )
        .unwrap();
        assert_eq!(text(&maps.uids), "0 100000 10\n10 5 1\n");
        let (_, gid) = host::effective_ids();
        assert_eq!(text(&maps.gids), format!("0 {gid} 1\n"));
    }

    #[test]
    fn a_range_has_ids_that_exist() {
        for (mapping, text) in [
            (
                r#"{"containerID":0,"hostID":0,"size":0}"#,
                "must be greater than zero",
            ),
            (
                r#"{"containerID":0,"hostID":4294967295,"size":1}"#,
                "goes beyond the last id",
            ),
            (
                r#"{"containerID":2,"hostID":0,"size":4294967294}"#,
                "goes beyond the last id",
            ),
        ] {
            let error = maps(&format!(r#""gidMappings":[{mapping}]"#)).unwrap_err();
            let text = format!("linux.gidMappings[0].size: {text}");
            assert_eq!(error.to_string(), text);
        }
        assert!(maps(r#""uidMappings":[{"containerID":0,"hostID":0,"size":4294967295}]"#).is_ok());
    }
}
