//! The volume verbs.

use serde_json::{Map, Value, json};

use super::container;
use super::format::{Format, Headings, Row};
use super::inspect::Show;
use super::list;
use super::output::Out;
use super::report::{self, Failure, Outcome};
use super::value::{self, Filter};
use super::{Context, args, client_config};
use crate::engine::model::request;
use crate::engine::model::volume::Volume;
use crate::engine::store::Roots;
use crate::engine::{Engine, Error, Kind};

const LS: &str = "{{.Driver}}\t{{.Name}}";
const LS_HEADINGS: Headings = &[
    ("Name", "VOLUME NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
    ("Status", "STATUS"),
    ("Group", "GROUP"),
    ("Availability", "AVAILABILITY"),
];

/// `volume create`.
pub fn create(context: &Context, args: &args::CreateVolume) -> Outcome {
    let pairs = |list: &[String]| {
        list.iter()
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (key.to_owned(), value.to_owned())
            })
            .collect()
    };
    match args.driver.as_deref() {
        None | Some("" | "local") => {}
        Some(other) => {
            return Err(Failure::plain(format_args!(
                "create: plugin \"{other}\" not found: the volume driver is \"local\""
            )));
        }
    }
    let name = match (args.operands.first(), &args.name) {
        (Some(_), Some(_)) => {
            return Err(Failure::plain(
                "conflicting options: cannot specify a volume name through both --name and as a positional arg",
            ));
        }
        (Some(name), None) | (None, Some(name)) => name.clone(),
        (None, None) => String::new(),
    };
    let request = request::CreateVolume {
        name,
        labels: pairs(&args.label),
        options: pairs(&args.opt),
    };
    let volume = context.engine()?.create_volume(&request)?;
    super::say(volume.name)
}

/// `volume ls`.
pub fn ls(context: &Context, args: &args::LsVolumes) -> Outcome {
    for filter in &args.filter {
        check_filter(filter).map_err(Failure::plain)?;
    }
    let config = context.client_config();
    let given =
        client_config::format_or(args.format.as_deref(), &config.volumes_format, args.quiet);
    let format = Format::parse(given, LS)?;
    let engine = context.engine()?;
    let asks_for_users = args.filter.iter().any(|filter| filter.key == "dangling");
    let used = if asks_for_users {
        engine.volume_users()?
    } else {
        std::collections::BTreeMap::new()
    };
    let shown: Vec<Volume> = engine
        .volumes()?
        .into_iter()
        .filter(|volume| fits(volume, used.contains_key(&volume.name), &args.filter))
        .collect();
    if args.quiet {
        let mut out = Out::new();
        for volume in &shown {
            out.line(&volume.name)?;
        }
        out.finish()?;
        return Ok(0);
    }
    let rows: Vec<Row> = shown
        .iter()
        .map(|volume| row(volume, engine.roots()))
        .collect();
    let mut out = Out::new();
    format.print(&mut out, LS_HEADINGS, rows)?;
    out.finish()?;
    Ok(0)
}

fn row(volume: &Volume, roots: &Roots) -> Row {
    let labels: Vec<String> = volume
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let map: Map<String, Value> = volume
        .labels
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    let row = Row::default()
        .with("Name", volume.name.as_str())
        .with("Driver", "local")
        .with("Scope", "local")
        .with("Mountpoint", mountpoint(volume, roots))
        .with("Labels", labels.join(","));
    // Docker measures only for `system df`.
    ["Links", "Size", "Status", "Group", "Availability"]
        .iter()
        .fold(row, |row, name| row.with(name, "N/A"))
        .asked("Label", map)
}

fn mountpoint(volume: &Volume, roots: &Roots) -> String {
    roots
        .volume(&volume.name)
        .join("_data")
        .display()
        .to_string()
}

