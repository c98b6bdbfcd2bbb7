//! The list behind every object pane: columns, sort, filter, marks, cursor and scroll position. What a row is, its screen says.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::role::{Glyphs, Role};
use super::text;
use crate::engine::model::Timestamp;

/// What a row may look at to describe itself.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Now.
    pub now: Timestamp,
    /// Which characters can be shown.
    pub glyphs: Glyphs,
}

/// A column of a list.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Title.
    pub title: &'static str,
    /// Columns it needs at least.
    pub width: u16,
    /// It grows when there is room, up to its content.
    pub grows: bool,
    /// Numbers stand at the right.
    pub right: bool,
    /// A list can be sorted by it.
    pub sorts: bool,
}

/// One object of a list.
pub trait Row {
    /// What it is known by while its other data change.
    type Key: Clone + Ord + std::fmt::Debug;
    /// The columns; the last is dropped first when there is no room.
    const COLUMNS: &'static [Column];
    /// Columns from this one on are shown only where all before them have the room that they want.
    const EXTRA: usize = usize::MAX;

    /// Its key.
    fn key(&self) -> Self::Key;
    /// The text of a cell.
    fn cell(&self, column: usize, context: Context) -> Cow<'_, str>;
    /// What a cell means.
    fn role(&self, column: usize) -> Role;
    /// Order by a column.
    fn compare(&self, other: &Self, column: usize) -> Ordering;
    /// Whether a word of the filter fits.
    fn matches(&self, term: &Term) -> bool;
}

/// One word of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// `status`, `image`, `label` … of `field:value`.
    pub field: Option<String>,
    /// What is looked for.
    pub value: String,
    /// `!` in front: must not fit.
    pub negated: bool,
}

impl Term {
    /// `name`, or `name=value`.
    #[must_use]
    pub fn fits_label(&self, labels: &BTreeMap<String, String>) -> bool {
        let (name, value) = match self.value.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (self.value.as_str(), None),
        };
        let found = labels.get(name);
        found.is_some_and(|found| value.is_none_or(|value| found == value))
    }
}

/// A filter: all words must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// As typed.
    pub text: String,
    terms: Vec<Term>,
}

impl Filter {
    /// Reads what was typed. Everything is a filter; there are no errors.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let term = |word: &str| {
            let (negated, word) = match word.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, word),
            };
            let (field, value) = match word.split_once(':') {
                Some((field, value)) if !field.is_empty() => (Some(field.to_lowercase()), value),
                _ => (None, word),
            };
            (!value.is_empty()).then(|| Term {
                field,
                value: value.to_owned(),
                negated,
            })
        };
        Self {
            text: text.to_owned(),
            terms: text.split_whitespace().filter_map(term).collect(),
        }
    }

    fn admits<R: Row>(&self, row: &R) -> bool {
        self.terms.iter().all(|t| row.matches(t) != t.negated)
    }
}

/// Rows, and how they are looked at.
#[derive(Debug, Clone)]
pub struct List<R: Row> {
    rows: Vec<R>,
    /// Indices into `rows`: filtered and sorted.
    order: Vec<usize>,
    /// Position in `order`.
    cursor: usize,
    /// First position shown.
    offset: usize,
    /// Rows that fit on the screen.
    height: usize,
    sort: usize,
    reversed: bool,
    filter: Filter,
    marks: BTreeSet<R::Key>,
    /// Rows outside of the filter that are left out anyway (hidden stopped containers).
    hidden: fn(&R) -> bool,
}

impl<R: Row> List<R> {
    /// An empty list sorted by a column.
    #[must_use]
    pub fn new(sort: usize, reversed: bool) -> Self {
        Self {
            rows: Vec::new(),
            order: Vec::new(),
            cursor: 0,
            offset: 0,
            height: 1,
            sort,
            reversed,
            filter: Filter::default(),
            marks: BTreeSet::new(),
            hidden: |_| false,
        }
    }

    /// New data. The cursor stays on its object; if that is gone, where it was. Marks of what is gone go too.
    pub fn replace(&mut self, rows: Vec<R>) {
        let chosen = self.selected().map(Row::key);
        self.rows = rows;
        let keys: BTreeSet<_> = self.rows.iter().map(Row::key).collect();
        self.marks.retain(|key| keys.contains(key));
        self.arrange(chosen);
    }

