//! A buffer, a theme and a glyph set: the few strokes that all views are made of. Nothing is drawn outside of the buffer.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::theme::Theme;
use crate::app::role::{Glyphs, Role};
use crate::app::text;

/// Where views draw.
pub(super) struct Canvas<'a> {
    pub(super) buffer: &'a mut Buffer,
    pub(super) theme: &'a Theme,
    pub(super) glyphs: Glyphs,
}

/// Corners and lines: horizontal, vertical, then clockwise from the upper left.
type Frame = [&'static str; 6];

const THIN: Frame = ["─", "│", "┌", "┐", "┘", "└"];
const HEAVY: Frame = ["━", "┃", "┏", "┓", "┛", "┗"];
const ASCII: Frame = ["-", "|", "+", "+", "+", "+"];
const ASCII_HEAVY: Frame = ["=", "|", "#", "#", "#", "#"];

impl<'a> Canvas<'a> {
    pub(super) fn new(buffer: &'a mut Buffer, theme: &'a Theme, glyphs: Glyphs) -> Self {
        Self {
            buffer,
            theme,
            glyphs,
        }
    }

    /// Text at a place, cut with an ellipsis; returns the column behind it.
    pub(super) fn text(&mut self, x: u16, y: u16, width: u16, text: &str, role: Role) -> u16 {
        let style = self.theme.style(role);
        self.styled(x, y, width, text, style)
    }

    /// The same with a look of its own.
    pub(super) fn styled(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let fitted = text::fit(text, usize::from(width));
        self.raw(x, y, width, &fitted, style)
    }

    /// The same, cut without an ellipsis.
    pub(super) fn raw(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let area = self.buffer.area;
        if y < area.y || y >= area.bottom() || x < area.x || x >= area.right() || width == 0 {
            return x;
        }
        self.buffer
            .set_stringn(x, y, text, usize::from(width), style)
            .0
    }

    /// Text against the right end of its place.
    pub(super) fn right(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) {
        let used = u16::try_from(text::width(text)).unwrap_or(u16::MAX);
        let shift = width.saturating_sub(used);
        self.styled(x + shift, y, width - shift, text, style);
    }

    /// Gives an area a look; what is written there stays.
    pub(super) fn fill(&mut self, rect: Rect, role: Role) {
        let style = self.theme.style(role);
        self.buffer.set_style(rect, style);
    }

    /// Empties an area.
    pub(super) fn clear(&mut self, rect: Rect) {
        let rect = rect.intersection(self.buffer.area);
        for position in rect.positions() {
            if let Some(cell) = self.buffer.cell_mut(position) {
                cell.reset();
            }
        }
        self.fill(rect, Role::Text);
    }

    /// A border; heavy says that the focus is here, also without colour.
    pub(super) fn border(&mut self, rect: Rect, focused: bool) {
        if rect.width < 2 || rect.height < 2 {
            return;
        }
        let role = if focused {
            Role::BorderFocused
        } else {
            Role::Border
        };
        let style = self.theme.style(role);
        let [
            horizontal,
            vertical,
            upper_left,
            upper_right,
            lower_right,
            lower_left,
        ] = match (self.glyphs, focused) {
            (Glyphs::Unicode, false) => THIN,
            (Glyphs::Unicode, true) => HEAVY,
            (Glyphs::Ascii, false) => ASCII,
            (Glyphs::Ascii, true) => ASCII_HEAVY,
        };
        let (right, bottom) = (rect.right() - 1, rect.bottom() - 1);
        for x in rect.x..=right {
            self.raw(x, rect.y, 1, horizontal, style);
            self.raw(x, bottom, 1, horizontal, style);
        }
        for y in rect.y..=bottom {
            self.raw(rect.x, y, 1, vertical, style);
            self.raw(right, y, 1, vertical, style);
        }
        self.raw(rect.x, rect.y, 1, upper_left, style);
        self.raw(right, rect.y, 1, upper_right, style);
        self.raw(right, bottom, 1, lower_right, style);
        self.raw(rect.x, bottom, 1, lower_left, style);
    }

    /// A bar that is filled in so far; `share` is from 0 to 1.
    pub(super) fn bar(&mut self, x: u16, y: u16, width: u16, share: f64, role: Role) {
        let (full, rest) = self.glyphs.pick(("\u{2588}", "\u{2591}"), ("#", "-"));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share is from 0 to 1"
        )]
        let filled = (f64::from(width) * share.clamp(0.0, 1.0)).round() as u16;
        self.text(x, y, width, &full.repeat(filled.into()), role);
        let empty = width.saturating_sub(filled);
        self.text(x + filled, y, empty, &rest.repeat(empty.into()), Role::Dim);
    }

    /// A title on the upper border; returns the column behind it.
    pub(super) fn title(&mut self, rect: Rect, title: &str, focused: bool) -> u16 {
        let role = if focused {
            Role::TitleFocused
        } else {
            Role::Title
        };
        let width = rect.width.saturating_sub(4);
        self.text(rect.x + 2, rect.y, width, &format!(" {title} "), role)
    }

    /// A text on the lower border, at its right end.
    pub(super) fn caption(&mut self, rect: Rect, text: &str, role: Role) {
        if text.is_empty() || rect.width < 6 || rect.height < 2 {
            return;
        }
        let style = self.theme.style(role);
        let fitted = text::fit(text, usize::from(rect.width - 6)).into_owned();
        let used = u16::try_from(text::width(&fitted)).unwrap_or(0) + 2;
        let x = rect.right().saturating_sub(used + 2).max(rect.x + 1);
        self.raw(x, rect.bottom() - 1, used, &format!(" {fitted} "), style);
    }
}
