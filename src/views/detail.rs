//! The detail pane: tabs on its border; log, figures, text or shell inside.

use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::widgets::Widget;
use tui_term::widget::{Cursor, PseudoTerminal};

use super::canvas::Canvas;
use super::graph;
use crate::app::containers::ContainerRow;
use crate::app::document::Mark;
use crate::app::figures::{Figures, Metric};
use crate::app::list::{Heading, Row};
use crate::app::logs::{LogView, Stream, VisibleRow};
use crate::app::role::Role;
use crate::app::shell::Shell;
use crate::app::{Focus, Pane, State, View, layout, text};

pub(super) fn draw(state: &State, rect: Rect, canvas: &mut Canvas<'_>) -> Option<Position> {
    let focused = state.focus == Focus::Detail;
    canvas.border(rect, focused);
    draw_tabs(state, rect, focused, canvas);
    let body = layout::inside(rect);
    let heading = state.containers.heading();
    if let Some(heading) = heading.filter(|_| state.pane == Pane::Containers) {
        draw_group(state, &heading, body, canvas);
        return None;
    }
    match state.tab().view() {
        View::Log => draw_log(state, rect, body, canvas),
        View::Figures => draw_stats(state, body, canvas),
        View::Document => {
            draw_document(state, rect, body, canvas);
        }
        View::Shell => return draw_shell(state, rect, body, canvas),
    }
    None
}

fn draw_tabs(state: &State, rect: Rect, focused: bool, canvas: &mut Canvas<'_>) {
    let mut x = rect.x + 2;
    for (tab, start, width) in layout::tabs(rect, state) {
        let active = tab == state.tab();
        // Brackets tell the active one also without colour.
        let (title, role) = match (active, focused) {
            (true, true) => (format!("[{}]", tab.title()), Role::TitleFocused),
            (true, false) => (format!("[{}]", tab.title()), Role::Title),
            (false, _) => (format!(" {} ", tab.title()), Role::Dim),
        };
        canvas.text(start, rect.y, width, &title, role);
        x = start + width;
    }
    if let Some(name) = state.chosen() {
        let room = rect.right().saturating_sub(x + 3);
        let name = text::fit(&name, usize::from(room.saturating_sub(2)));
        let used = u16::try_from(text::width(&name)).unwrap_or(0) + 2;
        if room >= used && room > 4 {
            let at = rect.right().saturating_sub(used + 2);
            let role = if focused {
                Role::TitleFocused
            } else {
                Role::Title
            };
            canvas.text(at, rect.y, used, &format!(" {name} "), role);
        }
    }
}

fn message(canvas: &mut Canvas<'_>, body: Rect, text: &str) {
    let width = body.width.saturating_sub(1);
    canvas.text(body.x + 1, body.y, width, text, Role::Dim);
}

/// What is under a heading: what is done there is done to all of it.
fn draw_group(
    state: &State,
    heading: &Heading<'_, ContainerRow>,
    body: Rect,
    canvas: &mut Canvas<'_>,
) {
    let name = text::sanitise(heading.name.unwrap_or(ContainerRow::REST));
    let count = heading.rows.len();
    let plural = if count == 1 { "" } else { "s" };
    let first =
        format!("{name}: {count} container{plural}; what is done here is done to all of them");
    canvas.text(
        body.x + 1,
        body.y,
        body.width.saturating_sub(1),
        &first,
        Role::Header,
    );
    let room = usize::from(body.height.saturating_sub(1));
    let context = state.context();
    for (row, y) in heading.rows.iter().take(room).zip(body.y + 1..) {
        let end = body.right();
        let x = canvas.text(body.x + 1, y, 2, row.sign(context.glyphs), row.state_role());
        let x = canvas.text(x + 1, y, end.saturating_sub(x + 1), &row.name(), Role::Text);
        let status = row.status_text(context);
        canvas.text(x + 2, y, end.saturating_sub(x + 2), &status, Role::Dim);
    }
}

// Log.

fn draw_log(state: &State, rect: Rect, body: Rect, canvas: &mut Canvas<'_>) {
    let Some(log) = &state.log else {
        return message(canvas, body, "nothing chosen");
    };
    if log.is_empty() {
        let text = match &log.ended {
            None => "no output yet",
            Some(_) => "no output",
        };
        message(canvas, body, text);
    }
    let layout = layout::log_layout(state, log.timestamps);
    for (row, y) in log.visible(layout).into_iter().zip(body.y..body.bottom()) {
        let line = Rect {
            y,
            height: 1,
            ..body
        };
        draw_log_row(state, log, &row, line, canvas);
    }
    let mut parts = Vec::new();
    if log.search.is_active() {
        parts.push(format!(
            "/{} {} lines",
            text::sanitise(log.search.needle()),
            log.search.count()
        ));
    }
    match &log.ended {
        Some(why) if why.is_empty() => parts.push("ENDED".to_owned()),
        Some(why) => parts.push(format!("ENDED: {}", text::sanitise(why))),
        None if log.follows() => parts.push("FOLLOW".to_owned()),
        None => {}
    }
    if !log.follows() {
        parts.push(match log.unseen {
            0 => "PAUSED".to_owned(),
            new => format!("PAUSED {new} new"),
        });
    }
    let role = if log.follows() {
        Role::Dim
    } else {
        Role::Warning
    };
    canvas.caption(rect, &parts.join("  "), role);
}

