//! Details of a container: variables, mounts, ports, and everything as a tree that folds.

use std::sync::Arc;

use wharf::app::Tab::{Diff, Environment, Inspect, Logs, Mounts, Ports, Reach, Stats, Top};
use wharf::engine::model::Status;
use wharf::engine::model::container::Mount;

use crate::support::{Ui, World, container, with_volume};

/// `web` has variables, mounts and ports, and is chosen.
fn usual(width: u16, height: u16) -> Ui {
    let mut web = with_volume(container(1, "web", "nginx:1.27", Status::Running), "pages");
    let inner = Arc::make_mut(&mut web.container);
    inner.config.env = ["PATH=/usr/bin:/bin", "TOKEN=a=b", "BARE"]
        .map(str::to_owned)
        .to_vec();
    inner.config.exposed_ports = vec!["80/tcp".to_owned(), "443/tcp".to_owned()];
    inner.host.mounts.extend([
        Mount::Bind {
            source: "/srv/site".to_owned(),
            target: "/site".to_owned(),
            readonly: true,
            propagation: Some("rslave".to_owned()),
            create_source: false,
            recursion: wharf::engine::model::container::Recursion::Enabled,
            relabel: None,
        },
        Mount::Tmpfs {
            target: "/run".to_owned(),
            options: "size=64m".to_owned(),
        },
    ]);
    let world = World {
        containers: vec![web, container(2, "bare", "busybox:latest", Status::Created)],
        ..World::usual()
    };
    Ui::new(world, width, height)
}

#[test]
fn variables_are_shown_as_they_are_given() {
    let mut ui = usual(80, 24);
    ui.play("v");
    ui.assert_shows("PATH=/usr/bin:/bin");
    ui.assert_shows("TOKEN=a=b");
    ui.assert_shows("[Env]");
    ui.play("j");
    ui.assert_shows("it has no variables");
}

#[test]
fn mounts_tell_what_is_where() {
    let mut ui = usual(80, 24);
    ui.play("V");
    for text in [
        "/data",
        "volume: pages",
        "/site",
        "bind: /srv/site",
        "access: read-only",
        "propagation: rslave",
        "tmpfs: size=64m",
    ] {
        ui.assert_shows(text);
    }
    ui.play("j");
    ui.assert_shows("nothing is mounted in it");
}

#[test]
fn ports_are_those_that_are_exposed() {
    let mut ui = usual(80, 24);
    ui.play("#");
    ui.assert_shows("80/tcp exposed, not published");
    ui.assert_shows("443/tcp");
    ui.play("j");
    ui.assert_shows("it exposes no ports");
}

#[test]
fn the_tabs_are_walked_in_their_order() {
    let mut ui = usual(120, 40);
    let mut seen = vec![ui.state.tab()];
    for _ in 0..8 {
        ui.play("]");
        seen.push(ui.state.tab());
    }
    assert_eq!(
        seen,
        [
            Logs,
            Stats,
            Top,
            Environment,
            Mounts,
            Ports,
            Reach,
            Diff,
            Inspect
        ]
    );
}

#[test]
fn everything_about_a_container_folds() {
    let mut ui = usual(120, 40);
    ui.play("i enter -");
    ui.assert_shows("▸config: (");
    ui.assert_hides("exposed_ports");
    // To the configuration, which is opened, and into it.
    while ui.state.document.lines()[ui.state.document.cursor().unwrap()].field != "config:" {
        ui.play("j");
    }
    ui.play("right");
    ui.assert_shows("▾config:");
    ui.assert_shows("exposed_ports:");
    ui.play("j left left");
    ui.assert_shows("▸config: (");
    ui.play("space");
    ui.assert_shows("▾config:");
    // The next container is folded in the same way.
    ui.play("esc j");
    ui.assert_shows("▸host: (");
    ui.assert_shows("▾config:");
}

#[test]
fn a_search_unfolds_what_it_finds() {
    let mut ui = usual(120, 40);
    ui.play("i enter - /");
    ui.type_text("rslave");
    ui.play("<cr>");
    ui.assert_shows("propagation: rslave");
    ui.assert_shows("▾  mounts:");
    ui.assert_hides("exposed_ports");
    ui.play("esc -");
    ui.assert_hides("rslave");
}

#[test]
fn from_the_list_the_details_scroll_without_a_cursor() {
    let mut ui = usual(80, 24);
    ui.play("i");
    let first = ui.state.document.top();
    ui.play("J J");
    assert!(ui.state.document.top() > first);
}

#[test]
fn a_tree_without_unicode_has_its_own_signs() {
    let mut ui = usual(120, 40).ascii();
    ui.play("i enter -");
    ui.assert_shows("+config: (");
    ui.play("-");
    ui.assert_shows("-config:");
}
