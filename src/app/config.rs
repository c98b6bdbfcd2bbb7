//! What the environment and the user's files say, read once at the start.

use std::path::PathBuf;

use jiff::tz::TimeZone;

use super::Settings;
use super::explorer::Target;
use super::keymap::Keymap;
use super::role::Glyphs;
use super::tables::Question;
use super::terminal::Multiplexer;
use crate::engine::Surroundings;
use crate::engine::error::{Error, Kind, Result};
use crate::engine::model::layers::findings::allow::Allowed;
use crate::engine::store::Roots;
use crate::views::theme::{Depth, Theme};

/// What the caller wants of the program.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// An image to look into; whoever leaves that leaves the program.
    pub explore: Option<Target>,
    /// What two tables show; as for `explore`.
    pub tables: Option<Question>,
    /// What registries depend on, where no engine knows it.
    pub surroundings: Surroundings,
    /// Where the store is, where no engine knows it.
    pub roots: Option<Roots>,
    /// Findings that may be.
    pub allowed: Allowed,
    /// Nothing may be changed.
    pub read_only: bool,
    /// The mouse is left to the terminal from the start.
    pub no_mouse: bool,
}

/// Settings, look, and what was wrong in the user's files.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) settings: Settings,
    pub(super) theme: Theme,
    pub(super) mouse: bool,
    pub(super) multiplexer: Multiplexer,
    pub(super) problems: Vec<String>,
    /// Where names that were pulled are kept.
    pub(super) history: Option<PathBuf>,
    /// Those names, the newest first.
    pub(super) pulled: Vec<String>,
    /// Where it is kept how lists are looked at.
    pub(super) lists: Option<PathBuf>,
    /// What is in that file.
    pub(super) looks: String,
    /// What to look into.
    pub(super) explore: Option<Target>,
    /// What to show in tables.
    pub(super) tables: Option<Question>,
    /// What registries depend on.
    pub(super) surroundings: Surroundings,
    /// Where the store is.
    pub(super) roots: Option<Roots>,
    /// Findings that may be.
    pub(super) allowed: Allowed,
}

/// Reads variables through `variable` and files through `file` (`None` if there is none).
///
/// # Errors
/// If the terminal is too dumb for a screen.
pub(super) fn read(
    options: Options,
    variable: impl Fn(&str) -> Option<String>,
    file: impl Fn(&std::path::Path) -> Result<Option<String>>,
) -> Result<Config> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let absolute = |name: &str| {
        let path = set(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let term = set("TERM").unwrap_or_default();
    if term == "dumb" {
        return Err(
            Error::new(Kind::Unsupported, "the terminal (TERM=dumb) has no screen")
                .with_hint("use the subcommands, such as wharf ps"),
        );
    }
    let mut problems = Vec::new();
    let mut text_of = |name: &str| -> String {
        let Some(path) = config_dir(&set).map(|dir| dir.join(name)) else {
            return String::new();
        };
        match file(&path) {
            Ok(text) => text.unwrap_or_default(),
            Err(error) => {
                problems.push(error.to_string());
                String::new()
            }
        }
    };
    let (keys, look) = (text_of("keymap.toml"), text_of("theme.toml"));
    let (keymap, wrong) = Keymap::with_user_file(&keys);
    problems.extend(wrong.iter().map(|problem| format!("keymap.toml {problem}")));
    let default = set("WHARF_THEME").unwrap_or_else(|| "dark".to_owned());
    let (theme, wrong) = Theme::with_user_file(&default, depth(&set, &term), &look);
    problems.extend(wrong.iter().map(|problem| format!("theme.toml {problem}")));
    let kept = |name: &str| {
        let path = state_dir(&set).map(|dir| dir.join(name));
        // What cannot be read is as good as none.
        let text = path.as_deref().and_then(|path| file(path).ok().flatten());
        (path, text.unwrap_or_default())
    };
    let (history, pulled) = kept("pulled");
    let (lists, looks) = kept("lists.toml");
    let multiplexer = if set("TMUX").is_some() {
        Multiplexer::Tmux
    } else if set("STY").is_some() {
        Multiplexer::Screen
    } else {
        Multiplexer::None
    };
    Ok(Config {
        settings: Settings {
            keymap,
            glyphs: glyphs(&set),
            read_only: options.read_only,
            zone: TimeZone::system(),
            // The shell's word for it: a path through links stays as its user knows it.
            here: absolute("PWD"),
            home: absolute("HOME"),
        },
        theme,
        mouse: !options.no_mouse,
        multiplexer,
        problems,
        history,
        lists,
        looks,
        explore: options.explore,
        tables: options.tables,
        surroundings: options.surroundings,
        roots: options.roots,
        allowed: options.allowed,
        pulled: pulled.lines().map(ToOwned::to_owned).collect(),
    })
}

fn config_dir(set: &impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let base = set("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".config")))?;
    Some(base.join("wharf"))
}

/// What is kept from one time to the next (XDG Base Directory Specification).
fn state_dir(set: &impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let base = set("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/state")))?;
    Some(base.join("wharf"))
}

