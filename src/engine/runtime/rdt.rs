//! Cache and memory bandwidth of a container (`linux.intelRdt`), in the kernel's resctrl file system
//! (Documentation/filesystems/resctrl.rst).

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxIntelRdt, Spec};

use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::{cgroupfs, file};

/// Where it is mounted.
const ROOT: &str = "/sys/fs/resctrl";

/// The part of it that belongs to one container.
#[derive(Debug)]
pub struct Allocation<'a> {
    root: PathBuf,
    wanted: &'a LinuxIntelRdt,
    /// The container's name.
    id: &'a str,
}

impl<'a> Allocation<'a> {
    /// What a specification asks for; `None` if nothing.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] if this machine or kernel has no such thing, [`Kind::InvalidInput`] for a name that is no
    /// directory's.
    pub fn of(spec: &'a Spec, id: &'a str) -> Result<Option<Self>> {
        Self::below(Path::new(ROOT), spec, id)
    }

    fn below(root: &Path, spec: &'a Spec, id: &'a str) -> Result<Option<Self>> {
        let wanted = spec.linux().as_ref().and_then(|l| l.intel_rdt().as_ref());
        let Some(wanted) = wanted else {
            return Ok(None);
        };
        let unsupported = |what: &str| Err(Error::unsupported(format!("linux.intelRdt{what}")));
        if !root.join("schemata").exists() {
            return unsupported(": intelRdt is specified in config, but Intel RDT is not enabled");
        }
        let name = wanted.clos_id().as_deref().unwrap_or_default();
        if matches!(name, "." | "..") || name.contains('/') && name != "/" {
            return Err(Error::invalid(format!(
                "linux.intelRdt.closID: invalid intelRdt.ClosID {name:?}"
            )));
        }
        if is_given(wanted.l3_cache_schema().as_ref()) && !root.join("info/L3").exists() {
            return unsupported(".l3CacheSchema: Intel RDT/CAT is not enabled");
        }
        if is_given(wanted.mem_bw_schema().as_ref()) && !root.join("info/MB").exists() {
            return unsupported(".memBwSchema: Intel RDT/MBA is not enabled");
        }
        let bandwidth = wanted.mem_bw_schema().as_deref().unwrap_or_default();
        if !bandwidth.is_empty() && (!bandwidth.starts_with("MB:") || bandwidth.contains('\n')) {
            return Err(Error::invalid(format!(
                "linux.intelRdt.memBwSchema: {bandwidth:?} is not one line that begins with \"MB:\""
            )));
        }
        Ok(Some(Self {
            root: root.to_owned(),
            wanted,
            id,
        }))
    }

    /// Makes the group, sets it and puts a process into it.
    ///
    /// # Errors
    /// What the kernel says, in its own words where it has any.
    pub fn apply(&self, pid: i32) -> Result<()> {
        self.set(pid)
            .map_err(|error| self.explained(error))
            .attempt(|| "linux.intelRdt")
    }

    /// Removes what [`Self::apply`] made: a group that was named is somebody else's, too, and stays.
    ///
    /// # Errors
    /// What rmdir(2) says.
    pub fn remove(&self) -> Result<()> {
        let group = self.group();
        let ours = if self.is_named() {
            match self.monitoring() {
                Some(group) => group,
                None => return Ok(()),
            }
        } else {
            group
        };
        file::remove_dir(&ours)
    }

    /// Writes `l3CacheSchema` and `memBwSchema` to a group that is there, also one with a name: it was asked for.
    ///
    /// # Errors
    /// What the kernel says, in its own words where it has any.
    pub fn change(&self) -> Result<()> {
        let lines: String = self.named_lines().flat_map(|line| [line, "\n"]).collect();
        cgroupfs::write(&self.group(), "schemata", &lines)
            .map_err(|error| self.explained(error))
            .attempt(|| "linux.intelRdt")
    }

    fn set(&self, pid: i32) -> Result<()> {
        let group = self.group();
        let schemata = self.schemata();
        if schemata.is_empty() && self.is_named() && !group.exists() {
            return Err(Error::new(
                Kind::NotFound,
                format!(
                    "closID {:?} must exist when schemata, l3CacheSchema and memBwSchema are empty",
                    self.name()
                ),
            ));
        }
        let is_new = cgroupfs::make(&group)?;
        if self.is_named() && !is_new {
            self.compare(&group)?;
        }
        if !schemata.is_empty() {
            cgroupfs::write(&group, "schemata", &schemata)?;
        }
        cgroupfs::write(&group, "tasks", &pid.to_string())?;
        if let Some(monitoring) = self.monitoring() {
            cgroupfs::make(&monitoring)?;
            cgroupfs::write(&monitoring, "tasks", &pid.to_string())?;
        }
        Ok(())
    }

    fn is_named(&self) -> bool {
        is_given(self.wanted.clos_id().as_ref())
    }

    fn name(&self) -> &str {
        let named = self.wanted.clos_id().as_deref();
        named.filter(|name| !name.is_empty()).unwrap_or(self.id)
    }

