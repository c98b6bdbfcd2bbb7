//! Dialogs with fields: what is asked, what is wrong with the answer so far, and what could be meant.

mod container;
mod image;
mod network;
mod run;
mod volume;

use std::path::{Path, PathBuf};

use super::explorer::{Shared, Target};
use super::jobs::{Extract, Failure, JobId, Request};
use super::overlay::Field;
use super::{DirectoryEntry, QueryId, Settings, text, words};
use crate::engine::model::reference::DEFAULT_DOMAIN;
use crate::engine::model::{Auth, ContainerId, Platform, Reference, Secret, request};

pub use run::Begin;

/// Suggestions that are shown.
pub const SUGGESTIONS: usize = 6;

/// What a dialog is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Which image to pull.
    Pull,
    /// Under which name to push an image.
    Push {
        /// Its id.
        id: String,
        /// The names that it has.
        tags: Vec<String>,
    },
    /// Which other name to give an image.
    Tag {
        /// Its id.
        id: String,
        /// What it is called so far.
        source: String,
    },
    /// Where to save images.
    Save {
        /// Their ids.
        ids: Vec<String>,
        /// What to save.
        names: Vec<String>,
    },
    /// Where to write something of an image that is looked into.
    Extract(Box<Extract>),
    /// Which image to compare another one with, that is looked into.
    Compare(Box<(Target, Shared)>),
    /// Which archive to load.
    Load,
    /// Who we are to a registry.
    LogIn {
        /// Host and port.
        registry: String,
        /// What the registry refused.
        then: Option<Box<Request>>,
    },
    /// What volume to make.
    CreateVolume,
    /// What network to make.
    CreateNetwork,
    /// Which container to put on a network.
    Connect {
        /// The network.
        network: String,
        /// Those that are not on it.
        containers: Vec<(String, ContainerId)>,
    },
    /// Which container to take off a network.
    Disconnect {
        /// The network.
        network: String,
        /// Those that are on it.
        containers: Vec<String>,
    },
    /// How to run an image.
    Run,
    /// Which limits containers should have.
    Limits {
        /// Their ids, and what they are called.
        containers: Vec<(ContainerId, String)>,
        /// The texts of the fields as things are.
        before: Vec<String>,
    },
    /// What a container should be called.
    Rename {
        /// Its id.
        id: ContainerId,
        /// What it is called so far.
        name: String,
    },
    /// What image to make of a container.
    Commit {
        /// Its id.
        id: ContainerId,
        /// What it is called.
        name: String,
    },
    /// Where to write a container's files to.
    Export {
        /// Its id.
        id: ContainerId,
        /// What it is called.
        name: String,
    },
    /// Into which directory to write the files of several containers.
    ExportAll(Vec<(ContainerId, String)>),
    /// What to copy out of a container or into it.
    Copy {
        /// Its id.
        id: ContainerId,
        /// What it is called.
        name: String,
    },
}

