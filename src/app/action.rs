//! The one list of actions: id, title, where it applies. Keymap, footer, help, palette and docs/keys.md come from it.

/// Where a key is looked up: the table of the keymap file that it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Everywhere but in an open shell.
    Global,
    /// In a list pane.
    List,
    /// On containers: in their list and in their details.
    Containers,
    /// On images: in their list and in their details.
    Images,
    /// On volumes: in their list and in their details.
    Volumes,
    /// On networks: in their list and in their details.
    Networks,
    /// In the layer explorer.
    Explorer,
    /// In the tables of two images, and of images and their layers.
    Tables,
    /// In the detail pane.
    Detail,
    /// In a log.
    Logs,
    /// In a shell: every other key goes to the shell.
    Shell,
}

impl Scope {
    /// All, in the order of the docs.
    pub const ALL: &'static [Self] = &[
        Self::Global,
        Self::List,
        Self::Containers,
        Self::Images,
        Self::Volumes,
        Self::Networks,
        Self::Explorer,
        Self::Tables,
        Self::Detail,
        Self::Logs,
        Self::Shell,
    ];

    /// Name of its table in the keymap file.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::List => "list",
            Self::Containers => "containers",
            Self::Images => "images",
            Self::Volumes => "volumes",
            Self::Networks => "networks",
            Self::Explorer => "explorer",
            Self::Tables => "tables",
            Self::Detail => "detail",
            Self::Logs => "logs",
            Self::Shell => "shell",
        }
    }

    /// Title in help and docs.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Global => "Everywhere",
            Self::List => "Lists",
            Self::Containers => "Containers",
            Self::Images => "Images",
            Self::Volumes => "Volumes",
            Self::Networks => "Networks",
            Self::Explorer => "Layer explorer",
            Self::Tables => "Images beside each other",
            Self::Detail => "Details",
            Self::Logs => "Logs",
            Self::Shell => "Shell",
        }
    }
}

/// What a key, a palette entry or a click means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    // Everywhere.
    Help,
    Palette,
    Quit,
    Back,
    FocusNext,
    FocusPrevious,
    PaneContainers,
    PaneImages,
    PaneVolumes,
    PaneNetworks,
    TabNext,
    TabPrevious,
    Zoom,
    Up,
    Down,
    Top,
    Bottom,
    PageUp,
    PageDown,
    HalfPageUp,
    HalfPageDown,
    ScrollUp,
    ScrollDown,
    CommandLog,
    Jobs,
    DiskUsage,
    Notice,
    Redraw,
    Suspend,
    ToggleMouse,
    // Lists.
    Open,
    Filter,
    Mark,
    MarkAll,
    SortNext,
    SortReverse,
    SortName,
    SortStatus,
    SortCpu,
    SortMemory,
    SortImage,
    SortAge,
    Columns,
    FoldGroup,
    UnfoldGroup,
    FoldGroups,
    CopyName,
    CopyId,
    // Containers.
    Start,
    Stop,
    Restart,
    Kill,
    Pause,
    Remove,
    Shell,
    ShowLogs,
    ShowStats,
    ShowInspect,
    ShowHealth,
    ShowTop,
    ShowDiff,
    ShowEnvironment,
    ShowMounts,
    ShowPorts,
    ToggleStopped,
    Group,
    RenameContainer,
    UpdateLimits,
    CopyFiles,
    CommitContainer,
    ExportContainer,
    PruneContainers,
    // Images.
    ExploreImage,
    CompareImages,
    ShowSharing,
    RunImage,
    CreateContainer,
    PullImage,
    PushImages,
    TagImage,
    SaveImages,
    LoadImages,
    RemoveImage,
    PruneImages,
    ShowLayers,
    ShowImage,
    ShowUsers,
    SortUnique,
    // Volumes.
    CreateVolume,
    RemoveVolumes,
    PruneVolumes,
    ShowVolume,
    ShowVolumeUsers,
    // Networks.
    CreateNetwork,
    ConnectNetwork,
    DisconnectNetwork,
    RemoveNetworks,
    PruneNetworks,
    ShowNetwork,
    ShowNetworkMap,
    ShowReach,
    // Layer explorer.
    ExploreOpen,
    ExploreFold,
    ExploreFoldAll,
    ExploreLeft,
    ExploreRight,
    ExploreWhole,
    ExploreLayerNext,
    ExploreLayerPrevious,
    ExploreFilter,
    ExploreSort,
    ExploreAdded,
    ExploreModified,
    ExploreRemoved,
    ExploreUnmodified,
    ExploreWastedOnly,
    ExploreAttributes,
    ExploreWaste,
    ExploreFacts,
    ExploreView,
    ExploreDiff,
    ExploreCompare,
    ExploreHex,
    ExploreExtract,
    ExploreCopyPath,
    ExploreCopyDigest,
    ExploreClose,
    TablesOpen,
    TablesFold,
    TablesLeft,
    TablesRight,
    TablesCopy,
    TablesClose,
    ExploreFindings,
    ExploreNext,
    ExplorePrevious,
    // Details.
    Search,
    SearchNext,
    SearchPrevious,
    Fold,
    FoldAll,
    Left,
    Right,
    CopyView,
    // Logs.
    Follow,
    Wrap,
    Timestamps,
    ClearLog,
    // Shell.
    LeaveShell,
}

