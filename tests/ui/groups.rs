//! Containers under headings, by their Compose project.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wharf::app::jobs::Request;
use wharf::app::{Effect, Msg, looks, update};
use wharf::engine::model::Status;

use crate::support::{Ui, World, container, id};

const LABEL: &str = "com.docker.compose.project";

fn world(projects: &[(usize, &str)]) -> World {
    let mut world = World::usual();
    for (at, project) in projects {
        let container = Arc::make_mut(&mut world.containers[*at].container);
        let labels = &mut container.config.labels;
        labels.insert(LABEL.to_owned(), (*project).to_owned());
    }
    world
}

/// `web`, `db` and the stopped `job` are of `shop`, `worker` is of `mail`; the other four are of none.
fn grouped(width: u16, height: u16) -> Ui {
    let mut ui = Ui::new(
        world(&[(0, "shop"), (1, "shop"), (5, "shop"), (2, "mail")]),
        width,
        height,
    );
    ui.measure();
    ui.play("=");
    ui.play("g");
    ui
}

/// The lines of the list, each by its first words.
fn lines(ui: &Ui) -> Vec<String> {
    let screen = ui.screen();
    let rows = screen
        .lines()
        .skip_while(|line| !line.contains("NAME"))
        .skip(1);
    rows.take_while(|line| !line.contains(['└', '┗']))
        .map(|line| {
            let words = line.split(['│', '┃', ' ', '›', '*', '●', '‖', '○', '↻', '■', '✗']);
            let words: Vec<_> = words.filter(|word| !word.is_empty()).take(3).collect();
            match words.as_slice() {
                [sign @ ("▾" | "▸"), name, count] => format!("{sign} {name} {count}"),
                [name, ..] => (*name).to_owned(),
                [] => String::new(),
            }
        })
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn headings_have_name_count_and_sums_and_the_rest_comes_last() {
    let mut ui = grouped(100, 40);
    ui.play("z");
    assert_eq!(
        lines(&ui),
        [
            "▾ mail 1/1",
            "worker",
            "▾ shop 2/3",
            "db",
            "web",
            "job",
            "▾ no project",
            "flaky",
            "new",
            "cache",
            "done"
        ]
    );
    let screen = ui.screen();
    let heading = screen.lines().find(|line| line.contains("▾ shop")).unwrap();
    let cpu = |name: &str| {
        let row = ui.state.containers.rows().iter();
        row.filter(|row| row.name() == name)
            .find_map(|row| row.cpu)
            .unwrap()
    };
    assert!(
        heading.contains(&format!("{:.1}", cpu("web") + cpu("db"))),
        "{heading}"
    );
    let memory = |name: &str| {
        let row = ui.state.containers.rows().iter();
        row.filter(|row| row.name() == name)
            .find_map(|row| row.memory)
            .unwrap()
    };
    let sum = wharf::app::text::bytes(memory("web") + memory("db"));
    assert!(heading.contains(&sum), "{heading}");
}

#[test]
fn a_heading_folds_by_enter_left_and_right() {
    let mut ui = grouped(100, 40);
    ui.play("z enter");
    assert_eq!(lines(&ui)[..3], ["▸ mail 1/1", "▾ shop 2/3", "db"]);
    ui.play("right");
    assert_eq!(lines(&ui)[..2], ["▾ mail 1/1", "worker"]);
    // From a row to its heading, and that folded.
    ui.play("j left left");
    assert_eq!(lines(&ui)[..2], ["▸ mail 1/1", "▾ shop 2/3"]);
    ui.play("-");
    assert_eq!(lines(&ui), ["▸ mail 1/1", "▸ shop 2/3", "▸ no project"]);
    ui.play("-");
    assert_eq!(lines(&ui).len(), 11);
    // What is folded stays so when data come, and the filter looks into it.
    ui.play("g left");
    ui.send(Msg::Watching);
    assert_eq!(lines(&ui)[0], "▸ mail 1/1");
    ui.play("/");
    ui.type_text("!web status:running");
    ui.play("enter");
    assert_eq!(lines(&ui), ["▾ shop 1/1", "db"]);
}

#[test]
fn a_mark_on_a_heading_marks_what_is_under_it() {
    let mut ui = grouped(100, 40);
    ui.play("j j space");
    assert_eq!(ui.state.containers.marked(), 3);
    ui.assert_shows("3 marked");
    ui.play("k space");
    assert_eq!(ui.state.containers.marked(), 0);
}

#[test]
fn what_is_done_on_a_heading_is_done_to_all_under_it() {
    let mut ui = grouped(100, 40);
    ui.play("j j s");
    ui.assert_shows("Stop 2 containers?");
    let effects = ui.play("y");
    let stopped: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Start(_, Request::Stop(id, _)) => Some(id.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(stopped.len(), 2);
    assert!(stopped.contains(&id(1)) && stopped.contains(&id(2)));
}

#[test]
fn the_cursor_stays_on_its_container_and_groups_are_kept() {
    let mut ui = Ui::new(world(&[(0, "shop")]), 100, 40);
    ui.play("g");
    let before = ui.chosen();
    let effects = ui.play("=");
    assert_eq!(ui.chosen(), before);
    let kept = looks::text(&ui.state);
    assert!(effects.contains(&Effect::KeepLists(kept.clone())));
    assert!(kept.contains("[containers]\ngrouped = true"), "{kept}");
    ui.play("=");
    assert_eq!(ui.chosen(), before);
    assert!(!looks::text(&ui.state).contains("grouped"));
}

#[test]
fn a_thousand_containers_are_no_work() {
    let summary = |n: u16| {
        let mut summary = container(1, &format!("c{n:04}"), "busybox:latest", Status::Running);
        let container = Arc::make_mut(&mut summary.container);
        container.id = format!("{n:064x}").try_into().unwrap();
        let project = format!("p{:02}", n % 40);
        container.config.labels.insert(LABEL.to_owned(), project);
        summary
    };
    let mut many = World::usual();
    many.containers = (0..1000).map(summary).collect();
    let mut ui = Ui::new(many, 160, 48);
    ui.play("= g space");
    assert!(ui.state.containers.marked() >= 25);
    // Generous: it takes a few milliseconds each, unoptimised.
    let begin = Instant::now();
    for _ in 0..20 {
        update(&mut ui.state, Msg::Stats(Vec::new()));
        ui.play("j");
        ui.screen();
    }
    let each = begin.elapsed() / 20;
    assert!(each < Duration::from_millis(250), "{each:?}");
}

#[test]
fn the_details_of_a_heading_say_what_is_under_it() {
    let mut ui = grouped(80, 24);
    ui.play("j j");
    ui.assert_shows("shop: 3 containers; what is done here is done to all of them");
    ui.assert_hides("nothing chosen");
    // What can be done to many is offered.
    let shows = |ui: &Ui, key: &str| ui.screen().lines().last().unwrap().contains(key);
    assert!(shows(&ui, "L limits") && !shows(&ui, "e shell"));
    ui.play("n");
    ui.assert_shows("that is done to one container at a time: choose it");
}
