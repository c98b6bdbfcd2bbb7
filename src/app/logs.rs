//! The log of one container: a bounded buffer, the place in it that is shown, and the search. Lines arrive already parsed.

use std::collections::VecDeque;

use super::ansi;
use super::search::Search;
use super::text;
pub use crate::engine::logs::Stream;
use crate::engine::model::{ContainerId, Timestamp};

/// Lines kept.
pub const MAX_LINES: usize = 10_000;
/// Bytes of text kept.
pub const MAX_BYTES: usize = 4 << 20;
/// Lines of the past that are read when a log is opened.
pub const TAIL: u64 = 1_000;

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written.
    pub time: Timestamp,
    /// By which stream.
    pub stream: Stream,
    /// What.
    pub line: ansi::Line,
}

/// A place: a line by its running number, and a row of that line when it is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Running number of the line.
    pub line: u64,
    /// Row within it.
    pub row: usize,
}

/// How lines are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Columns for the text.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// One row on the screen.
#[derive(Debug, Clone, Copy)]
pub struct VisibleRow<'a> {
    /// Where it is.
    pub place: Place,
    /// The line that it belongs to.
    pub line: &'a LogLine,
    /// The part of the line's text, as byte offsets.
    pub from: usize,
    /// Its end.
    pub to: usize,
}

/// The log pane.
#[derive(Debug, Clone)]
pub struct LogView {
    /// Whose log.
    pub id: ContainerId,
    /// Tells this reading of the log from earlier ones.
    pub generation: u64,
    /// Long lines are wrapped.
    pub wrap: bool,
    /// Times are shown.
    pub timestamps: bool,
    /// Columns scrolled to the right, without wrap.
    pub left: usize,
    /// The search.
    pub search: Search,
    /// Why no more lines come.
    pub ended: Option<String>,
    /// Lines that came since it stopped following.
    pub unseen: u64,
    /// The first row on the screen; `None` follows the end.
    top: Option<Place>,
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// Running number of the first line.
    first: u64,
}

impl LogView {
    /// An empty log that follows.
    #[must_use]
    pub fn new(id: ContainerId, generation: u64) -> Self {
        Self {
            id,
            generation,
            wrap: true,
            timestamps: false,
            left: 0,
            search: Search::default(),
            ended: None,
            unseen: 0,
            top: None,
            lines: VecDeque::new(),
            bytes: 0,
            first: 0,
        }
    }