    /// Changes rows in place, for what comes often (figures). Sorts again if the order depends on it.
    pub fn update(&mut self, change: impl FnMut(&mut R)) {
        let chosen = self.selected().map(Row::key);
        self.rows.iter_mut().for_each(change);
        self.arrange(chosen);
    }

    fn arrange(&mut self, chosen: Option<R::Key>) {
        let Self {
            rows,
            order,
            filter,
            hidden,
            ..
        } = self;
        order.clear();
        order.extend(
            rows.iter()
                .enumerate()
                .filter(|(_, row)| filter.admits(*row) && !hidden(row))
                .map(|(index, _)| index),
        );
        let (sort, reversed) = (self.sort, self.reversed);
        order.sort_by(|a, b| match (rows.get(*a), rows.get(*b)) {
            (Some(a), Some(b)) => {
                let by_column = a.compare(b, sort);
                let by_column = if reversed {
                    by_column.reverse()
                } else {
                    by_column
                };
                by_column.then_with(|| a.key().cmp(&b.key()))
            }
            _ => Ordering::Equal,
        });
        let at = chosen.and_then(|key| self.visible().position(|row| row.key() == key));
        self.cursor = at.unwrap_or(self.cursor);
        self.keep_in_view();
    }

    fn keep_in_view(&mut self) {
        self.cursor = self.cursor.min(self.order.len().saturating_sub(1));
        let last_offset = self.order.len().saturating_sub(self.height);
        self.offset = self
            .offset
            .clamp((self.cursor + 1).saturating_sub(self.height), self.cursor)
            .min(last_offset);
    }

