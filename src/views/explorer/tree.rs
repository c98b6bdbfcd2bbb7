//! The tree of a layer: mark, attributes, size, name.

use ratatui::layout::Rect;

use super::super::canvas::Canvas;
use super::super::tables::fold_sign;
use super::draw_failure;
use crate::app::explorer::lines::{name_text, path_text};
use crate::app::explorer::{Explorer, Looked, Part};
use crate::app::layout::list_parts;
use crate::app::role::Role;
use crate::app::text;
use crate::engine::model::layers::listing::{Extent, Fact, Mark, Row, Sort, mode_text};
use crate::engine::model::layers::{Entry, Kind};

const SIZE: u16 = 6;
const MODE: u16 = 10;
const OWNER: u16 = 11;

pub(super) fn draw(explorer: &Explorer, rect: Rect, canvas: &mut Canvas<'_>) {
    let focused = explorer.part == Part::Tree;
    canvas.border(rect, focused);
    let view = &explorer.tree;
    let layer = explorer.layer.at;
    let title = match view.extent {
        Extent::Change => format!("Change of layer {layer}"),
        Extent::Whole => format!("Image up to layer {layer}"),
    };
    let mut x = canvas.title(rect, &title, focused);
    let end = rect.right().saturating_sub(2);
    for (chip, role) in chips(explorer) {
        x = canvas.text(x, rect.y, end.saturating_sub(x), &format!("{chip} "), role);
    }
    let (header, body) = list_parts(rect);
    if let Some(header) = header {
        draw_titles(explorer, header, canvas);
    }
    let Some(image) = explorer.image_of_layer() else {
        // Without any layer it stands in their place.
        match &explorer.failure {
            Some(failure) if !explorer.layers.is_empty() => draw_failure(failure, body, canvas),
            Some(_) => {}
            None => {
                let room = body.width.saturating_sub(1);
                canvas.text(body.x + 1, body.y, room, "reading", Role::Dim);
            }
        }
        return;
    };
    if view.rows().is_empty() {
        let said = if view.filter.is_empty() {
            "the layer changes no file"
        } else {
            "nothing fits the filter (esc clears it)"
        };
        canvas.text(
            body.x + 1,
            body.y,
            body.width.saturating_sub(1),
            said,
            Role::Dim,
        );
    }
    let rows = view.rows().iter().enumerate().skip(view.scroll.top);
    for ((line, row), y) in rows.zip(body.y..body.bottom()) {
        draw_row(
            explorer,
            image,
            *row,
            Rect {
                y,
                height: 1,
                ..body
            },
            canvas,
        );
        if line == view.scroll.at {
            let role = if focused {
                Role::Selected
            } else {
                Role::SelectedUnfocused
            };
            canvas.fill(
                Rect {
                    y,
                    height: 1,
                    ..body
                },
                role,
            );
        }
    }
    if view.rows().len() > usize::from(body.height) {
        let place = format!("{}/{}", view.scroll.at + 1, view.rows().len());
        canvas.caption(rect, &place, Role::Dim);
    }
}

/// What is left out, and how the rest is sorted.
fn chips(explorer: &Explorer) -> Vec<(String, Role)> {
    let view = &explorer.tree;
    let mut chips = Vec::new();
    if !view.filter.is_empty() {
        chips.push((
            format!("/{} {}", text::sanitise(&view.filter), view.count()),
            Role::Chip,
        ));
    }
    if let Some(problem) = view.problem() {
        chips.push((text::sanitise(problem).into_owned(), Role::Bad));
    }
    let hidden = [
        (Mark::Added, "added"),
        (Mark::Modified, "changed"),
        (Mark::Removed, "removed"),
        (Mark::Unmodified, "unchanged"),
    ];
    for (mark, name) in hidden {
        if view.hides(mark) {
            chips.push((format!("no {name}"), Role::Chip));
        }
    }
    if view.wasted_only() {
        chips.push(("hidden bytes only".to_owned(), Role::Chip));
    }
    chips
}

