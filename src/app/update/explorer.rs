//! What keys, clicks and news do to the layer explorer.

use std::time::Duration;

use super::super::action::Action;
use super::super::document::{DocLine, Fold};
use super::super::explorer::{Explorer, Findings, Looked, News, Part, Target, layout, lines};
use super::super::form::Form;
use super::super::jobs::Failure;
use super::super::layout::list_parts;
use super::super::overlay::{Field, Overlay, Prompt, Purpose};
use super::super::{Answer, Effect, Mouse, MouseKind, Pane, Query, QueryId, Severity, State};
use super::images::known_names;
use super::reading;
use crate::engine::model::layers::listing::Mark;

impl State {
    /// Looks into an image. `alone`: leaving the explorer leaves wharf.
    pub fn explore(&mut self, target: Target, alone: bool) {
        let generation = self.next_id();
        let name = target.name();
        self.log_command(format!("wharf layers {name}"), None);
        self.zoom = false;
        self.explorer = Some(Box::new(Explorer::new(target, generation, alone)));
    }
}

pub(super) fn open(state: &mut State) {
    let name = state
        .images
        .selected()
        .map(|row| row.reference().to_owned());
    if let Some(name) = name {
        state.explore(Target::Stored(name), false);
    }
}

pub(super) fn take(state: &mut State, generation: u64, news: News) {
    let explorer = state.explorer.as_mut();
    if let Some(explorer) = explorer.filter(|e| e.generation == generation) {
        let failure = match &news {
            News::Failed(failure) => Some(failure.clone()),
            _ => None,
        };
        explorer.take(news);
        if let Some(failure) = failure {
            state.fail(failure);
        }
    }
}

/// What depends on the size of the screen.
pub(super) fn settle(state: &mut State) {
    let Some(mut explorer) = state.explorer.take() else {
        return;
    };
    let found = layout::places(state.area(), state, &explorer);
    let rows = |rect: Option<ratatui::layout::Rect>| {
        rect.map(|rect| usize::from(list_parts(rect).1.height))
    };
    if let (Some(rect), Some(viewer)) = (found.viewer, explorer.viewer.as_mut()) {
        let count = viewer.count();
        let height = super::super::layout::inside(rect).height;
        viewer.scroll.set_height(height.into(), count);
    }
    if let Some(height) = rows(found.layers) {
        explorer.layer.set_height(height, explorer.layers.len());
    }
    if let Some(height) = rows(found.tree) {
        explorer.tree.set_height(height);
    }
    if let Some(height) = rows(found.waste) {
        let count = explorer
            .image
            .as_ref()
            .map_or(0, |image| image.hidden.len());
        explorer.waste.set_height(height, count);
    }
    if let Some(height) = rows(found.findings) {
        let count = explorer.found().len();
        explorer.finding.set_height(height, count);
    }
    state.explorer = Some(explorer);
}

/// What an action does while the explorer is open; false if it means what it always does.
pub(super) fn act(state: &mut State, action: Action, effects: &mut Vec<Effect>) -> bool {
    let Some(mut explorer) = state.explorer.take() else {
        return false;
    };
    let done = on_action(state, &mut explorer, action, effects);
    match done {
        Done::Stay => state.explorer = Some(explorer),
        Done::Leave if explorer.alone => {
            state.explorer = Some(explorer);
            effects.push(Effect::Quit);
        }
        Done::Leave => state.zoom = false,
        Done::NotMine => {
            state.explorer = Some(explorer);
            return false;
        }
    }
    true
}

enum Done {
    Stay,
    Leave,
    NotMine,
}

