//! Two tables on the whole screen: two images beside each other, or which images of the store share which layers. Their lines
//! are made here from what the engine has found, never while drawing.

use std::collections::HashSet;
use std::sync::Arc;

use ratatui::layout::Rect;

use super::document::Fold;
use super::explorer::lines::{name_text, path_text};
use super::explorer::viewer::Viewer;
use super::explorer::{Explorer, Scroll, Shared, Target};
use super::jobs::Failure;
use super::layout::SMALLEST;
use super::role::Role;
use super::{QueryId, State, text};
use crate::engine::model::layers::diff::{At, Fate, Group, LayerFate};
use crate::engine::model::layers::{Diff, instruction};
use crate::engine::model::sharing::Sharing;

/// Two images that were compared.
#[derive(Debug)]
pub struct Pair {
    /// The first image.
    pub before: Shared,
    /// The second one.
    pub after: Shared,
    /// What is different.
    pub diff: Diff,
}

/// The same for many to look at.
#[derive(Debug, Clone)]
pub struct Compared(pub Arc<Pair>);

impl PartialEq for Compared {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Compared {
    /// Compares two images that have been read.
    #[must_use]
    pub fn of(before: Shared, after: Shared) -> Self {
        let diff = Diff::of(&before.image, &after.image);
        Self(Arc::new(Pair {
            before,
            after,
            diff,
        }))
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Which images of the store share which layers.
    Sharing,
    /// What the second image has otherwise than the first.
    Compare(Box<(Target, Target)>),
    /// The same of an image that has been read and of one that is named as the command line does.
    Against(Box<Against>),
}

/// An image that has been read, and the name of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Against {
    /// Where the image is.
    pub target: Target,
    /// The image.
    pub image: Shared,
    /// The other one.
    pub other: String,
    /// The other one is the first of the two.
    pub other_first: bool,
}

impl Against {
    /// Both names, in their order.
    #[must_use]
    pub fn names(&self) -> [String; 2] {
        let (shown, other) = (self.target.name(), self.other.clone());
        if self.other_first {
            [other, shown]
        } else {
            [shown, other]
        }
    }
}

/// What one comes back to.
#[derive(Debug)]
pub struct Behind {
    /// The image that was compared.
    pub explorer: Box<Explorer>,
    /// The tables that it was opened from.
    pub tables: Option<Box<Tables>>,
}

/// What the engine found.
#[derive(Debug)]
pub enum Found {
    /// Nothing yet.
    Nothing,
    /// Images and layers of the store.
    Sharing(Sharing),
    /// Two images, and what each line of the second table is about.
    Compared(Compared, Vec<Change>),
}

/// What a line of changes is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path, without a slash in front.
    pub path: Vec<u8>,
    /// The first image's entry.
    pub before: Option<At>,
    /// The second image's entry.
    pub after: Option<At>,
}

/// A column: its title, its width, and whether numbers stand in it.
pub type Column = (&'static str, u16, bool);

/// A line of a table.
#[derive(Debug, Default)]
pub struct Line {
    /// What stands in the columns.
    pub cells: Vec<(String, Role)>,
    /// In how many directories it is that are unfolded here.
    pub depth: u16,
    /// There is something in it, that is not shown or is.
    pub folded: Option<bool>,
}

/// A table whose last column has what room is left.
#[derive(Debug, Default)]
pub struct Table {
    /// What stands above it.
    pub title: String,
    /// Its columns but the last.
    pub columns: &'static [Column],
    /// The title of the last one.
    pub last: &'static str,
    /// Its lines.
    pub lines: Vec<Line>,
    /// The chosen one.
    pub scroll: Scroll,
}

/// The screen.
#[derive(Debug)]
pub struct Tables {
    /// What was asked.
    pub question: Question,
    /// wharf was started for it: whoever leaves it leaves wharf.
    pub alone: bool,
    /// The question to the engine.
    pub query: QueryId,
    /// Why there is no answer.
    pub failure: Option<Failure>,
    /// What came of it.
    pub found: Found,
    /// The line on top.
    pub headline: String,
    /// The tables.
    pub tables: [Table; 2],
    /// Which of them has the keys.
    pub focus: usize,
    /// A file that is read.
    pub viewer: Option<Viewer>,
    /// What they were opened from: whoever leaves them comes back to it.
    pub behind: Option<Behind>,
    /// Directories that came or went as one and are unfolded.
    unfolded: HashSet<Vec<u8>>,
}

/// Where its parts are; absent ones have no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Places {
    /// The bar on top, and the line below it.
    pub bar: Option<Rect>,
    /// The tables, with their borders.
    pub tables: [Option<Rect>; 2],
    /// The file that is read, in the place of the tables.
    pub viewer: Option<Rect>,
    /// The bottom line.
    pub footer: Option<Rect>,
}

