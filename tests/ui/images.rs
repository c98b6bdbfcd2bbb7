//! Images: their list and details, dialogs, work on them layer by layer, what is on disk.

use wharf::app::jobs::{JobId, Outcome, Report, Request};
use wharf::app::{Effect, Mouse, MouseKind, Msg, Pane, Query, Tab, update};
use wharf::engine::error::Kind;
use wharf::engine::model::Auth;
use wharf::engine::model::request::PruneImages;

use crate::support::{Ui, World, failure, jobs, now};

const SIZES: [(u16, u16); 4] = [(160, 48), (80, 24), (60, 20), (40, 10)];

fn image(ui: &Ui) -> String {
    let row = ui.state.images.selected();
    row.map(|row| row.name().into_owned()).unwrap_or_default()
}

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

/// A pull that has begun.
fn pull(ui: &mut Ui, name: &str) -> JobId {
    ui.play("2 p");
    ui.type_text(name);
    let effects = ui.play("<cr>");
    jobs(&effects)[0]
}

/// Three layers: one is there, one is unpacked, one is on its way.
fn under_way(ui: &mut Ui, job: JobId) {
    for (part, phase, done, total, time) in [
        ("8a1e25ce7c4f", "Already exists", 0, None, 100),
        ("2f28d7b7a06a", "Waiting", 0, None, 100),
        ("b05093807bb0", "Downloading", 0, Some(100_000_000), 100),
        ("2f28d7b7a06a", "Downloading", 0, Some(20_000_000), 200),
        (
            "b05093807bb0",
            "Downloading",
            10_000_000,
            Some(100_000_000),
            1_100,
        ),
        (
            "2f28d7b7a06a",
            "Downloading",
            20_000_000,
            Some(20_000_000),
            1_200,
        ),
        ("2f28d7b7a06a", "Extracting", 0, Some(20_000_000), 1_300),
        (
            "b05093807bb0",
            "Downloading",
            40_000_000,
            Some(100_000_000),
            2_100,
        ),
        (
            "2f28d7b7a06a",
            "Extracting",
            5_000_000,
            Some(20_000_000),
            2_100,
        ),
    ] {
        ui.progress(job, (part, phase, done, total), time);
    }
}

// The list and its details.

#[test]
fn list_of_images() {
    check("list", |ui| {
        ui.play("2 j");
    });
}

#[test]
fn containers_of_an_image() {
    check("used_by", |ui| {
        ui.play("2 u");
    });
}

#[test]
fn images_are_sorted_by_every_column() {
    let mut ui = Ui::usual(120, 40);
    ui.play("2");
    for (key, first) in [
        ("M", "nginx:1.27"),
        ("U", "nginx:1.27"),
        ("A", "busybox:latest"),
        ("S", "busybox:latest"),
        ("I", "busybox:latest"),
        ("N", "busybox:latest"),
    ] {
        ui.play(key);
        ui.play("g");
        assert_eq!(image(&ui), first, "{key}");
    }
    ui.play("U O g");
    assert!(image(&ui).starts_with("<none>"));
}

#[test]
fn images_are_filtered_by_text_and_fields() {
    let mut ui = Ui::usual(120, 40);
    for (filter, count) in [
        ("nginx", "1/3"),
        ("status:dangling", "1/3"),
        ("status:used", "2/3"),
        ("used:web", "1/3"),
        ("size:>1M", "2/3"),
        ("unique:<1M", "1/3"),
        ("platform:arm", "0/3"),
        ("label:maker=me !nginx", "2/3"),
        ("id:0202", "1/3"),
    ] {
        ui.play("2 / ctrl+u");
        ui.send(Msg::Paste(filter.to_owned()));
        ui.play("<cr>");
        assert_eq!(ui.state.images.count(), count, "{filter}");
    }
}

