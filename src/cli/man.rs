//! Manual pages: one for the program, one for each group of commands and one for each verb, from the list of verbs and the
//! flags that read the command line. What is in a page that is not in the help is here.

use std::collections::BTreeMap;
use std::path::Path;

use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::report::{Failure, Outcome};
use super::verb::{self, Verb};
use super::{Context, VERSION, args, oci};
use crate::engine::Error;

const MANUAL: &str = "wharf";

/// Variables that wharf reads, for wharf(1).
const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "DOCKER_CONFIG",
        "The directory of config.json, with what logins left there (default ~/.docker).",
    ),
    (
        "HTTP_PROXY, HTTPS_PROXY, NO_PROXY",
        "Ways to registries; in small letters, too.",
    ),
    (
        "NO_COLOR",
        "The workstation and progress bars without colours.",
    ),
    (
        "WHARF_CONFIG_DIR",
        "The administrator's files (default /etc/wharf).",
    ),
    ("WHARF_LOG_FILE", "As --log-file."),
    ("WHARF_ROOT", "As --root."),
    ("WHARF_RUN_ROOT", "As --run-root."),
    ("WHARF_THEME", "The workstation's colours."),
];

/// Where things are, for wharf(1).
const FILES: &[(&str, &str)] = &[
    (
        "/var/lib/wharf",
        "Images, containers, volumes, networks: what outlives the host's restart.",
    ),
    ("/run/wharf", "What is known of that which runs."),
    ("/etc/wharf", "What the administrator says of registries."),
    ("~/.docker/config.json", "Who the user is to registries."),
];

/// Codes that a command's own do not explain, for verbs that run one.
const CODES: &[(&str, &str)] = &[
    ("125", "wharf could not do what was asked for."),
    ("126", "The command is there and cannot be run."),
    ("127", "The command is not there."),
    ("128 + n", "The command was ended by signal n."),
    ("another", "The command's own."),
];

/// Verbs whose exit code is a command's.
const RUNNERS: &[&str] = &["run", "exec", "start", "attach"];

/// `system man`: writes the pages into a directory, which is made if it is not there.
pub(super) fn write(_context: &Context, args: &args::Plain) -> Outcome {
    let dir = args.operands.first().map_or("", String::as_str);
    let dir = Path::new(dir);
    let failed = |what: &str, path: &Path, error| {
        Failure::from(Error::io(format!("{what} {}", path.display()), error))
    };
    std::fs::create_dir_all(dir).map_err(|error| failed("make directory", dir, error))?;
    for (name, text) in pages()? {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|error| failed("write", &path, error))?;
    }
    Ok(0)
}

/// All pages by the names of their files.
fn pages() -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let mut pages = BTreeMap::new();
    pages.insert(file("wharf"), program()?);
    pages.insert(file("wharf-oci"), runtime()?);
    for (name, about) in verb::groups() {
        pages.insert(file(&format!("wharf-{name}")), group(name, about)?);
    }
    for verb in verb::VERBS {
        let names = verb.names();
        let Some(usual) = usual(verb) else { continue };
        for name in names.iter().map(|name| page(name)) {
            // Another name of the same: soelim(1).
            let text = if name == usual {
                of_verb(verb)?
            } else {
                format!(".so man1/{}\n", file(&usual)).into_bytes()
            };
            pages.insert(file(&name), text);
        }
    }
    Ok(pages)
}

fn file(page: &str) -> String {
    format!("{page}.1")
}

/// `wharf container run` is told in wharf-container-run(1).
fn page(name: &str) -> String {
    name.replace(' ', "-")
}

/// The page that a verb is told in: that of its short name, if it has one.
fn usual(verb: &Verb) -> Option<String> {
    let names = verb.names();
    let short = verb.top.map(|name| format!("wharf-{name}"));
    short.or_else(|| names.first().map(|name| page(name)))
}

fn program() -> std::io::Result<Vec<u8>> {
    let command = args::Global::augment_args(Command::new(""))
        .about("a container workstation")
        .long_about(
            "Containers, images, volumes and networks with Docker's commands and flags, and without a daemon. \
             Without a command: a workstation that fills the terminal.",
        );
    let mut page = Page::new("wharf", command, "wharf [OPTIONS] COMMAND [ARG...]")?;
    let verbs = verb::VERBS.iter().filter(|verb| verb.top.is_some());
    let rows = verbs.filter_map(|verb| Some((format!("{}(1)", usual(verb)?), verb.about)));
    let groups = verb::groups().map(|(name, about)| (format!("wharf-{name}(1)"), about));
    page.list(
        "COMMANDS",
        sorted(rows.chain([("wharf-oci(1)".to_owned(), oci::ABOUT)])),
    );
    page.list("GROUPS OF COMMANDS", sorted(groups));
    page.list("ENVIRONMENT", ENVIRONMENT.iter().copied());
    page.list("FILES", FILES.iter().copied());
    page.see(&["docker(1)".to_owned(), "podman(1)".to_owned()]);
    page.finish()
}

fn group(name: &str, about: &'static str) -> std::io::Result<Vec<u8>> {
    let command = Command::new("").about(about);
    let usage = format!("wharf {name} COMMAND [ARG...]");
    let mut page = Page::new(&format!("wharf {name}"), command, &usage)?;
    let inside = verb::VERBS.iter().filter_map(|verb| match verb.inside {
        Some((group, names)) if group == name => {
            Some((format!("wharf-{name}-{}(1)", names.first()?), verb.about))
        }
        _ => None,
    });
    page.list("COMMANDS", sorted(inside));
    page.see(&["wharf(1)".to_owned()]);
    page.finish()
}

