//! A list pane: title with counts, column titles with the sort order, rows.

use ratatui::layout::Rect;

use super::canvas::Canvas;
use crate::app::list::{List, Row};
use crate::app::role::Role;
use crate::app::{Pane, State, layout};

pub(super) fn draw<R: Row>(
    state: &State,
    list: &List<R>,
    pane: Pane,
    rect: Rect,
    focused: bool,
    canvas: &mut Canvas<'_>,
) {
    canvas.border(rect, focused);
    let number = Pane::ALL.iter().position(|p| *p == pane).unwrap_or(0) + 1;
    let mut x = canvas.title(
        rect,
        &format!("{number} {} {}", pane.title(), list.count()),
        focused,
    );
    let end = rect.right().saturating_sub(2);
    for (chip, role) in chips(state, list, pane) {
        x = canvas.text(x, rect.y, end.saturating_sub(x), &chip, role);
    }
    let (header, body) = layout::list_parts(rect);
    let context = state.context();
    // One column is for marks.
    let columns = list.columns(body.width.saturating_sub(1), context);
    if let Some(header) = header {
        draw_header(list, header, &columns, canvas);
    }
    if list.shown() == 0 {
        let text = empty_text(state, list, pane);
        canvas.text(
            body.x + 1,
            body.y,
            body.width.saturating_sub(1),
            text,
            Role::Dim,
        );
        return;
    }
    let rows = list.window().take(usize::from(body.height));
    for ((position, row), y) in rows.zip(body.y..) {
        let marked = list.is_marked(row);
        if marked {
            canvas.text(body.x, y, 1, "*", Role::Marked);
        }
        for (column, start, width) in &columns {
            let cell = row.cell(*column, context);
            let role = match row.role(*column) {
                Role::Text if marked => Role::Marked,
                role => role,
            };
            let x = body.x + 1 + start;
            if R::COLUMNS.get(*column).is_some_and(|c| c.right) {
                let style = canvas.theme.style(role);
                canvas.right(x, y, *width, &cell, style);
            } else {
                canvas.text(x, y, *width, &cell, role);
            }
        }
        if position == list.cursor() {
            let line = Rect {
                y,
                height: 1,
                ..body
            };
            canvas.fill(
                line,
                if focused {
                    Role::Selected
                } else {
                    Role::SelectedUnfocused
                },
            );
            if focused {
                let sign = canvas.glyphs.pick("\u{203a}", ">");
                canvas.text(
                    body.x,
                    y,
                    1,
                    if marked { "*" } else { sign },
                    Role::Selected,
                );
            }
        }
    }
    // Where one is, when not all fit.
    if list.shown() > usize::from(body.height) {
        canvas.caption(
            rect,
            &format!("{}/{}", list.cursor() + 1, list.shown()),
            Role::Dim,
        );
    }
}

fn chips<R: Row>(state: &State, list: &List<R>, pane: Pane) -> Vec<(String, Role)> {
    let mut chips = Vec::new();
    if !list.filter().text.is_empty() {
        let text = crate::app::text::sanitise(&list.filter().text);
        chips.push((format!("/{text} "), Role::Chip));
    }
    if pane == Pane::Containers && state.stopped_hidden {
        chips.push(("running only ".to_owned(), Role::Chip));
    }
    if list.marked() > 0 {
        chips.push((format!("{} marked ", list.marked()), Role::Marked));
    }
    chips
}

fn draw_header<R: Row>(
    list: &List<R>,
    rect: Rect,
    columns: &[(usize, u16, u16)],
    canvas: &mut Canvas<'_>,
) {
    let (sort, reversed) = list.sort();
    let style = canvas.theme.style(Role::Header);
    for (index, start, width) in columns {
        let Some(column) = R::COLUMNS.get(*index) else {
            continue;
        };
        let sign = match (*index == sort, reversed) {
            (false, _) => "",
            (true, false) => canvas.glyphs.pick("\u{2193}", "v"),
            (true, true) => canvas.glyphs.pick("\u{2191}", "^"),
        };
        let title = format!("{}{sign}", column.title);
        let x = rect.x + 1 + start;
        if column.right {
            canvas.right(x, rect.y, *width, &title, style);
        } else {
            canvas.styled(x, rect.y, *width, &title, style);
        }
    }
}

fn empty_text<R: Row>(state: &State, list: &List<R>, pane: Pane) -> &'static str {
    match pane {
        _ if list.total() > 0 => "nothing fits the filter (esc clears it)",
        Pane::Containers if !state.loaded => "reading",
        Pane::Containers => "no containers: wharf run IMAGE, or wharf demo",
        Pane::Images => "no images: wharf load -i FILE, or wharf demo",
        Pane::Volumes => "no volumes: c makes one",
        Pane::Networks => "no networks: c makes one",
    }
}