fn draw_log_row(
    state: &State,
    log: &LogView,
    row: &VisibleRow<'_>,
    rect: Rect,
    canvas: &mut Canvas<'_>,
) {
    let mut x = rect.x;
    let first = row.place.row == 0;
    if log.timestamps {
        if first {
            let time = row.line.time.to_zoned(state.settings.zone.clone());
            let stamp = time.strftime("%H:%M:%S%.3f").to_string();
            canvas.text(x, rect.y, layout::TIME_WIDTH - 1, &stamp, Role::Time);
        }
        x += layout::TIME_WIDTH;
    }
    if row.line.stream == Stream::Stderr {
        let sign = canvas.glyphs.pick("\u{258f}", "!");
        canvas.text(x, rect.y, 1, sign, Role::Stderr);
    }
    x += 1;
    let end = rect.right();
    let line = &row.line.line;
    // The row in pieces of one look each: renditions, cut at matches.
    let matches = if log.search.is_active() {
        text::find_all(&line.text, log.search.needle())
    } else {
        Vec::new()
    };
    let current = log.search.current == Some(row.place.line);
    let mut cuts: Vec<usize> = vec![row.from, row.to];
    let inside = |at: &usize| *at > row.from && *at < row.to;
    let runs = line
        .runs
        .iter()
        .filter_map(|(at, _)| usize::try_from(*at).ok());
    cuts.extend(runs.filter(inside));
    cuts.extend(matches.iter().flat_map(|m| [m.0, m.1]).filter(inside));
    cuts.sort_unstable();
    cuts.dedup();
    let base = canvas.theme.style(Role::Text);
    for piece in cuts.windows(2) {
        let &[from, to] = piece else { continue };
        let Some(part) = line.text.get(from..to) else {
            continue;
        };
        let rendition = line
            .runs
            .iter()
            .take_while(|(at, _)| usize::try_from(*at).is_ok_and(|at| at <= from))
            .last()
            .map(|(_, rendition)| *rendition)
            .unwrap_or_default();
        let mut style = base.patch(canvas.theme.rendition(rendition));
        if matches.iter().any(|m| m.0 <= from && to <= m.1) {
            style = style.patch(canvas.theme.style(if current {
                Role::MatchCurrent
            } else {
                Role::Match
            }));
        }
        x = canvas.raw(x, rect.y, end.saturating_sub(x), part, style);
    }
}

// Figures.

/// One graph: title, its line or lines, how a value is written, and the least upper end.
struct Graph {
    title: &'static str,
    lines: &'static [(&'static str, Metric, Role)],
    format: fn(f32) -> String,
    least: f32,
}

const GRAPHS: &[Graph] = &[
    Graph {
        title: "CPU",
        lines: &[("", Metric::Cpu, Role::GraphA)],
        format: |v| format!("{v:.1}%"),
        least: 10.0,
    },
    Graph {
        title: "Memory",
        lines: &[("", Metric::Memory, Role::GraphB)],
        format: whole_bytes,
        least: 1_048_576.0,
    },
    Graph {
        title: "Network",
        lines: &[
            ("in", Metric::Received, Role::GraphA),
            ("out", Metric::Sent, Role::GraphB),
        ],
        format: |v| text::rate(f64::from(v)),
        least: 1024.0,
    },
    Graph {
        title: "Disk",
        lines: &[
            ("read", Metric::Read, Role::GraphA),
            ("written", Metric::Written, Role::GraphB),
        ],
        format: |v| text::rate(f64::from(v)),
        least: 1024.0,
    },
    Graph {
        title: "Tasks",
        lines: &[("", Metric::Pids, Role::GraphA)],
        format: |v| format!("{v:.0}"),
        least: 10.0,
    },
];

fn whole_bytes(value: f32) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "memory is not negative and far below the limit"
    )]
    text::bytes(value.max(0.0) as u64)
}