    /// Lines held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// There is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Bytes of text held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// It follows the end.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.top.is_none()
    }

    /// Adds lines; the oldest go when there are too many.
    pub fn push(&mut self, lines: Vec<LogLine>) {
        for line in lines {
            self.bytes += line.line.text.len();
            self.search.added(&line.line.text);
            if !self.follows() {
                self.unseen += 1;
            }
            self.lines.push_back(line);
            while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
                let Some(old) = self.lines.pop_front() else {
                    break;
                };
                self.bytes -= old.line.text.len();
                self.search.removed(&old.line.text);
                self.first += 1;
            }
        }
        if let Some(top) = &mut self.top
            && top.line < self.first
        {
            *top = Place {
                line: self.first,
                row: 0,
            };
        }
    }

    /// Forgets all lines; new ones go on coming.
    pub fn clear(&mut self) {
        self.first += u64::try_from(self.lines.len()).unwrap_or(0);
        self.lines.clear();
        self.bytes = 0;
        self.search.recount(std::iter::empty());
        self.follow();
    }

    /// Follows the end again.
    pub fn follow(&mut self) {
        self.top = None;
        self.unseen = 0;
    }

    /// Stays where it is now.
    pub fn pause(&mut self, layout: Layout) {
        if self.top.is_none() {
            self.top = Some(self.top_of_end(layout));
        }
    }

    /// Moves by rows; negative is up. Reaching the end follows again.
    pub fn scroll(&mut self, rows: isize, layout: Layout) {
        let end = self.top_of_end(layout);
        let mut top = self.top.unwrap_or(end);
        for _ in 0..rows.unsigned_abs() {
            let next = if rows < 0 {
                self.above(top, layout)
            } else {
                self.below(top, layout)
            };
            match next {
                Some(next) => top = next,
                None => break,
            }
        }
        if rows > 0 && top >= end {
            self.follow();
        } else if top != end || self.top.is_some() {
            self.top = Some(top);
        }
    }

    /// To the oldest line.
    pub fn to_top(&mut self, layout: Layout) {
        self.top = Some(Place {
            line: self.first,
            row: 0,
        });
        if self.top_of_end(layout)
            <= (Place {
                line: self.first,
                row: 0,
            })
        {
            self.follow();
        }
    }

    /// Searches; goes to the last match at or above what is shown, as what happened last is what one looks for.
    pub fn set_search(&mut self, needle: &str, layout: Layout) {
        self.search.set(needle);
        let texts = self.lines.iter().map(|l| &*l.line.text);
        self.search.recount(texts);
        let from = self.end_line();
        self.search.current = None;
        self.go_to_match(from, Direction::Up, layout);
    }

    /// Goes to the next match further down or up.
    pub fn search_step(&mut self, direction: Direction, layout: Layout) {
        let from = self.search.current.unwrap_or_else(|| self.end_line());
        self.go_to_match(from, direction, layout);
    }

    fn go_to_match(&mut self, from: u64, direction: Direction, layout: Layout) {
        let hit = |line: &u64| {
            self.line(*line)
                .is_some_and(|l| self.search.hits(&l.line.text))
        };
        let found = match direction {
            Direction::Down => (from + 1..self.end_line()).find(hit),
            Direction::Up => (self.first..from.min(self.end_line())).rev().find(hit),
        };
        let Some(line) = found else {
            return;
        };
        self.search.current = Some(line);
        // In the middle of the screen; following is over.
        self.top = Some(Place { line, row: 0 });
        let half = isize::try_from(layout.height / 2).unwrap_or(0);
        for _ in 0..half {
            if let Some(above) = self.top.and_then(|top| self.above(top, layout)) {
                self.top = Some(above);
            }
        }
        let end = self.top_of_end(layout);
        if self.top.is_some_and(|top| top > end) {
            self.top = Some(end);
        }
    }

    fn end_line(&self) -> u64 {
        self.first + u64::try_from(self.lines.len()).unwrap_or(0)
    }

    fn line(&self, number: u64) -> Option<&LogLine> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.lines.get(index)
    }

    /// Rows that a line takes.
    fn rows(&self, line: &LogLine, layout: Layout) -> usize {
        if self.wrap {
            row_count(&line.line.text, layout.width)
        } else {
            1
        }
    }

    fn above(&self, place: Place, layout: Layout) -> Option<Place> {
        if place.row > 0 {
            return Some(Place {
                row: place.row - 1,
                ..place
            });
        }
        let line = place.line.checked_sub(1)?;
        let rows = self.rows(self.line(line)?, layout);
        Some(Place {
            line,
            row: rows - 1,
        })
    }

    fn below(&self, place: Place, layout: Layout) -> Option<Place> {
        let rows = self.rows(self.line(place.line)?, layout);
        if place.row + 1 < rows {
            return Some(Place {
                row: place.row + 1,
                ..place
            });
        }
        let line = place.line + 1;
        (line < self.end_line()).then_some(Place { line, row: 0 })
    }

    /// The first row when the last one is at the bottom of the screen.
    fn top_of_end(&self, layout: Layout) -> Place {
        let mut top = Place {
            line: self.first,
            row: 0,
        };
        let mut left = layout.height;
        for (index, line) in self.lines.iter().enumerate().rev() {
            let number = self.first + u64::try_from(index).unwrap_or(0);
            let rows = self.rows(line, layout);
            if rows >= left {
                return Place {
                    line: number,
                    row: rows - left,
                };
            }
            left -= rows;
            top.line = number;
        }
        top
    }

    /// The rows on the screen, from the top.
    #[must_use]
    pub fn visible(&self, layout: Layout) -> Vec<VisibleRow<'_>> {
        let mut rows = Vec::with_capacity(layout.height);
        let end = self.top_of_end(layout);
        let mut next = Some(self.top.map_or(end, |top| top.min(end)));
        while let Some(place) = next {
            let Some(line) = self.line(place.line) else {
                break;
            };
            if rows.len() == layout.height {
                break;
            }
            let (from, to) = if self.wrap {
                row_span(&line.line.text, layout.width, place.row)
            } else {
                let (skipped, rest) = text::split_at_width(&line.line.text, self.left);
                let (shown, _) = text::split_at_width(rest, layout.width);
                (skipped.len(), skipped.len() + shown.len())
            };
            rows.push(VisibleRow {
                place,
                line,
                from,
                to,
            });
            next = self.below(place, layout);
        }
        rows
    }
}

/// Which way a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards the end.
    Down,
    /// Towards the beginning.
    Up,
}

/// Rows of a text at a width; at least one.
fn row_count(text: &str, width: usize) -> usize {
    if text.len() <= width {
        return 1;
    }
    let width = width.max(1);
    if text.is_ascii() {
        return text.len().div_ceil(width);
    }
    let (mut rows, mut rest) = (0, text);
    while !rest.is_empty() {
        rest = cut_row(rest, width).1;
        rows += 1;
    }
    rows.max(1)
}

/// Byte range of a row.
fn row_span(text: &str, width: usize, row: usize) -> (usize, usize) {
    let width = width.max(1);
    let mut rest = text;
    for _ in 0..row {
        rest = cut_row(rest, width).1;
    }
    let start = text.len() - rest.len();
    (start, start + cut_row(rest, width).0.len())
}