impl Tables {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(question: Question, query: QueryId, alone: bool) -> Self {
        Self {
            question,
            alone,
            query,
            failure: None,
            found: Found::Nothing,
            headline: String::new(),
            tables: [Table::default(), Table::default()],
            focus: 0,
            viewer: None,
            behind: None,
            unfolded: HashSet::new(),
        }
    }

    /// What it is about.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.question {
            Question::Sharing => "images and their layers".to_owned(),
            Question::Compare(both) => format!("{} and {}", both.0.name(), both.1.name()),
            Question::Against(both) => both.names().join(" and "),
        }
    }

    /// Images and layers of the store.
    pub fn take_sharing(&mut self, sharing: Sharing) {
        self.headline = sharing.told();
        let images = sharing.images.iter().map(|image| {
            let used = match image.containers {
                0 => ("-".to_owned(), Role::Dim),
                many => (many.to_string(), Role::Good),
            };
            vec![
                (text::bytes(image.frees), Role::Warning),
                (text::bytes(image.size), Role::Text),
                used,
                (safe(&names(&image.tags, &image.name())), Role::Text),
            ]
        });
        let images = images.collect();
        let layers = sharing.layers.iter().map(|layer| {
            let role = match layer.images.len() {
                1 => Role::Dim,
                _ => Role::Text,
            };
            vec![
                (text::bytes(layer.size), Role::Text),
                (layer.images.len().to_string(), role),
                (layer.diff_id.short().to_owned(), Role::Dim),
                (safe(&sharing.names(layer).join(" ")), role),
                (safe(&instruction(&layer.command)), Role::Dim),
            ]
        });
        let layers = layers.collect();
        let title = format!("Images {}", sharing.images.len());
        self.tables[0].fill(title, IMAGES, "IMAGE", images);
        let title = format!("Layers {}", sharing.layers.len());
        self.tables[1].fill(title, LAYERS, "COMMAND", layers);
        self.found = Found::Sharing(sharing);
    }

    /// Two images beside each other.
    pub fn take_compared(&mut self, compared: Compared) {
        let pair = Arc::clone(&compared.0);
        let (before, after, diff) = (&pair.before.image, &pair.after.image, &pair.diff);
        self.headline = diff.told(before, after);
        let layers = diff.layers.iter().map(|change| {
            let of = |image: &crate::engine::model::layers::Explored, at: Option<u16>| {
                at.and_then(|at| image.layers.get(usize::from(at)).cloned())
            };
            let (old, new) = (of(before, change.before), of(after, change.after));
            let number = |at: Option<u16>| at.map_or("-".to_owned(), |at| at.to_string());
            let size = |bytes: Option<u64>| bytes.map_or("-".to_owned(), text::bytes);
            let command = new.as_ref().or(old.as_ref());
            let command = command.map_or(String::new(), |layer| instruction(&layer.command));
            let role = match change.fate {
                LayerFate::Shared | LayerFate::Moved => Role::Dim,
                LayerFate::Rebuilt => Role::Warning,
                LayerFate::Added => Role::Good,
                LayerFate::Removed => Role::Bad,
            };
            vec![
                (change.fate.as_str().to_owned(), role),
                (number(change.before), Role::Dim),
                (number(change.after), Role::Dim),
                (size(old.map(|layer| layer.size)), Role::Dim),
                (size(new.map(|layer| layer.size)), Role::Text),
                (safe(&command), role),
            ]
        });
        let layers = layers.collect();
        let title = format!("Layers {} and {}", diff.before.layers, diff.after.layers);
        self.tables[0].fill(title, COMPARED, "COMMAND", layers);
        let title = format!("Changes, {}", diff.counts());
        self.tables[1].fill(title, CHANGES, "PATH", Vec::new());
        self.focus = 1;
        self.found = Found::Compared(compared, Vec::new());
        self.list_changes();
    }

    /// Makes the lines of the changes; the cursor stays on its path.
    fn list_changes(&mut self) {
        let Found::Compared(compared, known) = &mut self.found else {
            return;
        };
        let chosen = known.get(self.tables[1].scroll.at).cloned();
        let (changes, lines) = changes(&compared.0, &self.unfolded);
        let at = chosen.and_then(|chosen| changes.iter().position(|change| *change == chosen));
        *known = changes;
        let table = &mut self.tables[1];
        table.lines = lines;
        table.scroll.go_to(at.unwrap_or(0), table.lines.len());
    }

    /// Folds or unfolds the directory that is chosen among the changes; false if there is nothing to do there.
    pub fn fold(&mut self, fold: Fold) -> bool {
        let Found::Compared(_, changes) = &self.found else {
            return false;
        };
        let [_, table] = &mut self.tables;
        let at = table.scroll.at;
        let (Some(line), Some(change), 1) = (table.lines.get(at), changes.get(at), self.focus)
        else {
            return false;
        };
        match (line.folded, fold) {
            (Some(true), Fold::Toggle | Fold::Open) => {
                self.unfolded.insert(change.path.clone());
            }
            (Some(false), Fold::Toggle | Fold::Close) => {
                self.unfolded.remove(&change.path);
            }
            (_, Fold::Close) if line.depth > 0 => {
                let depth = line.depth;
                let mut above = table.lines.iter().take(at);
                let above = above.rposition(|line| line.depth < depth);
                table.scroll.go_to(above.unwrap_or(0), table.lines.len());
                return true;
            }
            _ => return false,
        }
        self.list_changes();
        true
    }

    /// The table that has the keys.
    pub fn table(&mut self) -> &mut Table {
        let [first, second] = &mut self.tables;
        if self.focus == 0 { first } else { second }
    }

    /// The chosen line, to be copied: a change with its whole path.
    #[must_use]
    pub fn chosen_text(&self) -> Option<String> {
        let table = self.tables.get(self.focus)?;
        let line = table.lines.get(table.scroll.at)?;
        let mut cells: Vec<String> = line.cells.iter().map(|cell| cell.0.clone()).collect();
        if let (Found::Compared(_, changes), 1, true) = (&self.found, self.focus, line.depth > 0)
            && let (Some(change), Some(last)) = (changes.get(table.scroll.at), cells.last_mut())
        {
            *last = path_text(&change.path);
        }
        Some(cells.join("\t"))
    }

    /// Moves the cursor of the table that has the keys.
    pub fn step(&mut self, lines: isize) {
        let table = self.table();
        table.scroll.step(lines, table.lines.len());
    }

    /// Divides the screen.
    #[must_use]
    pub fn places(&self, area: Rect, state: &State) -> Places {
        if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
            return Places::default();
        }
        let bar_height = if area.height >= 12 { 2 } else { 0 };
        let footer = Rect {
            y: area.bottom() - 1,
            height: 1,
            ..area
        };
        let body = Rect {
            y: area.y + bar_height,
            height: footer.y - area.y - bar_height,
            ..area
        };
        let mut found = Places {
            bar: (bar_height > 0).then_some(Rect {
                height: bar_height,
                ..area
            }),
            footer: Some(footer),
            ..Places::default()
        };
        if self.viewer.is_some() {
            found.viewer = Some(body);
        } else if self.failure.is_some() {
            found.tables[0] = Some(body);
        } else if state.zoom || body.height < 12 {
            found.tables[self.focus.min(1)] = Some(body);
        } else {
            let lines = u16::try_from(self.tables[0].lines.len()).unwrap_or(u16::MAX);
            let height = lines.saturating_add(3).clamp(6, body.height * 2 / 5);
            found.tables[0] = Some(Rect { height, ..body });
            found.tables[1] = Some(Rect {
                y: body.y + height,
                height: body.height - height,
                ..body
            });
        }
        found
    }
}

