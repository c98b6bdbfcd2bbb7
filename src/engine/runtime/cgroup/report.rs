//! All figures of a group as one document, in the form in which runc's `events --stats` gives them and its callers read
//! them. Units are theirs: nanoseconds, bytes; a limit that there is not is the largest number of 64 bits (memory) or zero
//! (tasks).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Cgroup, Version, figures};
use crate::engine::error::Result;
use crate::engine::sys::{cgroupfs, file};

/// The `data` of an event of type `stats`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Time on processors.
    pub cpu: Cpu,
    /// Which processors and memory nodes (v1 alone, as in runc).
    pub cpuset: CpuSet,
    /// Memory.
    pub memory: Memory,
    /// Tasks.
    pub pids: Pids,
    /// Block devices.
    pub blkio: Block,
    /// Huge pages by size, `2MB`.
    pub hugetlb: BTreeMap<String, HugePages>,
    /// Cache and memory bandwidth: not a matter of cgroups; the caller's to fill in.
    pub intel_rdt: serde_json::Map<String, serde_json::Value>,
    /// Interfaces of the container's network: the caller's to fill in.
    pub network_interfaces: Option<Vec<Interface>>,
}

/// Time on processors.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// Time used.
    pub usage: CpuUsage,
    /// Time withheld.
    pub throttling: Throttling,
    /// Waiting for processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CpuUsage {
    /// Of all tasks.
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    /// By processor (v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// By processor, in the kernel (v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    /// By processor, outside (v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// Outside.
    pub user: u64,
}

/// What the quota did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// Periods so far.
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    /// Those in which it ran out.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    /// Nanoseconds waited.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// v1's cpuset files.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CpuSet {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    /// Processors.
    pub cpus: Vec<u16>,
    /// The file of that name, and so are those below.
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    /// Memory nodes.
    pub mems: Vec<u16>,
    /// See above.
    pub mem_hardwall: u64,
    /// See above.
    pub mem_exclusive: u64,
    /// See above.
    pub memory_migrate: u64,
    /// See above.
    pub memory_spread_page: u64,
    /// See above.
    pub memory_spread_slab: u64,
    /// See above.
    pub memory_pressure: u64,
    /// See above.
    pub sched_load_balance: u64,
    /// See above.
    pub sched_relax_domain_level: i64,
}

/// Memory in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Page cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    /// All but swap.
    pub usage: MemoryEntry,
    /// Memory and swap together, on v2 too.
    pub swap: MemoryEntry,
    /// The kernel's (v1).
    pub kernel: MemoryEntry,
    /// Buffers of sockets (v1).
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    /// `memory.stat`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    /// Waiting for memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// One kind of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct MemoryEntry {
    /// The largest amount.
    pub limit: u64,
    /// Now.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// At most so far.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

/// Tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pids {
    /// Now.
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// The largest number; zero is none.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Block devices, by what is counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// Bytes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlockEntry>,
    /// Requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlockEntry>,
    /// Requests that wait.
    #[serde(rename = "ioQueueRecursive", skip_serializing_if = "Vec::is_empty")]
    pub io_queued_recursive: Vec<BlockEntry>,
    /// Nanoseconds in the device.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlockEntry>,
    /// Nanoseconds in the queue.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlockEntry>,
    /// Requests that were joined.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlockEntry>,
    /// Milliseconds of disk time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlockEntry>,
    /// Sectors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlockEntry>,
    /// Waiting for devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// A figure of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BlockEntry {
    /// Device.
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    /// Device.
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    /// `Read`, `Write`, `Sync` …; empty where the kernel does not tell them apart.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// The figure.
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct HugePages {
    /// Now.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// At most so far (v1).
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

/// Pressure stall information (psi.rst): parts of time in which some, or all, tasks waited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// At least one.
    pub some: Stall,
    /// All.
    pub full: Stall,
}

/// Per cent over the last seconds, and microseconds in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Stall {
    /// Ten seconds.
    pub avg10: f64,
    /// One minute.
    pub avg60: f64,
    /// Five minutes.
    pub avg300: f64,
    /// Microseconds.
    pub total: u64,
}

