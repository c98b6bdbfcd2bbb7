//! Drawing: pure functions from state to cells. Nothing is changed, read or asked here.

mod canvas;
mod columns;
mod detail;
mod explorer;
mod forms;
mod graph;
mod jobs;
mod list;
mod overlays;
mod prune;
mod tables;
pub mod theme;
mod usage;

use ratatui::buffer::Buffer;
use ratatui::layout::Position;

use crate::app::action::{ACTIONS, Scope};
use crate::app::layout::{self, Regions};
use crate::app::overlay::Overlay;
use crate::app::role::{Glyphs, Role};
use crate::app::{Focus, Pane, Severity, State, text};
use canvas::Canvas;
use theme::Theme;

/// Draws everything into the buffer, which must have the size of the state's screen and be empty. Returns where the
/// cursor is to be shown, if anywhere.
#[must_use]
pub fn draw(state: &State, theme: &Theme, buffer: &mut Buffer) -> Option<Position> {
    let area = state.area().intersection(buffer.area);
    let mut canvas = Canvas::new(buffer, theme, state.settings.glyphs);
    canvas.fill(area, Role::Text);
    let found = layout::regions(area, state);
    if found.is_too_small() {
        canvas.text(area.x, area.y, area.width, "too small", Role::Warning);
        return None;
    }
    let mut cursor = match (&state.explorer, &state.tables) {
        (Some(explorer), _) => {
            explorer::draw(state, explorer, &mut canvas);
            None
        }
        (None, Some(tables)) => {
            tables::draw(state, tables, &mut canvas);
            None
        }
        (None, None) => panes(state, &found, &mut canvas),
    };
    for overlay in &state.overlays {
        cursor = overlays::draw(state, overlay, &found, &mut canvas);
    }
    if state.settings.glyphs == Glyphs::Ascii {
        to_ascii(buffer);
    }
    cursor
}

fn panes(state: &State, found: &Regions, canvas: &mut Canvas<'_>) -> Option<Position> {
    if let Some(bar) = found.bar {
        draw_bar(state, bar, canvas);
    }
    for (pane, rect) in &found.lists {
        let focused = state.focus == Focus::List && state.pane == *pane;
        match pane {
            Pane::Containers => list::draw(state, &state.containers, *pane, *rect, focused, canvas),
            Pane::Images => list::draw(state, &state.images, *pane, *rect, focused, canvas),
            Pane::Volumes => list::draw(state, &state.volumes, *pane, *rect, focused, canvas),
            Pane::Networks => {
                list::draw(state, &state.networks, *pane, *rect, focused, canvas);
            }
        }
    }
    let cursor = found
        .detail
        .and_then(|rect| detail::draw(state, rect, canvas));
    if let Some(footer) = found.footer {
        draw_footer(state, footer, canvas);
    }
    cursor
}

fn draw_bar(state: &State, rect: ratatui::layout::Rect, canvas: &mut Canvas<'_>) {
    let mut x = canvas.text(rect.x, rect.y, rect.width, " wharf ", Role::Chip);
    let host = state.host.as_ref().map_or("", |h| h.name.as_str());
    let host = text::sanitise(host);
    let gap = if host.is_empty() { "" } else { " " };
    let summary = format!(
        "{gap}{host}  {} of {} running",
        state.running(),
        state.containers.total(),
    );
    x = canvas.text(
        x,
        rect.y,
        rect.right().saturating_sub(x),
        &summary,
        Role::Bar,
    );
    let mut figures = format!("  CPU {:.0}%", state.figures.cpu_sum());
    if let Some(host) = &state.host {
        figures = format!("{figures} of {}00%", host.cpus);
    }
    figures = format!("{figures}  MEM {}", text::bytes(state.figures.memory_sum()));
    if let Some(host) = &state.host {
        figures = format!("{figures} of {}", text::bytes(host.memory));
    }
    x = canvas.text(
        x,
        rect.y,
        rect.right().saturating_sub(x),
        &figures,
        Role::Dim,
    );
    let mut chips = Vec::new();
    if !state.jobs.is_empty() {
        chips.push((format!(" {} at work ", state.jobs.len()), Role::Busy));
    }
    if state.settings.read_only {
        chips.push((" READ-ONLY ".to_owned(), Role::Chip));
    }
    if state.stale.is_some() {
        chips.push((" NOT UP TO DATE: ! ".to_owned(), Role::Bad));
    }
    let mut right = rect.right();
    for (chip, role) in chips {
        let width = u16::try_from(text::width(&chip)).unwrap_or(0);
        if right.saturating_sub(width) < x {
            break;
        }
        right -= width;
        canvas.text(right, rect.y, width, &chip, role);
    }
}

