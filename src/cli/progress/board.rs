//! What is known of the parts of a long operation, and the lines that show it: pure functions of reports, the time and the
//! size of the terminal.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::PACE;
use crate::engine::model::request::TerminalSize;
use crate::engine::model::{self, units};

/// Rates are of the last so many seconds.
const WINDOW: Duration = Duration::from_secs(5);

/// What a report means for those who read lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The part was not known.
    First,
    /// It is in another phase.
    Phase,
    /// Bytes, and it is time to tell of them again.
    Bytes,
    /// Bytes, soon after the last.
    Nothing,
}

/// Phases after which nothing more comes.
const DONE: &[&str] = &[
    "Pull complete",
    "Already exists",
    "Pushed",
    "Layer already exists",
    "Loaded",
    "Saved",
    "Compressed",
];
/// Phases in which it waits for its turn.
const IDLE: &[&str] = &[
    "Pulling fs layer",
    "Waiting",
    "Preparing",
    "Download complete",
    "Verifying",
];
/// Phases whose bytes make up the sum.
const TRANSFER: &[&str] = &["Downloading", "Pushing", "Loading layer", "Saving"];

/// Nothing more comes.
fn is_over(phase: &str) -> bool {
    DONE.contains(&phase) || phase.starts_with("Mounted from ")
}

/// Docker's words for a phase.
fn words(phase: &str) -> &str {
    match phase {
        "Verifying" => "Verifying Checksum",
        other => other,
    }
}

/// Lines of one report where there is no terminal: as Docker, only changes of phase, and never bytes.
pub(super) fn plain(progress: &model::Progress, step: Step) -> Vec<String> {
    let line = |words: &str| match progress.part.as_str() {
        "" => words.to_owned(),
        part => format!("{}: {words}", ascii(part)),
    };
    steps(progress, step).into_iter().map(line).collect()
}

/// The phases that a report tells of, in words.
fn steps(progress: &model::Progress, step: Step) -> Vec<&str> {
    let first = step == Step::First;
    match (progress.phase.as_ref(), step) {
        // Docker does not tell of compressing.
        (_, Step::Bytes | Step::Nothing) | ("Compressing" | "Compressed", _) => vec![],
        // A layer that waits is one that will be pulled; only a push says so in two steps.
        ("Waiting", Step::First) => vec!["Pulling fs layer"],
        ("Downloading", _) if first => vec!["Pulling fs layer"],
        ("Downloading" | "Extracting" | "Pushing" | "Loading layer" | "Saving", _) => vec![],
        (phase, _) => vec![words(phase)],
    }
}

/// Objects of one report in the form of Docker's API.
pub(super) fn objects(progress: &model::Progress, step: Step) -> Vec<String> {
    let object = |status: &str, detail: Value| {
        let mut object = json!({ "status": status, "progressDetail": detail });
        if !progress.part.is_empty() {
            object["id"] = Value::from(progress.part.as_str());
        }
        object.to_string()
    };
    let mut objects: Vec<String> = steps(progress, step)
        .into_iter()
        .map(|words| object(words, json!({})))
        .collect();
    let has_bytes = progress.total.is_some() || progress.done > 0;
    let moves = !is_over(&progress.phase) && !IDLE.contains(&progress.phase.as_ref());
    if moves && has_bytes && step != Step::Nothing {
        let mut detail = json!({ "current": progress.done });
        if let Some(total) = progress.total {
            detail["total"] = Value::from(total);
        }
        objects.push(object(words(&progress.phase), detail));
    }
    objects
}

/// What is known of every part, in the order in which they were heard of first.
#[derive(Debug, Clone, Default)]
pub(super) struct Board {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
struct Part {
    id: String,
    phase: Cow<'static, str>,
    done: u64,
    total: Option<u64>,
    /// Bytes on the wire, whatever phase came after.
    moved: u64,
    to_move: u64,
    /// When there were how many bytes, in this phase.
    samples: VecDeque<(Duration, u64)>,
    told: Duration,
}

impl Board {
    /// Takes a report that came `now` after the start.
    pub(super) fn note(&mut self, progress: &model::Progress, now: Duration) -> Step {
        let known = self.parts.iter_mut().find(|part| part.id == progress.part);
        let Some(part) = known else {
            let mut part = Part::new(progress, now);
            part.sample(progress, now);
            self.parts.push(part);
            return Step::First;
        };
        let step = if part.phase == "Already exists" && progress.phase == "Pull complete" {
            // It was complete before: Docker leaves it at that.
            return Step::Nothing;
        } else if part.phase != progress.phase {
            part.samples.clear();
            Step::Phase
        } else if part.done != progress.done
            && (now.saturating_sub(part.told) >= PACE || progress.total == Some(progress.done))
        {
            Step::Bytes
        } else {
            Step::Nothing
        };
        if step != Step::Nothing {
            part.told = now;
        }
        part.sample(progress, now);
        step
    }

