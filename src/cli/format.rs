//! `--format` of the listing verbs: Docker's tables, JSON lines, and templates over the rows.

use std::io::Write as _;

use serde_json::{Map, Value};

use super::output::{Out, tabulate};
use super::report::Failure;
use super::template::Template;

/// One row: its fields as Docker names them, and what may be asked of it with an argument (`.Label "key"`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// Name and text.
    pub fields: Map<String, Value>,
    /// Maps by name.
    pub methods: Map<String, Value>,
}

impl Row {
    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Adds something to be asked with an argument.
    #[must_use]
    pub fn asked(mut self, name: &str, map: Map<String, Value>) -> Self {
        self.methods.insert(name.to_owned(), Value::Object(map));
        self
    }

    /// The fields in the order of their names, as Docker prints them.
    fn into_object(mut self) -> Value {
        self.fields.sort_keys();
        Value::Object(self.fields)
    }
}

/// How rows are shown.
#[derive(Debug, Clone)]
pub struct Format {
    template: Option<Template>,
    is_table: bool,
}

/// The headings of a verb's fields.
pub type Headings = &'static [(&'static str, &'static str)];

impl Format {
    /// Reads `--format`; `table` is the template of the verb's usual table, which an empty text means, too.
    ///
    /// # Errors
    /// What is wrong with the template.
    pub fn parse(given: Option<&str>, table: &str) -> Result<Self, Failure> {
        let given = given.map_or("table", str::trim);
        let given = if given.is_empty() { "table" } else { given };
        if given == "json" {
            return Ok(Self {
                template: None,
                is_table: false,
            });
        }
        let (text, is_table) = match given.strip_prefix("table") {
            Some("") => (table, true),
            // `table` is followed by white space; `tableau` is a template like any other.
            Some(rest) if rest.starts_with(|c: char| c.is_whitespace() || c == '\\') => {
                (rest.trim_start(), true)
            }
            _ => (given, false),
        };
        let text = unescape(text);
        Ok(Self {
            template: Some(Template::parse(&text).map_err(Failure::plain)?),
            is_table,
        })
    }

    /// Prints the rows.
    ///
    /// # Errors
    /// A field that no row has; what standard output says.
    pub fn print(&self, out: &mut Out, headings: Headings, rows: Vec<Row>) -> Result<(), Failure> {
        let text = self.render(headings, rows)?;
        out.write_all(text.as_bytes())?;
        Ok(())
    }

    /// The rows as text, each with its newline.
    ///
    /// # Errors
    /// A field that no row has.
    pub fn render(&self, headings: Headings, rows: Vec<Row>) -> Result<String, Failure> {
        let Some(template) = &self.template else {
            return Ok(rows.into_iter().fold(String::new(), |text, row| {
                text + &row.into_object().to_string() + "\n"
            }));
        };
        let fill = |mut row: Row| {
            let methods = std::mem::take(&mut row.methods);
            template
                .execute(row.into_object(), &methods)
                .map_err(Failure::plain)
        };
        let mut lines = Vec::with_capacity(rows.len() + 1);
        if self.is_table {
            let heading = headings
                .iter()
                .fold(Row::default(), |row, (name, heading)| {
                    row.with(name, *heading)
                })
                .asked("Label", Map::new());
            lines.push(fill(heading)?);
        }
        for row in rows {
            lines.push(fill(row)?);
        }
        Ok(if self.is_table {
            // A cell may hold a newline; the table stays one.
            let lines: Vec<String> = lines.iter().map(|line| line.replace('\n', " ")).collect();
            tabulate(&lines)
        } else {
            lines
                .iter()
                .fold(String::new(), |text, line| text + line + "\n")
        })
    }

    /// Whether a field of this name may be shown.
    #[must_use]
    pub fn asks(&self, name: &str) -> bool {
        match &self.template {
            Some(template) => template.asks(name),
            None => true,
        }
    }

    /// Whether it is a table, with a heading line.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.is_table
    }
}

/// `\t` and `\n` typed in a shell are a tab and a newline, outside of actions and inside.
fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADINGS: Headings = &[("ID", "CONTAINER ID"), ("Names", "NAMES")];

    fn shown(format: Option<&str>) -> Result<String, String> {
        let rows = [
            Row::default()
                .with("Names", "web")
                .with("ID", "4bf0a1c2d3e4"),
            Row::default()
                .with("Names", "db")
                .with("ID", "0123456789ab"),
        ];
        Format::parse(format, "{{.ID}}\t{{.Names}}")
            .and_then(|format| format.render(HEADINGS, rows.to_vec()))
            .map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn rows_are_shown_in_each_of_dockers_ways() {
        let table = "CONTAINER ID   NAMES\n4bf0a1c2d3e4   web\n0123456789ab   db\n";
        assert_eq!(shown(None).unwrap(), table);
        assert_eq!(shown(Some("table")).unwrap(), table);
        assert_eq!(
            shown(Some("table {{.Names}}\\t{{.ID}}")).unwrap(),
            "NAMES     CONTAINER ID\nweb       4bf0a1c2d3e4\ndb        0123456789ab\n"
        );
        assert_eq!(shown(Some("{{.Names}}")).unwrap(), "web\ndb\n");
        assert_eq!(
            shown(Some("json")).unwrap(),
            "{\"ID\":\"4bf0a1c2d3e4\",\"Names\":\"web\"}\n{\"ID\":\"0123456789ab\",\"Names\":\"db\"}\n"
        );
        assert_eq!(
            shown(Some("{{json .}}")).unwrap(),
            shown(Some("json")).unwrap()
        );
    }

    #[test]
    fn a_field_that_is_not_there_is_an_error() {
        assert!(shown(Some("{{.Nosuch}}")).is_err());
        assert!(shown(Some("{{.ID")).is_err());
    }
}
