//! The list behind every object pane: columns, sort, groups, filter, marks, cursor and scroll position. What a row is, its screen
//! says.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Range;

use super::columns::Choices;
use super::document::Fold;
use super::role::{Glyphs, Role};
use super::text;
use crate::engine::model::Timestamp;

pub use super::columns::Column;
pub use super::filter::{Filter, Term};

/// What a row may look at to describe itself.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Now.
    pub now: Timestamp,
    /// Which characters can be shown.
    pub glyphs: Glyphs,
}

/// One object of a list.
pub trait Row {
    /// What it is known by while its other data change.
    type Key: Clone + Ord + std::fmt::Debug;
    /// The columns; the last is dropped first when there is no room.
    const COLUMNS: &'static [Column];
    /// Columns from this one on are shown only where all before them have the room that they want.
    const EXTRA: usize = usize::MAX;
    /// Columns that are shown only when somebody has chosen them.
    const OFF: &'static [usize] = &[];
    /// What the heading of rows that belong to nothing says.
    const REST: &'static str = "the others";

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
    /// What it belongs to, where a list is grouped; `None`: to nothing.
    fn group(&self) -> Option<&str> {
        None
    }
    /// The text of a heading's cell: what all its rows come to together.
    fn together(_rows: &[&Self], _column: usize) -> String {
        String::new()
    }
}

/// The line above the rows of a group.
#[derive(Debug)]
pub struct Heading<'a, R> {
    /// What its rows belong to; `None`: to nothing.
    pub name: Option<&'a str>,
    /// Its rows are not shown.
    pub is_folded: bool,
    /// Its rows that pass the filter.
    pub rows: Vec<&'a R>,
}

