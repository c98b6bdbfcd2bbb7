//! Work that goes on, part by part, and what came of work that is over.

use ratatui::layout::Rect;

use super::canvas::Canvas;
use super::overlays::{window, wrapped};
use crate::app::jobs::{Finished, Job, Outcome};
use crate::app::overlay::Cursor;
use crate::app::progress::{Part, Stage};
use crate::app::role::Role;
use crate::app::{State, text};
use crate::engine::model::units::human_size_short;

/// One line for the footer: the oldest work on images, and how much else there is.
pub(super) fn summary(state: &State, width: u16) -> String {
    let mut jobs = state.jobs.iter().filter(|(_, job)| job.request.is_kept());
    let Some((_, job)) = jobs.next() else {
        return String::new();
    };
    let others = jobs.count();
    let total = job.total(state.now);
    let mut figures = Vec::new();
    if job.cancelling {
        figures.push("cancelling".to_owned());
    }
    figures.extend(total.share().map(percent));
    figures.extend(total.rate.map(rate));
    figures.extend(total.left().map(text::span));
    if others > 0 {
        figures.push(format!("+{others}"));
    }
    let figures = figures.join(" ");
    let room = usize::from(width).saturating_sub(text::width(&figures) + 1);
    let name = format!("{} {}", job.request.doing(), job.name);
    let name = if room >= 8 {
        text::fit(&name, room).into_owned()
    } else {
        String::new()
    };
    let all = format!("{name} {figures}");
    text::fit(all.trim(), usize::from(width)).into_owned()
}

fn percent(share: f64) -> String {
    format!("{:.0}%", (share * 100.0).floor())
}

fn rate(per_second: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is not negative and far below the limit"
    )]
    let whole = per_second.max(0.0).round() as u64;
    format!("{}/s", human_size_short(whole))
}

pub(super) fn draw(state: &State, cursor: Cursor, canvas: &mut Canvas<'_>) {
    let (running, past) = (state.jobs.len(), state.jobs.finished().len());
    let wanted = state.height.saturating_sub(4).clamp(1, 30);
    let width = state.width.saturating_sub(6).clamp(1, 110);
    let (rect, inner) = window(state, "Work", width, wanted, canvas);
    canvas.caption(
        rect,
        "x cancels, twice: does not wait  y copies  esc closes",
        Role::Dim,
    );
    if running + past == 0 {
        let nothing = "nothing runs, and nothing was done to images yet";
        canvas.text(inner.x, inner.y, inner.width, nothing, Role::Dim);
        return;
    }
    // The list above, the chosen one's parts below.
    let rows = u16::try_from(running + past).unwrap_or(u16::MAX);
    let rows = rows.min((inner.height / 3).max(1));
    let at = cursor.at.min(running + past - 1);
    let first = (at + 1).saturating_sub(rows.into());
    let titles = state
        .jobs
        .iter()
        .map(|(_, job)| Title::of_job(state, job))
        .chain(state.jobs.finished().map(Title::of_finished));
    for ((index, title), y) in titles
        .enumerate()
        .skip(first)
        .take(rows.into())
        .zip(inner.y..)
    {
        let line = Rect {
            y,
            height: 1,
            ..inner
        };
        draw_title(&title, index == at, line, canvas);
    }
    let below = Rect {
        y: inner.y + rows + 1,
        height: inner.height.saturating_sub(rows + 1),
        ..inner
    };
    if below.height == 0 {
        return;
    }
    match state.jobs.iter().nth(at) {
        Some((_, job)) => draw_parts(state, job, below, canvas),
        None => {
            if let Some(done) = state.jobs.finished().nth(at - running) {
                draw_outcome(done, below, canvas);
            }
        }
    }
}

/// A line of the list.
struct Title {
    sign: (&'static str, &'static str),
    role: Role,
    text: String,
    time: String,
}

impl Title {
    fn of_job(state: &State, job: &Job) -> Self {
        let seconds = state.now.as_second() - job.started.as_second();
        let doing = if job.cancelling { "cancelling: " } else { "" };
        Self {
            sign: ("\u{2026}", "."),
            role: if job.cancelling {
                Role::Warning
            } else {
                Role::Busy
            },
            text: format!("{doing}{} {}", job.request.doing(), job.name),
            time: text::span(seconds),
        }
    }

    fn of_finished(done: &Finished) -> Self {
        let (sign, role) = match &done.outcome {
            Some(Outcome::Done | Outcome::Told(_)) => (("\u{2713}", "+"), Role::Good),
            Some(Outcome::Failed(_)) => (("\u{2717}", "!"), Role::Bad),
            Some(Outcome::Cancelled) | None => (("-", "-"), Role::Dim),
        };
        let first = done.lines().into_iter().next().unwrap_or_default();
        let text = match &done.outcome {
            Some(Outcome::Cancelled) | None => {
                format!("{first}: {} {}", done.request.doing(), done.name)
            }
            Some(_) => text::sanitise(&first).into_owned(),
        };
        Self {
            sign,
            role,
            text,
            time: text::span(done.seconds),
        }
    }
}

fn draw_title(title: &Title, chosen: bool, line: Rect, canvas: &mut Canvas<'_>) {
    let sign = canvas.glyphs.pick(title.sign.0, title.sign.1);
    canvas.text(line.x + 1, line.y, 1, sign, title.role);
    let room = line.width.saturating_sub(11);
    canvas.text(line.x + 3, line.y, room, &title.text, Role::Text);
    let style = canvas.theme.style(Role::Time);
    canvas.right(
        line.right().saturating_sub(7),
        line.y,
        7,
        &title.time,
        style,
    );
    if chosen {
        canvas.fill(line, Role::Selected);
        let mark = canvas.glyphs.pick("\u{203a}", ">");
        canvas.text(line.x, line.y, 1, mark, Role::Selected);
    }
}

