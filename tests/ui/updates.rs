//! What keys, reports and events do to the state, and which effects follow.

use std::time::Duration;

use wharf::app::jobs::{JobId, Outcome, Report, Request};
use wharf::app::key::Key;
use wharf::app::{
    Effect, Focus, Mouse, MouseKind, Msg, Pane, Query, Sub, Tab, subscriptions, update,
};
use wharf::engine::model::event::{Event, Kind};
use wharf::engine::model::health::Probe;
use wharf::engine::model::request::{Remove, Stop, TerminalSize};
use wharf::engine::model::{Health, HealthCheck, HealthStatus, Progress, Status};

use crate::support::{Ui, World, container, failure, id, jobs, now};

fn event(kind: Kind) -> Event {
    Event {
        time: now(),
        kind,
        action: "start".to_owned(),
        id: String::new(),
        attributes: std::collections::BTreeMap::default(),
    }
}

fn click(ui: &mut Ui, wanted: &str) {
    let screen = ui.screen();
    let (y, line) = (0..)
        .zip(screen.lines())
        .find(|(_, line)| line.contains(wanted))
        .unwrap_or_else(|| panic!("no {wanted} in\n{screen}"));
    let before = line.split(wanted).next().unwrap();
    let x = u16::try_from(wharf::app::text::width(before)).unwrap();
    let kind = MouseKind::Press;
    ui.send(Msg::Mouse(Mouse { kind, x, y }));
}

// Lists.

#[test]
fn keys_move_the_cursor() {
    let mut ui = Ui::usual(80, 24);
    // Sorted by status: what runs first.
    assert_eq!(ui.chosen(), "db");
    ui.play("j");
    assert_eq!(ui.chosen(), "web");
    ui.play("G");
    assert_eq!(ui.chosen(), "job");
    ui.play("g");
    assert_eq!(ui.chosen(), "db");
    ui.play("pgdn pgdn pgdn up up");
    assert_eq!(ui.chosen(), "cache");
}

#[test]
fn a_filter_works_while_it_is_typed_and_esc_brings_the_old_one_back() {
    let mut ui = Ui::usual(80, 24);
    ui.play("/ s t a t u s : r u n");
    assert_eq!(ui.state.containers.count(), "2/8");
    ui.assert_shows("filter /status:run");
    ui.play("<cr>");
    ui.assert_shows("Containers 2/8");
    ui.play("/ x x x");
    assert_eq!(ui.state.containers.shown(), 0);
    ui.play("esc");
    assert_eq!(ui.state.containers.count(), "2/8");
    ui.play("esc");
    assert_eq!(ui.state.containers.count(), "8");
}

#[test]
fn filters_know_status_image_label_and_negation() {
    let mut ui = Ui::usual(80, 24);
    for (filter, count) in [
        ("image:busybox", "5/8"),
        ("label:tier", "8"),
        ("label:tier=front", "8"),
        ("label:tier=back", "0/8"),
        ("status:exited", "3/8"),
        ("!image:busybox", "3/8"),
        ("image:busybox status:exited", "2/8"),
        ("wkr", "1/8"),
        ("busybox:latest", "5/8"),
    ] {
        ui.play("/");
        ui.play("ctrl+u");
        ui.send(Msg::Paste(filter.to_owned()));
        ui.play("<cr>");
        assert_eq!(ui.state.containers.count(), count, "{filter}");
    }
}

#[test]
fn lists_are_sorted_by_key_and_by_a_click_on_a_title() {
    let mut ui = Ui::usual(120, 40);
    ui.play("C g");
    assert_eq!(ui.chosen(), "worker");
    ui.play("O g");
    assert_ne!(ui.chosen(), "worker");
    click(&mut ui, "NAME");
    ui.play("g");
    assert_eq!(ui.chosen(), "cache");
    click(&mut ui, "NAME");
    ui.play("g");
    assert_eq!(ui.chosen(), "worker");
}

#[test]
fn what_another_process_does_is_seen_and_the_cursor_stays_on_its_object() {
    let mut ui = Ui::usual(80, 24);
    ui.play("j");
    assert_eq!(ui.chosen(), "web");
    ui.world.containers.remove(1);
    ui.world
        .containers
        .push(container(9, "another", "busybox", Status::Running));
    ui.send(Msg::Events(vec![event(Kind::Container)]));
    assert_eq!(ui.chosen(), "web");
    ui.assert_shows("another");
    ui.assert_hides("db ");
}

