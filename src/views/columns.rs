//! The columns of a list to choose from: which are shown, in which order.

use ratatui::layout::Rect;

use super::canvas::Canvas;
use super::overlays::window;
use crate::app::State;
use crate::app::layout::{self, Regions};
use crate::app::overlay::Cursor;
use crate::app::role::Role;

pub(super) fn draw(state: &State, cursor: Cursor, found: &Regions, canvas: &mut Canvas<'_>) {
    let list = state.list(state.pane);
    let choices = list.choices();
    let all = choices.list();
    // What is on the screen now: what has no room, or nothing in it, is not.
    let body = found
        .list(state.pane)
        .map(|rect| layout::list_parts(rect).1);
    let seen = body.map(|body| list.columns(body.width.saturating_sub(1), state.context()));
    let height = u16::try_from(all.len())
        .unwrap_or(u16::MAX)
        .saturating_add(2);
    let title = format!("Columns of {}", state.pane.title().to_lowercase());
    let (_, inner) = window(state, &title, 50, height, canvas);
    let room = usize::from(inner.height.saturating_sub(2));
    let first = (cursor.at + 1).saturating_sub(room);
    let rows = all.iter().enumerate().skip(first).take(room);
    for ((at, choice), y) in rows.zip(inner.y..) {
        let check = if choice.shown { "[x] " } else { "[ ] " };
        let x = canvas.text(inner.x, y, inner.width, check, Role::Key);
        let rest = inner.right().saturating_sub(x);
        let name = choices.title(choice.index);
        let role = if choice.shown { Role::Text } else { Role::Dim };
        canvas.text(x, y, rest, name, role);
        let is_seen = |index| {
            let seen = seen.as_ref();
            seen.is_none_or(|seen| seen.iter().any(|(shown, ..)| *shown == index))
        };
        if choice.shown && !is_seen(choice.index) {
            let style = canvas.theme.style(Role::Dim);
            canvas.right(x, y, rest, "no room, or nothing in it", style);
        }
        if at == cursor.at {
            let line = Rect {
                y,
                height: 1,
                ..inner
            };
            canvas.fill(line, Role::Selected);
        }
    }
    let y = inner.bottom().saturating_sub(1);
    let keys = [
        ("space", "show"),
        ("J K", "move"),
        ("r", "as it comes"),
        ("esc", "done"),
    ];
    let mut x = inner.x;
    for (key, meaning) in keys {
        x = canvas.text(x, y, inner.right().saturating_sub(x), key, Role::Key);
        let meaning = format!(" {meaning}  ");
        x = canvas.text(x, y, inner.right().saturating_sub(x), &meaning, Role::Text);
    }
}