    /// Rows that pass the filter, in order.
    pub fn visible(&self) -> impl ExactSizeIterator<Item = &R> + '_ {
        // An index is always valid; the first row stands in so that the iterator keeps its exact size.
        self.order.iter().map(|index| &self.rows[*index])
    }

    /// The rows on the screen, with their position.
    pub fn window(&self) -> impl Iterator<Item = (usize, &R)> + '_ {
        self.visible()
            .enumerate()
            .skip(self.offset)
            .take(self.height)
    }

    /// All rows, in the order in which they came.
    pub fn rows(&self) -> &[R] {
        &self.rows
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.rows.len()
    }

    /// How many pass the filter.
    #[must_use]
    pub fn shown(&self) -> usize {
        self.order.len()
    }

    /// Position of the cursor.
    #[must_use]
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// First position on the screen.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The row under the cursor.
    #[must_use]
    pub fn selected(&self) -> Option<&R> {
        self.rows.get(*self.order.get(self.cursor)?)
    }

    /// What an action is for: the marked rows, or the one under the cursor.
    #[must_use]
    pub fn targets(&self) -> Vec<&R> {
        if self.marks.is_empty() {
            self.selected().into_iter().collect()
        } else {
            let marked = |row: &&R| self.marks.contains(&row.key());
            self.rows.iter().filter(marked).collect()
        }
    }

    /// Goes to a position, or as near as there is one.
    pub fn select(&mut self, position: usize) {
        self.cursor = position;
        self.keep_in_view();
    }

    /// Goes to an object, if it is shown.
    pub fn select_key(&mut self, key: &R::Key) {
        let at = self.visible().position(|row| row.key() == *key);
        self.select(at.unwrap_or(self.cursor));
    }

    /// Moves the cursor; negative is up.
    pub fn step(&mut self, rows: isize) {
        self.select(self.cursor.saturating_add_signed(rows));
    }

    /// Moves what is shown under a cursor that moves only if it would leave the screen (the mouse wheel).
    pub fn scroll(&mut self, rows: isize) {
        let last_offset = self.order.len().saturating_sub(self.height);
        self.offset = self.offset.saturating_add_signed(rows).min(last_offset);
        let last = (self.offset + self.height).saturating_sub(1);
        self.cursor = self.cursor.clamp(self.offset, last.max(self.offset));
        self.keep_in_view();
    }

    /// So many rows fit on the screen.
    pub fn set_height(&mut self, rows: usize) {
        self.height = rows.max(1);
        self.keep_in_view();
    }

    /// Rows that fit on the screen.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Column and direction of the order.
    #[must_use]
    pub fn sort(&self) -> (usize, bool) {
        (self.sort, self.reversed)
    }

    /// Sorts by a column; by the same column again: the other way round.
    pub fn sort_by(&mut self, column: usize) {
        if R::COLUMNS.get(column).is_none_or(|c| !c.sorts) {
            return;
        }
        self.reversed = self.sort == column && !self.reversed;
        self.sort = column;
        let chosen = self.selected().map(Row::key);
        self.arrange(chosen);
    }

    /// Sorts by the next column that sorts.
    pub fn sort_next(&mut self) {
        let columns = R::COLUMNS.len();
        let next = (1..=columns)
            .map(|step| (self.sort + step) % columns)
            .find(|c| R::COLUMNS.get(*c).is_some_and(|c| c.sorts));
        if let Some(next) = next.filter(|next| *next != self.sort) {
            self.sort_by(next);
        }
    }

    /// Turns the order round.
    pub fn sort_reverse(&mut self) {
        self.sort_by(self.sort);
    }

    /// The filter in force.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Another filter.
    pub fn set_filter(&mut self, filter: Filter) {
        let chosen = self.selected().map(Row::key);
        self.filter = filter;
        self.arrange(chosen);
    }

    /// Leaves rows out, filter or not.
    pub fn set_hidden(&mut self, hidden: fn(&R) -> bool) {
        let chosen = self.selected().map(Row::key);
        self.hidden = hidden;
        self.arrange(chosen);
    }

    /// Marks the row under the cursor, or takes its mark away, and goes down one.
    pub fn toggle_mark(&mut self) {
        if let Some(key) = self.selected().map(Row::key) {
            if !self.marks.remove(&key) {
                self.marks.insert(key);
            }
            self.step(1);
        }
    }

    /// Marks all that are shown; if they all are, none.
    pub fn toggle_all(&mut self) {
        let all: BTreeSet<_> = self.visible().map(Row::key).collect();
        if self.marks == all {
            self.marks.clear();
        } else {
            self.marks = all;
        }
    }

    /// Takes all marks away; false if there were none.
    pub fn clear_marks(&mut self) -> bool {
        let had = !self.marks.is_empty();
        self.marks.clear();
        had
    }

    /// Whether a row is marked.
    #[must_use]
    pub fn is_marked(&self, row: &R) -> bool {
        !self.marks.is_empty() && self.marks.contains(&row.key())
    }

    /// How many are marked.
    #[must_use]
    pub fn marked(&self) -> usize {
        self.marks.len()
    }

    /// `3/20`, or `20` without a filter.
    #[must_use]
    pub fn count(&self) -> String {
        if self.shown() == self.total() {
            self.total().to_string()
        } else {
            format!("{}/{}", self.shown(), self.total())
        }
    }

    /// Where the columns are in so many columns of screen: index, first column, width. The last are dropped first.
    #[must_use]
    pub fn columns(&self, width: u16, context: Context) -> Vec<(usize, u16, u16)> {
        let content = |index: usize| {
            let cells = self.rows.iter().map(|row| row.cell(index, context));
            let widest = cells.map(|cell| text::width(&cell)).max().unwrap_or(0);
            u16::try_from(widest).unwrap_or(u16::MAX)
        };
        // Index, width, and the width that it would like to have.
        let mut granted: Vec<(usize, u16, u16)> = Vec::new();
        let (mut used, mut named) = (0_u16, 0);
        for (index, column) in R::COLUMNS.iter().enumerate() {
            let gap = u16::from(!granted.is_empty());
            let rest = width.saturating_sub(used).saturating_sub(gap);
            // A column that grows also shrinks, when all that it holds is short.
            let (least, most) = if column.grows {
                let title = u16::try_from(column.title.len()).unwrap_or(u16::MAX);
                let most = content(index).max(title.saturating_add(1));
                (most.min(column.width), most)
            } else {
                (column.width, column.width)
            };
            if index >= R::EXTRA {
                if content(index) == 0 {
                    continue;
                }
                let wished: u16 = granted.iter().map(|(_, has, wants)| wants - has).sum();
                if rest < least.saturating_add(wished) {
                    break;
                }
            }
            if rest < least {
                // Whatever the width: the name, cut.
                if column.grows && named == 0 {
                    granted.push((index, rest, rest));
                    used = width;
                }
                break;
            }
            named += usize::from(column.grows);
            used += gap + least;
            granted.push((index, least, most));
        }
        // Growing columns take what is left, each up to its content, the first first.
        let mut rest = width.saturating_sub(used);
        for (_, has, wants) in &mut granted {
            let more = wants.saturating_sub(*has).min(rest);
            *has += more;
            rest -= more;
        }
        // What nobody needs goes to the first growing column, so that the others stand at the right border.
        let grows = |index: usize| R::COLUMNS.get(index).is_some_and(|c| c.grows);
        if let Some((_, has, _)) = granted.iter_mut().find(|(index, ..)| grows(*index)) {
            *has += rest;
        }
        let mut x = 0;
        granted
            .into_iter()
            .map(|(index, width, _)| {
                let start = x;
                x += width + 1;
                (index, start, width)
            })
            .collect()
    }
}

