//! Which parts of something are there: a set of positions as ranges that neither touch nor overlap.

use std::fmt;

/// Half-open ranges, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Adds `start..end`.
    pub fn add(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let (mut start, mut end) = (start, end);
        // All that touch the new one become one with it.
        let first = self.0.partition_point(|&(_, known)| known < start);
        let last = self.0.partition_point(|&(known, _)| known <= end);
        for &(known_start, known_end) in self.0.get(first..last).unwrap_or(&[]) {
            start = start.min(known_start);
            end = end.max(known_end);
        }
        self.0.splice(first..last, [(start, end)]);
    }

    /// Where the part that begins at the very start ends.
    #[must_use]
    pub fn frontier(&self) -> u64 {
        match self.0.first() {
            Some(&(0, end)) => end,
            _ => 0,
        }
    }

    /// The part that a position is in.
    #[must_use]
    pub fn part_of(&self, position: u64) -> Option<(u64, u64)> {
        let n = self.0.partition_point(|&(_, end)| end <= position);
        self.0
            .get(n)
            .copied()
            .filter(|&(start, _)| start <= position)
    }

    /// Where the last part ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |&(_, end)| end)
    }

    /// The parts, first and end of each, in order.
    pub fn parts(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// How many positions are there.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    /// What is missing of `0..size`, in order, in pieces of at most `piece`.
    #[must_use]
    pub fn missing(&self, size: u64, piece: u64) -> Vec<(u64, u64)> {
        let piece = piece.max(1);
        let mut gaps = Vec::new();
        let mut position = 0;
        for &(start, end) in self.0.iter().chain([&(size, size)]) {
            let stop = start.min(size);
            while position < stop {
                let end = stop.min(position.saturating_add(piece));
                gaps.push((position, end));
                position = end;
            }
            position = position.max(end);
        }
        gaps
    }

    /// Reads what `Display` writes, lines `start end`; a line that is cut short or means nothing ends the reading: what follows was never
    /// written whole.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut ranges = Self::default();
        for line in text.split_inclusive('\n') {
            let parsed = line
                .strip_suffix('\n')
                .and_then(|line| line.split_once(' '))
                .and_then(|(start, end)| Some((start.parse().ok()?, end.parse().ok()?)));
            match parsed {
                Some((start, end)) if start < end => ranges.add(start, end),
                _ => break,
            }
        }
        ranges
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges = self.0.iter();
        ranges.try_for_each(|(start, end)| writeln!(f, "{start} {end}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(ranges: &[(u64, u64)]) -> Ranges {
        let mut all = Ranges::default();
        for &(start, end) in ranges {
            all.add(start, end);
        }
        all
    }

    #[test]
    fn ranges_that_touch_are_one() {
        assert_eq!(of(&[(0, 5), (5, 9)]).0, [(0, 9)]);
        assert_eq!(of(&[(8, 9), (0, 2), (1, 8)]).0, [(0, 9)]);
        assert_eq!(of(&[(4, 6), (0, 2)]).0, [(0, 2), (4, 6)]);
        assert_eq!(of(&[(3, 3)]).0, []);
    }

    #[test]
    fn a_position_is_in_one_part_or_none() {
        let ranges = of(&[(2, 4), (6, 9)]);
        for (position, part) in [
            (1, None),
            (2, Some((2, 4))),
            (3, Some((2, 4))),
            (4, None),
            (8, Some((6, 9))),
            (9, None),
        ] {
            assert_eq!(ranges.part_of(position), part, "{position}");
        }
    }

    #[test]
    fn what_is_missing_comes_in_pieces() {
        assert_eq!(
            of(&[(4, 6)]).missing(10, 3),
            [(0, 3), (3, 4), (6, 9), (9, 10)]
        );
        assert_eq!(of(&[(0, 10)]).missing(10, 3), []);
        assert_eq!(of(&[(0, 20)]).missing(10, 3), []);
        assert_eq!(of(&[]).missing(0, 3), []);
    }

    #[test]
    fn a_line_that_was_cut_short_does_not_count() {
        assert_eq!(Ranges::parse("0 5\n5 12"), of(&[(0, 5)]));
        assert_eq!(Ranges::parse("0 5\nx\n5 9\n"), of(&[(0, 5)]));
    }

    proptest! {
        #[test]
        fn it_is_the_set_of_positions(ranges in prop::collection::vec((0_u64..60, 0_u64..60), 0..12), piece in 1_u64..20) {
            let all = of(&ranges);
            let there = |position: u64| ranges.iter().any(|&(start, end)| start <= position && position < end);
            prop_assert_eq!(&Ranges::parse(&all.to_string()), &all);
            prop_assert_eq!(all.total(), (0..60).filter(|&p| there(p)).count() as u64);
            prop_assert_eq!(all.end(), (0..60).filter(|&p| there(p)).max().map_or(0, |p| p + 1));
            prop_assert_eq!(all.frontier(), (0..60).take_while(|&p| there(p)).count() as u64);
            let gaps = all.missing(50, piece);
            for position in 0..50 {
                let in_gap = gaps.iter().filter(|&&(start, end)| start <= position && position < end).count();
                prop_assert_eq!(in_gap, usize::from(!there(position)));
            }
            prop_assert!(gaps.iter().all(|(start, end)| end - start <= piece));
        }
    }
}