#[test]
fn a_storm_of_events_is_answered_by_one_more_question() {
    let mut ui = Ui::usual(80, 24);
    let mut questions = Vec::new();
    for _ in 0..100 {
        let effects = update(&mut ui.state, Msg::Events(vec![event(Kind::Container)]));
        // Who is on a network changes with containers: asked for by a question of its own.
        let networks = |effect: &Effect| matches!(effect, Effect::Query { query, .. } if *query == Query::Networks);
        questions.extend(effects.into_iter().filter(|effect| !networks(effect)));
    }
    let [Effect::Query { id, query, after }] = questions.as_slice() else {
        panic!("{questions:?}");
    };
    assert_eq!((query, *after), (&Query::Containers, Duration::ZERO));
    let answer = Ok(wharf::app::Answer::Containers(Vec::new()));
    let effects = update(&mut ui.state, Msg::Answer(*id, answer));
    let [Effect::Query { query, after, .. }] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!(*query, Query::Containers);
    assert!(!after.is_zero());
}

#[test]
fn a_stale_answer_is_dropped() {
    let mut ui = Ui::usual(120, 40);
    // The details of one image are asked for; before they come, another is chosen.
    let first = update(&mut ui.state, Msg::Key(Key::char('2')));
    let second = update(&mut ui.state, Msg::Key(Key::char('j')));
    let (Effect::Query { id: old, .. }, Effect::Query { id: new, .. }) = (&first[0], &second[0])
    else {
        panic!("{first:?} {second:?}");
    };
    assert_ne!(old, new);
    let late = failure("image is gone");
    update(&mut ui.state, Msg::Answer(*old, Err(late)));
    assert!(ui.state.notice.is_none());
    assert!(ui.state.image.is_none());
}

#[test]
fn stopped_containers_can_be_hidden() {
    let mut ui = Ui::usual(80, 24);
    ui.play("a");
    assert_eq!(ui.state.containers.count(), "4/8");
    ui.assert_shows("running only");
    ui.play("a");
    assert_eq!(ui.state.containers.count(), "8");
}

// Things done to objects.

#[test]
fn one_container_is_stopped_at_once() {
    let mut ui = Ui::usual(80, 24);
    let effects = ui.play("s");
    let [Effect::Start(job, request)] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!(*request, Request::Stop(id(2), Stop::default()));
    ui.assert_shows("stopping");
    assert_eq!(ui.play("s"), []);
    ui.assert_shows("already stopping");
    ui.send(Msg::Job(*job, Report::Finished(Outcome::Done)));
    ui.assert_shows("stopped db");
    ui.assert_hides("stopping");
}

#[test]
fn marked_containers_are_stopped_together_after_a_question() {
    let mut ui = Ui::usual(80, 24);
    // The last of the four does not run: it is left out.
    assert_eq!(ui.play("space space space G space s"), []);
    ui.assert_shows("Stop 3 containers?");
    ui.assert_shows("worker");
    ui.assert_hides("  job\n");
    let effects = ui.play("y");
    assert_eq!(jobs(&effects).len(), 3);
    assert_eq!(ui.state.containers.marked(), 0);
    ui.finish(&effects, &Outcome::Done);
    ui.assert_shows("stopped 3");
}

#[test]
fn removing_asks_and_kills_only_what_runs() {
    let mut ui = Ui::usual(80, 24);
    assert_eq!(ui.play("d"), []);
    ui.assert_shows("Remove db?");
    ui.assert_shows("It runs: it is killed first.");
    assert_eq!(ui.play("n"), []);
    ui.assert_hides("Remove db?");
    let effects = ui.play("d enter");
    let forced = Remove {
        force: true,
        volumes: false,
    };
    let request = Request::Remove(id(2), forced);
    assert_eq!(effects, [Effect::Start(JobId(1), request)]);
    let effects = ui.play("G d y");
    let request = Request::Remove(id(6), Remove::default());
    assert_eq!(effects, [Effect::Start(JobId(2), request)]);
}

