//! The layer explorer: from the first news to jumps between layers, on every size of screen.

use wharf::app::explorer::{News, Shared, Target};
use wharf::app::jobs::Request;
use wharf::app::tables::Question;
use wharf::app::{Answer, Effect, FileStart, Msg, Query, Sub, subscriptions};
use wharf::engine::Contents;
use wharf::engine::model::image::HistoryEntry;
use wharf::engine::model::layers::findings::secrets::{Hit, What};
use wharf::engine::model::layers::findings::{self, Evidence, Finding};
use wharf::engine::model::layers::{About, Entry, Explored, Kind, Part};
use wharf::engine::model::{Digest, Platform};

use crate::support::{Ui, ago, failure};

const SIZES: [(u16, u16); 4] = [(160, 48), (80, 24), (60, 20), (40, 10)];

fn entry(path: &str, kind: Kind, size: u64, mode: u32) -> Entry {
    Entry {
        path: path.into(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        size,
        mtime: (1_700_000_000, 0),
        xattrs: Vec::new(),
    }
}

fn file(path: &str, size: u64, content: u8) -> Entry {
    let content = Some([content; 32]);
    entry(path, Kind::File { content }, size, 0o644)
}

fn directory(path: &str) -> Entry {
    let kind = Kind::Directory {
        opaque: false,
        implied: false,
    };
    entry(path, kind, 0, 0o755)
}

fn about() -> About {
    let step = |by: &str, empty| HistoryEntry {
        created: Some(ago(86_400 * 3)),
        created_by: by.to_owned(),
        comment: String::new(),
        size: 0,
        empty,
    };
    About {
        name: "shop/api:1.4".to_owned(),
        id: format!("sha256:{}", "ab".repeat(32)),
        platform: Platform {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            ..Platform::default()
        },
        user: String::new(),
        has_healthcheck: false,
        history: vec![
            step("/bin/sh -c #(nop) ADD file:9f3b in / ", false),
            step("/bin/sh -c #(nop)  CMD [\"sh\"]", true),
            step(
                "RUN apt-get update && apt-get install -y build-essential curl # buildkit",
                false,
            ),
            step("COPY --chown=app . /srv/app # buildkit", false),
            step("RUN rm -rf /var/lib/apt/lists # buildkit", false),
            step("CMD [\"/srv/app/run\"]", true),
        ],
        env: Vec::new(),
        labels: std::collections::BTreeMap::new(),
    }
}

fn part(n: u8) -> Part {
    Part {
        diff_id: Digest::from_sha256(&[n; 32]),
        blob: Digest::from_sha256(&[n + 100; 32]),
        blob_size: 1_000_000 * u64::from(n),
        directory: String::new(),
        from_table: false,
        repeated: Vec::new(),
    }
}

fn layers() -> Vec<Vec<Entry>> {
    let mut su = file("bin/su", 70_000, 3);
    su.mode = 0o4755;
    let link = Kind::Symlink {
        target: b"busybox".to_vec(),
    };
    vec![
        vec![
            directory("bin"),
            file("bin/busybox", 1_100_000, 1),
            entry("bin/sh", link, 0, 0o777),
            su,
            directory("etc"),
            file("etc/passwd", 900, 2),
            directory("tmp"),
        ],
        vec![
            directory("etc"),
            file("etc/passwd", 950, 4),
            directory("usr"),
            directory("usr/bin"),
            file("usr/bin/gcc", 24_000_000, 5),
            directory("var"),
            directory("var/lib"),
            directory("var/lib/apt"),
            directory("var/lib/apt/lists"),
            file("var/lib/apt/lists/main", 17_000_000, 6),
            file("var/lib/apt/lists/security", 3_000_000, 7),
        ],
        vec![
            directory("srv"),
            directory("srv/app"),
            file("srv/app/.env", 120, 8),
            file("srv/app/bad\u{1b}[31mname", 5, 10),
            file("srv/app/run", 5_000_000, 9),
        ],
        vec![
            directory("var"),
            directory("var/lib"),
            directory("var/lib/apt"),
            entry("var/lib/apt/lists", Kind::Whiteout, 0, 0),
        ],
    ]
}

pub(crate) fn image() -> Shared {
    let mut image = Explored::new(about());
    for (number, entries) in (1..).zip(layers()) {
        image.push(part(number), entries);
    }
    Shared::new(image, Contents::default())
}

/// What the files hold.
pub(crate) fn content(image: &Shared, at: (u16, u32)) -> FileStart {
    let entry = image.image.stack.entry(at);
    let bytes = match (entry.path.as_slice(), at.0) {
        (b"etc/passwd", 0) => b"root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\n".to_vec(),
        (b"etc/passwd", _) => {
            b"root:x:0:0::/root:/bin/sh\napp:x:10:10::/srv:/bin/sh\ndaemon:x:1:1::/:/bin/false\n"
                .to_vec()
        }
        (b"app/secret", _) => {
            let lines: Vec<String> = (1..=100).map(|n| format!("line-{n}\n")).collect();
            lines.concat().into_bytes()
        }
        (b"app/raw", _) => [vec![0; 40], b"\n\n".to_vec(), b"PASSWORD=\0".to_vec()].concat(),
        (b"srv/app/.env", _) => b"# keys\nTOKEN = \"a\tb\"\nPORT=80\n\x1b[31mred\n".to_vec(),
        _ => b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0data of the program".to_vec(),
    };
    FileStart {
        size: u64::try_from(bytes.len()).unwrap(),
        bytes,
    }
}

/// What its files say.
pub(crate) fn findings(image: &Shared) -> Vec<Finding> {
    let hit = Hit {
        what: What::Password,
        line: 2,
        shown: "DB_PASSWORD, 8 characters".to_owned(),
    };
    let evidence = Evidence {
        hits: vec![(2, b"srv/app/.env".to_vec(), hit)],
        ..Evidence::default()
    };
    findings::findings(&image.image, &evidence)
}

fn generation(ui: &Ui) -> u64 {
    let sub = subscriptions(&ui.state)
        .into_iter()
        .find_map(|sub| match sub {
            Sub::Explore { generation, .. } => Some(generation),
            _ => None,
        });
    sub.unwrap()
}

fn tell(ui: &mut Ui, news: News) {
    let generation = ui.state.explorer.as_ref().unwrap().generation;
    ui.send(Msg::Explored { generation, news });
}

/// An image that is looked into, and read.
pub(crate) fn opened(width: u16, height: u16) -> Ui {
    let mut ui = Ui::usual(width, height);
    ui.play("2 l");
    let _ = generation(&ui);
    tell(&mut ui, News::Whole(image()));
    let mut outline = image().image.layers.clone();
    outline.truncate(4);
    let explorer = ui.state.explorer.as_mut().unwrap();
    explorer.take(News::Outline(Box::new(about()), outline));
    tell(&mut ui, News::Whole(image()));
    ui
}

fn check(name: &str, script: &str, typed: &str) {
    let prepared = |width, height| {
        let mut ui = opened(width, height);
        ui.play(script);
        ui.type_text(typed);
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

#[test]
fn layers_and_the_change_of_one() {
    check("layers", "j", "");
}

#[test]
fn the_image_up_to_a_layer() {
    check("whole", "G a i tab", "");
}

#[test]
fn hidden_bytes() {
    check("waste", "w", "");
}

#[test]
fn a_filter_that_is_typed() {
    check("filter", "a G /", "is:secret");
}

#[test]
fn layers_are_there_before_their_files() {
    let mut ui = Ui::usual(80, 24);
    ui.play("2 l");
    ui.assert_shows("reading");
    tell(&mut ui, News::Read(3_000_000));
    ui.assert_shows("reading, 2.9M");
    let facts = |number: usize, n| about().layer(number, part(n));
    let outline = vec![facts(0, 1), facts(1, 2), facts(2, 3), facts(3, 4)];
    tell(&mut ui, News::Outline(Box::new(about()), outline));
    ui.assert_shows("reading layer 1 of 4");
    tell(&mut ui, News::Read(1_000_000));
    ui.assert_shows("reading layer 1 of 4, 977K of 9.5M");
    ui.assert_shows("COPY --chown=app");
    let mut read = image().image.layers.clone();
    read.truncate(2);
    tell(&mut ui, News::Layers(read));
    ui.assert_shows("reading layer 3 of 4");
    ui.assert_shows("42M");
    assert!(ui.play("j j").is_empty());
    tell(&mut ui, News::Whole(image()));
    ui.assert_hides("reading");
    ui.assert_shows("Change of layer 2");
    ui.assert_shows("bad·[31mname");
    // Nobody needs the reader any more.
    let subs = subscriptions(&ui.state);
    assert!(!subs.iter().any(|sub| matches!(sub, Sub::Explore { .. })));
}

#[test]
fn what_cannot_be_read_is_told_and_left() {
    let mut ui = Ui::usual(80, 24);
    ui.play("2 l");
    tell(&mut ui, News::Failed(failure("explore: layer 2: damaged")));
    ui.assert_shows("layer 2: damaged");
    ui.play("esc esc");
    assert!(ui.state.explorer.is_none());
}

#[test]
fn why_there_are_no_layers_stands_in_their_place() {
    let why = "read /srv/images/shop.tar: entry \"blobs/sha256/0123456789abcdef\": the archive is cut short at byte 123456";
    for (width, height) in SIZES {
        let mut ui = Ui::usual(width, height);
        ui.play("2 l");
        tell(&mut ui, News::Failed(failure(why)));
        // Also when the message has been read and put away.
        ui.play("esc");
        assert!(ui.state.explorer.is_some());
        let told: String = ui
            .screen()
            .chars()
            .filter(|c| !c.is_whitespace() && !"\u{2502}\u{2503}".contains(*c))
            .collect();
        let wanted = "thearchiveiscutshortatbyte123456";
        assert!(told.contains(wanted), "{width}x{height}\n{}", ui.screen());
        if height > 10 {
            ui.assert_shows("try again");
        }
    }
    // What the manifest told stays, and the tree's place says why there is none.
    let mut ui = Ui::usual(80, 24);
    ui.play("2 l");
    let outline = vec![about().layer(0, part(1))];
    tell(&mut ui, News::Outline(Box::new(about()), outline));
    tell(&mut ui, News::Failed(failure("layer 0 of 1: damaged")));
    ui.play("esc");
    ui.assert_shows("ADD file:9f3b");
    ui.assert_shows("layer 0 of 1: damaged");
}

#[test]
fn news_for_another_explorer_are_dropped() {
    let mut ui = Ui::usual(80, 24);
    ui.play("2 l");
    let old = generation(&ui);
    ui.play("q l");
    let news = News::Whole(image());
    ui.send(Msg::Explored {
        generation: old,
        news,
    });
    assert!(ui.state.explorer.as_ref().unwrap().image.is_none());
}

#[test]
fn hidden_bytes_lead_to_both_layers() {
    let mut ui = opened(160, 48);
    ui.play("w");
    ui.assert_shows("19M (39.9 %) hidden");
    ui.assert_shows("remove it in the instruction that makes it");
    ui.play("enter");
    ui.assert_shows("Change of layer 1");
    let chosen = |ui: &mut Ui| match ui.play("y").as_slice() {
        [Effect::Copy(text)] => text.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(chosen(&mut ui), "/var/lib/apt/lists");
    ui.play("w");
    ui.play("right");
    ui.assert_shows("Change of layer 3");
    assert_eq!(chosen(&mut ui), "/var/lib/apt/lists");
    assert_eq!(
        ui.play("Y"),
        [Effect::Copy(Digest::from_sha256(&[4; 32]).to_string())]
    );
}

#[test]
fn a_jump_ends_filters_that_leave_its_path_out() {
    for filter in ["/ z z z <cr>", "a A esc a A M R U", "W / x <cr>"] {
        let mut ui = opened(160, 48);
        ui.play("j tab");
        ui.play(filter);
        ui.play("w enter");
        ui.assert_shows("Change of layer 1");
        let copied = [Effect::Copy("/var/lib/apt/lists".to_owned())];
        assert_eq!(ui.play("y"), copied, "{filter}");
    }
    // One that has the path stays.
    let mut ui = opened(160, 48);
    ui.play("j tab / l i s t s <cr> w enter");
    ui.assert_shows("/lists ");
}

#[test]
fn one_goes_back_step_by_step() {
    let mut ui = opened(80, 24);
    ui.play("tab w /");
    ui.type_text("apt");
    ui.play("<cr>");
    ui.assert_shows("/apt");
    ui.play("esc");
    ui.assert_hides("/apt ");
    ui.play("esc");
    ui.assert_shows("Change of layer");
    ui.play("esc esc");
    assert!(ui.state.explorer.is_none());
    ui.assert_shows("busybox:latest");
    // A filter that is not wanted after all.
    let mut ui = opened(80, 24);
    ui.play("/");
    ui.type_text("passwd");
    ui.play("esc");
    ui.assert_hides("/passwd");
}

#[test]
fn started_for_one_image_it_ends_with_it() {
    let mut ui = Ui::usual(80, 24);
    let target = Target::Stored("a".to_owned());
    ui.state.explore(target, true);
    tell(&mut ui, News::Whole(image()));
    assert_eq!(ui.play("2"), [], "there are no panes below it");
    assert!(ui.state.explorer.is_some());
    assert_eq!(ui.play("q"), [Effect::Quit]);
    assert_eq!(ui.play("esc"), [Effect::Quit]);
}

/// The image up to some of its layers.
pub(crate) fn part_of(count: usize) -> Shared {
    let mut image = Explored::new(about());
    for (number, entries) in (1..).zip(layers()).take(count) {
        image.push(part(number), entries);
    }
    Shared::new(image, Contents::default())
}

#[test]
fn the_tree_of_a_layer_is_shown_while_others_are_read() {
    let mut ui = Ui::usual(160, 48);
    ui.play("2 l");
    let outline: Vec<_> = (0..4)
        .zip(1..)
        .map(|(at, n)| about().layer(at, part(n)))
        .collect();
    tell(&mut ui, News::Outline(Box::new(about()), outline));
    tell(&mut ui, News::Part(part_of(2)));
    ui.assert_shows("reading layer 3 of 4");
    ui.assert_shows("busybox");
    // What the user does there stays when more comes.
    ui.play("j tab / g c c <cr>");
    ui.assert_shows("gcc");
    assert_eq!(ui.play("v"), []);
    ui.assert_shows("files can be read when all layers have been");
    ui.play("esc");
    tell(&mut ui, News::Part(part_of(3)));
    ui.assert_shows("Change of layer 1");
    ui.assert_shows("/gcc 1");
    assert_eq!(ui.play("G y"), [Effect::Copy("/usr/bin/gcc".to_owned())]);
    // The tree of one that was not read is not there.
    ui.play("]");
    ui.assert_shows("nothing fits the filter");
    ui.play("]");
    ui.assert_hides("nothing fits");
    ui.play("F");
    ui.assert_shows("findings are looked for when all layers have been read");
    ui.play("W a - s A enter space left right x d i w");
    let subs = subscriptions(&ui.state);
    assert!(subs.iter().any(|sub| matches!(sub, Sub::Explore { .. })));
    tell(&mut ui, News::Whole(image()));
    ui.assert_hides("reading");
}

#[test]
fn findings_of_an_image() {
    check("findings", "F", "");
}

#[test]
fn findings_lead_to_layer_and_path() {
    let mut ui = opened(160, 48);
    ui.play("a G / i s : s e c r e t <cr>");
    // Until it is known, names tell.
    ui.assert_shows("/is:secret 1");
    ui.play("esc F");
    ui.assert_shows("Findings: 1 high, 2 medium, 2 low, 2 allowed");
    ui.assert_shows("DB_PASSWORD, 8 characters");
    ui.assert_shows("RUN --mount=type=secret");
    assert_eq!(ui.play("y"), [Effect::Copy("/srv/app/.env:2".to_owned())]);
    ui.play("enter");
    ui.assert_shows("/srv/app/.env of layer 2");
    // One comes back to the list; the tree has the file.
    ui.play("esc right");
    ui.assert_shows("Change of layer 2");
    assert_eq!(ui.play("y"), [Effect::Copy("/srv/app/.env".to_owned())]);
    // It is closed by the key that opened it, and by going back.
    ui.play("F F");
    ui.assert_hides("Findings:");
    ui.play("w F");
    ui.assert_hides("Hidden bytes");
    ui.play("j j enter");
    ui.assert_shows("it is in the configuration, in no layer");
    ui.play("esc esc");
    ui.assert_hides("Findings:");
}

/// An image whose last layer removes two files: one of a hundred lines with a secret in the ninetieth, and bytes with one.
fn with_a_removed_secret() -> Shared {
    let mut image = Explored::new(about());
    let whiteout = |path| entry(path, Kind::Whiteout, 0, 0);
    image.push(
        part(1),
        vec![
            directory("app"),
            file("app/raw", 9, 1),
            file("app/secret", 9, 2),
        ],
    );
    image.push(part(2), vec![whiteout("app/raw"), whiteout("app/secret")]);
    Shared::new(image, Contents::default())
}

#[test]
fn a_finding_is_read_at_its_line_also_where_a_later_layer_removes_it() {
    for (width, height) in [(160, 48), (80, 24)] {
        let image = with_a_removed_secret();
        let hit = |path: &str, line| {
            let hit = Hit {
                what: What::Password,
                line,
                shown: "PASSWORD, 9 characters".to_owned(),
            };
            (0, path.as_bytes().to_vec(), hit)
        };
        let evidence = Evidence {
            hits: vec![hit("app/secret", 90), hit("app/raw", 3)],
            ..Evidence::default()
        };
        let found = findings::findings(&image.image, &evidence);
        let mut ui = Ui::usual(width, height);
        ui.play("2 l");
        tell(&mut ui, News::Whole(image));
        ui.play("F");
        let explorer = ui.state.explorer.as_mut().unwrap();
        explorer.take_findings(found, 0);
        let chosen = |ui: &Ui| {
            ui.state
                .explorer
                .as_ref()
                .unwrap()
                .chosen_finding()
                .cloned()
        };
        let at = |ui: &mut Ui, path: &str| {
            while chosen(ui).unwrap().path.as_deref() != Some(path.as_bytes()) {
                ui.play("j");
            }
        };
        at(&mut ui, "app/secret");
        ui.play("enter");
        ui.assert_shows("/app/secret of layer 0");
        ui.assert_shows("\u{25b8} line-90");
        ui.assert_hides("line-1 ");
        // What is looked for is found beside it; the mark stays.
        ui.play("/ l i n e - 9 5 <cr>");
        ui.assert_shows("\u{25b8} line-90");
        ui.play("esc esc");
        ui.assert_shows("Findings");
        ui.play("g");
        at(&mut ui, "app/raw");
        ui.play("v");
        ui.assert_shows("\u{25b8} 00000020");
    }
}

#[test]
fn a_filter_for_secrets_knows_what_was_found() {
    let mut ui = opened(160, 48);
    let harmless = |at: (u16, Vec<u8>, Hit)| Evidence {
        hits: vec![at],
        ..Evidence::default()
    };
    let hit = Hit {
        what: What::Token,
        line: 1,
        shown: "ghp_".to_owned(),
    };
    let evidence = harmless((2, b"srv/app/run".to_vec(), hit));
    let found = findings::findings(&image().image, &evidence);
    ui.play("a G / i s : s e c r e t <cr>");
    ui.assert_shows(".env");
    let explorer = ui.state.explorer.as_mut().unwrap();
    explorer.take_findings(found, 0);
    ui.play("tab");
    ui.assert_shows("/is:secret 1");
    assert_eq!(ui.play("G y"), [Effect::Copy("/srv/app/run".to_owned())]);
}

#[test]
fn text_and_bytes_are_searched() {
    let mut ui = opened(160, 48);
    ui.play("j j enter / . e n v <cr> G v n");
    ui.assert_shows("nothing is looked for");
    ui.play("esc / p o r t <cr>");
    ui.assert_shows("/port 1/1");
    ui.play("n N esc");
    ui.assert_hides("/port");
    ui.assert_shows("PORT=80");
    ui.play("/ z z z <cr> n");
    ui.assert_shows("zzz is not in it");
    // Left with esc, nothing is looked for any more.
    ui.play("esc / k e y s esc");
    ui.assert_hides("/keys");
    ui.play("/ o <cr> b");
    ui.assert_shows("/o 0/2");
    ui.play("/ 0 x 5 0 4 f <cr>");
    ui.assert_shows("/0x504f 1/1");
}

#[test]
fn a_click_chooses_and_a_second_one_folds() {
    let mut ui = opened(160, 48);
    let click = |ui: &mut Ui, wanted: &str| {
        let screen = ui.screen();
        let (y, line) = (0_u16..)
            .zip(screen.lines())
            .find(|(_, line)| line.contains(wanted))
            .unwrap();
        let x = line.split(wanted).next().unwrap().chars().count();
        let mouse = wharf::app::Mouse {
            kind: wharf::app::MouseKind::Press,
            x: u16::try_from(x).unwrap(),
            y,
        };
        ui.send(Msg::Mouse(mouse));
    };
    click(&mut ui, "RUN apt-get");
    ui.assert_shows("Change of layer 1");
    click(&mut ui, "▾usr/");
    ui.assert_shows("gcc");
    click(&mut ui, "▾usr/");
    ui.assert_hides("gcc");
}

#[test]
fn an_image_of_nothing_has_an_explorer_too() {
    let mut ui = Ui::usual(80, 24);
    ui.play("2 l");
    let mut about = about();
    about.history.clear();
    tell(&mut ui, News::Outline(Box::new(about.clone()), Vec::new()));
    tell(
        &mut ui,
        News::Whole(Shared::new(Explored::new(about), Contents::default())),
    );
    ui.play("j G tab j enter space - a s w W i f esc / x <cr>");
    ui.assert_shows("Layers 0");
}

#[test]
fn a_text_is_read() {
    check("text", "j j enter / . e n v <cr> G v", "");
}

#[test]
fn a_program_is_read_as_bytes() {
    check("bytes", "enter / b u s y <cr> G v", "");
}

#[test]
fn a_file_is_compared_between_layers() {
    check("compare", "j enter / p a s s w d <cr> G d", "");
}

#[test]
fn reading_is_left_and_changed() {
    let mut ui = opened(160, 48);
    ui.play("enter / b u s y <cr> G enter");
    ui.assert_shows("ELF 64-bit, x86-64, static program");
    ui.assert_shows("7f 45 4c 46");
    ui.play("b");
    ui.assert_hides("7f 45 4c 46");
    ui.assert_shows("data of the program");
    assert_eq!(ui.play("y"), [Effect::Copy("/bin/busybox".to_owned())]);
    ui.play("esc");
    ui.assert_hides("ELF");
    // Nothing was there before it.
    ui.play("d");
    ui.assert_shows("no layer before has a file there");
    ui.play("esc g v");
    ui.assert_shows("nothing to read");
}

#[test]
fn what_is_extracted_is_asked_for_and_written() {
    let mut ui = opened(160, 48);
    let extracted = |ui: &mut Ui, script: &str| {
        ui.play(script);
        let effects = ui.play("<cr>");
        match effects.as_slice() {
            [Effect::Start(_, Request::Extract(extract))] => {
                let path = extract.path.display().to_string();
                (
                    extract.what.clone(),
                    path,
                    extract.plain,
                    extract.entries.len(),
                )
            }
            other => panic!("{other:?} in\n{}", ui.screen()),
        }
    };
    let layer = extracted(&mut ui, "j x");
    assert_eq!(
        layer,
        (
            "layer 1".to_owned(),
            "/home/me/layer-1.tar".to_owned(),
            false,
            11
        )
    );
    let whole = extracted(&mut ui, "a G x");
    assert_eq!(whole.0, "the image up to layer 3");
    assert_eq!((whole.1.as_str(), whole.2), ("/home/me/image-3.tar", false));
    let directory = extracted(&mut ui, "tab / u s r / b i n <cr> g x");
    assert_eq!(
        directory,
        ("/usr".to_owned(), "/home/me/usr.tar".to_owned(), false, 3)
    );
    let file = extracted(&mut ui, "G x");
    assert_eq!(
        file,
        (
            "/usr/bin/gcc".to_owned(),
            "/home/me/gcc".to_owned(),
            true,
            1
        )
    );
    // A directory that the layer took away is in the layer below; a file of it can be had from here.
    ui.play("esc a g j j j x");
    ui.assert_shows("nothing to extract");
    let gone = extracted(&mut ui, "G x");
    assert_eq!(gone.0, "/var/lib/apt/lists/security");
}

/// What the comparison that the effects ask for is of.
fn compared(effects: &[Effect]) -> ([String; 2], Target) {
    match effects {
        [
            Effect::Query {
                query: Query::Tables(question),
                ..
            },
        ] => match question.as_ref() {
            Question::Against(both) => (both.names(), both.target.clone()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_image_is_compared_with_another_one_and_comes_back() {
    let mut ui = opened(160, 48);
    let shown = ui.state.explorer.as_ref().unwrap().target.name();
    ui.play("j tab G =");
    ui.assert_shows(&format!("Compare {shown} with"));
    // Images of the store are offered, but for the one that is shown.
    ui.assert_shows("nginx:1.27");
    ui.type_text("latest");
    ui.assert_hides("  busybox:latest");
    ui.play("down <cr>");
    ui.assert_shows(&format!("wharf layers diff nginx:latest {shown}"));
    let before = ui.state.explorer.as_ref().unwrap().tree.chosen();
    ui.play("<cr>");
    ui.assert_shows(&format!("nginx:latest and {shown}"));
    ui.assert_shows("Changes, ");
    ui.play("q");
    ui.assert_shows("Change of layer 1");
    assert_eq!(ui.state.explorer.as_ref().unwrap().tree.chosen(), before);
    assert!(ui.state.tables.is_none());
}

#[test]
fn another_image_may_be_wherever_the_command_line_finds_one() {
    let mut ui = opened(80, 24);
    let typed = |ui: &mut Ui, text: &str| {
        ui.play("=");
        ui.type_text(text);
        let effects = ui.unanswered("<cr>");
        let found = compared(&effects);
        ui.play("q");
        found.0[0].clone()
    };
    for (text, meant) in [
        ("registry://host:5000/a:1", "registry://host:5000/a:1"),
        ("./x.tar:a:2", "./x.tar:a:2"),
        ("oci:~/layout", "oci:/home/me/layout"),
        ("~/x.tar", "/home/me/x.tar"),
        ("docker://a", "docker://a"),
    ] {
        assert_eq!(typed(&mut ui, text), meant);
    }
    // Paths are completed behind what says of which kind they are.
    ui.play("=");
    ui.type_text("oci:./arch");
    ui.assert_shows("oci:./archives/");
    ui.play("tab");
    ui.assert_shows("image  oci:./archives/ ");
}

#[test]
fn the_other_image_may_be_the_later_one_and_standard_input_is_none() {
    let mut ui = opened(80, 24);
    ui.play("=");
    ui.type_text("-");
    ui.assert_shows("standard input is for the command line");
    ui.play("<cr>");
    assert!(ui.state.tables.is_none());
    ui.play("ctrl+u");
    ui.type_text("rootfs:-");
    ui.assert_shows("standard input is for the command line");
    ui.play("ctrl+u");
    ui.type_text("b");
    let effects = ui.unanswered("tab right <cr>");
    let ([before, after], target) = compared(&effects);
    assert_eq!((before, after.as_str()), (target.name(), "b"));
}

#[test]
fn a_comparison_that_fails_says_why_and_leads_back_also_where_nothing_else_is_below() {
    let mut ui = Ui::usual(80, 24);
    ui.state.explore(Target::Stored("a".to_owned()), true);
    tell(&mut ui, News::Whole(image()));
    ui.play("F =");
    ui.type_text("b");
    let effects = ui.unanswered("<cr>");
    let [Effect::Query { id, .. }] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!(ui.play("2"), [], "there are no panes below it");
    ui.send(Msg::Answer(*id, Err(failure("open b: no such file"))));
    ui.play("esc");
    ui.assert_shows("open b: no such file");
    ui.assert_shows("try again");
    assert_eq!(ui.play("q"), []);
    ui.assert_shows("Findings: ");
    assert_eq!(ui.play("q"), [Effect::Quit]);
}

#[test]
fn findings_that_come_behind_a_comparison_are_there_when_one_comes_back() {
    let mut ui = opened(160, 48);
    let effects = ui.unanswered("F");
    let [Effect::Query { id, .. }] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    ui.play("=");
    ui.type_text("b");
    ui.play("<cr>");
    let found = findings(&image());
    ui.send(Msg::Answer(*id, Ok(Answer::Findings(found, 0))));
    ui.play("q");
    ui.assert_shows("DB_PASSWORD");
}

#[test]
fn odd_names_are_told_apart_and_the_end_of_a_long_path_is_seen() {
    let deep = format!("{}end", "directory/".repeat(30));
    let name = "x".repeat(255);
    let mut image = Explored::new(about());
    let mut entries = vec![
        directory(&name),
        file("new\nline", 1, 1),
        file("new line", 1, 2),
        file("tab\there", 1, 3),
        file(&deep, 1, 4),
        directory("directory"),
    ];
    for depth in 2..=30 {
        entries.push(directory(vec!["directory"; depth].join("/").as_str()));
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    image.push(part(1), entries);
    let mut ui = Ui::usual(80, 24);
    ui.play("2 l");
    tell(
        &mut ui,
        News::Whole(Shared::new(image, Contents::default())),
    );
    ui.play("tab / l i n e <cr>");
    ui.assert_shows("new\u{b7}line");
    ui.assert_shows("new line");
    // What is copied is the path as it is, from the tree and from the file.
    let copied = [Effect::Copy("/new\nline".to_owned())];
    let is_found = (0..3).any(|_| ui.play("y") == copied || !ui.play("j").is_empty());
    assert!(is_found, "{}", ui.screen());
    assert_eq!(ui.play("v y"), copied);
    ui.play("esc");
    ui.play("esc / e n d <cr> G v");
    ui.assert_shows("/directory/end of layer 0");
    ui.play("esc esc / x x x <cr> G x");
    ui.assert_shows(&"x".repeat(40));
    let effects = ui.play("<cr>");
    let [Effect::Start(_, Request::Extract(extract))] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    let proposed = extract.path.file_name().unwrap();
    assert!(proposed.len() <= 255, "{proposed:?}");
}