fn draw_stats(state: &State, body: Rect, canvas: &mut Canvas<'_>) {
    let Some(row) = state.containers.selected() else {
        return message(canvas, body, "nothing chosen");
    };
    let Some(figures) = state.figures.get(row.id()) else {
        let text = if row.status().is_live() {
            "measuring"
        } else {
            "it does not run"
        };
        return message(canvas, body, text);
    };
    // Two columns where there is room; each graph has a line of text and at least one row.
    let across: u16 = if body.width >= 70 { 2 } else { 1 };
    let count = u16::try_from(GRAPHS.len()).unwrap_or(1);
    let down = count.div_ceil(across);
    let fits = (body.height / 2).clamp(1, down);
    let height = body.height / fits;
    for (graph, index) in GRAPHS.iter().zip(0_u16..) {
        let (column, line) = (index % across, index / across);
        if line >= fits {
            break;
        }
        // The last one takes what is left of the width.
        let last_alone = index + 1 == count && column == 0;
        let width = if last_alone {
            body.width
        } else {
            body.width / across
        };
        let rest = if line + 1 == fits {
            body.height - height * line
        } else {
            height
        };
        let rect = Rect {
            x: body.x + column * (body.width / across),
            y: body.y + line * height,
            width: width.saturating_sub(u16::from(!last_alone && across > 1)),
            height: rest,
        };
        draw_graph(graph, figures, rect, canvas);
    }
}

fn draw_graph(graph: &Graph, figures: &Figures, rect: Rect, canvas: &mut Canvas<'_>) {
    let highest = figures
        .points
        .iter()
        .flat_map(|point| graph.lines.iter().map(|line| point.get(line.1)))
        .fold(0.0, f32::max);
    let limit = limit_of(graph, figures);
    let max = match limit {
        // A limit is the natural upper end, unless the line would be flat against it.
        Some(limit) if highest > limit / 8.0 => limit.max(highest),
        _ => graph::scale(highest, graph.least),
    };
    let end = rect.right();
    let y = rect.y;
    let mut x = canvas.text(rect.x + 1, y, rect.width, graph.title, Role::Header);
    for (name, metric, role) in graph.lines {
        let value = match (figures.point(), metric) {
            (Some(point), metric) => (graph.format)(point.get(*metric)),
            (None, _) => "-".to_owned(),
        };
        let gap = if name.is_empty() { "" } else { " " };
        x = canvas.text(
            x,
            y,
            end.saturating_sub(x),
            &format!(" {name}{gap}{value}"),
            *role,
        );
    }
    if let Some(limit) = limit {
        let text = format!(" of {}", (graph.format)(limit));
        x = canvas.text(x, y, end.saturating_sub(x), &text, Role::Dim);
    }
    let top = (graph.format)(max);
    let style = canvas.theme.style(Role::Dim);
    if usize::from(end.saturating_sub(x)) > text::width(&top) + 2 {
        let sign = canvas.glyphs.pick("\u{2191}", "^");
        canvas.right(x, y, end - x - 1, &format!("{sign}{top}"), style);
    }
    let below = Rect {
        x: rect.x + 1,
        y: y + 1,
        width: rect.width.saturating_sub(2),
        height: rect.height.saturating_sub(1),
    };
    // Two lines: one above the other, each on half of the rows.
    let lines = u16::try_from(graph.lines.len()).unwrap_or(1);
    let each = below.height / lines;
    if each == 0 && below.height > 0 {
        if let Some((_, metric, role)) = graph.lines.first() {
            let values = figures.points.iter().map(|p| p.get(*metric));
            graph::draw(canvas, below, values, max, *role);
        }
        return;
    }
    for ((_, metric, role), index) in graph.lines.iter().zip(0_u16..) {
        let part = Rect {
            y: below.y + index * each,
            height: each,
            ..below
        };
        let values = figures.points.iter().map(|p| p.get(*metric));
        graph::draw(canvas, part, values, max, *role);
    }
}

fn limit_of(graph: &Graph, figures: &Figures) -> Option<f32> {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let float = |n: u64| n as f32;
    match graph.lines.first()?.1 {
        Metric::Memory => Some(float(figures.last.memory_limit)).filter(|limit| *limit > 0.0),
        Metric::Pids => figures.last.pids_limit.map(float),
        Metric::Cpu | Metric::Received | Metric::Sent | Metric::Read | Metric::Written => None,
    }
}

// Text.

