//! The verbs that talk to registries: what each asks of the engine and what it prints.

use serde_json::json;

use super::format::{Format, Headings, Row};
use super::interrupt::Interrupt;
use super::progress::{Mode, Progress, Target};
use super::report::{Failure, Outcome};
use super::{Context, args, container, report, value};
use crate::engine::model::registry::{Pulled, Pushed, Turn};
use crate::engine::model::{Platform, Reference, request, units};
use crate::engine::{Engine, Error};

/// A name of an image, as it was typed and as it is meant.
fn reference(text: &str) -> Result<Reference, Failure> {
    text.parse::<Reference>().map_err(Failure::plain)
}

fn platform(text: Option<&str>) -> Result<Option<Platform>, Failure> {
    value::wanted_platform(text).map_err(Failure::plain)
}

/// The name with the tag that it has or means; of all tags, without one.
fn with_tag(progress: &Progress, name: Reference, all_tags: bool) -> Reference {
    if all_tags || name.tag().is_some() || name.digest().is_some() {
        return name;
    }
    let name = name.with_default_tag();
    progress.line(&format!(
        "Using default tag: {}",
        name.tag().unwrap_or_default()
    ));
    name
}

/// `pull`.
pub fn pull(context: &Context, args: &args::Pull) -> Outcome {
    let name = reference(args.operands.first().map_or("", String::as_str))?;
    if args.all_tags && (name.tag().is_some() || name.digest().is_some()) {
        return Err(Failure::plain("tag can't be used with --all-tags/-a"));
    }
    let wanted = Wanted {
        all_tags: args.all_tags,
        platform: platform(args.platform.as_deref())?,
        mode: Mode::choose(args.progress.as_deref(), args.quiet, Target::Stdout)?,
        target: Target::Stdout,
    };
    let name = pull_it(context, &context.engine()?, name, &wanted)?;
    if wanted.mode != Mode::Json {
        return super::say(name);
    }
    Ok(0)
}

/// How to pull, and how to show it.
struct Wanted {
    all_tags: bool,
    platform: Option<Platform>,
    mode: Mode,
    target: Target,
}

fn pull_it(
    context: &Context,
    engine: &Engine,
    name: Reference,
    wanted: &Wanted,
) -> Result<Reference, Failure> {
    // A helper may ask something: until here Ctrl-C is its own affair.
    let auth = context.credentials().auth(name.domain())?;
    let interrupt = Interrupt::watch()?;
    let progress = Progress::new(wanted.mode, wanted.target);
    let name = if wanted.target == Target::Stdout {
        with_tag(&progress, name, wanted.all_tags)
    } else if wanted.all_tags {
        name
    } else {
        name.with_default_tag()
    };
    let request = request::Pull {
        reference: name.clone(),
        all_tags: wanted.all_tags,
        platform: wanted.platform.clone(),
        auth,
    };
    let tell = |turn: Turn<'_, Pulled>| {
        progress.settle();
        match turn {
            Turn::Begun(name) => progress.preface(
                &tag_or_whole(name),
                &format!("Pulling from {}", name.path()),
            ),
            Turn::Done(image) => progress.line(&format!("Digest: {}", image.digest)),
        }
    };
    match engine.pull_each(&request, &tell, &progress.report(), interrupt.cancel()) {
        Ok(pulled) => {
            tell_pulled(&progress, &name, &pulled);
            progress.finish()?;
            for warning in pulled.iter().flat_map(|pulled| &pulled.warnings) {
                super::warn(warning);
            }
            Ok(name)
        }
        Err(error) => {
            let failure = failed(progress, wanted.mode, error)?;
            let familiar = name.familiar();
            Err(interrupt.explain(
                failure,
                &format!("pull {familiar}: cancelled; the next pull goes on from what is there"),
            ))
        }
    }
}

/// What Docker puts before `Pulling from`: a tag alone, a digest with the repository and without the tag.
fn tag_or_whole(name: &Reference) -> String {
    match (name.digest(), name.tag()) {
        (Some(_), _) => without_useless_tag(name.clone()).to_string(),
        (None, tag) => tag.unwrap_or_default().to_owned(),
    }
}

/// With a digest the tag means nothing.
fn without_useless_tag(name: Reference) -> Reference {
    match name.digest() {
        Some(digest) => name.repository().with_digest(digest.clone()),
        None => name,
    }
}

/// The lines after all of a pull.
fn tell_pulled(progress: &Progress, name: &Reference, pulled: &[Pulled]) {
    let newer = pulled.iter().any(|image| image.newer);
    let status = if newer {
        "Downloaded newer image for"
    } else {
        "Image is up to date for"
    };
    let shown = without_useless_tag(name.clone());
    progress.line(&format!("Status: {status} {}", shown.familiar()));
    for image in pulled {
        progress.object(&json!({ "aux": {
            "ID": image.id.to_string(),
            "Digest": image.digest.to_string(),
            "Name": image.reference.to_string(),
        }}));
    }
}

/// Ends the picture of something that failed. Readers of JSON find the error there; others on standard error.
fn failed(progress: Progress, mode: Mode, error: Error) -> Result<Failure, Failure> {
    let text = error.to_string();
    progress.give_up();
    progress.settle();
    progress.object(&json!({ "errorDetail": { "message": text }, "error": text }));
    progress.finish()?;
    Ok(match mode {
        Mode::Json => Failure::Said(1),
        Mode::Terminal | Mode::Plain | Mode::Quiet => error.into(),
    })
}