#[test]
fn pausing_turns_into_going_on() {
    let mut ui = Ui::usual(80, 24);
    assert!(matches!(
        ui.play("p").as_slice(),
        [Effect::Start(_, Request::Pause(_))]
    ));
    let mut ui = Ui::usual(80, 24);
    ui.state.containers.select_key(&id(3));
    assert!(matches!(
        ui.play("p").as_slice(),
        [Effect::Start(_, Request::Unpause(_))]
    ));
}

#[test]
fn what_makes_no_sense_is_said_instead_of_tried() {
    let mut ui = Ui::usual(80, 24);
    assert_eq!(ui.play("u"), []);
    ui.assert_shows("db is running: cannot start");
    assert_eq!(ui.play("G s e"), []);
    ui.assert_shows("job does not run: no shell");
}

#[test]
fn read_only_changes_nothing() {
    let mut ui = Ui::usual(80, 24);
    ui.state.settings.read_only = true;
    assert_eq!(ui.play("s r d X p e 2 d"), []);
    ui.assert_shows("READ-ONLY");
    assert!(ui.state.overlays.is_empty());
}

#[test]
fn a_failure_is_a_line_with_a_hint_and_enter_shows_its_causes() {
    let mut ui = Ui::usual(120, 24);
    let effects = ui.play("s");
    let why = failure("stop db: send SIGTERM: no such process");
    ui.finish(&effects, &Outcome::Failed(why));
    ui.assert_shows("stop db: send SIGTERM: no such process (try again)");
    // It stays until somebody has seen it.
    ui.send(Msg::Tick(now() + jiff::SignedDuration::from_secs(60)));
    ui.play("j enter");
    ui.assert_shows("hint: try again");
    assert_eq!(ui.state.focus, Focus::List);
    ui.play("esc");
    assert!(ui.state.overlays.is_empty() && ui.state.notice.is_none());
}

#[test]
fn good_news_goes_by_itself() {
    let mut ui = Ui::usual(80, 24);
    let effects = ui.play("s");
    ui.finish(&effects, &Outcome::Done);
    assert!(subscriptions(&ui.state).contains(&Sub::Clock { seconds: 1 }));
    ui.send(Msg::Tick(now() + jiff::SignedDuration::from_secs(5)));
    ui.assert_hides("stopped db");
    assert!(subscriptions(&ui.state).contains(&Sub::Clock { seconds: 10 }));
}

#[test]
fn a_late_report_changes_nothing() {
    let mut ui = Ui::usual(80, 24);
    let effects = ui.play("s");
    let job = jobs(&effects)[0];
    // Cancelled twice: nobody waits for it any longer.
    assert_eq!(ui.play("& x"), [Effect::Cancel(job)]);
    ui.assert_shows("cancelling: stopping db");
    assert_eq!(ui.play("x esc"), []);
    ui.assert_shows("not waiting for db");
    let progress = Progress {
        part: String::new(),
        phase: "stopping".into(),
        done: 1,
        total: None,
    };
    ui.send(Msg::Job(job, Report::Progress(progress)));
    ui.send(Msg::Job(
        job,
        Report::Finished(Outcome::Failed(failure("too late"))),
    ));
    assert!(ui.state.jobs.is_empty());
    ui.assert_hides("too late");
}

#[test]
fn quitting_asks_only_when_work_is_going_on() {
    let mut ui = Ui::usual(80, 24);
    assert_eq!(ui.play("q"), [Effect::Quit]);
    ui.play("s");
    assert_eq!(ui.play("q"), []);
    ui.assert_shows("Work is going on. Leave?");
    assert_eq!(ui.play("y"), [Effect::Quit]);
    assert_eq!(ui.send(Msg::Terminate), [Effect::Quit]);
}

#[test]
fn the_command_log_tells_what_was_done_and_gives_it_to_the_clipboard() {
    let mut ui = Ui::usual(80, 24);
    let effects = ui.play("s j r");
    ui.finish(&effects[..1], &Outcome::Failed(failure("no")));
    ui.finish(&effects[1..], &Outcome::Done);
    ui.play("esc @");
    ui.assert_shows("wharf stop db");
    ui.assert_shows("wharf restart web");
    assert_eq!(ui.play("k y"), [Effect::Copy("wharf stop db".to_owned())]);
}

