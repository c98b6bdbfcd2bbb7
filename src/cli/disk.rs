//! Verbs about the disk: `system df` says what is on it, `system check` what is wrong with it. Giving some of it back is
//! `prune.rs`.

use std::io::Write as _;

use serde_json::{Map, Value, json};

use super::format::{Format, Headings, Row};
use super::interrupt::Interrupt;
use super::list::{self, Look, Meanings};
use super::output::Out;
use super::progress::{Mode, Progress, Target};
use super::report::{Failure, Outcome};
use super::template::Template;
use super::{Context, args};
use crate::engine::model::registry::{Checked, ContainerUsage, DiskUsage, ImageUsage, ImagesUsage};
use crate::engine::model::volume::VolumeUsage;
use crate::engine::model::{ContainerSummary, ImageSummary, request, units};

const DF: &str = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
const DF_HEADINGS: Headings = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];
const DF_IMAGES: &str = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.VirtualSize}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}";
const DF_CONTAINERS: &str = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}";
const DF_VOLUMES: &str = "table {{.Name}}\t{{.Links}}\t{{.Size}}";
const DF_VOLUME_HEADINGS: Headings = &[
    ("Name", "VOLUME NAME"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
];
const DF_BUILDS: &str = "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}";
const DF_BUILD_HEADINGS: Headings = &[
    ("ID", "CACHE ID"),
    ("CacheType", "CACHE TYPE"),
    ("Size", "SIZE"),
    ("CreatedSince", "CREATED"),
    ("LastUsedSince", "LAST USED"),
    ("UsageCount", "USAGE"),
    ("Shared", "SHARED"),
];

/// `system df`.
pub fn df(context: &Context, args: &args::Df) -> Outcome {
    let format = Format::parse(args.format.as_deref(), DF)?;
    let engine = context.engine()?;
    let usage = engine.disk_usage()?;
    let mut out = Out::new();
    if !args.verbose {
        format.print(&mut out, DF_HEADINGS, summary(&usage))?;
        out.finish()?;
        return Ok(0);
    }
    let containers = engine.containers()?;
    let meanings = list::meanings(&engine, &containers);
    match args.format.as_deref() {
        None | Some("" | "table") => {
            let look = Look::new(true);
            let details = Details::new(&usage, &containers, meanings.as_ref(), &look);
            out.write_all(details.text()?.as_bytes())?;
        }
        Some(text) => {
            let value =
                Details::new(&usage, &containers, meanings.as_ref(), &Look::new(false)).json();
            let template = if text == "json" { "{{json .}}" } else { text };
            let filled = Template::parse(template)
                .and_then(|template| template.execute(value, &Map::new()))
                .map_err(Failure::plain)?;
            out.line(filled)?;
        }
    }
    out.finish()?;
    Ok(0)
}

/// The four rows, in Docker's order. There are no builds yet, so there is nothing of them.
fn summary(usage: &DiskUsage) -> Vec<Row> {
    let images = &usage.images;
    let containers = &usage.containers.containers;
    let used = images.images.iter().filter(|image| image.containers > 0);
    let sizes = containers.iter().map(|container| container.size);
    let idle = containers.iter().filter(|container| !container.running);
    let written: u64 = sizes.sum();
    let stored: u64 = usage.volumes.iter().map(|volume| volume.size).sum();
    let unused = usage.volumes.iter().filter(|volume| volume.links == 0);
    let row = |kind: &str, total: usize, active: usize, size: u64, reclaimable: String| {
        Row::default()
            .with("Type", kind)
            .with("TotalCount", total.to_string())
            .with("Active", active.to_string())
            .with("Size", units::human_size(size))
            .with("Reclaimable", reclaimable)
    };
    vec![
        row(
            "Images",
            images.images.len(),
            used.count(),
            on_disk(images),
            share(images.reclaimable, on_disk(images)),
        ),
        row(
            "Containers",
            containers.len(),
            containers
                .iter()
                .filter(|container| container.running)
                .count(),
            written,
            share(idle.map(|container| container.size).sum(), written),
        ),
        row(
            "Local Volumes",
            usage.volumes.len(),
            usage
                .volumes
                .iter()
                .filter(|volume| volume.links > 0)
                .count(),
            stored,
            share(unused.map(|volume| volume.size).sum(), stored),
        ),
        row("Build Cache", 0, 0, 0, share(0, 0)),
    ]
}

/// Layers as they are unpacked, blobs as they came, and what was left behind.
fn on_disk(images: &ImagesUsage) -> u64 {
    images
        .layers
        .saturating_add(images.blobs)
        .saturating_add(images.leftovers)
}

/// `1.2GB (40%)`; without the percentage if there is nothing.
fn share(part: u64, whole: u64) -> String {
    let size = units::human_size(part);
    let percent = u128::from(part) * 100;
    match percent.checked_div(u128::from(whole)) {
        Some(percent) => format!("{size} ({percent}%)"),
        None => size,
    }
}

/// What `--verbose` shows.
struct Details {
    images: Vec<Row>,
    containers: Vec<Row>,
    volumes: Vec<Row>,
}

impl Details {
    fn new(
        usage: &DiskUsage,
        containers: &[ContainerSummary],
        meanings: Option<&Meanings<'_>>,
        look: &Look,
    ) -> Self {
        let row = |used: &ContainerUsage| {
            // One that has gone since is not shown.
            let summary = containers.iter().find(|c| c.container.id == used.id)?;
            let size = units::human_size(used.size);
            Some(list::container(summary, meanings, look, &|_| true).with("Size", size))
        };
        Self {
            images: usage
                .images
                .images
                .iter()
                .map(|image| image_row(image, look))
                .collect(),
            containers: usage.containers.containers.iter().filter_map(row).collect(),
            volumes: usage.volumes.iter().map(volume_row).collect(),
        }
    }

    fn text(self) -> Result<String, Failure> {
        let table = |format: &str, headings, rows: Vec<Row>| {
            Format::parse(Some(format), "")?.render(headings, rows)
        };
        Ok(format!(
            "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\nBuild cache usage: 0B\n\n{}",
            table(DF_IMAGES, list::IMAGES_HEADINGS, self.images)?,
            table(DF_CONTAINERS, list::PS_HEADINGS, self.containers)?,
            table(DF_VOLUMES, DF_VOLUME_HEADINGS, self.volumes)?,
            table(DF_BUILDS, DF_BUILD_HEADINGS, Vec::new())?,
        ))
    }

    fn json(&self) -> Value {
        let fields = |rows: &[Row]| -> Vec<Value> {
            rows.iter()
                .map(|row| Value::Object(row.fields.clone()))
                .collect()
        };
        json!({
            "Images": fields(&self.images),
            "Containers": fields(&self.containers),
            "Volumes": fields(&self.volumes),
            "BuildCache": [],
        })
    }
}

fn volume_row(used: &VolumeUsage) -> Row {
    Row::default()
        .with("Name", used.volume.name.as_str())
        .with("Driver", "local")
        .with("Links", used.links.to_string())
        .with("Size", units::human_size(used.size))
}

fn image_row(image: &ImageUsage, look: &Look) -> Row {
    let summary = ImageSummary {
        id: image.id.clone(),
        // Docker shows an image once, by its first name.
        tags: image.tags.iter().take(1).cloned().collect(),
        digests: Vec::new(),
        created: image.created,
        size: image.size,
        labels: std::collections::BTreeMap::new(),
        platform: image.platform.clone(),
    };
    let row = list::image(&summary, false, look).into_iter().next();
    row.unwrap_or_default()
        .with("VirtualSize", units::human_size(image.size))
        .with("SharedSize", units::human_size(image.shared))
        .with("UniqueSize", units::human_size(image.unique))
        .with("Containers", image.containers.to_string())
}

/// `system check`.
pub fn check(context: &Context, args: &args::Check) -> Outcome {
    let as_json = match args.format.as_deref() {
        None | Some("" | "text") => false,
        Some("json") => true,
        Some(other) => {
            return Err(Failure::plain(format_args!(
                "invalid --format {other:?}: use text or json"
            )));
        }
    };
    let mode = Mode::choose(args.progress.as_deref(), args.quiet, Target::Stderr)?;
    // Without a terminal there is nothing to look at meanwhile.
    let mode = if mode == Mode::Plain {
        Mode::Quiet
    } else {
        mode
    };
    let engine = context.engine()?;
    let interrupt = Interrupt::watch()?;
    let progress = Progress::new(mode, Target::Stderr);
    let request = request::Check {
        repair: args.repair,
    };
    let credentials = context.credentials();
    let auth = |registry: &str| credentials.auth(registry);
    let checked = engine
        .check(request, &auth, &progress.report(), interrupt.cancel())
        .map_err(|error| interrupt.explain(error.into(), "check cancelled"));
    progress.finish()?;
    let checked = checked?;
    let mut out = Out::new();
    if as_json {
        out.line(check_json(&checked))?;
    } else {
        for damage in &checked.damages {
            let how = damage.repaired.iter().map(|how| format!(": {how}"));
            let how: String = how.collect();
            out.line(format_args!("{}: {}{how}", damage.what, damage.problem))?;
        }
        out.line(format_args!(
            "Checked {}, {} and {} ({}): {}",
            units::counted(checked.images, "image"),
            units::counted(checked.blobs, "blob"),
            units::counted(checked.layers, "layer"),
            units::human_size(checked.bytes),
            verdict(&checked),
        ))?;
    }
    out.finish()?;
    Ok(u8::from(remaining(&checked) > 0))
}

fn remaining(checked: &Checked) -> usize {
    checked
        .damages
        .iter()
        .filter(|damage| damage.repaired.is_none())
        .count()
}

fn verdict(checked: &Checked) -> String {
    let (all, left) = (checked.damages.len(), remaining(checked));
    match (all, left) {
        (0, _) => "nothing is wrong".to_owned(),
        (_, 0) => format!("{} repaired", units::counted(all, "problem")),
        (all, left) if all == left => units::counted(all, "problem"),
        (all, left) => format!(
            "{}, {} repaired",
            units::counted(all, "problem"),
            all - left
        ),
    }
}

fn check_json(checked: &Checked) -> Value {
    let damages: Vec<Value> = checked
        .damages
        .iter()
        .map(|damage| {
            json!({
                "What": damage.what,
                "Problem": damage.problem,
                "Repaired": damage.repaired,
            })
        })
        .collect();
    json!({
        "Images": checked.images,
        "Blobs": checked.blobs,
        "Layers": checked.layers,
        "Bytes": checked.bytes,
        "Damages": damages,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::registry::ContainersUsage;
    use crate::engine::model::{ContainerId, Digest, Platform, Timestamp};

    fn image(n: u8, containers: u64) -> ImageUsage {
        ImageUsage {
            id: Digest::from_sha256(&[n; 32]),
            tags: vec![format!("image{n}:1"), format!("zz{n}:1")],
            created: None,
            platform: Platform::host(),
            size: 3_000_000,
            shared: 1_000_000,
            unique: 2_000_000,
            containers,
        }
    }

    fn container(running: bool, size: u64) -> ContainerUsage {
        ContainerUsage {
            id: ContainerId::try_from("a".repeat(64)).unwrap(),
            name: "web".to_owned(),
            image: "image1".to_owned(),
            command: "sh".to_owned(),
            running,
            status: "exited".to_owned(),
            created: Timestamp::UNIX_EPOCH,
            size,
        }
    }

    fn usage() -> DiskUsage {
        DiskUsage {
            images: ImagesUsage {
                images: vec![image(1, 1), image(2, 0)],
                layers: 5_000_000,
                blobs: 2_500_000,
                leftovers: 500_000,
                unused: 0,
                reclaimable: 2_000_000,
            },
            containers: ContainersUsage {
                containers: vec![container(true, 100), container(false, 300)],
            },
            volumes: Vec::new(),
        }
    }

    #[test]
    fn the_summary_is_dockers_table() {
        let table = Format::parse(None, DF)
            .unwrap()
            .render(DF_HEADINGS, summary(&usage()))
            .unwrap();
        assert_eq!(
            table,
            "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE\n\
             Images          2         1         8MB       2MB (25%)\n\
             Containers      2         1         400B      300B (75%)\n\
             Local Volumes   0         0         0B        0B\n\
             Build Cache     0         0         0B        0B\n"
        );
        let empty = Format::parse(None, DF)
            .unwrap()
            .render(DF_HEADINGS, summary(&DiskUsage::default()))
            .unwrap();
        assert!(
            empty.contains("Images          0         0         0B        0B\n"),
            "{empty}"
        );
    }

    #[test]
    fn the_details_show_each_image_once() {
        let text = Details::new(&usage(), &[], None, &Look::new(true))
            .text()
            .unwrap();
        assert!(
            text.starts_with(
                "Images space usage:\n\n\
                 REPOSITORY   TAG       IMAGE ID       CREATED   SIZE      SHARED SIZE   UNIQUE SIZE   CONTAINERS\n\
                 image1       1         010101010101   N/A       3MB       1MB           2MB           1\n\
                 image2       1         020202020202   N/A       3MB       1MB           2MB           0\n\
                 \n\
                 Containers space usage:\n\n\
                 CONTAINER ID   IMAGE     COMMAND   LOCAL VOLUMES   SIZE      CREATED   STATUS    NAMES\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_check_says_what_is_left() {
        let damage = |repaired: Option<&str>| crate::engine::model::registry::Damage {
            what: "blob x".to_owned(),
            problem: "it is missing".to_owned(),
            repaired: repaired.map(str::to_owned),
        };
        for (damages, text) in [
            (vec![], "nothing is wrong"),
            (vec![damage(None)], "1 problem"),
            (vec![damage(Some("removed"))], "1 problem repaired"),
            (
                vec![damage(None), damage(Some("removed"))],
                "2 problems, 1 repaired",
            ),
        ] {
            let checked = Checked {
                damages,
                ..Checked::default()
            };
            assert_eq!(verdict(&checked), text);
        }
    }
}