/// A list whose rows may be anything: what keys and the mouse do to all of them alike.
pub trait Listing {
    /// [`List::step`].
    fn step(&mut self, rows: isize);
    /// [`List::scroll`].
    fn scroll(&mut self, rows: isize);
    /// [`List::select`].
    fn select(&mut self, position: usize);
    /// [`List::set_height`].
    fn set_height(&mut self, rows: usize);
    /// [`List::height`].
    fn height(&self) -> usize;
    /// [`List::shown`].
    fn shown(&self) -> usize;
    /// [`List::offset`].
    fn offset(&self) -> usize;
    /// [`List::sort_by`].
    fn sort_by(&mut self, column: usize);
    /// [`List::sort_next`].
    fn sort_next(&mut self);
    /// [`List::sort_reverse`].
    fn sort_reverse(&mut self);
    /// [`List::toggle_mark`].
    fn toggle_mark(&mut self);
    /// [`List::toggle_all`].
    fn toggle_all(&mut self);
    /// [`List::clear_marks`].
    fn clear_marks(&mut self) -> bool;
    /// [`List::filter`].
    fn filter(&self) -> &Filter;
    /// [`List::set_filter`].
    fn set_filter(&mut self, filter: Filter);
    /// [`List::columns`].
    fn columns(&self, width: u16, context: Context) -> Vec<(usize, u16, u16)>;
}

/// Hands each on to the list's own method.
macro_rules! same {
    ($(&mut self $mutable:ident($($a:ident: $t:ty),*) $(-> $r:ty)?;)* $(& self $shared:ident($($b:ident: $u:ty),*) -> $s:ty;)*) => {
        $(fn $mutable(&mut self $(, $a: $t)*) $(-> $r)? { Self::$mutable(self $(, $a)*) })*
        $(fn $shared(&self $(, $b: $u)*) -> $s { Self::$shared(self $(, $b)*) })*
    };
}

