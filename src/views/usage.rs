//! What is on disk.

use ratatui::layout::Rect;

use super::canvas::Canvas;
use super::overlays::window;
use crate::app::overlay::{Cursor, UsageLine, usage_lines};
use crate::app::role::Role;
use crate::app::{State, text};
use crate::engine::model::registry::{ContainerUsage, DiskUsage, ImageUsage};
use crate::engine::model::units::human_size_short;
use crate::engine::model::volume::VolumeUsage;

pub(super) fn draw(state: &State, cursor: Cursor, canvas: &mut Canvas<'_>) {
    let width = state.width.saturating_sub(6).clamp(1, 110);
    let height = state.height.saturating_sub(4).max(1);
    let (rect, inner) = window(state, "Disk usage", width, height, canvas);
    canvas.caption(rect, "D prunes  esc closes", Role::Dim);
    let Some(data) = &state.usage.data else {
        let (text, role) = match &state.usage.failure {
            Some(failure) => (failure.line.as_str(), Role::Bad),
            None => ("looking", Role::Dim),
        };
        let text = text::sanitise(text);
        canvas.text(inner.x, inner.y, inner.width, &text, role);
        return;
    };
    let totals = draw_totals(data, inner, canvas);
    let lines = usage_lines(state);
    let rows = Rect {
        y: inner.y + totals + 1,
        height: inner.height.saturating_sub(totals + 1),
        ..inner
    };
    let room = usize::from(rows.height);
    let first = (cursor.at + 1).saturating_sub(room);
    let largest = data.images.images.iter().map(|image| image.size).max();
    let written = data.containers.containers.iter().map(|c| c.size).max();
    for ((index, line), y) in lines
        .iter()
        .enumerate()
        .skip(first)
        .take(room)
        .zip(rows.y..)
    {
        let place = Rect {
            y,
            height: 1,
            ..rows
        };
        match line {
            UsageLine::Images => {
                let titles = ["SIZE", "UNIQUE", "SHARED", "USED"].map(ToOwned::to_owned);
                draw_row("IMAGE", titles, Role::Header, place, canvas);
            }
            UsageLine::Image(image) => draw_image(image, largest.unwrap_or(0), place, canvas),
            UsageLine::Containers => {
                let titles = ["WRITTEN", "", "", ""].map(ToOwned::to_owned);
                draw_row("CONTAINER", titles, Role::Header, place, canvas);
            }
            UsageLine::Container(container) => {
                draw_container(container, written.unwrap_or(0), place, canvas);
            }
            UsageLine::Volumes => {
                let titles = ["SIZE", "", "", "USED"].map(ToOwned::to_owned);
                draw_row("VOLUME", titles, Role::Header, place, canvas);
            }
            UsageLine::Volume(volume) => {
                let largest = data.volumes.iter().map(|v| v.size).max();
                draw_volume(volume, largest.unwrap_or(0), place, canvas);
            }
        }
        if index == cursor.at {
            canvas.fill(place, Role::Selected);
        }
    }
}

/// A line for images, containers and volumes each: how many, how much, what could be given back. Returns the lines drawn.
fn draw_totals(data: &DiskUsage, rect: Rect, canvas: &mut Canvas<'_>) -> u16 {
    let images = &data.images;
    let containers = &data.containers.containers;
    let on_disk = images.layers + images.blobs + images.leftovers;
    let written: u64 = containers.iter().map(|c| c.size).sum();
    let at_rest: u64 = containers
        .iter()
        .filter(|c| !c.running)
        .map(|c| c.size)
        .sum();
    let kept: u64 = data.volumes.iter().map(|v| v.size).sum();
    let unused = data.volumes.iter().filter(|v| v.links == 0);
    let unused: u64 = unused.map(|v| v.size).sum();
    let mut rows = vec![
        (
            "Images",
            images.images.len(),
            on_disk,
            Some(images.reclaimable),
        ),
        ("  layers", 0, images.layers, None),
        ("  blobs", 0, images.blobs, None),
        ("  leftovers", 0, images.leftovers, None),
        ("Containers", containers.len(), written, Some(at_rest)),
        ("Volumes", data.volumes.len(), kept, Some(unused)),
    ];
    // Where there is little room, the sums only.
    if rect.height < 15 {
        rows.retain(|row| row.3.is_some());
    }
    let all = on_disk.max(written).max(kept);
    for ((name, count, size, reclaimable), y) in rows.iter().zip(rect.y..rect.bottom()) {
        let role = if reclaimable.is_some() {
            Role::Title
        } else {
            Role::Text
        };
        canvas.text(rect.x, y, 11.min(rect.width), name, role);
        let style = canvas.theme.style(role);
        if *count > 0 {
            canvas.right(rect.x + 11, y, 5, &count.to_string(), style);
        }
        canvas.right(rect.x + 17, y, 7, &human_size_short(*size), style);
        let tail = reclaimable.map_or(String::new(), |bytes| {
            format!("{} reclaimable", human_size_short(bytes))
        });
        let behind = rect.x + 25;
        let room = rect.right().saturating_sub(behind);
        let bar = room.saturating_sub(20);
        let split = reclaimable.map_or(*size, |bytes| size.saturating_sub(bytes));
        draw_bar(
            split,
            *size,
            all,
            Rect {
                x: behind,
                y,
                width: bar,
                height: 1,
            },
            canvas,
        );
        let style = canvas.theme.style(Role::Warning);
        let width = room.saturating_sub(bar).min(19);
        canvas.right(rect.right().saturating_sub(width), y, width, &tail, style);
    }
    u16::try_from(rows.len()).unwrap_or(0)
}

