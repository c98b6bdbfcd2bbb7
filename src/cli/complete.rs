//! Completion: what may come next on a command line, from the list of verbs, their flags, and what is in the store. The
//! scripts in `assets/completion` ask `wharf __complete WORDS…` with what was typed so far, the last word unfinished.
//!
//! An answer is a line for each candidate, its description after a tab, and at last `:4`, or `:0` where a file may stand.

use clap::{Arg, Args, Command};

use super::output::Out;
use super::report::{Failure, Outcome};
use super::verb::{self, Verb};
use super::{Context, args};
use crate::engine::Engine;
use crate::engine::model::Status;

const BASH: &str = include_str!("../../assets/completion/wharf.bash");
const ZSH: &str = include_str!("../../assets/completion/wharf.zsh");
const FISH: &str = include_str!("../../assets/completion/wharf.fish");

/// What a script asks for candidates by.
pub(super) const WORD: &str = "__complete";

/// `completion`.
pub(super) fn script(_context: &Context, args: &args::Plain) -> Outcome {
    let name = args.operands.first().map_or("", String::as_str);
    let mut out = Out::new();
    match name {
        "bash" => out.line(BASH.trim_end())?,
        "zsh" => out.line(ZSH.trim_end())?,
        "fish" => out.line(FISH.trim_end())?,
        _ => {
            let shell: clap_complete::Shell = name.parse().map_err(|_error: String| {
                Failure::plain(format_args!(
                    "completion: shell {name:?} is not known; use bash, fish, zsh, elvish or powershell"
                ))
            })?;
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut verb::tree(), "wharf", &mut script);
            std::io::Write::write_all(&mut out, &script)?;
        }
    }
    out.finish()?;
    Ok(0)
}

/// Answers a script.
pub(super) fn answer(context: &Context, words: &[String]) -> Outcome {
    let (before, current) = match words.split_last() {
        Some((last, before)) => (before, last.as_str()),
        None => (&[][..], ""),
    };
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    let wanted = wanted(&before, current);
    let mut out = Out::new();
    for (value, about) in candidates(context, &wanted) {
        if value.starts_with(current) {
            let about = about.lines().next().unwrap_or_default();
            out.line(format!("{value}\t{about}"))?;
        }
    }
    out.line(if wanted == Wanted::File { ":0" } else { ":4" })?;
    out.finish()?;
    Ok(0)
}

/// What may stand at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// These words, with what they mean.
    Words(Vec<(String, String)>),
    /// A container in one of these states.
    Container(States),
    Image,
    Volume,
    /// A network of one of these kinds.
    Network(Networks),
    File,
    /// Whatever the user likes.
    Free,
}

/// Which containers a verb is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum States {
    All,
    Live,
    Running,
    Paused,
    AtRest,
}

impl States {
    fn of(verb: &Verb) -> Self {
        match verb.inside.and_then(|(_, names)| names.first().copied()) {
            Some("attach" | "exec" | "pause" | "top") => Self::Running,
            Some("kill" | "stop" | "stats" | "wait") => Self::Live,
            Some("unpause") => Self::Paused,
            Some("start") => Self::AtRest,
            _ => Self::All,
        }
    }

    fn has(self, status: Status) -> bool {
        match self {
            Self::All => true,
            Self::Live => status.is_live(),
            Self::Running => status == Status::Running,
            Self::Paused => status == Status::Paused,
            Self::AtRest => !status.is_live(),
        }
    }
}

/// Which networks a verb is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Networks {
    All,
    /// Those that containers join and leave while they run.
    Joinable,
    /// Those that somebody made.
    Made,
}

impl Networks {
    fn of(verb: &Verb) -> Self {
        match verb.inside.and_then(|(_, names)| names.first().copied()) {
            Some("connect" | "disconnect") => Self::Joinable,
            Some("rm") => Self::Made,
            _ => Self::All,
        }
    }

    fn has(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Joinable => !matches!(name, "host" | "none"),
            Self::Made => !matches!(name, "bridge" | "host" | "none"),
        }
    }
}

/// What is wanted after these words.
fn wanted(before: &[&str], current: &str) -> Wanted {
    let global = args::Global::augment_args(Command::new(""));
    let (operands, open) = operands(&global, before);
    if let Some(flag) = open {
        return value_of(flag.get_id().as_str());
    }
    let Some(start) = operands.first().copied() else {
        return if current.starts_with('-') {
            flags(&global)
        } else {
            verbs()
        };
    };
    let words = before.get(start..).unwrap_or_default();
    let Some((verb, used)) = verb::find(words) else {
        return match words {
            [group] => inside(group),
            _ => Wanted::Free,
        };
    };
    let command = (verb.build)(Command::new(""));
    let rest = words.get(used..).unwrap_or_default();
    let (operands, open) = self::operands(&command, rest);
    if let Some(flag) = open {
        return value_of(flag.get_id().as_str());
    }
    if current.starts_with('-') {
        return flags(&command);
    }
    operand(verb, operands.len())
}