#[test]
fn images_are_removed_with_what_uses_them_in_sight() {
    let mut ui = Ui::usual(80, 24);
    ui.play("2 d");
    ui.assert_shows("Remove busybox:latest?");
    ui.assert_shows("Containers use it:");
    ui.play("esc");
    ui.state.images.select(2);
    let effects = ui.play("d y");
    let [Effect::Start(_, Request::RemoveImage { name, force, .. })] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert!(name.starts_with("sha256:") && !force);
}

#[test]
fn names_and_ids_are_copied() {
    let mut ui = Ui::usual(80, 24);
    assert_eq!(ui.play("y"), [Effect::Copy("db".to_owned())]);
    assert_eq!(ui.play("Y"), [Effect::Copy(id(2).to_string())]);
}

// Details.

#[test]
fn the_log_of_the_chosen_container_is_read_and_another_choice_ends_it() {
    let mut ui = Ui::usual(80, 24);
    let log = |ui: &Ui| {
        subscriptions(&ui.state)
            .into_iter()
            .find_map(|sub| match sub {
                Sub::Logs { id, generation, .. } => Some((id, generation)),
                _ => None,
            })
    };
    let (first, old) = log(&ui).unwrap();
    assert_eq!(first, id(2));
    ui.play("j");
    let (second, new) = log(&ui).unwrap();
    assert_eq!(second, id(1));
    // Lines of the old reading that are still under way.
    ui.log("new line");
    ui.send(Msg::Log {
        generation: old,
        lines: ui
            .state
            .log
            .as_ref()
            .unwrap()
            .visible(layout())
            .iter()
            .map(|r| r.line.clone())
            .collect(),
    });
    assert_eq!(ui.state.log.as_ref().unwrap().len(), 1);
    ui.send(Msg::LogEnded {
        generation: new,
        failure: None,
    });
    assert_eq!(log(&ui), None);
    ui.assert_shows("ENDED");
}

fn layout() -> wharf::app::logs::Layout {
    wharf::app::logs::Layout {
        width: 40,
        height: 10,
    }
}

#[test]
fn a_log_is_read_again_when_its_container_runs_again() {
    let mut ui = Ui::usual(80, 24);
    let generation = ui.state.log.as_ref().unwrap().generation;
    ui.log("before");
    ui.send(Msg::LogEnded {
        generation,
        failure: None,
    });
    ui.send(Msg::Events(vec![event(Kind::Container)]));
    let log = ui.state.log.as_ref().unwrap();
    assert_ne!(log.generation, generation);
    assert!(log.is_empty());
}

#[test]
fn a_log_pauses_when_it_is_scrolled_and_says_how_much_is_new() {
    let mut ui = Ui::usual(80, 24);
    let text: Vec<_> = (0..50).map(|n| format!("line {n}")).collect();
    ui.log(&text.join("\n"));
    ui.assert_shows("FOLLOW");
    ui.assert_shows("line 49");
    ui.play("K");
    ui.assert_shows("PAUSED");
    ui.log("more\nand more");
    ui.assert_shows("PAUSED 2 new");
    ui.assert_hides("and more");
    ui.play("enter G");
    ui.assert_shows("and more");
    ui.assert_shows("FOLLOW");
    ui.play("f");
    ui.assert_shows("PAUSED");
}

#[test]
fn a_log_is_searched() {
    let mut ui = Ui::usual(80, 24);
    let text: Vec<_> = (0..100)
        .map(|n| {
            if n % 40 == 0 {
                format!("ERROR {n}")
            } else {
                format!("line {n}")
            }
        })
        .collect();
    ui.log(&text.join("\n"));
    ui.play("enter / e r r o r <cr>");
    ui.assert_shows("/error 3 lines");
    ui.assert_shows("ERROR 80");
    ui.play("N");
    ui.assert_shows("ERROR 40");
    ui.play("n");
    ui.assert_shows("ERROR 80");
    ui.play("esc");
    ui.assert_hides("/error");
    assert_eq!(ui.state.focus, Focus::Detail);
    ui.play("esc");
    assert_eq!(ui.state.focus, Focus::List);
}

#[test]
fn long_lines_wrap_or_scroll_sideways() {
    let mut ui = Ui::usual(80, 24);
    ui.log(&format!("{}END", "x".repeat(200)));
    ui.assert_shows("END");
    ui.play("enter w");
    ui.assert_hides("END");
    for _ in 0..20 {
        ui.play("right");
    }
    ui.assert_shows("END");
}

