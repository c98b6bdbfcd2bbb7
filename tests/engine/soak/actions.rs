//! What a soak does: one command line at a time, drawn by chance, on few names so that processes meet. Who performs and
//! kills is `mod.rs`.

use std::time::Duration;

use super::BUSYBOX;
use crate::registry::random::Random;

/// Tags that are loaded; both images share a layer.
pub(super) const LOADED: &[&str] = &["soak/first:1", "soak/second:1"];
/// A tar of a few files, to copy in.
pub(super) const FILES: &str = "files.tar";

const CONTAINERS: u64 = 14;
const VOLUMES: u64 = 5;
const TAGS: u64 = 5;

/// How long an action may live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It comes to its end.
    Whole,
    /// It is killed after this time.
    Cut(Duration),
}

/// One command line.
#[derive(Debug, Clone)]
pub(super) struct Action {
    pub(super) args: Vec<String>,
    /// A file of the soak.
    pub(super) stdin: Option<&'static str>,
    pub(super) life: Life,
}

/// Draws one.
pub(super) fn choose(random: &mut Random) -> Action {
    let container = |random: &mut Random| format!("c{}", random.below(CONTAINERS));
    let volume = |random: &mut Random| format!("vol{}", random.below(VOLUMES));
    let tag = |random: &mut Random| format!("soak:t{}", random.below(TAGS));
    let image = |random: &mut Random| match random.below(6) {
        0 => tag(random),
        1 => random.of(LOADED).to_owned(),
        _ => BUSYBOX.to_owned(),
    };
    let short = |random: &mut Random| Life::Cut(Duration::from_millis(random.below(400)));
    let number = random.below(100);
    let (c, other, of) = (container(random), container(random), image(random));
    match number {
        0..18 => run(random, &c, &of),
        18..22 => create(random, &c, &of),
        22..29 => plain(&["start", &c]),
        29..33 => plain(&["stop", "-t", random.of(&["0", "1"]), &c]),
        33..36 => plain(&["restart", "-t", "0", &c]),
        36..40 => plain(&["kill", "-s", random.of(&["KILL", "TERM", "HUP"]), &c]),
        40..42 => plain(&["pause", &c]),
        42..45 => plain(&["unpause", &c]),
        45..51 => plain(&["rm", random.of(&["-f", "-fv", "-v"]), &c, &other]),
        51..56 => plain(&["exec", &c, "sh", "-c", "echo said; date > /tmp/date"]),
        56..58 => plain(&["exec", "-d", &c, "sleep", "1000"]),
        58..61 => from(FILES, &["cp", "-", &format!("{c}:/tmp")]),
        61..63 => plain(&["cp", &format!("{c}:/etc/passwd"), "-"]),
        63..65 => plain(&[random.of(&["diff", "export", "top", "logs", "port"]), &c]),
        65..69 => plain(&["commit", &c, &tag(random)]),
        69..71 => plain(&["tag", &of, &tag(random)]),
        71..74 => plain(&["rmi", random.of(&["-f", "--no-prune=false"]), &tag(random)]),
        74 => plain(&["rmi", "-f", random.of(LOADED)]),
        75..77 => load(random),
        77 => plain(&["save", &of]),
        78..80 => plain(&["volume", "create", &volume(random)]),
        80..82 => plain(&["volume", "rm", &volume(random)]),
        82..85 => plain(&["rename", &c, &other]),
        85..87 => plain(&["update", "--memory", random.of(&["32m", "64m"]), &c]),
        87 => plain(&["update", "--restart", random.of(&["no", "always"]), &c]),
        88 => plain(&["container", "prune", "-f"]),
        89 => plain(&["image", "prune", "-f"]),
        90 => plain(&[
            "volume",
            "prune",
            "-f",
            random.of(&["--all", "--all=false"]),
        ]),
        91 => plain(&[
            "system",
            "prune",
            "-f",
            random.of(&["--volumes", "--volumes=false"]),
        ]),
        92 => plain(&["system", "df", "-v"]),
        93..95 => plain(&["ps", random.of(&["-a", "-as"])]),
        95 => plain(&["inspect", "-s", &c]),
        96 => plain(&[random.of(&["images", "info"])]),
        97 => cut(&["wait", &c], short(random)),
        98 => cut(&[random.of(&["attach", "stats"]), &c], short(random)),
        _ => cut(&["logs", "-f", &c], short(random)),
    }
}