/// A bar of two pieces: what is kept, or unique, and the rest up to `size`; `all` is its whole width.
fn draw_bar(first: u64, size: u64, all: u64, rect: Rect, canvas: &mut Canvas<'_>) {
    if all == 0 || rect.width < 4 {
        return;
    }
    let cells = |bytes: u64| {
        let cells = u128::from(rect.width) * u128::from(bytes) / u128::from(all);
        // Something is never nothing.
        let cells = cells.max(u128::from(bytes > 0));
        u16::try_from(cells).unwrap_or(rect.width)
    };
    let whole = cells(size);
    let first = cells(first).min(whole);
    let (full, light) = canvas.glyphs.pick(("\u{2588}", "\u{2592}"), ("#", "="));
    let x = canvas.text(
        rect.x,
        rect.y,
        first,
        &full.repeat(first.into()),
        Role::GraphA,
    );
    let rest = whole - first;
    canvas.text(x, rect.y, rest, &light.repeat(rest.into()), Role::GraphB);
}

/// Name, four numbers, and what is left for the bar.
fn draw_row(
    name: &str,
    cells: [String; 4],
    role: Role,
    rect: Rect,
    canvas: &mut Canvas<'_>,
) -> Rect {
    let widths: [u16; 4] = [7, 7, 7, 5];
    // The last are dropped first; the name keeps a third.
    let least = (rect.width / 3).max(12);
    let mut shown = 0;
    let mut used = 0;
    for width in widths {
        if used + width + 1 + least > rect.width {
            break;
        }
        used += width + 1;
        shown += 1;
    }
    let rest = rect.width.saturating_sub(used);
    let name_width = if rest >= 50 { rest * 3 / 5 } else { rest };
    canvas.text(rect.x, rect.y, name_width, name, role);
    let mut x = rect.x + name_width;
    let style = canvas.theme.style(role);
    for (cell, width) in cells.iter().zip(widths).take(shown) {
        canvas.right(x + 1, rect.y, width, cell, style);
        x += width + 1;
    }
    let x = x + 2;
    Rect {
        x,
        width: rect.right().saturating_sub(x),
        ..rect
    }
}

fn draw_image(image: &ImageUsage, largest: u64, rect: Rect, canvas: &mut Canvas<'_>) {
    let name = match image.tags.first() {
        Some(tag) if image.tags.len() > 1 => {
            format!("{} +{}", text::sanitise(tag), image.tags.len() - 1)
        }
        Some(tag) => text::sanitise(tag).into_owned(),
        None => format!("<none> {}", image.id.short()),
    };
    let cells = [
        human_size_short(image.size),
        human_size_short(image.unique),
        human_size_short(image.shared),
        match image.containers {
            0 => "-".to_owned(),
            count => count.to_string(),
        },
    ];
    let role = if image.tags.is_empty() {
        Role::Dim
    } else {
        Role::Text
    };
    let bar = draw_row(&name, cells, role, rect, canvas);
    draw_bar(image.unique, image.size, largest, bar, canvas);
}

fn draw_container(container: &ContainerUsage, largest: u64, rect: Rect, canvas: &mut Canvas<'_>) {
    let name = text::sanitise(&container.name);
    let state = if container.running {
        ""
    } else {
        " (does not run)"
    };
    let cells = [
        human_size_short(container.size),
        String::new(),
        String::new(),
        String::new(),
    ];
    let bar = draw_row(&format!("{name}{state}"), cells, Role::Text, rect, canvas);
    let kept = if container.running { container.size } else { 0 };
    draw_bar(kept, container.size, largest, bar, canvas);
}

fn draw_volume(volume: &VolumeUsage, largest: u64, rect: Rect, canvas: &mut Canvas<'_>) {
    let name = text::sanitise(&volume.volume.name);
    let cells = [
        human_size_short(volume.size),
        String::new(),
        String::new(),
        match volume.links {
            0 => "-".to_owned(),
            count => count.to_string(),
        },
    ];
    let bar = draw_row(&name, cells, Role::Text, rect, canvas);
    let used = if volume.links > 0 { volume.size } else { 0 };
    draw_bar(used, volume.size, largest, bar, canvas);
}