#[test]
fn how_logs_are_shown_is_kept_for_the_next() {
    let mut ui = Ui::usual(80, 24);
    ui.play("enter w T esc t j l");
    let log = ui.state.log.as_ref().unwrap();
    assert_eq!((log.wrap, log.timestamps), (false, true));
}

#[test]
fn copying_a_log_gives_whole_lines_without_borders() {
    let mut ui = Ui::usual(80, 24);
    let long = "y".repeat(100);
    ui.log(&format!("a\n{long}"));
    assert_eq!(ui.play("enter y"), [Effect::Copy(format!("a\n{long}\n"))]);
}

#[test]
fn tabs_are_changed_by_key_and_by_click() {
    let mut ui = Ui::usual(120, 40);
    ui.play("]");
    assert_eq!(ui.state.tab(), Tab::Stats);
    ui.play("] ] ] ] ] ] ] ]");
    assert_eq!(ui.state.tab(), Tab::Logs);
    ui.play("[");
    assert_eq!(ui.state.tab(), Tab::Inspect);
    click(&mut ui, "Stats");
    assert_eq!(ui.state.tab(), Tab::Stats);
    ui.play("2 i");
    assert_eq!(ui.state.tab(), Tab::Image);
    ui.assert_shows("platform: linux/amd64");
}

#[test]
fn inspect_is_searched_and_follows_the_object() {
    let mut ui = Ui::usual(120, 40);
    ui.play("i");
    ui.assert_shows("name: db");
    ui.play("j");
    ui.assert_shows("name: web");
    ui.play("enter / a u t o _ r e m <cr>");
    ui.assert_shows("auto_remove: false");
    ui.assert_shows("1 lines");
}

#[test]
fn figures_are_wanted_for_what_runs_only() {
    let ui = Ui::usual(80, 24);
    let ids = vec![id(1), id(2), id(3)];
    assert!(subscriptions(&ui.state).contains(&Sub::Stats { ids }));
    let ui = Ui::new(World::empty(), 80, 24);
    let stats = |sub: &Sub| matches!(sub, Sub::Stats { .. });
    assert!(!subscriptions(&ui.state).iter().any(stats));
}

// Shells.

fn shell(ui: &Ui) -> (u64, TerminalSize) {
    subscriptions(&ui.state)
        .into_iter()
        .find_map(|sub| match sub {
            Sub::Shell {
                generation, size, ..
            } => Some((generation, size)),
            _ => None,
        })
        .unwrap()
}

#[test]
fn a_shell_gets_every_key_but_the_one_that_leaves_it() {
    let mut ui = Ui::usual(80, 24);
    ui.play("e");
    let (generation, _) = shell(&ui);
    ui.send(Msg::ShellOutput {
        generation,
        bytes: b"/ # ".to_vec(),
    });
    ui.assert_shows("/ #");
    let input = |bytes: &[u8]| Effect::ShellInput {
        generation,
        bytes: bytes.to_vec(),
    };
    assert_eq!(
        ui.play("q ctrl+c esc ? enter"),
        [
            input(b"q"),
            input(b"\x03"),
            input(b"\x1b"),
            input(b"?"),
            input(b"\r")
        ]
    );
    let pasted = ui.send(Msg::Paste("ls\n".to_owned()));
    assert_eq!(pasted, [input(b"ls\r")]);
    assert_eq!(ui.play("ctrl+]"), []);
    assert_eq!((ui.state.focus, ui.state.tab()), (Focus::List, Tab::Shell));
    // It is still there, and one goes back to it.
    ui.play("e");
    assert_eq!(shell(&ui).0, generation);
    assert_eq!(ui.play("x"), [input(b"x")]);
}

#[test]
fn a_shell_follows_the_size_of_its_pane() {
    let mut ui = Ui::usual(80, 24);
    ui.play("e");
    let (generation, size) = shell(&ui);
    assert_eq!(size.cols, 78);
    let effects = ui.resize(200, 60);
    assert!(
        matches!(effects.as_slice(), [Effect::ShellResize { generation: g, size }] if *g == generation && size.rows > 40),
        "{effects:?}"
    );
    // Full screen on request.
    ui.play("ctrl+] z");
    let effects = ui.play("e");
    assert!(matches!(effects.as_slice(), [Effect::ShellResize { size, .. }] if size.cols == 198));
}

