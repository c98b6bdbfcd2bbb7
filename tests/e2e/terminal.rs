//! A terminal for the program under test: a pseudo-terminal, a thread that reads it, and a screen to look at. Tests wait
//! for text; they never sleep.

#![expect(
    dead_code,
    reason = "shared by several test binaries, each of which uses a part of it"
)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use rustix::pty::OpenptFlags;
use rustix::termios::{Termios, Winsize};

use crate::support::{Host, PATIENCE, WHARF};

/// A program in a terminal. Dropping it kills the program.
pub struct Terminal {
    child: Child,
    master: File,
    /// Kept open, so that the terminal's modes can be read after the program's end.
    slave: OwnedFd,
    before: Termios,
    shared: Arc<Shared>,
}

struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
}

/// What came out so far.
struct Seen {
    parser: vt100::Parser,
    raw: Vec<u8>,
    first_byte: Option<Instant>,
    closed: bool,
}

impl Terminal {
    /// Starts `wharf` in a terminal of `rows` and `cols`, with 256 colours unless `env` says otherwise.
    pub fn open<'a>(
        host: &Host,
        args: &[&str],
        size: (u16, u16),
        env: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        Self::open_program(host, WHARF, args, size, env)
    }

    /// Starts any program in such a terminal.
    pub fn open_program<'a>(
        host: &Host,
        program: &str,
        args: &[&str],
        (rows, cols): (u16, u16),
        env: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let slave: OwnedFd = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap()
            .into();
        set_size(&master, rows, cols);
        let before = rustix::termios::tcgetattr(&slave).unwrap();

        // setsid(1) makes the terminal the controlling one, and then becomes the program: its pid is ours to signal.
        let mut command = Command::new("setsid");
        command.args(["-c", program]).args(args);
        host.dress(&mut command);
        let child = command
            .env("TERM", "xterm-256color")
            .env("LANG", "C.UTF-8")
            .envs(env)
            .stdin(Stdio::from(slave.try_clone().unwrap()))
            .stdout(Stdio::from(slave.try_clone().unwrap()))
            .stderr(Stdio::from(slave.try_clone().unwrap()))
            .spawn()
            .unwrap();

        let shared = Arc::new(Shared {
            seen: Mutex::new(Seen {
                parser: vt100::Parser::new(rows, cols, 0),
                raw: Vec::new(),
                first_byte: None,
                closed: false,
            }),
            changed: Condvar::new(),
        });
        let master = File::from(master);
        let reader = master.try_clone().unwrap();
        let sink = Arc::clone(&shared);
        std::thread::spawn(move || read_all(reader, &sink));
        Self {
            child,
            master,
            slave,
            before,
            shared,
        }
    }

    /// Types.
    pub fn send(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen shows `text`.
    ///
    /// # Panics
    /// With the screen, when it does not within [`PATIENCE`].
    pub fn wait_text(&self, text: &str) {
        self.wait_screen(&format!("{text:?}"), |screen| {
            screen.contents().contains(text)
        });
    }

    /// Waits until the screen no longer shows `text`.
    ///
    /// # Panics
    /// With the screen, when it still does after [`PATIENCE`].
    pub fn wait_no_text(&self, text: &str) {
        self.wait_screen(&format!("no {text:?}"), |screen| {
            !screen.contents().contains(text)
        });
    }

    /// Waits until a line of the screen has all of these words.
    ///
    /// # Panics
    /// With the screen, when none does within [`PATIENCE`].
    pub fn wait_line(&self, words: &[&str]) {
        self.wait_screen(&format!("a line with {words:?}"), |screen| {
            screen
                .contents()
                .lines()
                .any(|line| words.iter().all(|word| line.contains(word)))
        });
    }

    /// Waits until the screen is as `wanted`.
    ///
    /// # Panics
    /// With the screen, when it is not within [`PATIENCE`].
    pub fn wait_screen(&self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut guard = self.seen();
        loop {
            let seen = &*guard;
            if wanted(seen.parser.screen()) {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !seen.closed,
                "waited for {what}; the screen shows:\n{}",
                seen.parser.screen().contents()
            );
            guard = self.shared.changed.wait_timeout(guard, left).unwrap().0;
        }
    }

    /// What the screen shows.
    #[must_use]
    pub fn text(&self) -> String {
        self.screen(vt100::Screen::contents)
    }

    /// Looks at the screen.
    pub fn screen<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.seen().parser.screen())
    }

    /// Number of bytes that came out so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.seen().raw.len()
    }

    /// Every byte that came out so far.
    #[must_use]
    pub fn raw(&self) -> Vec<u8> {
        self.seen().raw.clone()
    }

    /// When the first byte came.
    #[must_use]
    pub fn first_byte(&self) -> Option<Instant> {
        self.seen().first_byte
    }

    /// Waits for the next byte after the first `count`; false if none comes within `patience`.
    #[must_use]
    pub fn wait_more_than(&self, count: usize, patience: Duration) -> bool {
        let guard = self.seen();
        let (guard, _) = self
            .shared
            .changed
            .wait_timeout_while(guard, patience, |seen| {
                seen.raw.len() <= count && !seen.closed
            })
            .unwrap();
        guard.raw.len() > count
    }

    /// Gives the terminal another size; the kernel tells the program.
    pub fn resize(&self, rows: u16, cols: u16) {
        self.seen().parser.screen_mut().set_size(rows, cols);
        set_size(&self.master, rows, cols);
    }

    /// The program's pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the program's end; its exit code, 128 + signal if it was killed.
    ///
    /// # Panics
    /// With the screen, when it does not end within [`PATIENCE`].
    pub fn wait_exit(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status
                    .code()
                    .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            }
            assert!(
                Instant::now() < deadline,
                "still running; the screen shows:\n{}",
                self.text()
            );
            crate::support::pause();
        }
    }

    /// Asserts that nothing of the program's use of the terminal is left: modes, screen, cursor, mouse, paste.
    ///
    /// # Panics
    /// When something is.
    pub fn assert_restored(&self) {
        let after = rustix::termios::tcgetattr(&self.slave).unwrap();
        assert_eq!(after.local_modes, self.before.local_modes, "local modes");
        assert_eq!(after.input_modes, self.before.input_modes, "input modes");
        assert_eq!(after.output_modes, self.before.output_modes, "output modes");
        self.wait_screen("the terminal as it was", |screen| {
            !screen.alternate_screen()
                && !screen.hide_cursor()
                && !screen.bracketed_paste()
                && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
        });
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.shared.seen)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A test that failed while it looked must not take the reader with it.
fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_all(mut from: File, into: &Shared) {
    let mut buffer = [0; 16384];
    loop {
        // EIO says that the last holder of the other end is gone.
        let count = from.read(&mut buffer).unwrap_or(0);
        let mut seen = lock(&into.seen);
        if count == 0 {
            seen.closed = true;
        } else {
            seen.first_byte.get_or_insert_with(Instant::now);
            seen.raw.extend_from_slice(&buffer[..count]);
            seen.parser.process(&buffer[..count]);
        }
        into.changed.notify_all();
        if count == 0 {
            return;
        }
    }
}

fn set_size(terminal: impl AsFd, rows: u16, cols: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(terminal, size).unwrap();
}