fn check_filter(filter: &Filter) -> Result<(), String> {
    match filter.key.as_str() {
        "driver" | "label" | "label!" | "name" => Ok(()),
        "dangling" => value::boolean(&filter.value)
            .map(|_| ())
            .map_err(|_e| format!("invalid filter 'dangling={}'", filter.value)),
        other => Err(format!("invalid filter '{other}'")),
    }
}

/// Several names or drivers: any of them; labels: all.
fn fits(volume: &Volume, used: bool, filters: &[Filter]) -> bool {
    let any = |key: &str, test: &dyn Fn(&str) -> bool| {
        let mut of_key = filters.iter().filter(|filter| filter.key == key).peekable();
        of_key.peek().is_none() || of_key.any(|filter| test(&filter.value))
    };
    let labels = |key: &str, wanted: bool| {
        filters
            .iter()
            .filter(|filter| filter.key == key)
            .all(|filter| list::has_label(&volume.labels, &filter.value) == wanted)
    };
    any("name", &|name| volume.name.contains(name))
        && any("driver", &|driver| driver == "local")
        && any("dangling", &|text| value::boolean(text) == Ok(!used))
        && labels("label", true)
        && labels("label!", false)
}

/// `volume inspect`.
pub fn inspect(context: &Context, args: &args::Formatted) -> Outcome {
    let show = Show::parse(args.format.as_deref())?;
    let engine = context.engine()?;
    container::inspect_each(&show, &args.operands, |name| inspect_one(&engine, name))
}

/// A volume in Docker's shape.
///
/// # Errors
/// [`Kind::NotFound`].
pub fn inspect_one(engine: &Engine, name: &str) -> Result<Value, Error> {
    let volume = engine.volume(name)?;
    let or_null = |map: &std::collections::BTreeMap<String, String>| {
        if map.is_empty() {
            Value::Null
        } else {
            json!(map)
        }
    };
    Ok(json!({
        "CreatedAt": volume.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "Driver": "local",
        "Labels": or_null(&volume.labels),
        "Mountpoint": mountpoint(&volume, engine.roots()),
        "Name": volume.name,
        "Options": or_null(&volume.options),
        "Scope": "local",
    }))
}

/// `volume rm`.
pub fn rm(context: &Context, args: &args::RmVolumes) -> Outcome {
    let engine = context.engine()?;
    let mut out = Out::new();
    let mut code = 0;
    for name in &args.operands {
        match engine.remove_volume(name) {
            Ok(()) => out.line(name)?,
            Err(error) if args.force && error.kind() == Kind::NotFound => out.line(name)?,
            Err(error) => {
                report::complain(&report::line(&error));
                code = 1;
            }
        }
    }
    out.finish()?;
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::{Timestamp, volume};

    #[test]
    fn filters_choose_volumes() {
        let volume = Volume {
            version: volume::RECORD_VERSION,
            name: "web_data".to_owned(),
            created: Timestamp::UNIX_EPOCH,
            labels: [("a".to_owned(), "1".to_owned())].into(),
            options: std::collections::BTreeMap::new(),
        };
        let test = |filters: &[&str], used| {
            let filters: Vec<Filter> = filters.iter().map(|f| value::filter(f).unwrap()).collect();
            for filter in &filters {
                check_filter(filter)?;
            }
            Ok::<bool, String>(fits(&volume, used, &filters))
        };
        for (filters, used, expect) in [
            (&[][..], true, true),
            (&["name=data"], true, true),
            (&["name=x", "name=web"], true, true),
            (&["name=x"], true, false),
            (&["label=a", "label=a=1"], true, true),
            (&["label=a", "label=b"], true, false),
            (&["label!=a"], true, false),
            (&["dangling=true"], true, false),
            (&["dangling=true"], false, true),
            (&["dangling=0"], true, true),
            (&["driver=nfs"], true, false),
        ] {
            assert_eq!(test(filters, used), Ok(expect), "{filters:?} {used}");
        }
        assert!(test(&["dangling=x"], true).is_err());
        assert!(test(&["x=1"], true).is_err());
    }
}
