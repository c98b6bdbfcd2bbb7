//! The streams that the state wants: each a thread that reads from the engine until nobody wants it any more.
//!
//! What may come in floods (logs, shells) waits in a box that the driver empties once a frame; a full box drops the oldest log
//! lines, as the pane would, and makes a shell wait, as a terminal would.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;

use super::ansi;
use super::explorer::{News, Target};
use super::jobs::Failure;
use super::logs::{self, LogLine, Stream};
use super::perform::{self, failure, guarded};
use super::{Msg, Sub};
use crate::engine::error::Result;
use crate::engine::model::request::TerminalSize;
use crate::engine::model::{Cancel, ContainerId};
use crate::engine::{Engine, Output, SessionWriter, Surroundings};

/// How long readers wait at a time before they look whether they are still wanted.
const PATIENCE: Duration = Duration::from_hours(1);
/// Time between two rounds of figures.
const ROUND: Duration = Duration::from_secs(1);
/// Bytes of a shell's output that wait at most.
const SHELL_BOX: usize = 256 << 10;

/// What the driver gives to streams.
#[derive(Debug, Clone)]
pub(super) struct Context {
    /// `None` where only an archive is looked into.
    pub(super) engine: Option<Engine>,
    pub(super) surroundings: Surroundings,
    pub(super) reports: Sender<Msg>,
    /// Something lies in a box.
    pub(super) wake: Arc<Notify>,
    /// `TERM` for shells.
    pub(super) term: String,
}

impl Context {
    fn engine(&self) -> Result<&Engine> {
        perform::present(self.engine.as_ref())
    }
}

/// The streams that run.
#[derive(Debug)]
pub(super) struct Streams {
    context: Context,
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    sub: Sub,
    handle: Handle,
}

#[derive(Debug)]
enum Handle {
    Events {
        _cancel: CancelOnDrop,
    },
    /// The ids to sample next. The thread ends with the channel.
    Stats(mpsc::Sender<Vec<ContainerId>>),
    Log {
        inbox: Arc<Inbox<LogLine>>,
        generation: u64,
        _cancel: CancelOnDrop,
    },
    Shell(Arc<Inbox<u8>>, u64, mpsc::Sender<ToShell>),
    Explore {
        _cancel: CancelOnDrop,
    },
}

#[derive(Debug)]
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[derive(Debug)]
enum ToShell {
    Input(Vec<u8>),
    Resize(TerminalSize),
}

impl Streams {
    pub(super) fn new(context: Context) -> Self {
        Self {
            context,
            running: Vec::new(),
        }
    }

    /// Starts what is wanted and does not run, ends what runs and is not wanted. Clocks are the driver's.
    pub(super) fn reconcile(&mut self, wanted: &[Sub]) {
        // Figures go on when only the ids change.
        for running in &mut self.running {
            if let Handle::Stats(control) = &running.handle
                && let Some(sub @ Sub::Stats { ids }) =
                    wanted.iter().find(|sub| matches!(sub, Sub::Stats { .. }))
                && running.sub != *sub
            {
                let _ = control.send(ids.clone());
                running.sub = sub.clone();
            }
        }
        self.running.retain(|running| wanted.contains(&running.sub));
        for sub in wanted {
            if self.running.iter().any(|running| running.sub == *sub) {
                continue;
            }
            let handle = match sub {
                Sub::Events => self.events(),
                Sub::Stats { ids } => self.stats(ids.clone()),
                Sub::Logs {
                    id,
                    generation,
                    tail,
                } => self.log(id.clone(), *generation, *tail),
                Sub::Shell {
                    id,
                    generation,
                    size,
                } => self.shell(id.clone(), *generation, *size),
                Sub::Explore { generation, target } => self.explore(*generation, target.clone()),
                Sub::Clock { .. } => continue,
            };
            self.running.push(Running {
                sub: sub.clone(),
                handle,
            });
        }
    }

    /// Empties the boxes.
    pub(super) fn collect(&self) -> Vec<Msg> {
        let mut messages = Vec::new();
        for running in &self.running {
            match &running.handle {
                Handle::Log {
                    inbox, generation, ..
                } => {
                    let (lines, ended) = inbox.take();
                    let generation = *generation;
                    if !lines.is_empty() {
                        messages.push(Msg::Log { generation, lines });
                    }
                    if let Some(ended) = ended {
                        let failure = ended.err();
                        messages.push(Msg::LogEnded {
                            generation,
                            failure,
                        });
                    }
                }
                Handle::Shell(inbox, generation, _) => {
                    let (bytes, ended) = inbox.take();
                    let generation = *generation;
                    if !bytes.is_empty() {
                        messages.push(Msg::ShellOutput { generation, bytes });
                    }
                    if let Some(result) = ended {
                        messages.push(Msg::ShellEnded { generation, result });
                    }
                }
                Handle::Events { .. } | Handle::Stats(_) | Handle::Explore { .. } => {}
            }
        }
        messages
    }

