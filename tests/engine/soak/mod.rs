//! The soak: eight processes at a time do what comes to their minds, on few names so that they meet, while some of them, and
//! monitors, supervisors and containers, are killed. Whatever happened, the store must be consistent afterwards, and after
//! everything is removed nothing may be left. What is done is in `actions.rs`, what must hold in `checker.rs`.
//!
//! `WHARF_TEST_SEED=<seed>` does the same again as far as the kernel's scheduler lets it; `WHARF_SOAK_SECONDS=<seconds>`
//! (`just soak`: 600) goes on for so long instead of a number of actions.

mod actions;
mod checker;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use self::actions::{Action, Life};
use crate::registry::random::Random;
use crate::support::{self, BUSYBOX, Host, command_line, image_archive, pause, privileged};

/// Processes at a time.
const SIDE_BY_SIDE: u64 = 8;

/// Actions of an ordinary run, together.
const ACTIONS: u64 = 320;

/// One action in so many is killed, and so many times something else is.
const KILLED: u64 = 9;
const OTHERS_KILLED: u64 = 10;

/// Longer than anything that comes to an end takes, on a machine that is slow and busy.
const HANGS: Duration = Duration::from_mins(3);

/// So many problems end a long one early.
const ENOUGH: usize = 12;

/// After so long, paused containers go on.
const THAW: Duration = Duration::from_secs(4);

/// Words that no answer may have, whatever others do meanwhile: what says them was not prepared for it.
const NEVER: &[&str] = &[
    "panicked",
    "read record",
    "damaged",
    "os error",
    "no such file or directory",
    "no such process",
    "resource busy",
    "not empty",
    "stale file handle",
    "bad file descriptor",
    "broken pipe",
    "while it was being",
];

/// What happens to one store.
struct Soak<'a> {
    host: &'a Host,
    seed: u64,
    /// How many more actions; `u64::MAX` and a deadline for a long one.
    left: AtomicU64,
    deadline: Option<Instant>,
    files: PathBuf,
    /// What was answered, with names and numbers taken out, and how often.
    answers: Mutex<BTreeMap<String, u64>>,
    killed: AtomicU64,
    problems: Mutex<Vec<String>>,
}

