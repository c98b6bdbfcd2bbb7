//! What should be known of the image before it ships, the worst first, as the command line tells it.

use ratatui::layout::Rect;

use super::super::canvas::Canvas;
use super::draw_failure;
use crate::app::explorer::{Explorer, Findings, Part};
use crate::app::layout::list_parts;
use crate::app::role::Role;
use crate::app::text;
use crate::engine::model::layers::findings::{Finding, Severity};

const TITLES: [(&str, u16, bool); 5] = [
    ("SEVERITY", 8, false),
    ("RULE", 15, false),
    ("LAYER", 5, false),
    ("FILES", 5, true),
    ("SIZE", 6, true),
];

pub(super) fn draw(explorer: &Explorer, rect: Rect, canvas: &mut Canvas<'_>) {
    let focused = explorer.part == Part::Findings;
    canvas.border(rect, focused);
    canvas.title(rect, &title(explorer), focused);
    let (header, body) = list_parts(rect);
    let empty = match &explorer.findings {
        Findings::Unasked | Findings::Asked(_) => "reading files",
        Findings::Failed(failure) => return draw_failure(failure, body, canvas),
        Findings::There(found, _) if found.is_empty() => "nothing was found",
        Findings::There(..) => "",
    };
    if !empty.is_empty() {
        let room = body.width.saturating_sub(1);
        canvas.text(body.x + 1, body.y, room, empty, Role::Dim);
        return;
    }
    if let Some(header) = header {
        draw_titles(header, canvas);
    }
    let rows = explorer.found().iter().enumerate();
    for ((line, finding), y) in rows.skip(explorer.finding.top).zip(body.y..body.bottom()) {
        let row = Rect {
            y,
            height: 1,
            ..body
        };
        draw_row(finding, row, canvas);
        if line == explorer.finding.at {
            let role = if focused {
                Role::Selected
            } else {
                Role::SelectedUnfocused
            };
            canvas.fill(row, role);
        }
    }
    if let Some(finding) = explorer.chosen_finding() {
        canvas.caption(rect, finding.advice, Role::Busy);
    }
}

/// How many there are of each severity.
fn title(explorer: &Explorer) -> String {
    let Findings::There(found, let_be) = &explorer.findings else {
        return "Findings".to_owned();
    };
    let count = |severity| {
        let all = found.iter();
        all.filter(|finding| finding.severity == severity).count()
    };
    let allowed = match let_be {
        0 => String::new(),
        some => format!(", {some} allowed"),
    };
    format!(
        "Findings: {} high, {} medium, {} low{allowed}",
        count(Severity::High),
        count(Severity::Medium),
        count(Severity::Low)
    )
}

/// Where the columns that take what is left begin: the size goes first where there is little room.
fn columns(width: u16) -> usize {
    match width {
        ..60 => 3,
        60..90 => 4,
        _ => 5,
    }
}

fn draw_titles(rect: Rect, canvas: &mut Canvas<'_>) {
    let style = canvas.theme.style(Role::Header);
    let mut x = rect.x + 1;
    for (title, width, right) in TITLES.iter().take(columns(rect.width)) {
        if *right {
            canvas.right(x, rect.y, *width, title, style);
        } else {
            canvas.styled(x, rect.y, *width, title, style);
        }
        x += width + 1;
    }
    canvas.styled(x, rect.y, rect.right().saturating_sub(x), "WHERE", style);
}

fn draw_row(finding: &Finding, row: Rect, canvas: &mut Canvas<'_>) {
    let role = match finding.severity {
        Severity::High => Role::Bad,
        Severity::Medium => Role::Warning,
        Severity::Low => Role::Dim,
    };
    let layer = match (finding.layer, finding.hidden) {
        (None, _) => "-".to_owned(),
        (Some(layer), None) => layer.to_string(),
        (Some(layer), Some(hidden)) => format!("{layer}>{hidden}"),
    };
    let size = match finding.bytes {
        0 => "-".to_owned(),
        bytes => text::bytes(bytes),
    };
    let cells = [
        (finding.severity.as_str().to_owned(), role),
        (finding.rule.as_str().to_owned(), Role::Text),
        (layer, Role::Text),
        (finding.files.to_string(), Role::Dim),
        (size, Role::Dim),
    ];
    let mut x = row.x + 1;
    for ((cell, role), (_, width, right)) in cells.iter().zip(TITLES).take(columns(row.width)) {
        if right {
            canvas.right(x, row.y, width, cell, canvas.theme.style(*role));
        } else {
            canvas.text(x, row.y, width, cell, *role);
        }
        x += width + 1;
    }
    let room = |x: u16| row.right().saturating_sub(x);
    x = canvas.text(
        x,
        row.y,
        room(x),
        &text::sanitise(&finding.place()),
        Role::Text,
    ) + 2;
    canvas.text(
        x,
        row.y,
        room(x),
        &text::sanitise(&finding.detail),
        Role::Dim,
    );
}
