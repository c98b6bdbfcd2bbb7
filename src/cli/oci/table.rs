//! The list of commands: what they are called, what they accept, what they do.

use std::fmt::Write;

use super::grammar::{self, Flag, Grammar, Order, Parsed};
use super::report::Failure;
use super::{Context, Outcome, inside, lifecycle, limits, look};
use crate::engine::runtime::oci::SPECIFICATION;

/// One command.
pub(super) struct Command {
    pub(super) name: &'static str,
    /// What it does, in one line.
    about: &'static str,
    /// Its operands in help.
    operands: &'static str,
    pub(super) grammar: Grammar,
    pub(super) run: fn(&Context, &Parsed) -> Outcome,
}

const fn switch(long: &'static str, short: Option<char>, help: &'static str) -> Flag {
    Flag {
        long,
        short,
        value: None,
        help,
    }
}

const fn value(
    long: &'static str,
    short: Option<char>,
    value: &'static str,
    help: &'static str,
) -> Flag {
    Flag {
        long,
        short,
        value: Some(value),
        help,
    }
}

const fn mixed(flags: &'static [Flag], least: usize, most: usize) -> Grammar {
    Grammar {
        flags,
        order: Order::Mixed,
        operands: (least, most),
    }
}

/// What may stand before the command.
pub(super) const GLOBAL: &[Flag] = &[
    value(
        "root",
        None,
        "DIR",
        "where containers are kept (default /run/wharf/oci)",
    ),
    value("log", None, "FILE", "append errors to this file, too"),
    value(
        "log-format",
        None,
        "FORMAT",
        "of the log: text (default) or json",
    ),
    value(
        "log-level",
        None,
        "LEVEL",
        "debug: the same as --debug; others change nothing",
    ),
    value(
        "cgroup-manager",
        None,
        "MANAGER",
        "cgroupfs (default), systemd or disabled",
    ),
    switch(
        "systemd-cgroup",
        None,
        "the same as --cgroup-manager systemd",
    ),
    value(
        "rootless",
        None,
        "WHEN",
        "go without cgroups if they cannot be made: true, false or auto",
    ),
    switch("debug", None, "also log what is done"),
    switch("version", Some('v'), "print the version"),
];

const BUNDLE: Flag = value(
    "bundle",
    Some('b'),
    "DIR",
    "the bundle (default: the current directory)",
);
const CONFIG: Flag = value(
    "config",
    Some('f'),
    "FILE",
    "the configuration in the bundle (default config.json)",
);
const CONSOLE_SOCKET: Flag = value(
    "console-socket",
    None,
    "SOCKET",
    "send the terminal's master to this socket",
);
const PIDFD_SOCKET: Flag = value(
    "pidfd-socket",
    None,
    "SOCKET",
    "send a descriptor of the process to this socket",
);
const PID_FILE: Flag = value(
    "pid-file",
    None,
    "FILE",
    "write the process id to this file",
);
const PRESERVE_FDS: Flag = value(
    "preserve-fds",
    None,
    "N",
    "pass N more descriptors on, from 3",
);
const NO_PIVOT: Flag = switch(
    "no-pivot",
    None,
    "do not use pivot_root, for a root on a ramdisk",
);
const NO_NEW_KEYRING: Flag = switch("no-new-keyring", None, "keep the caller's session keyring");

const CREATE: &[Flag] = &[
    BUNDLE,
    CONFIG,
    CONSOLE_SOCKET,
    PIDFD_SOCKET,
    PID_FILE,
    PRESERVE_FDS,
    NO_PIVOT,
    NO_NEW_KEYRING,
];

const RUN: &[Flag] = &[
    BUNDLE,
    CONFIG,
    switch("detach", Some('d'), "do not wait for its end"),
    switch("keep", None, "do not remove it after its end"),
    CONSOLE_SOCKET,
    PIDFD_SOCKET,
    PID_FILE,
    PRESERVE_FDS,
    NO_PIVOT,
    NO_NEW_KEYRING,
    switch(
        "no-subreaper",
        None,
        "accepted for runc's callers: there is none",
    ),
];

const REGEX: Flag = switch(
    "regex",
    Some('r'),
    "CONTAINER is a regular expression: all that match",
);

