//! Log output into lines of plain text with colours: SGR sequences become runs, everything else that a terminal would
//! obey is taken out. Colours get their final look in `views::theme`.

use super::text;

/// Longest line kept, in bytes; the rest of it is cut.
pub const LONGEST: usize = 64 << 10;

/// A colour that a program asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// One of the terminal's 256; the first 16 are the user's palette.
    Indexed(u8),
    /// Red, green, blue.
    Rgb(u8, u8, u8),
}

/// Rendition: what SGR (ECMA-48, 8.3.117) can set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rendition {
    /// Text colour.
    pub fg: Option<Colour>,
    /// Background.
    pub bg: Option<Colour>,
    /// Flags below.
    flags: u8,
}

const BOLD: u8 = 1;
const DIM: u8 = 2;
const ITALIC: u8 = 4;
const UNDERLINE: u8 = 8;
const REVERSE: u8 = 16;

impl Rendition {
    /// Bold.
    #[must_use]
    pub fn bold(self) -> bool {
        self.flags & BOLD != 0
    }

    /// Dim.
    #[must_use]
    pub fn dim(self) -> bool {
        self.flags & DIM != 0
    }

    /// Italic.
    #[must_use]
    pub fn italic(self) -> bool {
        self.flags & ITALIC != 0
    }

    /// Underlined.
    #[must_use]
    pub fn underline(self) -> bool {
        self.flags & UNDERLINE != 0
    }

    /// Reversed.
    #[must_use]
    pub fn reverse(self) -> bool {
        self.flags & REVERSE != 0
    }

    fn apply(&mut self, parameters: &[u16]) {
        let mut rest = parameters.iter().copied();
        while let Some(parameter) = rest.next() {
            match parameter {
                0 => *self = Self::default(),
                1 => self.flags |= BOLD,
                2 => self.flags |= DIM,
                3 => self.flags |= ITALIC,
                4 => self.flags |= UNDERLINE,
                7 => self.flags |= REVERSE,
                21 | 22 => self.flags &= !(BOLD | DIM),
                23 => self.flags &= !ITALIC,
                24 => self.flags &= !UNDERLINE,
                27 => self.flags &= !REVERSE,
                30..=37 => self.fg = indexed(parameter - 30),
                38 => self.fg = extended(&mut rest).or(self.fg),
                39 => self.fg = None,
                40..=47 => self.bg = indexed(parameter - 40),
                48 => self.bg = extended(&mut rest).or(self.bg),
                49 => self.bg = None,
                90..=97 => self.fg = indexed(parameter - 90 + 8),
                100..=107 => self.bg = indexed(parameter - 100 + 8),
                _ => {}
            }
        }
    }
}

fn indexed(index: u16) -> Option<Colour> {
    u8::try_from(index).ok().map(Colour::Indexed)
}

/// `5;n` or `2;r;g;b` after 38 or 48 (ISO 8613-6 as terminals read it).
fn extended(rest: &mut impl Iterator<Item = u16>) -> Option<Colour> {
    match rest.next()? {
        5 => indexed(rest.next()?),
        2 => {
            let mut part = || u8::try_from(rest.next()?).ok();
            Some(Colour::Rgb(part()?, part()?, part()?))
        }
        _ => None,
    }
}

/// Text of one line and how it is rendered. `runs` hold the byte offset at which each rendition begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// Sanitised text.
    pub text: Box<str>,
    /// Changes of rendition, by byte offset; before the first it is the default.
    pub runs: Box<[(u32, Rendition)]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Text,
    Escape,
    /// `ESC` and an intermediate such as `(`: one more byte belongs to it.
    Intermediate,
    Csi,
    /// OSC, DCS, APC, PM, SOS: until BEL or ST.
    Command,
    CommandEscape,
}

/// Reads the output of one stream. Rendition and an unfinished escape sequence go on from line to line.
#[derive(Debug, Clone)]
pub struct Parser {
    mode: Mode,
    rendition: Rendition,
    parameters: Vec<u16>,
    /// The sequence has an intermediate or private byte: not an SGR.
    private: bool,
    text: String,
    runs: Vec<(u32, Rendition)>,
    columns: usize,
    /// A carriage return came: what comes next overwrites the line (progress bars).
    returned: bool,
}

