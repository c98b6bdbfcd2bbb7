//! How far a long operation is, on the command line: bars that are redrawn in place on a terminal, Docker's plain lines
//! elsewhere, or one JSON object per line as Docker's API sends them.
//!
//! `Board` is what is known of every part, and turns into lines by pure functions (`board.rs`). [`Progress`] shows it
//! from a thread of its own, so that the operation never waits for a slow terminal.

mod board;

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::report::Failure;
use super::terminal;
use crate::engine::model;
use crate::engine::model::request::TerminalSize;
use board::{Board, objects, plain};

/// How it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bars, redrawn in place.
    Terminal,
    /// A line for each step.
    Plain,
    /// An object for each step, in the form of Docker's API.
    Json,
    /// Not at all.
    Quiet,
}

impl Mode {
    /// What `--progress` and `--quiet` ask for, on this output.
    ///
    /// # Errors
    /// A value that there is not.
    pub fn choose(asked: Option<&str>, quiet: bool, target: Target) -> Result<Self, Failure> {
        if quiet {
            return Ok(Self::Quiet);
        }
        match asked.unwrap_or("auto") {
            "auto" | "" if target.can_redraw() => Ok(Self::Terminal),
            "auto" | "" | "plain" => Ok(Self::Plain),
            "tty" => Ok(Self::Terminal),
            "json" | "rawjson" => Ok(Self::Json),
            "quiet" | "none" => Ok(Self::Quiet),
            other => Err(Failure::plain(format_args!(
                "invalid --progress {other:?}: use auto, tty, plain, json or quiet"
            ))),
        }
    }
}

/// Where it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Standard error: standard output is for something else.
    Stderr,
}

impl Target {
    /// It is a terminal, and one that can move its cursor.
    fn can_redraw(self) -> bool {
        let is_terminal = match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
        };
        is_terminal && std::env::var_os("TERM").is_none_or(|name| name != "dumb")
    }

    fn size(self) -> TerminalSize {
        let size = match self {
            Self::Stdout => terminal::size(io::stdout()),
            Self::Stderr => terminal::size(io::stderr()),
        };
        size.unwrap_or(TerminalSize { rows: 24, cols: 80 })
    }

    fn write(self, text: &str) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes())?;
                out.flush()
            }
            Self::Stderr => io::stderr().lock().write_all(text.as_bytes()),
        }
    }
}

/// Between two pictures.
const PACE: Duration = Duration::from_millis(100);
/// Rates and times left change also when nothing arrives.
const BREATH: Duration = Duration::from_secs(1);

const HIDE_CURSOR: &str = "\x1b[?25l";
/// Gives the cursor back.
pub const SHOW_CURSOR: &str = "\x1b[?25h";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// What is shown while something long goes on; [`Progress::finish`] it.
#[derive(Debug)]
pub struct Progress {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Debug)]
struct Shared {
    mode: Mode,
    target: Target,
    start: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    board: Board,
    /// Whole lines that wait to be written, in order.
    lines: Vec<String>,
    /// The line that comes before whatever comes next.
    preface: Option<String>,
    is_new: bool,
    is_over: bool,
}

