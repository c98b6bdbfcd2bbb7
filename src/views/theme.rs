//! How roles look. The only file that names colours.

use ratatui::style::{Color, Modifier, Style};
use toml::de::{DeTable, DeValue};

use crate::app::ansi::{Colour, Rendition};
use crate::app::role::Role;

const DARK: &str = include_str!("../../assets/themes/dark.toml");
const LIGHT: &str = include_str!("../../assets/themes/light.toml");
const CONTRAST: &str = include_str!("../../assets/themes/contrast.toml");
const MONO: &str = include_str!("../../assets/themes/mono.toml");

/// The built-in themes by name.
pub const THEMES: &[(&str, &str)] = &[
    ("dark", DARK),
    ("light", LIGHT),
    ("contrast", CONTRAST),
    ("mono", MONO),
];

/// How many colours the terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// None.
    Mono,
    /// The sixteen of its palette.
    Sixteen,
    /// 256.
    Indexed,
    /// All.
    True,
}

/// The look of each role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theme {
    depth: Depth,
    styles: Vec<Style>,
}

impl Theme {
    /// A built-in theme; `dark` if there is none of this name. Without colours it is always `mono`.
    #[must_use]
    pub fn built_in(name: &str, depth: Depth) -> Self {
        let name = if depth == Depth::Mono { "mono" } else { name };
        let text = THEMES
            .iter()
            .find(|(n, _)| *n == name)
            .map_or(DARK, |t| t.1);
        let mut theme = Self {
            depth,
            styles: vec![Style::new(); Role::ALL.len()],
        };
        let problems = theme.apply(text);
        debug_assert!(problems.is_empty(), "{name}: {problems:?}");
        theme
    }

    /// A user's theme file over a built-in theme, and all that is wrong in the file, each with its line.
    #[must_use]
    pub fn with_user_file(name: &str, depth: Depth, user: &str) -> (Self, Vec<String>) {
        let base = DeTable::parse(user)
            .ok()
            .and_then(|table| {
                let base = table.get_ref().get("base")?;
                Some(base.get_ref().as_str()?.to_owned())
            })
            .unwrap_or_else(|| name.to_owned());
        let mut theme = Self::built_in(&base, depth);
        if depth == Depth::Mono {
            return (theme, Vec::new());
        }
        let problems = theme.apply(user);
        (theme, problems)
    }

    /// The look of a role.
    #[must_use]
    pub fn style(&self, role: Role) -> Style {
        self.styles.get(role as usize).copied().unwrap_or_default()
    }

    /// The look of a program's output.
    #[must_use]
    pub fn rendition(&self, rendition: Rendition) -> Style {
        let mut style = Style::new();
        if let Some(colour) = rendition.fg {
            style = style.fg(self.colour(colour));
        }
        if let Some(colour) = rendition.bg {
            style = style.bg(self.colour(colour));
        }
        for (on, modifier) in [
            (rendition.bold(), Modifier::BOLD),
            (rendition.dim(), Modifier::DIM),
            (rendition.italic(), Modifier::ITALIC),
            (rendition.underline(), Modifier::UNDERLINED),
            (rendition.reverse(), Modifier::REVERSED),
        ] {
            if on {
                style = style.add_modifier(modifier);
            }
        }
        style
    }

    /// A cell of an embedded terminal as this terminal can show it.
    #[must_use]
    pub fn reduce(&self, colour: Color) -> Color {
        match colour {
            Color::Indexed(n) => self.colour(Colour::Indexed(n)),
            Color::Rgb(r, g, b) => self.colour(Colour::Rgb(r, g, b)),
            other if self.depth == Depth::Mono => {
                let _ = other;
                Color::Reset
            }
            other => other,
        }
    }

    fn colour(&self, colour: Colour) -> Color {
        match (self.depth, colour) {
            (Depth::Mono, _) => Color::Reset,
            (_, Colour::Indexed(n)) if n < 16 => Color::Indexed(n),
            (Depth::Sixteen, Colour::Indexed(n)) => {
                let (r, g, b) = rgb_of_index(n);
                Color::Indexed(nearest_16(r, g, b))
            }
            (Depth::Sixteen, Colour::Rgb(r, g, b)) => Color::Indexed(nearest_16(r, g, b)),
            (Depth::Indexed, Colour::Rgb(r, g, b)) => Color::Indexed(nearest_256(r, g, b)),
            (Depth::Indexed | Depth::True, Colour::Indexed(n)) => Color::Indexed(n),
            (Depth::True, Colour::Rgb(r, g, b)) => Color::Rgb(r, g, b),
        }
    }

