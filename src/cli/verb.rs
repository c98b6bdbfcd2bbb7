//! The list of verbs: name, operands, flags and the function that does it. Dispatch, help pages, suggestions and shell
//! completion are all read from it.

use std::fmt::Write as _;

use clap::{ArgMatches, Args, Command};

use super::missing::{self, Flag};
use super::parse::Arity;
use super::report::Outcome;
use super::{
    Context, args, boot, complete, container, cp, demo, disk, dive, files, image, layers, login,
    man, manifest, network, oci, prune, published, registry, run, search, stats, system, top,
    typed, update, volume,
};

/// One verb.
#[derive(Debug, Clone, Copy)]
pub struct Verb {
    /// Its management command, `container` or `image` or `system`, and its names there, the first being the usual.
    pub inside: Option<(&'static str, &'static [&'static str])>,
    /// Its name without a management command.
    pub top: Option<&'static str>,
    /// What follows the name.
    pub usage: &'static str,
    /// How many operands.
    pub arity: Arity,
    /// One line.
    pub about: &'static str,
    /// Adds its flags.
    pub build: fn(Command) -> Command,
    /// Flags that are parsed and refused.
    pub missing: &'static [Flag],
    /// Does it.
    pub run: fn(&Context, &mut ArgMatches) -> Outcome,
}

impl Verb {
    /// All its names, for the help page.
    pub fn names(&self) -> Vec<String> {
        let inside = self
            .inside
            .iter()
            .flat_map(|(group, names)| names.iter().map(move |n| format!("wharf {group} {n}")));
        let top = self.top.iter().map(|name| format!("wharf {name}"));
        inside.chain(top).collect()
    }
}

/// Management commands with their help line.
const GROUPS: &[(&str, &str)] = &[
    ("container", "Manage containers"),
    ("image", "Manage images"),
    ("manifest", "Manage image manifests and manifest lists"),
    ("network", "Manage networks"),
    ("system", "Manage wharf"),
    ("volume", "Manage volumes"),
];

/// An entry of the list; flags and function come from one args type.
macro_rules! verb {
    ($inside:expr, $top:expr, $usage:literal, $arity:expr, $args:ty, $missing:expr, $run:path, $about:literal) => {
        Verb {
            inside: $inside,
            top: $top,
            usage: $usage,
            arity: $arity,
            about: $about,
            build: <$args as Args>::augment_args,
            missing: $missing,
            run: |context, matches| $run(context, &typed::<$args>(matches)),
        }
    };
}

const NONE: &[Flag] = &[];
const FEW: &str = "container";

/// Every verb, in the order of the help page.
#[rustfmt::skip]
pub const VERBS: &[Verb] = &[
    verb!(Some((FEW, &["run"])), Some("run"), "[OPTIONS] IMAGE [COMMAND] [ARG...]", Arity::AtLeast(1), args::Run, missing::CREATE, run::run, "Create and run a new container from an image"),
    verb!(Some((FEW, &["exec"])), Some("exec"), "[OPTIONS] CONTAINER COMMAND [ARG...]", Arity::AtLeast(2), args::Exec, NONE, run::exec, "Execute a command in a running container"),
    verb!(Some((FEW, &["ls", "list", "ps"])), Some("ps"), "[OPTIONS]", Arity::None, args::Ps, NONE, container::ps, "List containers"),
    verb!(Some(("image", &["pull"])), Some("pull"), "[OPTIONS] NAME[:TAG|@DIGEST]", Arity::Exactly(1), args::Pull, missing::TRUST, registry::pull, "Download an image from a registry"),
    verb!(Some(("image", &["push"])), Some("push"), "[OPTIONS] NAME[:TAG]", Arity::Exactly(1), args::Push, missing::TRUST, registry::push, "Upload an image to a registry"),
    verb!(Some(("image", &["ls", "list"])), Some("images"), "[OPTIONS] [REPOSITORY[:TAG]]", Arity::AtMost(1), args::Images, NONE, image::images, "List images"),
    verb!(None, Some("version"), "[OPTIONS]", Arity::None, args::Formatted, NONE, system::version, "Show the wharf version information"),
    verb!(Some(("system", &["info"])), Some("info"), "[OPTIONS]", Arity::None, args::Formatted, NONE, system::info, "Display system-wide information"),
    verb!(None, Some("demo"), "[OPTIONS]", Arity::None, args::Demo, NONE, demo::demo, "Start a set of example containers and look at them"),
    verb!(Some((FEW, &["attach"])), Some("attach"), "[OPTIONS] CONTAINER", Arity::Exactly(1), args::Attach, NONE, run::attach, "Attach local standard input, output, and error streams to a running container"),
    verb!(Some(("system", &["boot"])), None, "[OPTIONS]", Arity::None, args::Boot, NONE, boot::boot, "Start the containers that are to run after the host's start"),
    verb!(Some((FEW, &["commit"])), Some("commit"), "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]", Arity::Between(1, 2), args::Commit, NONE, files::commit, "Create a new image from a container's changes"),
    verb!(None, Some("completion"), "bash|fish|zsh|elvish|powershell", Arity::Exactly(1), args::Plain, NONE, complete::script, "Print the completion script of a shell"),
    verb!(Some((FEW, &["cp"])), Some("cp"), "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\twharf cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH", Arity::Exactly(2), args::Cp, NONE, cp::cp, "Copy files/folders between a container and the local filesystem"),
    verb!(Some((FEW, &["create"])), Some("create"), "[OPTIONS] IMAGE [COMMAND] [ARG...]", Arity::AtLeast(1), args::Create, missing::CREATE, run::create, "Create a new container"),
    verb!(Some((FEW, &["diff"])), Some("diff"), "CONTAINER", Arity::Exactly(1), args::Plain, NONE, files::diff, "Inspect changes to files or directories on a container's filesystem"),
    verb!(Some(("system", &["events"])), Some("events"), "[OPTIONS]", Arity::None, args::Events, NONE, system::events, "Get real time events from the engine"),
    verb!(Some((FEW, &["export"])), Some("export"), "[OPTIONS] CONTAINER", Arity::Exactly(1), args::Export, NONE, files::export, "Export a container's filesystem as a tar archive"),
    verb!(Some(("image", &["history"])), Some("history"), "[OPTIONS] IMAGE", Arity::Exactly(1), args::History, NONE, image::history, "Show the history of an image"),
    verb!(Some(("image", &["import"])), Some("import"), "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]", Arity::Between(1, 2), args::Import, NONE, image::import, "Import the contents from a tarball to create a filesystem image"),
    verb!(None, Some("inspect"), "[OPTIONS] NAME|ID [NAME|ID...]", Arity::AtLeast(1), args::Inspect, NONE, system::inspect, "Return low-level information on containers and images"),
    verb!(Some((FEW, &["inspect"])), None, "[OPTIONS] CONTAINER [CONTAINER...]", Arity::AtLeast(1), args::Inspect, NONE, container::inspect, "Display detailed information on one or more containers"),
    verb!(Some(("image", &["inspect"])), None, "[OPTIONS] IMAGE [IMAGE...]", Arity::AtLeast(1), args::InspectImage, NONE, image::inspect, "Display detailed information on one or more images"),
    verb!(Some((FEW, &["kill"])), Some("kill"), "[OPTIONS] CONTAINER [CONTAINER...]", Arity::AtLeast(1), args::Kill, NONE, container::kill, "Kill one or more running containers"),
    verb!(Some(("image", &["layers"])), Some("layers"), "[OPTIONS] IMAGE", Arity::Exactly(1), args::Layers, NONE, layers::layers, "Show what each layer of an image weighs and what of it nobody sees"),
    verb!(None, Some("dive"), "[OPTIONS] IMAGE", Arity::Exactly(1), args::Dive, NONE, dive::dive, "Report an image's layers with dive's flags, figures and rules"),
    verb!(Some(("layers", &["diff"])), None, "[OPTIONS] IMAGE IMAGE", Arity::Exactly(2), args::LayersDiff, NONE, layers::diff::diff, "Show what an image has otherwise than another one"),
    verb!(Some(("layers", &["findings"])), None, "[OPTIONS] IMAGE", Arity::Exactly(1), args::LayersFindings, NONE, layers::findings::findings, "Show secrets, rights and what else should be known of an image before it ships"),
    verb!(Some(("layers", &["shared"])), None, "[OPTIONS]", Arity::None, args::LayersShared, NONE, layers::shared::shared, "Show which images share which layers, and what removing each would give back"),
    verb!(Some(("layers", &["squash"])), None, "[OPTIONS] IMAGE", Arity::Exactly(1), args::LayersSquash, NONE, layers::squash::squash, "Make an image whose layers are one, without what nobody sees of them"),
    verb!(Some(("image", &["load"])), Some("load"), "[OPTIONS]", Arity::None, args::Load, NONE, image::load, "Load an image from a tar archive or STDIN"),
    verb!(None, Some("login"), "[OPTIONS] [SERVER]", Arity::AtMost(1), args::Login, NONE, login::login, "Authenticate to a registry"),
    verb!(None, Some("logout"), "[SERVER]", Arity::AtMost(1), args::Plain, NONE, login::logout, "Log out from a registry"),
    verb!(Some((FEW, &["logs"])), Some("logs"), "[OPTIONS] CONTAINER", Arity::Exactly(1), args::Logs, NONE, container::logs, "Fetch the logs of a container"),
    verb!(Some(("image", &["prune"])), None, "[OPTIONS]", Arity::None, args::Prune, NONE, prune::images, "Remove unused images"),
    verb!(Some(("system", &["check"])), None, "[OPTIONS]", Arity::None, args::Check, NONE, disk::check, "Verify everything that is stored, and repair it"),
    verb!(Some(("system", &["df"])), None, "[OPTIONS]", Arity::None, args::Df, NONE, disk::df, "Show disk usage"),
    verb!(Some(("system", &["man"])), None, "DIRECTORY", Arity::Exactly(1), args::Plain, NONE, man::write, "Write the manual pages into a directory"),
    verb!(Some(("system", &["prune"])), None, "[OPTIONS]", Arity::None, args::PruneSystem, NONE, prune::system, "Remove unused data"),
    verb!(Some(("manifest", &["annotate"])), None, "[OPTIONS] MANIFEST_LIST MANIFEST", Arity::Exactly(2), args::ManifestAnnotate, NONE, manifest::annotate, "Add additional information to a local image manifest"),
    verb!(Some(("manifest", &["create"])), None, "[OPTIONS] MANIFEST_LIST MANIFEST [MANIFEST...]", Arity::AtLeast(2), args::ManifestCreate, NONE, manifest::create, "Create a local manifest list for annotating and pushing to a registry"),
    verb!(Some(("manifest", &["inspect"])), None, "[OPTIONS] [MANIFEST_LIST] MANIFEST", Arity::Between(1, 2), args::ManifestInspect, NONE, manifest::inspect, "Display an image manifest, or manifest list"),
    verb!(Some(("manifest", &["push"])), None, "[OPTIONS] MANIFEST_LIST", Arity::Exactly(1), args::ManifestPush, NONE, manifest::push, "Push a manifest list to a repository"),
    verb!(Some(("manifest", &["rm"])), None, "MANIFEST_LIST [MANIFEST_LIST...]", Arity::AtLeast(1), args::Plain, NONE, manifest::rm, "Delete one or more manifest lists from local storage"),
    verb!(Some(("network", &["connect"])), None, "[OPTIONS] NETWORK CONTAINER", Arity::Exactly(2), args::Connect, NONE, network::connect, "Connect a container to a network"),
    verb!(Some(("network", &["create"])), None, "[OPTIONS] NETWORK", Arity::Exactly(1), args::CreateNetwork, NONE, network::create, "Create a network"),
    verb!(Some(("network", &["disconnect"])), None, "[OPTIONS] NETWORK CONTAINER", Arity::Exactly(2), args::Disconnect, NONE, network::disconnect, "Disconnect a container from a network"),
    verb!(Some(("network", &["inspect"])), None, "[OPTIONS] NETWORK [NETWORK...]", Arity::AtLeast(1), args::InspectNetwork, NONE, network::inspect, "Display detailed information on one or more networks"),
    verb!(Some(("network", &["ls", "list"])), None, "[OPTIONS]", Arity::None, args::LsNetworks, NONE, network::ls, "List networks"),
    verb!(Some(("network", &["prune"])), None, "[OPTIONS]", Arity::None, args::PruneNetworks, NONE, prune::networks, "Remove all unused networks"),
    verb!(Some(("network", &["repair"])), None, "", Arity::None, args::Plain, NONE, network::repair, "Make bridges and firewall rules again where something is missing"),
    verb!(Some(("network", &["rm", "remove"])), None, "NETWORK [NETWORK...]", Arity::AtLeast(1), args::RmNetworks, NONE, network::rm, "Remove one or more networks"),
    verb!(Some((FEW, &["pause"])), Some("pause"), "CONTAINER [CONTAINER...]", Arity::AtLeast(1), args::Plain, NONE, container::pause, "Pause all processes within one or more containers"),
    verb!(Some((FEW, &["port"])), Some("port"), "CONTAINER [PRIVATE_PORT[/PROTO]]", Arity::Between(1, 2), args::Plain, NONE, published::port, "List port mappings or a specific mapping for the container"),
    verb!(Some((FEW, &["prune"])), None, "[OPTIONS]", Arity::None, args::PruneContainers, NONE, prune::containers, "Remove all stopped containers"),
    verb!(Some(("image", &["referrers"])), None, "[OPTIONS] NAME[:TAG|@DIGEST]", Arity::Exactly(1), args::Referrers, NONE, registry::referrers, "List what refers to an image in its registry: signatures, SBOMs"),
    verb!(Some((FEW, &["rename"])), Some("rename"), "CONTAINER NEW_NAME", Arity::Exactly(2), args::Plain, NONE, container::rename, "Rename a container"),
    verb!(Some((FEW, &["restart"])), Some("restart"), "[OPTIONS] CONTAINER [CONTAINER...]", Arity::AtLeast(1), args::Stop, NONE, container::restart, "Restart one or more containers"),
    verb!(Some((FEW, &["rm", "remove"])), Some("rm"), "[OPTIONS] CONTAINER [CONTAINER...]", Arity::AtLeast(1), args::Rm, NONE, container::rm, "Remove one or more containers"),
    verb!(Some(("image", &["rm", "remove"])), Some("rmi"), "[OPTIONS] IMAGE [IMAGE...]", Arity::AtLeast(1), args::Rmi, missing::RMI, image::rmi, "Remove one or more images"),
    verb!(Some(("image", &["save"])), Some("save"), "[OPTIONS] IMAGE [IMAGE...]", Arity::AtLeast(1), args::Save, NONE, image::save, "Save one or more images to a tar archive (streamed to STDOUT by default)"),
    verb!(None, Some("search"), "[OPTIONS] TERM", Arity::Exactly(1), args::Search, NONE, search::search, "Search Docker Hub for images"),
    verb!(Some(("system", &["shutdown"])), None, "", Arity::None, args::Plain, NONE, boot::shutdown, "Stop all containers until the host's next start"),
    verb!(Some((FEW, &["start"])), Some("start"), "[OPTIONS] CONTAINER [CONTAINER...]", Arity::AtLeast(1), args::Start, missing::START, run::start, "Start one or more stopped containers"),
    verb!(Some((FEW, &["stats"])), Some("stats"), "[OPTIONS] [CONTAINER...]", Arity::AtLeast(0), args::Stats, NONE, stats::stats, "Display a live stream of container(s) resource usage statistics"),
    verb!(Some((FEW, &["stop"])), Some("stop"), "[OPTIONS] CONTAINER [CONTAINER...]", Arity::AtLeast(1), args::Stop, NONE, container::stop, "Stop one or more running containers"),
    verb!(Some(("image", &["tag"])), Some("tag"), "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", Arity::Exactly(2), args::Plain, NONE, image::tag, "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"),
    verb!(Some((FEW, &["top"])), Some("top"), "CONTAINER [ps OPTIONS]", Arity::AtLeast(1), args::Top, NONE, top::top, "Display the running processes of a container"),
    verb!(Some((FEW, &["unpause"])), Some("unpause"), "CONTAINER [CONTAINER...]", Arity::AtLeast(1), args::Plain, NONE, container::unpause, "Unpause all processes within one or more containers"),
    verb!(Some(("volume", &["create"])), None, "[OPTIONS] [VOLUME]", Arity::AtMost(1), args::CreateVolume, missing::VOLUME, volume::create, "Create a volume"),
    verb!(Some(("volume", &["inspect"])), None, "[OPTIONS] VOLUME [VOLUME...]", Arity::AtLeast(1), args::Formatted, NONE, volume::inspect, "Display detailed information on one or more volumes"),
    verb!(Some(("volume", &["ls", "list"])), None, "[OPTIONS]", Arity::None, args::LsVolumes, missing::VOLUMES, volume::ls, "List volumes"),
    verb!(Some(("volume", &["prune"])), None, "[OPTIONS]", Arity::None, args::PruneVolumes, NONE, prune::volumes, "Remove unused local volumes"),
    verb!(Some(("volume", &["rm", "remove"])), None, "[OPTIONS] VOLUME [VOLUME...]", Arity::AtLeast(1), args::RmVolumes, NONE, volume::rm, "Remove one or more volumes"),
    verb!(Some((FEW, &["update"])), Some("update"), "[OPTIONS] CONTAINER [CONTAINER...]", Arity::AtLeast(1), args::Update, NONE, update::update, "Update configuration of one or more containers"),
    verb!(Some((FEW, &["wait"])), Some("wait"), "CONTAINER [CONTAINER...]", Arity::AtLeast(1), args::Plain, NONE, container::wait, "Block until one or more containers stop, then print their exit codes"),
];

/// Verbs that the help page names first.
const COMMON: &[&str] = &[
    "run", "exec", "ps", "pull", "push", "images", "version", "info", "demo",
];

/// The verb that these words begin with, and how many of them name it.
pub fn find(words: &[&str]) -> Option<(&'static Verb, usize)> {
    let first = *words.first()?;
    // `layers` is a verb, and there are verbs inside of it: those go first.
    let inside = words.get(1).and_then(|second| {
        VERBS.iter().find(|verb| {
            verb.inside
                .is_some_and(|(group, names)| group == first && names.contains(second))
        })
    });
    let top = || VERBS.iter().find(|verb| verb.top == Some(first));
    inside
        .map(|verb| (verb, 2))
        .or_else(|| top().map(|verb| (verb, 1)))
}

/// Management commands with their help line.
pub fn groups() -> impl Iterator<Item = (&'static str, &'static str)> {
    GROUPS.iter().copied()
}

/// What else may follow a verb: the verbs inside of it, with their help lines.
pub fn inside(name: &str) -> Vec<(&'static str, &'static str)> {
    let row = |verb: &'static Verb| match verb.inside {
        Some((group, names)) if group == name => Some((*names.first()?, verb.about)),
        _ => None,
    };
    VERBS.iter().filter_map(row).collect()
}

/// The same as a part of the verb's help page; empty if there are none.
pub fn inside_page(name: &str) -> String {
    let rows = inside(name);
    if rows.is_empty() {
        return String::new();
    }
    format!("\n\nCommands:\n{}", table(&rows))
}

/// A management command's help line.
pub fn group(name: &str) -> Option<&'static str> {
    GROUPS
        .iter()
        .find(|(group, _)| *group == name)
        .map(|(_, about)| *about)
}

