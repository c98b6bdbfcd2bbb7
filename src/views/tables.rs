//! Two tables on the whole screen, with one line that says it all above them.

use ratatui::layout::Rect;

use super::canvas::Canvas;
use super::draw_footer;
use super::explorer::{draw_failure, draw_viewer};
use crate::app::layout::list_parts;
use crate::app::role::Role;
use crate::app::tables::{Found, Table, Tables};
use crate::app::{State, text};

pub(super) fn draw(state: &State, tables: &Tables, canvas: &mut Canvas<'_>) {
    let places = tables.places(state.area(), state);
    if let Some(bar) = places.bar {
        draw_bar(tables, bar, canvas);
    }
    if let (Some(failure), Some(rect)) = (&tables.failure, places.tables[0]) {
        canvas.border(rect, true);
        draw_failure(failure, list_parts(rect).1, canvas);
        if let Some(footer) = places.footer {
            draw_footer(state, footer, canvas);
        }
        return;
    }
    for (place, (table, rect)) in tables.tables.iter().zip(places.tables).enumerate() {
        if let Some(rect) = rect {
            draw_table(table, place == tables.focus, rect, canvas);
        }
    }
    if let (Some(rect), Some(viewer)) = (places.viewer, &tables.viewer) {
        draw_viewer(viewer, rect, canvas);
    }
    if let Some(footer) = places.footer {
        draw_footer(state, footer, canvas);
    }
}

fn draw_bar(tables: &Tables, rect: Rect, canvas: &mut Canvas<'_>) {
    let x = canvas.text(rect.x, rect.y, rect.width, " wharf ", Role::Chip);
    let room = rect.right().saturating_sub(x);
    let title = format!(" {}", text::sanitise(&tables.title()));
    canvas.text(x, rect.y, room, &title, Role::Bar);
    let (line, role) = match (&tables.failure, &tables.found) {
        (Some(_), _) => ("cannot be read", Role::Bad),
        (None, Found::Nothing) => ("reading", Role::Busy),
        (None, _) => (tables.headline.as_str(), Role::Title),
    };
    let room = rect.width.saturating_sub(1);
    canvas.text(rect.x + 1, rect.y + 1, room, &text::sanitise(line), role);
}

fn draw_table(table: &Table, focused: bool, rect: Rect, canvas: &mut Canvas<'_>) {
    canvas.border(rect, focused);
    canvas.title(rect, &table.title, focused);
    let (header, body) = list_parts(rect);
    let columns = fitting(table, rect.width);
    if let Some(header) = header {
        let style = canvas.theme.style(Role::Header);
        let mut x = header.x + 1;
        for (title, width, right) in columns {
            if *right {
                canvas.right(x, header.y, *width, title, style);
            } else {
                canvas.styled(x, header.y, *width, title, style);
            }
            x += width + 1;
        }
        let room = header.right().saturating_sub(x);
        canvas.styled(x, header.y, room, table.last, style);
    }
    let has_folds = table.lines.iter().any(|line| line.folded.is_some());
    let lines = table.lines.iter().enumerate().skip(table.scroll.top);
    for ((number, line), y) in lines.zip(body.y..body.bottom()) {
        let mut x = body.x + 1;
        for ((cell, role), (_, width, right)) in line.cells.iter().zip(columns) {
            if *right {
                canvas.right(x, y, *width, cell, canvas.theme.style(*role));
            } else {
                canvas.text(x, y, *width, cell, *role);
            }
            x += width + 1;
        }
        if let Some((cell, role)) = line.cells.last() {
            if has_folds {
                // Deep trees keep room for names.
                x += line.depth.saturating_mul(2).min(body.width / 3);
                let fold = fold_sign(line.folded, canvas);
                x = canvas.text(x, y, body.right().saturating_sub(x), fold, Role::Key);
            }
            canvas.text(x, y, body.right().saturating_sub(x), cell, *role);
        }
        if number == table.scroll.at {
            let role = if focused {
                Role::Selected
            } else {
                Role::SelectedUnfocused
            };
            let row = Rect {
                y,
                height: 1,
                ..body
            };
            canvas.fill(row, role);
        }
    }
    if table.lines.len() > usize::from(body.height) {
        let place = format!("{}/{}", table.scroll.at + 1, table.lines.len());
        canvas.caption(rect, &place, Role::Dim);
    }
}

/// Whether there is something in a directory, and whether that is shown.
pub(super) fn fold_sign(folded: Option<bool>, canvas: &Canvas<'_>) -> &'static str {
    match folded {
        None => " ",
        Some(true) => canvas.glyphs.pick("\u{25b8}", "+"),
        Some(false) => canvas.glyphs.pick("\u{25be}", "-"),
    }
}

/// The columns that leave the last one twenty cells.
fn fitting(table: &Table, width: u16) -> &'static [crate::app::tables::Column] {
    let mut columns = table.columns;
    let needed = |columns: &[crate::app::tables::Column]| {
        columns.iter().map(|(_, width, _)| width + 1).sum::<u16>()
    };
    while !columns.is_empty() && needed(columns) + 20 > width {
        columns = columns.get(..columns.len() - 1).unwrap_or_default();
    }
    columns
}