/// A prompt has been drawn over it if there is one; else the message, else the keys.
fn draw_footer(state: &State, rect: ratatui::layout::Rect, canvas: &mut Canvas<'_>) {
    if matches!(state.overlays.last(), Some(Overlay::Prompt(_))) {
        return;
    }
    // Work that goes on stands at the right, and leaves the rest two thirds.
    let work = jobs::summary(state, rect.width / 3);
    let used = u16::try_from(text::width(&work)).unwrap_or(0);
    let style = canvas.theme.style(Role::Busy);
    canvas.right(rect.x, rect.y, rect.width, &work, style);
    let gap = if used > 0 { 2 } else { 0 };
    let rect = ratatui::layout::Rect {
        width: rect.width.saturating_sub(used + gap),
        ..rect
    };
    if let Some(notice) = &state.notice {
        let (mark, role) = match notice.severity {
            Severity::Good => (state.settings.glyphs.pick("\u{2713} ", "+ "), Role::Good),
            Severity::Info => ("- ", Role::Text),
            Severity::Error => (state.settings.glyphs.pick("\u{2717} ", "! "), Role::Bad),
        };
        let mut x = canvas.text(rect.x, rect.y, rect.width, mark, role);
        let more = if notice.severity == Severity::Error {
            "  enter: all of it"
        } else {
            ""
        };
        let hint = notice
            .hint
            .as_ref()
            .map_or(String::new(), |h| format!(" ({h})"));
        let room = rect.right().saturating_sub(x);
        let more_width = u16::try_from(more.len()).unwrap_or(0);
        x = canvas.text(
            x,
            rect.y,
            room.saturating_sub(more_width),
            &format!("{}{hint}", notice.text),
            role,
        );
        canvas.text(x, rect.y, rect.right().saturating_sub(x), more, Role::Dim);
        return;
    }
    let mut x = rect.x;
    for (key, hint) in hints(state) {
        let needed = u16::try_from(text::width(&key) + hint.len() + 3).unwrap_or(u16::MAX);
        if x.saturating_add(needed) > rect.right() {
            break;
        }
        x = canvas.text(x, rect.y, needed, &key, Role::Key);
        x = canvas.text(x, rect.y, needed, &format!(" {hint}"), Role::Dim) + 2;
    }
}

/// Keys for the footer: what applies here, the innermost first; help first of all.
fn hints(state: &State) -> Vec<(String, &'static str)> {
    let scopes = state.scopes();
    let label = |action| {
        let mut keys = state.settings.keymap.keys(action);
        // A key that means something else here would be a lie.
        keys.find(|key| state.action(*key) == Some(action))
            .map(|key| key.to_string())
    };
    let help = ACTIONS.first().filter(|_| !scopes.contains(&Scope::Shell));
    let inner = scopes.iter().flat_map(|scope| {
        ACTIONS
            .iter()
            .filter(move |e| e.scope == *scope && !e.hint.is_empty() && state.applies(e.action))
    });
    help.into_iter()
        .chain(inner.filter(|e| e.action != crate::app::action::Action::Help))
        .filter_map(|e| Some((label(e.action)?, e.hint)))
        .collect()
}

/// What cannot be shown becomes a question mark: data may hold any character.
fn to_ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if !cell.symbol().is_ascii() {
            let mark = match cell.symbol() {
                "\u{b7}" => ".",
                "\u{2026}" => "~",
                _ => "?",
            };
            cell.set_symbol(mark);
        }
    }
}