/// A management command's help page.
pub fn group_page(name: &str) -> String {
    let about = group(name).unwrap_or_default();
    let mut rows = inside(name);
    rows.sort_unstable();
    format!(
        "Usage:  wharf {name} COMMAND\n\n{about}\n\nCommands:\n{}\nRun 'wharf {name} COMMAND --help' for more information on a command.\n",
        table(&rows)
    )
}

/// The lists of commands on the main help page.
pub fn overview() -> String {
    let row = |verb: &Verb| verb.top.map(|name| (name, verb.about));
    let common: Vec<_> = COMMON
        .iter()
        .filter_map(|name| find(&[name]).and_then(|(verb, _)| row(verb)))
        .collect();
    let mut others: Vec<_> = VERBS
        .iter()
        .filter_map(row)
        .filter(|(name, _)| !COMMON.contains(name))
        .chain([("oci", oci::ABOUT)])
        .collect();
    others.sort_unstable();
    format!(
        "\nCommon Commands:\n{}\nManagement Commands:\n{}\nCommands:\n{}",
        table(&common),
        table(GROUPS),
        table(&others)
    )
}

fn table(rows: &[(&str, &str)]) -> String {
    rows.iter().fold(String::new(), |mut text, (name, about)| {
        let _ = writeln!(text, "  {name:11} {about}");
        text
    })
}