impl Progress {
    /// Begins to show. Signals that must not disturb are held back before.
    #[must_use]
    pub fn new(mode: Mode, target: Target) -> Self {
        let shared = Arc::new(Shared {
            mode,
            target,
            start: Instant::now(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let for_thread = Arc::clone(&shared);
        // Without a thread nothing is shown, and everything is done.
        let thread = std::thread::Builder::new()
            .name("progress".to_owned())
            .stack_size(256 << 10)
            .spawn(move || for_thread.show())
            .ok();
        Self { shared, thread }
    }

    /// Takes the operation's reports.
    pub fn report(&self) -> impl Fn(model::Progress) + Sync + use<> {
        let shared = Arc::clone(&self.shared);
        move |progress| shared.note(&progress)
    }

    /// A line of its own, above the bars.
    pub fn line(&self, text: &str) {
        match self.shared.mode {
            Mode::Quiet => {}
            Mode::Json => self.object(&json!({ "status": text })),
            Mode::Terminal | Mode::Plain => self.push(text.to_owned()),
        }
    }

    /// A line with an id, which JSON has apart, once there is something to tell after it; never, if the operation fails
    /// before.
    pub fn preface(&self, id: &str, text: &str) {
        self.shared.state().preface = self.with_id(id, text);
    }

    fn with_id(&self, id: &str, text: &str) -> Option<String> {
        match self.shared.mode {
            Mode::Quiet => None,
            Mode::Json => Some(json!({ "status": text, "id": id }).to_string()),
            Mode::Terminal | Mode::Plain => Some(format!("{id}: {text}")),
        }
    }

    /// Something that only readers of JSON are told.
    pub fn object(&self, object: &Value) {
        if self.shared.mode == Mode::Json {
            self.push(object.to_string());
        }
    }

    /// Forgets all parts but leaves their lines: what comes now is about something else.
    pub fn settle(&self) {
        let mut state = self.shared.state();
        if self.shared.mode == Mode::Terminal {
            let lines = state
                .board
                .all_lines(usize::MAX, self.shared.start.elapsed());
            state.lines.extend(lines);
        }
        state.board = Board::default();
        self.shared.tell(state);
    }

    /// Shows the last state and gives the terminal back.
    ///
    /// # Errors
    /// What writing said first.
    pub fn finish(mut self) -> io::Result<()> {
        self.settle();
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        let mut state = self.shared.state();
        state.is_over = true;
        self.shared.tell(state);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(written)) => written,
            Some(Err(_)) | None => Ok(()),
        }
    }

    fn push(&self, line: String) {
        let mut state = self.shared.state();
        state.begin();
        state.lines.push(line);
        self.shared.tell(state);
    }

    /// What was to come before the next line is not to be said any more.
    pub fn give_up(&self) {
        self.shared.state().preface = None;
    }
}

impl State {
    fn begin(&mut self) {
        let preface = self.preface.take();
        self.lines.extend(preface);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // Who did not finish has something else to say.
        let _ = self.end();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, mut state: MutexGuard<'_, State>) {
        state.is_new = true;
        drop(state);
        self.changed.notify_all();
    }

    fn note(&self, progress: &model::Progress) {
        if self.mode == Mode::Quiet {
            return;
        }
        let now = self.start.elapsed();
        let mut state = self.state();
        state.begin();
        let step = state.board.note(progress, now);
        match self.mode {
            Mode::Terminal => {}
            Mode::Plain => state.lines.extend(plain(progress, step)),
            Mode::Json => state.lines.extend(objects(progress, step)),
            Mode::Quiet => return,
        }
        if self.mode == Mode::Terminal || !state.lines.is_empty() {
            self.tell(state);
        }
    }

    /// The thread: waits for news, shows it, rests.
    fn show(&self) -> io::Result<()> {
        let mut screen = Screen::new(self.target);
        let mut outcome = Ok(());
        loop {
            let mut state = self.state();
            if !state.is_new && !state.is_over {
                state = if self.mode == Mode::Terminal && state.board.is_active() {
                    let waited = self.changed.wait_timeout(state, BREATH);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                } else {
                    let waited = self.changed.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                };
            }
            state.is_new = false;
            let is_over = state.is_over;
            let lines = std::mem::take(&mut state.lines);
            let size = screen.size;
            let frame = (self.mode == Mode::Terminal)
                .then(|| state.board.lines(size, self.start.elapsed()));
            drop(state);
            // Whoever reads may be gone; the operation goes on, and is told at its end.
            if outcome.is_ok() {
                outcome = match frame {
                    Some(frame) => screen.draw(&lines, &frame),
                    None if lines.is_empty() => Ok(()),
                    None => self.target.write(&(lines.join("\n") + "\n")),
                };
            }
            if is_over {
                return outcome.and_then(|()| screen.close());
            }
            let state = self.state();
            let rested = self
                .changed
                .wait_timeout_while(state, PACE, |state| !state.is_over);
            drop(rested);
        }
    }
}

/// What stands on the terminal now.
#[derive(Debug)]
struct Screen {
    target: Target,
    size: TerminalSize,
    shown: Vec<String>,
    is_hidden: bool,
}

impl Screen {
    fn new(target: Target) -> Self {
        Self {
            target,
            size: target.size(),
            shown: Vec::new(),
            is_hidden: false,
        }
    }

