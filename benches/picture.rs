//! Draws the README's pictures, docs/picture.svg and docs/explorer.svg, from the real program: the demo in a terminal, cell by
//! cell. Names of pictures as arguments draw these alone.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a tool of the repository prints, and may end where it fails"
)]

#[expect(
    dead_code,
    reason = "shared by several test binaries, each of which uses a part of it"
)]
#[path = "../tests/engine/support.rs"]
mod support;
#[path = "../tests/e2e/terminal.rs"]
mod terminal;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use terminal::Terminal;
use wharf::engine::sys::namespace;
use wharf::engine::sys::process::NEWNET;

const ROWS: u16 = 36;
const COLS: u16 = 120;
/// Pixels of a cell, and the font that fits into it.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 18.0;
const FONT: f64 = 14.0;
const MARGIN: f64 = 12.0;
const FOREGROUND: &str = "#d4d7dd";
const BACKGROUND: &str = "#16181d";
/// The sixteen colours of a terminal.
const PALETTE: [&str; 16] = [
    "#23262d", "#e5616c", "#8cc265", "#d9b25f", "#5aa9e6", "#c678dd", "#4fb8c4", "#c5c9d3",
    "#6b7280", "#ff7b85", "#a5e075", "#f0c674", "#7cc0ff", "#dd9bf0", "#6fd3df", "#ffffff",
];

fn main() {
    let Some(host) = support::privileged() else {
        return;
    };
    // The demo makes the default bridge.
    namespace::unshare(NEWNET).unwrap();
    namespace::loopback_up().unwrap();
    host.ok(["demo", "--detach"]);
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for (name, draw) in PICTURES {
        let is_wanted = |arg: &String| arg == name;
        // What begins with a dash is cargo's.
        let all = wanted.iter().all(|arg| arg.starts_with('-'));
        if all || wanted.iter().any(is_wanted) {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/{name}.svg"));
            std::fs::write(&path, draw(&host)).unwrap();
            println!("wrote docs/{name}.svg");
        }
    }
}

/// Each picture and how it is made.
const PICTURES: [(&str, Draw); 2] = [("picture", workstation), ("explorer", explorer)];

type Draw = fn(&support::Host) -> String;

/// What of the demo's image nobody sees, and where it came from.
fn explorer(host: &support::Host) -> String {
    let arguments = ["layers", "wharf-demo-layers"];
    let colours = [("COLORTERM", "truecolor")];
    let mut terminal = Terminal::open(host, &arguments, (ROWS, COLS), colours);
    terminal.wait_text("Change of layer 0");
    terminal.send("w");
    terminal.wait_text("Hidden bytes");
    // To the layer that brought the largest of them.
    terminal.send("\r");
    terminal.wait_no_text("Change of layer 0");
    settle(Duration::from_millis(500));
    let picture = terminal.screen(svg);
    terminal.send("q");
    terminal.wait_exit();
    picture
}

fn workstation(host: &support::Host) -> String {
    let mut terminal = Terminal::open(host, &["demo"], (ROWS, COLS), [("COLORTERM", "truecolor")]);
    terminal.wait_text("demo-wave");
    // To the load that rises and falls, and its graphs.
    while !selected(&terminal).contains("demo-wave") {
        terminal.send("j");
        settle(Duration::from_millis(200));
    }
    terminal.send("t");
    // Graphs are worth looking at when they have a past.
    settle(Duration::from_secs(45));
    let picture = terminal.screen(svg);
    terminal.send("q");
    terminal.wait_exit();
    picture
}

/// The row of the list that is drawn in reverse, or has a background of its own.
fn selected(terminal: &Terminal) -> String {
    terminal.screen(|screen| {
        (2..ROWS)
            .find(|row| {
                screen
                    .cell(*row, 3)
                    .is_some_and(|cell| cell.inverse() || cell.bgcolor() != vt100::Color::Default)
            })
            .map(|row| screen.contents_between(row, 0, row, COLS / 2))
            .unwrap_or_default()
    })
}

/// How a cell looks.
#[derive(Clone, PartialEq)]
struct Style {
    foreground: String,
    background: String,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
}

