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
    "compose",
    "config",
    "context",
    "image build",
    "node",
    "plugin",
    "scout",
    "secret",
    "service",
    "stack",
    "swarm",
    "system dial-stdio",
    "trust",
    "volume update",
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
    /// Why it is refused.
    why: &'static str,
}

/// It may come.
const NOT_YET: &str = "is not supported yet";
const WINDOWS: &str = "is for Windows containers only";
const SWARM: &str = "is for volumes of a swarm, which there is none of";
const NO_DAEMON: &str = "is about a daemon, and there is none";

const fn flag(long: &'static str, value: &'static str) -> Flag {
    Flag {
        long,
        short: None,
        value: Some(value),
        harmless: "",
        why: NOT_YET,
    }
}

const fn switch(long: &'static str) -> Flag {
    Flag {
        long,
        short: None,
        value: None,
        harmless: "false",
        why: NOT_YET,
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

    /// A flag that is refused for good.
    const fn because(mut self, why: &'static str) -> Self {
        self.why = why;
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
    flag("cpu-count", "int").harmless("0").because(WINDOWS),
    flag("cpu-percent", "int").harmless("0").because(WINDOWS),
    switch("disable-content-trust").ignored(),
    flag("io-maxbandwidth", "bytes")
        .harmless("0")
        .because(WINDOWS),
    flag("io-maxiops", "uint").harmless("0").because(WINDOWS),
    flag("kernel-memory", "bytes")
        .harmless("0")
        .because("is nothing that kernels have any more: --memory limits both"),
    switch("use-api-socket").because("has nothing to give: there is no API socket"),
];

/// Of `volume create`: they are for Swarm's cluster volumes.
pub const VOLUME: &[Flag] = &[
    flag("availability", "string")
        .harmless("active")
        .because(SWARM),
    flag("group", "string").because(SWARM),
    flag("limit-bytes", "bytes").harmless("0").because(SWARM),
    flag("required-bytes", "bytes").harmless("0").because(SWARM),
    flag("scope", "string").harmless("single").because(SWARM),
    flag("secret", "map").because(SWARM),
    flag("sharing", "string").harmless("none").because(SWARM),
    flag("topology-preferred", "list").because(SWARM),
    flag("topology-required", "list").because(SWARM),
    flag("type", "string").harmless("block").because(SWARM),
];

/// Of `volume ls`.
pub const VOLUMES: &[Flag] = &[switch("cluster")];

/// Of `start`.
pub const START: &[Flag] = &[
    flag("checkpoint", "string").because("is not there: containers cannot be frozen to disk"),
    flag("checkpoint-dir", "string").because("is not there: containers cannot be frozen to disk"),
];

/// Of `pull` and `push`: trust is by digest.
pub const TRUST: &[Flag] = &[switch("disable-content-trust").ignored()];

/// Of `rmi`: parents are never kept.
pub const RMI: &[Flag] = &[switch("no-prune").ignored()];

/// Before the verb: there is no daemon to talk to.
pub const GLOBAL: &[Flag] = &[
    flag("context", "string")
        .short('c')
        .harmless("default")
        .because(NO_DAEMON),
    flag("host", "list").short('H').because(NO_DAEMON),
    switch("tls").because(NO_DAEMON),
    flag("tlscacert", "string").because(NO_DAEMON),
    flag("tlscert", "string").because(NO_DAEMON),
    flag("tlskey", "string").because(NO_DAEMON),
    switch("tlsverify").because(NO_DAEMON),
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
                text: format!("wharf: --{} {}", flag.long, flag.why),
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