/// `wharf oci` has a grammar of its own and tells its flags itself.
fn runtime() -> std::io::Result<Vec<u8>> {
    let command = Command::new("").about(oci::ABOUT).long_about(
        "A runtime of the Open Container Initiative, for other engines. `wharf oci COMMAND --help' tells a command's flags.",
    );
    let mut page = Page::new("wharf oci", command, "wharf oci [OPTIONS] COMMAND [ARG...]")?;
    page.list(
        "COMMANDS",
        oci::commands().map(|(name, about)| (name.to_owned(), about)),
    );
    page.see(&[
        "wharf(1)".to_owned(),
        "runc(8)".to_owned(),
        "crun(1)".to_owned(),
    ]);
    page.finish()
}

fn of_verb(verb: &Verb) -> std::io::Result<Vec<u8>> {
    let names = verb.names();
    let name = names.last().map_or("", String::as_str);
    let command = (verb.build)(Command::new("")).about(verb.about);
    let usage = format!("{name} {}", verb.usage);
    let mut page = Page::new(name, command, &usage)?;
    if names.len() > 1 {
        page.section("OTHER NAMES");
        page.roff.text([roman(names.join(", "))]);
    }
    if verb.top.is_some_and(|top| RUNNERS.contains(&top)) {
        page.list("EXIT STATUS", CODES.iter().copied());
    }
    let group = verb.inside.map(|(group, _)| format!("wharf-{group}(1)"));
    page.see(
        &["wharf(1)".to_owned()]
            .into_iter()
            .chain(group)
            .collect::<Vec<_>>(),
    );
    page.finish()
}

fn sorted<'a>(
    rows: impl Iterator<Item = (String, &'a str)>,
) -> impl Iterator<Item = (String, &'a str)> {
    rows.collect::<BTreeMap<_, _>>().into_iter()
}

/// A page that is being written.
struct Page {
    text: Vec<u8>,
    roff: Roff,
}

impl Page {
    /// Title, name, synopsis, description, and options if there are any.
    fn new(called: &str, command: Command, usage: &str) -> std::io::Result<Self> {
        let title = page(called);
        let command = command
            .display_name(title.clone())
            .bin_name(called)
            .override_usage(usage.to_owned())
            .disable_help_flag(true)
            .disable_version_flag(true)
            .mut_args(|arg| {
                let hidden = arg.is_hide_set() || arg.is_positional();
                arg.hide(hidden)
            });
        let has_options = command.get_arguments().any(|arg| !arg.is_hide_set());
        let man = Man::new(command)
            .title(title.to_uppercase())
            .source(format!("wharf {VERSION}"))
            .manual(MANUAL);
        let mut text = Vec::new();
        man.render_title(&mut text)?;
        man.render_name_section(&mut text)?;
        man.render_synopsis_section(&mut text)?;
        man.render_description_section(&mut text)?;
        if has_options {
            man.render_options_section(&mut text)?;
        }
        Ok(Self {
            text,
            roff: Roff::new(),
        })
    }

    fn section(&mut self, heading: &str) {
        self.roff.control("SH", [heading]);
    }

    /// What is named, and what it is.
    fn list<'a, N: Into<String>>(
        &mut self,
        heading: &str,
        rows: impl IntoIterator<Item = (N, &'a str)>,
    ) {
        self.section(heading);
        for (name, about) in rows {
            self.roff.control("TP", []);
            self.roff.text([bold(name)]);
            self.roff.text([roman(about)]);
        }
    }

    fn see(&mut self, pages: &[String]) {
        self.section("SEE ALSO");
        let mut line: Vec<Inline> = Vec::new();
        for (number, page) in pages.iter().enumerate() {
            if number > 0 {
                line.push(roman(", "));
            }
            line.push(italic(page.clone()));
        }
        self.roff.text(line);
    }

    fn finish(mut self) -> std::io::Result<Vec<u8>> {
        self.roff.to_writer(&mut self.text)?;
        Ok(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(page: &str) -> String {
        let mut pages = pages().unwrap();
        String::from_utf8(pages.remove(page).unwrap_or_else(|| panic!("no {page}"))).unwrap()
    }

    #[test]
    fn every_name_of_every_verb_has_a_page_with_all_its_flags() {
        for verb in verb::VERBS {
            let usual = text(&file(&usual(verb).unwrap()));
            for name in verb.names() {
                let own = text(&file(&page(&name)));
                let told = own == usual || own.starts_with(".so man1/wharf");
                assert!(told && !own.is_empty(), "{name}");
            }
            // Words that begin with a dash are escaped: `\-\-rm`.
            let plain = usual.replace('\\', "");
            let command = (verb.build)(Command::new("x"));
            let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
            for long in shown.filter_map(|arg| arg.get_long()) {
                assert!(plain.contains(&format!("--{long}")), "{usual}: {long}");
            }
        }
    }

    #[test]
    fn what_another_name_refers_to_is_there() {
        let pages = pages().unwrap();
        for (name, text) in &pages {
            let text = String::from_utf8_lossy(text);
            if let Some(target) = text.strip_prefix(".so man1/") {
                assert!(pages.contains_key(target.trim()), "{name}: {target}");
            }
        }
    }

    #[test]
    fn a_page_tells_name_synopsis_other_names_and_exit_codes() {
        let page = text("wharf-run.1").replace('\\', "");
        for part in [
            "wharf-run - Create and run a new container from an image",
            "wharf container run, wharf run",
            "[OPTIONS] IMAGE [COMMAND] [ARG...]",
            "125",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(text("wharf-container-run.1"), ".so man1/wharf-run.1\n");
    }
}