impl Ask {
    /// Title of the dialog.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Pull => "Pull an image".to_owned(),
            Self::Push { .. } => "Push an image".to_owned(),
            Self::Tag { source, .. } => format!("Another name for {}", text::sanitise(source)),
            Self::Save { ids, names } => match (ids.as_slice(), names.first()) {
                ([_], Some(name)) => format!("Save {}", text::sanitise(name)),
                (many, _) => format!("Save {} images", many.len()),
            },
            Self::Extract(extract) => format!("Extract {}", text::sanitise(&extract.what)),
            Self::Compare(shown) => {
                format!("Compare {} with", text::sanitise(&shown.0.name()))
            }
            Self::Load => "Load an archive".to_owned(),
            Self::LogIn { registry, .. } => format!("Log in to {}", text::sanitise(registry)),
            Self::CreateVolume => "Make a volume".to_owned(),
            Self::CreateNetwork => "Make a network".to_owned(),
            Self::Connect { network, .. } => {
                format!("Put a container on {}", text::sanitise(network))
            }
            Self::Disconnect { network, .. } => {
                format!("Take a container off {}", text::sanitise(network))
            }
            Self::Run => "Run an image".to_owned(),
            Self::Limits { containers, .. } => match containers.as_slice() {
                [(_, name)] => format!("Limits of {}", text::sanitise(name)),
                many => format!("Limits of {} containers", many.len()),
            },
            Self::ExportAll(many) => format!("Export {} containers", many.len()),
            Self::Rename { name, .. } => format!("Another name for {}", text::sanitise(name)),
            Self::Commit { name, .. } => format!("Make an image of {}", text::sanitise(name)),
            Self::Export { name, .. } => format!("Export {}", text::sanitise(name)),
            Self::Copy { name, .. } => format!("Copy files of {}", text::sanitise(name)),
        }
    }

    /// The dialog stays until the engine has done it, and shows what is wrong; else it goes on in the background.
    #[must_use]
    pub fn waits(&self) -> bool {
        match self {
            Self::CreateVolume
            | Self::CreateNetwork
            | Self::Connect { .. }
            | Self::Disconnect { .. }
            | Self::Run
            | Self::Rename { .. }
            | Self::Commit { .. }
            | Self::Copy { .. } => true,
            // Of several, those that fail are named at the end.
            Self::Limits { containers, .. } => containers.len() == 1,
            Self::Export { .. }
            | Self::ExportAll(_)
            | Self::Extract(_)
            | Self::Compare(_)
            | Self::Pull
            | Self::Push { .. }
            | Self::Tag { .. }
            | Self::Save { .. }
            | Self::Load
            | Self::LogIn { .. } => false,
        }
    }
}

/// What belongs into a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The name of an image; with names to choose from.
    Reference(Vec<String>),
    /// An image wherever the command line can look into one; with names to choose from.
    Source(Vec<String>),
    /// A platform, or nothing for the host's.
    Platform,
    /// A path.
    Path,
    /// Any text.
    Text,
    /// Any text, with some to choose from.
    Choice(Vec<String>),
    /// `key=value` words.
    Pairs,
    /// Words as a shell reads them.
    Words,
    /// One of these.
    Switch(&'static [&'static str]),
    /// A text that is not shown.
    Hidden,
}

/// One field.
#[derive(Debug, Clone)]
pub struct Input {
    /// What it is called.
    pub label: &'static str,
    /// What belongs into it.
    pub kind: Kind,
    /// The text.
    pub field: Field,
    /// It may be empty, which means this.
    pub empty: Option<&'static str>,
}

impl Input {
    fn new(label: &'static str, kind: Kind, text: &str) -> Self {
        Self {
            label,
            kind,
            field: Field::new(text),
            empty: None,
        }
    }

    /// The same, and it may be empty: what that means.
    fn or(mut self, meaning: &'static str) -> Self {
        self.empty = Some(meaning);
        self
    }
}

/// What the command line's parser says about a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The command.
    pub words: Vec<String>,
    /// The question; its answer comes later.
    pub query: QueryId,
    /// What the user should know, or why it cannot be read; `None` until the answer is there.
    pub answer: Option<Result<Vec<String>, String>>,
}

/// What is in the directory of a path field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The directory.
    pub directory: PathBuf,
    /// The question; its answer comes later.
    pub query: QueryId,
    /// What is in it, or why that cannot be said; `None` until the answer is there.
    pub entries: Option<Result<Vec<DirectoryEntry>, String>>,
}

/// A dialog.
#[derive(Debug, Clone)]
pub struct Form {
    /// What it is about.
    pub ask: Ask,
    /// Its fields.
    pub inputs: Vec<Input>,
    /// The field that has the keys.
    pub at: usize,
    /// The chosen suggestion.
    pub chosen: Option<usize>,
    /// What is in the directory that is being typed.
    pub listing: Option<Listing>,
    /// What the parser says, for dialogs that make a command line.
    pub checked: Option<Checked>,
    /// It was tried to send it off: what is missing is told, too.
    pub tried: bool,
    /// It was sent off, and the engine is at it.
    pub sent: Option<JobId>,
    /// Why the engine did not do it.
    pub failure: Option<Failure>,
}