/// One line of the list.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// What it is.
    pub action: Action,
    /// Its name in keymap files.
    pub id: &'static str,
    /// What it does, for help and palette.
    pub title: &'static str,
    /// One or two words for the footer; empty if it is not shown there.
    pub hint: &'static str,
    /// Where it applies.
    pub scope: Scope,
}

const fn entry(
    scope: Scope,
    action: Action,
    id: &'static str,
    title: &'static str,
    hint: &'static str,
) -> Entry {
    Entry {
        action,
        id,
        title,
        hint,
        scope,
    }
}

/// Every action. Within a scope, the order is that of help and footer: the most useful first.
#[rustfmt::skip]
pub const ACTIONS: &[Entry] = &[
    entry(Scope::Global, Action::Help, "help", "Show all keys", "help"),
    entry(Scope::Global, Action::Palette, "palette", "Run an action by its name", "command"),
    entry(Scope::Global, Action::Quit, "quit", "Leave wharf; containers go on running", "quit"),
    entry(Scope::Global, Action::Back, "back", "Close, clear the filter, or go back", ""),
    entry(Scope::Global, Action::FocusNext, "focus-next", "Go to the next pane", "pane"),
    entry(Scope::Global, Action::FocusPrevious, "focus-previous", "Go to the previous pane", ""),
    entry(Scope::Global, Action::PaneContainers, "containers", "Go to the containers", ""),
    entry(Scope::Global, Action::PaneImages, "images", "Go to the images", ""),
    entry(Scope::Global, Action::PaneVolumes, "volumes", "Go to the volumes", ""),
    entry(Scope::Global, Action::PaneNetworks, "networks", "Go to the networks", ""),
    entry(Scope::Global, Action::TabNext, "tab-next", "Show the next tab", "tab"),
    entry(Scope::Global, Action::TabPrevious, "tab-previous", "Show the previous tab", ""),
    entry(Scope::Global, Action::Zoom, "zoom", "Give the pane the whole screen, or take it back", "zoom"),
    entry(Scope::Global, Action::Up, "up", "Move up", ""),
    entry(Scope::Global, Action::Down, "down", "Move down", ""),
    entry(Scope::Global, Action::Top, "top", "Go to the top", ""),
    entry(Scope::Global, Action::Bottom, "bottom", "Go to the bottom", ""),
    entry(Scope::Global, Action::PageUp, "page-up", "Move up one page", ""),
    entry(Scope::Global, Action::PageDown, "page-down", "Move down one page", ""),
    entry(Scope::Global, Action::HalfPageUp, "half-page-up", "Move up half a page", ""),
    entry(Scope::Global, Action::HalfPageDown, "half-page-down", "Move down half a page", ""),
    entry(Scope::Global, Action::ScrollUp, "scroll-up", "Scroll the details up without leaving the list", ""),
    entry(Scope::Global, Action::ScrollDown, "scroll-down", "Scroll the details down without leaving the list", ""),
    entry(Scope::Global, Action::CommandLog, "command-log", "Show what was done, as commands to copy", ""),
    entry(Scope::Global, Action::Jobs, "jobs", "Show running and finished work by layer; cancel it", ""),
    entry(Scope::Global, Action::DiskUsage, "disk-usage", "Show what images, containers and volumes take", ""),
    entry(Scope::Global, Action::Notice, "notice", "Show the last message in full", ""),
    entry(Scope::Global, Action::Redraw, "redraw", "Draw the screen again", ""),
    entry(Scope::Global, Action::Suspend, "suspend", "Stop wharf and return to the shell that started it", ""),
    entry(Scope::Global, Action::ToggleMouse, "mouse", "Turn the mouse on, or off to select text", ""),

    entry(Scope::List, Action::Open, "open", "Go to the details; on a heading: fold or unfold", "details"),
    entry(Scope::List, Action::Filter, "filter", "Filter: words, status: image: label: project: id:", "filter"),
    entry(Scope::List, Action::Mark, "mark", "Mark, for doing something to many", "mark"),
    entry(Scope::List, Action::MarkAll, "mark-all", "Mark all that are shown, or none", ""),
    entry(Scope::List, Action::SortNext, "sort-next", "Sort by the next of the chosen columns", "sort"),
    entry(Scope::List, Action::SortReverse, "sort-reverse", "Turn the order round", ""),
    entry(Scope::List, Action::Columns, "columns", "Choose columns, and the order in which they stand", "columns"),
    entry(Scope::List, Action::FoldGroup, "fold-group", "Fold the group, or go to its heading", ""),
    entry(Scope::List, Action::UnfoldGroup, "unfold-group", "Unfold the group, or go to the details", ""),
    entry(Scope::List, Action::FoldGroups, "fold-groups", "Fold all groups, or unfold them", ""),
    entry(Scope::List, Action::SortName, "sort-name", "Sort by name", ""),
    entry(Scope::List, Action::SortStatus, "sort-status", "Sort by status (containers) or use (images)", ""),
    entry(Scope::List, Action::SortCpu, "sort-cpu", "Sort by CPU use (containers)", ""),
    entry(Scope::List, Action::SortMemory, "sort-memory", "Sort by memory (containers) or size (images)", ""),
    entry(Scope::List, Action::SortImage, "sort-image", "Sort by image (containers) or id (images)", ""),
    entry(Scope::List, Action::SortAge, "sort-age", "Sort by age", ""),
    entry(Scope::List, Action::CopyName, "copy-name", "Copy the name", ""),
    entry(Scope::List, Action::CopyId, "copy-id", "Copy the id", ""),

    entry(Scope::Containers, Action::Start, "start", "Start", "start"),
    entry(Scope::Containers, Action::Stop, "stop", "Stop", "stop"),
    entry(Scope::Containers, Action::Restart, "restart", "Restart", "restart"),
    entry(Scope::Containers, Action::Shell, "shell", "Open a shell in it", "shell"),
    entry(Scope::Containers, Action::Remove, "remove", "Remove, after asking", "remove"),
    entry(Scope::Containers, Action::Kill, "kill", "Kill, after asking", ""),
    entry(Scope::Containers, Action::Pause, "pause", "Pause, or let it go on", "pause"),
    entry(Scope::Containers, Action::Group, "group", "Group by Compose project, or not", ""),
    entry(Scope::Containers, Action::UpdateLimits, "limits", "Change its limits and its restart policy", "limits"),
    entry(Scope::Containers, Action::RenameContainer, "rename", "Give it another name", ""),
    entry(Scope::Containers, Action::CopyFiles, "copy-files", "Copy files out of it, or into it", ""),
    entry(Scope::Containers, Action::CommitContainer, "commit", "Make an image of it", ""),
    entry(Scope::Containers, Action::ExportContainer, "export", "Write its files into an archive", ""),
    entry(Scope::Containers, Action::PruneContainers, "prune", "Remove those that do not run, after showing them", ""),
    entry(Scope::Containers, Action::ShowLogs, "logs", "Show the log", ""),
    entry(Scope::Containers, Action::ShowStats, "stats", "Show live figures", ""),
    entry(Scope::Containers, Action::ShowInspect, "inspect", "Show everything that is known about it", ""),
    entry(Scope::Containers, Action::ShowHealth, "health", "Show what its health probes said", ""),
    entry(Scope::Containers, Action::ShowReach, "reach", "Show who can reach it, and its connections", ""),
    entry(Scope::Containers, Action::ShowTop, "processes", "Show its processes", ""),
    entry(Scope::Containers, Action::ShowDiff, "changes", "Show which files differ from its image", ""),
    entry(Scope::Containers, Action::ShowEnvironment, "environment", "Show its variables", ""),
    entry(Scope::Containers, Action::ShowMounts, "mounts", "Show what is mounted in it, and where", ""),
    entry(Scope::Containers, Action::ShowPorts, "ports", "Show its ports", ""),
    entry(Scope::Containers, Action::ToggleStopped, "toggle-stopped", "Hide or show containers that do not run", ""),

    entry(Scope::Images, Action::ExploreImage, "explore", "Look into its layers and files", "look into"),
    entry(Scope::Images, Action::CompareImages, "compare", "Compare the two that are marked, the older first", ""),
    entry(Scope::Images, Action::ShowSharing, "map", "Show what layers images share and what each frees", ""),
    entry(Scope::Images, Action::RunImage, "run", "Run it: a form that shows the command", "run"),
    entry(Scope::Images, Action::CreateContainer, "create", "Make a container of it without starting that", ""),
    entry(Scope::Images, Action::PullImage, "pull", "Pull an image from a registry", "pull"),
    entry(Scope::Images, Action::PushImages, "push", "Push to a registry", "push"),
    entry(Scope::Images, Action::TagImage, "tag", "Give it another name", "tag"),
    entry(Scope::Images, Action::SaveImages, "save", "Save into an archive", "save"),
    entry(Scope::Images, Action::LoadImages, "load", "Load the images of an archive", "load"),
    entry(Scope::Images, Action::RemoveImage, "remove", "Remove, after asking", "remove"),
    entry(Scope::Images, Action::PruneImages, "prune", "Remove what nothing uses, after showing what goes", "prune"),
    entry(Scope::Images, Action::ShowLayers, "layers", "Show layers with sizes and the command of each", ""),
    entry(Scope::Images, Action::ShowImage, "inspect", "Show everything that is known about it", ""),
    entry(Scope::Images, Action::ShowUsers, "used-by", "Show the containers made from it", ""),
    entry(Scope::Images, Action::SortUnique, "sort-unique", "Sort by what removing it would give back", ""),

    entry(Scope::Volumes, Action::CreateVolume, "create", "Make a volume", "create"),
    entry(Scope::Volumes, Action::RemoveVolumes, "remove", "Remove with what is in it, after asking", "remove"),
    entry(Scope::Volumes, Action::PruneVolumes, "prune", "Remove what no container has, after showing it", "prune"),
    entry(Scope::Volumes, Action::ShowVolume, "inspect", "Show everything that is known about it", ""),
    entry(Scope::Volumes, Action::ShowVolumeUsers, "used-by", "Show the containers that have it", ""),
    entry(Scope::Networks, Action::CreateNetwork, "create", "Make a network", "create"),
    entry(Scope::Networks, Action::ConnectNetwork, "connect", "Put a container on it", "connect"),
    entry(Scope::Networks, Action::DisconnectNetwork, "disconnect", "Take a container off it", "disconnect"),
    entry(Scope::Networks, Action::RemoveNetworks, "remove", "Remove, after asking", "remove"),
    entry(Scope::Networks, Action::PruneNetworks, "prune", "Remove those that nobody is on, after showing them", "prune"),
    entry(Scope::Networks, Action::ShowNetwork, "inspect", "Show who is on it, and all that is known of it", ""),
    entry(Scope::Networks, Action::ShowNetworkMap, "map", "Draw all networks with their containers and ports", "map"),

    entry(Scope::Explorer, Action::ExploreOpen, "open", "Go in, fold, or jump to the layer that brought it", "open"),
    entry(Scope::Explorer, Action::ExploreWhole, "whole", "Show the layer's change, or the image up to it", "change/image"),
    entry(Scope::Explorer, Action::ExploreWaste, "waste", "List hidden bytes; enter and right jump to layers", "hidden bytes"),
    entry(Scope::Explorer, Action::ExploreFindings, "findings", "List secrets, rights, caches; enter reads or jumps", "findings"),
    entry(Scope::Explorer, Action::ExploreFilter, "filter", "Filter: name *.py ~regex >1MB is:setuid uid:0 !not", "filter"),
    entry(Scope::Explorer, Action::ExploreSort, "sort", "Sort by size, by name, by what changed", "sort"),
    entry(Scope::Explorer, Action::ExploreFold, "fold", "Fold the directory, or unfold it", ""),
    entry(Scope::Explorer, Action::ExploreFoldAll, "fold-all", "Fold all directories, or unfold them", ""),
    entry(Scope::Explorer, Action::ExploreLeft, "left", "Fold, or go to what is above", ""),
    entry(Scope::Explorer, Action::ExploreRight, "right", "Unfold; from hidden bytes to the layer hiding them", ""),
    entry(Scope::Explorer, Action::ExploreLayerNext, "layer-next", "Go to the next layer", "layer"),
    entry(Scope::Explorer, Action::ExploreLayerPrevious, "layer-previous", "Go to the previous layer", ""),
    entry(Scope::Explorer, Action::ExploreAdded, "added", "Hide or show what was added", ""),
    entry(Scope::Explorer, Action::ExploreModified, "modified", "Hide or show what was changed", ""),
    entry(Scope::Explorer, Action::ExploreRemoved, "removed", "Hide or show what was removed", ""),
    entry(Scope::Explorer, Action::ExploreUnmodified, "unmodified", "Hide or show what is as it was", ""),
    entry(Scope::Explorer, Action::ExploreWastedOnly, "wasted-only", "Show only what has hidden bytes, or all", ""),
    entry(Scope::Explorer, Action::ExploreAttributes, "attributes", "Hide or show mode and owner", "mode"),
    entry(Scope::Explorer, Action::ExploreFacts, "facts", "Show all that is known of the layer and the path", "facts"),
    entry(Scope::Explorer, Action::ExploreView, "view", "Read the file", "read"),
    entry(Scope::Explorer, Action::ExploreDiff, "diff", "Compare the file with the layer before it", "compare"),
    entry(Scope::Explorer, Action::ExploreCompare, "compare", "Compare the image with another one", ""),
    entry(Scope::Explorer, Action::ExploreHex, "hex", "Show the bytes of the file, or its lines", ""),
    entry(Scope::Explorer, Action::ExploreNext, "next", "Go to the next match in the file (/ looks for it)", ""),
    entry(Scope::Explorer, Action::ExplorePrevious, "previous", "Go to the previous match in the file", ""),
    entry(Scope::Explorer, Action::ExploreExtract, "extract", "Write the file, directory, layer or image to disk", "extract"),
    entry(Scope::Explorer, Action::ExploreCopyPath, "copy-path", "Copy the path, or the layer's command", "copy"),
    entry(Scope::Explorer, Action::ExploreCopyDigest, "copy-digest", "Copy the layer's digest (diff id)", ""),
    entry(Scope::Explorer, Action::ExploreClose, "close", "Leave the explorer", ""),

    entry(Scope::Tables, Action::TablesOpen, "open", "Look into the image; unfold, read or compare", "open"),
    entry(Scope::Tables, Action::TablesFold, "fold", "Unfold what came or went as one, or fold it", ""),
    entry(Scope::Tables, Action::TablesLeft, "left", "Fold, or go to what is above", ""),
    entry(Scope::Tables, Action::TablesRight, "right", "Unfold", ""),
    entry(Scope::Tables, Action::TablesCopy, "copy", "Copy the line", "copy"),
    entry(Scope::Tables, Action::TablesClose, "close", "Leave the tables", "close"),

    entry(Scope::Detail, Action::Search, "search", "Search", "search"),
    entry(Scope::Detail, Action::SearchNext, "search-next", "Go to the next match", ""),
    entry(Scope::Detail, Action::SearchPrevious, "search-previous", "Go to the previous match", ""),
    entry(Scope::Detail, Action::Fold, "fold", "Fold the branch, or unfold it", ""),
    entry(Scope::Detail, Action::FoldAll, "fold-all", "Fold all branches, or unfold them", ""),
    entry(Scope::Detail, Action::Left, "left", "Fold, go to the branch above, or scroll left", ""),
    entry(Scope::Detail, Action::Right, "right", "Unfold, or scroll right", ""),
    entry(Scope::Detail, Action::CopyView, "copy-view", "Copy the lines that are shown", "copy"),

    entry(Scope::Logs, Action::Follow, "follow", "Follow the log's end, or stay here", "follow"),
    entry(Scope::Logs, Action::Wrap, "wrap", "Wrap long lines, or cut them", "wrap"),
    entry(Scope::Logs, Action::Timestamps, "timestamps", "Show or hide times", "times"),
    entry(Scope::Logs, Action::ClearLog, "clear", "Forget the lines that are shown", ""),

    entry(Scope::Shell, Action::LeaveShell, "leave", "Leave the shell's pane; the shell goes on", "leave"),
];

