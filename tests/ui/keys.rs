//! Key map, help and their documentation.

use wharf::app::action::{ACTIONS, Action};
use wharf::app::keymap::{Keymap, documentation};
use wharf::app::overlay::{HelpLine, help_lines};

use crate::support::{Ui, World};

#[test]
fn the_key_documentation_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/keys.md");
    let fresh = documentation();
    let written = std::fs::read_to_string(path).unwrap_or_default();
    if written != fresh {
        std::fs::write(path, fresh).unwrap();
        panic!("docs/keys.md was stale and has been written anew: commit it");
    }
}

#[test]
fn help_lists_every_action_with_its_keys() {
    let ui = Ui::new(World::empty(), 80, 24);
    let lines = help_lines(&ui.state, "");
    for entry in ACTIONS {
        let keys = ui.state.settings.keymap.label(entry.action);
        let line = HelpLine::Keys(keys, entry.title);
        assert!(lines.contains(&line), "{}", entry.id);
    }
}

#[test]
fn help_finds_by_title_name_and_key() {
    let mut ui = Ui::usual(80, 24);
    ui.play("? w r a p");
    ui.assert_shows("Wrap long lines");
    ui.assert_hides("Show all keys");
    ui.play("esc ?");
    ui.assert_shows("Show all keys");
    ui.play("?");
    ui.assert_hides("Show all keys");
}

#[test]
fn the_footer_names_only_keys_that_work_here() {
    let mut ui = Ui::usual(120, 30);
    ui.assert_shows("s stop");
    ui.assert_hides("u start");
    ui.play("G");
    ui.assert_shows("u start");
    ui.assert_hides("s stop");
    ui.play("g 2");
    ui.assert_hides("s stop");
    ui.assert_shows("d remove");
    // In a log, `/` searches: `/ filter` would be a lie.
    ui.play("1 enter");
    ui.assert_shows("/ search");
    ui.assert_hides("/ filter");
}

#[test]
fn another_keymap_is_what_help_and_footer_show() {
    let mut ui = Ui::usual(120, 30);
    let (keymap, problems) = Keymap::with_user_file("preset = \"k9s\"");
    assert_eq!(problems, []);
    ui.state.settings.keymap = keymap;
    ui.assert_shows("x stop");
    ui.play("d");
    assert_eq!(ui.state.tab().title(), "Inspect");
    assert_eq!(ui.state.settings.keymap.label(Action::Kill), "X, ctrl+k");
}
