//! Volumes: their list and details, how one is made, and that data go only after something was typed on purpose.

use wharf::app::jobs::{Outcome, Request};
use wharf::app::overlay::Overlay;
use wharf::app::{Effect, Msg, Pane};
use wharf::engine::model::request::{CreateVolume, PruneVolumes};
use wharf::engine::model::{Event, Status, event};

use crate::support::{Ui, World, container, failure, now, with_volume};

const SIZES: [(u16, u16); 4] = [(160, 48), (80, 24), (60, 20), (40, 10)];

/// The same screen at all sizes; without colour the text is the same.
fn check(name: &str, prepare: impl Fn(&mut Ui)) {
    let prepared = |width, height| {
        let mut ui = Ui::usual(width, height);
        prepare(&mut ui);
        ui
    };
    for (width, height) in SIZES {
        let screen = prepared(width, height).screen();
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), screen);
    }
    let ascii = prepared(80, 24).ascii().screen();
    insta::assert_snapshot!(format!("{name}_ascii"), ascii);
    let mono = prepared(80, 24).mono().screen();
    assert_eq!(mono, prepared(80, 24).screen());
}

fn volume(ui: &Ui) -> String {
    let row = ui.state.volumes.selected();
    row.map(|row| row.name().into_owned()).unwrap_or_default()
}

fn requests(effects: &[Effect]) -> Vec<Request> {
    let request = |effect: &Effect| match effect {
        Effect::Start(_, request) => Some(request.clone()),
        _ => None,
    };
    effects.iter().filter_map(request).collect()
}

#[test]
fn list_of_volumes() {
    check("list", |ui| {
        ui.play("3 j");
    });
}

#[test]
fn making_a_volume() {
    check("create", |ui| {
        ui.play("3 c");
        ui.type_text("new");
        ui.play("tab tab tab tab");
        ui.type_text("tier=data owner='me too'");
    });
}

#[test]
fn removing_a_volume() {
    check("remove", |ui| {
        ui.play("3 G k d");
        ui.type_text("uplo");
    });
}

#[test]
fn pruning_volumes() {
    check("prune", |ui| {
        ui.play("3 D a 3");
    });
}

#[test]
fn containers_of_a_volume() {
    let mut ui = Ui::usual(80, 24);
    ui.play("3 j u");
    ui.assert_shows("at: /data");
    ui.assert_shows("db");
    ui.play("k");
    ui.assert_shows("no container has it");
}

#[test]
fn every_column_sorts_and_what_nobody_named_comes_last() {
    let mut ui = Ui::usual(120, 40);
    ui.play("3");
    for (key, first) in [
        ("N", "5ad15ad15ad1"),
        ("M", "5ad15ad15ad1"),
        ("S", "pgdata"),
        ("A", "cache"),
        ("I", "5ad15ad15ad1"),
    ] {
        ui.play(key);
        ui.play("g");
        assert_eq!(volume(&ui), first, "{key}");
    }
    ui.play("N g");
    assert_eq!(volume(&ui), "cache");
}

#[test]
fn filters_know_the_fields_of_volumes() {
    for (filter, names) in [
        ("status:unused", 3),
        ("status:used", 1),
        ("status:anonymous", 1),
        ("label:tier", 1),
        ("label:tier=data", 1),
        ("label:tier=x", 0),
        ("driver:tmpfs", 1),
        ("used:db", 1),
        ("size:>4MB", 2),
        ("upl", 1),
    ] {
        let mut ui = Ui::usual(120, 40);
        ui.play("3 /");
        ui.type_text(filter);
        ui.play("<cr>");
        assert_eq!(ui.state.volumes.shown(), names, "{filter}");
    }
}

#[test]
fn a_volume_that_a_container_has_is_not_even_asked_about() {
    let mut ui = Ui::usual(120, 40);
    let effects = ui.play("3 j d");
    assert_eq!(effects, []);
    assert!(ui.state.overlays.is_empty());
    ui.assert_shows("pgdata is used by db");
}

#[test]
fn only_the_name_removes_a_volume() {
    let mut ui = Ui::usual(120, 40);
    ui.play("3 j j d");
    // Neither enter nor a yes, nor half of it.
    assert_eq!(ui.play("<cr> y <cr> backspace"), []);
    ui.type_text("uploa");
    assert_eq!(ui.play("<cr>"), []);
    ui.type_text("ds");
    let effects = ui.play("<cr>");
    assert_eq!(
        requests(&effects),
        [Request::RemoveVolume("uploads".to_owned())]
    );
    ui.assert_shows("uploads removing");
    ui.finish(&effects, &Outcome::Done);
    ui.play("@");
    ui.assert_shows("wharf volume rm uploads");
}

#[test]
fn several_go_by_their_number_and_those_in_use_stay() {
    let mut ui = Ui::usual(120, 40);
    ui.play("3 * d");
    ui.assert_shows("Remove 3 volumes?");
    ui.assert_shows("1 stay: containers have them");
    ui.assert_shows("15MB of data go for good");
    let effects = ui.play("3 <cr>");
    assert_eq!(requests(&effects).len(), 3);
}

