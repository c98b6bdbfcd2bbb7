//! What each action does; what is done to objects is told in `containers` and `images`.

use super::super::action::Action;
use super::super::containers;
use super::super::document::Fold;
use super::super::images;
use super::super::layout;
use super::super::list::{Filter, Row};
use super::super::logs::Direction;
use super::super::overlay::{Cursor, Field, Finder, Overlay, Prompt, Purpose};
use super::super::{Effect, Focus, Pane, Severity, State, Tab, View, looks, networks, volumes};
use super::containers::{on_containers, open_shell, request_for};
use super::dialogs::open_dialog;
use super::images::{on_images, open_usage};
use super::jobs::quit;
use super::messages::open_notice;
use super::networks::on_networks;
use super::shell_of;
use super::volumes::on_volumes;
use super::{explorer, tables};
use crate::engine::model::Status;

/// Largest text that is copied: terminals drop longer OSC 52 sequences (74 994 bytes is what k9s found to be safe).
const MAX_COPY: usize = 74_000;

#[expect(
    clippy::too_many_lines,
    reason = "a list: each action and what it does"
)]
pub(super) fn act(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    if explorer::act(state, action, effects) {
        return;
    }
    if state.explorer.is_none() && tables::act(state, action, effects) {
        return;
    }
    match action {
        Action::Help => state.overlays.push(Overlay::Help(Finder::default())),
        Action::Palette => state.overlays.push(Overlay::Palette(Finder::default())),
        Action::CommandLog => {
            let at = state.commands.len().saturating_sub(1);
            state.overlays.push(Overlay::CommandLog(Cursor { at }));
        }
        Action::Jobs => state.overlays.push(Overlay::Jobs(Cursor::default())),
        Action::Notice => open_notice(state),
        Action::Quit => quit(state, effects),
        Action::Back => back(state),
        Action::FocusNext => focus_step(state, 1),
        Action::FocusPrevious => focus_step(state, -1),
        Action::PaneContainers => go_to(state, Pane::Containers),
        Action::PaneImages => go_to(state, Pane::Images),
        Action::PaneVolumes => go_to(state, Pane::Volumes),
        Action::PaneNetworks => go_to(state, Pane::Networks),
        Action::TabNext => tab_step(state, 1),
        Action::TabPrevious => tab_step(state, -1),
        Action::Zoom => state.zoom = !state.zoom,
        Action::Up => move_focus(state, -1),
        Action::Down => move_focus(state, 1),
        Action::Top => move_focus(state, isize::MIN),
        Action::Bottom => move_focus(state, isize::MAX),
        Action::PageUp => move_focus(state, -page(state)),
        Action::PageDown => move_focus(state, page(state)),
        Action::HalfPageUp => move_focus(state, -(page(state) / 2).max(1)),
        Action::HalfPageDown => move_focus(state, (page(state) / 2).max(1)),
        Action::ScrollUp => move_detail(state, -3),
        Action::ScrollDown => move_detail(state, 3),
        Action::Redraw => effects.push(Effect::Redraw),
        Action::Suspend => effects.push(Effect::Suspend),
        Action::ToggleMouse => {
            state.mouse = !state.mouse;
            effects.push(Effect::Mouse(state.mouse));
            let text = if state.mouse {
                "the mouse is wharf's; hold shift to select text"
            } else {
                "the mouse is the terminal's"
            };
            state.tell(Severity::Info, text.to_owned());
        }
        Action::Open => {
            if !on_heading(state) || !state.list_mut(state.pane).fold(Fold::Toggle) {
                state.focus = Focus::Detail;
            }
        }
        Action::UnfoldGroup => {
            if !on_heading(state) || !state.list_mut(state.pane).fold(Fold::Open) {
                state.focus = Focus::Detail;
            }
        }
        Action::FoldGroup => {
            state.list_mut(state.pane).fold(Fold::Close);
        }
        Action::FoldGroups => state.list_mut(state.pane).fold_all(),
        Action::Group => {
            state.containers.set_grouped(!state.containers.is_grouped());
            effects.push(Effect::KeepLists(looks::text(state)));
        }
        Action::Columns => state.overlays.push(Overlay::Columns(Cursor::default())),
        Action::Filter => open_filter(state),
        Action::Mark => state.list_mut(state.pane).toggle_mark(),
        Action::MarkAll => state.list_mut(state.pane).toggle_all(),
        Action::SortNext => state.list_mut(state.pane).sort_next(),
        Action::SortReverse => state.list_mut(state.pane).sort_reverse(),
        Action::SortName
        | Action::SortStatus
        | Action::SortCpu
        | Action::SortMemory
        | Action::SortImage
        | Action::SortAge
        | Action::SortUnique => {
            if let Some(column) = sort_column(state.pane, action) {
                state.list_mut(state.pane).sort_by(column);
            }
        }
        Action::CopyName | Action::CopyId => copy_object(state, action, effects),
        Action::Start
        | Action::Stop
        | Action::Restart
        | Action::Kill
        | Action::Pause
        | Action::Remove => on_containers(state, action, effects),
        Action::Shell => open_shell(state),
        Action::RenameContainer
        | Action::UpdateLimits
        | Action::CopyFiles
        | Action::CommitContainer
        | Action::ExportContainer
        | Action::PruneContainers
        | Action::RunImage
        | Action::CreateContainer => open_dialog(state, action, effects),
        Action::ShowLogs => show_tab(state, Tab::Logs),
        Action::ShowStats => show_tab(state, Tab::Stats),
        Action::ShowInspect => show_tab(state, Tab::Inspect),
        Action::ShowHealth => show_tab(state, Tab::Health),
        Action::ShowEnvironment => show_tab(state, Tab::Environment),
        Action::ShowMounts => show_tab(state, Tab::Mounts),
        Action::ShowPorts => show_tab(state, Tab::Ports),
        Action::ShowTop => show_tab(state, Tab::Top),
        Action::ShowDiff => show_tab(state, Tab::Diff),
        Action::ShowLayers => show_tab(state, Tab::Layers),
        Action::ShowImage => show_tab(state, Tab::Image),
        Action::ShowUsers | Action::ShowVolumeUsers => show_tab(state, Tab::Users),
        Action::DiskUsage => open_usage(state),
        Action::PullImage
        | Action::PushImages
        | Action::TagImage
        | Action::SaveImages
        | Action::LoadImages
        | Action::RemoveImage
        | Action::PruneImages => on_images(state, action, effects),
        Action::ExploreImage => explorer::open(state),
        Action::CompareImages => tables::open_compare(state, effects),
        Action::ShowSharing => tables::open_sharing(state, effects),
        Action::ExploreOpen
        | Action::ExploreFold
        | Action::ExploreFoldAll
        | Action::ExploreLeft
        | Action::ExploreRight
        | Action::ExploreWhole
        | Action::ExploreLayerNext
        | Action::ExploreLayerPrevious
        | Action::ExploreFilter
        | Action::ExploreSort
        | Action::ExploreAdded
        | Action::ExploreModified
        | Action::ExploreRemoved
        | Action::ExploreUnmodified
        | Action::ExploreWastedOnly
        | Action::ExploreAttributes
        | Action::ExploreWaste
        | Action::ExploreFacts
        | Action::ExploreView
        | Action::ExploreDiff
        | Action::ExploreHex
        | Action::ExploreExtract
        | Action::ExploreCopyPath
        | Action::ExploreCopyDigest
        | Action::ExploreFindings
        | Action::ExploreNext
        | Action::ExplorePrevious
        | Action::ExploreCompare
        | Action::ExploreClose
        | Action::TablesOpen
        | Action::TablesFold
        | Action::TablesLeft
        | Action::TablesRight
        | Action::TablesCopy
        | Action::TablesClose => {}
        Action::ShowVolume => show_tab(state, Tab::Volume),
        Action::ShowNetwork => show_tab(state, Tab::Network),
        Action::ShowNetworkMap => show_tab(state, Tab::NetworkMap),
        Action::ShowReach => show_tab(state, Tab::Reach),
        Action::CreateNetwork
        | Action::ConnectNetwork
        | Action::DisconnectNetwork
        | Action::RemoveNetworks
        | Action::PruneNetworks => on_networks(state, action),
        Action::CreateVolume | Action::RemoveVolumes | Action::PruneVolumes => {
            on_volumes(state, action, effects);
        }
        Action::ToggleStopped => {
            state.stopped_hidden = !state.stopped_hidden;
            state.containers.set_hidden(if state.stopped_hidden {
                |row| !row.status().is_live()
            } else {
                |_| false
            });
        }
        Action::Search => {
            if matches!(state.tab().view(), View::Log | View::Document) {
                state.overlays.push(Overlay::Prompt(Prompt {
                    purpose: Purpose::Search,
                    field: Field::default(),
                }));
            }
        }
        Action::SearchNext => search_step(state, Direction::Down),
        Action::SearchPrevious => search_step(state, Direction::Up),
        Action::Left if fold(state, Fold::Close) => {}
        Action::Right if fold(state, Fold::Open) => {}
        Action::Fold => {
            fold(state, Fold::Toggle);
        }
        Action::FoldAll => {
            let height = usize::from(layout::detail_body(state).height);
            if state.tab().view() == View::Document {
                state.document.fold_all(height);
            }
        }
        Action::Left => sideways(state, -8),
        Action::Right => sideways(state, 8),
        Action::CopyView => copy_view(state, effects),
        Action::Follow | Action::Wrap | Action::Timestamps | Action::ClearLog => {
            on_log(state, action);
        }
        Action::LeaveShell => {
            state.focus = Focus::List;
            state.zoom = false;
        }
    }
}

