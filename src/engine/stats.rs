//! Live figures of containers, straight from the kernel.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::Result;
use super::model::{ContainerId, Stats};
use super::records::{self, Truth};
use super::runtime::cgroup::{Hierarchy, Meter};
use super::store::Roots;
use super::sys::{file, host};
use super::system;

/// Samples many containers cheaply: it keeps the control files open between samples.
#[derive(Debug)]
pub struct Sampler {
    roots: Roots,
    hierarchy: Hierarchy,
    host_memory: u64,
    open: BTreeMap<ContainerId, Source>,
}

/// Where one container's figures come from, as long as its main process stays the same.
#[derive(Debug)]
struct Source {
    meter: Meter,
    /// `None` on the host's network, whose traffic is not the container's.
    net: Option<PathBuf>,
}

impl Sampler {
    pub(super) fn new(roots: &Roots, hierarchy: Hierarchy) -> Result<Self> {
        let host_memory = system::total_memory()?;
        Ok(Self {
            roots: roots.clone(),
            hierarchy,
            host_memory,
            open: BTreeMap::new(),
        })
    }

    /// One sample of each; containers that do not run are left out.
    ///
    /// # Errors
    /// Only what concerns all of them; a container that ends meanwhile is left out.
    pub fn sample(&mut self, ids: &[ContainerId]) -> Result<Vec<Stats>> {
        self.open.retain(|id, _| ids.contains(id));
        let mut samples = Vec::with_capacity(ids.len());
        for id in ids {
            // A read that fails is a container that has just ended or restarted: one more try with fresh files.
            let sample = self.read(id).or_else(|| {
                self.open.remove(id);
                self.read(id)
            });
            samples.extend(sample);
        }
        Ok(samples)
    }

    fn read(&mut self, id: &ContainerId) -> Option<Stats> {
        if !self.open.contains_key(id) {
            let source = self.source(id)?;
            self.open.insert(id.clone(), source);
        }
        let source = self.open.get_mut(id)?;
        let figures = source.meter.read().ok()?;
        let (net_rx, net_tx) = match &source.net {
            Some(path) => {
                network_bytes(&String::from_utf8_lossy(&file::read_optional(path).ok()??))
            }
            None => (0, 0),
        };
        let limit = figures
            .memory_limit
            .filter(|limit| *limit < self.host_memory);
        Some(Stats {
            id: id.clone(),
            at: host::monotonic_nanos(),
            cpu_total: figures.cpu_total,
            cpu_user: figures.cpu_user,
            cpu_system: figures.cpu_system,
            throttled_periods: figures.throttled_periods,
            memory: figures.memory,
            memory_limit: limit.unwrap_or(self.host_memory),
            net_rx,
            net_tx,
            block_read: figures.block_read,
            block_write: figures.block_write,
            pids: figures.pids,
            pids_limit: figures.pids_limit,
        })
    }

    fn source(&self, id: &ContainerId) -> Option<Source> {
        let Ok(Truth::Known(state)) = records::look(&self.roots, id) else {
            return None;
        };
        let pid = state.pid.filter(|_| state.status.is_live())?;
        let container = records::load(&self.roots, id).ok()??;
        let host = &container.host;
        let group = self.hierarchy.container(&host.keeping.cgroup_parent, id);
        let meter = group.meter().ok()?;
        let own_network = host.network.is_own();
        let net = own_network.then(|| PathBuf::from(format!("/proc/{pid}/net/dev")));
        Some(Source { meter, net })
    }
}

/// Bytes received and sent on all interfaces but loopback (proc(5), `/proc/net/dev`).
fn network_bytes(text: &str) -> (u64, u64) {
    let mut sum = (0u64, 0u64);
    for line in text.lines().skip(2) {
        let Some((name, figures)) = line.split_once(':') else {
            continue;
        };
        if name.trim() == "lo" {
            continue;
        }
        let mut figures = figures
            .split_whitespace()
            .map(|word| word.parse::<u64>().unwrap_or(0));
        sum.0 += figures.next().unwrap_or(0);
        sum.1 += figures.nth(7).unwrap_or(0);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_figures_leave_loopback_out() {
        let text = "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0\n  eth0:    2000      20    0    0    0     0          0         0     3000      30    0    0    0     0       0          0\n  eth1:5 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n";
        assert_eq!(network_bytes(text), (2005, 3007));
    }
}
