//! What keys, clicks and answers do to the tables of two images, or of the store.

use std::time::Duration;

use super::super::action::Action;
use super::super::document::Fold;
use super::super::explorer::Target;
use super::super::explorer::viewer::{Subject, Viewer};
use super::super::jobs::Failure;
use super::super::layout::{inside, list_parts};
use super::super::tables::{Against, Behind, Found, Question, Tables};
use super::super::{Answer, Effect, Mouse, MouseKind, Query, QueryId, Severity, State};
use super::reading;

impl State {
    /// Opens the tables that answer a question. `alone`: leaving them leaves wharf.
    pub fn ask_tables(&mut self, question: Question, alone: bool) -> Effect {
        let query = QueryId(self.next_id());
        let line = match &question {
            Question::Sharing => "wharf layers shared".to_owned(),
            Question::Compare(both) => {
                format!("wharf layers diff {} {}", both.0.name(), both.1.name())
            }
            Question::Against(both) => format!("wharf layers diff {}", both.names().join(" ")),
        };
        self.log_command(line, None);
        self.zoom = false;
        self.tables = Some(Box::new(Tables::new(question.clone(), query, alone)));
        Effect::Query {
            id: query,
            query: Query::Tables(Box::new(question)),
            after: Duration::ZERO,
        }
    }
}

pub(super) fn open_sharing(state: &mut State, effects: &mut Vec<Effect>) {
    let effect = state.ask_tables(Question::Sharing, false);
    effects.push(effect);
}

/// Compares the two images that are marked, or the marked one with the chosen one: the older first.
pub(super) fn open_compare(state: &mut State, effects: &mut Vec<Effect>) {
    let mut both: Vec<_> = state.images.targets();
    let chosen = state.images.selected();
    if let ([one], Some(chosen)) = (both.as_slice(), chosen)
        && one.summary.id != chosen.summary.id
    {
        both.push(chosen);
    }
    both.sort_by_key(|row| row.summary.created);
    // By the first of its names: an id says nothing to anybody.
    let name = |row: &&super::super::images::ImageRow| {
        let tag = row.summary.tags.first().map(String::as_str);
        tag.unwrap_or(row.reference()).to_owned()
    };
    let names: Vec<String> = both.iter().map(name).collect();
    let [before, after] = names.as_slice() else {
        let text = "mark two images with space, or one and go to the other".to_owned();
        return state.tell(Severity::Info, text);
    };
    let target = |name: &String| Target::Stored(name.clone());
    let question = Question::Compare(Box::new((target(before), target(after))));
    let effect = state.ask_tables(question, false);
    effects.push(effect);
}

/// Compares the image that is looked into with another one; leaving that leads back to it.
pub(super) fn open_against(state: &mut State, against: Against, effects: &mut Vec<Effect>) {
    let Some(explorer) = state.explorer.take() else {
        return;
    };
    let tables = state.tables.take();
    let question = Question::Against(Box::new(against));
    let effect = state.ask_tables(question, explorer.alone);
    effects.push(effect);
    if let Some(opened) = &mut state.tables {
        opened.behind = Some(Behind { explorer, tables });
    }
}

/// The open tables wait for this answer.
pub(super) fn awaits(state: &State, id: QueryId) -> bool {
    let tables = state.tables.as_ref();
    tables.is_some_and(|tables| {
        tables.query == id || tables.viewer.as_ref().is_some_and(|v| v.query == id)
    })
}

/// What the engine found, or read.
pub(super) fn take(state: &mut State, id: QueryId, answer: Result<Answer, Failure>) {
    let Some(tables) = state.tables.as_mut() else {
        return;
    };
    match (answer, tables.viewer.as_mut()) {
        (Ok(Answer::Files(starts)), Some(viewer)) => viewer.take(starts),
        (Err(failure), Some(viewer)) if viewer.query == id => viewer.failure = Some(failure),
        (Ok(Answer::Sharing(sharing)), _) => tables.take_sharing(sharing),
        (Ok(Answer::Compared(compared)), _) => tables.take_compared(compared),
        (Ok(_), _) => {}
        (Err(failure), _) => {
            tables.failure = Some(failure.clone());
            state.fail(failure);
        }
    }
}

/// What depends on the size of the screen.
pub(super) fn settle(state: &mut State) {
    let Some(mut tables) = state.tables.take() else {
        return;
    };
    let found = tables.places(state.area(), state);
    if let (Some(rect), Some(viewer)) = (found.viewer, tables.viewer.as_mut()) {
        let count = viewer.count();
        viewer.scroll.set_height(inside(rect).height.into(), count);
    }
    for (table, rect) in tables.tables.iter_mut().zip(found.tables) {
        if let Some(rect) = rect {
            let height = list_parts(rect).1.height;
            table.scroll.set_height(height.into(), table.lines.len());
        }
    }
    state.tables = Some(tables);
}