/// The cursor of the pane's list is on a heading.
fn on_heading(state: &State) -> bool {
    state.pane == Pane::Containers && state.containers.heading().is_some()
}

/// One step back: message, search, marks, filter, zoom, focus; whichever there is first.
pub(super) fn back(state: &mut State) {
    if state.notice.take().is_some() {
        return;
    }
    match state.focus {
        Focus::Detail => {
            let searching = match state.tab().view() {
                View::Log => state.log.as_ref().is_some_and(|l| l.search.is_active()),
                View::Document => state.document.search.is_active(),
                View::Figures | View::Shell => false,
            };
            if searching {
                set_search(state, "");
            } else if state.zoom {
                state.zoom = false;
            } else {
                state.focus = Focus::List;
            }
        }
        Focus::List => {
            if !state.list_mut(state.pane).clear_marks() {
                if state.zoom {
                    state.zoom = false;
                } else {
                    set_filter(state, "");
                }
            }
        }
    }
}

pub(super) fn focus_step(state: &mut State, step: isize) {
    // The lists in their order, then the details of the last one.
    let lists = Pane::ALL.len();
    let now = match state.focus {
        Focus::List => Pane::ALL.iter().position(|p| *p == state.pane),
        Focus::Detail => None,
    };
    let count = lists + 1;
    let next = match step {
        ..0 => now.unwrap_or(lists) + count - 1,
        _ => now.unwrap_or(lists) + 1,
    };
    match Pane::ALL.get(next % count) {
        Some(pane) => go_to(state, *pane),
        None => state.focus = Focus::Detail,
    }
}

