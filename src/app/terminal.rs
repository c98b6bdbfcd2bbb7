//! The terminal: the only place that touches it. Modes are set on entering and given back on leaving, however that comes
//! about: quit, panic, a signal, ctrl-z. Only cells that changed are written, one write a frame.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::ThreadId;

use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, queue, terminal};
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use crate::engine::error::{Attempt, Error, Kind, Result};
use crate::engine::has_controlling_terminal;

/// Buttons and wheel (1000) in the form that has no upper bound (1006); no reports of mere motion, which cost traffic.
const MOUSE_ON: &[u8] = b"\x1b[?1000h\x1b[?1006h";
const MOUSE_OFF: &[u8] = b"\x1b[?1006l\x1b[?1000l";
/// A terminal that knows synchronised output shows the frame at once; others ignore it.
const FRAME_BEGIN: &[u8] = b"\x1b[?2026h";
const FRAME_END: &[u8] = b"\x1b[?2026l";

type Hook = Arc<dyn Fn(&std::panic::PanicHookInfo<'_>) + Send + Sync>;

/// The terminal while it is ours.
pub(super) struct Terminal {
    /// What is written next.
    out: Vec<u8>,
    /// What is on the screen.
    shown: Buffer,
    /// What is drawn next.
    next: Buffer,
    cursor: Option<Position>,
    mouse: bool,
    hook: Hook,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal")
            .field("area", &self.shown.area)
            .finish_non_exhaustive()
    }
}

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] if input or output is no terminal; what the system says otherwise, and then nothing is changed.
    pub(super) fn enter(mouse: bool) -> Result<Self> {
        // Where standard input is something else, keys come from the terminal itself.
        let has_keys = io::stdin().is_terminal() || has_controlling_terminal();
        if !has_keys || !io::stdout().is_terminal() {
            return Err(Error::new(Kind::Unsupported, "this is not a terminal")
                .with_hint("use the subcommands, such as wharf ps"));
        }
        let previous: Hook = Arc::from(std::panic::take_hook());
        set_modes(mouse).inspect_err(|_| restore())?;
        install_hook(Arc::clone(&previous), std::thread::current().id());
        end_with_the_terminal();
        let (width, height) = size();
        let area = Rect::new(0, 0, width, height);
        Ok(Self {
            out: Vec::with_capacity(16 << 10),
            shown: Buffer::empty(area),
            next: Buffer::empty(area),
            cursor: None,
            mouse,
            hook: previous,
        })
    }

    /// Draws a frame and writes what changed, if anything did.
    pub(super) fn draw(
        &mut self,
        area: Rect,
        draw: impl FnOnce(&mut Buffer) -> Option<Position>,
    ) -> Result<()> {
        if self.shown.area != area {
            self.shown.resize(area);
            self.next.resize(area);
            self.clear()?;
        }
        self.next.reset();
        let cursor = draw(&mut self.next);
        let mut changed = self.shown.diff_iter(&self.next).peekable();
        let same_cells = changed.peek().is_none();
        if same_cells && cursor == self.cursor {
            return Ok(());
        }
        let what = || "draw";
        self.out.extend_from_slice(FRAME_BEGIN);
        if !same_cells {
            if self.cursor.is_some() {
                queue!(self.out, cursor::Hide).attempt(what)?;
            }
            CrosstermBackend::new(&mut self.out)
                .draw(changed)
                .attempt(what)?;
        }
        match cursor {
            Some(Position { x, y }) => {
                queue!(self.out, cursor::MoveTo(x, y), cursor::Show).attempt(what)?;
            }
            None if self.cursor.is_some() => {
                queue!(self.out, cursor::Hide).attempt(what)?;
            }
            None => {}
        }
        self.cursor = cursor;
        self.out.extend_from_slice(FRAME_END);
        std::mem::swap(&mut self.shown, &mut self.next);
        self.flush()
    }

    /// Everything is written anew by the next frame.
    pub(super) fn clear(&mut self) -> Result<()> {
        self.shown.reset();
        let clear = terminal::Clear(terminal::ClearType::All);
        queue!(self.out, cursor::Hide, clear).attempt(|| "clear the screen")?;
        self.cursor = None;
        self.flush()
    }

    /// Takes the mouse, or leaves it to the terminal.
    pub(super) fn set_mouse(&mut self, on: bool) -> Result<()> {
        self.mouse = on;
        let sequence = if on { MOUSE_ON } else { MOUSE_OFF };
        self.out.extend_from_slice(sequence);
        self.flush()
    }

    /// Puts a text into the clipboard of the terminal that the user sits at (OSC 52), also through tmux and screen.
    pub(super) fn copy(&mut self, text: &str, through: Multiplexer) -> Result<()> {
        let sequence = format!("\x1b]52;c;{}\x07", base64(text.as_bytes()));
        let writer = &mut self.out;
        match through {
            Multiplexer::None => writer.extend_from_slice(sequence.as_bytes()),
            // tmux takes it itself with `set-clipboard on`, and passes on what is wrapped with `allow-passthrough on`.
            Multiplexer::Tmux => {
                writer.extend_from_slice(sequence.as_bytes());
                let wrapped = sequence.replace('\x1b', "\x1b\x1b");
                writer.extend_from_slice(format!("\x1bPtmux;{wrapped}\x1b\\").as_bytes());
            }
            // screen's strings are short: pieces of 700 bytes, each wrapped (screen(1), "Virtual terminal").
            Multiplexer::Screen => {
                for piece in sequence.as_bytes().chunks(700) {
                    writer.extend_from_slice(b"\x1bP");
                    writer.extend_from_slice(piece);
                    writer.extend_from_slice(b"\x1b\\");
                }
            }
        }
        self.flush()
    }

    /// Gives the terminal back, stops this process group as ctrl-z does, and takes the terminal again afterwards.
    pub(super) fn suspend(&mut self) -> Result<()> {
        restore();
        // To the whole group, as the terminal itself would: `sudo wharf` and `cargo run` stop too.
        let group = nix::unistd::Pid::from_raw(0);
        nix::sys::signal::kill(group, nix::sys::signal::Signal::SIGTSTP)
            .map_err(io::Error::from)
            .attempt(|| "stop this process")?;
        self.resume()
    }

    /// Sets the modes again, as after a stop that was not ours.
    pub(super) fn resume(&mut self) -> Result<()> {
        set_modes(self.mouse)?;
        self.clear()
    }

    fn flush(&mut self) -> Result<()> {
        let mut terminal = io::stdout().lock();
        let result = terminal
            .write_all(&self.out)
            .and_then(|()| terminal.flush());
        self.out.clear();
        result.attempt(|| "write to the terminal")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // In a panic the hook has done it already; a second time would move the cursor back over the message.
        if !std::thread::panicking() {
            restore();
            let hook = Arc::clone(&self.hook);
            std::panic::set_hook(Box::new(move |info| hook(info)));
        }
    }
}

