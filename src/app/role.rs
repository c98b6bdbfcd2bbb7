//! What a piece of the screen means; `views::theme` says how that looks. Also the two glyph sets.

/// A meaning that a theme gives a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Ordinary text.
    Text,
    /// Less important text.
    Dim,
    /// Title of a pane.
    Title,
    /// Title of the pane with the focus.
    TitleFocused,
    /// Border of a pane.
    Border,
    /// Border of the pane with the focus.
    BorderFocused,
    /// Column titles.
    Header,
    /// The chosen row, with the focus.
    Selected,
    /// The chosen row of a pane without the focus.
    SelectedUnfocused,
    /// A marked row.
    Marked,
    /// The bar on top.
    Bar,
    /// Something that runs, or that went well.
    Good,
    /// Something to look at: paused, starting.
    Warning,
    /// Something that is wrong.
    Bad,
    /// Something under way: restarting, created.
    Busy,
    /// Something at rest: exited with 0.
    Idle,
    /// A key in footer and help.
    Key,
    /// The active tab, a chip.
    Chip,
    /// A search match.
    Match,
    /// The search match that the cursor is on.
    MatchCurrent,
    /// Time stamps.
    Time,
    /// A line of standard error.
    Stderr,
    /// A field's name in inspect.
    Field,
    /// The first line of a graph (CPU, received, read).
    GraphA,
    /// The second line of a graph (memory, sent, written).
    GraphB,
}

impl Role {
    /// All, with their names in theme files.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("text", Self::Text),
        ("dim", Self::Dim),
        ("title", Self::Title),
        ("title-focused", Self::TitleFocused),
        ("border", Self::Border),
        ("border-focused", Self::BorderFocused),
        ("header", Self::Header),
        ("selected", Self::Selected),
        ("selected-unfocused", Self::SelectedUnfocused),
        ("marked", Self::Marked),
        ("bar", Self::Bar),
        ("good", Self::Good),
        ("warning", Self::Warning),
        ("bad", Self::Bad),
        ("busy", Self::Busy),
        ("idle", Self::Idle),
        ("key", Self::Key),
        ("chip", Self::Chip),
        ("match", Self::Match),
        ("match-current", Self::MatchCurrent),
        ("time", Self::Time),
        ("stderr", Self::Stderr),
        ("field", Self::Field),
        ("graph-a", Self::GraphA),
        ("graph-b", Self::GraphB),
    ];
}

/// Which characters the terminal can show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Glyphs {
    /// Box drawing, braille, and signs one column wide.
    #[default]
    Unicode,
    /// ASCII only (`LANG=C`).
    Ascii,
}

impl Glyphs {
    /// One of two, by the set.
    #[must_use]
    pub fn pick<T>(self, unicode: T, ascii: T) -> T {
        match self {
            Self::Unicode => unicode,
            Self::Ascii => ascii,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_a_name() {
        assert_eq!(Role::ALL.len(), Role::GraphB as usize + 1);
        assert!(Role::ALL.is_sorted_by_key(|(_, role)| *role));
    }
}