fn on_action(
    state: &mut State,
    explorer: &mut Explorer,
    action: Action,
    effects: &mut Vec<Effect>,
) -> Done {
    if let Some(done) = reading::on_action(state, explorer, action, effects) {
        return if done { Done::Stay } else { Done::NotMine };
    }
    let image = explorer.image_of_layer().cloned();
    let image = image.as_deref();
    let page = isize::try_from(page(explorer)).unwrap_or(1);
    match action {
        Action::Up => explorer.step(-1),
        Action::Down => explorer.step(1),
        Action::Top => explorer.step(isize::MIN),
        Action::Bottom => explorer.step(isize::MAX),
        Action::PageUp => explorer.step(-page),
        Action::PageDown => explorer.step(page),
        Action::HalfPageUp => explorer.step(-(page / 2).max(1)),
        Action::HalfPageDown => explorer.step((page / 2).max(1)),
        Action::ScrollUp => explorer.tree.scroll(-3),
        Action::ScrollDown => explorer.tree.scroll(3),
        Action::FocusNext => next_part(explorer, 1),
        Action::FocusPrevious => next_part(explorer, -1),
        Action::Zoom => state.zoom = !state.zoom,
        Action::ExploreLayerNext | Action::TabNext => {
            explorer.step_layer(1);
        }
        Action::ExploreLayerPrevious | Action::TabPrevious => {
            explorer.step_layer(-1);
        }
        Action::ExploreOpen => open_chosen(state, explorer, effects),
        Action::ExploreView => reading::view(state, explorer, effects),
        Action::ExploreDiff => reading::compare(state, explorer, effects),
        Action::ExploreExtract => reading::extract(state, explorer),
        Action::ExploreCompare => ask_other(state, explorer),
        Action::ExploreHex | Action::ExploreNext | Action::ExplorePrevious => {}
        Action::ExploreFold => fold(explorer, Fold::Toggle),
        Action::ExploreLeft => match explorer.part {
            Part::Layers => {}
            Part::Tree => {
                let left = image.is_some_and(|image| explorer.tree.fold(image, Fold::Close));
                if !left {
                    explorer.part = Part::Layers;
                }
            }
            Part::Waste | Part::Findings => explorer.part = Part::Tree,
        },
        Action::ExploreRight => match explorer.part {
            Part::Layers => explorer.part = Part::Tree,
            Part::Tree => fold(explorer, Fold::Open),
            Part::Waste => explorer.jump(true),
            Part::Findings => jump_to_finding(state, explorer, true),
        },
        Action::ExploreFoldAll => with(image, |image| explorer.tree.fold_all(image)),
        Action::ExploreWhole => with(image, |image| explorer.tree.turn(image)),
        Action::ExploreSort => with(image, |image| explorer.tree.sort_next(image)),
        Action::ExploreAdded => marks(explorer, &[Mark::Added]),
        Action::ExploreModified => marks(explorer, &[Mark::Modified, Mark::Again]),
        Action::ExploreRemoved => marks(explorer, &[Mark::Removed]),
        Action::ExploreUnmodified => marks(explorer, &[Mark::Unmodified]),
        Action::ExploreWastedOnly => with(image, |image| {
            let only = !explorer.tree.wasted_only();
            explorer.tree.set_wasted_only(image, only);
        }),
        Action::ExploreAttributes => explorer.tree.attributes = !explorer.tree.attributes,
        Action::ExploreWaste => toggle_waste(state, explorer),
        Action::ExploreFindings => toggle_findings(state, explorer, effects),
        Action::ExploreFilter => {
            let before = explorer.tree.filter.clone();
            state.overlays.push(Overlay::Prompt(Prompt {
                field: Field::new(&before),
                purpose: Purpose::Explorer { before },
            }));
        }
        Action::ExploreFacts => {
            let lines = lines::facts(explorer).iter().map(DocLine::text).collect();
            state.overlays.push(Overlay::Message {
                title: "What is known".to_owned(),
                lines,
            });
        }
        Action::ExploreCopyPath => effects.extend(path_to_copy(explorer).map(Effect::Copy)),
        Action::ExploreCopyDigest => {
            let layer = explorer.layers.get(explorer.layer.at);
            effects.extend(layer.map(|layer| Effect::Copy(layer.diff_id.to_string())));
        }
        Action::Back => return back(state, explorer),
        Action::ExploreClose => return Done::Leave,
        Action::PaneContainers
        | Action::PaneImages
        | Action::PaneVolumes
        | Action::PaneNetworks => return leave_for(state, explorer, action),
        _ => return Done::NotMine,
    }
    Done::Stay
}

fn with(image: Option<&Looked>, act: impl FnOnce(&Looked)) {
    if let Some(image) = image {
        act(image);
    }
}

fn page(explorer: &Explorer) -> usize {
    let height = match explorer.part {
        Part::Layers => explorer.layer.height,
        Part::Tree => explorer.tree.scroll.height,
        Part::Waste => explorer.waste.height,
        Part::Findings => explorer.finding.height,
    };
    height.saturating_sub(1).max(1)
}

fn next_part(explorer: &mut Explorer, step: isize) {
    let parts: &[Part] = if explorer.waste_shown {
        &[Part::Layers, Part::Tree, Part::Waste]
    } else if explorer.findings_shown {
        &[Part::Layers, Part::Tree, Part::Findings]
    } else {
        &[Part::Layers, Part::Tree]
    };
    let now = parts.iter().position(|part| *part == explorer.part);
    let next = match step {
        ..0 => now.unwrap_or(0) + parts.len() - 1,
        _ => now.unwrap_or(0) + 1,
    };
    if let Some(part) = parts.get(next % parts.len()) {
        explorer.part = *part;
    }
}