/// Counters of one network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "the names say it")]
pub struct Interface {
    pub name: String,
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Cgroup {
    /// All figures, one sample. What the host does not count is zero or left out.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::engine::error::Kind::NotFound) if the group is gone.
    pub fn report(&self) -> Result<Report> {
        if !self.exists() {
            return Err(self.gone());
        }
        let sizes = page_sizes();
        Ok(match self.version {
            Version::V1 => Report {
                cpu: self.v1_cpu(),
                cpuset: self.v1_cpuset(),
                memory: self.v1_memory(),
                pids: self.tasks_counted(),
                blkio: self.v1_block(),
                hugetlb: self.huge_pages(&sizes),
                ..Report::default()
            },
            Version::V2 => Report {
                cpu: self.v2_cpu(),
                memory: self.v2_memory(),
                pids: self.tasks_counted(),
                blkio: self.v2_block(),
                hugetlb: self.huge_pages(&sizes),
                ..Report::default()
            },
        })
    }

    /// A control file's text; empty if it is not there.
    fn text(&self, controller: &str, name: &str) -> String {
        let text = self
            .directory(controller)
            .map(|directory| cgroupfs::read(&directory, name));
        text.and_then(Result::ok).flatten().unwrap_or_default()
    }

    fn number(&self, controller: &str, name: &str) -> u64 {
        amount(&self.text(controller, name))
    }

    fn v1_cpu(&self) -> Cpu {
        let (kernel, user) = modes(&self.text("cpuacct", "cpuacct.usage_all"));
        let stat = self.text("cpu", "cpu.stat");
        Cpu {
            usage: CpuUsage {
                total: self.number("cpuacct", "cpuacct.usage"),
                percpu: numbers(&self.text("cpuacct", "cpuacct.usage_percpu")),
                percpu_kernel: kernel,
                percpu_user: user,
                kernel: self.number("cpuacct", "cpuacct.usage_sys"),
                user: self.number("cpuacct", "cpuacct.usage_user"),
            },
            throttling: Throttling {
                periods: figures::keyed(&stat, "nr_periods"),
                throttled_periods: figures::keyed(&stat, "nr_throttled"),
                throttled_time: figures::keyed(&stat, "throttled_time"),
            },
            psi: None,
        }
    }

    fn v2_cpu(&self) -> Cpu {
        let stat = self.text("", "cpu.stat");
        let nanos = |key: &str| figures::keyed(&stat, key).saturating_mul(1000);
        Cpu {
            usage: CpuUsage {
                total: nanos("usage_usec"),
                kernel: nanos("system_usec"),
                user: nanos("user_usec"),
                ..CpuUsage::default()
            },
            throttling: Throttling {
                periods: figures::keyed(&stat, "nr_periods"),
                throttled_periods: figures::keyed(&stat, "nr_throttled"),
                throttled_time: nanos("throttled_usec"),
            },
            psi: pressure(&self.text("", "cpu.pressure")),
        }
    }

    /// From the nearest group that there is: a container that has no limit here is in one above.
    fn v1_cpuset(&self) -> CpuSet {
        let Some(group) = self.group("cpuset") else {
            return CpuSet::default();
        };
        let directory = group.directory();
        let nearest = directory
            .ancestors()
            .take_while(|place| place.starts_with(&group.mount));
        let nearest: Option<PathBuf> = nearest
            .into_iter()
            .find(|place| place.exists())
            .map(Path::to_owned);
        let text = |name: &str| {
            let directory = nearest.as_deref()?;
            cgroupfs::read(directory, &format!("cpuset.{name}")).ok()?
        };
        let number = |name: &str| figures::number(&text(name).unwrap_or_default());
        CpuSet {
            cpus: ranges(&text("cpus").unwrap_or_default()),
            cpu_exclusive: number("cpu_exclusive"),
            mems: ranges(&text("mems").unwrap_or_default()),
            mem_hardwall: number("mem_hardwall"),
            mem_exclusive: number("mem_exclusive"),
            memory_migrate: number("memory_migrate"),
            memory_spread_page: number("memory_spread_page"),
            memory_spread_slab: number("memory_spread_slab"),
            memory_pressure: number("memory_pressure"),
            sched_load_balance: number("sched_load_balance"),
            sched_relax_domain_level: text("sched_relax_domain_level")
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(0),
        }
    }

    fn v1_memory(&self) -> Memory {
        let entry = |kind: &str| {
            let number = |name: &str| self.number("memory", &format!("memory{kind}.{name}"));
            MemoryEntry {
                limit: number("limit_in_bytes"),
                usage: number("usage_in_bytes"),
                max: number("max_usage_in_bytes"),
                failcnt: number("failcnt"),
            }
        };
        let raw = all_keys(&self.text("memory", "memory.stat"));
        Memory {
            cache: raw.get("cache").copied().unwrap_or(0),
            usage: entry(""),
            swap: entry(".memsw"),
            kernel: entry(".kmem"),
            kernel_tcp: entry(".kmem.tcp"),
            raw,
            psi: None,
        }
    }

    fn v2_memory(&self) -> Memory {
        let entry = |kind: &str| MemoryEntry {
            limit: self.number("", &format!("memory{kind}.max")),
            usage: self.number("", &format!("memory{kind}.current")),
            max: self.number("", &format!("memory{kind}.peak")),
            failcnt: 0,
        };
        let (usage, swap) = (entry(""), entry(".swap"));
        let raw = all_keys(&self.text("", "memory.stat"));
        Memory {
            cache: raw.get("file").copied().unwrap_or(0),
            usage,
            swap: MemoryEntry {
                // Together with memory, as v1 counts it; a largest amount of both is not known.
                limit: swap.limit.saturating_add(usage.limit),
                usage: swap.usage.saturating_add(usage.usage),
                max: 0,
                failcnt: 0,
            },
            raw,
            psi: pressure(&self.text("", "memory.pressure")),
            ..Memory::default()
        }
    }

    fn tasks_counted(&self) -> Pids {
        let limit = self.text("pids", "pids.max");
        Pids {
            current: self.number("pids", "pids.current"),
            limit: figures::limit(&limit).unwrap_or(0),
        }
    }

    /// The first file that has entries: those of BFQ, of CFQ (before Linux 5.0), of the throttles.
    fn v1_block(&self) -> Block {
        let read = |names: &[&str]| {
            let entries =
                |name: &&str| block_entries(&self.text("blkio", &format!("blkio.{name}")));
            names
                .iter()
                .map(entries)
                .find(|entries| !entries.is_empty())
                .unwrap_or_default()
        };
        Block {
            io_service_bytes_recursive: read(&[
                "bfq.io_service_bytes_recursive",
                "io_service_bytes_recursive",
                "throttle.io_service_bytes_recursive",
                "throttle.io_service_bytes",
            ]),
            io_serviced_recursive: read(&[
                "bfq.io_serviced_recursive",
                "io_serviced_recursive",
                "throttle.io_serviced_recursive",
                "throttle.io_serviced",
            ]),
            io_queued_recursive: read(&["bfq.io_queued_recursive", "io_queued_recursive"]),
            io_service_time_recursive: read(&[
                "bfq.io_service_time_recursive",
                "io_service_time_recursive",
            ]),
            io_wait_time_recursive: read(&["bfq.io_wait_time_recursive", "io_wait_time_recursive"]),
            io_merged_recursive: read(&["bfq.io_merged_recursive", "io_merged_recursive"]),
            io_time_recursive: read(&["bfq.time_recursive", "time_recursive"]),
            sectors_recursive: read(&["bfq.sectors_recursive", "sectors_recursive"]),
            psi: None,
        }
    }

    fn v2_block(&self) -> Block {
        let (bytes, requests) = io_entries(&self.text("", "io.stat"));
        Block {
            io_service_bytes_recursive: bytes,
            io_serviced_recursive: requests,
            psi: pressure(&self.text("", "io.pressure")),
            ..Block::default()
        }
    }

    fn huge_pages(&self, sizes: &[String]) -> BTreeMap<String, HugePages> {
        let mut pages = BTreeMap::new();
        for size in sizes {
            let present = |name: &str| {
                let text = self.text("hugetlb", name);
                (!text.is_empty()).then(|| amount(&text))
            };
            // Reserved ones are what limits count where the kernel knows them.
            let entry = [".rsvd", ""].into_iter().find_map(|kind| {
                let base = format!("hugetlb.{size}{kind}");
                Some(match self.version {
                    Version::V1 => HugePages {
                        usage: present(&format!("{base}.usage_in_bytes"))?,
                        max: present(&format!("{base}.max_usage_in_bytes")).unwrap_or(0),
                        failcnt: present(&format!("{base}.failcnt")).unwrap_or(0),
                    },
                    Version::V2 => HugePages {
                        usage: present(&format!("{base}.current"))?,
                        max: 0,
                        failcnt: figures::keyed(
                            &self.text("", &format!("hugetlb.{size}.events")),
                            "max",
                        ),
                    },
                })
            });
            if let Some(entry) = entry {
                pages.insert(size.clone(), entry);
            }
        }
        pages
    }
}

/// A file with one number; `max` is the largest.
fn amount(text: &str) -> u64 {
    match text.trim() {
        "max" => u64::MAX,
        text => figures::number(text),
    }
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// `cpuacct.usage_all`: a heading, then `cpu user system` lines. In the kernel, outside.
fn modes(text: &str) -> (Vec<u64>, Vec<u64>) {
    let line = |line: &str| {
        let mut words = line.split_whitespace().skip(1).map(figures::number);
        let user = words.next()?;
        Some((words.next()?, user))
    };
    text.lines().skip(1).filter_map(line).unzip()
}

fn all_keys(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// `0-2,7` (cpuset(7), "List format"). Nonsense is left out; a list is never longer than its numbers can be.
fn ranges(text: &str) -> Vec<u16> {
    let mut list = Vec::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
            list.extend(first..=last);
        }
        if list.len() > usize::from(u16::MAX) {
            break;
        }
    }
    list
}

/// v1's `MAJ:MIN Operation N` or `MAJ:MIN N` lines; the sums of all devices are left out.
fn block_entries(text: &str) -> Vec<BlockEntry> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = words.next()?.split_once(':')?;
        let (second, third) = (words.next()?, words.next());
        let (op, value) = match third {
            Some(value) => (second, value),
            None => ("", second),
        };
        Some(BlockEntry {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            op: op.to_owned(),
            value: value.parse().ok()?,
        })
    };
    text.lines().filter_map(line).collect()
}

