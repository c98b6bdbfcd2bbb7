//! Standard output: buffered, polite about a reader that has gone, and tables as Go's tabwriter draws them for Docker.

use std::io::{self, BufWriter, StdoutLock, Write};

/// Standard output with a buffer; `finish` it, so that its errors are seen.
#[derive(Debug)]
pub struct Out(BufWriter<StdoutLock<'static>>);

impl Out {
    /// Locks standard output for this verb.
    #[must_use]
    pub fn new() -> Self {
        Self(BufWriter::with_capacity(64 << 10, io::stdout().lock()))
    }

    /// One line.
    ///
    /// # Errors
    /// What write(2) says.
    pub fn line(&mut self, text: impl std::fmt::Display) -> io::Result<()> {
        writeln!(self.0, "{text}")
    }

    /// Writes what is in the buffer.
    ///
    /// # Errors
    /// What write(2) says.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()
    }
}

impl Default for Out {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        // The standard library's own line buffer is below ours.
        self.0.get_mut().flush()
    }
}

/// Least width of a column, padding included, and the padding: Docker's tabwriter settings.
const CELL: usize = 10;
const PADDING: usize = 3;

/// Aligns lines of tab-separated cells as Go's text/tabwriter does with Docker's settings: a column is as wide as its
/// widest cell in consecutive lines that have it; the last cell of a line is not padded.
#[must_use]
pub fn tabulate(lines: &[String]) -> String {
    tabulate_at_least(lines, CELL)
}

/// The same with another least width of a column.
#[must_use]
pub fn tabulate_at_least(lines: &[String], least: usize) -> String {
    let rows: Vec<Vec<&str>> = lines
        .iter()
        .map(|line| line.split('\t').collect())
        .collect();
    let mut widths: Vec<Vec<usize>> = rows
        .iter()
        .map(|row| vec![0; row.len().saturating_sub(1)])
        .collect();
    let columns = widths.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut start = 0;
        while start < rows.len() {
            let in_block = |n: usize| widths.get(n).is_some_and(|w| w.len() > column);
            let end = (start..rows.len())
                .find(|n| !in_block(*n))
                .unwrap_or(rows.len());
            let width = (start..end)
                .filter_map(|n| rows.get(n)?.get(column))
                .map(|cell| cell.chars().count() + PADDING)
                .fold(least, usize::max);
            for row in widths.get_mut(start..end).into_iter().flatten() {
                if let Some(slot) = row.get_mut(column) {
                    *slot = width;
                }
            }
            start = end.max(start) + 1;
        }
    }
    let mut text = String::new();
    for (row, widths) in rows.iter().zip(&widths) {
        for (n, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if let Some(width) = widths.get(n) {
                text.extend(std::iter::repeat_n(
                    ' ',
                    width.saturating_sub(cell.chars().count()),
                ));
            }
        }
        text.push('\n');
    }
    text
}

/// The first `width` characters, the last of them `…` if something was cut off (docker/cli, `formatter.Ellipsis`).
#[must_use]
pub fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_drawn_as_docker_draws_it() {
        let lines = [
            "REPOSITORY\tTAG\tIMAGE ID\tCREATED\tSIZE",
            "busybox\tlatest\t65ad0d468eb1\t2 years ago\t4.26MB",
        ]
        .map(str::to_owned);
        assert_eq!(
            tabulate(&lines),
            "REPOSITORY   TAG       IMAGE ID       CREATED       SIZE\n\
             busybox      latest    65ad0d468eb1   2 years ago   4.26MB\n"
        );
    }

    #[test]
    fn a_shorter_line_ends_a_column() {
        let lines = ["aaaaaaaaaaaaaaa\tb", "x", "c\td"].map(str::to_owned);
        assert_eq!(tabulate(&lines), "aaaaaaaaaaaaaaa   b\nx\nc         d\n");
    }

    #[test]
    fn what_is_cut_off_ends_in_an_ellipsis() {
        assert_eq!(
            ellipsis("\"sh -c 'sleep 1000'\"", 20),
            "\"sh -c 'sleep 1000'\""
        );
        assert_eq!(
            ellipsis("\"sh -c 'sleep 10000'\"", 20),
            "\"sh -c 'sleep 10000…"
        );
    }
}
