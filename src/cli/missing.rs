//! What Docker has and wharf does not have yet: verbs and flags as data, so that each gets one clear answer and never
//! silence. A row leaves this file when its feature arrives.

use clap::{Arg, ArgAction, ArgMatches, Command, parser::ValueSource};

use super::report::{ENGINE, Failure};

/// Verbs, as typed after `wharf`. A group without its own verbs here stands for all of them.
pub const VERBS: &[&str] = &[
    "build",
    "builder",
    "buildx",
    "checkpoint",
    "commit",
    "compose",
    "config",
    "container commit",
    "container cp",
    "container diff",
    "container export",
    "container port",
    "container prune",
    "container rename",
    "container top",
    "container update",
    "context",
    "cp",
    "diff",
    "export",
    "image build",
    "network",
    "node",
    "plugin",
    "port",
    "rename",
    "scout",
    "secret",
    "service",
    "stack",
    "swarm",
    "system prune",
    "system dial-stdio",
    "top",
    "trust",
    "update",
    "volume",
];

/// One flag of Docker's that is parsed, so that its value is consumed, and then refused.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    long: &'static str,
    short: Option<char>,
    /// `None`: a boolean.
    value: Option<&'static str>,
    /// The value that asks for what wharf does anyway (`""`: there is none).
    harmless: &'static str,
}

const fn flag(long: &'static str, value: &'static str) -> Flag {
    Flag {
        long,
        short: None,
        value: Some(value),
        harmless: "",
    }
}

const fn switch(long: &'static str) -> Flag {
    Flag {
        long,
        short: None,
        value: None,
        harmless: "false",
    }
}

impl Flag {
    const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    /// A flag that may be given with this value.
    const fn harmless(mut self, value: &'static str) -> Self {
        self.harmless = value;
        self
    }

    /// A switch that changes nothing either way.
    const fn ignored(mut self) -> Self {
        self.harmless = "*";
        self
    }
}

/// Of `run` and `create`.
pub const CREATE: &[Flag] = &[
    flag("annotation", "map"),
    flag("blkio-weight", "uint16").harmless("0"),
    flag("blkio-weight-device", "list"),
    flag("cgroup-parent", "string"),
    flag("cgroupns", "string").harmless("private"),
    flag("cpu-count", "int").harmless("0"),
    flag("cpu-percent", "int").harmless("0"),
    flag("cpu-period", "int").harmless("0"),
    flag("cpu-quota", "int").harmless("0"),
    flag("cpu-rt-period", "int").harmless("0"),
    flag("cpu-rt-runtime", "int").harmless("0"),
    flag("cpuset-mems", "string"),
    flag("device", "list"),
    flag("device-cgroup-rule", "list"),
    flag("device-read-bps", "list"),
    flag("device-read-iops", "list"),
    flag("device-write-bps", "list"),
    flag("device-write-iops", "list"),
    switch("disable-content-trust").ignored(),
    flag("dns", "list"),
    flag("dns-opt", "list"),
    flag("dns-option", "list"),
    flag("dns-search", "list"),
    flag("domainname", "string"),
    flag("gpus", "gpu-request"),
    flag("group-add", "list"),
    flag("health-cmd", "string"),
    flag("health-interval", "duration").harmless("0s"),
    flag("health-retries", "int").harmless("0"),
    flag("health-start-interval", "duration").harmless("0s"),
    flag("health-start-period", "duration").harmless("0s"),
    flag("health-timeout", "duration").harmless("0s"),
    switch("init"),
    flag("io-maxbandwidth", "bytes").harmless("0"),
    flag("io-maxiops", "uint").harmless("0"),
    flag("ip", "string"),
    flag("ip6", "string"),
    flag("ipc", "string").harmless("private"),
    flag("isolation", "string").harmless("default"),
    flag("kernel-memory", "bytes").harmless("0"),
    flag("link", "list"),
    flag("link-local-ip", "list"),
    flag("mac-address", "string"),
    flag("memory-reservation", "bytes").harmless("0"),
    flag("memory-swappiness", "int").harmless("-1"),
    flag("net-alias", "list"),
    flag("network-alias", "list"),
    // There are no health checks to disable.
    switch("no-healthcheck").ignored(),
    switch("oom-kill-disable"),
    flag("oom-score-adj", "int").harmless("0"),
    flag("pid", "string"),
    switch("privileged"),
    flag("publish", "list").short('p'),
    switch("publish-all").short('P'),
    flag("runtime", "string"),
    flag("security-opt", "list"),
    flag("storage-opt", "list"),
    flag("sysctl", "map"),
    flag("ulimit", "ulimit"),
    switch("use-api-socket"),
    flag("userns", "string"),
    flag("uts", "string"),
    flag("volume-driver", "string").harmless("local"),
    flag("volumes-from", "list"),
];

/// Of `start`.
pub const START: &[Flag] = &[
    flag("checkpoint", "string"),
    flag("checkpoint-dir", "string"),
];

/// Of `pull` and `push`: trust is by digest.
pub const TRUST: &[Flag] = &[switch("disable-content-trust").ignored()];

/// Of `rmi`: parents are never kept.
pub const RMI: &[Flag] = &[switch("no-prune").ignored()];

/// Before the verb: there is no daemon to talk to.
pub const GLOBAL: &[Flag] = &[
    flag("context", "string").short('c').harmless("default"),
    flag("host", "list").short('H'),
    switch("tls"),
    flag("tlscacert", "string"),
    flag("tlscert", "string"),
    flag("tlskey", "string"),
    switch("tlsverify"),
];

/// Lets a command accept the flags.
pub fn accept(command: Command, flags: &[Flag]) -> Command {
    command.args(flags.iter().map(|flag| {
        let arg = Arg::new(flag.long).long(flag.long).hide(true);
        let arg = match flag.short {
            Some(short) => arg.short(short),
            None => arg,
        };
        match flag.value {
            Some(name) => arg.value_name(name).action(ArgAction::Append),
            None => arg.action(ArgAction::SetTrue),
        }
    }))
}

/// Refuses the first of the flags that was given with a value that matters.
///
/// # Errors
/// `wharf: --publish is not supported yet`, exit code 125.
pub fn refuse(matches: &ArgMatches, flags: &[Flag]) -> Result<(), Failure> {
    for flag in flags {
        if matches.value_source(flag.long) != Some(ValueSource::CommandLine) {
            continue;
        }
        let harmless = match flag.value {
            None => flag.harmless == "*" || !matches.get_flag(flag.long),
            Some(_) => matches
                .get_many::<String>(flag.long)
                .is_some_and(|mut values| values.all(|v| v == flag.harmless)),
        };
        if !harmless {
            return Err(Failure::Usage {
                text: format!("wharf: --{} is not supported yet", flag.long),
                code: ENGINE,
            });
        }
    }
    Ok(())
}

/// Whether these words name a verb that Docker has and wharf has not: its name.
pub fn verb(words: &[&str]) -> Option<String> {
    let two = words.get(..2).map(|pair| pair.join(" "));
    let one = words.first().map(|word| (*word).to_owned());
    [two, one]
        .into_iter()
        .flatten()
        .find(|name| VERBS.contains(&name.as_str()))
}
