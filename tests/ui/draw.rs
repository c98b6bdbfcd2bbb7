//! Properties of drawing: at any size, with any data, twice the same.

use proptest::prelude::*;
use ratatui::style::{Color, Modifier};
use wharf::app::Msg;
use wharf::app::jobs::Outcome;
use wharf::app::role::Role;
use wharf::engine::model::Status;
use wharf::views::theme::{Depth, Theme};

use crate::support::{Ui, World, container, failure, rows};

/// Every kind of screen.
const SCREENS: &[&str] = &[
    "",
    "t",
    "i",
    "e",
    "2",
    "2 i",
    "2 right",
    "?",
    ":",
    "@",
    "&",
    "/ w",
    "enter / a",
    "d",
    "space space d",
    "z",
    "enter z",
    "T enter T",
    "2 u",
    "2 p n g",
    "2 p down",
    "2 P",
    "2 t",
    "2 s",
    "2 L a",
    "2 D",
    "2 D a j",
    "%",
    "% G",
    "2 t x <cr> &",
];

fn prepared(script: &str) -> Ui {
    let mut ui = Ui::usual(80, 24);
    ui.log("\u{1b}[32mgreen\u{1b}[0m 日本語\n!an error\nplain é");
    ui.play(script);
    ui
}

#[test]
fn no_size_breaks_any_screen() {
    for script in SCREENS {
        let mut ui = prepared(script);
        let sizes = (1..=300)
            .step_by(61)
            .chain([2, 3, 19, 20, 21, 59, 60, 61, 119, 120]);
        for width in sizes {
            for height in [1, 4, 5, 6, 10, 12, 24, 60, 100] {
                ui.resize(width, height);
                let (buffer, cursor) = ui.cells();
                assert_eq!((buffer.area.width, buffer.area.height), (width, height));
                if let Some(cursor) = cursor {
                    assert!(buffer.area.contains(cursor), "{script} {width}x{height}");
                }
            }
        }
    }
}

#[test]
fn small_screens_one_by_one() {
    for script in ["", "t", "d", "?"] {
        let mut ui = prepared(script);
        for width in 1..45 {
            for height in 1..15 {
                ui.resize(width, height);
                let _ = ui.cells();
            }
        }
    }
}

#[test]
fn drawing_twice_gives_the_same_cells() {
    for script in SCREENS {
        let ui = prepared(script);
        assert_eq!(ui.cells(), ui.cells(), "{script}");
    }
}

#[test]
fn everything_is_usable_at_80x24_and_something_at_40x10() {
    let ui = Ui::usual(80, 24);
    for wanted in ["web", "db", "up 10m", "nginx:1.27", "[Logs]", "? help"] {
        ui.assert_shows(wanted);
    }
    let mut ui = Ui::usual(40, 10);
    for wanted in ["web", "up 10m", "? help"] {
        ui.assert_shows(wanted);
    }
    ui.log("a line");
    ui.play("l");
    ui.assert_shows("a line");
    ui.play("esc");
    ui.assert_hides("a line");
    let ui = Ui::usual(19, 4);
    ui.assert_shows("too small");
}

#[test]
fn ascii_screens_are_ascii() {
    for script in SCREENS {
        let ui = prepared(script).ascii();
        let (buffer, _) = ui.cells();
        for cell in &buffer.content {
            assert!(cell.symbol().is_ascii(), "{script}: {:?}", cell.symbol());
        }
    }
}

#[test]
fn without_colour_nothing_has_one_and_choice_and_focus_are_seen() {
    for script in SCREENS {
        let ui = prepared(script).mono();
        let (buffer, _) = ui.cells();
        for cell in &buffer.content {
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{script}");
        }
    }
    let ui = prepared("").mono();
    let (buffer, _) = ui.cells();
    let reversed = |y: u16| buffer[(70, y)].modifier.contains(Modifier::REVERSED);
    let chosen: Vec<_> = (0..24).filter(|y| reversed(*y)).collect();
    assert_eq!(chosen.len(), 1);
    // The pane with the focus has a heavy border.
    ui.assert_shows("┏━ 1 Containers");
    ui.assert_shows("┌─[Logs]");
    let mut ui = ui;
    ui.play("enter");
    ui.assert_shows("┌─ 1 Containers");
    ui.assert_shows("┏━[Logs]");
}