#[test]
fn a_prune_takes_what_was_shown_after_its_number_was_typed() {
    let mut ui = Ui::usual(120, 40);
    ui.play("3 D");
    ui.assert_shows("1 volume goes, 9MB come back");
    assert_eq!(ui.play("y <cr> 2 <cr>"), []);
    let effects = ui.play("backspace 1 <cr>");
    let made = ui.world.volumes[3].created;
    assert_eq!(
        requests(&effects),
        [Request::PruneVolumes(PruneVolumes {
            only: Some(vec![("5ad1".repeat(16), made)]),
            ..PruneVolumes::default()
        })]
    );
}

#[test]
fn a_prune_of_all_is_asked_for_anew() {
    let mut ui = Ui::usual(120, 40);
    ui.play("3 D 1 a");
    ui.assert_shows("3 volumes go, 15MB come back");
    // The number typed before was for another question.
    assert_eq!(ui.play("<cr>"), []);
    let effects = ui.play("3 <cr>");
    let [Request::PruneVolumes(request)] = &requests(&effects)[..] else {
        panic!("{effects:?}");
    };
    assert!(request.all);
    assert_eq!(request.only.as_ref().map(Vec::len), Some(3));
}

#[test]
fn a_volume_is_made_as_typed_and_the_dialog_waits() {
    let mut ui = Ui::usual(120, 40);
    ui.play("3 c");
    ui.type_text("new");
    ui.play("tab");
    ui.type_text("nfs");
    ui.play("tab");
    ui.type_text(":/export");
    ui.play("tab");
    ui.type_text("addr=10.0.0.1,rw");
    ui.play("tab");
    ui.type_text("tier=data flag");
    ui.assert_shows("wharf volume create -o device=:/export -o o=addr=10.0.0.1,rw");
    let effects = ui.play("<cr>");
    let owned = |pairs: &[(&str, &str)]| {
        let owned = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        owned.collect()
    };
    assert_eq!(
        requests(&effects),
        [Request::CreateVolume(CreateVolume {
            name: "new".to_owned(),
            labels: owned(&[("tier", "data"), ("flag", "")]),
            options: owned(&[
                ("type", "nfs"),
                ("device", ":/export"),
                ("o", "addr=10.0.0.1,rw"),
            ]),
        })]
    );
    ui.assert_shows("at work");
    // Nothing is sent twice.
    assert_eq!(ui.play("<cr>"), []);
    ui.finish(&effects, &Outcome::Failed(failure("create x: no room")));
    ui.assert_shows("create x: no room");
    assert!(matches!(ui.state.overlays.last(), Some(Overlay::Form(_))));
    assert!(ui.state.notice.is_none());
    // What was said about it goes with the next letter.
    ui.type_text("x");
    ui.assert_hides("no room");
    let effects = ui.play("<cr>");
    ui.finish(&effects, &Outcome::Done);
    assert!(ui.state.overlays.is_empty());
}

#[test]
fn what_is_no_label_is_told_before_it_is_sent() {
    let mut ui = Ui::usual(80, 24);
    ui.play("3 c tab tab tab tab");
    ui.type_text("=x");
    ui.assert_shows("there is no key before the =");
    assert_eq!(ui.play("<cr>"), []);
    ui.play("backspace backspace");
    ui.type_text("a='b");
    ui.assert_shows("the quote ' is not closed");
    ui.play("esc");
    assert!(ui.state.overlays.is_empty());
}

#[test]
fn a_read_only_program_changes_no_volume() {
    let mut ui = Ui::usual(120, 40);
    ui.state.settings.read_only = true;
    for key in ["c", "d", "D"] {
        assert_eq!(ui.play("3"), []);
        assert_eq!(ui.play(key), []);
        assert!(ui.state.overlays.is_empty(), "{key}");
    }
}

#[test]
fn events_of_volumes_are_answered_by_a_look() {
    let mut ui = Ui::usual(120, 40);
    ui.play("3");
    ui.world.volumes.remove(0);
    ui.world.containers = vec![with_volume(
        container(1, "web", "nginx:1.27", Status::Running),
        "uploads",
    )];
    let event = |kind| Event {
        time: now(),
        kind,
        action: "destroy".to_owned(),
        id: "cache".to_owned(),
        attributes: [].into(),
    };
    ui.send(Msg::Events(vec![
        event(event::Kind::Volume),
        event(event::Kind::Container),
    ]));
    assert_eq!(ui.state.volumes.total(), 3);
    ui.play("/");
    ui.type_text("status:used");
    ui.play("<cr>");
    assert_eq!(volume(&ui), "uploads");
}

#[test]
fn the_panes_go_round_and_a_short_column_shows_two_of_them() {
    let mut ui = Ui::usual(120, 40);
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push((ui.state.pane, ui.state.focus));
        ui.play("tab");
    }
    assert_eq!(seen[0], (ui.state.pane, ui.state.focus));
    assert_eq!(seen[2].0, Pane::Volumes);
    ui.resize(120, 20);
    ui.assert_shows("2 Images");
    ui.assert_hides("3 Volumes");
    ui.play("3");
    ui.assert_hides("2 Images");
    ui.assert_shows("3 Volumes");
}

#[test]
fn a_host_without_volumes_says_how_to_make_one() {
    let mut ui = Ui::new(World::empty(), 80, 24);
    ui.play("3");
    ui.assert_shows("no volumes: c makes one");
    // The keys for what is not there are not offered.
    ui.assert_hides("d remove");
}
