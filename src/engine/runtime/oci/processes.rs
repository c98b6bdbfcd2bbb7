//! `ps`, `pause`, `resume`: all processes of a container at once.

use std::collections::BTreeSet;
use std::process::Command;

use super::Runtime;
use super::state::{Known, Status};
use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::runtime::cgroup::Cgroup;

impl Runtime {
    /// Ids of all processes in the container's cgroup, as the host sees them; sorted.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; what the kernel says.
    pub fn pids(&self, id: &str) -> Result<Vec<i32>> {
        let known = self.find(id)?;
        let mut pids = cgroup(&known)?.pids()?;
        pids.sort_unstable();
        Ok(pids)
    }

    /// What ps(1) says of them: its heading, and the lines whose `PID` is one of theirs.
    ///
    /// # Errors
    /// If there is no ps(1), or it fails, or its output has no such column.
    pub fn ps(&self, id: &str, arguments: &[String]) -> Result<String> {
        let pids: BTreeSet<i32> = self.pids(id)?.into_iter().collect();
        let mut command = Command::new("ps");
        if arguments.is_empty() {
            command.arg("-ef");
        } else {
            command.args(arguments);
        }
        let output = command.output().attempt(|| "run ps")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::invalid(format!("run ps: {}: {said}", output.status)));
        }
        select(&String::from_utf8_lossy(&output.stdout), &pids)
    }

    /// Freezes all processes of a container.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if it does not run.
    pub fn pause(&self, id: &str) -> Result<()> {
        let known = self.find(id)?;
        match known.status()? {
            Status::Running | Status::Created => cgroup(&known)?.freeze(),
            status @ (Status::Paused | Status::Stopped | Status::Creating) => Err(Error::conflict(
                format!("container not running or created: {}", status.as_str()),
            )),
        }
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if it is not paused.
    pub fn resume(&self, id: &str) -> Result<()> {
        let known = self.find(id)?;
        if known.status()? == Status::Paused {
            cgroup(&known)?.thaw()
        } else {
            Err(Error::conflict("container not paused"))
        }
    }
}

pub(super) fn cgroup(known: &Known) -> Result<&Cgroup> {
    let cgroup = known.record.cgroup.as_ref();
    let cgroup = cgroup.ok_or_else(|| Error::conflict("container not running"))?;
    if cgroup.is_disabled() {
        Err(Error::new(
            Kind::Unsupported,
            "the container has no cgroup (--cgroup-manager disabled)",
        ))
    } else {
        Ok(cgroup)
    }
}

fn select(output: &str, pids: &BTreeSet<i32>) -> Result<String> {
    let heading = output.lines().next().unwrap_or_default();
    let column = heading
        .split_whitespace()
        .position(|name| name == "PID")
        .ok_or_else(|| Error::invalid("couldn't find PID field in ps output"))?;
    let ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column);
        pid.and_then(|pid| pid.parse().ok())
            .is_some_and(|pid| pids.contains(&pid))
    };
    let lines = output.lines().skip(1).filter(ours);
    let chosen = std::iter::once(heading).chain(lines);
    Ok(chosen.flat_map(|line| [line, "\n"]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_processes_are_shown() {
        let output = "UID   PID  CMD\nroot  1  init\nroot  12 sh 1\nroot  121 sh 12\n";
        let pids = BTreeSet::from([12]);
        assert_eq!(
            select(output, &pids).unwrap(),
            "UID   PID  CMD\nroot  12 sh 1\n"
        );
        assert!(select("UID CMD\n", &pids).is_err());
    }
}
