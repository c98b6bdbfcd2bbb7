//! The columns of a list: which are shown, in which order, and where they are on the screen.

use super::text;

/// A column of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl Column {
    /// What it is called in the file that keeps the user's choice, and in no other place.
    #[must_use]
    pub fn id(&self) -> String {
        self.title.to_ascii_lowercase()
    }
}

/// Columns of screen that a text may have before what is extra.
const LONG: u16 = 32;

/// A column as the user has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Which.
    pub index: usize,
    /// It is shown where there is room for it.
    pub shown: bool,
}

/// The user's choice: all columns, in the order in which they stand. Those up to the name always stand first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    all: &'static [Column],
    off: &'static [usize],
    fixed: usize,
    chosen: Vec<Choice>,
}

impl Choices {
    /// All columns as they are defined, those of `off` left out.
    #[must_use]
    pub fn new(all: &'static [Column], off: &'static [usize]) -> Self {
        let name = all.iter().position(|column| column.grows).unwrap_or(0);
        let mut new = Self {
            all,
            off,
            fixed: name + 1,
            chosen: Vec::new(),
        };
        new.reset();
        new
    }

    /// The columns that are shown, in their order.
    pub fn shown(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        let chosen = self.chosen.iter().filter(|choice| choice.shown);
        (0..self.fixed).chain(chosen.map(|choice| choice.index))
    }

    /// What can be chosen, in its order.
    #[must_use]
    pub fn list(&self) -> &[Choice] {
        &self.chosen
    }