    fn apply(&mut self, file: &str) -> Vec<String> {
        let line_of = |at: usize| file.bytes().take(at).filter(|b| *b == b'\n').count() + 1;
        let table = match DeTable::parse(file) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(span.start));
                return vec![format!("line {line}: {}", error.message())];
            }
        };
        let mut problems = Vec::new();
        let mut table: Vec<_> = table.into_iter().collect();
        table.sort_by_key(|(name, _)| name.span().start);
        for (section, roles) in table {
            if section.get_ref().as_ref() != "roles" {
                if section.get_ref().as_ref() != "base" {
                    let line = line_of(section.span().start);
                    problems.push(format!("line {line}: there is no {:?}", section.get_ref()));
                }
                continue;
            }
            let DeValue::Table(roles) = roles.into_inner() else {
                continue;
            };
            let mut roles: Vec<_> = roles.into_iter().collect();
            roles.sort_by_key(|(name, _)| name.span().start);
            for (name, look) in roles {
                let line = line_of(name.span().start);
                let role = Role::ALL
                    .iter()
                    .find(|(n, _)| *n == name.get_ref().as_ref());
                let Some((_, role)) = role else {
                    problems.push(format!(
                        "line {line}: there is no role {:?}",
                        name.get_ref()
                    ));
                    continue;
                };
                match self.parse(look.get_ref().as_str().unwrap_or_default()) {
                    Ok(style) => {
                        if let Some(slot) = self.styles.get_mut(*role as usize) {
                            *slot = style;
                        }
                    }
                    Err(word) => {
                        problems.push(format!("line {line}: {word:?} is no colour or modifier"));
                    }
                }
            }
        }
        problems
    }

    /// `TEXT on BACKGROUND MODIFIERS`; the word that is none of these if it fails.
    fn parse(&self, look: &str) -> Result<Style, String> {
        let mut style = Style::new();
        let mut background = false;
        for word in look.split_whitespace() {
            let modifier = match word {
                "bold" => Some(Modifier::BOLD),
                "dim" => Some(Modifier::DIM),
                "italic" => Some(Modifier::ITALIC),
                "underline" => Some(Modifier::UNDERLINED),
                "reverse" => Some(Modifier::REVERSED),
                _ => None,
            };
            if word == "on" {
                background = true;
            } else if let Some(modifier) = modifier {
                style = style.add_modifier(modifier);
            } else {
                let colour = self.parse_colour(word).ok_or_else(|| word.to_owned())?;
                style = if std::mem::take(&mut background) {
                    style.bg(colour)
                } else {
                    style.fg(colour)
                };
            }
        }
        Ok(style)
    }

    fn parse_colour(&self, word: &str) -> Option<Color> {
        let (name, exact) = match word.split_once('|') {
            Some((name, exact)) => (name, Some(exact)),
            None if word.starts_with('#') => ("default", Some(word)),
            None => (word, None),
        };
        let named = match name {
            "default" => Color::Reset,
            "black" => Color::Black,
            "red" => Color::Red,
            "green" => Color::Green,
            "yellow" => Color::Yellow,
            "blue" => Color::Blue,
            "magenta" => Color::Magenta,
            "cyan" => Color::Cyan,
            "gray" => Color::Gray,
            "darkgray" => Color::DarkGray,
            "lightred" => Color::LightRed,
            "lightgreen" => Color::LightGreen,
            "lightyellow" => Color::LightYellow,
            "lightblue" => Color::LightBlue,
            "lightmagenta" => Color::LightMagenta,
            "lightcyan" => Color::LightCyan,
            "white" => Color::White,
            _ => return None,
        };
        let exact = match exact {
            Some(hex) => Some(parse_hex(hex)?),
            None => None,
        };
        Some(match (self.depth, exact) {
            (Depth::Indexed | Depth::True, Some((r, g, b))) => self.colour(Colour::Rgb(r, g, b)),
            (Depth::Sixteen, Some((r, g, b))) if name == "default" => {
                self.colour(Colour::Rgb(r, g, b))
            }
            _ => named,
        })
    }
}

fn parse_hex(text: &str) -> Option<(u8, u8, u8)> {
    let digits = text.strip_prefix('#').filter(|d| d.len() == 6)?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    let [_, r, g, b] = number.to_be_bytes();
    Some((r, g, b))
}

