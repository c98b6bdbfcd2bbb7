//! Figures of a group that are read again and again, from control files kept open.

use super::{Cgroup, Version, figures};
use crate::engine::error::Result;
use crate::engine::sys::cgroupfs;

/// Counters of one group. Zero where the host has no such controller. Network is not a matter of cgroups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// CPU time of all tasks, nanoseconds.
    pub cpu_total: u64,
    /// Of which in user mode.
    pub cpu_user: u64,
    /// Of which in kernel mode.
    pub cpu_system: u64,
    /// Periods in which the CPU limit throttled it.
    pub throttled_periods: u64,
    /// Memory in use in bytes without inactive page cache, as `docker stats` counts.
    pub memory: u64,
    /// Memory limit in bytes, if there is one.
    pub memory_limit: Option<u64>,
    /// Bytes read from block devices.
    pub block_read: u64,
    /// Bytes written.
    pub block_write: u64,
    /// Tasks.
    pub pids: u64,
    /// Largest number of tasks, if limited.
    pub pids_limit: Option<u64>,
}

/// Open control files of one group.
#[derive(Debug)]
pub struct Meter {
    source: Source,
    buffer: Vec<u8>,
}

type File = Option<cgroupfs::Control>;

#[derive(Debug)]
enum Source {
    V1 {
        usage: File,
        user: File,
        cpu: File,
        memory: File,
        memory_stat: File,
        memory_limit: File,
        block: File,
        pids: File,
        pids_limit: File,
    },
    V2 {
        cpu: File,
        memory: File,
        memory_stat: File,
        memory_limit: File,
        block: File,
        pids: File,
        pids_limit: File,
    },
}

impl Cgroup {
    /// One sample. For many, [`Self::meter`] is cheaper.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::engine::error::Kind::NotFound) if the group is gone.
    pub fn figures(&self) -> Result<Figures> {
        self.meter()?.read()
    }

    /// Opens the control files for repeated sampling.
    ///
    /// # Errors
    /// As [`Self::figures`].
    pub fn meter(&self) -> Result<Meter> {
        let open = |controller: &str, name: &str| match self.directory(controller) {
            Some(directory) => cgroupfs::Control::open(&directory, name),
            None => Ok(None),
        };
        let source = match self.version {
            Version::V1 => Source::V1 {
                usage: open("cpuacct", "cpuacct.usage")?,
                user: open("cpuacct", "cpuacct.usage_user")?,
                cpu: open("cpu", "cpu.stat")?,
                memory: open("memory", "memory.usage_in_bytes")?,
                memory_stat: open("memory", "memory.stat")?,
                memory_limit: open("memory", "memory.limit_in_bytes")?,
                block: open("blkio", "blkio.throttle.io_service_bytes_recursive")?,
                pids: open("pids", "pids.current")?,
                pids_limit: open("pids", "pids.max")?,
            },
            Version::V2 => Source::V2 {
                cpu: open("", "cpu.stat")?,
                memory: open("", "memory.current")?,
                memory_stat: open("", "memory.stat")?,
                memory_limit: open("", "memory.max")?,
                block: open("", "io.stat")?,
                pids: open("", "pids.current")?,
                pids_limit: open("", "pids.max")?,
            },
        };
        if self.exists() {
            Ok(Meter {
                source,
                buffer: Vec::new(),
            })
        } else {
            Err(self.gone())
        }
    }
}

impl Meter {
    /// One sample.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::engine::error::Kind::NotFound) if the group is gone.
    pub fn read(&mut self) -> Result<Figures> {
        let buffer = &mut self.buffer;
        let mut read = |file: &File, parse: &mut dyn FnMut(&str)| match file {
            Some(file) => file.read(buffer).map(&mut *parse),
            None => Ok(()),
        };
        let mut now = Figures::default();
        let (mut used, mut inactive) = (0, 0);
        match &self.source {
            Source::V1 {
                usage,
                user,
                cpu,
                memory,
                memory_stat,
                memory_limit,
                block,
                pids,
                pids_limit,
            } => {
                read(usage, &mut |text| now.cpu_total = figures::number(text))?;
                read(user, &mut |text| now.cpu_user = figures::number(text))?;
                now.cpu_system = now.cpu_total.saturating_sub(now.cpu_user);
                read(cpu, &mut |text| {
                    now.throttled_periods = figures::keyed(text, "nr_throttled");
                })?;
                read(memory, &mut |text| used = figures::number(text))?;
                read(memory_stat, &mut |text| {
                    inactive = figures::keyed(text, "total_inactive_file");
                })?;
                read(memory_limit, &mut |text| {
                    now.memory_limit = figures::limit(text);
                })?;
                read(block, &mut |text| {
                    (now.block_read, now.block_write) = figures::v1_block(text);
                })?;
                read(pids, &mut |text| now.pids = figures::number(text))?;
                read(pids_limit, &mut |text| {
                    now.pids_limit = figures::limit(text);
                })?;
            }
            Source::V2 {
                cpu,
                memory,
                memory_stat,
                memory_limit,
                block,
                pids,
                pids_limit,
            } => {
                read(cpu, &mut |text| {
                    let nanos = |key| figures::keyed(text, key).saturating_mul(1000);
                    now.cpu_total = nanos("usage_usec");
                    now.cpu_user = nanos("user_usec");
                    now.cpu_system = nanos("system_usec");
                    now.throttled_periods = figures::keyed(text, "nr_throttled");
                })?;
                read(memory, &mut |text| used = figures::number(text))?;
                read(memory_stat, &mut |text| {
                    inactive = figures::keyed(text, "inactive_file");
                })?;
                read(memory_limit, &mut |text| {
                    now.memory_limit = figures::limit(text);
                })?;
                read(block, &mut |text| {
                    (now.block_read, now.block_write) = figures::v2_block(text);
                })?;
                read(pids, &mut |text| now.pids = figures::number(text))?;
                read(pids_limit, &mut |text| {
                    now.pids_limit = figures::limit(text);
                })?;
            }
        }
        now.memory = if inactive < used {
            used - inactive
        } else {
            used
        };
        Ok(now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::group;
    use super::*;

    #[test]
    fn figures_are_read_from_a_v2_group() {
        let dir = tempfile::tempdir().unwrap();
        let group_dir = dir.path().join("wharf/x");
        std::fs::create_dir_all(&group_dir).unwrap();
        for (name, text) in [
            (
                "cpu.stat",
                "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_throttled 7\n",
            ),
            ("memory.current", "1000\n"),
            ("memory.stat", "anon 1\ninactive_file 400\n"),
            ("memory.max", "max\n"),
            ("io.stat", "8:0 rbytes=1 wbytes=2\n"),
            ("pids.current", "3\n"),
            ("pids.max", "10\n"),
        ] {
            std::fs::write(group_dir.join(name), text).unwrap();
        }
        let now = group(Version::V2, dir.path(), &[""]).figures().unwrap();
        let expected = Figures {
            cpu_total: 5000,
            cpu_user: 3000,
            cpu_system: 2000,
            throttled_periods: 7,
            memory: 600,
            memory_limit: None,
            block_read: 1,
            block_write: 2,
            pids: 3,
            pids_limit: Some(10),
        };
        assert_eq!(now, expected);
    }
}
