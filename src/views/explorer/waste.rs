//! What is hidden, the largest first: bytes, cause, layers, path, and how to do without.

use ratatui::layout::Rect;

use super::super::canvas::Canvas;
use crate::app::explorer::lines::path_text;
use crate::app::explorer::{Explorer, Part};
use crate::app::layout::list_parts;
use crate::app::role::Role;
use crate::app::text;

const TITLES: [(&str, u16, bool); 4] = [
    ("HIDDEN", 6, true),
    ("FILES", 5, true),
    ("FROM BY", 7, false),
    ("CAUSE", 12, false),
];

pub(super) fn draw(explorer: &Explorer, rect: Rect, canvas: &mut Canvas<'_>) {
    let focused = explorer.part == Part::Waste;
    canvas.border(rect, focused);
    let title = format!("Hidden bytes {}", text::bytes(explorer.wasted()));
    canvas.title(rect, &title, focused);
    let (header, body) = list_parts(rect);
    if let Some(header) = header {
        let style = canvas.theme.style(Role::Header);
        let mut x = header.x + 1;
        for (title, width, right) in TITLES {
            if right {
                canvas.right(x, header.y, width, title, style);
            } else {
                canvas.styled(x, header.y, width, title, style);
            }
            x += width + 1;
        }
        canvas.styled(x, header.y, header.right().saturating_sub(x), "PATH", style);
    }
    let Some(image) = &explorer.image else {
        return;
    };
    let rows = image.hidden.iter().enumerate().skip(explorer.waste.top);
    for ((line, hidden), y) in rows.zip(body.y..body.bottom()) {
        let cells = [
            (text::bytes(hidden.bytes), Role::Warning),
            (hidden.files.to_string(), Role::Dim),
            (
                format!("{:>3} {:>3}", hidden.added, hidden.hidden),
                Role::Text,
            ),
            (hidden.cause.as_str().to_owned(), Role::Dim),
        ];
        let mut x = body.x + 1;
        for ((cell, role), (_, width, right)) in cells.iter().zip(TITLES) {
            if right {
                canvas.right(x, y, width, cell, canvas.theme.style(*role));
            } else {
                canvas.text(x, y, width, cell, *role);
            }
            x += width + 1;
        }
        let room = body.right().saturating_sub(x);
        canvas.text(x, y, room, &path_text(&hidden.path), Role::Text);
        if line == explorer.waste.at {
            let role = if focused {
                Role::Selected
            } else {
                Role::SelectedUnfocused
            };
            canvas.fill(
                Rect {
                    y,
                    height: 1,
                    ..body
                },
                role,
            );
        }
    }
    if let Some(hidden) = explorer.chosen_waste() {
        canvas.caption(rect, hidden.cause.advice(), Role::Busy);
    }
}
