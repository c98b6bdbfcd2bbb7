//! Clicks and the wheel.

use super::super::key::{Key, KeyCode};
use super::super::layout;
use super::super::overlay::{Cursor, Overlay};
use super::super::{Effect, Focus, Mouse, MouseKind, State, Tab};
use super::actions::{go_to, move_detail, set_tab};
use super::overlays::on_overlay_key;
use super::{explorer, tables};

pub(super) fn on_mouse(state: &mut State, mouse: Mouse, effects: &mut Vec<Effect>) {
    if let Some(top) = state.overlays.last() {
        let step = match mouse.kind {
            MouseKind::WheelUp => KeyCode::Up,
            MouseKind::WheelDown => KeyCode::Down,
            MouseKind::Press => {
                // A click beside a message closes it; a question wants an answer.
                if matches!(top, Overlay::Message { .. } | Overlay::Help(_)) {
                    state.overlays.pop();
                }
                return;
            }
        };
        return on_overlay_key(state, Key::plain(step), effects);
    }
    if state.explorer.is_some() {
        return explorer::on_mouse(state, mouse, effects);
    }
    if state.tables.is_some() {
        return tables::on_mouse(state, mouse);
    }
    let found = layout::regions(state.area(), state);
    let at = ratatui::layout::Position::new(mouse.x, mouse.y);
    let rows = match mouse.kind {
        MouseKind::WheelUp => -3,
        MouseKind::WheelDown => 3,
        MouseKind::Press => 0,
    };
    if let Some((pane, rect)) = found.lists.iter().find(|(_, rect)| rect.contains(at)) {
        let pane = *pane;
        if rows != 0 {
            return state.list_mut(pane).scroll(rows);
        }
        go_to(state, pane);
        let (header, body) = layout::list_parts(*rect);
        let context = state.context();
        let list = state.list_mut(pane);
        if body.contains(at) {
            let row = list.offset() + usize::from(mouse.y - body.y);
            if row < list.shown() {
                list.select(row);
            }
        } else if let Some(header) = header.filter(|h| h.contains(at)) {
            // One column is the marks'.
            let x = (mouse.x - header.x).saturating_sub(1);
            let columns = list.columns(header.width.saturating_sub(1), context);
            let column = columns
                .iter()
                .find(|(_, start, width)| x >= *start && x <= start + width)
                .map(|(index, _, _)| *index);
            if let Some(column) = column {
                list.sort_by(column);
            }
        }
    } else if found.footer.is_some_and(|rect| rect.contains(at)) {
        // What is at work stands there.
        if rows == 0 && !state.jobs.is_empty() {
            state.overlays.push(Overlay::Jobs(Cursor::default()));
        }
    } else if let Some(rect) = found.detail.filter(|rect| rect.contains(at)) {
        if rows != 0 {
            return wheel_on_detail(state, rows, effects);
        }
        let tab = layout::tabs(rect, state)
            .into_iter()
            .find(|(_, x, width)| mouse.y == rect.y && mouse.x >= *x && mouse.x < x + width);
        match tab {
            Some((tab, _, _)) => {
                set_tab(state, tab);
                if tab == Tab::Shell {
                    state.focus = Focus::Detail;
                }
            }
            None => state.focus = Focus::Detail,
        }
    }
}

/// The wheel scrolls; in a full-screen program in a shell, which has nothing to scroll back to, it is arrow keys.
pub(super) fn wheel_on_detail(state: &mut State, rows: isize, effects: &mut Vec<Effect>) {
    let program = state
        .selected_shell()
        .filter(|shell| state.tab() == Tab::Shell && shell.screen().alternate_screen());
    let Some(shell) = program else {
        return move_detail(state, rows);
    };
    let key = Key::plain(if rows < 0 { KeyCode::Up } else { KeyCode::Down });
    let bytes = shell.encode(key).unwrap_or_default();
    effects.push(Effect::ShellInput {
        generation: shell.generation,
        bytes: bytes.repeat(rows.unsigned_abs()),
    });
}
