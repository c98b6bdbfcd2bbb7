//! Which key does what: the built-in file, a preset over it, the user's file over that. Bad files are told with every
//! problem and its line; the rest of the file still counts.

use std::collections::BTreeMap;
use std::fmt;

use toml::de::{DeTable, DeValue};

use super::action::{ACTIONS, Action, Scope};
use super::key::Key;

/// The default keys; also the documentation of the format.
pub const DEFAULT: &str = include_str!("../../assets/keymap.toml");

/// Changes that make the keys those of another program, in the format of the user's file.
const PRESETS: &[(&str, &str)] = &[
    ("default", ""),
    (
        "lazydocker",
        "[global]\n\"x\" = \"help\"\n\"H\" = \"scroll-up\"\n\"L\" = \"scroll-down\"\n[detail]\n\"H\" = \"left\"\n\"L\" = \"right\"\n\
         [list]\n\"left\" = \"back\"\n",
    ),
    (
        "k9s",
        "[list]\n\"ctrl+space\" = \"mark-all\"\n[containers]\n\"s\" = \"shell\"\n\"d\" = \"inspect\"\n\"ctrl+d\" = \"remove\"\n\
         \"ctrl+k\" = \"kill\"\n\"x\" = \"stop\"\n[images]\n\"ctrl+d\" = \"remove\"\n\"d\" = \"inspect\"\n[volumes]\n\"ctrl+d\" = \"remove\"\n\"d\" = \"inspect\"\n[networks]\n\"ctrl+d\" = \"remove\"\n\"d\" = \"inspect\"\n[logs]\n\"s\" = \"follow\"\n\
         \"t\" = \"timestamps\"\n\"C\" = \"clear\"\n",
    ),
    (
        "dive",
        "[explorer]\n\"ctrl+a\" = \"added\"\n\"ctrl+r\" = \"removed\"\n\"ctrl+u\" = \"unmodified\"\n\"ctrl+space\" = \"fold-all\"\n\
         \"ctrl+b\" = \"attributes\"\n\"ctrl+o\" = \"sort\"\n\"ctrl+f\" = \"filter\"\n\"ctrl+l\" = \"whole\"\n\"ctrl+e\" = \"extract\"\n\"u\" = \"page-up\"\n\"d\" = \"page-down\"\n",
    ),
];

/// Where a file's text came from and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

/// A key's meaning in each scope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keymap {
    bindings: Vec<(Scope, Key, Action)>,
}

impl Keymap {
    /// The built-in keys.
    #[must_use]
    pub fn built_in() -> Self {
        Self::with_user_file("").0
    }

    /// The built-in keys changed by a user's file, and all that is wrong in that file.
    #[must_use]
    pub fn with_user_file(user: &str) -> (Self, Vec<Problem>) {
        let mut map = Self::default();
        let mut problems = Vec::new();
        map.apply(DEFAULT, &mut problems);
        debug_assert!(problems.is_empty(), "the built-in keymap is sound");
        match preset_of(user) {
            Ok(preset) => map.apply(preset, &mut Vec::new()),
            Err(problem) => problems.push(problem),
        }
        map.apply(user, &mut problems);
        problems.sort_by_key(|problem| problem.line);
        (map, problems)
    }

    /// What the key does where these scopes are looked up in this order.
    #[must_use]
    pub fn action(&self, scopes: &[Scope], key: Key) -> Option<Action> {
        scopes.iter().find_map(|scope| {
            self.bindings
                .iter()
                .find(|(s, k, _)| s == scope && *k == key)
                .map(|(_, _, action)| *action)
        })
    }

    /// The keys of an action, in the order of the file.
    pub fn keys(&self, action: Action) -> impl Iterator<Item = Key> + '_ {
        self.bindings
            .iter()
            .filter(move |(_, _, a)| *a == action)
            .map(|(_, key, _)| *key)
    }

    /// The keys of an action as text: `d, delete`; empty if it has none.
    #[must_use]
    pub fn label(&self, action: Action) -> String {
        let keys: Vec<_> = self.keys(action).map(|key| key.to_string()).collect();
        keys.join(", ")
    }

    fn apply(&mut self, file: &str, problems: &mut Vec<Problem>) {
        let at = |offset: usize| line_of(file, offset);
        let table = match DeTable::parse(file) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                problems.push(Problem {
                    line: error.span().map_or(1, |span| at(span.start)),
                    text: error.message().to_owned(),
                });
                return;
            }
        };
        let mut seen = BTreeMap::new();
        for (name, value) in in_file_order(table) {
            let line = at(name.span().start);
            let Some(scope) = Scope::ALL
                .iter()
                .find(|s| s.id() == name.get_ref().as_ref())
            else {
                if name.get_ref().as_ref() != "preset" {
                    let text = format!("there is no scope {:?}", name.get_ref());
                    problems.push(Problem { line, text });
                }
                continue;
            };
            let DeValue::Table(keys) = value.into_inner() else {
                let text = format!("{} is not a table", scope.id());
                problems.push(Problem { line, text });
                continue;
            };
            for (key, action) in in_file_order(keys) {
                let line = at(key.span().start);
                let mut problem = |text: String| problems.push(Problem { line, text });
                let bound = match key.get_ref().parse::<Key>() {
                    Ok(bound) => bound,
                    Err(error) => {
                        problem(error.to_string());
                        continue;
                    }
                };
                // `G` and `shift+g` are one key: TOML cannot see that.
                if let Some(first) = seen.insert((*scope, bound.to_string()), line) {
                    problem(format!("{bound} is already bound in line {first}"));
                    continue;
                }
                let Some(id) = action.get_ref().as_str() else {
                    problem(format!("the action of {bound} is not a text"));
                    continue;
                };
                self.bindings
                    .retain(|(s, k, _)| !(s == scope && *k == bound));
                if id == "none" {
                    continue;
                }
                // A scope may also bind what applies further out: [containers] may say "up".
                let outer = || {
                    ACTIONS
                        .iter()
                        .find(|e| e.id == id && reaches(e.scope, *scope))
                };
                match Action::find(*scope, id).or_else(|| outer().map(|e| e.action)) {
                    Some(action) => self.bindings.push((*scope, bound, action)),
                    None => problem(format!("there is no action {id:?} in [{}]", scope.id())),
                }
            }
        }
    }
}