const EXEC: &[Flag] = &[
    value(
        "process",
        Some('p'),
        "FILE",
        "the process as a document ('-': standard input)",
    ),
    switch("detach", Some('d'), "do not wait for its end"),
    switch("tty", Some('t'), "with a terminal"),
    value("cwd", None, "DIR", "working directory"),
    value("env", Some('e'), "NAME=VALUE", "a further variable"),
    value("user", Some('u'), "UID[:GID]", "another user"),
    value("additional-gids", Some('g'), "GID", "a further group"),
    value("cap", Some('c'), "CAP", "a further capability"),
    value("process-label", None, "LABEL", "SELinux label"),
    value("apparmor", None, "PROFILE", "AppArmor profile"),
    switch("no-new-privs", None, "no program gives further privileges"),
    value(
        "cgroup",
        None,
        "[CONTROLLER:]PATH",
        "in a group below the container's",
    ),
    switch("ignore-paused", None, "also in a paused container"),
    CONSOLE_SOCKET,
    PIDFD_SOCKET,
    PID_FILE,
    PRESERVE_FDS,
];

const UPDATE: &[Flag] = &[
    value(
        "resources",
        Some('r'),
        "FILE",
        "limits as a document ('-': standard input); no other flag counts",
    ),
    value(
        "blkio-weight",
        None,
        "N",
        "share of block devices (10-1000)",
    ),
    value(
        "cpu-period",
        None,
        "USEC",
        "period of the quota (0: the kernel's)",
    ),
    value("cpu-quota", None, "USEC", "time on processors in a period"),
    value("cpu-burst", None, "USEC", "time that may be saved up"),
    value("cpu-share", None, "N", "share of processors"),
    value(
        "cpu-rt-period",
        None,
        "USEC",
        "period of the real-time limit",
    ),
    value("cpu-rt-runtime", None, "USEC", "real time in a period"),
    value(
        "cpu-idle",
        None,
        "N",
        "1: only when nobody else wants to run",
    ),
    value("cpuset-cpus", None, "LIST", "processors"),
    value("cpuset-mems", None, "LIST", "memory nodes"),
    value("memory", None, "BYTES", "memory (-1: no limit)"),
    value(
        "memory-reservation",
        None,
        "BYTES",
        "memory that is left when it is scarce",
    ),
    value(
        "memory-swap",
        None,
        "BYTES",
        "memory and swap together (-1: no limit)",
    ),
    value("pids-limit", None, "N", "tasks (-1: no limit)"),
    value(
        "kernel-memory",
        None,
        "BYTES",
        "ignored: kernels have no such limit any more",
    ),
    value("kernel-memory-tcp", None, "BYTES", "ignored"),
    value("l3-cache-schema", None, "SCHEMA", "Intel RDT cache schema"),
    value(
        "mem-bw-schema",
        None,
        "SCHEMA",
        "Intel RDT memory bandwidth schema",
    ),
];

/// All commands, in the order of help.
const COMMANDS: &[Command] = &[
    Command {
        name: "create",
        about: "Make a container that waits for start",
        operands: "CONTAINER",
        grammar: mixed(CREATE, 1, 1),
        run: lifecycle::create,
    },
    Command {
        name: "start",
        about: "Execute the program of a created container",
        operands: "CONTAINER",
        grammar: mixed(&[], 1, 1),
        run: lifecycle::start,
    },
    Command {
        name: "run",
        about: "Make and start a container",
        operands: "CONTAINER",
        grammar: mixed(RUN, 1, 1),
        run: lifecycle::run,
    },
    Command {
        name: "state",
        about: "Print a container's state",
        operands: "CONTAINER",
        grammar: mixed(&[], 1, 1),
        run: look::state,
    },
    Command {
        name: "kill",
        about: "Send a signal (default SIGTERM) to a container's first process",
        operands: "CONTAINER [SIGNAL]",
        grammar: mixed(
            &[switch("all", Some('a'), "to all of its processes"), REGEX],
            1,
            2,
        ),
        run: lifecycle::kill,
    },
    Command {
        name: "delete",
        about: "Remove a container that has ended",
        operands: "CONTAINER",
        grammar: mixed(
            &[switch("force", Some('f'), "kill it if it runs"), REGEX],
            1,
            1,
        ),
        run: lifecycle::delete,
    },
    Command {
        name: "exec",
        about: "Run a further process in a container",
        operands: "CONTAINER COMMAND [ARG...]",
        grammar: Grammar {
            flags: EXEC,
            order: Order::OperandsEnd,
            operands: (1, usize::MAX),
        },
        run: inside::exec,
    },
    Command {
        name: "ps",
        about: "Show a container's processes",
        operands: "CONTAINER [PS OPTIONS]",
        grammar: Grammar {
            flags: &[value(
                "format",
                Some('f'),
                "FORMAT",
                "table (default) or json",
            )],
            order: Order::OperandsEnd,
            operands: (1, usize::MAX),
        },
        run: look::ps,
    },
    Command {
        name: "pause",
        about: "Freeze a container's processes",
        operands: "CONTAINER",
        grammar: mixed(&[], 1, 1),
        run: lifecycle::pause,
    },
    Command {
        name: "resume",
        about: "Let a paused container go on",
        operands: "CONTAINER",
        grammar: mixed(&[], 1, 1),
        run: lifecycle::resume,
    },
    Command {
        name: "update",
        about: "Change a container's limits",
        operands: "CONTAINER",
        grammar: mixed(UPDATE, 1, 1),
        run: limits::update,
    },
    Command {
        name: "events",
        about: "Print a container's figures at intervals, and when its memory was exhausted",
        operands: "CONTAINER",
        grammar: mixed(
            &[
                switch("stats", None, "the figures once"),
                value("interval", None, "TIME", "between figures (default 5s)"),
            ],
            1,
            1,
        ),
        run: look::events,
    },
    Command {
        name: "list",
        about: "List containers",
        operands: "",
        grammar: mixed(
            &[
                switch("quiet", Some('q'), "names only"),
                value("format", Some('f'), "FORMAT", "table (default) or json"),
            ],
            0,
            0,
        ),
        run: look::list,
    },
    Command {
        name: "spec",
        about: "Write a config.json to begin with",
        operands: "",
        grammar: mixed(
            &[
                BUNDLE,
                switch("rootless", None, "for a caller without privileges"),
            ],
            0,
            0,
        ),
        run: lifecycle::spec,
    },
    Command {
        name: "features",
        about: "Print what this runtime knows",
        operands: "",
        grammar: mixed(&[], 0, 0),
        run: look::features,
    },
];