fn open_chosen(state: &mut State, explorer: &mut Explorer, effects: &mut Vec<Effect>) {
    match explorer.part {
        Part::Layers => explorer.part = Part::Tree,
        Part::Tree if reading::is_file(explorer) => reading::view(state, explorer, effects),
        Part::Tree => fold(explorer, Fold::Toggle),
        Part::Waste => explorer.jump(false),
        Part::Findings => {
            let has_line = explorer.chosen_finding().is_some_and(|f| f.line.is_some());
            if !(has_line && reading::view_finding(state, explorer, effects)) {
                jump_to_finding(state, explorer, false);
            }
        }
    }
}

fn fold(explorer: &mut Explorer, fold: Fold) {
    if explorer.part != Part::Tree {
        return;
    }
    if let Some(image) = explorer.image_of_layer().cloned() {
        explorer.tree.fold(&image, fold);
    }
}

fn marks(explorer: &mut Explorer, marks: &[Mark]) {
    if let Some(image) = explorer.image_of_layer().cloned() {
        explorer.tree.toggle_marks(&image, marks);
    }
}

fn toggle_waste(state: &mut State, explorer: &mut Explorer) {
    if explorer.waste_shown && explorer.part == Part::Waste {
        return close_list(explorer);
    }
    let nothing = explorer
        .image
        .as_ref()
        .is_some_and(|image| explorer.whole && image.hidden.is_empty());
    if nothing {
        return state.tell(Severity::Good, "no byte of it is hidden".to_owned());
    }
    explorer.findings_shown = false;
    explorer.waste_shown = true;
    explorer.part = Part::Waste;
}

/// Opens or closes the list of findings; files are read for it when it is opened for the first time.
fn toggle_findings(state: &mut State, explorer: &mut Explorer, effects: &mut Vec<Effect>) {
    if explorer.findings_shown && explorer.part == Part::Findings {
        return close_list(explorer);
    }
    let Some(image) = explorer.image.clone().filter(|_| explorer.whole) else {
        let text = "findings are looked for when all layers have been read".to_owned();
        return state.tell(Severity::Info, text);
    };
    explorer.waste_shown = false;
    explorer.findings_shown = true;
    explorer.part = Part::Findings;
    if matches!(explorer.findings, Findings::Unasked | Findings::Failed(_)) {
        let id = QueryId(state.next_id());
        explorer.findings = Findings::Asked(id);
        effects.push(Effect::Query {
            id,
            query: Query::Findings(image),
            after: Duration::ZERO,
        });
    }
}

fn close_list(explorer: &mut Explorer) {
    explorer.waste_shown = false;
    explorer.findings_shown = false;
    explorer.part = Part::Tree;
}

fn jump_to_finding(state: &mut State, explorer: &mut Explorer, to_hiding: bool) {
    let is_somewhere = explorer.jump_to_finding(to_hiding);
    if !is_somewhere && explorer.chosen_finding().is_some() {
        let text = "it is in the configuration, in no layer".to_owned();
        state.tell(Severity::Info, text);
    }
}

/// Asks which image to compare the shown one with.
fn ask_other(state: &mut State, explorer: &Explorer) {
    let Some(image) = explorer.image.clone().filter(|_| explorer.whole) else {
        let text = "images are compared when all layers have been read".to_owned();
        return state.tell(Severity::Info, text);
    };
    let mut names = known_names(state);
    names.retain(|name| *name != explorer.target.name());
    let form = Form::compare(explorer.target.clone(), image, names);
    state.overlays.push(Overlay::Form(form));
}

/// The explorer that is shown, or that tables stand before.
fn explorer_of(state: &mut State) -> Option<&mut Explorer> {
    match (&mut state.explorer, &mut state.tables) {
        (Some(explorer), _) => Some(explorer),
        (None, Some(tables)) => tables.behind.as_mut().map(|behind| &mut *behind.explorer),
        (None, None) => None,
    }
}

/// An explorer waits for this answer.
pub(super) fn awaits_findings(state: &mut State, id: QueryId) -> bool {
    let explorer = explorer_of(state);
    explorer.is_some_and(|e| matches!(e.findings, Findings::Asked(asked) if asked == id))
}

/// What was found.
pub(super) fn take_findings(state: &mut State, answer: Result<Answer, Failure>) {
    let Some(explorer) = explorer_of(state) else {
        return;
    };
    match answer {
        Ok(Answer::Findings(found, let_be)) => explorer.take_findings(found, let_be),
        Ok(_) => {}
        Err(failure) => {
            explorer.findings = Findings::Failed(failure.clone());
            state.fail(failure);
        }
    }
}

fn path_to_copy(explorer: &Explorer) -> Option<String> {
    let image = explorer.image.as_ref()?;
    let path = match explorer.part {
        Part::Layers => {
            let layer = explorer.layers.get(explorer.layer.at)?;
            return Some(crate::engine::model::layers::instruction(&layer.command));
        }
        Part::Tree => image.image.stack.tree.path(explorer.tree.chosen()?),
        Part::Waste => explorer.chosen_waste()?.path.clone(),
        Part::Findings => return Some(explorer.chosen_finding()?.place()),
    };
    Some(format!("/{}", String::from_utf8_lossy(&path)))
}