/// Something wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which field.
    pub input: usize,
    /// What is wrong.
    pub text: String,
    /// Nothing is there yet, which is no mistake before one is done.
    pub missing: bool,
}

/// Platforms to choose from.
const PLATFORMS: &[&str] = &[
    "linux/amd64",
    "linux/arm64",
    "linux/arm/v7",
    "linux/arm/v6",
    "linux/386",
    "linux/ppc64le",
    "linux/riscv64",
    "linux/s390x",
];

impl Form {
    fn new(ask: Ask, inputs: Vec<Input>) -> Self {
        Self {
            ask,
            inputs,
            at: 0,
            chosen: None,
            listing: None,
            checked: None,
            tried: false,
            sent: None,
            failure: None,
        }
    }

    /// The field that has the keys.
    #[must_use]
    pub fn input(&self) -> Option<&Input> {
        self.inputs.get(self.at)
    }

    fn text(&self, input: usize) -> &str {
        let found = self.inputs.get(input);
        found.map_or("", |input| input.field.text().trim())
    }

    /// The first thing that is wrong.
    #[must_use]
    pub fn problem(&self, settings: &Settings) -> Option<Problem> {
        let of_field = (0..self.inputs.len()).find_map(|input| {
            let text = self.wrong(input, settings)?;
            Some(self.wrong_in(input, text))
        });
        of_field.or_else(|| self.refused())
    }

    /// The command that it comes to, `wharf` left out; `None` for dialogs that make none.
    #[must_use]
    pub fn command(&self) -> Option<Result<Vec<String>, Problem>> {
        match &self.ask {
            Ask::Run => Some(self.run_words()),
            Ask::Limits { containers, before } => Some(self.limit_words(containers, before)),
            _ => None,
        }
    }

    /// What the command line's parser has against it.
    fn refused(&self) -> Option<Problem> {
        let words = match self.command()? {
            Ok(words) => words,
            Err(problem) => return Some(problem),
        };
        let checked = self.checked.as_ref().filter(|c| c.words == words)?;
        let error = checked.answer.as_ref()?.as_ref().err()?;
        Some(Problem {
            input: self.at,
            text: error.clone(),
            missing: false,
        })
    }

    fn wrong(&self, at: usize, settings: &Settings) -> Option<String> {
        let input = self.inputs.get(at)?;
        let text = self.text(at);
        match &input.kind {
            _ if text.is_empty() && input.empty.is_some() => None,
            _ if text.is_empty() => Some(format!("{}: nothing there yet", input.label)),
            Kind::Text | Kind::Hidden | Kind::Choice(_) | Kind::Switch(_) => None,
            Kind::Words => words::split(text).err().map(|error| error.to_string()),
            Kind::Pairs => volume::pairs(text).err(),
            Kind::Platform => text
                .parse::<Platform>()
                .err()
                .map(|error| error.to_string()),
            Kind::Reference(_) => match (text.parse::<Reference>(), &self.ask) {
                (Err(error), _) => Some(error.to_string()),
                (Ok(reference), Ask::Push { .. }) if reference.digest().is_some() => {
                    Some("a push goes to a name with a tag, not to a digest".to_owned())
                }
                (Ok(reference), Ask::Tag { .. }) if reference.digest().is_some() => {
                    Some("a name with a digest cannot be given".to_owned())
                }
                (Ok(_), _) => None,
            },
            Kind::Source(_) => {
                let path = path_of_source(text).map_or(text, |(_, path)| path);
                let is_piped = path.trim_start_matches("//") == "-";
                is_piped.then(|| "standard input is for the command line".to_owned())
            }
            Kind::Path => self.wrong_path(text, settings),
        }
    }

