//! A process of a container, as the host sees it: what `top` shows.

use super::Timestamp;

/// What `/proc` says of one process (proc(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Id in the host's pid namespace.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Process group.
    pub group: i32,
    /// Session.
    pub session: i32,
    /// The foreground process group of its terminal; -1 without one.
    pub foreground: i32,
    /// Major and minor number of its terminal; zeros without one.
    pub terminal: (u32, u32),
    /// `R`, `S`, `D`, `Z` …
    pub state: char,
    /// Effective user.
    pub uid: u32,
    /// Its name on the host; the number if it has none.
    pub user: String,
    /// Effective group.
    pub gid: u32,
    /// Its name on the host; the number if it has none.
    pub group_name: String,
    /// Processor time in milliseconds, user and system.
    pub cpu: u64,
    /// When it was started.
    pub started: Timestamp,
    /// Nice value, -20 to 19.
    pub nice: i64,
    /// The kernel's priority.
    pub priority: i64,
    /// Threads.
    pub threads: u64,
    /// Bytes of address space.
    pub virtual_size: u64,
    /// Bytes in memory.
    pub resident: u64,
    /// Share of the host's memory, in tenths of a per cent.
    pub memory_share: u64,
    /// The processor that it ran on last.
    pub processor: u64,
    /// Its name, at most 15 bytes.
    pub command: String,
    /// Its arguments, empty for a zombie.
    pub arguments: Vec<String>,
}
