//! A shell in a container: its screen, and what keys are as bytes. The stream to it is `subscribe.rs`.

use std::fmt;

use super::key::{Key, KeyCode, KeyModifiers};
use crate::engine::model::ContainerId;
use crate::engine::model::request::TerminalSize;

/// Lines that scroll out of an embedded screen and are kept.
const SCROLLBACK: usize = 1_000;

/// One shell.
pub struct Shell {
    /// In which container.
    pub id: ContainerId,
    /// Tells it from earlier ones.
    pub generation: u64,
    /// The size that it was opened with.
    pub opened: TerminalSize,
    /// How it ended.
    pub ended: Option<String>,
    parser: vt100::Parser,
}

impl fmt::Debug for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shell")
            .field("id", &self.id)
            .field("generation", &self.generation)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Shell {
    /// An empty screen.
    #[must_use]
    pub fn new(id: ContainerId, generation: u64, size: TerminalSize) -> Self {
        // vt100 has no screen smaller than one cell.
        let (rows, cols) = (size.rows.max(1), size.cols.max(1));
        Self {
            id,
            generation,
            opened: TerminalSize { rows, cols },
            ended: None,
            parser: vt100::Parser::new(rows, cols, SCROLLBACK),
        }
    }

    /// Output of the shell.
    pub fn output(&mut self, bytes: &[u8]) {
        self.parser.process(bytes);
    }

    /// What it shows.
    #[must_use]
    pub fn screen(&self) -> &vt100::Screen {
        self.parser.screen()
    }

    /// Its size.
    #[must_use]
    pub fn size(&self) -> TerminalSize {
        let (rows, cols) = self.parser.screen().size();
        TerminalSize { rows, cols }
    }

    /// Another size; true if it is one.
    pub fn resize(&mut self, size: TerminalSize) -> bool {
        let size = TerminalSize {
            rows: size.rows.max(1),
            cols: size.cols.max(1),
        };
        if size == self.size() {
            return false;
        }
        self.parser.screen_mut().set_size(size.rows, size.cols);
        true
    }

    /// Looks back; negative is up.
    pub fn scroll(&mut self, rows: isize) {
        let now = self.parser.screen().scrollback();
        let next = now.saturating_add_signed(rows.saturating_neg());
        self.parser.screen_mut().set_scrollback(next);
    }

    /// A key as the bytes that a terminal sends (xterm's "PC-style" keys); `None` if there are none.
    #[must_use]
    pub fn encode(&self, key: Key) -> Option<Vec<u8>> {
        let application = self.parser.screen().application_cursor();
        encode(key, application)
    }

    /// Pasted text as bytes, bracketed if the program asked for that.
    #[must_use]
    pub fn encode_paste(&self, text: &str) -> Vec<u8> {
        // An end marker inside of the text would let the rest of it act as typed.
        let text = text.replace("\u{1b}[201~", "").replace('\n', "\r");
        if self.parser.screen().bracketed_paste() {
            format!("\u{1b}[200~{text}\u{1b}[201~").into_bytes()
        } else {
            text.into_bytes()
        }
    }
}