#[test]
fn a_number_that_is_not_known_is_not_shown() {
    let mut ui = Ui::new(World::usual(), 120, 40);
    ui.assert_shows("143MB");
    let image_event = wharf::engine::model::Event {
        time: now(),
        kind: wharf::engine::model::event::Kind::Image,
        action: "tag".to_owned(),
        id: String::new(),
        attributes: std::collections::BTreeMap::default(),
    };
    let effects = update(&mut ui.state, Msg::Events(vec![image_event]));
    let ids: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Query { id, query, .. } if *query == Query::DiskUsage => Some(*id),
            _ => None,
        })
        .collect();
    assert_eq!(ids.len(), 1, "{effects:?}");
    update(&mut ui.state, Msg::Answer(ids[0], Err(failure("damaged"))));
    ui.assert_hides("143MB");
    ui.assert_shows("nginx:1.27");
    assert!(ui.state.notice.is_none());
}

#[test]
fn details_of_an_image_have_their_tabs() {
    let mut ui = Ui::usual(120, 40);
    ui.play("2 h");
    ui.assert_shows("2   262kB   100kB 0c0c0c0c0c0c COPY app /app");
    ui.assert_shows("ENV A=b");
    ui.play("]");
    ui.play("right G");
    ui.assert_shows("blob size: 100000");
    ui.play("esc ]");
    assert_eq!(ui.state.tab(), Tab::Users);
    ui.assert_shows("worker  paused");
    ui.play("G");
    ui.assert_shows("no container uses it");
}

// Dialogs.

#[test]
fn pull_dialog() {
    check("pull", |ui| {
        ui.state.pulled = vec!["ghcr.io/team/app:2".to_owned()];
        ui.play("2 p a");
    });
}

#[test]
fn save_dialog() {
    check("save", |ui| {
        ui.play("2 s");
    });
}

#[test]
fn login_dialog() {
    check("login", |ui| {
        let job = pull(ui, "localhost:5000/app");
        let mut why = failure("pull localhost:5000/app:latest: authentication required");
        why.kind = Kind::Unauthorized;
        ui.send(Msg::Job(job, Report::Finished(Outcome::Failed(why))));
        ui.type_text("me");
        ui.play("<cr>");
        ui.type_text("secret");
    });
}

#[test]
fn prune_dialog() {
    check("prune", |ui| {
        ui.play("2 D");
    });
}

#[test]
fn a_pull_is_checked_while_it_is_typed_and_goes_on_in_the_background() {
    let mut ui = Ui::usual(80, 24);
    ui.play("2 p");
    ui.assert_hides("nothing there yet");
    ui.type_text("Nginx");
    ui.assert_shows("repository name (Nginx) must be lowercase");
    assert_eq!(ui.play("<cr>"), []);
    ui.play("esc p");
    assert_eq!(ui.play("<cr>"), []);
    ui.assert_shows("nothing there yet");
    ui.type_text("nginx");
    ui.assert_shows("pulls docker.io/library/nginx:latest");
    ui.play("tab");
    ui.type_text("linux/arm64");
    let effects = ui.play("<cr>");
    let [Effect::Start(job, Request::Pull(request))] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!(
        request.reference.to_string(),
        "docker.io/library/nginx:latest"
    );
    let platform = request.platform.as_ref().map(ToString::to_string);
    assert_eq!(platform.as_deref(), Some("linux/arm64"));
    assert!(ui.state.overlays.is_empty());
    under_way(&mut ui, *job);
    // Other things can be done; the footer tells how far it is.
    ui.send(Msg::Tick(now() + jiff::SignedDuration::from_secs(10)));
    ui.play("1 j");
    ui.assert_shows("50%");
    let told = vec![
        "pulled nginx:latest: newer image 0123".to_owned(),
        "digest: sha256:1".to_owned(),
    ];
    let effects = ui.send(Msg::Job(*job, Report::Finished(Outcome::Told(told))));
    assert_eq!(effects, [Effect::Remember("nginx:latest".to_owned())]);
    ui.assert_shows("pulled nginx:latest: newer image");
    ui.assert_hides("50%");
    // What it did can be looked at and copied, and its name is offered next time.
    ui.play("&");
    ui.assert_shows("digest: sha256:1");
    let copied = ui.play("y");
    let [Effect::Copy(text)] = copied.as_slice() else {
        panic!("{copied:?}");
    };
    assert!(text.ends_with("digest: sha256:1"));
    ui.play("esc 2 p down <cr>");
    ui.assert_shows("pulls docker.io/library/nginx:latest");
}