    fn draw(&mut self, lines: &[String], frame: &[String]) -> io::Result<()> {
        let mut text = String::new();
        if !self.is_hidden && !frame.is_empty() {
            text.push_str(HIDE_CURSOR);
            self.is_hidden = true;
        }
        let size = self.target.size();
        let is_resized = std::mem::replace(&mut self.size, size) != size;
        text.push_str(&redraw(&self.shown, lines, frame, is_resized));
        frame.clone_into(&mut self.shown);
        if text.is_empty() {
            return Ok(());
        }
        self.target.write(&text)
    }

    fn close(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_hidden) {
            return self.target.write(SHOW_CURSOR);
        }
        Ok(())
    }
}

/// The bytes that turn one picture into the next, with lines that stay above it. The cursor is at the start of the line
/// below the picture, before and after. Lines that did not change cost nothing.
fn redraw(shown: &[String], above: &[String], frame: &[String], all: bool) -> String {
    let mut text = String::new();
    let up = |text: &mut String, count: usize| {
        if count > 0 {
            let _ = write!(text, "\x1b[{count}A");
        }
    };
    if all || !above.is_empty() || frame.len() < shown.len() {
        if !shown.is_empty() {
            up(&mut text, shown.len());
            text.push('\r');
            text.push_str(CLEAR_BELOW);
        }
        for line in above.iter().chain(frame) {
            text.push_str(line);
            text.push_str("\r\n");
        }
        return text;
    }
    // Where the cursor is, in lines of the picture.
    let mut at = shown.len();
    for (n, line) in frame.iter().enumerate() {
        if shown.get(n) == Some(line) {
            continue;
        }
        up(&mut text, at.saturating_sub(n));
        if n > at {
            let _ = write!(text, "\x1b[{}B", n - at);
        }
        text.push_str(line);
        text.push_str(CLEAR_LINE);
        text.push_str("\r\n");
        at = n + 1;
    }
    if at < frame.len() {
        let _ = write!(text, "\x1b[{}B", frame.len() - at);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_changed_are_written() {
        let lines = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let before = lines(&["a", "b", "c"]);
        assert_eq!(redraw(&before, &[], &before, false), "");
        assert_eq!(
            redraw(&before, &[], &lines(&["a", "B", "c"]), false),
            "\x1b[2AB\x1b[K\r\n\x1b[1B"
        );
        assert_eq!(
            redraw(&before, &[], &lines(&["a", "b", "c", "d"]), false),
            "d\x1b[K\r\n"
        );
        assert_eq!(
            redraw(&before, &lines(&["x"]), &before, false),
            "\x1b[3A\r\x1b[Jx\r\na\r\nb\r\nc\r\n"
        );
    }

    #[test]
    fn what_is_written_makes_the_picture() {
        let lines = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let pictures = [
            (vec![], lines(&["one", "two"])),
            (vec![], lines(&["one", "TWO longer", "three"])),
            (lines(&["above"]), lines(&["1", "2", "3", "4"])),
            (vec![], lines(&["1", "x", "3", "y"])),
            (vec![], lines(&["sum"])),
        ];
        let mut parser = vt100::Parser::new(12, 40, 0);
        let (mut shown, mut expected) = (vec![], vec![]);
        for (above, frame) in pictures {
            parser.process(redraw(&shown, &above, &frame, false).as_bytes());
            expected.extend(above);
            let whole = [expected.clone(), frame.clone()].concat().join("\n");
            assert_eq!(parser.screen().contents().trim_end(), whole);
            shown = frame;
        }
    }

    #[test]
    fn a_mode_is_chosen_by_name() {
        let chosen = |asked, quiet| Mode::choose(asked, quiet, Target::Stdout).ok();
        assert_eq!(chosen(Some("tty"), false), Some(Mode::Terminal));
        assert_eq!(chosen(Some("plain"), false), Some(Mode::Plain));
        assert_eq!(chosen(Some("json"), false), Some(Mode::Json));
        assert_eq!(chosen(Some("tty"), true), Some(Mode::Quiet));
        assert_eq!(chosen(Some("fancy"), false), None);
    }
}
