//! A list pane: title with counts, column titles with the sort order, rows.

use std::borrow::Cow;

use ratatui::layout::Rect;

use super::canvas::Canvas;
use crate::app::list::{Heading, Line, List, Row};
use crate::app::role::Role;
use crate::app::text::{sanitise, width as text_width};
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
    let (header, body) = layout::list_parts(rect);
    let context = state.context();
    // One column is for marks.
    let columns = list.columns(body.width.saturating_sub(1), context);
    let mut chips = chips(state, list, pane);
    let (sort, reversed) = list.sort();
    // What the order comes from, where its column tells nothing because it is not there.
    if let Some(column) = R::COLUMNS.get(sort)
        && columns.iter().all(|(index, ..)| *index != sort)
    {
        let sign = direction(reversed, canvas);
        chips.push((format!("by {}{sign} ", column.title), Role::Dim));
    }
    for (chip, role) in chips {
        x = canvas.text(x, rect.y, end.saturating_sub(x), &chip, role);
    }
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
    for ((position, line), y) in rows.zip(body.y..) {
        let place = Rect {
            y,
            height: 1,
            ..body
        };
        let marked = match &line {
            Line::Row(row) => list.is_marked(row),
            Line::Heading(heading) => heading.rows.iter().all(|row| list.is_marked(row)),
        };
        if marked {
            canvas.text(body.x, y, 1, "*", Role::Marked);
        }
        match &line {
            Line::Row(row) => {
                let role = |column| match row.role(column) {
                    Role::Text if marked => Role::Marked,
                    role => role,
                };
                let cell = |column| (row.cell(column, context), role(column));
                draw_cells::<R>(&columns, place, canvas, cell);
            }
            Line::Heading(heading) => draw_heading(heading, &columns, place, marked, canvas),
        }
        if position == list.cursor() {
            canvas.fill(
                place,
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

fn draw_cells<'a, R: Row>(
    columns: &[(usize, u16, u16)],
    place: Rect,
    canvas: &mut Canvas<'_>,
    cell: impl Fn(usize) -> (Cow<'a, str>, Role),
) {
    for (column, start, width) in columns {
        let (text, role) = cell(*column);
        let x = place.x + 1 + start;
        if R::COLUMNS.get(*column).is_some_and(|c| c.right) {
            let style = canvas.theme.style(role);
            canvas.right(x, place.y, *width, &text, style);
        } else {
            canvas.text(x, place.y, *width, &text, role);
        }
    }
}

/// What its rows belong to, with their count, over all columns that it has nothing to tell in; sums in the others.
fn draw_heading<R: Row>(
    heading: &Heading<'_, R>,
    columns: &[(usize, u16, u16)],
    place: Rect,
    marked: bool,
    canvas: &mut Canvas<'_>,
) {
    let name = R::COLUMNS.iter().position(|column| column.grows);
    let name = name.unwrap_or(0);
    let sign = if heading.is_folded {
        canvas.glyphs.pick("\u{25b8}", "+")
    } else {
        canvas.glyphs.pick("\u{25be}", "-")
    };
    let role = if marked { Role::Marked } else { Role::Title };
    let count = R::together(&heading.rows, name);
    let title = sanitise(heading.name.unwrap_or(R::REST));
    let together = |column: usize| match column {
        column if column == name => String::new(),
        column => R::together(&heading.rows, column),
    };
    draw_cells::<R>(columns, place, canvas, |column| {
        (together(column).into(), role)
    });
    // Up to the first sum.
    let first = columns
        .iter()
        .find(|(column, ..)| !together(*column).is_empty());
    let end = match first {
        Some((column, start, width)) => {
            let text = width
                .saturating_sub(u16::try_from(text_width(&together(*column))).unwrap_or(*width));
            let right = R::COLUMNS.get(*column).is_some_and(|c| c.right);
            start + if right { text } else { 0 }
        }
        None => place.width.saturating_sub(1),
    };
    let room = end.saturating_sub(1);
    canvas.text(
        place.x + 1,
        place.y,
        room,
        &format!("{sign} {title} {count}"),
        role,
    );
}

fn chips<R: Row>(state: &State, list: &List<R>, pane: Pane) -> Vec<(String, Role)> {
    let mut chips = Vec::new();
    if !list.filter().text.is_empty() {
        let text = sanitise(&list.filter().text);
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
        let sign = if *index == sort {
            direction(reversed, canvas)
        } else {
            ""
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

fn direction(reversed: bool, canvas: &Canvas<'_>) -> &'static str {
    if reversed {
        canvas.glyphs.pick("\u{2191}", "^")
    } else {
        canvas.glyphs.pick("\u{2193}", "v")
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
