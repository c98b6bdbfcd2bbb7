//! Settings written: in an order that the kernel takes, with errors that name the specification's field, and undone if one
//! of them fails in a group that is in use.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxDeviceCgroup;

use super::settings::{Missing, Setting};
use super::{Cgroup, Version, devices};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::sys::{bpf, cgroupfs, file};

/// What to do with the devices that the group has so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Devices {
    /// The group is new: whatever it has comes from its parent.
    Set,
    /// It is in use: from its present list to another.
    Change,
}

impl Cgroup {
    /// Writes all settings. What the kernel refuses at first is tried again behind the others: a limit that is above
    /// another one, which is raised next.
    pub(super) fn apply(&self, settings: &[Setting]) -> Result<()> {
        let mut refused = Vec::new();
        for setting in settings {
            match self.write(setting) {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refused.push(setting),
                other => other?,
            }
        }
        refused
            .into_iter()
            .try_for_each(|setting| self.write(setting))
    }

    /// As [`Self::apply`], then does the rest; if one of them fails the files get back what was in them.
    pub(super) fn apply_or_restore(
        &self,
        settings: &[Setting],
        rest: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let before = self.snapshot(settings);
        self.apply(settings).and_then(|()| rest()).inspect_err(|_| {
            // Twice, for values that depend on each other.
            for _ in 0..2 {
                before.iter().rev().for_each(restore);
            }
        })
    }

    fn write(&self, setting: &Setting) -> Result<()> {
        let directory = self.directory(setting.controller).ok_or_else(|| {
            Error::unsupported(format!(
                "{}: this host has no {} controller",
                setting.field, setting.controller
            ))
        })?;
        let put = |file: &str, value: &str| {
            let what = || format!("{}: set {file} to {value}", setting.field);
            cgroupfs::write(&directory, file, value).attempt(what)
        };
        let mut result = put(&setting.file, &setting.value);
        let is_absent = |error: &Error| error.kind() == Kind::NotFound && directory.is_dir();
        if result.as_ref().is_err_and(is_absent) {
            result = match self.hand_down(controller(setting)) {
                Ok(()) => put(&setting.file, &setting.value),
                Err(why) => result.map_err(|error| error.with_hint(why.to_string())),
            };
        }
        let Err(error) = result else {
            return Ok(());
        };
        let missing = is_missing(&error, &directory, &setting.file);
        match &setting.missing {
            Missing::Ignore if missing => Ok(()),
            Missing::Instead(file, value) if missing => put(file, value),
            Missing::Warn if missing || is_given_up(&error) => {
                tracing::warn!(%error, "the kernel has no such limit any more");
                Ok(())
            }
            _ if missing => Err(error.with_kind(Kind::Unsupported)),
            _ => Err(self.explain(setting, &directory, error)),
        }
    }

    /// Why a value was refused, where the error number alone says little.
    fn explain(&self, setting: &Setting, directory: &Path, error: Error) -> Error {
        let is_busy = error.raw_os_error() == Some(libc::EBUSY);
        if is_busy && setting.controller == "memory" && self.version == Version::V1 {
            let used = cgroupfs::read(directory, "memory.usage_in_bytes")
                .ok()
                .flatten();
            let used = used.unwrap_or_default();
            return error.with_hint(format!("{} bytes are in use", used.trim()));
        }
        error
    }

    fn snapshot(&self, settings: &[Setting]) -> Vec<Before> {
        let mut before = Vec::new();
        for setting in settings {
            let files = match &setting.missing {
                Missing::Instead(file, _) => vec![&*setting.file, *file],
                _ => vec![&*setting.file],
            };
            let Some(directory) = self.directory(setting.controller) else {
                continue;
            };
            for file in files {
                if let Some(content) = cgroupfs::read(&directory, file).unwrap_or_default() {
                    before.push(Before {
                        directory: directory.clone(),
                        file: file.to_owned(),
                        written: setting.value.clone(),
                        content,
                    });
                }
            }
        }
        before
    }

    /// Which devices may be used.
    pub(super) fn restrict_devices(
        &self,
        rules: &[LinuxDeviceCgroup],
        devices: Devices,
    ) -> Result<()> {
        let rules = devices::read(rules)?;
        match self.version {
            Version::V1 => {
                let directory = self.directory("devices").ok_or_else(|| {
                    Error::unsupported(
                        "linux.resources.devices: this host has no devices controller",
                    )
                })?;
                let lines = match devices {
                    Devices::Set => devices::lines(&rules)?,
                    Devices::Change => {
                        let list = cgroupfs::read(&directory, "devices.list")?;
                        devices::changes(&list.unwrap_or_default(), &rules)?
                    }
                };
                for (file, line) in lines {
                    cgroupfs::write(&directory, file, &line)
                        .attempt(|| "linux.resources.devices")?;
                }
                Ok(())
            }
            Version::V2 => {
                let program = devices::program(&rules);
                let directory = self.unified().ok_or_else(|| self.gone())?;
                let group = file::open_dir(&directory)?;
                match devices {
                    Devices::Set if self.unit.is_none() => {
                        bpf::attach_device_filter(group.as_fd(), &program)
                    }
                    Devices::Set | Devices::Change => {
                        bpf::replace_device_filters(group.as_fd(), &program)
                    }
                }
                .attempt(|| "linux.resources.devices")
            }
        }
    }
}

/// A control file as it was.
#[derive(Debug)]
struct Before {
    directory: PathBuf,
    file: String,
    written: String,
    content: String,
}

/// Best effort: the caller has a better error to tell.
fn restore(before: &Before) {
    for line in undo_lines(&before.content, &before.written) {
        let _ = cgroupfs::write(&before.directory, &before.file, &line);
    }
}

