//! The layer explorer: layers with bars, the tree of one of them, what is hidden, and what is known of the chosen.

mod findings;
mod layers;
mod tree;
mod viewer;
mod waste;

use ratatui::layout::Rect;

use super::canvas::Canvas;
use super::draw_footer;
use crate::app::document::DocLine;
use crate::app::explorer::{Explorer, Part, layout, lines};
use crate::app::jobs::Failure;
use crate::app::layout::inside;
use crate::app::role::Role;
use crate::app::{State, text};
use crate::engine::model::layers::rules;

pub(super) use viewer::draw as draw_viewer;

pub(super) fn draw(state: &State, explorer: &Explorer, canvas: &mut Canvas<'_>) {
    let found = layout::places(state.area(), state, explorer);
    if let Some(bar) = found.bar {
        draw_bar(explorer, bar, canvas);
    }
    if let Some(rect) = found.layers {
        layers::draw(state, explorer, rect, canvas);
    }
    if let Some(rect) = found.facts {
        draw_facts(explorer, rect, canvas);
    }
    if let Some(rect) = found.tree {
        tree::draw(explorer, rect, canvas);
    }
    if let Some(rect) = found.waste {
        waste::draw(explorer, rect, canvas);
    }
    if let Some(rect) = found.findings {
        findings::draw(explorer, rect, canvas);
    }
    if let (Some(rect), Some(viewer)) = (found.viewer, &explorer.viewer) {
        viewer::draw(viewer, rect, canvas);
    }
    if let Some(footer) = found.footer {
        draw_footer(state, footer, canvas);
    }
}

/// The image as a whole.
fn draw_bar(explorer: &Explorer, rect: Rect, canvas: &mut Canvas<'_>) {
    let mut x = canvas.text(rect.x, rect.y, rect.width, " wharf ", Role::Chip);
    let mut put = |text: &str, role| {
        x = canvas.text(x, rect.y, rect.right().saturating_sub(x), text, role);
    };
    let name = explorer
        .about
        .as_ref()
        .map_or_else(|| explorer.target.name(), |about| about.name.clone());
    put(&format!(" {}", text::sanitise(&name)), Role::Bar);
    if let Some(about) = &explorer.about {
        let platform = about.platform.to_string();
        put(&format!("  {}", text::sanitise(&platform)), Role::Dim);
    }
    let (bytes, wasted) = (explorer.bytes(), explorer.wasted());
    if bytes > 0 {
        put(&format!("  {}", text::bytes(bytes)), Role::Bar);
    }
    if explorer.whole {
        let (said, role) = if wasted == 0 {
            ("  nothing hidden".to_owned(), Role::Good)
        } else {
            let percent = rules::percent(wasted, bytes);
            let said = format!("  {} ({percent:.1} %) hidden", text::bytes(wasted));
            (
                said,
                if percent > 10.0 {
                    Role::Bad
                } else {
                    Role::Warning
                },
            )
        };
        put(&said, role);
    } else if explorer.failure.is_some() {
        put("  cannot be read", Role::Bad);
    } else if explorer.layers.is_empty() {
        put(&format!("  reading{}", came(explorer)), Role::Busy);
    } else {
        let said = format!(
            "  reading layer {} of {}{}",
            explorer.read + 1,
            explorer.layers.len(),
            came(explorer)
        );
        put(&said, Role::Busy);
    }
}

/// Why there is nothing, in the place of what should be there: the reason, and what to do about it.
pub(super) fn draw_failure(failure: &Failure, body: Rect, canvas: &mut Canvas<'_>) {
    let room = body.width.saturating_sub(2);
    let hint = failure.hint.as_deref().unwrap_or_default();
    let mut y = body.y;
    for (told, role) in [(failure.line.as_str(), Role::Bad), (hint, Role::Busy)] {
        let told = text::sanitise(told);
        let mut rest = told.as_ref();
        while !rest.is_empty() && y < body.bottom() {
            let (head, tail) = text::split_at_word(rest, usize::from(room.max(1)));
            canvas.text(body.x + 1, y, room, head, role);
            rest = tail;
            y += 1;
        }
    }
}

/// How much has come, and of how much, as far as that is known.
fn came(explorer: &Explorer) -> String {
    let total: u64 = explorer.layers.iter().map(|layer| layer.blob_size).sum();
    let came = text::bytes(explorer.came);
    match (explorer.came, total) {
        (0, _) => String::new(),
        (_, 0) => format!(", {came}"),
        (_, total) => format!(", {came} of {}", text::bytes(total)),
    }
}

fn draw_facts(explorer: &Explorer, rect: Rect, canvas: &mut Canvas<'_>) {
    canvas.border(rect, false);
    let title = match explorer.part {
        Part::Layers => "Layer",
        Part::Tree | Part::Waste => "Path and layer",
        Part::Findings => "Finding",
    };
    canvas.title(rect, title, false);
    let body = inside(rect);
    let mut y = body.y;
    for line in lines::facts(explorer) {
        y = draw_line(&line, body, y, canvas);
        if y >= body.bottom() {
            return;
        }
    }
}

/// A field and its value, which goes on in the next rows where it must; returns the row below.
fn draw_line(line: &DocLine, body: Rect, mut y: u16, canvas: &mut Canvas<'_>) -> u16 {
    const MOST: u16 = 4;
    let x = canvas.text(
        body.x + 1,
        y,
        body.width.saturating_sub(1),
        &line.field,
        Role::Field,
    ) + 1;
    let room = body.right().saturating_sub(x + 1);
    let mut rest = line.value.as_str();
    let first = y;
    loop {
        let (head, tail) = text::split_at_word(rest, usize::from(room.max(1)));
        let is_last = y + 1 >= body.bottom() || y + 1 >= first + MOST;
        let shown = if is_last { rest } else { head };
        canvas.text(x, y, room, shown, Role::Text);
        y += 1;
        if is_last || tail.is_empty() {
            return y;
        }
        rest = tail;
    }
}
