//! Verbs that give disk space back: `container prune`, `image prune`, `volume prune`, `system prune`.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, Write as _};

use super::client_config::ClientConfig;
use super::output::Out;
use super::report::{Failure, Outcome};
use super::value::{self, Filter};
use super::{Context, args};
use crate::engine::model::image::Removed;
use crate::engine::model::registry::{Pruned, PrunedContainers};
use crate::engine::model::volume::PrunedVolumes;
use crate::engine::model::{Timestamp, request, units};

/// The command line's filters and those of `config.json`, which must be readable: it may say what is to be spared.
fn filters(context: &Context, given: &[Filter]) -> Result<Vec<Filter>, Failure> {
    ClientConfig::strict(&context.config)
        .and_then(|config| config.prune_filters(given))
        .map_err(Failure::plain)
}

/// `container prune`.
pub fn containers(context: &Context, args: &args::PruneContainers) -> Outcome {
    let filters = Filters::read(&filters(context, &args.filter)?, Timestamp::now(), &[])
        .map_err(Failure::plain)?;
    let engine = context.engine()?;
    if !args.force && !confirm("WARNING! This will remove all stopped containers.")? {
        return Ok(0);
    }
    let pruned = engine.prune_containers(&filters.containers())?;
    let mut out = Out::new();
    tell_containers(&mut out, &pruned)?;
    total(out, pruned.reclaimed)
}

/// `image prune`.
pub fn images(context: &Context, args: &args::Prune) -> Outcome {
    let filters = Filters::read(
        &filters(context, &args.filter)?,
        Timestamp::now(),
        &["dangling"],
    );
    let request = filters.map_err(Failure::plain)?.images(args.all);
    let warning = if request.all {
        "WARNING! This will remove all images without at least one container associated to them."
    } else {
        "WARNING! This will remove all dangling images."
    };
    let engine = context.engine()?;
    if !args.force && !confirm(warning)? {
        return Ok(0);
    }
    let pruned = engine.prune_images(&request)?;
    let mut out = Out::new();
    tell_images(&mut out, &pruned)?;
    total(out, pruned.reclaimed)
}

/// `volume prune`.
pub fn volumes(context: &Context, args: &args::PruneVolumes) -> Outcome {
    let filters = Filters::read(&filters(context, &args.filter)?, Timestamp::now(), &["all"]);
    let request = filters.and_then(|filters| filters.volumes(args.all));
    let request = request.map_err(Failure::plain)?;
    let warning = if request.all {
        "WARNING! This will remove all local volumes not used by at least one container."
    } else {
        "WARNING! This will remove anonymous local volumes not used by at least one container."
    };
    let engine = context.engine()?;
    if !args.force && !confirm(warning)? {
        return Ok(0);
    }
    let pruned = engine.prune_volumes(&request)?;
    let mut out = Out::new();
    tell_volumes(&mut out, &pruned)?;
    total(out, pruned.reclaimed)
}

/// `network prune`.
pub fn networks(context: &Context, args: &args::PruneNetworks) -> Outcome {
    let filters = Filters::read(&filters(context, &args.filter)?, Timestamp::now(), &[])
        .map_err(Failure::plain)?;
    let engine = context.engine()?;
    let warning =
        "WARNING! This will remove all custom networks not used by at least one container.";
    if !args.force && !confirm(warning)? {
        return Ok(0);
    }
    let removed = engine.prune_networks(&filters.networks())?;
    let mut out = Out::new();
    tell_networks(&mut out, &removed)?;
    out.finish()?;
    Ok(0)
}