pub(super) fn go_to(state: &mut State, pane: Pane) {
    if pane == Pane::Volumes && state.pane != pane {
        // What is written into volumes is told by no event.
        state.usage.stale = true;
    }
    state.pane = pane;
    state.focus = Focus::List;
}

pub(super) fn tab_step(state: &mut State, step: isize) {
    let tabs = state.tabs();
    let now = tabs.iter().position(|tab| *tab == state.tab()).unwrap_or(0);
    let count = isize::try_from(tabs.len()).unwrap_or(1);
    let next = isize::try_from(now).unwrap_or(0) + step;
    let next = usize::try_from(next.rem_euclid(count)).unwrap_or(0);
    if let Some(tab) = tabs.get(next) {
        set_tab(state, *tab);
    }
}

pub(super) fn set_tab(state: &mut State, tab: Tab) {
    match state.pane {
        Pane::Containers => state.container_tab = tab,
        Pane::Images => state.image_tab = tab,
        Pane::Volumes => state.volume_tab = tab,
        Pane::Networks => state.network_tab = tab,
    }
    // A shell takes all keys: going past it with the tab keys must not end in it.
    if tab == Tab::Shell && state.focus == Focus::Detail {
        state.focus = Focus::List;
    }
}

pub(super) fn show_tab(state: &mut State, tab: Tab) {
    set_tab(state, tab);
    // Where there is room for one pane only, showing means going there.
    let found = layout::regions(state.area(), state);
    if found.detail.is_none() {
        state.focus = Focus::Detail;
    }
}

pub(super) fn page(state: &State) -> isize {
    let rows = match state.focus {
        Focus::Detail => usize::from(layout::detail_body(state).height),
        Focus::List => state.list(state.pane).height(),
    };
    isize::try_from(rows.saturating_sub(1).max(1)).unwrap_or(1)
}

