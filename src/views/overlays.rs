//! What lies over the panes.

use ratatui::layout::{Position, Rect};

use super::canvas::Canvas;
use super::{columns, forms, jobs, prune, usage};
use crate::app::layout::Regions;
use crate::app::overlay::{self, Confirm, Cursor, Finder, HelpLine, Overlay, Prompt, Purpose};
use crate::app::role::Role;
use crate::app::{State, text};

pub(super) fn draw(
    state: &State,
    overlay: &Overlay,
    found: &Regions,
    canvas: &mut Canvas<'_>,
) -> Option<Position> {
    match overlay {
        Overlay::Confirm(confirm) => draw_confirm(state, confirm, canvas),
        Overlay::Prompt(prompt) => draw_prompt(prompt, found.footer?, canvas),
        Overlay::Help(finder) => draw_help(state, finder, canvas),
        Overlay::Palette(finder) => draw_palette(state, finder, canvas),
        Overlay::CommandLog(cursor) => {
            draw_commands(state, *cursor, canvas);
            None
        }
        Overlay::Jobs(cursor) => {
            jobs::draw(state, *cursor, canvas);
            None
        }
        Overlay::Usage(cursor) => {
            usage::draw(state, *cursor, canvas);
            None
        }
        Overlay::Prune(prune) => prune::draw(state, prune, canvas),
        Overlay::Columns(cursor) => {
            columns::draw(state, *cursor, found, canvas);
            None
        }
        Overlay::Form(form) => forms::draw(state, form, canvas),
        Overlay::Message { title, lines } => {
            draw_message(state, title, lines, canvas);
            None
        }
    }
}

/// A box in the middle with a border and a title; returns its inside.
pub(super) fn window(
    state: &State,
    title: &str,
    width: u16,
    height: u16,
    canvas: &mut Canvas<'_>,
) -> (Rect, Rect) {
    let area = state.area();
    let width = width.saturating_add(4).min(area.width);
    let height = height.saturating_add(2).min(area.height.saturating_sub(1));
    let rect = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height.saturating_sub(1) - height) / 2,
        width,
        height,
    };
    canvas.clear(rect);
    canvas.border(rect, true);
    canvas.title(rect, title, true);
    let inner = Rect {
        x: rect.x + 2.min(rect.width),
        y: rect.y + 1.min(rect.height),
        width: rect.width.saturating_sub(4),
        height: rect.height.saturating_sub(2),
    };
    (rect, inner)
}

fn widest<'a>(lines: impl Iterator<Item = &'a str>) -> u16 {
    let widest = lines.map(text::width).max().unwrap_or(0);
    u16::try_from(widest).unwrap_or(u16::MAX)
}

fn draw_confirm(state: &State, confirm: &Confirm, canvas: &mut Canvas<'_>) -> Option<Position> {
    const ANSWER: &str = "y yes   n no";
    let texts = confirm.lines.iter().map(String::as_str);
    let typed = confirm.typed.as_ref();
    let label = typed.map(|typed| format!("type {} and enter: ", text::sanitise(&typed.wanted)));
    let answer = match (&label, typed) {
        (Some(label), Some(typed)) => format!("{label}{}", typed.wanted),
        _ => ANSWER.to_owned(),
    };
    let width = widest(texts.chain([confirm.question.as_str(), answer.as_str()])).min(70);
    let lines = u16::try_from(confirm.lines.len()).unwrap_or(u16::MAX);
    let (_, inner) = window(state, "Sure?", width, lines.saturating_add(3), canvas);
    let role = Role::Title;
    canvas.text(inner.x, inner.y, inner.width, &confirm.question, role);
    // The answer is always there, whatever has to give way.
    let room = usize::from(inner.height.saturating_sub(2));
    for (line, y) in confirm.lines.iter().take(room).zip(inner.y + 1..) {
        canvas.text(inner.x, y, inner.width, line, Role::Text);
    }
    let y = inner.bottom().saturating_sub(1);
    if let (Some(label), Some(typed)) = (&label, typed) {
        let line = Rect {
            y,
            height: 1,
            ..inner
        };
        return draw_field(line, label, &typed.field, canvas);
    }
    if inner.height > 1 {
        let x = canvas.text(inner.x, y, inner.width, "y", Role::Key);
        let x = canvas.text(x, y, inner.right().saturating_sub(x), " yes   ", Role::Text);
        let x = canvas.text(x, y, inner.right().saturating_sub(x), "n", Role::Key);
        canvas.text(x, y, inner.right().saturating_sub(x), " no", Role::Text);
    }
    None
}