/// The verb that was probably meant: within two edits of what was typed.
pub fn nearest(typed: &str) -> Option<&'static str> {
    VERBS
        .iter()
        .filter_map(|verb| verb.top)
        .chain(GROUPS.iter().map(|(name, _)| *name))
        .map(|name| (distance(typed, name), name))
        .filter(|(edits, name)| *edits <= 2 && *edits < name.len())
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (n, a) in left.chars().enumerate() {
        let mut next = vec![n + 1];
        for (m, b) in right.iter().enumerate() {
            let at = |row: &[usize], m: usize| row.get(m).copied().unwrap_or(usize::MAX - 1);
            let cost = usize::from(a != *b);
            next.push(
                (at(&row, m) + cost)
                    .min(at(&row, m + 1) + 1)
                    .min(at(&next, m) + 1),
            );
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// The whole tree as clap sees it: for completion scripts, never for parsing.
pub fn tree() -> Command {
    let leaf = |verb: &Verb, name: &'static str| {
        let command = missing::accept(
            (verb.build)(Command::new(name).about(verb.about)),
            verb.missing,
        );
        command.disable_help_flag(true)
    };
    let leaves = |group: &'static str| {
        VERBS.iter().filter_map(move |verb| match verb.inside {
            Some((inside, names)) if inside == group => Some(leaf(verb, names.first()?)),
            _ => None,
        })
    };
    let tops = VERBS
        .iter()
        .filter_map(|verb| Some(leaf(verb, verb.top?).subcommands(leaves(verb.top?))));
    let groups = GROUPS.iter().map(|(group, about)| {
        Command::new(*group)
            .about(*about)
            .subcommands(leaves(group))
    });
    let global = args::Global::augment_args(Command::new(""));
    Command::new("wharf")
        .about("A container workstation")
        .args(global.get_arguments().filter(|arg| !arg.is_positional()))
        .subcommands(tops)
        .subcommands(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_is_found_under_all_its_names() {
        for (words, used, about) in [
            (
                &["run", "x"][..],
                1,
                "Create and run a new container from an image",
            ),
            (
                &["container", "run"],
                2,
                "Create and run a new container from an image",
            ),
            (&["container", "remove"], 2, "Remove one or more containers"),
            (&["image", "rm"], 2, "Remove one or more images"),
            (&["rmi"], 1, "Remove one or more images"),
            (
                &["layers", "diff", "a", "b"],
                2,
                "Show what an image has otherwise than another one",
            ),
            (
                &["layers", "diff:1"],
                1,
                "Show what each layer of an image weighs and what of it nobody sees",
            ),
        ] {
            let (verb, n) = find(words).unwrap();
            assert_eq!((n, verb.about), (used, about), "{words:?}");
        }
        assert!(find(&["container"]).is_none());
        assert!(find(&["image", "ps"]).is_none());
    }

    #[test]
    fn no_verb_is_both_there_and_missing() {
        for name in missing::VERBS {
            let words: Vec<&str> = name.split(' ').collect();
            assert!(find(&words).is_none(), "{name}");
        }
    }

    #[test]
    fn no_flag_is_both_there_and_missing() {
        for verb in VERBS {
            // clap's own check: it panics on two flags of one name.
            missing::accept((verb.build)(Command::new("x")), verb.missing)
                .disable_help_flag(true)
                .build();
        }
    }

    #[test]
    fn a_typing_error_is_met_with_a_suggestion() {
        assert_eq!(nearest("psx"), Some("ps"));
        assert_eq!(nearest("imgaes"), Some("images"));
        assert_eq!(nearest("zzzzzz"), None);
    }
}