#[test]
fn the_wheel_scrolls_a_shell_back_and_is_arrow_keys_in_a_full_screen_program() {
    let mut ui = Ui::usual(80, 24);
    ui.play("e");
    let (generation, _) = shell(&ui);
    let wheel = Msg::Mouse(Mouse {
        kind: MouseKind::WheelUp,
        x: 20,
        y: 20,
    });
    let lines: Vec<_> = (0..=40).map(|n| format!("line {n}")).collect();
    let bytes = lines.join("\r\n").into_bytes();
    ui.send(Msg::ShellOutput { generation, bytes });
    ui.assert_hides("line 27");
    assert_eq!(ui.send(wheel.clone()), []);
    ui.assert_shows("line 27");
    // Typing shows the present again.
    ui.play("x");
    ui.assert_hides("line 27");
    let bytes = b"\x1b[?1049h".to_vec();
    ui.send(Msg::ShellOutput { generation, bytes });
    let bytes = b"\x1b[A\x1b[A\x1b[A".to_vec();
    assert_eq!(ui.send(wheel), [Effect::ShellInput { generation, bytes }]);
}

#[test]
fn a_shell_that_ends_well_closes_its_pane_and_another_says_why() {
    let mut ui = Ui::usual(80, 24);
    ui.play("e");
    let (generation, _) = shell(&ui);
    ui.send(Msg::ShellEnded {
        generation,
        result: Ok(Some(0)),
    });
    assert_eq!((ui.state.focus, ui.state.tab()), (Focus::List, Tab::Logs));
    ui.play("e");
    let (generation, _) = shell(&ui);
    ui.send(Msg::ShellEnded {
        generation,
        result: Ok(Some(2)),
    });
    ui.assert_shows("the shell ended with 2: enter closes it");
    // What was typed for the shell does not stop containers.
    assert_eq!(ui.play("s d X"), []);
    assert_eq!(ui.state.tab(), Tab::Shell);
    ui.play("enter");
    assert_eq!(ui.state.tab(), Tab::Logs);
    ui.play("e");
    let (generation, _) = shell(&ui);
    ui.send(Msg::ShellEnded {
        generation,
        result: Err(failure("there is no shell in the container")),
    });
    ui.assert_shows("there is no shell in the container");
    assert_eq!(ui.state.focus, Focus::List);
}

// Mouse, overlays, focus.

#[test]
fn clicks_choose_and_the_wheel_scrolls_what_is_under_it() {
    let mut ui = Ui::usual(120, 40);
    click(&mut ui, "worker");
    assert_eq!(ui.chosen(), "worker");
    click(&mut ui, "nginx:1.27 +1");
    assert_eq!(ui.state.pane, Pane::Images);
    let text: Vec<_> = (0..99).map(|n| format!("line {n}")).collect();
    ui.play("1");
    ui.log(&text.join("\n"));
    let wheel = |kind| {
        Msg::Mouse(Mouse {
            kind,
            x: 100,
            y: 20,
        })
    };
    ui.send(wheel(MouseKind::WheelUp));
    ui.assert_shows("PAUSED");
    assert_eq!(ui.state.focus, Focus::List);
    ui.send(wheel(MouseKind::WheelDown));
    ui.assert_shows("FOLLOW");
}

#[test]
fn the_mouse_can_be_left_to_the_terminal() {
    let mut ui = Ui::usual(80, 24);
    assert_eq!(ui.play("alt+m"), [Effect::Mouse(false)]);
    assert_eq!(ui.play("alt+m"), [Effect::Mouse(true)]);
}

#[test]
fn the_palette_runs_actions_by_name() {
    let mut ui = Ui::usual(80, 24);
    let effects = ui.play(": r e s t a r t <cr>");
    assert!(matches!(
        effects.as_slice(),
        [Effect::Start(_, Request::Restart(..))]
    ));
    ui.play(": z z z z");
    ui.assert_shows("no such action here");
}