/// Ends the process soon after its terminal is gone. The loop usually ends by itself then, by SIGHUP; but crossterm's
/// reader takes the end of a hung-up terminal's input for "nothing yet" and tries again for ever, and a loop that is
/// in there hears no signal. Nothing is lost: there is no terminal to restore, and containers have their own parents.
fn end_with_the_terminal() {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    /// For an orderly end, in milliseconds.
    const GRACE: u16 = 500;
    let watch = || {
        let stdin = io::stdin();
        loop {
            // Hang-up is reported without being asked for (poll(2)).
            let mut terminal = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
            match poll(&mut terminal, PollTimeout::NONE) {
                Ok(_) => break,
                Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return,
            }
        }
        let _ = poll(&mut [], PollTimeout::from(GRACE));
        #[expect(
            clippy::exit,
            clippy::disallowed_methods,
            reason = "the thread that could return to main is stuck"
        )]
        std::process::exit(HUNG_UP);
    };
    // Without the thread only the spinning reader is not caught.
    let _ = std::thread::Builder::new()
        .name("hang-up".to_owned())
        .stack_size(32 << 10)
        .spawn(watch);
}

/// Exit code after a hang-up: 128 + SIGHUP.
const HUNG_UP: i32 = 129;

/// What the terminal's output passes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Multiplexer {
    /// Nothing known.
    None,
    /// tmux(1).
    Tmux,
    /// screen(1).
    Screen,
}

/// Columns and rows; 80 by 24 if the terminal does not say.
pub(super) fn size() -> (u16, u16) {
    match terminal::size() {
        Ok((width, height)) if width > 0 && height > 0 => (width, height),
        Ok(_) | Err(_) => (80, 24),
    }
}

fn set_modes(mouse: bool) -> Result<()> {
    let what = || "set the terminal's modes";
    terminal::enable_raw_mode().attempt(what)?;
    let mut bytes = Vec::new();
    queue!(
        bytes,
        EnterAlternateScreen,
        cursor::Hide,
        EnableBracketedPaste
    )
    .attempt(what)?;
    if mouse {
        bytes.extend_from_slice(MOUSE_ON);
    }
    let mut out = io::stdout().lock();
    out.write_all(&bytes)
        .and_then(|()| out.flush())
        .attempt(what)
}

/// Gives everything back. Goes on past failures: after a hang-up there is nothing left to give back to.
fn restore() {
    let mut bytes = Vec::from(FRAME_END);
    bytes.extend_from_slice(MOUSE_OFF);
    let _ = queue!(
        bytes,
        DisableBracketedPaste,
        crossterm::style::ResetColor,
        cursor::Show,
        LeaveAlternateScreen
    );
    let mut out = io::stdout().lock();
    let _ = out.write_all(&bytes);
    let _ = out.flush();
    let _ = terminal::disable_raw_mode();
}

/// A panic of the drawing thread gives the terminal back before it is told. One in a job is caught and told by the job.
fn install_hook(previous: Hook, drawing: ThreadId) {
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == drawing {
            restore();
            previous(info);
        }
    }));
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4_usize {
            let index = usize::try_from(word >> (18 - 6 * digit) & 63).unwrap_or(0);
            let letter = ALPHABET.get(index).copied().unwrap_or(b'=');
            text.push(if digit > chunk.len() {
                '='
            } else {
                char::from(letter)
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