    /// What stands above a column.
    #[must_use]
    pub fn title(&self, index: usize) -> &'static str {
        self.all.get(index).map_or("", |column| column.title)
    }

    /// Shows the column at a place of the order, or hides it.
    pub fn toggle(&mut self, at: usize) {
        if let Some(choice) = self.chosen.get_mut(at) {
            choice.shown = !choice.shown;
        }
    }

    /// Moves the column at a place by one, towards the name or away from it; where it is then.
    pub fn shift(&mut self, at: usize, towards: isize) -> usize {
        let to = at.saturating_add_signed(towards.signum());
        if at < self.chosen.len() && to < self.chosen.len() {
            self.chosen.swap(at, to);
            to
        } else {
            at
        }
    }

    /// As they are defined.
    pub fn reset(&mut self) {
        let choice = |index| Choice {
            index,
            shown: !self.off.contains(&index),
        };
        self.chosen = (self.fixed..self.all.len()).map(choice).collect();
    }

    /// Whether that is how they are defined.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::new(self.all, self.off)
    }

    /// The choice as [`Choices::restore`] reads it: a name for each column, with a `-` in front if it is not shown.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let name = |choice: &Choice| {
            let sign = if choice.shown { "" } else { "-" };
            let column = self.all.get(choice.index);
            format!("{sign}{}", column.map(Column::id).unwrap_or_default())
        };
        self.chosen.iter().map(name).collect()
    }

    /// A choice that was made before. Columns that there are no more are left out; those that were not there then stand behind the
    /// others, as they are defined.
    pub fn restore(&mut self, names: &[String]) {
        self.reset();
        let mut rest = std::mem::take(&mut self.chosen);
        for name in names {
            let (shown, id) = match name.strip_prefix('-') {
                Some(id) => (false, id),
                None => (true, name.as_str()),
            };
            let is = |choice: &Choice| self.all.get(choice.index).is_some_and(|c| c.id() == id);
            if let Some(at) = rest.iter().position(is) {
                let index = rest.remove(at).index;
                self.chosen.push(Choice { index, shown });
            }
        }
        self.chosen.append(&mut rest);
    }

    /// Where the shown columns are in so many columns of screen: index, first column, width. The last are dropped first; those from
    /// `extra` on are shown only where something is in them and all before them have the room that they want. `content` tells how wide
    /// the widest cell of a column is.
    #[must_use]
    pub fn places(
        &self,
        width: u16,
        extra: usize,
        content: impl Fn(usize) -> u16,
    ) -> Vec<(usize, u16, u16)> {
        // Index, width, and the width that it would like to have.
        let mut granted: Vec<(usize, u16, u16)> = Vec::new();
        let (mut used, mut named) = (0_u16, 0);
        // No name is cut for what is extra; other texts may be.
        let wish = |(index, has, wants): &(usize, u16, u16)| {
            let named = *index < self.fixed;
            let wants = if named { *wants } else { (*wants).min(LONG) };
            wants.saturating_sub(*has)
        };
        for index in self.shown() {
            let Some(column) = self.all.get(index) else {
                continue;
            };
            let gap = u16::from(!granted.is_empty());
            let rest = width.saturating_sub(used).saturating_sub(gap);
            // A column that grows also shrinks, when all that it holds is short.
            let (least, most) = if column.grows {
                let title = u16::try_from(text::width(column.title)).unwrap_or(u16::MAX);
                let most = content(index).max(title.saturating_add(1));
                (most.min(column.width), most)
            } else {
                (column.width, column.width)
            };
            if index >= extra {
                let wished: u16 = granted.iter().map(wish).sum();
                if rest < least.saturating_add(wished) || content(index) == 0 {
                    continue;
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
        let grows = |index: usize| self.all.get(index).is_some_and(|c| c.grows);
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

#[cfg(test)]
mod tests {
    use super::*;

    const fn column(title: &'static str, width: u16, grows: bool) -> Column {
        Column {
            title,
            width,
            grows,
            right: false,
            sorts: true,
        }
    }

    const ALL: &[Column] = &[
        column("", 1, false),
        column("NAME", 4, true),
        column("A", 3, false),
        column("B", 5, false),
        column("C", 3, false),
        column("D", 3, false),
    ];

    fn choices() -> Choices {
        Choices::new(ALL, &[5])
    }

    fn places(choices: &Choices, width: u16) -> Vec<usize> {
        let places = choices.places(width, 3, |_| 6);
        places.into_iter().map(|(index, ..)| index).collect()
    }

    #[test]
    fn what_is_not_chosen_is_not_shown_and_the_name_always_is() {
        let mut choices = choices();
        assert_eq!(choices.shown().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        choices.toggle(0);
        choices.toggle(3);
        choices.toggle(99);
        assert_eq!(choices.shown().collect::<Vec<_>>(), [0, 1, 3, 4, 5]);
        choices.reset();
        assert!(choices.is_default());
    }

    #[test]
    fn a_column_moves_among_the_others_but_not_before_the_name() {
        let mut choices = choices();
        assert_eq!(choices.shift(0, -1), 0);
        assert_eq!(choices.shift(2, -1), 1);
        assert_eq!(choices.shift(1, -1), 0);
        assert_eq!(choices.shown().collect::<Vec<_>>(), [0, 1, 4, 2, 3]);
        assert_eq!(choices.shift(3, 1), 3);
    }

    #[test]
    fn a_choice_is_read_as_it_was_written_and_what_is_new_comes_last() {
        let mut old = choices();
        old.toggle(1);
        old.shift(2, -1);
        let names = old.names();
        assert_eq!(names, ["a", "c", "-b", "-d"]);
        let mut new = choices();
        new.restore(&names);
        assert_eq!(new, old);
        new.restore(&["d".to_owned(), "gone".to_owned(), "-a".to_owned()]);
        assert_eq!(new.names(), ["d", "-a", "b", "c"]);
    }

    #[test]
    fn what_is_extra_leaves_room_for_what_is_before_it_and_not_for_itself() {
        let choices = choices();
        // 1 + 6 + 3 and two gaps, then 5 and 3.
        for (width, expected) in [
            (9, vec![0, 1]),
            (10, vec![0, 1, 2]),
            (12, vec![0, 1, 2]),
            // C finds room where the wider B does not.
            (16, vec![0, 1, 2, 4]),
            (18, vec![0, 1, 2, 3]),
            (22, vec![0, 1, 2, 3, 4]),
        ] {
            assert_eq!(places(&choices, width), expected, "{width}");
        }
    }
}