    fn group(&self) -> PathBuf {
        match self.name() {
            // The group that everybody is in.
            "/" => self.root.clone(),
            name => self.root.join(name),
        }
    }

    fn monitoring(&self) -> Option<PathBuf> {
        let wanted = [
            *self.wanted.enable_monitoring(),
            *self.wanted.enable_cmt(),
            *self.wanted.enable_mbm(),
        ];
        wanted
            .contains(&Some(true))
            .then(|| self.group().join("mon_groups").join(self.id))
    }

    /// All lines; later ones win (runtime-spec, "IntelRdt").
    fn schemata(&self) -> String {
        let more = self.wanted.schemata().iter().flatten();
        self.named_lines()
            .chain(more.map(String::as_str))
            .filter(|line| !line.is_empty())
            .flat_map(|line| [line, "\n"])
            .collect()
    }

    /// Those of `l3CacheSchema` and `memBwSchema`; bandwidth that the first one has does not count beside the second.
    fn named_lines(&self) -> impl Iterator<Item = &str> {
        let cache = self.wanted.l3_cache_schema().as_deref();
        let bandwidth = self.wanted.mem_bw_schema().as_deref();
        let bandwidth = bandwidth.filter(|line| !line.is_empty());
        let of_cache = cache.unwrap_or_default().lines();
        of_cache
            .filter(move |line| bandwidth.is_none() || !line.starts_with("MB:"))
            .chain(bandwidth)
    }

    /// Refuses to change a group that has a name, and so others in it (runtime-spec, "IntelRdt").
    fn compare(&self, group: &Path) -> Result<()> {
        let there = cgroupfs::read(group, "schemata")?.unwrap_or_default();
        let there: Vec<(String, String, u64)> = there.lines().flat_map(shares).collect();
        let differs = |share: &(String, String, u64)| !there.contains(share);
        match self.named_lines().flat_map(shares).find(differs) {
            None => Ok(()),
            Some((resource, domain, _)) => Err(Error::conflict(format!(
                "closID {:?} exists, and its schemata has another value for {resource}:{domain}",
                self.name()
            ))),
        }
    }

    fn explained(&self, error: Error) -> Error {
        let status = file::read_optional(&self.root.join("info/last_cmd_status"));
        match status {
            Ok(Some(status)) => {
                let status = String::from_utf8_lossy(&status).trim().to_owned();
                error.with_hint(format!("the kernel says: {status}"))
            }
            _ => error,
        }
    }
}

/// What a line of `schemata` says: resource, domain and value. Bandwidth is decimal, masks are hexadecimal.
fn shares(line: &str) -> Vec<(String, String, u64)> {
    let (resource, rest) = line.split_once(':').unwrap_or((line, ""));
    let resource = resource.trim();
    let radix = if resource == "MB" { 10 } else { 16 };
    rest.split(';')
        .filter_map(|share| share.split_once('='))
        .filter_map(|(domain, value)| {
            let value = u64::from_str_radix(value.trim(), radix).ok()?;
            Some((resource.to_owned(), domain.trim().to_owned(), value))
        })
        .collect()
}