/// Where the operands of a verb are, and the flag whose value comes next. Flags end at the first operand where more than
/// flags may follow (`run IMAGE COMMAND`): that is no matter here.
fn operands<'a>(command: &'a Command, words: &[&str]) -> (Vec<usize>, Option<&'a Arg>) {
    let mut found = Vec::new();
    let mut open = None;
    for (place, word) in words.iter().enumerate() {
        if open.take().is_some() {
            continue;
        }
        let flag = match word.strip_prefix("--") {
            Some(name) if !name.is_empty() => command
                .get_arguments()
                .find(|arg| arg.get_long() == Some(name)),
            Some(_) => None,
            None => word.strip_prefix('-').and_then(|letters| {
                let last = letters.chars().last()?;
                command
                    .get_arguments()
                    .find(|arg| arg.get_short() == Some(last))
            }),
        };
        if !word.starts_with('-') || *word == "-" {
            found.push(place);
        }
        open = flag.filter(|arg| arg.get_action().takes_values());
    }
    (found, open)
}

fn verbs() -> Wanted {
    let tops = verb::VERBS
        .iter()
        .filter_map(|verb| Some((verb.top?.to_owned(), verb.about.to_owned())));
    let groups = verb::groups().map(|(name, about)| (name.to_owned(), about.to_owned()));
    Wanted::Words(tops.chain(groups).collect())
}

fn inside(group: &str) -> Wanted {
    let names = verb::inside(group).into_iter();
    Wanted::Words(
        names
            .map(|(name, about)| (name.to_owned(), about.to_owned()))
            .collect(),
    )
}

fn flags(command: &Command) -> Wanted {
    let about = |arg: &Arg| arg.get_help().map(ToString::to_string).unwrap_or_default();
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let long = shown.filter_map(|arg| Some((format!("--{}", arg.get_long()?), about(arg))));
    let help = ("--help".to_owned(), "Print usage".to_owned());
    Wanted::Words(long.chain([help]).collect())
}

/// What a flag takes; ids of flags are their names with underscores.
fn value_of(flag: &str) -> Wanted {
    let words = |list: &[&str]| {
        let pairs = list.iter().map(|word| ((*word).to_owned(), String::new()));
        Wanted::Words(pairs.collect())
    };
    match flag {
        "volumes_from" => Wanted::Container(States::All),
        "network" | "net" => Wanted::Network(Networks::All),
        "volume" | "mount" | "cidfile" | "env_file" | "label_file" | "input" | "output"
        | "root" | "run_root" | "config" => Wanted::File,
        "restart" => words(&["no", "always", "unless-stopped", "on-failure"]),
        "pull" => words(&["missing", "always", "never"]),
        "log_driver" => words(&["json-file", "local", "none", "journald", "syslog"]),
        "format" => words(&["json", "table"]),
        "signal" | "stop_signal" => words(&["KILL", "TERM", "INT", "HUP", "QUIT", "USR1", "USR2"]),
        _ => Wanted::Free,
    }
}

/// What a verb takes as its next operand: its usage line says so.
fn operand(verb: &Verb, there: usize) -> Wanted {
    let usage = verb.usage;
    let takes_more = usage.contains("...")
        || usage.ends_with("CONTAINER")
        || usage.ends_with("IMAGE IMAGE")
        || there == 0;
    let first = usage.split_whitespace().find(|word| *word != "[OPTIONS]");
    let first = first.unwrap_or_default().trim_matches(['[', ']']);
    if first.starts_with("CONTAINER:") || first.contains("file|") {
        return Wanted::File;
    }
    let many = |kind: Wanted, name: &str| {
        let again = usage.contains(&format!("[{name}...]"));
        if there == 0 || again {
            kind
        } else {
            Wanted::File
        }
    };
    match first {
        _ if !takes_more => Wanted::Free,
        "CONTAINER" => many(Wanted::Container(States::of(verb)), "CONTAINER"),
        "CONTAINER..." => Wanted::Container(States::of(verb)),
        "IMAGE" if usage.ends_with("IMAGE IMAGE") && there < 2 => Wanted::Image,
        "IMAGE" | "SOURCE_IMAGE[:TAG" | "NAME[:TAG" | "REPOSITORY[:TAG" => {
            many(Wanted::Image, "IMAGE")
        }
        "VOLUME" => many(Wanted::Volume, "VOLUME"),
        // One that is made has a new name.
        "NETWORK" if verb.about.starts_with("Create") => Wanted::Free,
        "NETWORK" if there > 0 && usage.ends_with("CONTAINER") => Wanted::Container(States::All),
        "NETWORK" => many(Wanted::Network(Networks::of(verb)), "NETWORK"),
        "NAME|ID" => Wanted::Container(States::All),
        word if word.contains('|') && word.chars().all(|c| c.is_ascii_lowercase() || c == '|') => {
            let words = word.split('|').map(|word| (word.to_owned(), String::new()));
            Wanted::Words(words.collect())
        }
        _ => Wanted::Free,
    }
}

