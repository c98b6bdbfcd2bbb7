//! What a prune takes, and how much comes back, before it is asked.

use ratatui::layout::{Position, Rect};

use super::canvas::Canvas;
use super::overlays::{draw_field, window};
use crate::app::overlay::{Prune, Unused};
use crate::app::role::Role;
use crate::app::{State, text};
use crate::engine::model::units::human_size_short;

pub(super) fn draw(state: &State, prune: &Prune, canvas: &mut Canvas<'_>) -> Option<Position> {
    let things = match &prune.plan {
        Some(Ok(plan)) => plan.rows.as_slice(),
        _ => &[],
    };
    let wanted = u16::try_from(things.len())
        .unwrap_or(u16::MAX)
        .saturating_add(4);
    let height = wanted.clamp(6, state.height.saturating_sub(4).max(6));
    let [one, several] = prune.what.noun();
    let title = format!("Prune {several}");
    let (_, inner) = window(state, &title, 72, height, canvas);
    canvas.text(inner.x, inner.y, inner.width, kind(prune), Role::Title);
    let (line, role) = match &prune.plan {
        None => ("looking".to_owned(), Role::Dim),
        Some(Err(failure)) => (text::sanitise(&failure.line).into_owned(), Role::Bad),
        Some(Ok(plan)) if plan.is_nothing() => {
            ("there is nothing to remove".to_owned(), Role::Text)
        }
        Some(Ok(plan)) => (
            format!(
                "{}, {} come back",
                match plan.rows.len() {
                    1 => format!("1 {one} goes"),
                    many => format!("{many} {several} go"),
                },
                human_size_short(plan.reclaimed)
            ),
            Role::Warning,
        ),
    };
    canvas.text(inner.x, inner.y + 1, inner.width, &line, role);
    let room = inner.height.saturating_sub(4);
    let first = (prune.cursor.at + 1).saturating_sub(room.into());
    let rows = things.iter().enumerate().skip(first).take(room.into());
    for ((index, (name, note)), y) in rows.zip(inner.y + 2..) {
        let width = inner.width.saturating_sub(15);
        let name = text::sanitise(name);
        canvas.text(inner.x + 1, y, width, &name, Role::Text);
        let style = canvas.theme.style(Role::Dim);
        let rest = inner.width.saturating_sub(width + 1);
        canvas.right(inner.x + 1 + width, y, rest, note, style);
        if index == prune.cursor.at {
            let line = Rect {
                y,
                height: 1,
                ..inner
            };
            canvas.fill(line, Role::Selected);
        }
    }
    draw_answer(prune, inner, canvas)
}

fn kind(prune: &Prune) -> &'static str {
    match (&prune.what, prune.what.all()) {
        (Unused::Images(_), Some(true)) => "all images that no container uses",
        (Unused::Images(_), _) => "dangling images: those without a name",
        (Unused::Containers, _) => "containers that do not run, with what they wrote",
        (Unused::Volumes(_), Some(true)) => "all volumes that no container has, with their data",
        (Unused::Volumes(_), _) => "volumes that nobody named and no container has",
    }
}

/// The bottom line: the keys, or the number that is being typed.
fn draw_answer(prune: &Prune, inner: Rect, canvas: &mut Canvas<'_>) -> Option<Position> {
    let y = inner.bottom().saturating_sub(1);
    let mut x = inner.x;
    let toggle = match (&prune.what, prune.what.all()) {
        (_, None) => None,
        (Unused::Images(_), Some(true)) => Some("only dangling"),
        (_, Some(true)) => Some("only anonymous"),
        (_, Some(false)) => Some("all unused"),
    };
    let number = prune.number();
    let yes = if number.is_some() { None } else { Some("yes") };
    let keys = [("y", yes), ("n", Some("no")), ("a", toggle)];
    for (key, meaning) in keys {
        let Some(meaning) = meaning else { continue };
        x = canvas.text(x, y, inner.right().saturating_sub(x), key, Role::Key);
        let meaning = format!(" {meaning}   ");
        x = canvas.text(x, y, inner.right().saturating_sub(x), &meaning, Role::Text);
    }
    let number = number?;
    let line = Rect {
        x,
        y,
        width: inner.right().saturating_sub(x),
        height: 1,
    };
    let label = format!("type {number} and enter: ");
    draw_field(line, &label, &prune.typed, canvas)
}
