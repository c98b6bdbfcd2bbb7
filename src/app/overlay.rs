//! What lies over the panes: confirmations, prompts, help, palette, logs of what was done. The topmost has the keys.

use tui_textarea::{CursorMove, Input, TextArea};

use super::action::{ACTIONS, Action, Entry, Scope};
use super::form::Form;
use super::jobs::{Failure, Request};
use super::key::{Key, KeyCode, KeyModifiers};
use super::{QueryId, State, text};
use crate::engine::model::registry::{ContainerUsage, ImageUsage};
use crate::engine::model::request;
use crate::engine::model::volume::VolumeUsage;

/// One layer.
#[derive(Debug, Clone)]
pub enum Overlay {
    /// A question that is answered with yes or no.
    Confirm(Confirm),
    /// One line of text, at the bottom.
    Prompt(Prompt),
    /// All keys.
    Help(Finder),
    /// All actions, to be run.
    Palette(Finder),
    /// What was done.
    CommandLog(Cursor),
    /// What runs, and what has ended.
    Jobs(Cursor),
    /// What is on disk.
    Usage(Cursor),
    /// Fields to fill in.
    Form(Form),
    /// What a prune takes.
    Prune(Prune),
    /// Which columns the list shows.
    Columns(Cursor),
    /// A message in full.
    Message {
        /// Title.
        title: String,
        /// The lines.
        lines: Vec<String>,
    },
}

/// A question.
#[derive(Debug, Clone)]
pub struct Confirm {
    /// The question.
    pub question: String,
    /// More about it.
    pub lines: Vec<String>,
    /// What a yes does.
    pub then: Then,
    /// What has to be typed for a yes.
    pub typed: Option<Typed>,
}

/// A word that is typed on purpose, for what cannot be undone.
#[derive(Debug, Clone)]
pub struct Typed {
    /// The word.
    pub wanted: String,
    /// What has been typed of it.
    pub field: Field,
}

impl Typed {
    /// Nothing is typed yet.
    #[must_use]
    pub fn new(wanted: &str) -> Self {
        Self {
            wanted: wanted.to_owned(),
            field: Field::default(),
        }
    }

    /// It is typed.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.field.text().trim() == self.wanted
    }
}

/// What a prune is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unused {
    /// Containers that do not run.
    Containers,
    /// Images that no container uses.
    Images(request::PruneImages),
    /// Volumes that no container has.
    Volumes(request::PruneVolumes),
}

impl Unused {
    /// Also what has a name; `None` where that makes no difference.
    #[must_use]
    pub fn all(&self) -> Option<bool> {
        match self {
            Self::Containers => None,
            Self::Images(request) => Some(request.all),
            Self::Volumes(request) => Some(request.all),
        }
    }

    /// The same, with what has a name, or without.
    #[must_use]
    pub fn toggled(&self) -> Self {
        let mut other = self.clone();
        match &mut other {
            Self::Containers => {}
            Self::Images(request) => request.all = !request.all,
            Self::Volumes(request) => request.all = !request.all,
        }
        other
    }

    /// What goes, in two words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match (self, self.all()) {
            (Self::Containers, _) => "stopped containers",
            (Self::Images(_), Some(true)) => "unused images",
            (Self::Images(_), _) => "dangling images",
            (Self::Volumes(_), Some(true)) => "unused volumes",
            (Self::Volumes(_), _) => "anonymous volumes",
        }
    }

    /// One of them, and several.
    #[must_use]
    pub fn noun(&self) -> [&'static str; 2] {
        match self {
            Self::Containers => ["container", "containers"],
            Self::Images(_) => ["image", "images"],
            Self::Volumes(_) => ["volume", "volumes"],
        }
    }
}

/// What a prune would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Each thing that goes: its name, and a few more words.
    pub rows: Vec<(String, String)>,
    /// Bytes that come back.
    pub reclaimed: u64,
    /// What removes exactly that.
    pub request: Request,
}

impl Plan {
    /// Nothing would go.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.rows.is_empty() && self.reclaimed == 0
    }
}

/// A prune that is being decided on.
#[derive(Debug, Clone)]
pub struct Prune {
    /// What is to be removed.
    pub what: Unused,
    /// What that would take; `None` until the engine has answered.
    pub plan: Option<Result<Box<Plan>, Failure>>,
    /// The question to the engine.
    pub query: QueryId,
    /// The chosen row.
    pub cursor: Cursor,
    /// What has been typed of the number that a yes takes.
    pub typed: Field,
}

impl Prune {
    /// The number that has to be typed before data go for good: how many volumes there are to lose.
    #[must_use]
    pub fn number(&self) -> Option<String> {
        match (&self.what, &self.plan) {
            (Unused::Volumes(_), Some(Ok(plan))) if !plan.rows.is_empty() => {
                Some(plan.rows.len().to_string())
            }
            _ => None,
        }
    }
}

/// What a confirmed question does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// Runs requests, each with the name of its object.
    Run(Vec<(Request, String)>),
    /// Leaves the program.
    Quit,
}

/// What a prompt is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Filter of the list; the filter before is in force again when it is left with esc.
    Filter {
        /// The filter before.
        before: String,
    },
    /// Filter of the layer explorer's tree; the one before is in force again when it is left with esc.
    Explorer {
        /// The filter before.
        before: String,
    },
    /// Search in a file of an image.
    Viewer,
    /// Search in the details.
    Search,
}

/// One line of input.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// What for.
    pub purpose: Purpose,
    /// The text.
    pub field: Field,
}

/// A position in a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The chosen line.
    pub at: usize,
}

