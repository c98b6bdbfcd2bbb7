//! The loop: wait, change the state, perform, reconcile the streams, draw.
//!
//! Input comes first; what waits is taken in bounded portions; at most one frame is drawn per interval, none when nothing changed.
//! A terminal that is slow to take a frame gets fewer of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossterm::event::{Event, EventStream, KeyEventKind, MouseButton, MouseEventKind};
use futures_util::StreamExt;
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc};

use super::command::Commands;
use super::config::Config;
use super::jobs::Report;
use super::key::Key;
use super::perform::{Around, Performer, UserFiles};
use super::subscribe::{Context, Streams};
use super::terminal::{self, Terminal};
use super::{Effect, Mouse, MouseKind, Msg, State, Sub, looks, subscriptions, update};
use crate::engine::Engine;
use crate::engine::credentials::Store;
use crate::engine::error::{Attempt, Result};
use crate::engine::model::Timestamp;
use crate::views;

/// Between two frames while data come in: 30 a second.
const FRAME: Duration = Duration::from_millis(33);
/// Between two frames that follow a key: nobody should feel it.
const KEY_FRAME: Duration = Duration::from_millis(8);
/// The first frame waits this long for the data that it should show.
const FIRST: Duration = Duration::from_millis(40);
/// Messages taken at a time, so that input is looked at in between.
const PORTION: usize = 256;

struct Driver {
    state: State,
    config: Config,
    terminal: Terminal,
    performer: Performer,
    streams: Streams,
    /// Something may look different.
    dirty: bool,
    /// Because of a key.
    urgent: bool,
    /// Something lies in the streams' boxes.
    waiting: bool,
    last_frame: Instant,
    interval: Duration,
    /// Seconds between ticks.
    pace: u32,
    quit: bool,
}

/// Runs until the user leaves.
pub(super) async fn run(
    engine: Option<Engine>,
    credentials: Store,
    commands: Commands,
    config: Config,
) -> Result<()> {
    let (reports, mut inbox) = mpsc::channel(PORTION);
    let wake = Arc::new(Notify::new());
    let context = Context {
        engine: engine.clone(),
        surroundings: config.surroundings.clone(),
        reports: reports.clone(),
        wake: Arc::clone(&wake),
        // What the emulator understands.
        term: "xterm-256color".to_owned(),
    };
    let detached = engine.is_none();
    let performer = Performer::new(
        engine,
        tokio::runtime::Handle::current(),
        reports,
        credentials,
        UserFiles {
            pulled: config.history.clone(),
            lists: config.lists.clone(),
        },
        commands,
        Around {
            surroundings: config.surroundings.clone(),
            allowed: config.allowed.clone(),
            roots: config.roots.clone(),
        },
    );
    let (width, height) = terminal::size();
    let mut state = State::new(config.settings.clone(), width, height, Timestamp::now());
    state.mouse = config.mouse;
    state.pulled.clone_from(&config.pulled);
    state.detached = detached;
    looks::restore(&mut state, &config.looks);
    if let Some(target) = config.explore.clone() {
        state.explore(target, true);
    }
    // The engine reads while the terminal is set up.
    let asked = config.tables.clone();
    let asked = asked.map(|question| state.ask_tables(question, true));
    let mut first = state.start();
    first.extend(asked);
    for effect in first {
        if let Effect::Query { id, query, after } = effect {
            performer.query(id, query, after);
        }
    }
    let terminal = Terminal::enter(config.mouse)?;
    let mut driver = Driver {
        state,
        terminal,
        performer,
        streams: Streams::new(context),
        dirty: true,
        urgent: false,
        waiting: false,
        // So that the first frame is due when its data should be there.
        last_frame: Instant::now(),
        interval: FIRST,
        pace: 1,
        quit: false,
        config,
    };
    for problem in std::mem::take(&mut driver.config.problems) {
        let failure = super::jobs::Failure {
            kind: crate::engine::error::Kind::InvalidInput,
            chain: vec![problem.clone()],
            line: problem,
            hint: None,
        };
        driver.take(vec![Msg::Failed(failure)])?;
    }
    driver.streams.reconcile(&subscriptions(&driver.state));
    let result = driver.serve(&mut inbox, &wake).await;
    let Driver {
        terminal,
        performer,
        quit,
        ..
    } = driver;
    // First the terminal; then what still runs is told to stop, and has nobody to report to.
    drop((terminal, inbox));
    performer.end().await;
    // Hang-up: the terminal that cannot be written to any more is the reason to end, not a failure.
    match result {
        Err(error) if quit => {
            tracing::debug!("{error}");
            Ok(())
        }
        result => result,
    }
}

