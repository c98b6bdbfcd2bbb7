//! Dialogs with fields.

use ratatui::layout::{Position, Rect};

use super::canvas::Canvas;
use super::overlays::{draw_field, window, wrapped};
use crate::app::form::{Form, Kind, SUGGESTIONS};
use crate::app::overlay::Field;
use crate::app::role::Role;
use crate::app::{State, text};

/// Rows for what is wrong, or will be done; a command line may be long.
fn remark_rows(form: &Form) -> u16 {
    if form.command().is_some() { 4 } else { 2 }
}

pub(super) fn draw(state: &State, form: &Form, canvas: &mut Canvas<'_>) -> Option<Position> {
    let offers = |kind: &Kind| {
        matches!(
            kind,
            Kind::Reference(_) | Kind::Source(_) | Kind::Platform | Kind::Path | Kind::Choice(_)
        )
    };
    let offered = if form.inputs.iter().any(|input| offers(&input.kind)) {
        u16::try_from(SUGGESTIONS).unwrap_or(0) + 1
    } else {
        0
    };
    let fields = u16::try_from(form.inputs.len()).unwrap_or(0);
    let remark = remark_rows(form);
    let height = fields + 1 + remark + offered;
    let (rect, inner) = window(state, &form.ask.title(), 72, height, canvas);
    // Where there is little room the remark stays, and the fields move so that the chosen one is seen.
    let room = inner
        .height
        .saturating_sub(remark.min(inner.height / 2))
        .max(1);
    let first = (form.at + 1).saturating_sub(room.into());
    let fields = fields.min(room);
    let mut cursor = None;
    let labels = form.inputs.iter().map(|input| text::width(input.label));
    let labels = u16::try_from(labels.max().unwrap_or(0)).unwrap_or(0);
    let shown = form.inputs.iter().enumerate().skip(first);
    for ((index, input), y) in shown.zip(inner.y..inner.y + fields) {
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
        if matches!(input.kind, Kind::Switch(_)) {
            draw_switch(shown.text(), active, line, canvas);
            continue;
        }
        let at = draw_field(line, "", shown, canvas);
        if let Some(meaning) = input.empty.filter(|_| shown.text().is_empty()) {
            canvas.text(line.x, y, line.width, meaning, Role::Dim);
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
    let skipped = remark + 1;
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
    let switch = matches!(form.input(), Some(input) if matches!(input.kind, Kind::Switch(_)));
    let choose = match (switch, form.suggestions().is_empty()) {
        (true, _) => "space changes  ",
        (false, false) => "up/down choose  ",
        (false, true) => "",
    };
    canvas.caption(
        rect,
        &format!("{go_on}{choose}enter does it  esc closes"),
        Role::Dim,
    );
    cursor
}

/// The answer, and that there are others.
fn draw_switch(answer: &str, active: bool, line: Rect, canvas: &mut Canvas<'_>) {
    let (before, after) = if active {
        canvas.glyphs.pick(("\u{2039} ", " \u{203a}"), ("< ", " >"))
    } else {
        ("", "")
    };
    let text = format!("{before}{answer}{after}");
    canvas.text(line.x, line.y, line.width, &text, Role::Text);
}

/// As many signs as the field has characters, the cursor at its place.
fn hidden(field: &Field, sign: &str) -> Field {
    let mut stars = Field::new(&sign.repeat(field.text().chars().count()));
    stars.go_to(field.before_cursor().chars().count());
    stars
}

fn draw_remark(state: &State, form: &Form, rect: Rect, canvas: &mut Canvas<'_>) {
    let problem = form.problem(&state.settings);
    if form.sent.is_some() {
        canvas.text(rect.x + 2, rect.y, rect.width, "at work", Role::Busy);
        return;
    }
    if let Some(failure) = &form.failure {
        let hint = failure.hint.iter().map(|hint| format!("hint: {hint}"));
        let lines: Vec<_> = std::iter::once(failure.line.clone())
            .chain(hint)
            .map(|line| text::sanitise(&line).into_owned())
            .collect();
        return draw_lines(&lines, Role::Bad, rect, canvas);
    }
    let (remark, role) = match problem.filter(|problem| form.tried || !problem.missing) {
        Some(problem) => (Some(problem.text), Role::Bad),
        None => (form.remark(&state.settings), Role::Dim),
    };
    let Some(remark) = remark else {
        return;
    };
    let warnings: &[String] = if role == Role::Bad {
        &[]
    } else {
        form.warnings()
    };
    let lines: Vec<_> = std::iter::once(&remark)
        .chain(warnings)
        .map(|line| text::sanitise(line).into_owned())
        .collect();
    draw_lines(&lines, role, rect, canvas);
}

fn draw_lines(lines: &[String], role: Role, rect: Rect, canvas: &mut Canvas<'_>) {
    let rows = wrapped(lines, rect.width.saturating_sub(2).into());
    // The callers' suggestions begin a row below.
    let most = if lines.len() > 1 {
        4
    } else {
        usize::from(rect.height)
    };
    let rows = rows.into_iter().take(most);
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