/// The palette that xterm starts with.
const SIXTEEN: [(u8, u8, u8); 16] = [
    (0, 0, 0),
    (205, 0, 0),
    (0, 205, 0),
    (205, 205, 0),
    (0, 0, 238),
    (205, 0, 205),
    (0, 205, 205),
    (229, 229, 229),
    (127, 127, 127),
    (255, 0, 0),
    (0, 255, 0),
    (255, 255, 0),
    (92, 92, 255),
    (255, 0, 255),
    (0, 255, 255),
    (255, 255, 255),
];

/// Steps of xterm's 6×6×6 cube.
const CUBE: [u8; 6] = [0, 95, 135, 175, 215, 255];

fn rgb_of_index(n: u8) -> (u8, u8, u8) {
    match n {
        0..16 => SIXTEEN.get(usize::from(n)).copied().unwrap_or_default(),
        16..232 => {
            let n = usize::from(n - 16);
            let step = |i: usize| CUBE.get(i % 6).copied().unwrap_or_default();
            (step(n / 36), step(n / 6), step(n))
        }
        232.. => {
            let level = 8 + (n - 232) * 10;
            (level, level, level)
        }
    }
}

fn distance(a: (u8, u8, u8), b: (u8, u8, u8)) -> u32 {
    let square = |x: u8, y: u8| u32::from(x.abs_diff(y)).pow(2);
    square(a.0, b.0) + square(a.1, b.1) + square(a.2, b.2)
}

fn nearest_16(r: u8, g: u8, b: u8) -> u8 {
    (0..16)
        .min_by_key(|n| distance(rgb_of_index(*n), (r, g, b)))
        .unwrap_or(7)
}

fn nearest_256(r: u8, g: u8, b: u8) -> u8 {
    // The first sixteen are the user's palette: what they look like is not known.
    (16..=255)
        .min_by_key(|n| distance(rgb_of_index(*n), (r, g, b)))
        .unwrap_or(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_theme_gives_every_role_a_look_at_every_depth() {
        for (name, text) in THEMES {
            let named = text
                .lines()
                .filter(|l| !l.starts_with('#') && l.contains(" = \""))
                .count();
            assert_eq!(named, Role::ALL.len(), "{name}");
            for depth in [Depth::Mono, Depth::Sixteen, Depth::Indexed, Depth::True] {
                let mut theme = Theme::built_in(name, depth);
                assert_eq!(theme.apply(text), Vec::<String>::new(), "{name}");
            }
        }
    }

    #[test]
    fn mono_has_no_colour_and_sixteen_no_others() {
        let colours = |theme: &Theme| -> Vec<Color> {
            let styles = theme.styles.iter();
            styles.flat_map(|s| [s.fg, s.bg]).flatten().collect()
        };
        let mono = Theme::built_in("dark", Depth::Mono);
        assert!(colours(&mono).iter().all(|c| *c == Color::Reset));
        for name in ["dark", "light", "contrast"] {
            let theme = Theme::built_in(name, Depth::Sixteen);
            assert!(colours(&theme).iter().all(|c| !matches!(c, Color::Rgb(..))));
        }
    }

    #[test]
    fn a_users_file_changes_single_roles_and_its_errors_have_lines() {
        let (theme, problems) = Theme::with_user_file(
            "dark",
            Depth::True,
            "base = \"light\"\n[roles]\ngood = \"#010203 on red bold\"\nbad = \"pinkish\"\nugly = \"red\"\n",
        );
        assert_eq!(
            problems,
            [
                "line 4: \"pinkish\" is no colour or modifier",
                "line 5: there is no role \"ugly\""
            ]
        );
        let good = theme.style(Role::Good);
        assert_eq!(
            (good.fg, good.bg),
            (Some(Color::Rgb(1, 2, 3)), Some(Color::Red))
        );
        let light = Theme::built_in("light", Depth::True);
        assert_eq!(theme.style(Role::Bad), light.style(Role::Bad));
    }

    #[test]
    fn colours_are_reduced_to_what_the_terminal_has() {
        let at = |depth| Theme::built_in("dark", depth).colour(Colour::Rgb(250, 10, 10));
        assert_eq!(at(Depth::True), Color::Rgb(250, 10, 10));
        assert_eq!(at(Depth::Indexed), Color::Indexed(196));
        assert_eq!(at(Depth::Sixteen), Color::Indexed(9));
        assert_eq!(at(Depth::Mono), Color::Reset);
    }
}
