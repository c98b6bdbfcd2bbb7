//! Columns of containers beyond the usual: where they are shown, how they sort.

use std::sync::Arc;

use crate::support::{Ui, World};

/// `web` and `db` are of a project, `flaky` was restarted.
fn usual(width: u16, height: u16) -> Ui {
    let mut world = World::usual();
    for (at, project) in [(0, "shop"), (1, "shop"), (2, "mail")] {
        let labels = &mut Arc::make_mut(&mut world.containers[at].container)
            .config
            .labels;
        labels.insert("com.docker.compose.project".to_owned(), project.to_owned());
    }
    world.containers[4].state.restart_count = 7;
    let container = Arc::make_mut(&mut world.containers[0].container);
    container.config.exposed_ports = vec!["80/tcp".to_owned()];
    let mut ui = Ui::new(world, width, height);
    ui.measure();
    ui
}

#[test]
fn a_wide_list_shows_rates_tasks_restarts_ports_and_project() {
    let mut ui = usual(160, 40);
    ui.assert_hides("NET IN/OUT");
    ui.play("z");
    for text in [
        "PROJECT",
        "NET IN/OUT",
        "READ/WRITE",
        "TASKS",
        "RESTARTS",
        "PORTS",
        "20K/57K",
        "4.0K/0B",
        "80/tcp",
        "shop",
    ] {
        ui.assert_shows(text);
    }
}

#[test]
fn no_name_is_cut_for_a_column_that_is_extra() {
    let mut world = World::usual();
    let container = Arc::make_mut(&mut world.containers[0].container);
    container.name = "a-name-that-takes-a-lot-of-room".to_owned();
    let ui = Ui::new(world, 84, 24);
    ui.assert_shows("a-name-that-takes-a-lot-of-room");
    ui.assert_hides("PROJECT");
}

#[test]
fn projects_are_sorted_together_and_found_by_a_filter() {
    let mut ui = usual(160, 40);
    ui.play("= g");
    let mut names = Vec::new();
    for _ in 0..4 {
        names.push(ui.chosen());
        ui.play("j");
    }
    assert_eq!(names, ["worker", "db", "web", "cache"]);
    ui.play("/");
    ui.type_text("project:shop");
    ui.play("<cr>");
    assert_eq!(ui.state.containers.shown(), 2);
}

#[test]
fn every_column_sorts() {
    let mut ui = usual(160, 40);
    // From the status on, one column after the other.
    for (title, first) in [
        ("CPU%", "worker"),
        ("MEM", "web"),
        ("IMAGE", "done"),
        ("AGE", "web"),
        ("PROJECT", "worker"),
        ("NET IN/OUT", "db"),
        ("READ/WRITE", "db"),
        ("TASKS", "db"),
        ("RESTARTS", "flaky"),
    ] {
        ui.play("o g");
        assert_eq!(ui.chosen(), first, "{title}");
    }
}