pub(super) fn move_focus(state: &mut State, rows: isize) {
    match state.focus {
        Focus::List => move_list(state, rows),
        Focus::Detail => move_detail(state, rows),
    }
}

pub(super) fn move_list(state: &mut State, rows: isize) {
    state.list_mut(state.pane).step(rows);
}

pub(super) fn move_detail(state: &mut State, rows: isize) {
    match state.tab().view() {
        View::Log => {
            let Some(timestamps) = state.log.as_ref().map(|log| log.timestamps) else {
                return;
            };
            let layout = layout::log_layout(state, timestamps);
            if let Some(log) = &mut state.log {
                match rows {
                    isize::MIN => log.to_top(layout),
                    isize::MAX => log.follow(),
                    rows => log.scroll(rows, layout),
                }
            }
        }
        View::Document => {
            let height = usize::from(layout::detail_body(state).height);
            match state.focus {
                // The cursor is moved by who can see that it is.
                Focus::Detail => state.document.step(rows, height),
                Focus::List => state.document.scroll(rows, height),
            }
        }
        View::Shell => {
            let id = state.selected_shell().map(|shell| shell.generation);
            if let Some(shell) = id.and_then(|id| shell_of(state, id)) {
                shell.scroll(rows);
            }
        }
        View::Figures => {}
    }
}

/// Folds or unfolds in the text that is shown; false if there is nothing to.
fn fold(state: &mut State, fold: Fold) -> bool {
    let height = usize::from(layout::detail_body(state).height);
    // A line that is scrolled sideways comes back first.
    let straight = state.document.left == 0;
    state.tab().view() == View::Document && straight && state.document.fold(fold, height)
}

pub(super) fn sideways(state: &mut State, columns: isize) {
    match state.tab().view() {
        View::Log => {
            if let Some(log) = state.log.as_mut().filter(|log| !log.wrap) {
                log.left = log.left.saturating_add_signed(columns).min(10_000);
            }
        }
        View::Document => {
            let left = &mut state.document.left;
            *left = left.saturating_add_signed(columns).min(10_000);
        }
        View::Figures | View::Shell => {}
    }
}

pub(super) fn search_step(state: &mut State, direction: Direction) {
    match state.tab().view() {
        View::Log => {
            if let Some(timestamps) = state.log.as_ref().map(|log| log.timestamps) {
                let layout = layout::log_layout(state, timestamps);
                if let Some(log) = &mut state.log {
                    log.search_step(direction, layout);
                }
            }
        }
        View::Document => {
            let height = usize::from(layout::detail_body(state).height);
            state.document.search_step(direction, height);
        }
        View::Figures | View::Shell => {}
    }
}

pub(super) fn on_log(state: &mut State, action: Action) {
    let Some(timestamps) = state.log.as_ref().map(|log| log.timestamps) else {
        return;
    };
    let layout = layout::log_layout(state, timestamps);
    let Some(log) = &mut state.log else {
        return;
    };
    match action {
        Action::Follow if log.follows() => log.pause(layout),
        Action::Follow => log.follow(),
        Action::Wrap => {
            log.wrap = !log.wrap;
            log.left = 0;
            state.wrap = log.wrap;
        }
        Action::Timestamps => {
            log.timestamps = !log.timestamps;
            state.timestamps = log.timestamps;
        }
        _ => log.clear(),
    }
}

/// The column that a key sorts by.
fn sort_column(pane: Pane, action: Action) -> Option<usize> {
    if pane == Pane::Networks {
        return match action {
            Action::SortName => Some(networks::NAME),
            Action::SortStatus => Some(networks::MEMBERS),
            Action::SortImage => Some(networks::SUBNETS),
            Action::SortAge => Some(networks::AGE),
            _ => None,
        };
    }
    let [container, image, volume] = match action {
        Action::SortName => [
            Some(containers::NAME),
            Some(images::NAME),
            Some(volumes::NAME),
        ],
        Action::SortStatus => [
            Some(containers::STATUS),
            Some(images::USED),
            Some(volumes::USED),
        ],
        Action::SortCpu => [Some(containers::CPU), None, None],
        Action::SortMemory => [
            Some(containers::MEMORY),
            Some(images::SIZE),
            Some(volumes::SIZE),
        ],
        Action::SortImage => [
            Some(containers::IMAGE),
            Some(images::ID),
            Some(volumes::DRIVER),
        ],
        Action::SortAge => [Some(containers::AGE), Some(images::AGE), Some(volumes::AGE)],
        Action::SortUnique => [None, Some(images::UNIQUE), None],
        _ => [None; 3],
    };
    match pane {
        Pane::Containers => container,
        Pane::Images => image,
        Pane::Volumes => volume,
        Pane::Networks => None,
    }
}