/// What to write to get `content` back after `written`. Files with a line for each device keep what is not written again:
/// a device that was not in them gets its "no limit".
fn undo_lines(content: &str, written: &str) -> Vec<String> {
    let device = |line: &str| {
        let (key, _) = line.trim().split_once(' ')?;
        let (major, minor) = key.split_once(':')?;
        let is_number = |text: &str| text.parse::<u32>().is_ok();
        (is_number(major) && is_number(minor)).then(|| key.to_owned())
    };
    let Some(touched) = device(written) else {
        let whole = content.trim();
        // An empty list, of CPUs for instance, is one to write too.
        return vec![whole.to_owned()];
    };
    match content
        .lines()
        .find(|line| device(line).as_ref() == Some(&touched))
    {
        Some(line) => vec![line.trim().to_owned()],
        None if written.contains('=') => {
            vec![format!("{touched} rbps=max wbps=max riops=max wiops=max")]
        }
        None => vec![format!("{touched} 0")],
    }
}

/// No such file in a group that is there: cgroup file systems refuse to make one with EPERM or EACCES.
/// What the name of a v2 file begins with.
fn controller(setting: &Setting) -> &str {
    setting.file.split('.').next().unwrap_or_default()
}

fn is_missing(error: &Error, directory: &Path, file: &str) -> bool {
    matches!(error.kind(), Kind::NotFound | Kind::Denied)
        && directory.is_dir()
        && !directory.join(file).exists()
}

fn is_given_up(error: &Error) -> bool {
    // ENOTSUPP (524) is the kernel's own; it is not meant to be seen outside, and is.
    matches!(
        error.raw_os_error(),
        Some(libc::EOPNOTSUPP | 524 | libc::EINVAL | libc::EBUSY)
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::settings;
    use super::super::settings::tests::resources;
    use super::super::tests::group;
    use super::*;

    fn prepared(
        version: Version,
        hierarchies: &[&str],
        files: &[&str],
    ) -> (tempfile::TempDir, Cgroup) {
        let dir = tempfile::tempdir().unwrap();
        let group = group(version, dir.path(), hierarchies);
        for directory in group.directories() {
            fs::create_dir_all(&directory).unwrap();
            for file in files {
                fs::write(directory.join(file), "old\n").unwrap();
            }
        }
        (dir, group)
    }

    fn applied(group: &Cgroup, json: &str) -> Result<(), String> {
        let list = settings::list(group.version, &resources(json)).unwrap();
        group
            .apply_or_restore(&list, || Ok(()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_missing_file_or_controller_is_named_by_its_field() {
        let (_dir, group) = prepared(Version::V1, &["memory"], &[]);
        let error = applied(&group, r#"{"memory":{"reservation":5}}"#).unwrap_err();
        assert!(
            error.starts_with("linux.resources.memory.reservation: set "),
            "{error}"
        );
        let error = applied(&group, r#"{"pids":{"limit":5}}"#).unwrap_err();
        assert_eq!(
            error,
            "linux.resources.pids.limit: this host has no pids controller"
        );
    }

    #[test]
    fn swap_and_kernel_memory_that_are_not_there_are_passed_over() {
        let (_dir, group) = prepared(Version::V1, &["memory"], &["memory.limit_in_bytes"]);
        applied(
            &group,
            r#"{"memory":{"limit":5,"swap":10,"kernel":3,"useHierarchy":true}}"#,
        )
        .unwrap();
        assert!(applied(&group, r#"{"memory":{"limit":5,"swap":11}}"#).is_err());
    }

    #[test]
    fn a_weight_goes_to_the_file_that_is_there() {
        let (dir, v1) = prepared(Version::V1, &["blkio"], &["blkio.bfq.weight"]);
        applied(&v1, r#"{"blockIO":{"weight":500}}"#).unwrap();
        let read = |path: &str| fs::read_to_string(dir.path().join(path)).unwrap();
        // The test's file is not a control file: the rest of its former content stays.
        assert_eq!(read("blkio/wharf/x/blkio.bfq.weight"), "500\n");
        let (dir, v2) = prepared(Version::V2, &[""], &["io.weight"]);
        applied(&v2, r#"{"blockIO":{"weight":500}}"#).unwrap();
        let written = fs::read_to_string(dir.path().join("wharf/x/io.weight")).unwrap();
        assert!(written.starts_with("default 4950"), "{written}");
    }

    #[test]
    fn an_update_that_fails_changes_nothing() {
        let (dir, group) = prepared(Version::V2, &[""], &["pids.max", "memory.max", "io.max"]);
        let json = r#"{"pids":{"limit":123},"memory":{"limit":456},"cpu":{"burst":1}}"#;
        let error = applied(&group, json).unwrap_err();
        assert!(error.starts_with("linux.resources.cpu.burst: "), "{error}");
        for file in ["pids.max", "memory.max"] {
            let text = fs::read_to_string(dir.path().join("wharf/x").join(file)).unwrap();
            assert_eq!(text, "old\n", "{file}");
        }
    }

    #[test]
    fn what_was_written_for_a_device_is_taken_back() {
        assert_eq!(undo_lines("max\n", "5"), ["max"]);
        assert_eq!(undo_lines("\n", "0-1"), [""]);
        assert_eq!(undo_lines("8:0 10\n8:16 20\n", "8:16 1"), ["8:16 20"]);
        assert_eq!(undo_lines("8:0 10\n", "8:16 1"), ["8:16 0"]);
        assert_eq!(
            undo_lines("", "8:16 rbps=1"),
            ["8:16 rbps=max wbps=max riops=max wiops=max"]
        );
        let line = "8:16 rbps=7 wbps=max riops=max wiops=max";
        assert_eq!(undo_lines(line, "8:16 rbps=1"), [line]);
    }
}