    pub(super) fn is_active(&self) -> bool {
        self.parts.iter().any(Part::is_active)
    }

    /// A picture that fits a terminal, with room for the cursor's line: all parts, or those at work and a sum.
    pub(super) fn lines(&self, size: TerminalSize, now: Duration) -> Vec<String> {
        // The last column stays free: some terminals wrap when it is written.
        let width = usize::from(size.cols).saturating_sub(1);
        let height = usize::from(size.rows).saturating_sub(1).max(1);
        if self.parts.len() <= height {
            return self.all_lines(width, now);
        }
        let mut shown: Vec<&Part> = self.parts.iter().filter(|part| part.is_active()).collect();
        shown.truncate(height - 1);
        let mut lines: Vec<String> = shown.iter().map(|part| part.line(width, now)).collect();
        lines.push(self.sum(width, now));
        lines
    }

    pub(super) fn all_lines(&self, width: usize, now: Duration) -> Vec<String> {
        let width = width.min(160);
        self.parts
            .iter()
            .map(|part| part.line(width, now))
            .collect()
    }

    fn sum(&self, width: usize, now: Duration) -> String {
        let done = self.parts.iter().filter(|part| part.is_done()).count();
        let active = self.parts.iter().filter(|part| part.is_active()).count();
        let waiting = self.parts.len() - done - active;
        let total = |of: &dyn Fn(&Part) -> u64| {
            self.parts
                .iter()
                .fold(0_u64, |sum, part| sum.saturating_add(of(part)))
        };
        let moved = total(&|part| part.moved);
        let to_move = total(&|part| part.to_move);
        let rate = total(&|part| match part.rate(now) {
            Some(rate) if TRANSFER.contains(&part.phase.as_ref()) => rate,
            _ => 0,
        });
        let head = format!(
            "{} layers: {done} done, {active} active, {waiting} waiting",
            self.parts.len()
        );
        if to_move == 0 {
            return cut(&head, width);
        }
        let tail = figures(moved, Some(to_move), Some(rate).filter(|rate| *rate > 0));
        cut(&format!("{head}  {tail}"), width)
    }
}

impl Part {
    fn new(progress: &model::Progress, now: Duration) -> Self {
        Self {
            id: progress.part.clone(),
            phase: progress.phase.clone(),
            done: 0,
            total: None,
            moved: 0,
            to_move: 0,
            samples: VecDeque::new(),
            told: now,
        }
    }

    fn sample(&mut self, progress: &model::Progress, now: Duration) {
        self.phase.clone_from(&progress.phase);
        self.done = progress.done;
        self.total = progress.total;
        if TRANSFER.contains(&self.phase.as_ref()) {
            self.moved = self.done;
            self.to_move = self.total.unwrap_or(self.to_move).max(self.done);
        } else if self.phase != "Retrying" {
            self.moved = self.to_move;
        }
        // A retry may begin further back.
        if self.samples.back().is_some_and(|last| last.1 > self.done) {
            self.samples.clear();
        }
        let is_soon = |last: &(Duration, u64)| now.saturating_sub(last.0) < PACE;
        match self.samples.back() {
            Some(last) if is_soon(last) => {}
            _ => self.samples.push_back((now, self.done)),
        }
        while self.samples.len() > 2
            && self
                .samples
                .front()
                .is_some_and(|first| now.saturating_sub(first.0) > WINDOW)
        {
            self.samples.pop_front();
        }
    }

    fn is_done(&self) -> bool {
        is_over(&self.phase)
    }

    fn is_active(&self) -> bool {
        !self.is_done() && !IDLE.contains(&self.phase.as_ref())
    }

