//! A file that is read: its lines with a little colour, or its bytes.

use ratatui::layout::Rect;

use super::super::canvas::Canvas;
use super::draw_failure;
use crate::app::explorer::viewer::{Subject, ViewLine, Viewer, pieces};
use crate::app::layout::inside;
use crate::app::role::Role;
use crate::app::text;

pub(in super::super) fn draw(viewer: &Viewer, rect: Rect, canvas: &mut Canvas<'_>) {
    canvas.border(rect, true);
    let of = match &viewer.subject {
        Subject::File(at) => format!("of layer {}", at.0),
        Subject::Pair(..) => "of both images".to_owned(),
        Subject::Change(old, new) => format!("of layers {} and {}", old.0, new.0),
    };
    // The end of a long path says more than its beginning.
    let room = usize::from(rect.width).saturating_sub(of.len() + 8).max(8);
    let path = match text::width(&viewer.path).checked_sub(room) {
        None | Some(0) => viewer.path.clone(),
        Some(over) => {
            let (_, end) = text::split_at_width(&viewer.path, over + 1);
            format!("{}{end}", canvas.glyphs.pick("\u{2026}", "~"))
        }
    };
    canvas.title(rect, &format!("{path} {of}"), true);
    let body = inside(rect);
    if let Some(failure) = &viewer.failure {
        return draw_failure(failure, body, canvas);
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
            draw_line(viewer, number, &line, row, canvas);
        }
    }
    let mut told = viewer.told().value;
    if viewer.count() > usize::from(body.height) {
        let last = (viewer.scroll.top + usize::from(body.height)).min(viewer.count());
        told = format!("{told}  {last}/{}", viewer.count());
    }
    if !viewer.needle().is_empty() {
        let place = viewer.current().map(|current| {
            let found = viewer.found().iter();
            found.take_while(|line| **line <= current).count()
        });
        let found = viewer.found().len();
        let sought = format!("/{} {}/{found}", viewer.needle(), place.unwrap_or(0));
        told = format!("{}  {told}", text::sanitise(&sought));
    }
    canvas.caption(rect, &told, Role::Dim);
}

fn draw_line(viewer: &Viewer, number: usize, line: &ViewLine, row: Rect, canvas: &mut Canvas<'_>) {
    let mut x = row.x + 1;
    if let Some(marked) = viewer.marked() {
        if marked == number {
            canvas.text(x, row.y, 1, canvas.glyphs.pick("\u{25b8}", ">"), Role::Key);
        }
        x += 2;
    }
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
    let is_found = viewer.found().binary_search(&number).is_ok();
    let mark = if viewer.current() == Some(number) {
        Role::MatchCurrent
    } else {
        Role::Match
    };
    // Where bytes begin is told by their row: a text may go on in the next one.
    let matches = match is_found {
        true if viewer.hex => vec![(0, "00000000".len())],
        true => text::find_all(shown, viewer.needle()),
        false => Vec::new(),
    };
    let mut at = 0;
    for (role, part) in parts {
        let end = at + part.len();
        let mut cuts = vec![at, end];
        let ends = matches.iter().flat_map(|m| [m.0, m.1]);
        cuts.extend(ends.filter(|cut| (at..end).contains(cut)));
        cuts.sort_unstable();
        for piece in cuts.windows(2) {
            let Some(part) = shown.get(piece[0]..piece[1]) else {
                continue;
            };
            let is_match = matches.iter().any(|m| m.0 <= piece[0] && piece[1] <= m.1);
            let mut style = canvas.theme.style(role);
            if is_match {
                style = style.patch(canvas.theme.style(mark));
            }
            let room = row.right().saturating_sub(x);
            x = canvas.raw(x, row.y, room, part, style);
        }
        at = end;
    }
    if viewer.marked() == Some(number) {
        canvas.fill(row, Role::SelectedUnfocused);
    }
}
