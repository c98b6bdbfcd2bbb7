//! Two images beside each other, and which images share which layers.

use wharf::app::explorer::Target;
use wharf::app::tables::{Compared, Question};
use wharf::app::{Answer, Effect, Msg};
use wharf::engine::model::Digest;
use wharf::engine::model::sharing::{ImageShare, LayerShare, Sharing};

use crate::explorer::{image, part_of};
use crate::support::Ui;

const SIZES: [(u16, u16); 3] = [(160, 48), (80, 24), (40, 10)];

/// What the engine of the made-up host finds.
pub(crate) fn answer(question: &Question) -> Answer {
    let digest = |n: u8| Digest::from_sha256(&[n; 32]);
    match question {
        Question::Compare(..) | Question::Against(..) => {
            Answer::Compared(Compared::of(part_of(1), image()))
        }
        Question::Sharing => Answer::Sharing(Sharing {
            images: vec![
                ImageShare {
                    id: digest(0xab),
                    tags: vec!["shop/api:1.4".to_owned(), "shop/api:latest".to_owned()],
                    size: 52_000_000,
                    frees: 7_000_000,
                    containers: 2,
                },
                ImageShare {
                    id: digest(0xcd),
                    tags: Vec::new(),
                    size: 47_000_000,
                    frees: 0,
                    containers: 0,
                },
            ],
            layers: vec![
                LayerShare {
                    chain_id: digest(1),
                    diff_id: digest(2),
                    size: 45_000_000,
                    command: "/bin/sh -c #(nop) ADD file:9f3b in / ".to_owned(),
                    images: vec![0, 1],
                },
                LayerShare {
                    chain_id: digest(3),
                    diff_id: digest(4),
                    size: 7_000_000,
                    command: "COPY bad\u{1b}[31m /srv # buildkit".to_owned(),
                    images: vec![0],
                },
            ],
        }),
    }
}

fn check(name: &str, script: &str) {
    let prepared = |width, height| {
        let mut ui = Ui::usual(width, height);
        ui.play(script);
        ui
    };
    for (width, height) in SIZES {
        let screen = prepared(width, height).screen();
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), screen);
    }
    let mono = prepared(80, 24).mono().screen();
    assert_eq!(mono, prepared(80, 24).screen());
}

#[test]
fn images_and_their_layers() {
    check("map", "2 m");
}

#[test]
fn two_images_beside_each_other() {
    check("both", "2 space space =");
}

#[test]
fn two_images_are_chosen_by_their_marks() {
    let mut ui = Ui::usual(160, 48);
    ui.play("2 =");
    ui.assert_shows("mark two images");
    // The one that is marked, and the one that the cursor has gone to.
    ui.play("esc g space =");
    ui.assert_shows("larger than shop/api:1.4: 50.2MB in 4 layers, 20MB hidden");
    ui.play("q");
    assert!(ui.state.tables.is_none());
}

#[test]
fn a_change_is_read_and_compared() {
    let mut ui = Ui::usual(160, 48);
    ui.play("2 space space =");
    ui.play("j j enter");
    ui.assert_shows("/etc/passwd of both images");
    ui.assert_shows("1 lines added, 0 removed");
    ui.assert_shows("app:x:10:10");
    ui.play("/ d a e m o n <cr>");
    ui.assert_shows("/daemon 1/1");
    ui.play("esc q tab enter");
    ui.assert_hides("of both images");
    ui.assert_shows("layers are compared");
    assert_eq!(ui.play("esc j j y").len(), 1);
    ui.play("esc");
    assert!(ui.state.tables.is_none());
}

#[test]
fn a_directory_that_came_or_went_is_unfolded_to_its_files() {
    let mut ui = Ui::usual(160, 48);
    ui.play("2 space space =");
    // It came as one, and is one row.
    ui.assert_shows("\u{25b8}/usr");
    ui.assert_hides("gcc");
    let paths = |ui: &Ui| -> Vec<(u16, String, String)> {
        let lines = &ui.state.tables.as_ref().unwrap().tables[1].lines;
        let line = |line: &wharf::app::tables::Line| {
            let cell = |n: usize| line.cells[n].0.clone();
            (line.depth, cell(3), cell(5))
        };
        lines.iter().map(line).collect()
    };
    let folded = paths(&ui);
    ui.play("enter");
    ui.assert_shows("\u{25be}/usr");
    let row = |depth, size: &str, path: &str| (depth, size.to_owned(), path.to_owned());
    assert_eq!(
        paths(&ui)[..2],
        [row(0, "23M", "/usr"), row(1, "23M", "bin")]
    );
    ui.play("j l j");
    assert_eq!(paths(&ui)[2], row(2, "23M", "gcc"));
    let copied = ui.play("y");
    assert!(matches!(copied.as_slice(), [Effect::Copy(line)] if line.ends_with("\t/usr/bin/gcc")));
    // A file of it is read.
    ui.play("enter");
    ui.assert_shows("/usr/bin/gcc of layer 1");
    // Left goes up, and folds; what is chosen stays chosen.
    ui.play("esc left left left left");
    ui.assert_hides("gcc");
    assert_eq!(paths(&ui), folded);
    // Of layers nothing is unfolded.
    ui.play("tab space left right");
    assert_eq!(paths(&ui), folded);
    // What one image alone has may be a directory of nothing, and a directory that went.
    let mut ui = Ui::usual(80, 24);
    let question = Question::Compare(Box::new((
        Target::Stored("b".to_owned()),
        Target::Stored("a".to_owned()),
    )));
    let Effect::Query { id, .. } = ui.state.ask_tables(question, false) else {
        panic!();
    };
    let swapped = Compared::of(image(), part_of(1));
    ui.send(Msg::Answer(id, Ok(Answer::Compared(swapped))));
    ui.play("space j space");
    ui.assert_shows("\u{25be}bin");
    ui.assert_shows("gcc");
}

#[test]
fn images_of_the_map_are_looked_into() {
    let mut ui = Ui::usual(160, 48);
    ui.play("2 m");
    ui.assert_shows("in 2 layers of 2 images; without sharing");
    ui.assert_shows("COPY bad");
    ui.assert_hides("\u{1b}");
    let copied = ui.play("tab j y");
    assert!(matches!(copied.as_slice(), [Effect::Copy(line)] if line.contains("shop/api:1.4")));
    ui.play("enter");
    let target = &ui.state.explorer.as_ref().unwrap().target;
    assert!(matches!(target, Target::Stored(name) if name.starts_with("sha256:abab")));
    // Back to the map, and out of it.
    ui.play("q");
    ui.assert_shows("images and their layers");
    ui.play("z esc esc");
    assert!(ui.state.tables.is_none());
    ui.play("m 1");
    assert!(ui.state.tables.is_none());
}

#[test]
fn started_for_two_images_it_ends_with_them() {
    let mut ui = Ui::usual(80, 24);
    let target = |name: &str| Target::Stored(name.to_owned());
    let question = Question::Compare(Box::new((target("a"), target("b"))));
    let asked = ui.state.ask_tables(question, true);
    assert!(matches!(asked, Effect::Query { .. }));
    assert_eq!(ui.play("2"), []);
    assert_eq!(ui.play("q"), [Effect::Quit]);
}