    /// Bytes per second, over the last seconds and until now: a connection that stands still slows down.
    fn rate(&self, now: Duration) -> Option<u64> {
        let (since, before) = *self.samples.front()?;
        let millis = u64::try_from(now.saturating_sub(since).as_millis()).ok()?;
        if millis < 300 {
            return None;
        }
        Some(self.done.saturating_sub(before).saturating_mul(1000) / millis)
    }

    /// One line of at most `width` columns.
    fn line(&self, width: usize, now: Duration) -> String {
        let mut head = match self.id.as_str() {
            "" => words(&self.phase).to_owned(),
            id => format!("{}: {}", ascii(id), words(&self.phase)),
        };
        if !self.is_active() || (self.total.is_none() && self.done == 0) {
            return cut(&head, width);
        }
        let tail = figures(self.done, self.total, self.rate(now));
        head.push(' ');
        if let Some(total) = self.total.filter(|total| *total > 0) {
            // The figures move little, so that the bar's end stays where it is.
            let room = width
                .saturating_sub(head.len() + 2 + 1 + tail.len().max(32))
                .min(50);
            if room >= 8 {
                head.push_str(&bar(self.done, total, room));
                head.push(' ');
            }
        }
        cut(&(head + &tail), width)
    }
}

/// `[=====>    ]`, `room` characters between the brackets.
fn bar(done: u64, total: u64, room: usize) -> String {
    let inner = u64::try_from(room.saturating_sub(1)).unwrap_or(0);
    let filled = u128::from(done.min(total)) * u128::from(inner) / u128::from(total.max(1));
    let filled = usize::try_from(filled).unwrap_or(0);
    let empty = room.saturating_sub(1).saturating_sub(filled);
    format!("[{}>{}]", "=".repeat(filled), " ".repeat(empty))
}

/// `12.3MB/45.6MB  81MB/s 2s`.
fn figures(done: u64, total: Option<u64>, rate: Option<u64>) -> String {
    let size = units::human_size_short;
    let mut text = format!("{:>6}", size(done));
    if let Some(total) = total {
        let _ = write!(text, "/{}", size(total));
    }
    let Some(rate) = rate.filter(|_| total.is_none_or(|total| done < total)) else {
        return text;
    };
    let _ = write!(text, "  {}/s", size(rate));
    let left = total.map(|total| total.saturating_sub(done));
    if let Some(seconds) = left
        .filter(|left| *left > 0)
        .and_then(|left| left.checked_div(rate))
    {
        let _ = write!(text, " {}", short_time(seconds));
    }
    text
}

/// `2s`, `1m20s`, `3h05m`, `9d`.
fn short_time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

/// A part's name may come from outside: nothing in it may move the cursor or take another width.
fn ascii(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_graphic() || c == ' ' {
            c
        } else {
            '?'
        }
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(part: &str, phase: &'static str, done: u64, total: Option<u64>) -> model::Progress {
        model::Progress {
            part: part.to_owned(),
            phase: phase.into(),
            done,
            total,
        }
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn size(rows: u16, cols: u16) -> TerminalSize {
        TerminalSize { rows, cols }
    }

    fn halfway() -> Board {
        let mut board = Board::default();
        for (millis, done) in [(0, 0), (500, 10_000_000), (1000, 20_000_000)] {
            let progress = report("3f4a9c1b2d3e", "Downloading", done, Some(40_000_000));
            board.note(&progress, at(millis));
        }
        board.note(&report("aaaaaaaaaaaa", "Waiting", 0, None), at(1000));
        board.note(&report("bbbbbbbbbbbb", "Pull complete", 0, None), at(1000));
        board
    }

    #[test]
    fn a_layer_has_a_bar_a_rate_and_the_time_left() {
        assert_eq!(
            halfway().lines(size(24, 80), at(1000)),
            [
                "3f4a9c1b2d3e: Downloading [========>         ]   20MB/40MB  20MB/s 1s",
                "aaaaaaaaaaaa: Waiting",
                "bbbbbbbbbbbb: Pull complete",
            ]
        );
    }

    #[test]
    fn a_wide_terminal_gives_the_bar_at_most_fifty_columns_and_a_narrow_one_none() {
        let [wide, narrow] = [200, 50].map(|cols| halfway().lines(size(24, cols), at(1000)));
        assert!(wide[0].contains(&format!("[{}>{}]", "=".repeat(24), " ".repeat(25))));
        assert_eq!(
            narrow[0],
            "3f4a9c1b2d3e: Downloading   20MB/40MB  20MB/s 1s"
        );
    }

    #[test]
    fn more_layers_than_lines_are_those_at_work_and_a_sum() {
        let mut board = halfway();
        for n in 0..40 {
            board.note(&report(&format!("{n:012}"), "Waiting", 0, None), at(1000));
        }
        let lines = board.lines(size(24, 80), at(1000));
        assert_eq!(lines.len(), 2);
        assert_eq!(
            lines[1],
            "43 layers: 1 done, 1 active, 41 waiting    20MB/40MB  20MB/s 1s"
        );
    }

    #[test]
    fn a_connection_that_stands_still_gets_slower() {
        let board = halfway();
        let rate = |millis| board.parts[0].rate(at(millis)).unwrap();
        assert!(rate(4000) < rate(1000), "{} {}", rate(4000), rate(1000));
    }

    #[test]
    fn nothing_comes_after_a_mount() {
        let mut board = Board::default();
        let mut mounted = report("3f4a9c1b2d3e", "", 10, Some(10));
        mounted.phase = format!("Mounted from {}", "a/b").into();
        board.note(&mounted, at(0));
        assert!(!board.is_active());
        let said = plain(&mounted, Step::First);
        assert_eq!(said, ["3f4a9c1b2d3e: Mounted from a/b"]);
    }

    #[test]
    fn plain_lines_are_dockers() {
        let mut board = Board::default();
        let mut lines = Vec::new();
        for (phase, done) in [
            ("Waiting", 0),
            ("Downloading", 0),
            ("Downloading", 10),
            ("Verifying", 10),
            ("Download complete", 10),
            ("Extracting", 3),
            ("Pull complete", 10),
        ] {
            let progress = report("3f4a9c1b2d3e", phase, done, Some(10));
            let step = board.note(&progress, at(0));
            lines.extend(plain(&progress, step));
        }
        assert_eq!(
            lines,
            [
                "3f4a9c1b2d3e: Pulling fs layer",
                "3f4a9c1b2d3e: Verifying Checksum",
                "3f4a9c1b2d3e: Download complete",
                "3f4a9c1b2d3e: Pull complete",
            ]
        );
    }

    #[test]
    fn json_lines_are_the_apis() {
        let mut board = Board::default();
        let mut lines = Vec::new();
        for (millis, phase, done) in [
            (0, "Waiting", 0),
            (1, "Downloading", 1),
            (2, "Downloading", 2),
            (300, "Downloading", 3),
            (301, "Pull complete", 0),
        ] {
            let progress = report("3f4a9c1b2d3e", phase, done, Some(10));
            let step = board.note(&progress, at(millis));
            lines.extend(objects(&progress, step));
        }
        assert_eq!(
            lines,
            [
                r#"{"status":"Pulling fs layer","progressDetail":{},"id":"3f4a9c1b2d3e"}"#,
                r#"{"status":"Downloading","progressDetail":{"current":1,"total":10},"id":"3f4a9c1b2d3e"}"#,
                r#"{"status":"Downloading","progressDetail":{"current":3,"total":10},"id":"3f4a9c1b2d3e"}"#,
                r#"{"status":"Pull complete","progressDetail":{},"id":"3f4a9c1b2d3e"}"#,
            ]
        );
    }

    const PHASES: [&str; 9] = [
        "Waiting",
        "Downloading",
        "Verifying",
        "Extracting",
        "Download complete",
        "Pull complete",
        "Retrying",
        "Pushing",
        "Something",
    ];

    proptest! {
        #[test]
        fn a_picture_always_fits_its_terminal(
            reports in prop::collection::vec(("[0-9a-fé\u{1b}]{0,14}", 0..PHASES.len(), any::<u64>(), any::<Option<u64>>(), 0_u64..100_000), 0..60),
            rows in 1_u16..60,
            cols in 1_u16..220,
        ) {
            let mut board = Board::default();
            for (part, phase, done, total, millis) in &reports {
                board.note(&report(part, PHASES[*phase], *done, *total), at(*millis));
            }
            let lines = board.lines(size(rows, cols), at(100_000));
            prop_assert!(lines.len() <= usize::from(rows).saturating_sub(1).max(1));
            for line in lines {
                prop_assert!(line.is_ascii() && line.len() < usize::from(cols), "{}", line);
                prop_assert!(!line.contains('\x1b'));
            }
        }
    }
}
