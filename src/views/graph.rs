//! A graph of one figure over time, filled from the bottom: braille dots, or `#` where there are none.

use ratatui::layout::Rect;

use super::canvas::Canvas;
use crate::app::role::{Glyphs, Role};

/// Bits of a braille cell by column, from the bottom up (Unicode, chapter 21.1).
const BRAILLE: [[u32; 4]; 2] = [[0x40, 0x04, 0x02, 0x01], [0x80, 0x20, 0x10, 0x08]];

/// Draws the newest values at the right. `max` is the value of the upper end.
pub(super) fn draw(
    canvas: &mut Canvas<'_>,
    rect: Rect,
    values: impl DoubleEndedIterator<Item = f32>,
    max: f32,
    role: Role,
) {
    if rect.is_empty() {
        return;
    }
    let (across, down) = match canvas.glyphs {
        Glyphs::Unicode => (2, 4),
        Glyphs::Ascii => (1, 1),
    };
    let points = usize::from(rect.width) * across;
    let levels = usize::from(rect.height) * down;
    // Newest first.
    let heights: Vec<usize> = values
        .rev()
        .take(points)
        .map(|value| level(value, max, levels))
        .collect();
    let style = canvas.theme.style(role);
    for column in 0..usize::from(rect.width) {
        for row in 0..usize::from(rect.height) {
            // Dots of this cell begin this far above the bottom.
            let floor = (usize::from(rect.height) - 1 - row) * down;
            let height = |dot: usize| {
                let from_right = points - 1 - (column * across + dot);
                let height = heights.get(from_right).copied().unwrap_or(0);
                height.saturating_sub(floor).min(down)
            };
            let symbol = match canvas.glyphs {
                Glyphs::Ascii if height(0) > 0 => "#".to_owned(),
                Glyphs::Ascii => continue,
                Glyphs::Unicode => {
                    let bits = |dot: usize| {
                        let column = BRAILLE.get(dot).into_iter().flatten();
                        column.take(height(dot)).sum::<u32>()
                    };
                    match bits(0) + bits(1) {
                        0 => continue,
                        bits => char::from_u32(0x2800 + bits).unwrap_or(' ').to_string(),
                    }
                }
            };
            let (x, y) = (u16::try_from(column), u16::try_from(row));
            if let (Ok(x), Ok(y)) = (x, y) {
                canvas.raw(rect.x + x, rect.y + y, 1, &symbol, style);
            }
        }
    }
}

/// Dots for a value; anything above zero is at least one.
fn level(value: f32, max: f32, levels: usize) -> usize {
    if value <= 0.0 || max <= 0.0 || !value.is_finite() {
        return 0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a screen has few rows")]
    let scaled = value / max * levels as f32;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to a screen's height"
    )]
    let dots = scaled.round().clamp(1.0, 4096.0) as usize;
    dots.min(levels)
}

/// A scale that changes seldom: the next of 1, 2, 5 times a power of the base at or above the value.
pub(super) fn scale(value: f32, least: f32) -> f32 {
    let mut top = least;
    while top < value && top.is_finite() {
        for factor in [2.0, 2.5, 2.0] {
            if top < value {
                top *= factor;
            }
        }
    }
    top
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_go_in_steps() {
        for (value, expected) in [
            (0.0, 10.0),
            (10.0, 10.0),
            (11.0, 20.0),
            (30.0, 50.0),
            (51.0, 100.0),
        ] {
            assert!((scale(value, 10.0) - expected).abs() < 0.001, "{value}");
        }
        assert!(scale(f32::INFINITY, 10.0).is_infinite());
    }

    #[test]
    fn every_value_above_zero_is_seen() {
        assert_eq!(level(0.0, 100.0, 8), 0);
        assert_eq!(level(0.001, 100.0, 8), 1);
        assert_eq!(level(50.0, 100.0, 8), 4);
        assert_eq!(level(900.0, 100.0, 8), 8);
        assert_eq!(level(f32::NAN, 100.0, 8), 0);
    }
}