fn draw_titles(explorer: &Explorer, rect: Rect, canvas: &mut Canvas<'_>) {
    let view = &explorer.tree;
    let style = canvas.theme.style(Role::Header);
    let down = canvas.glyphs.pick("\u{2193}", "v");
    let titled = |title: &str, sort: Sort| {
        if view.sort() == sort {
            format!("{title}{down}")
        } else {
            title.to_owned()
        }
    };
    let mut x = rect.x + 2;
    let [mode, owner] = attribute_columns(explorer, rect.width);
    if mode > 0 {
        canvas.styled(x, rect.y, mode, "MODE", style);
        x += mode + 1;
    }
    if owner > 0 {
        canvas.right(x, rect.y, owner, "OWNER", style);
        x += owner + 1;
    }
    canvas.right(x, rect.y, SIZE, &titled("SIZE", Sort::Size), style);
    x += SIZE + 1;
    if explorer.waste_shown {
        canvas.right(x, rect.y, SIZE, "HIDDEN", style);
        x += SIZE + 1;
    }
    let name = match view.sort() {
        Sort::Change => titled("NAME by change", Sort::Change),
        _ => titled("NAME", Sort::Name),
    };
    canvas.styled(x, rect.y, rect.right().saturating_sub(x), &name, style);
}

fn draw_row(explorer: &Explorer, image: &Looked, row: Row, rect: Rect, canvas: &mut Canvas<'_>) {
    let stack = &image.image.stack;
    let fact = explorer.tree.facts().get(row.node);
    let entry = fact.entry.map(|at| stack.entry(at));
    let (sign, role) = mark(&fact);
    let y = rect.y;
    canvas.text(rect.x, y, 1, sign, role);
    let mut x = rect.x + 2;
    let dim = canvas.theme.style(Role::Dim);
    let [mode, owner] = attribute_columns(explorer, rect.width);
    if mode > 0 {
        let shown = entry.map(mode_text).unwrap_or_default();
        let role = entry.map_or(Role::Dim, attribute_role);
        canvas.text(x, y, mode, &shown, role);
        x += mode + 1;
    }
    if owner > 0 {
        let shown = entry.map(|entry| format!("{}:{}", entry.uid, entry.gid));
        canvas.right(x, y, owner, &shown.unwrap_or_default(), dim);
        x += owner + 1;
    }
    let style = if fact.mark == Mark::Removed {
        canvas.theme.style(Role::Bad)
    } else {
        dim
    };
    canvas.right(x, y, SIZE, &text::bytes(fact.bytes), style);
    x += SIZE + 1;
    if explorer.waste_shown {
        if fact.wasted > 0 {
            let style = canvas.theme.style(Role::Warning);
            canvas.right(x, y, SIZE, &text::bytes(fact.wasted), style);
        }
        x += SIZE + 1;
    }
    // Deep trees keep room for names.
    let most = rect.width / 2;
    x += (row.depth.saturating_mul(2)).min(most);
    let fold = fold_sign(row.folded, canvas);
    x = canvas.text(x, y, rect.right().saturating_sub(x), fold, Role::Key);
    let name = name_text(stack.tree.name(row.node));
    let is_directory = entry.is_none_or(|entry| matches!(entry.kind, Kind::Directory { .. }));
    let slash = if is_directory { "/" } else { "" };
    let role = match role {
        Role::Text if is_directory => Role::Field,
        role => role,
    };
    let room = rect.right().saturating_sub(x);
    x = canvas.text(x, y, room, &format!("{name}{slash}"), role);
    if let Some(target) = target(entry) {
        let room = rect.right().saturating_sub(x);
        canvas.text(x, y, room, &target, Role::Dim);
    }
}

/// How wide mode and owner are; 0 where they are not wanted, or would leave no room for names.
fn attribute_columns(explorer: &Explorer, width: u16) -> [u16; 2] {
    match width {
        _ if !explorer.tree.attributes => [0, 0],
        ..40 => [0, 0],
        40..60 => [MODE, 0],
        _ => [MODE, OWNER],
    }
}

fn mark(fact: &Fact) -> (&'static str, Role) {
    match fact.shown_mark() {
        Mark::Added => ("+", Role::Good),
        Mark::Modified => ("~", Role::Warning),
        Mark::Removed => ("-", Role::Bad),
        Mark::Again => ("=", Role::Busy),
        Mark::Unmodified => (" ", Role::Text),
    }
}

/// What deserves a look: other people's rights.
fn attribute_role(entry: &Entry) -> Role {
    let is_file = matches!(entry.kind, Kind::File { .. } | Kind::HardLink { .. });
    if (is_file && entry.mode & 0o6000 != 0) || entry.is_world_writable() {
        Role::Warning
    } else {
        Role::Dim
    }
}

fn target(entry: Option<&Entry>) -> Option<String> {
    match &entry?.kind {
        Kind::Symlink { target } => {
            let target = String::from_utf8_lossy(target);
            Some(format!(" -> {}", text::sanitise(&target)))
        }
        Kind::HardLink { target } => Some(format!(" = {}", path_text(target))),
        _ => None,
    }
}