impl<R: Row> Listing for List<R> {
    same! {
        &mut self step(rows: isize);
        &mut self scroll(rows: isize);
        &mut self select(position: usize);
        &mut self set_height(rows: usize);
        &mut self sort_by(column: usize);
        &mut self sort_next();
        &mut self sort_reverse();
        &mut self toggle_mark();
        &mut self toggle_all();
        &mut self clear_marks() -> bool;
        &mut self set_filter(filter: Filter);
        & self height() -> usize;
        & self shown() -> usize;
        & self offset() -> usize;
        & self filter() -> &Filter;
        & self columns(width: u16, context: Context) -> Vec<(usize, u16, u16)>;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone)]
    struct Fruit(&'static str, u32);

    impl Row for Fruit {
        type Key = &'static str;
        const COLUMNS: &'static [Column] = &[
            Column {
                title: "NAME",
                width: 4,
                grows: true,
                right: false,
                sorts: true,
            },
            Column {
                title: "N",
                width: 3,
                grows: false,
                right: true,
                sorts: true,
            },
        ];
        fn key(&self) -> &'static str {
            self.0
        }
        fn cell(&self, column: usize, _: Context) -> Cow<'_, str> {
            if column == 0 {
                self.0.into()
            } else {
                self.1.to_string().into()
            }
        }
        fn role(&self, _: usize) -> Role {
            Role::Text
        }
        fn compare(&self, other: &Self, column: usize) -> Ordering {
            if column == 0 {
                self.0.cmp(other.0)
            } else {
                self.1.cmp(&other.1)
            }
        }
        fn matches(&self, term: &Term) -> bool {
            match term.field.as_deref() {
                None => text::fuzzy(self.0, &term.value),
                Some(field) => field == "n" && term.value == self.1.to_string(),
            }
        }
    }

    fn list() -> List<Fruit> {
        let mut list = List::new(0, false);
        list.replace(vec![
            Fruit("pear", 3),
            Fruit("apple", 1),
            Fruit("plum", 3),
            Fruit("fig", 9),
        ]);
        list.set_height(2);
        list
    }

    fn names(list: &List<Fruit>) -> Vec<&str> {
        list.visible().map(|f| f.0).collect()
    }

    #[test]
    fn the_cursor_follows_its_object_through_sort_filter_and_new_data() {
        let mut list = list();
        list.select_key(&"pear");
        list.sort_by(1);
        assert_eq!(names(&list), ["apple", "pear", "plum", "fig"]);
        assert_eq!(list.selected().map(|f| f.0), Some("pear"));
        list.set_filter(Filter::new("p"));
        assert_eq!(list.selected().map(|f| f.0), Some("pear"));
        list.replace(vec![Fruit("plum", 3), Fruit("pear", 0)]);
        assert_eq!(list.selected().map(|f| f.0), Some("pear"));
        list.replace(vec![Fruit("plum", 3)]);
        assert_eq!(list.selected().map(|f| f.0), Some("plum"));
        list.replace(vec![]);
        assert!(list.selected().is_none());
    }

    #[test]
    fn every_word_of_a_filter_must_fit() {
        let mut list = list();
        for (filter, expected) in [
            ("", vec!["apple", "fig", "pear", "plum"]),
            ("pl", vec!["apple", "plum"]),
            ("n:3", vec!["pear", "plum"]),
            ("n:3 !lum", vec!["pear"]),
            ("zzz", vec![]),
            ("!", vec!["apple", "fig", "pear", "plum"]),
        ] {
            list.set_filter(Filter::new(filter));
            assert_eq!(names(&list), expected, "{filter}");
        }
    }

    #[test]
    fn the_cursor_is_always_on_the_screen() {
        let mut list = list();
        for step in [1, 1, 1, 1, -2, 5, -9, 3] {
            list.step(step);
            let window: Vec<_> = list.window().map(|(at, _)| at).collect();
            assert!(window.contains(&list.cursor()), "{step}: {window:?}");
            assert_eq!(window.len(), 2);
        }
        list.scroll(-9);
        assert_eq!((list.offset(), list.cursor()), (0, 1));
    }

    #[test]
    fn actions_are_for_the_marked_rows_or_the_chosen_one() {
        let mut list = list();
        assert_eq!(list.targets().len(), 1);
        list.toggle_mark();
        list.toggle_mark();
        assert_eq!(
            list.targets().iter().map(|f| f.0).collect::<Vec<_>>(),
            ["apple", "fig"]
        );
        list.replace(vec![Fruit("fig", 1)]);
        assert_eq!(list.marked(), 1);
        list.toggle_all();
        assert_eq!(list.marked(), 0);
    }

    #[test]
    fn columns_are_dropped_from_the_right() {
        let list = list();
        let context = Context {
            now: Timestamp::UNIX_EPOCH,
            glyphs: Glyphs::Unicode,
        };
        assert_eq!(list.columns(12, context), [(0, 0, 8), (1, 9, 3)]);
        assert_eq!(list.columns(7, context), [(0, 0, 7)]);
        assert_eq!(list.columns(3, context), [(0, 0, 3)]);
        assert_eq!(list.columns(0, context), [(0, 0, 0)]);
    }
}