    fn wrong_path(&self, text: &str, settings: &Settings) -> Option<String> {
        let Some(path) = absolute(text, settings) else {
            return Some("give a path that begins with /".to_owned());
        };
        let listing = self.listing.as_ref()?;
        if path.parent() != Some(listing.directory.as_path()) {
            // The answer is on its way.
            return None;
        }
        let entries = match listing.entries.as_ref()? {
            Ok(entries) => entries,
            Err(error) => return Some(error.clone()),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let found = entries.iter().find(|entry| entry.name == name);
        match (&self.ask, found) {
            (Ask::ExportAll(_), Some(entry)) if !entry.is_directory => {
                Some(format!("{} is no directory", path.display()))
            }
            (Ask::ExportAll(_) | Ask::Load, None) => {
                Some(format!("{}: no such file", path.display()))
            }
            (Ask::Save { .. } | Ask::Export { .. } | Ask::Extract(_), _) if text.ends_with('/') => {
                Some(format!("{text}: name a file in it"))
            }
            (Ask::Save { .. } | Ask::Export { .. } | Ask::Extract(_), Some(entry))
                if entry.is_directory =>
            {
                Some(format!("{} is a directory", path.display()))
            }
            _ => None,
        }
    }

    /// What will be done, where that is not what was typed.
    #[must_use]
    pub fn remark(&self, settings: &Settings) -> Option<String> {
        match &self.ask {
            Ask::Pull => {
                let reference: Reference = self.text(0).parse().ok()?;
                Some(format!("pulls {}", reference.with_default_tag()))
            }
            Ask::Push { tags, .. } => {
                let target = self.text(0).parse::<Reference>().ok()?.with_default_tag();
                let familiar = target.familiar();
                Some(if tags.contains(&familiar) {
                    format!("pushes to {}", registry(&target))
                } else {
                    format!("tags it {familiar} and pushes to {}", registry(&target))
                })
            }
            Ask::Tag { .. } => {
                let reference: Reference = self.text(0).parse().ok()?;
                Some(format!(
                    "names it {}",
                    reference.with_default_tag().familiar()
                ))
            }
            Ask::Save { .. } | Ask::Export { .. } | Ask::Extract(_) if self.is_taken(settings) => {
                Some("there is such a file: you will be asked".to_owned())
            }
            Ask::ExportAll(_) => {
                let (request, name) = self.requests(settings).ok()?.into_iter().next()?;
                Some(format!("{} …", request.command(&name)))
            }
            Ask::Save { .. } | Ask::Export { .. } | Ask::Extract(_) | Ask::Load => {
                absolute(self.text(0), settings)
                    .filter(|path| path != Path::new(self.text(0)))
                    .map(|path| path.display().to_string())
            }
            Ask::Compare(_) => {
                let against = self.against(settings)?.ok()?;
                Some(format!("wharf layers diff {}", against.names().join(" ")))
            }
            Ask::LogIn { .. } => Some("kept as wharf login keeps it".to_owned()),
            Ask::CreateVolume
            | Ask::CreateNetwork
            | Ask::Connect { .. }
            | Ask::Disconnect { .. }
            | Ask::Run
            | Ask::Limits { .. }
            | Ask::Rename { .. }
            | Ask::Commit { .. }
            | Ask::Copy { .. } => self
                .request(settings)
                .ok()
                .map(|(request, name)| request.command(&name)),
        }
    }

    /// What the user should know beside that.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        let answer = self.checked.as_ref().and_then(|c| c.answer.as_ref());
        match answer {
            Some(Ok(warnings)) => warnings,
            Some(Err(_)) | None => &[],
        }
    }