/// The field's text with the cursor in view; returns where that is.
pub(super) fn draw_field(
    rect: Rect,
    label: &str,
    field: &overlay::Field,
    canvas: &mut Canvas<'_>,
) -> Option<Position> {
    let x = canvas.text(rect.x, rect.y, rect.width, label, Role::Key);
    let room = rect.right().saturating_sub(x);
    let before = text::width(&field.before_cursor());
    // What is left of the cursor scrolls out.
    let hidden = (before + 1).saturating_sub(usize::from(room));
    let (_, shown) = text::split_at_width(field.text(), hidden);
    let style = canvas.theme.style(Role::Text);
    canvas.raw(x, rect.y, room, shown, style);
    let column = u16::try_from(before - hidden.min(before)).ok()?;
    Some(Position::new(x.saturating_add(column), rect.y)).filter(|p| p.x < rect.right())
}

fn draw_prompt(prompt: &Prompt, footer: Rect, canvas: &mut Canvas<'_>) -> Option<Position> {
    canvas.clear(footer);
    let label = match prompt.purpose {
        Purpose::Filter { .. } | Purpose::Explorer { .. } => "filter /",
        Purpose::Search | Purpose::Viewer => "search /",
    };
    draw_field(footer, label, &prompt.field, canvas)
}

fn draw_help(state: &State, finder: &Finder, canvas: &mut Canvas<'_>) -> Option<Position> {
    let lines = overlay::help_lines(state, finder.field.text());
    let (rect, inner) = window(state, "Keys", 74, overlay::help_rows(state), canvas);
    if inner.height < 2 {
        return None;
    }
    let cursor = draw_field(Rect { height: 1, ..inner }, "find: ", &finder.field, canvas);
    let room = usize::from(inner.height - 1);
    let keys_width = 22.min(inner.width / 3);
    for (line, y) in lines
        .iter()
        .skip(finder.cursor.at)
        .take(room)
        .zip(inner.y + 1..)
    {
        match line {
            HelpLine::Heading(title) => {
                canvas.text(inner.x, y, inner.width, title, Role::Header);
            }
            HelpLine::Keys(keys, title) => {
                canvas.text(inner.x + 1, y, keys_width, keys, Role::Key);
                let x = inner.x + keys_width + 2;
                canvas.text(x, y, inner.right().saturating_sub(x), title, Role::Text);
            }
        }
    }
    let shown = (finder.cursor.at + room).min(lines.len());
    canvas.caption(
        rect,
        &format!("{shown}/{}  esc closes", lines.len()),
        Role::Dim,
    );
    cursor
}

fn draw_palette(state: &State, finder: &Finder, canvas: &mut Canvas<'_>) -> Option<Position> {
    let entries = overlay::palette_entries(state, finder.field.text());
    let height = state.height.saturating_sub(8).min(20);
    let (_, inner) = window(state, "Actions", 70, height, canvas);
    if inner.height < 2 {
        return None;
    }
    let cursor = draw_field(Rect { height: 1, ..inner }, ": ", &finder.field, canvas);
    let room = usize::from(inner.height - 1);
    let first = (finder.cursor.at + 1).saturating_sub(room);
    let rows = entries.iter().enumerate().skip(first).take(room);
    for ((index, entry), y) in rows.zip(inner.y + 1..) {
        let chosen = index == finder.cursor.at;
        let role = if chosen { Role::Selected } else { Role::Text };
        if chosen {
            let line = Rect {
                y,
                height: 1,
                ..inner
            };
            canvas.fill(line, Role::Selected);
        }
        let sign = if chosen {
            canvas.glyphs.pick("\u{203a} ", "> ")
        } else {
            "  "
        };
        let x = canvas.text(inner.x, y, inner.width, sign, role);
        let x = canvas.text(
            x,
            y,
            inner.right().saturating_sub(x + 12),
            entry.title,
            role,
        );
        let keys = state.settings.keymap.label(entry.action);
        let style = canvas.theme.style(if chosen { role } else { Role::Key });
        canvas.right(x, y, inner.right().saturating_sub(x), &keys, style);
    }
    if entries.is_empty() {
        canvas.text(
            inner.x,
            inner.y + 1,
            inner.width,
            "no such action here",
            Role::Dim,
        );
    }
    cursor
}

