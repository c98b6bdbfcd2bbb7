//! Figures of one running container at one moment; rates come from two of them.

use super::id::ContainerId;

/// Counters as the kernel gives them. Missing figures are zero where the host has no such controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Whose.
    pub id: ContainerId,
    /// When, in nanoseconds of the monotonic clock.
    pub at: u64,
    /// CPU time used by all tasks since start, nanoseconds.
    pub cpu_total: u64,
    /// Of which in user mode.
    pub cpu_user: u64,
    /// Of which in kernel mode.
    pub cpu_system: u64,
    /// Periods in which the CPU limit throttled it.
    pub throttled_periods: u64,
    /// Memory in use in bytes, page cache that can be dropped at once left out (as `docker stats` counts).
    pub memory: u64,
    /// Memory limit in bytes; the host's memory if unlimited.
    pub memory_limit: u64,
    /// Bytes received on all interfaces but loopback.
    pub net_rx: u64,
    /// Bytes sent.
    pub net_tx: u64,
    /// Bytes read from block devices.
    pub block_read: u64,
    /// Bytes written.
    pub block_write: u64,
    /// Tasks.
    pub pids: u64,
    /// Largest number of tasks, if limited.
    pub pids_limit: Option<u64>,
}

impl Stats {
    /// CPU use between two samples in percent of one CPU (two busy CPUs are 200 %), as Docker shows it.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a percentage needs no more than 52 bits"
    )]
    pub fn cpu_percent(&self, earlier: &Self) -> f64 {
        let wall = self.at.saturating_sub(earlier.at);
        let used = self.cpu_total.saturating_sub(earlier.cpu_total);
        if wall == 0 {
            0.0
        } else {
            used as f64 * 100.0 / wall as f64
        }
    }

    /// Memory in percent of the limit.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a percentage needs no more than 52 bits"
    )]
    pub fn memory_percent(&self) -> f64 {
        if self.memory_limit == 0 {
            0.0
        } else {
            self.memory as f64 * 100.0 / self.memory_limit as f64
        }
    }
}
