//! A cursor in a list that is longer than the screen.

/// The chosen line, and which lines are seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scroll {
    /// The chosen line.
    pub at: usize,
    /// The first line that is seen.
    pub top: usize,
    /// Lines that there is room for.
    pub height: usize,
}

impl Scroll {
    /// Moves the cursor, staying among `count` lines; negative is up.
    pub fn step(&mut self, lines: isize, count: usize) {
        let last = count.saturating_sub(1);
        self.go_to(
            self.at.min(last).saturating_add_signed(lines).min(last),
            count,
        );
    }

    /// Puts the cursor on a line.
    pub fn go_to(&mut self, line: usize, count: usize) {
        self.at = line.min(count.saturating_sub(1));
        self.keep_in_view(count);
    }

    /// Moves what is seen; the cursor comes along only if it must.
    pub fn scroll(&mut self, lines: isize, count: usize) {
        let height = self.height.max(1);
        let last = count.saturating_sub(height);
        self.top = self.top.saturating_add_signed(lines).min(last);
        let bottom = self.top + height - 1;
        self.at = self.at.clamp(self.top, bottom).min(count.saturating_sub(1));
    }

    /// There is room for so many lines.
    pub fn set_height(&mut self, height: usize, count: usize) {
        if self.height != height {
            self.height = height;
            self.keep_in_view(count);
        }
    }

    fn keep_in_view(&mut self, count: usize) {
        let height = self.height.max(1);
        let first = (self.at + 1).saturating_sub(height);
        self.top = self.top.clamp(first, self.at.max(first));
        self.top = self.top.min(count.saturating_sub(height));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is done, the cursor is a line of the list and is seen.
        #[test]
        fn the_cursor_is_seen(steps in proptest::collection::vec((0_u8..4, -30_isize..30), 0..40), count in 0_usize..60) {
            let mut scroll = Scroll::default();
            let mut height = 0;
            for (what, lines) in steps {
                match what {
                    0 => scroll.step(lines, count),
                    1 => scroll.scroll(lines, count),
                    2 => scroll.go_to(lines.unsigned_abs(), count),
                    _ => {
                        height = lines.unsigned_abs();
                        scroll.set_height(height, count);
                    }
                }
                prop_assert!(scroll.at < count.max(1));
                prop_assert!(scroll.top <= scroll.at);
                prop_assert!(height == 0 || scroll.at < scroll.top + height);
            }
        }
    }

    #[test]
    fn pages_are_full_at_the_end() {
        let mut scroll = Scroll::default();
        scroll.set_height(10, 25);
        scroll.step(isize::MAX, 25);
        assert_eq!((scroll.at, scroll.top), (24, 15));
        scroll.step(-3, 25);
        assert_eq!((scroll.at, scroll.top), (21, 15));
        scroll.step(isize::MIN, 25);
        assert_eq!((scroll.at, scroll.top), (0, 0));
    }
}