/// A row and the rest; a character wider than the row is taken all the same, so that there is an end.
fn cut_row(text: &str, width: usize) -> (&str, &str) {
    match text::split_at_width(text, width) {
        ("", rest) => {
            let first = rest.chars().next().map_or(0, char::len_utf8);
            rest.split_at(first)
        }
        row => row,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAYOUT: Layout = Layout {
        width: 10,
        height: 3,
    };

    fn line(text: &str) -> LogLine {
        LogLine {
            time: Timestamp::UNIX_EPOCH,
            stream: Stream::Stdout,
            line: ansi::Line {
                text: text.into(),
                runs: Box::default(),
            },
        }
    }

    fn log(lines: &[&str]) -> LogView {
        let id = ContainerId::try_from("a".repeat(64)).expect("an id");
        let mut log = LogView::new(id, 1);
        log.push(lines.iter().map(|l| line(l)).collect());
        log
    }

    fn shown(log: &LogView) -> Vec<String> {
        log.visible(LAYOUT)
            .iter()
            .map(|r| r.line.line.text.get(r.from..r.to).unwrap_or("?").to_owned())
            .collect()
    }

    #[test]
    fn it_follows_until_it_is_scrolled_and_again_at_the_end() {
        let mut log = log(&["1", "2", "3", "4", "5"]);
        assert_eq!(shown(&log), ["3", "4", "5"]);
        log.scroll(-1, LAYOUT);
        log.push(vec![line("6"), line("7")]);
        assert_eq!(shown(&log), ["2", "3", "4"]);
        assert_eq!((log.follows(), log.unseen), (false, 2));
        log.scroll(9, LAYOUT);
        assert_eq!((log.follows(), log.unseen), (true, 0));
        assert_eq!(shown(&log), ["5", "6", "7"]);
        log.to_top(LAYOUT);
        assert_eq!(shown(&log), ["1", "2", "3"]);
    }

    #[test]
    fn a_short_log_always_follows() {
        let mut log = log(&["1", "2"]);
        log.scroll(-5, LAYOUT);
        log.to_top(LAYOUT);
        assert!(log.follows());
        assert_eq!(shown(&log), ["1", "2"]);
    }

    #[test]
    fn long_lines_wrap_by_columns_and_scroll_by_rows() {
        let mut log = log(&["0123456789abcdefghijXYZ", "日本語日本語", "end"]);
        assert_eq!(shown(&log), ["日本語日本", "語", "end"]);
        log.scroll(-2, LAYOUT);
        assert_eq!(shown(&log), ["abcdefghij", "XYZ", "日本語日本"]);
        log.wrap = false;
        log.follow();
        log.left = 2;
        assert_eq!(shown(&log), ["23456789ab", "本語日本語", "d"]);
    }

    #[test]
    fn memory_is_bounded_and_a_paused_view_moves_with_what_is_lost() {
        let mut log = log(&["first"]);
        log.to_top(Layout {
            width: 10,
            height: 1,
        });
        log.push((0..9).map(|_| line("x")).collect());
        log.to_top(LAYOUT);
        log.push((0..MAX_LINES * 2).map(|n| line(&n.to_string())).collect());
        assert_eq!(log.len(), MAX_LINES);
        assert_eq!(shown(&log).first().map(String::as_str), Some("10000"));
        log.push((0..100).map(|_| line(&"y".repeat(1 << 16))).collect());
        assert!(log.bytes() <= MAX_BYTES);
    }

    #[test]
    fn search_goes_from_the_newest_match_upwards() {
        let mut log = log(&["error a", "b", "c", "d", "Error e", "f"]);
        log.set_search("error", LAYOUT);
        assert_eq!((log.search.count(), log.search.current), (2, Some(4)));
        log.search_step(Direction::Up, LAYOUT);
        assert_eq!(log.search.current, Some(0));
        assert_eq!(shown(&log).first().map(String::as_str), Some("error a"));
        log.search_step(Direction::Up, LAYOUT);
        assert_eq!(log.search.current, Some(0));
        log.search_step(Direction::Down, LAYOUT);
        assert_eq!(log.search.current, Some(4));
        log.push(vec![line("another error")]);
        assert_eq!(log.search.count(), 3);
    }

    proptest! {
        #[test]
        fn rows_cover_a_line_exactly(text in "[a-z日é\u{301}🦀]{0,50}", width in 0_usize..12) {
            let rows = row_count(&text, width);
            let mut at = 0;
            for row in 0..rows {
                let (from, to) = row_span(&text, width, row);
                prop_assert_eq!(from, at);
                prop_assert!(text.is_char_boundary(to));
                at = to;
            }
            prop_assert_eq!(at, text.len());
        }

        #[test]
        fn the_screen_is_filled_wherever_one_scrolls(steps in proptest::collection::vec(-9_isize..9, 0..20), width in 1_usize..20) {
            let mut log = log(&["0123456789abcdefghijXYZ", "日本語日本語", "", "x", "end"]);
            let layout = Layout { width, height: 3 };
            for step in steps {
                log.scroll(step, layout);
                prop_assert_eq!(log.visible(layout).len(), 3);
            }
        }
    }
}
