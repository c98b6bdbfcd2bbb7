//! A file that is read: its lines with a little colour, or its bytes.

use ratatui::layout::Rect;

use super::super::canvas::Canvas;
use crate::app::explorer::viewer::{Subject, ViewLine, Viewer, pieces};
use crate::app::layout::inside;
use crate::app::role::Role;
use crate::app::text;

pub(super) fn draw(viewer: &Viewer, rect: Rect, canvas: &mut Canvas<'_>) {
    canvas.border(rect, true);
    let title = match &viewer.subject {
        Subject::File(at) => format!("{} of layer {}", viewer.path, at.0),
        Subject::Change(old, new) => format!("{} of layers {} and {}", viewer.path, old.0, new.0),
    };
    canvas.title(rect, &title, true);
    let body = inside(rect);
    if let Some(failure) = &viewer.failure {
        let line = text::sanitise(&failure.line);
        canvas.text(
            body.x + 1,
            body.y,
            body.width.saturating_sub(1),
            &line,
            Role::Bad,
        );
        return;
    }
    if !viewer.is_there {
        canvas.text(
            body.x + 1,
            body.y,
            body.width.saturating_sub(1),
            "reading",
            Role::Dim,
        );
        return;
    }
    for (number, y) in (viewer.scroll.top..viewer.count()).zip(body.y..body.bottom()) {
        if let Some(line) = viewer.line(number) {
            let row = Rect {
                y,
                height: 1,
                ..body
            };
            draw_line(viewer, &line, row, canvas);
        }
    }
    let mut told = viewer.told().value;
    if viewer.count() > usize::from(body.height) {
        let last = (viewer.scroll.top + usize::from(body.height)).min(viewer.count());
        told = format!("{told}  {last}/{}", viewer.count());
    }
    canvas.caption(rect, &told, Role::Dim);
}

fn draw_line(viewer: &Viewer, line: &ViewLine, row: Rect, canvas: &mut Canvas<'_>) {
    let mut x = row.x + 1;
    if !line.sign.is_empty() {
        x = canvas.text(x, row.y, 2, line.sign, line.role) + 1;
    }
    let (_, shown) = text::split_at_width(&line.text, viewer.left);
    let is_plain = line.role == Role::Text && !viewer.hex && viewer.left == 0;
    let parts = if is_plain {
        pieces(shown)
    } else {
        vec![(line.role, shown)]
    };
    for (role, part) in parts {
        let room = row.right().saturating_sub(x);
        let style = canvas.theme.style(role);
        x = canvas.raw(x, row.y, room, part, style);
    }
}