impl Driver {
    async fn serve(&mut self, inbox: &mut mpsc::Receiver<Msg>, wake: &Notify) -> Result<()> {
        let what = || "wait for signals";
        let mut terminate = signal(SignalKind::terminate()).attempt(what)?;
        let mut hang_up = signal(SignalKind::hangup()).attempt(what)?;
        let mut go_on = signal(SignalKind::from_raw(Signal::SIGCONT as i32)).attempt(what)?;
        let mut input = EventStream::new();
        let mut tick = Instant::now() + Duration::from_secs(1);
        while !self.quit {
            let due = self.last_frame
                + if self.urgent {
                    KEY_FRAME
                } else {
                    self.interval
                };
            if (self.dirty || self.waiting) && Instant::now() >= due {
                self.frame()?;
                continue;
            }
            let wants_frame = self.dirty || self.waiting;
            let mut messages = Vec::new();
            tokio::select! {
                biased;
                event = input.next() => match event {
                    Some(Ok(event)) => {
                        self.urgent = true;
                        // One at a time: a look that does not wait would take the reader's wake-up with it
                        // (crossterm's stream keeps the first waker that it is given).
                        messages.extend(message_of(event));
                    }
                    // The terminal is gone.
                    Some(Err(_)) | None => messages.push(Msg::Terminate),
                },
                _ = terminate.recv() => messages.push(Msg::Terminate),
                _ = hang_up.recv() => messages.push(Msg::Terminate),
                _ = go_on.recv() => {
                    self.terminal.resume()?;
                    let (width, height) = terminal::size();
                    messages.push(Msg::Resized { width, height });
                }
                report = inbox.recv() => {
                    messages.extend(report);
                    while messages.len() < PORTION && let Ok(more) = inbox.try_recv() {
                        messages.push(more);
                    }
                    if !self.state.loaded {
                        // The first data: the first frame shows them at once.
                        self.interval = Duration::ZERO;
                    }
                }
                () = wake.notified(), if !self.waiting => {
                    self.waiting = true;
                    continue;
                }
                () = tokio::time::sleep_until(tick.into()) => {}
                () = tokio::time::sleep_until(due.into()), if wants_frame => continue,
            }
            let now = Instant::now();
            if now >= tick {
                tick = now + Duration::from_secs(u64::from(self.pace));
            }
            self.take(messages)?;
            // A shorter pace counts from now on.
            tick = tick.min(now + Duration::from_secs(u64::from(self.pace)));
        }
        Ok(())
    }

    /// Empties the boxes and draws.
    fn frame(&mut self) -> Result<()> {
        if std::mem::take(&mut self.waiting) {
            let messages = self.streams.collect();
            if !messages.is_empty() {
                self.take(messages)?;
            }
        }
        if !self.dirty || self.quit {
            return Ok(());
        }
        let begin = Instant::now();
        let (state, theme) = (&self.state, &self.config.theme);
        self.terminal
            .draw(state.area(), |buffer| views::draw(state, theme, buffer))?;
        self.dirty = false;
        self.urgent = false;
        self.last_frame = Instant::now();
        // At most a third of the time goes into frames.
        self.interval = FRAME.max((self.last_frame - begin) * 3);
        Ok(())
    }

    /// Changes the state and does what follows.
    fn take(&mut self, messages: Vec<Msg>) -> Result<()> {
        let now = Msg::Tick(Timestamp::now());
        for message in std::iter::once(now).chain(messages) {
            if let Msg::Job(id, Report::Finished(_)) = &message {
                self.performer.forget(*id);
            }
            if let Msg::Resized { .. } = &message {
                // Terminals cut and move what they show, also when the size is at last the old one again.
                self.terminal.clear()?;
            }
            for effect in update(&mut self.state, message) {
                self.perform(effect)?;
            }
        }
        self.dirty = true;
        let wanted = subscriptions(&self.state);
        for sub in &wanted {
            if let Sub::Clock { seconds } = sub {
                self.pace = *seconds;
            }
        }
        self.streams.reconcile(&wanted);
        Ok(())
    }

    fn perform(&mut self, effect: Effect) -> Result<()> {
        match effect {
            Effect::Start(id, request) => self.performer.start(id, request),
            Effect::Remember(name) => self.performer.remember(name),
            Effect::KeepLists(text) => self.performer.keep_lists(text),
            Effect::Cancel(id) => self.performer.cancel(id),
            Effect::Query { id, query, after } => self.performer.query(id, query, after),
            Effect::Copy(text) => {
                self.terminal.copy(&text, self.config.multiplexer)?;
                let copied = Msg::Copied(Ok(text.chars().count()));
                // It has no effects of its own.
                let _ = update(&mut self.state, copied);
            }
            Effect::ShellInput { generation, bytes } => self.streams.shell_input(generation, bytes),
            Effect::ShellResize { generation, size } => self.streams.shell_resize(generation, size),
            Effect::Mouse(on) => self.terminal.set_mouse(on)?,
            Effect::Suspend => self.terminal.suspend()?,
            Effect::Redraw => self.terminal.clear()?,
            Effect::Quit => self.quit = true,
        }
        Ok(())
    }
}

fn message_of(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) if key.kind == KeyEventKind::Release => None,
        Event::Key(key) => Some(Msg::Key(Key::new(key.code, key.modifiers))),
        Event::Paste(text) => Some(Msg::Paste(text)),
        Event::Resize(width, height) => Some(Msg::Resized { width, height }),
        Event::Mouse(mouse) => {
            let kind = match mouse.kind {
                MouseEventKind::Down(MouseButton::Left) => MouseKind::Press,
                MouseEventKind::ScrollUp => MouseKind::WheelUp,
                MouseEventKind::ScrollDown => MouseKind::WheelDown,
                _ => return None,
            };
            Some(Msg::Mouse(Mouse {
                kind,
                x: mouse.column,
                y: mouse.row,
            }))
        }
        Event::FocusGained | Event::FocusLost => None,
    }
}