/// v2's `MAJ:MIN rbytes=N wbytes=N rios=N wios=N …` lines: bytes, requests.
fn io_entries(text: &str) -> (Vec<BlockEntry>, Vec<BlockEntry>) {
    let (mut bytes, mut requests) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let device = words.next().and_then(|word| word.split_once(':'));
        let Some((Ok(major), Ok(minor))) = device.map(|(a, b)| (a.parse(), b.parse())) else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut bytes, "Read"),
                "wbytes" => (&mut bytes, "Write"),
                "rios" => (&mut requests, "Read"),
                "wios" => (&mut requests, "Write"),
                _ => continue,
            };
            list.push(BlockEntry {
                major,
                minor,
                op: op.to_owned(),
                value: figures::number(value),
            });
        }
    }
    (bytes, requests)
}

/// Two lines, `some` and `full`; `None` where the kernel does not count.
fn pressure(text: &str) -> Option<Pressure> {
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let stall = match words.next() {
            Some("some") => &mut pressure.some,
            Some("full") => &mut pressure.full,
            _ => continue,
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let average = value
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())
                .unwrap_or(0.0);
            match key {
                "avg10" => stall.avg10 = average,
                "avg60" => stall.avg60 = average,
                "avg300" => stall.avg300 = average,
                "total" => stall.total = figures::number(value),
                _ => {}
            }
        }
    }
    (!text.is_empty()).then_some(pressure)
}

