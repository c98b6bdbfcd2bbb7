//! Dialogs with fields: what is asked, what is wrong with the answer so far, and what could be meant.

use std::path::{Path, PathBuf};

use super::jobs::Request;
use super::overlay::Field;
use super::{DirectoryEntry, QueryId, Settings, text};
use crate::engine::model::reference::DEFAULT_DOMAIN;
use crate::engine::model::{Auth, Platform, Reference, Secret, request};

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
    /// Which archive to load.
    Load,
    /// Who we are to a registry.
    LogIn {
        /// Host and port.
        registry: String,
        /// What the registry refused.
        then: Option<Box<Request>>,
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
            Self::Load => "Load an archive".to_owned(),
            Self::LogIn { registry, .. } => format!("Log in to {}", text::sanitise(registry)),
        }
    }
}

/// What belongs into a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The name of an image; with names to choose from.
    Reference(Vec<String>),
    /// A platform, or nothing for the host's.
    Platform,
    /// A path.
    Path,
    /// Any text.
    Text,
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
}

impl Input {
    fn new(label: &'static str, kind: Kind, text: &str) -> Self {
        Self {
            label,
            kind,
            field: Field::new(text),
        }
    }
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
    /// It was tried to send it off: what is missing is told, too.
    pub tried: bool,
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
            tried: false,
        }
    }

    /// Asks what to pull; `names` are offered, the most likely first.
    #[must_use]
    pub fn pull(names: Vec<String>) -> Self {
        let inputs = vec![
            Input::new("image", Kind::Reference(names), ""),
            Input::new("platform", Kind::Platform, ""),
        ];
        Self::new(Ask::Pull, inputs)
    }

    /// Asks where to push an image.
    #[must_use]
    pub fn push(id: String, tags: Vec<String>) -> Self {
        let proposal = tags.first().cloned().unwrap_or_default();
        let inputs = vec![Input::new("to", Kind::Reference(tags.clone()), &proposal)];
        Self::new(Ask::Push { id, tags }, inputs)
    }

    /// Asks for another name.
    #[must_use]
    pub fn tag(id: String, source: String, names: Vec<String>) -> Self {
        // Usually another tag of the same repository.
        let proposal = match source.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') && !source.starts_with("sha256:") => {
                format!("{name}:")
            }
            _ => String::new(),
        };
        let inputs = vec![Input::new("name", Kind::Reference(names), &proposal)];
        Self::new(Ask::Tag { id, source }, inputs)
    }

    /// Asks where to save images.
    #[must_use]
    pub fn save(ids: Vec<String>, names: Vec<String>) -> Self {
        let name = match (ids.as_slice(), names.first()) {
            ([_], Some(name)) => name.strip_prefix("sha256:").map_or(name.as_str(), |hex| {
                hex.split_at_checked(12).map_or(hex, |(short, _)| short)
            }),
            _ => "images",
        };
        let safe = |c: char| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '_'
            }
        };
        let name: String = name.chars().map(safe).collect();
        let inputs = vec![Input::new("file", Kind::Path, &format!("{name}.tar"))];
        Self::new(Ask::Save { ids, names }, inputs)
    }

    /// Asks for an archive.
    #[must_use]
    pub fn load() -> Self {
        Self::new(Ask::Load, vec![Input::new("file", Kind::Path, "")])
    }

    /// Asks who we are.
    #[must_use]
    pub fn log_in(registry: String, then: Option<Box<Request>>) -> Self {
        let inputs = vec![
            Input::new("user", Kind::Text, ""),
            Input::new("password", Kind::Hidden, ""),
        ];
        Self::new(Ask::LogIn { registry, then }, inputs)
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
        (0..self.inputs.len()).find_map(|input| {
            let text = self.wrong(input, settings)?;
            let missing = self.text(input).is_empty();
            Some(Problem {
                input,
                text,
                missing,
            })
        })
    }

    fn wrong(&self, at: usize, settings: &Settings) -> Option<String> {
        let input = self.inputs.get(at)?;
        let text = self.text(at);
        match &input.kind {
            Kind::Platform if text.is_empty() => None,
            _ if text.is_empty() => Some(format!("{}: nothing there yet", input.label)),
            Kind::Text | Kind::Hidden => None,
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
            (Ask::Load, None) => Some(format!("{}: no such file", path.display())),
            (Ask::Save { .. }, _) if text.ends_with('/') => {
                Some(format!("{text}: name a file in it"))
            }
            (Ask::Save { .. }, Some(entry)) if entry.is_directory => {
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
            Ask::Save { .. } if self.is_taken(settings) => {
                Some("there is such a file: you will be asked".to_owned())
            }
            Ask::Save { .. } | Ask::Load => absolute(self.text(0), settings)
                .filter(|path| path != Path::new(self.text(0)))
                .map(|path| path.display().to_string()),
            Ask::LogIn { .. } => Some("kept as wharf login keeps it".to_owned()),
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

    /// The request, with what the user calls its object.
    ///
    /// # Errors
    /// What is wrong.
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
        })
    }

    /// The directory that a path field needs to know about.
    #[must_use]
    pub fn directory(&self, settings: &Settings) -> Option<PathBuf> {
        let input = self.input().filter(|input| input.kind == Kind::Path)?;
        let (directory, _) = split_path(input.field.text());
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
            Kind::Reference(names) => {
                let names = names.iter().map(String::as_str).filter(fits);
                names.take(SUGGESTIONS).map(ToOwned::to_owned).collect()
            }
            Kind::Platform => {
                let names = PLATFORMS.iter().copied().filter(fits);
                names.take(SUGGESTIONS).map(ToOwned::to_owned).collect()
            }
            Kind::Path => self.paths(typed).take(SUGGESTIONS).collect(),
            Kind::Text | Kind::Hidden => Vec::new(),
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
        let Some(input) = self.input().filter(|input| input.kind == Kind::Path) else {
            return false;
        };
        let typed = input.field.text().to_owned();
        let common = self.paths(&typed).reduce(|a, b| {
            let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
            same.map(|(c, _)| c).collect()
        });
        match common {
            Some(common) if common.len() > typed.len() => {
                self.set(&common);
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
            let required = |input: &Input| input.kind != Kind::Platform;
            self.inputs.get(*at).is_some_and(required) && self.text(*at).is_empty()
        });
        if let Some(later) = later {
            self.at = later;
            self.chosen = None;
        }
        later.is_some()
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
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            here: Some(PathBuf::from("/work")),
            home: Some(PathBuf::from("/home/me")),
            ..Settings::default()
        }
    }

    fn typed(mut form: Form, text: &str) -> Form {
        form.set(text);
        form
    }

    fn listed(mut form: Form, directory: &str, names: &[&str]) -> Form {
        let entry = |name: &&str| DirectoryEntry {
            name: name.trim_end_matches('/').to_owned(),
            is_directory: name.ends_with('/'),
        };
        form.listing = Some(Listing {
            directory: PathBuf::from(directory),
            query: QueryId(1),
            entries: Some(Ok(names.iter().map(entry).collect())),
        });
        form
    }

    #[test]
    fn a_wrong_name_is_told_in_the_words_of_the_parser() {
        for (text, problem) in [
            ("nginx", None),
            ("localhost:5000/a/b:1", None),
            (
                "Nginx",
                Some("invalid reference format: repository name (Nginx) must be lowercase"),
            ),
            (
                "nginx:a b",
                Some("invalid reference format: \"a b\" is not a tag"),
            ),
        ] {
            let form = typed(Form::pull(Vec::new()), text);
            let found = form.problem(&settings()).map(|p| p.text);
            assert_eq!(found.as_deref(), problem, "{text}");
        }
        assert!(Form::pull(Vec::new()).problem(&settings()).unwrap().missing);
    }

    #[test]
    fn a_push_to_another_name_gives_it_first() {
        let form = |text| typed(Form::push("id".to_owned(), vec!["a:1".to_owned()]), text);
        for (text, tags) in [("a:1", false), ("localhost:5000/a", true)] {
            let (request, name) = form(text).request(&settings()).unwrap();
            let Request::Push { tag, .. } = request else {
                panic!("{request:?}");
            };
            assert_eq!(tag, tags, "{text} {name}");
        }
        let digest = format!("a@sha256:{}", "0".repeat(64));
        assert!(form(&digest).request(&settings()).is_err());
    }

    #[test]
    fn paths_are_completed_as_far_as_they_are_clear() {
        let form = listed(
            Form::load(),
            "/work",
            &["images/", "image.tar", "notes", ".hidden"],
        );
        let mut form = typed(form, "im");
        assert_eq!(form.suggestions(), ["images/", "image.tar"]);
        assert!(form.complete());
        assert_eq!(form.text(0), "image");
        assert!(!form.complete());
        let mut form = typed(form, "n");
        assert!(form.complete());
        assert_eq!(form.text(0), "notes");
        assert_eq!(typed(form, ".").suggestions(), [".hidden"]);
    }

    #[test]
    fn what_a_path_means_is_found_without_asking() {
        for (text, path, directory) in [
            ("a.tar", "/work/a.tar", "/work"),
            ("x/a.tar", "/work/x/a.tar", "/work/x"),
            ("~/a.tar", "/home/me/a.tar", "/home/me"),
            ("/a.tar", "/a.tar", "/"),
        ] {
            let found = absolute(text, &settings());
            assert_eq!(found, Some(PathBuf::from(path)));
            let form = typed(Form::load(), text);
            assert_eq!(form.directory(&settings()), Some(PathBuf::from(directory)));
        }
    }

    #[test]
    fn what_is_there_is_not_overwritten_unasked_and_what_is_not_is_not_loaded() {
        let save = Form::save(vec!["id".to_owned()], vec!["team/app:1".to_owned()]);
        assert_eq!(save.text(0), "team_app_1.tar");
        let save = listed(save, "/work", &["team_app_1.tar", "x/"]);
        assert!(save.is_taken(&settings()));
        let save = typed(save, "x");
        let problem = save.problem(&settings()).map(|p| p.text);
        assert_eq!(problem.as_deref(), Some("/work/x is a directory"));
        let load = typed(listed(Form::load(), "/work", &["a.tar"]), "b.tar");
        let problem = load.problem(&settings()).map(|p| p.text);
        assert_eq!(problem.as_deref(), Some("/work/b.tar: no such file"));
    }

    #[test]
    fn another_tag_of_the_same_repository_is_proposed() {
        for (source, proposal) in [
            ("nginx:1.27", "nginx:"),
            ("localhost:5000/a", ""),
            ("sha256:00", ""),
        ] {
            let form = Form::tag("id".to_owned(), source.to_owned(), Vec::new());
            assert_eq!(form.text(0), proposal, "{source}");
        }
    }

    #[test]
    fn a_password_keeps_its_blanks_and_is_not_shown() {
        let mut form = typed(Form::log_in("localhost:5000".to_owned(), None), "me");
        assert!(form.next_empty());
        form.set(" secret ");
        let (request, _) = form.request(&settings()).unwrap();
        assert!(!format!("{request:?}").contains("secret"));
        let Request::LogIn {
            auth: Auth::Basic { password, .. },
            ..
        } = request
        else {
            panic!("{request:?}");
        };
        assert_eq!(password.reveal(), " secret ");
    }
}