/// All commands with their help line.
pub(super) fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    COMMANDS.iter().map(|command| (command.name, command.about))
}

/// Commands of runc that need CRIU (Checkpoint/Restore In Userspace), which is another program.
const NEED_CRIU: &[&str] = &["checkpoint", "restore"];

/// Finds a command.
pub(super) fn find(name: &str) -> Result<&'static Command, Failure> {
    if NEED_CRIU.contains(&name) {
        return Err(Failure::usage(format!(
            "{name}: containers cannot be checkpointed or restored: CRIU is not supported"
        )));
    }
    COMMANDS
        .iter()
        .find(|command| command.name == name)
        .ok_or_else(|| {
            Failure::usage(format!(
                "unknown command: {name}: No help topic for '{name}'; 'wharf oci --help' lists them"
            ))
        })
}

impl Command {
    /// Its help page.
    pub(super) fn help(&self) -> String {
        let mut text = heading(
            &format!("wharf-oci {} - {}", self.name, self.about),
            &format!("wharf oci {}", self.name),
        );
        if !self.grammar.flags.is_empty() {
            text.push_str(" [OPTIONS]");
        }
        if !self.operands.is_empty() {
            text.push(' ');
            text.push_str(self.operands);
        }
        text.push('\n');
        if !self.grammar.flags.is_empty() {
            let _ = write!(text, "\nOptions:\n{}", grammar::help(self.grammar.flags));
        }
        text
    }
}

/// As runc's pages begin: its callers look for it there.
fn heading(name: &str, usage: &str) -> String {
    format!("NAME:\n   {name}\n\nUsage:  {usage}")
}

/// The help page of a command that there is not.
pub(super) fn criu_help(name: &str) -> Option<String> {
    let about = "not supported: it would need CRIU";
    let is_one = NEED_CRIU.contains(&name);
    is_one.then(|| {
        heading(
            &format!("wharf-oci {name} - {about}"),
            &format!("wharf oci {name}\n"),
        )
    })
}

/// The help page of all of it.
pub(super) fn overview() -> String {
    let mut text = heading(
        "wharf-oci, with the commands and flags of runc - Open Container Initiative runtime",
        "wharf oci [OPTIONS] COMMAND",
    );
    text.push_str("\n\nCommands:\n");
    for command in COMMANDS {
        let _ = writeln!(text, "  {:10}{}", command.name, command.about);
    }
    let _ = write!(
        text,
        "\nOptions:\n{}\nRun 'wharf oci COMMAND --help' for more information on a command.\n",
        grammar::help(GLOBAL)
    );
    text
}

/// The version of runc whose commands and flags these are.
const RUNC: &str = "1.5.0";

/// What `--version` prints: drivers look for the line with `spec:`, for `commit:`, and in the first one for `runc version` or,
/// as Docker does, for what stands behind the last `version`.
pub(super) fn version() -> String {
    format!(
        "wharf-oci (for runc version {RUNC}) version {}\ncommit: {}\nspec: {SPECIFICATION}\n+SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP +EBPF\n",
        crate::cli::VERSION,
        crate::cli::system::BUILD,
    )
}
