//! What changed between two texts, line by line: the shortest script, found as Myers does it ("An O(ND) Difference Algorithm
//! and Its Variations", 1986). Texts that have little in common are told as one taken out and one put in.

/// One line of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// In both.
    Same(&'a str),
    /// In the old text only.
    Old(&'a str),
    /// In the new text only.
    New(&'a str),
}

/// More differing lines are not looked for: the time grows with their square.
const MOST: usize = 2000;

/// Compares two texts.
#[must_use]
pub fn compare<'a>(old: &'a str, new: &'a str) -> Vec<Line<'a>> {
    let old: Vec<&str> = old.lines().collect();
    let new: Vec<&str> = new.lines().collect();
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (same, old) = old.split_at(start);
    let new = new.get(start..).unwrap_or_default();
    let end = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (old, tail) = old.split_at(old.len() - end);
    let new = new.get(..new.len() - end).unwrap_or_default();
    let mut lines: Vec<Line<'a>> = same.iter().map(|line| Line::Same(line)).collect();
    if let Some(trace) = trace(old, new) {
        lines.extend(script(old, new, &trace));
    } else {
        lines.extend(old.iter().map(|line| Line::Old(line)));
        lines.extend(new.iter().map(|line| Line::New(line)));
    }
    lines.extend(tail.iter().map(|line| Line::Same(line)));
    lines
}

/// For each number of differences how far each diagonal reaches in the old text; diagonals `-d..=d`, shifted by `d`.
fn trace(old: &[&str], new: &[&str]) -> Option<Vec<Vec<usize>>> {
    let mut trace: Vec<Vec<usize>> = Vec::new();
    for d in 0..=(old.len() + new.len()).min(MOST) {
        let mut reach = vec![0; 2 * d + 1];
        for at in (0..=2 * d).step_by(2) {
            // Diagonal k = at - d: x - y = k.
            let mut x = match trace.last() {
                None => 0,
                Some(before) => from(before, d, at).0,
            };
            // Beyond the end of the new text nothing is there to be put in.
            let Some(mut y) = (x + d).checked_sub(at) else {
                continue;
            };
            while x < old.len() && y < new.len() && old.get(x) == new.get(y) {
                x += 1;
                y += 1;
            }
            if let Some(reach) = reach.get_mut(at) {
                *reach = x;
            }
            if x >= old.len() && y >= new.len() {
                trace.push(reach);
                return Some(trace);
            }
        }
        trace.push(reach);
    }
    None
}

/// Where the path to a diagonal comes from: the x that it begins with, and whether a line was taken out for it.
fn from(before: &[usize], d: usize, at: usize) -> (usize, bool) {
    // Among the diagonals of d - 1, the one below has place at - 2, the one above has at.
    let below = at.checked_sub(2).and_then(|at| before.get(at)).copied();
    let above = if at == 2 * d {
        None
    } else {
        before.get(at).copied()
    };
    match (below, above) {
        (Some(below), Some(above)) if below < above => (above, false),
        (Some(below), _) => (below + 1, true),
        (None, above) => (above.unwrap_or(0), false),
    }
}

fn script<'a>(old: &[&'a str], new: &[&'a str], trace: &[Vec<usize>]) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    let (mut x, mut y) = (old.len(), new.len());
    for d in (1..trace.len()).rev() {
        let at = (x + d).saturating_sub(y);
        let Some(before) = trace.get(d - 1) else {
            break;
        };
        let (start, out) = from(before, d, at);
        while x > start {
            // Lines that are in both, behind the step.
            x -= 1;
            y -= 1;
            lines.extend(old.get(x).map(|line| Line::Same(line)));
        }
        if out {
            x -= 1;
            lines.extend(old.get(x).map(|line| Line::Old(line)));
        } else {
            y -= 1;
            lines.extend(new.get(y).map(|line| Line::New(line)));
        }
    }
    while x > 0 {
        x -= 1;
        lines.extend(old.get(x).map(|line| Line::Same(line)));
    }
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(old: &str, new: &str) -> String {
        let line = |line: &Line<'_>| match line {
            Line::Same(line) => format!(" {line}"),
            Line::Old(line) => format!("-{line}"),
            Line::New(line) => format!("+{line}"),
        };
        compare(old, new)
            .iter()
            .map(line)
            .collect::<Vec<_>>()
            .join(",")
    }

    #[test]
    fn the_script_is_the_shortest() {
        for (old, new, script) in [
            ("", "", ""),
            ("a\nb\nc", "a\nb\nc", " a, b, c"),
            ("a\nb\nc", "a\nc", " a,-b, c"),
            ("a\nc", "a\nb\nc", " a,+b, c"),
            ("a\nb\nc", "a\nx\nc", " a,-b,+x, c"),
            ("", "x", "+x"),
            ("x", "", "-x"),
            (
                "a\nb\nc\na\nb\nb\na",
                "c\nb\na\nb\na\nc",
                "-a,-b, c,+b, a, b,-b, a,+c",
            ),
        ] {
            assert_eq!(text(old, new), script, "{old:?} {new:?}");
        }
    }

    proptest! {
        #[test]
        fn both_texts_are_in_the_script(old in "([abc]\n){0,30}", new in "([abc]\n){0,30}") {
            let lines = compare(&old, &new);
            let side = |is_old: bool| -> String {
                let line = |line: &Line<'_>| match (line, is_old) {
                    (Line::Same(line), _) | (Line::Old(line), true) | (Line::New(line), false) => Some(format!("{line}\n")),
                    _ => None,
                };
                lines.iter().filter_map(line).collect()
            };
            prop_assert_eq!(side(true), old.as_str());
            prop_assert_eq!(side(false), new.as_str());
            // No longer than the longest common part allows.
            let a: Vec<&str> = old.lines().collect();
            let b: Vec<&str> = new.lines().collect();
            let mut table = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
            for i in 0..a.len() { for j in 0..b.len() {
                table[i + 1][j + 1] = if a[i] == b[j] { table[i][j] + 1 } else { table[i][j + 1].max(table[i + 1][j]) };
            } }
            let same = lines.iter().filter(|line| matches!(line, Line::Same(_))).count();
            prop_assert_eq!(same, table[a.len()][b.len()]);
        }
    }
}
