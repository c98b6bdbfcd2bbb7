//! Where everything is on the screen: one pure function, used by drawing, paging and the mouse alike.

use ratatui::layout::Rect;

use super::logs;
use super::{Focus, Pane, State, Tab};
use crate::engine::model::request::TerminalSize;

/// Below this nothing useful fits.
pub const SMALLEST: (u16, u16) = (20, 5);

/// Columns of a time stamp in the log, with its gap.
pub const TIME_WIDTH: u16 = 13;

/// The parts of the screen; absent ones have no room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Regions {
    /// The bar on top.
    pub bar: Option<Rect>,
    /// List panes with their borders.
    pub lists: Vec<(Pane, Rect)>,
    /// The detail pane with its border.
    pub detail: Option<Rect>,
    /// The bottom line.
    pub footer: Option<Rect>,
}

impl Regions {
    /// The screen is too small for anything.
    #[must_use]
    pub fn is_too_small(&self) -> bool {
        self.footer.is_none()
    }

    /// A pane's place.
    #[must_use]
    pub fn list(&self, pane: Pane) -> Option<Rect> {
        self.lists
            .iter()
            .find(|(p, _)| *p == pane)
            .map(|(_, rect)| *rect)
    }
}

/// Divides the screen.
#[must_use]
pub fn regions(area: Rect, state: &State) -> Regions {
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        return Regions::default();
    }
    let has_bar = area.height >= 12;
    let bar = has_bar.then_some(Rect { height: 1, ..area });
    let footer = Rect {
        y: area.bottom() - 1,
        height: 1,
        ..area
    };
    let top = area.y + u16::from(has_bar);
    let body = Rect {
        y: top,
        height: footer.y - top,
        ..area
    };
    let mut found = Regions {
        bar,
        footer: Some(footer),
        ..Regions::default()
    };
    let single = area.width < 60 || body.height < 14;
    if state.zoom || single {
        match state.focus {
            Focus::List => found.lists.push((state.pane, body)),
            Focus::Detail => found.detail = Some(body),
        }
    } else if area.width >= 120 {
        let left = (area.width * 2 / 5).clamp(56, 90);
        let column = Rect {
            width: left,
            ..body
        };
        found.lists = share_column(column, state);
        found.detail = Some(Rect {
            x: body.x + left,
            width: body.width - left,
            ..body
        });
    } else {
        // One above the other: the list takes what it needs, at most two fifths.
        let rows = state.list(state.pane).shown();
        let wanted = u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(3);
        let height = wanted.clamp(6, (body.height * 2 / 5).max(6));
        found.lists.push((state.pane, Rect { height, ..body }));
        found.detail = Some(Rect {
            y: body.y + height,
            height: body.height - height,
            ..body
        });
    }
    found
}

/// Containers above the others: the one that is looked at gets the room that it can use.
fn share_column(column: Rect, state: &State) -> Vec<(Pane, Rect)> {
    // Room for borders, titles and a row in each; else only the one that was used last keeps the containers company.
    let least = 5;
    let others: Vec<Pane> = if column.height >= 24 {
        let mut all = vec![Pane::Images, Pane::Volumes];
        if column.height >= 32 {
            all.push(Pane::Networks);
        } else if state.pane == Pane::Networks {
            all = vec![Pane::Images, Pane::Networks];
        }
        all
    } else if state.pane == Pane::Containers {
        vec![Pane::Images]
    } else {
        vec![state.pane]
    };
    let rows = |pane| {
        let rows = state.list(pane).shown();
        u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(3)
    };
    let most = |pane| {
        if pane == state.pane {
            column.height / 2
        } else {
            column.height / 4
        }
    };
    let heights: Vec<u16> = others
        .iter()
        .map(|pane| rows(*pane).clamp(least, most(*pane).max(least)))
        .collect();
    let first = column.height.saturating_sub(heights.iter().sum());
    let mut y = column.y;
    let all = std::iter::once((Pane::Containers, first)).chain(others.into_iter().zip(heights));
    all.map(|(pane, height)| {
        let rect = Rect {
            y,
            height,
            ..column
        };
        y += height;
        (pane, rect)
    })
    .collect()
}

/// What is inside of a border.
#[must_use]
pub fn inside(rect: Rect) -> Rect {
    Rect {
        x: rect.x + 1.min(rect.width),
        y: rect.y + 1.min(rect.height),
        width: rect.width.saturating_sub(2),
        height: rect.height.saturating_sub(2),
    }
}

/// Column titles and rows of a list pane.
#[must_use]
pub fn list_parts(rect: Rect) -> (Option<Rect>, Rect) {
    let inner = inside(rect);
    if inner.height < 3 {
        return (None, inner);
    }
    let header = Rect { height: 1, ..inner };
    let rows = Rect {
        y: inner.y + 1,
        height: inner.height - 1,
        ..inner
    };
    (Some(header), rows)
}

/// Rows of the detail pane, or where they would be: what a page is.
#[must_use]
pub fn detail_body(state: &State) -> Rect {
    let found = regions(state.area(), state);
    found.detail.map_or_else(
        || {
            // Not on the screen: as it would be with the focus.
            let whole = state.area();
            inside(Rect {
                height: whole.height.saturating_sub(1),
                ..whole
            })
        },
        inside,
    )
}

/// Size of the log's text.
#[must_use]
pub fn log_layout(state: &State, timestamps: bool) -> logs::Layout {
    let body = detail_body(state);
    let taken = 1 + if timestamps { TIME_WIDTH } else { 0 };
    logs::Layout {
        width: usize::from(body.width.saturating_sub(taken).max(1)),
        height: usize::from(body.height),
    }
}

/// Size of a shell's screen.
#[must_use]
pub fn shell_size(state: &State) -> TerminalSize {
    let body = detail_body(state);
    TerminalSize {
        rows: body.height.max(1),
        cols: body.width.max(1),
    }
}

/// The tabs on the upper border of the detail pane: which, first column, width.
#[must_use]
pub fn tabs(rect: Rect, state: &State) -> Vec<(Tab, u16, u16)> {
    let mut x = rect.x + 2;
    let mut found = Vec::new();
    for tab in state.tabs() {
        let width = u16::try_from(tab.title().len() + 2).unwrap_or(0);
        if x + width > rect.right().saturating_sub(1) {
            break;
        }
        found.push((tab, x, width));
        x += width;
    }
    found
}