fn encode(key: Key, application_cursor: bool) -> Option<Vec<u8>> {
    let Key { code, modifiers } = key;
    let alt = modifiers.contains(KeyModifiers::ALT);
    let ctrl = modifiers.contains(KeyModifiers::CONTROL);
    let shift = modifiers.contains(KeyModifiers::SHIFT);
    // xterm's modifier parameter: 1 + shift + 2 alt + 4 control.
    let parameter = 1 + u8::from(shift) + 2 * u8::from(alt) + 4 * u8::from(ctrl);
    let csi = |last: char| {
        if parameter > 1 {
            format!("\u{1b}[1;{parameter}{last}")
        } else if application_cursor {
            format!("\u{1b}O{last}")
        } else {
            format!("\u{1b}[{last}")
        }
    };
    let tilde = |number: u8| {
        if parameter > 1 {
            format!("\u{1b}[{number};{parameter}~")
        } else {
            format!("\u{1b}[{number}~")
        }
    };
    let plain = |text: String| if alt { format!("\u{1b}{text}") } else { text };
    let text = match code {
        KeyCode::Char(c) if ctrl => plain(control(c)?.to_string()),
        KeyCode::Char(c) => plain(c.to_string()),
        KeyCode::Enter => plain("\r".to_owned()),
        KeyCode::Tab => plain("\t".to_owned()),
        KeyCode::BackTab => "\u{1b}[Z".to_owned(),
        KeyCode::Backspace => plain(if ctrl { "\u{8}" } else { "\u{7f}" }.to_owned()),
        KeyCode::Esc => plain("\u{1b}".to_owned()),
        KeyCode::Up => csi('A'),
        KeyCode::Down => csi('B'),
        KeyCode::Right => csi('C'),
        KeyCode::Left => csi('D'),
        KeyCode::Home => csi('H'),
        KeyCode::End => csi('F'),
        KeyCode::Insert => tilde(2),
        KeyCode::Delete => tilde(3),
        KeyCode::PageUp => tilde(5),
        KeyCode::PageDown => tilde(6),
        KeyCode::F(n @ 1..=4) => {
            let last = char::from(b'O' + n);
            if parameter > 1 {
                format!("\u{1b}[1;{parameter}{last}")
            } else {
                format!("\u{1b}O{last}")
            }
        }
        KeyCode::F(n) => {
            tilde(*[15, 17, 18, 19, 20, 21, 23, 24].get(usize::from(n.checked_sub(5)?))?)
        }
        _ => return None,
    };
    Some(text.into_bytes())
}

/// The control character of a key: `ctrl+a` is 1.
fn control(c: char) -> Option<char> {
    match c.to_ascii_lowercase() {
        c @ 'a'..='z' => char::from_u32(u32::from(c) - u32::from('a') + 1),
        ' ' | '@' | '2' => Some('\0'),
        '[' | '3' => Some('\u{1b}'),
        '\\' | '4' => Some('\u{1c}'),
        ']' | '5' => Some('\u{1d}'),
        '^' | '6' => Some('\u{1e}'),
        '_' | '/' | '7' | '-' => Some('\u{1f}'),
        '?' | '8' => Some('\u{7f}'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_bytes_that_xterm_sends() {
        for (key, application, bytes) in [
            ("a", false, "a"),
            ("é", false, "é"),
            ("ctrl+c", false, "\u{3}"),
            ("ctrl+space", false, "\0"),
            ("alt+b", false, "\u{1b}b"),
            ("enter", false, "\r"),
            ("backspace", false, "\u{7f}"),
            ("up", false, "\u{1b}[A"),
            ("up", true, "\u{1b}OA"),
            ("ctrl+right", true, "\u{1b}[1;5C"),
            ("delete", false, "\u{1b}[3~"),
            ("f1", false, "\u{1b}OP"),
            ("f4", false, "\u{1b}OS"),
            ("f5", false, "\u{1b}[15~"),
            ("f12", false, "\u{1b}[24~"),
            ("shift+tab", false, "\u{1b}[Z"),
        ] {
            let key: Key = key.parse().expect("a key");
            assert_eq!(
                encode(key, application),
                Some(bytes.as_bytes().to_vec()),
                "{key}"
            );
        }
        assert_eq!(encode(Key::plain(KeyCode::F(24)), false), None);
    }

    #[test]
    fn a_paste_cannot_leave_its_brackets() {
        let id = ContainerId::try_from("a".repeat(64)).expect("an id");
        let mut shell = Shell::new(id, 1, TerminalSize { rows: 5, cols: 20 });
        assert_eq!(shell.encode_paste("a\nb"), b"a\rb");
        shell.output(b"\x1b[?2004h");
        assert_eq!(
            shell.encode_paste("x\u{1b}[201~rm -rf /\n"),
            b"\x1b[200~xrm -rf /\r\x1b[201~"
        );
    }
}