/// Sizes of huge pages that the kernel has, as its control files spell them: `2MB`.
fn page_sizes() -> Vec<String> {
    let names = file::list_dir(Path::new("/sys/kernel/mm/hugepages")).unwrap_or_default();
    let mut sizes: Vec<_> = names.iter().filter_map(|name| page_size(name)).collect();
    sizes.sort_unstable();
    sizes
}

fn page_size(directory: &str) -> Option<String> {
    let kilobytes: u64 = directory
        .strip_prefix("hugepages-")?
        .strip_suffix("kB")?
        .parse()
        .ok()?;
    Some(match kilobytes {
        0..1024 => format!("{kilobytes}KB"),
        1024..1_048_576 => format!("{}MB", kilobytes >> 10),
        _ => format!("{}GB", kilobytes >> 20),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use serde_json::json;

    use super::super::tests::group;
    use super::*;

    fn report(version: Version, hierarchies: &[&str], files: &[(&str, &str)]) -> serde_json::Value {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let group = group(version, dir.path(), hierarchies);
        serde_json::to_value(group.report().unwrap()).unwrap()
    }

    #[test]
    fn v1_figures_are_in_runcs_form() {
        let found = report(
            Version::V1,
            &["cpu,cpuacct", "cpuset", "memory", "pids", "blkio"],
            &[
                ("cpu,cpuacct/wharf/x/cpuacct.usage", "100\n"),
                ("cpu,cpuacct/wharf/x/cpuacct.usage_percpu", "60 40 \n"),
                (
                    "cpu,cpuacct/wharf/x/cpuacct.usage_all",
                    "cpu user system\n0 50 10\n1 30 10\n",
                ),
                ("cpu,cpuacct/wharf/x/cpuacct.usage_user", "80\n"),
                ("cpu,cpuacct/wharf/x/cpuacct.usage_sys", "20\n"),
                (
                    "cpu,cpuacct/wharf/x/cpu.stat",
                    "nr_periods 3\nnr_throttled 2\nthrottled_time 9\n",
                ),
                ("cpuset/cpuset.cpus", "0-2,5\n"),
                ("cpuset/cpuset.sched_relax_domain_level", "-1\n"),
                ("memory/wharf/x/memory.usage_in_bytes", "5\n"),
                (
                    "memory/wharf/x/memory.limit_in_bytes",
                    "9223372036854771712\n",
                ),
                ("memory/wharf/x/memory.memsw.failcnt", "4\n"),
                ("memory/wharf/x/memory.stat", "cache 7\nrss 8\n"),
                ("pids/wharf/x/pids.current", "2\n"),
                ("pids/wharf/x/pids.max", "max\n"),
                ("blkio/wharf/x/blkio.bfq.io_serviced_recursive", "Total 0\n"),
                (
                    "blkio/wharf/x/blkio.throttle.io_serviced_recursive",
                    "8:0 Read 3\n8:0 Total 3\nTotal 3\n",
                ),
                ("blkio/wharf/x/blkio.bfq.sectors_recursive", "8:0 6\n"),
            ],
        );
        assert_eq!(
            found,
            json!({
                "cpu": {
                    "usage": {"total": 100, "percpu": [60, 40], "percpu_kernel": [10, 10], "percpu_user": [50, 30], "kernel": 20, "user": 80},
                    "throttling": {"periods": 3, "throttledPeriods": 2, "throttledTime": 9},
                },
                "cpuset": {
                    "cpus": [0, 1, 2, 5], "cpu_exclusive": 0, "mem_hardwall": 0, "mem_exclusive": 0, "memory_migrate": 0,
                    "memory_spread_page": 0, "memory_spread_slab": 0, "memory_pressure": 0, "sched_load_balance": 0,
                    "sched_relax_domain_level": -1,
                },
                "memory": {
                    "cache": 7,
                    "usage": {"limit": 9_223_372_036_854_771_712u64, "usage": 5, "failcnt": 0},
                    "swap": {"limit": 0, "failcnt": 4},
                    "kernel": {"limit": 0, "failcnt": 0},
                    "kernelTCP": {"limit": 0, "failcnt": 0},
                    "raw": {"cache": 7, "rss": 8},
                },
                "pids": {"current": 2},
                "blkio": {
                    "ioServicedRecursive": [{"major": 8, "op": "Read", "value": 3}, {"major": 8, "op": "Total", "value": 3}],
                    "sectorsRecursive": [{"major": 8, "value": 6}],
                },
                "hugetlb": {},
                "intel_rdt": {},
                "network_interfaces": null,
            })
        );
    }

    #[test]
    fn v2_figures_are_in_runcs_form() {
        let pressure = "some avg10=1.50 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        let found = report(
            Version::V2,
            &[""],
            &[
                (
                    "wharf/x/cpu.stat",
                    "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 1\nnr_throttled 1\nthrottled_usec 4\n",
                ),
                ("wharf/x/cpu.pressure", pressure),
                ("wharf/x/memory.current", "10\n"),
                ("wharf/x/memory.max", "100\n"),
                ("wharf/x/memory.peak", "50\n"),
                ("wharf/x/memory.swap.current", "1\n"),
                ("wharf/x/memory.swap.max", "max\n"),
                ("wharf/x/memory.stat", "anon 4\nfile 6\n"),
                (
                    "wharf/x/io.stat",
                    "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n",
                ),
                ("wharf/x/pids.current", "2\n"),
                ("wharf/x/pids.max", "9\n"),
            ],
        );
        let entry = |op: &str, value: u64| json!({"major": 8, "op": op, "value": value});
        assert_eq!(
            found["cpu"],
            json!({
                "usage": {"total": 5000, "kernel": 2000, "user": 3000},
                "throttling": {"periods": 1, "throttledPeriods": 1, "throttledTime": 4000},
                "psi": {
                    "some": {"avg10": 1.5, "avg60": 0.0, "avg300": 0.0, "total": 7},
                    "full": {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 0},
                },
            })
        );
        assert_eq!(
            found["memory"],
            json!({
                "cache": 6,
                "usage": {"limit": 100, "usage": 10, "max": 50, "failcnt": 0},
                "swap": {"limit": u64::MAX, "usage": 11, "failcnt": 0},
                "kernel": {"limit": 0, "failcnt": 0},
                "kernelTCP": {"limit": 0, "failcnt": 0},
                "raw": {"anon": 4, "file": 6},
            })
        );
        assert_eq!(
            found["blkio"],
            json!({
                "ioServiceBytesRecursive": [entry("Read", 1), entry("Write", 2)],
                "ioServicedRecursive": [entry("Read", 3), entry("Write", 4)],
            })
        );
        assert_eq!(found["pids"], json!({"current": 2, "limit": 9}));
    }

    #[test]
    fn page_sizes_are_spelled_as_in_file_names() {
        let size = |name: &str| page_size(name).unwrap_or_default();
        assert_eq!(size("hugepages-64kB"), "64KB");
        assert_eq!(size("hugepages-2048kB"), "2MB");
        assert_eq!(size("hugepages-1048576kB"), "1GB");
        assert_eq!(size("hugepages-kB"), "");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "([a-z0-9:= .,-]{0,16}\n){0,4}.{0,16}") {
            let _ = (amount(&text), numbers(&text), modes(&text), all_keys(&text), ranges(&text));
            let _ = (block_entries(&text), io_entries(&text), pressure(&text), page_size(&text));
        }

        #[test]
        fn a_list_of_ranges_is_bounded(text in "([0-9]{1,5}-[0-9]{1,5},){0,8}") {
            prop_assert!(ranges(&text).len() <= 2 * (usize::from(u16::MAX) + 1));
        }
    }
}