fn draw_document(state: &State, rect: Rect, body: Rect, canvas: &mut Canvas<'_>) {
    let document = &state.document;
    if document.lines().is_empty() {
        let text = if state.chosen().is_some() {
            "reading"
        } else {
            "nothing chosen"
        };
        return message(canvas, body, text);
    }
    let height = usize::from(body.height);
    for ((number, line), y) in document.visible(height).zip(body.y..) {
        let whole = line.text();
        let (skipped, _) = text::split_at_width(&whole, document.left);
        let field_end = line.indent + line.field.len();
        let matches = if document.search.is_active() {
            text::find_all(&whole, document.search.needle())
        } else {
            Vec::new()
        };
        let current = document.is_current(number);
        if let Some(mark) = document.mark(number) {
            let sign = match mark {
                Mark::Leaf => " ",
                Mark::Open => canvas.glyphs.pick("\u{25be}", "-"),
                Mark::Folded => canvas.glyphs.pick("\u{25b8}", "+"),
            };
            canvas.text(body.x, y, 1, sign, Role::Key);
        }
        let mut cuts = vec![skipped.len(), whole.len()];
        let inside = |at: &usize| *at > skipped.len() && *at < whole.len();
        cuts.extend(Some(field_end).filter(inside));
        cuts.extend(matches.iter().flat_map(|m| [m.0, m.1]).filter(inside));
        cuts.sort_unstable();
        cuts.dedup();
        let mut x = body.x + 1;
        let end = body.right();
        for piece in cuts.windows(2) {
            let &[from, to] = piece else { continue };
            let Some(part) = whole.get(from..to) else {
                continue;
            };
            let role = if to <= field_end {
                Role::Field
            } else {
                Role::Text
            };
            let mut style = canvas.theme.style(role);
            if matches.iter().any(|m| m.0 <= from && to <= m.1) {
                style = style.patch(canvas.theme.style(if current {
                    Role::MatchCurrent
                } else {
                    Role::Match
                }));
            }
            x = canvas.raw(x, y, end.saturating_sub(x), part, style);
        }
        if state.focus == Focus::Detail && document.cursor() == Some(number) {
            let line = Rect {
                y,
                height: 1,
                ..body
            };
            canvas.fill(line, Role::Selected);
        }
    }
    let mut parts = Vec::new();
    if document.search.is_active() {
        let needle = text::sanitise(document.search.needle());
        parts.push(format!("/{needle} {} lines", document.search.count()));
    }
    let lines = document.lines().len();
    if lines > height {
        parts.push(format!("{}/{lines}", (document.top() + height).min(lines)));
    }
    canvas.caption(rect, &parts.join("  "), Role::Dim);
}

// Shell.

fn draw_shell(state: &State, rect: Rect, body: Rect, canvas: &mut Canvas<'_>) -> Option<Position> {
    let shell = state.selected_shell()?;
    let mut hidden = Cursor::default();
    hidden.hide();
    let area = body.intersection(canvas.buffer.area);
    // Only what the emulated screen has: a resize may still be on its way.
    let size = shell.size();
    let shown = Rect {
        width: area.width.min(size.cols),
        height: area.height.min(size.rows),
        ..area
    };
    PseudoTerminal::new(shell.screen())
        .cursor(hidden)
        .render(shown, canvas.buffer);
    clean(shown, canvas);
    let caption = match (&shell.ended, state.focus) {
        (Some(why), _) => format!("{why}: enter closes it"),
        (None, Focus::Detail) => {
            let leave = state
                .settings
                .keymap
                .label(crate::app::action::Action::LeaveShell);
            format!("{leave} leaves")
        }
        (None, Focus::List) => "enter: type into it".to_owned(),
    };
    let role = if shell.ended.is_some() {
        Role::Warning
    } else {
        Role::Dim
    };
    canvas.caption(rect, &caption, role);
    cursor_of(shell, shown).filter(|_| state.focus == Focus::Detail && shell.ended.is_none())
}

/// The emulator keeps text and colours only; what is left to do is invisible characters and the terminal's colours.
fn clean(rect: Rect, canvas: &mut Canvas<'_>) {
    for position in rect.positions() {
        let theme = canvas.theme;
        let Some(cell) = canvas.buffer.cell_mut(position) else {
            continue;
        };
        let safe = text::sanitise(cell.symbol()).into_owned();
        if safe != cell.symbol() {
            let safe = if safe.is_empty() { " " } else { &safe };
            cell.set_symbol(safe);
        }
        let style = Style::new()
            .fg(theme.reduce(cell.fg))
            .bg(theme.reduce(cell.bg));
        cell.set_style(style);
    }
}

fn cursor_of(shell: &Shell, rect: Rect) -> Option<Position> {
    let screen = shell.screen();
    let (row, column) = screen.cursor_position();
    let row = row.saturating_add(u16::try_from(screen.scrollback()).unwrap_or(u16::MAX));
    let at = Position::new(rect.x.saturating_add(column), rect.y.saturating_add(row));
    (!screen.hide_cursor() && rect.contains(at)).then_some(at)
}