/// `system prune`: containers, networks, volumes if asked for, then images.
pub fn system(context: &Context, args: &args::PruneSystem) -> Outcome {
    let given = filters(context, &args.filter)?;
    let filters = Filters::read(&given, Timestamp::now(), &[]).map_err(Failure::plain)?;
    let volumes = if args.volumes {
        if filters.until.is_some() {
            return Err(Failure::plain(
                "ERROR: The \"until\" filter is not supported with \"--volumes\"",
            ));
        }
        Some(filters.volumes(false).map_err(Failure::plain)?)
    } else {
        None
    };
    let engine = context.engine()?;
    if !args.force && !confirm(&system_warning(args, &given))? {
        return Ok(0);
    }
    let mut out = Out::new();
    let containers = engine.prune_containers(&filters.containers())?;
    tell_containers(&mut out, &containers)?;
    let mut bytes = containers.reclaimed;
    let networks = engine.prune_networks(&filters.networks())?;
    tell_networks(&mut out, &networks)?;
    if let Some(request) = volumes {
        let volumes = engine.prune_volumes(&request)?;
        tell_volumes(&mut out, &volumes)?;
        bytes = bytes.saturating_add(volumes.reclaimed);
    }
    let images = engine.prune_images(&filters.images(args.all))?;
    tell_images(&mut out, &images)?;
    total(out, bytes.saturating_add(images.reclaimed))
}

/// What will go, one line each; there are no builds yet.
fn system_warning(args: &args::PruneSystem, filters: &[Filter]) -> String {
    let mut text = String::from(
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n",
    );
    if args.volumes {
        text.push_str("  - all anonymous volumes not used by at least one container\n");
    }
    text.push_str(if args.all {
        "  - all images without at least one container associated to them\n"
    } else {
        "  - all dangling images\n"
    });
    if !filters.is_empty() {
        text.push_str("\n  Items to be pruned will be filtered with:\n");
        for filter in filters {
            let _ = writeln!(text, "  - {}={}", filter.key, filter.value);
        }
    }
    text
}

fn tell_containers(out: &mut Out, pruned: &PrunedContainers) -> Result<(), Failure> {
    if pruned.removed.is_empty() {
        return Ok(());
    }
    out.line("Deleted Containers:")?;
    for id in &pruned.removed {
        out.line(id)?;
    }
    out.line("")?;
    Ok(())
}

fn tell_networks(out: &mut Out, removed: &[String]) -> Result<(), Failure> {
    if removed.is_empty() {
        return Ok(());
    }
    out.line("Deleted Networks:")?;
    for name in removed {
        out.line(name)?;
    }
    out.line("")?;
    Ok(())
}

fn tell_volumes(out: &mut Out, pruned: &PrunedVolumes) -> Result<(), Failure> {
    if pruned.removed.is_empty() {
        return Ok(());
    }
    out.line("Deleted Volumes:")?;
    for name in &pruned.removed {
        out.line(name)?;
    }
    out.line("")?;
    Ok(())
}

fn tell_images(out: &mut Out, pruned: &Pruned) -> Result<(), Failure> {
    if pruned.removed.is_empty() {
        return Ok(());
    }
    out.line("Deleted Images:")?;
    for step in &pruned.removed {
        match step {
            Removed::Untagged(name) => out.line(format_args!("untagged: {name}"))?,
            Removed::Deleted(id) => out.line(format_args!("deleted: {id}"))?,
        }
    }
    out.line("")?;
    Ok(())
}

fn total(mut out: Out, bytes: u64) -> Outcome {
    out.line(format_args!(
        "Total reclaimed space: {}",
        units::human_size(bytes)
    ))?;
    out.finish()?;
    Ok(0)
}

/// What `--filter` may say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Filters {
    until: Option<Timestamp>,
    labels: Vec<String>,
    not_labels: Vec<String>,
    dangling: Option<bool>,
    all: bool,
}