fn draw_commands(state: &State, cursor: Cursor, canvas: &mut Canvas<'_>) {
    let count = u16::try_from(state.commands.len()).unwrap_or(u16::MAX);
    let height = count.clamp(1, state.height.saturating_sub(6).max(1));
    let (rect, inner) = window(state, "Done so far", 110, height, canvas);
    if state.commands.is_empty() {
        canvas.text(inner.x, inner.y, inner.width, "nothing yet", Role::Dim);
    }
    let room = usize::from(inner.height);
    let first = (cursor.at + 1).saturating_sub(room);
    let rows = state.commands.iter().enumerate().skip(first).take(room);
    for ((index, done), y) in rows.zip(inner.y..) {
        let chosen = index == cursor.at;
        let time = done.time.to_zoned(state.settings.zone.clone());
        let time = time.strftime("%H:%M:%S ").to_string();
        let x = canvas.text(inner.x, y, inner.width, &time, Role::Time);
        let sign = match (&done.error, done.job) {
            (Some(_), _) => canvas.glyphs.pick("\u{2717} ", "! "),
            (None, Some(_)) => canvas.glyphs.pick("\u{2026} ", ". "),
            (None, None) => canvas.glyphs.pick("\u{2713} ", "+ "),
        };
        let role = match (&done.error, done.job) {
            (Some(_), _) => Role::Bad,
            (None, Some(_)) => Role::Busy,
            (None, None) => Role::Good,
        };
        let x = canvas.text(x, y, inner.right().saturating_sub(x), sign, role);
        let command = text::sanitise(&done.command);
        let x = canvas.text(x, y, inner.right().saturating_sub(x), &command, Role::Text);
        if let Some(error) = &done.error {
            let error = format!("  {}", text::sanitise(error));
            canvas.text(x, y, inner.right().saturating_sub(x), &error, Role::Bad);
        }
        if chosen {
            let line = Rect {
                y,
                height: 1,
                ..inner
            };
            canvas.fill(line, Role::Selected);
        }
    }
    canvas.caption(rect, "y copies  esc closes", Role::Dim);
}

fn draw_message(state: &State, title: &str, lines: &[String], canvas: &mut Canvas<'_>) {
    let width = state.width.saturating_sub(8).min(90);
    let columns = usize::from(width.max(1));
    let rows = wrapped(lines, columns);
    let height = u16::try_from(rows.len()).unwrap_or(u16::MAX);
    let (rect, inner) = window(state, title, width, height, canvas);
    let room = usize::from(inner.height);
    for (row, y) in rows.iter().take(room).zip(inner.y..) {
        canvas.text(inner.x, y, inner.width, row, Role::Text);
    }
    canvas.caption(rect, "any key closes it", Role::Dim);
}

/// Lines in rows of so many columns: broken between words, a word that is too long behind a sign within it.
pub(super) fn wrapped(lines: &[String], columns: usize) -> Vec<&str> {
    let mut rows = Vec::new();
    for line in lines {
        let mut rest = line.as_str();
        loop {
            let (head, tail) = text::split_at_word(rest, columns);
            // A character wider than the window ends it.
            if head.is_empty() && !tail.is_empty() {
                rows.push("");
                break;
            }
            rows.push(head);
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
    }
    rows
}