    /// A file of the name that is to be saved is there already.
    #[must_use]
    pub fn is_taken(&self, settings: &Settings) -> bool {
        let Some(path) = absolute(self.text(0), settings) else {
            return false;
        };
        let Some(listing) = &self.listing else {
            return false;
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.parent() == Some(listing.directory.as_path())
            && matches!(&listing.entries, Some(Ok(entries)) if entries.iter().any(|e| e.name == name))
    }

    /// Where several archives go, without the dots of `./`.
    fn export_directory(&self, settings: &Settings) -> Option<PathBuf> {
        let path = absolute(self.text(0), settings)?;
        Some(path.components().collect())
    }

    /// The requests, each with what the user calls its object: one for each container where they are many.
    ///
    /// # Errors
    /// What is wrong.
    pub fn requests(&self, settings: &Settings) -> Result<Vec<(Request, String)>, Problem> {
        let of_all = self.request(settings)?;
        match &self.ask {
            Ask::Limits { containers, before } => containers
                .iter()
                .map(|one| {
                    let words = self.limit_words(std::slice::from_ref(one), before)?;
                    Ok((Request::Update(one.0.clone(), words), one.1.clone()))
                })
                .collect(),
            Ask::ExportAll(containers) => {
                let directory = self.export_directory(settings).unwrap_or_default();
                let request = |(id, name): &(ContainerId, String)| {
                    let request = Request::Export {
                        id: id.clone(),
                        path: directory.join(format!("{name}.tar")),
                        replace: false,
                    };
                    (request, name.clone())
                };
                Ok(containers.iter().map(request).collect())
            }
            _ => Ok(vec![of_all]),
        }
    }

    /// The request, with what the user calls its object; for several containers one that stands for all.
    ///
    /// # Errors
    /// What is wrong.
    #[expect(
        clippy::too_many_lines,
        reason = "a list: each dialog and what it sends off"
    )]
    pub fn request(&self, settings: &Settings) -> Result<(Request, String), Problem> {
        if let Some(problem) = self.problem(settings) {
            return Err(problem);
        }
        let fail = |text: String| Problem {
            input: 0,
            text,
            missing: false,
        };
        let reference = || {
            let parsed = self.text(0).parse::<Reference>();
            let parsed = parsed.map_err(|error| fail(error.to_string()))?;
            Ok::<_, Problem>(parsed.with_default_tag())
        };
        let path = || {
            absolute(self.text(0), settings)
                .ok_or_else(|| fail("give a path that begins with /".to_owned()))
        };
        Ok(match &self.ask {
            Ask::Pull => {
                let reference = reference()?;
                let name = reference.familiar();
                let platform = self.text(1);
                let request = request::Pull {
                    reference,
                    all_tags: false,
                    platform: if platform.is_empty() {
                        None
                    } else {
                        Some(
                            platform
                                .parse::<Platform>()
                                .map_err(|error| fail(error.to_string()))?,
                        )
                    },
                    auth: Auth::Anonymous,
                };
                (Request::Pull(request), name)
            }
            Ask::Push { id, tags } => {
                let reference = reference()?;
                let name = reference.familiar();
                let request = Request::Push {
                    id: id.clone(),
                    tag: !tags.contains(&name),
                    request: push(reference),
                };
                (request, name)
            }
            Ask::Tag { id, source } => {
                let target = reference()?.familiar();
                let request = Request::Tag {
                    id: id.clone(),
                    source: source.clone(),
                    target,
                };
                (request, source.clone())
            }
            Ask::Save { ids, names } => {
                let path = path()?;
                let name = path.display().to_string();
                let request = Request::Save {
                    ids: ids.clone(),
                    names: names.clone(),
                    path,
                    replace: false,
                };
                (request, name)
            }
            Ask::Extract(extract) => {
                let mut extract = extract.clone();
                extract.path = path()?;
                let name = extract.what.clone();
                (Request::Extract(extract), name)
            }
            Ask::Compare(_) => return Err(fail("it is a question".to_owned())),
            Ask::Load => {
                let path = path()?;
                let name = path.display().to_string();
                (Request::Load(path), name)
            }
            Ask::LogIn { registry, then } => {
                let password = self.inputs.get(1).map_or("", |input| input.field.text());
                let request = Request::LogIn {
                    registry: registry.clone(),
                    auth: Auth::Basic {
                        user: self.text(0).to_owned(),
                        password: Secret::new(password),
                    },
                    then: then.clone(),
                };
                (request, registry.clone())
            }
            Ask::CreateVolume => return self.volume_request(),
            Ask::CreateNetwork => return self.network_request(),
            Ask::Connect {
                network,
                containers,
            } => return self.connect_request(network, containers),
            Ask::Disconnect {
                network,
                containers,
            } => return self.disconnect_request(network, containers),
            Ask::Run => {
                let words = self.run_words()?;
                let named = self.inputs.iter().find(|input| input.label == "name");
                let named = named.map_or("", |input| input.field.text().trim());
                let name = if named.is_empty() {
                    self.text(0)
                } else {
                    named
                };
                (Request::Run(words), name.to_owned())
            }
            Ask::Limits { containers, before } => {
                let words = self.limit_words(containers, before)?;
                let (id, name) = containers.first().ok_or_else(|| fail(String::new()))?;
                (Request::Update(id.clone(), words), name.clone())
            }
            Ask::Rename { id, name } => {
                let to = self.text(0).to_owned();
                (Request::Rename(id.clone(), to), name.clone())
            }
            Ask::Commit { id, name } => return self.commit_request(id, name),
            Ask::Export { id, name } => {
                let request = Request::Export {
                    id: id.clone(),
                    path: path()?,
                    replace: false,
                };
                (request, name.clone())
            }
            Ask::ExportAll(containers) => {
                let (id, name) = containers.first().ok_or_else(|| fail(String::new()))?;
                let request = Request::Export {
                    id: id.clone(),
                    path: self
                        .export_directory(settings)
                        .unwrap_or_default()
                        .join(format!("{name}.tar")),
                    replace: false,
                };
                (request, name.clone())
            }
            Ask::Copy { id, name } => return self.copy_request(id, name, settings),
        })
    }

    /// Another answer of a switch; false if the field that has the keys is none.
    pub fn turn(&mut self, forward: bool) -> bool {
        let Some(Input {
            kind: Kind::Switch(answers),
            field,
            ..
        }) = self.inputs.get_mut(self.at)
        else {
            return false;
        };
        let now = answers.iter().position(|answer| *answer == field.text());
        let step = if forward { 1 } else { answers.len() - 1 };
        let next = (now.unwrap_or(0) + step) % answers.len().max(1);
        if let Some(answer) = answers.get(next) {
            *field = Field::new(answer);
        }
        self.changed();
        true
    }

    fn wrong_in(&self, input: usize, text: String) -> Problem {
        Problem {
            input,
            text,
            missing: self.text(input).is_empty(),
        }
    }

    /// Something was typed: what was said about the text before counts no more.
    pub fn changed(&mut self) {
        self.chosen = None;
        self.tried = false;
        self.failure = None;
    }

    /// The directory that a path field needs to know about.
    #[must_use]
    pub fn directory(&self, settings: &Settings) -> Option<PathBuf> {
        let input = self.input()?;
        let text = input.field.text();
        let path = match input.kind {
            Kind::Path => text,
            Kind::Source(_) => path_of_source(text)?.1,
            _ => return None,
        };
        let (directory, _) = split_path(path);
        absolute_directory(directory, settings)
    }

    /// What could be meant by what is typed in the field that has the keys.
    #[must_use]
    pub fn suggestions(&self) -> Vec<String> {
        let Some(input) = self.input() else {
            return Vec::new();
        };
        let typed = input.field.text();
        let fits = |name: &&str| text::contains(name, typed.trim()) && *name != typed.trim();
        match &input.kind {
            Kind::Source(_) if path_of_source(typed).is_some() => {
                let (start, path) = path_of_source(typed).unwrap_or_default();
                let paths = self.paths(path).take(SUGGESTIONS);
                paths.map(|path| format!("{start}{path}")).collect()
            }
            Kind::Reference(names) | Kind::Choice(names) | Kind::Source(names) => {
                let names = names.iter().map(String::as_str).filter(fits);
                names.take(SUGGESTIONS).map(ToOwned::to_owned).collect()
            }
            Kind::Platform => {
                let names = PLATFORMS.iter().copied().filter(fits);
                names.take(SUGGESTIONS).map(ToOwned::to_owned).collect()
            }
            Kind::Path => self.paths(typed).take(SUGGESTIONS).collect(),
            Kind::Text | Kind::Hidden | Kind::Pairs | Kind::Words | Kind::Switch(_) => Vec::new(),
        }
    }

    /// Paths that begin with what is typed.
    fn paths(&self, typed: &str) -> impl Iterator<Item = String> {
        let (directory, begin) = split_path(typed);
        let entries = match &self.listing {
            Some(Listing {
                entries: Some(Ok(entries)),
                ..
            }) => entries.as_slice(),
            _ => &[],
        };
        entries
            .iter()
            .filter(move |entry| {
                // Hidden files for those who ask for them.
                entry.name.starts_with(begin)
                    && entry.name != begin
                    && (begin.starts_with('.') || !entry.name.starts_with('.'))
            })
            .map(move |entry| {
                let slash = if entry.is_directory { "/" } else { "" };
                format!("{directory}{}{slash}", entry.name)
            })
    }

    /// Completes a path as far as it is clear; false if that is not further than it is.
    pub fn complete(&mut self) -> bool {
        let Some(input) = self.input() else {
            return false;
        };
        let text = input.field.text().to_owned();
        let (start, typed) = match input.kind {
            Kind::Path => ("", text.as_str()),
            Kind::Source(_) => match path_of_source(&text) {
                Some(found) => found,
                None => return false,
            },
            _ => return false,
        };
        let common = self.paths(typed).reduce(|a, b| {
            let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
            same.map(|(c, _)| c).collect()
        });
        match common {
            Some(common) if common.len() > typed.len() => {
                self.set(&format!("{start}{common}"));
                true
            }
            _ => false,
        }
    }

    /// Puts a text into the field that has the keys.
    pub fn set(&mut self, text: &str) {
        if let Some(input) = self.inputs.get_mut(self.at) {
            input.field = Field::new(text);
        }
        self.chosen = None;
    }

    /// Goes to the next field, or the one before.
    pub fn step(&mut self, step: isize) {
        let count = self.inputs.len().max(1);
        self.at = match step {
            ..0 => (self.at + count - 1) % count,
            _ => (self.at + 1) % count,
        };
        self.chosen = None;
    }

    /// Goes to the next field that must be filled in and is not; false if there is none.
    pub fn next_empty(&mut self) -> bool {
        let later = (self.at + 1..self.inputs.len()).find(|at| {
            let required = |input: &Input| input.empty.is_none();
            self.inputs.get(*at).is_some_and(required) && self.text(*at).is_empty()
        });
        if let Some(later) = later {
            self.at = later;
            self.chosen = None;
        }
        later.is_some()
    }
}