/// One step back: message, filter, list of what is hidden, zoom, then out.
fn back(state: &mut State, explorer: &mut Explorer) -> Done {
    if state.notice.take().is_some() {
        return Done::Stay;
    }
    if !explorer.tree.filter.is_empty() {
        let image = explorer.image_of_layer().cloned();
        explorer.tree.set_filter(image.as_deref(), "");
    } else if matches!(explorer.part, Part::Waste | Part::Findings) {
        close_list(explorer);
    } else if state.zoom {
        state.zoom = false;
    } else if explorer.part == Part::Tree {
        explorer.part = Part::Layers;
    } else {
        return Done::Leave;
    }
    Done::Stay
}

/// The panes are below: going to one of them leaves the explorer.
fn leave_for(state: &mut State, explorer: &Explorer, action: Action) -> Done {
    if explorer.alone {
        return Done::Stay;
    }
    let pane = match action {
        Action::PaneContainers => Pane::Containers,
        Action::PaneVolumes => Pane::Volumes,
        Action::PaneNetworks => Pane::Networks,
        _ => Pane::Images,
    };
    super::actions::go_to(state, pane);
    Done::Leave
}

/// The filter was typed, or is as it was before.
pub(super) fn set_filter(state: &mut State, text: &str) {
    if let Some(explorer) = &mut state.explorer {
        let image = explorer.image_of_layer().cloned();
        explorer.tree.set_filter(image.as_deref(), text);
    }
}

/// The list can be walked while one types.
pub(super) fn step(state: &mut State, lines: isize) {
    if let Some(explorer) = &mut state.explorer {
        explorer.tree.step(lines);
    }
}

pub(super) fn on_mouse(state: &mut State, mouse: Mouse, effects: &mut Vec<Effect>) {
    let Some(explorer) = &state.explorer else {
        return;
    };
    let found = layout::places(state.area(), state, explorer);
    let at = ratatui::layout::Position::new(mouse.x, mouse.y);
    let rows: isize = match mouse.kind {
        MouseKind::WheelUp => -3,
        MouseKind::WheelDown => 3,
        MouseKind::Press => 0,
    };
    if let (Some(rect), Some(explorer)) = (found.viewer, state.explorer.as_mut())
        && rect.contains(at)
        && let Some(viewer) = &mut explorer.viewer
    {
        return viewer.step(rows);
    }
    let places = [
        (Part::Layers, found.layers),
        (Part::Tree, found.tree),
        (Part::Waste, found.waste),
        (Part::Findings, found.findings),
    ];
    let hit = places
        .into_iter()
        .find_map(|(part, rect)| Some((part, rect.filter(|rect| rect.contains(at))?)));
    let Some((part, rect)) = hit else {
        return;
    };
    let body = list_parts(rect).1;
    let line = body.contains(at).then(|| usize::from(mouse.y - body.y));
    let Some(explorer) = &mut state.explorer else {
        return;
    };
    if rows != 0 {
        match part {
            Part::Layers => {
                explorer.step_layer(rows.signum());
            }
            Part::Tree => explorer.tree.scroll(rows),
            Part::Waste => {
                let count = explorer
                    .image
                    .as_ref()
                    .map_or(0, |image| image.hidden.len());
                explorer.waste.scroll(rows, count);
            }
            Part::Findings => {
                let count = explorer.found().len();
                explorer.finding.scroll(rows, count);
            }
        }
        return;
    }
    let again = explorer.part == part;
    explorer.part = part;
    let Some(line) = line else {
        return;
    };
    match part {
        Part::Layers => {
            let first = explorer.first_layer_line(explorer.layer.height);
            if let Some(layer) = explorer.layer_at_line(first + line) {
                let step = isize::try_from(layer).unwrap_or(0)
                    - isize::try_from(explorer.layer.at).unwrap_or(0);
                explorer.step_layer(step);
            }
        }
        Part::Tree => {
            let line = explorer.tree.scroll.top + line;
            // A click on what is chosen folds or unfolds it.
            if again && line == explorer.tree.scroll.at {
                act(state, Action::ExploreFold, effects);
            } else {
                explorer.tree.select(line);
            }
        }
        Part::Waste => {
            let count = explorer
                .image
                .as_ref()
                .map_or(0, |image| image.hidden.len());
            let line = explorer.waste.top + line;
            if line < count {
                explorer.waste.go_to(line, count);
            }
        }
        Part::Findings => {
            let (line, count) = (explorer.finding.top + line, explorer.found().len());
            if line < count {
                explorer.finding.go_to(line, count);
            }
        }
    }
}