/// Candidates; what cannot be looked at has none, and says nothing in the middle of somebody's line.
fn candidates(context: &Context, wanted: &Wanted) -> Vec<(String, String)> {
    let engine = || Engine::open_in(context.roots.clone(), context.surroundings.clone()).ok();
    match wanted {
        Wanted::Words(words) => words.clone(),
        Wanted::Container(states) => {
            let all = engine().and_then(|engine| engine.containers().ok());
            let fits = all.unwrap_or_default().into_iter();
            fits.filter(|summary| states.has(summary.state.status))
                .map(|summary| {
                    let image = summary.container.config.image.clone();
                    (summary.container.name.clone(), image)
                })
                .collect()
        }
        Wanted::Image => {
            let all = engine().and_then(|engine| engine.images().ok());
            let names = all.unwrap_or_default().into_iter();
            names
                .flat_map(|image| {
                    let id = image.id.short().to_owned();
                    image.tags.into_iter().map(move |tag| (tag, id.clone()))
                })
                .collect()
        }
        Wanted::Volume => {
            let all = engine().and_then(|engine| engine.volumes().ok());
            let named = all.unwrap_or_default().into_iter();
            named.map(|volume| (volume.name, String::new())).collect()
        }
        Wanted::Network(kinds) => {
            let all = engine().and_then(|engine| engine.networks().ok());
            let named = all.unwrap_or_default().into_iter();
            let fits = named.filter(|network| kinds.has(&network.name));
            fits.map(|network| (network.name, String::new())).collect()
        }
        Wanted::File | Wanted::Free => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &Wanted) {
        let mut words: Vec<&str> = line.split(' ').collect();
        let current = words.pop().unwrap();
        assert_eq!(wanted(&words, current), *expected, "{line:?}");
    }

    fn has(line: &str, word: &str) {
        let mut words: Vec<&str> = line.split(' ').collect();
        let current = words.pop().unwrap();
        match wanted(&words, current) {
            Wanted::Words(found) => assert!(found.iter().any(|(w, _)| w == word), "{line:?}"),
            other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn what_may_come_next_is_what_the_verb_says() {
        has("", "run");
        has("", "container");
        has("container ", "prune");
        has("run --", "--name");
        has("container run --", "--rm");
        has("run --restart ", "always");
        has("completion ", "bash");
        has("--", "--root");
        check("start ", &Wanted::Container(States::AtRest));
        check("stop one ", &Wanted::Container(States::Live));
        check("--root /x exec -it ", &Wanted::Container(States::Running));
        check("exec web ", &Wanted::File);
        check("unpause ", &Wanted::Container(States::Paused));
        check("rm -f one tw", &Wanted::Container(States::All));
        check("run --rm -e A=1 ", &Wanted::Image);
        check("run --volumes-from ", &Wanted::Container(States::All));
        check("run --name ", &Wanted::Free);
        check("run -v ", &Wanted::File);
        check("rmi ", &Wanted::Image);
        check("layers ", &Wanted::Image);
        check("layers diff a ", &Wanted::Image);
        check("volume rm ", &Wanted::Volume);
        check("cp ", &Wanted::File);
        check("network rm ", &Wanted::Network(Networks::Made));
        check("network inspect one ", &Wanted::Network(Networks::All));
        check("network connect ", &Wanted::Network(Networks::Joinable));
        check("network create ", &Wanted::Free);
        check("network connect net ", &Wanted::Container(States::All));
        check("run --network ", &Wanted::Network(Networks::All));
        check("nonsense and more ", &Wanted::Free);
    }

    #[test]
    fn every_verb_can_be_completed_after_every_flag_of_its_own() {
        for verb in verb::VERBS {
            let names = verb.names();
            let name = names.first().unwrap().trim_start_matches("wharf ");
            let command = (verb.build)(Command::new(""));
            for arg in command.get_arguments() {
                if let Some(long) = arg.get_long().filter(|_| !arg.is_hide_set()) {
                    has(&format!("{name} --"), &format!("--{long}"));
                    let words: Vec<&str> = name.split(' ').collect();
                    let flag = format!("--{long}");
                    let all: Vec<&str> = words.into_iter().chain([flag.as_str()]).collect();
                    let _ = wanted(&all, "");
                }
            }
        }
    }
}
