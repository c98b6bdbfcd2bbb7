//! Files of an image that is looked into: reading them, comparing them between layers, writing them to disk.

use std::path::PathBuf;
use std::time::Duration;

use super::super::action::Action;
use super::super::explorer::lines::path_text;
use super::super::explorer::viewer::{Subject, Viewer};
use super::super::explorer::{Explorer, Part};
use super::super::form::Form;
use super::super::jobs::{Extract, Failure};
use super::super::overlay::{Field, Overlay, Prompt, Purpose};
use super::super::{Answer, Effect, Query, QueryId, Severity, State};
use crate::engine::model::layers::Kind;
use crate::engine::model::layers::listing::{Extent, Mark, entries_below, last_two};
use crate::engine::model::layers::tree::{NodeId, ROOT};

/// The cursor is on a file, or on another name of one.
pub(super) fn is_file(explorer: &Explorer) -> bool {
    chosen_file(explorer).is_some()
}

fn chosen_file(explorer: &Explorer) -> Option<(NodeId, (u16, u32))> {
    let image = explorer.image_of_layer()?;
    let node = explorer.tree.chosen()?;
    let at = explorer.tree.facts().get(node).entry?;
    image.image.stack.file_of(at)?;
    Some((node, at))
}

/// Reads the chosen file.
pub(super) fn view(state: &mut State, explorer: &mut Explorer, effects: &mut Vec<Effect>) {
    if explorer.part == Part::Findings {
        let is_open = view_finding(state, explorer, effects);
        if !is_open && explorer.chosen_finding().is_some() {
            state.tell(Severity::Info, "it is in no file".to_owned());
        }
        return;
    }
    if explorer.part != Part::Tree || is_early(state, explorer) {
        return;
    }
    match chosen_file(explorer) {
        Some((node, at)) => open(state, explorer, node, Subject::File(at), effects),
        None => state.tell(Severity::Info, "there is nothing to read in it".to_owned()),
    }
}

/// Reads the file that the chosen finding is about, as the finding's layer has it, at the line of it; behind it the tree has the
/// file. False if it is about no file.
pub(super) fn view_finding(
    state: &mut State,
    explorer: &mut Explorer,
    effects: &mut Vec<Effect>,
) -> bool {
    let (Some(image), Some(finding)) = (explorer.image.clone(), explorer.chosen_finding()) else {
        return false;
    };
    let line = finding.line;
    let stack = &image.image.stack;
    let file = finding.layer.zip(finding.path.as_ref());
    let file = file.and_then(|(layer, path)| {
        let node = stack.tree.find(path)?;
        let at = stack.tree.at(node, layer)?;
        stack.file_of(at)?;
        Some((node, at))
    });
    let Some((node, at)) = file else {
        return false;
    };
    explorer.jump_to_finding(false);
    explorer.part = Part::Findings;
    open(state, explorer, node, Subject::File(at), effects);
    explorer.viewer = explorer.viewer.take().map(|viewer| viewer.at_line(line));
    true
}

/// Files are read when all layers have been: until then that is told.
fn is_early(state: &mut State, explorer: &Explorer) -> bool {
    if !explorer.whole {
        let text = "files can be read when all layers have been".to_owned();
        state.tell(Severity::Info, text);
    }
    !explorer.whole
}

/// Compares the chosen file with what it was before.
pub(super) fn compare(state: &mut State, explorer: &mut Explorer, effects: &mut Vec<Effect>) {
    if is_early(state, explorer) {
        return;
    }
    let Some(image) = explorer
        .image
        .clone()
        .filter(|_| explorer.part == Part::Tree)
    else {
        return;
    };
    let stack = &image.image.stack;
    let two = explorer.tree.chosen().and_then(|node| {
        let [old, new] = last_two(stack, node, explorer.tree.layer())?;
        let files = stack.file_of(old).is_some() && stack.file_of(new).is_some();
        files.then_some((node, old, new))
    });
    match two {
        Some((node, old, new)) => open(state, explorer, node, Subject::Change(old, new), effects),
        None => state.tell(
            Severity::Info,
            "no layer before has a file there to compare it with".to_owned(),
        ),
    }
}

fn open(
    state: &mut State,
    explorer: &mut Explorer,
    node: NodeId,
    subject: Subject,
    effects: &mut Vec<Effect>,
) {
    let Some(image) = explorer.image.clone() else {
        return;
    };
    let query = QueryId(state.next_id());
    let files = match &subject {
        Subject::File(at) => vec![*at],
        Subject::Change(old, new) | Subject::Pair(old, new) => vec![*old, *new],
    };
    let path = image.image.stack.tree.path(node);
    explorer.viewer = Some(Viewer::new(&path, subject, query));
    effects.push(Effect::Query {
        id: query,
        query: Query::Files { image, files },
        after: Duration::ZERO,
    });
}

/// The open viewer waits for this answer.
pub(super) fn awaits(state: &State, id: QueryId) -> bool {
    let viewer = state.explorer.as_ref().and_then(|e| e.viewer.as_ref());
    viewer.is_some_and(|viewer| viewer.query == id)
}

/// Something else is looked for in the open file.
pub(super) fn look_for(state: &mut State, text: &str) {
    let explored = state.explorer.as_mut().map(|explorer| &mut explorer.viewer);
    let compared = state.tables.as_mut().map(|tables| &mut tables.viewer);
    if let Some(Some(viewer)) = explored.or(compared) {
        viewer.look_for(text);
    }
}

/// What was read.
pub(super) fn take(state: &mut State, answer: Result<Answer, Failure>) {
    let viewer = state.explorer.as_mut().and_then(|e| e.viewer.as_mut());
    let Some(viewer) = viewer else {
        return;
    };
    match answer {
        Ok(Answer::Files(starts)) => viewer.take(starts),
        Ok(_) => {}
        Err(failure) => viewer.failure = Some(failure),
    }
}

