//! What the benchmarks share: repeated timing, medians, a table, memory and CPU time of a process. They compare with a
//! peer in the same run, taking turns, so that a busy machine is busy for both.

#![expect(
    dead_code,
    reason = "shared by several benchmarks, each of which uses a part of it"
)]

use std::time::{Duration, Instant};

/// One thing to time, and what it took so far.
pub struct Contender<'a> {
    /// What the table calls it.
    pub name: String,
    turn: Box<dyn FnMut() + 'a>,
    taken: Vec<Duration>,
    rounds: usize,
}

impl<'a> Contender<'a> {
    /// A contender that takes part in `rounds` rounds.
    pub fn new(name: impl Into<String>, rounds: usize, turn: impl FnMut() + 'a) -> Self {
        Self {
            name: name.into(),
            turn: Box::new(turn),
            taken: Vec::new(),
            rounds,
        }
    }

    /// The middle one of all turns.
    pub fn median(&self) -> Duration {
        median(&self.taken)
    }
}

/// Turns that one contender takes in a row.
const BLOCK: usize = 5;

/// Lets all contenders take turns, five in a row each after one that is not counted; the first contender is what the
/// others are compared with.
pub fn compete(title: &str, contenders: &mut [Contender<'_>]) {
    let most = contenders.iter().map(|c| c.rounds).max().unwrap_or(0);
    let count = contenders.len();
    for block in 0..most.div_ceil(BLOCK) {
        // Another one comes first each time: what one leaves to do is not always paid by the same next one.
        for place in 0..count {
            let Some(contender) = contenders
                .get_mut((place + block) % count)
                .filter(|c| c.taken.len() < c.rounds)
            else {
                continue;
            };
            settle();
            (contender.turn)();
            for _ in 0..BLOCK {
                let start = Instant::now();
                (contender.turn)();
                contender.taken.push(start.elapsed());
            }
        }
    }
    let Some(base) = contenders.first().map(Contender::median) else {
        return;
    };
    println!("{title}");
    println!(
        "  {:<38} {:>6} {:>10} {:>10} {:>10} {:>8}",
        "", "rounds", "min", "median", "mean", "ratio"
    );
    for contender in contenders {
        let taken = &contender.taken;
        let mean = taken.iter().sum::<Duration>() / u32::try_from(taken.len().max(1)).unwrap();
        println!(
            "  {:<38} {:>6} {:>10} {:>10} {:>10} {:>8.2}",
            contender.name,
            taken.len(),
            ms(taken.iter().min().copied().unwrap_or_default()),
            ms(contender.median()),
            ms(mean),
            contender.median().as_secs_f64() / base.as_secs_f64(),
        );
    }
    println!();
}

/// The kernel takes namespaces and control groups apart after a command has ended.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing announces that the kernel is done"
)]
fn settle() {
    std::thread::sleep(Duration::from_millis(30));
}

/// The middle value; zero of nothing.
pub fn median(values: &[Duration]) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Milliseconds with two digits.
pub fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

/// Kernel and cgroup mode: a figure without them says little.
pub fn print_host() {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let has = |kind: &str| {
        mounts
            .lines()
            .any(|line| line.split(' ').nth(2) == Some(kind))
    };
    let mode = match (has("cgroup"), has("cgroup2")) {
        (true, true) => "cgroup v1 (hybrid)",
        (true, false) => "cgroup v1",
        (false, true) => "cgroup v2",
        (false, false) => "no cgroups",
    };
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    println!("linux {}, {mode}, {cpus} CPUs\n", kernel.trim());
}

/// A process's memory in KiB (proc(5), `smaps_rollup`).
pub struct Memory {
    /// Its pages, shared ones divided by their users.
    pub pss: u64,
    /// Pages that nobody else has.
    pub private: u64,
    /// All its pages.
    pub rss: u64,
}

impl Memory {
    /// As it is now.
    pub fn of(pid: i32) -> Self {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let field = |name: &str| -> u64 {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .and_then(|value| value.split_whitespace().next()?.parse().ok())
                .unwrap_or(0)
        };
        Self {
            pss: field("Pss"),
            private: field("Private_Clean") + field("Private_Dirty"),
            rss: field("Rss"),
        }
    }
}

/// User and system time of a process so far: the sum over its threads in nanoseconds (proc(5), `schedstat`), as the
/// hundredths of a second in `stat` are too coarse for an idle program.
pub fn cpu_time(pid: i32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanos: u64 = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(nanos)
}