#[test]
fn a_store_outlives_eight_processes_that_are_killed_at_random() {
    let Some(host) = privileged() else { return };
    if host.busybox_image().is_none() {
        return;
    }
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seed = number("WHARF_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let long = number("WHARF_SOAK_SECONDS").map(Duration::from_secs);
    let soak = Soak {
        host: &host,
        seed,
        left: AtomicU64::new(if long.is_some() { u64::MAX } else { ACTIONS }),
        deadline: long.map(|time| Instant::now() + time),
        files: host.dir().join("soak"),
        answers: Mutex::default(),
        killed: AtomicU64::new(0),
        problems: Mutex::default(),
    };
    tell(&format!("soak: WHARF_TEST_SEED={seed}"));
    soak.prepare();
    std::thread::scope(|scope| {
        for worker in 0..SIDE_BY_SIDE {
            let soak = &soak;
            scope.spawn(move || soak.work(worker));
        }
    });
    if long.is_some() {
        soak.tell_answers();
    }
    checker::assert_consistent(&host, seed);
    checker::assert_nothing_is_left(&host, seed);
    // Last: a store may be damaged by more than what an answer tells, and that has to be seen, too.
    let problems = soak.problems.lock().unwrap().clone();
    assert!(problems.is_empty(), "seed {seed}:\n{}", problems.join("\n"));
}

impl Soak<'_> {
    /// What the actions read.
    fn prepare(&self) {
        fs::create_dir(&self.files).unwrap();
        let mut layer = support::Archive::new();
        layer.directory("data/", 0o755);
        layer.file("data/file", 0o644, &Random(self.seed).bytes(100_000));
        let base = layer.finish();
        for (number, tag) in actions::LOADED.iter().enumerate() {
            let mut top = support::Archive::new();
            top.file("data/top", 0o600, &Random(number as u64).bytes(50_000));
            let archive = image_archive(tag, &[base.clone(), top.finish()], &["true"]);
            fs::write(self.files.join(format!("{number}.tar")), archive).unwrap();
        }
        fs::write(self.files.join(actions::FILES), base).unwrap();
        fs::write(self.files.join("busybox.tar"), support::busybox_archive()).unwrap();
    }

    fn goes_on(&self) -> bool {
        if let Some(deadline) = self.deadline {
            return Instant::now() < deadline && self.problems.lock().unwrap().len() < ENOUGH;
        }
        let more = |left: u64| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    fn work(&self, worker: u64) {
        let mut random = Random(self.seed.wrapping_mul(1_000_003).wrapping_add(worker));
        while self.goes_on() {
            let mut action = actions::choose(&mut random);
            if random.below(KILLED) == 0 {
                action.life = Life::Cut(Duration::from_micros(random.below(120_000)));
            }
            self.perform(worker, &action);
            if random.below(OTHERS_KILLED) == 0 {
                self.kill_another(&mut random);
            }
        }
    }

    fn perform(&self, worker: u64, action: &Action) {
        let place = |what: &str| self.files.join(format!("{worker}.{what}"));
        let mut command = self.host.command(&action.args);
        if let Some(name) = action.stdin {
            command.stdin(File::open(self.files.join(name)).unwrap());
        }
        let mut child = command
            .stdout(Stdio::null())
            .stderr(File::create(place("err")).unwrap())
            .spawn()
            .unwrap();
        if let Life::Cut(after) = action.life {
            chance(after);
            child.kill().unwrap();
            self.killed.fetch_add(1, Ordering::Relaxed);
        }
        let begun = Instant::now();
        let mut thaw = Instant::now() + THAW;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > thaw {
                self.thaw();
                thaw = Instant::now() + THAW;
            }
            if begun.elapsed() > HANGS {
                self.problem(format!("{:?} hangs", action.args));
                child.kill().unwrap();
            }
            pause();
        };
        let said = fs::read_to_string(place("err")).unwrap();
        if action.life != Life::Whole {
            return;
        }
        let bad = NEVER.iter().any(|word| said.to_lowercase().contains(word));
        if bad || status.code().is_none() || status.code() == Some(101) {
            self.problem(format!("{:?}: {status}: {said}", action.args));
        }
        let verb = action.args.first().map_or("", String::as_str);
        let mut answers = self.answers.lock().unwrap();
        if said.is_empty() {
            *answers.entry(format!("{verb}: fine")).or_default() += 1;
        }
        for line in said.lines() {
            *answers
                .entry(format!("{verb}: {}", without_names(line)))
                .or_default() += 1;
        }
    }

    fn problem(&self, text: String) {
        tell(&text);
        self.problems.lock().unwrap().push(text);
    }

    /// Who waits for what is in a container that somebody has paused waits for ever.
    fn thaw(&self) {
        let paused = self.host.wharf(["ps", "-q", "--filter", "status=paused"]);
        for id in paused.stdout.lines() {
            self.host.wharf(["unpause", id]);
        }
    }

    /// A monitor, an exec's supervisor, a probe, or the first process of a container.
    fn kill_another(&self, random: &mut Random) {
        let mut victims = self.host.processes();
        let inside = random.below(4) == 0;
        victims.retain(|pid| command_line(*pid).starts_with("wharf-"));
        if inside {
            victims = victims.into_iter().flat_map(children).collect();
        }
        if victims.is_empty() {
            return;
        }
        let victim = random.of(&victims);
        // By a descriptor: the number may be somebody else's by now.
        let Some(pid) = rustix::process::Pid::from_raw(victim) else {
            return;
        };
        let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else {
            return;
        };
        let still = if inside {
            parent(victim).is_some_and(|parent| self.is_ours(parent))
        } else {
            self.is_ours(victim)
        };
        if still && pidfd_send_signal(descriptor, Signal::KILL).is_ok() {
            self.killed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_ours(&self, pid: i32) -> bool {
        let line = command_line(pid);
        line.starts_with("wharf-") && line.contains(&*self.host.dir().to_string_lossy())
    }

    fn tell_answers(&self) {
        for (answer, times) in &*self.answers.lock().unwrap() {
            tell(&format!("{times:>7} {answer}"));
        }
        let killed = self.killed.load(Ordering::Relaxed);
        tell(&format!("{killed:>7} processes killed"));
    }
}

/// Not `eprintln!`: the harness would capture it, and a seed must be seen.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Processes whose parent this is (proc(5), `children`).
fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = stat.rsplit_once(')')?.1;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// Answers of the same kind are one.
fn without_names(line: &str) -> String {
    let word = |word: &str| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        if digits > 0 { "#" } else { word }.to_owned()
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[expect(
    clippy::disallowed_methods,
    reason = "when a process is killed is chance, and nothing waits for it"
)]
fn chance(time: Duration) {
    std::thread::sleep(time);
}