/// `run` in the foreground or not, with a command that stays, ends or fails.
fn run(random: &mut Random, name: &str, image: &str) -> Action {
    let mut args = vec!["run"];
    let stays: &[&str] = &["sleep", "1000"];
    let ends: &[&[&str]] = &[
        &["true"],
        &["sh", "-c", "echo out; echo err >&2; exit 3"],
        &["sh", "-c", "dd if=/dev/zero of=/tmp/file bs=1k count=64"],
    ];
    let ends = random.of(ends);
    let command = match random.below(8) {
        0 => {
            args.push("--rm");
            ends
        }
        1 => ends,
        2 => {
            args.push("-d");
            args.extend(["--restart", random.of(&["on-failure:2", "always"])]);
            ends
        }
        3 | 4 => {
            args.extend(["-d", "--rm"]);
            if random.below(2) == 0 { ends } else { stays }
        }
        _ => {
            args.push("-d");
            args.extend([
                "--restart",
                random.of(&["no", "no", "always", "unless-stopped"]),
            ]);
            stays
        }
    };
    with_options(random, &args, name, image, command)
}

fn create(random: &mut Random, name: &str, image: &str) -> Action {
    with_options(random, &["create"], name, image, &["sleep", "1000"])
}

/// Options that have something to clear away, or to refer to.
fn with_options(
    random: &mut Random,
    verb: &[&str],
    name: &str,
    image: &str,
    command: &[&str],
) -> Action {
    let mut action = plain(verb);
    let mut add = |words: &[&str]| {
        action
            .args
            .extend(words.iter().map(|word| (*word).to_owned()));
    };
    add(&["--network", "none", "--pull", "never"]);
    if random.below(8) > 0 {
        add(&["--name", name]);
    }
    for _ in 0..random.below(4) {
        let volume = format!("vol{}:/vol", random.below(VOLUMES));
        let another = format!("c{}", random.below(CONTAINERS));
        let joined = format!("container:{another}");
        let mounted = format!("type=image,source={},target=/image", random.of(LOADED));
        match random.below(14) {
            0 | 1 => add(&["-v", &volume]),
            2 | 3 => add(&["-v", "/anonymous"]),
            4 => add(&["--volumes-from", &another]),
            5 => add(&["--mount", &mounted]),
            6 => add(&["--tmpfs", "/scratch"]),
            7 => add(&["--memory", "64m", "--pids-limit", "50"]),
            8 => add(&["--init"]),
            9 => add(&["--health-cmd", "true", "--health-interval", "100ms"]),
            10 => add(&["--log-driver", random.of(&["local", "none"])]),
            11 => add(&["--log-opt", "max-size=1k", "--log-opt", "max-file=2"]),
            12 => add(&["--pid", &joined]),
            _ => add(&["--label", "soak=yes"]),
        }
    }
    add(&[image]);
    add(command);
    action
}

fn load(random: &mut Random) -> Action {
    from(
        random.of(&["0.tar", "1.tar", "busybox.tar"]),
        &["load", "-q"],
    )
}

fn plain(args: &[&str]) -> Action {
    Action {
        args: args.iter().map(|word| (*word).to_owned()).collect(),
        stdin: None,
        life: Life::Whole,
    }
}

fn cut(args: &[&str], life: Life) -> Action {
    Action {
        life,
        ..plain(args)
    }
}

fn from(file: &'static str, args: &[&str]) -> Action {
    Action {
        stdin: Some(file),
        ..plain(args)
    }
}