/// An action of `outer` makes sense for a key in `inner`.
fn reaches(outer: Scope, inner: Scope) -> bool {
    match outer {
        Scope::Global => inner != Scope::Shell,
        Scope::List => matches!(
            inner,
            Scope::Containers | Scope::Images | Scope::Volumes | Scope::Networks
        ),
        Scope::Detail => inner == Scope::Logs,
        Scope::Containers
        | Scope::Images
        | Scope::Volumes
        | Scope::Networks
        | Scope::Explorer
        | Scope::Tables
        | Scope::Logs
        | Scope::Shell => false,
    }
}

fn preset_of(user: &str) -> Result<&'static str, Problem> {
    let Ok(table) = DeTable::parse(user) else {
        return Ok(""); // Told when the file itself is applied.
    };
    let Some((key, value)) = table.get_ref().get_key_value("preset") else {
        return Ok("");
    };
    let name = value.get_ref().as_str().unwrap_or_default();
    match PRESETS.iter().find(|(known, _)| *known == name) {
        Some((_, changes)) => Ok(changes),
        None => Err(Problem {
            line: line_of(user, key.span().start),
            text: format!("there is no preset {name:?} (default, lazydocker, k9s, dive)"),
        }),
    }
}

/// A table forgets the order of its lines; the first key of an action is the one that is shown.
fn in_file_order(
    table: DeTable<'_>,
) -> Vec<(
    toml::Spanned<toml::de::DeString<'_>>,
    toml::Spanned<DeValue<'_>>,
)> {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.bytes().take(offset);
    before.filter(|byte| *byte == b'\n').count() + 1
}

/// docs/keys.md: every action with its default keys.
#[must_use]
pub fn documentation() -> String {
    use fmt::Write;
    let map = Keymap::built_in();
    let mut page = String::from(
        "# Keys\n\nMade from the action list (`src/app/action.rs`) and `assets/keymap.toml` by a test; change those. `?` shows the same list,\n\
         with your own keys, inside wharf. How to change keys: the comment on top of `assets/keymap.toml`.\n",
    );
    for scope in Scope::ALL {
        let _ = write!(
            page,
            "\n## {}\n\n| key | action | name in `[{}]` |\n|---|---|---|\n",
            scope.title(),
            scope.id()
        );
        for entry in ACTIONS.iter().filter(|e| e.scope == *scope) {
            let keys: Vec<_> = map
                .keys(entry.action)
                // In a table a bar would end the cell.
                .map(|key| format!("`{}`", key.to_string().replace('|', "\\|")))
                .collect();
            let _ = writeln!(
                page,
                "| {} | {} | `{}` |",
                keys.join(" "),
                entry.title,
                entry.id
            );
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(file: &str) -> Vec<String> {
        let (_, problems) = Keymap::with_user_file(file);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_action_has_a_key() {
        let map = Keymap::built_in();
        for entry in ACTIONS {
            assert!(map.keys(entry.action).next().is_some(), "{}", entry.id);
        }
    }

    #[test]
    fn every_preset_is_sound() {
        for (name, changes) in PRESETS {
            assert_eq!(problems(changes), Vec::<String>::new(), "{name}");
            assert_eq!(
                problems(&format!("preset = {name:?}")),
                Vec::<String>::new()
            );
        }
    }

    #[test]
    fn the_users_file_wins_and_can_free_a_key() {
        let (map, problems) =
            Keymap::with_user_file("[containers]\n\"ctrl+r\" = \"restart\"\n\"r\" = \"none\"");
        assert_eq!(problems, []);
        let scopes = [Scope::Containers, Scope::List, Scope::Global];
        assert_eq!(map.action(&scopes, Key::ctrl('r')), Some(Action::Restart));
        assert_eq!(map.action(&scopes, Key::char('r')), None);
    }

    #[test]
    fn a_preset_changes_keys_before_the_users_own() {
        let (map, problems) =
            Keymap::with_user_file("preset = \"k9s\"\n[containers]\n\"x\" = \"kill\"");
        assert_eq!(problems, []);
        assert_eq!(
            map.action(&[Scope::Containers], Key::char('s')),
            Some(Action::Shell)
        );
        assert_eq!(
            map.action(&[Scope::Containers], Key::char('x')),
            Some(Action::Kill)
        );
    }

    #[test]
    fn every_problem_is_told_with_its_line() {
        assert_eq!(
            problems(
                "preset = \"vi\"\n[containers]\n\"G\" = \"kill\"\n\"shift+g\" = \"stop\"\n\"blah\" = \"kill\"\n\"v\" = \"fly\"\n[moon]\n"
            ),
            [
                "line 1: there is no preset \"vi\" (default, lazydocker, k9s, dive)",
                "line 4: G is already bound in line 3",
                "line 5: \"blah\" is not a key (a character, or a name such as ctrl+d, shift+tab, enter, f5)",
                "line 6: there is no action \"fly\" in [containers]",
                "line 7: there is no scope \"moon\"",
            ]
        );
        assert_eq!(
            problems("[containers]\n\"d\" = \"kill\"\n\"d\" = \"stop\"").len(),
            1
        );
    }
}