impl Default for Parser {
    fn default() -> Self {
        Self {
            mode: Mode::Text,
            rendition: Rendition::default(),
            parameters: Vec::new(),
            private: false,
            text: String::new(),
            runs: Vec::new(),
            columns: 0,
            returned: false,
        }
    }
}

impl Parser {
    /// Reads bytes and gives out every line that they end.
    pub fn feed(&mut self, bytes: &[u8], mut line: impl FnMut(Line)) {
        for c in String::from_utf8_lossy(bytes).chars() {
            if c == '\n' {
                line(self.finish());
            } else {
                self.step(c);
            }
        }
    }

    /// Something is waiting for its line end.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.text.is_empty()
    }

    /// The line so far; the next begins.
    pub fn finish(&mut self) -> Line {
        // An unfinished sequence ends with its line: broken output must not swallow the next lines.
        self.mode = Mode::Text;
        self.columns = 0;
        self.returned = false;
        let line = Line {
            text: std::mem::take(&mut self.text).into_boxed_str(),
            runs: std::mem::take(&mut self.runs).into_boxed_slice(),
        };
        self.mark();
        line
    }

    fn step(&mut self, c: char) {
        match (self.mode, c) {
            (Mode::Text | Mode::Csi, '\u{1b}') => self.mode = Mode::Escape,
            (Mode::Text, '\u{9b}') | (Mode::Escape, '[') => {
                self.mode = Mode::Csi;
                self.parameters.clear();
                self.private = false;
            }
            (Mode::Text, '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}')
            | (Mode::Escape, ']' | 'P' | 'X' | '^' | '_') => self.mode = Mode::Command,
            (Mode::Text, c) => self.put(c),
            (Mode::Escape, ' '..='/') => self.mode = Mode::Intermediate,
            (Mode::Command, '\u{1b}') => self.mode = Mode::CommandEscape,
            (Mode::Escape, '\u{1b}') => {}
            (Mode::Escape | Mode::Intermediate, _)
            | (Mode::Command, '\u{7}' | '\u{9c}')
            | (Mode::CommandEscape, '\\') => self.mode = Mode::Text,
            (Mode::CommandEscape, _) => self.mode = Mode::Command,
            (Mode::Csi, '0'..='9') => {
                let digit = c.to_digit(10).and_then(|d| u16::try_from(d).ok());
                if self.parameters.is_empty() {
                    self.parameters.push(0);
                }
                if let (Some(last), Some(digit)) = (self.parameters.last_mut(), digit) {
                    *last = last.saturating_mul(10).saturating_add(digit);
                }
            }
            (Mode::Csi, ';' | ':') => {
                if self.parameters.is_empty() {
                    self.parameters.push(0);
                }
                if self.parameters.len() < 32 {
                    self.parameters.push(0);
                }
            }
            (Mode::Csi, ' '..='/' | '<'..='?') => self.private = true,
            (Mode::Csi, 'm') => {
                self.mode = Mode::Text;
                if !self.private {
                    if self.parameters.is_empty() {
                        self.parameters.push(0);
                    }
                    let parameters = std::mem::take(&mut self.parameters);
                    self.rendition.apply(&parameters);
                    self.parameters = parameters;
                    self.mark();
                }
            }
            (Mode::Csi, _) => self.mode = Mode::Text,
            // What a command says is not for us.
            (Mode::Command, _) => {}
        }
    }

    fn put(&mut self, c: char) {
        if c == '\r' {
            self.returned = true;
            return;
        }
        if std::mem::take(&mut self.returned) {
            self.text.clear();
            self.runs.clear();
            self.columns = 0;
            self.mark();
        }
        if self.text.len() + 8 > LONGEST {
            return;
        }
        match c {
            '\t' => {
                let stop = (self.columns / 8 + 1) * 8;
                while self.columns < stop {
                    self.text.push(' ');
                    self.columns += 1;
                }
            }
            '\u{8}' => {
                if let Some(c) = self.text.pop() {
                    self.columns -= text::char_width(c).min(self.columns);
                    let end = self.text.len();
                    self.runs
                        .retain(|(at, _)| usize::try_from(*at).is_ok_and(|at| at <= end));
                }
            }
            '\u{7}' | '\0' => {}
            c => {
                if let Some(c) = text::safe_char(c) {
                    self.columns += text::char_width(c);
                    self.text.push(c);
                }
            }
        }
    }

    /// The rendition from here on.
    fn mark(&mut self) {
        let at = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        let before = self.runs.last().map(|(_, rendition)| *rendition);
        match self.runs.last_mut() {
            Some((start, rendition)) if *start == at => *rendition = self.rendition,
            _ if before.unwrap_or_default() == self.rendition => {}
            _ => self.runs.push((at, self.rendition)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(input: &[u8]) -> Vec<Line> {
        let mut parser = Parser::default();
        let mut lines = Vec::new();
        parser.feed(input, |line| lines.push(line));
        if parser.is_pending() {
            lines.push(parser.finish());
        }
        lines
    }

    fn plain(input: &[u8]) -> Vec<String> {
        lines(input).iter().map(|l| l.text.to_string()).collect()
    }

    #[test]
    fn only_colours_are_kept_of_what_a_terminal_obeys() {
        for (input, expected) in [
            (&b"plain\n"[..], "plain"),
            (b"\x1b[31mred\x1b[0m!", "red!"),
            (b"\x1b[2J\x1b[Hhome", "home"),
            (b"\x1b]0;title\x07text", "text"),
            (b"\x1b]52;c;aGk=\x1b\\text", "text"),
            (b"\x1b(Bascii", "ascii"),
            (b"\x1b[?1049hx", "x"),
            (b"10%\r20%\r30%", "30%"),
            (b"done\r\n", "done"),
            (b"a\tb", "a       b"),
            (b"ab\x08c", "ac"),
            (b"bell\x07\x00", "bell"),
            (b"\x01\x02", "\u{b7}\u{b7}"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            ("\u{9b}31mred".as_bytes(), "red"),
            ("\u{9d}0;x\u{9c}y".as_bytes(), "y"),
            ("a\u{202e}b".as_bytes(), "ab"),
        ] {
            assert_eq!(plain(input), [expected], "{input:?}");
        }
    }

    #[test]
    fn colours_are_runs_and_go_on_in_the_next_line() {
        let lines = lines(b"a\x1b[1;38;5;208mb\x1b[48;2;1;2;3mc\n d\x1b[me");
        let first = lines.first().expect("first line");
        assert_eq!(&*first.text, "abc");
        let [(1, b), (2, c)] = &*first.runs else {
            panic!("{:?}", first.runs)
        };
        assert_eq!((b.fg, b.bold()), (Some(Colour::Indexed(208)), true));
        assert_eq!(c.bg, Some(Colour::Rgb(1, 2, 3)));
        let second = lines.get(1).expect("second line");
        assert_eq!(second.runs.first(), Some(&(0, *c)));
        assert_eq!(second.runs.last(), Some(&(2, Rendition::default())));
    }

    #[test]
    fn a_sequence_cut_by_the_line_end_does_not_swallow_the_next_line() {
        assert_eq!(plain(b"\x1b]0;never ends\nnext"), ["", "next"]);
        assert_eq!(plain(b"x\x1b[31\nnext"), ["x", "next"]);
    }

    #[test]
    fn a_line_is_cut_at_its_longest() {
        let lines = lines(&vec![b'x'; LONGEST * 2]);
        assert_eq!(lines.len(), 1);
        assert!(lines.iter().all(|l| l.text.len() <= LONGEST));
    }

    proptest! {
        #[test]
        fn any_bytes_give_clean_text_and_runs_at_character_boundaries(input in proptest::collection::vec(any::<u8>(), 0..400)) {
            for line in lines(&input) {
                prop_assert!(!line.text.chars().any(char::is_control));
                let mut last = None;
                for (at, _) in &*line.runs {
                    let at = usize::try_from(*at).expect("fits");
                    prop_assert!(line.text.is_char_boundary(at));
                    prop_assert!(last < Some(at));
                    last = Some(at);
                }
            }
        }

        #[test]
        fn escape_rich_text_does_not_depend_on_how_it_is_cut(input in "(\\x1b\\[[0-9;]{0,6}[mHJ]|\\x1b\\]0;a\\x07|[a-z]{1,3}|\\n|\\r|\\t){0,20}", cut in 0_usize..60) {
            let whole = lines(input.as_bytes());
            let mut parser = Parser::default();
            let mut parts = Vec::new();
            let (head, tail) = input.as_bytes().split_at(cut.min(input.len()));
            parser.feed(head, |l| parts.push(l));
            parser.feed(tail, |l| parts.push(l));
            if parser.is_pending() {
                parts.push(parser.finish());
            }
            prop_assert_eq!(whole, parts);
        }
    }
}