fn is_given(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(rdt: &str) -> Spec {
        let json = format!(r#"{{"ociVersion":"1.2.0","linux":{{"intelRdt":{rdt}}}}}"#);
        serde_json::from_str(&json).unwrap()
    }

    /// A directory that looks like resctrl.
    fn resctrl() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("info/L3")).unwrap();
        std::fs::write(dir.path().join("schemata"), "").unwrap();
        dir
    }

    fn refusal(root: &Path, rdt: &str) -> String {
        let spec = spec(rdt);
        Allocation::below(root, &spec, "c").unwrap_err().to_string()
    }

    #[test]
    fn what_the_machine_does_not_have_is_refused_by_name() {
        let dir = resctrl();
        let text = refusal(&dir.path().join("nowhere"), "{}");
        assert!(text.contains("Intel RDT is not enabled"), "{text}");
        let text = refusal(dir.path(), r#"{"memBwSchema":"MB:0=20"}"#);
        assert_eq!(
            text,
            "linux.intelRdt.memBwSchema: Intel RDT/MBA is not enabled"
        );
        assert!(Allocation::of(&Spec::default(), "c").unwrap().is_none());
    }

    #[test]
    fn a_group_is_one_directory() {
        let dir = resctrl();
        for name in [".", "..", "a/b", "../x", "/x"] {
            let text = refusal(dir.path(), &format!(r#"{{"closID":"{name}"}}"#));
            assert!(text.contains("linux.intelRdt.closID"), "{text}");
        }
        for (name, path) in [("", "c"), ("x", "x"), ("/", "")] {
            let spec = spec(&format!(r#"{{"closID":"{name}"}}"#));
            let allocation = Allocation::below(dir.path(), &spec, "c").unwrap().unwrap();
            assert_eq!(
                allocation.group(),
                dir.path().join(path).components().as_path()
            );
        }
    }

    #[test]
    fn lines_are_written_in_the_order_that_makes_schemata_win() {
        let dir = resctrl();
        let spec = spec(r#"{"l3CacheSchema":"L3:0=f","schemata":["L3:0=1","L2:0=3"]}"#);
        let allocation = Allocation::below(dir.path(), &spec, "c").unwrap().unwrap();
        assert_eq!(allocation.schemata(), "L3:0=f\nL3:0=1\nL2:0=3\n");
    }

    #[test]
    fn bandwidth_is_said_once_and_in_one_line() {
        let dir = resctrl();
        std::fs::create_dir(dir.path().join("info/MB")).unwrap();
        for schema in ["L3:0=1", "0=20", "MB:0=20\\nL3:0=1"] {
            let text = refusal(dir.path(), &format!(r#"{{"memBwSchema":"{schema}"}}"#));
            assert!(text.contains("linux.intelRdt.memBwSchema"), "{text}");
        }
        let spec = spec(r#"{"l3CacheSchema":"L3:0=f\nMB:0=30","memBwSchema":"MB:0=20"}"#);
        let allocation = Allocation::below(dir.path(), &spec, "c").unwrap().unwrap();
        assert_eq!(allocation.schemata(), "L3:0=f\nMB:0=20\n");
    }

    #[test]
    fn a_group_is_made_set_and_entered() {
        let dir = resctrl();
        let missing = spec(r#"{"closID":"made","l3CacheSchema":"L3:0=f"}"#);
        let allocation = Allocation::below(dir.path(), &missing, "c")
            .unwrap()
            .unwrap();
        // The kernel would put files into it.
        allocation.apply(7).unwrap_err();
        assert!(dir.path().join("made").is_dir());
        for (rdt, group, schemata) in [
            (r#"{"l3CacheSchema":"L3:0=f"}"#, "c", Some("L3:0=f\n")),
            (
                r#"{"closID":"new","l3CacheSchema":"L3:0=3"}"#,
                "new",
                Some("L3:0=3\n"),
            ),
            (r#"{"closID":"old"}"#, "old", None),
        ] {
            let path = dir.path().join(group);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("tasks"), "").unwrap();
            if let Some(schemata) = schemata {
                std::fs::write(path.join("schemata"), schemata).unwrap();
            }
            let spec = spec(rdt);
            let allocation = Allocation::below(dir.path(), &spec, "c").unwrap().unwrap();
            allocation.apply(7).unwrap();
            let read = |name: &str| std::fs::read_to_string(path.join(name)).ok();
            assert_eq!(read("tasks").as_deref(), Some("7"), "{rdt}");
            assert_eq!(read("schemata").as_deref(), schemata, "{rdt}");
        }
    }

    #[test]
    fn a_group_that_is_there_is_compared_and_not_changed() {
        let dir = resctrl();
        let group = dir.path().join("x");
        std::fs::create_dir(&group).unwrap();
        std::fs::write(group.join("tasks"), "").unwrap();
        std::fs::write(group.join("schemata"), "    L3:0=00f;1=ff\n").unwrap();
        let apply = |schema: &str| {
            let spec = spec(&format!(r#"{{"closID":"x","l3CacheSchema":"{schema}"}}"#));
            let allocation = Allocation::below(dir.path(), &spec, "c").unwrap().unwrap();
            allocation.apply(1)
        };
        let error = apply("L3:0=f;1=f").unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.to_string().contains("L3:1"), "{error}");
        let kept = std::fs::read_to_string(group.join("schemata")).unwrap();
        assert_eq!(kept, "    L3:0=00f;1=ff\n");
        apply("L3:0=F").unwrap();
    }

    #[test]
    fn a_change_is_written_to_the_group_that_is_there() {
        let dir = resctrl();
        let spec = spec(r#"{"closID":"x","l3CacheSchema":"L3:0=3","schemata":["L3:0=f"]}"#);
        let allocation = Allocation::below(dir.path(), &spec, "c").unwrap().unwrap();
        allocation.change().unwrap_err();
        let group = dir.path().join("x");
        std::fs::create_dir(&group).unwrap();
        std::fs::write(group.join("schemata"), "").unwrap();
        allocation.change().unwrap();
        let written = std::fs::read_to_string(group.join("schemata")).unwrap();
        assert_eq!(written, "L3:0=3\n");
    }

    #[test]
    fn a_group_that_nobody_made_is_not_joined_without_a_schema() {
        let dir = resctrl();
        let spec = spec(r#"{"closID":"x"}"#);
        let allocation = Allocation::below(dir.path(), &spec, "c").unwrap().unwrap();
        let error = allocation.apply(1).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(!dir.path().join("x").exists());
    }

    #[test]
    fn only_what_was_made_is_removed() {
        let dir = resctrl();
        for name in ["c", "x", "x/mon_groups/c"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        for rdt in [
            "{}",
            r#"{"closID":"x"}"#,
            r#"{"closID":"x","enableMonitoring":true}"#,
        ] {
            let spec = spec(rdt);
            let allocation = Allocation::below(dir.path(), &spec, "c").unwrap().unwrap();
            allocation.remove().unwrap();
        }
        assert!(!dir.path().join("c").exists());
        assert!(dir.path().join("x/mon_groups").exists());
        assert!(!dir.path().join("x/mon_groups/c").exists());
    }
}