impl Action {
    /// Its line in the list.
    ///
    /// # Panics
    /// Never: a test proves that every action has one.
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        ACTIONS
            .iter()
            .find(|e| e.action == self)
            .expect("every action is in the list")
    }

    /// The action of this name in this scope.
    #[must_use]
    pub fn find(scope: Scope, id: &str) -> Option<Self> {
        ACTIONS
            .iter()
            .find(|e| e.scope == scope && e.id == id)
            .map(|e| e.action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_within_a_scope_and_actions_are_listed_once() {
        let names: BTreeSet<_> = ACTIONS.iter().map(|e| (e.scope, e.id)).collect();
        assert_eq!(names.len(), ACTIONS.len());
        let actions: BTreeSet<_> = ACTIONS.iter().map(|e| e.action).collect();
        assert_eq!(actions.len(), ACTIONS.len());
        // `LeaveShell` is the last variant: the list has no holes up to it.
        assert_eq!(ACTIONS.len(), Action::LeaveShell as usize + 1);
    }

    /// What `?` has room for: its window is 74 wide, the keys take 22, and two stay free.
    #[test]
    fn no_title_is_cut_off_in_the_help() {
        for entry in ACTIONS {
            assert!(entry.title.chars().count() <= 50, "{}", entry.title);
        }
    }
}
