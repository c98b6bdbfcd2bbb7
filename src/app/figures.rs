//! Live figures of containers over time: rates from two samples, a bounded history for the graphs.

use std::collections::{BTreeMap, VecDeque};

use crate::engine::model::{ContainerId, Stats};

/// Seconds of history kept for each container.
pub const HISTORY: usize = 180;

/// What one second looked like.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point {
    /// Percent of one CPU.
    pub cpu: f32,
    /// Bytes.
    pub memory: f32,
    /// Bytes per second received.
    pub rx: f32,
    /// Bytes per second sent.
    pub tx: f32,
    /// Bytes per second read.
    pub read: f32,
    /// Bytes per second written.
    pub written: f32,
    /// Tasks.
    pub pids: f32,
}

/// Which line of a [`Point`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// CPU use.
    Cpu,
    /// Memory.
    Memory,
    /// Network, received.
    Received,
    /// Network, sent.
    Sent,
    /// Block devices, read.
    Read,
    /// Block devices, written.
    Written,
    /// Tasks.
    Pids,
}

impl Point {
    /// One figure of it.
    #[must_use]
    pub fn get(&self, metric: Metric) -> f32 {
        match metric {
            Metric::Cpu => self.cpu,
            Metric::Memory => self.memory,
            Metric::Received => self.rx,
            Metric::Sent => self.tx,
            Metric::Read => self.read,
            Metric::Written => self.written,
            Metric::Pids => self.pids,
        }
    }
}

/// One container's last sample and history.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// The last sample: totals, limits.
    pub last: Stats,
    /// Oldest first. The first sample gives no point: it has no rates.
    pub points: VecDeque<Point>,
}

impl Figures {
    /// The newest point.
    #[must_use]
    pub fn point(&self) -> Option<&Point> {
        self.points.back()
    }

    /// CPU use smoothed over the last three seconds: keeps a list sorted by it from jumping.
    #[must_use]
    pub fn cpu(&self) -> Option<f32> {
        let mut recent = self.points.iter().rev().take(3).map(|p| p.cpu);
        let first = recent.next()?;
        let (sum, count) = recent.fold((first, 1.0_f32), |(sum, n), cpu| (sum + cpu, n + 1.0));
        Some(sum / count)
    }
}

/// All containers' figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    all: BTreeMap<ContainerId, Figures>,
}

impl Table {
    /// The figures of a container, if it runs and has been sampled.
    #[must_use]
    pub fn get(&self, id: &ContainerId) -> Option<&Figures> {
        self.all.get(id)
    }

    /// Takes one round of samples.
    pub fn take(&mut self, samples: Vec<Stats>) {
        for sample in samples {
            match self.all.get_mut(&sample.id) {
                // A restarted container's counters begin anew.
                Some(old) if sample.cpu_total >= old.last.cpu_total && sample.at > old.last.at => {
                    if old.points.len() == HISTORY {
                        old.points.pop_front();
                    }
                    old.points.push_back(point(&old.last, &sample));
                    old.last = sample;
                }
                Some(old) => old.last = sample,
                None => {
                    let id = sample.id.clone();
                    let points = VecDeque::new();
                    self.all.insert(
                        id,
                        Figures {
                            last: sample,
                            points,
                        },
                    );
                }
            }
        }
    }

    /// Forgets containers that do not run any more.
    pub fn retain(&mut self, keep: impl Fn(&ContainerId) -> bool) {
        self.all.retain(|id, _| keep(id));
    }

    /// CPU use of all together.
    #[must_use]
    pub fn cpu_sum(&self) -> f32 {
        let each = self.all.values().filter_map(|f| f.point()).map(|p| p.cpu);
        // Not `sum`: that of nothing is -0.
        each.fold(0.0, |sum, cpu| sum + cpu)
    }

    /// Memory of all together, in bytes.
    #[must_use]
    pub fn memory_sum(&self) -> u64 {
        self.all.values().map(|f| f.last.memory).sum()
    }
}

fn point(old: &Stats, new: &Stats) -> Point {
    #[expect(clippy::cast_precision_loss, reason = "graphs show three digits")]
    let float = |n: u64| n as f32;
    let seconds = float(new.at.saturating_sub(old.at)) / 1e9;
    let rate = |old: u64, new: u64| float(new.saturating_sub(old)) / seconds;
    Point {
        cpu: rate(old.cpu_total, new.cpu_total) / 1e9 * 100.0,
        memory: float(new.memory),
        rx: rate(old.net_rx, new.net_rx),
        tx: rate(old.net_tx, new.net_tx),
        read: rate(old.block_read, new.block_read),
        written: rate(old.block_write, new.block_write),
        pids: float(new.pids),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, cpu_ms: u64, rx: u64) -> Stats {
        Stats {
            id: ContainerId::try_from("a".repeat(64)).expect("an id"),
            at: at * 1_000_000_000,
            cpu_total: cpu_ms * 1_000_000,
            cpu_user: 0,
            cpu_system: 0,
            throttled_periods: 0,
            memory: 5 << 20,
            memory_limit: 64 << 20,
            net_rx: rx,
            net_tx: 0,
            block_read: 0,
            block_write: 0,
            pids: 3,
            pids_limit: None,
        }
    }

    #[test]
    fn rates_come_from_two_samples_and_a_restart_gives_none() {
        let mut table = Table::default();
        let id = sample(0, 0, 0).id;
        table.take(vec![sample(1, 100, 10)]);
        assert_eq!(table.get(&id).and_then(Figures::point), None);
        table.take(vec![sample(3, 1100, 2010)]);
        let point = *table.get(&id).and_then(Figures::point).expect("a point");
        assert!((point.cpu - 50.0).abs() < 0.01, "{point:?}");
        assert!((point.rx - 1000.0).abs() < 0.01, "{point:?}");
        table.take(vec![sample(4, 5, 0)]);
        assert_eq!(table.get(&id).map(|f| f.points.len()), Some(1));
    }

    #[test]
    fn history_is_bounded() {
        let mut table = Table::default();
        for second in 0..1000 {
            table.take(vec![sample(second, second, 0)]);
        }
        let id = sample(0, 0, 0).id;
        assert_eq!(table.get(&id).map(|f| f.points.len()), Some(HISTORY));
    }
}
