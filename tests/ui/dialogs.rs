//! Dialogs about containers and about running an image: what they send off, what they refuse, where they show it.

use wharf::app::Effect;
use wharf::app::jobs::{Outcome, Request};
use wharf::app::overlay::Overlay;
use wharf::engine::model::container::RestartPolicy;
use wharf::engine::model::request::Commit;

use crate::support::{Ui, failure, id};

const SIZES: [(u16, u16); 3] = [(80, 24), (60, 20), (40, 10)];

/// The same screen at all sizes; without colour the text is the same.
fn check(name: &str, prepare: impl Fn(&mut Ui)) {
    let prepared = |width, height| {
        let mut ui = usual(width, height);
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

/// `web` has limits, and is chosen.
fn usual(width: u16, height: u16) -> Ui {
    let mut world = crate::support::World::usual();
    let container = std::sync::Arc::make_mut(&mut world.containers[0].container);
    container.host.resources.memory = Some(64 << 20);
    container.host.resources.nano_cpus = Some(1_500_000_000);
    container.host.resources.pids_limit = Some(100);
    container.host.restart = RestartPolicy::OnFailure { max: 3 };
    let mut ui = Ui::new(world, width, height);
    ui.measure();
    ui.play("N");
    ui.state.containers.select_key(&id(1));
    ui
}

fn requests(effects: &[Effect]) -> Vec<Request> {
    let request = |effect: &Effect| match effect {
        Effect::Start(_, request) => Some(request.clone()),
        _ => None,
    };
    effects.iter().filter_map(request).collect()
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// Goes to a field and types.
fn fill(ui: &mut Ui, label: &str, text: &str) {
    for _ in 0..20 {
        let Some(Overlay::Form(form)) = ui.state.overlays.last() else {
            panic!("no dialog");
        };
        if form.input().unwrap().label == label {
            ui.type_text(text);
            return;
        }
        ui.play("tab");
    }
    panic!("no field {label}");
}

#[test]
fn running_an_image() {
    check("run", |ui| {
        ui.play("2 j r");
        fill(ui, "command", "serve --port 80");
        fill(ui, "name", "front");
        fill(ui, "variables", "A=1 'B=two words'");
        fill(ui, "memory", "64m");
    });
}

#[test]
fn limits_of_a_container() {
    check("limits", |ui| {
        ui.play("L ctrl+u");
        ui.type_text("128m");
    });
}

#[test]
fn copying_files() {
    check("copy", |ui| {
        ui.play("c");
        fill(ui, "in the container", "/etc/hosts");
        fill(ui, "here", "hosts");
    });
}

#[test]
fn an_image_is_run_as_its_form_says() {
    let mut ui = usual(120, 40);
    ui.play("2 j r");
    ui.assert_shows("wharf run -d nginx:1.27");
    fill(&mut ui, "command", "serve 'two words'");
    fill(&mut ui, "name", "front");
    fill(&mut ui, "variables", "A=1 B=2");
    fill(&mut ui, "volumes", "data:/data /srv:/srv:ro");
    fill(&mut ui, "network", "host");
    fill(&mut ui, "publish", "8080:80 127.0.0.1::53/udp");
    fill(&mut ui, "restart", " ");
    fill(&mut ui, "memory", "64m");
    fill(&mut ui, "cpus", "0.5");
    fill(&mut ui, "user", "1:1");
    fill(&mut ui, "directory", "/srv");
    fill(&mut ui, "terminal", " ");
    fill(&mut ui, "more flags", "--read-only --cap-drop ALL");
    let effects = ui.play("<cr>");
    let [Request::Run(line)] = &requests(&effects)[..] else {
        panic!("{effects:?}");
    };
    let mut expected = words(
        "run -d -it --name front --network host --restart on-failure --memory 64m --cpus 0.5 --user 1:1 \
         --workdir /srv --env A=1 --env B=2 --volume data:/data --volume /srv:/srv:ro --publish 8080:80 \
         --publish 127.0.0.1::53/udp --read-only --cap-drop ALL nginx:1.27 serve",
    );
    expected.push("two words".to_owned());
    assert_eq!(*line, expected);
    ui.finish(&effects, &Outcome::Told(vec!["started front".to_owned()]));
    assert!(ui.state.overlays.is_empty());
    ui.assert_shows("started front");
    ui.play("@");
    ui.assert_shows("wharf run -d -it --name front --network host");
}

#[test]
fn networks_and_running_containers_are_offered_for_the_network() {
    let mut ui = usual(120, 40);
    ui.play("2 j r");
    fill(&mut ui, "network", "b");
    ui.assert_shows("bridge");
    ui.play("backspace");
    fill(&mut ui, "network", "ner:w");
    ui.assert_shows("container:web");
    ui.play("down tab");
    ui.assert_shows("wharf run -d --network container:web nginx:1.27");
}

#[test]
fn a_container_is_made_without_being_started() {
    let mut ui = usual(120, 40);
    ui.play("2 j c");
    ui.assert_shows("wharf create nginx:1.27");
    let effects = ui.play("<cr>");
    assert_eq!(
        requests(&effects),
        [Request::Run(words("create nginx:1.27"))]
    );
    // An image without a name is run by its id.
    let mut ui = usual(120, 40);
    ui.play("2 G r");
    ui.assert_shows("wharf run -d sha256:0303");
}

#[test]
fn what_the_parser_refuses_is_told_at_once_and_not_sent() {
    let mut ui = usual(80, 24);
    ui.play("2 j r");
    fill(&mut ui, "more flags", "--bad");
    ui.assert_shows("unknown flag: --bad");
    assert_eq!(ui.play("<cr>"), []);
    ui.play("backspace backspace backspace backspace backspace");
    ui.assert_shows("wharf run -d nginx:1.27");
    fill(&mut ui, "command", "'open");
    ui.assert_shows("the quote ' is not closed");
    assert_eq!(ui.play("<cr>"), []);
    ui.play("esc");
    assert!(ui.state.overlays.is_empty());
}

#[test]
fn what_the_engine_says_stays_in_the_dialog_and_esc_leaves_the_work_alone() {
    let mut ui = usual(80, 24);
    ui.play("n ctrl+u");
    ui.type_text("db");
    let effects = ui.play("<cr>");
    assert_eq!(
        requests(&effects),
        [Request::Rename(id(1), "db".to_owned())]
    );
    ui.finish(
        &effects,
        &Outcome::Failed(failure("rename web: the name db is taken")),
    );
    ui.assert_shows("rename web: the name db is taken");
    ui.type_text("2");
    let effects = ui.play("<cr>");
    // Nobody waits: the end is told as that of other work.
    ui.play("esc");
    assert!(ui.state.overlays.is_empty());
    ui.finish(&effects, &Outcome::Failed(failure("rename web: gone")));
    ui.assert_shows("rename web: gone");
}

#[test]
fn only_changed_limits_are_sent() {
    let mut ui = usual(120, 40);
    ui.play("L");
    ui.assert_shows("on-failure:3");
    assert_eq!(ui.play("<cr>"), []);
    ui.assert_shows("nothing is changed yet");
    ui.play("ctrl+u");
    ui.type_text("128m");
    fill(&mut ui, "tasks", "");
    ui.play("ctrl+u");
    fill(&mut ui, "restart", "");
    ui.play("ctrl+u");
    ui.type_text("always");
    ui.assert_shows("wharf update --memory 128m --pids-limit -1 --restart always web");
    let effects = ui.play("<cr>");
    let line = "update --memory 128m --pids-limit -1 --restart always web";
    assert_eq!(requests(&effects), [Request::Update(id(1), words(line))]);
}

#[test]
fn a_limit_that_cannot_be_taken_away_says_so() {
    let mut ui = usual(80, 24);
    ui.play("L ctrl+u");
    ui.assert_shows("memory: a limit can be changed, not taken away");
    assert_eq!(ui.play("<cr>"), []);
}

#[test]
fn a_container_becomes_an_image_as_typed() {
    let mut ui = usual(120, 40);
    ui.play("b");
    ui.type_text("team/web:2");
    fill(&mut ui, "author", "me");
    fill(&mut ui, "message", "as it is");
    fill(&mut ui, "changes", "'CMD [\"serve\"]' 'ENV A=b'");
    fill(&mut ui, "pause it meanwhile", " ");
    ui.assert_shows("wharf commit -a me -m 'as it is'");
    let effects = ui.play("<cr>");
    assert_eq!(
        requests(&effects),
        [Request::Commit(
            id(1),
            Commit {
                reference: Some("team/web:2".parse().unwrap()),
                author: "me".to_owned(),
                message: "as it is".to_owned(),
                changes: vec!["CMD [\"serve\"]".to_owned(), "ENV A=b".to_owned()],
                pause: false,
            }
        )]
    );
}

#[test]
fn an_archive_that_is_there_is_replaced_only_after_a_question() {
    let mut ui = usual(120, 40);
    ui.play("w");
    ui.assert_shows("web.tar");
    ui.play("ctrl+u");
    ui.type_text("busybox_latest.tar");
    ui.assert_shows("there is such a file");
    assert_eq!(ui.play("<cr>"), []);
    ui.assert_shows("Replace /home/me/busybox_latest.tar?");
    let effects = ui.play("y");
    assert_eq!(
        requests(&effects),
        [Request::Export {
            id: id(1),
            path: "/home/me/busybox_latest.tar".into(),
            replace: true,
        }]
    );
}

#[test]
fn files_go_both_ways() {
    let mut ui = usual(120, 40);
    ui.play("c");
    fill(&mut ui, "in the container", "/etc/hosts");
    fill(&mut ui, "here", "archives/");
    let effects = ui.play("<cr>");
    let line = "cp web:/etc/hosts /home/me/archives/";
    assert_eq!(requests(&effects), [Request::Copy(id(1), words(line))]);
    ui.finish(&effects, &Outcome::Done);

    ui.play("c space");
    fill(&mut ui, "in the container", "/srv");
    fill(&mut ui, "here", "notes.txt");
    fill(&mut ui, "owners", " ");
    fill(&mut ui, "follow a link", " ");
    let effects = ui.play("<cr>");
    let line = "cp -a -L /home/me/notes.txt web:/srv";
    assert_eq!(requests(&effects), [Request::Copy(id(1), words(line))]);
}

#[test]
fn containers_that_do_not_run_are_shown_before_they_go() {
    let mut ui = usual(120, 40);
    ui.play("P");
    ui.assert_shows("4 containers go, 4kB come back");
    ui.assert_shows("cache");
    let effects = ui.play("y");
    let [Request::PruneContainers(request)] = &requests(&effects)[..] else {
        panic!("{effects:?}");
    };
    let only = request.only.as_ref().unwrap();
    assert_eq!(only.len(), 4);
    assert!(!only.contains(&id(1)));
}

#[test]
fn a_read_only_program_opens_no_dialog_that_changes_anything() {
    let mut ui = usual(120, 40);
    ui.state.settings.read_only = true;
    for keys in ["1 L", "1 n", "1 c", "1 b", "1 P", "2 r", "2 c"] {
        ui.play(keys);
        assert!(ui.state.overlays.is_empty(), "{keys}");
    }
    ui.play("1 w");
    assert_eq!(ui.state.overlays.len(), 1);
}

/// `web` and `db` are marked.
fn two_marked(width: u16, height: u16) -> Ui {
    let mut ui = usual(width, height);
    for n in [1, 2] {
        ui.state.containers.select_key(&id(n));
        ui.play("space");
    }
    assert_eq!(ui.state.containers.marked(), 2);
    ui
}

#[test]
fn limits_of_several_are_changed_together() {
    let mut ui = two_marked(80, 24);
    ui.play("L");
    ui.assert_shows("Limits of 2 containers");
    // `web` has 64m, `db` has none.
    ui.assert_shows("not the same in all; stays as it is");
    fill(&mut ui, "cpus", "2");
    fill(&mut ui, "restart", "always");
    ui.assert_shows("wharf update --cpus 2 --restart always web db");
    let effects = ui.play("enter");
    assert_eq!(
        requests(&effects),
        [
            Request::Update(id(1), words("update --cpus 2 --restart always web")),
            Request::Update(id(2), words("update --cpus 2 --restart always db")),
        ]
    );
    assert!(ui.state.overlays.is_empty());
    ui.finish(&effects, &Outcome::Done);
    ui.assert_shows("updated 2");
}

#[test]
fn several_are_exported_into_a_directory() {
    let mut ui = two_marked(80, 24);
    ui.play("w");
    ui.assert_shows("Export 2 containers");
    ui.assert_shows("wharf export -o /home/me/web.tar web …");
    let effects = ui.play("enter");
    let files: Vec<_> = requests(&effects)
        .into_iter()
        .map(|request| match request {
            Request::Export { path, replace, .. } => (path.display().to_string(), replace),
            other => panic!("{other:?}"),
        })
        .collect();
    let file = |name: &str| (format!("/home/me/{name}"), false);
    assert_eq!(files, [file("web.tar"), file("db.tar")]);
}

#[test]
fn what_failed_of_many_is_named_and_why() {
    let mut ui = two_marked(100, 30);
    ui.play("s");
    ui.assert_shows("Stop 2 containers?");
    let effects = ui.play("y");
    let [first, second] = crate::support::jobs(&effects)[..] else {
        panic!("{effects:?}");
    };
    let end = |ui: &mut Ui, job, outcome| {
        ui.send(wharf::app::Msg::Job(
            job,
            wharf::app::jobs::Report::Finished(outcome),
        ));
    };
    end(&mut ui, first, Outcome::Failed(failure("it is stuck")));
    end(&mut ui, second, Outcome::Done);
    ui.assert_shows("stopped 1, 1 failed: web");
    ui.play("enter");
    ui.assert_shows("web: it is stuck");
}

#[test]
fn what_stays_as_it_is_is_told_and_pausing_does_not_resume() {
    let mut ui = usual(100, 30);
    // `web` and `db` run, `worker` is paused.
    for n in [1, 2, 3] {
        ui.state.containers.select_key(&id(n));
        ui.play("space");
    }
    ui.play("p");
    ui.assert_shows("Pause 2 containers?");
    ui.assert_shows("1 of 3 stay as they are.");
    let effects = ui.play("y");
    assert!(
        requests(&effects)
            .iter()
            .all(|request| matches!(request, Request::Pause(_)))
    );
    let mut ui = usual(100, 30);
    ui.state.containers.select_key(&id(3));
    let effects = ui.play("p");
    assert_eq!(requests(&effects), [Request::Unpause(id(3))]);
}