/// A line of a list.
#[derive(Debug)]
pub enum Line<'a, R> {
    /// An object.
    Row(&'a R),
    /// The beginning of a group.
    Heading(Heading<'a, R>),
}

/// The same, by place: in the rows, and in the groups.
#[derive(Debug, Clone, Copy)]
enum At {
    Row(usize),
    Heading(usize),
}

/// What the cursor is on while everything else changes.
#[derive(Debug)]
enum Chosen<K> {
    Row(K),
    Heading(Option<String>),
}

/// Rows that belong together.
#[derive(Debug, Clone)]
struct Group {
    name: Option<String>,
    /// Where they are in the order.
    range: Range<usize>,
}

/// Rows, and how they are looked at.
#[derive(Debug, Clone)]
pub struct List<R: Row> {
    rows: Vec<R>,
    /// Indices into `rows`: filtered and sorted, group by group.
    order: Vec<usize>,
    /// What the order is cut into, if it is.
    groups: Vec<Group>,
    /// What is shown: rows, and headings if there are groups.
    lines: Vec<At>,
    /// Position in `lines`.
    cursor: usize,
    /// First position shown.
    offset: usize,
    /// Lines that fit on the screen.
    height: usize,
    choices: Choices,
    sort: usize,
    reversed: bool,
    grouped: bool,
    /// Groups that show no rows.
    folded: BTreeSet<Option<String>>,
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
            groups: Vec::new(),
            lines: Vec::new(),
            cursor: 0,
            offset: 0,
            height: 1,
            choices: Choices::new(R::COLUMNS, R::OFF),
            sort,
            reversed,
            grouped: false,
            folded: BTreeSet::new(),
            filter: Filter::default(),
            marks: BTreeSet::new(),
            hidden: |_| false,
        }
    }

    /// New data. The cursor stays on its object; if that is gone, where it was. Marks of what is gone go too.
    pub fn replace(&mut self, rows: Vec<R>) {
        let chosen = self.chosen();
        self.rows = rows;
        let keys: BTreeSet<_> = self.rows.iter().map(Row::key).collect();
        self.marks.retain(|key| keys.contains(key));
        self.arrange(chosen);
    }

    /// Changes rows in place, for what comes often (figures). Sorts again if the order depends on it.
    pub fn update(&mut self, change: impl FnMut(&mut R)) {
        let chosen = self.chosen();
        self.rows.iter_mut().for_each(change);
        self.arrange(chosen);
    }

    fn arrange(&mut self, chosen: Option<Chosen<R::Key>>) {
        let Self {
            rows,
            order,
            filter,
            hidden,
            grouped,
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
        let by_column = |a: &R, b: &R| {
            let order = a.compare(b, sort);
            let order = if reversed { order.reverse() } else { order };
            order.then_with(|| a.key().cmp(&b.key()))
        };
        // What belongs to nothing comes last.
        let by_group = |a: &R, b: &R| {
            let (a, b) = (a.group(), b.group());
            (a.is_none(), a).cmp(&(b.is_none(), b))
        };
        let by_all = |a: &R, b: &R| {
            let by_group = if *grouped {
                by_group(a, b)
            } else {
                Ordering::Equal
            };
            by_group.then_with(|| by_column(a, b))
        };
        order.sort_by(|a, b| match (rows.get(*a), rows.get(*b)) {
            (Some(a), Some(b)) => by_all(a, b),
            _ => Ordering::Equal,
        });
        self.cut();
        let at = chosen.and_then(|chosen| self.position(&chosen));
        self.cursor = at.unwrap_or(self.cursor);
        self.keep_in_view();
    }

    /// Cuts the order into groups, and says what is shown of it.
    fn cut(&mut self) {
        self.groups.clear();
        self.lines.clear();
        if !self.grouped {
            self.lines.extend(self.order.iter().copied().map(At::Row));
            return;
        }
        let group_at = |at: usize| self.order.get(at).and_then(|i| self.rows.get(*i)?.group());
        let mut start = 0;
        while start < self.order.len() {
            let name = group_at(start);
            let same = (start..self.order.len()).take_while(|at| group_at(*at) == name);
            let range = start..start + same.count();
            start = range.end;
            let name = name.map(ToOwned::to_owned);
            self.lines.push(At::Heading(self.groups.len()));
            if !self.folded.contains(&name) {
                let shown = self.order.get(range.clone()).unwrap_or_default();
                self.lines.extend(shown.iter().copied().map(At::Row));
            }
            self.groups.push(Group { name, range });
        }
    }

    /// What the cursor is on.
    fn chosen(&self) -> Option<Chosen<R::Key>> {
        Some(match self.lines.get(self.cursor)? {
            At::Row(index) => Chosen::Row(self.rows.get(*index)?.key()),
            At::Heading(group) => Chosen::Heading(self.groups.get(*group)?.name.clone()),
        })
    }

    /// Where something is; a row that is folded away is at its heading.
    fn position(&self, chosen: &Chosen<R::Key>) -> Option<usize> {
        let heading = |name: Option<&str>| {
            self.lines.iter().position(|line| match line {
                At::Heading(group) => {
                    let group = self.groups.get(*group);
                    group.is_some_and(|group| group.name.as_deref() == name)
                }
                At::Row(_) => false,
            })
        };
        match chosen {
            Chosen::Heading(name) => heading(name.as_deref()),
            Chosen::Row(key) => {
                let index = self.rows.iter().position(|row| row.key() == *key)?;
                let is = |line: &At| matches!(line, At::Row(at) if *at == index);
                let folded = || heading(self.rows.get(index)?.group());
                let passes = self.order.contains(&index);
                let shown = self.lines.iter().position(is);
                shown.or_else(|| folded().filter(|_| self.grouped && passes))
            }
        }
    }

    fn keep_in_view(&mut self) {
        self.cursor = self.cursor.min(self.lines.len().saturating_sub(1));
        let last_offset = self.lines.len().saturating_sub(self.height);
        self.offset = self
            .offset
            .clamp((self.cursor + 1).saturating_sub(self.height), self.cursor)
            .min(last_offset);
    }

    /// Rows that pass the filter, in order; also those that are folded away.
    pub fn visible(&self) -> impl ExactSizeIterator<Item = &R> + '_ {
        // An index is always valid; the first row stands in so that the iterator keeps its exact size.
        self.order.iter().map(|index| &self.rows[*index])
    }

    /// The lines on the screen, with their position.
    pub fn window(&self) -> impl Iterator<Item = (usize, Line<'_, R>)> + '_ {
        let lines = self.lines.iter().enumerate();
        lines
            .skip(self.offset)
            .take(self.height)
            .filter_map(|(position, at)| Some((position, self.line(*at)?)))
    }

    fn line(&self, at: At) -> Option<Line<'_, R>> {
        Some(match at {
            At::Row(index) => Line::Row(self.rows.get(index)?),
            At::Heading(group) => {
                let group = self.groups.get(group)?;
                let rows = self.order.get(group.range.clone())?.iter();
                Line::Heading(Heading {
                    name: group.name.as_deref(),
                    is_folded: self.folded.contains(&group.name),
                    rows: rows.filter_map(|index| self.rows.get(*index)).collect(),
                })
            }
        })
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

    /// How many lines there are: rows that pass the filter and are not folded away, and headings.
    #[must_use]
    pub fn shown(&self) -> usize {
        self.lines.len()
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

    /// The row under the cursor; `None` also where that is on a heading.
    #[must_use]
    pub fn selected(&self) -> Option<&R> {
        match self.lines.get(self.cursor)? {
            At::Row(index) => self.rows.get(*index),
            At::Heading(_) => None,
        }
    }

    /// The heading under the cursor.
    #[must_use]
    pub fn heading(&self) -> Option<Heading<'_, R>> {
        match self.line(*self.lines.get(self.cursor)?)? {
            Line::Heading(heading) => Some(heading),
            Line::Row(_) => None,
        }
    }

    /// What an action is for: the marked rows, or the one under the cursor, or all that are under its heading.
    #[must_use]
    pub fn targets(&self) -> Vec<&R> {
        if !self.marks.is_empty() {
            let marked = |row: &&R| self.marks.contains(&row.key());
            return self.rows.iter().filter(marked).collect();
        }
        match self.heading() {
            Some(heading) => heading.rows,
            None => self.selected().into_iter().collect(),
        }
    }

    /// Goes to a position, or as near as there is one.
    pub fn select(&mut self, position: usize) {
        self.cursor = position;
        self.keep_in_view();
    }

    /// Goes to an object, if it is shown.
    pub fn select_key(&mut self, key: &R::Key) {
        let at = self.position(&Chosen::Row(key.clone()));
        self.select(at.unwrap_or(self.cursor));
    }

    /// Moves the cursor; negative is up.
    pub fn step(&mut self, rows: isize) {
        self.select(self.cursor.saturating_add_signed(rows));
    }

    /// Moves what is shown under a cursor that moves only if it would leave the screen (the mouse wheel).
    pub fn scroll(&mut self, rows: isize) {
        let last_offset = self.lines.len().saturating_sub(self.height);
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
        let chosen = self.chosen();
        self.arrange(chosen);
    }

    /// Sorts by the next of the chosen columns that sorts.
    pub fn sort_next(&mut self) {
        let sorts = |column: &usize| R::COLUMNS.get(*column).is_some_and(|c| c.sorts);
        let all = self.choices.shown().filter(sorts);
        let later = all
            .clone()
            .skip_while(|column| *column != self.sort)
            .skip(1);
        let next = later.chain(all).next();
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
        let chosen = self.chosen();
        self.filter = filter;
        self.arrange(chosen);
    }

    /// Leaves rows out, filter or not.
    pub fn set_hidden(&mut self, hidden: fn(&R) -> bool) {
        let chosen = self.chosen();
        self.hidden = hidden;
        self.arrange(chosen);
    }

    /// Whether rows stand under headings.
    #[must_use]
    pub fn is_grouped(&self) -> bool {
        self.grouped
    }

    /// Puts rows under headings, or takes the headings away.
    pub fn set_grouped(&mut self, grouped: bool) {
        let chosen = self.chosen();
        self.grouped = grouped;
        self.arrange(chosen);
    }

    /// Folds or unfolds the group of the heading under the cursor; folding from one of its rows goes to its heading. False if there is
    /// nothing to fold.
    pub fn fold(&mut self, fold: Fold) -> bool {
        let Some(At::Heading(group)) = self.lines.get(self.cursor) else {
            let group = self.selected().filter(|_| self.grouped).map(Row::group);
            let heading = group.map(|group| Chosen::Heading(group.map(ToOwned::to_owned)));
            let at = heading.filter(|_| fold == Fold::Close);
            let at = at.and_then(|heading| self.position(&heading));
            self.select(at.unwrap_or(self.cursor));
            return at.is_some();
        };
        let Some(name) = self.groups.get(*group).map(|group| group.name.clone()) else {
            return false;
        };
        let closes = match fold {
            Fold::Toggle => !self.folded.contains(&name),
            Fold::Open => false,
            Fold::Close => true,
        };
        if closes {
            self.folded.insert(name);
        } else {
            self.folded.remove(&name);
        }
        let chosen = self.chosen();
        self.arrange(chosen);
        true
    }

    /// Folds all groups; if they all are, unfolds them.
    pub fn fold_all(&mut self) {
        let all: BTreeSet<_> = self.groups.iter().map(|g| g.name.clone()).collect();
        let open = all.iter().any(|name| !self.folded.contains(name));
        let chosen = self.chosen();
        self.folded = if open { all } else { BTreeSet::new() };
        self.arrange(chosen);
    }

    /// Marks what is under the cursor, or takes its mark away, and goes down one. A heading stands for all of its rows.
    pub fn toggle_mark(&mut self) {
        let keys: Vec<_> = match self.heading() {
            Some(heading) => heading.rows.into_iter().map(Row::key).collect(),
            None => self.selected().map(Row::key).into_iter().collect(),
        };
        if keys.iter().all(|key| self.marks.contains(key)) {
            for key in &keys {
                self.marks.remove(key);
            }
        } else {
            self.marks.extend(keys);
        }
        self.step(1);
    }

    /// Marks all that pass the filter; if they all are, none.
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
        match (self.order.len(), self.total()) {
            (all, total) if all == total => total.to_string(),
            (some, total) => format!("{some}/{total}"),
        }
    }

    /// Where the columns are in so many columns of screen: see [`Choices::places`].
    #[must_use]
    pub fn columns(&self, width: u16, context: Context) -> Vec<(usize, u16, u16)> {
        self.choices.places(width, R::EXTRA, |index| {
            let cells = self.rows.iter().map(|row| row.cell(index, context));
            let widest = cells.map(|cell| text::width(&cell)).max().unwrap_or(0);
            u16::try_from(widest).unwrap_or(u16::MAX)
        })
    }

    /// Which columns are shown, and their order.
    pub fn choices(&self) -> &Choices {
        &self.choices
    }

    /// The same, to be changed.
    pub fn choices_mut(&mut self) -> &mut Choices {
        &mut self.choices
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
    /// [`List::choices`].
    fn choices(&self) -> &Choices;
    /// [`List::choices_mut`].
    fn choices_mut(&mut self) -> &mut Choices;
    /// [`List::is_grouped`].
    fn is_grouped(&self) -> bool;
    /// [`List::set_grouped`].
    fn set_grouped(&mut self, grouped: bool);
    /// [`List::fold`].
    fn fold(&mut self, fold: Fold) -> bool;
    /// [`List::fold_all`].
    fn fold_all(&mut self);
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
        &mut self set_grouped(grouped: bool);
        &mut self choices_mut() -> &mut Choices;
        &mut self fold(fold: Fold) -> bool;
        &mut self fold_all();
        & self choices() -> &Choices;
        & self is_grouped() -> bool;
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
        fn group(&self) -> Option<&str> {
            self.0.starts_with('p').then_some("p")
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
    fn groups_are_cut_folded_and_walked_over() {
        let mut list = list();
        list.set_height(9);
        list.select_key(&"pear");
        list.set_grouped(true);
        let lines = |list: &List<Fruit>| {
            let line = |line: Line<'_, Fruit>| match line {
                Line::Row(row) => row.0.to_owned(),
                Line::Heading(h) => format!("{}:{}", h.name.unwrap_or(Fruit::REST), h.rows.len()),
            };
            let lines = list.window().map(|(_, at)| line(at));
            lines.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(lines(&list), "p:2 pear plum the others:2 apple fig");
        assert_eq!(list.selected().map(|f| f.0), Some("pear"));
        // What is folded away is found at its heading, and still counts.
        assert!(list.fold(Fold::Close) && list.fold(Fold::Close));
        assert_eq!(lines(&list), "p:2 the others:2 apple fig");
        assert_eq!(list.count(), "4");
        list.select_key(&"plum");
        assert_eq!(list.targets().len(), 2);
        list.toggle_mark();
        assert_eq!((list.marked(), list.cursor()), (2, 1));
        assert!(list.fold(Fold::Toggle));
        assert_eq!(lines(&list), "p:2 the others:2");
        list.set_grouped(false);
        assert_eq!(lines(&list), "apple fig pear plum");
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
