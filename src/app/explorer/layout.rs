//! Where the parts of the explorer are: one pure function for drawing, paging and the mouse.

use ratatui::layout::Rect;

use super::super::State;
use super::super::layout::SMALLEST;
use super::{Explorer, Part};

/// The parts; absent ones have no room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// The bar on top.
    pub bar: Option<Rect>,
    /// The layers, with their border.
    pub layers: Option<Rect>,
    /// What is known of the chosen layer and path, with its border.
    pub facts: Option<Rect>,
    /// The tree, with its border.
    pub tree: Option<Rect>,
    /// What is hidden, with its border.
    pub waste: Option<Rect>,
    /// What should be known, with its border, in the same place.
    pub findings: Option<Rect>,
    /// The file that is read, with its border, in the place of the tree.
    pub viewer: Option<Rect>,
    /// The bottom line.
    pub footer: Option<Rect>,
}

/// Divides the screen.
#[must_use]
pub fn places(area: Rect, state: &State, explorer: &Explorer) -> Places {
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        return Places::default();
    }
    let has_bar = area.height >= 12;
    let top = area.y + u16::from(has_bar);
    let footer = Rect {
        y: area.bottom() - 1,
        height: 1,
        ..area
    };
    let body = Rect {
        y: top,
        height: footer.y - top,
        ..area
    };
    let mut found = Places {
        bar: has_bar.then_some(Rect { height: 1, ..area }),
        footer: Some(footer),
        ..Places::default()
    };
    if explorer.viewer.is_some() && (state.zoom || area.width < 110) {
        found.viewer = Some(body);
    } else if state.zoom || body.height < 12 || area.width < 50 {
        match explorer.part {
            Part::Layers => found.layers = Some(body),
            Part::Tree => found.tree = Some(body),
            Part::Waste => found.waste = Some(body),
            Part::Findings => found.findings = Some(body),
        }
    } else if area.width >= 110 {
        wide(body, explorer, &mut found);
    } else {
        narrow(body, explorer, &mut found);
    }
    found
}

/// Layers and facts at the left, the tree at the right, what is hidden below it.
fn wide(body: Rect, explorer: &Explorer, found: &mut Places) {
    let width = (body.width * 2 / 5).clamp(50, 84);
    let facts = (body.height / 3).clamp(6, 14);
    let [left, right] = split_columns(body, width);
    let [layers, facts] = split_rows(left, left.height - facts);
    found.layers = Some(layers);
    found.facts = Some(facts);
    if explorer.viewer.is_some() {
        found.viewer = Some(right);
        return;
    }
    with_list(right, explorer, found);
}

/// Layers above the tree; what is hidden takes the place of the tree while it has the keys.
fn narrow(body: Rect, explorer: &Explorer, found: &mut Places) {
    let lines = explorer.layers.len() + usize::from(explorer.base > 0) + 3;
    // Why there are none needs room, too.
    let wanted = match &explorer.failure {
        Some(_) if explorer.layers.is_empty() => u16::MAX,
        _ => u16::try_from(lines).unwrap_or(u16::MAX),
    };
    let height = wanted.clamp(6, (body.height * 2 / 5).max(6));
    let [layers, rest] = split_rows(body, height);
    found.layers = Some(layers);
    if rest.height >= 24 {
        with_list(rest, explorer, found);
    } else if explorer.part == Part::Waste {
        found.waste = Some(rest);
    } else if explorer.part == Part::Findings {
        found.findings = Some(rest);
    } else {
        found.tree = Some(rest);
    }
}

/// The tree, and below it the list that is open.
fn with_list(rect: Rect, explorer: &Explorer, found: &mut Places) {
    if !explorer.waste_shown && !explorer.findings_shown {
        found.tree = Some(rect);
        return;
    }
    let list = (rect.height / 3).max(6);
    let [tree, list] = split_rows(rect, rect.height - list);
    found.tree = Some(tree);
    if explorer.findings_shown {
        found.findings = Some(list);
    } else {
        found.waste = Some(list);
    }
}

fn split_rows(rect: Rect, height: u16) -> [Rect; 2] {
    let height = height.min(rect.height);
    let below = Rect {
        y: rect.y + height,
        height: rect.height - height,
        ..rect
    };
    [Rect { height, ..rect }, below]
}

fn split_columns(rect: Rect, width: u16) -> [Rect; 2] {
    let width = width.min(rect.width);
    let beside = Rect {
        x: rect.x + width,
        width: rect.width - width,
        ..rect
    };
    [Rect { width, ..rect }, beside]
}

impl Explorer {
    /// The line of the layers' list that a layer is on: the base's end takes one.
    #[must_use]
    pub fn line_of_layer(&self, layer: usize) -> usize {
        layer + usize::from(self.has_boundary() && layer >= self.base)
    }

    /// The layer on a line of the list; `None` for the base's end.
    #[must_use]
    pub fn layer_at_line(&self, line: usize) -> Option<usize> {
        let layer = if self.has_boundary() {
            match line.cmp(&self.base) {
                std::cmp::Ordering::Less => line,
                std::cmp::Ordering::Equal => return None,
                std::cmp::Ordering::Greater => line - 1,
            }
        } else {
            line
        };
        (layer < self.layers.len()).then_some(layer)
    }

    /// The base's end is shown: there are layers on both sides of it.
    #[must_use]
    pub fn has_boundary(&self) -> bool {
        self.base > 0 && self.base < self.layers.len()
    }

    /// The first line of the layers' list that is seen, with the chosen layer in view.
    #[must_use]
    pub fn first_layer_line(&self, height: usize) -> usize {
        let line = self.line_of_layer(self.layer.at);
        let lines = self.line_of_layer(self.layers.len().saturating_sub(1)) + 1;
        let first = (line + 1).saturating_sub(height.max(1));
        let top = self.layer.top.clamp(first, line.max(first));
        top.min(lines.saturating_sub(height.max(1))).max(first)
    }
}
