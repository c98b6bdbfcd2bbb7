//! The processes of a container, read from the host's `/proc`: the container needs no `ps`, and the host none either.

use std::path::Path;

use super::error::{Error, Kind, Result};
use super::model::process::Process;
use super::model::{ContainerId, Status, Timestamp};
use super::sys::file;
use super::sys::host;
use super::{Engine, containers, system};

/// All that are in its group now, oldest first.
pub(super) fn of(engine: &Engine, id: &ContainerId) -> Result<Vec<Process>> {
    let summary = containers::get(engine, id)?;
    match summary.state.status {
        Status::Running | Status::Paused => {}
        Status::Restarting => {
            return Err(Error::conflict(format!(
                "container {id} is restarting, wait until the container is running"
            )));
        }
        Status::Created | Status::Exited | Status::Removing | Status::Dead => {
            return Err(Error::conflict(format!("container {id} is not running")));
        }
    }
    let world = World::read()?;
    let pids = containers::group(engine, &summary.container)?.pids()?;
    let mut found: Vec<Process> = pids.iter().filter_map(|pid| world.process(*pid)).collect();
    found.sort_by_key(|process| (process.started, process.pid));
    engine.note(&summary.container, "top", &[]);
    Ok(found)
}

/// What all processes have in common.
struct World {
    booted: Timestamp,
    ticks: u64,
    page: u64,
    memory: u64,
    users: String,
    groups: String,
}

impl World {
    fn read() -> Result<Self> {
        let stat = text("/proc/stat")?;
        let booted = stat
            .lines()
            .find_map(|line| line.strip_prefix("btime "))
            .and_then(|seconds| seconds.trim().parse().ok())
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .ok_or_else(|| Error::new(Kind::Internal, "/proc/stat has no btime"))?;
        Ok(Self {
            booted,
            ticks: host::ticks_per_second(),
            page: host::page_size(),
            memory: system::total_memory()?.max(1),
            users: text("/etc/passwd")?,
            groups: text("/etc/group")?,
        })
    }

    /// `None` for one that is gone meanwhile.
    fn process(&self, pid: i32) -> Option<Process> {
        let stat = text(format!("/proc/{pid}/stat")).ok()?;
        let status = text(format!("/proc/{pid}/status")).ok()?;
        let arguments = text(format!("/proc/{pid}/cmdline")).ok()?;
        self.parse(pid, &stat, &status, &arguments)
    }

    fn parse(&self, pid: i32, stat: &str, status: &str, arguments: &str) -> Option<Process> {
        // The name is in parentheses, and may hold some itself.
        let (head, rest) = stat.rsplit_once(") ")?;
        let (_, command) = head.split_once('(')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Numbers of fields as in proc(5), where the state is the third.
        let field = |number: usize| fields.get(number - 3).copied();
        let number = |at: usize| field(at).and_then(|text| text.parse::<i64>().ok());
        let count = |at: usize| number(at).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let id = |at: usize| number(at).and_then(|n| i32::try_from(n).ok()).unwrap_or(0);
        let since_boot = count(22).saturating_mul(1000) / self.ticks;
        let device = count(7);
        let (uid, gid) = (owner(status, "Uid:")?, owner(status, "Gid:")?);
        let resident = count(24).saturating_mul(self.page);
        let milliseconds = jiff::SignedDuration::from_millis(i64::try_from(since_boot).ok()?);
        Some(Process {
            pid,
            parent: id(4),
            group: id(5),
            session: id(6),
            foreground: id(8),
            terminal: decode_device(device),
            state: field(3)?.chars().next()?,
            uid,
            user: name_of(&self.users, uid),
            gid,
            group_name: name_of(&self.groups, gid),
            cpu: count(14).saturating_add(count(15)).saturating_mul(1000) / self.ticks,
            started: self.booted.checked_add(milliseconds).ok()?,
            nice: number(19).unwrap_or(0),
            priority: number(18).unwrap_or(0),
            threads: count(20),
            virtual_size: field(23)?.parse().ok()?,
            resident,
            memory_share: resident.saturating_mul(1000) / self.memory,
            processor: count(39),
            command: command.to_owned(),
            arguments: arguments
                .trim_end_matches('\0')
                .split('\0')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }
}

fn text(path: impl AsRef<Path>) -> Result<String> {
    let content = file::read_optional(path.as_ref())?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// The second of the four numbers is the effective one.
fn owner(status: &str, field: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The name that a number has in passwd(5) or group(5).
fn name_of(table: &str, id: u32) -> String {
    let number = id.to_string();
    let name = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    name.unwrap_or(number)
}

/// Minor number in bits 31 to 20 and 7 to 0, major in 15 to 8 (proc(5), `tty_nr`).
fn decode_device(number: u64) -> (u32, u32) {
    let number = u32::try_from(number & 0xffff_ffff).unwrap_or(0);
    let minor = (number >> 20 << 8) | (number & 0xff);
    ((number >> 8) & 0xff, minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        World {
            booted: "2026-01-01T00:00:00Z".parse().unwrap(),
            ticks: 100,
            page: 4096,
            memory: 1 << 30,
            users: "root:x:0:0::/:/bin/sh\nweb:x:33:33::/:/bin/sh\n".to_owned(),
            groups: "root:x:0:\n".to_owned(),
        }
    }

    #[test]
    fn a_process_is_read_from_its_three_files() {
        let stat = "42 (a) b (c) S 7 42 42 34816 42 4194560 90 0 0 0 150 50 0 0 20 0 2 0 6000 4096000 256 \
                    18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0";
        let status = "Name:\tx\nUid:\t0\t33\t0\t0\nGid:\t0\t5\t0\t0\n";
        let process = world().parse(42, stat, status, "/bin/x\0-v\0").unwrap();
        assert_eq!(process.command, "a) b (c");
        assert_eq!((process.parent, process.state), (7, 'S'));
        assert_eq!(process.terminal, (136, 0));
        assert_eq!(
            (process.user.as_str(), process.group_name.as_str()),
            ("web", "5")
        );
        assert_eq!(process.cpu, 2000);
        assert_eq!(process.started.to_string(), "2026-01-01T00:01:00Z");
        assert_eq!((process.threads, process.processor), (2, 1));
        assert_eq!((process.resident, process.memory_share), (1 << 20, 0));
        assert_eq!(process.arguments, ["/bin/x", "-v"]);
        assert!(world().parse(42, "gone", status, "").is_none());
    }
}