/// Does something that needs an image; one that is not there is pulled before, as `--pull` says. What is told of it is
/// told on standard error.
pub fn with_image<T>(
    context: &Context,
    engine: &Engine,
    args: &args::Create,
    work: impl Fn() -> Result<T, Error>,
) -> Result<T, Failure> {
    let image = args.operands.first().map_or("", String::as_str);
    let policy = args.pull.as_deref().unwrap_or("missing");
    let asked = platform(args.platform.as_deref())?;
    let fetch = |name: Reference| -> Result<(), Failure> {
        let wanted = Wanted {
            all_tags: false,
            platform: asked.clone(),
            mode: Mode::choose(None, args.quiet, Target::Stderr)?,
            target: Target::Stderr,
        };
        pull_it(context, engine, name, &wanted).map(drop)
    };
    if policy == "always" {
        fetch(reference(image)?)?;
        return Ok(work()?);
    }
    match work() {
        Err(error) if policy != "never" && is_missing(engine, image, asked.as_ref(), &error) => {
            let Ok(name) = image.parse::<Reference>() else {
                return Err(error.into());
            };
            if !args.quiet {
                report::complain(&format!(
                    "Unable to find image '{}' locally",
                    name.clone().with_default_tag().familiar()
                ));
            }
            fetch(name)?;
            Ok(work()?)
        }
        done => Ok(done?),
    }
}

/// It failed because there is no such image, or none for the platform, and for no other reason.
fn is_missing(engine: &Engine, image: &str, asked: Option<&Platform>, error: &Error) -> bool {
    use crate::engine::Kind::NotFound;
    match engine.image(image) {
        Err(looked) => error.kind() == NotFound && looked.kind() == NotFound,
        Ok(found) => asked.is_some_and(|asked| asked.rank(&found.summary.platform).is_none()),
    }
}

/// `push`.
pub fn push(context: &Context, args: &args::Push) -> Outcome {
    let name = reference(args.operands.first().map_or("", String::as_str))?;
    if args.all_tags && name.tag().is_some() {
        return Err(Failure::plain("tag can't be used with --all-tags/-a"));
    }
    if name.digest().is_some() {
        return Err(Failure::plain("cannot push a digest reference"));
    }
    let platform = platform(args.platform.as_deref())?;
    let mode = Mode::choose(args.progress.as_deref(), args.quiet, Target::Stdout)?;
    let engine = context.engine()?;
    let auth = context.credentials().auth(name.domain())?;
    let interrupt = Interrupt::watch()?;
    let progress = Progress::new(mode, Target::Stdout);
    let name = with_tag(&progress, name, args.all_tags);
    progress.line(&format!(
        "The push refers to repository [{}/{}]",
        name.domain(),
        name.path()
    ));
    let request = request::Push {
        reference: name.clone(),
        all_tags: args.all_tags,
        platform,
        auth,
    };
    let tell = |turn: Turn<'_, Pushed>| {
        progress.settle();
        if let Turn::Done(image) = turn {
            tell_pushed(&progress, image);
        }
    };
    match engine.push_each(&request, &tell, &progress.report(), interrupt.cancel()) {
        Ok(_) => {
            progress.finish()?;
            if mode == Mode::Quiet {
                return super::say(name);
            }
            Ok(0)
        }
        Err(error) => {
            let failure = failed(progress, mode, error)?;
            let familiar = name.familiar();
            Err(interrupt.explain(
                failure,
                &format!("push {familiar}: cancelled; the next push goes on from what is there"),
            ))
        }
    }
}

const REFERRERS: &str = "{{.Digest}}\t{{.ArtifactType}}\t{{.Size}}";
const REFERRERS_HEADINGS: Headings = &[
    ("Digest", "DIGEST"),
    ("ArtifactType", "ARTIFACT TYPE"),
    ("MediaType", "MEDIA TYPE"),
    ("Size", "SIZE"),
    ("Annotations", "ANNOTATIONS"),
];

/// `image referrers`.
pub fn referrers(context: &Context, args: &args::Referrers) -> Outcome {
    let format = Format::parse(args.format.as_deref(), REFERRERS)?;
    let name = reference(args.operands.first().map_or("", String::as_str))?;
    let auth = context.credentials().auth(name.domain())?;
    let found = context.engine()?.referrers(&name, &auth)?;
    // A table is for eyes; templates are for programs.
    let whole = args.no_trunc || !format.is_table();
    let rows: Vec<Row> = found
        .iter()
        .map(|found| {
            let digest = if whole {
                found.digest.to_string()
            } else {
                found.digest.short().to_owned()
            };
            let notes: Vec<String> = found
                .annotations
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            Row::default()
                .with("Digest", digest)
                .with("ArtifactType", found.artifact_type.as_str())
                .with("MediaType", found.media_type.as_str())
                .with("Size", units::human_size_short(found.size))
                .with("Annotations", notes.join(","))
        })
        .collect();
    container::print_rows(
        &format,
        args.format.is_some(),
        false,
        REFERRERS_HEADINGS,
        rows,
    )
}

/// The line after a pushed image's layers.
fn tell_pushed(progress: &Progress, image: &Pushed) {
    let tag = image.reference.tag().unwrap_or_default();
    progress.line(&format!(
        "{tag}: digest: {} size: {}",
        image.digest, image.size
    ));
    progress.object(&json!({ "progressDetail": {}, "aux": {
        "Tag": tag,
        "Digest": image.digest.to_string(),
        "Size": image.size,
    }}));
}