pub(super) fn open_filter(state: &mut State) {
    let before = state.list(state.pane).filter().text.clone();
    state.overlays.push(Overlay::Prompt(Prompt {
        field: Field::new(&before),
        purpose: Purpose::Filter { before },
    }));
}

pub(super) fn set_filter(state: &mut State, text: &str) {
    state.list_mut(state.pane).set_filter(Filter::new(text));
}

pub(super) fn set_search(state: &mut State, needle: &str) {
    match state.tab().view() {
        View::Log => {
            if let Some(timestamps) = state.log.as_ref().map(|log| log.timestamps) {
                let layout = layout::log_layout(state, timestamps);
                if let Some(log) = &mut state.log {
                    log.set_search(needle, layout);
                }
            }
        }
        View::Document => {
            let height = usize::from(layout::detail_body(state).height);
            state.document.set_search(needle, height);
        }
        View::Figures | View::Shell => {}
    }
}

pub(super) fn copy_object(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    let name = action == Action::CopyName;
    let text = match state.pane {
        Pane::Containers => state.containers.selected().map(|row| {
            if name {
                row.summary.container.name.clone()
            } else {
                row.id().to_string()
            }
        }),
        Pane::Images => state.images.selected().map(|row| {
            if name {
                row.reference().to_owned()
            } else {
                row.summary.id.to_string()
            }
        }),
        // A volume has no id beside its name.
        Pane::Volumes => state.volumes.selected().map(Row::key),
        Pane::Networks => state.networks.selected().map(|row| {
            if name {
                row.key()
            } else {
                row.network.id.to_string()
            }
        }),
    };
    effects.extend(text.map(Effect::Copy));
}

pub(super) fn copy_view(state: &mut State, effects: &mut Vec<Effect>) {
    let mut text = String::new();
    match state.tab().view() {
        View::Log => {
            let Some(log) = &state.log else {
                return;
            };
            let rows = log.visible(layout::log_layout(state, log.timestamps));
            let mut last = None;
            for row in rows {
                // Whole lines, however they are wrapped.
                if last != Some(row.place.line) {
                    text.push_str(&row.line.line.text);
                    text.push('\n');
                }
                last = Some(row.place.line);
            }
        }
        View::Document => {
            for line in state.document.lines() {
                text.push_str(&line.text());
                text.push('\n');
            }
        }
        View::Figures | View::Shell => return,
    }
    if text.len() > MAX_COPY {
        let text = format!("too much to copy: {} bytes, at most {MAX_COPY}", text.len());
        state.tell(Severity::Error, text);
    } else if !text.is_empty() {
        effects.push(Effect::Copy(text));
    }
}

impl State {
    /// Whether an action can do anything to what is chosen.
    #[must_use]
    pub fn applies(&self, action: Action) -> bool {
        match action {
            Action::Start
            | Action::Stop
            | Action::Restart
            | Action::Kill
            | Action::Pause
            | Action::Remove => self
                .containers
                .targets()
                .iter()
                .any(|row| row.busy.is_none() && request_for(action, row).is_some()),
            Action::Shell => self
                .containers
                .selected()
                .is_some_and(|row| row.status() == Status::Running),
            Action::RenameContainer | Action::CopyFiles | Action::CommitContainer => {
                self.containers.selected().is_some()
            }
            Action::UpdateLimits | Action::ExportContainer => !self.containers.targets().is_empty(),
            Action::RunImage
            | Action::ExploreImage
            | Action::CompareImages
            | Action::ShowSharing
            | Action::CreateContainer
            | Action::RemoveImage
            | Action::PushImages
            | Action::TagImage
            | Action::SaveImages => self.images.selected().is_some(),
            Action::RemoveVolumes => self.volumes.selected().is_some(),
            Action::ConnectNetwork | Action::RemoveNetworks => self.networks.selected().is_some(),
            Action::DisconnectNetwork => {
                let selected = self.networks.selected();
                selected.is_some_and(|row| !row.members.is_empty())
            }
            _ => true,
        }
    }
}
