//! The list of layers: number, size, bar, what is hidden of it, age, command.

use ratatui::layout::Rect;

use super::super::canvas::Canvas;
use super::draw_failure;
use crate::app::explorer::{Explorer, Part};
use crate::app::layout::list_parts;
use crate::app::role::Role;
use crate::app::{State, text};
use crate::engine::model::layers::{LayerFacts, instruction};

/// Columns: sign, number, size, bar, hidden bytes, age; the rest is the command's.
const SIZE: u16 = 6;
const AGE: u16 = 4;

pub(super) fn draw(state: &State, explorer: &Explorer, rect: Rect, canvas: &mut Canvas<'_>) {
    let focused = explorer.part == Part::Layers;
    canvas.border(rect, focused);
    let title = match explorer.base {
        base if explorer.has_boundary() => {
            format!("Layers {} ({base} of the base)", explorer.layers.len())
        }
        _ => format!("Layers {}", explorer.layers.len()),
    };
    canvas.title(rect, &title, focused);
    let (header, body) = list_parts(rect);
    if let Some(failure) = explorer
        .failure
        .as_ref()
        .filter(|_| explorer.layers.is_empty())
    {
        return draw_failure(failure, body, canvas);
    }
    let columns = Columns::new(body.width);
    if let Some(header) = header {
        columns.titles(header, canvas);
    }
    let largest = explorer
        .layers
        .iter()
        .map(|layer| layer.size)
        .max()
        .unwrap_or(0);
    let first = explorer.first_layer_line(usize::from(body.height));
    for (line, y) in (first..).zip(body.y..body.bottom()) {
        let Some(number) = explorer.layer_at_line(line) else {
            if explorer.has_boundary() && line == explorer.base {
                draw_boundary(explorer, body, y, canvas);
                continue;
            }
            break;
        };
        let Some(layer) = explorer.layers.get(number) else {
            break;
        };
        columns.layer(
            state,
            explorer,
            (number, layer),
            largest,
            Rect {
                y,
                height: 1,
                ..body
            },
            canvas,
        );
        if number == explorer.layer.at {
            let role = if focused {
                Role::Selected
            } else {
                Role::SelectedUnfocused
            };
            canvas.fill(
                Rect {
                    y,
                    height: 1,
                    ..body
                },
                role,
            );
        }
    }
    let count = explorer.layers.len();
    if explorer.line_of_layer(count) > usize::from(body.height) {
        let place = format!("{}/{count}", explorer.layer.at + 1);
        canvas.caption(rect, &place, Role::Dim);
    }
}

/// Where the base image ends.
fn draw_boundary(explorer: &Explorer, body: Rect, y: u16, canvas: &mut Canvas<'_>) {
    let bytes: u64 = explorer
        .layers
        .iter()
        .take(explorer.base)
        .map(|layer| layer.size)
        .sum();
    let line = canvas.glyphs.pick("\u{2500}", "-");
    let said = format!("{line}{line} base image above: {} ", text::bytes(bytes));
    let x = canvas.text(
        body.x + 1,
        y,
        body.width.saturating_sub(2),
        &said,
        Role::Dim,
    );
    let rest = body.right().saturating_sub(x + 1);
    canvas.text(x, y, rest, &line.repeat(rest.into()), Role::Dim);
}

/// How wide each column is; 0 where there is no room.
struct Columns {
    number: u16,
    bar: u16,
    wasted: u16,
    age: u16,
}

impl Columns {
    fn new(width: u16) -> Self {
        Self {
            number: 3,
            bar: match width {
                ..50 => 0,
                50..70 => 6,
                _ => 10,
            },
            wasted: if width < 36 { 0 } else { SIZE },
            age: if width < 60 { 0 } else { AGE },
        }
    }

    fn titles(&self, rect: Rect, canvas: &mut Canvas<'_>) {
        let style = canvas.theme.style(Role::Header);
        let mut x = rect.x + 1;
        let mut right = |width: u16, title: &str, canvas: &mut Canvas<'_>| {
            if width > 0 {
                canvas.right(x, rect.y, width, title, style);
                x += width + 1;
            }
        };
        right(self.number, "#", canvas);
        right(SIZE, "SIZE", canvas);
        right(self.bar, "", canvas);
        right(self.wasted, "HIDDEN", canvas);
        right(self.age, "AGE", canvas);
        let room = rect.right().saturating_sub(x);
        canvas.styled(x, rect.y, room, "COMMAND", style);
    }

    fn layer(
        &self,
        state: &State,
        explorer: &Explorer,
        (number, layer): (usize, &LayerFacts),
        largest: u64,
        row: Rect,
        canvas: &mut Canvas<'_>,
    ) {
        let is_read = number < explorer.read;
        let base = number < explorer.base && explorer.has_boundary();
        let plain = if base { Role::Dim } else { Role::Text };
        if let Some((sign, role)) = sign(explorer, number, canvas) {
            canvas.text(row.x, row.y, 1, sign, role);
        }
        let style = canvas.theme.style(Role::Dim);
        let mut x = row.x + 1;
        canvas.right(x, row.y, self.number, &number.to_string(), style);
        x += self.number + 1;
        let size = if is_read || layer.size > 0 {
            text::bytes(layer.size)
        } else {
            canvas.glyphs.pick("\u{2026}", "~").to_owned()
        };
        canvas.right(x, row.y, SIZE, &size, canvas.theme.style(plain));
        x += SIZE + 1;
        if self.bar > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a bar of ten columns")]
            let share = if largest == 0 {
                0.0
            } else {
                layer.size as f64 / largest as f64
            };
            canvas.bar(
                x,
                row.y,
                self.bar,
                share,
                if base { Role::Idle } else { Role::GraphA },
            );
            x += self.bar + 1;
        }
        if self.wasted > 0 {
            if layer.wasted > 0 {
                let much = layer.wasted * 10 > layer.size;
                let role = if much { Role::Bad } else { Role::Warning };
                canvas.right(
                    x,
                    row.y,
                    self.wasted,
                    &text::bytes(layer.wasted),
                    canvas.theme.style(role),
                );
            }
            x += self.wasted + 1;
        }
        if self.age > 0 {
            if let Some(created) = layer.created {
                let age = text::age(state.now.duration_since(created).as_secs());
                canvas.right(x, row.y, self.age, &age, style);
            }
            x += self.age + 1;
        }
        let command = instruction(&layer.command);
        let room = row.right().saturating_sub(x);
        canvas.text(x, row.y, room, &text::sanitise(&command), plain);
    }
}

/// Which layers the chosen line of the hidden bytes is about: where they came, and where they went.
fn sign(explorer: &Explorer, number: usize, canvas: &Canvas<'_>) -> Option<(&'static str, Role)> {
    let hidden = explorer
        .chosen_waste()
        .filter(|_| explorer.part == Part::Waste)?;
    if usize::from(hidden.added) == number {
        Some(("+", Role::Good))
    } else if usize::from(hidden.hidden) == number {
        Some((canvas.glyphs.pick("\u{2212}", "-"), Role::Bad))
    } else {
        None
    }
}