impl Cursor {
    /// Moves, staying among `count` lines.
    pub fn step(&mut self, lines: isize, count: usize) {
        let last = count.saturating_sub(1);
        self.at = self.at.min(last).saturating_add_signed(lines).min(last);
    }
}

/// A text to find lines with, and the chosen one of the found.
#[derive(Debug, Clone, Default)]
pub struct Finder {
    /// What is looked for.
    pub field: Field,
    /// The chosen line.
    pub cursor: Cursor,
}

/// A line of text that is being edited.
#[derive(Debug, Clone, Default)]
pub struct Field {
    area: TextArea<'static>,
}

impl Field {
    /// A field with a text in it, the cursor behind it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut field = Self::default();
        field.insert(text);
        field
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.area.lines().first().map_or("", String::as_str)
    }

    /// Characters before the cursor.
    #[must_use]
    pub fn before_cursor(&self) -> String {
        let (_, column) = self.position();
        self.text().chars().take(column).collect()
    }

    /// Puts the cursor behind so many characters.
    pub fn go_to(&mut self, characters: usize) {
        let column = u16::try_from(characters).unwrap_or(u16::MAX);
        self.area.move_cursor(CursorMove::Jump(0, column));
    }

    fn position(&self) -> (usize, usize) {
        let cursor = self.area.cursor();
        (cursor.0, cursor.1)
    }

    /// Types a text; line ends and controls are left out.
    pub fn insert(&mut self, text: &str) {
        let clean = text::sanitise(text);
        self.area.insert_str(clean.trim_end_matches(['\r', '\n']));
    }

    /// A key; true if the text changed.
    pub fn key(&mut self, key: Key) -> bool {
        // One line: no key may start a second.
        if key == Key::ctrl('m') || key.code == KeyCode::Enter {
            return false;
        }
        if key == Key::ctrl('u') {
            // As shells have it: what is before the cursor goes.
            return self.area.delete_line_by_head();
        }
        let has = |modifier| key.modifiers.contains(modifier);
        let code = match key.code {
            KeyCode::Char(c) => tui_textarea::Key::Char(c),
            KeyCode::Backspace => tui_textarea::Key::Backspace,
            KeyCode::Delete => tui_textarea::Key::Delete,
            KeyCode::Left => tui_textarea::Key::Left,
            KeyCode::Right => tui_textarea::Key::Right,
            KeyCode::Home => tui_textarea::Key::Home,
            KeyCode::End => tui_textarea::Key::End,
            _ => return false,
        };
        self.area.input(Input {
            key: code,
            ctrl: has(KeyModifiers::CONTROL),
            alt: has(KeyModifiers::ALT),
            shift: has(KeyModifiers::SHIFT),
        })
    }
}

/// A line of the help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HelpLine {
    /// Title of a group.
    Heading(&'static str),
    /// An action with its keys.
    Keys(String, &'static str),
}

/// The help for a search: all actions whose title, name or keys have it, under their group.
#[must_use]
pub fn help_lines(state: &State, needle: &str) -> Vec<HelpLine> {
    let mut lines = Vec::new();
    for scope in Scope::ALL {
        let mut group = ACTIONS
            .iter()
            .filter(|e| e.scope == *scope)
            .map(|e| (e, state.settings.keymap.label(e.action)))
            .filter(|(e, keys)| found(e, keys, needle))
            .peekable();
        if group.peek().is_some() {
            lines.push(HelpLine::Heading(scope.title()));
            lines.extend(group.map(|(e, keys)| HelpLine::Keys(keys, e.title)));
        }
    }
    lines
}

/// Rows inside of the help's window: the search and the lines below it. A small screen is filled.
#[must_use]
pub fn help_rows(state: &State) -> u16 {
    let around = if state.height < 20 { 3 } else { 6 };
    state.height.saturating_sub(around).max(2)
}

/// A line of the disk-usage view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageLine<'a> {
    /// Titles of the images' columns.
    Images,
    /// An image.
    Image(&'a ImageUsage),
    /// Titles of the containers' columns.
    Containers,
    /// A container.
    Container(&'a ContainerUsage),
    /// Titles of the volumes' columns.
    Volumes,
    /// A volume.
    Volume(&'a VolumeUsage),
}

/// Images, then containers, then volumes, the largest first.
#[must_use]
pub fn usage_lines(state: &State) -> Vec<UsageLine<'_>> {
    let Some(data) = &state.usage.data else {
        return Vec::new();
    };
    let images = data.images.images.iter().map(UsageLine::Image);
    let containers = data.containers.containers.iter().map(UsageLine::Container);
    let volumes = data.volumes.iter().map(UsageLine::Volume);
    let heading = |line, some: bool| some.then_some(line);
    heading(UsageLine::Images, images.len() > 0)
        .into_iter()
        .chain(images)
        .chain(heading(UsageLine::Containers, containers.len() > 0))
        .chain(containers)
        .chain(heading(UsageLine::Volumes, volumes.len() > 0))
        .chain(volumes)
        .collect()
}

/// Actions that apply here and fit what is typed.
#[must_use]
pub fn palette_entries(state: &State, needle: &str) -> Vec<&'static Entry> {
    let scopes = state.scopes();
    ACTIONS
        .iter()
        .filter(|e| scopes.contains(&e.scope) && e.action != Action::Palette)
        .filter(|e| found(e, &state.settings.keymap.label(e.action), needle))
        .collect()
}

fn found(entry: &Entry, keys: &str, needle: &str) -> bool {
    needle.split_whitespace().all(|word| {
        text::contains(entry.title, word) || text::contains(entry.id, word) || keys == word
    })
}