fn svg(screen: &vt100::Screen) -> String {
    let width = f64::from(COLS) * WIDTH + 2.0 * MARGIN;
    let height = f64::from(ROWS) * HEIGHT + 2.0 * MARGIN;
    let mut out = String::new();
    let _ = writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" font-family="'JetBrains Mono','DejaVu Sans Mono',Menlo,Consolas,monospace" font-size="{FONT}">
<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>"#
    );
    for row in 0..ROWS {
        for (column, text, style) in runs(screen, row) {
            draw(&mut out, row, column, &text, &style);
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Cells of a row that look the same: first column, text, style.
fn runs(screen: &vt100::Screen, row: u16) -> Vec<(u16, String, Style)> {
    let mut found: Vec<(u16, String, Style)> = Vec::new();
    for column in 0..COLS {
        let Some(cell) = screen.cell(row, column) else {
            continue;
        };
        if cell.is_wide_continuation() {
            continue;
        }
        let text = if cell.has_contents() {
            cell.contents()
        } else {
            " "
        };
        let style = style(cell);
        match found.last_mut() {
            Some((_, run, same)) if *same == style => run.push_str(text),
            _ => found.push((column, text.to_owned(), style)),
        }
    }
    found
}

fn style(cell: &vt100::Cell) -> Style {
    let mut foreground = colour(cell.fgcolor(), FOREGROUND);
    let mut background = colour(cell.bgcolor(), BACKGROUND);
    if cell.inverse() {
        std::mem::swap(&mut foreground, &mut background);
    }
    Style {
        foreground,
        background,
        bold: cell.bold(),
        dim: cell.dim(),
        italic: cell.italic(),
        underline: cell.underline(),
    }
}

fn draw(out: &mut String, row: u16, column: u16, text: &str, style: &Style) {
    let cells = f64::from(u32::try_from(text.chars().count()).unwrap());
    let x = f64::from(column) * WIDTH + MARGIN;
    let y = f64::from(row) * HEIGHT + MARGIN;
    let width = cells * WIDTH;
    if style.background != BACKGROUND {
        let fill = &style.background;
        let _ = writeln!(
            out,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{HEIGHT}" fill="{fill}"/>"#
        );
    }
    if text.trim().is_empty() {
        return;
    }
    // Lines and dots are drawn, not written: no two fonts agree on them.
    let mut path = String::new();
    let mut words = String::new();
    for (n, sign) in (0_u32..).zip(text.chars()) {
        let left = x + f64::from(n) * WIDTH;
        let is_drawn = lines(&mut path, sign, left, y) || dots(&mut path, sign, left, y);
        words.push(if is_drawn { ' ' } else { sign });
    }
    if !path.is_empty() {
        let fill = &style.foreground;
        let _ = writeln!(out, r#"<path fill="{fill}" d="{path}"/>"#);
    }
    if words.trim().is_empty() {
        return;
    }
    let mut more = String::new();
    for (set, attribute) in [
        (style.bold, r#" font-weight="bold""#),
        (style.dim, r#" opacity="0.6""#),
        (style.italic, r#" font-style="italic""#),
        (style.underline, r#" text-decoration="underline""#),
    ] {
        if set {
            more.push_str(attribute);
        }
    }
    let escaped = words.replace('&', "&amp;").replace('<', "&lt;");
    let base = y + HEIGHT * 0.75;
    let fill = &style.foreground;
    let _ = writeln!(
        out,
        r#"<text x="{x:.1}" y="{base:.1}" textLength="{width:.1}" fill="{fill}" xml:space="preserve"{more}>{escaped}</text>"#
    );
}

/// A box-drawing character as bars from the middle of the cell to its edges; a full block as what it is.
fn lines(path: &mut String, sign: char, x: f64, y: f64) -> bool {
    if sign == '█' {
        bar(path, x, y + 3.0, x + WIDTH, y + HEIGHT - 3.0);
        return true;
    }
    // Up, right, down, left, and whether it is heavy.
    let (up, right, down, left, heavy) = match sign {
        '─' => (false, true, false, true, false),
        '│' => (true, false, true, false, false),
        '┌' => (false, true, true, false, false),
        '┐' => (false, false, true, true, false),
        '└' => (true, true, false, false, false),
        '┘' => (true, false, false, true, false),
        '━' => (false, true, false, true, true),
        '┃' => (true, false, true, false, true),
        '┏' => (false, true, true, false, true),
        '┓' => (false, false, true, true, true),
        '┗' => (true, true, false, false, true),
        '┛' => (true, false, false, true, true),
        _ => return false,
    };
    let half = if heavy { 1.2 } else { 0.6 };
    let (middle_x, middle_y) = (x + WIDTH / 2.0, y + HEIGHT / 2.0);
    let from_y = if up { y } else { middle_y - half };
    let to_y = if down { y + HEIGHT } else { middle_y + half };
    let from_x = if left { x } else { middle_x - half };
    let to_x = if right { x + WIDTH } else { middle_x + half };
    if up || down {
        bar(path, middle_x - half, from_y, middle_x + half, to_y);
    }
    if left || right {
        bar(path, from_x, middle_y - half, to_x, middle_y + half);
    }
    true
}

/// A braille character as its dots (Unicode, "Braille Patterns": bits 0 to 2 and 6 are the left column).
fn dots(path: &mut String, sign: char, x: f64, y: f64) -> bool {
    const PLACES: [(f64, f64); 8] = [
        (0.0, 0.0),
        (0.0, 1.0),
        (0.0, 2.0),
        (1.0, 0.0),
        (1.0, 1.0),
        (1.0, 2.0),
        (0.0, 3.0),
        (1.0, 3.0),
    ];
    let Some(bits) = u32::from(sign).checked_sub(0x2800).filter(|b| *b < 256) else {
        return false;
    };
    for (bit, (column, row)) in PLACES.iter().enumerate() {
        if bits & (1 << bit) != 0 {
            let left = x + (column + 0.5) * WIDTH / 2.0 - 1.2;
            let top = y + (row + 0.5) * HEIGHT / 4.0 - 1.2;
            bar(path, left, top, left + 2.4, top + 2.4);
        }
    }
    true
}

fn bar(path: &mut String, left: f64, top: f64, right: f64, bottom: f64) {
    let _ = write!(
        path,
        "M{left:.1} {top:.1}H{right:.1}V{bottom:.1}H{left:.1}Z"
    );
}

fn colour(colour: vt100::Color, default: &str) -> String {
    match colour {
        vt100::Color::Default => default.to_owned(),
        vt100::Color::Idx(index) => match index {
            0..=15 => PALETTE[usize::from(index)].to_owned(),
            16..=231 => {
                let level = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
                let n = index - 16;
                format!(
                    "#{:02x}{:02x}{:02x}",
                    level(n / 36),
                    level(n / 6 % 6),
                    level(n % 6)
                )
            }
            232.. => {
                let grey = 8 + 10 * (index - 232);
                format!("#{grey:02x}{grey:02x}{grey:02x}")
            }
        },
        vt100::Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a picture of live figures needs time to pass"
)]
fn settle(time: Duration) {
    std::thread::sleep(time);
}