    /// Types into a shell.
    pub(super) fn shell_input(&self, generation: u64, bytes: Vec<u8>) {
        self.to_shell(generation, ToShell::Input(bytes));
    }

    /// Tells a shell its size.
    pub(super) fn shell_resize(&self, generation: u64, size: TerminalSize) {
        self.to_shell(generation, ToShell::Resize(size));
    }

    fn to_shell(&self, wanted: u64, message: ToShell) {
        for running in &self.running {
            if let Handle::Shell(_, generation, control) = &running.handle
                && *generation == wanted
            {
                // The thread has ended: its end is on the way.
                let _ = control.send(message);
                return;
            }
        }
    }

    fn events(&self) -> Handle {
        let cancel = Cancel::new();
        let (context, token) = (self.context.clone(), cancel.clone());
        spawn("events", move || {
            let result = guarded(|| {
                let mut reader = perform::open_events(context.engine()?)?;
                // The program has ended when nobody receives.
                if context.reports.blocking_send(Msg::Watching).is_err() {
                    return Ok(());
                }
                while !token.is_cancelled() {
                    let events = reader.next(&token, PATIENCE)?;
                    if !events.is_empty()
                        && context.reports.blocking_send(Msg::Events(events)).is_err()
                    {
                        break;
                    }
                }
                Ok(())
            });
            if let Err(failure) = result {
                let _ = context.reports.blocking_send(Msg::WatchFailed(failure));
            }
        });
        Handle::Events {
            _cancel: CancelOnDrop(cancel),
        }
    }

    fn explore(&self, generation: u64, target: Target) -> Handle {
        let cancel = Cancel::new();
        let (context, token) = (self.context.clone(), cancel.clone());
        spawn("explore", move || {
            let tell = |news| {
                // It fails only when the program has ended.
                let _ = context
                    .reports
                    .blocking_send(Msg::Explored { generation, news });
            };
            let doors = (context.engine.as_ref(), &context.surroundings);
            let result = guarded(|| perform::explore(doors, &target, &tell, &token));
            match result {
                Ok(image) => tell(News::Whole(image)),
                // Nobody waits for it any more.
                Err(_) if token.is_cancelled() => {}
                Err(failure) => tell(News::Failed(failure)),
            }
        });
        Handle::Explore {
            _cancel: CancelOnDrop(cancel),
        }
    }

    fn stats(&self, ids: Vec<ContainerId>) -> Handle {
        let (control, orders) = mpsc::channel();
        let context = self.context.clone();
        spawn("stats", move || {
            let result = guarded(|| {
                let mut sampler = perform::open_sampler(context.engine()?)?;
                let mut ids: Vec<ContainerId> = ids;
                let mut due = Instant::now();
                loop {
                    let samples = sampler.sample(&ids)?;
                    if !samples.is_empty()
                        && context.reports.blocking_send(Msg::Stats(samples)).is_err()
                    {
                        return Ok(());
                    }
                    // Samples stay a second apart; what is late is left out.
                    due = (due + ROUND).max(Instant::now());
                    loop {
                        let left = due.saturating_duration_since(Instant::now());
                        match orders.recv_timeout(left) {
                            Ok(more) => ids = more,
                            Err(mpsc::RecvTimeoutError::Timeout) => break,
                            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
                        }
                    }
                }
            });
            if let Err(failure) = result {
                let _ = context.reports.blocking_send(Msg::Failed(failure));
            }
        });
        Handle::Stats(control)
    }

    fn log(&self, id: ContainerId, generation: u64, tail: u64) -> Handle {
        let cancel = Cancel::new();
        let inbox = Arc::new(Inbox::new(logs::MAX_LINES));
        let (context, token) = (self.context.clone(), cancel.clone());
        let shared = Arc::clone(&inbox);
        spawn("log", move || {
            let mut parsers = [ansi::Parser::default(), ansi::Parser::default()];
            let result = guarded(|| {
                let mut reader = perform::open_log(context.engine()?, &id, tail)?;
                while let Some(entry) = reader.next(&token)? {
                    let index = match entry.stream {
                        Stream::Stdout => 0,
                        Stream::Stderr => 1,
                    };
                    if let Some(parser) = parsers.get_mut(index) {
                        parser.feed(&entry.text, |line| {
                            let line = LogLine {
                                time: entry.time,
                                stream: entry.stream,
                                line,
                            };
                            shared.push_or_drop(line, &context.wake);
                        });
                    }
                    if token.is_cancelled() {
                        break;
                    }
                }
                Ok(None)
            });
            shared.end(result, &context.wake);
        });
        Handle::Log {
            inbox,
            generation,
            _cancel: CancelOnDrop(cancel),
        }
    }

