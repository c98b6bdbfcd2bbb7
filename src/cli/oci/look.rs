//! Commands that only look.

use super::grammar::Parsed;
use super::{Context, Failure, Outcome, say};
use crate::engine::runtime::oci::state::Document;
use crate::engine::{Error, Kind};

pub(super) fn state(context: &Context, parsed: &Parsed) -> Outcome {
    let document = context.runtime.state(parsed.id())?;
    let text = serde_json::to_string_pretty(&document)
        .map_err(|e| Error::new(Kind::Internal, "write a state").caused_by(e))?;
    say(&(text + "\n"))
}

pub(super) fn list(context: &Context, parsed: &Parsed) -> Outcome {
    let format = parsed.value("format").unwrap_or("table");
    if !["table", "json"].contains(&format) {
        return Err(Failure::usage("invalid format option"));
    }
    let (documents, errors) = context.runtime.list()?;
    for error in &errors {
        context.warn(error);
    }
    if parsed.has("quiet") {
        let names = documents
            .iter()
            .map(|document| format!("{}\n", document.id));
        return say(&names.collect::<String>());
    }
    if format == "json" {
        // Go's encoder writes `null` for a list without anything, and drivers of runc know it.
        let text = match documents.as_slice() {
            [] => "null".to_owned(),
            list => serde_json::to_string(list)
                .map_err(|e| Error::new(Kind::Internal, "write a list").caused_by(e))?,
        };
        return say(&(text + "\n"));
    }
    say(&table(&documents))
}

/// Columns as runc draws them: at least twelve wide, three spaces apart.
fn table(documents: &[Document]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head)
        .chain(documents.iter().map(|document| {
            [
                document.id.to_string(),
                document.pid.to_string(),
                document.status.as_str().to_owned(),
                document.bundle.display().to_string(),
                document.created.to_string(),
                document.owner.clone(),
            ]
        }))
        .collect();
    let mut text = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if column + 1 == row.len() {
                break;
            }
            let widest = rows.iter().filter_map(|row| row.get(column));
            let widest = widest.map(|cell| cell.chars().count()).max().unwrap_or(0);
            let width = (widest + 3).max(12);
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
        }
        text.push('\n');
    }
    text
}