#[test]
fn suggestions_are_walked_and_taken() {
    let mut ui = Ui::usual(80, 24);
    ui.play("2 p");
    ui.type_text("ngi");
    ui.assert_shows("nginx:1.27");
    ui.assert_hides("busybox:latest\n");
    ui.play("down down down up");
    // Past the end is what was typed.
    assert_eq!(ui.play("up <cr>"), []);
    let effects = ui.play("<cr>");
    let [Effect::Start(_, request)] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!(request.object(), "nginx:1.27");
}

#[test]
fn a_push_goes_to_a_tag_or_gives_a_name_first() {
    let mut ui = Ui::usual(80, 24);
    ui.play("2 j P");
    ui.assert_shows("pushes to Docker Hub");
    let effects = ui.play("<cr>");
    assert!(
        matches!(
            effects.as_slice(),
            [Effect::Start(_, Request::Push { tag: false, .. })]
        ),
        "{effects:?}"
    );
    ui.assert_shows("pushing");
    let mut ui = Ui::usual(160, 24);
    ui.play("2 j P");
    for _ in 0.."nginx:1.27".len() {
        ui.play("backspace");
    }
    ui.type_text("localhost:5000/n");
    ui.assert_shows("tags it localhost:5000/n:latest and pushes to localhost:5000");
    let effects = ui.play("<cr>");
    assert!(matches!(
        effects.as_slice(),
        [Effect::Start(_, Request::Push { tag: true, .. })]
    ));
    ui.play("@");
    ui.assert_shows("&& wharf push localhost:5000/n:latest");
}

#[test]
fn marked_images_are_pushed_saved_and_removed_together() {
    let mut ui = Ui::usual(80, 24);
    ui.play("2 space space P");
    ui.assert_shows("Push 3 names?");
    assert_eq!(jobs(&ui.play("y")).len(), 3);
    assert_eq!(ui.state.images.marked(), 0);
    ui.play("g space space s");
    ui.assert_shows("Save 2 images");
    ui.assert_shows("images.tar");
    let effects = ui.play("<cr>");
    let [Effect::Start(_, Request::Save { names, replace, .. })] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    // With all their names.
    assert_eq!((names.len(), *replace), (3, false));
    let mut ui = Ui::usual(80, 24);
    ui.play("2 space space d");
    ui.assert_shows("Remove 2 images?");
    ui.assert_shows("146MB at least are their own.");
}

#[test]
fn saving_over_a_file_asks_first() {
    let mut ui = Ui::usual(80, 24);
    assert_eq!(ui.play("2 s"), []);
    ui.assert_shows("there is such a file: you will be asked");
    assert_eq!(ui.play("<cr>"), []);
    ui.assert_shows("Replace /home/me/busybox_latest.tar?");
    assert_eq!(ui.play("n"), []);
    let effects = ui.play("s <cr> y");
    assert!(
        matches!(
            effects.as_slice(),
            [Effect::Start(_, Request::Save { replace: true, .. })]
        ),
        "{effects:?}"
    );
    // It came to be while the archive was written.
    let mut why = failure("create /home/me/busybox_latest.tar: File exists");
    why.kind = Kind::AlreadyExists;
    ui.finish(&effects, &Outcome::Failed(why));
    ui.assert_shows("Replace /home/me/busybox_latest.tar?");
}

#[test]
fn paths_are_completed() {
    let mut ui = Ui::usual(80, 24);
    ui.play("2 L");
    ui.assert_shows("archives/");
    ui.type_text("b");
    ui.play("tab");
    ui.assert_shows("/home/me/busybox_latest.tar");
    let effects = ui.play("<cr>");
    let [Effect::Start(_, Request::Load(path))] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!(path.to_str(), Some("/home/me/busybox_latest.tar"));
    ui.play("L");
    ui.type_text("nothing");
    assert_eq!(ui.play("<cr>"), []);
    ui.assert_shows("/home/me/nothing: no such file");
}

#[test]
fn a_late_listing_of_another_directory_is_dropped() {
    let mut ui = Ui::usual(80, 24);
    ui.play("2");
    let first = update(&mut ui.state, Msg::Key("L".parse().unwrap()));
    let [Effect::Query { id, .. }] = first.as_slice() else {
        panic!("{first:?}");
    };
    update(&mut ui.state, Msg::Paste("/tmp/".to_owned()));
    let late = vec![wharf::app::DirectoryEntry {
        name: "zzz".to_owned(),
        is_directory: false,
    }];
    update(
        &mut ui.state,
        Msg::Answer(*id, Ok(wharf::app::Answer::Directory(late))),
    );
    ui.assert_hides("zzz");
}

