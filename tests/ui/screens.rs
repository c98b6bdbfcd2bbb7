//! Snapshots of whole screens. Colours are not in them: `draw.rs` asserts those.

use wharf::app::jobs::Outcome;

use crate::support::{Ui, World, failure};

const SIZES: [(u16, u16); 4] = [(80, 24), (120, 40), (200, 60), (40, 10)];

const LOG: &str = "10.0.0.7 - GET / 200 1043\n10.0.0.7 - GET /style.css 200 512\n!worker 3 is slow: 1200 ms\n\
                   10.0.0.9 - GET /a/very/long/path/that/goes/on/and/on/until/it/has/to/wrap/somewhere?with=a&query=too 404 0\n\
                   10.0.0.7 - POST /login 302 0";

fn prepared(width: u16, height: u16) -> Ui {
    let mut ui = Ui::usual(width, height);
    ui.play("j");
    ui.log(LOG);
    ui
}

fn check(name: &str, script: &str) {
    for (width, height) in SIZES {
        let mut ui = prepared(width, height);
        ui.play(script);
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), ui.screen());
    }
    let mut ui = prepared(80, 24).ascii();
    ui.play(script);
    insta::assert_snapshot!(format!("{name}_ascii"), ui.screen());
    // Without colour the text is the same: nothing else is drawn to make up for it.
    let mut mono = prepared(80, 24).mono();
    mono.play(script);
    let mut colour = prepared(80, 24);
    colour.play(script);
    assert_eq!(mono.screen(), colour.screen());
}

#[test]
fn containers_and_log() {
    check("log", "");
}

#[test]
fn log_with_the_focus() {
    check("log_focus", "enter T / g e t <cr>");
}

#[test]
fn figures() {
    check("stats", "t");
}

#[test]
fn inspect() {
    check("inspect", "i");
}

#[test]
fn images() {
    check("images", "2 j");
}

#[test]
fn help() {
    check("help", "?");
}

#[test]
fn question() {
    check("question", "space space d");
}

#[test]
fn empty() {
    for (width, height) in SIZES {
        let ui = Ui::new(World::empty(), width, height);
        insta::assert_snapshot!(format!("empty_{width}x{height}"), ui.screen());
    }
}

#[test]
fn overlays_at_80x24() {
    for (name, script) in [
        ("palette", ": s o r t"),
        ("filter", "/ s t a t u s : e x"),
        ("zoomed", "enter z"),
    ] {
        let mut ui = prepared(80, 24);
        ui.play(script);
        insta::assert_snapshot!(name, ui.screen());
    }
}

#[test]
fn command_log_and_error() {
    let mut ui = prepared(80, 24);
    let effects = ui.play("s j r");
    ui.finish(&effects[..1], &Outcome::Done);
    ui.finish(
        &effects[1..],
        &Outcome::Failed(failure("restart worker: signal: gone")),
    );
    insta::assert_snapshot!("error", ui.screen());
    ui.play("enter");
    insta::assert_snapshot!("error_in_full", ui.screen());
    ui.play("esc @");
    insta::assert_snapshot!("command_log", ui.screen());
}