impl Table {
    fn fill(
        &mut self,
        title: String,
        columns: &'static [Column],
        last: &'static str,
        lines: Vec<Vec<(String, Role)>>,
    ) {
        self.title = title;
        self.columns = columns;
        self.last = last;
        let line = |cells| Line {
            cells,
            ..Line::default()
        };
        self.lines = lines.into_iter().map(line).collect();
        self.scroll.go_to(0, self.lines.len());
    }
}

const IMAGES: &[Column] = &[("FREES", 6, true), ("SIZE", 6, true), ("USED", 4, true)];
const LAYERS: &[Column] = &[
    ("SIZE", 6, true),
    ("IMAGES", 6, true),
    ("LAYER", 12, false),
    ("SHARED BY", 30, false),
];
const COMPARED: &[Column] = &[
    ("LAYER", 8, false),
    ("FROM", 4, true),
    ("TO", 4, true),
    ("BEFORE", 6, true),
    ("AFTER", 6, true),
];
const CHANGES: &[Column] = &[
    ("CHANGE", 10, false),
    ("BYTES", 7, true),
    ("BEFORE", 6, true),
    ("AFTER", 6, true),
    ("PATHS", 5, true),
];

/// What is different, line by line: a directory that came or went as one is a line, and those below it where it is unfolded.
fn changes(pair: &Pair, unfolded: &HashSet<Vec<u8>>) -> (Vec<Change>, Vec<Line>) {
    let (mut changes, mut lines) = (Vec::new(), Vec::new());
    let mut groups = pair.diff.groups();
    // What has another time alone is no change that anybody looks for.
    groups.retain(|group| group.top.fate != Fate::Time);
    let mut open: Vec<(u16, Group<'_>)> = groups.into_iter().rev().map(|one| (0, one)).collect();
    while let Some((depth, group)) = open.pop() {
        let change = group.top;
        let is_open = group.paths > 1 && unfolded.contains(&change.path);
        lines.push(Line {
            cells: change_cells(pair, &group, depth),
            depth,
            folded: (group.paths > 1).then_some(!is_open),
        });
        changes.push(Change {
            path: change.path.clone(),
            before: change.before,
            after: change.after,
        });
        if is_open {
            let inside = pair.diff.inside(&change.path).into_iter().rev();
            open.extend(inside.map(|one| (depth + 1, one)));
        }
    }
    (changes, lines)
}

fn change_cells(pair: &Pair, group: &Group<'_>, depth: u16) -> Vec<(String, Role)> {
    let change = group.top;
    let size = |there: bool, bytes: u64| {
        if there {
            text::bytes(bytes)
        } else {
            "-".to_owned()
        }
    };
    let count = match group.paths {
        1 => String::new(),
        many => many.to_string(),
    };
    let role = match change.fate {
        Fate::Added | Fate::Grown => Role::Good,
        Fate::Removed | Fate::Shrunk => Role::Bad,
        Fate::Content | Fate::Kind => Role::Warning,
        Fate::Attributes | Fate::Time => Role::Dim,
    };
    let differs = change.told(&pair.before.image, &pair.after.image);
    let shown = if depth == 0 {
        path_text(&change.path)
    } else {
        // What is above it stands above it.
        let name = change.path.rsplit(|b| *b == b'/').next();
        name_text(name.unwrap_or_default())
    };
    let shown = match differs.as_str() {
        "" => shown,
        differs => format!("{shown}  {differs}"),
    };
    let signed = group.bytes_after.abs_diff(group.bytes_before);
    let sign = match group.bytes_after.cmp(&group.bytes_before) {
        std::cmp::Ordering::Less => "-",
        std::cmp::Ordering::Equal => "",
        std::cmp::Ordering::Greater => "+",
    };
    vec![
        (change.fate.as_str().to_owned(), role),
        (format!("{sign}{}", text::bytes(signed)), role),
        (size(change.before.is_some(), group.bytes_before), Role::Dim),
        (size(change.after.is_some(), group.bytes_after), Role::Text),
        (count, Role::Dim),
        (shown, Role::Text),
    ]
}

fn names(tags: &[String], name: &str) -> String {
    match tags {
        [_, _, ..] => tags.join(" "),
        _ => name.to_owned(),
    }
}

fn safe(shown: &str) -> String {
    text::sanitise(shown).into_owned()
}