#[test]
fn a_registry_that_wants_to_know_who_we_are_is_told_and_asked_again() {
    let mut ui = Ui::usual(80, 24);
    let job = pull(&mut ui, "localhost:5000/app");
    let mut why = failure("pull localhost:5000/app:latest: authentication required");
    why.kind = Kind::Unauthorized;
    ui.send(Msg::Job(
        job,
        Report::Finished(Outcome::Failed(why.clone())),
    ));
    ui.assert_shows("Log in to localhost:5000");
    ui.type_text("me");
    ui.play("<cr>");
    ui.type_text("hunter2");
    ui.assert_hides("hunter2");
    let effects = ui.play("<cr>");
    let [Effect::Start(job, Request::LogIn { registry, .. })] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!(registry, "localhost:5000");
    let effects = ui.send(Msg::Job(*job, Report::Finished(Outcome::Done)));
    let [Effect::Start(_, Request::Pull(request))] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert!(matches!(&request.auth, Auth::Basic { user, .. } if user == "me"));
    // The password is nowhere to be seen.
    ui.play("@");
    ui.assert_shows("wharf login localhost:5000");
    ui.assert_hides("hunter2");
    // While something else has the keys, the dialog stays away.
    let effects = ui.play("esc p");
    assert_eq!(effects, []);
    ui.type_text("localhost:5000/b");
    let job = jobs(&ui.play("<cr>"))[0];
    ui.play("?");
    why.hint = None;
    ui.send(Msg::Job(job, Report::Finished(Outcome::Failed(why))));
    ui.assert_hides("Log in to");
    // The command is told instead.
    ui.play("esc");
    let hint = ui.state.notice.as_ref().and_then(|n| n.hint.as_deref());
    assert_eq!(hint, Some("wharf login localhost:5000"));
}

#[test]
fn a_prune_shows_what_goes_before_it_is_asked() {
    let mut ui = Ui::usual(80, 24);
    ui.play("2 D");
    ui.assert_shows("1 image goes, 12kB come back");
    ui.assert_shows("<none>");
    let effects = ui.play("y");
    let [Effect::Start(_, request)] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    // What was shown, and nothing that comes meanwhile.
    let dangling = ui.world.images[2].id.clone();
    let only = PruneImages {
        only: Some(vec![(dangling, Vec::new())]),
        ..PruneImages::default()
    };
    assert_eq!(*request, Request::PruneImages(only));
    let mut world = World::usual();
    world.containers.clear();
    let mut ui = Ui::new(world, 80, 24);
    ui.play("2 D a");
    ui.assert_shows("3 images go, 195MB come back");
    ui.assert_shows("nginx:1.27, nginx:latest");
    let effects = ui.play("y");
    assert!(
        matches!(effects.as_slice(), [Effect::Start(_, Request::PruneImages(request))] if request.all)
    );
    ui.play("@");
    ui.assert_shows("wharf image prune -f -a");
}

#[test]
fn a_prune_is_not_begun_before_its_plan_is_seen() {
    let mut ui = Ui::usual(80, 24);
    ui.play("2");
    let asked = update(&mut ui.state, Msg::Key("D".parse().unwrap()));
    let [Effect::Query { id, .. }] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!(update(&mut ui.state, Msg::Key("y".parse().unwrap())), []);
    ui.assert_shows("looking");
    update(
        &mut ui.state,
        Msg::Answer(*id, Err(failure("damaged store"))),
    );
    ui.assert_shows("damaged store");
    assert_eq!(ui.play("y"), []);
}

#[test]
fn read_only_opens_no_dialog_that_would_change_something() {
    let mut ui = Ui::usual(80, 24);
    ui.state.settings.read_only = true;
    ui.play("2");
    for key in ["p", "P", "t", "L", "d", "D"] {
        assert_eq!(ui.play(key), []);
        assert!(ui.state.overlays.is_empty(), "{key}");
    }
}

// Work.