/// `NO_COLOR` (no-color.org), then what terminal and `COLORTERM` say.
fn depth(set: &impl Fn(&str) -> Option<String>, term: &str) -> Depth {
    if set("NO_COLOR").is_some() || term.starts_with("vt") {
        return Depth::Mono;
    }
    match set("COLORTERM").as_deref() {
        Some("truecolor" | "24bit") => Depth::True,
        _ if term.ends_with("-direct") => Depth::True,
        _ if term.contains("256color") => Depth::Indexed,
        _ => Depth::Sixteen,
    }
}

/// The first that is set of `LC_ALL`, `LC_CTYPE`, `LANG` decides (locale(7)).
fn glyphs(set: &impl Fn(&str) -> Option<String>) -> Glyphs {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|n| set(n));
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    if locale.contains("utf-8") || locale.contains("utf8") {
        Glyphs::Unicode
    } else {
        Glyphs::Ascii
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::role::Role;

    fn config(variables: &[(&str, &str)]) -> Result<Config> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        read(Options::default(), variable, |path| {
            Ok((path == std::path::Path::new("/c/wharf/keymap.toml"))
                .then(|| "[global]\n\"x\" = \"fly\"\n".to_owned()))
        })
    }

    #[test]
    fn the_first_locale_variable_decides_the_characters() {
        for (variables, expected) in [
            (&[("LANG", "C.UTF-8")][..], Glyphs::Unicode),
            (&[("LANG", "de_DE.utf8")], Glyphs::Unicode),
            (&[("LANG", "C")], Glyphs::Ascii),
            (&[], Glyphs::Ascii),
            (&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")], Glyphs::Ascii),
            (&[("LC_ALL", ""), ("LANG", "en_US.UTF-8")], Glyphs::Unicode),
        ] {
            let config = config(variables).expect("a screen");
            assert_eq!(config.settings.glyphs, expected, "{variables:?}");
        }
    }

    #[test]
    fn the_terminal_decides_the_colours_and_no_color_wins() {
        let good = |variables| config(variables).expect("a screen").theme.style(Role::Good);
        let mono = Theme::built_in("dark", Depth::Mono).style(Role::Good);
        let full = Theme::built_in("dark", Depth::True).style(Role::Good);
        let sixteen = Theme::built_in("dark", Depth::Sixteen).style(Role::Good);
        assert_eq!(good(&[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]), mono);
        assert_eq!(good(&[("COLORTERM", "truecolor")]), full);
        assert_eq!(good(&[("TERM", "linux")]), sixteen);
    }

    #[test]
    fn a_dumb_terminal_is_told_what_to_do() {
        let error = config(&[("TERM", "dumb")]).expect_err("no screen");
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.hint().is_some());
    }

    #[test]
    fn what_is_wrong_in_a_users_file_is_told_and_the_rest_counts() {
        let config = config(&[("XDG_CONFIG_HOME", "/c")]).expect("a screen");
        assert_eq!(
            config.problems,
            ["keymap.toml line 2: there is no action \"fly\" in [global]"]
        );
    }
}