/// What stands before a path where an image is named, and the path; `None` for what is no path.
fn path_of_source(text: &str) -> Option<(&str, &str)> {
    const STARTS: [&str; 4] = ["docker-archive:", "oci-archive:", "oci:", "rootfs:"];
    let is_path = |text: &str| text.starts_with(['/', '.', '~']);
    match STARTS.iter().find(|start| text.starts_with(**start)) {
        Some(start) => text.split_at_checked(start.len()),
        None => is_path(text).then_some(("", text)),
    }
}

/// A push of one name.
#[must_use]
pub fn push(reference: Reference) -> request::Push {
    request::Push {
        reference,
        all_tags: false,
        platform: None,
        auth: Auth::Anonymous,
    }
}

/// What people call the registry of a name.
fn registry(reference: &Reference) -> &str {
    match reference.domain() {
        DEFAULT_DOMAIN => "Docker Hub",
        other => other,
    }
}

/// A path in two: its directory with the slash, and the beginning of a name.
fn split_path(text: &str) -> (&str, &str) {
    match text.rfind('/') {
        Some(slash) => text.split_at(slash + 1),
        None => ("", text),
    }
}

/// The path that is meant; `None` if it is relative to nothing that is known.
#[must_use]
pub fn absolute(text: &str, settings: &Settings) -> Option<PathBuf> {
    let path = match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            settings.home.as_ref()?.join(rest.trim_start_matches('/'))
        }
        _ if text.starts_with('/') => PathBuf::from(text),
        _ => settings.here.as_ref()?.join(text),
    };
    Some(path)
}

fn absolute_directory(text: &str, settings: &Settings) -> Option<PathBuf> {
    if text.is_empty() {
        return settings.here.clone();
    }
    // Without the slash at the end, as the parent of what is in it.
    let trimmed = text.trim_end_matches('/');
    absolute(if trimmed.is_empty() { "/" } else { trimmed }, settings)
}

#[cfg(test)]
mod tests;