impl Filters {
    /// `more` are keys that only this verb has.
    fn read(filters: &[Filter], now: Timestamp, more: &[&str]) -> Result<Self, String> {
        let mut read = Self::default();
        for Filter { key, value } in filters {
            match key.as_str() {
                "dangling" if more.contains(&"dangling") => {
                    let dangling = value::boolean(value)
                        .map_err(|_not_one| format!("invalid filter 'dangling=[{value}]'"))?;
                    read.dangling = Some(dangling);
                }
                "all" if more.contains(&"all") => {
                    read.all = value::boolean(value)
                        .map_err(|_not_one| format!("invalid filter 'all=[{value}]'"))?;
                }
                "label" => read.labels.push(value.clone()),
                "label!" => read.not_labels.push(value.clone()),
                "until" if read.until.is_some() => {
                    return Err("more than one until filter specified".to_owned());
                }
                "until" => {
                    let until = value::moment(value, now).map_err(|_not_one| {
                        format!("failed to parse value as time or duration: {value:?}")
                    })?;
                    read.until = Some(until);
                }
                other => return Err(format!("invalid filter '{other}'")),
            }
        }
        Ok(read)
    }

    fn containers(&self) -> request::PruneContainers {
        request::PruneContainers {
            until: self.until,
            labels: self.labels.clone(),
            not_labels: self.not_labels.clone(),
            only: None,
        }
    }

    fn networks(&self) -> request::PruneNetworks {
        request::PruneNetworks {
            until: self.until,
            labels: self.labels.clone(),
            not_labels: self.not_labels.clone(),
        }
    }

    fn volumes(&self, all: bool) -> Result<request::PruneVolumes, String> {
        if self.until.is_some() {
            return Err("invalid filter 'until'".to_owned());
        }
        Ok(request::PruneVolumes {
            all: all || self.all,
            labels: self.labels.clone(),
            not_labels: self.not_labels.clone(),
            only: None,
        })
    }

    fn images(&self, all: bool) -> request::PruneImages {
        request::PruneImages {
            all: all || self.dangling == Some(false),
            until: self.until,
            labels: self.labels.clone(),
            not_labels: self.not_labels.clone(),
            only: None,
        }
    }
}

/// Asks on standard output; what is not `y` is no.
///
/// # Errors
/// What reading and writing say.
pub fn confirm(warning: &str) -> Result<bool, Failure> {
    let mut out = Out::new();
    out.line(warning)?;
    out.write_all(b"Are you sure you want to continue? [y/N] ")?;
    out.finish()?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::plain(format_args!("read the answer: {error}")))?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(filters: &[&str]) -> Result<request::PruneImages, String> {
        let filters: Vec<Filter> = filters
            .iter()
            .map(|text| value::filter(text).unwrap())
            .collect();
        Filters::read(&filters, Timestamp::UNIX_EPOCH, &["dangling"]).map(|read| read.images(false))
    }

    #[test]
    fn prune_filters_are_read_as_docker_reads_them() {
        let request = read(&["label=a=1", "label!=b", "dangling=false", "until=1h"]).unwrap();
        assert!(request.all);
        assert_eq!(request.labels, ["a=1"]);
        assert_eq!(request.not_labels, ["b"]);
        assert_eq!(request.until, Some(Timestamp::from_second(-3600).unwrap()));
        for (filters, message) in [
            (&["foo=1"][..], "invalid filter 'foo'"),
            (&["dangling=x"], "invalid filter 'dangling=[x]'"),
            (
                &["until=xyz"],
                "failed to parse value as time or duration: \"xyz\"",
            ),
            (
                &["until=1h", "until=2h"],
                "more than one until filter specified",
            ),
        ] {
            assert_eq!(read(filters).unwrap_err(), message);
        }
    }

    #[test]
    fn a_system_prune_says_what_will_go() {
        let mut args = args::PruneSystem {
            all: false,
            filter: Vec::new(),
            force: false,
            volumes: false,
            operands: Vec::new(),
        };
        assert_eq!(
            system_warning(&args, &args.filter),
            "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n  - all dangling images\n"
        );
        args.filter = vec![value::filter("label=a=1").unwrap()];
        assert!(system_warning(&args, &args.filter).ends_with("filtered with:\n  - label=a=1\n"));
        let wrong = Filters::read(
            &[value::filter("dangling=true").unwrap()],
            Timestamp::UNIX_EPOCH,
            &[],
        );
        assert_eq!(wrong, Err("invalid filter 'dangling'".to_owned()));
    }
}
