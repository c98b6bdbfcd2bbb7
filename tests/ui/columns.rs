//! Columns of lists: which are shown, how they are chosen, how they sort.

use std::sync::Arc;

use wharf::app::{Effect, Pane, looks};
use wharf::engine::model::health::{Health, HealthStatus};
use wharf::engine::model::network::{Port, PortBinding};

use crate::support::{Ui, World};

/// `web` and `db` are of a project, `flaky` was restarted, `db` has a limit and `web` is probed.
fn usual(width: u16, height: u16) -> Ui {
    let mut world = World::usual();
    for (at, project) in [(0, "shop"), (1, "shop"), (2, "mail")] {
        let labels = &mut Arc::make_mut(&mut world.containers[at].container)
            .config
            .labels;
        labels.insert("com.docker.compose.project".to_owned(), project.to_owned());
    }
    world.containers[4].state.restart_count = 7;
    world.containers[6].state.exit_code = 137;
    world.containers[0].state.health = Some(Health {
        status: HealthStatus::Unhealthy,
        failing_streak: 4,
        log: Vec::new(),
    });
    let port = |text: &str| text.parse::<Port>().unwrap();
    let web = Arc::make_mut(&mut world.containers[0].container);
    web.config.exposed_ports = vec!["80/tcp".to_owned(), "443/tcp".to_owned()];
    web.host.ports = vec![PortBinding {
        port: port("80"),
        address: Some("127.0.0.1".parse().unwrap()),
        host: Some((8080, 8080)),
    }];
    let db = Arc::make_mut(&mut world.containers[1].container);
    db.host.resources.memory = Some(64 << 20);
    let mut ui = Ui::new(world, width, height);
    ui.measure();
    ui
}

/// The column titles of the list that has the focus.
fn titles(ui: &Ui) -> Vec<String> {
    let screen = ui.screen();
    let line = screen.lines().find(|line| line.contains("NAME")).unwrap();
    let words = line.split(['│', '┃', ' ']).filter(|word| !word.is_empty());
    words
        .map(|w| w.trim_end_matches(['↓', '↑']).to_owned())
        .collect()
}

#[test]
fn eighty_columns_have_what_matters_most() {
    let ui = usual(80, 24);
    assert_eq!(
        titles(&ui)[..6],
        ["NAME", "STATUS", "CPU%", "MEM", "IMAGE", "AGE"]
    );
    ui.assert_shows("/64M");
}

#[test]
fn a_wide_list_has_them_all() {
    let mut ui = usual(190, 40);
    ui.assert_hides("NET IN/OUT");
    ui.play("z");
    let titles = titles(&ui).join(" ");
    assert_eq!(
        titles,
        "NAME STATUS CPU% MEM IMAGE AGE HEALTH RESTARTS PORTS NET IN/OUT READ/WRITE PIDS PROJECT"
    );
    for text in [
        "20K/57K",
        "4.0K/0B",
        "127.0.0.1:8080->80/tcp 443/tcp",
        "shop",
        "unhealthy 4",
        "exit 137 7m OOM",
    ] {
        ui.assert_shows(text);
    }
}

#[test]
fn columns_are_chosen_moved_and_kept() {
    let mut ui = usual(120, 40);
    ui.play("z |");
    ui.assert_shows("Columns of containers");
    ui.assert_shows("[x] STATUS");
    ui.assert_shows("[ ] ID");
    // Without the status, and the image before all others.
    ui.play("space j j j");
    ui.play("K K K");
    let effects = ui.play("esc");
    let kept = looks::text(&ui.state);
    assert_eq!(effects, [Effect::KeepLists(kept.clone())]);
    assert_eq!(titles(&ui)[..4], ["NAME", "IMAGE", "CPU%", "MEM"]);
    let mut next = usual(120, 40);
    looks::restore(&mut next.state, &kept);
    next.play("z");
    assert_eq!(titles(&next), titles(&ui));
    // And as it was.
    next.play("| r esc");
    assert_eq!(titles(&next)[..3], ["NAME", "STATUS", "CPU%"]);
}

#[test]
fn every_pane_has_the_same_list_of_columns() {
    for (key, pane, column) in [
        ("1", Pane::Containers, "CPU%"),
        ("2", Pane::Images, "SIZE"),
        ("3", Pane::Volumes, "SIZE"),
        ("4", Pane::Networks, "DRIVER"),
    ] {
        let mut ui = usual(160, 48);
        ui.play(key);
        ui.play("|");
        ui.assert_shows(&format!("Columns of {}", pane.title().to_lowercase()));
        ui.assert_shows(&format!("[x] {column}"));
        let first = ui.state.list(pane).choices().list()[0].index;
        ui.play("space");
        assert!(!ui.state.list(pane).choices().list()[0].shown);
        ui.play("|");
        let columns = ui.state.list(pane).columns(100, ui.state.context());
        assert!(columns.iter().all(|(index, ..)| *index != first));
    }
}

#[test]
fn a_column_without_room_says_so() {
    let mut ui = usual(80, 24);
    ui.play("| G k k k k");
    ui.assert_shows("no room, or nothing in it");
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
fn a_project_is_found_by_a_filter() {
    let mut ui = usual(160, 40);
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
        ("HEALTH", "web"),
        ("RESTARTS", "flaky"),
        ("PORTS", "web"),
        ("NET IN/OUT", "db"),
        ("READ/WRITE", "db"),
        ("PIDS", "db"),
        ("PROJECT", "worker"),
        ("NAME", "cache"),
    ] {
        ui.play("o g");
        assert_eq!(ui.chosen(), first, "{title}");
        // Also where there is no room for the column.
        ui.assert_shows(&format!("{title}↓"));
    }
}

#[test]
fn the_order_walks_over_what_is_chosen() {
    let mut ui = usual(160, 40);
    // Without CPU and memory, the image follows the status.
    ui.play("| j space j space esc o g");
    assert_eq!(ui.chosen(), "done");
    ui.assert_shows("IMAGE↓");
}
