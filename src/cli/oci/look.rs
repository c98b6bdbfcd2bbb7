//! Commands that only look.

use std::time::Duration;

use super::grammar::Parsed;
use super::{Context, Failure, Outcome, say};
use crate::engine::model::go_duration;
use crate::engine::runtime::oci::events::Event;
use crate::engine::runtime::oci::features;
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

pub(super) fn ps(context: &Context, parsed: &Parsed) -> Outcome {
    match parsed.value("format").unwrap_or("table") {
        "json" => {
            let pids = context.runtime.pids(parsed.id())?;
            say(&format!("{}\n", serde_json::json!(pids)))
        }
        "table" => {
            let arguments = parsed.operands.get(1..).unwrap_or_default();
            say(&context.runtime.ps(parsed.id(), arguments)?)
        }
        _ => Err(Failure::usage("invalid format option")),
    }
}

pub(super) fn features(_context: &Context, _parsed: &Parsed) -> Outcome {
    say(&format!("{:#}\n", features::document(crate::cli::VERSION)))
}

pub(super) fn events(context: &Context, parsed: &Parsed) -> Outcome {
    let interval = parsed.value("interval").unwrap_or("5s");
    let interval = go_duration::parse(interval)
        .and_then(|nanos| u64::try_from(nanos).ok())
        .filter(|nanos| *nanos > 0)
        .map(Duration::from_nanos)
        .ok_or_else(|| {
            Failure::usage(format!(
                "--interval: {interval:?} is not a duration greater than 0, such as 5s"
            ))
        })?;
    // Why an event could not be written.
    let mut unwritten = None;
    let mut tell = |event: &Event| {
        let text = serde_json::to_string(event)
            .map_err(|e| Error::new(Kind::Internal, "write an event").caused_by(e))?;
        say(&(text + "\n")).map(drop).map_err(|failure| {
            let error = Error::new(Kind::Unavailable, "write to standard output");
            unwritten = Some(failure);
            error
        })
    };
    let told = if parsed.has("stats") {
        context
            .runtime
            .stats(parsed.id())
            .and_then(|event| tell(&event))
    } else {
        context.runtime.events(parsed.id(), interval, &mut tell)
    };
    match (unwritten, told) {
        (Some(failure), _) => Err(failure),
        (None, told) => Ok(told.map(|()| 0)?),
    }
}