/// What an action does while the tables are open; false if it means what it always does.
pub(super) fn act(state: &mut State, action: Action, effects: &mut Vec<Effect>) -> bool {
    let Some(mut tables) = state.tables.take() else {
        return false;
    };
    if let Some(viewer) = tables.viewer.as_mut() {
        let done = reading::on_viewer(state, viewer, action, effects);
        if done == reading::Done::Close {
            tables.viewer = None;
        }
        state.tables = Some(tables);
        return done != reading::Done::NotMine;
    }
    let page = isize::try_from(tables.table().scroll.height.saturating_sub(1).max(1));
    let page = page.unwrap_or(1);
    let mut leave = false;
    match action {
        Action::Up => tables.step(-1),
        Action::Down => tables.step(1),
        Action::Top => tables.step(isize::MIN),
        Action::Bottom => tables.step(isize::MAX),
        Action::PageUp => tables.step(-page),
        Action::PageDown => tables.step(page),
        Action::HalfPageUp => tables.step(-(page / 2).max(1)),
        Action::HalfPageDown => tables.step((page / 2).max(1)),
        Action::FocusNext | Action::FocusPrevious => tables.focus = 1 - tables.focus.min(1),
        Action::Zoom => state.zoom = !state.zoom,
        Action::TablesOpen => {
            let is_folded = tables.fold(Fold::Toggle);
            if !is_folded {
                open_line(state, &mut tables, effects);
            }
        }
        Action::TablesFold => {
            tables.fold(Fold::Toggle);
        }
        Action::TablesLeft => {
            tables.fold(Fold::Close);
        }
        Action::TablesRight => {
            tables.fold(Fold::Open);
        }
        Action::TablesCopy => effects.extend(tables.chosen_text().map(Effect::Copy)),
        Action::Back if state.notice.take().is_some() => {}
        Action::Back if state.zoom => state.zoom = false,
        Action::Back | Action::TablesClose => leave = true,
        Action::PaneContainers
        | Action::PaneImages
        | Action::PaneVolumes
        | Action::PaneNetworks
            if !tables.alone =>
        {
            return false;
        }
        action if reading::is_everywhere(action) => {
            state.tables = Some(tables);
            return false;
        }
        _ => {}
    }
    if leave && let Some(behind) = tables.behind.take() {
        state.zoom = false;
        state.explorer = Some(behind.explorer);
        state.tables = behind.tables;
        return true;
    }
    if leave && tables.alone {
        effects.push(Effect::Quit);
    }
    if leave && !tables.alone {
        state.zoom = false;
    } else {
        state.tables = Some(tables);
    }
    true
}

/// An image of the store is looked into; a file that both images have is compared, one that one of them has is read.
fn open_line(state: &mut State, tables: &mut Tables, effects: &mut Vec<Effect>) {
    let at = tables.table().scroll.at;
    match &tables.found {
        Found::Nothing => {}
        Found::Sharing(sharing) => {
            let image = match tables.focus {
                0 => sharing.images.get(at),
                // The only one that has the layer, or the first of them.
                _ => sharing.layers.get(at).and_then(|layer| {
                    let first = layer.images.first()?;
                    sharing.images.get(*first)
                }),
            };
            if let Some(image) = image {
                state.explore(Target::Stored(image.id.to_string()), false);
            }
        }
        Found::Compared(..) if tables.focus == 0 => {
            let text = "layers are compared; enter reads a changed file".to_owned();
            state.tell(Severity::Info, text);
        }
        Found::Compared(compared, changes) => {
            let Some((old, new)) = changes.get(at).map(|change| (change.before, change.after))
            else {
                return;
            };
            let pair = &compared.0;
            let file = |image: &super::super::explorer::Shared, at: Option<(u16, u32)>| {
                at.filter(|at| image.image.stack.file_of(*at).is_some())
            };
            let (old, new) = (file(&pair.before, old), file(&pair.after, new));
            let of = |image: &super::super::explorer::Shared, at: (u16, u32)| {
                let entry = image.image.stack.entry(at);
                (entry.path.clone(), (image.clone(), at))
            };
            let before = old.map(|at| of(&pair.before, at));
            let after = new.map(|at| of(&pair.after, at));
            let Some(path) = after
                .as_ref()
                .or(before.as_ref())
                .map(|(path, _)| path.clone())
            else {
                return state.tell(Severity::Info, "there is no file to read".to_owned());
            };
            let subject = match (old, new) {
                (Some(old), Some(new)) => Subject::Pair(old, new),
                (Some(at), None) | (None, Some(at)) => Subject::File(at),
                (None, None) => return,
            };
            let files = [before, after].into_iter().flatten();
            let id = QueryId(state.next_id());
            tables.viewer = Some(Viewer::new(&path, subject, id));
            effects.push(Effect::Query {
                id,
                query: Query::FilesOf(files.map(|(_, file)| file).collect()),
                after: Duration::ZERO,
            });
        }
    }
}

pub(super) fn on_mouse(state: &mut State, mouse: Mouse) {
    let Some(tables) = &state.tables else {
        return;
    };
    let found = tables.places(state.area(), state);
    let at = ratatui::layout::Position::new(mouse.x, mouse.y);
    let rows: isize = match mouse.kind {
        MouseKind::WheelUp => -3,
        MouseKind::WheelDown => 3,
        MouseKind::Press => 0,
    };
    let Some(tables) = &mut state.tables else {
        return;
    };
    if let Some(viewer) = &mut tables.viewer {
        return viewer.step(rows);
    }
    for (place, rect) in found.tables.into_iter().enumerate() {
        let Some(body) = rect
            .filter(|rect| rect.contains(at))
            .map(|r| list_parts(r).1)
        else {
            continue;
        };
        let Some(table) = tables.tables.get_mut(place) else {
            return;
        };
        let count = table.lines.len();
        if rows != 0 {
            table.scroll.scroll(rows, count);
            return;
        }
        if body.contains(at) {
            let line = table.scroll.top + usize::from(mouse.y - body.y);
            if line < count {
                table.scroll.go_to(line, count);
            }
        }
        tables.focus = place;
        return;
    }
}