    fn shell(&self, id: ContainerId, generation: u64, size: TerminalSize) -> Handle {
        let inbox = Arc::new(Inbox::new(SHELL_BOX));
        let (control, orders) = mpsc::channel();
        let context = self.context.clone();
        let shared = Arc::clone(&inbox);
        spawn("shell", move || {
            let result = guarded(|| {
                let session = perform::open_shell(context.engine()?, &id, size, &context.term)?;
                let (mut reader, writer) = session.split()?;
                spawn("shell input", move || type_into(writer, &orders));
                loop {
                    match reader.next()? {
                        Some(Output::Stdout(bytes) | Output::Stderr(bytes)) => {
                            if !shared.push_or_wait(bytes, &context.wake) {
                                return Ok(None);
                            }
                        }
                        Some(Output::Exited(exit)) => return Ok(Some(exit.code)),
                        None => return Ok(None),
                    }
                }
            });
            shared.end(result, &context.wake);
        });
        Handle::Shell(inbox, generation, control)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A reader that waits for room must not wait for ever.
        if let Handle::Shell(inbox, _, _) = &self.handle {
            inbox.close();
        }
    }
}

/// Until the pane is closed or the shell has gone. Hanging up ends the shell.
fn type_into(mut writer: SessionWriter, orders: &mpsc::Receiver<ToShell>) {
    for order in orders {
        let result = match order {
            ToShell::Input(bytes) => writer.stdin(&bytes),
            ToShell::Resize(size) => writer.resize(size),
        };
        if result.is_err() {
            return;
        }
    }
    let _ = writer.close_stdin();
    writer.detach();
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) {
    // Without a thread the stream stays silent; there is nobody to tell but the log.
    let spawned = std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(512 << 10)
        .spawn(body);
    if let Err(error) = spawned {
        let error = crate::engine::Error::io(format!("start the {name} thread"), error);
        tracing::error!("{}", failure(&error).line);
    }
}

type Ended = Result<Option<i32>, Failure>;

/// What waits for the next frame.
#[derive(Debug)]
struct Inbox<T> {
    content: Mutex<Content<T>>,
    room: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct Content<T> {
    items: std::collections::VecDeque<T>,
    ended: Option<Ended>,
    closed: bool,
}

impl<T> Inbox<T> {
    fn new(capacity: usize) -> Self {
        Self {
            content: Mutex::new(Content {
                items: std::collections::VecDeque::new(),
                ended: None,
                closed: false,
            }),
            room: Condvar::new(),
            capacity,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content<T>> {
        // A panic while the lock is held leaves a list of items: it is as good as before.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds; the oldest goes if it is full. Wakes the driver for the first one only.
    fn push_or_drop(&self, item: T, wake: &Notify) {
        let mut content = self.lock();
        let first = content.items.is_empty();
        if content.items.len() == self.capacity {
            content.items.pop_front();
        }
        content.items.push_back(item);
        drop(content);
        if first {
            wake.notify_one();
        }
    }

    /// Adds, as soon as there is room; false if nobody wants it any more.
    fn push_or_wait(&self, items: Vec<T>, wake: &Notify) -> bool {
        let mut content = self.lock();
        while content.items.len() >= self.capacity && !content.closed {
            content = self
                .room
                .wait(content)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if content.closed {
            return false;
        }
        let first = content.items.is_empty();
        content.items.extend(items);
        drop(content);
        if first {
            wake.notify_one();
        }
        true
    }

    fn end(&self, ended: Ended, wake: &Notify) {
        self.lock().ended = Some(ended);
        wake.notify_one();
    }

    fn close(&self) {
        self.lock().closed = true;
        self.room.notify_all();
    }

    fn take(&self) -> (Vec<T>, Option<Ended>) {
        let mut content = self.lock();
        let items = std::mem::take(&mut content.items);
        let ended = content.ended.take();
        drop(content);
        self.room.notify_all();
        (items.into(), ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_box_drops_the_oldest_and_wakes_once() {
        let (inbox, wake) = (Inbox::new(2), Notify::new());
        for item in 0..5 {
            inbox.push_or_drop(item, &wake);
        }
        inbox.end(Ok(None), &wake);
        assert_eq!(inbox.take(), (vec![3, 4], Some(Ok(None))));
        assert_eq!(inbox.take(), (vec![], None));
    }

    #[test]
    fn a_closed_box_lets_its_writer_go() {
        let inbox = Arc::new(Inbox::new(1));
        let wake = Notify::new();
        assert!(inbox.push_or_wait(vec![1, 2], &wake));
        let other = Arc::clone(&inbox);
        let writer = std::thread::spawn(move || other.push_or_wait(vec![3], &Notify::new()));
        inbox.close();
        assert!(!writer.join().expect("no panic"));
    }
}