#[test]
fn states_differ_also_without_colour() {
    let ui = prepared("").mono();
    let signs: std::collections::BTreeSet<_> = ui
        .state
        .containers
        .rows()
        .iter()
        .map(|row| {
            (
                row.sign(ui.state.settings.glyphs),
                row.status_text(ui.state.context()),
            )
        })
        .collect();
    assert_eq!(signs.len(), ui.state.containers.total());
}

#[test]
fn states_have_their_colours() {
    let ui = Ui::usual(120, 40);
    let (buffer, _) = ui.cells();
    let theme = Theme::built_in("dark", Depth::True);
    let colour_of = |name: &str| {
        let row = rows(&buffer).iter().position(|r| r.contains(name)).unwrap();
        buffer[(2, u16::try_from(row).unwrap())].fg
    };
    let role = |role| theme.style(role).fg.unwrap();
    assert_eq!(colour_of(" web "), role(Role::Good));
    assert_eq!(colour_of(" worker "), role(Role::Warning));
    assert_eq!(colour_of(" cache "), role(Role::Bad));
    assert_eq!(colour_of(" done "), role(Role::Idle));
}

#[test]
fn colours_of_a_log_are_kept_and_matches_stand_out() {
    let mut ui = Ui::usual(120, 40);
    ui.log("\u{1b}[38;5;208morange\u{1b}[0m rest");
    let at = |ui: &Ui, wanted: &str| {
        let (buffer, _) = ui.cells();
        let all = rows(&buffer);
        let y = all.iter().position(|r| r.contains(wanted)).unwrap();
        let before = all[y].split(wanted).next().unwrap().chars().count();
        buffer[(u16::try_from(before).unwrap(), u16::try_from(y).unwrap())].clone()
    };
    assert_eq!(at(&ui, "orange").fg, Color::Indexed(208));
    assert_eq!(at(&ui, "rest").fg, Color::Reset);
    ui.play("enter / r e s t <cr>");
    assert_ne!(at(&ui, "rest").bg, Color::Reset);
    assert_eq!(at(&ui, "orange").bg, Color::Reset);
}

#[test]
fn two_hundred_containers_are_shown_with_the_place_in_them() {
    let mut ui = Ui::new(World::many(200), 120, 40);
    ui.play("G");
    ui.assert_shows("c200");
    ui.assert_shows("200/200");
    ui.assert_shows("Containers 200");
}

#[test]
fn narrow_lists_drop_columns_from_the_right() {
    for (width, shown, hidden) in [
        (100, "AGE", "zzz"),
        (50, "IMAGE", " AGE"),
        (40, "MEM", "IMAGE"),
        (34, "CPU%", "MEM"),
        (30, "STATUS", "CPU%"),
    ] {
        let ui = Ui::usual(width, 10);
        ui.assert_shows(shown);
        ui.assert_hides(hidden);
    }
}

#[test]
fn an_error_is_told_at_every_size() {
    for (width, height) in [(200, 60), (80, 24), (40, 10)] {
        let mut ui = Ui::usual(width, height);
        let effects = ui.play("s");
        let why = failure(&format!("stop db: {}", "because ".repeat(40)));
        ui.finish(&effects, &Outcome::Failed(why));
        ui.assert_shows("stop db: because");
        ui.assert_shows("enter: all of it");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_data_can_leave_its_cells(
        name in "(.|日|🦀|👩‍👩‍👧|é|\u{202e}|\u{200b}|\u{1b}\\[31m|\n){0,40}",
        line in "(.|日|🦀|\u{feff}|\u{1b}\\[2J|\u{9b}|\t|\r){0,200}",
        width in 20_u16..130,
        height in 5_u16..40,
    ) {
        let mut world = World::usual();
        world.containers.push(container(9, &name, &line, Status::Running));
        world.images[0].tags = vec![name.clone()];
        let mut ui = Ui::new(world, width, height);
        ui.state.containers.select_key(&crate::support::id(9));
        ui.send(Msg::Tick(crate::support::now()));
        ui.log(&line);
        for script in ["", "i", "2", "1 d"] {
            ui.play(script);
            let (buffer, _) = ui.cells();
            for row in rows(&buffer) {
                prop_assert!(!row.chars().any(char::is_control), "{row:?}");
                prop_assert!(!row.contains(['\u{202e}', '\u{200b}', '\u{200d}']), "{row:?}");
                prop_assert_eq!(wharf::app::text::width(&row), usize::from(width), "{:?}", row);
            }
        }
    }
}
