//! `update`.

use serde_json::{Map, Value, json};

use super::grammar::Parsed;
use super::{Context, Failure, Outcome};
use crate::engine::model::units;
use crate::engine::runtime::oci::{bundle, update};

/// Where a flag's value goes in the resources document.
struct Limit {
    flag: &'static str,
    section: &'static str,
    field: &'static str,
    unit: Unit,
}

#[derive(Clone, Copy)]
enum Unit {
    /// A whole number.
    Number,
    /// Bytes with an optional suffix, or -1.
    Bytes,
    /// As it is.
    Text,
}

const fn limit(
    flag: &'static str,
    section: &'static str,
    field: &'static str,
    unit: Unit,
) -> Limit {
    Limit {
        flag,
        section,
        field,
        unit,
    }
}

const LIMITS: &[Limit] = &[
    limit("blkio-weight", "blockIO", "weight", Unit::Number),
    limit("cpu-period", "cpu", "period", Unit::Number),
    limit("cpu-quota", "cpu", "quota", Unit::Number),
    limit("cpu-burst", "cpu", "burst", Unit::Number),
    limit("cpu-share", "cpu", "shares", Unit::Number),
    limit("cpu-rt-period", "cpu", "realtimePeriod", Unit::Number),
    limit("cpu-rt-runtime", "cpu", "realtimeRuntime", Unit::Number),
    limit("cpu-idle", "cpu", "idle", Unit::Number),
    limit("cpuset-cpus", "cpu", "cpus", Unit::Text),
    limit("cpuset-mems", "cpu", "mems", Unit::Text),
    limit("memory", "memory", "limit", Unit::Bytes),
    limit("memory-reservation", "memory", "reservation", Unit::Bytes),
    limit("memory-swap", "memory", "swap", Unit::Bytes),
    limit("pids-limit", "pids", "limit", Unit::Number),
];

pub(super) fn update(context: &Context, parsed: &Parsed) -> Outcome {
    for flag in ["kernel-memory", "kernel-memory-tcp"] {
        if parsed.value(flag).is_some_and(|value| !value.is_empty()) {
            context.warn(&crate::engine::Error::unsupported(format!(
                "--{flag}: kernel memory settings are ignored"
            )));
        }
    }
    let [cache, bandwidth] =
        ["l3-cache-schema", "mem-bw-schema"].map(|flag| parsed.value(flag).unwrap_or_default());
    if !(cache.is_empty() && bandwidth.is_empty()) {
        context.runtime.update_rdt(parsed.id(), cache, bandwidth)?;
    }
    // As with runc, a document makes every other flag count for nothing.
    let content = match parsed.value("resources").filter(|name| !name.is_empty()) {
        Some(name) => bundle::read_document(name)?,
        None => document(parsed)?.to_string().into_bytes(),
    };
    context
        .runtime
        .update(parsed.id(), &update::read(&content)?)?;
    Ok(0)
}

fn document(parsed: &Parsed) -> Result<Value, Failure> {
    let mut sections = Map::new();
    for limit in LIMITS {
        let Some(text) = parsed.value(limit.flag).filter(|text| !text.is_empty()) else {
            continue;
        };
        let section = sections.entry(limit.section).or_insert_with(|| json!({}));
        if let Some(section) = section.as_object_mut() {
            section.insert(limit.field.to_owned(), value(limit, text)?);
        }
    }
    Ok(Value::Object(sections))
}

fn value(limit: &Limit, text: &str) -> Result<Value, Failure> {
    let wrong = || Failure::usage(format!("invalid value for {}: {text:?}", limit.flag));
    match (limit.unit, text) {
        (Unit::Text, text) => Ok(json!(text)),
        (Unit::Bytes, "-1") => Ok(json!(-1)),
        (Unit::Bytes, text) => Ok(json!(units::parse_bytes(text).ok_or_else(wrong)?)),
        (Unit::Number, text) => match (text.parse::<i64>(), text.parse::<u64>()) {
            (Ok(number), _) => Ok(json!(number)),
            (Err(_), Ok(number)) => Ok(json!(number)),
            (Err(_), Err(_)) => Err(wrong()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_a_field_of_the_specification() {
        for limit in LIMITS {
            let text = match limit.unit {
                Unit::Number => "7",
                Unit::Bytes => "7k",
                Unit::Text => "0",
            };
            let mut section = Map::new();
            section.insert(limit.field.to_owned(), value(limit, text).unwrap());
            let mut document = Map::new();
            document.insert(limit.section.to_owned(), Value::Object(section));
            let document = Value::Object(document);
            let resources = update::read(document.to_string().as_bytes()).unwrap();
            let again = serde_json::to_value(resources).unwrap();
            assert_eq!(again, document, "{}", limit.flag);
        }
    }
}
