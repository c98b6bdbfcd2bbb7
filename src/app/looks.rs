//! How the user looks at lists: columns and groups, kept from one time to the next in a file that is wharf's own.

use std::fmt::Write;

use toml::Table;

use super::{Pane, State};

const HEAD: &str =
    "# How lists are looked at. wharf writes this file when you choose (| and = in a list).\n";

/// The file: for each pane that is not as it comes, its columns in their order, those that are hidden with a `-` in front.
#[must_use]
pub fn text(state: &State) -> String {
    let mut text = HEAD.to_owned();
    for pane in Pane::ALL {
        let list = state.list(*pane);
        let mut table = Table::new();
        if !list.choices().is_default() {
            table.insert("columns".to_owned(), list.choices().names().into());
        }
        if list.is_grouped() {
            table.insert("grouped".to_owned(), true.into());
        }
        if !table.is_empty() {
            let _ = write!(text, "\n[{}]\n{table}", name(*pane));
        }
    }
    text
}

/// Looks at lists as it was kept. What cannot be read is as it comes: nobody writes this file by hand.
pub fn restore(state: &mut State, text: &str) {
    let Ok(file) = text.parse::<Table>() else {
        return;
    };
    for pane in Pane::ALL {
        let Some(table) = file.get(&name(*pane)).and_then(|t| t.as_table()) else {
            continue;
        };
        let list = state.list_mut(*pane);
        if let Some(columns) = table.get("columns").and_then(|c| c.as_array()) {
            let names = columns.iter().filter_map(|name| name.as_str());
            let names: Vec<_> = names.map(ToOwned::to_owned).collect();
            list.choices_mut().restore(&names);
        }
        let grouped = table.get("grouped").and_then(toml::Value::as_bool);
        list.set_grouped(grouped.unwrap_or(false));
    }
}

fn name(pane: Pane) -> String {
    pane.title().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Settings;
    use crate::engine::model::Timestamp;

    fn fresh() -> State {
        State::new(Settings::default(), 80, 24, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_was_chosen_is_there_the_next_time() {
        let mut state = fresh();
        assert_eq!(text(&state), HEAD);
        state.containers.choices_mut().toggle(0);
        state.containers.set_grouped(true);
        state.images.choices_mut().shift(0, 1);
        let kept = text(&state);
        let mut next = fresh();
        restore(&mut next, &kept);
        assert_eq!(text(&next), kept);
        assert!(next.containers.is_grouped());
        assert_eq!(next.containers.choices(), state.containers.choices());
        assert_eq!(next.images.choices(), state.images.choices());
        assert!(next.volumes.choices().is_default());
    }

    #[test]
    fn a_file_that_makes_no_sense_changes_nothing() {
        for kept in [
            "\0",
            "containers = 1",
            "[containers]\ncolumns = 3\ngrouped = \"x\"",
        ] {
            let mut state = fresh();
            restore(&mut state, kept);
            assert_eq!(text(&state), HEAD, "{kept}");
        }
    }
}