#[test]
fn a_pull_layer_by_layer() {
    check("work", |ui| {
        let job = pull(ui, "nginx:1.28");
        under_way(ui, job);
        ui.play("&");
    });
}

#[test]
fn work_fits_into_every_size() {
    let mut ui = Ui::usual(80, 24);
    let job = pull(&mut ui, "nginx:1.28");
    under_way(&mut ui, job);
    ui.play("&");
    for width in (1..80).chain([120, 300]) {
        for height in 1..30 {
            ui.resize(width, height);
            let (buffer, _) = ui.cells();
            assert_eq!((buffer.area.width, buffer.area.height), (width, height));
        }
    }
}

#[test]
fn many_layers_leave_room_for_those_that_go_on() {
    let mut ui = Ui::usual(80, 24);
    let job = pull(&mut ui, "huge");
    for layer in 0..40_u64 {
        let part = format!("{layer:012}");
        let phase = if layer < 30 {
            "Pull complete"
        } else {
            "Downloading"
        };
        ui.progress(job, (&part, phase, layer, Some(100)), 100);
    }
    ui.play("&");
    ui.assert_shows("30 of 40 ready");
    ui.assert_shows("000000000039");
    ui.assert_hides("000000000029");
}

#[test]
fn work_is_cancelled_in_stages() {
    let mut ui = Ui::usual(80, 24);
    let job = pull(&mut ui, "nginx:1.28");
    assert_eq!(ui.play("& x"), [Effect::Cancel(job)]);
    ui.assert_shows("cancelling: pulling nginx:1.28");
    ui.send(Msg::Job(job, Report::Finished(Outcome::Cancelled)));
    ui.assert_shows("cancelled: pulling nginx:1.28");
    // To stop is what was wanted: no error.
    assert!(ui.state.notice.as_ref().is_some_and(|n| n.until.is_some()));
    ui.play("esc");
    let job = pull(&mut ui, "redis");
    ui.play("& x x");
    assert!(ui.state.jobs.is_empty());
    ui.assert_shows("not waited for: pulling redis:latest");
    let late = Outcome::Told(vec!["zzz".to_owned()]);
    assert_eq!(ui.send(Msg::Job(job, Report::Finished(late))), []);
    ui.assert_hides("zzz");
}

#[test]
fn a_click_on_the_footer_shows_the_work() {
    let mut ui = Ui::usual(80, 24);
    pull(&mut ui, "nginx:1.28");
    ui.send(Msg::Mouse(Mouse {
        kind: MouseKind::Press,
        x: 70,
        y: 23,
    }));
    ui.assert_shows("pulling nginx:1.28");
    ui.assert_shows("x cancels");
}

#[test]
fn what_failed_is_kept_with_its_hint() {
    let mut ui = Ui::usual(80, 24);
    let job = pull(&mut ui, "nginx:1.99");
    let why = failure("pull nginx:1.99: manifest unknown");
    ui.send(Msg::Job(job, Report::Finished(Outcome::Failed(why))));
    ui.assert_shows("manifest unknown");
    ui.play("esc &");
    ui.assert_shows("hint: try again");
    assert_eq!(ui.state.pulled, Vec::<String>::new());
}

// What is on disk.

#[test]
fn disk_usage() {
    check("usage", |ui| {
        ui.play("%");
    });
}

#[test]
fn nothing_on_disk() {
    let mut ui = Ui::new(World::empty(), 80, 24);
    ui.play("%");
    insta::assert_snapshot!("usage_empty", ui.screen());
    ui.play("esc 2");
    for key in ["P", "t", "s", "d"] {
        assert_eq!(ui.play(key), []);
        assert!(ui.state.overlays.is_empty(), "{key}");
    }
    assert_eq!(ui.state.pane, Pane::Images);
}

#[test]
fn the_disk_usage_view_says_why_it_is_empty_and_leads_to_the_prune() {
    let mut ui = Ui::usual(80, 24);
    ui.world.failure = Some(failure("read store: damaged"));
    ui.play("%");
    ui.assert_shows("read store: damaged");
    ui.world.failure = None;
    ui.play("esc % D");
    ui.assert_shows("Prune images");
    ui.play("esc");
    ui.assert_shows("Disk usage");
}