fn draw_outcome(done: &Finished, rect: Rect, canvas: &mut Canvas<'_>) {
    let clean = |line: String| text::sanitise(&line).into_owned();
    let lines: Vec<_> = done.lines().into_iter().map(clean).collect();
    let rows = wrapped(&lines, rect.width.into());
    for (row, y) in rows.into_iter().zip(rect.y..rect.bottom()) {
        canvas.text(rect.x, y, rect.width, row, Role::Text);
    }
}

/// Widths of the columns behind the name and the phase; 0 for those that have no room.
struct Columns {
    phase: u16,
    bar: u16,
    bytes: u16,
    rate: u16,
    left: u16,
}

const NAME: u16 = 12;

impl Columns {
    fn of(width: u16) -> Self {
        let mut columns = Self {
            phase: if width >= 70 { 18 } else { 12 },
            bar: 0,
            bytes: if width >= 40 { 13 } else { 0 },
            rate: if width >= 64 { 8 } else { 0 },
            left: if width >= 48 { 6 } else { 0 },
        };
        let used = [columns.bytes, columns.rate, columns.left];
        let used: u16 = used.iter().filter(|w| **w > 0).map(|w| w + 1).sum();
        let rest = width.saturating_sub(NAME + 1 + columns.phase + used);
        columns.bar = if rest >= 6 { rest - 1 } else { 0 };
        columns
    }
}

/// One line of figures.
struct Figures<'a> {
    name: &'a str,
    phase: &'a str,
    role: Role,
    share: Option<f64>,
    bytes: String,
    rate: Option<f64>,
    left: Option<i64>,
}

fn draw_parts(state: &State, job: &Job, rect: Rect, canvas: &mut Canvas<'_>) {
    if !job.request.is_kept() {
        return;
    }
    let columns = Columns::of(rect.width);
    let total = job.total(state.now);
    // The total has its line whatever the room.
    let all = rect.height.saturating_sub(1);
    let last = rect.bottom() - 1;
    // What is ready gives way first.
    let ready = |part: &Part| matches!(part.stage(), Stage::Done | Stage::Spared);
    let mut parts: Vec<_> = job.parts.iter().collect();
    let mut hidden = 0;
    if parts.len() > usize::from(all) {
        let before = parts.len();
        parts.retain(|part| !ready(part));
        parts.truncate(all.saturating_sub(1).into());
        hidden = before - parts.len();
    }
    let mut y = rect.y;
    if hidden > 0 && all > 0 {
        let text = format!("{hidden} more, {} of {} ready", total.ready, total.parts);
        canvas.text(rect.x, y, rect.width, &text, Role::Dim);
        y += 1;
    }
    for part in parts {
        let line = Rect {
            y,
            height: 1,
            ..rect
        };
        draw_figures(&of_part(part, state), &columns, line, canvas);
        y += 1;
    }
    let whole = job.whole.as_ref();
    let phase = match (total.parts, whole) {
        (0, None) => "begins".to_owned(),
        (_, Some(whole)) if job.parts.is_empty() => whole.phase.clone().into_owned(),
        _ => format!("{} of {} ready", total.ready, total.parts),
    };
    let figures = Figures {
        name: "total",
        phase: &text::sanitise(&phase),
        role: Role::Title,
        share: total.share(),
        bytes: bytes(total.moved, total.size),
        rate: total.rate,
        left: total.left(),
    };
    let line = Rect {
        y: y.min(last),
        height: 1,
        ..rect
    };
    draw_figures(&figures, &columns, line, canvas);
}

fn of_part<'a>(part: &'a Part, state: &State) -> Figures<'a> {
    let moves = matches!(part.stage(), Stage::Moving | Stage::Working);
    Figures {
        name: &part.name,
        phase: &part.phase,
        role: match part.stage() {
            Stage::Waiting | Stage::Spared => Role::Dim,
            Stage::Moving => Role::Busy,
            Stage::Working => Role::Warning,
            Stage::Done => Role::Good,
        },
        share: part.share(),
        bytes: if moves && (part.done > 0 || part.total.is_some()) {
            bytes(part.done, part.total)
        } else {
            String::new()
        },
        rate: part.rate(state.now),
        left: part.left(state.now),
    }
}

fn bytes(done: u64, total: Option<u64>) -> String {
    match total {
        Some(total) => format!("{}/{}", human_size_short(done), human_size_short(total)),
        None if done == 0 => String::new(),
        None => human_size_short(done),
    }
}

fn draw_figures(figures: &Figures<'_>, columns: &Columns, line: Rect, canvas: &mut Canvas<'_>) {
    let y = line.y;
    let name = text::sanitise(figures.name);
    canvas.text(line.x, y, NAME.min(line.width), &name, Role::Text);
    let mut x = line.x + NAME + 1;
    let room = line.right().saturating_sub(x);
    canvas.text(x, y, columns.phase.min(room), figures.phase, figures.role);
    x += columns.phase;
    if columns.bar > 0 {
        if let Some(share) = figures.share {
            canvas.bar(x + 1, y, columns.bar, share, Role::GraphA);
        }
        x += columns.bar + 1;
    }
    let cells = [
        (columns.bytes, figures.bytes.clone(), Role::Text),
        (
            columns.rate,
            figures.rate.map(rate).unwrap_or_default(),
            Role::Text,
        ),
        (
            columns.left,
            figures.left.map(text::span).unwrap_or_default(),
            Role::Time,
        ),
    ];
    for (width, cell, role) in cells {
        if width > 0 {
            let style = canvas.theme.style(role);
            canvas.right(x + 1, y, width, &cell, style);
            x += width + 1;
        }
    }
}