#[test]
fn panes_are_walked_with_tab() {
    let mut ui = Ui::usual(120, 40);
    ui.play("tab");
    assert_eq!(ui.state.pane, Pane::Images);
    ui.play("tab");
    assert_eq!(ui.state.pane, Pane::Volumes);
    ui.play("tab");
    assert_eq!(ui.state.pane, Pane::Networks);
    ui.play("tab");
    assert_eq!(
        (ui.state.focus, ui.state.pane),
        (Focus::Detail, Pane::Networks)
    );
    ui.play("tab");
    assert_eq!(
        (ui.state.focus, ui.state.pane),
        (Focus::List, Pane::Containers)
    );
    ui.play("shift+tab");
    assert_eq!(ui.state.focus, Focus::Detail);
}

#[test]
fn old_data_are_marked_as_old() {
    let mut ui = Ui::usual(120, 40);
    ui.world.failure = Some(failure("open store: permission denied"));
    ui.send(Msg::Events(vec![event(Kind::Container)]));
    ui.assert_shows("NOT UP TO DATE");
    ui.assert_shows("web");
    ui.world.failure = None;
    ui.send(Msg::Events(vec![event(Kind::Container)]));
    ui.assert_hides("NOT UP TO DATE");
}

#[test]
fn terminal_keys_have_their_effects() {
    let mut ui = Ui::usual(80, 24);
    assert_eq!(ui.play("ctrl+z ctrl+l"), [Effect::Suspend, Effect::Redraw]);
    ui.play("?");
    assert_eq!(ui.play("ctrl+z ctrl+l"), [Effect::Suspend, Effect::Redraw]);
}

#[test]
fn the_health_of_a_container_is_in_its_row_in_the_filter_and_in_a_tab_of_its_own() {
    let mut world = World::usual();
    let web = &mut world.containers[1];
    let started = web.state.started_at.unwrap();
    let probe = |exit_code, output: &str| Probe {
        start: started,
        end: started + jiff::SignedDuration::from_millis(42),
        exit_code,
        output: output.to_owned(),
    };
    web.state.health = Some(Health {
        status: HealthStatus::Unhealthy,
        failing_streak: 3,
        log: vec![probe(0, "fine\n"), probe(7, "no route\x1b[31m\nto host\n")],
    });
    let mut container = (*web.container).clone();
    container.config.healthcheck = Some(HealthCheck {
        test: vec!["CMD-SHELL".to_owned(), "ask me".to_owned()],
        ..HealthCheck::default()
    });
    web.container = std::sync::Arc::new(container);
    let name = web.container.name.clone();
    let mut ui = Ui::new(world, 120, 40);
    ui.assert_shows("unhealthy");
    ui.play("/");
    ui.type_text("health:unh");
    ui.play("<cr>");
    assert_eq!(ui.chosen(), name);
    ui.play("h");
    assert_eq!(ui.state.tab(), Tab::Health);
    for line in [
        "status: unhealthy",
        "failing streak: 3",
        "probe: /bin/sh -c ask me",
        "every: 30s",
        "exit 7: took 42 ms",
        "no route",
        "to host",
    ] {
        ui.assert_shows(line);
    }
    // The newest result is first.
    let screen = ui.screen();
    assert!(screen.find("exit 7").unwrap() < screen.find("exit 0").unwrap());
}

#[test]
fn the_processes_of_a_container_are_a_tree_and_one_that_does_not_run_has_none() {
    let mut ui = Ui::new(World::usual(), 120, 40);
    ui.play("/");
    ui.type_text("status:running");
    ui.play("enter T");
    assert_eq!(ui.state.tab(), Tab::Top);
    for line in [
        "    PID USER     CPU TIME    MEM  AGE  COMMAND",
        "    100 root       12.34s   5.0M   2m  nginx -g daemon off;",
        "    107 root       12.34s   5.0M   2m    nginx: worker",
        "    130 root       12.34s   5.0M   2m      [sleep]",
        "    108 root       12.34s   5.0M   2m    nginx: cache",
    ] {
        ui.assert_shows(line);
    }
    let mut ui = Ui::new(World::usual(), 120, 40);
    ui.play("/");
    ui.type_text("status:exited");
    ui.play("enter T");
    ui.assert_shows("it does not run: no processes");
}

#[test]
fn the_files_that_differ_from_the_image_have_a_tab() {
    let mut ui = Ui::new(World::usual(), 120, 40);
    ui.play("D");
    assert_eq!(ui.state.tab(), Tab::Diff);
    for line in [
        "3 paths differ from the image",
        "C /etc",
        "A /etc/new",
        "D /srv/old",
    ] {
        ui.assert_shows(line);
    }
}
