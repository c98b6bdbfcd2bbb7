//! Dialogs with fields.

use ratatui::layout::{Position, Rect};

use super::canvas::Canvas;
use super::overlays::{draw_field, window, wrapped};
use crate::app::form::{Form, Kind, SUGGESTIONS};
use crate::app::overlay::Field;
use crate::app::role::Role;
use crate::app::{State, text};

/// Rows for what is wrong, or will be done.
const REMARK: u16 = 2;

pub(super) fn draw(state: &State, form: &Form, canvas: &mut Canvas<'_>) -> Option<Position> {
    let offers = |kind: &Kind| !matches!(kind, Kind::Text | Kind::Hidden);
    let offered = if form.inputs.iter().any(|input| offers(&input.kind)) {
        u16::try_from(SUGGESTIONS).unwrap_or(0) + 1
    } else {
        0
    };
    let fields = u16::try_from(form.inputs.len()).unwrap_or(0);
    let height = fields + 1 + REMARK + offered;
    let (rect, inner) = window(state, &form.ask.title(), 72, height, canvas);
    let mut cursor = None;
    let labels = form.inputs.iter().map(|input| text::width(input.label));
    let labels = u16::try_from(labels.max().unwrap_or(0)).unwrap_or(0);
    for ((index, input), y) in form.inputs.iter().enumerate().zip(inner.y..inner.bottom()) {
        let active = index == form.at;
        let sign = if active {
            canvas.glyphs.pick("\u{203a} ", "> ")
        } else {
            "  "
        };
        canvas.text(inner.x, y, inner.width, sign, Role::Key);
        canvas.text(inner.x + 2, y, labels, input.label, Role::Field);
        let x = inner.x + labels + 4;
        let line = Rect {
            x,
            y,
            width: inner.right().saturating_sub(x),
            height: 1,
        };
        let stars;
        let shown = if input.kind == Kind::Hidden {
            stars = hidden(&input.field, canvas.glyphs.pick("\u{2022}", "*"));
            &stars
        } else {
            &input.field
        };
        let at = draw_field(line, "", shown, canvas);
        if input.kind == Kind::Platform && shown.text().is_empty() {
            canvas.text(line.x, y, line.width, "this host's", Role::Dim);
        }
        if active {
            cursor = at;
        }
    }
    let below = Rect {
        y: inner.y + fields,
        height: inner.height.saturating_sub(fields),
        ..inner
    };
    draw_remark(state, form, below, canvas);
    let skipped = REMARK + 1;
    let rows = Rect {
        y: below.y + skipped,
        height: below.height.saturating_sub(skipped),
        ..below
    };
    draw_suggestions(form, rows, canvas);
    let go_on = if form.inputs.len() > 1 {
        "tab next  "
    } else {
        ""
    };
    let choose = if offered > 0 { "up/down choose  " } else { "" };
    canvas.caption(
        rect,
        &format!("{go_on}{choose}enter does it  esc closes"),
        Role::Dim,
    );
    cursor
}

/// As many signs as the field has characters, the cursor at its place.
fn hidden(field: &Field, sign: &str) -> Field {
    let mut stars = Field::new(&sign.repeat(field.text().chars().count()));
    stars.go_to(field.before_cursor().chars().count());
    stars
}

fn draw_remark(state: &State, form: &Form, rect: Rect, canvas: &mut Canvas<'_>) {
    let problem = form.problem(&state.settings);
    let (remark, role) = match problem.filter(|problem| form.tried || !problem.missing) {
        Some(problem) => (Some(problem.text), Role::Bad),
        None => (form.remark(&state.settings), Role::Dim),
    };
    let Some(remark) = remark else {
        return;
    };
    let lines = [text::sanitise(&remark).into_owned()];
    let rows = wrapped(&lines, rect.width.saturating_sub(2).into());
    let rows = rows.into_iter().take(REMARK.into());
    for (row, y) in rows.zip(rect.y..rect.bottom()) {
        canvas.text(rect.x + 2, y, rect.width.saturating_sub(2), row, role);
    }
}

fn draw_suggestions(form: &Form, rect: Rect, canvas: &mut Canvas<'_>) {
    for ((index, name), y) in form
        .suggestions()
        .iter()
        .enumerate()
        .zip(rect.y..rect.bottom())
    {
        let chosen = form.chosen == Some(index);
        let role = if chosen { Role::Selected } else { Role::Dim };
        if chosen {
            let line = Rect {
                y,
                height: 1,
                ..rect
            };
            canvas.fill(line, Role::Selected);
            let sign = canvas.glyphs.pick("\u{203a}", ">");
            canvas.text(rect.x, y, 1, sign, role);
        }
        let name = text::sanitise(name);
        canvas.text(rect.x + 2, y, rect.width.saturating_sub(2), &name, role);
    }
}