/// What an action does while a file is read: `None` if none is; false if it means what it always does.
pub(super) fn on_action(
    state: &mut State,
    explorer: &mut Explorer,
    action: Action,
    effects: &mut Vec<Effect>,
) -> Option<bool> {
    let viewer = explorer.viewer.as_mut()?;
    match action {
        Action::ExploreExtract => extract(state, explorer),
        Action::ExploreDiff => {
            explorer.viewer = None;
            compare(state, explorer, effects);
        }
        action => match on_viewer(state, viewer, action, effects) {
            Done::Stay => {}
            Done::Close => explorer.viewer = None,
            Done::NotMine => return Some(false),
        },
    }
    Some(true)
}

/// What came of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// The file is still read.
    Stay,
    /// It is not read any more.
    Close,
    /// It means what it always does.
    NotMine,
}

/// What an action does to a file that is read, wherever that is.
pub(super) fn on_viewer(
    state: &mut State,
    viewer: &mut Viewer,
    action: Action,
    effects: &mut Vec<Effect>,
) -> Done {
    let page = isize::try_from(viewer.scroll.height.saturating_sub(1).max(1)).unwrap_or(1);
    match action {
        Action::Up => viewer.step(-1),
        Action::Down => viewer.step(1),
        Action::ScrollUp => viewer.step(-3),
        Action::ScrollDown => viewer.step(3),
        Action::Top => viewer.step(isize::MIN),
        Action::Bottom => viewer.step(isize::MAX),
        Action::PageUp => viewer.step(-page),
        Action::PageDown | Action::ExploreFold => viewer.step(page),
        Action::HalfPageUp => viewer.step(-(page / 2).max(1)),
        Action::HalfPageDown => viewer.step((page / 2).max(1)),
        Action::ExploreLeft => viewer.left = viewer.left.saturating_sub(8),
        Action::ExploreRight => viewer.left = (viewer.left + 8).min(10_000),
        Action::ExploreHex => viewer.toggle_hex(),
        Action::ExploreFilter => state.overlays.push(Overlay::Prompt(Prompt {
            field: Field::default(),
            purpose: Purpose::Viewer,
        })),
        Action::ExploreNext | Action::ExplorePrevious => {
            let is_found = viewer.go_to_match(action == Action::ExploreNext);
            if !is_found {
                let text = match viewer.needle() {
                    "" => "nothing is looked for: / does".to_owned(),
                    needle => format!("{needle} is not in it"),
                };
                state.tell(Severity::Info, text);
            }
        }
        Action::ExploreCopyPath => effects.push(Effect::Copy(viewer.copied.clone())),
        Action::Zoom => state.zoom = !state.zoom,
        Action::Back if state.notice.take().is_some() => {}
        Action::Back if !viewer.needle().is_empty() => viewer.look_for(""),
        Action::Back | Action::ExploreClose | Action::ExploreView | Action::ExploreOpen => {
            return Done::Close;
        }
        action if is_everywhere(action) => return Done::NotMine,
        _ => {}
    }
    Done::Stay
}

/// Asks where to write what is chosen: a file, a directory, the layer, or the image up to it.
pub(super) fn extract(state: &mut State, explorer: &Explorer) {
    if is_early(state, explorer) {
        return;
    }
    let Some(image) = explorer.image.clone() else {
        return;
    };
    let tree = &explorer.tree;
    let layer = tree.layer();
    let (node, what, name) = match explorer.part {
        Part::Layers => match tree.extent {
            Extent::Change => (ROOT, format!("layer {layer}"), format!("layer-{layer}")),
            Extent::Whole => {
                let what = format!("the image up to layer {layer}");
                (ROOT, what, format!("image-{layer}"))
            }
        },
        Part::Tree => {
            let Some(node) = tree.chosen() else {
                return;
            };
            let path = image.image.stack.tree.path(node);
            let name = String::from_utf8_lossy(image.image.stack.tree.name(node)).into_owned();
            (node, path_text(&path), name)
        }
        Part::Waste | Part::Findings => return,
    };
    let fact = tree.facts().get(node);
    let file = chosen_file(explorer)
        .filter(|_| node != ROOT)
        .map(|(_, at)| at);
    // What this layer took away is in the layer below.
    let entries = match file {
        Some(at) => vec![at],
        None if fact.mark == Mark::Removed => Vec::new(),
        None => entries_below(&image.order, tree.facts(), node),
    };
    let nothing = entries
        .iter()
        .all(|at| matches!(image.image.stack.entry(*at).kind, Kind::Whiteout));
    if nothing {
        let text = "there is nothing to extract: the layer below has it".to_owned();
        return state.tell(Severity::Info, text);
    }
    let plain = file.is_some();
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    // No file system takes longer names than 255 bytes, and there is an ending to come.
    let mut proposal: String = name.chars().map(safe).take(200).collect();
    if !plain {
        proposal.push_str(".tar");
    }
    let extract = Extract {
        target: explorer.target.clone(),
        image,
        entries,
        plain,
        what,
        path: PathBuf::new(),
        replace: false,
    };
    state
        .overlays
        .push(Overlay::Form(Form::extract(extract, &proposal)));
}

/// What is meant wherever one is: help, messages, leaving.
pub(super) fn is_everywhere(action: Action) -> bool {
    matches!(
        action,
        Action::Help
            | Action::Palette
            | Action::Quit
            | Action::CommandLog
            | Action::Jobs
            | Action::Notice
            | Action::Redraw
            | Action::Suspend
            | Action::ToggleMouse
    )
}
